"""Shopify's webhooks, told in the order of its documentation: an order, its money, its discounts and attributes, its refunds, its cancellation.

The samples are the documentation's own payloads (demo/simulator/documents/PROVENANCE.md).
"""

import base64
import copy
import hmac
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.orders import Context, DemandedOf, OrderReport, Parsed, RefundReport, version_at
from app.platforms.shopify.webhook import parse
from app.platforms.signing import kept_headers, verify
from demo.simulator import DOCUMENTS

ORDER = (DOCUMENTS / "shopify_order_rest_2024-04.json").read_bytes()
REFUND = (DOCUMENTS / "shopify_refund_rest_2024-04.json").read_bytes()
CLICK = "clk_01k0000000000000000000000a"


def key(customer_id: str | None, email: str | None) -> str | None:
    return f"{customer_id}/{email}"


CONTEXT = Context(
    received_at=datetime(2026, 11, 22, tzinfo=UTC), currency="EUR", customer_key=key, shop="main", click_param="via"
)


def read(body: bytes, topic: str, context: Context = CONTEXT, **headers: str) -> Parsed:
    return parse(body, {"x-shopify-topic": topic, **headers}, context)


def order(topic: str = "orders/create", context: Context = CONTEXT, **changed: Any) -> OrderReport:
    """The report of a small order in euros with these fields changed."""
    body = {"id": 7, "currency": "EUR", "financial_status": "paid", **changed}
    parsed = read(json.dumps(body).encode(), topic, context)
    assert parsed.rejected is None, parsed
    [report] = parsed.reports
    return report


def line(
    price: str, quantity: int = 1, discount: str | None = None, tax: str | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "id": 1,
        "price": price,
        "quantity": quantity,
        "discount_allocations": [] if discount is None else [{"amount": discount, "discount_application_index": 0}],
        "tax_lines": [] if tax is None else [{"price": tax, "rate": 0.2, "title": "VAT"}],
        **more,
    }


# ── The order of the documentation ───────────────────────────────────────────────────────────────────────────────────


def test_the_documented_order_is_read_whole() -> None:
    parsed = read(ORDER, "orders/paid", **{"x-shopify-event-id": "e-1", "x-shopify-webhook-id": "w-1"})
    assert (parsed.topic, parsed.external_id) == ("orders/paid", "orders/paid:e-1")
    [report] = parsed.reports
    assert report.refs == ("450789469", "1001", "bd5a8aa1ecd019dd3520ff791ee3a24c")
    assert report.order_id == "450789469"
    assert report.occurred_at == datetime(2008, 1, 10, 16, 0, tzinfo=UTC)
    assert report.version == version_at(datetime(2024, 4, 2, 14, 4, 2, tzinfo=UTC))
    # 3 × 199.00 − TENOFF's 3.34 + 3.33 + 3.33. (The sample's own subtotal_price of 597.00 forgets the discount; its total does not.)
    assert (report.currency, report.items_minor, report.discount_minor, report.net_minor) == (
        "USD",
        59_700,
        1_000,
        58_700,
    )
    assert (report.tax_minor, report.shipping_minor) == (1_194, 0)
    assert report.net_minor + report.tax_minor + report.shipping_minor == 59_894  # its total_price
    assert report.codes == ("TENOFF",)
    assert report.customer.key == "207119551/bob.norman@mail.example.com"
    assert report.customer.is_new is None
    assert [(each.sku, each.quantity, each.net_minor) for each in report.lines] == [
        ("IPOD2008GREEN", 1, 19_566),
        ("IPOD2008RED", 1, 19_567),
        ("IPOD2008BLACK", 1, 19_567),
    ]
    assert (report.shop, report.kind, report.paid, report.test, report.estimated) == (
        "main",
        "sale",
        True,
        False,
        False,
    )


def test_an_order_of_a_thousand_documented_lines_is_read_and_one_of_too_many_values_refused() -> None:
    document = json.loads(ORDER)
    [first, *_] = document["line_items"]
    document["line_items"] = [{**first, "id": number} for number in range(1_000)]
    [report] = read(json.dumps(document).encode(), "orders/paid").reports
    assert len(report.lines) == 1_000
    document["line_items"] = document["line_items"] * 40
    refused = read(json.dumps(document).encode(), "orders/paid")
    assert (refused.rejected, refused.reports) == ("too_many_values", ())


def test_the_refund_inside_the_documented_order_is_read() -> None:
    [report] = read(ORDER, "orders/updated").reports
    [refund] = report.refunds
    assert (refund.refund_id, refund.amount_minor, refund.currency) == ("929361469", 58_700, "USD")
    assert refund.occurred_at == datetime(2024, 4, 2, 14, 4, 2, tzinfo=UTC)


