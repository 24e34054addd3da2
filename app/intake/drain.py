"""From the spool to the database: segments are claimed, recorded, and removed after the commit.

Any number of drainers may run at once, on one spool or many: a segment belongs to one of them. Whatever a database refuses about a line
(a NUL, a time without a month) is found by halving the batch, and the line set aside with the reason: it never blocks its segment. What
is wrong with the database itself leaves the segments where they are, for the next pass.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import msgspec

from app import clock, random_ids
from app.database.errors import DATA_ERRORS
from app.database.partitions import ensure_partitions
from app.database.transactions import Connection
from app.intake.clicks.calendar import Calendar
from app.intake.clicks.recording import ReadClicks, read_clicks, record_clicks, record_misses
from app.spool.quarantine import quarantine
from app.spool.reader import Claimed, claim, oldest_waiting, sweep
from app.spool.records import ClickLine, Line, MissLine, decode, encode
from app.spool.writer import Kind

PASS_BYTES = 8 << 20
"""Read into memory at a time: about 30,000 clicks."""

AHEAD_DAYS = 31
"""A click from a clock that runs further ahead than this is refused; months exist for the next three."""

ATTEMPTS_MAX = 3
"""Of recording one chunk: it may lack its month, and lose a deadlock."""
CLAIM_MARGIN = timedelta(milliseconds=100)
"""A line gets its id a moment before it is in the file."""

Recorder = Callable[[Sequence[Line]], Awaitable[None]]
Refused = list[tuple[bytes, str]]


async def drain(directory: Path, kind: Kind, record: Recorder, *, retention: timedelta | None = None) -> int:
    """One pass over what is there now, at most 8 MiB: how many lines left the spool; 0 when there was nothing.

    `record` stores a batch wholly or raises. Segments begun longer than `retention` ago are set aside unread: the rows that would show a
    line as recorded before may be gone. When it raises, nothing is lost: what was recorded already is recorded once all the same.
    """
    segments = claim(directory, kind, bytes_max=PASS_BYTES)
    with ExitStack() as locks:
        for segment in segments:
            locks.callback(segment.release)
        if retention is not None:
            segments = _set_aside_old(segments, clock.now() - retention)
        lines, refused = _decode(line for segment in segments for line in segment.lines())
        count = len(lines) + len(refused)
        refused += await record_or_refuse(lines, record)
        if refused:
            await asyncio.to_thread(quarantine, directory, refused)
        for segment in segments:
            segment.discard()
    return count


async def record_or_refuse(lines: Sequence[Line], record: Recorder) -> Refused:
    """Record all lines but those that are refused for what they are; returns these as they stood in the spool, each with the reason."""
    if not lines:
        return []
    try:
        await record(lines)
    except DATA_ERRORS as error:
        if len(lines) == 1:
            return [(encode(lines[0]), f"{type(error).__name__}: {error}")]
        middle = len(lines) // 2
        return await record_or_refuse(lines[:middle], record) + await record_or_refuse(lines[middle:], record)
    return []


def _decode(raw: Iterator[bytes]) -> tuple[list[Line], Refused]:
    lines: list[Line] = []
    refused: Refused = []
    for line in raw:
        try:
            lines.append(decode(line))
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            refused.append((line, f"unreadable: {error}"))
    return lines, refused


def _set_aside_old(segments: list[Claimed], before: datetime) -> list[Claimed]:
    for segment in segments:
        if segment.began_at < before:
            segment.set_aside()
    return [segment for segment in segments if segment.began_at >= before]


class ClickRecorder:
    """Records batches of clicks and misses over one pool; give it to `drain`."""

    def __init__(self, pool: asyncpg.Pool, *, chunk_rows: int, retention_days: int) -> None:
        self.pool = pool
        self.chunk_rows = chunk_rows
        self.retention_ms = retention_days * 86_400_000
        self.calendar = Calendar()
        self.stored = 0
        """Clicks that were new, since the start."""

    async def __call__(self, lines: Sequence[Line]) -> None:
        clicks: list[ClickLine] = []
        misses: list[MissLine] = []
        for line in lines:
            if isinstance(line, ClickLine):
                clicks.append(line)
            elif isinstance(line, MissLine):
                misses.append(line)
            else:
                raise ValueError("a line that belongs among the orders")
        async with self.pool.acquire() as connection:
            # By brand first, so that a chunk is few statements; in the order of time within it.
            clicks.sort(key=lambda line: line.brand_id)
            await self._record_chunks(connection, clicks)
            if misses:
                await record_misses(connection, misses, self.calendar)

    async def _record_chunks(self, connection: Connection, clicks: list[ClickLine]) -> None:
        """Reads the next chunk while the database works on the present one."""
        under_way: asyncio.Task[int] | None = None
        try:
            for start in range(0, len(clicks), self.chunk_rows):
                chunk = clicks[start : start + self.chunk_rows]
                read = read_clicks(chunk)
                self._check_times(read)
                if under_way is not None:
                    self.stored += await under_way
                under_way = asyncio.create_task(self._record_chunk(connection, read))
                await asyncio.sleep(0)
            if under_way is not None:
                self.stored += await under_way
        finally:
            if under_way is not None and not under_way.done():
                under_way.cancel()
                await asyncio.wait([under_way])

    async def _record_chunk(self, connection: Connection, brands: list[ReadClicks]) -> int:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return await record_clicks(connection, brands, self.calendar)
            except asyncpg.DeadlockDetectedError:
                if attempt == ATTEMPTS_MAX:
                    raise
            except asyncpg.CheckViolationError:
                # No month for one of them. Its time was checked, so the month may be made.
                if attempt == ATTEMPTS_MAX:
                    raise
                times = [ms for read in brands for ms in read.times_ms]
                since, until = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (min(times), max(times)))
                await ensure_partitions(connection, since=since, until=until)
        raise AssertionError("unreachable")

    def _check_times(self, brands: Sequence[ReadClicks]) -> None:
        now_ms = clock.now_ms()
        first_ms, last_ms = now_ms - self.retention_ms, now_ms + AHEAD_DAYS * 86_400_000
        for read in brands:
            if min(read.times_ms) < first_ms or max(read.times_ms) > last_ms:
                raise ValueError("its time lies beyond the retention of clicks, or ahead of the clock")


# ── How far this host is ─────────────────────────────────────────────────────────────────────────────────────────────

NOTE_PROGRESS = """
INSERT INTO drain_state (host, drained_until, updated_at) VALUES ($1, $2, $3)
ON CONFLICT (host) DO UPDATE SET drained_until = excluded.drained_until, updated_at = excluded.updated_at
"""


def spool_name(directory: Path) -> str:
    """A name for this spool that stays with its volume: a container gets a new host name every time, and must not leave old ones behind."""
    path = directory / "name"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        directory.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"name-{random_ids.new_id()}")
        fresh.write_text(f"{socket.gethostname()}-{random_ids.random_number():010x}\n")
        fresh.rename(path)
        return path.read_text().strip()


async def note_progress(pool: asyncpg.Pool, directory: Path) -> datetime:
    """Say in `drain_state` until when everything this host recorded is in the database, and return that moment.

    Lines that are still being written count as not drained.
    """
    now = clock.now()
    sweep(directory)
    waiting = oldest_waiting(directory)
    until = now - CLAIM_MARGIN if waiting is None else min(waiting, now)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL synchronous_commit = off")  # a figure that is renewed every second
        await connection.execute(NOTE_PROGRESS, spool_name(directory), until, now)
    return until
