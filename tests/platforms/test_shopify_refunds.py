"""Shopify's refunds as its documentation has them since API 2024-10, beside their older form; and orders that are never paid.

Since 2024-10 `refunds/create` sends adjustments without `kind`, and shipping in `refund_shipping_lines`; the REST resource, which orders hold, has
both (shopify.dev, changelog "Exposing the order adjustments connection on a Refund", REST Refund).
"""

import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.folding import Order, fold
from app.domain.orders import (
    TRUST_WEBHOOK,
    Adjustment,
    Context,
    OrderReport,
    Parsed,
    Receipt,
    RefundReport,
    Witness,
    content_hash,
    encode_report,
)
from app.platforms.shopify.webhook import parse

Json = dict[str, Any]
RECEIVED = datetime(2026, 11, 30, 12, tzinfo=UTC)
CONTEXT = Context(received_at=RECEIVED, currency="EUR", customer_key=lambda number, email: f"{number}/{email}")
RECEIPT = Receipt(TRUST_WEBHOOK, "hook", "shopify", RECEIVED)


def read(topic: str, body: Json, context: Context = CONTEXT, **headers: str) -> Parsed:
    return parse(json.dumps(body).encode(), {"x-shopify-topic": topic, **headers}, context)


def folded(*messages: tuple[str, Json]) -> Order:
    """The order that these messages make, whatever their order of arrival."""
    made = set()
    for turn in itertools.permutations(messages):
        witnesses: list[Witness] = []
        adjustments: list[Adjustment] = []
        for topic, body in turn:
            parsed = read(topic, body)
            assert parsed.rejected is None, parsed
            for report in parsed.reports:
                if report.is_witness:
                    witnesses.append(Witness(report, TRUST_WEBHOOK, hashed(report), RECEIVED, "hook", "shopify"))
                adjustments += [
                    Adjustment(each, TRUST_WEBHOOK, hashed(each), RECEIVED, "hook", "shopify")
                    for each in report.refunds
                ]
        order = fold(witnesses, adjustments)
        made.add((order.net_minor, order.refunded_minor, order.status, order.flags))
    assert len(made) == 1, made
    return order


def hashed(report: OrderReport | RefundReport) -> bytes:
    return content_hash(RECEIPT, encode_report(report))


def in_both(amount: str, shown: str | None = None) -> Json:
    """A money set in euros; shown: what the shopper saw, in dollars."""
    presentment = {"amount": shown or amount, "currency_code": "USD" if shown else "EUR"}
    return {"shop_money": {"amount": amount, "currency_code": "EUR"}, "presentment_money": presentment}


def bought(**fields: Any) -> Json:
    """An order of goods for 100.00 and 20.00 of tax on top, with shipping for 6.00 and 1.20 of tax on it."""
    line = {
        "id": 1,
        "price": "100.00",
        "quantity": 1,
        "discount_allocations": [],
        "tax_lines": [{"price": "20.00", "rate": 0.2}],
    }
    shipping = {"id": 5, "price": "6.00", "discounted_price": "6.00", "tax_lines": [{"price": "1.20", "rate": 0.2}]}
    return {
        "id": 7,
        "currency": "EUR",
        "created_at": "2026-11-20T10:00:00Z",
        "updated_at": "2026-11-20T10:00:00Z",
        "financial_status": "paid",
        "taxes_included": False,
        "total_tax": "21.20",
        "line_items": [line],
        "shipping_lines": [shipping],
        **fields,
    }


def refund(**fields: Any) -> Json:
    """A refund as it is sent since 2024-10: every part is listed, most of them empty."""
    return {
        "id": 9,
        "order_id": 7,
        "created_at": "2026-11-22T10:00:00Z",
        "processed_at": "2026-11-22T10:00:00Z",
        "duties": [],
        "total_duties_set": in_both("0.00"),
        "return": None,
        "additional_fees": [],
        "total_additional_fees_set": in_both("0.00"),
        "refund_shipping_lines": [],
        "order_adjustments": [],
        "refund_line_items": [],
        "transactions": [],
        **fields,
    }