def test_the_documented_refund_waits_for_its_order() -> None:
    [report] = read(REFUND, "refunds/create").reports
    assert report.stub
    assert report.refs == ("450789469",)
    [refund] = report.refunds
    # 195.66 + 195.67: the goods, not the 209.00 the sample's transaction happens to say.
    assert (refund.refund_id, refund.amount_minor, refund.currency) == ("509562969", 39_133, "USD")
    assert refund.occurred_at == datetime(2024, 4, 2, 13, 59, 11, tzinfo=UTC)
    assert [(each.id, each.net_minor) for each in refund.lines] == [("703073504", 19_566), ("466157049", 19_567)]


def test_every_field_but_the_id_may_be_left_out() -> None:
    """`include_fields` subscriptions name the fields they want."""
    whole = json.loads(ORDER)
    for name in whole.keys() - {"id"}:
        for less in ({k: v for k, v in whole.items() if k != name}, {**whole, name: None}):
            parsed = read(json.dumps(less).encode(), "orders/updated")
            assert parsed.reports, (name, parsed)
    bare = order(financial_status="pending")
    assert (bare.refs, bare.net_minor, bare.occurred_at, bare.paid) == (("7",), None, None, False)


# ── Names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "refs"),
    [
        ({"name": "#1001", "order_number": 1001}, ("7", "1001")),
        ({"name": "EN1001-FR", "order_number": 1001}, ("7", "EN1001-FR", "1001")),
        # Imported with its old name: 1002 is what another order is called.
        ({"name": "#1005", "order_number": 1002}, ("7", "1005")),
        ({"order_number": 1001}, ("7", "1001")),
        # `number` is the order number minus 1000; carts and confirmation numbers may be shared.
        ({"number": 1, "cart_token": "cart", "confirmation_number": "XPAV284CT"}, ("7",)),
        ({"checkout_token": "tok"}, ("7", "tok")),
    ],
)
def test_only_safe_names_join_reports(fields: dict[str, Any], refs: tuple[str, ...]) -> None:
    assert order(**fields).refs == refs


# ── Money ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_walk_through_of_a_vat_inclusive_order() -> None:
    """120.00 with 20 % VAT inside, LEA10 takes 10 %, shipping 5.90: the customer pays 113.90, net is 90.00. Then 48.00 go back, 40.00 net."""
    refund = {
        "id": 1,
        "processed_at": "2026-11-22T10:00:00Z",
        "refund_line_items": [{"line_item_id": 1, "quantity": 1, "subtotal": 48.00, "total_tax": 8.00}],
        "transactions": [{"kind": "refund", "status": "success", "amount": "48.00", "currency": "EUR"}],
    }
    report = order(
        taxes_included=True,
        line_items=[line("60.00", 2, "12.00", "18.00")],
        shipping_lines=[{"price": "5.90", "discounted_price": "5.90", "tax_lines": []}],
        total_price="113.90",
        total_tax="18.00",
        refunds=[refund],
    )
    assert (report.net_minor, report.tax_minor, report.shipping_minor) == (9_000, 1_800, 590)
    assert report.net_minor + report.tax_minor + report.shipping_minor == 11_390
    # The discount without its VAT, so that the parts add up and 10 % stays 10 %.
    assert (report.items_minor, report.discount_minor) == (10_000, 1_000)
    assert [each.amount_minor for each in report.refunds] == [4_000]


def test_where_prices_exclude_tax_nothing_is_taken_off() -> None:
    report = order(taxes_included=False, line_items=[line("50.00", 2, "10.00", "18.00")], total_tax="18.00")
    assert (report.items_minor, report.discount_minor, report.net_minor) == (10_000, 1_000, 9_000)


def test_shipping_and_its_discount_never_touch_net() -> None:
    report = order(
        line_items=[line("20.00")],
        total_discounts="4.90",
        discount_codes=[{"code": "FREESHIP", "amount": "4.90", "type": "shipping"}],
        shipping_lines=[{"price": "4.90", "discounted_price": "0.00", "discount_allocations": [{"amount": "4.90"}]}],
    )
    assert (report.net_minor, report.discount_minor, report.shipping_minor) == (2_000, 0, 0)
    assert report.codes == ("FREESHIP",)


def test_shipping_taxes_are_not_the_goods_taxes() -> None:
    report = order(
        taxes_included=True,
        line_items=[line("120.00", tax="20.00")],
        shipping_lines=[{"price": "6.00", "tax_lines": [{"price": "1.00"}]}, {"price": "9.99", "is_removed": True}],
        total_tax="21.00",
    )
    assert (report.net_minor, report.tax_minor, report.shipping_minor) == (10_000, 2_100, 500)
    assert report.net_minor + report.tax_minor + report.shipping_minor == 12_600


