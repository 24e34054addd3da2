"""Polar, a preset of the generic source. Its events: https://polar.sh/docs/integrate/webhooks/events

Goal: a signature passes exactly where Polar's own SDK lets it pass, and an event is the order or the refund that Polar's documentation says it is.
"""

import base64
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from app.domain.orders import Context, OrderReport, Parsed, RefundReport, version_at
from app.platforms.generic.webhook import parse
from app.platforms.signing import verify
from demo.simulator import DOCUMENTS

PAID = (DOCUMENTS / "polar_order_paid.json").read_bytes()
REFUNDED = (DOCUMENTS / "polar_refund_created.json").read_bytes()
PRESET = {"preset": "polar"}
CONTEXT = Context(
    received_at=datetime(2026, 11, 25, tzinfo=UTC),
    currency="USD",
    customer_key=lambda number, email: f"{number}/{email}",
    settings=PRESET,
)


def read(body: bytes) -> Parsed:
    return parse(body, {"content-type": "application/json"}, CONTEXT)


def changed(body: bytes, kind: str = "", **fields: Any) -> bytes:
    """The event with other fields in its `data`, and perhaps another type."""
    whole = json.loads(body)
    return json.dumps({**whole, "type": kind or whole["type"], "data": {**whole["data"], **fields}}).encode()


def order_of(body: bytes) -> OrderReport:
    parsed = read(body)
    assert parsed.rejected is None, parsed
    [order] = parsed.reports
    return order


def refund_of(body: bytes) -> RefundReport:
    [refund] = order_of(body).refunds
    return refund


# ── order.* ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_paid_order_is_its_net_amount_after_the_discount_and_before_tax() -> None:
    order = order_of(PAID)
    assert (order.order_id, order.refs) == (
        "57107b74-8400-4d80-a2fc-54c2b4239cb3",
        ("57107b74-8400-4d80-a2fc-54c2b4239cb3", "W-1001"),
    )
    assert order.proofs == ("c1f3a5b7-9d2e-4c6f-8a1b-3e5d7f9a0c2b",)
    assert (order.currency, order.items_minor, order.discount_minor, order.tax_minor) == ("EUR", 10_000, 1_000, 1_800)
    assert (order.net_minor, order.paid, order.test, order.estimated) == (9_000, True, False, False)
    assert order.occurred_at == datetime(2026, 11, 21, 18, 0, 27, 877_041, tzinfo=UTC)
    assert order.version == version_at(datetime(2026, 11, 21, 18, 0, 29, 104_000, tzinfo=UTC))
    assert (order.codes, order.click_ids) == (("LEA10",), ("clk_01kaz8h0000000000000000000",))
    assert order.customer.key == "992fae2a-2a17-4b7a-8d9e-e287cf90131b/bob@example.com"
    assert [(each.name, each.net_minor) for each in order.lines] == [("Course", None)]
    assert [(each.kind, each.amount_minor) for each in order.refunds] == [("cancellation", 0)]


def test_a_discount_without_a_code_is_named_by_its_id() -> None:
    whole = json.loads(PAID)["data"]
    assert order_of(changed(PAID, discount={**whole["discount"], "code": None})).codes == (whole["discount_id"],)
    assert order_of(changed(PAID, discount=None, discount_id=None)).codes == ()


@pytest.mark.parametrize(
    ("kind", "status", "paid"),
    [
        ("order.created", "pending", False),
        ("order.updated", "paid", True),
        ("order.refunded", "partially_refunded", True),
        ("order.updated", "refunded", True),
    ],
)
def test_whichever_event_tells_of_an_order_it_is_the_same_order(kind: str, status: str, paid: bool) -> None:
    order = order_of(changed(PAID, kind, status=status, paid=paid, refunded_amount=4_050))
    assert (order.order_id, order.net_minor, order.paid) == ("57107b74-8400-4d80-a2fc-54c2b4239cb3", 9_000, paid)
    # What was refunded so far stands in the order, and each refund has an event of its own: it is counted once.
    assert [(each.kind, each.amount_minor) for each in order.refunds] == [("cancellation", 0)]


@pytest.mark.parametrize(
    ("reason", "origin"),
    [
        ("purchase", None),
        ("subscription_create", "first"),
        ("subscription_cycle", "renewal"),
        ("subscription_update", "renewal"),
        ("subscription_meter_cycle", "renewal"),
    ],
)
def test_the_billing_reason_tells_a_first_order_from_a_renewal(reason: str, origin: str | None) -> None:
    assert order_of(changed(PAID, billing_reason=reason)).origin == origin


def test_a_void_order_is_cancelled() -> None:
    [cancelled] = order_of(changed(PAID, "order.updated", status="void", paid=False)).refunds
    assert (cancelled.kind, cancelled.full) == ("cancellation", True)


@pytest.mark.parametrize(
    ("kind", "status"), [("order.created", "draft"), ("checkout.updated", "succeeded"), ("subscription.active", "paid")]
)
def test_a_draft_a_checkout_and_a_subscription_are_no_order(kind: str, status: str) -> None:
    assert read(changed(PAID, kind, status=status)).ignored == "ignored_by_rule"


