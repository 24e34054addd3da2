"""Refunds told as what was paid back, with tax: the goods first, then shipping, each with its own tax."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.bodies import read_order, read_refund
from app.domain.folding import Order, fold
from app.domain.orders import (
    TRUST_WEBHOOK,
    Adjustment,
    Context,
    OrderReport,
    Receipt,
    RefundReport,
    Witness,
    content_hash,
    encode_report,
)
from app.domain.refunds import goods_with_tax
from app.errors import Invalid

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOOK = Receipt(TRUST_WEBHOOK, "hook", "generic", NOON + timedelta(days=30))
CONTEXT = Context(received_at=NOON, currency="EUR", customer_key=lambda _, email: email)


def order(**fields: Any) -> Witness:
    report = OrderReport("main", "sale", ("1",), **{"occurred_at": NOON, "currency": "EUR", **fields})
    return Witness(report, TRUST_WEBHOOK, content_hash(HOOK, encode_report(report)), HOOK.received_at, "hook")


def said(refund_id: str, amount: int | None, minutes: int = 1, **fields: Any) -> Adjustment:
    given = {"currency": "EUR", "occurred_at": NOON + timedelta(minutes=minutes), **fields}
    report = RefundReport(refund_id, amount_minor=amount, full=amount is None, **given)
    return Adjustment(report, TRUST_WEBHOOK, content_hash(HOOK, encode_report(report)), HOOK.received_at)


def gross(refund_id: str, amount: int, minutes: int = 1, **fields: Any) -> Adjustment:
    return said(refund_id, amount, minutes, is_gross=True, goods_first=True, **fields)


def taken(of: Order) -> list[int]:
    return [effect.amount_minor for effect in of.effects]


TAXED = order(net_minor=9_000, tax_minor=1_800)
SHIPPED = order(net_minor=5_000, shipping_minor=1_000, tax_minor=1_200)


def test_half_of_what_was_paid_takes_half_of_the_net_and_all_of_it_takes_all() -> None:
    assert taken(fold([TAXED], [gross("r", 5_400)])) == [4_500]
    whole = fold([TAXED], [gross("r", 10_800)])
    assert (taken(whole), whole.flags) == ([9_000], ())


def test_the_goods_come_before_the_shipping_each_with_its_own_tax() -> None:
    # Medusa: goods of 63.45 and shipping of 8.00 at 20 %.
    sold = order(net_minor=6_345, shipping_minor=800, tax_minor=1_429)
    assert taken(fold([sold], [gross("r", 1_562)])) == [1_302]
    assert taken(fold([SHIPPED], [gross("r", 6_000), gross("s", 1_200, 2)])) == [5_000, 0]
    assert fold([SHIPPED], [gross("r", 6_000), gross("s", 1_200, 2)]).flags == ()
    # Books at 7 %, shipping at 19 %.
    books = {"net_minor": 10_000, "shipping_minor": 1_000, "tax_minor": 890}
    assert taken(fold([order(**books, shipping_tax_minor=190)], [gross("r", 1_070)])) == [1_000]


def test_shipping_without_a_tax_of_its_own_has_the_rate_of_the_goods() -> None:
    assert goods_with_tax(6_345, 1_429, 800, None) == 7_614
    assert goods_with_tax(10_000, 890, 1_000, 190) == 10_700
    assert goods_with_tax(10_000, 890, 1_000, 900) == 10_000
    assert goods_with_tax(10_000, None, None, None) == 10_000
    assert goods_with_tax(0, 200, 1_000, None) == 0


def test_beside_refunds_on_the_base_of_net_the_rest_of_the_total_is_the_rest_of_the_order() -> None:
    folded = fold([SHIPPED], [said("r", 2_000), gross("s", 4_800, 2)])
    assert (taken(folded), folded.flags) == ([2_000, 3_000], ())


def test_more_than_was_paid_is_cut_and_flagged() -> None:
    folded = fold([SHIPPED], [gross("r", 7_000), gross("s", 201, 2)])
    assert (taken(folded), folded.flags) == ([5_000, 0], ("refund_over_order",))


def test_a_reversal_gives_back_the_goods_and_the_shipping_that_it_names() -> None:
    paid_back = [
        gross("r", 7_200),
        said("v", None, 2, kind="reversal", reverses="r", currency=None),
        gross("s", 7_200, 3),
    ]
    folded = fold([SHIPPED], paid_back)
    assert (taken(folded), folded.flags) == ([5_000, -5_000, 5_000], ())
    part = fold([SHIPPED], [gross("r", 6_600), gross("v", 1_800, 2, kind="reversal", reverses="r")])
    assert (taken(part), part.flags) == ([5_000, -1_000], ())


def test_in_the_other_currency_that_the_shopper_paid_in_it_is_the_same_share() -> None:
    sold = order(net_minor=9_000, tax_minor=1_800, total_minor=21_600, total_currency="USD")
    assert taken(fold([sold], [gross("r", 10_800, currency="USD")])) == [4_500]
    assert fold([sold], [gross("r", 10_800, currency="CHF")]).flags == ("currency_mismatch",)


def test_an_order_without_a_known_tax_or_worth_nothing_loses_what_is_said_and_no_more() -> None:
    assert taken(fold([order(net_minor=5_000)], [gross("r", 1_000)])) == [1_000]
    assert taken(fold([order(net_minor=0, shipping_minor=500)], [gross("r", 500)])) == [0]
    assert fold([order(net_minor=0, shipping_minor=500)], [gross("r", 500)]).flags == ()


amounts = st.integers(0, 10**7)


@given(amounts, amounts, amounts, amounts, st.lists(st.integers(0, 10**6), min_size=1, max_size=8), st.data())
def test_parts_of_the_total_add_up_to_the_net_exactly_in_any_order_of_arrival(
    net: int, shipping: int, tax: int, shipping_tax: int, cuts: list[int], data: st.DataObject
) -> None:
    total = net + shipping + tax
    sold = order(net_minor=net, shipping_minor=shipping, tax_minor=tax, shipping_tax_minor=min(shipping_tax, tax))
    edges = sorted({0, total, *(min(cut, total) for cut in cuts)})
    parts = [gross(f"r{at}", end - start, at) for at, (start, end) in enumerate(pairwise(edges))]
    folded = fold([sold], data.draw(st.permutations(parts)))
    assert sum(taken(folded)) == (net if parts else 0)
    assert all(each >= 0 for each in taken(folded))
    assert "refund_over_order" not in folded.flags


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9_000)), max_size=5))
def test_gross_and_net_refunds_together_never_take_more_than_the_order(refunds: list[tuple[bool, int]]) -> None:
    facts = [(gross if is_gross else said)(f"r{at}", amount, at) for at, (is_gross, amount) in enumerate(refunds)]
    folded = fold([SHIPPED], facts)
    assert 0 <= sum(taken(folded)) <= 5_000
    assert all(each >= 0 for each in taken(folded))


def test_a_refund_that_arrives_before_its_order_takes_the_same() -> None:
    for facts in permutations([gross("a", 1_000, 1), gross("b", 2_500, 2), said("c", 700, 3)]):
        assert taken(fold([SHIPPED], list(facts))) == [833, 2_084, 700]


def test_the_body_of_a_refund_says_what_was_paid_back() -> None:
    body = {"order_id": "1", "refund_id": "r", "gross_minor": 5_400}
    [refund] = read_refund(body, CONTEXT).refunds
    assert (refund.amount_minor, refund.is_gross, refund.goods_first, refund.currency) == (5_400, True, True, "EUR")
    for other in ({"amount_minor": 4_500}, {"full": True}):
        with pytest.raises(Invalid, match="give one of amount_minor, gross_minor and full: true"):
            read_refund({**body, **other}, CONTEXT)
    assert read_order({"order_id": "1", "net_minor": 9, "shipping_tax_minor": 2}, CONTEXT).shipping_tax_minor == 2
