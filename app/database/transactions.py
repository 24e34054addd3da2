"""Transactions over plain asyncpg, and the type of the connection that one runs on."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar, cast

import asyncpg
from asyncpg.pool import PoolConnectionProxy

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

Connection = asyncpg.Connection | PoolConnectionProxy
"""A connection of one's own, or one borrowed from a pool."""

ATTEMPTS_MAX = 6
"""Tries of one transaction that loses deadlocks. Merged orders can cause one; a second in a row is rare."""
RETRY_BASE_S = 0.01

Answer = TypeVar("Answer")


async def in_transaction(pool: asyncpg.Pool, work: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer:
    """Run `work` in a transaction and commit; run it again, from the start, when it lost a deadlock."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            async with pool.acquire() as connection, connection.transaction():
                return await work(cast(asyncpg.Connection, connection))
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            if attempt == ATTEMPTS_MAX:
                raise
            await asyncio.sleep(RETRY_BASE_S * attempt * (1 + random.random()))  # noqa: S311
    raise AssertionError("unreachable")


async def driver_connection(session: "AsyncConnection") -> asyncpg.Connection:
    """The driver's connection under a SQLAlchemy one, inside its transaction: whatever it writes is committed or rolled back with it."""
    connection: asyncpg.Connection | None = (await session.get_raw_connection()).driver_connection
    assert connection is not None
    if not connection.is_in_transaction():
        # SQLAlchemy begins a transaction with its own first statement, not before.
        await session.exec_driver_sql("SELECT 1")
    return connection
