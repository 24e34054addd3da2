"""Square, a preset of the generic source. Its webhooks: https://developer.squareup.com/docs/webhooks/overview

Goal: a payment is an order worth what was paid without the tip, what is refunded or disputed is taken once, and a message passes only if its signature
covers the source's own address and every byte.
"""

import base64
import hashlib
import hmac
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
    RefundReport,
    Witness,
    version_at,
)
from app.platforms.generic.webhook import parse
from app.platforms.kit.digests import URL
from app.platforms.signing import verify
from demo.simulator import DOCUMENTS

PAID = (DOCUMENTS / "square_payment_updated.json").read_bytes()
REFUNDED = (DOCUMENTS / "square_refund_updated.json").read_bytes()
PAYMENT, ORDER = "hYy9pRFVxpDsO1FB05SunFWUe9JZY", "03O3USaPaAaFnI6kkwB1JxGgBsUZY"
DISPUTED = json.dumps(
    {
        "type": "dispute.created",
        "data": {
            "type": "dispute",
            "object": {
                "dispute": {
                    "id": "ORSEVtZAJxb37RA1EiGw",
                    "disputed_payment": {"payment_id": PAYMENT},
                    "amount_money": {"amount": 2000, "currency": "EUR"},
                    "state": "EVIDENCE_REQUIRED",
                    "reason": "NOT_RECEIVED",
                    "created_at": "2026-11-23T09:00:00.000Z",
                    "updated_at": "2026-11-23T09:00:00.000Z",
                }
            },
        },
    }
).encode()
PRESET = {"preset": "square"}
CONTEXT = Context(
    received_at=datetime(2026, 11, 25, tzinfo=UTC),
    currency="USD",
    customer_key=lambda number, email: f"{number}/{email}",
    settings=PRESET,
)


def read(body: bytes, environment: str = "Production") -> Parsed:
    return parse(body, {"content-type": "application/json", "square-environment": environment}, CONTEXT)


def changed(body: bytes, event: str = "", **fields: Any) -> bytes:
    """The event with other fields in its object, and perhaps another type."""
    whole = json.loads(body)
    whole["type"] = event or whole["type"]
    [told] = whole["data"]["object"].values()
    told |= fields
    return json.dumps(whole).encode()


def order_of(body: bytes) -> OrderReport:
    parsed = read(body)
    assert parsed.rejected is None, parsed
    [order] = parsed.reports
    return order


def taken_back(body: bytes) -> RefundReport:
    [refund] = order_of(body).refunds
    return refund


def folded(*bodies: bytes) -> Order:
    """The order after these messages."""
    reports = [order_of(body) for body in bodies]
    orders = [each for each in reports if not each.stub]
    witnesses = [Witness(each, TRUST_WEBHOOK, bytes([n]), CONTEXT.received_at) for n, each in enumerate(orders)]
    facts = [
        Adjustment(refund, TRUST_WEBHOOK, bytes([n]), CONTEXT.received_at)
        for n, report in enumerate(reports)
        for refund in report.refunds
    ]
    return fold(witnesses, facts)


# ── payment.* ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_completed_payment_is_an_order_worth_what_was_paid_without_the_tip() -> None:
    assert read(PAID).topic == "payment.updated"
    order = order_of(PAID)
    assert (order.order_id, order.refs) == (ORDER, (ORDER, PAYMENT))
    # Square states no tax: the amount may hold it.
    assert (order.currency, order.net_minor, order.tax_minor, order.estimated) == ("EUR", 5_000, None, True)
    assert (order.paid, order.test, order.codes) == (True, False, ("LEA10",))
    assert order.click_ids == ("clk_01kaz8h0000000000000000000",)
    assert order.occurred_at == datetime(2026, 11, 21, 18, 0, 26, 877_000, tzinfo=UTC)
    assert order.version == version_at(datetime(2026, 11, 21, 18, 0, 28, 734_000, tzinfo=UTC))
    assert order.customer.key == "VDKXEEKPJN48QDG3BGGFAK05P8/bob@example.com"


def test_an_authorised_payment_is_not_paid_and_a_cancelled_one_is_taken_back() -> None:
    assert order_of(changed(PAID, "payment.created", status="APPROVED")).paid is False
    cancelled = taken_back(changed(PAID, status="CANCELED"))
    assert (cancelled.kind, cancelled.full) == ("cancellation", True)


@pytest.mark.parametrize("status", ["PENDING", "FAILED"])
def test_a_payment_that_is_pending_or_failed_is_no_order(status: str) -> None:
    assert read(changed(PAID, status=status)).ignored == "ignored_by_rule"


def test_what_was_refunded_stands_in_the_payment_too_and_is_counted_once() -> None:
    again = changed(PAID, refunded_money={"amount": 1500, "currency": "EUR"}, updated_at="2026-11-22T09:00:03.000Z")
    order = folded(PAID, REFUNDED, again)
    assert (order.net_minor, order.refunded_minor) == (5_000, 1_500)


def test_a_payment_without_a_note_or_an_order_is_named_by_itself() -> None:
    order = order_of(changed(PAID, order_id=None, note=None))
    assert (order.refs, order.codes) == ((PAYMENT,), ())


