"""Saleor, by its preset: what the subscription query on its page asks for, signed with the webhook's secret key."""

import base64
from datetime import UTC, datetime

from demo.simulator.carts import Cart
from demo.simulator.messages import Message, document, hmac_sha256, post


def sign(message: Message, secret: str, at: datetime) -> Message:
    """Saleor-Signature over the body. The time is no part of it."""
    return message.with_headers({"Saleor-Signature": hmac_sha256(secret, message.body).hex()})


def sale(cart: Cart, at: datetime, code: str) -> Message:
    """ORDER_PAID of a paid order."""
    example = document("saleor_order_paid.json")
    line = example["order"]["lines"][0]
    moment = at.astimezone(UTC).isoformat()
    order = example["order"] | {
        "id": base64.b64encode(f"Order:00000000-0000-4000-8000-{cart.number:012d}".encode()).decode(),
        "number": str(cart.number),
        "created": moment,
        "voucherCode": code,
        "total": {"currency": cart.currency, "tax": {"amount": cart.totals()["tax"] / 100}},
        "subtotal": {"net": {"amount": cart.net_minor() / 100}},
        "shippingPrice": {"net": {"amount": cart.shipping_minor / 100}, "tax": {"amount": 0}},
        "ariane": None,
        "lines": [
            line | {"id": f"line-{index}", "totalPrice": {"net": {"amount": cart.net_minor(index) / 100}}}
            for index in cart.lines
        ],
    }
    return post({"issuedAt": moment, "order": order}, {"Saleor-Event": "order_paid"})
