"""The only source of randomness: ids, keys, tokens. Kept out of `domain`, which is pure."""

import secrets
from uuid import UUID

import uuid_utils

from app import clock

SECRET_BYTES = 32
SLUG_BITS = 40
AHEAD_MAX_MS = 1_000
"""Milliseconds by which ids may run ahead of the clock, so that they stay in order when it is set back a little."""


def new_id() -> UUID:
    """A fresh UUIDv7: sorts by time, unique without asking anybody."""
    return UUID(bytes=new_id_bytes())


def new_id_bytes() -> bytes:
    """A fresh UUIDv7 as 16 bytes."""
    made = uuid_utils.uuid7().bytes
    now_ms = clock.now_ms()
    if int.from_bytes(made[:6]) > now_ms + AHEAD_MAX_MS:
        # The library never goes back in time by itself, and a message's time of receipt is that of its id: after a clock that ran a day ahead
        # was corrected, everything received for a day would be dated at the moment of the correction, a day ahead.
        made = uuid_utils.uuid7(nanoseconds=now_ms * 1_000_000).bytes
    return made


def new_token(prefix: str) -> str:
    """An unguessable key such as `sk_…`: the prefix and 256 random bits, URL-safe."""
    return f"{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"


def random_number(bits: int = SLUG_BITS) -> int:
    """A random number of at most `bits` bits, for slugs and readable codes."""
    return secrets.randbits(bits)
