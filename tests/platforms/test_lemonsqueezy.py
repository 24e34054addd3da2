"""Lemon Squeezy, a preset of the generic source. Its webhooks: https://docs.lemonsqueezy.com/help/webhooks

Goal: an order is what it is worth before tax however its prices are told, what was refunded is taken with its own part of the tax, a subscription's
payments are counted once each, and a message that was signed otherwise is refused.
"""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.folding import Order, fold
from app.domain.orders import TRUST_WEBHOOK, Adjustment, Context, OrderReport, Parsed, RefundReport, Witness, version_at
from app.platforms.generic.webhook import parse
from app.platforms.signing import verify
from demo.simulator import DOCUMENTS

CREATED = (DOCUMENTS / "lemonsqueezy_order_created.json").read_bytes()
RENEWED = (DOCUMENTS / "lemonsqueezy_subscription_payment_success.json").read_bytes()
PRESET = {"preset": "lemonsqueezy"}
CONTEXT = Context(
    received_at=datetime(2026, 12, 25, tzinfo=UTC),
    currency="USD",
    customer_key=lambda number, email: f"{number}/{email}",
    settings=PRESET,
)
SECRET = "ls-secret-0123456789"


def read(body: bytes) -> Parsed:
    return parse(body, {"content-type": "application/json"}, CONTEXT)


def changed(body: bytes, event: str = "", **attributes: Any) -> bytes:
    """The message with other attributes, and perhaps as another event."""
    whole = json.loads(body)
    whole["meta"]["event_name"] = event or whole["meta"]["event_name"]
    whole["data"]["attributes"] |= attributes
    return json.dumps(whole).encode()


def refunded(amount: int, day: int = 24, **attributes: Any) -> bytes:
    """order_refunded, with what was paid back so far."""
    told = {"status": "partial_refund", "refunded_amount": amount, "updated_at": f"2026-11-{day}T09:00:00.000000Z"}
    return changed(CREATED, "order_refunded", **(told | attributes))


def order_of(body: bytes) -> OrderReport:
    parsed = read(body)
    assert parsed.rejected is None, parsed
    [order] = parsed.reports
    return order


def refund_of(body: bytes) -> RefundReport:
    [refund] = [each for each in order_of(body).refunds if each.kind == "refund"]
    return refund


def folded(*bodies: bytes) -> Order:
    """The order after these messages."""
    reports = [order_of(body) for body in bodies]
    witnesses = [Witness(each, TRUST_WEBHOOK, bytes([n]), CONTEXT.received_at) for n, each in enumerate(reports)]
    facts = [
        Adjustment(refund, TRUST_WEBHOOK, bytes([n]), CONTEXT.received_at)
        for n, report in enumerate(reports)
        for refund in report.refunds
    ]
    return fold(witnesses, facts)


# ── order_created, order_refunded ────────────────────────────────────────────────────────────────────────────────────


def test_an_order_is_its_total_before_tax() -> None:
    assert read(CREATED).topic == "order_created"
    order = order_of(CREATED)
    assert (order.order_id, order.refs) == ("600001", ("600001", "W-1001"))
    assert order.proofs == ("104e18a2-d755-4d4b-80c4-a6c1dcbe1c10",)
    assert (order.currency, order.net_minor, order.tax_minor, order.shipping_minor) == ("EUR", 9_000, 1_800, 0)
    assert (order.paid, order.test, order.estimated, order.origin) == (True, False, False, None)
    assert order.occurred_at == datetime(2026, 11, 21, 18, 0, 27, tzinfo=UTC)
    assert order.version == version_at(datetime(2026, 11, 21, 18, 0, 28, tzinfo=UTC))
    assert (order.codes, order.click_ids) == (("LEA10",), ("clk_01kaz8h0000000000000000000",))
    assert order.customer.key == "77001/bob@example.com"
    assert {(each.kind, each.amount_minor) for each in order.refunds} == {("refund", 0), ("cancellation", 0)}


def test_prices_that_include_the_tax_and_a_setup_fee_are_counted_before_tax_too() -> None:
    inclusive = changed(CREATED, tax_inclusive=True, tax=1_500, total=9_000)
    assert order_of(inclusive).net_minor == 7_500
    with_setup = changed(CREATED, setup_fee=2_000, tax=2_200, total=13_200)
    assert order_of(with_setup).net_minor == 11_000


@pytest.mark.parametrize(
    ("status", "paid"),
    [("pending", False), ("failed", False), ("paid", True), ("refunded", True), ("partial_refund", True)],
)
def test_an_order_is_paid_unless_its_status_says_otherwise(status: str, paid: bool) -> None:
    assert order_of(changed(CREATED, status=status)).paid is paid


def test_a_fraudulent_order_is_taken_back() -> None:
    [told] = [each for each in order_of(refunded(0, status="fraudulent")).refunds if each.kind == "cancellation"]
    assert told.full


def test_an_order_of_the_test_mode_is_a_test() -> None:
    assert order_of(changed(CREATED, test_mode=True)).test


