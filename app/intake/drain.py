"""The drain, from the spool to the database: segments are claimed, recorded, and removed after the commit.

Any number of drainers may run at once, on one spool or several: each segment belongs to one of them. A line that the database refuses (a NUL, a time
without a partition) is found by halving the batch and moved to the quarantine with the reason, so that it never blocks its segment. After an error of
the database itself the segments stay for the next pass.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
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
from app.intake.clicks.misses import record_misses
from app.intake.clicks.recording import ReadClicks, read_clicks, record_clicks
from app.spool.quarantine import quarantine
from app.spool.reader import Claimed, claim, has_segments, note_pass, oldest_waiting, put_aside, sweep
from app.spool.records import ClickLine, Line, MissLine, decode, encode
from app.spool.writer import Kind

PASS_BYTES = 8 << 20
"""Bytes read into memory in one pass: about 30,000 clicks."""

AHEAD_DAYS = 31
"""Days that a click's clock may be ahead; later clicks are refused. Partitions exist for the next three months."""

ATTEMPTS_MAX = 3
"""Attempts to record one chunk: its partition may be missing, and it may lose a deadlock."""
CLAIM_MARGIN = timedelta(milliseconds=100)
"""Allowance for the time between the creation of a line's id and its write to the file."""

Recorder = Callable[[Sequence[Line]], Awaitable[object]]
Refused = list[tuple[bytes, str]]


async def drain(directory: Path, kind: Kind, record: Recorder, *, retention: timedelta | None = None) -> int:
    """One pass over at most PASS_BYTES of the spool; returns how many lines left it.

    `record` stores a batch completely or raises. Segments begun longer than `retention` ago are set aside unread: the rows that would show that a
    line was recorded before may be gone. When `drain` raises nothing is lost, and lines recorded before the error are recorded once.
    """
    segments = claim(directory, kind, bytes_max=PASS_BYTES)
    with ExitStack() as locks:
        for segment in segments:
            locks.callback(segment.release)
        if retention is not None:
            before = clock.now() - retention
            for segment in segments:
                if segment.began_at < before:
                    segment.set_aside()
            segments = [segment for segment in segments if segment.began_at >= before]
        segments, raw = _read(segments)
        lines, refused = _decode(raw)
        count = len(lines) + len(refused)
        refused += await record_or_refuse(lines, record)
        if refused:
            await asyncio.to_thread(quarantine, directory, refused)
        for segment in segments:
            segment.discard()
    note_pass(directory, kind)
    return count


async def record_or_refuse(lines: Sequence[Line], record: Recorder) -> Refused:
    """Record the lines; returns those that the database refuses, as they were in the spool, each with the reason."""
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


def _read(segments: Sequence[Claimed]) -> tuple[list[Claimed], list[bytes]]:
    """The segments that can be read, and their lines; the others are put aside."""
    readable: list[Claimed] = []
    lines: list[bytes] = []
    for segment in segments:
        try:
            lines += segment.lines()
        except OSError as error:
            put_aside(segment.path, error)
            segment.release()
        else:
            readable.append(segment)
    return readable, lines


def _decode(raw: Iterable[bytes]) -> tuple[list[Line], Refused]:
    lines: list[Line] = []
    refused: Refused = []
    for line in raw:
        try:
            lines.append(decode(line))
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            refused.append((line, f"unreadable: {error}"))
    return lines, refused


class ClickRecorder:
    """Records batches of clicks and misses over one pool; passed to `drain`."""

    def __init__(self, pool: asyncpg.Pool, *, chunk_rows: int, retention_days: int) -> None:
        self.pool = pool
        self.chunk_rows = chunk_rows
        self.retention_ms = retention_days * 86_400_000
        self.calendar = Calendar()
        self.stored = 0
        """Number of new clicks since the start."""

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
            # By brand, so that a chunk takes few statements; the sort keeps the order of time within a brand.
            clicks.sort(key=lambda line: line.brand_id)
            await self._record_chunks(connection, clicks)
            if misses:
                await record_misses(connection, misses, self.calendar)

    async def _record_chunks(self, connection: Connection, clicks: list[ClickLine]) -> None:
        """Parse the next chunk while the database records the current one."""
        recording: asyncio.Task[int] | None = None
        try:
            for start in range(0, len(clicks), self.chunk_rows):
                chunk = clicks[start : start + self.chunk_rows]
                read = read_clicks(chunk)
                self._check_times(read)
                if recording is not None:
                    self.stored += await recording
                recording = asyncio.create_task(self._record_chunk(connection, read))
                await asyncio.sleep(0)
            if recording is not None:
                self.stored += await recording
        finally:
            if recording is not None and not recording.done():
                recording.cancel()
                await asyncio.wait([recording])

    async def _record_chunk(self, connection: Connection, brands: list[ReadClicks]) -> int:
        for _ in range(ATTEMPTS_MAX - 1):
            try:
                return await record_clicks(connection, brands, self.calendar)
            except asyncpg.DeadlockDetectedError:
                continue
            except asyncpg.CheckViolationError:
                # The partition of a click is missing; its time was checked, so the partition may be created.
                times = [ms for read in brands for ms in read.times_ms]
                since, until = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (min(times), max(times)))
                await ensure_partitions(connection, since=since, until=until)
        return await record_clicks(connection, brands, self.calendar)

    def _check_times(self, brands: Sequence[ReadClicks]) -> None:
        now_ms = clock.now_ms()
        first_ms, last_ms = now_ms - self.retention_ms, now_ms + AHEAD_DAYS * 86_400_000
        for read in brands:
            if min(read.times_ms) < first_ms or max(read.times_ms) > last_ms:
                raise ValueError("its time lies beyond the retention of clicks, or ahead of the clock")


# ── Progress ─────────────────────────────────────────────────────────────────────────────────────────────

NOTE_PROGRESS = """
INSERT INTO drain_state (host, drained_until, updated_at) VALUES ($1, $2, $3)
ON CONFLICT (host) DO UPDATE SET drained_until = excluded.drained_until, updated_at = excluded.updated_at, left_at = NULL
"""
SIGN_OFF = "UPDATE drain_state SET left_at = $2 WHERE host = $1"


def spool_name(directory: Path) -> str:
    """A name for this spool that is stored on its volume: a container's host name changes at every start and would leave old rows behind."""
    path = directory / "name"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        directory.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"name-{random_ids.new_id()}")
        fresh.write_text(f"{socket.gethostname()}-{random_ids.random_number():010x}\n")
        fresh.rename(path)
        return path.read_text().strip()


def drained_until(directory: Path, now: datetime) -> datetime:
    """The time of the oldest line that is not drained, or a moment ago."""
    waiting = oldest_waiting(directory)
    return now - CLAIM_MARGIN if waiting is None else min(waiting, now)


async def note_progress(pool: asyncpg.Pool, directory: Path) -> datetime:
    """Store in `drain_state` the time up to which this host's lines are in the database, and return it. Lines in open segments count as not drained."""
    now = clock.now()
    sweep(directory)
    until = drained_until(directory, now)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL synchronous_commit = off")  # renewed every second
        await connection.execute(NOTE_PROGRESS, spool_name(directory), until, now)
    return until


async def sign_off(pool: asyncpg.Pool, directory: Path) -> bool:
    """Note that this host has stopped, so that it holds back no report; True when its spool is empty, else nothing is noted.

    Call it after `note_progress`. A door that is still open has a segment, so a host whose web workers go on does not sign off.
    """
    if has_segments(directory):
        return False
    await pool.execute(SIGN_OFF, spool_name(directory), clock.now())
    return True
