"""WooCommerce's webhooks, told in the order of its documentation: an order, its money, its coupons and meta data, its refunds, its statuses.

The samples are the documentation's own payloads (demo/simulator/documents/PROVENANCE.md).
"""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.codes import normalise
from app.domain.orders import Context, OrderReport, Parsed, RefundReport, version_at
from app.platforms.woocommerce.webhook import parse
from demo.simulator import DOCUMENTS, woocommerce

ORDER = (DOCUMENTS / "woocommerce_order_v3.json").read_bytes()
REFUNDED = (DOCUMENTS / "woocommerce_order_refunded_v3.json").read_bytes()
REFUND = json.loads((DOCUMENTS / "woocommerce_refund_v3.json").read_bytes())
CLICK = "clk_01k0000000000000000000000a"
RECEIVED = datetime(2026, 11, 22, 12, tzinfo=UTC)


def key(customer_id: str | None, email: str | None) -> str | None:
    return f"{customer_id}/{email}"


CONTEXT = Context(received_at=RECEIVED, currency="EUR", customer_key=key, shop="main", click_param="via")


def read(body: bytes | dict[str, Any], topic: str = "order.updated", context: Context = CONTEXT) -> Parsed:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse(raw, {"x-wc-webhook-topic": topic, "x-wc-webhook-delivery-id": "d41d8cd98f00b204"}, context)


def order(topic: str = "order.updated", context: Context = CONTEXT, **changed: Any) -> OrderReport:
    """The report of a small order in euros with these fields changed."""
    body = {
        "id": 723,
        "number": "723",
        "order_key": "wc_order_58d17c18352",
        "status": "processing",
        "currency": "EUR",
        "date_created_gmt": "2026-11-22T09:30:00",
        "date_modified_gmt": "2026-11-22T10:00:00",
        "line_items": [],
        **changed,
    }
    parsed = read(body, topic, context)
    assert parsed.rejected is None, parsed
    [report] = parsed.reports
    return report


def line(total: str, subtotal: str | None = None, tax: str = "0.00", **more: Any) -> dict[str, Any]:
    return {"id": 1, "quantity": 1, "subtotal": subtotal or total, "total": total, "total_tax": tax, **more}


def meta(**entries: Any) -> list[dict[str, Any]]:
    return [{"id": number, "key": key, "value": value} for number, (key, value) in enumerate(entries.items(), 1)]


def given_back(report: OrderReport) -> dict[str, int | None]:
    return {each.refund_id: each.amount_minor for each in report.refunds if each.kind == "refund"}


def cancellations(report: OrderReport) -> dict[str, tuple[bool, int | None]]:
    return {each.refund_id: (each.full, each.amount_minor) for each in report.refunds if each.kind == "cancellation"}


# ── The order of the documentation ───────────────────────────────────────────────────────────────────────────────────


def test_the_documented_order_is_read_whole() -> None:
    parsed = read(ORDER, "order.created")
    assert (parsed.topic, parsed.external_id, parsed.notes) == ("order.created", "d41d8cd98f00b204", ())
    [report] = parsed.reports
    assert report.refs == ("727", "wc_order_58d2d042d1d")
    assert report.order_id == "727"
    # 16:28 on the shop's wall in São Paulo; 19:28 in UTC, and that one counts.
    assert report.occurred_at == datetime(2017, 3, 22, 19, 28, 2, tzinfo=UTC)
    assert report.version // 1_000_000 * 1_000_000 == version_at(datetime(2017, 3, 22, 19, 28, 8, tzinfo=UTC))
    assert (report.currency, report.items_minor, report.discount_minor, report.net_minor) == ("USD", 1_800, 0, 1_800)
    assert (report.tax_minor, report.shipping_minor) == (135, 1_000)
    assert report.net_minor + report.tax_minor + report.shipping_minor == 2_935  # its total
    # Names stand in the shop's pages, with HTML entities.
    assert [(each.id, each.sku, each.quantity, each.net_minor, each.name) for each in report.lines] == [
        ("315", None, 2, 600, "Woo Single #1"),
        ("316", "Bar3", 1, 1_200, "Ship Your Idea – Color: Black, Size: M Test"),
    ]
    assert (report.shop, report.kind, report.paid, report.test, report.estimated) == (
        "main",
        "sale",
        True,
        False,
        False,
    )
    # customer_id 0 is a guest, and every guest's.
    assert report.customer.key == "None/john.doe@example.com"
    assert (report.codes, report.click_ids, report.visitor_id, report.refunds) == ((), (), None, ())