def test_half_of_what_was_paid_takes_half_of_the_net_and_all_of_it_all_without_a_flag() -> None:
    """54.00 of 108.00 with 18.00 of tax is 45.00; whether refunded_at is stated for a part or not."""
    for refunded_at in (None, "2026-11-24T09:00:00.000000Z"):
        order = folded(CREATED, refunded(5_400, refunded_at=refunded_at))
        assert (order.net_minor, order.refunded_minor, order.flags) == (9_000, 4_500, ())
    whole = refunded(10_800, status="refunded", refunded=True, refunded_at="2026-11-24T09:00:00.000000Z")
    order = folded(CREATED, whole)
    assert (order.refunded_minor, order.flags) == (9_000, ())


def test_what_was_refunded_so_far_grows_and_the_newest_message_counts_in_any_sequence() -> None:
    first, second = refunded(2_700, day=23), refunded(5_400, day=24)
    for bodies in ((CREATED, first, second), (second, first, CREATED), (second,)):
        order = folded(*bodies)
        assert (order.net_minor, order.refunded_minor, order.flags) == (9_000, 4_500, ())


def test_a_refund_happened_when_it_is_said_to_have_or_when_the_order_last_changed() -> None:
    assert refund_of(refunded(5_400)).occurred_at == datetime(2026, 11, 24, 9, tzinfo=UTC)
    told = refunded(5_400, refunded_at="2026-11-23T08:00:00.000000Z")
    assert refund_of(told).occurred_at == datetime(2026, 11, 23, 8, tzinfo=UTC)


def test_an_order_without_custom_data_is_an_order_too() -> None:
    whole = json.loads(CREATED)
    del whole["meta"]["custom_data"]
    order = order_of(json.dumps(whole).encode())
    assert (order.refs, order.codes) == (("600001", "104e18a2-d755-4d4b-80c4-a6c1dcbe1c10"), ())
    assert order.click_ids == ()


# ── subscription_payment_* ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("reason", ["renewal", "updated"])
@pytest.mark.parametrize("event", ["subscription_payment_success", "subscription_payment_recovered"])
def test_a_renewal_is_an_order_of_its_own_under_the_address_of_its_invoice(event: str, reason: str) -> None:
    """The ids of invoices and orders are counted apart: the invoice 600001 is not the order 600001."""
    order = order_of(changed(RENEWED, event, billing_reason=reason))
    assert order.refs == ("https://api.lemonsqueezy.com/v1/subscription-invoices/600001",)
    assert (order.net_minor, order.tax_minor, order.paid, order.origin) == (2_000, 400, True, "renewal")
    assert order.codes == ("LEA10",)


def test_the_first_invoice_is_its_order_told_again() -> None:
    for event in ("subscription_payment_success", "subscription_payment_refunded"):
        assert read(changed(RENEWED, event, billing_reason="initial")).ignored == "ignored_by_rule"


def test_a_renewal_is_refunded_with_its_part_of_the_tax() -> None:
    told = changed(
        RENEWED,
        "subscription_payment_refunded",
        status="partial_refund",
        refunded_amount=1_200,
        updated_at="2026-12-24T09:00:00.000000Z",
    )
    order = folded(RENEWED, told)
    assert (order.net_minor, order.refunded_minor, order.flags) == (2_000, 1_000, ())


@pytest.mark.parametrize("event", ["subscription_created", "subscription_payment_failed", "license_key_created"])
def test_other_events_are_no_order(event: str) -> None:
    assert read(changed(RENEWED, event)).ignored == "ignored_by_rule"


# ── What cannot be read ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"currency": None}, "currency: /data/attributes/currency is null"),
        ({"total": 90.5}, "/data/attributes/total is 90.5"),
        ({"refunded_amount": "a lot"}, 'is "a lot"'),
        ({"created_at": "yesterday"}, '/data/attributes/created_at is "yesterday": a time is expected'),
    ],
)
def test_what_cannot_be_meant_is_rejected_with_its_place(fields: dict[str, Any], names: str) -> None:
    parsed = read(changed(CREATED, **fields))
    assert parsed.reports == ()
    assert names in (parsed.detail or "")


# ── X-Signature: hexdigest of HMAC-SHA256 over the body under the signing secret ─────────────────────────────────────


def verdict(headers: dict[str, str], body: bytes = CREATED, secret: str = SECRET) -> str | None:
    return verify("generic", body=body, headers=headers, secrets=[secret], now_s=0, settings=PRESET)


def test_the_signature_covers_every_byte_under_the_signing_secret() -> None:
    right = {"x-signature": hmac.new(SECRET.encode(), CREATED, hashlib.sha256).hexdigest()}
    assert verdict(right) is None
    assert verdict(right, CREATED.replace(b"10800", b"10801")) == "wrong_signature"
    assert verdict(right, secret="another-long-secret") == "wrong_signature"
    assert verdict({}) == "missing_signature"