def test_gift_cards_and_tips_are_no_revenue_and_are_noted() -> None:
    body = {
        "id": 7,
        "currency": "EUR",
        "line_items": [
            line("30.00"),
            line("50.00", id=2, gift_card=True),
            line("5.00", id=3, tip={"payment_gateway": "x"}),
        ],
        "total_tip_received": "5.00",
        "total_price": "85.00",
    }
    parsed = read(json.dumps(body).encode(), "orders/create")
    assert parsed.reports[0].net_minor == 3_000
    assert [each.id for each in parsed.reports[0].lines] == ["1"]
    assert parsed.notes == ("gift_card_lines", "tip_lines")


@pytest.mark.parametrize(
    "tip",
    [
        {"tip_payment_gateway": "shopify_payments", "tip_payment_method": "visa"},
        {"tip_payment_gateway": None, "tip_payment_method": None},
        {"tip_payment_gateway": None},
    ],
)
def test_a_line_that_names_how_a_tip_was_paid_is_a_tip_though_it_names_nothing(tip: dict[str, Any]) -> None:
    """`tip_payment_gateway`: "Present only on tips" (shopify.dev, REST Order, LineItem); of a tip paid in cash it is null."""
    tipped = line("7.50", id=3, **tip)
    assert order(line_items=[line("50.00"), tipped]).net_minor == 5_000
    item = {"line_item_id": 3, "quantity": 1, "subtotal": "7.50"}
    assert refunded(refund(refund_line_items=[item]), line_items=[line("50.00"), tipped]) == ()
    alone = refund(order_id=7, refund_line_items=[{**item, "line_item": tipped}])
    assert read(json.dumps(alone).encode(), "refunds/create").ignored == "nothing_refunded"


def test_an_order_of_gift_cards_alone_is_worth_nothing_and_not_unknown() -> None:
    assert order(line_items=[line("50.00", gift_card=True)]).net_minor == 0


def test_a_wholly_discounted_line_counts_nothing() -> None:
    report = order(taxes_included=True, line_items=[line("12.00", 1, "12.00", "0.00")])
    assert (report.items_minor, report.discount_minor, report.net_minor) == (1_200, 1_200, 0)


def test_without_lines_the_subtotal_serves_and_is_marked() -> None:
    report = order(subtotal_price="108.00", total_tax="18.00", taxes_included=True)
    assert (report.net_minor, report.estimated) == (9_000, True)
    report = order(subtotal_price="90.00", total_tax="18.00", taxes_included=False)
    assert (report.net_minor, report.estimated) == (9_000, True)
    assert order(total_price="90.00").net_minor is None


def test_without_tax_lines_the_orders_tax_is_divided_over_the_lines() -> None:
    lines = [{"id": n, "price": price, "quantity": 1} for n, price in ((1, "60.00"), (2, "60.00"))]
    report = order(taxes_included=True, line_items=lines, total_tax="20.01")
    assert [each.net_minor for each in report.lines] == [4_999, 5_000]


@pytest.mark.parametrize(
    ("currency", "price", "minor"),
    [
        ("JPY", "500", 500),
        ("JPY", "500.00", 500),
        ("KWD", "5.120", 5_120),
        ("TND", "5.120", 5_120),
        ("EUR", "5.1", 510),
    ],
)
def test_currencies_have_their_own_decimals(currency: str, price: str, minor: int) -> None:
    assert order(currency=currency, line_items=[line(price)]).net_minor == minor


def test_json_numbers_are_read_exactly() -> None:
    """0.1 + 0.2 and 1.005 are the classic victims of floats."""
    assert order(line_items=[{"id": 1, "price": 0.1}, {"id": 2, "price": 0.2}]).net_minor == 30
    body = b'{"id": 7, "confirmed": true, "currency": "KWD", "line_items": [{"price": 1.005, "quantity": 1}]}'
    assert read(body, "orders/create").reports[0].net_minor == 1_005


def test_money_is_the_shops_and_what_the_shopper_saw_is_noted() -> None:
    """A shop in dollars sells in yen."""

    def both(usd: str, jpy: str) -> dict[str, Any]:
        return {
            "shop_money": {"amount": usd, "currency_code": "USD"},
            "presentment_money": {"amount": jpy, "currency_code": "JPY"},
        }

    body = {
        "id": 7,
        "confirmed": True,
        "currency": "USD",
        "presentment_currency": "JPY",
        "total_price_set": both("20.00", "3000"),
        # Scalars are in the shop's currency; a set beside them goes first.
        "line_items": [{"price": "1.00", "price_set": both("10.00", "1500"), "quantity": 2}],
        "refunds": [
            {
                "id": 1,
                "refund_line_items": [{"line_item_id": 1, "subtotal_set": both("10.00", "1500"), "subtotal": 10}],
            },
            {"id": 2, "transactions": [{"kind": "refund", "status": "success", "amount": "750", "currency": "JPY"}]},
        ],
    }
    parsed = read(json.dumps(body).encode(), "orders/create")
    [report] = parsed.reports
    assert (report.currency, report.net_minor) == ("USD", 2_000)
    # 750 yen of an order of 3,000 yen or 20 dollars.
    assert [(each.amount_minor, each.currency) for each in report.refunds] == [(1_000, "USD"), (500, "USD")]
    assert parsed.notes == ("presentment JPY 3000", "refund_converted")


