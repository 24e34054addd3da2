"""What a customer's earlier orders say about a later one, where the policy asks for it, whichever arrived first."""

import json
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from msgspec.structs import replace

from app import clock, random_ids
from app.database.transactions import in_transaction
from app.domain import ids
from app.domain.codes import normalise
from app.domain.orders import (
    TRUST_PIXEL,
    TRUST_SERVER,
    TRUST_WEBHOOK,
    Customer,
    Landing,
    OrderReport,
    Receipt,
    RefundReport,
)
from app.intake.clicks.calendar import Calendar
from app.intake.clicks.recording import read_clicks, record_clicks
from app.orders.customers import who_is_new
from app.orders.erasure import erase_orders
from app.orders.record import record, record_landings
from app.orders.redecide import redecide
from app.orders.statuses import RequestedStatus, change_statuses
from app.spool.records import ClickLine
from tests.cast import Brand, Collaboration, create_code, create_collaboration, create_link

NOON = clock.now().replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=38)
DAY = timedelta(days=1)
Said = tuple[OrderReport, Receipt] | Landing | ClickLine


def order(number: int, *, day: float = 0, trust: int = TRUST_WEBHOOK, **fields: Any) -> tuple[OrderReport, Receipt]:
    """An order of Ann's, placed and heard of on that day."""
    at = NOON + day * DAY
    known = {"net_minor": 10_000, "currency": "EUR", "occurred_at": at, "paid": True, "customer": Customer("ann")}
    door = {TRUST_WEBHOOK: "hook", TRUST_SERVER: "api", TRUST_PIXEL: "pixel"}[trust]
    kind = fields.pop("kind", "sale")
    report = OrderReport("main", kind, (str(number),), order_id=str(number), **{**known, **fields})
    return report, Receipt(trust, door, door, at)


async def tell(pool: asyncpg.Pool, brand: Brand, *said: Said) -> None:
    """Records each of these in a transaction of its own, and decides again whatever that moved."""
    for each in said:

        async def work(connection: asyncpg.Connection, each: Said = each) -> None:
            if isinstance(each, Landing):
                await record_landings(connection, brand.id, [each])
            elif isinstance(each, tuple):
                await record(connection, brand.id, [each])

        if isinstance(each, ClickLine):
            async with pool.acquire() as connection:
                await record_clicks(connection, read_clicks([each]), Calendar())
        else:
            await in_transaction(pool, work)
    await settle(pool)


async def settle(pool: asyncpg.Pool) -> None:
    for _ in range(50):
        if not await redecide(pool):
            return
    raise AssertionError("orders enqueue one another without end")


async def set_policy(pool: asyncpg.Pool, brand: Brand, *more: str, **rules: Any) -> None:
    stored = json.dumps({"precedence": ["code", "click", "visitor", *more], **rules})
    await pool.execute(
        """INSERT INTO policy (brand_id, scope_id, version, rules, created_at)
           SELECT $1, $1, 1 + count(*), $2, now() FROM policy WHERE brand_id = $1""",
        brand.id, stored,
    )  # fmt: skip


async def credited(pool: asyncpg.Pool, brand: Brand) -> dict[str, list[tuple[UUID | None, str | None, int]]]:
    rows = await pool.fetch(
        """SELECT c.order_id, r.collaboration_id, r.method, r.amount_minor FROM credit r
           JOIN conversion c ON c.brand_id = $1 AND c.id = r.conversion_id
           WHERE r.brand_id = $1 AND r.position = 0 ORDER BY c.order_id, r.share""",
        brand.id,
    )
    found: dict[str, list[tuple[UUID | None, str | None, int]]] = {}
    for row in rows:
        found.setdefault(row["order_id"], []).append(tuple(row)[1:])
    return found


async def reasons(pool: asyncpg.Pool, brand: Brand, order_id: str) -> list[tuple[str, str]]:
    candidates = await pool.fetchval(
        """SELECT d.candidates FROM decision d JOIN conversion c ON c.brand_id = $1 AND c.id = d.conversion_id
           WHERE d.brand_id = $1 AND c.order_id = $2""",
        brand.id, order_id,
    )  # fmt: skip
    return [(each["method"], each["reason"]) for each in json.loads(candidates)]


