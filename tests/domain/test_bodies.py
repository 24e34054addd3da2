"""Goal: a body of ours is read one way only, and everything wrong with it is reported in one answer."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.bodies import read_order, read_refund
from app.domain.order_fields import NOTHING, ORDER_FIELDS, REFUND_FIELDS, UNKNOWN_MAX, properties
from app.domain.orders import (
    Context,
    Customer,
    OrderLine,
    OrderReport,
    RefundReport,
    order_ref,
    version_at,
)
from app.errors import Invalid

CONTEXT = Context(
    received_at=datetime(2026, 11, 22, tzinfo=UTC),
    currency="EUR",
    customer_key=lambda number, email: f"{number}/{email}" if number or email else None,
)


def faults(body: Any, read: Any = read_order) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        read(body, CONTEXT)
    return {error.field: error.code for error in caught.value.fields}


# ── The body of a conversion ─────────────────────────────────────────────────────────────────────────────────────────


def test_an_order_id_and_a_code_are_enough() -> None:
    report = read_order({"order_id": "#1001", "codes": ["LEA10"]}, CONTEXT)
    assert (report.order_id, report.refs, report.codes) == ("#1001", ("1001",), ("LEA10",))
    assert (report.shop, report.kind, report.currency, report.net_minor, report.test) == (
        "main",
        "sale",
        None,
        None,
        False,
    )


def test_every_field_is_read() -> None:
    report = read_order(
        {
            "order_id": 1001,
            "kind": "lead",
            "shop": "fr",
            "occurred_at": "2026-11-21T18:00:00+01:00",
            "updated_at": "2026-11-21T18:00:01Z",
            "currency": "usd",
            "items_minor": 6_000,
            "discount_minor": 1_000,
            "tax_minor": 900,
            "shipping_minor": 490,
            "codes": ["LEA10", " MAX ", "LEA10"],
            "click_id": "clk_x",
            "visitor_id": "v",
            "customer": {"id": 5, "email": "a@b.fr", "is_new": True},
            "lines": [{"id": "l1", "quantity": 2, "net_minor": 5_000, "sku": "S", "name": "N"}, {}],
            "origin": "renewal",
            "test": True,
            "type": "conversion",
            "paid": False,
        },
        CONTEXT,
    )
    assert report.paid is False
    assert (report.order_id, report.kind, report.shop, report.currency) == ("1001", "lead", "fr", "USD")
    assert report.occurred_at == datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
    assert report.version == version_at(datetime(2026, 11, 21, 18, 0, 1, tzinfo=UTC))
    amounts = (report.items_minor, report.discount_minor, report.net_minor, report.tax_minor, report.shipping_minor)
    assert amounts == (6_000, 1_000, 5_000, 900, 490)
    assert (report.codes, report.click_ids, report.visitor_id) == (("LEA10", "MAX"), ("clk_x",), "v")
    assert report.customer == Customer("5/a@b.fr", True)
    assert report.lines == (OrderLine("l1", 2, 5_000, "S", "N"), OrderLine("2"))
    assert (report.test, report.origin) == (True, "renewal")
    assert read_order({"order_id": "1", "origin": "unknown"}, CONTEXT).origin is None


def test_an_amount_without_a_currency_is_in_the_brands() -> None:
    assert read_order({"order_id": "1", "net_minor": 4990}, CONTEXT).currency == "EUR"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"order_id": None}, {"order_id": "required"}),
        ({"order_id": " "}, {"order_id": "required"}),
        ({"order_id": "x" * 201}, {"order_id": "invalid"}),
        ({"order_id": "a\x00"}, {"order_id": "invalid"}),
        ({"order_id": "\ud800"}, {"order_id": "invalid"}),
        ({"order_id": True}, {"order_id": "invalid"}),
        ({"order_id": 1.5}, {"order_id": "invalid"}),
        ({"net_minor": 49.9}, {"net_minor": "invalid_amount"}),
        ({"net_minor": Decimal("4990.0")}, {"net_minor": "invalid_amount"}),
        ({"net_minor": "4990"}, {"net_minor": "invalid_amount"}),
        ({"net_minor": True}, {"net_minor": "invalid_amount"}),
        ({"net_minor": -1}, {"net_minor": "out_of_range"}),
        ({"net_minor": 10**15 + 1}, {"net_minor": "out_of_range"}),
        ({"items_minor": 1, "discount_minor": 2}, {"discount_minor": "out_of_range"}),
        ({"items_minor": 10, "discount_minor": 2, "net_minor": 9}, {"net_minor": "contradiction"}),
        ({"currency": "ZZZ"}, {"currency": "unknown_currency"}),
        ({"currency": 978}, {"currency": "unknown_currency"}),
        ({"occurred_at": "2026-11-21T18:00:00"}, {"occurred_at": "invalid_time"}),
        ({"occurred_at": 1_795_000_000}, {"occurred_at": "invalid_time"}),
        ({"kind": "Big Sale!"}, {"kind": "invalid"}),
        ({"codes": "LEA10"}, {"codes": "invalid"}),
        ({"codes": ["ok", "", None]}, {"codes.2": "invalid"}),
        ({"codes": ["x"] * 21}, {"codes": "too_many"}),
        ({"customer": "lea"}, {"customer": "invalid"}),
        ({"customer": {"email": 5.5, "is_new": "yes"}}, {"customer.email": "invalid", "customer.is_new": "invalid"}),
        ({"lines": [{"quantity": -1}, 5]}, {"lines.0.quantity": "out_of_range", "lines.1": "invalid"}),
        ({"test": "true"}, {"test": "invalid"}),
        ({"origin": "again"}, {"origin": "invalid"}),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], wrong: dict[str, str]) -> None:
    assert faults({"order_id": "1", **fields}) == wrong


def test_the_message_names_every_field_with_its_reason() -> None:
    body = {
        "net_minor": 1.5,
        "tax_minor": -1,
        "kind": "Big!",
        "codes": "x",
        "customer": 5,
        "lines": [{}] * 1_001,
        "test": 1,
    }
    with pytest.raises(Invalid) as caught:
        read_order(body, CONTEXT)
    assert caught.value.message.split("; ") == [
        "order_id is required",
        "net_minor must be a whole number",
        "tax_minor must be from 0 to 1000000000000000",
        "kind must be a word such as sale, lead or signup: a-z, 0-9 and _, at most 40",
        "codes must be a list",
        "customer must be an object",
        "lines holds more than 1000",
        "test must be true or false",
    ]


def test_all_faults_are_reported_at_once() -> None:
    found = faults({"order_id": "\x00", "currency": "ZZZ", "net_minor": -5, "occurred_at": "today", "codes": [1.5]})
    assert found.keys() == {"order_id", "currency", "net_minor", "occurred_at", "codes.0"}


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_what_is_empty_is_not_said(nothing: str | None) -> None:
    fields = {field.name: nothing for field in ORDER_FIELDS if field.name != "order_id"}
    least = read_order({"order_id": "1"}, CONTEXT)
    assert read_order({"order_id": "1", **fields}, CONTEXT) == least
    inner = {"customer": {"id": nothing, "email": nothing, "is_new": nothing}, "an_empty_input_of_the_form": nothing}
    assert read_order({"order_id": "1", **inner}, CONTEXT) == least
    assert read_order({"order_id": "1", "codes": ["", "LEA10", " "]}, CONTEXT).codes == ("LEA10",)
    refund = {field.name: nothing for field in REFUND_FIELDS if field.name not in ("order_id", "refund_id")}
    given = {"order_id": "1", "refund_id": "r", **refund, "full": True}
    assert read_refund(given, CONTEXT) == read_refund({"order_id": "1", "refund_id": "r", "full": True}, CONTEXT)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("code", "codes"),
        ("coupon", "codes"),
        ("discount_code", "codes"),
        ("total", "net_minor"),
        ("amount", "net_minor"),
        ("curency", "currency"),
        ("Currency", "currency"),
        ("clickId", "click_id"),
        ("created_at", "occurred_at"),
        ("email", "customer"),
        ("canceled", "cancelled"),
    ],
)
def test_an_unknown_field_is_refused_with_the_name_that_may_be_meant(name: str, meant: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_order({"order_id": "1", name: "x"}, CONTEXT)
    assert caught.value.message == f"{name} is not a field of an order; {meant} may be meant"
    assert [each.code for each in caught.value.fields] == ["unknown_field"]


def test_an_unknown_field_that_is_like_no_other_is_refused_as_well() -> None:
    with pytest.raises(Invalid) as caught:
        read_order(
            {"order_id": "1", "gift_wrap": True, "lines": [{"price": 5}], "customer": {"mail": "a@b.fr"}}, CONTEXT
        )
    assert caught.value.message.split("; ") == [
        "customer.mail is not a field of a customer",
        "email may be meant",
        "lines.0.price is not a field of an order's line",
        "net_minor may be meant",
        "gift_wrap is not a field of an order",
    ]


def test_of_many_unknown_fields_some_are_named() -> None:
    assert len(faults({"order_id": "1", **{f"x{number}": 1 for number in range(1_000)}})) == UNKNOWN_MAX


def test_a_refund_says_its_amount_under_its_own_name() -> None:
    with pytest.raises(Invalid) as caught:
        read_refund({"order_id": "1", "refund_id": "r", "full": True, "net_minor": 5}, CONTEXT)
    assert caught.value.message == "net_minor is not a field of a refund; amount_minor may be meant"


def test_an_order_says_that_it_is_cancelled_and_that_it_is_not_any_more() -> None:
    ordered, changed = "2026-11-21T18:00:00Z", "2026-11-21T19:00:00Z"
    version = version_at(datetime(2026, 11, 21, 19, tzinfo=UTC))
    said = {"order_id": "1", "occurred_at": ordered, "updated_at": changed}
    [taken] = read_order({**said, "cancelled": True}, CONTEXT).refunds
    assert taken == RefundReport("cancelled", "cancellation", full=True, version=version)
    [given_back] = read_order({**said, "cancelled": False}, CONTEXT).refunds
    assert given_back == RefundReport("cancelled", "cancellation", amount_minor=0, currency="EUR", version=version)
    assert read_order({"order_id": "1", "cancelled": False, "occurred_at": ordered}, CONTEXT).refunds == ()
    assert read_order({**said, "updated_at": ordered, "cancelled": False}, CONTEXT).refunds == ()


def test_items_and_discount_make_net_and_may_stand_beside_it_when_they_agree() -> None:
    assert read_order({"order_id": "1", "items_minor": 10, "discount_minor": 2, "net_minor": 8}, CONTEXT).net_minor == 8
    assert read_order({"order_id": "1", "items_minor": 10}, CONTEXT).net_minor == 10


# ── The body of a refund ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refund_is_a_report_that_states_nothing_else_of_the_order() -> None:
    report = read_refund({"order_id": "#1001", "refund_id": 9, "amount_minor": 500, "currency": "EUR"}, CONTEXT)
    assert (report.stub, report.refs, report.net_minor) == (True, ("1001",), None)
    [refund] = report.refunds
    assert (refund.refund_id, refund.amount_minor, refund.full, refund.currency) == ("9", 500, False, "EUR")


def test_a_full_refund_needs_no_amount_and_no_currency() -> None:
    [refund] = read_refund({"order_id": "1", "refund_id": "r", "full": True}, CONTEXT).refunds
    assert (refund.amount_minor, refund.full, refund.currency) == (None, True, None)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, {"amount_minor": "required"}),
        ({"full": False}, {"amount_minor": "required"}),
        ({"full": True, "amount_minor": 5}, {"amount_minor": "required"}),
        ({"amount_minor": -5}, {"amount_minor": "out_of_range"}),
        ({"refund_id": None, "full": True}, {"refund_id": "required"}),
    ],
)
def test_a_refund_states_its_amount_in_exactly_one_way(fields: dict[str, Any], wrong: dict[str, str]) -> None:
    assert faults({"order_id": "1", "refund_id": "r", **fields}, read_refund) == wrong


def test_every_field_of_a_refund_is_read() -> None:
    report = read_refund(
        {
            "order_id": "1001",
            "refund_id": "v",
            "type": "reversal",
            "reverses": "r",
            "shop": "fr",
            "kind": "lead",
            "amount_minor": 500,
            "currency": "usd",
            "occurred_at": "2026-11-21T18:00:00Z",
            "updated_at": "2026-11-21T18:00:01Z",
            "lines": [{"id": "l1", "quantity": 2, "net_minor": 5, "sku": "S", "name": "N"}, None],
        },
        CONTEXT,
    )
    moment = datetime(2026, 11, 21, 18, 0, tzinfo=UTC)
    refund = RefundReport(
        refund_id="v",
        kind="reversal",
        amount_minor=500,
        currency="USD",
        occurred_at=moment,
        version=version_at(moment + timedelta(seconds=1)),
        lines=(OrderLine("l1", 2, 5, "S", "N"),),
        reverses="r",
    )
    assert report == OrderReport(shop="fr", kind="lead", refs=("1001",), refunds=(refund,), stub=True)


def test_a_refund_of_lines_is_worth_what_they_are_worth_and_each_names_its_line() -> None:
    report = read_refund({"order_id": "1", "refund_id": "r", "lines": [{"id": "a"}]}, CONTEXT)
    refund = RefundReport(refund_id="r", lines=(OrderLine("a"),), line_based=True)
    assert report == OrderReport(shop="main", kind="sale", refs=("1",), refunds=(refund,), stub=True)
    wrong = faults({"order_id": "1", "refund_id": "r", "lines": [{"id": "a"}, {}, {"id": True}]}, read_refund)
    assert wrong == {"lines.1.id": "required", "lines.2.id": "invalid"}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"order_id": None}, {"order_id": "required"}),
        ({"type": "refund", "reverses": "x"}, {"reverses": "contradiction"}),
        ({"type": "repayment"}, {"type": "invalid"}),
        ({"type": 5.5, "kind": "Big!", "full": 1}, {"type": "invalid", "kind": "invalid", "full": "invalid"}),
    ],
)
def test_what_is_wrong_with_a_refund_is_named(fields: dict[str, Any], wrong: dict[str, str]) -> None:
    assert faults({"order_id": "1", "refund_id": "r", "amount_minor": 5, **fields}, read_refund) == wrong


@pytest.mark.parametrize(
    ("read", "fields", "errors"),
    [
        (read_order, {"items_minor": 1, "discount_minor": 2}, ["discount_minor is more than items_minor"]),
        (
            read_order,
            {"items_minor": 9, "net_minor": 8},
            ["net_minor is not items_minor - discount_minor; leave one of them out"],
        ),
        (
            read_refund,
            {"amount_minor": 5, "full": True},
            ["amount_minor give one of amount_minor, gross_minor and full: true"],
        ),
        (read_refund, {}, ["amount_minor give amount_minor, gross_minor, full: true, or lines"]),
        (
            read_refund,
            {"type": "chargeback", "lines": []},
            ["amount_minor give amount_minor, gross_minor, full: true, or lines"],
        ),
        (read_refund, {"full": True, "reverses": "x"}, ["reverses is for a reversal only: type: reversal"]),
        (
            read_refund,
            {"lines": [{"sku": "a"}, None, {"id": "2"}, {}]},
            [
                "lines.0.id is required: the id of the order's line",
                "lines.3.id is required: the id of the order's line",
            ],
        ),
        (read_refund, {"type": "reversal", "lines": [{}]}, None),
        (read_refund, {"amount_minor": 5, "lines": [{}]}, None),
        (read_refund, {"full": True, "lines": [{}]}, None),
    ],
)
def test_fields_that_contradict_each_other_are_named_with_a_reason(
    read: Any, fields: dict[str, Any], errors: list[str] | None
) -> None:
    body = {"order_id": "1", "refund_id": "r", **fields} if read is read_refund else {"order_id": "1", **fields}
    if errors is None:
        read(body, CONTEXT)
        return
    with pytest.raises(Invalid) as caught:
        read(body, CONTEXT)
    assert caught.value.message == "; ".join(errors)
    assert [f"{error.field} {error.reason}" for error in caught.value.fields] == errors


def test_the_message_names_ten_fields_and_the_answer_all() -> None:
    with pytest.raises(Invalid) as caught:
        read_order({"order_id": "1", "codes": [None] * 12}, CONTEXT)
    assert caught.value.message == "; ".join(f"codes.{number} must be a text" for number in range(10))
    assert len(caught.value.fields) == 12


@pytest.mark.parametrize("kind", ["cancellation", "reversal"])
def test_a_cancellation_or_reversal_without_an_amount_is_in_full(kind: str) -> None:
    report = read_refund({"order_id": "1", "refund_id": "r", "type": kind, "currency": "EUR"}, CONTEXT)
    assert report.refunds == (RefundReport(refund_id="r", kind=kind, full=True, currency="EUR"),)


def test_a_currency_without_an_amount_is_kept() -> None:
    assert read_order({"order_id": "1", "currency": "usd"}, CONTEXT).currency == "USD"


# ── The table of the fields ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_table_is_a_json_schema() -> None:
    text = {"type": "string", "minLength": 1, "maxLength": 200}
    found = properties(ORDER_FIELDS)
    assert list(found) == [field.name for field in ORDER_FIELDS]
    assert found["order_id"] == {
        **text,
        "description": "The shop's own id of the order; `#1001` and `1001` are one.",
    }
    assert found["shop"] == {
        "anyOf": [text, *NOTHING],
        "description": "The key's by default; `main` where it has none.",
    }
    assert found["tax_minor"] == {
        "anyOf": [{"type": "integer", "minimum": 0, "maximum": 10**15}, *NOTHING],
    }
    assert found["codes"]["anyOf"][0] == {"type": "array", "items": text, "maxItems": 20}
    alternatives = {name: schema["anyOf"][0] for name, schema in found.items() if "anyOf" in schema}
    assert alternatives["kind"] == {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$"}
    assert alternatives["currency"] == {"type": "string", "minLength": 3, "maxLength": 10}
    assert alternatives["test"] == {"type": "boolean"}
    assert alternatives["occurred_at"]["format"] == "date-time"
    kinds = ["refund", "cancellation", "chargeback", "reversal"]
    assert properties(REFUND_FIELDS)["type"]["anyOf"][0] == {"type": "string", "enum": kinds}
    lines = properties(REFUND_FIELDS)["lines"]["anyOf"][0]
    assert (lines["type"], lines["maxItems"], lines["items"]["type"]) == ("array", 1_000, "object")
    assert set(lines["items"]["properties"]) == {"id", "quantity", "net_minor"}
    required = [field.name for field in (*ORDER_FIELDS, *REFUND_FIELDS) if field.required]
    assert required == ["order_id", "order_id", "refund_id"]


@pytest.mark.parametrize("body", [None, [], "text", 5])
def test_a_body_that_is_no_object_is_refused(body: Any) -> None:
    for read in (read_order, read_refund):
        with pytest.raises(Invalid) as caught:
            read(body, CONTEXT)
        assert caught.value.code == "not_an_object"


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals()
    | st.text(st.characters(exclude_categories=()), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(sorted({field.name for field in (*ORDER_FIELDS, *REFUND_FIELDS)}))


@given(st.dictionaries(NAMES, ANYTHING) | ANYTHING)
def test_nothing_but_invalid_is_ever_raised(body: Any) -> None:
    for read in (read_order, read_refund):
        try:
            report = read(body, CONTEXT)
        except Invalid:
            continue
        assert all(report.refs)


@pytest.mark.parametrize(
    ("order_id", "ref"),
    [
        ("#1001", "1001"),
        ("1001", "1001"),
        ("gid://shopify/Order/450789469", "450789469"),
        ("# 7", "7"),
        ("#", "#"),
        ("A#1", "A#1"),
    ],
)
def test_orders_are_compared_by_their_names_without_decoration(order_id: str, ref: str) -> None:
    assert order_ref(order_id) == ref
