"""The append-only log between the doors and the background process, and who writes it. Who reads it: segments.py; what its lines say: lines.py.

A line is written whole or not at all, and holds no newline.

    <data>/spool/clicks-<id>.seg, orders-<id>.seg    segments: one a process and kind being written, the rest waiting to be drained
    <data>/spool/quarantine/                         lines and segments that cannot be recorded, with their reason

What holds (tests/spool/test_spool.py and tests/faults prove it):
- a segment belongs to whoever holds its flock; the kernel frees it at death, so any process adopts orphans without recovery code. It is
  created under a hidden name, locked, and only then renamed: a visible segment that can be locked has no living writer;
- descriptors are close-on-exec, or a child would keep the lock. (fork without exec keeps it all the same: never fork a writer);
- its writer hands a segment over by closing it, once its bytes are on the disk: when the previous one has been unlinked, so that an outage
  does not make five files a second, or when it has reached its size;
- where somebody waits for the disk, lines are written over NULs that are there already (the runway). Flushing a file that has grown waits for
  the file system's journal, and so for whatever else anybody has in there: p99 4.4 ms against 0.8. What follows the last newline is no line;
- a segment is removed by its reader only, after the commit, or put by to be written again (spares.py).
"""

import asyncio
import errno
import fcntl
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Literal

from app import clock, random_ids
from app.errors import Unavailable
from app.spool import recycling
from app.spool.flusher import Flusher, sync, sync_directory

Kind = Literal["clicks", "orders"]
CLICKS_SHARE = 0.8
"""Part of the cap at which clicks stop, so that orders, in segments of their own, still fit."""

HANDOVER_EVERY_S = 0.2
MEASURE_EVERY_S = 1.0
RETRY_EVERY_S = 0.2
PROBE_BYTES = 4_096
RUNWAY_MIN_BYTES = 64 << 10
"""Of NULs written ahead. It grows with what is written between two handovers, up to a whole segment."""
RUNWAY_SHARE = 0.05
"""Part of what the directory may still hold that a runway may take up."""
SHORT_WRITE = "short write: the disk is full"
SUFFIX = ".seg"
QUARANTINE = "quarantine"


class SpoolFull(Unavailable):
    """The line could not be recorded: cap reached, disk full, or directory not writable. Nothing of it is in the file."""

    code = "spool_full"


