"""Jobs: work that takes longer than a request. The API puts them into the table `job`; a background process takes them from it, one at a time.

The process that runs a job holds its `claim` and renews `alive_at`. When it dies, its heartbeats stop, and another process takes the job over from
the last checkpoint. Heartbeats in the future are ignored: the clock was set back. What a job changes, what it counts and its checkpoint are
committed together (`Run.commit`), under the claim: nothing is done or counted twice, not even when a process that was thought dead wakes up.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from app import clock, random_ids
from app.database.errors import DRIVER_ERRORS, is_passing
from app.database.transactions import in_transaction
from app.domain import ids
from app.domain.text import storable
from app.settings import Settings

log = logging.getLogger("ariane.jobs")

ATTEMPTS_MAX = 5
"""Starts of a job without progress in between, after which it is taken to kill its process and is not started again."""
RESULT_BYTES_MAX = 512 << 10
"""Largest result, in bytes. A reconciliation has a waterfall for each currency of its list: some 160, of 2 KB at most."""
TEXT_CHARACTERS_MAX = 500
"""Longest text of a line or an error, in characters."""
HEARTBEATS = 4
"""Heartbeats within `job_silent_s`: three may be late before a job counts as dead."""

BROKEN_OFF_AFTER = timedelta(hours=6)
"""Age at which an upload without a job is deleted: it will never become one."""
SWEPT_JOBS_MAX = 10
"""Old jobs deleted in one transaction: each may have a hundred thousand lines."""

CLAIM_LOCK = 0x61726A62  # "arjb"
"""Advisory lock held while a job is chosen. Without it two processes would each take a job of one brand: neither sees the other's uncommitted choice."""

# One job of a brand at a time: a brand waits for its own jobs only, never for another brand's hundred thousand rows.
CLAIM = """
UPDATE job SET state = 'running', claim = $1, alive_at = now(), started_at = coalesce(started_at, now()), attempts = attempts + 1
WHERE (brand_id, id) = (
    SELECT j.brand_id, j.id FROM job j
    WHERE (j.state = 'queued' OR (j.state = 'running' AND j.alive_at NOT BETWEEN now() - $2::interval AND now() + $2::interval))
      AND NOT EXISTS (
        SELECT 1 FROM job o WHERE o.brand_id = j.brand_id AND o.state = 'running'
          AND o.alive_at BETWEEN now() - $2::interval AND now() + $2::interval)
    ORDER BY j.id LIMIT 1 FOR UPDATE OF j SKIP LOCKED)
RETURNING brand_id, id, kind, arguments::text AS arguments, done, total, checkpoint::text AS checkpoint, attempts, created_at
"""
HEARTBEAT = "UPDATE job SET alive_at = now() WHERE brand_id = $1 AND id = $2 AND claim = $3 AND state = 'running'"
SAVE = """
UPDATE job SET done = greatest(done, $4), total = coalesce($5, total), checkpoint = coalesce($6::jsonb, checkpoint), alive_at = now(),
    attempts = CASE WHEN $4 > done THEN 0 ELSE attempts END
WHERE brand_id = $1 AND id = $2 AND claim = $3 AND state = 'running'
RETURNING cancelled_at
"""
RELEASE = """
UPDATE job SET state = 'queued', claim = NULL, attempts = greatest(attempts - 1, 0)
WHERE brand_id = $1 AND id = $2 AND claim = $3 AND state = 'running'
"""
FINISH = """
UPDATE job SET state = $4, result = $5::jsonb, error = $6, claim = NULL, checkpoint = NULL, finished_at = now()
WHERE brand_id = $1 AND id = $2 AND claim = $3 AND state = 'running' RETURNING id
"""
VANISH = "DELETE FROM job WHERE brand_id = $1 AND id = $2 AND claim = $3 AND state = 'running' RETURNING id"
DELETE_PIECES = "DELETE FROM job_piece WHERE brand_id = $1 AND job_id = $2"
DELETE_LINES = "DELETE FROM job_line WHERE brand_id = $1 AND job_id = $2"
ADD_LINES = """
INSERT INTO job_line (brand_id, job_id, number, status, reason, detail, details)
SELECT $1, $2, r.* FROM jsonb_to_recordset($3::jsonb) AS r(number bigint, status text, reason text, detail text, details jsonb)
ON CONFLICT DO NOTHING
"""
DELETE_OLD = "DELETE FROM job WHERE (brand_id, id) IN (SELECT brand_id, id FROM job WHERE finished_at < $1 LIMIT $2) RETURNING brand_id, id"
DELETE_BROKEN_OFF = """
DELETE FROM job_piece p WHERE p.job_id < $1 AND NOT EXISTS (SELECT 1 FROM job j WHERE j.brand_id = p.brand_id AND j.id = p.job_id)
"""
ADD_PIECE = "INSERT INTO job_piece (brand_id, job_id, number, content) VALUES ($1, $2, $3, $4)"
PIECE = "SELECT content FROM job_piece WHERE brand_id = $1 AND job_id = $2 AND number = $3"


