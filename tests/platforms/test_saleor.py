"""Saleor, a preset of the generic source. Its webhooks: https://docs.saleor.io/developer/extending/webhooks

Goal: what the subscription query on docs/connect/saleor.md asks for is the order as the shop sees it, whichever event sends it, and a message that was
signed otherwise is refused.
"""

import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.domain.folding import fold
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
from app.platforms.generic import mapping
from app.platforms.generic.webhook import parse
from app.platforms.presets import PRESETS
from app.platforms.signing import verify
from demo.simulator import DOCUMENTS

PAID = (DOCUMENTS / "saleor_order_paid.json").read_bytes()
PAGE = (Path(__file__).parents[2] / "docs" / "connect" / "saleor.md").read_text()
ID = "T3JkZXI6YzhmY2FjMTgtMWQ5Yy00NWRkLTgxMGYtMGIzMTJiYTNjZDYz"
PRESET = {"preset": "saleor"}
CONTEXT = Context(
    received_at=datetime(2026, 11, 25, tzinfo=UTC),
    currency="USD",
    customer_key=lambda number, email: f"{number}/{email}",
    settings=PRESET,
)
SECRET = "a-long-random-secret"


def message(issued_at: str = "2026-11-21T18:00:29.104000+00:00", **fields: Any) -> bytes:
    whole = json.loads(PAID)
    return json.dumps({"issuedAt": issued_at, "order": {**whole["order"], **fields}}).encode()


def read(body: bytes, event: str = "order_paid") -> Parsed:
    return parse(body, {"content-type": "application/json", "saleor-event": event}, CONTEXT)


def order_of(body: bytes) -> OrderReport:
    parsed = read(body)
    assert parsed.rejected is None, parsed
    [order] = parsed.reports
    return order


def taken_back(body: bytes) -> list[RefundReport]:
    return [each for each in order_of(body).refunds if each.kind == "cancellation"]


def test_an_order_is_its_lines_after_discounts_before_tax_and_shipping() -> None:
    assert read(PAID).topic == "order_paid"
    order = order_of(PAID)
    assert (order.order_id, order.refs, order.proofs, order.system) == (ID, (ID, "1042"), (ID,), "saleor")
    assert (order.currency, order.net_minor, order.tax_minor, order.shipping_minor) == ("EUR", 9_000, 1_898, 490)
    assert (order.paid, order.test, order.estimated) == (True, False, False)
    assert order.occurred_at == datetime(2026, 11, 21, 18, 0, 27, 877_041, tzinfo=UTC)
    assert order.version == version_at(datetime(2026, 11, 21, 18, 0, 29, 104_000, tzinfo=UTC))
    assert (order.codes, order.click_ids) == (("LEA10",), ("clk_01kaz8h0000000000000000000",))
    assert order.customer.key == "VXNlcjo3/bob@example.com"
    assert [(each.sku, each.quantity, each.net_minor) for each in order.lines] == [
        ("SERUM-30", 2, 8_100),
        ("CREAM-50", 1, 900),
    ]
    assert {(each.kind, each.amount_minor) for each in order.refunds} == {("cancellation", 0), ("refund", 0)}


def test_what_was_refunded_so_far_is_one_refund_with_tax_in_it() -> None:
    """54.00 of 108.00 for the goods is half of their 90.00; all that was paid is all of it."""
    witness = Witness(order_of(PAID), TRUST_WEBHOOK, b"1", CONTEXT.received_at)
    for refunded, net in ((54.0, 4_500), (113.88, 9_000)):
        told = order_of(message("2026-11-24T09:00:00+00:00", totalRefunded={"amount": refunded}))
        taken = [each for each in told.refunds if each.kind == "refund"]
        assert [each.refund_id for each in taken] == ["refunded"]
        facts = [Adjustment(each, TRUST_WEBHOOK, b"2", CONTEXT.received_at) for each in taken]
        order = fold([witness], facts)
        assert (order.refunded_minor, order.flags) == (net, ())


