"""Two orders of a shop system stay two, whatever number they share, in any order of arrival."""

import asyncio
import itertools
import random
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app import clock
from app.database.transactions import in_transaction
from app.domain.naming import group, naming_of
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
    facts = [(FIRST, HOOK), (SECOND, HOOK)]
    await asyncio.gather(
        post(pool, alice, facts[first]), post(pool, alice, facts[1 - first]), post(pool, alice, (HIT, PIXEL))
    )
    assert [row[3] for row in await orders(pool, alice)] == [30_000, 8_000, 99]


async def test_an_ambiguous_number_stays_so_when_one_of_its_orders_is_taken_apart_again(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    first, second = (
        replace(FIRST, refs=("731001", "2001", "token")),
        replace(FIRST, refs=("733001", "token"), order_id="733001"),
    )
    await post(pool, alice, (first, HOOK))
    await post(pool, alice, (SECOND, HOOK))
    await post(pool, alice, (second, HOOK))
    [hit] = await post(pool, alice, (HIT, PIXEL))
    assert hit.state.conversion["primary_ref"] == "?2001"


async def test_refunds_of_two_orders_with_one_number_are_kept_apart_before_either_order_is_known(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    early = [replace(each, net_minor=None, stub=True, refunds=OF_SECOND.refunds) for each in (FIRST, SECOND)]
    await post(pool, alice, (REFUND, SERVER))
    for each in early:
        await post(pool, alice, (each, HOOK))
    assert [row[0] for row in await orders(pool, alice)] == ["=shopify:731001", "=shopify:732001", "?2001"]


NAMED = st.one_of(
    st.builds(
        lambda own, names: (f"{own}0", *names),
        st.sampled_from("123"),
        st.lists(st.sampled_from(["n", "m", "o", "20"]), max_size=2, unique=True),
    ).map(lambda names: ("shopify", names)),
    st.sampled_from(["n", "m", "o", "10", "20", "30", "x"]).map(lambda name: (None, (name,))),
)


@settings(max_examples=max(10, settings.default.max_examples // 3 if settings.default else 10), deadline=None)
@given(st.lists(NAMED, min_size=2, max_size=6), st.randoms(), st.booleans())
async def test_whatever_comes_first_or_at_once_each_report_is_under_the_order_that_all_names_together_mean(
    pool: asyncpg.Pool, drawn: list[tuple[str | None, tuple[str, ...]]], random: random.Random, at_once: bool
) -> None:
    brand = await create_brand(pool)
    reports = [
        OrderReport("main", "sale", names, order_id=names[0], currency="EUR", net_minor=1, version=number + 1, system=system)
        for number, (system, names) in enumerate(drawn)
    ]  # fmt: skip
    facts = [(each, HOOK if each.system else SERVER) for each in reports]
    random.shuffle(facts)
    if at_once:
        await asyncio.gather(*(post(pool, brand, each) for each in facts))
    else:
        for each in [*facts, *facts[:2]]:
            await post(pool, brand, each)
    found: dict[Any, set[int]] = {}
    for row in await pool.fetch(
        """SELECT c.root_id, (w.report ->> 'version')::int AS number FROM witness w
           JOIN conversion c ON c.brand_id = $1 AND c.id = w.conversion_id WHERE w.brand_id = $1""",
        brand.id,
    ):
        found.setdefault(row["root_id"], set()).add(row["number"])
    expected: dict[str, set[int]] = {}
    for each, order in zip(reports, group(list(map(naming_of, reports))).groups, strict=True):
        expected.setdefault(order, set()).add(each.version)
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, expected.values()))
