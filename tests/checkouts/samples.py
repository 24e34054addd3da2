"""A message of every checkout: the vendors' documented ones, and what our documentation asks shops to send."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from demo.simulator import prestashop, stripe
from demo.simulator.messages import document
from tests.checkouts.signing import CHECKOUTS, Checkout


@dataclass(frozen=True, slots=True)
class Sample:
    """A message before it is signed. query: None for what sends no query."""

    checkout: Checkout
    document: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str | None = None


def _all() -> Iterator[Sample]:
    shopify, woo = CHECKOUTS["shopify"], CHECKOUTS["woocommerce"]
    yield Sample(shopify, document("shopify_order_rest_2024-04.json"), {"X-Shopify-Topic": "orders/paid"})
    yield Sample(shopify, document("shopify_refund_rest_2024-04.json"), {"X-Shopify-Topic": "refunds/create"})
    for name, topic in (("order", "created"), ("order_refunded", "updated"), ("order", "restored")):
        yield Sample(woo, document(f"woocommerce_{name}_v3.json"), {"X-WC-Webhook-Topic": f"order.{topic}"})
    yield Sample(woo, {"id": 723}, {"X-WC-Webhook-Topic": "order.deleted"})
    for event in (
        stripe.session(),
        stripe.invoice(),
        stripe.charge_refunded(2000),
        stripe.refund("re_1", 500),
        stripe.dispute("needs_response", "created"),
    ):
        yield Sample(CHECKOUTS["stripe"], event)
    order = {
        "order_id": "W-1", "net_minor": 4_990, "tax_minor": 998, "shipping_minor": 490, "currency": "EUR", "codes": ["LEA10"],
        "click_id": "clk_01kaz8h0000000000000000000", "visitor_id": "v-1", "occurred_at": "2026-11-21T18:00:00Z", "kind": "sale",
        "customer": {"id": "7", "email": "bob@example.com", "is_new": True}, "updated_at": "2026-11-21T18:00:00Z",
        "lines": [{"id": "1", "quantity": 2, "net_minor": 4_990, "sku": "S", "name": "Serum"}], "test": False,
    }  # fmt: skip
    refund = {"type": "refund", "order_id": "W-1", "refund_id": "r1", "amount_minor": 500, "currency": "EUR"}
    for name in ("generic", "standard"):
        yield Sample(CHECKOUTS[name], order)
        yield Sample(CHECKOUTS[name], refund | {"occurred_at": "2026-11-22T18:00:00Z", "lines": [{"id": "1"}]})
    yield Sample(CHECKOUTS["lemonsqueezy"], document("lemonsqueezy_order_created.json"))
    yield Sample(CHECKOUTS["lemonsqueezy"], document("lemonsqueezy_subscription_payment_success.json"))
    yield Sample(CHECKOUTS["paddle"], document("paddle_transaction_completed.json"))
    yield Sample(CHECKOUTS["paddle"], document("paddle_adjustment_updated.json"))
    yield Sample(CHECKOUTS["polar"], document("polar_order_paid.json"))
    yield Sample(CHECKOUTS["polar"], document("polar_refund_created.json"))
    yield Sample(CHECKOUTS["saleor"], document("saleor_order_paid.json"), {"Saleor-Event": "order_paid"})
    yield Sample(CHECKOUTS["shopware"], document("shopware_order_paid.json"))
    yield Sample(CHECKOUTS["medusa"], document("medusa_order.json"))
    yield Sample(CHECKOUTS["vendure"], document("vendure_order.json"))
    yield Sample(CHECKOUTS["prestashop"], {**prestashop.EXAMPLE, "order_slip": [prestashop.EXAMPLE_SLIP]})
    parameters = {
        "order_id": "P-1",
        "amount": "49.90",
        "currency": "EUR",
        "code": "LEA10",
        "status": "approved",
        "customer": "bob@example.com",
    }
    parameters |= {
        "tax": "9.98",
        "shipping": "4.90",
        "occurred_at": "2026-11-21T18:00:00Z",
        "updated_at": "1795305134",
        "test": "0",
    }
    yield Sample(CHECKOUTS["postback"], parameters, {"Content-Type": "application/json"}, "event=sale")
    yield Sample(
        CHECKOUTS["postback"], None, {}, "order_id=P-1&refund_id=r1&amount=5.00&occurred_at=2026-11-21T18:00:00Z"
    )
    yield Sample(
        CHECKOUTS["awin"],
        None,
        {},
        "ref=A-1&amount=44.90&parts=DEFAULT:40.00|SALE:4.90&cr=EUR&vc=LEA10&testmode=0&cks=clk_1",
    )
    yield Sample(
        CHECKOUTS["everflow"],
        None,
        {},
        "transaction_id=clk_1&amount=44.90&event_id=0&coupon_code=LEA10&email=b%40example.com",
    )


SAMPLES = tuple(_all())
