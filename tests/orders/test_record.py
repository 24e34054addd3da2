"""Recording single orders: what one report, or two, lead to."""

from datetime import timedelta

import asyncpg
from msgspec.structs import replace

from app import clock
from app.database.transactions import in_transaction
from app.domain.codes import normalise
from app.domain.orders import TRUST_PIXEL, TRUST_SERVER, OrderReport, Receipt
from app.orders.recompute import read_order
from app.orders.record import Recorded, record
from app.orders.redecide import redecide
from tests.cast import Brand, create_code, create_collaboration
from tests.intake.stepping import Stepped

NOW = clock.now()
SERVER = Receipt(TRUST_SERVER, "api", "api", NOW)
PIXEL = Receipt(TRUST_PIXEL, "pixel", "pixel", NOW - timedelta(hours=1))


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
    assert first.state.decision is not None
    assert first.state.decision["verdict"] == "attributed"
    rows = await pool.fetch("SELECT * FROM credit WHERE brand_id = $1", alice.id)
    assert [(row["collaboration_id"], row["amount_minor"], row["counted"]) for row in rows] == [(lea.id, 10_000, True)]


async def test_an_order_that_nobody_gets_has_one_share_without_owner_and_method(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    await post(pool, alice, replace(ORDER, codes=()))
    [row] = await pool.fetch("SELECT * FROM credit WHERE brand_id = $1", alice.id)
    owners = ("collaboration_id", "campaign_id", "influencer_id", "link_id", "code_id", "method")
    assert [row[name] for name in owners] == [None] * 6
    assert (row["weight_bp"], row["amount_minor"], row["kind"], row["counted"]) == (10_000, 10_000, "sale", True)


async def test_the_origin_of_an_order_is_the_most_trusted_one_stated_and_else_unknown(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    async def origin() -> str:
        found: str = await pool.fetchval("SELECT origin FROM conversion WHERE brand_id = $1 AND root_id = id", alice.id)
        return found

    await post(pool, alice, ORDER)
    assert await origin() == "unknown"
    await post(pool, alice, replace(ORDER, origin="first"), receipt=PIXEL)
    assert await origin() == "first"
    await post(pool, alice, replace(ORDER, origin="renewal"))
    assert await origin() == "renewal"


async def test_the_same_words_again_change_nothing(pool: asyncpg.Pool, alice: Brand) -> None:
    [first] = await post(pool, alice, ORDER)
    [again] = await post(pool, alice, ORDER, receipt=replace(SERVER, received_at=NOW + timedelta(days=400)))
    assert again.conversion_id == first.conversion_id
    assert not again.created
    assert not again.state.changed
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
    assert late.state.conversion["flags"] == ["over_cap"]
    assert late.state.decision is not None
    assert late.state.decision["verdict"] == "attributed"
    assert await flagged(pool, alice) == ["e"]
    await post(pool, alice, order("a", 5), order("b", 4))
    assert await settled_all(pool, alice) > 0
    assert await flagged(pool, alice) == ["c", "d", "e"]
    await post(pool, alice, replace(order("a", 5), test=True))
    await settled_all(pool, alice)
    assert await flagged(pool, alice) == ["d", "e"]


async def test_an_order_that_turns_out_not_to_have_redeemed_a_code_makes_room_for_the_next(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    """A pixel named the code; the shop's own word names another, so the pixel's is not believed any more."""
    lea = await create_collaboration(pool, alice)
    for code in ("LEA10", "MAX5"):
        await create_code(pool, alice, lea, normalise(code))
    await pool.execute("UPDATE code SET max_redemptions = 1 WHERE brand_id = $1", alice.id)
    await post(pool, alice, replace(ORDER, refs=("a",), order_id="a"), receipt=PIXEL)
    await post(pool, alice, replace(ORDER, refs=("b",), order_id="b"))
    await settled_all(pool, alice)
    assert await flagged(pool, alice) == ["b"]
    await post(pool, alice, replace(ORDER, refs=("a",), order_id="a", codes=("MAX5",)))
    await settled_all(pool, alice)
    assert await flagged(pool, alice) == []


async def test_two_redemptions_that_turn_out_to_be_one_make_room_for_the_next(pool: asyncpg.Pool, alice: Brand) -> None:
    """Nothing else about the order that stays changes. The third one redeems two codes, and is looked at for neither unless something changed."""
    lea = await create_collaboration(pool, alice)
    for code in ("LEA10", "MAX5"):
        await create_code(pool, alice, lea, normalise(code))
    await pool.execute("UPDATE code SET max_redemptions = 2 WHERE brand_id = $1", alice.id)
    early = NOW - timedelta(hours=1)
    both = replace(ORDER, codes=("LEA10", "MAX5"), occurred_at=early)
    await post(pool, alice, replace(both, refs=("a",), order_id="a"))
    await post(pool, alice, replace(both, refs=("token",), order_id="token"), receipt=PIXEL)
    await post(pool, alice, replace(both, refs=("c",), order_id="c", occurred_at=NOW))
    await settled_all(pool, alice)
    assert await flagged(pool, alice) == ["c"]
    await post(pool, alice, replace(both, refs=("a", "token"), order_id="a"))
    await settled_all(pool, alice)
    assert await flagged(pool, alice) == []


async def test_a_code_that_loses_an_order_s_alias_makes_room_for_the_next(pool: asyncpg.Pool, alice: Brand) -> None:
    """The shop system's id of a code was given to the wrong code, and is taken from it again."""
    lea = await create_collaboration(pool, alice)
    code_id = await create_code(pool, alice, lea, normalise("LEA10"))
    await pool.execute("UPDATE code SET max_redemptions = 1 WHERE brand_id = $1", alice.id)
    await pool.execute(
        "INSERT INTO code_alias (brand_id, alias, code_id, created_at) VALUES ($1, 'promo_1', $2, now())",
        alice.id,
        code_id,
    )
    await post(
        pool,
        alice,
        replace(
            ORDER, refs=("a",), order_id="a", codes=(), code_ids=("promo_1",), occurred_at=NOW - timedelta(hours=1)
        ),
    )
    await post(pool, alice, replace(ORDER, refs=("b",), order_id="b"))
    await settled_all(pool, alice)
    assert await flagged(pool, alice) == ["b"]
    await pool.execute("DELETE FROM code_alias WHERE brand_id = $1", alice.id)
    [a] = await pool.fetch("SELECT id FROM conversion WHERE brand_id = $1 AND order_id = 'a'", alice.id)
    await pool.execute("INSERT INTO redecide (brand_id, conversion_id, after) VALUES ($1, $2, '0')", alice.id, a["id"])
    await settled_all(pool, alice)
    assert await flagged(pool, alice) == []


async def settled_all(pool: asyncpg.Pool, brand: Brand) -> int:
    """Settles until this brand has nothing left in the queue. How many passes it took."""
    for passes in range(1, 50):
        await redecide(pool)
        left = await pool.fetchval("SELECT count(*) FROM redecide WHERE brand_id = $1 AND not_before IS NULL", brand.id)
        if not left:
            return passes
    raise AssertionError("the queue does not empty")


async def test_an_order_that_is_merged_while_it_is_read_is_shown_whole(pool: asyncpg.Pool, alice: Brand) -> None:
    await post(pool, alice, replace(ORDER, refs=("a",), order_id="a"))
    [younger] = await post(pool, alice, replace(ORDER, refs=("token",), order_id="token"))
    async with pool.acquire() as connection, pool.acquire() as watcher:
        reading = Stepped(connection, watcher)  # type: ignore[arg-type]
        reading.start(lambda each: read_order(each, alice.id, younger.conversion_id))
        await reading.settled()
        # Its transaction and its first statement, whichever come first.
        await reading.step()
        await reading.step()
        [merged] = await post(pool, alice, replace(ORDER, refs=("a", "token"), order_id="a"))
        seen = await reading.finish()
    assert merged.conversion_id != younger.conversion_id
    assert seen.conversion["id"] == younger.conversion_id
    assert seen.decision is not None
    assert len(seen.order.amount_checks) == 1
    async with pool.acquire() as connection:
        after = await read_order(connection, alice.id, younger.conversion_id)  # type: ignore[arg-type]
    assert after is not None
    assert (after.conversion["id"], len(after.order.amount_checks)) == (merged.conversion_id, 3)