def test_a_refund_in_the_shoppers_currency_waits_for_the_orders_own_rate() -> None:
    """refunds/create says what was paid back in yen and no rate; the order, which comes too, has both totals and the last word."""
    refund = {
        "id": 2,
        "order_id": 7,
        "transactions": [{"kind": "refund", "status": "success", "amount": "750", "currency": "JPY"}],
    }
    [alone] = read(json.dumps(refund).encode(), "refunds/create").reports
    [first] = alone.refunds
    assert (first.amount_minor, first.currency) == (750, "JPY")
    total = {
        "shop_money": {"amount": "20.00", "currency_code": "USD"},
        "presentment_money": {"amount": "3000", "currency_code": "JPY"},
    }
    told = order("orders/updated", currency="USD", total_price_set=total, line_items=[line("20.00")], refunds=[refund])
    [second] = told.refunds
    assert (second.refund_id, second.amount_minor, second.currency) == ("2", 500, "USD")
    assert second.version > first.version


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"currency": "ZZZ"}, "unknown_currency"),
        ({"currency": "XAU"}, "unknown_currency"),
        ({"line_items": [line("ten")]}, "invalid_amount"),
        ({"line_items": [line("-1.00")]}, "invalid_amount"),
        ({"line_items": [line("1,00.00")]}, "invalid_amount"),
        ({"line_items": [line("99999999999999999.00")]}, "invalid_amount"),
        ({"line_items": [line("9999999999.00", 999_999)]}, "invalid_amount"),
        ({"line_items": [line("1.00", -1)]}, "invalid_amount"),
        ({"line_items": [line(True)]}, "invalid_amount"),  # type: ignore[arg-type]
        ({"line_items": [{"price_set": {"shop_money": {"amount": "1", "currency_code": "USD"}}}]}, "currency_mismatch"),
        ({"line_items": [line("1.00")] * 1_001}, "too_many"),
    ],
)
def test_money_that_cannot_be_meant_rejects_the_order(fields: dict[str, Any], reason: str) -> None:
    body = {"id": 7, "currency": "EUR", "financial_status": "paid", **fields}
    parsed = read(json.dumps(body).encode(), "orders/create")
    assert parsed.rejected == reason
    assert parsed.detail
    assert parsed.reports == ()


def test_a_number_of_a_million_digits_is_refused_at_once() -> None:
    parsed = read(
        b'{"id": 7, "confirmed": true, "currency": "EUR", "line_items": [{"price": 1e999999}]}', "orders/create"
    )
    assert parsed.rejected == "invalid_amount"


# ── Codes, clicks, customers ─────────────────────────────────────────────────────────────────────────────────────────


def test_every_code_is_named_once_also_one_that_gave_nothing() -> None:
    report = order(
        discount_codes=[
            {"code": "LEA10", "amount": "10.00"},
            {"code": "MAX5", "amount": "0.00"},
            {"code": ""},
            {"code": None},
        ],
        discount_applications=[
            {"type": "discount_code", "code": "LEA10"},
            {"type": "discount_code", "code": "ZOE"},
            {"type": "automatic", "title": "Black Friday", "code": "NOT-TYPED"},
        ],
    )
    assert report.codes == ("LEA10", "MAX5", "ZOE")


@pytest.mark.parametrize(
    "name", ["ariane", "click_id", "clickid", "Click ID", "_click_id", "__ariane", "via", "click-id"]
)
def test_the_click_id_travels_in_the_carts_attributes(name: str) -> None:
    report = order(note_attributes=[{"name": "gift", "value": "yes"}, {"name": name, "value": CLICK}])
    assert report.click_ids == (CLICK,)


def test_the_click_id_is_also_found_in_the_landing_page() -> None:
    assert order(landing_site=f"/products/bag?utm_source=x&via={CLICK}").click_ids == (CLICK,)
    assert order(landing_site=f"https://shop.test/?ariane={CLICK}#top").click_ids == (CLICK,)
    both = order(landing_site=f"/?via={CLICK}", note_attributes=[{"name": "click_id", "value": "clk_other"}])
    assert both.click_ids == ("clk_other", CLICK)


@pytest.mark.parametrize("junk", ["/wallets/checkouts.json", "http://[::1", "", None, 7, "?" + "a=1&" * 300, "/?via="])
def test_a_landing_page_of_junk_names_no_click(junk: Any) -> None:
    assert order(landing_site=junk).click_ids == ()


