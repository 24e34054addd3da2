"""Recording single orders: what one report, or two, lead to."""

from datetime import timedelta

import asyncpg
from msgspec.structs import replace

from app import clock
from app.domain.codes import normalise
from app.domain.orders import TRUST_SERVER, OrderReport, Receipt
from app.intake.recording import Recorded, in_transaction, record
from app.intake.settle import settle
from tests.cast import Brand, create_code, create_collaboration

NOW = clock.now()
SERVER = Receipt(TRUST_SERVER, "api", "api", NOW)


async def post(pool: asyncpg.Pool, brand: Brand, *reports: OrderReport, receipt: Receipt = SERVER) -> list[Recorded]:
    return await in_transaction(
        pool, lambda connection: record(connection, brand.id, [(each, receipt) for each in reports])
    )


ORDER = OrderReport("main", "sale", ("1001",), order_id="1001", net_minor=10_000, currency="EUR", codes=("LEA10",))


async def test_an_order_with_a_code_is_credited_to_the_code_s_owner(pool: asyncpg.Pool, alice: Brand) -> None:
    lea = await create_collaboration(pool, alice)
    await create_code(pool, alice, lea, normalise("LEA10"))
    [first] = await post(pool, alice, ORDER)
    assert first.created
    assert first.settled.decision is not None
    assert first.settled.decision["verdict"] == "attributed"
    rows = await pool.fetch("SELECT * FROM credit WHERE brand_id = $1", alice.id)
    assert [(row["collaboration_id"], row["amount_minor"], row["counted"]) for row in rows] == [(lea.id, 10_000, True)]


async def test_the_same_words_again_change_nothing(pool: asyncpg.Pool, alice: Brand) -> None:
    [first] = await post(pool, alice, ORDER)
    [again] = await post(pool, alice, ORDER, receipt=replace(SERVER, received_at=NOW + timedelta(days=400)))
    assert again.conversion_id == first.conversion_id
    assert not again.created
    assert not again.settled.changed
    assert await pool.fetchval("SELECT count(*) FROM witness WHERE brand_id = $1", alice.id) == 1


async def flagged(pool: asyncpg.Pool, brand: Brand) -> list[str]:
    """Order ids that are flagged as beyond the cap of their code."""
    rows = await pool.fetch(
        "SELECT order_id FROM conversion WHERE brand_id = $1 AND 'over_cap' = ANY(flags) ORDER BY 1", brand.id
    )
    return [row["order_id"] for row in rows]


async def test_a_redemption_cap_flags_by_the_time_of_orders_not_of_their_arrival(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    lea = await create_collaboration(pool, alice)
    await create_code(pool, alice, lea, normalise("LEA10"))
    await pool.execute("UPDATE code SET max_redemptions = 2 WHERE brand_id = $1", alice.id)

    def order(name: str, hours_ago: int) -> OrderReport:
        return replace(ORDER, refs=(name,), order_id=name, occurred_at=NOW - timedelta(hours=hours_ago))

    await post(pool, alice, order("c", 3), order("d", 2))
    [late] = await post(pool, alice, order("e", 1))
    assert late.settled.conversion["flags"] == ["over_cap"]
    assert late.settled.decision is not None
    assert late.settled.decision["verdict"] == "attributed"
    assert await flagged(pool, alice) == ["e"]
    await post(pool, alice, order("a", 5), order("b", 4))
    assert await settled_all(pool, alice) > 0
    assert await flagged(pool, alice) == ["c", "d", "e"]
    await post(pool, alice, replace(order("a", 5), test=True))
    await settled_all(pool, alice)
    assert await flagged(pool, alice) == ["d", "e"]


async def settled_all(pool: asyncpg.Pool, brand: Brand) -> int:
    """Settles until this brand has nothing left in the queue. How many passes it took."""
    for passes in range(1, 50):
        await settle(pool)
        left = await pool.fetchval("SELECT count(*) FROM redecide WHERE brand_id = $1 AND not_before IS NULL", brand.id)
        if not left:
            return passes
    raise AssertionError("the queue does not empty")
