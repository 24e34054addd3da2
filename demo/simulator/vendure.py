"""Vendure, by its preset: the messages of the plugin on its page. Each is the whole order, refunds included; signed as PrestaShop's module signs."""

from datetime import UTC, datetime

from demo.simulator.carts import Cart, decimal
from demo.simulator.messages import Json, Message, document, post
from demo.simulator.prestashop import sign

__all__ = ["sale", "sign", "whole_order"]


def whole_order(shop: str, cart: Cart, at: datetime, **order: object) -> Json:
    """The kept message of a shop's sender (`vendure`, `medusa`), about this cart, without refunds."""
    kept: Json = document(f"{shop}_order.json")
    moment = at.astimezone(UTC).isoformat()
    about = {
        **order,
        "placed_at": moment,
        "currency": cart.currency,
        "net": decimal(cart.net_minor(), 2),
        "tax": decimal(cart.totals()["tax"], 2),
        "shipping": decimal(cart.shipping_minor, 2),
    }
    return kept | {"sent_at": moment, "order": kept["order"] | about, "lines": [], "refunds": [], "ariane": None}


def sale(cart: Cart, at: datetime, code: str) -> Message:
    """`placed` of a paid order."""
    body = whole_order("vendure", cart, at, code=f"{cart.number:016X}")
    return post(body | {"event": "placed", "coupon_codes": [code]})
