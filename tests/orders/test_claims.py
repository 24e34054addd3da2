"""What claims too many orders by number alone is withheld, whichever of them arrived first."""

import random
from datetime import timedelta

import asyncpg
import pytest
from msgspec.structs import replace

from app import clock, random_ids
from app.database.transactions import in_transaction
from app.domain import ids
from app.domain.codes import normalise
from app.domain.orders import TRUST_PIXEL, TRUST_WEBHOOK, Customer, OrderReport, Receipt
from app.orders.record import record
from app.orders.redecide import redecide, redecide_for_pixels
from tests.cast import Brand, create_code, create_collaboration

NOON = clock.now().replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=2)
HOOK = Receipt(TRUST_WEBHOOK, "hook", "shop", NOON)
PIXEL = Receipt(TRUST_PIXEL, "pixel", "pixel", NOON)
Said = tuple[OrderReport, Receipt]


def order(number: int, **fields: object) -> Said:
    known = {"net_minor": 10_000, "currency": "EUR", "occurred_at": NOON, "customer": Customer(f"customer {number}")}
    return OrderReport("main", "sale", (str(number),), order_id=str(number), **{**known, **fields}), HOOK  # type: ignore[arg-type]


def hit(number: int, **fields: object) -> Said:
    return OrderReport("main", "sale", (str(number),), **{"codes": ("MAX5",), **fields}), PIXEL  # type: ignore[arg-type]


async def recorded(pool: asyncpg.Pool, brand: Brand, *said: Said) -> None:
    for each in said:
        await in_transaction(pool, lambda connection, each=each: record(connection, brand.id, [each]))  # type: ignore[misc]


async def all_decided(pool: asyncpg.Pool) -> None:
    for _ in range(50):
        if not await redecide(pool):
            return
    raise AssertionError("orders enqueue one another without end")


async def set_max(pool: asyncpg.Pool, brand: Brand, claims_max: int) -> None:
    await pool.execute("UPDATE brand SET pixel_claims_max = $2 WHERE id = $1", brand.id, claims_max)
    await in_transaction(pool, lambda connection: redecide_for_pixels(connection, brand.id))


async def of_max(pool: asyncpg.Pool, brand: Brand) -> tuple[list[str], list[str]]:
    """The numbers of the orders that are credited, and of those that are flagged."""
    rows = await pool.fetch(
        """SELECT c.order_id, d.verdict, 'too_many_claims' = ANY(c.flags) AS flagged FROM conversion c
           JOIN decision d ON d.brand_id = $1 AND d.conversion_id = c.id WHERE c.brand_id = $1 ORDER BY c.order_id""",
        brand.id,
    )
    credited = [row["order_id"] for row in rows if row["verdict"] == "attributed"]
    return credited, [row["order_id"] for row in rows if row["flagged"]]


@pytest.fixture
async def max_(pool: asyncpg.Pool, alice: Brand, charlie: Brand) -> None:
    for brand in (alice, charlie):
        await create_code(pool, brand, await create_collaboration(pool, brand), normalise("MAX5"))
        await pool.execute("UPDATE brand SET pixel_claims_max = 2 WHERE id = $1", brand.id)


@pytest.mark.usefixtures("max_")
async def test_a_code_that_claims_too_many_orders_by_number_in_a_day_is_flagged_and_withheld_from_all_of_them(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand
) -> None:
    await recorded(pool, alice, order(1), hit(1), order(2), hit(2))
    assert await of_max(pool, alice) == (["1", "2"], [])
    await recorded(pool, alice, order(3), hit(3))
    await recorded(pool, charlie, order(1), hit(1))
    await all_decided(pool)
    assert await of_max(pool, alice) == ([], ["1", "2", "3"])
    assert await of_max(pool, charlie) == (["1"], [])
    reasons = await pool.fetch(
        """SELECT DISTINCT d.reason, c.codes, d.candidates -> 0 ->> 'reason' AS lost
           FROM decision d JOIN conversion c ON c.brand_id = $1 AND c.id = d.conversion_id WHERE d.brand_id = $1""",
        alice.id,
    )
    assert [tuple(row) for row in reasons] == [("too_many_claims", [], "too_many_claims")]


@pytest.mark.usefixtures("max_")
async def test_a_code_claims_under_its_aliases_too(pool: asyncpg.Pool, alice: Brand) -> None:
    await pool.execute(
        """INSERT INTO code_alias (brand_id, alias, alias_norm, code_id, created_at)
           SELECT brand_id, 'Max sale', $2, id, now() FROM code WHERE brand_id = $1""",
        alice.id,
        normalise("Max sale"),
    )
    await recorded(pool, alice, order(1), hit(1), order(2), hit(2, codes=("max-sale",)))
    assert await of_max(pool, alice) == (["1", "2"], [])
    await recorded(pool, alice, order(3), hit(3, codes=("MAX SALE", "MAX5")))
    await all_decided(pool)
    assert await of_max(pool, alice) == ([], ["1", "2", "3"])


