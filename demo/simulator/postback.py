"""Shops that request an address: Awin by GET, Everflow by GET with its token and no order id where one click makes one order, Kwanko by a POSTed form.

The fourth, `postback`, uses the parameters of the API itself and is no shop of the demo.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlencode

from demo.simulator.carts import Cart, decimal
from demo.simulator.messages import Message
from demo.simulator.orders import Evidence, ExpectedRefund, Order, Shop, Simulation, in_any_order

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OWN_WORDS = "postback"
POSTS_A_FORM = "kwanko"
PARAMETERS = {
    "awin": {"click": "cks", "order": "ref", "amount": "amount", "currency": "cr", "code": "vc", "token": "token", "test": "testmode"},
    "everflow": {
        "click": "transaction_id", "order": "order_id", "amount": "amount", "currency": "currency", "code": "coupon_code",
        "token": "verification_token", "test": "test",
    },
    "kwanko": {"click": "cible", "order": "argann", "amount": "argmon", "currency": "nacur", "code": "code", "token": "token", "test": "test"},
    OWN_WORDS: {"click": "click_id", "order": "order_id", "token": "token"},
}  # fmt: skip
"""What each network calls the parameters."""


def sign(network: str, message: Message, secret: str, at: datetime) -> Message:
    """Adds the token, under the network's name for it."""
    del at
    token = urlencode({PARAMETERS[network]["token"]: secret})
    if network == POSTS_A_FORM:
        return replace(message, body=message.body + b"&" + token.encode())
    return replace(message, query=f"{message.query}&{token}" if message.query else token)


def sale(network: str, cart: Cart, at: datetime, code: str) -> Message:
    """A paid order."""
    fields = {"order": f"P-{cart.number}", "amount": decimal(cart.net_minor()), "currency": cart.currency, "code": code}
    return _message(network, {**fields, "occurred_at": at.isoformat()})


def simulate(network: str, order: Order, evidence: Evidence) -> Simulation:
    """The order, its status where it changes, and refunds by the parameters of our own, since no network has any."""
    cart, order_id = order.cart, f"{network[0].upper()}{order.number}"
    # Everflow counts by click. An order can only be without an id if nothing else reports it and no refund has to find it.
    nameless = (
        network == "everflow"
        and order.attributed_by == "click"
        and order.outcome == "kept"
        and not order.by_server
        and not order.by_pixel
    )
    identity: dict[str, str | None] = {} if nameless else {"order": order_id}

    def changed(minute: int, **fields: str | None) -> Message:
        at = (order.at + timedelta(minutes=minute)).isoformat()
        return _message(network, identity | {"updated_at": at} | fields)

    goods: dict[str, str | None] = {
        "click": evidence.click_id,
        "code": evidence.code,
        "currency": cart.currency,
        "amount": decimal(cart.net_minor()) if order.number % 2 else decimal(cart.net_minor()).replace(".", ","),
        "customer": f"customer{order.number}@example.com",
        "occurred_at": order.at.isoformat(),
        "test": "1" if order.test else None,
    }
    if network == "awin":
        goods["parts"] = "|".join(f"GROUP{index}:{decimal(cart.net_minor(index))}" for index in cart.lines)
    messages = [changed(0, **goods)]
    if order.updated and not nameless:
        messages.append(changed(1, **goods, status="approved"))
    refunds: tuple[ExpectedRefund, ...] = ()
    match order.outcome:
        case "line_returned" | "lines_returned":
            messages += [_refund(network, order, order_id, index) for index in order.returned_lines]
            refunds = order.line_refunds()
        case "cancelled":
            messages.append(changed(2, status="rejected"))
            refunds = (ExpectedRefund(cart.net_minor(), None),)
        case "restored":
            messages += [changed(2, status="rejected"), changed(3, **goods, status="approved")]
    return Simulation("" if nameless else order_id, in_any_order(*messages), refunds)


def _refund(network: str, order: Order, order_id: str, index: int) -> Message:
    return _message(
        network,
        {
            "order": order_id,
            "refund_id": f"{order_id}-{index}",
            "amount": decimal(order.cart.net_minor(index)),
            "currency": order.cart.currency,
            "occurred_at": order.returned_at[index].isoformat(),
        },
    )


def _message(network: str, fields: dict[str, str | None]) -> Message:
    names = PARAMETERS[network]
    query = urlencode({names.get(name, name): value for name, value in fields.items() if value is not None})
    if network == POSTS_A_FORM:
        return Message(query.encode(), FORM)
    return Message(method="GET", query=query)


def _shop(network: str) -> Shop:
    return Shop(
        name=network,
        platform="postback",
        settings={"preset": network},
        secret=f"launch-day-{network}-token",
        outcomes=("line_returned", "lines_returned", "cancelled", "restored"),
        simulate=partial(simulate, network),
        sign=partial(sign, network),
        unreadable=_message(network, {"order": "{order_id}", "amount": "999.00", "currency": "EUR"}),
    )


SHOPS = tuple(_shop(network) for network in PARAMETERS if network != OWN_WORDS)