def test_the_visitor_travels_in_the_carts_attributes() -> None:
    assert order(note_attributes=[{"name": "ariane_visitor", "value": "v-1"}]).visitor_id == "v-1"


def test_a_guests_email_makes_the_customers_key() -> None:
    assert order(email="lea@example.com").customer.key == "None/lea@example.com"
    assert order(contact_email="c@example.com").customer.key == "None/c@example.com"
    assert order(customer={"id": 5, "email": None}, email="x@example.com").customer.key == "5/x@example.com"


def test_a_shoppers_odd_text_never_costs_an_order() -> None:
    """NUL and half surrogates cannot be stored; whole fields of them are passed over."""
    report = order(
        note="\x00",
        email="\ud800@example.com",
        discount_codes=[{"code": "A\x00B"}, {"code": "LEA10"}],
        note_attributes=[
            {"name": "click_id", "value": "\udfff"},
            {"name": "visitor_id", "value": "x" * 500},
            "text",
            None,
        ],
        line_items=[line("1.00", name="\x00", sku="\ud83d")],
    )
    assert (report.codes, report.click_ids, report.visitor_id, report.net_minor) == (("LEA10",), (), None, 100)


@pytest.mark.parametrize(
    ("status", "paid"),
    [("paid", True), ("partially_refunded", True), ("refunded", True), ("pending", False), ("authorized", False),
     ("partially_paid", False), ("voided", False), (None, None), ("new_word", None)],
)  # fmt: skip
def test_paid_is_what_the_financial_status_says(status: str | None, paid: bool | None) -> None:
    assert order(financial_status=status).paid is paid
    assert order("orders/paid", financial_status=status).paid is True


def test_test_orders_are_marked() -> None:
    assert order(test=True).test
    assert not order(test="true").test


# ── Refunds and cancellations ────────────────────────────────────────────────────────────────────────────────────────


def refund(**fields: Any) -> dict[str, Any]:
    return {"id": 9, "processed_at": "2026-11-22T10:00:00+01:00", **fields}


def paid_back(amount: str, status: str = "success", **more: Any) -> dict[str, Any]:
    return {"kind": "refund", "status": status, "amount": amount, "currency": "EUR", **more}


def refunded(*refunds: dict[str, Any], **fields: Any) -> tuple[RefundReport, ...]:
    """The refunds inside an order of 100.00 plus 20.00 tax on top, unless fields say otherwise."""
    base = {"line_items": [line("100.00", tax="20.00")], "total_tax": "20.00", "taxes_included": False}
    return order("orders/updated", refunds=list(refunds), **{**base, **fields}).refunds


GOODS = {"line_item_id": 1, "quantity": 1, "subtotal": 40.0, "total_tax": 8.0}


@pytest.mark.parametrize(
    ("what", "amount_minor"),
    [
        ({"refund_line_items": [GOODS], "transactions": [paid_back("48.00")]}, 4_000),
        # Restocked before it was paid: the goods are not sold.
        ({"refund_line_items": [GOODS], "transactions": []}, 4_000),
        # The payment is still on its way.
        ({"refund_line_items": [GOODS], "transactions": [paid_back("48.00", "pending")]}, 4_000),
        # 10.00 less was paid back than the goods had cost, or 10.00 more.
        ({"refund_line_items": [GOODS], "order_adjustments": [{"kind": "refund_discrepancy", "amount": "10.00"}]}, 3_000),
        ({"refund_line_items": [GOODS], "order_adjustments": [{"kind": "refund_discrepancy", "amount": "-10.00"}]}, 5_000),
        # Shipping goes back beside the goods.
        ({"refund_line_items": [GOODS], "order_adjustments": [{"kind": "shipping_refund", "amount": "-5.00"}]}, 4_000),
        # Goodwill: 12.00 of what was paid with 20 % tax on top are 10.00 net.
        ({"transactions": [paid_back("12.00")]}, 1_000),
        ({"transactions": [paid_back("6.00"), paid_back("6.00")], "refund_line_items": []}, 1_000),
        ({"transactions": [paid_back("12.00"), {"kind": "void", "status": "success", "amount": "99.00"}]}, 1_000),
        # What of it was shipping, and its tax, is said.
        ({"transactions": [paid_back("18.00")],
          "order_adjustments": [{"kind": "shipping_refund", "amount": "-5.00", "tax_amount": "-1.00"}]}, 1_000),
        # What of it was tax is said.
        ({"transactions": [paid_back("12.00")],
          "order_adjustments": [{"kind": "refund_discrepancy", "amount": "-10.00", "tax_amount": "-2.00"}]}, 1_000),
        # The payment failed: the order says so later than refunds/create did.
        ({"refund_line_items": [GOODS], "transactions": [paid_back("48.00", "failure")]}, 0),
    ],
)  # fmt: skip
def test_a_refund_is_what_it_takes_from_the_goods(what: dict[str, Any], amount_minor: int) -> None:
    [found] = refunded(refund(**what))
    assert (found.refund_id, found.kind, found.amount_minor, found.currency) == ("9", "refund", amount_minor, "EUR")
    assert found.occurred_at == datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "what",
    [
        {},
        {"transactions": [paid_back("5.00")], "order_adjustments": [{"kind": "shipping_refund", "amount": "-5.00"}]},
        {"refund_line_items": [{"line_item_id": 2, "subtotal": "50.00", "line_item": {"gift_card": True}}]},
        {"refund_line_items": [{"line_item_id": 3, "subtotal": "50.00"}]},
    ],
)
def test_what_takes_nothing_from_the_goods_is_no_refund(what: dict[str, Any]) -> None:
    lines = [line("100.00"), line("50.00", id=3, gift_card=True)]
    assert refunded(refund(**what), line_items=lines, total_tax="0.00") == ()
    parsed = read(json.dumps(refund(order_id=7, **what)).encode(), "refunds/create")
    if what.get("refund_line_items", [{}])[0].get("line_item_id") != 3:  # only its order knows line 3 for a gift card
        assert (parsed.ignored, parsed.reports) == ("nothing_refunded", ())


