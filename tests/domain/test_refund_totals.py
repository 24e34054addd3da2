"""Refunds that count tax and shipping, brought to the base of net; and running sums of refunds beside the refunds themselves."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.folding import Order, fold
from app.domain.orders import (
    TRUST_WEBHOOK,
    Adjustment,
    OrderReport,
    Receipt,
    RefundReport,
    Witness,
    content_hash,
    encode_report,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOOK = Receipt(TRUST_WEBHOOK, "hook", "stripe", NOON + timedelta(days=30))


def order(**fields: Any) -> Witness:
    report = OrderReport(
        **{"shop": "main", "kind": "sale", "refs": ("1",), "occurred_at": NOON, "currency": "EUR", **fields}
    )
    return Witness(report, TRUST_WEBHOOK, content_hash(HOOK, encode_report(report)), HOOK.received_at, "hook")


def said(refund_id: str, amount: int | None, minutes: int = 1, **fields: Any) -> Adjustment:
    report = RefundReport(
        refund_id, amount_minor=amount, full=amount is None, **{"currency": "EUR", "occurred_at": NOON + minutes * MINUTE, **fields}
    )  # fmt: skip
    return Adjustment(report, TRUST_WEBHOOK, content_hash(HOOK, encode_report(report)), HOOK.received_at)


def refund(refund_id: str, amount: int | None, minutes: int = 1, **fields: Any) -> Adjustment:
    """One refund of the charge ch."""
    return said(refund_id, amount, minutes, included_in="ch", **fields)


def refunded_so_far(amount: int, minutes: int = 1, **fields: Any) -> Adjustment:
    """What the charge ch says of all its refunds together."""
    return said("ch", amount, minutes, cumulative=True, version=amount, **fields)


def taken(of: Order) -> list[int]:
    return [effect.amount_minor for effect in of.effects]


TAXED = order(net_minor=4_000, tax_minor=800, shipping_minor=199, total_minor=4_999)


# ── The base of what was paid ────────────────────────────────────────────────────────────────────────────────────────


def test_a_refund_of_what_was_paid_takes_its_share_of_the_net() -> None:
    assert taken(fold([TAXED], [said("r", 2_000, is_gross=True)])) == [1_600]
    assert taken(fold([TAXED], [said("r", 4_999, is_gross=True)])) == [4_000]
    assert taken(fold([TAXED], [said("r", 2_000)])) == [2_000]


def test_tax_and_shipping_stand_in_for_a_total_nobody_says() -> None:
    assert taken(
        fold([order(net_minor=4_000, tax_minor=800, shipping_minor=199)], [said("r", 4_999, is_gross=True)])
    ) == [4_000]
    assert taken(fold([order(net_minor=4_000)], [said("r", 2_000, is_gross=True)])) == [2_000]


@given(st.integers(0, 10**6), st.integers(0, 10**5), st.data())
def test_parts_of_what_was_paid_add_up_to_the_net_exactly(net: int, extra: int, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, net + extra), max_size=5)))
    parts = [end - start for start, end in zip([0, *cuts], [*cuts, net + extra], strict=True)]
    refunds = [said(f"r{index}", part, index, is_gross=True) for index, part in enumerate(parts)]
    folded = fold([order(net_minor=net, tax_minor=extra)], data.draw(st.permutations(refunds)))
    assert folded.refunded_minor == net
    assert folded.flags == ()


def test_what_was_paid_back_in_the_shoppers_currency_takes_its_share_too() -> None:
    paid_in_dollars = order(net_minor=4_000, total_minor=6_000, total_currency="USD", tax_minor=500)
    assert taken(fold([paid_in_dollars], [said("r", 3_000, currency="USD", is_gross=True)])) == [2_000]
    assert taken(fold([paid_in_dollars], [said("r", 2_250, is_gross=True)])) == [2_000]
    refused = fold([paid_in_dollars], [said("r", 3_000, currency="GBP", is_gross=True)])
    assert (taken(refused), refused.flags) == ([], ("currency_mismatch",))
    assert fold([paid_in_dollars], [said("r", 3_000, currency="USD")]).flags == ("currency_mismatch",)


def test_more_than_was_paid_is_cut_and_flagged() -> None:
    folded = fold([TAXED], [said("r", 3_000, is_gross=True), said("d", 4_999, 2, kind="chargeback", is_gross=True)])
    assert (taken(folded), folded.flags) == ([2_400, 1_600], ("refund_over_order",))


def test_a_reversal_gives_back_its_share() -> None:
    back = said("v", 1_000, 2, kind="reversal", is_gross=True)
    assert taken(fold([TAXED], [said("r", 2_000, is_gross=True), back])) == [1_600, -800]


def test_the_total_is_the_most_trusted_one_in_its_own_currency() -> None:
    paid = order(net_minor=4_000, tax_minor=1_000, total_minor=10_000, total_currency="USD")
    assert taken(fold([paid], [said("r", 5_000, currency="USD", is_gross=True)])) == [2_000]
    assert taken(fold([paid], [said("r", 2_500, is_gross=True)])) == [2_000]
    plain = order(net_minor=4_000, total_minor=8_000)
    assert taken(fold([plain], [said("r", 4_000, is_gross=True)])) == [2_000]
    unnamed = order(net_minor=4_000, currency=None, total_minor=8_000)
    assert taken(fold([unnamed], [said("r", 4_000, currency=None, is_gross=True)])) == [2_000]
    newer = order(version=2, total_minor=16_000, currency=None)
    assert taken(fold([plain, newer], [said("r", 4_000, is_gross=True)])) == [1_000]
    silent = order(version=3, net_minor=4_000)
    assert taken(fold([plain, silent], [said("r", 4_000, is_gross=True)])) == [2_000]
    assert taken(fold([silent], [said("r", 1_000, is_gross=True)])) == [1_000]


# ── Sums of refunds ──────────────────────────────────────────────────────────────────────────────────────────────────

PLAIN = order(net_minor=10_000)


def test_sums_alone_add_what_each_says_more_than_the_last_one_dated_when_it_was_said() -> None:
    folded = fold([PLAIN], [refunded_so_far(2_500, 9), refunded_so_far(1_000, 3), refunded_so_far(2_500, 10)])
    assert [(effect.amount_minor, effect.occurred_at) for effect in folded.effects] == [
        (1_000, NOON + 3 * MINUTE),
        (1_500, NOON + 9 * MINUTE),
    ]
    assert folded.flags == ()


@pytest.mark.parametrize("minutes", [0, 1, 2])
def test_a_refund_and_the_sum_it_is_part_of_count_once_whichever_clock_is_ahead(minutes: int) -> None:
    assert taken(fold([PLAIN], [refund("r1", 1_000, 1), refunded_so_far(1_000, minutes)])) == [1_000]


def test_a_sum_adds_the_refunds_that_nobody_told_one_by_one() -> None:
    known, first, last = refund("r2", 700, 5), refunded_so_far(1_000, 3), refunded_so_far(1_700, 5)
    assert taken(fold([PLAIN], [known, last])) == [1_000, 700]
    assert fold([PLAIN], [known, first, last]).refunded_minor == 1_700


def test_a_refund_of_another_charge_explains_nothing_of_this_ones_sum() -> None:
    other = said("r9", 1_000, 1, included_in="ch_2")
    assert sorted(taken(fold([PLAIN], [other, refunded_so_far(1_000, 2)]))) == [1_000, 1_000]


def test_a_failed_refund_is_taken_back_from_the_sum_that_counted_it() -> None:
    made, failed = refund("r1", 1_000, version=1), refund("r1", 0, version=2)
    assert fold([PLAIN], [refunded_so_far(1_000), made, failed]).refunded_minor == 0
    again = refund("r2", 1_000, 5, version=1)
    for sum_after in (1_000, 2_000):  # Whether or not the charge still counts what failed.
        assert (
            fold([PLAIN], [refunded_so_far(1_000), made, failed, again, refunded_so_far(sum_after, 5)]).refunded_minor
            == 1_000
        )


sums = st.builds(refunded_so_far, st.integers(0, 4_000), st.integers(0, 5), is_gross=st.booleans())
singles = st.builds(
    refund, st.sampled_from(["r1", "r2"]), st.integers(0, 4_000), st.integers(0, 5), version=st.integers(0, 2), is_gross=st.booleans()
)  # fmt: skip


@given(st.data(), st.lists(sums, max_size=4), st.lists(singles, max_size=4))
def test_any_permutation_and_repetition_folds_to_the_same_order(
    data: st.DataObject, so_far: list[Adjustment], each: list[Adjustment]
) -> None:
    facts = [*so_far, *each]
    once = fold([TAXED], facts)
    assert fold([TAXED], data.draw(st.permutations(facts + facts))) == once
    assert 0 <= once.refunded_minor <= 4_000


@given(st.lists(st.tuples(st.integers(1, 900), st.integers(0, 5)), max_size=5), st.data())
def test_every_way_of_hearing_of_the_same_refunds_ends_in_the_same_amount(
    refunds: list[tuple[int, int]], data: st.DataObject
) -> None:
    one_by_one = [refund(f"r{index}", amount, minute) for index, (amount, minute) in enumerate(refunds)]
    so_far = [
        refunded_so_far(sum(amount for amount, _ in refunds[: index + 1]), index) for index in range(len(refunds))
    ]
    heard = data.draw(st.lists(st.sampled_from(one_by_one), unique_by=id)) if one_by_one else []
    total = sum(amount for amount, _ in refunds)
    assert fold([PLAIN], one_by_one).refunded_minor == total
    assert fold([PLAIN], [*so_far, *heard]).refunded_minor == total
