"""A brand that sells through every checkout at once: one order at each, told by pixel, webhook and server call, refunded, cancelled, disputed.

Every fact has its own time of receipt, so that what the orders come to does not depend on when the test gave it. LIFE is all of it, in the order
in which it would really come; what it must come to is in tests/intake/test_every_checkout.py.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app import clock
from app.domain import ids
from app.platforms.kit.trial import TrialRequest
from demo.simulator import DOCUMENTS
from tests.checkouts.signing import CHECKOUTS, Checkout
from tests.platforms import stripe_life as stripe
from tests.platforms.test_prestashop import MESSAGE, SLIP

NOON = clock.now().replace(microsecond=0) - timedelta(hours=6)
SHOPPER, OTHER = "bob@example.com", "eve@example.com"
CLICKS = {name: ids.floor_at(NOON - timedelta(hours=h)) for name, h in (("lea", 2), ("max", 1))}
Json = dict[str, Any]


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def clicked(name: str) -> str:
    """The click, as it stands in a cart."""
    return ids.show("click", CLICKS[name])


@dataclass(frozen=True, slots=True)
class Hook:
    """A signed delivery of a checkout. minute: of its receipt, after NOON."""

    name: str
    checkout: Checkout
    sent: TrialRequest
    minute: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A hit of the pixel or beacon."""

    name: str
    door: str
    body: bytes
    minute: float


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the brand's server. It is received when the test makes it, so it says its own times."""

    name: str
    path: str
    body: Json


@dataclass(frozen=True, slots=True)
class Click:
    """A click that the drain brings in. name: in CLICKS."""

    name: str


Fact = Hook | Hit | Call | Click


def _hook(checkout: str, name: str, minute: float, document: Json, **headers: str) -> Hook:
    spoken = CHECKOUTS[checkout]
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Hook(f"{checkout} {name}", spoken, spoken.posts(document, at(minute), named), minute)


def _ordered(name: str, order_id: str, minute: float, **fields: Any) -> Call:
    body = {"order_id": order_id, "occurred_at": at(minute).isoformat(), "currency": "EUR", **fields}
    return Call(f"{name} by server", "/v1/conversions", body)


def _refunded(name: str, order_id: str, refund_id: str, minute: float, **fields: Any) -> Call:
    body = {
        "order_id": order_id,
        "refund_id": refund_id,
        "occurred_at": at(minute).isoformat(),
        "currency": "EUR",
        **fields,
    }
    return Call(f"{name} by server", "/v1/refunds", body)


# ── Shopify: 100.03 less 10.00; 30.01 and 5.00 back, then cancelled ──────────────────────────────────────────────────


def _shopify() -> Iterator[Fact]:
    line = {"id": 1, "price": "100.03", "quantity": 1, "discount_allocations": [{"amount": "10.00"}], "tax_lines": []}
    order = {
        "id": 8_000_001, "name": "#S1001", "checkout_token": "tok-s1", "currency": "EUR", "created_at": at(0).isoformat(), "line_items": [line],
        "subtotal_price": "90.03", "total_tax": "0.00", "total_price": "90.03", "taxes_included": False, "discount_codes": [{"code": "max5"}],
        "customer": {"id": 77, "email": SHOPPER},
    }  # fmt: skip
    first = {
        "id": 91, "order_id": 8_000_001, "created_at": at(10).isoformat(), "order_adjustments": [], "transactions": [],
        "refund_line_items": [{"line_item_id": 1, "quantity": 1, "subtotal": "30.01", "total_tax": "0.00", "line_item": line}],
    }  # fmt: skip
    paid_back = {"kind": "refund", "status": "success", "amount": "5.00", "currency": "EUR"}
    second = {
        "id": 92,
        "order_id": 8_000_001,
        "created_at": at(20).isoformat(),
        "refund_line_items": [],
        "transactions": [paid_back],
    }

    def told(name: str, minute: float, **fields: Any) -> Hook:
        stated = order | {"updated_at": at(minute).isoformat(), **fields}
        return _hook("shopify", name, minute, stated, X_Shopify_Topic=f"orders/{name}", X_Shopify_Event_Id=f"s-{name}")

    def gave_back(name: str, minute: float, refund: Json) -> Hook:
        return _hook("shopify", name, minute, refund, X_Shopify_Topic="refunds/create", X_Shopify_Event_Id=name)

    yield Hit(
        "shopify pixel",
        "pixel",
        f"checkout_token=tok-s1&amount=90.03&tax=0&shipping=0&currency=EUR&click_id={clicked('lea')}".encode(),
        0.1,
    )
    yield told("create", 0.2, financial_status="pending")
    yield told("paid", 1, financial_status="paid")
    yield _ordered("shopify", "#S1001", 0, codes=["MAX5"], net_minor=9_003)
    yield gave_back("refund", 10, first)
    yield told("updated", 11, financial_status="partially_refunded", refunds=[first])
    yield _refunded("shopify refund", "8000001", "91", 12, amount_minor=3_001)
    yield gave_back("refund 2", 20, second)
    yield told("cancelled", 40, financial_status="refunded", refunds=[first, second], cancelled_at=at(40).isoformat())