@pytest.mark.parametrize(("tax", "net_minor"), [("8.00", 4_000), ("9.60", 4_800)])
def test_a_refund_on_its_own_tells_by_its_rate_whether_prices_include_tax(tax: str, net_minor: int) -> None:
    """refunds/create does not say it: 8.00 of 48.00 is 20 % inside, 9.60 is 20 % on top."""
    item = {"line_item_id": 1, "subtotal": "48.00", "total_tax": tax, "line_item": {"tax_lines": [{"rate": 0.2}]}}
    [report] = read(json.dumps(refund(order_id=7, refund_line_items=[item])).encode(), "refunds/create").reports
    assert report.refunds[0].amount_minor == net_minor


def test_where_the_rate_is_silent_the_sources_setting_speaks() -> None:
    body = json.dumps(refund(order_id=7, refund_line_items=[{"subtotal": "48.00", "total_tax": "8.00"}])).encode()
    included = Context(CONTEXT.received_at, "EUR", key, settings={"taxes_included": True})
    assert read(body, "refunds/create").reports[0].refunds[0].amount_minor == 4_800
    assert read(body, "refunds/create", included).reports[0].refunds[0].amount_minor == 4_000


def test_the_order_knows_a_refund_better_than_the_refund_alone() -> None:
    item = {"line_item_id": 1, "subtotal": "48.00", "total_tax": "8.00"}
    [alone] = read(json.dumps(refund(order_id=7, refund_line_items=[item])).encode(), "refunds/create").reports
    [inside] = refunded(refund(refund_line_items=[item]), taxes_included=True)
    [failed] = refunded(refund(refund_line_items=[item], transactions=[paid_back("48.00", "failure")]))
    assert alone.refunds[0].version < inside.version < failed.version
    assert (alone.refunds[0].refund_id, inside.refund_id) == ("9", "9")


def test_the_same_refund_in_a_later_update_is_the_same_words() -> None:
    item = refund(refund_line_items=[GOODS])
    assert refunded(item, updated_at="2026-11-22T10:00:00Z") == refunded(item, updated_at="2026-11-23T10:00:00Z")


def test_a_cancelled_order_is_taken_back_in_full_when_it_was_cancelled() -> None:
    report = order("orders/cancelled", cancelled_at="2026-11-22T10:00:00+01:00", cancel_reason="customer")
    [found] = report.refunds
    assert (found.kind, found.full, found.amount_minor) == ("cancellation", True, None)
    assert found.occurred_at == datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    # orders/updated repeats it, in the same words.
    assert order("orders/updated", cancelled_at="2026-11-22T10:00:00+01:00").refunds == (found,)


def test_a_cancellation_without_its_time_is_dated_by_the_message() -> None:
    body = json.dumps({"id": 7, "confirmed": True}).encode()
    parsed = read(body, "orders/cancelled", **{"x-shopify-triggered-at": "2026-11-21T18:00:27.877041743Z"})
    [found] = parsed.reports[0].refunds
    assert found.occurred_at == datetime(2026, 11, 21, 18, 0, 27, 877041, tzinfo=UTC)


# ── Versions and messages ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_retry_with_an_old_payload_has_the_older_version() -> None:
    old = order(updated_at="2026-11-22T10:00:00+01:00")
    new = order(updated_at="2026-11-22T09:00:01Z")
    assert 0 < old.version < new.version
    assert order(updated_at=None).version == 0