async def id_of(pool: asyncpg.Pool, brand: Brand, order_id: str) -> UUID:
    found: UUID = await pool.fetchval(
        "SELECT id FROM conversion WHERE brand_id = $1 AND order_id = $2", brand.id, order_id
    )
    return found


@pytest.fixture
async def max_(pool: asyncpg.Pool, alice: Brand) -> Collaboration:
    found = await create_collaboration(pool, alice, "Max")
    await create_code(pool, alice, found, normalise("MAX5"))
    return found


@pytest.fixture
async def eva(pool: asyncpg.Pool, alice: Brand) -> Collaboration:
    found = await create_collaboration(pool, alice, "Eva")
    await create_code(pool, alice, found, normalise("EVA5"))
    return found


def of(owner: Collaboration, method: str, amount_minor: int = 10_000) -> list[tuple[UUID, str, int]]:
    return [(owner.id, method, amount_minor)]


NOBODY = [(None, None, 10_000)]
FIRST = order(1, codes=("MAX5",))


# ── Bound ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_without_a_policy_no_order_says_anything_about_another(
    pool: asyncpg.Pool, alice: Brand, max_: Collaboration
) -> None:
    await tell(pool, alice, FIRST, order(2, day=1))
    assert await credited(pool, alice) == {"1": of(max_, "code"), "2": NOBODY}


async def test_a_bound_customer_s_later_orders_go_to_whoever_was_credited_with_the_first_unless_something_else_explains_them(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, max_: Collaboration, eva: Collaboration
) -> None:
    for brand in (alice, charlie):
        await set_policy(pool, brand, "bound")
    await tell(pool, alice, FIRST, order(2, day=1), order(3, day=2, codes=("EVA5",)), order(4, day=3))
    await tell(pool, alice, order(5, day=4, customer=Customer("bob")), order(6, day=4, kind="lead"))
    await tell(pool, charlie, order(7, day=5))
    bound = of(max_, "bound")
    assert await credited(pool, alice) == {
        "1": of(max_, "code"), "2": bound, "3": of(eva, "code"), "4": bound, "5": NOBODY, "6": NOBODY,
    }  # fmt: skip
    assert await credited(pool, charlie) == {"7": NOBODY}
    assert await reasons(pool, alice, "2") == [("bound", "customer_bound")]
    assert await reasons(pool, alice, "3") == [("code", "code_owner"), ("bound", "outranked")]


@pytest.mark.parametrize(
    ("rules", "bound"),
    [
        ({"bound_months": 0}, {"2", "3", "4"}),
        ({"bound_orders": 2}, {"2", "3"}),
        ({"bound_months": 1}, {"2", "3"}),
        ({"bound_months": 1, "bound_orders": 1}, {"2"}),
    ],
)
async def test_a_customer_is_bound_for_so_many_orders_or_months(
    pool: asyncpg.Pool, alice: Brand, max_: Collaboration, rules: dict[str, int], bound: set[str]
) -> None:
    await set_policy(pool, alice, "bound", **rules)
    await tell(pool, alice, FIRST, order(2, day=1), order(3, day=2), order(4, day=36))
    found = await credited(pool, alice)
    assert {key for key, shares in found.items() if shares == of(max_, "bound")} == bound
    if "4" not in bound:
        assert await reasons(pool, alice, "4") == [("bound", "binding_ended")]


async def test_an_earlier_order_that_arrives_late_changes_who_is_bound_but_for_locked_orders(
    pool: asyncpg.Pool, alice: Brand, max_: Collaboration, eva: Collaboration
) -> None:
    await set_policy(pool, alice, "bound")
    await tell(pool, alice, order(2, day=1, codes=("EVA5",)), order(3, day=2), order(4, day=3))
    assert (await credited(pool, alice))["3"] == of(eva, "bound")
    locked = await id_of(pool, alice, "4")
    requested = RequestedStatus("locked", random_ids.new_id())
    await in_transaction(pool, lambda connection: change_statuses(connection, alice.id, [locked], requested))
    await tell(pool, alice, FIRST)
    assert await credited(pool, alice) == {
        "1": of(max_, "code"), "2": of(eva, "code"), "3": of(max_, "bound"), "4": of(eva, "bound"),
    }  # fmt: skip
    flags = await pool.fetchval("SELECT flags FROM conversion WHERE brand_id = $1 AND id = $2", alice.id, locked)
    assert "differs_after_lock" in flags


