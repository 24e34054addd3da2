"""Goal: a template variable that nobody filled in is no id at any door; the message is refused, and says which field holds which variable."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from app.domain.csv_files import Record, Refusal, Sheet
from app.domain.order_file import read_line
from app.domain.orders import Context, Parsed
from app.platforms import pixel
from app.platforms.generic.webhook import parse as parse_generic
from app.platforms.registry import platform_of

LEFT = [
    "{{ order.id }}",
    "{order_id}",
    "[[id]]",
    "%%ORDER_ID%%",
    "%%DATE%%",
    "${id}",
    "undefined",
    "null",
    "NaN",
    "[object Object]",
    "n-{{ id }}",
]
MAPPING: dict[str, Any] = {
    "amounts": "major",
    "rules": [
        {"read": "refund", "when": [{"at": "/refund", "present": True}], "order_id": "/id", "refund_id": "/refund", "total": "/paid"},
        {"read": "order", "order_id": "/id", "refs": "/number", "codes": "/codes/*", "click_id": "/click", "visitor_id": "/visitor",
         "customer_id": "/buyer"},
    ],
}  # fmt: skip


def context(**settings: Any) -> Context:
    return Context(
        received_at=datetime(2026, 11, 22, tzinfo=UTC),
        currency="EUR",
        customer_key=lambda number, email: number or email,
        settings=settings,
    )


def refused(parsed: Parsed, field: str, left: str) -> None:
    assert (parsed.rejected, parsed.reports, parsed.landings) == ("unresolved_macro", (), ()), parsed
    assert field in (parsed.detail or "")
    assert left.removeprefix("n-") in (parsed.detail or "")


# ── The pixel and the beacon ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize(
    "field",
    ["order_id", "checkout_token", "order_key", "session_id", "click_id", "visitor_id", "code", "customer", "email"],
)
def test_a_pixel_or_beacon_with_an_unfilled_id_is_rejected(field: str, left: str) -> None:
    fields = {"event": "sale", "order_id": "1001", field: left}
    refused(pixel.parse(urlencode(fields).encode(), "", context()), field, left)
    refused(pixel.parse(json.dumps(fields).encode(), "text/plain", context()), field, left)


@pytest.mark.parametrize(
    "left", ["%%ORDER_ID%%", "%%DATE%%", "%date%", "{{ order.id }}".replace(" ", "+"), "[[id]]", "{order_id}"]
)
def test_a_variable_in_an_address_that_nobody_escaped_is_named_as_it_was_pasted(left: str) -> None:
    query = f"event=sale&order_id={left}&amount=5"
    refused(pixel.parse(query.encode(), "", context()), "order_id", left.replace("+", " "))


@pytest.mark.parametrize("field", ["click_id", "visitor_id"])
def test_a_landing_with_an_unfilled_id_is_rejected(field: str) -> None:
    fields = {"event": "land", "click_id": "clk_x", "visitor_id": "v", field: "undefined"}
    refused(pixel.parse(urlencode(fields).encode(), "", context()), field, "undefined")


def test_an_escape_that_only_looks_like_a_variable_is_read_as_an_escape() -> None:
    [report] = pixel.parse(b"order_id=%41%42&code=50%25&amount=5", "", context()).reports
    assert (report.order_id, report.codes) == ("AB", ("50%",))


# ── Bodies of our own: webhook, API, import ──────────────────────────────────────────────────────────────────────────

BODIES: list[tuple[str, Mapping[str, Any]]] = [
    ("order_id", {"order_id": "LEFT"}),
    ("click_id", {"order_id": "1", "click_id": "LEFT"}),
    ("visitor_id", {"order_id": "1", "visitor_id": "LEFT"}),
    ("codes.1", {"order_id": "1", "codes": ["A", "LEFT"]}),
    ("customer.id", {"order_id": "1", "customer": {"id": "LEFT"}}),
    ("customer.email", {"order_id": "1", "customer": {"email": "LEFT"}}),
    ("refund_id", {"order_id": "1", "refund_id": "LEFT", "amount_minor": 5}),
    ("reverses", {"order_id": "1", "refund_id": "2", "type": "reversal", "reverses": "LEFT"}),
]


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize(("field", "body"), BODIES)
def test_a_webhook_in_our_words_with_an_unfilled_id_is_rejected(field: str, body: Mapping[str, Any], left: str) -> None:
    text = json.dumps(body).replace("LEFT", left)
    refused(parse_generic(text.encode(), {}, context()), field, left)


@pytest.mark.parametrize(("field", "body"), BODIES)
def test_a_line_of_an_import_with_an_unfilled_id_is_refused(field: str, body: Mapping[str, Any]) -> None:
    text = json.dumps(body).replace("LEFT", "{{ order.id }}")
    found = read_line(Record(1, text.encode()), Sheet("ndjson"), context())
    assert isinstance(found, Refusal)
    assert (found.reason, found.field) == ("unresolved_macro", field)
    assert "{{ order.id }}" in found.detail


def test_a_row_of_a_csv_with_an_unfilled_id_is_refused() -> None:
    sheet = Sheet("csv", ",", ("order_id", "net", "codes"))
    found = read_line(Record(2, b"1001,5.00,LEA10|[[code]]"), sheet, context())
    assert isinstance(found, Refusal)
    assert (found.reason, found.field) == ("unresolved_macro", "codes.1")


# ── Messages through a mapping ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize(
    ("place", "fields"),
    [("/id", {"id": "LEFT"}), ("/number", {"number": "LEFT"}), ("/codes/*", {"codes": ["A", "LEFT"]}), ("/click", {"click": "LEFT"}),
     ("/visitor", {"visitor": "LEFT"}), ("/buyer", {"buyer": "LEFT"}), ("/refund", {"refund": "LEFT", "paid": "5.00"})],
)  # fmt: skip
def test_a_mapped_message_with_an_unfilled_id_is_rejected(place: str, fields: Mapping[str, Any], left: str) -> None:
    body = json.dumps({"id": "1", **fields}).replace("LEFT", left)
    refused(parse_generic(body.encode(), {}, context(mapping=MAPPING)), place, left)


def test_a_variable_elsewhere_in_the_address_of_a_landing_page_is_nobodys_id() -> None:
    page = f"https://shop.example/?utm_campaign={quote('{{campaign.name}}')}&ariane=clk_x"
    [report] = parse_generic(json.dumps({"id": "1", "click": page}).encode(), {}, context(mapping=MAPPING)).reports
    assert report.click_ids == ("clk_x",)


# ── A shop system's own messages ─────────────────────────────────────────────────────────────────────────────────────

ORDERS: list[tuple[str, Mapping[str, Any]]] = [
    ("shopify", {"id": 1, "currency": "EUR", "total_price": "5.00", "note_attributes": [{"name": "ariane", "value": "LEFT"}],
                 "landing_site": "/?ariane=ESCAPED"}),
    ("woocommerce", {"id": 1, "order_key": "wc_order_x", "currency": "EUR", "meta_data": [{"key": "_ariane", "value": "LEFT"}]}),
    ("stripe", {"id": "evt_1", "object": "event", "type": "checkout.session.completed", "created": 1_795_284_000, "data": {"object": {
        "id": "cs_1", "object": "checkout.session", "mode": "payment", "payment_status": "paid", "currency": "eur", "amount_total": 500,
        "client_reference_id": "ariane_LEFT", "metadata": {"ariane": "LEFT", "code": "LEFT", "order_id": "LEFT"}}}}),
]  # fmt: skip


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize(("platform", "body"), ORDERS)
def test_an_order_of_a_shop_system_counts_without_the_click_that_its_page_did_not_fill_in(
    platform: str, body: Mapping[str, Any], left: str
) -> None:
    """Its id is the system's own and its money is right: what a page wrote beside it must not cost the order."""
    parsed = platform_of(platform).parse(
        json.dumps(body).replace("LEFT", left).replace("ESCAPED", quote(left)).encode(), {}, context()
    )
    [report] = parsed.reports
    assert (report.click_ids, report.visitor_id, report.codes) == ((), None, ())
    assert report.order_id in ("1", "cs_1")
    assert not [ref for ref in report.refs if ref not in ("1", "cs_1", "wc_order_x")]
    assert any(note.startswith("ariane is '") for note in parsed.notes), parsed.notes