@pytest.mark.parametrize(
    ("fields", "origin"),
    [
        ({}, None),
        ({"meta_data": meta(_subscription_renewal="81"), "created_via": "subscription"}, "renewal"),
        ({"meta_data": meta(_subscription_renewal="81"), "created_via": "checkout"}, "renewal"),
        ({"created_via": "subscription"}, "renewal"),
        ({"meta_data": meta(_subscription_switch="81")}, "renewal"),
        ({"meta_data": meta(_subscription_resubscribe="81")}, "first"),
        ({"meta_data": meta(_subscription_renewal="")}, None),
        ({"meta_data": [{"key": ["_subscription_renewal"], "value": "81"}]}, None),
    ],
)
def test_an_order_of_a_subscription_says_whether_it_is_a_later_one(fields: dict[str, Any], origin: str | None) -> None:
    assert order(**fields).origin == origin


def test_the_refunds_inside_the_documented_order_are_read() -> None:
    [report] = read(REFUNDED).reports
    # 29.00 of goods and 10.00 of shipping; 9.00 and 10.00 went back. Negative texts, the newest first.
    assert (report.net_minor, given_back(report)) == (2_900, {"724": 900, "726": 1_000})
    assert {each.currency for each in report.refunds if each.kind == "refund"} == {"USD"}
    assert report.customer.key == "26/joao.silva@example.com"
    assert report.paid is True


def test_the_body_is_read_as_php_writes_it() -> None:
    """wp_json_encode escapes every slash and everything beyond ASCII, and the door hands over exactly those bytes."""
    escaped = json.dumps(json.loads(REFUNDED)).replace("/", "\\/").encode()
    assert b"Jo\\u00e3o" in escaped
    assert b"https:\\/\\/" in escaped
    assert read(escaped) == read(REFUNDED)


@pytest.mark.parametrize("sample", [ORDER, REFUNDED])
def test_every_field_but_the_id_may_be_left_out(sample: bytes) -> None:
    """`woocommerce_webhook_payload` lets plugins take away what they like."""
    whole = json.loads(sample)
    for name in whole.keys() - {"id"}:
        for less in ({k: v for k, v in whole.items() if k != name}, {**whole, name: None}):
            parsed = read(less)
            assert parsed.reports, (name, parsed)


# ── What else is posted ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "topic", ["product.updated", "coupon.created", "customer.created", "action.woocommerce_add_to_cart"]
)
def test_other_topics_are_ignored(topic: str) -> None:
    assert read(b'{"id": 1}', topic).ignored == "unknown_topic"


def test_without_its_topic_an_order_is_still_one() -> None:
    assert parse(ORDER, {}, CONTEXT).reports[0].order_id == "727"


@pytest.mark.parametrize(
    ("body", "topic", "reason"),
    [
        (b"", "order.created", "not_json"),
        (b"webhook_id=42", "", "not_json"),
        (b"[]", "order.created", "not_an_order"),
        (b'{"id": 5}', "order.updated", "not_an_order"),
        (b'{"id": 5}', "", "not_an_order"),
        (b'{"id": 5, "name": "Hoodie", "price": "5"}', "order.updated", "not_an_order"),
        (b"{}", "order.deleted", "not_an_order"),
        (b'{"id": null}', "order.deleted", "not_an_order"),
        (b'{"id": 5, "order_key": "a", "order_key": "b"}', "order.updated", "duplicate_keys"),
    ],
)
def test_what_is_no_order_is_rejected_with_its_reason(body: bytes, topic: str, reason: str) -> None:
    parsed = read(body, topic)
    assert (parsed.rejected, parsed.reports) == (reason, ())
    assert parsed.detail


def test_an_error_of_the_shops_own_api_is_told_as_one() -> None:
    """The body is built when it is sent; if the order has gone by then, or the webhook's user may not see it, WooCommerce posts the error."""
    parsed = read(
        b'{"code":"woocommerce_rest_shop_order_invalid_id","message":"Invalid ID.","data":{"status":404}}',
        "order.updated",
    )
    assert parsed.rejected == "not_an_order"
    assert parsed.detail == "instead of the order WooCommerce sent an error of its own: Invalid ID."


@pytest.mark.parametrize("status", ["checkout-draft", "auto-draft"])
def test_a_draft_of_the_block_checkout_is_no_order_yet(status: str) -> None:
    parsed = read(
        {"id": 5, "status": status, "order_key": "wc_order_x", "line_items": [line("10.00")]}, "order.created"
    )
    assert (parsed.ignored, parsed.reports) == ("checkout_draft", ())


# ── Versions of the API ──────────────────────────────────────────────────────────────────────────────────────────────


