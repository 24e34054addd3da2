"""The pixel and the beacon: what a shop's template prints, read or refused by name."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.orders import Context, Landing, OrderReport, Parsed
from app.platforms.pixel import may_be_weak, parse

RECEIVED_AT = datetime(2026, 11, 22, 9, 30, 12, tzinfo=UTC)
CONTEXT = Context(
    received_at=RECEIVED_AT,
    currency="EUR",
    customer_key=lambda number, email: f"{number}/{email}" if number or email else None,
)


def hit(**fields: Any) -> Parsed:
    return parse(urlencode(fields, doseq=True).encode(), "", CONTEXT)


def sale(**fields: Any) -> OrderReport:
    parsed = hit(**{"event": "sale", "order_id": "1", **fields})
    assert parsed.rejected is None, parsed
    return parsed.reports[0]


# ── A lead ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("event", ["lead", "signup", "install"])
def test_a_lead_without_an_id_but_with_a_code_is_named_by_code_network_and_minute(event: str) -> None:
    def named(network: str = "203.0.113.0", **fields: Any) -> tuple[str, ...]:
        body = urlencode({"event": event, "code": "Léa 10", **fields}).encode()
        [report] = parse(body, "", CONTEXT, network).reports
        assert report.order_id is None
        return report.refs

    assert named() == (f"weak:1EA10@203.0.113.0/:{event}:2026-11-22T09:30Z",)
    assert named(code="lea10") == named(order_id="", amount="") == named()
    assert len({named(), named("198.51.100.0"), named(""), named(code="MAX"), named(visitor_id="v")}) == 5


def test_nothing_else_is_named_by_its_code() -> None:
    for fields in ({"event": "sale", "code": "LEA10"}, {"event": "lead"}, {"event": "lead", "code": "%"}):
        assert parse(urlencode(fields).encode(), "", CONTEXT, "203.0.113.0").rejected == "missing_order_id"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"event=lead&code=LEA10", True),
        (b'{"event": "Signup", "codes": ["LEA10"], "order_id": ""}', True),
        (b"event=install&code=A&order_id=&amount=", True),
        (b"event=lead&code=LEA10&order_id=7", False),
        (b'{"event":"lead","code":"LEA10","order_id":"7"}', False),
        (b'{"event":"lead","code":"LEA10","order_id":7}', False),
        (b"event=sale&code=LEA10", False),
        (b"event=lead", False),
    ],
)
def test_the_network_is_kept_of_a_hit_that_may_need_it_and_of_no_other(body: bytes, expected: bool) -> None:
    assert may_be_weak(body) is expected


# ── An order ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_documented_pixel_is_read() -> None:
    parsed = parse(
        b"k=pk_x&event=sale&order_id=%231001&amount=49.90&currency=EUR&code=LEA10&click_id=clk_x&customer=a%40b.fr",
        "",
        CONTEXT,
    )
    [report] = parsed.reports
    assert parsed.topic == "sale"
    assert (report.order_id, report.refs, report.kind) == ("#1001", ("1001",), "sale")
    assert (report.net_minor, report.currency, report.estimated) == (4_990, "EUR", True)
    assert (report.codes, report.click_ids, report.customer.key) == (("LEA10",), ("clk_x",), "None/a@b.fr")


@pytest.mark.parametrize(
    ("fields", "net_minor", "estimated"),
    [
        ({"amount": "113.90", "tax": "18.00", "shipping": "5.90"}, 9_000, False),
        ({"amount": "113.90", "tax": "18.00"}, 9_590, True),
        ({"amount": "113.90", "shipping": "5.90"}, 10_800, True),
        ({"amount": "49,90"}, 4_990, True),
        ({"amount": "10", "tax": "0", "shipping": "0"}, 1_000, False),
        ({"amount": "0.00", "tax": "0", "shipping": "0"}, 0, False),
        ({"amount": "500", "currency": "JPY"}, 500, True),
        ({"amount": "5.120", "currency": "kwd"}, 5_120, True),
        ({"amount": ""}, None, False),
        ({}, None, False),
    ],
)
def test_net_is_what_was_paid_without_tax_and_shipping(
    fields: dict[str, str], net_minor: int | None, estimated: bool
) -> None:
    report = sale(**fields)
    assert (report.net_minor, report.estimated) == (net_minor, estimated)


def test_an_order_that_says_no_money_says_no_currency() -> None:
    assert sale(code="LEA10").currency is None
    assert sale(amount="5").currency == "EUR"


@pytest.mark.parametrize(
    "query",
    [b"order_id=1&code=A,B&code=C", b"order_id=1&code=A&code=B,C,A", b"order_id=1&codes=A,B&codes=C", b"order_id=1&code=%5B%22A%22,%22B%22,%22C%22%5D",
     b'{"order_id": "1", "code": ["A", "B", "C"]}', b'{"order_id": 1, "codes": "A, B ,C,"}'],
)  # fmt: skip
def test_several_codes_come_by_comma_repetition_or_list(query: bytes) -> None:
    assert parse(query, "", CONTEXT).reports[0].codes == ("A", "B", "C")


@pytest.mark.parametrize(
    "query",
    [b"order_id=1&customer=a%40b.fr", b"order_id=1&email=a%40b.fr", b'{"order_id": "1", "customer": {"email": "a@b.fr"}}',
     b"order_id=1&customer=%7B%22email%22%3A%22a%40b.fr%22%7D"],
)  # fmt: skip
def test_a_customer_is_an_email_or_an_id(query: bytes) -> None:
    assert parse(query, "", CONTEXT).reports[0].customer.key == "None/a@b.fr"


def test_a_customer_id_is_an_id() -> None:
    assert sale(customer="42").customer.key == "42/None"
    assert sale(customer_id="42", email="a@b.fr").customer.key == "42/a@b.fr"


def test_a_pixel_names_one_order_and_never_joins_two() -> None:
    """Anybody can send one: a page that names both an order and another's checkout must not make them one."""
    assert sale(order_id="1", checkout_token="tok").refs == ("1",)
    assert hit(checkout_token="tok").reports[0].refs == ("tok",)
    assert sale(order_id="gid://shopify/Order/7").refs == ("7",)
    assert sale(order_id="gid://shopify/OrderIdentity/7").refs == ("7",)


