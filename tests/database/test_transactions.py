"""The driver's connection under a SQLAlchemy one shares its transaction, so that one request may write through both."""

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app import random_ids
from app.database.transactions import driver_connection

COUNT = "SELECT count(*) FROM redecide WHERE brand_id = $1"
WRITE = "INSERT INTO redecide (brand_id, conversion_id, after) VALUES ($1, $1, '0')"


@pytest.fixture
def engine(dsn: str) -> AsyncEngine:
    return create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://"))


@pytest.mark.parametrize("first", [True, False], ids=["as the first statement", "after another"])
async def test_what_the_driver_writes_is_rolled_back_with_the_session(
    engine: AsyncEngine, pool: asyncpg.Pool, first: bool
) -> None:
    brand_id = random_ids.new_id()
    async with engine.connect() as session:
        transaction = await session.begin()
        if not first:
            await session.execute(text("SELECT 1"))
        driver = await driver_connection(session)
        await driver.execute(WRITE, brand_id)
        assert await driver.fetchval(COUNT, brand_id) == 1
        assert await pool.fetchval(COUNT, brand_id) == 0
        await transaction.rollback()
    assert await pool.fetchval(COUNT, brand_id) == 0
    await engine.dispose()


async def test_what_the_driver_writes_is_rolled_back_with_a_savepoint_and_else_committed(
    engine: AsyncEngine, pool: asyncpg.Pool
) -> None:
    kept, undone = random_ids.new_id(), random_ids.new_id()
    async with engine.begin() as session:
        await (await driver_connection(session)).execute(WRITE, kept)
        savepoint = await session.begin_nested()
        await (await driver_connection(session)).execute(WRITE, undone)
        await savepoint.rollback()
    assert (await pool.fetchval(COUNT, kept), await pool.fetchval(COUNT, undone)) == (1, 0)
    await pool.execute("DELETE FROM redecide WHERE brand_id = $1", kept)
    await engine.dispose()
