"""Paddle Billing, a preset of the generic source. Its notifications: https://developer.paddle.com/webhooks

Goal: a signature passes exactly where Paddle's own SDK lets it pass (its 5 s of tolerance set to our 300), and a notification is the order or the
refund that Paddle's documentation says it is.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from app.domain.orders import Context, OrderReport, Parsed, RefundReport, version_at
from app.platforms.generic.webhook import parse
from app.platforms.signing import kept_headers, verify
from demo.simulator import DOCUMENTS

COMPLETED = (DOCUMENTS / "paddle_transaction_completed.json").read_bytes()
REFUNDED = (DOCUMENTS / "paddle_adjustment_updated.json").read_bytes()
PRESET = {"preset": "paddle"}
CONTEXT = Context(
    received_at=datetime(2026, 11, 25, tzinfo=UTC),
    currency="USD",
    customer_key=lambda number, email: f"{number}/{email}",
    settings=PRESET,
)


def read(body: bytes) -> Parsed:
    return parse(body, {"content-type": "application/json"}, CONTEXT)


def changed(body: bytes, event_type: str = "", **fields: Any) -> bytes:
    """The notification with other fields in its `data`, and perhaps another event type."""
    whole = json.loads(body)
    return json.dumps(
        {**whole, "event_type": event_type or whole["event_type"], "data": {**whole["data"], **fields}}
    ).encode()


def test_the_samples_are_what_the_sdk_takes_for_a_transaction_and_an_adjustment() -> None:
    # Half a second of the processor to import, here and below: a process that only collects this file does not pay it.
    from paddle_billing.Notifications.Entities.Adjustment import Adjustment
    from paddle_billing.Notifications.Entities.Transaction import Transaction

    assert Transaction.from_dict(json.loads(COMPLETED)["data"]).details.totals.subtotal == "10000"
    assert Adjustment.from_dict(json.loads(REFUNDED)["data"]).totals.subtotal == "4050"


# ── transaction.completed ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_completed_transaction_is_a_paid_order() -> None:
    parsed = read(COMPLETED)
    assert (parsed.topic, parsed.rejected) == ("transaction.completed", None)
    [order] = parsed.reports
    # Its own id, and the number that the shop handed over in custom_data.
    assert order.order_id == "txn_01kaz8n1c3e5g7j9m2p4r6t8v0"
    assert order.refs == ("txn_01kaz8n1c3e5g7j9m2p4r6t8v0", "W-1001")
    assert order.occurred_at == datetime(2026, 11, 21, 18, 0, 27, 877_041, tzinfo=UTC)
    assert order.version == version_at(datetime(2026, 11, 21, 18, 0, 28, 734_512, tzinfo=UTC))
    # Texts of minor units: 100.00 of goods, 10.00 off, 18.00 of tax on top.
    assert (order.currency, order.items_minor, order.discount_minor, order.tax_minor, order.net_minor) == (
        "EUR",
        10_000,
        1_000,
        1_800,
        9_000,
    )
    assert (order.paid, order.test, order.estimated) == (True, False, False)
    assert order.customer.key == "ctm_01kaz8n9b1d3f5h7k0m2p4r6t8/None"
    assert [(each.id, each.sku, each.name, each.quantity, each.net_minor) for each in order.lines] == [
        ("txnitm_serum", "pri_serum", "Serum", 2, 8_100),
        ("txnitm_cream", "pri_cream", "Cream", 1, 900),
    ]


@pytest.mark.parametrize(
    ("fields", "origin"),
    [
        ({"origin": "web", "subscription_id": "sub_01"}, "first"),
        ({"origin": "api", "subscription_id": "sub_01"}, "first"),
        ({"origin": "web", "subscription_id": None}, None),
        ({"origin": "subscription_recurring", "subscription_id": "sub_01"}, "renewal"),
        ({"origin": "subscription_charge", "subscription_id": "sub_01"}, "renewal"),
        ({"origin": "subscription_update", "subscription_id": "sub_01"}, "renewal"),
    ],
)
def test_paddles_origin_says_whether_a_transaction_began_its_subscription(
    fields: dict[str, Any], origin: str | None
) -> None:
    [order] = read(changed(COMPLETED, **fields)).reports
    assert order.origin == origin


def test_custom_data_carries_the_click_and_the_code() -> None:
    [order] = read(COMPLETED).reports
    assert order.click_ids == ("clk_01kaz8h0000000000000000000",)
    assert order.codes == ("LEA10",)


def test_without_custom_data_the_discount_is_named_by_its_id() -> None:
    [order] = read(changed(COMPLETED, custom_data=None)).reports
    assert (order.codes, order.click_ids) == (("dsc_01k9xq4w6y8a0c2e4g6j8m0p2r",), ())
    [order] = read(changed(COMPLETED, custom_data=None, discount_id=None)).reports
    assert order.codes == ()


def test_amounts_of_a_currency_without_decimals_are_whole() -> None:
    totals = {"subtotal": "1200", "discount": "0", "tax": "0"}
    [order] = read(changed(COMPLETED, currency_code="JPY", details={"totals": totals, "line_items": []})).reports
    assert (order.currency, order.net_minor) == ("JPY", 1_200)


@pytest.mark.parametrize(
    ("event_type", "status"),
    [
        ("transaction.paid", "paid"),
        ("transaction.updated", "completed"),
        ("transaction.revised", "completed"),
    ],
)
def test_whichever_event_tells_of_a_paid_transaction_it_is_the_same_order(event_type: str, status: str) -> None:
    [order] = read(changed(COMPLETED, event_type, status=status)).reports
    assert (order.order_id, order.net_minor) == ("txn_01kaz8n1c3e5g7j9m2p4r6t8v0", 9_000)


@pytest.mark.parametrize(
    ("event_type", "status"),
    [
        ("transaction.created", "draft"),
        ("transaction.updated", "ready"),
        ("transaction.billed", "billed"),
        ("transaction.canceled", "canceled"),
        ("transaction.past_due", "past_due"),
        ("subscription.created", "active"),
    ],
)
def test_a_cart_an_invoice_or_anything_else_is_not_an_order(event_type: str, status: str) -> None:
    assert read(changed(COMPLETED, event_type, status=status)).ignored == "ignored_by_rule"


# ── adjustment.* ─────────────────────────────────────────────────────────────────────────────────────────────────────


def refund_of(body: bytes) -> tuple[OrderReport, RefundReport]:
    [report] = read(body).reports
    [refund] = report.refunds
    return report, refund


def test_an_approved_refund_takes_its_goods_back() -> None:
    report, refund = refund_of(REFUNDED)
    assert (report.stub, report.refs) == (True, ("txn_01kaz8n1c3e5g7j9m2p4r6t8v0",))
    # Before tax, like the order's net: 40.50 of the 48.60 that were given back.
    assert (refund.refund_id, refund.kind, refund.amount_minor, refund.currency) == (
        "adj_01kb4kv7e0h3k6n9r2t5w8y1a4",
        "refund",
        4_050,
        "EUR",
    )
    assert refund.occurred_at == datetime(2026, 11, 24, 8, 50, 10, 500_000, tzinfo=UTC)
    assert refund.version == version_at(datetime(2026, 11, 24, 9, 12, 43, 900_000, tzinfo=UTC))
    assert [(each.id, each.net_minor) for each in refund.lines] == [("txnitm_serum", 4_050)]


@pytest.mark.parametrize("status", ["pending_approval", "rejected"])
def test_a_refund_that_paddle_has_not_approved_takes_nothing(status: str) -> None:
    assert read(changed(REFUNDED, status=status)).ignored == "ignored_by_rule"


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("refund", "refund"),
        ("credit", "refund"),
        ("chargeback", "chargeback"),
        ("chargeback_reverse", "reversal"),
        ("credit_reverse", "reversal"),
    ],
)
def test_what_an_adjustment_does_is_its_action(action: str, kind: str) -> None:
    _, refund = refund_of(changed(REFUNDED, "adjustment.created", action=action))
    assert (refund.kind, refund.amount_minor) == (kind, 4_050)


def test_a_warning_of_a_chargeback_takes_nothing() -> None:
    assert read(changed(REFUNDED, "adjustment.created", action="chargeback_warning")).ignored == "ignored_by_rule"


def test_a_reversed_chargeback_stands_beside_its_reversal() -> None:
    """Paddle marks the chargeback `reversed` and makes an adjustment of its own that gives the money back: counted once each, they meet at nothing."""
    _, chargeback = refund_of(changed(REFUNDED, action="chargeback", status="reversed"))
    _, reversal = refund_of(changed(REFUNDED, action="chargeback_reverse", id="adj_2"))
    assert (chargeback.amount_minor, reversal.amount_minor) == (4_050, 4_050)
    assert (chargeback.kind, reversal.kind) == ("chargeback", "reversal")


# ── What cannot be read ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "reason", "names"),
    [
        ({"id": None}, "missing_value", "order_id: /data/id is null"),
        ({"id": {"x": 1}}, "wrong_value", "/data/id is an object with x: a text is expected"),
        ({"currency_code": None}, "missing_value", "currency: /data/currency_code is null"),
        ({"currency_code": "€"}, "wrong_value", '/data/currency_code is "€"'),
        ({"details": {"totals": {"subtotal": "100.00"}}}, "wrong_value", '/data/details/totals/subtotal is "100.00"'),
        ({"details": {"totals": {"subtotal": "-1"}}}, "wrong_value", "0 or more is expected"),
        ({"details": {"totals": {"subtotal": "1", "discount": "2"}}}, "wrong_value", "more than items"),
        ({"billed_at": "yesterday"}, "wrong_value", '/data/billed_at is "yesterday": a time is expected'),
        ({"custom_data": {"code": ["a"]}}, "wrong_value", "/data/custom_data/code is a list of 1"),
    ],
)
def test_what_cannot_be_meant_is_rejected_with_its_place(fields: dict[str, Any], reason: str, names: str) -> None:
    parsed = read(changed(COMPLETED, **fields))
    assert (parsed.rejected, parsed.reports) == (reason, ())
    assert names in (parsed.detail or "")


# ── Paddle-Signature ─────────────────────────────────────────────────────────────────────────────────────────────────

NOW_S = 1_795_000_000
KEY, OTHER_KEY = "pdl_ntfset_01kaz_a1b2c3d4", "pdl_ntfset_01kaz_another1"


def h1(body: bytes = COMPLETED, at_s: int = NOW_S, key: str = KEY) -> str:
    return hmac.new(key.encode(), f"{at_s}:".encode() + body, hashlib.sha256).hexdigest()


def signature(body: bytes = COMPLETED, at_s: int = NOW_S, key: str = KEY) -> str:
    return f"ts={at_s};h1={h1(body, at_s, key)}"


class Request:
    """A request as Paddle's SDK wants to see one."""

    def __init__(self, headers: dict[str, str], body: bytes) -> None:
        from requests.structures import CaseInsensitiveDict

        self.headers = CaseInsensitiveDict(headers)
        self.body = body