def test_an_order_of_api_v1_has_its_times_in_utc_under_their_plain_names_and_is_noted() -> None:
    """wc_rest_prepare_date_response: « v1 API used UTC »; since v2 the plain name is the shop's wall, and UTC is `…_gmt`."""
    document = woocommerce.in_version(json.loads(REFUNDED), 1)
    assert not {"meta_data", "date_created_gmt", "date_modified_gmt"} & document.keys()
    parsed = read(document)
    [report], [as_v3] = parsed.reports, read(REFUNDED).reports
    assert parsed.notes == ("webhook_api_v1",)
    assert (report.occurred_at, report.version) == (as_v3.occurred_at, as_v3.version)
    assert (report.net_minor, report.paid, report.refunds) == (as_v3.net_minor, as_v3.paid, as_v3.refunds)
    unlinked = {name: value for name, value in document.items() if name != "_links"}
    assert read(unlinked) == parsed, "a filter took the links away"


def test_the_date_of_payment_in_api_v1_is_on_the_shops_wall_and_says_only_that_there_is_one() -> None:
    cancelled = woocommerce.in_version(json.loads(ORDER), 1) | {"status": "cancelled"}
    assert read(cancelled).reports[0].paid is True
    assert read(cancelled | {"date_paid": None}).reports[0].paid is False


def test_an_order_of_api_v2_reads_as_in_v3_and_is_noted() -> None:
    parsed = read(woocommerce.in_version(json.loads(REFUNDED), 2))
    assert (parsed.reports, parsed.notes) == (read(REFUNDED).reports, ("webhook_api_v2",))


def test_an_order_of_the_legacy_api_is_refused_by_name() -> None:
    legacy = {"order": {"id": 727, "order_number": "727", "created_at": "2017-03-22T19:28:02Z", "total": "29.35"}}
    parsed = read(legacy)
    assert parsed.rejected == "legacy_api"
    assert "set it to WP REST API Integration v3" in (parsed.detail or "")


# ── Names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("number", "refs"),
    [
        ("723", ("723", "wc_order_58d17c18352")),
        ("FR-2026-0042", ("723", "FR-2026-0042", "wc_order_58d17c18352")),
        ("#A1001", ("723", "A1001", "wc_order_58d17c18352")),
        # A plugin numbers orders 1, 2, 3 …: some other order has the id 701.
        ("701", ("723", "wc_order_58d17c18352")),
        ("#701", ("723", "wc_order_58d17c18352")),
        (None, ("723", "wc_order_58d17c18352")),
    ],
)
def test_only_safe_names_join_reports(number: str | None, refs: tuple[str, ...]) -> None:
    assert order(number=number).refs == refs


# ── Times ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_times_without_an_offset_are_utc_where_their_name_says_gmt() -> None:
    report = order(date_created="2026-11-22T10:30:00", date_created_gmt="2026-11-22T09:30:00")
    assert report.occurred_at == datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def test_the_clock_on_the_shops_wall_is_never_taken_for_utc() -> None:
    report = order(
        date_created="2026-11-22T10:30:00",
        date_created_gmt=None,
        date_modified="2026-11-22T10:30:00",
        date_modified_gmt=None,
    )
    assert (report.occurred_at, report.version) == (None, 0)


@pytest.mark.parametrize("text", ["2026-11-22T09:30:00Z", "2026-11-22T10:30:00+01:00", "2026-11-22T09:30:00+00:00"])
def test_an_offset_that_a_plugin_adds_is_heeded(text: str) -> None:
    assert order(date_created_gmt=text).occurred_at == datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "junk", ["0000-00-00T00:00:00", "-0001-11-30T00:00:00", "", 1_700_000_000, [], "2026-02-30T00:00:00"]
)
def test_a_date_that_is_none_costs_no_order(junk: object) -> None:
    assert order(date_created_gmt=junk).occurred_at is None


def test_the_newer_version_is_the_one_modified_later() -> None:
    older, newer = (order(date_modified_gmt=f"2026-11-22T10:00:0{second}").version for second in (0, 1))
    assert older < newer


def test_within_one_second_the_later_status_of_an_orders_life_is_the_newer() -> None:
    """An order is made and paid within a second: both messages carry the same date_modified_gmt."""
    life = ["pending", "on-hold", "processing", "completed", "cancelled", "refunded", "trash"]
    versions = [order(status=status).version for status in life]
    assert versions == sorted(set(versions))
    assert order(status="failed").version < order(status="processing").version
    assert order(status="trash").version < order(status="pending", date_modified_gmt="2026-11-22T10:00:01").version


