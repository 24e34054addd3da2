"""What adjustments take and give back, called directly: the turn they take, what waits, what is cut, and what undoes what."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.domain.orders import Adjustment, OrderLine, RefundReport, encode_report
from app.domain.refunds import OVERTAKEN_WITHIN, Effect, RefundOutcome, Sold, effects

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
SOLD = Sold(10_000, "EUR", NOON)


def adjusted(refund_id: str, amount: int | None = None, minute: float = 1, **fields: Any) -> Adjustment:
    """received: in minutes after noon, as `minute` is; trust and version decide which of two reports holds."""
    received, trust = fields.pop("received", 60), fields.pop("trust", 20)
    fields = {"full": amount is None and "line_based" not in fields, "occurred_at": NOON + minute * MINUTE, **fields}
    report = RefundReport(refund_id, amount_minor=amount, **fields)
    return Adjustment(report, trust, encode_report(report), NOON + received * MINUTE)


def moves(outcome: RefundOutcome) -> list[tuple[str, int, str | None]]:
    return [(each.refund_id, each.amount_minor, each.flag) for each in outcome.effects]


def test_nothing_takes_nothing_and_an_order_without_an_amount_waits() -> None:
    assert effects([], SOLD) == RefundOutcome()
    assert effects([adjusted("r", 5)], Sold(None, "EUR", NOON)) == RefundOutcome()
    conflict = [adjusted("r", 5), adjusted("r", 6)]
    assert effects(conflict, Sold(None, "EUR", NOON)) == RefundOutcome(flags=frozenset({"conflicting_reports"}))


def test_an_effect_names_its_refund_its_kind_its_time_and_what_it_reverses() -> None:
    paris = ZoneInfo("Europe/Paris")
    taken = adjusted("r", 4_000, occurred_at=(NOON + MINUTE).astimezone(paris))
    back = adjusted("v", 1_000, 2, kind="reversal", reverses="r")
    outcome = effects([back, taken], SOLD)
    assert outcome.effects == (
        Effect("r", "refund", 4_000, NOON + MINUTE),
        Effect("v", "reversal", -1_000, NOON + 2 * MINUTE, "r"),
    )
    assert outcome.effects[0].occurred_at.tzinfo is UTC
    assert (outcome.idle, outcome.flags) == ((), frozenset())


def test_what_waits_says_why_and_takes_nothing() -> None:
    foreign = adjusted("r", 5, currency="USD")
    homeless = adjusted("v", None, 2, kind="reversal", reverses="x")
    itself = adjusted("w", None, 3, kind="reversal", reverses="w")
    outcome = effects([foreign, homeless, itself], SOLD)
    assert outcome.effects == ()
    assert outcome.idle == (
        Effect("r", "refund", 0, NOON + MINUTE, None, "currency_mismatch"),
        Effect("v", "reversal", 0, NOON + 2 * MINUTE, "x", "reversal_without_refund"),
        Effect("w", "reversal", 0, NOON + 3 * MINUTE, "w", "reversal_without_refund"),
    )
    assert outcome.flags == {"currency_mismatch", "reversal_without_refund"}


def test_an_amount_in_another_currency_counts_where_the_total_paid_is_known_in_it() -> None:
    sold = Sold(10_000, "EUR", NOON, {"EUR": 12_000, "USD": 15_000})
    assert moves(effects([adjusted("r", 7_500, currency="USD", is_gross=True)], sold)) == [("r", 5_000, None)]
    assert effects([adjusted("r", 7_500, currency="USD")], sold).flags == {"currency_mismatch"}
    assert effects([adjusted("r", 7_500, currency="CHF", is_gross=True)], sold).flags == {"currency_mismatch"}
    assert moves(effects([adjusted("r", 6_000, is_gross=True)], sold)) == [("r", 5_000, None)]
    assert moves(effects([adjusted("r", 6_000, is_gross=True)], SOLD)) == [("r", 6_000, None)]
    free = Sold(10_000, "EUR", NOON, {"EUR": 0})
    assert moves(effects([adjusted("r", 6_000, is_gross=True)], free)) == [("r", 6_000, None)]
    lines = (OrderLine("7", 1, 500),)
    assert effects([adjusted("r", line_based=True, lines=lines, currency="USD")], SOLD).flags == {"currency_mismatch"}
    # Lines that are only kept beside an amount that is all there is say nothing of a currency.
    assert moves(effects([adjusted("r", lines=lines, currency="USD")], SOLD)) == [("r", 10_000, None)]


def test_parts_of_what_was_paid_are_rounded_on_the_running_sum() -> None:
    sold = Sold(100, "EUR", NOON, {"EUR": 300})
    parts = [adjusted(f"r{minute}", 50, minute, is_gross=True) for minute in range(1, 7)]
    assert [amount for _, amount, _ in moves(effects(parts, sold))] == [17, 16, 17, 17, 16, 17]
    back = adjusted("v", 50, 7, kind="reversal", is_gross=True)
    assert moves(effects([*parts[:2], back], sold))[-1] == ("v", -16, None)


def test_of_a_negative_order_nothing_can_be_taken() -> None:
    outcome = effects([adjusted("r", 5), adjusted("c", None, 2, kind="cancellation")], Sold(-100, "EUR", NOON))
    assert moves(outcome) == [("r", 0, "refund_over_order"), ("c", 0, None)]


def test_of_a_free_order_nothing_can_be_taken_and_all_that_was_paid_for_it_is_no_part_of_its_net() -> None:
    assert moves(effects([adjusted("r", 5)], Sold(0, "EUR", NOON))) == [("r", 0, "refund_over_order")]
    assert moves(effects([adjusted("r", 500, is_gross=True)], Sold(0, "EUR", NOON, {"EUR": 500}))) == [("r", 0, None)]


def test_more_than_there_was_is_cut_and_flagged_and_exactly_all_is_not() -> None:
    assert moves(effects([adjusted("a", 10_000)], SOLD)) == [("a", 10_000, None)]
    assert moves(effects([adjusted("a", 9_000), adjusted("b", 2_000, 2)], SOLD)) == [
        ("a", 9_000, None), ("b", 1_000, "refund_over_order"),
    ]  # fmt: skip
    back = [adjusted("a", 3_000), adjusted("b", 3_000, 2)]
    for asked, given, flag in ((3_000, -3_000, None), (3_001, -3_000, "refund_over_order")):
        reversal = adjusted("v", asked, 3, kind="reversal", reverses="a")
        assert moves(effects([*back, reversal], SOLD))[-1] == ("v", given, flag)
        anonymous = adjusted("v", asked + 3_000, 3, kind="reversal")
        assert moves(effects([*back, anonymous], SOLD))[-1] == ("v", given - 3_000, flag)


def test_two_reversals_of_one_refund_give_it_back_once() -> None:
    facts = [
        adjusted("a", 3_000), adjusted("b", 3_000, 2), adjusted("v", 2_000, 3, kind="reversal", reverses="a"),
        adjusted("w", 2_000, 4, kind="reversal", reverses="a"), adjusted("x", None, 5, kind="reversal", reverses="a"),
    ]  # fmt: skip
    assert moves(effects(facts, SOLD))[2:] == [("v", -2_000, None), ("w", -1_000, "refund_over_order"), ("x", 0, None)]


def test_a_reversal_gives_back_no_more_than_is_taken_though_it_names_more() -> None:
    facts = [
        adjusted("a", 3_000),
        adjusted("v", 2_000, 2, kind="reversal"),
        adjusted("w", None, 3, kind="reversal", reverses="a"),
    ]
    assert moves(effects(facts, SOLD))[1:] == [("v", -2_000, None), ("w", -1_000, None)]


def test_one_id_may_name_a_refund_and_a_chargeback_and_a_reversal_gives_back_both() -> None:
    facts = [
        adjusted("a", 3_000),
        adjusted("a", 2_000, 2, kind="chargeback"),
        adjusted("v", None, 3, kind="reversal", reverses="a"),
    ]
    assert moves(effects(facts, SOLD)) == [("a", 3_000, None), ("a", 2_000, None), ("v", -5_000, None)]


# ── The turn ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_cancellation_comes_after_every_refund_and_reversals_after_it_when_they_are_dated_so() -> None:
    cancelled = adjusted("c", None, 2, kind="cancellation")
    late, early = adjusted("b", 1_000, 9), adjusted("a", 3_000, 1)
    before, at, after = (
        adjusted(name, 500, minute, kind="reversal") for name, minute in (("v1", 1.5), ("v2", 2), ("v3", 3))
    )
    order = [name for name, _, _ in moves(effects([after, cancelled, late, at, early, before], SOLD))]
    assert order == ["a", "v1", "b", "c", "v2", "v3"]
    assert [name for name, _, _ in moves(effects([after, late, early], SOLD))] == ["a", "v3", "b"]


def test_at_one_moment_reversals_come_last_and_ids_decide_then_kinds() -> None:
    facts = [
        adjusted("b", 1), adjusted("a", 1, kind="reversal"), adjusted("a", 1), adjusted("a", 1, kind="chargeback"),
    ]  # fmt: skip
    assert [(each.refund_id, each.kind) for each in effects(facts, SOLD).effects] == [
        ("a", "chargeback"), ("a", "refund"), ("b", "refund"), ("a", "reversal"),
    ]  # fmt: skip


def test_a_reversal_takes_effect_with_what_it_names_when_its_own_clock_is_behind() -> None:
    outcome = effects([adjusted("v", 1_000, 1, kind="reversal", reverses="r"), adjusted("r", 4_000, 5)], SOLD)
    assert [(each.refund_id, each.occurred_at) for each in outcome.effects] == [
        ("r", NOON + 5 * MINUTE),
        ("v", NOON + 5 * MINUTE),
    ]
    other = adjusted("x", 10, 9)
    outcome = effects([adjusted("v", 1_000, 1, kind="reversal", reverses="r"), adjusted("r", 4_000, 5), other], SOLD)
    assert [each.refund_id for each in outcome.effects] == ["r", "v", "x"]


def test_a_reversal_does_not_wait_for_another_that_bears_the_name_of_what_it_reverses() -> None:
    namesake = adjusted("r", 10, 9, kind="reversal")
    outcome = effects([namesake, adjusted("v", 1_000, 2, kind="reversal", reverses="r"), adjusted("r", 4_000, 1)], SOLD)
    assert [(each.amount_minor, each.occurred_at) for each in outcome.effects] == [
        (4_000, NOON + MINUTE), (-1_000, NOON + 2 * MINUTE), (-10, NOON + 9 * MINUTE),
    ]  # fmt: skip


def test_a_refund_repeated_under_newer_versions_keeps_the_time_at_which_it_was_first_received() -> None:
    def repeated(version: int, received: int, amount: int = 5, **fields: Any) -> Adjustment:
        return adjusted("r", amount, occurred_at=None, version=version, received=received, **fields)

    [effect] = effects([repeated(1, 10), repeated(3, 30), repeated(2, 20)], SOLD).effects
    assert effect.occurred_at == NOON + 10 * MINUTE
    [effect] = effects([repeated(1, 10), repeated(2, 20, 6), repeated(3, 30), repeated(4, 40)], SOLD).effects
    assert (effect.occurred_at, effect.amount_minor) == (NOON + 30 * MINUTE, 5)
    [effect] = effects([repeated(1, 10), repeated(2, 20, trust=30)], SOLD).effects
    assert effect.occurred_at == NOON + 20 * MINUTE


@pytest.mark.parametrize(
    ("one", "other", "conflict"),
    [
        ({}, {}, False),
        ({}, {"occurred_at": NOON}, False),
        ({}, {"amount": 6}, True),
        ({}, {"currency": "EUR"}, True),
        ({}, {"is_gross": True}, True),
        ({"kind": "reversal"}, {"kind": "reversal", "reverses": "x"}, True),
        ({}, {"amount": 6, "version": 1}, False),
        ({}, {"amount": 6, "trust": 30}, False),
        ({"amount": None}, {"amount": None, "line_based": True}, True),
        ({"amount": None}, {"amount": None, "lines": (OrderLine("7"),)}, False),
        (
            {"amount": None, "line_based": True, "lines": (OrderLine("7"),)},
            {"amount": None, "line_based": True, "lines": (OrderLine("7", 2),)},
            True,
        ),
    ],
)
def test_two_reports_of_one_refund_conflict_when_only_the_hash_decides_about_money(
    one: dict[str, Any], other: dict[str, Any], conflict: bool
) -> None:
    facts = [adjusted("r", **{"amount": 5, **each}) for each in (one, other)]
    assert ("conflicting_reports" in effects(facts, SOLD).flags) is conflict


# ── Undoing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def cancelled(version: int, received: timedelta) -> Adjustment:
    return adjusted("c", None, kind="cancellation", version=version, received=received / MINUTE)


def live(version: int, received: timedelta = timedelta(0), *, proof: bool = True) -> Adjustment:
    """The cancellation was undone; with proof, the report shows that there was one."""
    return adjusted(
        "c", 0, kind="cancellation", version=version, reverses="c" if proof else None, received=received / MINUTE
    )


@pytest.mark.parametrize(
    ("facts", "taken"),
    [
        ([live(1), cancelled(2, OVERTAKEN_WITHIN)], []),
        ([live(1), cancelled(2, OVERTAKEN_WITHIN + SECOND)], [10_000]),
        ([live(1), cancelled(2, -SECOND)], []),
        ([live(1, proof=False), cancelled(2, SECOND)], [10_000]),
        # The proof answers a cancellation that is known: the next one is another.
        ([cancelled(1, -SECOND), live(2), cancelled(3, SECOND)], [10_000]),
        ([cancelled(1, -SECOND), live(2), cancelled(3, SECOND), live(4, 2 * SECOND)], []),
        # One proof takes back one cancellation.
        ([live(1), cancelled(2, SECOND), cancelled(3, 2 * SECOND)], [10_000]),
        ([cancelled(1, -SECOND), live(2), live(3, SECOND), cancelled(4, 2 * SECOND)], []),
        ([live(1), live(2, proof=False), cancelled(3, SECOND)], []),
        ([cancelled(1, -SECOND), live(2, proof=False), live(3), cancelled(4, SECOND)], [10_000]),
    ],
)
def test_a_cancellation_that_its_own_undoing_overtook_takes_nothing(facts: list[Adjustment], taken: list[int]) -> None:
    for order in (facts, facts[::-1]):
        assert [amount for _, amount, _ in moves(effects(order, SOLD))] == taken


def test_only_cancellations_and_chargebacks_are_undone_and_only_cancellations_overtaken() -> None:
    for kind, found in (
        ("refund", [("r", 0, None)]),
        ("reversal", [("r", 0, None)]),
        ("chargeback", []),
        ("cancellation", []),
    ):
        assert moves(effects([adjusted("r", 0, kind=kind)], SOLD)) == found
    proof = adjusted("r", 0, kind="chargeback", reverses="r", version=1)
    assert moves(effects([proof, adjusted("r", None, kind="chargeback", version=2)], SOLD)) == [("r", 10_000, None)]


# ── Lines and sums ───────────────────────────────────────────────────────────────────────────────────────────────────

CART = Sold(
    10_000,
    "EUR",
    NOON,
    lines=(OrderLine("shirt", 3, 100), OrderLine("gift", 1, 0), OrderLine("none", 0, 5), OrderLine("bare", 2)),
)


def of_lines(refund_id: str, *lines: OrderLine, minute: float = 1) -> Adjustment:
    return adjusted(refund_id, None, minute, line_based=True, lines=lines)


@pytest.mark.parametrize(
    ("lines", "amount", "flag"),
    [
        ((OrderLine("shirt"),), 33, None),
        ((OrderLine("shirt", 2),), 67, None),
        ((OrderLine("shirt", 3),), 100, None),
        ((OrderLine("shirt", 4),), 100, "refund_over_order"),
        ((OrderLine("shirt"), OrderLine("shirt", 2)), 100, None),
        ((OrderLine("shirt", 1, 40), OrderLine("gift")), 40, None),
        ((OrderLine("none"),), 0, "refund_line_unknown"),
        ((OrderLine("bare"),), 0, "refund_line_unknown"),
        ((OrderLine("hat"), OrderLine("shirt")), 33, "refund_line_unknown"),
        ((OrderLine("shirt", 4), OrderLine("hat")), 100, "refund_over_order"),
        ((OrderLine("shirt", 1, 10_001),), 10_000, "refund_over_order"),
    ],
)
def test_lines_are_worth_their_own_amount_or_their_units(
    lines: tuple[OrderLine, ...], amount: int, flag: str | None
) -> None:
    assert moves(effects([of_lines("r", *lines)], CART)) == [("r", amount, flag)]


def test_lines_of_one_id_are_worth_what_they_are_together() -> None:
    sold = Sold(
        4_000, "EUR", NOON, lines=(OrderLine("a", 1, 1_000), OrderLine("b", 1, 1_000), OrderLine("a", 1, 2_000))
    )
    assert moves(effects([of_lines("r", OrderLine("a")), of_lines("s", OrderLine("a"), minute=2)], sold)) == [
        ("r", 1_500, None),
        ("s", 1_500, None),
    ]
    assert moves(effects([of_lines("r", OrderLine("a"), OrderLine("a"))], sold)) == [("r", 3_000, None)]
    unknown = Sold(4_000, "EUR", NOON, lines=(OrderLine("a", 1, 1_000), OrderLine("a", 1)))
    assert moves(effects([of_lines("r", OrderLine("a"))], unknown)) == [("r", 0, "refund_line_unknown")]


def test_units_come_back_once_unless_they_were_wholly_reversed() -> None:
    first, more = of_lines("a", OrderLine("shirt"), OrderLine("shirt")), of_lines("b", OrderLine("shirt", 2), minute=9)
    assert moves(effects([first, more], CART))[-1] == ("b", 33, "refund_over_order")
    part = adjusted("v", 60, 2, kind="reversal", reverses="a")
    assert moves(effects([first, part, more], CART))[-1] == ("b", 33, "refund_over_order")
    rest = adjusted("w", 7, 3, kind="reversal", reverses="a")
    assert moves(effects([first, part, rest, more], CART))[-1] == ("b", 67, None)
    again = adjusted("x", None, 4, kind="reversal", reverses="a")
    assert moves(effects([first, part, rest, again, more], CART))[-1] == ("b", 67, None)


def so_far(amount: int, minute: float = 1, **fields: Any) -> Adjustment:
    return adjusted("ch", amount, minute, cumulative=True, version=amount, **fields)


def test_sums_add_what_neither_the_refunds_in_them_nor_the_lesser_sums_contain() -> None:
    known = adjusted("r", 300, included_in="ch")
    assert moves(effects([so_far(1_000, 2), known], SOLD)) == [("r", 300, None), ("ch", 700, None)]
    assert moves(effects([so_far(300, 2), known], SOLD)) == [("r", 300, None)]
    assert moves(effects([so_far(400, 2), so_far(1_000, 3)], SOLD)) == [("ch", 400, None), ("ch", 600, None)]
    # A failed refund stays in the sums, the greatest amount it ever had.
    failed = adjusted("r", 0, included_in="ch", version=1)
    assert moves(effects([so_far(1_000, 2), known, failed], SOLD)) == [("r", 0, None), ("ch", 700, None)]
    # Another charge, and another currency, are sums of their own.
    other = adjusted("q", 200, included_in="ch2")
    assert moves(effects([so_far(1_000, 2), other], SOLD)) == [("q", 200, None), ("ch", 1_000, None)]
    foreign = adjusted("q", 200, included_in="ch", currency="USD")
    assert moves(effects([so_far(1_000, 2), foreign], SOLD)) == [("ch", 1_000, None)]
    # What names no amount contains none, and is no sum.
    whole = adjusted("q", None, included_in="ch")
    assert moves(effects([so_far(1_000, 2), whole], SOLD)) == [("q", 10_000, None), ("ch", 0, "refund_over_order")]
    assert effects([adjusted("ch", None, cumulative=True)], SOLD) == RefundOutcome()


def test_of_two_equal_sums_the_earlier_one_dates_the_refund() -> None:
    for facts in ([so_far(500, 2), so_far(500, 3)], [so_far(500, 3), so_far(500, 2)]):
        [effect] = effects(facts, SOLD).effects
        assert effect.occurred_at == NOON + 2 * MINUTE
    undated = [so_far(500, occurred_at=None, received=received) for received in (9, 5)]
    [effect] = effects([*undated, so_far(500, 7)], SOLD).effects
    assert effect.occurred_at == NOON + 5 * MINUTE


def test_an_undoing_may_arrive_a_minute_before_what_it_undoes() -> None:
    assert OVERTAKEN_WITHIN == MINUTE
