"""A brand that sells through every checkout at once: one order at each, reported by pixel, webhook and server call, refunded, cancelled, disputed.

Every fact has its own time of receipt, so that what the orders come to does not depend on when the test gave it. LIFE is all of it, in the order
in which it would really arrive; what it must come to is in tests/intake/test_every_checkout.py.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app import clock
from app.domain import ids
from demo.simulator import paddle, prestashop, shopify, stripe, woocommerce
from demo.simulator.carts import single_item
from demo.simulator.messages import Json, Message, post, unix_s
from tests.checkouts.signing import CHECKOUTS, Checkout

NOON = clock.now().replace(microsecond=0) - timedelta(hours=6)
SHOPPER, OTHER = "bob@example.com", "eve@example.com"
CLICKS = {name: ids.floor_at(NOON - timedelta(hours=h)) for name, h in (("lea", 2), ("max", 1))}


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def clicked(name: str) -> str:
    """The click id, as it is written in a cart."""
    return ids.show("click", CLICKS[name])


@dataclass(frozen=True, slots=True)
class Hook:
    """A signed delivery of a checkout. minute: of its receipt, after NOON."""

    name: str
    checkout: Checkout
    sent: Message
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
    """A call of the brand's server. It is received when the test makes it, so its body states the times."""

    name: str
    path: str
    body: Json


@dataclass(frozen=True, slots=True)
class Click:
    """A click that the drain records. name: in CLICKS."""

    name: str


Fact = Hook | Hit | Call | Click


def _hook(checkout: str, name: str, minute: float, message: Message) -> Hook:
    sender = CHECKOUTS[checkout]
    return Hook(f"{checkout} {name}", sender, sender.signed(message, at(minute)), minute)


def _postback_hook(checkout: str, name: str, minute: float, query: str) -> Hook:
    return _hook(checkout, name, minute, Message(method="GET", query=query))


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
    cart = single_item(1_001, 10_003, discount_percent=10)
    shopper = {"customer": {"id": 77, "email": SHOPPER}, "email": SHOPPER, "contact_email": SHOPPER}
    own = {"id": 8_000_001, "name": "#S1001", "checkout_token": "tok-s1", **shopper}
    paid_back = {"kind": "refund", "status": "success", "amount": "5.00", "currency": "EUR"}
    first, second = (
        shopify.refund_body(cart, refund_id, 0, at(minute)) | {"order_id": own["id"], "transactions": []}
        for refund_id, minute in ((91, 10), (92, 20))
    )
    [line] = first["refund_line_items"]
    first["refund_line_items"] = [line | {"subtotal": "30.01", "subtotal_set": None}]
    second |= {"refund_line_items": [], "transactions": [paid_back]}

    def order(name: str, minute: float, status: str, *refunds: Json, cancelled_at: datetime | None = None) -> Hook:
        times = {"created_at": at(0), "updated_at": at(minute), "cancelled_at": cancelled_at}
        body = shopify.order_body(cart, status=status, code="max5", **times) | own | {"refunds": list(refunds)}
        return _hook("shopify", name, minute, shopify.message(f"orders/{name}", body, f"s-{name}"))

    def refund(name: str, minute: float, body: Json) -> Hook:
        return _hook("shopify", name, minute, shopify.message("refunds/create", body, name))

    yield Hit(
        "shopify pixel",
        "pixel",
        f"checkout_token=tok-s1&amount=90.03&tax=0&shipping=0&currency=EUR&click_id={clicked('lea')}".encode(),
        0.1,
    )
    yield order("create", 0.2, "pending")
    yield order("paid", 1, "paid")
    yield _ordered("shopify", "#S1001", 0, codes=["MAX5"], net_minor=9_003)
    yield refund("refund", 10, first)
    yield order("updated", 11, "partially_refunded", first)
    yield _refunded("shopify refund", "8000001", "91", 12, amount_minor=3_001)
    yield refund("refund 2", 20, second)
    yield order("cancelled", 40, "refunded", first, second, cancelled_at=at(40))