# ── Money ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_walk_through_of_a_vat_inclusive_order() -> None:
    """120.00 with 20 % VAT inside, LEA10 takes 10 %, shipping 5.90: the customer pays 113.90, net is 90.00. Then 48.00 go back, 40.00 net."""
    report = order(
        prices_include_tax=True,
        line_items=[line("45.00", "50.00", "9.00"), line("45.00", "50.00", "9.00", id=2)],
        coupon_lines=[{"id": 3, "code": "lea10", "discount": "10.00", "discount_tax": "2.00"}],
        shipping_total="5.90",
        shipping_tax="0.00",
        total_tax="18.00",
        total="113.90",
        refunds=[{"id": 9, "reason": "", "total": "-48.00"}],
    )
    assert (report.items_minor, report.discount_minor, report.net_minor) == (10_000, 1_000, 9_000)
    assert (report.tax_minor, report.shipping_minor) == (1_800, 590)
    assert given_back(report) == {"9": 4_000}


def test_line_totals_are_without_tax_whatever_the_shops_prices_include() -> None:
    lines = [line("25.00", tax="5.00")]
    assert order(prices_include_tax=True, line_items=lines).net_minor == 2_500
    assert order(prices_include_tax=False, line_items=lines).net_minor == 2_500


def test_fees_are_no_goods_and_are_noted() -> None:
    """2.00 for paying by card; −5.00 from a wallet, which is money in another form."""
    body = {"id": 7, "order_key": "k", "currency": "EUR", "line_items": [line("30.00")], "total": "27.00"}
    parsed = read(body | {"fee_lines": [{"total": "2.00"}, {"total": "-5.00"}]})
    assert (parsed.reports[0].net_minor, parsed.notes) == (3_000, ("fee_lines",))


def test_shipping_and_its_tax_never_touch_net() -> None:
    report = order(line_items=[line("20.00", tax="4.00")], shipping_total="5.00", shipping_tax="1.00", total_tax="5.00")
    assert (report.net_minor, report.shipping_minor, report.tax_minor) == (2_000, 500, 500)


def test_an_order_of_free_goods_is_worth_nothing_and_not_unknown() -> None:
    report = order(line_items=[line("0.00", "20.00")], shipping_total="5.00")
    assert (report.items_minor, report.discount_minor, report.net_minor) == (2_000, 2_000, 0)


def test_lines_are_added_up_exactly_and_rounded_once() -> None:
    """A shop with four decimals: 3 × 8.2645 is 24.7935, so 24.79; rounding each line first would say 24.78."""
    report = order(line_items=[line("8.2645", id=number) for number in (1, 2, 3)])
    assert report.net_minor == 2_479
    assert sum(each.net_minor or 0 for each in report.lines) == 2_479


@given(st.lists(st.integers(0, 10**9), max_size=12), st.integers(0, 6))
def test_the_lines_of_an_order_are_together_its_net(amounts: list[int], decimals: int) -> None:
    texts = [
        f"{amount // 10**decimals}.{amount % 10**decimals:0{decimals}d}" if decimals else str(amount)
        for amount in amounts
    ]
    report = order(line_items=[line(text, id=number) for number, text in enumerate(texts)])
    exact = sum(amounts) * 100
    assert report.net_minor == (2 * exact + 10**decimals) // (2 * 10**decimals)
    assert sum(each.net_minor or 0 for each in report.lines) == report.net_minor


@pytest.mark.parametrize(
    ("currency", "total", "minor"),
    [("JPY", "500", 500), ("JPY", "500.00", 500), ("KWD", "5.120", 5_120), ("KWD", "5.12", 5_120), ("EUR", "12.345", 1_235),
     ("EUR", "12", 1_200), ("EUR", 12, 1_200), ("EUR", 12.5, 1_250)],
)  # fmt: skip
def test_currencies_have_their_own_decimals_and_shops_theirs(currency: str, total: Any, minor: int) -> None:
    assert order(currency=currency, line_items=[line("0", "0") | {"total": total}]).net_minor == minor


def test_a_line_below_zero_is_taken_off_the_others() -> None:
    """A trade-in, or a discount that a plugin puts into the cart as a product."""
    report = order(line_items=[line("60.00", tax="12.00"), line("-10.00", tax="-2.00", id=2)])
    assert (report.items_minor, report.discount_minor, report.net_minor) == (5_000, 0, 5_000)
    assert [each.net_minor for each in report.lines] == [6_000, -1_000]


def test_without_lines_the_total_serves_and_is_marked() -> None:
    report = order(line_items=None, total="113.90", total_tax="18.00", shipping_total="5.90", shipping_tax="0.00")
    assert (report.net_minor, report.estimated) == (9_000, True)
    assert order(line_items=None).net_minor is None