def test_the_shop_is_the_keys_whatever_the_page_says() -> None:
    assert sale(shop="another").shop == "main"


@pytest.mark.parametrize("named", [{"click_id": "clk_x"}, {"visitor_id": "v"}, {"customer": "a@b.fr"}])
def test_without_an_order_id_a_reload_in_the_same_minute_is_the_same_order(named: dict[str, str]) -> None:
    first, again = hit(event="lead", **named), hit(event="lead", **named)
    assert first.reports[0].refs == again.reports[0].refs
    assert first.reports[0].order_id is None
    assert first.notes == ("weak_order_id",)
    assert hit(event="signup", **named).reports[0].refs != first.reports[0].refs
    later = Context(received_at=RECEIVED_AT.replace(minute=31), currency="EUR", customer_key=CONTEXT.customer_key)
    assert parse(urlencode({"event": "lead", **named}).encode(), "", later).reports[0].refs != first.reports[0].refs


@pytest.mark.parametrize("value", ["1", "true", "TRUE", "yes"])
def test_a_test_order_is_marked(value: str) -> None:
    assert sale(test=value).test
    assert not sale(test="0").test


# ── A landing ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_landing_joins_visitor_and_click() -> None:
    parsed = parse(
        b'{"k": "pk_x", "event": "land", "click_id": "clk_x", "visitor_id": "v"}', "text/plain;charset=UTF-8", CONTEXT
    )
    assert (parsed.landings, parsed.reports) == ((Landing("v", "clk_x", RECEIVED_AT),), ())


def test_a_landing_without_a_visitor_is_ignored_and_without_a_click_rejected() -> None:
    assert hit(event="land", click_id="clk_x").ignored == "no_visitor"
    assert hit(event="land", visitor_id="v").rejected == "missing_click_id"


# ── Encodings ────────────────────────────────────────────────────────────────────────────────────────────────────────

