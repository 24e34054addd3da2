"""Where randomness comes from: ids, keys, tokens. Kept out of `domain`, which is pure."""

import secrets
from uuid import UUID

import uuid_utils

SECRET_BYTES = 32
SLUG_BITS = 40


def new_id() -> UUID:
    """A fresh UUIDv7: sorts by time, unique without asking anybody."""
    return UUID(bytes=new_id_bytes())


def new_id_bytes() -> bytes:
    """The same as 16 bytes."""
    return uuid_utils.uuid7().bytes


def new_token(prefix: str) -> str:
    """An unguessable key such as `sk_…`: the prefix and 256 random bits, URL-safe."""
    return f"{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"


def random_number(bits: int = SLUG_BITS) -> int:
    """A random number of at most so many bits, for slugs and readable codes."""
    return secrets.randbits(bits)
