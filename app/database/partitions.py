"""Monthly partitions of `click`, created ahead so that no drain meets an id without one.

`CREATE … PARTITION OF` waits for every open drain and blocks everybody else meanwhile; `CREATE TABLE LIKE` and `ATTACH` do not, as long as there
is no DEFAULT partition. They may still meet a lock (of a backup, or of vacuum during a long report), so they wait briefly and try again.
"""

import asyncio
from datetime import UTC, datetime

import asyncpg

from app import clock
from app.database.transactions import Connection
from app.domain.ids import floor_at

MONTHS_BACK = 1
"""Months before the present one that are kept ready, for a spool that waited out an outage. The drain itself makes older ones."""
MONTHS_AHEAD = 3
LOCK_TIMEOUT_MS = 2_000
ATTEMPTS = 5
ADVISORY_LOCK = 0x6172_0001


def month_start(at: datetime) -> datetime:
    """The first moment (UTC) of the month of `at`."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def month_after(start: datetime, months: int = 1) -> datetime:
    """The start of the month `months` later (earlier when negative)."""
    number = start.year * 12 + start.month - 1 + months
    return start.replace(year=number // 12, month=number % 12 + 1)


async def ensure_partitions(
    connection: Connection, *, since: datetime | None = None, until: datetime | None = None
) -> list[str]:
    """Create the months from that of `since` to that of `until` that are missing; by default last month to three months ahead.

    Returns the names of those created, oldest first. Safe to run from several processes at once. Raises asyncpg's LockNotAvailableError
    when the lock cannot be had in five attempts of 2 s.
    """
    now = month_start(clock.now())
    start = month_start(since) if since else month_after(now, -MONTHS_BACK)
    last = month_start(until) if until else month_after(now, MONTHS_AHEAD)
    created = []
    while start <= last:
        if await _ensure_month(connection, start):
            created.append(_name(start))
        start = month_after(start)
    return created


MONTHS = """
SELECT c.relname, i.inhdetachpending FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'click'::regclass ORDER BY c.relname
"""
IS_ATTACHED = (
    "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'click'::regclass AND inhrelid = to_regclass($1))"
)


async def drop_partitions(connection: Connection, *, before: datetime) -> list[str]:
    """Drop the months that ended before this moment, with the clicks in them; returns their names, oldest first.

    The connection must not be in a transaction. A month whose lock cannot be had is left for the next time.
    """
    dropped = []
    for name, is_interrupted in await connection.fetch(MONTHS):
        year, month = name.removeprefix("click_").split("_")
        if month_after(datetime(int(year), int(month), 1, tzinfo=UTC)) > before:
            break
        await connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
        try:
            # CONCURRENTLY, or every drain waits for the longest report. A detach that was interrupted is finalised first.
            mode = "FINALIZE" if is_interrupted else "CONCURRENTLY"
            await connection.execute(f"ALTER TABLE click DETACH PARTITION {name} {mode}")
            await connection.execute(f"DROP TABLE {name}")
            dropped.append(name)
        except asyncpg.LockNotAvailableError:
            break
        finally:
            await connection.execute("RESET lock_timeout")
    return dropped


async def _ensure_month(connection: Connection, start: datetime) -> bool:
    name = _name(start)
    if await connection.fetchval(IS_ATTACHED, name):
        return False
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
                await connection.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK)
                if await connection.fetchval(IS_ATTACHED, name):
                    return False
                lower, upper = (floor_at(at) for at in (start, month_after(start)))
                # The names are made of digits only. INDEXES: the key is built here, on the empty table, not under the parent's lock.
                await connection.execute(f"CREATE TABLE {name} (LIKE click INCLUDING ALL)")
                await connection.execute(
                    f"ALTER TABLE click ATTACH PARTITION {name} FOR VALUES FROM ('{lower}') TO ('{upper}')"
                )
                return True
        except asyncpg.LockNotAvailableError:
            if attempt == ATTEMPTS:
                raise
            await asyncio.sleep(0.2 * attempt)
    raise AssertionError("unreachable")


def _name(start: datetime) -> str:
    return f"click_{start:%Y_%m}"
