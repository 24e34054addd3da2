"""Recording single orders: what one report, or two, lead to."""

from datetime import timedelta

import asyncpg
from msgspec.structs import replace

from app import clock, random_ids
from app.database.transactions import in_transaction
from app.domain.codes import normalise
from app.domain.orders import TRUST_PIXEL, TRUST_SERVER, Landing, OrderReport, Receipt, RefundReport
from app.orders.recompute import read_order
from app.orders.record import Recorded, record, record_landings
from app.orders.redecide import redecide, redecide_orders
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
    assert await origin() == "unknown"
    await post(pool, alice, replace(ORDER, origin="first"))
    assert await origin() == "first"
    await post(pool, alice, replace(ORDER, origin="renewal", version=1))
    assert await origin() == "renewal"


async def test_the_same_words_again_change_nothing(pool: asyncpg.Pool, alice: Brand) -> None:
    [first] = await post(pool, alice, ORDER)
    [again] = await post(pool, alice, ORDER, receipt=replace(SERVER, received_at=NOW + timedelta(days=400)))
    assert again.conversion_id == first.conversion_id
    assert not again.created
    assert not again.state.changed
    assert await pool.fetchval("SELECT count(*) FROM witness WHERE brand_id = $1", alice.id) == 1


async def test_of_equal_reports_the_first_receipt_stays(pool: asyncpg.Pool, alice: Brand) -> None:
    early, late = replace(SERVER, received_at=NOW - timedelta(hours=2)), SERVER
    for name, receipts in (("a", (late, early)), ("b", (early, late))):
        reports = [(replace(ORDER, refs=(name,), order_id=name), receipt) for receipt in receipts]
        recorded = await in_transaction(pool, lambda connection, reports=reports: record(connection, alice.id, reports))  # type: ignore[misc]
        assert [(each.created, each.added) for each in recorded] == [(True, True), (False, False)]
    rows = await pool.fetch("SELECT * FROM witness WHERE brand_id = $1", alice.id)
    assert [row["received_at"] for row in rows] == [early.received_at] * 2
    assert {(row["trust"], row["door"], row["platform"], row["version"]) for row in rows} == {
        (TRUST_SERVER, "api", "api", 0)
    }


async def flagged(pool: asyncpg.Pool, brand: Brand) -> list[str]:
    """Order ids that are flagged as beyond the cap of their code."""
    rows = await pool.fetch(
        "SELECT order_id FROM conversion WHERE brand_id = $1 AND 'over_cap' = ANY(flags) ORDER BY 1", brand.id
    )
    return [row["order_id"] for row in rows]


async def test_a_lead_a_signup_and_an_install_use_up_no_cap(pool: asyncpg.Pool, alice: Brand) -> None:
    lea = await create_collaboration(pool, alice)
    await create_code(pool, alice, lea, normalise("LEA10"))
    await pool.execute("UPDATE code SET max_redemptions = 1 WHERE brand_id = $1", alice.id)
    unpaid = [replace(ORDER, kind=kind, net_minor=None, currency=None) for kind in ("lead", "signup", "install")]
    for recorded in await post(pool, alice, *unpaid):
        assert recorded.state.decision is not None
        assert (recorded.state.conversion["flags"], recorded.state.decision["verdict"]) == ([], "attributed")
    [sale] = await post(pool, alice, replace(ORDER, occurred_at=NOW))
    assert sale.state.conversion["flags"] == []
    [other] = await post(pool, alice, replace(ORDER, kind="trial", occurred_at=NOW))
    assert other.state.conversion["flags"] == ["over_cap"]