@pytest.mark.parametrize("prefix", ["x-shopify-", "shopify-"])
def test_a_message_under_either_name_of_its_headers_is_verified_kept_and_read(prefix: str) -> None:
    """Header by header what the door does: verify over the raw bytes, keep what matters, read it later."""
    digest = base64.b64encode(hmac.digest(b"secret", ORDER, "sha256")).decode()
    sent = {
        f"{prefix}hmac-sha256": digest,
        f"{prefix}topic": "orders/paid",
        f"{prefix}event-id": "e",
        "user-agent": "Shopify",
    }
    assert verify("shopify", body=ORDER, headers=sent, secrets=["old", "secret"], now_s=0) is None
    assert verify("shopify", body=ORDER + b" ", headers=sent, secrets=["secret"], now_s=0) == "wrong_signature"
    kept = {name: value for name, value in sent.items() if name in kept_headers("shopify")}
    assert "user-agent" not in kept
    parsed = parse(ORDER, kept, CONTEXT)
    assert (parsed.topic, parsed.external_id, len(parsed.reports)) == ("orders/paid", "orders/paid:e", 1)


def test_the_new_names_of_the_headers_are_read_too() -> None:
    parsed = parse(ORDER, {"shopify-topic": "orders/create", "shopify-webhook-id": "w"}, CONTEXT)
    assert (parsed.topic, parsed.external_id) == ("orders/create", "orders/create:w")


@pytest.mark.parametrize("topic", ["products/update", "customers/create", "orders/fulfilled", "x" * 60])
def test_other_topics_are_ignored_unread(topic: str) -> None:
    assert read(b"not even JSON", topic) == Parsed(topic=topic, ignored="unknown_topic")


def test_an_uninstalled_app_is_ignored_with_a_reason_and_a_sentence() -> None:
    for headers in ({"x-shopify-topic": "app/uninstalled"}, {"shopify-topic": "app/uninstalled"}):
        parsed = parse(b'{"id": 1}', headers, CONTEXT)
        assert (parsed.ignored, parsed.rejected, parsed.reports) == ("app_uninstalled", None, ())
        assert parsed.detail


# As Shopify documents them (shopify.dev, Privacy law compliance).
CUSTOMER = {"id": 191167, "email": "john@example.com", "phone": "555-625-1199"}
SHOP = {"shop_id": 954889, "shop_domain": "shop.myshopify.com"}
LISTED = [299938, 280263, 220458]
DEMANDS = {
    "customers/data_request": {**SHOP, "orders_requested": LISTED, "customer": CUSTOMER, "data_request": {"id": 9999}},
    "customers/redact": {**SHOP, "customer": CUSTOMER, "orders_to_redact": LISTED},
    "shop/redact": SHOP,
}


@pytest.mark.parametrize("topic", DEMANDS)
def test_what_shopify_demands_about_shoppers_is_read_with_the_customers_keys_alone(topic: str) -> None:
    for headers in ({"x-shopify-topic": topic}, {"shopify-topic": topic}):
        parsed = parse(json.dumps(DEMANDS[topic]).encode(), headers, CONTEXT)
        assert (parsed.topic, parsed.ignored, parsed.rejected, parsed.reports) == (topic, None, None, ())
        assert parsed.demand is not None
        assert parsed.demand.action == ("export" if topic == "customers/data_request" else "erase")
        if topic == "shop/redact":
            assert parsed.demand.of == DemandedOf(whole_shop=True)
        else:
            keys = (CONTEXT.customer_key("191167", None), CONTEXT.customer_key(None, "john@example.com"))
            assert parsed.demand.of == DemandedOf(keys, ("299938", "280263", "220458"))


@pytest.mark.parametrize(
    ("body", "reason"),
    [(SHOP, "not_a_demand"), ({"orders_to_redact": list(range(10_001))}, "too_many"), ([], "not_a_demand")],
)
def test_a_demand_about_nobody_is_rejected(body: object, reason: str) -> None:
    assert parse(json.dumps(body).encode(), {"x-shopify-topic": "customers/redact"}, CONTEXT).rejected == reason


def test_without_a_topic_the_body_tells() -> None:
    assert not parse(ORDER, {}, CONTEXT).reports[0].stub
    assert parse(REFUND, {}, CONTEXT).reports[0].stub


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b'{"id": 7', "not_json"),
        (b'{"id": NaN, "total_price": "1"}', "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"id": 1, "id": 2, "total_price": "1"}', "duplicate_keys"),
        (b"[1]", "not_an_order"),
        (b"null", "not_an_order"),
        (b'"order"', "not_an_order"),
        (b'{"hello": "world"}', "not_an_order"),
        (b'{"id": 1, "title": "a product", "created_at": "2026-11-22T10:00:00Z"}', "not_an_order"),
        (b'{"order": {"id": 1, "total_price": "1"}}', "not_an_order"),
        (b'{"id": true, "total_price": "1"}', "not_an_order"),
        (b'{"id": {}, "total_price": "1"}', "not_an_order"),
        (b'{"id": "a\\u0000", "total_price": "1"}', "not_an_order"),
    ],
)
def test_what_is_no_order_is_rejected_with_a_reason(body: bytes, reason: str) -> None:
    for topic in ("orders/create", "refunds/create"):
        parsed = read(body, topic)
        assert (parsed.rejected, parsed.reports) == (reason, ())
        assert parsed.detail


