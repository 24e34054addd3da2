"""Ids in the driver's own UUID class, which is made, hashed and compared in C: an order is looked up by its id dozens of times.

Apart from random_ids.py, because a command that needs no database should not load the driver.
"""

from uuid import UUID

from asyncpg.pgproto import pgproto

from app import random_ids


def new_id() -> UUID:
    """A fresh UUIDv7, as `random_ids.new_id` makes it."""
    return pgproto.UUID(random_ids.new_id_bytes())


def read_id(text: str) -> UUID:
    """The id in a text. Raises ValueError when it is none."""
    return pgproto.UUID(text)
