"""Drained segments that are kept and overwritten instead of removed: for speed alone, see docs/performance.md.

Creating a file of a megabyte and removing it once drained, five times a second, delays every flush meanwhile: on a quiet machine p99 of a plain
loop of a thousand flushes a second was 0.4 ms alone, 7 to 10 beside that, and 0.4 beside files that were overwritten.

    <data>/spool/.orders-<id>.spare    its content is recorded; it is overwritten before the file gets a segment's name again
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from app import clock

SUFFIX = ".spare"
FILES_MAX = 4
"""Recycled segments kept per kind: one each for as many writers. 0 switches recycling off."""


def recycle(segment: Path) -> None:
    """Keep a drained segment, which the caller has locked; remove it when there are enough."""
    kind, _, _ = segment.name.partition("-")
    if len(_recycled(segment.parent, kind)) >= FILES_MAX:
        segment.unlink(missing_ok=True)
    else:
        segment.rename(segment.parent / f".{segment.stem}{SUFFIX}")


def take(directory: Path, kind: str, name: Path) -> int | None:
    """The descriptor of a recycled segment, locked and renamed to `name`; None when there is none. It still contains its old lines."""
    for path in _recycled(directory, kind):
        descriptor = open_locked(path, os.O_RDWR)
        if descriptor is not None:
            with suppress(OSError):
                path.rename(name)
                return descriptor
            os.close(descriptor)
    return None


def open_locked(path: Path, flags: int) -> int | None:
    """The descriptor of a file, locked; None when it is gone or another process has it."""
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have removed or renamed it between our open and our lock.
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    os.close(descriptor)
    return None


def remove(directory: Path, *, unused_s: float = 0) -> None:
    """Remove recycled segments that were not taken for this long: they contain orders, and on a full disk they take up room."""
    latest = clock.now().timestamp() - unused_s
    for path in directory.glob(f".*{SUFFIX}"):
        with suppress(FileNotFoundError):  # taken at this moment
            if path.stat().st_mtime <= latest:
                path.unlink()


def _recycled(directory: Path, kind: str) -> list[Path]:
    return sorted(directory.glob(f".{kind}-*{SUFFIX}"))