def test_a_guest_without_a_voucher_is_an_order_too() -> None:
    order = order_of(message(user=None, voucherCode=None, ariane=None))
    assert (order.codes, order.click_ids, order.customer.key) == ((), (), "None/bob@example.com")


@pytest.mark.parametrize("status", ["UNCONFIRMED", "UNFULFILLED", "PARTIALLY_FULFILLED", "FULFILLED", "RETURNED"])
def test_whatever_its_status_it_is_paid_when_saleor_says_so(status: str) -> None:
    for paid in (True, False):
        order = order_of(message(status=status, isPaid=paid))
        assert (order.paid, order.net_minor) == (paid, 9_000)


@pytest.mark.parametrize("status", ["CANCELED", "EXPIRED"])
def test_a_cancelled_or_expired_order_is_taken_back_and_a_later_message_gives_it_again(status: str) -> None:
    [cancelled] = taken_back(message(status=status))
    assert (cancelled.kind, cancelled.full) == ("cancellation", True)
    [lifted] = taken_back(message("2026-11-21T19:00:00+00:00"))
    assert (lifted.amount_minor, lifted.version > cancelled.version) == (0, True)


def test_a_draft_and_a_message_without_an_order_are_no_order() -> None:
    assert read(message(status="DRAFT"), "draft_order_created").ignored == "ignored_by_rule"
    assert read(b'{"issuedAt": "2026-11-21T18:00:29+00:00"}').ignored == "ignored_by_rule"


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"id": None}, "order_id: /order/id is null"),
        ({"total": None}, "currency: nothing stands at /order/total/currency"),
        ({"subtotal": {"net": {"amount": "a lot"}}}, '/order/subtotal/net/amount is "a lot"'),
    ],
)
def test_what_cannot_be_meant_is_rejected_with_its_place(fields: dict[str, Any], names: str) -> None:
    parsed = read(message(**fields))
    assert parsed.reports == ()
    assert names in (parsed.detail or "")


def test_the_query_of_the_page_asks_for_every_field_that_is_read_and_for_nothing_else() -> None:
    [query] = re.findall(r"```graphql\n(.*?)```", PAGE, flags=re.DOTALL)
    asked = set(re.findall(r"\w+", re.sub(r'\w+\(key: "\w+"\)|\.\.\. on \w+|fragment Sale on Order', "", query)))
    [rule, _] = mapping.read_mapping(PRESETS["saleor"]["mapping"]).rules
    fields = [field for name, field in mapping.given_fields(rule) if name not in ("read", "when", "lines", "refunds")]
    parts = [field for part in (rule.lines, rule.refunds) for _, field in mapping.given_fields(part)]
    places = [place for field in (*fields, *parts) for place in mapping.places(field)]
    read_names = {step for place in places for step in place.split("/") if step not in ("", "*")}
    assert asked - {"subscription", "event", "Sale"} == read_names | {"status"}


# ── Saleor-Signature: hexdigest of HMAC-SHA256 over the body under the webhook's secret key ──────────────────────────


def verdict(headers: dict[str, str], body: bytes = PAID, secret: str = SECRET) -> str | None:
    return verify("generic", body=body, headers=headers, secrets=[secret], now_s=0, settings=PRESET)


def test_the_signature_covers_every_byte_under_the_secret_key() -> None:
    right = {"saleor-signature": hmac.new(SECRET.encode(), PAID, hashlib.sha256).hexdigest()}
    assert verdict(right) is None
    assert verdict(right, PAID.replace(b"90.0", b"90.1")) == "wrong_signature"
    assert verdict(right, secret="another-long-secret") == "wrong_signature"
    assert verdict({}) == "missing_signature"


def test_the_signature_of_a_webhook_without_a_secret_key_is_refused() -> None:
    """A JWS with its payload detached, as jose writes it."""
    detached = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEiLCJiNjQiOmZhbHNlLCJjcml0IjpbImI2NCJdfQ..c2lnbmF0dXJl"
    assert verdict({"saleor-signature": detached}) == "malformed_signature"
