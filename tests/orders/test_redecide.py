"""The queue of orders to decide again: what puts an order there, and what happens to one that cannot be decided."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app import clock, random_ids
from app.database.connections import connect_pool, create_engine
from app.database.transactions import driver_connection, in_transaction
from app.domain.codes import normalise
from app.domain.orders import TRUST_SERVER, OrderReport, Receipt
from app.orders import redecide as module
from app.orders.record import record
from app.orders.redecide import redecide, redecide_for_campaigns, redecide_for_codes
from app.settings import read_settings
from tests.cast import Brand, create_brand, create_code, create_collaboration
from tests.conftest import copy_template

NOW = clock.now()
CODE = normalise("LEA10")


@pytest.fixture(scope="module")
async def own_dsn(server: str, template: str) -> str:
    """A database of our own: settling looks at the queue of all brands."""
    return await copy_template(server, template)


@pytest.fixture(scope="module")
async def queue(own_dsn: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await connect_pool(own_dsn, size=4, name="settle")
    yield pool
    await pool.close()


@pytest.fixture(scope="module")
async def engine(own_dsn: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(read_settings({}, database_url=own_dsn), size=2)
    yield engine
    await engine.dispose()


@pytest.fixture
async def brand(queue: asyncpg.Pool) -> Brand:
    return await create_brand(queue)


async def order(pool: asyncpg.Pool, brand: Brand, name: str = "1001", **fields: Any) -> None:
    """Records an order with the code LEA10 and settles it."""
    values = {
        "order_id": name,
        "net_minor": 1_000,
        "currency": "EUR",
        "codes": ("LEA10",),
        "occurred_at": NOW - timedelta(hours=1),
        **fields,
    }
    report = OrderReport("main", "sale", (name,), **values)
    receipt = Receipt(TRUST_SERVER, "api", "api", NOW)
    await in_transaction(pool, lambda connection: record(connection, brand.id, [(report, receipt)]))
    await redecide(pool)


async def reason(pool: asyncpg.Pool, brand: Brand) -> str:
    found: str = await pool.fetchval("SELECT reason FROM decision WHERE brand_id = $1", brand.id)
    return found


Change = Callable[[asyncpg.Connection], Awaitable[int]]


async def change(pool: asyncpg.Pool, engine: AsyncEngine, statement: str, brand: Brand, schedule: Change) -> int:
    """Makes a change and schedules in one transaction, as the API does, then settles. How many orders were scheduled."""
    async with engine.begin() as connection:
        await connection.exec_driver_sql(statement, (brand.id,))
        scheduled = await schedule(await driver_connection(connection))
    await redecide(pool)
    return scheduled


async def test_a_code_that_is_made_after_its_orders_gets_them(
    queue: asyncpg.Pool, engine: AsyncEngine, brand: Brand
) -> None:
    await order(queue, brand)
    assert await reason(queue, brand) == "unknown_code"
    await create_code(queue, brand, await create_collaboration(queue, brand), CODE)
    scheduled = await change(queue, engine, "SELECT $1::uuid", brand, lambda c: redecide_for_codes(c, brand.id, [CODE]))
    assert (scheduled, await reason(queue, brand)) == (1, "code_owner")


async def test_changes_of_a_code_decide_its_orders_again(
    queue: asyncpg.Pool, engine: AsyncEngine, brand: Brand
) -> None:
    await create_code(queue, brand, await create_collaboration(queue, brand), CODE)
    await order(queue, brand)

    def schedule(connection: asyncpg.Connection) -> Awaitable[int]:
        return redecide_for_codes(connection, brand.id, [CODE, "0THER"])

    for statement, expected in (
        ("UPDATE code SET disabled_at = now() - interval '2 hours' WHERE brand_id = $1", "code_inactive"),
        ("UPDATE code SET disabled_at = now() WHERE brand_id = $1", "code_owner"),
        ("UPDATE code SET starts_at = now() WHERE brand_id = $1", "code_inactive"),
        ("UPDATE code SET starts_at = NULL, credit_policy = 'never' WHERE brand_id = $1", "never_credited"),
        ("UPDATE code SET credit_policy = 'always' WHERE brand_id = $1", "code_owner"),
        ("UPDATE code_assignment SET ends_at = now() - interval '2 hours' WHERE brand_id = $1", "code_unassigned"),
    ):
        assert await change(queue, engine, statement, brand, schedule) == 1
        assert await reason(queue, brand) == expected, statement


async def test_the_assignment_that_began_last_owns_the_code_at_the_order_s_time(
    queue: asyncpg.Pool, engine: AsyncEngine, brand: Brand
) -> None:
    lea, max_ = await create_collaboration(queue, brand, "Lea"), await create_collaboration(queue, brand, "Max")
    code_id = await create_code(queue, brand, lea, CODE)
    for hours, name in ((3, "before"), (1, "after")):
        await order(queue, brand, name, occurred_at=NOW - timedelta(hours=hours))
    await queue.execute(
        """INSERT INTO code_assignment (brand_id, id, code_id, collaboration_id, starts_at, created_at)
           VALUES ($1, $2, $3, $4, $5, $5)""",
        brand.id, random_ids.new_id(), code_id, max_.id, NOW - timedelta(hours=2),
    )  # fmt: skip
    scheduled = await change(queue, engine, "SELECT $1::uuid", brand, lambda c: redecide_for_codes(c, brand.id, [CODE]))
    assert scheduled == 2
    rows = await queue.fetch(
        """SELECT c.order_id, r.collaboration_id FROM credit r JOIN conversion c ON c.brand_id = $1 AND c.id = r.conversion_id
           WHERE r.brand_id = $1""",
        brand.id,
    )
    assert {row["order_id"]: row["collaboration_id"] for row in rows} == {"before": lea.id, "after": max_.id}


async def test_campaign_dates_and_policies_decide_their_orders_again(
    queue: asyncpg.Pool, engine: AsyncEngine, brand: Brand
) -> None:
    lea, other = await create_collaboration(queue, brand, "Lea"), await create_collaboration(queue, brand, "Max")
    await create_code(queue, brand, lea, CODE)
    await order(queue, brand)
    ended = "UPDATE campaign SET ends_at = now() - interval '2 hours' WHERE brand_id = $1"
    of_other = await change(
        queue, engine, ended, brand, lambda c: redecide_for_campaigns(c, brand.id, [other.campaign_id])
    )
    assert (of_other, await reason(queue, brand)) == (0, "code_owner")
    of_lea = await change(queue, engine, ended, brand, lambda c: redecide_for_campaigns(c, brand.id, [lea.campaign_id]))
    assert (of_lea, await reason(queue, brand)) == (1, "campaign_not_active")


async def test_another_brand_s_change_touches_nothing(queue: asyncpg.Pool, engine: AsyncEngine, brand: Brand) -> None:
    rival = await create_brand(queue, "Charlie")
    await order(queue, brand)
    assert await change(queue, engine, "SELECT $1::uuid", rival, lambda c: redecide_for_codes(c, rival.id, [CODE])) == 0


async def test_an_order_that_cannot_be_decided_is_postponed_and_holds_up_no_other(
    queue: asyncpg.Pool, brand: Brand
) -> None:
    healthy = await create_brand(queue, "Healthy")
    for each in (brand, healthy):
        for name in ("a", "b", "c"):
            await order(queue, each, name)
    await queue.execute(
        """UPDATE witness SET report = '{"shop": 7}' WHERE brand_id = $1 AND report->>'order_id' = 'b'""", brand.id
    )
    rows = await queue.fetch(
        "/* across brands: two of them */ SELECT brand_id, id FROM conversion WHERE brand_id = ANY($1)",
        [brand.id, healthy.id],
    )
    await queue.executemany(
        "INSERT INTO redecide (brand_id, conversion_id) VALUES ($1, $2)", [(row["brand_id"], row["id"]) for row in rows]
    )
    await redecide(queue)
    [left] = await queue.fetch("SELECT brand_id, not_before FROM redecide")
    assert left["brand_id"] == brand.id
    assert left["not_before"] > clock.now() + timedelta(minutes=5)


@pytest.mark.parametrize(
    "error", [asyncpg.QueryCanceledError("statement timeout"), asyncpg.OutOfMemoryError("no more")]
)
async def test_an_order_that_takes_too_long_or_too_much_holds_up_no_other(
    queue: asyncpg.Pool, brand: Brand, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for name in ("a", "b", "c"):
        await order(queue, brand, name)
    rows = await queue.fetch("SELECT id FROM conversion WHERE brand_id = $1 ORDER BY id", brand.id)
    ids = [row["id"] for row in rows]
    await queue.executemany(
        "INSERT INTO redecide (brand_id, conversion_id) VALUES ($1, $2)", [(brand.id, each) for each in ids]
    )
    whole = module.redecide_orders

    async def heavy(connection: asyncpg.Connection, brand_id: UUID, conversion_ids: Sequence[UUID]) -> int:
        if ids[1] in conversion_ids:
            raise error
        return await whole(connection, brand_id, conversion_ids)

    monkeypatch.setattr(module, "redecide_orders", heavy)
    await redecide(queue)
    [left] = await queue.fetch("SELECT conversion_id, not_before FROM redecide WHERE brand_id = $1", brand.id)
    assert left["conversion_id"] == ids[1]
    assert left["not_before"] > clock.now() + timedelta(minutes=5)