def whole(refund: RefundReport) -> tuple[OrderReport, Receipt]:
    report, receipt = order(1, day=5)
    return OrderReport("main", "sale", report.refs, stub=True, refunds=(refund,)), receipt


UNDOING: dict[str, Said] = {
    "cancelled": whole(RefundReport("x", "cancellation", full=True, occurred_at=NOON + DAY)),
    "given back whole": whole(RefundReport("r", amount_minor=10_000, currency="EUR", occurred_at=NOON + DAY)),
    "a test": order(1, day=0, codes=("MAX5",), test=True, version=2),
    "somebody else's": order(1, day=0, codes=("MAX5",), customer=Customer("bob"), version=2),
    "not hers alone": order(1, day=0, codes=("EVA5",), version=2, lists_codes=True),
}


@pytest.mark.parametrize("what", UNDOING)
@pytest.mark.parametrize("undone_first", [True, False])
async def test_a_first_order_that_turns_out_not_to_count_binds_nobody(
    pool: asyncpg.Pool, alice: Brand, max_: Collaboration, eva: Collaboration, what: str, undone_first: bool
) -> None:
    await set_policy(pool, alice, "bound")
    later = order(2, day=10)
    said = [UNDOING[what], FIRST, later] if undone_first else [FIRST, later, UNDOING[what]]
    await tell(pool, alice, *said)
    expected = of(eva, "bound") if what == "not hers alone" else NOBODY
    assert (await credited(pool, alice))["2"] == expected


async def test_a_part_given_back_binds_all_the_same_and_a_rejected_order_until_it_is_restored_does_not(
    pool: asyncpg.Pool, alice: Brand, max_: Collaboration
) -> None:
    await set_policy(pool, alice, "bound")
    part = RefundReport("r", amount_minor=9_999, currency="EUR", occurred_at=NOON + DAY)
    await tell(pool, alice, FIRST, order(2, day=10), whole(part))
    assert (await credited(pool, alice))["2"] == of(max_, "bound")
    first = await id_of(pool, alice, "1")
    for status, expected in (("rejected", NOBODY), ("pending", of(max_, "bound"))):
        requested = RequestedStatus(status, random_ids.new_id(), reason="fraud" if status == "rejected" else None)

        async def change(connection: asyncpg.Connection, requested: RequestedStatus = requested) -> None:
            await change_statuses(connection, alice.id, [first], requested)

        await in_transaction(pool, change)
        await settle(pool)
        assert (await credited(pool, alice))["2"] == expected


async def test_a_customer_whose_first_order_nobody_got_is_bound_to_nobody(
    pool: asyncpg.Pool, alice: Brand, max_: Collaboration
) -> None:
    await set_policy(pool, alice, "bound")
    await tell(pool, alice, order(1), order(2, day=1, codes=("MAX5",)), order(3, day=2))
    assert (await credited(pool, alice))["3"] == NOBODY


async def test_only_what_trusted_reports_say_binds(
    pool: asyncpg.Pool, alice: Brand, max_: Collaboration, eva: Collaboration
) -> None:
    """Neither an order that a pixel alone reports, dated back before the first, nor a code that a pixel adds to it, nor a pixel's customer."""
    await set_policy(pool, alice, "bound")
    made_up = order(90, day=-30, trust=TRUST_PIXEL, codes=("EVA5",))
    await tell(pool, alice, FIRST, order(2, day=1), made_up)
    assert (await credited(pool, alice))["2"] == of(max_, "bound")
    hit = replace(order(3, trust=TRUST_PIXEL)[0], codes=("EVA5",)), order(3, day=2, trust=TRUST_PIXEL)[1]
    await tell(pool, alice, order(3, day=2, customer=Customer("bob")), hit, order(4, day=3, customer=Customer("bob")))
    found = await credited(pool, alice)
    assert (found["3"], found["4"]) == (of(eva, "code"), NOBODY)
    await tell(pool, alice, order(5, day=4, trust=TRUST_PIXEL))
    assert (await credited(pool, alice))["5"] == NOBODY