class JobFailed(Exception):
    """The job cannot be done; the text is the sentence that its owner reads."""


class Interrupted(Exception):
    """The job does not go on here. Never to be caught by a job."""


class Cancelled(Interrupted):
    """The owner cancelled the job. What it has done stays."""


class Stopped(Interrupted):
    """This process stops; the job goes on elsewhere or later, from its checkpoint."""


class Lost(Interrupted):
    """Another process took the job over, because this one was silent for too long."""


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job's result for one line. number: unique in the job. status: a word of the job's kind. details: flat, shown as they are."""

    number: int
    status: str
    reason: str | None = None
    detail: str | None = None
    details: Mapping[str, str | int | bool | None] = field(default_factory=dict)


Work = Callable[[asyncpg.Connection], Awaitable[Mapping[str, Any] | None]]
"""A part of a job, run in a transaction. It returns the checkpoint."""


class Run:
    """One job that this process runs.

    arguments: as they were enqueued. checkpoint: as last committed, {} at first. result: so far, asked for when the job is cancelled or fails.
    """

    def __init__(
        self, pool: asyncpg.Pool, secret: str, row: asyncpg.Record, claim: UUID, stopping: asyncio.Event
    ) -> None:
        self.pool = pool
        self.secret = secret
        self.brand_id: UUID = row["brand_id"]
        self.id: UUID = row["id"]
        self.kind: str = row["kind"]
        self.created_at = row["created_at"]
        self.arguments: dict[str, Any] = json.loads(row["arguments"])
        self.checkpoint: dict[str, Any] = json.loads(row["checkpoint"] or "{}")
        self.done: int = row["done"]
        self.result: Callable[[], Mapping[str, Any]] = dict
        self.attempts: int = row["attempts"]
        self._claim = claim
        self._stopping = stopping

    async def commit(self, work: Work | None = None, *, done: int, total: int | None = None) -> None:
        """Does a part of the job (a second at most) and stores its progress, in one transaction; then lets other tasks run.

        `work` may run again when it loses a deadlock; what it returns is the new checkpoint. Raises Cancelled or Stopped after the commit, Lost
        instead of it; what `work` raises goes through, with nothing committed.
        """

        async def part(connection: asyncpg.Connection) -> tuple[bool, Mapping[str, Any] | None]:
            reached = None if work is None else await work(connection)
            encoded = None if reached is None else json.dumps(reached)
            row = await connection.fetchrow(SAVE, self.brand_id, self.id, self._claim, done, total, encoded)
            if row is None:
                raise Lost
            return row["cancelled_at"] is not None, reached

        cancelled, reached = await in_transaction(self.pool, part)
        self.done = done
        if reached is not None:
            self.checkpoint = dict(reached)
        if cancelled:
            raise Cancelled
        if self._stopping.is_set():
            raise Stopped
        await asyncio.sleep(0)

    async def vanish(self, work: Work) -> None:
        """Does the last part of the job and deletes the job itself, in one transaction. Raises Lost instead."""

        async def part(connection: asyncpg.Connection) -> None:
            await work(connection)
            if await connection.fetchrow(VANISH, self.brand_id, self.id, self._claim) is None:
                raise Lost

        await in_transaction(self.pool, part)

    async def add_lines(self, connection: asyncpg.Connection, lines: Sequence[JobLine]) -> None:
        """Stores lines, in the transaction of `commit`."""
        rows = [
            {
                **{name: getattr(line, name) for name in ("number", "status", "reason")},
                "detail": _storable(line.detail),
                "details": {name: _storable(value) for name, value in line.details.items()},
            }
            for line in lines
        ]
        if rows:
            await connection.execute(ADD_LINES, self.brand_id, self.id, json.dumps(rows))

    async def delete_lines(self, connection: asyncpg.Connection) -> None:
        """Deletes all lines, for a job that starts again instead of from a checkpoint."""
        await connection.execute(DELETE_LINES, self.brand_id, self.id)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The uploaded file, piece by piece, each read from the database when it is needed."""
        number = 0
        while True:
            piece = await self.pool.fetchval(PIECE, self.brand_id, self.id, number)
            if piece is None:
                return
            yield bytes(piece)
            number += 1

    async def add_piece(self, connection: asyncpg.Connection, number: int, content: bytes) -> None:
        """Stores a piece of a file that the job makes, in the transaction of `commit`; for a kind that has no upload."""
        await connection.execute(ADD_PIECE, self.brand_id, self.id, number, content)

    async def keep_alive(self, every_s: float) -> None:
        """Renews `alive_at` every so many seconds, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            # While the database is away, no other process can take the job either.
            with suppress(*DRIVER_ERRORS):
                await self.pool.execute(HEARTBEAT, self.brand_id, self.id, self._claim)

    async def release(self) -> None:
        """Puts the job back into the queue."""
        await self.pool.execute(RELEASE, self.brand_id, self.id, self._claim)

    async def finish(
        self, state: str, result: Mapping[str, Any] | None, error: str | None = None, *, makes_file: bool = False
    ) -> None:
        """Ends the job and deletes its upload, but not the file it made; does nothing when another process has taken it over."""
        encoded = json.dumps(result) if result else None
        assert encoded is None or len(encoded) <= RESULT_BYTES_MAX, "a result is a summary; lines are for the rest"

        async def end(connection: asyncpg.Connection) -> None:
            finished = (state, encoded, _storable(error))
            ended = await connection.fetchrow(FINISH, self.brand_id, self.id, self._claim, *finished)
            if ended and not makes_file:
                await connection.execute(DELETE_PIECES, self.brand_id, self.id)

        await in_transaction(self.pool, end)


class Kind(NamedTuple):
    """A kind of job. run: does the job and returns its result, a small JSON object. unit: what its progress counts.

    makes_file: its pieces are no upload but a file that it makes, kept as long as the job is.
    """

    run: Callable[[Run], Awaitable[Mapping[str, Any]]]
    unit: str
    makes_file: bool = False


async def run_next(
    pool: asyncpg.Pool, settings: Settings, secret: str, kinds: Mapping[str, Kind], stopping: asyncio.Event
) -> int:
    """Takes the next job and runs it to its end, or until this process stops. Returns 1, or 0 when there is none.

    Several processes may call it at once. Raises the database's errors; the job then waits for the next call, here or elsewhere.
    """
    if stopping.is_set():
        return 0
    claim = random_ids.new_id()
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", CLAIM_LOCK)
        row = await connection.fetchrow(CLAIM, claim, timedelta(seconds=settings.job_silent_s))
    if row is None:
        return 0
    run = Run(pool, secret, row, claim, stopping)
    heartbeat = asyncio.create_task(run.keep_alive(settings.job_silent_s / HEARTBEATS))
    try:
        await _run(run, kinds)
    except Exception as error:
        if is_passing(error):
            # The job goes on later, from its checkpoint.
            with suppress(*DRIVER_ERRORS):
                await run.release()
        raise
    finally:
        heartbeat.cancel()
        await asyncio.wait([heartbeat])
    return 1


async def _run(run: Run, kinds: Mapping[str, Kind]) -> None:
    try:
        if run.attempts > ATTEMPTS_MAX:
            raise JobFailed(f"it was begun {ATTEMPTS_MAX} times and never came to an end")
        if run.kind not in kinds:
            raise JobFailed(f"this release knows no job of the kind {run.kind!r}")
        kind = kinds[run.kind]
        await run.finish("succeeded", await kind.run(run), makes_file=kind.makes_file)
    except Cancelled:
        await run.finish("cancelled", run.result())
    except Stopped:
        await run.release()
    except Lost:
        log.warning("job %s was taken up elsewhere: this process was silent for too long", run.id)
    except JobFailed as error:
        await run.finish("failed", run.result(), str(error))
    except Exception as error:
        if is_passing(error):
            raise
        log.exception("job %s failed", run.id)
        detail = "something went wrong on our side; the log has the details under the job's id"
        await run.finish("failed", run.result(), detail)


async def sweep_jobs(pool: asyncpg.Pool, settings: Settings) -> int:
    """Deletes jobs that ended more than `job_retention_days` ago, and pieces of uploads that broke off. Returns the number of jobs."""
    now = clock.now()
    before = now - timedelta(days=settings.job_retention_days)

    async def some(connection: asyncpg.Connection) -> int:
        rows = await connection.fetch(DELETE_OLD, before, SWEPT_JOBS_MAX)
        for row in rows:
            await connection.execute(DELETE_LINES, row["brand_id"], row["id"])
        return len(rows)

    total = 0
    while deleted := await in_transaction(pool, some):
        total += deleted
    await pool.execute(DELETE_BROKEN_OFF, ids.floor_at(now - BROKEN_OFF_AFTER))
    return total


def _storable(value: str | int | bool | None) -> str | int | bool | None:
    return storable(value, TEXT_CHARACTERS_MAX) if isinstance(value, str) else value