# ── WooCommerce: 25.00 with 5.00 of tax and 6.00 of shipping; 12.00 and 6.00 back, cancelled, deleted, restored; ─────
# deleted and restored again, which is told the other way round; deleted, restored, which is never told, and changed.


def _woocommerce() -> Iterator[Fact]:
    refunds = [{"id": 902, "total": "-6.00"}, {"id": 901, "total": "-12.00"}]

    def told(event: str, minute: float, status: str, *refunds: Json) -> Hook:
        order = {
            "id": 5_001, "number": "5001", "order_key": "wc_order_k1", "status": status, "currency": "EUR", "total_tax": "5.00", "shipping_total": "6.00",
            "date_created_gmt": f"{at(0):%Y-%m-%dT%H:%M:%S}", "date_modified_gmt": f"{at(minute):%Y-%m-%dT%H:%M:%S}", "customer_id": 0,
            "date_paid_gmt": None if status == "pending" else f"{at(1):%Y-%m-%dT%H:%M:%S}", "billing": {"email": SHOPPER},
            "line_items": [{"id": 1, "quantity": 1, "subtotal": "25.00", "total": "25.00", "total_tax": "5.00"}], "refunds": list(refunds),
            "coupon_lines": [{"id": 2, "code": "max5"}],
        }  # fmt: skip
        name = f"{event} {minute} {status}"
        return _hook(
            "woocommerce", name, minute, order, X_WC_Webhook_Topic=f"order.{event}", X_WC_Webhook_Delivery_ID=name
        )

    def trashed(minute: float) -> Hook:
        name = f"deleted {minute}"
        sent = {"X_WC_Webhook_Topic": "order.deleted", "X_WC_Webhook_Delivery_ID": name}
        return _hook("woocommerce", name, minute, {"id": 5_001}, **sent)

    yield told("created", 0, "pending")
    yield Hit(
        "woocommerce beacon",
        "beacon",
        json.dumps(
            {"order_id": "wc_order_k1", "amount": "36.00", "tax": "5.00", "shipping": "6.00", "visitor_id": "v1"}
        ).encode(),
        0.5,
    )
    yield told("updated", 1, "processing")
    # Another amount than the shop's: shown and flagged, never taken.
    yield _ordered("woocommerce", "5001", 0, net_minor=2_400, customer={"email": SHOPPER})
    yield told("updated", 5, "processing", *refunds[1:])
    yield told("updated", 6, "completed", *refunds)
    yield told("updated", 7, "cancelled", *refunds)
    yield trashed(8)
    yield told("restored", 9, "completed", *refunds)
    yield told("restored", 11, "completed", *refunds)
    yield trashed(11.5)
    yield trashed(14)
    yield told("updated", 16, "completed", *refunds)


