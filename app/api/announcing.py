"""Tells the doors of every web worker that a route, key, source or host has changed."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

CHANNEL = "directory"


async def announce(connection: AsyncConnection) -> None:
    """To be sent in the transaction of the change itself: it is heard when that commits, and never otherwise."""
    await connection.execute(select(func.pg_notify(CHANNEL, "")))
