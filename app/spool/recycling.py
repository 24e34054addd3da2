"""Drained segments that are put by, to be written again.

A file of a megabyte that is made, and removed when it is drained, five times a second, makes all wait that is flushed meanwhile: on a quiet machine p99
of a plain loop of a thousand flushes a second was 0.4 ms alone, 7 to 10 beside that, and 0.4 beside files that were written again.

    <data>/spool/.orders-<id>.spare    what stands in it is recorded: it is overwritten before it has a segment's name again
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from app import clock

SUFFIX = ".spare"
SPARES_MAX = 4
"""Put by at a time: one for each of so many writers."""


def put_by(segment: Path) -> None:
    """Keep a drained segment, which the caller has locked; remove it where there are enough."""
    kind, _, _ = segment.name.partition("-")
    if len(_spares(segment.parent, kind)) >= SPARES_MAX:
        segment.unlink(missing_ok=True)
    else:
        segment.rename(segment.parent / f".{segment.stem}{SUFFIX}")


def take(directory: Path, kind: str, name: Path) -> int | None:
    """The descriptor of a spare, locked, and called `name` from now on; None when there is none. For a while the old lines are still in it."""
    for path in _spares(directory, kind):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_called(path, descriptor):
                path.rename(name)
                return descriptor
        except OSError:
            pass
        os.close(descriptor)
    return None


def is_called(path: Path, descriptor: int) -> bool:
    """Whether an open file still has this name: somebody else may have removed or renamed it between our opening and our locking it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def remove(directory: Path, *, unused_s: float = 0) -> None:
    """Remove those that nobody has taken for so long: they hold what people ordered, and a full disk wants their room."""
    latest = clock.now().timestamp() - unused_s
    for path in directory.glob(f".*{SUFFIX}"):
        with suppress(FileNotFoundError):  # taken in this moment
            if path.stat().st_mtime <= latest:
                path.unlink()


def _spares(directory: Path, kind: str) -> list[Path]:
    return sorted(directory.glob(f".{kind}-*{SUFFIX}"))
