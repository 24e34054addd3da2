"""The directory's snapshot on disk: with it a worker answers before, and without, PostgreSQL.

One byte of version, then frames of 4 bytes length, 4 bytes CRC-32 and MessagePack: first the head, then pages of rows. The file is replaced by a
rename, so a reader sees the old or the new one, never a part.
"""

import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

VERSION = 2
PAGE_ROWS = 2_000
_FRAME = struct.Struct(">II")

Rows = Mapping[str, bytes]


class Head(msgspec.Struct, frozen=True):
    """What the rows represent.

    identity: the database they come from, None if unknown. horizon: the rows include every change by transactions below it.
    counts: rows per table, to detect a truncated file.
    """

    identity: str | None
    horizon: int
    counts: dict[str, int]


class SnapshotPage(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Some rows of one table: (key, packed row)."""

    table: str
    rows: list[tuple[str, bytes]]


class SnapshotError(Exception):
    """The snapshot is damaged or of another version."""


UNUSABLE = (OSError, SnapshotError, msgspec.MsgspecError)
"""What is raised when there is no usable snapshot; the text says why."""

_read_head = msgspec.msgpack.Decoder(Head).decode
_read_page = msgspec.msgpack.Decoder(SnapshotPage).decode
_encode = msgspec.msgpack.Encoder().encode


def write_snapshot(path: Path, head: Head, tables: Mapping[str, Rows]) -> None:
    """Replace the snapshot; on the disk on return. Blocks: call it in a thread. On OSError the old snapshot stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # 0600: it holds the sources' secrets, encrypted, and every destination.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(bytes([VERSION]))
            file.write(_frame(_encode(head)))
            for table, rows in tables.items():
                items = list(rows.items())
                for start in range(0, len(items), PAGE_ROWS):
                    file.write(_frame(_encode(SnapshotPage(table, items[start : start + PAGE_ROWS]))))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def read_snapshot(path: Path) -> tuple[Head, Iterator[SnapshotPage]]:
    """The head, and an iterator of pages. Both raise UNUSABLE; pages read before the error are then incomplete."""
    frames = _read_frames(path)
    head = _read_head(next(frames))

    def pages() -> Iterator[SnapshotPage]:
        left = dict(head.counts)
        while any(left.values()):
            page = _read_page(next(frames))
            left[page.table] = left.get(page.table, 0) - len(page.rows)
            yield page

    return head, pages()


def _frame(content: bytes) -> bytes:
    return _FRAME.pack(len(content), zlib.crc32(content)) + content


def _read_frames(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        version = file.read(1)
        if version != bytes([VERSION]):
            raise SnapshotError(f"{path}: version {version.hex() or 'missing'}, expected {VERSION}")
        while True:
            front = file.read(_FRAME.size)
            if len(front) != _FRAME.size:
                raise SnapshotError(f"{path}: ends too early")
            length, checksum = _FRAME.unpack(front)
            content = file.read(length)
            if len(content) != length or zlib.crc32(content) != checksum:
                raise SnapshotError(f"{path}: damaged")
            yield content
