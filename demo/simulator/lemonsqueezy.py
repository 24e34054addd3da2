"""Lemon Squeezy, by its preset: orders and subscription invoices as its documentation shows them, signed in hex over the body."""

from datetime import UTC, datetime
from typing import Any

from demo.simulator.carts import Cart
from demo.simulator.messages import Json, Message, document, hmac_sha256, post


def sign(message: Message, secret: str, at: datetime) -> Message:
    """X-Signature over the body. The time is no part of it."""
    return message.with_headers({"X-Signature": hmac_sha256(secret, message.body).hex()})


def event(kind: str, example: Json, custom_data: Json | None = None, **attributes: Any) -> Message:
    """The example as an event of this name with other attributes, unsigned."""
    meta = example["meta"] | {"event_name": kind}
    if custom_data is not None:
        meta["custom_data"] = custom_data
    data = example["data"] | {"attributes": example["data"]["attributes"] | attributes}
    return post({"meta": meta, "data": data}, {"X-Event-Name": kind})


def sale(cart: Cart, at: datetime, code: str) -> Message:
    """order_created of a paid order."""
    example = document("lemonsqueezy_order_created.json")
    example["data"]["id"] = str(cart.number)
    net, tax = cart.net_minor(), sum(map(cart.vat_minor, cart.lines))
    off = sum(map(cart.net_off_minor, cart.lines))
    return event(
        "order_created",
        example,
        {"order_id": f"W-{cart.number}", "code": code},
        identifier=f"00000000-0000-4000-8000-{cart.number:012d}",
        currency=cart.currency,
        subtotal=net + off,
        discount_total=off,
        tax=tax,
        total=net + tax,
        created_at=_time(at),
        updated_at=_time(at),
    )


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
