"""The queue of orders to decide again: what puts an order there, and what happens to one that cannot be decided."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from app import clock, random_ids
from app.database.connections import connect_pool, create_engine
from app.database.transactions import driver_connection, in_transaction
from app.domain.codes import normalise
from app.domain.orders import TRUST_SERVER, OrderReport, Receipt
from app.orders import redecide as module
from app.orders.record import record
from app.orders.redecide import (
    redecide,
    redecide_for_aliases,
    redecide_for_campaigns,
    redecide_for_codes,
    redecide_for_tolerance,
    redecide_orders,
)
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

    placed = "(SELECT occurred_at FROM conversion WHERE brand_id = $1)"
    for statement, expected in (
        ("UPDATE code SET disabled_at = now() - interval '2 hours' WHERE brand_id = $1", "code_inactive"),
        ("UPDATE code SET disabled_at = now() WHERE brand_id = $1", "code_owner"),
        ("UPDATE code SET starts_at = now() WHERE brand_id = $1", "code_inactive"),
        ("UPDATE code SET starts_at = NULL, credit_policy = 'never' WHERE brand_id = $1", "never_credited"),
        ("UPDATE code SET credit_policy = 'always' WHERE brand_id = $1", "code_owner"),
        ("UPDATE code_assignment SET ends_at = now() - interval '2 hours' WHERE brand_id = $1", "code_unassigned"),
        (f"UPDATE code_assignment SET ends_at = {placed} WHERE brand_id = $1", "code_unassigned"),
        (f"UPDATE code_assignment SET starts_at = {placed}, ends_at = NULL WHERE brand_id = $1", "code_owner"),
        ("UPDATE code_assignment SET starts_at = now() WHERE brand_id = $1", "code_unassigned"),
        ("DELETE FROM code_assignment WHERE brand_id = $1", "code_unassigned"),
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
    for since, expected in ((NOW - timedelta(hours=1), 1), (NOW, 0)):
        since_then = await change(
            queue,
            engine,
            ended,
            brand,
            lambda c, since=since: redecide_for_campaigns(c, brand.id, [lea.campaign_id], since),  # type: ignore[misc]
        )
        assert since_then == expected


async def test_a_code_id_that_the_brand_maps_to_a_code_gives_its_orders_to_the_code_s_owner(
    queue: asyncpg.Pool, engine: AsyncEngine, brand: Brand
) -> None:
    await create_code(queue, brand, await create_collaboration(queue, brand), CODE)
    await order(queue, brand, codes=(), code_ids=("promo_1",))
    assert await reason(queue, brand) == "unknown_code"
    statement = "INSERT INTO code_alias (brand_id, alias, code_id, created_at) SELECT brand_id, 'promo_1', id, now() FROM code WHERE brand_id = $1"
    mapped = await change(
        queue, engine, statement, brand, lambda c: redecide_for_aliases(c, brand.id, ["promo_1", "promo_2"])
    )
    assert (mapped, await reason(queue, brand)) == (1, "code_owner")
    [decided] = await queue.fetch("SELECT candidates FROM decision WHERE brand_id = $1", brand.id)
    [candidate] = json.loads(decided["candidates"])
    assert (candidate["code"], candidate["code_alias"], candidate["click_id"]) == (CODE, "promo_1", None)
    # From now on the order names the code itself.
    never = "UPDATE code SET credit_policy = 'never' WHERE brand_id = $1"
    renamed = await change(queue, engine, never, brand, lambda c: redecide_for_codes(c, brand.id, [CODE]))
    assert (renamed, await reason(queue, brand)) == (1, "never_credited")
    assert await change(queue, engine, "SELECT $1::uuid", brand, lambda c: redecide_for_aliases(c, brand.id, [])) == 0


async def test_another_tolerance_concerns_the_orders_that_several_witnesses_report(
    queue: asyncpg.Pool, engine: AsyncEngine, brand: Brand
) -> None:
    for name, amounts in (("a", (1_000,)), ("b", (1_000, 1_010))):
        for number, amount in enumerate(amounts):
            await order(queue, brand, name, net_minor=amount, version=number)
    statement = "UPDATE brand SET witness_tolerance_minor = 10 WHERE id = $1"
    assert await change(queue, engine, statement, brand, lambda c: redecide_for_tolerance(c, brand.id)) == 1


async def test_what_a_change_concerns_is_due_at_its_commit_whatever_runs_beside_it(
    queue: asyncpg.Pool, engine: AsyncEngine, brand: Brand
) -> None:
    await order(queue, brand)
    await create_code(queue, brand, await create_collaboration(queue, brand), CODE)
    async with queue.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_current_xact_id()")
        await change(queue, engine, "SELECT $1::uuid", brand, lambda c: redecide_for_codes(c, brand.id, [CODE]))
        assert await reason(queue, brand) == "code_owner"


async def test_an_order_that_names_nothing_is_not_decided_a_second_time(queue: asyncpg.Pool, brand: Brand) -> None:
    report = OrderReport("main", "sale", ("1",), order_id="1", net_minor=1, currency="EUR")
    receipt = Receipt(TRUST_SERVER, "api", "api", NOW)
    await in_transaction(queue, lambda connection: record(connection, brand.id, [(report, receipt)]))
    assert await queue.fetchval("SELECT count(*) FROM redecide WHERE brand_id = $1", brand.id) == 0
    known = replace(report, refs=("2",), order_id="2", codes=("LEA10",))
    await in_transaction(queue, lambda connection: record(connection, brand.id, [(known, receipt)]))
    assert await queue.fetchval("SELECT count(*) FROM redecide WHERE brand_id = $1 AND after IS NULL", brand.id) == 1
    assert await redecide(queue) == 1
    [row] = await queue.fetch("SELECT id FROM conversion WHERE brand_id = $1 AND order_id = '2'", brand.id)
    assert await in_transaction(queue, lambda connection: redecide_orders(connection, brand.id, [row["id"]])) == 0
    assert await in_transaction(queue, lambda connection: redecide_orders(connection, brand.id, [])) == 0


async def test_while_the_database_is_away_no_order_is_postponed(
    queue: asyncpg.Pool, brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.execute("INSERT INTO redecide (brand_id, conversion_id) VALUES ($1, $1)", brand.id)

    async def away(connection: asyncpg.Connection, brand_id: UUID, conversion_ids: Sequence[UUID]) -> int:
        raise asyncpg.AdminShutdownError("terminating connection")

    monkeypatch.setattr(module, "redecide_orders", away)
    with pytest.raises(asyncpg.AdminShutdownError):
        await redecide(queue)
    [left] = await queue.fetch("DELETE FROM redecide WHERE brand_id = $1 RETURNING not_before", brand.id)
    assert left["not_before"] is None


async def test_another_brand_s_change_touches_nothing(queue: asyncpg.Pool, engine: AsyncEngine, brand: Brand) -> None:
    rival = await create_brand(queue, "Charlie")
    await order(queue, brand)
    assert await change(queue, engine, "SELECT $1::uuid", rival, lambda c: redecide_for_codes(c, rival.id, [CODE])) == 0


async def test_an_order_that_cannot_be_decided_is_postponed_and_holds_up_no_other(
    queue: asyncpg.Pool, brand: Brand, caplog: pytest.LogCaptureFixture
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
    assert await redecide(queue) == 6
    [left] = await queue.fetch("SELECT id, brand_id, not_before FROM redecide")
    assert left["brand_id"] == brand.id
    assert timedelta(minutes=9) < left["not_before"] - clock.now() < timedelta(minutes=10)
    [logged] = caplog.record_tuples
    assert logged == (
        "ariane.intake", 40, f"order of queue entry [{left['id']}] cannot be decided; tried again in 0:10:00"
    )  # fmt: skip


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
