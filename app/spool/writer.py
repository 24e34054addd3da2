"""The append-only log between the doors and the background process: its writer. README.md beside this file states what holds and why."""

import asyncio
import errno
import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app import clock, random_ids
from app.errors import Unavailable
from app.spool import recycling
from app.spool.flusher import Flusher, resolve, sync, sync_directory

Kind = Literal["clicks", "orders"]
KINDS: tuple[Kind, ...] = ("orders", "clicks")
CLICKS_SHARE = 0.8
"""Share of the cap at which clicks stop being recorded, so that orders still fit."""

HANDOVER_EVERY_S = 0.2
MEASURE_EVERY_S = 1.0
RETRY_EVERY_S = 0.2
PROBE_BYTES = 4_096
PREALLOCATED_MIN_BYTES = 64 << 10
"""Smallest preallocation, in NUL bytes. It grows with what is written between two handovers, up to a whole segment."""
PREALLOCATED_SHARE = 0.05
"""Share of the remaining cap used for preallocation; 0 switches it, and with it recycling, off (docs/performance.md)."""
SHORT_WRITE = "short write: the disk is full"
SUFFIX = ".seg"
QUARANTINE = "quarantine"


class SpoolFull(Unavailable, code="spool_full"):
    """The line could not be recorded: cap reached, disk full, or directory not writable. No part of it is in the file."""


@dataclass(slots=True, eq=False)
class _Segment:
    path: Path
    descriptor: int
    # End of the NULs that the file was filled with; the lines may have gone past it.
    preallocated_bytes: int
    size_bytes: int = 0
    dirty: bool = False


