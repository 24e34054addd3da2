"""The spool seen by the background process: segments without a living writer are claimed, read, and removed after the commit.

Segments too old to be replayed are set aside; nothing is thrown away.
"""

import fcntl
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app import clock
from app.spool import recycling
from app.spool.flusher import sync_directory
from app.spool.writer import QUARANTINE, SUFFIX, Kind

HEAD_BYTES = 4_096
"""Of a segment, where the id of its first line stands."""
ABANDONED_AFTER_S = 60
"""A hidden segment this old was left by a process that died between creating and naming it; it is empty."""


@dataclass(slots=True)
class Claimed:
    """A segment without a living writer, locked by this reader until `discard`, `set_aside` or `release`; a second of these does nothing."""

    path: Path
    descriptor: int
    # When its first line was written.
    began_at: datetime

    def lines(self) -> list[bytes]:
        """The whole lines, oldest first. A torn last one was never acknowledged and is left out, as are the empty ones of `writable` and the
        NULs behind the last line."""
        size = os.fstat(self.descriptor).st_size
        content = b""
        while len(content) < size:
            part = os.pread(self.descriptor, size - len(content), len(content))
            if not part:
                break
            content += part
        return [line for line in content[: content.rfind(b"\n") + 1].split(b"\n") if line]

    def discard(self) -> None:
        """Remove it, or put it by where its writer would only make another: every line is committed or quarantined."""
        if self.descriptor >= 0:
            size_bytes = os.fstat(self.descriptor).st_size
            if os.pread(self.descriptor, 1, max(0, size_bytes - 1)) == b"\0":
                recycling.put_by(self.path)
            else:
                self.path.unlink(missing_ok=True)
        self.release()

    def set_aside(self) -> None:
        """Move it to the quarantine unread: too old to be replayed, because the rows that would show its lines as recorded may be gone."""
        place = self.path.parent / QUARANTINE
        place.mkdir(exist_ok=True)
        self.path.rename(place / self.path.name)
        sync_directory(place)
        self.release()

    def release(self) -> None:
        """Unlock it, untouched."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def claim(directory: Path, kind: Kind, *, bytes_max: int) -> list[Claimed]:
    """The oldest segments of this kind that have no living writer and no other reader, up to about so many bytes, at least one.

    Empty when there is none, or no directory. Several readers share the work: each gets other segments.
    """
    claimed: list[Claimed] = []
    bytes_total = 0
    for path in _segments(directory, kind):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(descriptor)
        except OSError:
            os.close(descriptor)
            continue
        # Another reader may have drained it between our open and our lock.
        if not recycling.is_called(path, descriptor):
            os.close(descriptor)
            continue
        claimed.append(Claimed(path, descriptor, _began_at(path, descriptor)))
        bytes_total += found.st_size
        if bytes_total >= bytes_max:
            break
    return claimed


def oldest_waiting(directory: Path) -> datetime | None:
    """When the oldest line was written that is not drained yet, whoever holds its segment; None when all is drained."""
    oldest: datetime | None = None
    for kind in ("clicks", "orders"):
        for path in _segments(directory, kind):
            try:
                with path.open("rb") as file:
                    # NULs: nothing is written there yet, and they have no end of line to read up to.
                    begun = file.peek(1)[:1] != b"\0"
                    first = next((line for line in file if line != b"\n"), b"") if begun else b""
            except FileNotFoundError:
                continue
            if first.endswith(b"\n"):
                written_at = _moment(first)
                oldest = written_at if oldest is None else min(oldest, written_at)
                break
    return oldest


def sweep(directory: Path) -> None:
    """Remove the hidden, empty segments of processes that died while creating them, and spares that nobody has needed for as long."""
    recycling.remove(directory, unused_s=ABANDONED_AFTER_S)
    for path in directory.glob(f".*{SUFFIX}"):
        if clock.now() - began_at(path) > timedelta(seconds=ABANDONED_AFTER_S):
            path.unlink(missing_ok=True)


def _segments(directory: Path, kind: str) -> list[Path]:
    # Names carry UUIDv7s: sorted by name is oldest first.
    return sorted(directory.glob(f"{kind}-*{SUFFIX}"))


def began_at(path: Path) -> datetime:
    """When a segment was begun, by its name; the epoch when that does not say."""
    _, _, shown = path.stem.partition("-")
    return _minted_at(shown)


def _began_at(path: Path, descriptor: int) -> datetime:
    """When the first line was written: a segment is made before there is anything to write, and in a quiet month long before. When it was made,
    where no first line can be read."""
    written_at = _moment(os.pread(descriptor, HEAD_BYTES, 0).lstrip(b"\n"))
    return max(written_at, began_at(path))


def _moment(line: bytes) -> datetime:
    """The time in a line's id, which is the second element of every kind of line; the epoch when it has none."""
    parts = line.split(b'"', 4)
    return _minted_at(parts[3].decode("ascii", "replace") if len(parts) > 3 else "")


def _minted_at(shown: str) -> datetime:
    try:
        ms = int(shown[:8] + shown[9:13], 16)
    except ValueError:
        ms = 0
    return datetime.fromtimestamp(ms / 1000, UTC)
