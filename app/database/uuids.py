"""Ids as the database's driver gives them: UUIDs like any other, but made, hashed and compared in C, and an order is looked up by its id dozens of
times. Here and not in random_ids.py, because a command that asks no database need not load its driver.
"""

from uuid import UUID

from asyncpg.pgproto import pgproto

from app import random_ids


def new_id() -> UUID:
    """`random_ids.new_id`."""
    return pgproto.UUID(random_ids.new_id_bytes())


def read_id(text: str) -> UUID:
    """The id that this text is. ValueError when it is none."""
    return pgproto.UUID(text)
