"""Who else tells of an order beside its shop's system: the thank-you page, the shop's own server, and those who would like to have sold something."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from app import clock
from demo.carts import text
from demo.day import Order
from demo.performance import DemoError, Performance
from demo.setting import COUNTER
from demo.shops.letters import Back, Letter, Names, Shop, Telling

COUNTER_STORIES = ("line_back", "lines_back", "cancelled", "chargeback_won")
STOLEN_SECRET = "not-the-secret-of-any-shop"  # noqa: S105 which is the point


async def deliver(
    show: Performance, shop: Shop, unsigned: Letter, *, secret: str | None, expect: Sequence[int] = (200,)
) -> None:
    """Sends a shop's message, signed under this secret; without one it goes as it is."""
    sent = unsigned if secret is None else shop.sign(unsigned, secret, clock.now())
    url = show.doors[shop.name] + (f"?{sent.query}" if sent.query else "")
    answer = await show.client.request(sent.method, url, content=sent.body, headers=dict(sent.headers))
    if answer.status_code not in expect:
        raise DemoError(f"a message of {shop.name} was answered {answer.status_code}: {answer.text[:300]}")


async def forge(show: Performance, shop: Shop, order: Order, names: Names) -> None:
    """Messages about an order that never was: under another secret, without a signature, and one that is signed and that nobody can read."""
    never_was = replace(order, cart=replace(order.cart, number=order.number + 500_000), story="kept")
    forged = shop.tell(never_was, names).letters[0][0]
    await deliver(show, shop, forged, secret=STOLEN_SECRET, expect=(401,))
    await deliver(show, shop, forged, secret=None, expect=(401,))
    await deliver(show, shop, shop.unreadable, secret=shop.secret)


async def thank(show: Performance, order: Order, name: str) -> None:
    """The thank-you page: half of them by the image, half by the beacon. It knows the click, and what was paid in all."""
    fields = {
        "k": show.pixel_keys[order.shop],
        "event": "sale",
        "order_id": name,
        "amount": text(order.cart.totals()["total"]),
        "currency": order.cart.currency,
    }
    if order.click is not None:
        fields["click_id"] = show.people[order.click][2]
    if order.number % 2:
        query = "&".join(f"{field}={quote(value)}" for field, value in fields.items())
        answer = await show.client.get(f"{show.base_url}/p.gif?{query}")
    else:
        plain = {"Content-Type": "text/plain;charset=UTF-8"}
        answer = await show.client.post(f"{show.base_url}/e", content=json.dumps(fields), headers=plain)
    if answer.status_code not in (200, 204):
        raise DemoError(f"the pixel answered {answer.status_code}")


async def report(show: Performance, order: Order, name: str, names: Names) -> None:
    """The shop's server says the same in one call, in the words of the API."""
    body: dict[str, Any] = {
        "order_id": name,
        "shop": order.shop,
        "occurred_at": order.at.isoformat(),
        "currency": order.cart.currency,
        "net_minor": order.cart.net_minor(),
        "codes": [] if names.code is None or names.promotion_id is not None else [names.code],
        "test": order.test,
    }
    await show.call("POST", "/v1/conversions", body | ({"click_id": names.click_id} if names.click_id else {}))


def tell_at_the_counter(order: Order) -> tuple[Telling, list[dict[str, Any]]]:
    """What the counter's server must come to, and the refunds it reports."""
    cart, calls, back = order.cart, [], []

    def call(refund_id: str, kind: str, at: datetime, net_minor: int, **fields: Any) -> None:
        said = {"order_id": _counter_name(order), "shop": COUNTER, "refund_id": refund_id, "type": kind}
        calls.append(said | {"occurred_at": at.isoformat(), "currency": cart.currency} | fields)
        back.append(Back(net_minor, at))

    match order.story:
        case "line_back" | "lines_back":
            for index in order.lines_back:
                net = cart.net_minor(index)
                call(f"r{index}", "refund", order.returns[index], net, amount_minor=net)
        case "cancelled":
            call("c", "cancellation", order.returns[0], cart.net_minor())
        case "chargeback_won":
            net = cart.net_minor()
            call("d", "chargeback", order.returns[0], net, amount_minor=net)
            call("w", "reversal", order.returns[1], -net, reverses="d", amount_minor=net)
    return Telling(_counter_name(order), (), tuple(back)), calls


async def refund(show: Performance, call: dict[str, Any]) -> None:
    """One refund by the API; 202 while its order, or what it reverses, is on its way."""
    await show.call("POST", "/v1/refunds", call, expect=(200, 201, 202))


def _counter_name(order: Order) -> str:
    return f"C-{order.number}"
