"""Takes over the spool of a machine that is lost: what its doors acknowledged and nobody has drained."""

import os
import shutil
from pathlib import Path

from app import random_ids
from app.errors import Conflict
from app.spool import recycling
from app.spool.flusher import sync_directory
from app.spool.writer import QUARANTINE, SUFFIX


def adopt(lost: Path, spool: Path) -> int:
    """Move every segment of the directory `lost`, and what lies in its quarantine, into `spool`; how many files there were.

    Each is on the disk here before it is removed there, so a move that broke off is simply made again: a line that is drained twice counts once.
    Raises Conflict while a process writes or drains a segment there, OSError when it cannot be read or written.
    """
    spool.mkdir(parents=True, exist_ok=True)
    segments = sorted(lost.glob(f"*-*{SUFFIX}"))
    for segment in segments:
        descriptor = recycling.open_locked(segment, os.O_RDONLY)
        if descriptor is None:
            raise Conflict(f"{segment} is in use: stop the service that writes it")
        os.close(descriptor)
    for segment in segments:
        _move(segment, spool, segment.name)
    held = sorted(path for path in (lost / QUARANTINE).glob("*") if path.suffix in (SUFFIX, ".jsonl"))
    if held:
        (spool / QUARANTINE).mkdir(exist_ok=True)
    for path in held:
        # Lines are kept in a file a day: its own name here may be taken.
        unique = "" if path.suffix == SUFFIX else f"-{random_ids.new_id()}"
        _move(path, spool / QUARANTINE, f"{path.stem}{unique}{path.suffix}")
    return len(segments) + len(held)


def _move(file: Path, place: Path, name: str) -> None:
    hidden = place / f".{name}"
    with file.open("rb") as source, hidden.open("wb") as target:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
    hidden.chmod(0o600)
    owner = place.stat()
    if os.geteuid() == 0:  # the service may run as another user
        os.chown(hidden, owner.st_uid, owner.st_gid)
    hidden.rename(place / name)
    sync_directory(place)
    file.unlink()
