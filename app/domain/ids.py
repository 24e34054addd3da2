"""Ids as clients see them: a prefix for the kind, and the UUIDv7 in Crockford's base32 (26 characters, sorts like the id)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

PREFIXES = {
    "brand": "brd",
    "key": "key",
    "influencer": "inf",
    "campaign": "cam",
    "collaboration": "col",
    "link": "lnk",
    "code": "cod",
    "assignment": "asg",
    "cost": "cst",
    "source": "src",
    "delivery": "dlv",
    "click": "clk",
    "conversion": "cnv",
    "adjustment": "adj",
    "job": "job",
    "request": "req",
}
"""Prefixes by kind of row; one prefix, one table."""

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 26
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Start of Unix time, and of the time in an id."""
_PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)
_VALUES = {character: value for value, character in enumerate(ALPHABET)} | {"o": 0, "i": 1, "l": 1}


def show(kind: str, value: UUID) -> str:
    """`show("click", id)` → `clk_01k…`. Lower case, 30 characters for a three-letter prefix."""
    number = value.int
    pairs = [_PAIRS[number >> shift & 1023] for shift in range(5 * LENGTH - 10, -1, -10)]
    return f"{PREFIXES[kind]}_{''.join(pairs)}"


def read(kind: str, shown: str) -> UUID:
    """The id behind `clk_01k…`, in any case, with o, i, l read as 0, 1, 1. ValueError when it is not an id of this kind."""
    text = shown.strip().lower()
    characters = text.removeprefix(f"{PREFIXES[kind]}_")
    if characters == text or len(characters) != LENGTH:
        raise ValueError(f"expected {PREFIXES[kind]}_ and {LENGTH} characters")
    number = 0
    for character in characters:
        value = _VALUES.get(character)
        if value is None:
            raise ValueError(f"{character!r} is not used in ids")
        number = number << 5 | value
    if number >> 128:
        raise ValueError("out of range")
    return UUID(int=number)


def unix_ms(value: UUID) -> int:
    """Milliseconds since the epoch at which a UUIDv7 was made; meaningless for any other kind of UUID."""
    return value.int >> 80


def minted_ms(value: UUID) -> int:
    """Milliseconds since the epoch at which a UUIDv7 was made. ValueError for other kinds of UUID."""
    if value.version != 7:
        raise ValueError("not a UUIDv7")
    return unix_ms(value)


def minted_at(value: UUID) -> datetime:
    """The time at which a UUIDv7 was made. ValueError for other kinds of UUID."""
    return EPOCH + timedelta(milliseconds=minted_ms(value))


def floor_ms(ms: int) -> UUID:
    """The least UUIDv7 made at or after this millisecond: the lower bound of a range of ids."""
    return UUID(int=(ms << 80) | (7 << 76) | (2 << 62))


def floor_at(moment: datetime) -> UUID:
    """The least UUIDv7 made at or after this moment; a fraction of a millisecond counts as the next one, and any time before 1970 as 1970."""
    return floor_ms(max(0, -((EPOCH - moment) // timedelta(milliseconds=1))))