# ── WooCommerce: 25.00 with 5.00 of tax and 6.00 of shipping; 12.00 and 6.00 back, cancelled, deleted, restored; ─────
# deleted and restored again, received in the wrong order; deleted, restored without a message, and changed.


def _woocommerce() -> Iterator[Fact]:
    cart = single_item(5_001, 2_500, shipping_minor=600, vat_percent=20)
    own = {"id": 5_001, "number": "5001", "order_key": "wc_order_k1", "customer_id": 0, "billing": {"email": SHOPPER}}
    refunds = [{"id": 902, "total": "-6.00"}, {"id": 901, "total": "-12.00"}]

    def order(event: str, minute: float, status: str, *refunds: Json) -> Hook:
        body = woocommerce.order_body(
            cart, created_at=at(0), modified_at=at(minute), status=status, code="max5", refunds=refunds
        )
        paid = {"date_paid_gmt": None if status == "pending" else woocommerce.gmt(at(1))}
        name = f"{event} {minute} {status}"
        return _hook("woocommerce", name, minute, woocommerce.message(event, body | own | paid, name))

    def deleted(minute: float) -> Hook:
        name = f"deleted {minute}"
        return _hook("woocommerce", name, minute, woocommerce.deleted(5_001, name))

    yield order("created", 0, "pending")
    yield Hit(
        "woocommerce beacon",
        "beacon",
        json.dumps(
            {"order_id": "wc_order_k1", "amount": "36.00", "tax": "5.00", "shipping": "6.00", "visitor_id": "v1"}
        ).encode(),
        0.5,
    )
    yield order("updated", 1, "processing")
    # Another amount than the shop's: shown and flagged, never taken.
    yield _ordered("woocommerce", "5001", 0, net_minor=2_400, customer={"email": SHOPPER})
    yield order("updated", 5, "processing", *refunds[1:])
    yield order("updated", 6, "completed", *refunds)
    yield order("updated", 7, "cancelled", *refunds)
    yield deleted(8)
    yield order("restored", 9, "completed", *refunds)
    yield order("restored", 11, "completed", *refunds)
    yield deleted(11.5)
    yield deleted(14)
    yield order("updated", 16, "completed", *refunds)


# ── Stripe: 40.00 with 9.99 of tax; 10.00 and 5.00 back, 0.01 in vain, disputed and won ─────────────────────────────


def _stripe() -> Iterator[Fact]:
    def event(name: str, minute: float, event: Json) -> Hook:
        own = {"created": unix_s(at(minute)), "livemode": True, "id": f"evt_{name.replace(' ', '_')}"}
        return _hook("stripe", name, minute, post(event | own))

    money: Json = {"amount_subtotal": 4_000, "amount_total": 4_999, "total_details": stripe.totals(0, 999, 0)}
    bought: Json = {"client_reference_id": clicked("max"), "customer": None, "discounts": []}
    invoiced: Json = {"total": 4_999, "total_excluding_tax": 4_000, "amount_shipping": 0, "discounts": []}
    payment = {"invoice": "in_1", "payment": {"type": "payment_intent", "payment_intent": "pi_123"}}
    yield Hit("stripe pixel", "pixel", f"order_id=W-77&amount=49.99&currency=EUR&customer={SHOPPER}".encode(), 0.2)
    yield event("session", 0, stripe.session(**money, **bought, invoice="in_1", metadata={"order_id": "W-77"}))
    yield event(
        "invoice", 0.5, stripe.invoice(id="in_1", currency="eur", **invoiced, customer=None, customer_email=None)
    )
    yield event("which paid", 0.6, stripe.event("invoice_payment.paid", payment))
    yield event(
        "intent",
        0.7,
        stripe.intent(id="pi_123", currency="eur", amount_received=4_999, metadata={"code": "MAX5"}, customer=None),
    )
    yield _ordered("stripe", "W-77", 0, visitor_id="v1")
    yield event("refund", 15, stripe.refund("re_1", 1_000, at_s=unix_s(at(15))))
    yield event("refund again", 15.1, stripe.refund("re_1", 1_000, "refund.updated", at_s=unix_s(at(15))))
    yield event("sum", 15.2, stripe.charge_refunded(1_000))
    yield event("refund 2", 30, stripe.refund("re_2", 500, at_s=unix_s(at(30))))
    yield event("sum 2", 30.1, stripe.charge_refunded(1_500))
    yield event("refund 3", 35, stripe.refund("re_3", 1, at_s=unix_s(at(35))))
    yield event("sum 3", 35.1, stripe.charge_refunded(1_501))
    failed = stripe.refund("re_3", 1, "refund.failed", status="failed", at_s=unix_s(at(35)))
    yield event("refund 3 failed", 36, failed)
    yield event("dispute", 50, stripe.dispute("needs_response", "created", 4_999))
    yield event("dispute won", 60, stripe.dispute("won", "closed", 4_999))