# ── Stripe: 40.00 with 9.99 of tax; 10.00 and 5.00 back, 0.01 in vain, disputed and won ─────────────────────────────


def _stripe() -> Iterator[Fact]:
    def told(name: str, minute: float, event: Json) -> Hook:
        event = event | {
            "created": int(at(minute).timestamp()),
            "livemode": True,
            "id": f"evt_{name.replace(' ', '_')}",
        }
        return _hook("stripe", name, minute, event)

    def seconds(minute: float) -> int:
        return int(at(minute).timestamp())

    money: Json = {"amount_subtotal": 4_000, "amount_total": 4_999, "total_details": stripe.totals(0, 999, 0)}
    yield Hit("stripe pixel", "pixel", f"order_id=W-77&amount=49.99&currency=EUR&customer={SHOPPER}".encode(), 0.2)
    yield told(
        "session",
        0,
        stripe.session(
            **money,
            invoice="in_1",
            metadata={"order_id": "W-77"},
            client_reference_id=clicked("max"),
            customer=None,
            discounts=[],
        ),
    )
    yield told(
        "invoice",
        0.5,
        stripe.invoice(
            id="in_1",
            currency="eur",
            total=4_999,
            total_excluding_tax=4_000,
            amount_shipping=0,
            customer=None,
            customer_email=None,
            discounts=[],
        ),
    )
    yield told(
        "which paid",
        0.6,
        stripe.event(
            "invoice_payment.paid",
            {"invoice": "in_1", "payment": {"type": "payment_intent", "payment_intent": "pi_123"}},
        ),
    )
    yield told(
        "intent",
        0.7,
        stripe.intent(id="pi_123", currency="eur", amount_received=4_999, metadata={"code": "MAX5"}, customer=None),
    )
    yield _ordered("stripe", "W-77", 0, visitor_id="v1")
    yield told("refund", 15, stripe.refund("re_1", 1_000, at_s=seconds(15)))
    yield told("refund again", 15.1, stripe.refund("re_1", 1_000, "refund.updated", at_s=seconds(15)))
    yield told("sum", 15.2, stripe.charge_refunded(1_000))
    yield told("refund 2", 30, stripe.refund("re_2", 500, at_s=seconds(30)))
    yield told("sum 2", 30.1, stripe.charge_refunded(1_500))
    yield told("refund 3", 35, stripe.refund("re_3", 1, at_s=seconds(35)))
    yield told("sum 3", 35.1, stripe.charge_refunded(1_501))
    yield told("refund 3 failed", 36, stripe.refund("re_3", 1, "refund.failed", status="failed", at_s=seconds(35)))
    yield told("dispute", 50, stripe.dispute("needs_response", "created", 4_999))
    yield told("dispute won", 60, stripe.dispute("won", "closed", 4_999))


# ── A checkout of our own words: 50.00 corrected to 45.00; 15.00 back, charged back, reversed ────────────────────────


def _generic() -> Iterator[Fact]:
    def told(name: str, minute: float, **fields: Any) -> Hook:
        body = {"order_id": "G-1", "currency": "EUR", "updated_at": at(minute).isoformat(), **fields}
        return _hook("generic", name, minute, body)

    order = {"type": "conversion", "occurred_at": at(0).isoformat(), "customer": {"email": OTHER}}
    yield told("order", 0.1, **order, net_minor=5_000, codes=["MAX5"])
    yield told("corrected", 3, **order, net_minor=4_500, items_minor=4_800, discount_minor=300)
    yield Hit("generic pixel", "pixel", f"order_id=%23G-1&amount=51&code=FAKE&click_id={clicked('lea')}".encode(), 0.3)
    yield _ordered("generic", "G-1", 0, net_minor=4_500)
    yield told("refund", 10, type="refund", refund_id="r1", amount_minor=1_500, occurred_at=at(10).isoformat())
    yield _refunded("generic refund", "G-1", "r1", 10, amount_minor=1_400)
    yield told("chargeback", 20, refund_id="cb", type="refund", amount_minor=700, occurred_at=at(20).isoformat())
    yield _refunded("generic chargeback", "G-1", "cb2", 25, type="chargeback", full=True)
    yield _refunded("generic reversal", "G-1", "rv", 30, type="reversal", reverses="cb2", full=True)