async def test_a_strangers_click_takes_no_order_from_whom_its_customer_is_bound_to(
    pool: asyncpg.Pool, alice: Brand, max_: Collaboration, eva: Collaboration
) -> None:
    await set_policy(pool, alice, "bound")
    line = click_line(alice, await create_link(pool, alice, eva, f"eva{alice.id.hex[-12:]}"), 0.5)
    hit = OrderReport("main", "sale", ("2",), click_ids=(line.id,)), order(2, day=1, trust=TRUST_PIXEL)[1]
    await tell(pool, alice, line, FIRST, order(2, day=1), hit)
    assert (await credited(pool, alice))["2"] == of(max_, "bound")
    assert await reasons(pool, alice, "2") == [("click", "unsigned"), ("bound", "customer_bound")]


async def test_a_binding_keeps_the_shares_of_the_first_order(
    pool: asyncpg.Pool, alice: Brand, max_: Collaboration, eva: Collaboration
) -> None:
    await set_policy(pool, alice, "bound", model="linear")
    lines = [
        click_line(alice, await create_link(pool, alice, owner, f"{name}{alice.id.hex[-12:]}"), -day)
        for owner, name, day in ((max_, "a", 1), (eva, "b", 2), (max_, "c", 3))
    ]
    await tell(pool, alice, *lines, order(1, click_ids=tuple(line.id for line in lines)), order(2, day=1))
    found = (await credited(pool, alice))["2"]
    assert {(owner, method): amount for owner, method, amount in found} == {
        (max_.id, "bound"): 6_667,
        (eva.id, "bound"): 3_333,
    }


async def test_orders_that_turn_out_to_be_one_bind_as_one(
    pool: asyncpg.Pool, alice: Brand, max_: Collaboration, eva: Collaboration
) -> None:
    await set_policy(pool, alice, "bound", bound_orders=1)
    await tell(pool, alice, FIRST, order(2, day=1), order(3, day=2))
    assert (await credited(pool, alice))["3"] == NOBODY
    joining = replace(order(1)[0], refs=("1", "2"), codes=("MAX5",)), order(1, day=3)[1]
    await tell(pool, alice, joining)
    assert (await credited(pool, alice))["3"] == of(max_, "bound")


async def test_the_erasure_of_a_customer_leaves_every_order_with_its_owner(
    pool: asyncpg.Pool, alice: Brand, max_: Collaboration
) -> None:
    await set_policy(pool, alice, "bound")
    await tell(pool, alice, FIRST, order(2, day=1), order(3, day=2))
    before = await credited(pool, alice)
    hers = [await id_of(pool, alice, str(number)) for number in (1, 2, 3)]
    for each in hers:

        async def erase(connection: asyncpg.Connection, each: UUID = each) -> None:
            await erase_orders(connection, alice.id, [each], lambda name: f"erased-{len(name)}")

        await in_transaction(pool, erase)
    await settle(pool)
    assert await credited(pool, alice) == before
    stored = await pool.fetch("SELECT customer_key FROM conversion WHERE brand_id = $1", alice.id)
    assert [row["customer_key"] for row in stored] == ["erased-3"] * 3
    assert not await pool.fetchval(
        "SELECT count(*) FROM witness WHERE brand_id = $1 AND report::text LIKE '%ann%'", alice.id
    )
    await tell(pool, alice, order(4, day=3))
    assert (await credited(pool, alice))["4"] == NOBODY


# ── Clicks of earlier orders ─────────────────────────────────────────────────────────────────────────────────────────


def click_line(brand: Brand, link_id: UUID, day: float) -> ClickLine:
    click_id = ids.floor_at(NOON + day * DAY)
    return ClickLine(str(click_id), str(brand.id), str(link_id), None, "", "Mozilla/5.0", "", "")