def judged(headers: dict[str, str], body: bytes, *keys: str) -> bool:
    """Whether Paddle's SDK lets it pass, at NOW_S."""
    from paddle_billing.Notifications import Secret, Verifier

    with time_machine.travel(NOW_S, tick=False):
        try:
            return bool(Verifier(300).verify(Request(headers, body), [Secret(key) for key in keys]))  # type: ignore[arg-type]
        except (ConnectionRefusedError, ValueError):
            # A wrong signature is a ConnectionRefusedError there, a malformed one whatever int() or split() raise.
            return False


def ours(headers: dict[str, str], body: bytes, *keys: str) -> str | None:
    return verify("generic", body=body, headers=headers, secrets=keys, now_s=NOW_S, settings=PRESET)


def tampered() -> Iterator[tuple[str, dict[str, str], bytes]]:
    name, good = "Paddle-Signature", signature()
    yield "untouched", {name: good}, COMPLETED
    for spelt in ("paddle-signature", "PADDLE-SIGNATURE"):
        yield f"the header as {spelt}", {spelt: good}, COMPLETED
    yield "another header", {"X-Paddle-Signature": good}, COMPLETED
    for index in (0, len(COMPLETED) // 2, len(COMPLETED) - 2):
        flipped = bytearray(COMPLETED)
        flipped[index] ^= 1
        yield f"one bit of byte {index}", {name: good}, bytes(flipped)
    yield "a trailing newline more", {name: good}, COMPLETED + b"\n"
    yield "the trailing newline less", {name: good}, COMPLETED.rstrip()
    yield "re-serialised", {name: good}, json.dumps(json.loads(COMPLETED)).encode()
    yield "no body", {name: good}, b""
    in_base64 = base64.b64encode(bytes.fromhex(h1())).decode().rstrip("=")
    yield "base64 for hex", {name: f"ts={NOW_S};h1={in_base64}"}, COMPLETED
    yield "cut short", {name: good[:-1]}, COMPLETED
    yield "another secret", {name: signature(key=OTHER_KEY)}, COMPLETED
    yield (
        "the body alone signed",
        {name: f"ts={NOW_S};h1={hmac.new(KEY.encode(), COMPLETED, 'sha256').hexdigest()}"},
        COMPLETED,
    )
    yield "another time than signed", {name: f"ts={NOW_S - 1};h1={h1()}"}, COMPLETED
    for seconds in (-300, -301, 300, 301, 100_000, -100_000):
        yield f"signed {seconds:+} s", {name: signature(at_s=NOW_S + seconds)}, COMPLETED
    yield "no time", {name: f"h1={h1()}"}, COMPLETED
    yield "a word for a time", {name: f"ts=now;h1={h1()}"}, COMPLETED
    yield "no signature", {name: f"ts={NOW_S}"}, COMPLETED
    yield "only of another version", {name: f"ts={NOW_S};h0={h1()}"}, COMPLETED
    yield "empty", {name: ""}, COMPLETED
    yield "commas", {name: good.replace(";", ",")}, COMPLETED
    yield "the other way round", {name: f"h1={h1()};ts={NOW_S}"}, COMPLETED
    yield "a bad one before the good one", {name: f"ts={NOW_S};h1={'0' * 64};h1={h1()}"}, COMPLETED
    yield "a bad one after the good one", {name: f"{good};h1={'0' * 64}"}, COMPLETED
    yield "two bad ones", {name: f"ts={NOW_S};h1={'0' * 64};h1={'1' * 64}"}, COMPLETED
    yield "two times, the last one signed", {name: f"ts={NOW_S - 9};ts={NOW_S};h1={h1()}"}, COMPLETED
    yield "two times, the first one signed", {name: f"ts={NOW_S};ts={NOW_S - 9};h1={h1()}"}, COMPLETED


@pytest.mark.parametrize(
    ("what", "headers", "body"), list(tampered()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_verdict_is_that_of_paddles_sdk(what: str, headers: dict[str, str], body: bytes) -> None:
    for keys in ((KEY,), (OTHER_KEY, KEY)):
        assert (ours(headers, body, *keys) is None) == judged(headers, body, *keys), what


def test_the_matrix_has_both_verdicts() -> None:
    verdicts = [judged(headers, body, KEY) for _, headers, body in tampered()]
    assert verdicts.count(True) >= 8
    assert verdicts.count(False) >= 20


def test_where_the_sdk_is_stricter_it_is_about_form_alone() -> None:
    """A right digest in capitals, and one beside a version that only a later Paddle knows, are right digests: its SDK refuses both."""
    for text in (f"ts={NOW_S};h1={h1().upper()}", f"{signature()};h2=abc"):
        assert not judged({"Paddle-Signature": text}, COMPLETED, KEY)
        assert ours({"Paddle-Signature": text}, COMPLETED, KEY) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (signature(at_s=NOW_S - 301), "stale_timestamp"),
        (signature(at_s=NOW_S - 301, key=OTHER_KEY), "wrong_signature"),
        (f"ts={NOW_S};h1=0", "malformed_signature"),
        (f"ts=1e9;h1={h1()}", "malformed_signature"),
        (f"h1={h1()}", "missing_signature"),
    ],
)
def test_the_reason_says_what_to_mend(text: str, reason: str) -> None:
    assert ours({"Paddle-Signature": text}, COMPLETED, KEY) == reason


def test_a_delivery_is_kept_with_its_signature() -> None:
    assert "paddle-signature" in kept_headers("generic", PRESET)
    assert "paddle-signature" not in kept_headers("generic", {})
