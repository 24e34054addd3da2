"""Holds that pass: an approved order is locked by the background process, once, and a fact says so."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from msgspec.structs import replace

from app import clock, random_ids
from app.database.transactions import in_transaction
from app.domain import ids
from app.domain.orders import TRUST_PIXEL, TRUST_WEBHOOK, OrderReport, Receipt, RefundReport
from app.orders import statuses as module
from app.orders.record import record
from app.orders.redecide import redecide_orders
from app.orders.statuses import RequestedStatus, StatusResult, change_statuses, lock_due
from tests.cast import Brand, create_code, create_collaboration, create_link


@pytest.fixture(autouse=True)
async def others_locked(pool: asyncpg.Pool) -> None:
    """Locks what other tests left due: a lock looks at all brands, and the tests below count."""
    while await lock_due(pool):
        pass


async def hook(pool: asyncpg.Pool, brand: Brand, *, days_ago: float, heard_days_ago: float, **fields: Any) -> UUID:
    """A paid order placed and heard of so long ago."""
    now = clock.now()
    report = OrderReport(
        "main", "sale", ("1",), currency="EUR", net_minor=9_000, paid=True, occurred_at=now - timedelta(days=days_ago)
    )
    receipt = Receipt(TRUST_WEBHOOK, "hook", "shopify", now - timedelta(days=heard_days_ago))
    said = replace(report, **fields), receipt
    [recorded] = await in_transaction(pool, lambda connection: record(connection, brand.id, [said]))
    return recorded.conversion_id


async def row(pool: asyncpg.Pool, brand: Brand) -> asyncpg.Record:
    found = await pool.fetchrow("SELECT * FROM conversion WHERE brand_id = $1 AND root_id = id", brand.id)
    assert found is not None
    return found


async def test_an_order_is_locked_when_its_hold_has_passed_and_a_fact_says_so(pool: asyncpg.Pool, alice: Brand) -> None:
    await hook(pool, alice, days_ago=31, heard_days_ago=31)
    assert (await row(pool, alice))["status"] == "approved"
    assert await lock_due(pool) == 1
    locked = await row(pool, alice)
    assert (locked["status"], locked["locks_at"]) == ("locked", None)
    fact = await pool.fetchrow("SELECT * FROM status_change WHERE brand_id = $1", alice.id)
    assert fact is not None
    assert (fact["status"], fact["was"], fact["key_id"], fact["changed_at"]) == (
        "locked",
        "approved",
        None,
        locked["locked_at"],
    )
    assert await lock_due(pool) == 0


@pytest.mark.parametrize(
    ("days_ago", "heard_days_ago", "fields"),
    [
        (29, 29, {}),
        (31, 31, {"paid": None}),
        (31, 31, {"test": True}),
        # Heard of only now, as from an import: its other reports may be on their way.
        (90, 0, {}),
    ],
)
async def test_what_is_not_due_is_left_alone(
    pool: asyncpg.Pool, alice: Brand, days_ago: int, heard_days_ago: int, fields: dict[str, Any]
) -> None:
    await hook(pool, alice, days_ago=days_ago, heard_days_ago=heard_days_ago, **fields)
    assert await lock_due(pool) == 0
    assert (await row(pool, alice))["status"] in ("approved", "pending")


async def test_the_hold_is_the_campaign_s_and_else_the_brand_s(pool: asyncpg.Pool, alice: Brand) -> None:
    lea = await create_collaboration(pool, alice)
    await create_code(pool, alice, lea, "1EA10")
    for scope, days in ((alice.id, 60), (lea.campaign_id, 7)):
        await pool.execute(
            "INSERT INTO policy (brand_id, scope_id, version, rules, created_at) VALUES ($1, $2, 1, $3, $4)",
            alice.id,
            scope,
            f'{{"hold_days": {days}}}',
            clock.now(),
        )
    await hook(pool, alice, days_ago=8, heard_days_ago=8)
    held = await row(pool, alice)
    assert held["locks_at"] == held["occurred_at"] + timedelta(days=60)
    await hook(pool, alice, days_ago=8, heard_days_ago=8, codes=("LEA10",))
    held = await row(pool, alice)
    assert held["locks_at"] == held["occurred_at"] + timedelta(days=7)
    assert await lock_due(pool) == 1


async def test_several_processes_lock_an_order_once_and_one_locks_those_of_all_brands(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand
) -> None:
    await hook(pool, alice, days_ago=31, heard_days_ago=31)
    assert sum(await asyncio.gather(*(lock_due(pool) for _ in range(4)))) == 1
    await hook(pool, alice, days_ago=31, heard_days_ago=31, refs=("2",))
    await hook(pool, charlie, days_ago=31, heard_days_ago=31)
    assert await lock_due(pool) == 2
    assert await pool.fetchval("SELECT count(*) FROM status_change WHERE brand_id = $1", alice.id) == 2


async def test_an_order_that_cannot_be_locked_holds_up_no_other(
    pool: asyncpg.Pool, alice: Brand, caplog: pytest.LogCaptureFixture
) -> None:
    broken = await hook(pool, alice, days_ago=40, heard_days_ago=40)
    await hook(pool, alice, days_ago=31, heard_days_ago=31, refs=("2",))
    await hook(pool, alice, days_ago=31, heard_days_ago=31, refs=("3",))
    await pool.execute("UPDATE witness SET report = '{}' WHERE brand_id = $1 AND conversion_id = $2", alice.id, broken)
    assert await lock_due(pool) == 2
    rows = await pool.fetch("SELECT status, locks_at FROM conversion WHERE brand_id = $1 ORDER BY created_at", alice.id)
    assert [each["status"] for each in rows] == ["approved", "locked", "locked"]
    assert timedelta(minutes=59) < rows[0]["locks_at"] - clock.now() < timedelta(minutes=60)
    [logged] = caplog.record_tuples
    assert logged == ("ariane.intake", 40, f"order [{broken!r}] cannot be locked; tried again in 1:00:00")


async def test_while_the_database_is_away_no_lock_is_postponed(
    pool: asyncpg.Pool, alice: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hook(pool, alice, days_ago=31, heard_days_ago=31)
    due = (await row(pool, alice))["locks_at"]

    async def away(*_: object) -> None:
        raise asyncpg.AdminShutdownError("terminating connection")

    monkeypatch.setattr(module, "recompute_orders", away)
    with pytest.raises(asyncpg.AdminShutdownError):
        await lock_due(pool)
    assert (await row(pool, alice))["locks_at"] == due
    monkeypatch.undo()
    assert await lock_due(pool) == 1


async def test_an_order_that_takes_too_long_to_lock_holds_up_no_other(
    pool: asyncpg.Pool, alice: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = await hook(pool, alice, days_ago=40, heard_days_ago=40)
    await hook(pool, alice, days_ago=31, heard_days_ago=31, refs=("2",))
    whole = module.recompute_orders

    async def heavy(connection: asyncpg.Connection, brand_id: UUID, roots: Any) -> Any:
        if any(root.id == slow for root in roots):
            raise asyncpg.QueryCanceledError("statement timeout")
        return await whole(connection, brand_id, roots)

    monkeypatch.setattr(module, "recompute_orders", heavy)
    assert await lock_due(pool) == 1
    rows = await pool.fetch("SELECT status, locks_at FROM conversion WHERE brand_id = $1 ORDER BY created_at", alice.id)
    assert [each["status"] for each in rows] == ["approved", "locked"]
    assert rows[0]["locks_at"] > clock.now()


async def test_a_lock_and_a_decision_survive_a_merge_on_whichever_side_they_stood(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    first = await hook(pool, alice, days_ago=31, heard_days_ago=31)
    second = await hook(pool, alice, days_ago=31, heard_days_ago=31, refs=("2",), net_minor=5_000)
    for each, status in ((first, "rejected"), (second, "locked")):
        await pool.execute(
            """INSERT INTO status_change (brand_id, conversion_id, id, status, was, reason, changed_at)
               VALUES ($1, $2, $3, $4, 'approved', 'fraud', $5)""",
            alice.id,
            each,
            random_ids.new_id(),
            status,
            datetime(2026, 1, 1, tzinfo=UTC),
        )
        await in_transaction(pool, lambda connection, each=each: redecide_orders(connection, alice.id, [each]))  # type: ignore[misc]
    names = OrderReport("main", "sale", ("1", "2"), stub=True), Receipt(TRUST_WEBHOOK, "hook", "shopify", clock.now())
    [merged] = await in_transaction(pool, lambda connection: record(connection, alice.id, [names]))
    assert merged.state.conversion["status"] == "locked"
    assert [change.status for change in merged.state.changes] == ["rejected", "locked"]
    assert (await row(pool, alice))["status"] == "locked"


async def test_a_status_that_an_order_has_already_is_no_change(pool: asyncpg.Pool, alice: Brand) -> None:
    pending = await hook(pool, alice, days_ago=1, heard_days_ago=1, refs=("1",), paid=None)
    approved = await hook(pool, alice, days_ago=1, heard_days_ago=1, refs=("2",))
    requested = RequestedStatus("approved", random_ids.new_id())
    result = await in_transaction(
        pool, lambda connection: change_statuses(connection, alice.id, [pending, approved], requested)
    )
    assert result.changed == {pending}
    assert result.states is not None
    assert {key: each.conversion["status"] for key, each in result.states.items()} == dict.fromkeys(
        (pending, approved), "approved"
    )
    assert await pool.fetchval("SELECT count(*) FROM status_change WHERE brand_id = $1", alice.id) == 1
    [fact] = await pool.fetch("SELECT was, reason, note, key_id FROM status_change WHERE brand_id = $1", alice.id)
    assert dict(fact) == {"was": "pending", "reason": None, "note": None, "key_id": requested.key_id}


async def test_a_status_that_one_order_refuses_is_given_to_none(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand
) -> None:
    pending = await hook(pool, alice, days_ago=1, heard_days_ago=1, refs=("1",), paid=None)
    locked = await hook(pool, alice, days_ago=31, heard_days_ago=31, refs=("2",))
    foreign = await hook(pool, charlie, days_ago=1, heard_days_ago=1)
    assert await lock_due(pool) == 1
    requested = RequestedStatus("rejected", random_ids.new_id(), "fraud", "a note")

    async def ask(*ids: UUID) -> StatusResult:
        return await in_transaction(pool, lambda connection: change_statuses(connection, alice.id, ids, requested))

    result = await ask(pending, locked)
    assert (result.refused, result.states, result.changed) == ({locked: "locked"}, None, frozenset())
    result = await ask(pending, foreign)
    assert (result.unknown, result.refused, result.states) == ({foreign}, None, None)
    assert (
        await pool.fetchval("SELECT count(*) FROM status_change WHERE brand_id = $1 AND key_id IS NOT NULL", alice.id)
        == 0
    )
    result = await ask(pending)
    assert (result.changed, result.unknown, result.refused) == ({pending}, frozenset(), None)
    [fact] = await pool.fetch("SELECT * FROM status_change WHERE brand_id = $1 AND key_id IS NOT NULL", alice.id)
    assert (fact["status"], fact["was"], fact["reason"], fact["note"]) == ("rejected", "pending", "fraud", "a note")
    assert (await ask(pending)).changed == frozenset()


async def test_a_status_for_a_merged_order_goes_to_the_one_it_became_part_of(pool: asyncpg.Pool, alice: Brand) -> None:
    first = await hook(pool, alice, days_ago=1, heard_days_ago=1, refs=("1",))
    second = await hook(pool, alice, days_ago=1, heard_days_ago=1, refs=("2",))
    await hook(pool, alice, days_ago=1, heard_days_ago=1, refs=("1", "2"))
    requested = RequestedStatus("rejected", random_ids.new_id(), "fraud")
    result = await in_transaction(
        pool, lambda connection: change_statuses(connection, alice.id, [first, second], requested)
    )
    assert result.changed == {first, second}
    assert result.states is not None
    assert {each.conversion["id"] for each in result.states.values()} == {first}
    assert await pool.fetchval("SELECT count(*) FROM status_change WHERE brand_id = $1", alice.id) == 1


# ── Locked is locked ─────────────────────────────────────────────────────────────────────────────────────────────────


async def owners(pool: asyncpg.Pool, brand: Brand) -> list[tuple[UUID | None, int]]:
    rows = await pool.fetch(
        "SELECT collaboration_id, amount_minor FROM credit WHERE brand_id = $1 ORDER BY position, share", brand.id
    )
    return [(each["collaboration_id"], each["amount_minor"]) for each in rows]


async def locked_order(pool: asyncpg.Pool, brand: Brand) -> tuple[UUID, UUID, UUID]:
    """An order of Lea's that is locked, Lea's collaboration and Max's."""
    lea, max_ = await create_collaboration(pool, brand, "Lea"), await create_collaboration(pool, brand, "Max")
    await create_code(pool, brand, lea, "1EA10")
    await create_code(pool, brand, max_, "MAX5")
    conversion_id = await hook(pool, brand, days_ago=40, heard_days_ago=40, codes=("LEA10",))
    assert await lock_due(pool) >= 1
    return conversion_id, lea.id, max_.id


