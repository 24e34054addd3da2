"""Polar, by its preset: orders and refunds as its documentation shows them, signed as Standard Webhooks are, under the secret as it is shown."""

import base64
from datetime import UTC, datetime
from typing import Any

from demo.simulator.carts import Cart
from demo.simulator.messages import Json, Message, document, hmac_sha256, post, unix_s


def sign(message: Message, secret: str, at: datetime) -> Message:
    """The headers of Standard Webhooks; the key is the secret itself."""
    digest = hmac_sha256(secret, f"msg_1.{unix_s(at)}.".encode() + message.body)
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return message.with_headers(
        {"webhook-id": "msg_1", "webhook-timestamp": str(unix_s(at)), "webhook-signature": signature}
    )


def event(kind: str, data: Json, at: datetime) -> Message:
    """An event of this type about an order or a refund, unsigned."""
    return post({"type": kind, "timestamp": _time(at), "api_version": "2026-10", "data": data})


def order(**fields: Any) -> Json:
    """The documented order with other fields."""
    return document("polar_order_paid.json")["data"] | fields  # type: ignore[no-any-return]


def refund(**fields: Any) -> Json:
    """The documented refund with other fields."""
    return document("polar_refund_created.json")["data"] | fields  # type: ignore[no-any-return]


def sale(cart: Cart, at: datetime, code: str) -> Message:
    """order.paid of a paid order."""
    net, tax = cart.net_minor(), sum(map(cart.vat_minor, cart.lines))
    off = sum(map(cart.net_off_minor, cart.lines))
    data = order(
        id=f"00000000-0000-4000-8000-{cart.number:012d}",
        created_at=_time(at),
        modified_at=_time(at),
        subtotal_amount=net + off,
        discount_amount=off,
        net_amount=net,
        tax_amount=tax,
        total_amount=net + tax,
        currency=cart.currency.lower(),
        metadata={"order_id": f"W-{cart.number}"},
    )
    data["discount"]["code"] = code
    return event("order.paid", data, at)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
