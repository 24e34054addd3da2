"""Shopware 6, by its preset: the webhooks of the app on its page, signed with the secret that the app gave the shop."""

from datetime import UTC, datetime
from typing import Any

from demo.simulator.carts import Cart
from demo.simulator.messages import Json, Message, document, hmac_sha256, post, unix_s


def sign(message: Message, secret: str, at: datetime) -> Message:
    """shopware-shop-signature over the body. The time is no part of it."""
    return message.with_headers({"shopware-shop-signature": hmac_sha256(secret, message.body).hex()})


def event(name: str, order: Json, at: datetime) -> Message:
    """A webhook of this event about an order, unsigned."""
    return post(
        document("shopware_order_paid.json")
        | {"data": {"payload": {"order": order}, "event": name}, "timestamp": unix_s(at)}
    )


def order(**fields: Any) -> Json:
    """The documented order with other fields."""
    return document("shopware_order_paid.json")["data"]["payload"]["order"] | fields  # type: ignore[no-any-return]


def sale(cart: Cart, at: datetime, code: str) -> Message:
    """The payment of an order in a net shop."""
    net, tax = cart.net_minor(), sum(map(cart.vat_minor, cart.lines))
    data = order(
        id=f"{cart.number:032x}",
        orderNumber=str(cart.number),
        orderDateTime=at.astimezone(UTC).isoformat(),
        taxStatus="net",
        amountTotal=(net + tax + cart.shipping_minor) / 100,
        price={"calculatedTaxes": [{"tax": tax / 100}]},
        shippingCosts={"totalPrice": cart.shipping_minor / 100, "calculatedTaxes": []},
        currency={"isoCode": cart.currency},
        customFields={},
        lineItems=[{"type": "promotion", "payload": {"code": code}}],
    )
    return event("state_enter.order_transaction.state.paid", data, at)