# ── refund.* ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["refund.created", "refund.updated"])
def test_a_refund_that_succeeded_takes_its_amount_which_is_before_tax(kind: str) -> None:
    refund = refund_of(changed(REFUNDED, kind))
    assert order_of(REFUNDED).refs == ("57107b74-8400-4d80-a2fc-54c2b4239cb3",)
    assert (refund.refund_id, refund.kind, refund.amount_minor, refund.currency) == (
        "7d9f1b3a-5c7e-4d9f-8b1a-3c5e7f9b1d3a",
        "refund",
        4_050,
        "EUR",
    )
    assert not refund.is_gross
    assert refund.occurred_at == datetime(2026, 11, 24, 8, 50, 10, 500_000, tzinfo=UTC)
    assert refund.version == version_at(datetime(2026, 11, 24, 8, 50, 12, 400_000, tzinfo=UTC))


def test_a_refund_that_is_pending_takes_nothing_and_one_that_failed_comes_to_nothing() -> None:
    assert read(changed(REFUNDED, status="pending")).ignored == "ignored_by_rule"
    assert read(changed(REFUNDED, status="failed")).ignored == "ignored_by_rule"
    for status in ("failed", "canceled"):
        assert refund_of(changed(REFUNDED, "refund.updated", status=status)).amount_minor == 0


# ── What cannot be read ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"id": None}, "order_id: /data/id is null"),
        ({"currency": None}, "currency: /data/currency is null"),
        ({"net_amount": 90.5}, "/data/net_amount is 90.5"),
        ({"created_at": "yesterday"}, '/data/created_at is "yesterday": a time is expected'),
    ],
)
def test_what_cannot_be_meant_is_rejected_with_its_place(fields: dict[str, Any], names: str) -> None:
    parsed = read(changed(PAID, **fields))
    assert parsed.reports == ()
    assert names in (parsed.detail or "")


# ── The signature, beside Polar's own SDK ────────────────────────────────────────────────────────────────────────────

NOW_S = 1_795_000_000
KEY, CODED, OTHER = "polar_whs_a1b2c3d4e5f6", "whsec_c2VjcmV0LW9mLXBvbGFy", "polar_whs_another1"


def signed(key: bytes, body: bytes = PAID, at_s: int = NOW_S, version: str = "v1") -> dict[str, str]:
    digest = base64.b64encode(hmac.digest(key, f"msg_1.{at_s}.".encode() + body, "sha256")).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": str(at_s), "webhook-signature": f"{version},{digest}"}


GOOD = signed(KEY.encode())
SENT: dict[str, tuple[str, dict[str, str], bytes]] = {
    "signed with the secret as it is shown": (KEY, GOOD, PAID),
    "a refund": (KEY, signed(KEY.encode(), REFUNDED), REFUNDED),
    "signed with a whsec_ as it is shown": (CODED, signed(CODED.encode()), PAID),
    "signed with the bytes behind the whsec_": (CODED, signed(b"secret-of-polar"), PAID),
    "the second of two signatures": (KEY, GOOD | {"webhook-signature": "v1,AAAA " + GOOD["webhook-signature"]}, PAID),
    "another secret": (OTHER, GOOD, PAID),
    "another body": (KEY, GOOD, PAID.replace(b"9000", b"9001")),
    "another id": (KEY, GOOD | {"webhook-id": "msg_2"}, PAID),
    "another time": (KEY, GOOD | {"webhook-timestamp": str(NOW_S + 1)}, PAID),
    "another version": (KEY, signed(KEY.encode(), version="v2"), PAID),
    "no signature": (KEY, {name: GOOD[name] for name in ("webhook-id", "webhook-timestamp")}, PAID),
    "no id": (KEY, {name: GOOD[name] for name in ("webhook-timestamp", "webhook-signature")}, PAID),
    "five minutes old": (KEY, signed(KEY.encode(), at_s=NOW_S - 300), PAID),
    "older than five minutes": (KEY, signed(KEY.encode(), at_s=NOW_S - 301), PAID),
    "younger than five minutes": (KEY, signed(KEY.encode(), at_s=NOW_S + 301), PAID),
    "no base64": (KEY, GOOD | {"webhook-signature": "v1,%%%"}, PAID),
}


@pytest.mark.parametrize("name", SENT)
def test_a_signature_passes_exactly_where_polar_s_sdk_lets_it_pass(name: str) -> None:
    # A second of the processor to import: a process that only collects this file does not pay it.
    from polar.v2026_10.webhooks import PolarWebhookVerificationError, validate_event

    secret, headers, body = SENT[name]
    with time_machine.travel(datetime.fromtimestamp(NOW_S, UTC), tick=False):
        try:
            validate_event(body, headers, secret)
        except PolarWebhookVerificationError:
            passes = False
        else:
            passes = True
    word = verify("generic", body=body, headers=headers, secrets=[secret], now_s=NOW_S, settings=PRESET)
    assert (word is None) is passes, word