@pytest.mark.parametrize("quantity", [0.5, "2", None, -1, True])
def test_an_odd_quantity_costs_no_order(quantity: object) -> None:
    assert order(line_items=[line("3.00", quantity=quantity)]).lines[0].quantity == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"currency": "ZZZ"}, "unknown_currency"),
        ({"currency": 5}, "unknown_currency"),
        ({"line_items": [line("ten")]}, "invalid_amount"),
        ({"line_items": [line("-1.00")]}, "invalid_amount"),
        ({"line_items": [line("1,000.00")]}, "invalid_amount"),
        ({"line_items": [line("1" * 25)]}, "invalid_amount"),
        ({"line_items": [line("1" * 40)]}, "invalid_amount"),
        ({"line_items": [line("NaN")]}, "invalid_amount"),
        ({"line_items": [line("٣")]}, "invalid_amount"),
        ({"line_items": [line("1.00")] * 1_001}, "too_many"),
        ({"total_tax": True}, "invalid_amount"),
        ({"refunds": [{"id": 1, "total": "all"}]}, "invalid_amount"),
        ({"refunds": [{"id": 1}]}, "invalid_amount"),
        ({"refunds": [{"id": 1, "total": "-1.00"}] * 501}, "too_many"),
    ],
)
def test_money_that_cannot_be_meant_rejects_the_order(fields: dict[str, Any], reason: str) -> None:
    parsed = read({"id": 7, "order_key": "k", "currency": "EUR", **fields})
    assert (parsed.rejected, parsed.reports) == (reason, ())
    assert parsed.detail


def test_a_number_of_a_million_digits_is_refused_at_once() -> None:
    parsed = read(b'{"id": 7, "currency": "EUR", "line_items": [{"total": 1e999999}]}')
    assert parsed.rejected == "invalid_amount"


# ── Coupons, clicks, customers ───────────────────────────────────────────────────────────────────────────────────────


def test_codes_come_in_the_shops_lower_case_and_are_the_same_codes() -> None:
    report = order(
        coupon_lines=[{"code": "lea10"}, {"code": "max-5", "discount": "0.00"}, {"code": "lea10"}, {"code": ""}, {}]
    )
    assert report.codes == ("lea10", "max-5")
    assert [normalise(code) for code in report.codes] == [normalise("LEA10"), normalise("MAX5")]


@pytest.mark.parametrize(
    ("stored", "typed"),
    [
        ("lea&amp;co", "LEA&CO"),
        ("lea&#038;co", "LEA&CO"),
        ("lea&#x26;co", "lea&co"),
        ("l&eacute;a10", "LÉA10"),
        ("lea&#039;s", "LEA'S"),
        # One pass: somebody's code may hold what looks like an entity.
        ("lea&amp;amp;co", "lea&amp;co"),
        ("lea&copy10", "lea&copy10"),
        ("lea & co;", "lea & co;"),
    ],
)
def test_a_coupon_is_what_was_typed_and_not_what_wordpress_stores(stored: str, typed: str) -> None:
    [code] = order(coupon_lines=[{"code": stored}]).codes
    assert code.lower() == typed.lower()
    assert normalise(code) == normalise(typed)


def test_the_coupon_lea_and_co_credits_the_code_leaco() -> None:
    [code] = order(coupon_lines=[{"id": 1, "code": "lea&amp;co", "discount": "0"}]).codes
    assert normalise(code) == normalise("LEACO")


@pytest.mark.parametrize(
    "name", ["_ariane", "ariane", "click_id", "_click_id", "Click ID", "ariane_click_id", "via", "_VIA"]
)
def test_the_click_id_travels_in_meta_data(name: str) -> None:
    assert order(meta_data=meta(**{"is_vat_exempt": "no", name: CLICK})).click_ids == (CLICK,)


def test_woocommerces_own_order_attribution_keeps_the_landing_page() -> None:
    """Its session entry is the page on which the visit began, so a link's click is known without a line of code in the shop."""
    report = order(
        meta_data=meta(
            _wc_order_attribution_source_type="utm",
            _wc_order_attribution_session_entry=f"https://shop.example/serum/?utm_source=lea&via={CLICK}#reviews",
            _wc_order_attribution_utm_source="lea",
        )
    )
    assert report.click_ids == (CLICK,)
    assert order(
        meta_data=meta(_wc_order_attribution_session_entry=f"https://shop.example/?ariane={CLICK}")
    ).click_ids == (CLICK,)