def goods(subtotal: str = "100.00", tax: str = "20.00", **fields: Any) -> Json:
    inner = {"id": 1, "gift_card": False, "tax_lines": [{"price": tax, "rate": 0.2}]}
    return {"line_item_id": 1, "quantity": 1, "subtotal": subtotal, "total_tax": tax, "line_item": inner, **fields}


def shipping(amount: str = "6.00", **fields: Any) -> Json:
    return {"id": 8, "shipping_line_id": 5, "subtotal_amount_set": in_both(amount), **fields}


def adjusted(amount: str, tax: str = "0.00", kind: str | None = None, shown: str | None = None) -> Json:
    """An adjustment, with its kind as before 2024-10 or without."""
    sets = {"amount_set": in_both(amount, shown), "tax_amount_set": in_both(tax, tax if shown else None)}
    return {"amount": amount, "tax_amount": tax, "reason": "damage", **sets, **({} if kind is None else {"kind": kind})}


def paid_back(amount: str, currency: str = "EUR") -> Json:
    return {"kind": "refund", "status": "success", "amount": amount, "currency": currency}


def older(body: Json) -> Json:
    """The same refund as it was sent before 2024-10: shipping is an adjustment, and each of them has a kind."""
    found = {name: value for name, value in body.items() if name != "refund_shipping_lines"}
    found["order_adjustments"] = [{"kind": "refund_discrepancy", **each} for each in body["order_adjustments"]]
    for each in body["refund_shipping_lines"]:
        amount = each["subtotal_amount_set"]["shop_money"]["amount"]
        found["order_adjustments"].append(adjusted(f"-{amount}", "-1.20", "shipping_refund"))
    return found


REFUNDS = {
    "goods": (refund(refund_line_items=[goods()], transactions=[paid_back("120.00")]), 10_000),
    "goods and shipping": (
        refund(refund_line_items=[goods()], refund_shipping_lines=[shipping()], transactions=[paid_back("127.20")]),
        10_000,
    ),
    # Taxed shipping: its tax is not said since 2024-10, and is no part of the goods either.
    "shipping alone": (refund(refund_shipping_lines=[shipping()], transactions=[paid_back("7.20")]), 0),
    "a part of shipping": (
        refund(
            refund_shipping_lines=[shipping("6.00")],
            order_adjustments=[adjusted("2.00")],
            transactions=[paid_back("5.20")],
        ),
        0,
    ),
    "goods, less 8.75 for restocking": (
        refund(refund_line_items=[goods()], order_adjustments=[adjusted("8.75")], transactions=[paid_back("111.25")]),
        9_125,
    ),
    "goods, and 5.00 more for the trouble": (
        refund(refund_line_items=[goods()], order_adjustments=[adjusted("-5.00")], transactions=[paid_back("125.00")]),
        10_500,
    ),
    "an amount without tax": (
        refund(order_adjustments=[adjusted("-12.00")], transactions=[paid_back("12.00")]),
        1_200,
    ),
    "an amount and its tax": (
        refund(order_adjustments=[adjusted("-10.00", "-2.00")], transactions=[paid_back("12.00")]),
        1_000,
    ),
    "an amount that contains its tax": (
        refund(order_adjustments=[adjusted("-12.00", "-2.00")], transactions=[paid_back("12.00")]),
        1_000,
    ),
    "an amount and shipping": (
        refund(
            order_adjustments=[adjusted("-12.00")],
            refund_shipping_lines=[shipping()],
            transactions=[paid_back("19.20")],
        ),
        1_200,
    ),
    # The shopper paid in dollars; the shop's books say what that was in euros.
    "an amount in two currencies": (
        refund(order_adjustments=[adjusted("-12.00", shown="-14.95")], transactions=[paid_back("14.95", "USD")]),
        1_200,
    ),
    "an amount and its tax in two currencies": (
        refund(
            order_adjustments=[adjusted("-10.00", "-2.00", shown="-12.46")], transactions=[paid_back("14.95", "USD")]
        ),
        1_000,
    ),
    "duties alone": (
        refund(
            duties=[{"duty_id": 1, "amount_set": in_both("12.00")}],
            total_duties_set=in_both("12.00"),
            transactions=[paid_back("12.00")],
        ),
        0,
    ),
    "fees alone": (
        refund(
            additional_fees=[{"id": 1, "price_set": in_both("3.00")}],
            total_additional_fees_set=in_both("3.00"),
            transactions=[paid_back("3.00")],
        ),
        0,
    ),
    "goods and duties": (
        refund(refund_line_items=[goods()], total_duties_set=in_both("12.00"), transactions=[paid_back("132.00")]),
        10_000,
    ),
}


