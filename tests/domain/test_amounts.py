"""What each witness says of an order's amount, beside the amount that is taken."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.amounts import AMOUNTS, EXACT, AmountCheck, Tolerance, charged_part
from app.domain.folding import Order, fold
from app.domain.orders import (
    TRUST_PIXEL,
    TRUST_SERVER,
    TRUST_WEBHOOK,
    OrderReport,
    Receipt,
    Witness,
    content_hash,
    encode_report,
)
from app.domain.statuses import StatusChange

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ONE_PERCENT = Tolerance(bp=100, minor=1)


def said(trust: int, place: str, *, at: datetime = NOON, **fields: Any) -> Witness:
    report = OrderReport(**{"shop": "main", "kind": "sale", "refs": ("1",), "currency": "EUR", **fields})
    return Witness(
        report, trust, content_hash(Receipt(trust, place, place, at), encode_report(report)), at, place, place
    )


def shop(**fields: Any) -> Witness:
    return said(TRUST_WEBHOOK, "shopify", **fields)


def server(**fields: Any) -> Witness:
    return said(TRUST_SERVER, "api", **fields)


def pixel(**fields: Any) -> Witness:
    return said(TRUST_PIXEL, "pixel", **fields)


def accounts(order: Order) -> dict[str, tuple[str, int | None, int | None]]:
    def told(account: AmountCheck) -> tuple[str, int | None, int | None]:
        return account.amounts, account.net_minor, account.difference_minor

    return {f"{each.witness.door} {each.witness.report.version}": told(each) for each in order.amount_checks}


def test_one_is_used_and_the_others_confirm_differ_or_say_nothing() -> None:
    order = fold([server(net_minor=9_950), shop(net_minor=10_000), pixel(codes=("LEA10",))], [], tolerance=ONE_PERCENT)
    assert accounts(order) == {
        "shopify 0": ("used", 10_000, 0),
        "api 0": ("confirmed", 9_950, -50),
        "pixel 0": ("none", None, None),
    }
    assert "amount_disagreement" not in order.flags
    assert [each.witness.door for each in order.amount_checks] == ["shopify", "api", "pixel"]


@pytest.mark.parametrize(("net", "flagged"), [(9_900, False), (9_899, True), (10_100, False), (10_101, True)])
@pytest.mark.parametrize("other", [server, pixel])
def test_more_than_the_tolerance_is_flagged_whoever_says_it(other: Any, net: int, flagged: bool) -> None:
    order = fold([shop(net_minor=10_000), other(net_minor=net)], [], tolerance=ONE_PERCENT)
    assert ("amount_disagreement" in order.flags) is flagged
    assert order.net_minor == 10_000


def test_small_orders_may_differ_by_the_fixed_amount() -> None:
    order = fold([shop(net_minor=50), server(net_minor=52)], [], tolerance=Tolerance(bp=100, minor=2))
    assert order.flags == ()


def test_a_tolerance_is_exact_to_the_minor_unit_of_the_largest_amount() -> None:
    assert EXACT.holds(0, 10**15)
    assert not EXACT.holds(1, 10**15)
    # A share of 99.99 % is 0.0001 short of the next whole unit here, which is nothing to a float of this size.
    amount = 10**15 - 9_999
    assert Tolerance(bp=9_999).holds(-(amount * 9_999 // 10_000), -amount)
    assert not Tolerance(bp=9_999).holds(amount * 9_999 // 10_000 + 1, amount)


def test_the_words_for_an_amount_are_those_of_the_api() -> None:
    assert (
        " ".join(AMOUNTS) == "used confirmed differs superseded after_lock after_refunds other_currency other_base none"
    )


def test_a_pixel_that_tells_what_was_paid_is_compared_with_what_was_paid() -> None:
    taxed = shop(net_minor=10_000, tax_minor=2_000, shipping_minor=500)
    assert accounts(fold([taxed, pixel(net_minor=12_500, estimated=True)], []))["pixel 0"] == ("confirmed", 12_500, 0)
    differing = fold([taxed, pixel(net_minor=10_000, estimated=True)], [], tolerance=ONE_PERCENT)
    assert accounts(differing)["pixel 0"] == ("differs", 10_000, -2_500)
    assert differing.flags == ("amount_disagreement",)
    knows_tax = pixel(net_minor=10_500, tax_minor=2_000, estimated=True)
    assert accounts(fold([taxed, knows_tax], []))["pixel 0"] == ("confirmed", 10_500, 0)


def test_a_report_that_knows_its_own_tax_is_compared_by_that_and_not_by_the_order_s() -> None:
    paid = shop(net_minor=13_000, estimated=True)
    newer, older = server(version=2, net_minor=12_000, tax_minor=1_000), server(net_minor=10_000, tax_minor=3_000)
    shipped = server(version=3, shipping_minor=0)
    order = fold([paid, newer, older, shipped], [])
    assert order.tax_minor == 1_000
    assert accounts(order)["api 0"] == ("confirmed", 10_000, 0)


def test_an_amount_with_tax_that_nobody_tells_apart_is_not_compared() -> None:
    order = fold([shop(net_minor=10_000), pixel(net_minor=12_500, estimated=True)], [])
    assert accounts(order)["pixel 0"] == ("other_base", 12_500, None)
    assert order.flags == ()


def test_what_a_place_has_replaced_by_something_newer_is_no_disagreement() -> None:
    order = fold([shop(net_minor=10_000, version=1), shop(net_minor=8_000, version=2)], [], tolerance=ONE_PERCENT)
    assert accounts(order) == {"shopify 2": ("used", 8_000, 0), "shopify 1": ("superseded", 10_000, 2_000)}
    assert order.flags == ()


def test_of_two_that_only_the_hash_told_apart_the_flag_is_another() -> None:
    order = fold([server(net_minor=10_000), server(net_minor=5_000)], [], tolerance=ONE_PERCENT)
    assert order.flags == ("conflicting_reports",)
    assert sorted(each.amounts for each in order.amount_checks) == ["differs", "used"]


def test_two_currencies_are_flagged_unless_a_pixel_tells_what_the_shopper_saw() -> None:
    order = fold([shop(net_minor=10_000), server(net_minor=11_000, currency="USD")], [])
    assert accounts(order)["api 0"] == ("other_currency", 11_000, None)
    assert order.flags == ("currency_disagreement",)
    assert fold([shop(net_minor=10_000), pixel(net_minor=11_000, currency="USD")], []).flags == ()


# ── After the lock ───────────────────────────────────────────────────────────────────────────────────────────────────

LOCK = StatusChange("locked", NOON + 5 * MINUTE, "approved")


def test_after_the_lock_another_amount_is_shown_and_flagged_and_moves_nothing() -> None:
    early, late = (
        server(net_minor=10_000, items_minor=10_000),
        shop(net_minor=7_000, items_minor=7_000, at=NOON + 6 * MINUTE),
    )
    order = fold([late, early], [], changes=[LOCK], tolerance=ONE_PERCENT)
    assert (order.net_minor, order.items_minor, order.status) == (10_000, 10_000, "locked")
    assert order.flags == ("changed_after_lock",)
    assert accounts(order) == {"shopify 0": ("after_lock", 7_000, -3_000), "api 0": ("used", 10_000, 0)}


def test_after_the_lock_date_currency_and_test_mark_stand_still_and_the_same_again_changes_nothing() -> None:
    early = server(net_minor=10_000, occurred_at=NOON)
    same = shop(net_minor=10_000, occurred_at=NOON, at=NOON + 6 * MINUTE)
    assert fold([early, same], [], changes=[LOCK]).flags == ()
    other = shop(net_minor=10_000, currency="USD", test=True, occurred_at=NOON - MINUTE, at=NOON + 6 * MINUTE)
    order = fold([early, other], [], changes=[LOCK])
    assert (order.currency, order.test, order.occurred_at) == ("EUR", False, NOON)
    assert "changed_after_lock" in order.flags


def test_after_the_lock_signals_still_arrive() -> None:
    early, late = server(net_minor=10_000), shop(codes=("LEA10",), at=NOON + 6 * MINUTE)
    assert fold([early, late], [], changes=[LOCK]).codes == ("1EA10",)


def test_what_was_heard_before_the_lock_counts_also_when_it_is_recorded_later() -> None:
    order = fold([server(net_minor=10_000), shop(net_minor=7_000, at=NOON + 4 * MINUTE)], [], changes=[LOCK])
    assert order.net_minor == 7_000
    assert "changed_after_lock" not in order.flags


def test_an_approved_order_may_be_locked_when_it_has_been_quiet_for_a_day_or_people_approved_it() -> None:
    paid = shop(net_minor=10_000, paid=True)
    again = shop(net_minor=10_000, paid=True, version=2, at=NOON + 6 * MINUTE)
    assert fold([paid, again], []).lockable_at == NOON + 6 * MINUTE + timedelta(days=1)
    by_hand = StatusChange("approved", NOON + 5 * MINUTE, "pending")
    assert fold([paid], [], changes=[by_hand]).lockable_at == NOON + 5 * MINUTE
    assert fold([shop(net_minor=10_000)], []).lockable_at is None
    assert fold([shop(net_minor=10_000, paid=True, test=True)], []).lockable_at is None
    assert fold([paid], [], changes=[LOCK]).lockable_at is None


# ── Orders of which only a part was charged ──────────────────────────────────────────────────────────────────────────

minor = st.integers(0, 10**9)


@given(minor, st.none() | minor, st.none() | minor, minor, minor)
def test_the_parts_of_what_was_charged_add_up_to_it(
    net: int, tax: int | None, shipping: int | None, rest: int, charged: int
) -> None:
    total = net + (tax or 0) + (shipping or 0) + rest
    found = charged_part(charged, total, (net, tax, shipping))
    assert [part is None for part in found] == [False, tax is None, shipping is None]
    left = charged - sum(part or 0 for part in found)
    assert left == 0 if rest == 0 or total == 0 else abs(left * total - charged * rest) < total
    if total:
        for part, whole in zip(found, (net, tax, shipping), strict=True):
            assert part is None or whole is None or abs(part * total - charged * whole) < total


def captured(charged: int | None, **fields: Any) -> Witness:
    return said(TRUST_WEBHOOK, "hook", version=9, charged_minor=charged, paid=True, stub=True, **fields)


def test_an_order_is_worth_what_was_charged_of_its_total_and_its_refunds_are_parts_of_that() -> None:
    sold = said(
        TRUST_WEBHOOK,
        "hook",
        net_minor=4_000,
        tax_minor=800,
        shipping_minor=200,
        items_minor=5_000,
        discount_minor=1_000,
    )
    for charged, worth in ((5_000, 4_000), (2_500, 2_000), (1, 1), (None, 4_000), (6_000, 4_800)):
        order = fold([sold, captured(charged)], [])
        assert (order.net_minor, order.status) == (worth, "approved")
        assert order.items_minor == worth + (order.discount_minor or 0)
    # The largest: each capture states the sum of all so far.
    assert fold([captured(1_000), sold, captured(2_500)], []).net_minor == 2_000


def test_what_was_charged_in_another_currency_is_a_share_of_the_total_in_that_one() -> None:
    sold = said(TRUST_WEBHOOK, "hook", net_minor=4_000, tax_minor=1_000, total_minor=10_000, total_currency="USD")
    assert fold([sold, captured(5_000, currency="USD")], []).net_minor == 2_000
    assert fold([sold, captured(5_000, currency="GBP")], []).net_minor == 4_000


def test_a_payment_alone_is_no_order() -> None:
    assert fold([captured(1_000)], []) == Order()
