"""The spool's reader, in the background process: segments without a living writer are claimed, read, and removed after the commit.

Segments too old to be replayed go to the quarantine.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app import clock
from app.spool import recycling
from app.spool.flusher import sync_directory
from app.spool.writer import QUARANTINE, SUFFIX, Kind

HEAD_BYTES = 4_096
"""Bytes read from the start of a segment to find the id of its first line."""
ABANDONED_AFTER_S = 60
"""Age of a hidden segment after which the process that created it must have died before naming it; it is empty."""


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
        place = self.path.parent / QUARANTINE
        place.mkdir(exist_ok=True)
        self.path.rename(place / self.path.name)
        sync_directory(place)
        self.release()

    def release(self) -> None:
        """Unlock the segment and leave it in the spool."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def claim(directory: Path, kind: Kind, *, bytes_max: int) -> list[Claimed]:
    """The oldest segments of this kind without a writer or another reader: at least one if there is any, up to about `bytes_max`.

    Concurrent readers get different segments.
    """
    claimed: list[Claimed] = []
    bytes_total = 0
    for path in _segments(directory, kind):
        descriptor = recycling.open_locked(path, os.O_RDONLY)
        if descriptor is None:
            continue
        # In a quiet month a segment is created long before its first line. Without one, the time in its name counts.
        first_line_at = _time_of_line(os.pread(descriptor, HEAD_BYTES, 0).lstrip(b"\n"))
        claimed.append(Claimed(path, descriptor, max(first_line_at, began_at(path))))
        bytes_total += os.fstat(descriptor).st_size
        if bytes_total >= bytes_max:
            break
    return claimed


def oldest_waiting(directory: Path) -> datetime | None:
    """When the oldest undrained line was written, in claimed segments too; None when everything is drained."""
    found = []
    for kind in ("clicks", "orders"):
        for path in _segments(directory, kind):
            try:
                with path.open("rb") as file:
                    # A segment of NULs has no line yet, and no newline that would end reading.
                    begun = file.peek(1)[:1] != b"\0"
                    first = next((line for line in file if line != b"\n"), b"") if begun else b""
            except FileNotFoundError:
                continue
            if first.endswith(b"\n"):
                found.append(_time_of_line(first))
                break
    return min(found, default=None)


def has_segments(directory: Path) -> bool:
    """Whether anything waits to be drained or is open to be written."""
    return any(_segments(directory, kind) for kind in ("clicks", "orders"))


def sweep(directory: Path) -> None:
    """Remove hidden, empty segments of processes that died while creating them, and recycled segments unused for as long."""
    recycling.remove(directory, unused_s=ABANDONED_AFTER_S)
    for path in directory.glob(f".*{SUFFIX}"):
        if clock.now() - began_at(path) > timedelta(seconds=ABANDONED_AFTER_S):
            path.unlink(missing_ok=True)


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