def test_a_click_that_the_page_has_kept_goes_before_the_landing_page() -> None:
    other = CLICK[:-1] + "b"
    entry = f"https://shop.example/?ariane={other}"
    report = order(meta_data=meta(_wc_order_attribution_session_entry=entry, _ariane=CLICK))
    assert report.click_ids == (CLICK, other)


@pytest.mark.parametrize(
    "value", [None, "", [], {"a": 1}, 5.5, True, "http://[", "/wallets/checkouts.json", "x" * 5_000]
)
def test_meta_data_may_be_any_json(value: object) -> None:
    report = order(
        meta_data=[*meta(_ariane=value, _wc_order_attribution_session_entry=value)[1:], 7, None, {"key": ["_ariane"]}]
    )
    assert report.click_ids == ()
    order(meta_data=value)


def test_the_visitor_travels_in_meta_data_too() -> None:
    assert order(meta_data=meta(_ariane_visitor="v-1")).visitor_id == "v-1"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"customer_id": 26, "billing": {"email": "lea@example.com"}}, "26/lea@example.com"),
        ({"customer_id": 0, "billing": {"email": "lea@example.com"}}, "None/lea@example.com"),
        ({"customer_id": 0, "billing": {"email": ""}}, "None/None"),
        ({"billing": "lea@example.com"}, "None/None"),
    ],
)
def test_the_customer_is_known_by_the_billing_address_and_guests_are_not_one_customer(
    fields: dict[str, Any], expected: str
) -> None:
    assert order(**fields).customer.key == expected


def test_there_are_no_test_orders_but_those_of_a_trial() -> None:
    assert not order().test
    assert order(meta_data=meta(_ariane_test="1")).test
    assert not order(meta_data=meta(_ariane_test="0")).test


# ── Statuses ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "paid_on", "paid"),
    [
        ("pending", None, False),
        ("on-hold", None, False),
        ("failed", None, False),
        ("processing", None, True),
        ("completed", None, True),
        ("wc-completed", None, True),
        ("refunded", None, True),
        ("cancelled", None, False),
        ("cancelled", "2026-11-22T09:31:00", True),
        ("trash", "2026-11-22T09:31:00", True),
        # A plugin's own status says nothing by its name.
        ("shipped", "2026-11-22T09:31:00", True),
        ("quote-asked", None, None),
    ],
)
def test_the_status_says_whether_it_is_paid(status: str, paid_on: str | None, paid: bool | None) -> None:
    assert order(status=status, date_paid_gmt=paid_on).paid is paid


@pytest.mark.parametrize("status", [None, [], {}, 5, "", "  "])
def test_a_status_that_is_none_costs_no_order(status: object) -> None:
    assert order(status=status).paid is None


@pytest.mark.parametrize("status", ["cancelled", "failed", "refunded", "trash"])
def test_a_status_that_ends_an_order_cancels_it(status: str) -> None:
    report = order(status=status)
    cancelled = report.refunds[0]
    assert cancelled == RefundReport("cancelled", kind="cancellation", full=True, version=report.version)
    assert [each.refund_id for each in report.refunds[1:]] == ([] if status == "trash" else ["deleted"])


@pytest.mark.parametrize("status", ["pending", "on-hold", "processing", "completed", "shipped"])
def test_an_update_of_a_live_order_takes_an_earlier_cancellation_back(status: str) -> None:
    assert cancellations(order(status=status)) == {"cancelled": (False, 0), "deleted": (False, 0)}
    assert order("order.created", status=status).refunds == ()


def test_a_deletion_tells_nothing_but_the_id_and_cancels_all_that_is_left() -> None:
    [report] = read(b'{"id":723}', "order.deleted").reports
    assert (report.stub, report.refs, report.net_minor, report.occurred_at) == (True, ("723",), None, None)
    # It has no time of its own; ours puts deletions and restorations in order.
    [deleted] = report.refunds
    assert deleted == RefundReport("deleted", kind="cancellation", full=True, version=version_at(RECEIVED))


def test_a_restoration_takes_the_deletion_back_and_tells_the_order_again() -> None:
    later = Context(received_at=RECEIVED + timedelta(minutes=1), currency="EUR", customer_key=key)
    report = order("order.restored", later, line_items=[line("10.00")])
    assert report.net_minor == 1_000
    assert cancellations(report) == {"cancelled": (False, 0), "deleted": (False, 0)}
    restored = next(each for each in report.refunds if each.refund_id == "deleted")
    assert restored.version > version_at(RECEIVED)


def test_an_order_in_the_trash_again_when_its_restoration_is_told_was_not_restored() -> None:
    """The body is built when it is sent."""
    assert cancellations(order("order.restored", status="trash")) == {"cancelled": (True, None)}


