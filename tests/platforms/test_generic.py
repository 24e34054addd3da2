"""The generic source: the bodies of our own API, signed by any checkout."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.bodies import read_order, read_refund
from app.domain.orders import Context
from app.platforms.generic.webhook import parse

CONTEXT = Context(
    received_at=datetime(2026, 11, 22, tzinfo=UTC),
    currency="EUR",
    customer_key=lambda number, email: f"{number}/{email}",
    shop="fr",
)
CONVERSION = {
    "order_id": "#1001",
    "net_minor": 4990,
    "currency": "EUR",
    "codes": ["LEA10"],
    "customer": {"email": "a@b.fr"},
}
REFUND = {"order_id": "#1001", "refund_id": "r1", "amount_minor": 1000, "currency": "EUR"}


def test_a_conversion_says_what_the_api_would_hear() -> None:
    parsed = parse(json.dumps(CONVERSION).encode(), {}, CONTEXT)
    assert parsed.topic == "conversion"
    assert parsed.reports == (read_order(CONVERSION, CONTEXT),)
    assert parsed.reports[0].shop == "fr"


def test_a_refund_says_what_the_api_would_hear() -> None:
    parsed = parse(json.dumps(REFUND).encode(), {}, CONTEXT)
    assert parsed.topic == "refund"
    assert parsed.reports == (read_refund(REFUND, CONTEXT),)


@pytest.mark.parametrize(
    ("headers", "body", "topic"),
    [
        ({"x-ariane-type": "refund"}, REFUND, "refund"),
        ({}, {**REFUND, "type": "refund"}, "refund"),
        ({}, {**REFUND, "type": "partial, by card"}, "refund"),
        ({}, {**REFUND, "type": "chargeback"}, "chargeback"),
        ({"x-ariane-type": "cancellation"}, REFUND, "cancellation"),
        ({}, {**CONVERSION, "type": "simple product"}, "conversion"),
        ({}, {**CONVERSION, "refund_id": None}, "conversion"),
    ],
)
def test_header_then_type_then_refund_id_tell_which_it_is(
    headers: dict[str, str], body: dict[str, Any], topic: str
) -> None:
    parsed = parse(json.dumps(body).encode(), headers, CONTEXT)
    assert (parsed.topic, parsed.rejected) == (topic, None)


@pytest.mark.parametrize(
    ("headers", "said", "kind"),
    [
        ({}, "chargeback", "chargeback"),
        ({"x-ariane-type": "refund"}, "chargeback", "chargeback"),
        ({"x-ariane-type": "cancellation"}, None, "cancellation"),
        ({}, "partial, by card", "refund"),
    ],
)
def test_a_refund_s_message_says_which_adjustment_it_tells_of(
    headers: dict[str, str], said: str | None, kind: str
) -> None:
    parsed = parse(json.dumps({**REFUND, "type": said}).encode(), headers, CONTEXT)
    assert [refund.kind for report in parsed.reports for refund in report.refunds] == [kind]


def test_the_senders_own_id_of_the_message_is_kept() -> None:
    body = json.dumps(CONVERSION).encode()
    assert parse(body, {"webhook-id": "msg_1"}, CONTEXT).external_id == "msg_1"
    assert parse(body, {"x-ariane-delivery": "d1"}, CONTEXT).external_id == "d1"
    assert parse(body, {}, CONTEXT).external_id == ""


@pytest.mark.parametrize(
    ("headers", "body", "reason", "names"),
    [
        ({}, b"order_id=1", "not_json", "line 1"),
        ({}, b'{"order_id": "1", "order_id": "1"}', "duplicate_keys", "order_id"),
        ({}, b"{}", "not_an_order", "order_id"),
        ({}, b"[]", "not_an_order", "object"),
        ({"x-ariane-type": "ping"}, b"{}", "unknown_type", "ping"),
        ({}, b'{"order_id": "1", "currency": "EURO"}', "invalid_fields", "currency"),
        ({}, b'{"order_id": "1", "net_minor": 49.90}', "invalid_fields", "net_minor"),
        ({}, b'{"order_id": "1", "refund_id": "r"}', "invalid_fields", "amount_minor"),
    ],
)
def test_what_is_wrong_is_rejected_and_named(headers: dict[str, str], body: bytes, reason: str, names: str) -> None:
    parsed = parse(body, headers, CONTEXT)
    assert (parsed.rejected, parsed.reports) == (reason, ())
    assert names in (parsed.detail or "")


@given(
    st.binary(max_size=60),
    st.dictionaries(
        st.sampled_from(["x-ariane-type", "webhook-id", "x-ariane-delivery"]),
        st.text(st.characters(exclude_categories=())),
    ),
)
def test_nothing_ever_raises(body: bytes, headers: dict[str, str]) -> None:
    parsed = parse(body, headers, CONTEXT)
    assert bool(parsed.reports) != (parsed.rejected is not None)