def test_a_message_of_the_sandbox_is_a_test() -> None:
    [order] = read(PAID, "Sandbox").reports
    assert order.test


# ── refund.*, dispute.* ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_completed_refund_takes_what_was_paid_back() -> None:
    refund = taken_back(REFUNDED)
    assert (refund.kind, refund.amount_minor, refund.currency, refund.is_gross) == ("refund", 1_500, "EUR", False)
    assert order_of(REFUNDED).refs == (ORDER,)
    assert refund.occurred_at == datetime(2026, 11, 22, 8, 59, 58, 116_000, tzinfo=UTC)
    assert refund.version == version_at(datetime(2026, 11, 22, 9, 0, 1, 508_000, tzinfo=UTC))


def test_a_payment_that_is_refunded_whole_leaves_nothing() -> None:
    """What Square states of the payment and of the refund holds the same tax."""
    order = folded(PAID, changed(REFUNDED, amount_money={"amount": 5000, "currency": "EUR"}))
    assert (order.net_minor, order.refunded_minor) == (5_000, 5_000)


def test_a_refund_that_is_pending_takes_nothing_and_one_that_fails_comes_to_nothing() -> None:
    assert read(changed(REFUNDED, "refund.created", status="PENDING")).ignored == "ignored_by_rule"
    for status in ("FAILED", "REJECTED"):
        assert taken_back(changed(REFUNDED, status=status)).amount_minor == 0


@pytest.mark.parametrize("state", ["EVIDENCE_REQUIRED", "PROCESSING", "LOST", "ACCEPTED"])
def test_a_dispute_is_a_chargeback_of_its_amount_and_knows_the_order_by_its_payment(state: str) -> None:
    told = changed(DISPUTED, "dispute.state.updated", state=state)
    assert (taken_back(told).kind, taken_back(told).amount_minor) == ("chargeback", 2_000)
    assert order_of(told).refs == (PAYMENT,)


def test_a_dispute_that_is_won_comes_to_nothing_and_an_inquiry_takes_nothing() -> None:
    won = changed(DISPUTED, "dispute.state.updated", state="WON", updated_at="2026-11-24T09:00:00.000Z")
    for bodies in ((PAID, DISPUTED, won), (won, DISPUTED, PAID)):
        assert folded(*bodies).refunded_minor == 0
    assert read(changed(DISPUTED, state="INQUIRY_EVIDENCE_REQUIRED")).ignored == "ignored_by_rule"


# ── What cannot be read ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"amount_money": None}, "/data/object/payment/amount_money"),
        ({"amount_money": {"amount": 50.5, "currency": "EUR"}}, "/data/object/payment/amount_money/amount is 50.5"),
        ({"created_at": "yesterday"}, '/data/object/payment/created_at is "yesterday": a time is expected'),
    ],
)
def test_what_cannot_be_meant_is_rejected_with_its_place(fields: dict[str, Any], names: str) -> None:
    parsed = read(changed(PAID, **fields))
    assert parsed.reports == ()
    assert names in (parsed.detail or "")


# ── x-square-hmacsha256-signature: base64 of HMAC-SHA256 over the notification URL and the body ──────────────────────

ADDRESS = "https://ariane.example/in/hook_1"
KEY = "Ibxx_5AKakO-3qeNVR61Dw"


def verdict(signature: str, body: bytes = PAID, url: str = ADDRESS, key: str = KEY) -> str | None:
    headers = {"x-square-hmacsha256-signature": signature, URL: url}
    return verify("generic", body=body, headers=headers, secrets=[key], now_s=0, settings=PRESET)


def signed(body: bytes, url: str = ADDRESS) -> str:
    return base64.b64encode(hmac.digest(KEY.encode(), url.encode() + body, hashlib.sha256)).decode()


def test_the_notification_in_the_tests_of_square_s_own_sdk_passes() -> None:
    body = (
        b'{"merchant_id":"MLEFBHHSJGVHD","type":"webhooks.test_notification","event_id":"ac3ac95b-f97d-458c-a6e6-18981597e05f",'
        b'"created_at":"2022-07-13T20:30:59.037339943Z","data":{"type":"webhooks","id":"bc368e64-01aa-407e-b46e-3231809b1129"}}'
    )
    shown, url = (
        "GF4YkrJgGBDZ9NIYbNXBnMzqb2HoL4RW/S6vkZ9/2N4=",
        "https://webhook.site/679a4f3a-dcfa-49ee-bac5-9d0edad886b9",
    )
    assert verdict(shown, body, url) is None
    assert verdict(shown, body, f"{url}/") == "wrong_signature"
    assert verdict(shown, body + b" ", url) == "wrong_signature"
    assert read(body).ignored == "ignored_by_rule"


def test_the_signature_covers_the_address_and_every_byte_under_the_key() -> None:
    right = signed(PAID)
    assert verdict(right) is None
    assert verdict(right, PAID.replace(b"5000", b"5001")) == "wrong_signature"
    assert verdict(right, url="http://ariane.example/in/hook_1") == "wrong_signature"
    assert verdict(right, key="another-long-key") == "wrong_signature"
    assert verdict(signed(PAID, url="")) == "wrong_signature"
    assert verdict("") == "missing_signature"
