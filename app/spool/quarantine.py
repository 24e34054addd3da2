"""Lines and segments that the drain could not record, kept with their reason; `put_back` returns them to the spool exactly once.

    <spool>/quarantine/lines-*.jsonl       lines, each with the reason why it was refused
    <spool>/quarantine/<kind>-*.seg        whole segments that were too old to be replayed

Putting back is prepared in separate files and committed by a rename to `….commit`; the rest only moves and removes files and can be repeated. A
process killed at any point has put every line back once or not at all; the next call finishes what was committed.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from app import clock, random_ids
from app.spool.flusher import sync_directory
from app.spool.reader import began_at
from app.spool.records import ClickLine, MissLine, decode
from app.spool.writer import QUARANTINE, SUFFIX, Kind

LOCK = ".lock"
KINDS: tuple[Kind, ...] = ("orders", "clicks")


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
    """A segment that was too old to be replayed."""

    path: Path
    began_at: datetime
    size_bytes: int


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
    rows = [_encode({"reason": reason, "line": line.decode("utf-8", "backslashreplace")}) for line, reason in refused]
    with _locked(directory) as place:
        with (place / f"lines-{clock.now():%Y-%m-%d}.jsonl").open("ab") as file:
            # A process that died may have left a torn row; the first of these must not be appended to it.
            torn = file.tell() > 0 and not _ends_with_newline(Path(file.name))
            file.write((b"\n" if torn else b"") + b"".join(row + b"\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())
        sync_directory(place)


def held(directory: Path) -> tuple[list[Held], list[HeldSegment]]:
    """Everything in quarantine, oldest file first, each line once."""
    if not (directory / QUARANTINE).exists():
        return [], []
    with _locked(directory) as place:
        _finish(directory, place)
        return _lines(_sources(place)), _segments(place)


def put_back(directory: Path, *, oldest: datetime) -> PutBack:
    """Return every line that this release can read, and segments begun since `oldest`, to the spool: each once, even if killed midway.

    Lines it cannot read stay. Lines that the drain refuses again come back to the quarantine with their new reason.
    """
    if not (directory / QUARANTINE).exists():
        return PutBack((), (), ())
    with _locked(directory) as place:
        _finish(directory, place)
        sources = _sources(place)
        lines = _lines(sources)
        readable = tuple(each for each in lines if each.kind is not None)
        refused = tuple(each for each in lines if each.kind is None)
        segments = [_return_segment(directory, each) for each in _segments(place) if each.began_at >= oldest]
        if readable:
            name = f"put-back-{random_ids.new_id()}"
            _prepare(place, name, readable, refused, sources)
            _finish(directory, place)
            segments += [
                directory / _segment_name(kind, name) for kind in KINDS if any(each.kind == kind for each in readable)
            ]
        return PutBack(tuple(segments), readable, refused)


# ── Once ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _prepare(
    place: Path, name: str, readable: Sequence[Held], refused: Sequence[Held], sources: Sequence[Path]
) -> None:
    """Write the lines to put back and those that stay, then commit."""
    for kind in KINDS:
        lines = [each.line for each in readable if each.kind == kind]
        if lines:
            _write(place / f"{name}.{kind}", b"".join(line + b"\n" for line in lines))
    if refused:
        rows = [_encode({"reason": each.reason, "line": each.line.decode()}) for each in refused]
        _write(place / f"{name}.rest", b"".join(row + b"\n" for row in rows))
    _write(place / f"{name}.prepared", _encode([source.name for source in sources]))
    sync_directory(place)
    (place / f"{name}.prepared").rename(place / f"{name}.commit")
    sync_directory(place)


def _finish(directory: Path, place: Path) -> None:
    """Finish what was committed; remove what was prepared but not committed."""
    for commit in sorted(place.glob("put-back-*.commit")):
        name = commit.stem
        for source in msgspec.json.decode(commit.read_bytes(), type=list[str]):
            (place / source).unlink(missing_ok=True)
        _move(place / f"{name}.rest", place / f"lines-{name}.jsonl")
        # The lines that stay are safe, and the source files removed, before any other line returns to the spool.
        sync_directory(place)
        for kind in KINDS:
            _move(place / f"{name}.{kind}", directory / _segment_name(kind, name))
        sync_directory(directory)
        sync_directory(place)
        commit.unlink()
    for leftover in place.glob("put-back-*.*"):
        leftover.unlink()


def _segment_name(kind: Kind, name: str) -> str:
    return f"{kind}-{name.removeprefix('put-back-')}{SUFFIX}"


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except FileNotFoundError:
        return


def _return_segment(directory: Path, segment: HeldSegment) -> Path:
    back = directory / segment.path.name
    segment.path.rename(back)
    sync_directory(directory)
    return back


# ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _locked(directory: Path) -> Iterator[Path]:
    """The quarantine directory, created if needed and locked: the drain appends while a retry removes whole files."""
    place = directory / QUARANTINE
    place.mkdir(exist_ok=True)
    descriptor = os.open(place / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield place
    finally:
        os.close(descriptor)


def _sources(place: Path) -> list[Path]:
    return sorted(place.glob("lines-*.jsonl"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def _lines(sources: Iterable[Path]) -> list[Held]:
    found: dict[bytes, Held] = {}
    for source in sources:
        for row in source.read_bytes().split(b"\n"):
            if not row:
                continue
            try:
                kept = _decode(row)
            except msgspec.DecodeError as error:
                # Torn by a crash, or edited by hand: shown, and kept.
                kept = _Kept(f"this row of {source.name} is damaged: {error}", row.decode("utf-8", "backslashreplace"))
            line = kept.line.encode()
            found[line] = _read(line, kept.reason)
    return list(found.values())


def _read(line: bytes, reason: str) -> Held:
    try:
        read = decode(line)
    except msgspec.DecodeError as error:
        return Held(line, reason, None, "", str(error))
    return Held(line, reason, "clicks" if isinstance(read, ClickLine | MissLine) else "orders", read.id)


def _segments(place: Path) -> list[HeldSegment]:
    return [HeldSegment(path, began_at(path), path.stat().st_size) for path in sorted(place.glob(f"*{SUFFIX}"))]


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