def test_an_order_restored_as_cancelled_stays_cancelled() -> None:
    assert cancellations(order("order.restored", status="cancelled")) == {
        "cancelled": (True, None),
        "deleted": (False, 0),
    }


# ── Refunds ──────────────────────────────────────────────────────────────────────────────────────────────────────────

# 25.00 of goods with 5.00 of tax, 6.00 of shipping: 36.00 were paid.
PAID = {"line_items": [line("25.00", tax="5.00")], "shipping_total": "6.00", "total_tax": "5.00", "total": "36.00"}


def back(*totals: str) -> list[dict[str, Any]]:
    """As the API lists them, the newest first."""
    return [{"id": 900 + number, "reason": "", "total": total} for number, total in enumerate(totals)][::-1]


@pytest.mark.parametrize(
    ("totals", "amounts"),
    [
        # Money goes back for goods first: 12.00 of the 30.00 that the goods cost with their tax are 10.00 net.
        (["-12.00"], [1_000]),
        (["-12.00", "-18.00"], [1_000, 1_500]),
        # What goes beyond the goods was shipping.
        (["-36.00"], [2_500]),
        (["-30.00", "-6.00"], [2_500, 0]),
        (["-33.00", "-3.00"], [2_500, 0]),
        # Each is rounded so that all together are exactly the net.
        (["-10.00", "-10.00", "-10.00", "-6.00"], [833, 834, 833, 0]),
        (["-0.01", "-0.01", "-0.01"], [1, 1, 1]),
        (["0.00"], [0]),
        # A plugin writes them without their sign.
        (["12.00"], [1_000]),
    ],
)
def test_a_refund_is_brought_to_the_base_of_net(totals: list[str], amounts: list[int]) -> None:
    found = given_back(order(**PAID, refunds=back(*totals)))
    assert list(found.values()) == amounts
    assert list(found) == [str(900 + number) for number in range(len(totals))]


@given(
    net=st.integers(0, 10**6),
    tax=st.integers(0, 10**6),
    shipping=st.integers(0, 10**6),
    cuts=st.lists(st.integers(0, 3 * 10**6), max_size=8),
)
def test_the_refunds_of_a_fully_refunded_order_are_exactly_its_net(
    net: int, tax: int, shipping: int, cuts: list[int]
) -> None:
    whole = net + tax + shipping
    marks = sorted({0, whole, *(cut % (whole + 1) for cut in cuts)})
    parts = [later - earlier for earlier, later in pairwise(marks)]
    report = order(
        line_items=[line(f"{net / 100:.2f}", tax=f"{tax / 100:.2f}")],
        shipping_total=f"{shipping / 100:.2f}",
        refunds=back(*(f"-{part // 100}.{part % 100:02d}" for part in parts)),
    )
    assert report.net_minor == net
    assert sum(amount or 0 for amount in given_back(report).values()) == net
    assert all((amount or 0) >= 0 for amount in given_back(report).values())


def test_what_was_said_of_a_refund_stays_when_another_follows() -> None:
    """Only ids that come before count into a refund, so the first one reads the same in every later update."""
    one = given_back(order(**PAID, refunds=back("-10.00")))
    two = given_back(order(**PAID, refunds=back("-10.00", "-7.01")))
    assert two.items() >= one.items()


def test_refund_ids_are_ordered_as_numbers() -> None:
    report = order(**PAID, refunds=[{"id": 1000, "total": "-10.00"}, {"id": 999, "total": "-30.00"}])
    assert given_back(report) == {"999": 2_500, "1000": 0}


def test_a_full_refund_resource_is_read_by_its_lines() -> None:
    """Where a filter embeds what /orders/723/refunds answers: its lines are negative, its `amount` is positive."""
    goods = {**REFUND, "line_items": [{"id": 5, "total": "-8.00", "total_tax": "-1.60"}, {"id": 6, "total": "0.00"}]}
    report = order(**PAID, refunds=[goods])
    assert given_back(report) == {"726": 800}
    assert report.refunds[0].occurred_at == datetime(2017, 3, 21, 20, 7, 11, tzinfo=UTC)
    assert [(each.id, each.net_minor) for each in report.refunds[0].lines] == [("5", 800)]
    # Of an amount alone, the rule is as ever: 10.00 with tax.
    assert given_back(order(**PAID, refunds=[REFUND])) == {"726": 833}