async def again(pool: asyncpg.Pool, brand: Brand, conversion_id: UUID) -> None:
    await in_transaction(pool, lambda connection: redecide_orders(connection, brand.id, [conversion_id]))


async def test_no_late_report_moves_the_credit_of_a_locked_order(pool: asyncpg.Pool, alice: Brand) -> None:
    conversion_id, lea, max_ = await locked_order(pool, alice)
    await hook(pool, alice, days_ago=40, heard_days_ago=0, codes=("MAX5",), lists_codes=True, version=9)
    assert await owners(pool, alice) == [(lea, 9_000)]
    await pool.execute("UPDATE code_assignment SET collaboration_id = $2 WHERE brand_id = $1", alice.id, max_)
    await again(pool, alice, conversion_id)
    assert await owners(pool, alice) == [(lea, 9_000)]
    found = await row(pool, alice)
    assert "differs_after_lock" in found["flags"]
    now = json.loads(await pool.fetchval("SELECT now FROM decision WHERE brand_id = $1", alice.id))
    assert [each["collaboration_id"] for each in now["credits"]] == [str(max_)]


async def test_a_refund_after_the_lock_takes_from_the_credit_as_it_stands(pool: asyncpg.Pool, alice: Brand) -> None:
    _, lea, max_ = await locked_order(pool, alice)
    await pool.execute("UPDATE code_assignment SET collaboration_id = $2 WHERE brand_id = $1", alice.id, max_)
    refund = RefundReport("r1", amount_minor=1_000, currency="EUR")
    await hook(pool, alice, days_ago=40, heard_days_ago=0, codes=("LEA10",), refunds=(refund,))
    assert await owners(pool, alice) == [(lea, 9_000), (lea, -1_000)]


