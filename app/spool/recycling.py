"""Drained segments that are kept and overwritten instead of removed: for speed alone, see docs/performance.md.

Creating a file of a megabyte and removing it once drained, five times a second, delays every flush meanwhile: on a quiet machine p99 of a plain
loop of a thousand flushes a second was 0.4 ms alone, 7 to 10 beside that, and 0.4 beside files that were overwritten.

    <data>/spool/.orders-<id>.spare    its content is recorded; it is overwritten before the file gets a segment's name again
"""

import errno
import fcntl
import os
import stat
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
        descriptor = None
        with suppress(OSError):  # not one of ours: there are others, or a new file
            descriptor = open_locked(path, os.O_RDWR)
        if descriptor is not None:
            with suppress(OSError):
                path.rename(name)
                return descriptor
            os.close(descriptor)
    return None


def open_locked(path: Path, flags: int) -> int | None:
    """The descriptor of a file, locked; None when it is gone or another process has it. Raises what `open_file` raises."""
    descriptor = open_file(path, flags)
    if descriptor is None:
        return None
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have removed or renamed it between our open and our lock.
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    os.close(descriptor)
    return None


def open_file(path: Path, flags: int) -> int | None:
    """The descriptor of a regular file; None when it is gone. Raises OSError for what cannot be opened, and for a directory, link, pipe or device.

    O_NONBLOCK: a pipe that nobody writes to would be waited for.
    """
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return descriptor


def remove(directory: Path, *, unused_s: float = 0) -> None:
    """Remove recycled segments that were not taken for this long: they contain orders, and on a full disk they take up room."""
    latest = clock.now().timestamp() - unused_s
    for path in directory.glob(f".*{SUFFIX}"):
        with suppress(OSError):  # taken at this moment, or not one of ours
            if path.stat().st_mtime <= latest:
                path.unlink()


def _recycled(directory: Path, kind: str) -> list[Path]:
    return sorted(directory.glob(f".{kind}-*{SUFFIX}"))
