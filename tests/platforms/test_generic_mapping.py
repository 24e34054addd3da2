"""Any checkout's own body, read through a mapping: where a value stands, how it is written, and what is said when it cannot be meant."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import ValidationError

from app.domain.orders import Context, OrderLine, OrderReport, Parsed, RefundReport, version_at
from app.errors import Invalid
from app.platforms.generic import pointers
from app.platforms.generic import signature as signatures
from app.platforms.generic.mapping import faults, read_mapping
from app.platforms.generic.reading import CANCELLED
from app.platforms.generic.trial import trial_messages
from app.platforms.generic.webhook import parse, read
from app.platforms.kit.trial import TrialOrder
from app.platforms.presets import PRESETS, resolve
from app.platforms.signing import kept_headers, verify

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CONTEXT = Context(received_at=NOW, currency="EUR", customer_key=lambda number, email: f"{number}/{email}", shop="fr")


def mapped(rule: dict[str, Any] | list[dict[str, Any]], body: Any, **table: Any) -> Parsed:
    """A body read by one rule (or several), in major units unless the table says otherwise."""
    rules = rule if isinstance(rule, list) else [{"read": "order", "order_id": "/id", **rule}]
    mapping = {"amounts": "major", **table, "rules": rules}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert list(faults(read_mapping(mapping))) == []
    return parse(raw, {"x-event-name": "order_created"}, with_mapping(mapping))


def with_mapping(mapping: object) -> Context:
    return Context(
        received_at=NOW, currency="EUR", customer_key=CONTEXT.customer_key, shop="fr", settings={"mapping": mapping}
    )


def order(rule: dict[str, Any], body: Any, **table: Any) -> OrderReport:
    parsed = mapped(rule, {"id": "1001", **body}, **table)
    assert parsed.rejected is None, parsed.detail
    [report] = parsed.reports
    return report


# ── A whole one ──────────────────────────────────────────────────────────────────────────────────────────────────────

# As LemonSqueezy, Gumroad and their kin write them: cents, a state, a list of what was bought, the shop's own data.
RULES = [
    {
        "read": "order",
        "when": [{"at": "/meta/event_name", "equals": ["order_created", "order_updated"]}],
        "order_id": "/data/id",
        "refs": ["/data/attributes/order_number", "/data/attributes/identifier"],
        "currency": "/data/attributes/currency",
        "total": "/data/attributes/total",
        "tax": "/data/attributes/tax",
        "shipping": {"const": 0},
        "occurred_at": "/data/attributes/created_at",
        "updated_at": "/data/attributes/updated_at",
        "paid": {"at": "/data/attributes/status", "equals": ["paid", "refunded"]},
        "codes": "/data/discounts/*/code",
        "click_id": ["/meta/custom_data/ariane", "/data/attributes/landing_page"],
        "customer_email": "/data/attributes/user_email",
        "test": "/meta/test_mode",
        "lines": {
            "each": "/data/items/*",
            "id": "/id",
            "sku": "/variant/sku",
            "quantity": "/quantity",
            "net": "/price",
        },
    },
    {
        "read": "refund",
        "when": [{"at": "/meta/event_name", "equals": "order_refunded"}],
        "order_id": "/data/id",
        "refund_id": {"at": "/data/id"},
        "net": "/data/attributes/refunded_amount",
        "currency": "/data/attributes/currency",
        "updated_at": "/data/attributes/updated_at",
    },
    {"read": "ignored", "when": [{"at": "/meta/event_name", "equals": "license_key_created"}]},
]
BODY = {
    "meta": {"event_name": "order_created", "test_mode": False, "custom_data": {}},
    "data": {
        "id": 1234,
        "attributes": {
            "order_number": "#77",
            "currency": "usd",
            "total": 11_999,
            "tax": 2_000,
            "status": "paid",
            "created_at": "2026-11-21T18:00:00.000000Z",
            "updated_at": "2026-11-21T18:00:05.000000Z",
            "user_email": "bob@example.com",
            "landing_page": "https://shop.test/serum?utm_source=x&ariane=clk_1",
        },
        "discounts": [{"code": "LEA10"}, {"code": ""}, {"code": "FREE"}],
        "items": [
            {"id": "a", "variant": {"sku": "S-1"}, "quantity": 2, "price": 8_000},
            {"id": "b", "quantity": "1", "price": "1999"},
        ],
    },
}


def test_an_order_is_read_from_wherever_it_stands() -> None:
    [report] = mapped(RULES, BODY, amounts="minor", topic="/meta/event_name").reports
    assert report == OrderReport(
        shop="fr",
        kind="sale",
        refs=("1234", "77"),
        order_id="1234",
        occurred_at=datetime(2026, 11, 21, 18, tzinfo=UTC),
        version=version_at(datetime(2026, 11, 21, 18, 0, 5, tzinfo=UTC)),
        currency="USD",
        tax_minor=2_000,
        shipping_minor=0,
        net_minor=9_999,
        paid=True,
        codes=("LEA10", "FREE"),
        click_ids=("clk_1",),
        customer=report.customer,
        lines=(OrderLine("a", 2, 8_000, "S-1"), OrderLine("b", 1, 1_999)),
    )
    assert report.customer.key == "None/bob@example.com"


def test_which_rule_reads_a_message_is_told_by_its_conditions() -> None:
    refunded = {**BODY, "meta": {"event_name": "order_refunded"}}
    refunded["data"] = {"id": 1234, "attributes": {"refunded_amount": 500, "currency": "USD"}}
    [report] = mapped(RULES, refunded, amounts="minor").reports
    assert (report.stub, report.refunds) == (True, (RefundReport("1234", amount_minor=500, currency="USD"),))
    other = mapped(RULES, {"meta": {"event_name": "license_key_created"}}, amounts="minor", topic="/meta/event_name")
    assert (other.ignored, other.topic) == ("ignored_by_rule", "license_key_created")
    unheard = mapped(RULES, {"meta": {"event_name": "cart_opened"}}, amounts="minor")
    assert unheard.ignored == "no_rule"
    assert '/meta/event_name is "cart_opened"' in (unheard.detail or "")


# ── Where a value stands ─────────────────────────────────────────────────────────────────────────────────────────────

# The examples of RFC 6901 itself, section 5.
RFC = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2), ("/e^f", 3),
        ("/g|h", 4), ("/i\\j", 5), ('/k"l', 6), ("/ ", 7), ("/m~0n", 8),
    ],
)  # fmt: skip
def test_a_pointer_is_one_of_rfc_6901(pointer: str, value: object) -> None:
    assert pointers.find(RFC, {}, pointer) == [value]


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("/items/*/sku", ["a", "b"]),
        ("/items/1/sku", ["b"]),
        ("/items/01/sku", []),
        ("/items/-1/sku", []),
        ("/items/9/sku", []),
        ("/items/[sku=b]/n", [2]),
        ("/items/[n=2]/sku", ["b"]),
        ("/items/[n=true]/sku", []),
        ("/items/[sku=z]/n", []),
        ("/deep/*/*/x", [1, 2]),
        ("/*", ["an object may call a member anything"]),
        ("/items/*/missing", []),
        ("/nothing", []),
        ("/id/0", []),
        ("header:X-Event-Name", ["order_created"]),
        ("header:X-Other", []),
    ],
)
def test_a_place_may_lead_through_lists_and_to_headers(place: str, found: list[object]) -> None:
    body = {
        "id": 7,
        "nothing": None,
        "items": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}, None, 3],
        "deep": [[{"x": 1}], [{"x": 2}]],
        "*": "an object may call a member anything",
    }
    assert pointers.find(body, {"x-event-name": "order_created"}, place) == found


@pytest.mark.parametrize("place", ["data/id", "$.data.id", "/a~2", "/a~", "/" * 40, "/" + "x" * 400, "header:", " /a"])
def test_what_is_no_place_is_said_before_it_is_kept(place: str) -> None:
    mapping = {"amounts": "major", "rules": [{"read": "order", "order_id": place}]}
    with pytest.raises(ValueError, match=r"length|must|neither|deeper|longer"):
        raise ValueError("; ".join(reason for _, reason in faults(read_mapping(mapping))))


def test_the_first_place_that_holds_anything_counts() -> None:
    rule = {"order_id": ["/number", "/id"], "codes": ["/voucher", "/coupons/*"]}
    assert order(rule, {"number": None, "voucher": "", "coupons": ["A", "B"]}).codes == ("A", "B")
    assert order(rule, {"number": 5, "voucher": "V"}).refs == ("5",)


def test_a_constant_is_always_said_or_where_nothing_stands() -> None:
    rule = {"kind": {"const": "lead"}, "currency": {"at": "/cur", "const": "CHF"}, "net": "/net"}
    assert (order(rule, {"net": 1}).kind, order(rule, {"net": 1}).currency) == ("lead", "CHF")
    assert order(rule, {"net": 1, "cur": "JPY"}).currency == "JPY"


def test_a_list_named_without_its_elements_is_meant_to_be_gone_through() -> None:
    lines = {"each": "/lines", "net": "/amount"}
    assert [each.net_minor for each in order({"lines": lines}, {"lines": [{"amount": 1}, {"amount": 2}]}).lines] == [
        100,
        200,
    ]


def test_a_meta_field_is_found_by_its_key() -> None:
    meta = [{"key": "_x", "value": "no"}, {"key": "_ariane", "value": "clk_9"}]
    assert order({"click_id": "/meta_data/[key=_ariane]/value"}, {"meta_data": meta}).click_ids == ("clk_9",)


def test_a_landing_page_names_the_click_in_its_query_and_without_one_none() -> None:
    def clicks(landing: str) -> tuple[str, ...]:
        return order({"click_id": "/landing"}, {"landing": landing}).click_ids

    assert clicks("https://shop.test/serum?utm_source=x&ariane=clk_1") == ("clk_1",)
    assert clicks("clk_1") == ("clk_1",)
    for page in ("https://shop.test/", "https://shop.test/serum?utm_source=x", "/serum", "/"):
        assert clicks(page) == (), page


def test_a_form_is_read_like_an_object() -> None:
    mapping = {"amounts": "major", "rules": [{"read": "order", "order_id": "/id", "net": "/price", "codes": "/code/*"}]}
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    parsed = parse(b"id=1001&price=49.90&code=A&code=B", headers, with_mapping(mapping))
    assert (parsed.reports[0].net_minor, parsed.reports[0].codes) == (4_990, ("A", "B"))
    assert parse(b'{"id": 1}', headers, with_mapping(mapping)).rejected == "not_a_form"


# ── How it is written ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("table", "field", "value", "currency", "minor"),
    [
        ({"amounts": "minor"}, "/net", 4990, "EUR", 4_990),
        ({"amounts": "minor"}, "/net", "4990", "EUR", 4_990),
        ({"amounts": "minor"}, "/net", 4990.0, "EUR", 4_990),
        ({"amounts": "major"}, "/net", "49.90", "EUR", 4_990),
        ({"amounts": "major"}, "/net", 49.9, "EUR", 4_990),
        ({"amounts": "major"}, "/net", 500, "JPY", 500),
        ({"amounts": "minor"}, "/net", 500, "JPY", 500),
        ({"amounts": "minor"}, "/net", 5120, "KWD", 5_120),
        # Stripe counts ISK in hundredths, ISO has none.
        ({"amounts": "minor", "decimals": {"ISK": 2}}, "/net", 500, "ISK", 5),
        ({"amounts": "minor"}, {"at": "/net", "unit": "major"}, "49.90", "EUR", 4_990),
        ({"amounts": "major"}, {"at": "/net", "negate": True}, "-10.00", "EUR", 1_000),
    ],
)
def test_amounts_are_minor_or_major_units(
    table: dict[str, Any], field: Any, value: object, currency: str, minor: int
) -> None:
    found = order({"net": field, "currency": "/cur"}, {"net": value, "cur": currency}, **table)
    assert (found.net_minor, found.currency) == (minor, currency)


def test_several_amounts_are_added_up() -> None:
    rule = {"items": "/lines/*/price", "discount": "/lines/*/off/*"}
    found = order(rule, {"lines": [{"price": "10.00", "off": [1, 2]}, {"price": 5}]})
    assert (found.items_minor, found.discount_minor, found.net_minor) == (1_500, 300, 1_200)


def test_a_net_that_follows_from_a_total_is_marked_unless_tax_and_shipping_are_known() -> None:
    known = {"total": "/total", "tax": "/tax", "shipping": {"const": 0}}
    assert (order(known, {"total": 120, "tax": 20}).net_minor, order(known, {"total": 120, "tax": 20}).estimated) == (
        10_000,
        False,
    )
    assert order({"total": "/total"}, {"total": 120}).estimated is True


@pytest.mark.parametrize(
    ("field", "value", "at"),
    [
        ("/at", "2026-11-21T19:00:00+01:00", "2026-11-21T18:00:00+00:00"),
        ("/at", "2026-11-21 18:00:00Z", "2026-11-21T18:00:00+00:00"),
        ({"at": "/at", "zone": "Europe/Paris"}, "2026-11-21 19:00:00", "2026-11-21T18:00:00+00:00"),
        ({"at": "/at", "zone": "Europe/Paris"}, "2026-11-21T18:00:00Z", "2026-11-21T18:00:00+00:00"),
        ({"at": "/at", "zone": "UTC"}, "2026-11-21T18:00:00", "2026-11-21T18:00:00+00:00"),
        ({"at": "/at", "time": "unix_s"}, 1_795_284_000, "2026-11-21T18:00:00+00:00"),
        ({"at": "/at", "time": "unix_s"}, "1795284000", "2026-11-21T18:00:00+00:00"),
        ({"at": "/at", "time": "unix_s"}, 1_795_284_000.25, "2026-11-21T18:00:00.250000+00:00"),
        ({"at": "/at", "time": "unix_ms"}, 1_795_284_000_250, "2026-11-21T18:00:00.250000+00:00"),
    ],
)
def test_times_are_rfc_3339_or_unix(field: Any, value: object, at: str) -> None:
    found = order({"occurred_at": field}, {"at": value}).occurred_at
    assert found is not None
    assert found.isoformat() == at


@pytest.mark.parametrize(
    ("field", "value", "yes"),
    [
        ("/x", True, True), ("/x", False, False), ("/x", "1", True), ("/x", 0, False), ("/x", "No", False), ("/x", None, None),
        ({"at": "/x", "equals": ["paid", "done"]}, "done", True),
        ({"at": "/x", "equals": ["paid", "done"]}, "open", False),
        ({"at": "/x", "equals": [2]}, "2", True),
        ({"at": "/x", "equals": [1]}, True, False),
        ({"at": "/x", "equals": ["paid"]}, None, None),
    ],
)  # fmt: skip
def test_yes_and_no(field: Any, value: object, yes: bool | None) -> None:
    assert order({"paid": field}, {"x": value}).paid is yes


# ── Refunds inside orders, cancellations ─────────────────────────────────────────────────────────────────────────────


def test_refunds_that_an_order_holds_are_read_with_it() -> None:
    """As WooCommerce lists them: negative, by id."""
    refunds = {
        "each": "/refunds/*",
        "refund_id": "/id",
        "total": {"at": "/total", "negate": True},
        "tax": {"const": 0},
        "shipping": {"const": 0},
    }
    found = order(
        {"net": "/net", "refunds": refunds},
        {"net": 50, "refunds": [{"id": 9, "total": "-10.00"}, {"id": 10, "total": "-1"}]},
    )
    assert [(each.refund_id, each.amount_minor, each.currency) for each in found.refunds] == [
        ("9", 1_000, "EUR"),
        ("10", 100, "EUR"),
    ]


def test_an_order_that_says_its_state_is_cancelled_and_revived() -> None:
    rule = {"cancelled": {"at": "/state", "equals": ["void"]}, "occurred_at": "/made", "updated_at": "/changed"}
    made = {"made": "2026-11-21T18:00:00Z"}
    later = {**made, "changed": "2026-11-21T19:00:00Z"}
    [cancelled] = order(rule, {**later, "state": "void"}).refunds
    assert (cancelled.refund_id, cancelled.kind, cancelled.full) == (CANCELLED, "cancellation", True)
    [revived] = order(rule, {**later, "state": "open"}).refunds
    assert (revived.refund_id, revived.amount_minor, revived.full) == (CANCELLED, 0, False)
    # A new order cannot have been cancelled before.
    assert order(rule, {**made, "changed": made["made"], "state": "open"}).refunds == ()


@pytest.mark.parametrize("read", ["refund", "chargeback", "reversal", "cancellation"])
def test_a_message_may_be_a_refund_of_any_kind(read: str) -> None:
    rule = {"read": read, "order_id": "/order", "refund_id": "/id", "full": "/all", "net": "/net", "currency": "/cur"}
    [part] = mapped([rule], {"order": 7, "id": "r1", "net": "3.50", "cur": "EUR"}).reports
    assert (part.stub, part.refs, part.refunds) == (True, ("7",), (RefundReport("r1", read, 350, currency="EUR"),))
    [whole] = mapped([rule], {"order": 7, "id": "r1", "all": True, "cur": "EUR"}).reports
    assert whole.refunds == (RefundReport("r1", read, full=True),)


def test_a_cancellation_needs_nothing_but_its_order() -> None:
    [report] = mapped([{"read": "cancellation", "order_id": "/id"}], {"id": 7}).reports
    assert report.refunds == (RefundReport(CANCELLED, "cancellation", full=True),)


# ── What cannot be meant ─────────────────────────────────────────────────────────────────────────────────────────────

RULE = {
    "net": "/net", "currency": "/cur", "occurred_at": "/at", "paid": "/paid", "codes": "/codes/*", "kind": "/kind",
    "visitor_id": "/meta/[key=visitor]/value",
    "lines": {"each": "/lines/*", "quantity": "/n", "net": "/net"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("body", "reason", "names"),
    [
        (b"id=1", "not_json", "Expecting value"),
        (b'{"id": 1, "id": 2}', "duplicate_keys", "'id'"),
        (b"[]", "missing_value", "order_id: nothing stands at /id: the body is an empty list"),
        (b"7", "missing_value", "the body is 7"),
        ({}, "missing_value", "the body is an empty object"),
        ({"id": ""}, "missing_value", "/id is an empty text"),
        ({"id": True}, "wrong_value", "/id is true: a text is expected"),
        ({"id": 1.5}, "wrong_value", "/id is 1.5: a text is expected"),
        ({"id": ["1"]}, "wrong_value", "/id is a list of 1: a text is expected"),
        ({"id": "a\u0000b"}, "wrong_value", "control characters"),
        ({"id": 1, "cur": None}, "missing_value", "currency: /cur is null"),
        ({"id": 1, "cur": "EURO"}, "wrong_value", '/cur is "EURO": a currency is expected'),
        (
            {"id": 1, "cur": "EUR", "net": "12 $$"},
            "wrong_value",
            '/net is "12 $$": an amount in major units, such as 49.90 is expected',
        ),
        ({"id": 1, "cur": "EUR", "net": "1,23.00"}, "wrong_value", "/net"),
        ({"id": 1, "cur": "EUR", "net": {"amount": 3}}, "wrong_value", "/net is an object with amount"),
        ({"id": 1, "cur": "EUR", "net": -1}, "wrong_value", "`negate` turns the sign"),
        ({"id": 1, "cur": "EUR", "net": 1e300}, "wrong_value", "/net"),
        ({"id": 1, "cur": "EUR", "at": "21/11/2026"}, "wrong_value", '/at is "21/11/2026": a time is expected'),
        ({"id": 1, "cur": "EUR", "at": "2026-11-21 18:00:00"}, "wrong_value", "has no time zone"),
        ({"id": 1, "cur": "EUR", "at": 1_795_284_000}, "wrong_value", "/at is 1795284000: a time is expected"),
        ({"id": 1, "cur": "EUR", "paid": "shipped"}, "wrong_value", '/paid is "shipped": true or false'),
        (
            {"id": 1, "cur": "EUR", "codes": [{"code": "A"}]},
            "wrong_value",
            "/codes/* is an object with code: a text is expected",
        ),
        ({"id": 1, "cur": "EUR", "kind": "A sale!"}, "wrong_value", '/kind is "A sale!": a word'),
        (
            {"id": 1, "cur": "EUR", "lines": [{"n": 1}, {"n": "x"}]},
            "wrong_value",
            '/lines/* (2): /n is "x": a number of pieces',
        ),
        ({"id": 1, "cur": "EUR", "lines": [{"n": 1}] * 1_001}, "too_many", "more than 1000"),
        # Nothing is found there, but looking costs as much, for each place of the mapping.
        ({"id": 1, "cur": "EUR", "meta": [{}] * 1_001}, "too_many", "looks through more than 1000"),
    ],
)
def test_what_cannot_be_meant_is_rejected_with_its_place(body: Any, reason: str, names: str) -> None:
    parsed = mapped(RULE, body)
    assert (parsed.rejected, parsed.reports) == (reason, ()), parsed.detail
    assert names in (parsed.detail or "")


def test_a_long_value_is_cut_and_a_wide_object_too() -> None:
    assert len(pointers.shown("x" * 5_000)) < 70
    assert len(pointers.shown({f"name {index}": 1 for index in range(500)})) < 200
    assert pointers.shown(10**5_000) == "a number too long to show"


# ── What a mapping may not say ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ({"read": "order"}, "rules.0.order_id"),
        ({"read": "refund", "order_id": "/a", "net": "/n"}, "rules.0.refund_id"),
        ({"read": "refund", "order_id": "/a", "refund_id": "/r"}, "rules.0.net"),
        ({"read": "refund", "order_id": "/a", "refund_id": "/r", "net": "/n", "codes": "/c"}, "rules.0.codes"),
        ({"read": "order", "order_id": "/a", "refund_id": "/r"}, "rules.0.refund_id"),
        ({"read": "ignored", "order_id": "/a"}, "rules.0.order_id"),
        ({"read": "order", "order_id": {}}, "rules.0.order_id"),
        ({"read": "order", "order_id": {"negate": True}}, "rules.0.order_id"),
        ({"read": "order", "order_id": "/a", "occurred_at": {"at": "/t", "zone": "Paris"}}, "rules.0.occurred_at.zone"),
        (
            {"read": "order", "order_id": "/a", "occurred_at": {"at": "/t", "zone": "../../etc/passwd"}},
            "rules.0.occurred_at.zone",
        ),
        ({"read": "order", "order_id": "/a", "when": [{"at": "/t"}]}, "rules.0.when.0"),
        ({"read": "order", "order_id": "/a", "when": [{"at": "t", "equals": 1}]}, "rules.0.when.0.at"),
        ({"read": "order", "order_id": "/a", "lines": {"each": "lines"}}, "rules.0.lines.each"),
        ({"read": "order", "order_id": "/a", "refunds": {"each": "/r", "refund_id": "/id"}}, "rules.0.refunds.net"),
    ],
)
def test_what_means_nothing_is_named(rule: dict[str, Any], path: str) -> None:
    found = dict(faults(read_mapping({"amounts": "major", "rules": [rule]})))
    assert set(found) == {path}


@pytest.mark.parametrize(
    "mapping",
    [
        {}, [], "x", 5, {"amounts": "major"}, {"amounts": "major", "rules": []}, {"amounts": "cents", "rules": [{"read": "ignored"}]},
        {"amounts": "major", "rules": [{"read": "sale"}]}, {"amounts": "major", "rules": [{"read": "order", "order_id": 7}]},
        {"amounts": "major", "rules": [{"read": "order", "order_id": "/a", "colour": "/b"}]},
        {"amounts": "major", "rules": [{"read": "ignored"}] * 21}, {"amounts": "major", "rules": [{"read": "ignored"}], "decimals": {"EUR": 9}},
    ],
)  # fmt: skip
def test_a_mapping_that_is_none_reads_nothing_and_says_so(mapping: object) -> None:
    with pytest.raises(ValidationError):
        read_mapping(mapping)
    parsed = parse(b'{"id": 1}', {}, with_mapping(mapping))
    assert parsed.rejected == "bad_mapping"


# ── Presets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_preset_is_a_table_that_could_have_been_typed_in(preset: str) -> None:
    settings = json.loads(json.dumps(PRESETS[preset]))
    assert list(faults(read_mapping(settings["mapping"]))) == []
    assert list(signatures.faults(signatures.read_layout(settings["signature"]))) == []
    assert settings["signature"]["header"].lower() in kept_headers("generic", {"preset": preset})


def test_a_source_may_replace_what_its_preset_says() -> None:
    own = {"preset": "paddle", "mapping": {"amounts": "minor", "rules": [{"read": "order", "order_id": "/mine"}]}}
    assert resolve(own)["signature"] == PRESETS["paddle"]["signature"]
    [report] = parse(b'{"mine": 7}', {}, Context(NOW, "EUR", CONTEXT.customer_key, settings=own)).reports
    assert report.refs == ("7",)


def test_a_preset_nobody_knows_any_more_leaves_our_own_words() -> None:
    context = Context(NOW, "EUR", CONTEXT.customer_key, settings={"preset": "gone"})
    assert parse(b'{"order_id": "7"}', {}, context).reports[0].refs == ("7",)


# ── Trials ───────────────────────────────────────────────────────────────────────────────────────────────────────

PLAN = TrialOrder(
    number=7, currency="EUR", net_minor=5_000, refund_minor=1_200, ordered_at=NOW, refunded_at=NOW + timedelta(seconds=1),
    code="LEA10", click_id="clk_01kaz8h0000000000000000000", customer_email="lea@example.com",
)  # fmt: skip
OWN = {
    "signature": {"header": "X-Sig", "timestamp_header": "X-Time", "message": "{timestamp}.{body}"},
    "mapping": {"amounts": "minor", "rules": [*RULES[:2], {"read": "ignored"}]},
}


@pytest.mark.parametrize(
    "settings", [{}, *({"preset": name} for name in sorted(PRESETS)), OWN], ids=lambda given: given.get("preset", "own")
)
@pytest.mark.parametrize("currency", ["EUR", "JPY", "KWD"])
def test_a_trial_order_is_written_the_way_it_is_read(settings: dict[str, Any], currency: str) -> None:
    plan = replace(PLAN, currency=currency)
    trial = trial_messages(plan, "a-long-random-secret", settings)
    context = Context(NOW, "EUR", lambda _, email: email, settings=settings)
    reports = []
    for sent in (*trial.order, *trial.refund):
        headers = {name.lower(): text for name, text in sent.headers.items()}
        keys, now_s = ["a-long-random-secret"], NOW.timestamp()
        assert verify("generic", body=sent.body, headers=headers, secrets=keys, now_s=now_s, settings=settings) is None
        parsed = parse(sent.body, headers, context)
        assert parsed.rejected is None, parsed.detail
        reports += parsed.reports
    told = reports[0]
    assert (told.net_minor, told.currency, told.test, told.codes) == (5_000, currency, True, ("LEA10",))
    assert told.click_ids == ("clk_01kaz8h0000000000000000000",)
    assert told.customer.key == "lea@example.com"
    assert all(trial.order_id in report.refs for report in reports)
    refunds = [refund.amount_minor for report in reports for refund in report.refunds if refund.kind == "refund"]
    assert refunds == ([] if settings.get("preset") == "shopware" else [1_200])


def test_a_mapping_without_a_word_for_tests_is_not_tried() -> None:
    untested = {name: value for name, value in RULES[0].items() if name != "test"}
    for rules, why in (([untested], "no field `test`"), ([RULES[2]], "no rule reads an order")):
        with pytest.raises(Invalid, match=why):
            trial_messages(PLAN, "a-long-random-secret", {"mapping": {"amounts": "minor", "rules": rules}})


# ── Whatever comes ───────────────────────────────────────────────────────────────────────────────────────────────────

TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "id", "*", "0"]) | TEXTS, inner, max_size=4)
    ),
    max_leaves=12,
)
PLACES = st.builds(
    "".join, st.lists(st.sampled_from(["/a", "/b", "/id", "/*", "/0", "/[a=1]", ""]), max_size=4)
) | st.sampled_from(["header:X-A", "/~1", "/~", "x"])
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "at": PLACES | st.lists(PLACES, min_size=1, max_size=3), "const": TEXTS | st.integers() | st.booleans(),
        "unit": st.sampled_from(["minor", "major"]), "negate": st.booleans(),
        "time": st.sampled_from(["rfc3339", "unix_s", "unix_ms"]), "zone": st.sampled_from(["UTC", "Europe/Paris", "No/Where", ""]),
        "equals": st.lists(TEXTS | st.integers(), min_size=1, max_size=2),
    },
)  # fmt: skip
FIELDS = PLACES | st.lists(PLACES, min_size=1, max_size=3) | VALUES
MONEY = dict.fromkeys(("net", "items", "discount", "total", "tax", "shipping"), FIELDS)
NESTED = {"id": FIELDS, "quantity": FIELDS, "sku": FIELDS, **MONEY}
CONDITIONS = st.lists(
    st.fixed_dictionaries({"at": PLACES}, optional={"equals": TEXTS, "present": st.booleans()}), max_size=2
)
RULES_DRAWN = st.fixed_dictionaries(
    {"read": st.sampled_from(["order", "refund", "cancellation", "chargeback", "reversal", "ignored"])},
    optional={
        **dict.fromkeys(
            (
                "order_id", "refs", "kind", "occurred_at", "updated_at", "currency", "codes", "click_id", "customer_id",
                "customer_email", "new_customer", "paid", "test", "cancelled", "refund_id", "full",
            ),
            FIELDS,
        ),
        **MONEY,
        "when": CONDITIONS,
        "origin": st.fixed_dictionaries({}, optional={"renewal": CONDITIONS, "first": CONDITIONS}),
        "lines": st.fixed_dictionaries({"each": PLACES}, optional=NESTED),
        "refunds": st.fixed_dictionaries({"each": PLACES, "refund_id": FIELDS}, optional=MONEY),
    },
)  # fmt: skip
MAPPINGS = st.fixed_dictionaries(
    {"amounts": st.sampled_from(["minor", "major"]), "rules": st.lists(RULES_DRAWN, min_size=1, max_size=3)},
    optional={
        "topic": FIELDS,
        "times": st.sampled_from(["rfc3339", "unix_s", "unix_ms"]),
        "decimals": st.just({"EUR": 4}),
    },
)


@given(MAPPINGS | JSON, JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60), st.booleans())
def test_no_mapping_and_no_body_ever_raises(mapping: Any, body: bytes, form: bool) -> None:
    headers = {"x-a": "7", "content-type": "application/x-www-form-urlencoded" if form else "application/json"}
    context = Context(NOW, "EUR", CONTEXT.customer_key, settings={"mapping": mapping})
    said = read(body, headers, context).parsed
    assert [bool(said.reports), said.rejected is not None, said.ignored is not None].count(True) == 1
    assert said.rejected is None or said.detail


@given(st.sampled_from(sorted(PRESETS)), JSON)
def test_no_body_makes_a_preset_raise(preset: str, body: Any) -> None:
    settings = {"preset": preset}
    for document in (body, {"event_type": "transaction.completed", "order": body, "data": body}):
        said = parse(json.dumps(document).encode(), {}, Context(NOW, "EUR", CONTEXT.customer_key, settings=settings))
        assert said.reports or said.rejected or said.ignored


@given(JSON)
def test_no_mapping_makes_the_door_raise(mapping: Any) -> None:
    for settings in ({"mapping": mapping}, {"signature": mapping}, {"preset": mapping}):
        assert kept_headers("generic", settings) >= kept_headers("generic")
