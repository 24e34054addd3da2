"""Lines and segments that the drain could not record, kept with their reason; `put_back` returns them to the spool exactly once.

    <spool>/quarantine/lines-*.jsonl       lines, each with the reason why it was refused
    <spool>/quarantine/<kind>-*.seg        whole segments that were too old to be replayed, and what could not be read

    <spool>/quarantine/retry-*/            what goes back, and the lines that stay; `.draft` until it is complete

Putting back is prepared in a directory and committed by renaming that; the rest only moves and removes files and can be repeated. A process killed
at any point has put every line back once or not at all: whoever opens the quarantine next finishes what was committed.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from app import clock, random_ids
from app.spool.flusher import sync_directory
from app.spool.reader import began_at, fault_of
from app.spool.records import ClickLine, MissLine, decode
from app.spool.writer import KINDS, QUARANTINE, SUFFIX, Kind

LOCK = ".lock"
STAY = "lines"
"""Name of the file of lines that stay, in the directory of a retry."""


@dataclass(frozen=True, slots=True)
class Held:
    """A line in quarantine. kind: the drain that records it; None when this release cannot read it, with the cause in `unreadable`."""

    line: bytes
    reason: str
    kind: Kind | None
    id: str
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class HeldSegment:
    """A segment that was too old to be replayed, or cannot be read, for the reason in `fault`."""

    path: Path
    began_at: datetime
    size_bytes: int
    fault: str = ""


@dataclass(frozen=True, slots=True)
class PutBack:
    """The result of a retry. segments: now in the spool, new ones and old ones within the retention. refused: lines still in quarantine."""

    segments: tuple[Path, ...]
    lines: tuple[Held, ...]
    refused: tuple[Held, ...]


class _Kept(msgspec.Struct):
    reason: str
    line: str


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Kept).decode


def quarantine(directory: Path, refused: Sequence[tuple[bytes, str]]) -> None:
    """Store lines that cannot be recorded, each with its reason; on the disk on return. After a crash a line may be stored twice."""
    rows = [_encode(_Kept(reason, line.decode("utf-8", "backslashreplace"))) for line, reason in refused]
    with _locked(directory) as place:
        with (place / f"lines-{clock.now():%Y-%m-%d}.jsonl").open("a+b") as file:
            # A process that died may have left a torn row; the first of these must not be appended to it.
            if file.tell():
                file.seek(-1, os.SEEK_END)
            torn = file.read(1) not in (b"", b"\n")
            file.write((b"\n" if torn else b"") + b"".join(row + b"\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())
        sync_directory(place)


def held(directory: Path) -> tuple[list[Held], list[HeldSegment]]:
    """Everything in quarantine, oldest file first, each line once."""
    if not (directory / QUARANTINE).exists():
        return [], []
    with _locked(directory) as place:
        return _lines(place), _segments(place)


def put_back(directory: Path, *, oldest: datetime) -> PutBack:
    """Return every line that this release can read, and readable segments begun since `oldest`, to the spool: each once, even if killed midway.

    Lines it cannot read stay. Lines that the drain refuses again come back to the quarantine with their new reason.
    """
    if not (directory / QUARANTINE).exists():
        return PutBack((), (), ())
    with _locked(directory) as place:
        segments = [each.path.name for each in _segments(place) if each.began_at >= oldest and not each.fault]
        for name in segments:
            (place / name).rename(directory / name)
        sync_directory(directory)
        lines = _lines(place)
        readable = tuple(each for each in lines if each.kind is not None)
        refused = tuple(each for each in lines if each.kind is None)
        if readable:
            segments += _prepare(place, readable, refused)
            _finish(directory, place)
        return PutBack(tuple(directory / name for name in segments), readable, refused)


# ── Once ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _prepare(place: Path, readable: Sequence[Held], refused: Sequence[Held]) -> list[str]:
    """Write the segments to put back and the lines that stay, then commit. Returns the names of the segments."""
    retry_id = random_ids.new_id()
    draft = place / f"retry-{retry_id}.draft"
    draft.mkdir()
    segments = []
    for kind in KINDS:
        lines = [each.line for each in readable if each.kind == kind]
        if lines:
            segments.append(f"{kind}-{retry_id}{SUFFIX}")
            _write(draft / segments[-1], lines)
    _write(draft / STAY, [_encode(_Kept(each.reason, each.line.decode())) for each in refused])
    sync_directory(draft)
    draft.rename(draft.with_suffix(""))
    sync_directory(place)
    return segments


def _finish(directory: Path, place: Path) -> None:
    """Finish what was committed; remove what was prepared but not committed."""
    for retry in place.glob("retry-*"):
        if retry.suffix:
            shutil.rmtree(retry)
            continue
        stay = retry / STAY
        if stay.exists():
            for source in _sources(place):
                source.unlink()
            sync_directory(place)
            stay.rename(place / f"lines-{retry.name}.jsonl")
        # The lines that stay are safe, and the source files removed, before any other line returns to the spool.
        sync_directory(place)
        for segment in retry.iterdir():
            segment.rename(directory / segment.name)
        sync_directory(directory)
        sync_directory(retry)
        retry.rmdir()


# ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _locked(directory: Path) -> Iterator[Path]:
    """The quarantine directory, created if needed, locked (the drain appends while a retry removes whole files), and without an unfinished retry."""
    place = directory / QUARANTINE
    place.mkdir(exist_ok=True)
    descriptor = os.open(place / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _finish(directory, place)
        yield place
    finally:
        os.close(descriptor)


def _sources(place: Path) -> list[Path]:
    return sorted(place.glob("lines-*.jsonl"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def _lines(place: Path) -> list[Held]:
    found: dict[bytes, Held] = {}
    for source in _sources(place):
        for row in source.read_bytes().split(b"\n"):
            if not row:
                continue
            try:
                kept = _decode(row)
            except msgspec.DecodeError as error:
                # Torn by a crash, or edited by hand: shown, and kept.
                kept = _Kept(f"this row of {source.name} is damaged: {error}", row.decode("utf-8", "backslashreplace"))
            line = kept.line.encode()
            try:
                read = decode(line)
                kind: Kind = "clicks" if isinstance(read, ClickLine | MissLine) else "orders"
                found[line] = Held(line, kept.reason, kind, read.id)
            except msgspec.DecodeError as error:
                found[line] = Held(line, kept.reason, None, "", str(error))
    return list(found.values())


def _segments(place: Path) -> list[HeldSegment]:
    paths = sorted(place.glob(f"*{SUFFIX}"))
    return [HeldSegment(path, began_at(path), path.lstat().st_size, fault_of(path)) for path in paths]


def _write(path: Path, lines: Sequence[bytes]) -> None:
    with path.open("wb") as file:
        file.write(b"".join(line + b"\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())
