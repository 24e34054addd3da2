"""The spool's reader, in the background process: segments without a living writer are claimed, read, and removed after the commit.

Segments too old to be replayed go to the quarantine, and so does what cannot be opened or read, or is no file: it must not hold up the others.
"""

import errno
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app import clock
from app.spool import recycling
from app.spool.flusher import sync_directory
from app.spool.writer import KINDS, QUARANTINE, SUFFIX, Kind

HEAD_BYTES = 4_096
"""Bytes read from the start of a segment to find the id of its first line."""
ABANDONED_AFTER_S = 60
"""Age of a hidden segment after which the process that created it must have died before naming it; it is empty."""
OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})
"""Errors that are about this process and not about the segment: the next pass may succeed."""
STALLED_AFTER_S = 30.0
"""Age of the oldest waiting line from which a drain that has ended no pass for as long does not go on."""

log = logging.getLogger("ariane.spool")


@dataclass(slots=True)
class Claimed:
    """A segment without a living writer, locked by this reader until the first call of `discard`, `set_aside` or `release`."""

    path: Path
    descriptor: int
    # When its first line was written.
    began_at: datetime

    def lines(self) -> list[bytes]:
        """The complete lines, oldest first: without a torn last one, which was never acknowledged, the empty lines of `writable`, and the
        NULs after the last line."""
        with open(self.descriptor, "rb", closefd=False) as file:
            file.seek(0)
            content = file.read()
        return [line for line in content[: content.rfind(b"\n") + 1].split(b"\n") if line]

    def discard(self) -> None:
        """Remove or recycle the segment, whose lines are all committed or quarantined."""
        if self.descriptor >= 0:
            size_bytes = os.fstat(self.descriptor).st_size
            if os.pread(self.descriptor, 1, max(0, size_bytes - 1)) == b"\0":
                recycling.recycle(self.path)
            else:
                self.path.unlink(missing_ok=True)
        self.release()

    def set_aside(self) -> None:
        """Move the segment to the quarantine unread: the rows that would show that its lines were recorded before may have been deleted."""
        _to_quarantine(self.path)
        self.release()

    def release(self) -> None:
        """Unlock the segment and leave it in the spool."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def claim(directory: Path, kind: Kind, *, bytes_max: int) -> list[Claimed]:
    """The oldest segments of this kind without a writer or another reader: at least one if there is any, up to about `bytes_max`.

    Concurrent readers get different segments. What cannot be opened, or is no file, is put aside. Whatever else goes wrong, nothing stays claimed.
    """
    claimed: list[Claimed] = []
    bytes_total = 0
    try:
        for path in _segments(directory, kind):
            try:
                segment = _claim(path)
            except OSError as error:
                put_aside(path, error)
                continue
            if segment is None:
                continue
            claimed.append(segment)
            bytes_total += os.fstat(segment.descriptor).st_size
            if bytes_total >= bytes_max:
                break
    except BaseException:
        for each in claimed:
            each.release()
        raise
    return claimed


def _claim(path: Path) -> Claimed | None:
    descriptor = recycling.open_locked(path, os.O_RDONLY)
    if descriptor is None:
        return None
    segment = Claimed(path, descriptor, began_at(path))
    try:
        # In a quiet month a segment is created long before its first line. Without one, the time in its name counts.
        first_line_at = _time_of_line(os.pread(descriptor, HEAD_BYTES, 0).lstrip(b"\n"))
    except OSError:
        segment.release()
        raise
    segment.began_at = max(first_line_at, segment.began_at)
    return segment


def put_aside(path: Path, error: OSError) -> None:
    """Move what cannot be read to the quarantine and say so; where it cannot even be moved, say so once and leave it. Raises the error again where
    it is not about the segment."""
    if error.errno in OURS:
        raise error
    try:
        _to_quarantine(path)
    except OSError as refused:
        if refused.errno in OURS:
            raise
        if path not in _left:
            _left.add(path)
            log.error("%s cannot be read (%s) nor moved away (%s): remove it", path, error.strerror, refused.strerror)
        return
    log.error(
        "%s cannot be read (%s): put aside in %s, and what it holds is not recorded; mend it, then `ariane quarantine retry`",
        path.name, error.strerror, path.parent / QUARANTINE,
    )  # fmt: skip


_left: set[Path] = set()
"""What could not be moved away: a pass of the drain comes by five times a second."""


def fault_of(path: Path) -> str:
    """Why a segment cannot be read, in a few words; '' when it can."""
    try:
        descriptor = recycling.open_file(path, os.O_RDONLY)
        if descriptor is not None:
            os.close(descriptor)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _to_quarantine(path: Path) -> None:
    place = path.parent / QUARANTINE
    place.mkdir(exist_ok=True)
    path.rename(place / path.name)
    sync_directory(place)


def note_pass(directory: Path, kind: Kind) -> None:
    """Leave a mark that a drain has ended a pass, at most one a second; `stalled` looks at it."""
    mark = _mark(directory, kind)
    if clock.now().timestamp() - _touched_s(mark) >= 1:
        with suppress(OSError):  # a disk that takes no mark is reported by the writers
            mark.touch(0o600)


def stalled(directory: Path) -> list[Kind]:
    """The drains that do not go on: a line has waited for STALLED_AFTER_S, and no pass has ended for as long. Raises OSError."""
    latest_s = clock.now().timestamp() - STALLED_AFTER_S
    found: list[Kind] = []
    for kind in KINDS:
        waiting = _first_line_at(directory, kind)
        if waiting is not None and waiting.timestamp() < latest_s and _touched_s(_mark(directory, kind)) < latest_s:
            found.append(kind)
    return found


def _mark(directory: Path, kind: Kind) -> Path:
    return directory / f".{kind}.drained"


def _touched_s(mark: Path) -> float:
    try:
        return mark.stat().st_mtime
    except OSError:
        return 0.0


def oldest_waiting(directory: Path) -> datetime | None:
    """When the oldest undrained line was written, in claimed segments too; None when everything is drained."""
    return min(filter(None, (_first_line_at(directory, kind) for kind in KINDS)), default=None)


def _first_line_at(directory: Path, kind: Kind) -> datetime | None:
    for path in _segments(directory, kind):
        try:
            descriptor = recycling.open_file(path, os.O_RDONLY)
            if descriptor is None:
                continue
            with open(descriptor, "rb") as file:
                # A segment of NULs has no line yet, and no newline that would end reading.
                begun = file.peek(1)[:1] != b"\0"
                first = next((line for line in file if line != b"\n"), b"") if begun else b""
        except OSError as error:
            if error.errno in OURS:
                raise
            continue  # the next pass puts it aside
        if first.endswith(b"\n"):
            return _time_of_line(first)
    return None


def has_segments(directory: Path) -> bool:
    """Whether anything waits to be drained or is open to be written."""
    return any(_segments(directory, kind) for kind in ("clicks", "orders"))


def sweep(directory: Path) -> None:
    """Remove hidden, empty segments of processes that died while creating them, and recycled segments unused for as long."""
    recycling.remove(directory, unused_s=ABANDONED_AFTER_S)
    for path in directory.glob(f".*{SUFFIX}"):
        if clock.now() - began_at(path) > timedelta(seconds=ABANDONED_AFTER_S):
            with suppress(OSError):  # gone, or not one of ours
                path.unlink()


def _segments(directory: Path, kind: str) -> list[Path]:
    # Names carry UUIDv7s: sorted by name is oldest first.
    return sorted(directory.glob(f"{kind}-*{SUFFIX}"))


def began_at(path: Path) -> datetime:
    """When a segment was created, from its name; the epoch if the name has no time."""
    return _time_of_id(path.stem.partition("-")[2])


def _time_of_line(line: bytes) -> datetime:
    """The time in a line's id, its second element; the epoch if it has none."""
    parts = line.split(b'"', 4)
    return _time_of_id(parts[3].decode("ascii", "replace") if len(parts) > 3 else "")


def _time_of_id(id_text: str) -> datetime:
    try:
        ms = int(id_text[:8] + id_text[9:13], 16)
    except ValueError:
        ms = 0
    return datetime.fromtimestamp(ms / 1000, UTC)
