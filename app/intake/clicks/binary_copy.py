"""Clicks as `COPY click FROM STDIN (FORMAT binary)` takes them: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS-BINARY

For speed alone (docs/performance.md): this is the drain's innermost loop. asyncpg takes three times as long to encode a click as parameters, and
PostgreSQL two to three times as long for an INSERT as for a COPY, which writes its log page by page.
"""

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct, error

COLUMNS = (
    "brand_id", "id", "link_id", "occurred_at", "class", "visitor", "country", "device", "os", "browser", "in_app", "referrer_host",
)  # fmt: skip
CACHED_WORDS = 10_000
"""Cached combinations of country, browser and referrer; a day has a few thousand."""

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_EPOCH_MS = 946_684_800_000
"""PostgreSQL's epoch, 2000-01-01 UTC, in Unix milliseconds."""
_UUID_BYTES = 16
# Every value has its length before it, -1 for null: three ids, the time, the class; then the visitor.
_FIRST = Struct(">h i16s i16s i16s iq ih")
_VISITOR = Struct(">iq")
_NULL = Struct(">i").pack(-1)
_length = Struct(">i").pack


CopiedClick = tuple[str, str, int, int, int | None, tuple[str, ...]]
"""A row of `click` without its brand: id, link, Unix milliseconds, class, visitor, and the texts country, device, system, browser, app and referrer's
host ('' for null)."""


def encode_clicks(brand_id: str, clicks: Iterable[CopiedClick]) -> bytes:
    """The complete stream. Raises ValueError for an invalid id or a number out of its column's range."""
    brand = _uuid(brand_id)
    count = len(COLUMNS)
    links: dict[str, bytes] = {}
    parts = [_HEADER]
    add, first, visited = parts.append, _FIRST.pack, _VISITOR.pack
    try:
        for id_, link_id, at_ms, class_, visitor, words in clicks:
            link = links.get(link_id)
            if link is None:
                link = links[link_id] = _uuid(link_id)
            moment_us = (at_ms - _EPOCH_MS) * 1000
            add(first(count, 16, brand, 16, _uuid(id_), 16, link, 8, moment_us, 2, class_))
            add(_NULL if visitor is None else visited(8, visitor))
            add(_words(words))
    except error as problem:
        raise ValueError(f"a number has no room in its column: {problem}") from None
    add(_END)
    return b"".join(parts)


def _uuid(text: str) -> bytes:
    raw = bytes.fromhex(text.replace("-", ""))
    if len(raw) != _UUID_BYTES:
        raise ValueError(f"{text!r} is no id")
    return raw


@lru_cache(maxsize=CACHED_WORDS)
def _words(words: tuple[str, ...]) -> bytes:
    encoded = [word.encode() for word in words]
    return b"".join(_length(len(word)) + word if word else _NULL for word in encoded)