@pytest.mark.parametrize(
    ("amount", "lines", "net"),
    [
        # The lines cost 24.00 with tax, of which half went back.
        ("12.00", [("-20.00", "-4.00")], 1_000),
        ("24.00", [("-20.00", "-4.00")], 2_000),
        ("30.00", [("-20.00", "-4.00")], 2_000),
        ("0.00", [("-20.00", "-4.00")], 0),
        ("5.00", [("-20.00", "0.00")], 500),
        # A line below zero is given back above zero.
        ("15.00", [("-20.00", "0.00"), ("5.00", "0.00")], 1_500),
        ("18.00", [("-20.00", "-4.00"), ("5.00", "1.00")], 1_500),
        # A plugin writes them without their sign.
        ("24.00", [("20.00", "4.00")], 2_000),
        # Lines with more decimals than money has are rounded once.
        ("24.80", [("-8.2645", "0"), ("-8.2645", "0"), ("-8.2645", "0")], 2_479),
    ],
)
def test_a_refund_never_takes_more_than_its_own_amount(amount: str, lines: list[tuple[str, str]], net: int) -> None:
    listed = [{"id": n, "total": total, "total_tax": tax} for n, (total, tax) in enumerate(lines, 1)]
    report = order(**PAID, refunds=[{**REFUND, "amount": amount, "line_items": listed}])
    assert given_back(report) == {"726": net}
    if net in (2_000, 1_500, 2_479):
        assert sum(each.net_minor or 0 for each in report.refunds[0].lines) == net


@given(
    st.integers(0, 10**6),
    st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(0, 10**5)), min_size=1, max_size=6),
)
def test_whatever_a_refunds_lines_say_it_takes_at_most_what_was_paid_back(
    amount: int, lines: list[tuple[int, int]]
) -> None:
    def text(minor: int) -> str:
        return f"{'-' * (minor < 0)}{abs(minor) // 100}.{abs(minor) % 100:02d}"

    listed = [{"id": n, "total": text(total), "total_tax": text(tax)} for n, (total, tax) in enumerate(lines, 1)]
    report = order(**PAID, refunds=[{**REFUND, "amount": text(amount), "line_items": listed}])
    [taken] = given_back(report).values()
    assert 0 <= (taken or 0) <= amount


def test_a_full_refund_resource_of_shipping_alone_takes_nothing_of_the_goods() -> None:
    shipping = {**REFUND, "amount": "7.20", "shipping_lines": [{"id": 7, "total": "-6.00", "total_tax": "-1.20"}]}
    assert given_back(order(**PAID, refunds=[shipping])) == {"726": 0}
    with_a_fee = {**shipping, "amount": "13.20", "fee_lines": [{"id": 8, "total": "-5.00", "total_tax": "-1.00"}]}
    assert given_back(order(**PAID, refunds=[with_a_fee])) == {"726": 0}
    # 6.00 more than its lines explain: for goods first, as ever.
    assert given_back(order(**PAID, refunds=[{**shipping, "amount": "13.20"}])) == {"726": 500}
    assert given_back(order(**PAID, refunds=[{"id": 727, "total": "-7.20"}])) == {"727": 600}, (
        "the order's own list cannot tell"
    )


def test_a_wholly_refunded_order_has_nothing_left_whatever_the_rounding() -> None:
    report = order(**PAID, status="refunded", refunds=back("-36.00"))
    assert given_back(report) == {"900": 2_500}
    assert cancellations(report)["cancelled"] == (True, None)


def test_without_the_goods_a_refund_is_what_was_paid_back_and_noted() -> None:
    parsed = read({"id": 7, "order_key": "k", "currency": "EUR", "refunds": back("-12.00")})
    assert (given_back(parsed.reports[0]), parsed.notes) == ({"900": 1_200}, ("refund_tax_unknown",))


# ── Whatever comes ───────────────────────────────────────────────────────────────────────────────────────────────────

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(["-1.00", "2026-11-22T09:30:00"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["id", "total", "total_tax", "subtotal", "key", "value", "code", "line_items", "email"]), inner, max_size=4
    ),
    max_leaves=6,
)  # fmt: skip
FIELDS = sorted(json.loads(REFUNDED))


@given(
    st.dictionaries(st.sampled_from(FIELDS), JUNK, max_size=6),
    st.sampled_from(["order.created", "order.deleted", "order.restored", ""]),
)
def test_no_field_can_break_the_reading(changed: dict[str, Any], topic: str) -> None:
    body = json.dumps({**json.loads(REFUNDED), **changed}).encode()
    parsed = read(body, topic)
    assert sum(bool(each) for each in (parsed.reports, parsed.ignored, parsed.rejected)) == 1
    assert not parsed.rejected or parsed.detail


@given(st.binary(max_size=200), st.text(max_size=20))
def test_no_bytes_can_break_the_reading(body: bytes, topic: str) -> None:
    parsed = read(body, topic)
    assert parsed.rejected or parsed.ignored