@pytest.mark.usefixtures("max_")
async def test_which_claim_arrived_first_changes_nothing(pool: asyncpg.Pool, alice: Brand, charlie: Brand) -> None:
    proven = [order(8, proofs=("token",)), hit(8, proofs=("token",))]
    said = [each for number in (1, 2, 3) for each in (order(number), hit(number))] + proven
    for brand, drawn in ((alice, random.Random(4)), (charlie, random.Random(5))):
        drawn.shuffle(said)
        await recorded(pool, brand, *said)
        await all_decided(pool)
        assert await of_max(pool, brand) == (["8"], ["1", "2", "3"])
    states = [
        await pool.fetch(
            "SELECT order_id, flags, codes, claims, claims_withheld FROM conversion WHERE brand_id = $1 ORDER BY order_id",
            brand.id,
        )
        for brand in (alice, charlie)
    ]
    assert states[0] == states[1]


@pytest.mark.usefixtures("max_")
async def test_orders_of_one_customer_of_other_days_and_of_pixels_alone_are_no_further_claims(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    same = Customer("customer 1")
    tomorrow = NOON + timedelta(days=1)
    later = [
        (report, replace(receipt, received_at=tomorrow)) for report, receipt in (order(5, occurred_at=tomorrow), hit(5))
    ]
    await recorded(pool, alice, order(1), hit(1), order(2, customer=same), hit(2), order(3, customer=same), hit(3))
    await recorded(pool, alice, order(4), hit(4), *later, hit(6), hit(7), hit(8))
    await recorded(pool, alice, order(9, codes=("MAX5",)), hit(9), order(10, test=True), hit(10))
    await all_decided(pool)
    credited, flagged = await of_max(pool, alice)
    assert flagged == []
    assert {"1", "2", "3", "4", "5", "9"} <= set(credited)


@pytest.mark.usefixtures("max_")
async def test_a_claim_that_turns_out_to_be_none_leaves_room_for_the_others(pool: asyncpg.Pool, alice: Brand) -> None:
    await recorded(pool, alice, *(each for number in (1, 2, 3) for each in (order(number), hit(number))))
    await all_decided(pool)
    assert await of_max(pool, alice) == ([], ["1", "2", "3"])
    # The shop itself names the code of the second one.
    await recorded(pool, alice, order(2, codes=("MAX5",), version=1))
    await all_decided(pool)
    assert await of_max(pool, alice) == (["1", "2", "3"], [])
    await set_max(pool, alice, 1)
    await all_decided(pool)
    assert await of_max(pool, alice) == (["2"], ["1", "3"])
    await set_max(pool, alice, 2)
    await all_decided(pool)
    assert await of_max(pool, alice) == (["1", "2", "3"], [])


@pytest.mark.usefixtures("max_")
async def test_a_share_is_unsigned_where_only_unsigned_reports_name_what_it_is_given_for(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    proven = [order(2, proofs=("token",)), hit(2, proofs=("token",))]
    await recorded(pool, alice, order(1), hit(1), *proven, order(3, codes=("MAX5",)), hit(3, visitor_id="v1"))
    await recorded(pool, alice, order(4), hit(4, codes=("NOBODY5",)))
    rows = await pool.fetch(
        """SELECT c.order_id, r.unsigned FROM credit r JOIN conversion c ON c.brand_id = $1 AND c.id = r.conversion_id
           WHERE r.brand_id = $1 ORDER BY 1""",
        alice.id,
    )
    assert [tuple(row) for row in rows] == [("1", True), ("2", True), ("3", False), ("4", False)]


@pytest.mark.usefixtures("max_")
async def test_claims_that_merge_are_one(pool: asyncpg.Pool, alice: Brand) -> None:
    await recorded(pool, alice, *(each for number in (1, 2, 3) for each in (order(number), hit(number))))
    await all_decided(pool)
    assert await of_max(pool, alice) == ([], ["1", "2", "3"])
    both, receipt = order(2, version=1)
    await recorded(pool, alice, (replace(both, refs=("2", "3")), receipt))
    await all_decided(pool)
    credited, flagged = await of_max(pool, alice)
    assert (len(credited), flagged) == (2, [])


@pytest.mark.usefixtures("max_")
async def test_a_click_and_a_visitor_claim_orders_too(pool: asyncpg.Pool, alice: Brand) -> None:
    click_id = random_ids.new_id()
    names = {"click_ids": (ids.show("click", click_id), str(click_id), "none"), "visitor_id": "v-own", "codes": ()}
    await recorded(pool, alice, *(each for number in (1, 2, 3) for each in (order(number), hit(number, **names))))
    await all_decided(pool)
    rows = await pool.fetch("SELECT claims, claims_withheld, visitor_id FROM conversion WHERE brand_id = $1", alice.id)
    claims = [f"click:{click_id}", "visitor:v-own"]
    assert [tuple(row) for row in rows] == [(claims, claims, None)] * 3