async def test_a_lead_that_the_release_before_flagged_gives_its_place_under_the_cap_back(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    await create_code(pool, alice, await create_collaboration(pool, alice), normalise("LEA10"))
    await pool.execute("UPDATE code SET max_redemptions = 1 WHERE brand_id = $1", alice.id)
    await post(pool, alice, replace(ORDER, kind="lead"), ORDER)
    await pool.execute("UPDATE conversion SET flags = '{over_cap}' WHERE brand_id = $1", alice.id)
    await pool.execute(
        "INSERT INTO redecide (brand_id, conversion_id, after) SELECT brand_id, id, '0' FROM conversion WHERE brand_id = $1 AND kind = 'lead'",
        alice.id,
    )
    await settled_all(pool, alice)
    assert await flagged(pool, alice) == []


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
    # Those that change sides are due at the commit; those just reported once whatever ran beside them has ended.
    due = await pool.fetch(
        """SELECT c.order_id FROM redecide r JOIN conversion c ON c.brand_id = $1 AND c.id = r.conversion_id
           WHERE r.brand_id = $1 AND r.after = '0' ORDER BY 1""",
        alice.id,
    )
    assert [row["order_id"] for row in due] == ["c", "d"]
    assert await settled_all(pool, alice) > 0
    assert await flagged(pool, alice) == ["c", "d", "e"]
    await post(pool, alice, replace(order("a", 5), test=True))
    await settled_all(pool, alice)
    assert await flagged(pool, alice) == ["d", "e"]


async def test_an_order_beyond_the_cap_of_one_of_its_codes_is_flagged_and_wakes_no_other(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    lea = await create_collaboration(pool, alice)
    for code, cap in (("LEA10", 1), ("MAX5", 5)):
        await create_code(pool, alice, lea, normalise(code))
        await pool.execute(
            "UPDATE code SET max_redemptions = $3 WHERE brand_id = $1 AND code_norm = $2",
            alice.id,
            normalise(code),
            cap,
        )
    names = {"first": ("LEA10",), "both": ("LEA10", "MAX5"), "other": ("MAX5",)}
    ids = {}
    for hours, (name, codes) in enumerate(names.items()):
        placed = NOW - timedelta(hours=9 - hours)
        [recorded] = await post(
            pool, alice, replace(ORDER, refs=(name,), order_id=name, codes=codes, occurred_at=placed)
        )
        assert recorded.state.conversion["flags"] == (["over_cap"] if name == "both" else [])
        ids[name] = recorded.conversion_id
    await settled_all(pool, alice)
    assert await flagged(pool, alice) == ["both"]

    async def woken(name: str) -> set[str]:
        """The orders that are enqueued when nothing about this one has changed."""
        await in_transaction(pool, lambda connection: redecide_orders(connection, alice.id, [ids[name]]))
        rows = await pool.fetch("DELETE FROM redecide WHERE brand_id = $1 RETURNING conversion_id", alice.id)
        return {each for each, order_id in ids.items() if order_id in {row["conversion_id"] for row in rows}}

    # It looks wrong from MAX5, whose cap it keeps.
    assert await woken("other") == set()
    await pool.execute("UPDATE code SET max_redemptions = 5 WHERE brand_id = $1", alice.id)
    await pool.execute(
        "UPDATE conversion SET flags = '{over_cap}' WHERE brand_id = $1 AND order_id = 'other'", alice.id
    )
    assert await woken("first") == set()
    await pool.execute("UPDATE code SET max_redemptions = NULL WHERE brand_id = $1 AND code_norm = '1EA10'", alice.id)
    assert await woken("other") == {"both"}
    await pool.execute("UPDATE code SET max_redemptions = 0 WHERE brand_id = $1 AND code_norm = '1EA10'", alice.id)
    await pool.execute("UPDATE conversion SET flags = '{}' WHERE brand_id = $1 AND order_id = 'both'", alice.id)
    assert await woken("first") == {"both"}


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


async def test_a_code_that_only_the_merged_order_redeemed_has_room_again(pool: asyncpg.Pool, alice: Brand) -> None:
    """The pixel's order named another code than the shop's, which is believed once they are one."""
    lea = await create_collaboration(pool, alice)
    for code in ("LEA10", "MAX5"):
        await create_code(pool, alice, lea, normalise(code))
    await pool.execute("UPDATE code SET max_redemptions = 1 WHERE brand_id = $1", alice.id)
    early = NOW - timedelta(hours=1)
    await post(pool, alice, replace(ORDER, refs=("a",), order_id="a", codes=("MAX5",), occurred_at=early))
    await post(pool, alice, replace(ORDER, refs=("token",), order_id="token", occurred_at=early), receipt=PIXEL)
    await post(pool, alice, replace(ORDER, refs=("c",), order_id="c", occurred_at=NOW))
    await settled_all(pool, alice)
    assert await flagged(pool, alice) == ["c"]
    await post(pool, alice, replace(ORDER, refs=("a", "token"), order_id="a", codes=("MAX5",), occurred_at=early))
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
    assert not seen.changed
    assert [len(seen.decision[name]) for name in ("credits", "candidates")] == [0, 1]
    assert seen.decision is not None
    assert len(seen.order.amount_checks) == 1
    async with pool.acquire() as connection:
        after = await read_order(connection, alice.id, younger.conversion_id)  # type: ignore[arg-type]
    assert after is not None
    assert (after.conversion["id"], len(after.order.amount_checks)) == (merged.conversion_id, 3)


async def test_nothing_is_recorded_of_no_reports(pool: asyncpg.Pool, alice: Brand) -> None:
    assert await post(pool, alice) == []


async def test_an_order_of_which_only_a_refund_is_known_has_a_name_and_no_decision(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    refund = RefundReport("r1", amount_minor=100, currency="EUR", occurred_at=NOW)
    named = replace(ORDER, refs=("1001", "token"), order_id=None, codes=(), net_minor=None, currency=None)
    stub = replace(named, stub=True, refunds=(refund,))
    before = clock.now()
    [first] = await post(pool, alice, stub)
    assert (first.created, first.added, first.state.decision, first.state.changed) == (False, True, None, False)
    assert (first.state.conversion["order_id"], first.state.conversion["status"]) == ("1001", "stub")
    [row] = await pool.fetch("SELECT * FROM conversion WHERE brand_id = $1", alice.id)
    assert (row["order_id"], row["shop"], row["kind"], row["status"]) == ("1001", "main", "sale", "stub")
    assert before <= row["created_at"] <= clock.now()
    async with pool.acquire() as connection:
        seen = await read_order(connection, alice.id, first.conversion_id)
        assert seen is not None
        assert (seen.decision, seen.changed, dict(seen.conversion)) == (None, False, dict(row))
        assert await read_order(connection, alice.id, alice.id) is None
    [order, twice] = await post(pool, alice, ORDER, replace(ORDER, refs=("token",)))
    assert (order.conversion_id, order.created, twice.created) == (first.conversion_id, True, False)
    amounts = await pool.fetch("SELECT position, amount_minor FROM credit WHERE brand_id = $1 ORDER BY 1", alice.id)
    assert [tuple(each) for each in amounts] == [(0, 10_000), (1, -100)]


async def test_a_refund_is_taken_from_each_share_and_an_order_without_money_counts_nothing(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    refunds = tuple(
        RefundReport(f"r{number}", amount_minor=amount, currency="USD", occurred_at=NOW - timedelta(minutes=9 - number))
        for number, amount in enumerate((3_000, 2_000))
    )
    await post(
        pool, alice, replace(ORDER, codes=(), currency="USD", refunds=refunds, occurred_at=NOW - timedelta(hours=1))
    )
    rows = await pool.fetch("SELECT * FROM credit WHERE brand_id = $1 ORDER BY position", alice.id)
    assert [(row["position"], row["share"], row["amount_minor"]) for row in rows] == [
        (0, 0, 10_000), (1, 0, -3_000), (2, 0, -2_000)
    ]  # fmt: skip
    assert [row["occurred_at"] for row in rows[1:]] == [refund.occurred_at for refund in refunds]
    assert {(row["weight_bp"], row["currency"], row["kind"], row["counted"]) for row in rows} == {
        (10_000, "USD", "sale", True)
    }
    unpriced = replace(ORDER, refs=("2",), order_id="2", codes=(), net_minor=None, currency=None, test=True)
    [recorded] = await post(pool, alice, unpriced)
    [row] = await pool.fetch(
        "SELECT * FROM credit WHERE conversion_id = $2 AND brand_id = $1", alice.id, recorded.conversion_id
    )
    assert (row["amount_minor"], row["currency"], row["counted"]) == (0, "EUR", False)


async def test_orders_that_one_report_names_together_become_the_oldest_of_them(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    lea = await create_collaboration(pool, alice)
    await create_code(pool, alice, lea, normalise("LEA10"))
    known = [
        (await post(pool, alice, replace(ORDER, refs=(name,), order_id=name)))[0].conversion_id
        for name in ("a", "b", "c")
    ]
    chain = [replace(ORDER, refs=refs, order_id="a") for refs in (("c", "new"), ("b", "c"), ("b", "a"))]
    merged = await post(pool, alice, *chain)
    assert {each.conversion_id for each in merged} == {known[0]}
    assert [each.created for each in merged] == [False] * 3
    rows = await pool.fetch(
        "SELECT id, root_id, status, digest FROM conversion WHERE brand_id = $1 ORDER BY id", alice.id
    )
    assert [(row["id"], row["root_id"]) for row in rows] == [(each, known[0]) for each in known]
    assert [row["status"] for row in rows] == ["pending", "merged", "merged"]
    assert [row["digest"] is None for row in rows] == [False, True, True]
    for table in ("decision", "credit"):
        found = await pool.fetch(f"SELECT conversion_id FROM {table} WHERE brand_id = $1", alice.id)
        assert [row["conversion_id"] for row in found] == [known[0]]
    [again] = await post(pool, alice, replace(ORDER, refs=("new",), order_id="a"))
    assert again.conversion_id == known[0]


async def test_stubs_that_are_merged_wait_on_as_one_stub(pool: asyncpg.Pool, alice: Brand) -> None:
    stub = replace(ORDER, order_id=None, codes=(), net_minor=None, currency=None, stub=True)
    first, *_ = await post(pool, alice, replace(stub, refs=("a",)), replace(stub, refs=("b",)))
    [merged] = await post(pool, alice, replace(stub, refs=("b", "a")))
    assert (merged.conversion_id, merged.created, merged.state.decision) == (first.conversion_id, False, None)
    [order] = await post(pool, alice, replace(ORDER, refs=("b",)))
    assert (order.conversion_id, order.created) == (first.conversion_id, True)
    # A stub that is older than the order it turns out to be.
    [waiting] = await post(pool, alice, replace(stub, refs=("c",)))
    await post(pool, alice, replace(ORDER, refs=("d",)))
    [merged] = await post(pool, alice, replace(ORDER, refs=("c", "d")))
    assert (merged.conversion_id, merged.created) == (waiting.conversion_id, False)
    assert await pool.fetchval("SELECT count(*) FROM credit WHERE brand_id = $1", alice.id) == 2


async def test_a_landing_counts_from_the_first_time_it_was_seen(pool: asyncpg.Pool, alice: Brand) -> None:
    click_id = random_ids.new_id()
    late, early = NOW, NOW - timedelta(hours=1)
    landings = [Landing("v1", str(click_id), seen_at) for seen_at in (late, early, late)]
    await in_transaction(pool, lambda connection: record_landings(connection, alice.id, landings))
    foreign = [Landing("v1", "no click of ours", late)]
    await in_transaction(pool, lambda connection: record_landings(connection, alice.id, foreign))
    rows = await pool.fetch("SELECT visitor_id, click_id, seen_at FROM visitor_click WHERE brand_id = $1", alice.id)
    assert [tuple(row) for row in rows] == [("v1", click_id, early)]


async def test_a_landing_wakes_the_orders_of_its_visitor(pool: asyncpg.Pool, alice: Brand) -> None:
    [order] = await post(pool, alice, replace(ORDER, visitor_id="v1"))
    await post(pool, alice, replace(ORDER, refs=("2",), order_id="2", visitor_id="v2"))
    await pool.execute("DELETE FROM redecide WHERE brand_id = $1", alice.id)
    landings = [Landing("v1", str(random_ids.new_id()), NOW)]
    await in_transaction(pool, lambda connection: record_landings(connection, alice.id, landings))
    [row] = await pool.fetch("SELECT conversion_id, after FROM redecide WHERE brand_id = $1", alice.id)
    assert (row["conversion_id"], row["after"]) == (order.conversion_id, None)
