"""One order out of all its witnesses: whom to believe, what adds up, and that nothing depends on who came first."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.domain.amounts import Tolerance
from app.domain.folding import FLAGS, Order, code_named, fold
from app.domain.orders import (
    TRUST_PIXEL,
    TRUST_SERVER,
    TRUST_WEBHOOK,
    Adjustment,
    Customer,
    OrderLine,
    OrderReport,
    Receipt,
    RefundReport,
    Witness,
    content_hash,
    encode_report,
    read_click,
    read_report,
    stated_fields,
)
from app.domain.signals import counting
from app.domain.statuses import StatusChange
from app.domain.trust import Rank

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DOORS = {TRUST_WEBHOOK: "hook", TRUST_SERVER: "api", TRUST_PIXEL: "pixel"}


def said(trust: int, *, at: datetime = NOON, **fields: Any) -> Witness:
    """A witness of this trust who says these things."""
    report = OrderReport(**{"shop": "main", "kind": "sale", "refs": ("1001",), **fields})
    digest = content_hash(Receipt(trust, DOORS[trust], DOORS[trust], at), encode_report(report))
    return Witness(report, trust, digest, at, DOORS[trust])


def webhook(**fields: Any) -> Witness:
    return said(TRUST_WEBHOOK, **fields)


def server(**fields: Any) -> Witness:
    return said(TRUST_SERVER, **fields)


def pixel(**fields: Any) -> Witness:
    return said(TRUST_PIXEL, **fields)


def gave_back(
    refund_id: str,
    amount: int | None,
    *,
    kind: str = "refund",
    at: datetime | None = NOON + MINUTE,
    received: datetime = NOON + timedelta(days=30),
    trust: int = TRUST_SERVER,
    version: int = 0,
    currency: str | None = "EUR",
    reverses: str | None = None,
    lines: tuple[OrderLine, ...] = (),
) -> Adjustment:
    """An adjustment as it is kept. amount None: what the lines are worth, or all that is left."""
    line_based = amount is None and bool(lines)
    full = amount is None and not line_based
    report = RefundReport(
        refund_id, kind, amount, full, currency, at, version, lines, line_based=line_based, reverses=reverses
    )
    digest = content_hash(Receipt(trust, "api", "api", received), encode_report(report))
    return Adjustment(report, trust, digest, received)


EUR_100 = {"net_minor": 10_000, "currency": "EUR"}


# ── Whom to believe ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_field_comes_from_the_most_trusted_who_states_it() -> None:
    order = fold(
        [pixel(net_minor=1, currency="USD", tax_minor=7), server(**EUR_100), webhook(tax_minor=19, paid=True)], []
    )
    assert (order.net_minor, order.currency, order.tax_minor, order.status) == (10_000, "EUR", 19, "approved")
    assert order.flags == ()


def test_amount_and_currency_come_from_one_mouth() -> None:
    order = fold(
        [server(net_minor=4_990, currency="USD", shipping_minor=500), webhook(currency="EUR", shipping_minor=400)], []
    )
    assert (order.net_minor, order.currency, order.shipping_minor) == (4_990, "USD", 500)


def test_of_equal_trust_the_newer_version_is_believed() -> None:
    old, new = webhook(version=1, net_minor=100, currency="EUR"), webhook(version=2, net_minor=90, currency="EUR")
    assert fold([new, old], []).net_minor == 90
    assert fold([new, old], []).flags == ()


def test_where_neither_is_newer_a_fixed_one_is_believed_and_the_order_flagged() -> None:
    one, other = server(net_minor=100, currency="EUR"), server(net_minor=90, currency="EUR")
    assert fold([one, other], []) == fold([other, one], [])
    assert fold([one, other], []).flags == ("conflicting_reports",)


def test_net_is_made_of_its_parts_when_nobody_says_it_outright() -> None:
    assert fold([server(items_minor=12_000, discount_minor=1_200, currency="EUR")], []).net_minor == 10_800
    assert fold([server(items_minor=12_000, currency="EUR")], []).net_minor == 12_000
    unknown = fold([server(codes=("LEA10",))], [])
    assert (unknown.net_minor, unknown.flags) == (None, ("amount_unknown",))
    for kind in ("lead", "signup", "install"):
        assert fold([webhook(kind=kind)], []).flags == ()
        assert fold([webhook(kind=kind, net_minor=500, estimated=True, currency="EUR")], []).flags == ("net_estimated",)
    assert fold([webhook(kind="trial")], []).flags == ("amount_unknown",)


def test_an_order_that_has_only_a_name_that_was_made_for_it_is_flagged() -> None:
    assert fold([pixel(kind="lead", refs=("weak:1EA10@:lead:minute",))], []).flags == ("unsigned", "weak_order_id")
    assert "weak_order_id" not in fold([pixel(refs=("weak:a:sale",)), webhook(refs=("1001", "weak:a:sale"))], []).flags


def test_an_estimate_is_told_as_one_until_somebody_knows() -> None:
    guess = pixel(net_minor=4_990, currency="EUR", estimated=True)
    assert fold([guess], []).flags == ("net_estimated", "unsigned")
    assert fold([guess, server(**EUR_100)], []).flags == ()


def test_codes_are_the_union_of_authenticated_witnesses_and_an_empty_list_erases_none() -> None:
    order = fold(
        [webhook(version=2, codes=()), webhook(version=1, codes=("lea 10",)), server(codes=("Max-5", "LEA10"))], []
    )
    assert order.codes == ("1EA10", "MAX5")
    assert order.spellings["1EA10"] == "lea 10"


@pytest.mark.parametrize("names", [{"codes": ("MAX5",)}, {"click_ids": ("clk_x",)}, {"visitor_id": "v1"}])
def test_a_pixel_speaks_only_where_no_authenticated_witness_did(names: dict[str, Any]) -> None:
    alone = fold([pixel(**names), webhook(**EUR_100)], [])
    assert alone.flags == ()
    assert (alone.codes, tuple(alone.signals.click_ids), alone.visitor_id) == (
        names.get("codes", ()),
        names.get("click_ids", ()),
        names.get("visitor_id"),
    )
    beside = fold([pixel(**names), webhook(**EUR_100, codes=("LEA10",), click_ids=("clk_y",), visitor_id="v2")], [])
    assert (beside.codes, counting(beside.signals.click_ids), beside.visitor_id) == (("1EA10",), ("clk_y",), "v2")
    assert beside.flags == ()
    assert tuple(beside.signals.codes) == ("1EA10", *names.get("codes", ()))
    assert tuple(beside.signals.click_ids) == ("clk_y", *names.get("click_ids", ()))


def test_a_pixel_cannot_make_an_order_a_test() -> None:
    assert not fold([pixel(test=True), server(**EUR_100)], []).test
    assert fold([pixel(test=True)], []).test
    assert fold([server(test=True, **EUR_100), server(**EUR_100)], []).test


def test_an_order_of_pixels_alone_is_unverified_and_flagged_when_its_amount_is_more_than_pixels_are_believed_for() -> (
    None
):
    much = pixel(net_minor=200_001, currency="EUR", paid=True)
    order = fold([much], [])
    assert (order.status, order.net_minor, order.lockable_at) == ("unverified", 200_001, None)
    assert "over_pixel_max" in order.flags
    assert fold([pixel(net_minor=200_000, currency="EUR", paid=True)], []).status == "approved"
    assert fold([much, server(**EUR_100)], []).status == "pending"
    assert fold([much, server()], []).status == "pending"
    assert fold([much], [], changes=[StatusChange("approved", NOON, "unverified")]).status == "approved"


def test_an_order_of_a_pixel_alone_is_unverified_while_the_shop_has_a_signed_source() -> None:
    assert fold([pixel(**EUR_100)], []).status == "pending"
    assert fold([pixel(**EUR_100)], [], [(NOON, None)]).status == "unverified"
    assert fold([pixel(**EUR_100)], [], [(NOON + MINUTE, None)]).status == "pending"
    assert fold([pixel(**EUR_100)], [], [(NOON - MINUTE, NOON)]).status == "pending"
    assert fold([pixel(**EUR_100), webhook()], [], [(NOON, None)]).status == "pending"


def test_time_is_what_is_said_but_never_after_the_first_receipt() -> None:
    assert fold([server(occurred_at=NOON - MINUTE)], []).occurred_at == NOON - MINUTE
    assert fold([server(occurred_at=NOON + MINUTE)], []).occurred_at == NOON
    assert fold([server(), server(version=1, at=NOON - MINUTE)], []).occurred_at == NOON - MINUTE
    assert fold([server(), pixel(at=NOON - MINUTE, occurred_at=NOON - MINUTE)], []).occurred_at == NOON
    early_pixel = fold([webhook(occurred_at=NOON), pixel(at=NOON - MINUTE)], [])
    assert early_pixel.occurred_at == NOON


def test_no_witness_is_a_stub_whatever_refunds_say() -> None:
    assert fold([], [gave_back("r", 100)]) == Order()


def test_every_part_of_an_order_comes_from_the_first_that_states_it() -> None:
    strong = webhook(
        version=2, net_minor=90, currency="EUR", order_id="A", discount_minor=5, origin="renewal", code_ids=("p1", "p2")
    )
    weak = webhook(
        version=1, items_minor=95, discount_minor=6, tax_minor=7, shipping_minor=8, origin="first", code_ids=("p2", "p3"),
        customer=Customer("k", is_new=False),
    )  # fmt: skip
    pixels = pixel(order_id="P", customer=Customer("x", is_new=True), code_ids=("p4",), visitor_id="v", refs=("9",))
    order = fold([pixels, weak, strong], [])
    assert (order.order_id, order.origin, order.signals.code_ids) == ("A", "renewal", ("p1", "p2", "p3"))
    assert (order.items_minor, order.discount_minor, order.tax_minor, order.shipping_minor) == (95, 5, 7, 8)
    assert (order.customer_key, order.customer_is_new, order.visitor_id) == ("k", False, "v")
    assert order.flags == ()
    nameless = fold([server(refs=("#7", "x"))], [])
    assert (nameless.order_id, nameless.origin, nameless.currency, nameless.net_minor) == ("#7", "unknown", None, None)


def test_amounts_in_another_currency_than_the_net_are_left_aside() -> None:
    order = fold(
        [webhook(**EUR_100), server(currency="USD", tax_minor=7, lines=(OrderLine("1"),)), server(shipping_minor=8)], []
    )
    assert (order.currency, order.tax_minor, order.shipping_minor) == ("EUR", None, 8)
    assert fold([server(currency="USD", tax_minor=7)], []).currency == "USD"


def test_spellings_are_the_most_trusted_and_of_one_report_the_first() -> None:
    order = fold([pixel(codes=("lea10",)), webhook(codes=("Lea 10", "LEA-10", "--")), server(codes=("Max",))], [])
    assert order.codes == ("1EA10", "MAX")
    assert {order.spellings[code] for code in order.codes} == {"Lea 10", "Max"}


def test_an_order_is_unsigned_by_itself_where_no_trusted_report_gives_it_or_its_amount() -> None:
    named = {"codes": ("LEA10",), "click_ids": ("clk_y",), "visitor_id": "v", **EUR_100}
    assert fold([webhook(**EUR_100), pixel(**named)], []).flags == ()
    assert fold([webhook(), pixel(**EUR_100)], []).flags == ("unsigned",)
    assert fold([pixel(**EUR_100)], []).flags == ("unsigned",)
    assert fold([pixel()], []).flags == ("amount_unknown", "unsigned")


def test_of_unsigned_reports_alone_all_codes_and_clicks_count() -> None:
    named = {"codes": ("LEA10",), "click_ids": ("clk_y",), "visitor_id": "v", **EUR_100}
    only = fold([pixel(**named, version=1), pixel(codes=("MAX",))], [])
    assert (set(only.codes), counting(only.signals.click_ids)) == ({"1EA10", "MAX"}, ("clk_y",))


def test_an_order_is_paid_when_the_most_trusted_that_says_so_says_so() -> None:
    assert fold([webhook(paid=False), server(paid=True)], []).status == "pending"
    assert fold([webhook(), server(paid=True)], []).status == "approved"
    assert fold([webhook(), pixel(paid=True)], []).status == "pending"
    assert fold([pixel(paid=True)], []).status == "approved"
    assert fold([pixel(paid=True)], [], [(NOON - MINUTE, NOON), (NOON, NOON + MINUTE)]).status == "unverified"
    assert (
        fold([pixel(paid=True), pixel(at=NOON + MINUTE, version=1)], [], [(NOON + MINUTE, None)]).status == "approved"
    )


def test_people_outweigh_the_reports_and_a_rejection_has_its_reason() -> None:
    rejected = StatusChange("rejected", NOON, "pending", "fraud")
    order = fold([webhook(**EUR_100, paid=True)], [], changes=[rejected])
    assert (order.status, order.status_reason, order.locked_at, order.lockable_at) == ("rejected", "fraud", None, None)
    locked = fold([webhook(**EUR_100)], [], changes=[StatusChange("locked", NOON, "approved")])
    assert (locked.status, locked.locked_at) == ("locked", NOON)


def test_what_arrives_after_the_lock_changes_nothing_and_is_flagged_when_it_would() -> None:
    lock = [StatusChange("locked", NOON, "approved")]
    early = server(
        **EUR_100, items_minor=10_000, tax_minor=1, shipping_minor=2, discount_minor=0, occurred_at=NOON - MINUTE
    )
    same = {
        **EUR_100,
        "items_minor": 10_000,
        "tax_minor": 1,
        "shipping_minor": 2,
        "discount_minor": 0,
        "occurred_at": NOON - MINUTE,
    }
    assert fold([early, webhook(at=NOON + MINUTE, **same)], [], changes=lock).flags == ()
    for other in (
        {"net_minor": 9_999}, {"currency": "USD"}, {"items_minor": 9_999}, {"tax_minor": 2}, {"shipping_minor": 3}, {"discount_minor": 1},
        {"occurred_at": NOON - 2 * MINUTE}, {"test": True},
    ):  # fmt: skip
        order = fold([early, webhook(at=NOON + MINUTE, **{**same, **other})], [], changes=lock)
        assert "changed_after_lock" in order.flags, other
        assert (order.net_minor, order.currency, order.tax_minor, order.test) == (10_000, "EUR", 1, False)
    # At the moment of the lock is in time; and when nothing was in time, all is.
    assert fold([webhook(at=NOON, net_minor=5, currency="EUR"), early], [], changes=lock).net_minor == 5
    assert fold([webhook(at=NOON + MINUTE, net_minor=5, currency="EUR")], [], changes=lock).net_minor == 5


def test_a_refund_that_a_newer_list_of_the_shop_lacks_was_deleted() -> None:
    both, one = webhook(**EUR_100, version=1, refund_ids=("a", "b")), webhook(**EUR_100, version=2, refund_ids=("a",))
    refunds = [gave_back("a", 1_000), gave_back("b", 2_000), gave_back("b", 500, kind="chargeback")]
    assert fold([both], refunds).refunded_minor == 3_500
    assert fold([both, one], refunds).refunded_minor == 1_500
    assert fold([one, webhook(version=3)], refunds).refunded_minor == 3_500
    assert fold([both, webhook(version=2, refund_ids=())], refunds).refunded_minor == 500
    # Two lists of one version are one list.
    split = [webhook(version=2, refund_ids=("a",)), webhook(version=2, refund_ids=("b",))]
    assert fold([both, *split], refunds).refunded_minor == 3_500


def test_a_fact_counts_once_at_its_earliest_receipt() -> None:
    late = server(**EUR_100, paid=True)
    early = replace(late, received_at=NOON - MINUTE)
    for facts in ([late, early], [early, late]):
        order = fold(facts, [])
        assert (len(order.amount_checks), order.occurred_at) == (1, NOON - MINUTE)
        assert order.lockable_at == NOON - MINUTE + timedelta(days=1)


def test_the_time_of_an_order_is_capped_by_those_trusted_as_much_and_is_in_utc() -> None:
    local = (NOON + 5 * MINUTE).astimezone(ZoneInfo("Europe/Helsinki"))
    found = fold([server(occurred_at=local, at=NOON + 9 * MINUTE), webhook(at=NOON + 2 * MINUTE)], []).occurred_at
    assert found == NOON + 2 * MINUTE
    found = fold(
        [server(occurred_at=local, at=(NOON + 9 * MINUTE).astimezone(ZoneInfo("Europe/Helsinki")))], []
    ).occurred_at
    assert found is not None
    assert found == NOON + 5 * MINUTE
    assert found.tzinfo is UTC
    received = fold([server(at=local)], []).occurred_at
    assert received is not None
    assert received.tzinfo is UTC


def test_codes_that_the_brand_has_mapped_are_added_once_and_are_no_longer_unsigned() -> None:
    trusted, unsigned = webhook(codes=("LEO",), code_ids=("p1", "p2", "p3", "p4")), pixel(codes=("MAX", "TOM"))
    named = code_named(fold([trusted, unsigned], []), {"p2": "MAX", "p1": "1E0", "p9": "ZOE", "p4": "MAX"}, {})
    assert (named.codes, tuple(named.signals.codes)) == (("1E0", "MAX"), ("1E0", "MAX", "T0M"))
    assert named.aliases == {"p1": "1E0", "p2": "MAX", "p4": "MAX"}


def test_an_alias_in_the_place_of_a_code_stands_for_it_with_the_trust_of_who_named_it() -> None:
    trusted, unsigned = webhook(codes=("dsc_01", "TOM")), pixel(codes=("Dsc 02", "dsc_03", "TOM"))
    texts = {"DSC01": "1E0", "DSC02": "MAX", "DSC03": "T0M"}
    named = code_named(fold([trusted, unsigned], []), {}, texts)
    assert (named.codes, tuple(named.signals.codes)) == (("1E0", "T0M"), ("1E0", "T0M", "MAX"))
    assert [named.signals.codes[code].rank for code in ("1E0", "T0M", "MAX")] == [
        Rank.TRUSTED,
        Rank.TRUSTED,
        Rank.NUMBER,
    ]
    assert named.aliases == {"dsc_01": "1E0", "Dsc 02": "MAX", "dsc_03": "T0M"}
    assert named.spellings["T0M"] == "TOM"


# ── Refunds ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def taken(adjustments: list[Adjustment], net: int = 10_000) -> tuple[list[int], tuple[str, ...]]:
    order = fold([server(net_minor=net, currency="EUR")], adjustments)
    assert order.refunded_minor == sum(effect.amount_minor for effect in order.effects)
    return [effect.amount_minor for effect in order.effects], order.flags


def test_the_walk_through_of_a_partial_refund() -> None:
    # 120.00 with tax, −10 % = 108.00, of it 18.00 tax: net 90.00. 48.00 with tax given back: 40.00.
    order = fold([server(items_minor=10_000, discount_minor=1_000, tax_minor=1_800, shipping_minor=590, currency="EUR")],
                 [gave_back("r-1", 4_000)])  # fmt: skip
    assert (order.net_minor, order.refunded_minor) == (9_000, 4_000)


def test_full_is_what_is_left_and_a_cancellation_takes_it_last() -> None:
    early_cancel = gave_back("c", None, kind="cancellation", at=NOON)
    assert taken([gave_back("r1", 3_000), gave_back("r2", None, at=NOON + 2 * MINUTE)]) == ([3_000, 7_000], ())
    assert taken([early_cancel, gave_back("r1", 3_000)]) == ([3_000, 7_000], ())
    assert taken([early_cancel, gave_back("r1", 3_000), gave_back("r2", 7_000)]) == ([3_000, 7_000, 0], ())


def test_more_than_the_order_is_cut_and_flagged() -> None:
    assert taken([gave_back("r1", 6_000), gave_back("r2", 6_000)]) == ([6_000, 4_000], ("refund_over_order",))


def test_a_reversal_gives_back_and_never_more_than_was_taken() -> None:
    back = gave_back("v", 4_000, kind="reversal", at=NOON + 2 * MINUTE)
    assert taken([gave_back("c", 6_000, kind="chargeback"), back]) == ([6_000, -4_000], ())
    assert taken([back]) == ([0], ("refund_over_order",))
    all_back = gave_back("v", None, kind="reversal", at=NOON + 3 * MINUTE)
    assert taken([gave_back("x", None, kind="cancellation"), all_back]) == ([10_000, -10_000], ())


def test_a_reversal_by_name_gives_back_at_most_what_that_one_took() -> None:
    refund, chargeback = gave_back("r", 3_000), gave_back("cb", 2_000, kind="chargeback", at=NOON + 2 * MINUTE)
    won = gave_back("v", None, kind="reversal", reverses="cb", at=NOON + 3 * MINUTE)
    assert taken([won, chargeback, refund]) == ([3_000, 2_000, -2_000], ())
    too_much = gave_back("v", 9_000, kind="reversal", reverses="cb", at=NOON + 3 * MINUTE)
    assert taken([too_much, chargeback, refund]) == ([3_000, 2_000, -2_000], ("refund_over_order",))
    twice = gave_back("w", None, kind="reversal", reverses="cb", at=NOON + 4 * MINUTE)
    assert taken([won, twice, chargeback, refund]) == ([3_000, 2_000, -2_000, 0], ())


def test_a_reversal_follows_what_it_names_though_its_clock_is_behind() -> None:
    order = fold([server(**EUR_100)], [gave_back("r", 3_000, at=NOON + 9 * MINUTE),
                 gave_back("a", 1_000, kind="reversal", reverses="r", at=NOON + MINUTE)])  # fmt: skip
    assert [(effect.amount_minor, effect.occurred_at) for effect in order.effects] == [
        (3_000, NOON + 9 * MINUTE),
        (-1_000, NOON + 9 * MINUTE),
    ]


def test_a_reversal_of_a_cancellation_opens_the_order_again() -> None:
    cancelled = gave_back("c", None, kind="cancellation", at=NOON + 5 * MINUTE)
    reopened = gave_back("v", None, kind="reversal", reverses="c", at=NOON + MINUTE)
    assert taken([gave_back("r", 1_000), reopened, cancelled]) == ([1_000, 9_000, -9_000], ())


def test_a_reversal_of_what_nobody_knows_waits_and_is_flagged() -> None:
    early = gave_back("v", None, kind="reversal", reverses="cb")
    order = fold([server(**EUR_100)], [early])
    assert (order.effects, [each.flag for each in order.idle], order.flags) == (
        (),
        ["reversal_without_refund"],
        ("reversal_without_refund",),
    )
    assert taken([early, gave_back("cb", 4_000, kind="chargeback")]) == ([4_000, -4_000], ())


# ── Refunds by line ──────────────────────────────────────────────────────────────────────────────────────────────────

CART = (OrderLine("shirt", 3, 10_000), OrderLine("hat", 1, 5_000), OrderLine("gift", 1))


def of_cart(*adjustments: Adjustment) -> tuple[list[int], tuple[str, ...]]:
    order = fold([server(net_minor=15_000, currency="EUR", lines=CART)], adjustments)
    return [effect.amount_minor for effect in order.effects], order.flags


def came_back(refund_id: str, *lines: OrderLine, minute: int = 1, **fields: Any) -> Adjustment:
    return gave_back(refund_id, None, lines=lines, at=NOON + minute * MINUTE, **fields)


def test_a_refund_by_line_is_worth_what_the_order_says_to_the_last_cent() -> None:
    assert of_cart(came_back("r", OrderLine("hat"))) == ([5_000], ())
    one_by_one = [came_back(f"r{minute}", OrderLine("shirt"), minute=minute) for minute in (1, 2, 3)]
    assert of_cart(*one_by_one) == ([3_333, 3_334, 3_333], ())
    assert of_cart(came_back("r", OrderLine("shirt", 3), OrderLine("hat"))) == ([15_000], ())
    assert of_cart(came_back("r", OrderLine("shirt", 2, 6_000), OrderLine("hat"))) == ([11_000], ())


def test_lines_are_those_of_the_most_trusted_report_that_has_some() -> None:
    back = came_back("r", OrderLine("hat"))
    silent, states, weaker = webhook(**EUR_100, version=1), server(lines=CART), webhook(lines=(OrderLine("hat", 1, 7),))
    unsigned = pixel(lines=(OrderLine("hat", 1, 9),))
    assert fold([silent, states], [back]).refunded_minor == 5_000
    assert fold([silent, weaker, states], [back]).refunded_minor == 7
    assert fold([silent, unsigned], [back]).refunded_minor == 0
    assert fold([silent, server(currency="USD", lines=CART)], [back]).flags == ("refund_line_unknown",)


def test_more_units_than_were_sold_are_cut_and_unknown_lines_are_worth_nothing_and_both_are_flagged() -> None:
    assert of_cart(came_back("r", OrderLine("shirt", 4))) == ([10_000], ("refund_over_order",))
    assert of_cart(came_back("r", OrderLine("scarf"), OrderLine("hat"))) == ([5_000], ("refund_line_unknown",))
    assert of_cart(came_back("r", OrderLine("gift"))) == ([0], ("refund_line_unknown",))


def test_units_of_a_reversed_refund_may_come_back_again() -> None:
    undone = gave_back("v", None, kind="reversal", reverses="r1", at=NOON + 2 * MINUTE)
    assert of_cart(
        came_back("r1", OrderLine("shirt", 3)), undone, came_back("r2", OrderLine("shirt", 3), minute=3)
    ) == (
        [10_000, -10_000, 10_000],
        (),
    )


def test_lines_in_another_currency_than_the_order_take_nothing() -> None:
    assert of_cart(came_back("r", OrderLine("hat", 1, 900), currency="USD")) == ([], ("currency_mismatch",))
    assert of_cart(came_back("r", OrderLine("hat"), currency="USD")) == ([5_000], ())


@given(st.lists(st.integers(1, 3), max_size=6), st.data())
def test_every_way_of_sending_all_units_back_gives_all_of_the_money(counts: list[int], data: st.DataObject) -> None:
    units = sum(counts)
    net = data.draw(st.integers(0, 10_000))
    order = fold(
        [server(net_minor=net, currency="EUR", lines=(OrderLine("a", units, net),))],
        data.draw(
            st.permutations([came_back(f"r{i}", OrderLine("a", count), minute=i) for i, count in enumerate(counts)])
        ),
    )
    assert order.refunded_minor == (net if units else 0)
    assert order.flags == ()


def test_one_refund_told_twice_is_taken_once_as_the_best_witness_tells_it() -> None:
    weak, strong = gave_back("r", 9_000, trust=TRUST_SERVER), gave_back("r", 4_000, trust=TRUST_WEBHOOK)
    assert taken([weak, strong, weak]) == ([4_000], ())
    assert taken([gave_back("r", 1_000, version=1), gave_back("r", 2_000, version=2)]) == ([2_000], ())


@pytest.mark.parametrize("kind", ["cancellation", "chargeback"])
def test_a_cancellation_or_chargeback_said_as_nothing_is_taken_back(kind: str) -> None:
    cancelled = gave_back("c", None, kind=kind, version=1)
    live_again = gave_back("c", 0, kind=kind, version=2)
    assert taken([cancelled, live_again]) == taken([live_again, cancelled]) == ([], ())
    again = gave_back("c", None, kind=kind, version=3)
    assert taken([again, live_again, cancelled]) == ([10_000], ())
    assert taken([live_again, gave_back("c", None, kind="refund")]) == ([10_000], ())


def test_a_cancellation_taken_back_does_not_move_a_reversal() -> None:
    back = gave_back("v", 1_000, kind="reversal", at=NOON + 2 * MINUTE)
    refund = gave_back("r", 3_000, at=NOON + 3 * MINUTE)
    undone = gave_back("c", 0, kind="cancellation", at=NOON + MINUTE, version=2)
    assert taken([back, refund, undone]) == taken([back, refund])


def test_a_refund_that_failed_stays_and_takes_nothing() -> None:
    assert taken([gave_back("r", 4_000, version=1), gave_back("r", 0, version=2)]) == ([0], ())


def test_another_currency_takes_nothing_and_is_flagged_unless_it_is_full() -> None:
    assert taken([gave_back("r", 100, currency="USD")]) == ([], ("currency_mismatch",))
    assert taken([gave_back("r", None, currency="USD")]) == ([10_000], ())


def test_a_refund_takes_effect_neither_before_its_order_nor_after_we_heard_of_it() -> None:
    order = fold(
        [server(**EUR_100, occurred_at=NOON - MINUTE)],
        [
            gave_back("a", 1, at=NOON - timedelta(days=9)),
            gave_back("b", 2, at=NOON + timedelta(days=9), received=NOON + MINUTE),
            gave_back("c", 3, at=None, received=NOON + 2 * MINUTE),
        ],
    )
    assert [(effect.refund_id, effect.occurred_at) for effect in order.effects] == [
        ("a", NOON - MINUTE),
        ("b", NOON + MINUTE),
        ("c", NOON + 2 * MINUTE),
    ]


# ── Nothing depends on who came first ────────────────────────────────────────────────────────────────────────────────

moments = st.integers(-5, 5).map(lambda minutes: NOON + minutes * MINUTE)
amounts = st.one_of(st.none(), st.integers(0, 12_000))
some_names = st.lists(st.sampled_from(["a", "b", "c"]), max_size=2, unique=True).map(tuple)
witnesses = st.builds(
    said,
    st.sampled_from([TRUST_WEBHOOK, TRUST_SERVER, TRUST_PIXEL]),
    at=moments,
    version=st.integers(0, 2),
    occurred_at=st.one_of(st.none(), moments),
    currency=st.sampled_from([None, "EUR", "USD"]),
    net_minor=amounts,
    items_minor=amounts,
    tax_minor=amounts,
    estimated=st.booleans(),
    paid=st.sampled_from([None, True, False]),
    codes=some_names,
    click_ids=some_names,
    visitor_id=st.sampled_from([None, "v", "w"]),
    lines=st.sampled_from([(), (OrderLine("a", 2, 3_333), OrderLine("b", 1, 700))]),
    test=st.booleans(),
)
adjustments = st.builds(
    gave_back,
    st.sampled_from(["r1", "r2", "r3"]),
    amounts,
    kind=st.sampled_from(["refund", "cancellation", "chargeback", "reversal"]),
    at=st.one_of(st.none(), moments),
    received=moments,
    trust=st.sampled_from([TRUST_WEBHOOK, TRUST_SERVER]),
    version=st.integers(0, 2),
    currency=st.sampled_from([None, "EUR", "USD"]),
    reverses=st.sampled_from([None, "r1", "r2"]),
    lines=st.lists(
        st.builds(OrderLine, st.sampled_from("ab"), st.integers(0, 3), st.one_of(st.none(), st.integers(0, 5_000))),
        max_size=2,
    ).map(tuple),
)
decisions = st.builds(
    StatusChange,
    st.sampled_from(["pending", "approved", "rejected", "locked", "paid"]),
    moments,
    st.just("pending"),
    st.sampled_from([None, "fraud", "returned"]),
)


@given(
    st.data(), st.lists(witnesses, max_size=5), st.lists(adjustments, max_size=5), st.lists(decisions, max_size=3), st.integers(0, 500)
)  # fmt: skip
def test_any_permutation_and_repetition_folds_to_the_same_order(
    data: st.DataObject,
    said_by: list[Witness],
    given_back: list[Adjustment],
    decided: list[StatusChange],
    tolerance_bp: int,
) -> None:
    tolerance = Tolerance(tolerance_bp, 1)
    once = fold(said_by, given_back, [(NOON, None)], decided, tolerance)
    again = (
        data.draw(st.permutations(said_by + said_by)),
        data.draw(st.permutations(given_back + given_back)),
        [(NOON, None)],
        data.draw(st.permutations(decided + decided)),
    )
    assert fold(*again, tolerance) == once
    assert set(once.flags) <= set(FLAGS)
    assert len(once.amount_checks) == len({witness.content_hash for witness in said_by})
    assert sum(account.amounts == "used" for account in once.amount_checks) == (once.net_minor is not None)
    if once.net_minor is not None:
        assert 0 <= once.refunded_minor <= max(once.net_minor, 0)


def test_the_flags_are_the_words_of_the_api() -> None:
    assert " ".join(FLAGS) == (
        "amount_disagreement currency_disagreement conflicting_reports changed_after_lock amount_unknown net_estimated unsigned"
        " over_pixel_max too_many_claims ambiguous_number differs_after_lock weak_order_id refund_over_order refund_line_unknown currency_mismatch"
        " reversal_without_refund over_cap late_click self_referral embedded_click own_click amount_rounded"
    )


# ── Words ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_words_survive_being_kept_and_leave_out_what_was_not_said() -> None:
    report = OrderReport(
        "main",
        "sale",
        ("1001", "#1"),
        occurred_at=NOON,
        codes=("é", "b"),
        customer=Customer("k", is_new=False),
        lines=(OrderLine("1", 2, 5),),
    )
    assert read_report(encode_report(report)) == report
    assert encode_report(OrderReport("main", "sale", ("1",))) == b'{"kind":"sale","refs":["1"],"shop":"main"}'


texts = st.one_of(st.none(), st.sampled_from(["", "a", "é/&"]))
numbers = st.one_of(st.none(), st.sampled_from([0, 1, 2**40]))


@given(
    st.builds(
        OrderReport,
        shop=st.just("main"),
        kind=st.just("sale"),
        refs=st.sampled_from([("1",), ("1", "#1")]),
        order_id=texts,
        occurred_at=st.sampled_from([None, NOON, NOON.astimezone(ZoneInfo("Europe/Helsinki"))]),
        version=st.sampled_from([0, 1, 2**50]),
        net_minor=numbers,
        estimated=st.booleans(),
        paid=st.sampled_from([None, True, False]),
        codes=st.sampled_from([(), ("a",)]),
        customer=st.builds(Customer, texts, st.sampled_from([None, True, False])),
        lines=st.lists(st.builds(OrderLine, st.just("7"), st.sampled_from([0, 1, 2, 700]), numbers, texts, texts)).map(
            tuple
        ),
        refunds=st.sampled_from([(), (RefundReport("r"),)]),
        refund_ids=st.sampled_from([None, (), ("r",)]),
        stub=st.booleans(),
    )
)
def test_what_is_written_of_a_report_is_its_words(report: OrderReport) -> None:
    """They are its identity for ever: however they are written, these are the bytes."""
    assert encode_report(report) == msgspec.json.encode(stated_fields(report), order="deterministic")


def test_equal_moments_in_other_zones_are_equal_words() -> None:
    plus_two = NOON.astimezone(ZoneInfo("Europe/Helsinki"))
    report = OrderReport("main", "sale", ("1",), occurred_at=NOON)
    assert encode_report(report) == encode_report(replace(report, occurred_at=plus_two))


def test_clicks_are_read_however_they_are_written() -> None:
    shown = "clk_01k80kd5n3eq1azk8cw3y4vw17"
    click_id = read_click(shown)
    assert click_id is not None
    for written in (f" {shown.upper()} ", shown.removeprefix("clk_"), str(click_id)):
        assert read_click(written) == click_id
    for nonsense in ("", "clk_", "inf_01k80kd5n3eq1azk8cw3y4vw17", "1" * 26, "6ba7b810-9dad-11d1-80b4-00c04fd430c8"):
        assert read_click(nonsense) is None