# ── A checkout in the API's own words: 50.00 corrected to 45.00; 15.00 back, charged back, reversed ──────────────────


def _generic() -> Iterator[Fact]:
    def report(name: str, minute: float, **fields: Any) -> Hook:
        body = {"order_id": "G-1", "currency": "EUR", "updated_at": at(minute).isoformat(), **fields}
        return _hook("generic", name, minute, post(body))

    order = {"type": "conversion", "occurred_at": at(0).isoformat(), "customer": {"email": OTHER}}
    yield report("order", 0.1, **order, net_minor=5_000, codes=["MAX5"])
    yield report("corrected", 3, **order, net_minor=4_500, items_minor=4_800, discount_minor=300)
    yield Hit("generic pixel", "pixel", f"order_id=%23G-1&amount=51&code=FAKE&click_id={clicked('lea')}".encode(), 0.3)
    yield _ordered("generic", "G-1", 0, net_minor=4_500)
    yield report("refund", 10, type="refund", refund_id="r1", amount_minor=1_500, occurred_at=at(10).isoformat())
    yield _refunded("generic refund", "G-1", "r1", 10, amount_minor=1_400)
    yield report("chargeback", 20, refund_id="cb", type="refund", amount_minor=700, occurred_at=at(20).isoformat())
    yield _refunded("generic chargeback", "G-1", "cb2", 25, type="chargeback", full=True)
    yield _refunded("generic reversal", "G-1", "rv", 30, type="reversal", reverses="cb2", full=True)


# ── Paddle: 100.00 less 10.00; 40.50 back, 20.00 charged back and given back ─────────────────────────────────────────


def _paddle() -> Iterator[Fact]:
    def sold(name: str, minute: float, **fields: Any) -> Hook:
        own = {"ariane": clicked("max"), "order_id": "W-1001"}
        times = {
            "created_at": at(0).isoformat(),
            "updated_at": at(minute).isoformat(),
            "billed_at": at(0.1).isoformat(),
        }
        data = paddle.transaction(custom_data=own, **times, **fields)
        return _hook("paddle", name, minute, paddle.notification(f"transaction.{name}", data, at(minute)))

    def adjusted(name: str, minute: float, since: float, **fields: Any) -> Hook:
        data = paddle.adjustment(created_at=at(since).isoformat(), updated_at=at(minute).isoformat(), **fields)
        kind = "adjustment.created" if minute == since else "adjustment.updated"
        return _hook("paddle", name, minute, paddle.notification(kind, data, at(minute)))

    yield sold("completed", 0.2)
    yield sold("revised", 2, customer_id="ctm_new")
    yield _ordered("paddle", "W-1001", 0.1, customer={"email": OTHER})
    yield adjusted("requested", 10, 10, status="pending_approval")
    yield adjusted("refund", 12, 10)
    taken = {
        "id": "adj_cb",
        "action": "chargeback",
        "totals": {"subtotal": "2000", "tax": "400", "total": "2400"},
        "items": [],
    }
    yield adjusted("chargeback", 20, 20, **taken)
    yield adjusted("chargeback reversed", 30, 20, **taken | {"status": "reversed"})
    yield adjusted("reversal", 30.1, 30.1, **taken | {"id": "adj_rv", "action": "chargeback_reverse"})


# ── PrestaShop: 100.00 less 10.00; 25.00 back, cancelled, live again ─────────────────────────────────────────────────


