"""Medusa, by its preset: the messages of the subscriber on its page. Each is the whole order, refunds included; signed as PrestaShop's module signs."""

from datetime import datetime

from demo.simulator.carts import Cart
from demo.simulator.messages import Message, post
from demo.simulator.prestashop import sign
from demo.simulator.vendure import whole_order

__all__ = ["sale", "sign"]


def sale(cart: Cart, at: datetime, code: str) -> Message:
    """`order.placed` of a paid order."""
    body = whole_order("medusa", cart, at, id=f"order_{cart.number:026d}", display_id=cart.number)
    return post(body | {"event": "order.placed", "promotions": [{"code": code}]})
