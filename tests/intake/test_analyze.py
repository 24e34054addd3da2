"""Goal: what recording reads grows with what is recorded, not with what is stored, also in the first minute of a table's life."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from app import random_ids
from app.database.connections import connect_pool
from app.intake.clicks.analyze import GROWN_TABLES, refresh_statistics
from app.intake.clicks.calendar import Calendar
from app.intake.clicks.recording import read_clicks, record_clicks
from app.intake.clicks.uniques import count_uniques
from app.intake.deliveries.recording import record_deliveries
from app.orders.redecide import redecide
from app.settings import read_settings
from app.spool.records import ClickLine, PixelLine
from tests.cast import Brand, create_brand, create_code, create_collaboration, create_link

ROUND = 1_000
ROUNDS = 4
FETCHED_MAX = 12
"""Rows read through indexes for one more order. Reading all of the brand's for each takes thousands."""
SCANNED_MAX = 30
"""Rows read one after the other for one more order, of tables that are hardly larger than a batch."""
ROWS_READ = "SELECT relname, seq_tup_read AS scanned, coalesce(idx_tup_fetch, 0) AS fetched FROM pg_stat_user_tables"


@pytest.fixture
async def dsn_of_my_own(fresh_dsn: Callable[[], Awaitable[str]]) -> str:
    """Where no autovacuum comes to help, at a moment of its choice."""
    dsn = await fresh_dsn()
    connection = await asyncpg.connect(dsn)
    tables = await connection.fetch(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    for (table,) in tables:
        await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    await connection.close()
    return dsn


@pytest.fixture
async def pool(dsn_of_my_own: str) -> AsyncIterator[asyncpg.Pool]:
    async with connections(dsn_of_my_own) as pool:
        yield pool


@asynccontextmanager
async def connections(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    """Gone after the block; a connection tells at its end what it has read."""
    pool = await connect_pool(dsn, size=4, name="tests")
    yield pool
    await pool.close()


async def rows_read(dsn: str) -> dict[str, tuple[int, int]]:
    """So far, of each table: rows read one after the other, and through indexes."""
    async with connections(dsn) as pool:
        deadline = time.monotonic() + 10
        while await pool.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()") > 1:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        return {row["relname"]: (row["scanned"], row["fetched"]) for row in await pool.fetch(ROWS_READ)}


async def test_one_more_order_reads_as_few_rows_as_the_first(dsn_of_my_own: str, tmp_path: Path) -> None:
    dsn = dsn_of_my_own
    settings = read_settings({}, database_url=dsn, data=tmp_path, secret_key="s" * 43)
    async with connections(dsn) as pool:
        brand = await create_brand(pool)
        collaboration = await create_collaboration(pool, brand)
        await create_code(pool, brand, collaboration, "LEA10")
        link_id = str(await create_link(pool, brand, collaboration, "lea"))
    calendar = Calendar()
    before: dict[str, tuple[int, int]] = {}
    for number in range(ROUNDS):
        async with connections(dsn) as pool:
            await refresh_statistics(pool)
        before = await rows_read(dsn)
        async with connections(dsn) as pool:
            async with pool.acquire() as connection:
                await record_clicks(connection, read_clicks(some_clicks(brand, link_id)), calendar)
            orders = some_orders(brand, number)
            # Twice: what is there already is looked up as well.
            for _ in range(2):
                await record_deliveries(pool, orders, secret=settings.secret_key, settings=settings)
            while await redecide(pool) + await count_uniques(pool, calendar):
                pass
    after = await rows_read(dsn)
    each = {
        table: tuple((now - then) / ROUND for now, then in zip(after[table], before.get(table, (0, 0)), strict=True))
        for table in after
    }
    assert {table: rows for table, rows in each.items() if rows[0] > SCANNED_MAX or rows[1] > FETCHED_MAX} == {}
    async with connections(dsn) as pool:
        assert await pool.fetchval("SELECT count(*) FROM credit WHERE brand_id = $1", brand.id) == ROUND * ROUNDS


def some_clicks(brand: Brand, link_id: str) -> list[ClickLine]:
    agent = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"
    return [
        ClickLine(str(random_ids.new_id()), str(brand.id), link_id, number, "90.12.3.0", agent, "", "")
        for number in range(ROUND)
    ]


def some_orders(brand: Brand, turn: int) -> list[PixelLine]:
    said = "event=sale&order_id={}-{}&amount=10&currency=EUR&code=LEA10"
    return [
        PixelLine(
            str(random_ids.new_id()), str(brand.id), str(brand.publishable_id), "main", "pixel", "", body.encode()
        )
        for body in (said.format(turn, number) for number in range(ROUND))
    ]


async def test_a_table_is_analyzed_once_it_has_doubled_and_no_sooner(pool: asyncpg.Pool) -> None:
    await pool.execute("CREATE TABLE grows (told text NOT NULL)")

    async def grow(pages: int) -> None:
        # Four rows to a page of 8 KiB.
        await pool.execute("INSERT INTO grows SELECT repeat('x', 1900) FROM generate_series(1, $1::int * 4)", pages)

    async def known_rows() -> float:
        rows: float = await pool.fetchval("SELECT reltuples FROM pg_class WHERE oid = 'grows'::regclass")
        return rows

    await refresh_statistics(pool)
    await grow(3)
    await refresh_statistics(pool)
    assert await known_rows() == -1, "so small a table is read whole in any case"
    await grow(3)
    assert await refresh_statistics(pool) == 1
    assert await known_rows() == 24
    await grow(5)
    assert await refresh_statistics(pool) == 0
    await grow(1)
    assert await refresh_statistics(pool) == 1
    assert await known_rows() == 48
    assert await pool.fetch(GROWN_TABLES, 2, 4, 20) == []


async def test_a_table_that_somebody_is_changing_is_left_for_later(pool: asyncpg.Pool) -> None:
    await pool.execute("CREATE TABLE busy AS SELECT repeat('x', 1900) AS told FROM generate_series(1, 40)")
    async with pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("ALTER TABLE busy ADD COLUMN more int")
            await asyncio.wait_for(refresh_statistics(pool), 5)
            assert await pool.fetchval("SELECT reltuples FROM pg_class WHERE relname = 'busy'") == -1
    await refresh_statistics(pool)
    assert await pool.fetchval("SELECT reltuples FROM pg_class WHERE relname = 'busy'") == 40