FIELDS = {"event": "sale", "order_id": "A é 漢", "amount": "49.90", "currency": "EUR", "code": "LÉA10"}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (urlencode(FIELDS).encode(), ""),
        (urlencode(FIELDS).encode(), "application/x-www-form-urlencoded;charset=UTF-8"),
        (urlencode(FIELDS).encode(), "text/plain;charset=UTF-8"),
        (json.dumps(FIELDS).encode(), "text/plain;charset=UTF-8"),
        (json.dumps(FIELDS, ensure_ascii=False).encode(), "application/json"),
        (b"  " + json.dumps({**FIELDS, "amount": 49.90}).encode(), ""),
    ],
)
def test_query_form_and_json_in_any_type_say_the_same(body: bytes, content_type: str) -> None:
    [report] = parse(body, content_type, CONTEXT).reports
    assert (report.order_id, report.net_minor, report.codes) == ("A é 漢", 4_990, ("LÉA10",))


# ── What cannot be used ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "reason", "field"),
    [
        (b"", "not_an_event", "no fields"),
        (b"[1]", "not_an_event", "object"),
        (b"{", "not_json", "line 1"),
        (b"hello", "not_an_event", "no fields"),
        (b'{"order_id": "1", "order_id": "2"}', "duplicate_keys", "order_id"),
        (b"order_id=1&order_id=2", "duplicate_keys", "order_id"),
        (b"event=sale", "missing_order_id", "order_id"),
        (b"event=Big+Sale&order_id=1", "invalid_event", "event"),
        (b"order_id=%00", "invalid_text", "order_id"),
        (b"order_id=%ff", "invalid_text", "order_id"),
        (b"order_id=\xe9", "invalid_text", "order_id"),
        (b'{"order_id": "\\ud800"}', "invalid_text", "order_id"),
        (b'{"order_id": {"a": 1}}', "invalid_text", "order_id"),
        (b"order_id=" + b"9" * 201, "invalid_text", "order_id"),
        (b"order_id=1&amount=1,23.00", "invalid_amount", "amount"),
        (b"order_id=1&amount=-5", "invalid_amount", "amount"),
        (b"order_id=1&amount=NaN", "invalid_amount", "amount"),
        (b"order_id=1&amount=5&tax=x", "invalid_amount", "tax"),
        (b"order_id=1&amount=5&tax=6", "invalid_amount", "amount"),
        (b'{"order_id": "1", "amount": 1e999999}', "invalid_amount", "amount"),
        (b'{"order_id": "1", "amount": true}', "invalid_amount", "amount"),
        (b"order_id=1&currency=ZZZ", "unknown_currency", "currency"),
        (b"order_id=1&occurred_at=2026-11-22T09:30:00", "invalid_time", "occurred_at"),
        (b"order_id=1&test=maybe", "invalid_flag", "test"),
        (b'{"order_id": "1", "code": [{"a": 1}]}', "invalid_text", "code"),
        (b"order_id=1&code=%01", "invalid_text", "code"),
        (b"&".join(b"f%d=1" % n for n in range(300)), "too_many_fields", "200"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_rejected_by_name(query: bytes, reason: str, field: str) -> None:
    parsed = parse(query, "", CONTEXT)
    assert (parsed.rejected, parsed.reports, parsed.landings) == (reason, (), ())
    assert field in (parsed.detail or "")


NAMES = st.sampled_from(
    [
        "k",
        "event",
        "kind",
        "order_id",
        "checkout_token",
        "amount",
        "tax",
        "shipping",
        "currency",
        "code",
        "codes",
        "click_id",
        "visitor_id",
        "customer",
        "email",
        "occurred_at",
        "test",
    ]
)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(
    ["1.00", "EUR", "land", "sale", "[1]", '{"id":', "9" * 300]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@given(
    st.binary(max_size=60)
    | st.dictionaries(NAMES, VALUES, max_size=6).map(lambda fields: json.dumps(fields).encode())
    | st.lists(st.tuples(NAMES, TEXTS), max_size=6).map(
        lambda pairs: urlencode(pairs, errors="surrogatepass").encode()
    ),
    st.sampled_from(["", "application/json", "text/plain;charset=UTF-8"]),
)
def test_nothing_ever_raises(body: bytes, content_type: str) -> None:
    parsed = parse(body, content_type, CONTEXT)
    answers = (bool(parsed.reports), bool(parsed.landings), parsed.ignored is not None, parsed.rejected is not None)
    assert sum(answers) == 1
    (parsed.detail or "").encode()
    parsed.topic.encode()
