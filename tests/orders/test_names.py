"""Two orders of a shop system stay two, whatever number they share, in any order of arrival."""

import itertools
import random
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from app import clock
from app.database.transactions import in_transaction
from app.domain.orders import TRUST_PIXEL, TRUST_SERVER, TRUST_WEBHOOK, OrderReport, Receipt, RefundReport
from app.orders.record import Recorded, record
from tests.cast import Brand, create_brand

NOW = clock.now() - timedelta(hours=1)
HOOK = Receipt(TRUST_WEBHOOK, "hook", "shopify", NOW)
SERVER = Receipt(TRUST_SERVER, "api", "api", NOW)
PIXEL = Receipt(TRUST_PIXEL, "pixel", "pixel", NOW)

FIRST = OrderReport(
    "main", "sale", ("731001", "2001"), order_id="731001", currency="EUR", net_minor=30_000, system="shopify"
)
SECOND = OrderReport(
    "main", "sale", ("732001", "2001"), order_id="732001", currency="EUR", net_minor=8_000, system="shopify"
)
HIT = OrderReport("main", "sale", ("2001",), order_id="2001", currency="EUR", net_minor=99, codes=("LEA10",))
CALL = OrderReport("main", "sale", ("731001",), order_id="731001", visitor_id="v1")
REFUND = OrderReport(
    "main", "sale", ("2001",), refunds=(RefundReport("r1", amount_minor=500, currency="EUR"),), stub=True
)
OF_SECOND = OrderReport(
    "main",
    "sale",
    ("732001",),
    refunds=(RefundReport("r2", amount_minor=700, currency="EUR"),),
    system="shopify",
    stub=True,
)
FACTS = ((FIRST, HOOK), (SECOND, HOOK), (HIT, PIXEL), (CALL, SERVER), (REFUND, SERVER), (OF_SECOND, HOOK))


async def post(pool: asyncpg.Pool, brand: Brand, *facts: tuple[OrderReport, Receipt]) -> list[Recorded]:
    return await in_transaction(pool, lambda connection: record(connection, brand.id, facts))


async def orders(pool: asyncpg.Pool, brand: Brand) -> list[tuple[Any, ...]]:
    """What is stored of the brand's orders, without ids that depend on the order of arrival."""
    rows = await pool.fetch(
        """SELECT primary_ref, order_id, status, net_minor, refunded_minor, visitor_id, codes, flags,
                  (SELECT array_agg(amount_minor ORDER BY position) FROM credit r WHERE r.brand_id = $1 AND r.conversion_id = c.id) AS credits
           FROM conversion c WHERE brand_id = $1 AND root_id = id ORDER BY primary_ref""",
        brand.id,
    )
    return [tuple(row) for row in rows]


async def test_two_orders_of_a_shop_system_with_one_number_are_two(pool: asyncpg.Pool, alice: Brand) -> None:
    await post(pool, alice, (FIRST, HOOK))
    await post(pool, alice, (SECOND, HOOK))
    assert [row[:4] for row in await orders(pool, alice)] == [
        ("=shopify:731001", "731001", "pending", 30_000),
        ("=shopify:732001", "732001", "pending", 8_000),
    ]


async def test_the_number_of_two_orders_joins_neither_and_is_flagged(pool: asyncpg.Pool, alice: Brand) -> None:
    await post(pool, alice, *FACTS[:3])
    last = (await orders(pool, alice))[-1]
    assert (last[0], last[1], last[3]) == ("?2001", "2001", 99)
    assert "ambiguous_number" in last[7]
    [again] = await post(pool, alice, (replace(HIT, visitor_id="v9"), PIXEL))
    assert (again.created, again.state.conversion["visitor_id"]) == (False, "v9")


async def test_a_third_order_under_the_number_is_a_third(pool: asyncpg.Pool, alice: Brand) -> None:
    third = replace(FIRST, refs=("733001", "2001"), order_id="733001", net_minor=1)
    await post(pool, alice, *FACTS, (third, HOOK))
    await post(pool, alice, (third, HOOK))
    assert [row[3] for row in await orders(pool, alice)] == [30_000, 8_000, 1, 99]


async def test_whatever_arrives_first_the_orders_are_the_same(pool: asyncpg.Pool) -> None:
    expected: list[tuple[Any, ...]] | None = None
    every = list(itertools.permutations(FACTS))
    for number, facts in enumerate(random.Random(1).sample(every, 24)):
        brand = await create_brand(pool)
        if number % 2:
            await post(pool, brand, *facts, *facts[:2])
        else:
            for each in facts:
                await post(pool, brand, each)
        found = await orders(pool, brand)
        expected = expected or found
        assert found == expected, [each.refs for each, _ in facts]
    assert expected is not None
    assert [(row[0], row[3], row[4], row[5]) for row in expected] == [
        ("=shopify:731001", 30_000, 0, "v1"),
        ("=shopify:732001", 8_000, 700, None),
        # More was refunded than there was.
        ("?2001", 99, 99, None),
    ]


async def test_a_pixel_a_call_and_the_webhook_that_knows_both_names_are_still_one(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    await post(pool, alice, (HIT, PIXEL), (CALL, SERVER))
    await post(pool, alice, (FIRST, HOOK))
    assert [row[:2] for row in await orders(pool, alice)] == [("=shopify:731001", "731001")]


async def test_orders_that_were_one_before_are_told_apart_with_their_names(pool: asyncpg.Pool, alice: Brand) -> None:
    """As the release before stored them: both webhooks under one row, without a primary name."""
    old = [(replace(each, system=None), HOOK) for each in (FIRST, SECOND)]
    await post(pool, alice, *old)
    assert len(await orders(pool, alice)) == 1
    await post(pool, alice, (FIRST, HOOK))
    await post(pool, alice, (SECOND, HOOK))
    assert [row[3] for row in await orders(pool, alice) if row[0] is not None] == [30_000, 8_000]


async def test_a_rival_s_order_of_the_same_number_is_another_matter(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand
) -> None:
    await post(pool, alice, (FIRST, HOOK), (HIT, PIXEL))
    await post(pool, charlie, (SECOND, HOOK))
    assert len(await orders(pool, alice)) == len(await orders(pool, charlie)) == 1


async def test_nobody_gives_an_order_a_primary_name_from_outside(pool: asyncpg.Pool, alice: Brand) -> None:
    await post(pool, alice, (FIRST, HOOK))
    [recorded] = await post(pool, alice, (replace(HIT, refs=("=shopify:9",), order_id=None), PIXEL))
    assert recorded.state.conversion["primary_ref"] is None
    await post(pool, alice, (replace(HIT, refs=("?2001",), order_id=None), PIXEL))
    assert [row[0] for row in await orders(pool, alice)] == ["=shopify:731001", None]


@pytest.mark.parametrize("first", [0, 1])
async def test_two_webhooks_at_once_are_two(pool: asyncpg.Pool, alice: Brand, first: int) -> None:
    import asyncio

    facts = [(FIRST, HOOK), (SECOND, HOOK)]
    await asyncio.gather(
        post(pool, alice, facts[first]), post(pool, alice, facts[1 - first]), post(pool, alice, (HIT, PIXEL))
    )
    assert [row[3] for row in await orders(pool, alice)] == [30_000, 8_000, 99]
