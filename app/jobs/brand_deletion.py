"""The job `brand_deletion`: deletes a brand whole. Nothing of it is left in any table, but for the slugs and hosts of its links, which belong to nobody then.

First everything is closed, in one transaction: keys, sources, links. The doors learn of changed rows and never of deleted ones, so what they look up
is changed first and deleted when they have seen it. Then the job waits for what they have taken in to be drained, or it would come back. It deletes
the tables in batches, children first, and itself at last: whoever asks for it afterwards has no key any more.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from app import clock
from app.jobs.run import Run

log = logging.getLogger("ariane.jobs")

NOBODY = UUID(int=0)
"""Owner of the slugs and hosts that are left, so that they are never given out again by accident."""
SEEN_AFTER = timedelta(seconds=10)
"""Time after which every door has seen that keys, sources and links are closed, even where a notification was lost."""
DRAIN_WAIT_MAX = timedelta(minutes=10)
"""Longest wait for the spools of all machines. What one that is down brings later is kept as nobody's."""
PAUSE_S = 0.5
BATCH_ROWS = 2_000
"""Rows deleted in one transaction."""

CLOSE = (
    "UPDATE brand SET archived_at = coalesce(archived_at, $2), updated_at = $2 WHERE id = $1",
    "UPDATE api_key SET revoked_at = coalesce(revoked_at, $2), changed_xid = pg_current_xact_id() WHERE brand_id = $1",
    "UPDATE source SET archived_at = coalesce(archived_at, $2), secrets = '{}', changed_xid = pg_current_xact_id() WHERE brand_id = $1",
    "UPDATE job SET cancelled_at = $2, state = 'cancelled', finished_at = $2 WHERE brand_id = $1 AND state = 'queued'",
)
# A slug is never given out twice: its row stays, without anything that says whose it was.
DISOWN = (
    """UPDATE route SET brand_id = $2, link_id = $2, destination_url = 'https://deleted.invalid/', click_param = 'ariane', expires_at = NULL, disabled = true,
           forward_query = NULL, changed_xid = pg_current_xact_id() WHERE brand_id = $1""",
    "UPDATE host SET brand_id = $2, pages = '{}', archived_at = coalesce(archived_at, now()), changed_xid = pg_current_xact_id() WHERE brand_id = $1",
)
ANNOUNCE = "SELECT pg_notify('directory', '')"
# A machine that has not drained for an hour is down.
UNDRAINED = "SELECT EXISTS (SELECT FROM drain_state WHERE drained_until < $1 AND updated_at > $2 AND (left_at IS NULL OR left_at < updated_at))"
LOST_HOST_AFTER = timedelta(hours=1)


async def delete_brand(run: Run) -> Mapping[str, Any]:
    """Deletes the job's brand. The job goes with it, so its result is read by nobody."""
    if "closed_at" not in run.checkpoint:
        await run.commit(lambda connection: _close(connection, run.brand_id), done=0)
    await _wait_for_doors(run, datetime.fromisoformat(run.checkpoint["closed_at"]))
    tables = brand_tables()
    # Twice: what ran beside the first pass may have added to a table that was empty already.
    for table, keys in (*tables, *tables):
        while await _delete_some(run, table, keys):
            pass
    await run.vanish(lambda connection: _delete_rest(connection, run, tables))
    log.info("a brand was deleted whole by job %s", run.id)
    return {}


def brand_tables() -> list[tuple[str, Sequence[str]]]:
    """Every table with rows of a brand and its key beside the brand, children before their parents; without `job`."""
    from app.database.columns import metadata
    from app.database.tables import job

    return [
        (table.name, [column.name for column in table.primary_key.columns if column.name != "brand_id"])
        for table in reversed(metadata.sorted_tables)
        if "brand_id" in table.c and table is not job
    ]


async def _close(connection: asyncpg.Connection, brand_id: UUID) -> Mapping[str, Any]:
    now = clock.now()
    for statement in CLOSE:
        await connection.execute(statement, brand_id, now)
    for statement in DISOWN:
        await connection.execute(statement, brand_id, NOBODY)
    await connection.execute(ANNOUNCE)
    return {"closed_at": now.isoformat()}


async def _wait_for_doors(run: Run, closed_at: datetime) -> None:
    seen_at = closed_at + SEEN_AFTER
    while True:
        now = clock.now()
        if now >= seen_at:
            undrained = await run.pool.fetchval(UNDRAINED, seen_at, now - LOST_HOST_AFTER)
            if not undrained or now >= seen_at + DRAIN_WAIT_MAX:
                return
        # A commit of nothing: this process may have to stop.
        await run.commit(done=run.done)
        await asyncio.sleep(PAUSE_S)


async def _delete_some(run: Run, table: str, keys: Sequence[str]) -> bool:
    """Deletes the next rows of a table; False when none are left."""
    deleted = 0

    async def work(connection: asyncpg.Connection) -> None:
        nonlocal deleted
        answer: str = await connection.execute(_statement(table, keys), run.brand_id)
        deleted = int(answer.rpartition(" ")[2])

    await run.commit(work, done=run.done + 1)
    return deleted > 0


def _statement(table: str, keys: Sequence[str]) -> str:
    if not keys:
        return f"DELETE FROM {table} WHERE brand_id = $1"  # noqa: S608  a row per brand
    chosen = ", ".join(keys)
    some = f"SELECT {chosen} FROM {table} WHERE brand_id = $1 LIMIT {BATCH_ROWS:d}"  # noqa: S608  names of the schema
    return f"DELETE FROM {table} WHERE brand_id = $1 AND ({chosen}) IN ({some})"  # noqa: S608


async def _delete_rest(connection: asyncpg.Connection, run: Run, tables: Sequence[tuple[str, Sequence[str]]]) -> None:
    for table, _ in tables:
        await connection.execute(f"DELETE FROM {table} WHERE brand_id = $1", run.brand_id)  # noqa: S608  names of the schema
    await connection.execute("DELETE FROM job WHERE brand_id = $1 AND id <> $2", run.brand_id, run.id)
    await connection.execute("DELETE FROM brand WHERE id = $1", run.brand_id)