@pytest.mark.parametrize("form", [lambda body: body, older])
@pytest.mark.parametrize("what", REFUNDS)
def test_a_refund_takes_what_it_paid_back_for_goods_in_either_form(what: str, form: Any) -> None:
    body, taken_minor = form(REFUNDS[what][0]), REFUNDS[what][1]
    alone = read("refunds/create", body)
    if taken_minor:
        [found] = alone.reports[0].refunds
        assert (found.amount_minor, found.currency) == (taken_minor, "EUR")
    else:
        assert (alone.ignored, alone.reports) == ("nothing_refunded", ())
    # The same refund in the order that an update repeats.
    [updated] = read("orders/updated", bought(refunds=[body])).reports
    assert sum(each.amount_minor or 0 for each in updated.refunds) == taken_minor
    order = folded(("orders/create", bought()), ("refunds/create", body), ("orders/updated", bought(refunds=[body])))
    assert (order.net_minor, order.refunded_minor) == (10_000, min(taken_minor, 10_000))


def test_the_documented_refund_of_shipping_names_it_twice_and_takes_nothing() -> None:
    """REST Refund 2025-04, "Refund a specific amount of shipping": 5.00 as a shipping line and as an adjustment of that kind."""
    kept = adjusted("-5.00", kind="shipping_refund")
    body = refund(refund_shipping_lines=[shipping("5.00")], order_adjustments=[kept], transactions=[paid_back("5.00")])
    assert read("refunds/create", body).ignored == "nothing_refunded"
    assert read("orders/updated", bought(refunds=[body])).reports[0].refunds == ()
    older_form = {name: value for name, value in body.items() if name != "refund_shipping_lines"}
    assert read("refunds/create", older_form).ignored == "nothing_refunded"


def test_without_a_word_on_its_tax_an_amount_takes_the_goods_share_of_it() -> None:
    [found] = read("orders/updated", bought(refunds=[refund(transactions=[paid_back("12.00")])])).reports[0].refunds
    assert found.amount_minor == 1_000
    before = refund(transactions=[paid_back("31.20")], total_duties_set=in_both("12.00"))
    before["order_adjustments"] = [adjusted("-6.00", "-1.20", "shipping_refund")]
    del before["refund_shipping_lines"]
    [found] = read("orders/updated", bought(refunds=[before])).reports[0].refunds
    assert found.amount_minor == 1_000


# ── Prices with tax ──────────────────────────────────────────────────────────────────────────────────────────────────


def with_tax(**fields: Any) -> Json:
    """The order with its tax inside: 120.00 with 20.00."""
    whole = bought(taxes_included=True, total_tax="20.00", shipping_lines=[])
    whole["line_items"][0] |= {"price": "60.00", "quantity": 2}
    return whole | fields


def without_rate(**fields: Any) -> Json:
    """One of the two pieces: 60.00 and 10.00 of tax, which is neither 20 % of one nor of the other for anybody who does not know the rate."""
    return goods("60.00", "10.00", line_item={"id": 1, "tax_lines": []}, **fields)