class Spool:
    """One process's writer of one kind of line. Needs a running event loop from the first `append` on; not thread-safe.

    sync: `interval` flushes every `sync_ms`; with `always` (and for orders) the door awaits `synced()` before it answers.
    cap_bytes: for the whole directory, all processes and kinds, measured once a second: several writers may exceed it by what they write
    within that second. Construction never raises: a directory that cannot be written shows in `writable` and in `append`.
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
        self._half_bytes = cap_bytes // 2
        self._room_bytes = 0
        self._segment: _Segment | None = None
        self._previous: Path | None = None
        # The next segment, preallocated and flushed ahead, so that no request waits for that.
        self._next: _Segment | None = None
        self._preallocating: asyncio.Future[_Segment] | None = None
        self._preallocates = kind == "orders" or sync == "always"
        self._preallocated_bytes = PREALLOCATED_MIN_BYTES
        # Closed after the next flush. Still locked, because callers of `synced()` may have written there.
        self._retired: list[_Segment] = []
        self._directory_dirty = False
        self._refused = self._create_error = ""
        self._measured_at_s = self._probe_at_s = self._create_at_s = self._preallocate_at_s = -MEASURE_EVERY_S
        self._flusher = Flusher(f"spool-{kind}-flush")
        self._waiters: list[asyncio.Future[None]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._maintenance: asyncio.Task[None] | None = None
        self._closed = False
        try:
            self._measure()
        except OSError as error:
            self._refused = str(error)
        else:
            self._hand_over()
            self._refused = self._create_error

    @property
    def is_half_full(self) -> bool:
        """Whether all that waits, of all processes and kinds, takes half of the cap or more; measured once a second while lines come in."""
        return self.bytes_total >= self._half_bytes

    def append(self, line: bytes) -> None:
        """Write one line (without its newline) completely, or raise SpoolFull and write nothing.

        On return the kernel has the line: it survives a crash of this process, but a power failure only after `synced`.
        """
        record = line + b"\n"
        segment = self._segment
        if (
            segment is None
            or segment.size_bytes >= self._segment_bytes
            or len(record) > self._room_bytes
            or (self._next is not None and segment.size_bytes + len(record) > segment.preallocated_bytes)
        ):
            segment = self._make_room(len(record))
        try:
            written = os.pwrite(segment.descriptor, record, segment.size_bytes)
        except OSError as error:
            raise self._refusal(str(error)) from None
        if written != len(record):
            self._undo(segment)
            raise self._refusal(SHORT_WRITE)
        segment.size_bytes += written
        self._room_bytes -= written
        self._refused = ""
        if not segment.dirty:
            segment.dirty = True
            if self._maintenance is None:
                self._maintenance = asyncio.get_running_loop().create_task(self._maintain())

    async def synced(self) -> None:
        """Return once everything appended before this call is on the disk. Concurrent calls share one fdatasync.

        Raises SpoolFull when the flush failed; the lines may still be drained.
        """
        if self._flushing is None and not self._is_dirty():
            return
        loop = asyncio.get_running_loop()
        # One future per caller: a cancelled request must not cancel the others' wait, and a shield costs more than a future.
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.append(waiter)
        if self._flushing is None:
            self._flushing = loop.create_task(self._flush())
        await waiter

    async def close(self) -> None:
        """Flush, hand over the last segment, and remove empty ones."""
        if self._closed:
            return
        self._closed = True
        if self._maintenance is not None:
            self._maintenance.cancel()
            await asyncio.wait([self._maintenance])
        if self._preallocating is not None:
            await asyncio.wait([self._preallocating])
        self._retired += [each for each in (self._segment, self._next) if each is not None]
        self._segment = self._next = None
        try:
            with suppress(SpoolFull):
                await self.synced()
        finally:
            self._close_retired(self._retired)
            self._retired.clear()
            self._flusher.close()

    @property
    def writable(self) -> bool:
        """Whether the last write succeeded. After a failure this property retries, at most every 200 ms: an instance that is not ready gets
        no requests, so nothing else would notice that the disk has room again.
        """
        if self._refused and not self._closed and clock.monotonic_s() >= self._probe_at_s:
            with suppress(SpoolFull):
                self._probe()
        return not self._refused

    def _probe(self) -> None:
        """Write a page of empty lines and undo it: a single byte may fit where no click does. Raises SpoolFull."""
        segment = self._make_room(PROBE_BYTES)
        try:
            # At the end of the file, where it has to grow.
            written = os.pwrite(
                segment.descriptor, b"\n" * PROBE_BYTES, max(segment.size_bytes, segment.preallocated_bytes)
            )
        except OSError as error:
            raise self._refusal(str(error)) from None
        self._undo(segment)
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
        """The segment to write this many bytes to. Raises SpoolFull."""
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
        segment, fresh = self._segment, self._next
        if (
            segment is None
            or segment.size_bytes >= self._segment_bytes
            # It exceeds what is left of the current segment's preallocation and fits into the next segment's.
            or (fresh and segment.preallocated_bytes - segment.size_bytes < record_bytes <= fresh.preallocated_bytes)
        ):
            self._hand_over()
        if self._segment is None:
            raise self._refusal(self._create_error)
        return self._segment

    def _undo(self, segment: _Segment) -> None:
        """Undo a short write. If that fails, the torn line stays the last of its segment, where readers ignore it."""
        try:
            os.ftruncate(segment.descriptor, segment.size_bytes)
            segment.preallocated_bytes = min(segment.preallocated_bytes, segment.size_bytes)
        except OSError:
            self._retired.append(segment)
            self._segment = None

    def _create(self, preallocated_bytes: int = 0) -> _Segment:
        """A segment, locked before it gets a visible name. On OSError it leaves nothing behind.

        With preallocated_bytes it is filled with NULs and on the disk together with its name: run that in a thread.
        """
        hidden = self.directory / f".{self.kind}-{random_ids.new_id()}{SUFFIX}"
        path = hidden.with_name(hidden.name[1:])
        descriptor = recycling.take(self.directory, self.kind, hidden) if preallocated_bytes else None
        if descriptor is None:
            descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if preallocated_bytes:
                preallocated_bytes = self._fill(descriptor, preallocated_bytes)
            hidden.rename(path)
            if preallocated_bytes:
                sync_directory(self.directory)
        except OSError:
            os.close(descriptor)
            hidden.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
        return _Segment(path, descriptor, preallocated_bytes)

    def _fill(self, descriptor: int, size_bytes: int) -> int:
        """Overwrite a new or recycled file with NULs, on the disk on return. Returns its size, which may be up to twice what was asked for."""
        # Before a recycled segment is overwritten: after a power failure, part of its old lines could reappear under its old name.
        sync_directory(self.directory)
        old_bytes = os.fstat(descriptor).st_size
        if size_bytes <= old_bytes <= 2 * size_bytes:
            size_bytes = old_bytes
        elif old_bytes:
            os.ftruncate(descriptor, size_bytes)
        # In pieces, so that a concurrent flush waits for one piece at most. In a recycled segment only where lines were.
        for start in range(0, size_bytes, PREALLOCATED_MIN_BYTES):
            nuls = bytes(min(PREALLOCATED_MIN_BYTES, size_bytes - start))
            if os.pread(descriptor, len(nuls), start) == nuls:
                continue
            if os.pwrite(descriptor, nuls, start) != len(nuls):
                raise OSError(errno.ENOSPC, SHORT_WRITE)
            sync([descriptor])
        return size_bytes

    def _hand_over(self) -> None:
        """Begin a new segment and retire the current one; as long as none can be created, keep the current one."""
        if self._next is not None:
            fresh, self._next = self._next, None
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
            self._preallocated_bytes = max(
                PREALLOCATED_MIN_BYTES, min(self._segment.size_bytes * 2, self._segment_bytes)
            )
        self._segment = fresh

    def _measure(self) -> None:
        """Measure the directory, and from it how much this writer may still write. Raises OSError."""
        self._measured_at_s = clock.monotonic_s()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.bytes_total, self.segments = measure(self.directory)
        self._room_bytes = self._limit_bytes - self.bytes_total

    async def _maintain(self) -> None:
        """Flush, measure and hand over until everything is handed over; an idle spool costs nothing."""
        handover_at_s = clock.monotonic_s() + HANDOVER_EVERY_S
        while self._is_dirty() or (self._segment is not None and self._segment.size_bytes):
            self._start_preallocation()
            await asyncio.sleep(self._sync_s)
            try:
                await self.synced()
                if clock.monotonic_s() >= self._measured_at_s + MEASURE_EVERY_S:
                    before = self._room_bytes
                    self._measured_at_s = clock.monotonic_s()
                    self.bytes_total, self.segments = await asyncio.to_thread(measure, self.directory)
                    written = before - self._room_bytes
                    self._room_bytes = self._limit_bytes - self.bytes_total - written
                if clock.monotonic_s() >= handover_at_s:
                    handover_at_s = clock.monotonic_s() + HANDOVER_EVERY_S
                    drained = self._previous is None or not self._previous.exists()
                    if drained and self._segment is not None and self._segment.size_bytes:
                        self._hand_over()
                        await self.synced()
            except (SpoolFull, OSError):
                continue  # the doors learn of it from `append` and `synced`
        self._maintenance = None

    def _start_preallocation(self) -> None:
        """Preallocate the next segment in a thread if requests wait for the disk; after a failure retry a second later."""
        if not self._preallocates or self._next is not None or self._preallocating is not None:
            return
        preallocated_bytes = min(self._preallocated_bytes, int(self._room_bytes * PREALLOCATED_SHARE))
        if preallocated_bytes < PREALLOCATED_MIN_BYTES or clock.monotonic_s() < self._preallocate_at_s:
            return
        self._preallocate_at_s = clock.monotonic_s() + self._sync_s

        def preallocated(made: asyncio.Future[_Segment]) -> None:
            self._preallocating = None
            if made.exception() is None:
                self._next = made.result()
            else:
                self._preallocate_at_s = clock.monotonic_s() + MEASURE_EVERY_S

        self._preallocating = asyncio.get_running_loop().run_in_executor(None, self._create, preallocated_bytes)
        self._preallocating.add_done_callback(preallocated)

    async def _flush(self) -> None:
        while waiters := self._waiters:
            self._waiters = []
            retired, self._retired = self._retired, []
            dirty = [segment for segment in (*retired, self._segment) if segment is not None and segment.dirty]
            for segment in dirty:
                segment.dirty = False
            directory = self.directory if self._directory_dirty else None
            self._directory_dirty = False
            refusal = None
            try:
                await self._flusher.sync([segment.descriptor for segment in dirty], directory)
            except OSError as error:
                # The kernel may drop pages that it failed to write and report success the next time: abandon this segment.
                if self._segment in dirty:
                    self._previous, self._segment = None, None
                    retired += [segment for segment in dirty if segment not in retired]
                refusal = self._refusal(str(error))
            self._close_retired(retired)
            for waiter in waiters:
                resolve(waiter, refusal)
        self._flushing = None

    def _close_retired(self, retired: Sequence[_Segment]) -> None:
        for segment in retired:
            if not segment.size_bytes:
                segment.path.unlink(missing_ok=True)
            os.close(segment.descriptor)


def measure(directory: Path) -> tuple[int, int]:
    """Bytes in the directory (with the quarantine, without recycled segments) and the number of segments. Raises OSError."""
    bytes_total = segments = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    bytes_total += measure(Path(entry.path))[0]
                elif not entry.name.endswith(recycling.SUFFIX):
                    bytes_total += entry.stat(follow_symlinks=False).st_size
                    segments += entry.name.endswith(SUFFIX)
            except (FileNotFoundError, PermissionError):  # drained meanwhile, or not one of ours
                continue
    return bytes_total, segments