async def test_shares_are_locked_to_the_cent(pool: asyncpg.Pool, alice: Brand) -> None:
    """Thirds of 100.00, refunded by 0.01 after the lock: the same split as without it."""
    clicks = [await clicked(pool, alice, name, days=41 + place) for place, name in enumerate(("Lea", "Max", "Eva"))]
    await pool.execute(
        "INSERT INTO policy (brand_id, scope_id, version, rules, created_at) VALUES ($1, $1, 1, $2, $3)",
        alice.id,
        '{"model": "linear"}',
        clock.now(),
    )
    fields: dict[str, Any] = {"net_minor": 10_000, "click_ids": tuple(map(str, clicks))}
    conversion_id = await hook(pool, alice, days_ago=40, heard_days_ago=40, **fields)
    before = await owners(pool, alice)
    assert sorted(amount for _, amount in before) == [3_333, 3_333, 3_334]
    assert await lock_due(pool) == 1
    assert await owners(pool, alice) == before
    # As a release before kept it, without exact weights.
    await pool.execute(
        """UPDATE status_change SET decided = (SELECT jsonb_set(decided::jsonb, '{credits}', jsonb_agg(each - 'weight'))::text
           FROM jsonb_array_elements(decided::jsonb -> 'credits') AS each) WHERE brand_id = $1""",
        alice.id,
    )
    await again(pool, alice, conversion_id)
    assert await owners(pool, alice) == before
    assert "differs_after_lock" not in (await row(pool, alice))["flags"]