@pytest.mark.parametrize("transactions", [[], [paid_back("60.00")], [paid_back("17.00")]])
def test_a_refund_without_a_rate_of_an_order_whose_prices_include_tax_is_without_tax(transactions: list[Json]) -> None:
    body = refund(refund_line_items=[without_rate()], transactions=transactions)
    order = folded(("orders/create", with_tax()), ("refunds/create", body))
    assert (order.net_minor, order.refunded_minor, order.flags) == (10_000, 5_000, ())
    repeated = ("orders/updated", with_tax(refunds=[body], updated_at="2026-11-22T10:00:01Z"))
    assert folded(("orders/create", with_tax()), ("refunds/create", body), repeated).refunded_minor == 5_000


def test_a_refund_without_a_rate_of_an_order_with_tax_on_top_is_its_subtotal() -> None:
    item = goods(line_item={"id": 1, "tax_lines": []})
    for transactions in ([], [paid_back("120.00")]):
        body = refund(refund_line_items=[item], transactions=transactions)
        assert folded(("orders/create", bought()), ("refunds/create", body)).refunded_minor == 10_000


def test_the_payment_tells_whether_tax_was_added() -> None:
    """Also beside shipping and an adjustment: 48.00 paid with the tax inside, 56.00 with it on top."""
    item = goods("48.00", "8.00", line_item={"id": 1})
    parts = {"refund_shipping_lines": [shipping("5.00")], "order_adjustments": [adjusted("3.00")]}
    for paid, net_minor in (("50.00", 3_700), ("58.00", 4_500)):
        body = refund(refund_line_items=[item], transactions=[paid_back(paid)], **parts)
        [found] = read("refunds/create", body).reports[0].refunds
        assert found.amount_minor == net_minor


# ── Orders that are never paid ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", ["voided", "expired"])
def test_an_order_whose_payment_was_given_up_is_cancelled_until_a_later_message_says_paid(status: str) -> None:
    created = ("orders/create", bought(financial_status="authorized"))
    given_up = ("orders/updated", bought(financial_status=status, updated_at="2026-11-21T10:00:00Z"))
    order = folded(created, given_up)
    assert (order.status, order.status_reason, order.net_minor, order.refunded_minor) == (
        "rejected",
        "cancelled",
        10_000,
        10_000,
    )
    again = ("orders/updated", bought(financial_status=status, updated_at="2026-11-22T10:00:00Z"))
    assert folded(created, given_up, again).refunded_minor == 10_000
    paid = ("orders/paid", bought(updated_at="2026-11-23T10:00:00Z"))
    order = folded(created, given_up, again, paid)
    assert (order.status, order.refunded_minor) == ("approved", 0)
    # Paid before, which a late delivery says.
    before = ("orders/paid", bought(updated_at="2026-11-20T11:00:00Z"))
    assert folded(created, given_up, before).refunded_minor == 10_000


def test_a_deleted_order_is_cancelled_until_a_later_message_says_paid() -> None:
    """The message holds nothing but the id: `{"id": 820982911946154508}`. It dates from when it was triggered, or from its receipt."""
    at = {"x-shopify-triggered-at": "2026-11-21T10:00:00.5Z"}
    [deleted] = read("orders/delete", {"id": 7}, CONTEXT, **at).reports
    assert (deleted.stub, deleted.refs) == (True, ("7",))
    [cancellation] = deleted.refunds
    assert (cancellation.kind, cancellation.full) == ("cancellation", True)
    created = ("orders/create", bought(financial_status="pending"))
    order = folded(created, ("orders/delete", {"id": 7}))
    assert (order.net_minor, order.refunded_minor) == (10_000, 10_000)
    later = ("orders/paid", bought(updated_at="2026-12-01T10:00:00Z"))
    assert folded(created, ("orders/delete", {"id": 7}), later).refunded_minor == 0
    assert read("orders/delete", {}).rejected == "not_an_order"


def test_an_order_that_was_cancelled_stays_so_though_it_was_paid() -> None:
    cancelled = bought(cancelled_at="2026-11-21T10:00:00Z", financial_status="voided")
    paid = ("orders/paid", bought(updated_at="2026-11-23T10:00:00Z"))
    assert folded(("orders/cancelled", cancelled), paid).refunded_minor == 10_000
