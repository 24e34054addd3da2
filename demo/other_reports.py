"""Reports of an order beside its shop's webhooks: the thank-you page's pixel, the shop's own server, and forged messages."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from demo import clock
from demo.brand_setup import COUNTER
from demo.run import DemoError, Run
from demo.simulator.carts import decimal
from demo.simulator.messages import Message
from demo.simulator.orders import Evidence, ExpectedRefund, Order, Shop, Simulation

COUNTER_OUTCOMES = ("line_returned", "lines_returned", "cancelled", "chargeback_won")
STOLEN_SECRET = "not-the-secret-of-any-shop"  # noqa: S105 which is the point


async def deliver(
    run: Run, shop: Shop, message: Message, *, secret: str | None, expect: Sequence[int] = (200,)
) -> None:
    """Sends a shop's message, signed under this secret, or unsigned where there is none."""
    sent = message if secret is None else shop.sign(message, secret, clock.now())
    url = run.webhook_urls[shop.name] + (f"?{sent.query}" if sent.query else "")
    answer = await run.client.request(sent.method, url, content=sent.body, headers=dict(sent.headers))
    if answer.status_code not in expect:
        raise DemoError(f"a message of {shop.name} was answered {answer.status_code}: {answer.text[:300]}")


async def forge(run: Run, shop: Shop, order: Order, evidence: Evidence) -> None:
    """Sends an order that does not exist under a wrong secret and unsigned, then a signed message that no parser can read."""
    unreal = replace(order, cart=replace(order.cart, number=order.number + 500_000), outcome="kept")
    forged = shop.simulate(unreal, evidence).messages[0][0]
    await deliver(run, shop, forged, secret=STOLEN_SECRET, expect=(401,))
    await deliver(run, shop, forged, secret=None, expect=(401,))
    await deliver(run, shop, shop.unreadable, secret=shop.secret)


async def send_pixel(run: Run, order: Order, order_id: str) -> None:
    """The thank-you page's report: half of them by the image, half by the beacon. It knows the click and the total that was paid."""
    fields = {
        "k": run.pixel_keys[order.shop],
        "event": "sale",
        "order_id": order_id,
        "amount": decimal(order.cart.totals()["total"]),
        "currency": order.cart.currency,
    }
    if order.click is not None:
        fields["click_id"] = run.human_clicks[order.click][2]
    if order.number % 2:
        query = "&".join(f"{field}={quote(value)}" for field, value in fields.items())
        answer = await run.client.get(f"{run.base_url}/p.gif?{query}")
    else:
        plain = {"Content-Type": "text/plain;charset=UTF-8"}
        answer = await run.client.post(f"{run.base_url}/e", content=json.dumps(fields), headers=plain)
    if answer.status_code not in (200, 204):
        raise DemoError(f"the pixel answered {answer.status_code}")


async def send_conversion(run: Run, order: Order, order_id: str, evidence: Evidence) -> None:
    """The shop's server reports the order by POST /v1/conversions."""
    body: dict[str, Any] = {
        "order_id": order_id,
        "shop": order.shop,
        "occurred_at": order.at.isoformat(),
        "currency": order.cart.currency,
        "net_minor": order.cart.net_minor(),
        "codes": [] if evidence.code is None or evidence.promotion_id is not None else [evidence.code],
        "test": order.test,
    }
    await run.call("POST", "/v1/conversions", body | ({"click_id": evidence.click_id} if evidence.click_id else {}))


def simulate_counter(order: Order) -> tuple[Simulation, list[dict[str, Any]]]:
    """What the counter's order must come to, and the refunds that its server reports."""
    cart, calls, expected = order.cart, [], []

    def call(refund_id: str, kind: str, at: datetime, net_minor: int, **fields: Any) -> None:
        body = {"order_id": _counter_id(order), "shop": COUNTER, "refund_id": refund_id, "type": kind}
        calls.append(body | {"occurred_at": at.isoformat(), "currency": cart.currency} | fields)
        expected.append(ExpectedRefund(net_minor, at))

    match order.outcome:
        case "line_returned" | "lines_returned":
            for index in order.returned_lines:
                net = cart.net_minor(index)
                call(f"r{index}", "refund", order.returned_at[index], net, amount_minor=net)
        case "cancelled":
            call("c", "cancellation", order.returned_at[0], cart.net_minor())
        case "chargeback_won":
            net = cart.net_minor()
            call("d", "chargeback", order.returned_at[0], net, amount_minor=net)
            call("w", "reversal", order.returned_at[1], -net, reverses="d", amount_minor=net)
    return Simulation(_counter_id(order), (), tuple(expected)), calls


async def send_refund(run: Run, call: dict[str, Any]) -> None:
    """The shop's server reports a refund; 202 while its order, or the refund it reverses, has not arrived."""
    await run.call("POST", "/v1/refunds", call, expect=(200, 201, 202))


def _counter_id(order: Order) -> str:
    return f"C-{order.number}"