class _Segment:
    __slots__ = ("descriptor", "dirty", "path", "runway_bytes", "size_bytes")

    def __init__(self, path: Path, descriptor: int, runway_bytes: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.size_bytes = 0
        # How far the file is filled with NULs: the lines end before it, or have gone past it.
        self.runway_bytes = runway_bytes
        self.dirty = False


class Spool:
    """One process's writer of one kind of line. Needs a running event loop from the first `append` on; not for several threads.

    sync: `interval` flushes every `sync_ms` by itself; with `always` (and for orders) the door awaits `synced()` before it answers.
    cap_bytes: of the whole directory, all processes and kinds together, measured once a second: several writers may pass it by what they
    write within that second. Never raises on construction: a directory that cannot be written shows in `writable` and in `append`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        kind: Kind,
        sync: Literal["interval", "always"] = "interval",
        sync_ms: int = 100,
        segment_bytes: int = 4 << 20,
        cap_bytes: int = 4 << 30,
    ) -> None:
        self.directory = directory
        self.kind = kind
        self.sync = sync
        self.bytes_total = 0
        self.segments = 0
        self._sync_s = sync_ms / 1000
        self._segment_bytes = segment_bytes
        self._limit_bytes = int(cap_bytes * CLICKS_SHARE) if kind == "clicks" else cap_bytes
        self._room_bytes = 0
        self._segment: _Segment | None = None
        self._previous: Path | None = None
        # The next segment, made and flushed ahead, so that nobody who waits for the disk waits for that.
        self._spare: _Segment | None = None
        self._preparing: asyncio.Future[_Segment] | None = None
        self._awaited = kind == "orders" or sync == "always"
        self._runway_bytes = RUNWAY_MIN_BYTES
        # Handed over at the next flush. Still locked: whoever awaits `synced()` may have written there.
        self._retired: list[_Segment] = []
        self._directory_dirty = False
        self._refused = self._create_error = ""
        self._measured_at_s = self._probe_at_s = self._create_at_s = self._prepare_at_s = -MEASURE_EVERY_S
        self._flusher = Flusher(f"spool-{kind}-flush")
        # For what may take its time.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"spool-{kind}")
        self._waiters: list[asyncio.Future[None]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False
        try:
            self._measure()
        except OSError as error:
            self._refused = str(error)
        else:
            self._hand_over()
            self._refused = self._create_error

    def append(self, line: bytes) -> None:
        """Write one line (without its newline), wholly or not at all. Raises SpoolFull.

        On return the kernel has the line: it survives a crash of this process, not yet a power failure (see `synced`).
        """
        record = line + b"\n"
        segment = self._segment
        if (
            segment is None
            or segment.size_bytes >= self._segment_bytes
            or len(record) > self._room_bytes
            or (self._spare is not None and segment.size_bytes + len(record) > segment.runway_bytes)
        ):
            segment = self._make_room(len(record))
        try:
            written = os.pwrite(segment.descriptor, record, segment.size_bytes)
        except OSError as error:
            raise self._refusal(str(error)) from None
        if written != len(record):
            self._take_back(segment)
            raise self._refusal(SHORT_WRITE)
        segment.size_bytes += written
        self._room_bytes -= written
        self._refused = ""
        if not segment.dirty:
            segment.dirty = True
            if self._keeper is None:
                self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def synced(self) -> None:
        """Return once everything appended before this call is on the disk. Calls at the same time share one fdatasync.

        Raises SpoolFull when the disk refused; the lines may then still be drained.
        """
        if self._flushing is None and not self._is_dirty():
            return
        loop = asyncio.get_running_loop()
        # One for each: a cancelled request must not cancel the wait of the others, and a shield costs more than a future.
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.append(waiter)
        if self._flushing is None:
            self._flushing = loop.create_task(self._flush())
        await waiter

    async def close(self) -> None:
        """Flush, hand the last segment over, and leave no empty one behind."""
        if self._closed:
            return
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        if self._preparing is not None:
            await asyncio.wait([self._preparing])
        self._retired += [each for each in (self._segment, self._spare) if each is not None]
        self._segment = self._spare = None
        try:
            await self.synced()
        except SpoolFull:
            pass
        finally:
            self._close_retired(self._retired)
            self._retired.clear()
            self._flusher.close()
            self._thread.shutdown(wait=False)

    @property
    def writable(self) -> bool:
        """Whether the last attempt to write succeeded. After a refusal it tries again itself, at most every 200 ms: an instance that is
        not ready gets no requests, and nobody else would find out that the disk has room again.
        """
        if self._refused and not self._closed and clock.monotonic_s() >= self._probe_at_s:
            try:
                self._probe()
            except SpoolFull:
                return False
        return not self._refused

    def _probe(self) -> None:
        """Write a page of empty lines and take it back. A single byte may still fit where no click does. Raises SpoolFull."""
        segment = self._make_room(PROBE_BYTES)
        try:
            # Where the file would have to grow.
            written = os.pwrite(segment.descriptor, b"\n" * PROBE_BYTES, max(segment.size_bytes, segment.runway_bytes))
        except OSError as error:
            raise self._refusal(str(error)) from None
        self._take_back(segment)
        if written != PROBE_BYTES:
            raise self._refusal(SHORT_WRITE)
        self._refused = ""

    def _is_dirty(self) -> bool:
        return bool(self._retired) or self._directory_dirty or (self._segment is not None and self._segment.dirty)

    def _refusal(self, reason: str) -> SpoolFull:
        now_s = clock.monotonic_s()
        if now_s >= self._probe_at_s:
            with suppress(OSError):
                recycling.remove(self.directory)
            self._probe_at_s = now_s + RETRY_EVERY_S
        self._refused = reason
        return SpoolFull(f"the spool cannot be written: {reason}")

    def _make_room(self, record_bytes: int) -> _Segment:
        """A segment that may take so many bytes more. Raises SpoolFull."""
        if self._closed:
            raise self._refusal("it is closed")
        if record_bytes > self._room_bytes:
            if clock.monotonic_s() >= self._measured_at_s + MEASURE_EVERY_S:
                try:
                    self._measure()
                except OSError as error:
                    raise self._refusal(str(error)) from None
            if record_bytes > self._room_bytes:
                raise self._refusal(f"{self.bytes_total} bytes wait to be drained, the limit is {self._limit_bytes}")
        if self._segment is None or self._segment.size_bytes >= self._segment_bytes or self._fits_spare(record_bytes):
            self._hand_over()
        if self._segment is None:
            raise self._refusal(self._create_error)
        return self._segment

    def _fits_spare(self, record_bytes: int) -> bool:
        """Whether a record that would go past the present runway has one ready that it fits on."""
        segment, spare = self._segment, self._spare
        if segment is None or spare is None or segment.size_bytes + record_bytes <= segment.runway_bytes:
            return False
        return record_bytes <= spare.runway_bytes

    def _take_back(self, segment: _Segment) -> None:
        """Undo a short write. If that fails too, the torn line stays the last one of its segment, where readers ignore it."""
        try:
            os.ftruncate(segment.descriptor, segment.size_bytes)
            segment.runway_bytes = min(segment.runway_bytes, segment.size_bytes)
        except OSError:
            self._retired.append(segment)
            self._segment = None

    def _hidden(self) -> Path:
        return self.directory / f".{self.kind}-{random_ids.new_id()}{SUFFIX}"

    def _create(self) -> _Segment:
        hidden = self._hidden()
        descriptor = _begin(hidden)
        try:
            return self._publish(hidden, descriptor, 0)
        except OSError:
            os.close(descriptor)
            raise

    def _publish(self, hidden: Path, descriptor: int, runway_bytes: int) -> _Segment:
        path = hidden.with_name(hidden.name[1:])
        hidden.rename(path)
        return _Segment(path, descriptor, runway_bytes)

    def _prepare(self, runway_bytes: int) -> _Segment:
        """Runs in a thread: a segment with its runway, on the disk, its name too. Raises OSError, and leaves nothing behind then."""
        hidden = self._hidden()
        descriptor = recycling.take(self.directory, self.kind, hidden)
        if descriptor is None:
            descriptor = _begin(hidden)
        try:
            # Before a byte of a spare changes: under its old name half of its old lines could come back after a power failure.
            sync_directory(self.directory)
            size_bytes = os.fstat(descriptor).st_size
            if runway_bytes <= size_bytes <= 2 * runway_bytes:
                runway_bytes = size_bytes
            elif size_bytes:
                os.ftruncate(descriptor, runway_bytes)
            # Piece by piece: what others flush meanwhile waits for one at most. Of a spare only where lines stood.
            for start in range(0, runway_bytes, RUNWAY_MIN_BYTES):
                nuls = bytes(min(RUNWAY_MIN_BYTES, runway_bytes - start))
                if os.pread(descriptor, len(nuls), start) == nuls:
                    continue
                if os.pwrite(descriptor, nuls, start) != len(nuls):
                    raise OSError(errno.ENOSPC, SHORT_WRITE)
                sync([descriptor])
            segment = self._publish(hidden, descriptor, runway_bytes)
            sync_directory(self.directory)
        except OSError:
            for path in (hidden, hidden.with_name(hidden.name[1:])):
                path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        return segment

    def _hand_over(self) -> None:
        """Begin a new segment and retire the present one; while none can be made, go on with the present one."""
        if self._spare is not None:
            fresh, self._spare = self._spare, None
        elif clock.monotonic_s() < self._create_at_s:
            return
        else:
            try:
                fresh = self._create()
            except OSError as error:
                self._create_error = str(error)
                self._create_at_s = clock.monotonic_s() + RETRY_EVERY_S
                return
            self._directory_dirty = True
        if self._segment is not None:
            self._retired.append(self._segment)
            self._previous = self._segment.path
            self._runway_bytes = max(RUNWAY_MIN_BYTES, min(self._segment.size_bytes * 2, self._segment_bytes))
        self._segment = fresh

    def _measure(self) -> None:
        """Count what the directory holds, and with it how much this writer may still write. Raises OSError."""
        self._measured_at_s = clock.monotonic_s()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.bytes_total, self.segments = measure(self.directory)
        self._room_bytes = self._limit_bytes - self.bytes_total

    async def _keep(self) -> None:
        """Flush, measure and hand over for as long as this writer has anything on hand; an idle spool costs nothing."""
        loop = asyncio.get_running_loop()
        handover_at_s = clock.monotonic_s() + HANDOVER_EVERY_S
        while self._is_dirty() or (self._segment is not None and self._segment.size_bytes):
            self._prepare_spare()
            await asyncio.sleep(self._sync_s)
            try:
                await self.synced()
                if clock.monotonic_s() >= self._measured_at_s + MEASURE_EVERY_S:
                    before = self._room_bytes
                    self._measured_at_s = clock.monotonic_s()
                    self.bytes_total, self.segments = await loop.run_in_executor(self._thread, measure, self.directory)
                    written = before - self._room_bytes
                    self._room_bytes = self._limit_bytes - self.bytes_total - written
                if clock.monotonic_s() >= handover_at_s:
                    handover_at_s = clock.monotonic_s() + HANDOVER_EVERY_S
                    await self._offer()
            except (SpoolFull, OSError):
                continue  # the disk is ill; doors are told by `append` and `synced`
        self._keeper = None

    def _prepare_spare(self) -> None:
        """Have the next segment made in a thread, where somebody waits for the disk; again a second later when it could not be."""
        if not self._awaited or self._spare is not None or self._preparing is not None:
            return
        runway_bytes = min(self._runway_bytes, int(self._room_bytes * RUNWAY_SHARE))
        if runway_bytes < RUNWAY_MIN_BYTES or clock.monotonic_s() < self._prepare_at_s:
            return
        self._prepare_at_s = clock.monotonic_s() + self._sync_s

        def prepared(made: asyncio.Future[_Segment]) -> None:
            self._preparing = None
            if made.exception() is None:
                self._spare = made.result()
            else:
                self._prepare_at_s = clock.monotonic_s() + MEASURE_EVERY_S

        loop = asyncio.get_running_loop()
        self._preparing = loop.run_in_executor(self._thread, self._prepare, runway_bytes)
        self._preparing.add_done_callback(prepared)

    async def _offer(self) -> None:
        """Hand the present segment over if the drain has taken the one before."""
        segment = self._segment
        if segment is None or not segment.size_bytes:
            return
        if self._previous is None or not self._previous.exists():
            self._hand_over()
            await self.synced()

    async def _flush(self) -> None:
        while waiters := self._waiters:
            self._waiters = []
            retired, self._retired = self._retired, []
            dirty = [segment for segment in (*retired, self._segment) if segment is not None and segment.dirty]
            for segment in dirty:
                segment.dirty = False
            directory = self.directory if self._directory_dirty else None
            self._directory_dirty = False
            descriptors = [segment.descriptor for segment in dirty]
            try:
                await self._flusher.sync(descriptors, directory)
            except OSError as error:
                # What the kernel could not write it may forget, and report success the next time: never write on there.
                if self._segment in dirty:
                    self._previous, self._segment = None, None
                    retired += [segment for segment in dirty if segment not in retired]
                self._close_retired(retired)
                refusal = self._refusal(str(error))
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_exception(refusal)
            else:
                self._close_retired(retired)
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_result(None)
        self._flushing = None

    def _close_retired(self, retired: Sequence[_Segment]) -> None:
        for segment in retired:
            if not segment.size_bytes:
                segment.path.unlink(missing_ok=True)
            os.close(segment.descriptor)


def _begin(hidden: Path) -> int:
    """A new file under this name, locked. Raises OSError."""
    descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def measure(directory: Path) -> tuple[int, int]:
    """Bytes in the directory, quarantine included and spares not, and the number of segments. Raises OSError when it cannot be read."""
    bytes_total = segments = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                if entry.name == QUARANTINE:
                    bytes_total += measure(Path(entry.path))[0]
                elif entry.is_file() and not entry.name.endswith(recycling.SUFFIX):
                    bytes_total += entry.stat().st_size
                    segments += entry.name.endswith(SUFFIX)
            except FileNotFoundError:  # drained meanwhile
                continue
    return bytes_total, segments