# ── Whatever comes ───────────────────────────────────────────────────────────────────────────────────────────────────

WORDS = st.sampled_from(
    ["", "7", "1.00", "-1", "EUR", "ZZZ", "2026-11-22T10:00:00Z", "9" * 400, "\x00", "\ud800", "success", "refund"]
)
SCALARS = st.none() | st.booleans() | st.integers(-(10**25), 10**25) | WORDS | st.text(max_size=8)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    found = [prefix] if prefix else []
    if isinstance(value, dict):
        for name, inner in value.items():
            found += paths(inner, (*prefix, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += paths(inner, (*prefix, index))
    return found


WHOLE, ALONE = json.loads(ORDER), json.loads(REFUND)
PLACES = {id(WHOLE): paths(WHOLE), id(ALONE): paths(ALONE)}


def spoilt(sample: Any, places: list[tuple[Any, ...]], values: list[Any]) -> bytes:
    body = copy.deepcopy(sample)
    for place, value in zip(places, values, strict=True):
        inner = body
        try:
            for step in place[:-1]:
                inner = inner[step]
            inner[place[-1]] = value
        except (TypeError, KeyError, IndexError):
            continue  # an earlier change took this place away
    return json.dumps(body).encode()


def believable(parsed: Parsed) -> None:
    """Exactly one of the answers, and amounts that fit their columns."""
    assert sum((bool(parsed.reports), parsed.ignored is not None, parsed.rejected is not None)) == 1
    for report in parsed.reports:
        assert report.refs
        assert all(report.refs)
        for name in ("items_minor", "discount_minor", "net_minor", "tax_minor", "shipping_minor"):
            amount = getattr(report, name)
            assert amount is None or 0 <= amount < 2**62, name
        if report.items_minor is not None:
            assert report.net_minor == report.items_minor - (report.discount_minor or 0)
        for each in report.refunds:
            assert each.full or 0 <= (each.amount_minor or 0) < 2**62
    json.dumps([parsed.detail, parsed.topic]).encode()


@given(st.data())
def test_no_spoilt_payload_ever_raises(data: st.DataObject) -> None:
    sample, topic = data.draw(
        st.sampled_from([(WHOLE, "orders/updated"), (WHOLE, "orders/cancelled"), (ALONE, "refunds/create")])
    )
    places = data.draw(st.lists(st.sampled_from(PLACES[id(sample)]), min_size=1, max_size=4))
    values = data.draw(st.lists(JUNK, min_size=len(places), max_size=len(places)))
    believable(read(spoilt(sample, places, values), topic))


@given(st.binary(max_size=60) | JUNK.map(lambda value: json.dumps(value).encode()))
def test_no_body_ever_raises(body: bytes) -> None:
    for topic in ("orders/paid", "refunds/create", ""):
        believable(read(body, topic))


@pytest.mark.parametrize(("body", "topic", "step"), [(ORDER, "orders/paid", 25), (REFUND, "refunds/create", 3)])
def test_any_byte_of_a_sample_may_be_broken(body: bytes, topic: str, step: int) -> None:
    """Thousands of malformed bodies, each off by one byte: read or rejected, never an exception."""
    rejected = 0
    for index in range(0, len(body), step):
        parsed = read(body[:index] + bytes([body[index] ^ 0x10]) + body[index + 1 :], topic)
        believable(parsed)
        rejected += parsed.rejected is not None
    assert rejected > 300


@given(
    st.lists(
        st.tuples(st.integers(0, 10**7), st.integers(1, 5), st.integers(0, 100), st.booleans()), min_size=1, max_size=8
    )
)
def test_net_tax_and_discount_of_any_order_add_up_to_what_was_paid(lines: list[tuple[int, int, int, bool]]) -> None:
    built, paid, tax_total = [], 0, 0
    for number, (price, quantity, percent, taxed) in enumerate(lines):
        before = price * quantity
        discount = before * percent // 100
        tax = (before - discount) // 6 if taxed else 0
        paid, tax_total = paid + before - discount, tax_total + tax
        shown = [str(Decimal(each) / 100) for each in (price, discount, tax)]
        built.append(line(shown[0], quantity, shown[1], shown[2], id=number))
    report = order(taxes_included=True, line_items=built)
    assert report.net_minor == paid - tax_total
    assert report.items_minor is not None
    assert report.items_minor - (report.discount_minor or 0) == report.net_minor
    assert sum(each.net_minor or 0 for each in report.lines) == report.net_minor
