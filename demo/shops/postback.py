"""Shops that call an address, in the names of three networks: Awin by GET, Everflow by GET with its token and no order id where one click makes
one order, Kwanko by a POSTed form."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlencode

from demo.carts import text
from demo.day import Order
from demo.shops.letters import Back, Letter, Names, Shop, Telling, one_by_one

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
WORDS = {
    "awin": {"click": "cks", "order": "ref", "amount": "amount", "currency": "cr", "code": "vc", "token": "token", "test": "testmode"},
    "everflow": {
        "click": "transaction_id", "order": "order_id", "amount": "amount", "currency": "currency", "code": "coupon_code",
        "token": "verification_token", "test": "test",
    },
    "kwanko": {"click": "cible", "order": "argann", "amount": "argmon", "currency": "nacur", "code": "code", "token": "token", "test": "test"},
}  # fmt: skip
"""How each network calls what."""


def tell(network: str, order: Order, names: Names) -> Telling:
    """The order, its status where it changes, and refunds in our own words, which no network has any for."""
    cart, name = order.cart, f"{network[0].upper()}{order.number}"
    # Everflow counts by click. Only an order that nobody else tells of may do without an id, and that no refund has to find.
    nameless = (
        network == "everflow"
        and order.way == "click"
        and order.story == "kept"
        and not order.by_server
        and not order.by_pixel
    )
    known: dict[str, str | None] = {} if nameless else {"order": name}

    def said(minute: int, **fields: str | None) -> Letter:
        at = (order.at + timedelta(minutes=minute)).isoformat()
        return _letter(network, known | {"updated_at": at} | fields)

    goods: dict[str, str | None] = {
        "click": names.click_id,
        "code": names.code,
        "currency": cart.currency,
        "amount": text(cart.net_minor()) if order.number % 2 else text(cart.net_minor()).replace(".", ","),
        "customer": f"customer{order.number}@example.com",
        "occurred_at": order.at.isoformat(),
        "test": "1" if order.test else None,
    }
    if network == "awin":
        goods["parts"] = "|".join(f"GROUP{index}:{text(cart.net_minor(index))}" for index in cart.lines)
    letters = [said(0, **goods)]
    if order.updated and not nameless:
        letters.append(said(1, **goods, status="approved"))
    back: tuple[Back, ...] = ()
    match order.story:
        case "line_back" | "lines_back":
            letters += [_refund(network, order, name, index) for index in order.lines_back]
            back = tuple(Back(cart.net_minor(index), order.returns[index]) for index in order.lines_back)
        case "cancelled":
            letters.append(said(2, status="rejected"))
            back = (Back(cart.net_minor(), None),)
        case "restored":
            letters += [said(2, status="rejected"), said(3, **goods, status="approved")]
    return Telling("" if nameless else name, one_by_one(*letters), back)


def sign(network: str, unsigned: Letter, secret: str, at: datetime) -> Letter:
    """The token, under the network's name for it."""
    del at
    token = urlencode({WORDS[network]["token"]: secret})
    if unsigned.method == "POST":
        return replace(unsigned, body=unsigned.body + b"&" + token.encode())
    return replace(unsigned, query=f"{unsigned.query}&{token}")


def _refund(network: str, order: Order, name: str, index: int) -> Letter:
    return _letter(
        network,
        {
            "order": name,
            "refund_id": f"{name}-{index}",
            "amount": text(order.cart.net_minor(index)),
            "currency": order.cart.currency,
            "occurred_at": order.returns[index].isoformat(),
        },
    )


def _letter(network: str, said: dict[str, str | None]) -> Letter:
    words = WORDS[network]
    query = urlencode({words.get(name, name): value for name, value in said.items() if value is not None})
    if network == "kwanko":
        return Letter(query.encode(), FORM)
    return Letter(method="GET", query=query)


def _shop(network: str) -> Shop:
    return Shop(
        name=network,
        platform="postback",
        settings={"preset": network},
        secret=f"launch-day-{network}-token",
        stories=("line_back", "lines_back", "cancelled", "restored"),
        tell=partial(tell, network),
        sign=partial(sign, network),
        unreadable=_letter(network, {"order": "{order_id}", "amount": "999.00", "currency": "EUR"}),
    )


SHOPS = tuple(map(_shop, WORDS))