def _prestashop() -> Iterator[Fact]:
    def report(event: str, minute: float, *slips: Json, **order: Any) -> Hook:
        own = {
            "event": event,
            "sent_at": at(minute).isoformat(),
            "order": {**prestashop.EXAMPLE["order"], "date_add": at(0).isoformat(), **order},
            "order_slip": list(slips),
            "order_cart_rule": [],
            "ariane": clicked("lea"),
        }
        return _hook("prestashop", f"{event} {minute}", minute, post(prestashop.EXAMPLE | own))

    slip = {**prestashop.EXAMPLE_SLIP, "date_add": at(10).isoformat(), "date_upd": at(10).isoformat()}
    yield report("order", 0.1, valid=False)
    yield report("status", 1)
    yield report("slip", 10, slip)
    yield report("status", 20, slip, cancelled=True)
    yield report("status", 30, slip, cancelled=False)
    yield _refunded("prestashop refund", "42", "s9", 11, amount_minor=100)


# ── Postbacks: 49.90; 5.00 back, rejected, approved ──────────────────────────────────────────────────────────────────


def _postback() -> Iterator[Fact]:
    def report(name: str, minute: float, query: str) -> Hook:
        return _postback_hook("postback", name, minute, f"order_id=P-1&currency=EUR&{query}")

    sold = f"amount=49.90&occurred_at={unix_s(at(0))}&customer={SHOPPER}"
    yield report("pending", 0.1, f"{sold}&status=pending&code=MAX5")
    yield report("approved", 5, f"{sold}&status=approved")
    yield report("refund", 10, f"refund_id=r1&amount=5.00&occurred_at={unix_s(at(10))}")
    yield report("rejected", 20, "status=rejected")
    yield report("approved again", 30, f"{sold}&status=confirmed")
    yield _ordered("postback", "P-1", 0, net_minor=4_990, click_id=clicked("max"))


# ── Small orders: sent twice without a date; in another currency; weak; a test ───────────────────────────────────────


def _others() -> Iterator[Fact]:
    for minute, delivery in ((3, "one"), (5, "two")):
        # The shop's second delivery of one message: the order is of the day of whichever was received first.
        undated = {"order_id": "G-2", "net_minor": 1_001, "codes": ["MAX5"], "customer": {"email": OTHER}}
        yield _hook("generic", f"undated {delivery}", minute, post(undated, {"X-Ariane-Delivery": delivery}))
        refund = {"order_id": "G-2", "type": "refund", "refund_id": "r", "amount_minor": 1}
        message = post(refund, {"X-Ariane-Delivery": f"r-{delivery}"})
        yield _hook("generic", f"undated refund {delivery}", minute + 1, message)
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
    yield _hook("standard", "dollars", 0.1, post(dollars))
    yield Hit(
        "dollars beacon",
        "beacon",
        json.dumps({"order_id": "D-1", "amount": "31.00", "currency": "EUR", "code": "MAX5"}).encode(),
        0.2,
    )
    yield _refunded("euros back", "D-1", "e1", 10, amount_minor=500)
    yield _refunded("dollars back", "D-1", "u1", 11, amount_minor=333, currency="USD")
    test = {"order_id": "T-1", "net_minor": 9_999, "codes": ["MAX5"], "test": True, "occurred_at": at(1).isoformat()}
    yield _hook("standard", "test", 1, post(test))
    yield _ordered("test order", "T-1", 1, net_minor=9_999)
    for name, minute, query in (
        ("parts", 0.1, "parts=DEFAULT:40.00|SALE:4.90&cr=EUR&vc=MAX5&status=pending"),
        ("rejected", 20, "status=declined"),
    ):
        yield _postback_hook("awin", name, minute, f"ref=A-1&occurred_at={unix_s(at(0))}&{query}")
    weak = f"transaction_id={clicked('max')}&event_id=7&occurred_at={unix_s(at(0))}"
    yield _postback_hook("everflow", "weak", 0.1, f"{weak}&amount=20.00")
    yield _postback_hook("everflow", "weak again", 2, f"{weak}&amount=21.00")
    yield _postback_hook("everflow", "refund", 9, f"{weak}&refund_id=f1&amount=1.00")


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