async def test_an_order_paid_out_without_credit_stays_so_whatever_a_pixel_names(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    max_ = await create_collaboration(pool, alice, "Max")
    await create_code(pool, alice, max_, "MAX5")
    conversion_id = await hook(pool, alice, days_ago=40, heard_days_ago=40)
    assert await lock_due(pool) == 1
    await set_status(pool, alice, conversion_id, RequestedStatus("paid", random_ids.new_id()))
    report = OrderReport("main", "sale", ("1",), codes=("MAX5",))
    receipt = Receipt(TRUST_PIXEL, "pixel", "pixel", clock.now() - timedelta(days=40))
    await in_transaction(pool, lambda connection: record(connection, alice.id, [(report, receipt)]))
    assert await owners(pool, alice) == [(None, 9_000)]
    assert (await row(pool, alice))["status"] == "paid"


@pytest.mark.parametrize(("said", "expected"), [(("MAX5",), (False, False)), ((), (True, True))])
@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_locked_order_is_unsigned_as_its_kept_credit_is(
    pool: asyncpg.Pool, alice: Brand, said: tuple[str, ...], expected: tuple[bool, bool], forgotten: bool
) -> None:
    max_ = await create_collaboration(pool, alice, "Max")
    await create_code(pool, alice, max_, "MAX5")
    conversion_id = await hook(pool, alice, days_ago=40, heard_days_ago=40, codes=said)
    report = OrderReport("main", "sale", ("1",), codes=("MAX5", "NOBODY5"), visitor_id="v1")
    receipt = Receipt(TRUST_PIXEL, "pixel", "pixel", clock.now() - timedelta(days=40))
    await in_transaction(pool, lambda connection: record(connection, alice.id, [(report, receipt)]))
    assert await lock_due(pool) >= 1
    if forgotten:
        # As a release before kept it, which did not tell.
        await pool.execute(
            """UPDATE status_change SET decided = (SELECT jsonb_set(decided::jsonb, '{credits}', jsonb_agg(each - 'unsigned'))::text
               FROM jsonb_array_elements(decided::jsonb -> 'credits') AS each) WHERE brand_id = $1""",
            alice.id,
        )
    await hook(pool, alice, days_ago=40, heard_days_ago=0, codes=said, version=9)
    await again(pool, alice, conversion_id)
    assert await owners(pool, alice) == [(max_.id, 9_000)]
    credited = await pool.fetchval("SELECT unsigned FROM credit WHERE brand_id = $1", alice.id)
    assert ("unsigned" in (await row(pool, alice))["flags"], credited) == expected


@pytest.mark.parametrize("trust", [TRUST_WEBHOOK, TRUST_PIXEL])
async def test_a_share_of_a_release_before_whose_touch_is_gone_is_unsigned_where_the_order_is(
    pool: asyncpg.Pool, alice: Brand, trust: int
) -> None:
    conversion_id, lea, max_ = await locked_order(pool, alice)
    await pool.execute("UPDATE witness SET trust = $2 WHERE brand_id = $1", alice.id, trust)
    await pool.execute(
        """UPDATE status_change SET decided = replace(decided, '"unsigned":', '"x":') WHERE brand_id = $1""", alice.id
    )
    await pool.execute("UPDATE code_assignment SET collaboration_id = $2 WHERE brand_id = $1", alice.id, max_)
    await again(pool, alice, conversion_id)
    assert await owners(pool, alice) == [(lea, 9_000)]
    credited = await pool.fetchval("SELECT unsigned FROM credit WHERE brand_id = $1", alice.id)
    assert credited is (trust == TRUST_PIXEL)


async def test_a_link_that_turns_out_to_have_led_to_a_locked_code_order_credits_nobody_else(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    lea = await create_collaboration(pool, alice, "Lea")
    await create_code(pool, alice, lea, "MAX5")
    click_id = ids.floor_at(clock.now() - timedelta(days=41))
    conversion_id = await hook(pool, alice, days_ago=40, heard_days_ago=40, codes=("MAX5",), click_ids=(str(click_id),))
    assert await lock_due(pool) == 1
    link_id = await create_link(pool, alice, lea, f"late{alice.id.hex[-12:]}")
    await pool.execute(
        "INSERT INTO click (brand_id, id, link_id, occurred_at, class) VALUES ($1, $2, $3, $4, 0)",
        alice.id, click_id, link_id, clock.now() - timedelta(days=41),
    )  # fmt: skip
    await again(pool, alice, conversion_id)
    assert "differs_after_lock" not in (await row(pool, alice))["flags"]
    assert await pool.fetchval("SELECT link_id FROM credit WHERE brand_id = $1", alice.id) is None


async def test_a_pixel_never_delays_a_lock(pool: asyncpg.Pool, alice: Brand) -> None:
    await hook(pool, alice, days_ago=40, heard_days_ago=40)
    before = (await row(pool, alice))["locks_at"]
    report = OrderReport("main", "sale", ("1",), visitor_id="v1", occurred_at=clock.now())
    await in_transaction(
        pool,
        lambda connection: record(
            connection, alice.id, [(report, Receipt(TRUST_PIXEL, "pixel", "pixel", clock.now()))]
        ),
    )
    assert (await row(pool, alice))["locks_at"] == before


async def test_no_order_is_locked_before_its_hold_after_the_first_trusted_receipt(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    await hook(pool, alice, days_ago=400, heard_days_ago=2)
    locks_at = (await row(pool, alice))["locks_at"]
    assert timedelta(days=27) < locks_at - clock.now() < timedelta(days=29)


async def set_status(pool: asyncpg.Pool, brand: Brand, conversion_id: UUID, requested: RequestedStatus) -> StatusResult:
    return await in_transaction(
        pool, lambda connection: change_statuses(connection, brand.id, [conversion_id], requested)
    )


async def test_a_lock_is_lifted_with_a_note_and_the_order_decided_again(pool: asyncpg.Pool, alice: Brand) -> None:
    conversion_id, lea, max_ = await locked_order(pool, alice)
    await pool.execute("UPDATE code_assignment SET collaboration_id = $2 WHERE brand_id = $1", alice.id, max_)
    key = random_ids.new_id()
    refused = await set_status(pool, alice, conversion_id, RequestedStatus("approved", key))
    assert (refused.unexplained, refused.states) == ({conversion_id}, None)
    assert await owners(pool, alice) == [(lea, 9_000)]
    await set_status(pool, alice, conversion_id, RequestedStatus("approved", key, note="assigned to the wrong one"))
    found = await row(pool, alice)
    assert (found["status"], found["locked_at"], await owners(pool, alice)) == ("approved", None, [(max_, 9_000)])
    assert found["locks_at"] - clock.now() > timedelta(days=29)
    fact = await pool.fetchrow("SELECT * FROM status_change WHERE brand_id = $1 ORDER BY changed_at DESC", alice.id)
    assert fact is not None
    assert (fact["was"], fact["note"], fact["key_id"]) == ("locked", "assigned to the wrong one", key)


async def test_what_was_paid_out_is_never_unlocked(pool: asyncpg.Pool, alice: Brand) -> None:
    conversion_id, *_ = await locked_order(pool, alice)
    key = random_ids.new_id()
    await set_status(pool, alice, conversion_id, RequestedStatus("paid", key))
    refused = await set_status(pool, alice, conversion_id, RequestedStatus("approved", key, note="please"))
    assert refused.refused == {conversion_id: "paid"}


async def clicked(pool: asyncpg.Pool, brand: Brand, name: str, *, days: int) -> UUID:
    """A click on a link of a new influencer, so many days ago."""
    collaboration = await create_collaboration(pool, brand, name)
    link_id = await create_link(pool, brand, collaboration, f"{name}{brand.id.hex[-12:]}".lower())
    at = clock.now() - timedelta(days=days)
    click_id = ids.floor_at(at)
    await pool.execute(
        "INSERT INTO click (brand_id, id, link_id, occurred_at, class) VALUES ($1, $2, $3, $4, 0)",
        brand.id,
        click_id,
        link_id,
        at,
    )
    return click_id


async def test_the_lifting_of_a_lock_unlocks_no_other_order_that_turns_out_to_be_the_same(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    """The lock of the first stands until somebody lifts it too; then one request lifts whatever locks the order has."""
    first = await hook(pool, alice, days_ago=40, heard_days_ago=40)
    other = await hook(pool, alice, days_ago=40, heard_days_ago=40, refs=("2",))

    async def change(conversion_id: UUID, status: str) -> None:
        requested = RequestedStatus(status, random_ids.new_id(), note="as agreed")
        await in_transaction(pool, lambda connection: change_statuses(connection, alice.id, [conversion_id], requested))

    for conversion_id, status in ((first, "locked"), (other, "locked"), (other, "approved")):
        await change(conversion_id, status)
    await hook(pool, alice, days_ago=40, heard_days_ago=0, refs=("1", "2"))
    assert (await row(pool, alice))["status"] == "locked"
    await change(other, "approved")
    assert (await row(pool, alice))["status"] == "approved"
    await change(first, "locked")
    assert (await row(pool, alice))["status"] == "locked"
    await change(first, "approved")
    assert (await row(pool, alice))["status"] == "approved"