# ── Paddle: 100.00 less 10.00; 40.50 back, 20.00 charged back and given back ─────────────────────────────────────────


def _paddle() -> Iterator[Fact]:
    bought = json.loads((DOCUMENTS / "paddle_transaction_completed.json").read_text())
    back = json.loads((DOCUMENTS / "paddle_adjustment_updated.json").read_text())

    def told(name: str, minute: float, event: Json, kind: str, since: float = 0, **fields: Any) -> Hook:
        times = {"created_at": at(since).isoformat(), "updated_at": at(minute).isoformat()}
        data = {**event["data"], **times, **fields}
        return _hook(
            "paddle", name, minute, {**event, "event_type": kind, "occurred_at": at(minute).isoformat(), "data": data}
        )

    own = {"ariane": clicked("max"), "order_id": "W-1001"}
    sold: Json = {"billed_at": at(0.1).isoformat(), "custom_data": own}
    yield told("completed", 0.2, bought, "transaction.completed", **sold)
    yield told("revised", 2, bought, "transaction.revised", **sold, customer_id="ctm_new")
    yield _ordered("paddle", "W-1001", 0.1, customer={"email": OTHER})
    yield told("asked", 10, back, "adjustment.created", 10, status="pending_approval")
    yield told("refund", 12, back, "adjustment.updated", 10)
    taken = {
        "id": "adj_cb",
        "action": "chargeback",
        "totals": {"subtotal": "2000", "tax": "400", "total": "2400"},
        "items": [],
    }
    given = taken | {"id": "adj_rv", "action": "chargeback_reverse"}
    yield told("chargeback", 20, back, "adjustment.created", 20, **taken)
    yield told("chargeback reversed", 30, back, "adjustment.updated", 20, **taken | {"status": "reversed"})
    yield told("reversal", 30.1, back, "adjustment.created", 30, **given)


# ── PrestaShop: 100.00 less 10.00; 25.00 back, cancelled, live again ─────────────────────────────────────────────────


def _prestashop() -> Iterator[Fact]:
    def told(event: str, minute: float, *slips: Json, **order: Any) -> Hook:
        fields = {**MESSAGE["order"], "date_add": at(0).isoformat(), **order}
        document = {
            **MESSAGE, "event": event, "sent_at": at(minute).isoformat(), "order": fields, "order_slip": list(slips), "order_cart_rule": [],
            "ariane": clicked("lea"),
        }  # fmt: skip
        return _hook("prestashop", f"{event} {minute}", minute, document)

    slip = {**SLIP, "date_add": at(10).isoformat(), "date_upd": at(10).isoformat()}
    yield told("order", 0.1, valid=False)
    yield told("status", 1)
    yield told("slip", 10, slip)
    yield told("status", 20, slip, cancelled=True)
    yield told("status", 30, slip, cancelled=False)
    yield _refunded("prestashop refund", "42", "s9", 11, amount_minor=100)


# ── Postbacks: 49.90; 5.00 back, rejected, approved ──────────────────────────────────────────────────────────────────


def _postback() -> Iterator[Fact]:
    spoken = CHECKOUTS["postback"]

    def told(name: str, minute: float, query: str) -> Hook:
        return Hook(
            f"postback {name}",
            spoken,
            spoken.sends(b"", at(minute), query=f"order_id=P-1&currency=EUR&{query}"),
            minute,
        )

    sold = f"amount=49.90&occurred_at={int(at(0).timestamp())}&customer={SHOPPER}"
    yield told("pending", 0.1, f"{sold}&status=pending&code=MAX5")
    yield told("approved", 5, f"{sold}&status=approved")
    yield told("refund", 10, f"refund_id=r1&amount=5.00&occurred_at={int(at(10).timestamp())}")
    yield told("rejected", 20, "status=rejected")
    yield told("approved again", 30, f"{sold}&status=confirmed")
    yield _ordered("postback", "P-1", 0, net_minor=4_990, click_id=clicked("max"))