@pytest.mark.parametrize("seed", range(4))
async def test_a_known_customer_s_earlier_clicks_explain_an_order_of_another_device_whatever_arrives_first(
    pool: asyncpg.Pool, alice: Brand, max_: Collaboration, eva: Collaboration, seed: int
) -> None:
    """She signs up on her telephone, which met Max's link, and later Eva's; she buys on her computer, which met neither."""
    await set_policy(pool, alice, "customer")
    of_max = click_line(alice, await create_link(pool, alice, max_, f"max{alice.id.hex[-12:]}"), -1)
    of_eva = click_line(alice, await create_link(pool, alice, eva, f"eva{alice.id.hex[-12:]}"), 1)
    signup = order(1, trust=TRUST_SERVER, kind="signup", click_ids=(of_max.id,), visitor_id="telephone")
    said: Sequence[Said] = [
        of_max,
        of_eva,
        signup,
        order(2, day=2),
        order(3, day=0.5),
        Landing("telephone", of_eva.id, NOON + DAY),
    ]
    await tell(pool, alice, *random.Random(seed).sample(said, len(said)))
    found = await credited(pool, alice)
    assert (found["2"], found["3"]) == (of(eva, "customer"), of(max_, "customer"))
    assert await reasons(pool, alice, "2") == [("customer", "touch_model"), ("customer", "outranked")]


async def test_a_click_that_only_a_pixel_names_says_nothing_about_a_later_order(
    pool: asyncpg.Pool, alice: Brand, max_: Collaboration
) -> None:
    await set_policy(pool, alice, "customer")
    line = click_line(alice, await create_link(pool, alice, max_, f"max{alice.id.hex[-12:]}"), -1)
    hit = order(1, trust=TRUST_PIXEL, kind="signup", click_ids=(line.id,))
    joined = OrderReport("main", "sale", ("2",), click_ids=(line.id,)), order(2, day=1, trust=TRUST_PIXEL)[1]
    await tell(pool, alice, line, hit, order(2, day=1), joined, order(3, day=2))
    found = await credited(pool, alice)
    assert (found["2"], found["3"]) == (of(max_, "click"), NOBODY)


# ── New or returning ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_whether_a_customer_is_new_is_what_was_stated_else_whether_an_earlier_order_that_counts_is_known(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand
) -> None:
    stated = Customer("ann", is_new=True)
    await tell(pool, alice, order(2, day=2), order(3, day=3, customer=stated), order(4, customer=Customer()))
    await tell(
        pool, alice, order(5, day=-9, trust=TRUST_PIXEL), order(6, day=-9, test=True), order(7, day=-9, kind="lead")
    )
    await tell(pool, alice, order(8, day=4, customer=Customer("bob")))
    await tell(pool, charlie, order(1, day=-1))

    async def found() -> dict[str, bool]:
        rows = await pool.fetch("SELECT id, order_id FROM conversion WHERE brand_id = $1", alice.id)
        async with pool.acquire() as connection:
            new = await who_is_new(connection, alice.id, [row["id"] for row in rows])  # type: ignore[arg-type]
        return {row["order_id"]: new[row["id"]] for row in rows if row["id"] in new and row["order_id"] in "238"}

    assert await found() == {"2": True, "3": True, "8": True}
    await tell(pool, alice, order(1, day=1))
    assert await found() == {"2": False, "3": True, "8": True}


async def test_two_orders_of_a_customer_that_are_recorded_at_the_same_time_are_decided_on_each_other(
    pool: asyncpg.Pool, alice: Brand, max_: Collaboration
) -> None:
    await set_policy(pool, alice, "bound")
    async with pool.acquire() as connection:
        slow = connection.transaction()
        await slow.start()
        await record(connection, alice.id, [FIRST])  # type: ignore[arg-type]
        await tell(pool, alice, order(2, day=1))
        assert await credited(pool, alice) == {"2": NOBODY}
        await slow.commit()
    await settle(pool)
    assert await credited(pool, alice) == {"1": of(max_, "code"), "2": of(max_, "bound")}