# ── Small orders: told twice without a date; in another currency; weak; a test ───────────────────────────────────────


def _others() -> Iterator[Fact]:
    for minute, delivery in ((3, "one"), (5, "two")):
        # The shop's second delivery of one message: the order is of the day of whichever was received first.
        undated = {"order_id": "G-2", "net_minor": 1_001, "codes": ["MAX5"], "customer": {"email": OTHER}}
        yield _hook("generic", f"undated {delivery}", minute, undated, X_Ariane_Delivery=delivery)
        back = {"order_id": "G-2", "type": "refund", "refund_id": "r", "amount_minor": 1}
        yield _hook("generic", f"undated refund {delivery}", minute + 1, back, X_Ariane_Delivery=f"r-{delivery}")
        yield Hit(
            f"undated pixel {delivery}",
            "pixel",
            f"order_id=G-2&amount=9.99&click_id={clicked('lea')}".encode(),
            minute - 1,
        )
    dollars = {
        "order_id": "D-1",
        "net_minor": 3_333,
        "currency": "USD",
        "occurred_at": at(0).isoformat(),
        "test": False,
    }
    yield _hook("standard", "dollars", 0.1, dollars)
    yield Hit(
        "dollars beacon",
        "beacon",
        json.dumps({"order_id": "D-1", "amount": "31.00", "currency": "EUR", "code": "MAX5"}).encode(),
        0.2,
    )
    yield _refunded("euros back", "D-1", "e1", 10, amount_minor=500)
    yield _refunded("dollars back", "D-1", "u1", 11, amount_minor=333, currency="USD")
    yield _hook(
        "standard",
        "test",
        1,
        {"order_id": "T-1", "net_minor": 9_999, "codes": ["MAX5"], "test": True, "occurred_at": at(1).isoformat()},
    )
    yield _ordered("test order", "T-1", 1, net_minor=9_999)
    awin, everflow = CHECKOUTS["awin"], CHECKOUTS["everflow"]
    for name, minute, query in (
        ("parts", 0.1, "parts=DEFAULT:40.00|SALE:4.90&cr=EUR&vc=MAX5&status=pending"),
        ("rejected", 20, "status=declined"),
    ):
        yield Hook(
            f"awin {name}",
            awin,
            awin.sends(b"", at(minute), query=f"ref=A-1&occurred_at={int(at(0).timestamp())}&{query}"),
            minute,
        )
    weak = f"transaction_id={clicked('max')}&event_id=7&occurred_at={int(at(0).timestamp())}"
    yield Hook("everflow weak", everflow, everflow.sends(b"", at(0.1), query=f"{weak}&amount=20.00"), 0.1)
    yield Hook("everflow weak again", everflow, everflow.sends(b"", at(2), query=f"{weak}&amount=21.00"), 2)
    yield Hook("everflow refund", everflow, everflow.sends(b"", at(9), query=f"{weak}&refund_id=f1&amount=1.00"), 9)


LIFE: tuple[Fact, ...] = (
    *(Click(name) for name in CLICKS),
    Hit("landing", "beacon", f"event=land&visitor_id=v1&click_id={clicked('max')}".encode(), -50),
    *_shopify(),
    *_woocommerce(),
    *_stripe(),
    *_generic(),
    *_paddle(),
    *_prestashop(),
    *_postback(),
    *_others(),
)
NAMES = tuple(fact.name for fact in LIFE)
BY_NAME = dict(zip(NAMES, LIFE, strict=True))
