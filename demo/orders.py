"""The orders of the day: everything that is sent about each of them, in random order, and what it must come to in the books."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from rich.progress import Progress

from demo import clock
from demo.brand_setup import COUNTER, map_late_promotions
from demo.ledger import BookedOrder, Share
from demo.other_reports import (
    COUNTER_OUTCOMES,
    deliver,
    forge,
    send_conversion,
    send_pixel,
    send_refund,
    simulate_counter,
)
from demo.run import Action, Run, deal_of, in_parallel
from demo.scenario import Partner, draw_order
from demo.simulator.checkouts import SHOPS
from demo.simulator.messages import Message
from demo.simulator.orders import Evidence, Order, Shop, Simulation
from demo.strangers import forged_hits, send_forged

FIRST_NUMBER = 1_001
AROUND_MIDNIGHT = timedelta(seconds=120)
"""A run that would begin within this time before midnight waits for the next day."""
COUNTED_BY_CLICK = "everflow"
APART_S = 0.02
"""Seconds between two messages that must arrive in their order: the service tells them apart by milliseconds."""
PROMOTING = frozenset(shop.name for shop in SHOPS if shop.platform == "stripe")
"""Shops whose messages carry an id of the code instead of the code."""
BY_NAME = {shop.name: shop for shop in SHOPS}


async def send_orders(run: Run, count: int, progress: Progress) -> None:
    """Sends this many orders through every shop, with duplicates, late reports and refunds that arrive before their order."""
    await _pass_midnight(run)
    run.now = clock.now()
    actions: list[Action] = []
    orders = list(_draw(run, count))
    own = _own_click(run, orders)
    for order in orders:
        actions += _actions(run, order, own)
    run.rng.shuffle(actions)
    task = progress.add_task("webhooks, pixels, calls, refunds", total=len(actions))
    await in_parallel(actions, progress, task)
    await map_late_promotions(run)


async def _pass_midnight(run: Run) -> None:
    """Waits for the new day near midnight: a cancellation without a date counts on the day of its receipt, which must be known in advance."""
    now = clock.now().astimezone(run.ledger.zone)
    if (now + AROUND_MIDNIGHT).date() != now.date():
        midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), run.ledger.zone)
        await asyncio.sleep((midnight - now).total_seconds() + 1)


def _draw(run: Run, count: int) -> Iterator[Order]:
    coded = [index for index, partner in enumerate(run.partners) if partner.code]
    unused = iter(run.rng.sample(range(len(run.human_clicks)), len(run.human_clicks)))
    shops = [*BY_NAME, COUNTER]
    for number in range(FIRST_NUMBER, FIRST_NUMBER + count):
        name = shops[number % len(shops)]
        outcomes = BY_NAME[name].outcomes if name in BY_NAME else COUNTER_OUTCOMES
        order = draw_order(run.rng, number, run.now, name, outcomes, coded, len(run.human_clicks))
        if order.attributed_by == "pixel_only" and (name == COUNTER or BY_NAME[name].platform == "postback"):
            # In shops whose messages are not signed, a pixel alone is an order.
            order = replace(order, attributed_by="click", by_pixel=False)
        if number < FIRST_NUMBER + len(shops):
            order = replace(order, forged=True)
        if name == COUNTER:
            order = replace(order, by_server=True, forged=False)
        if name == COUNTED_BY_CLICK and order.attributed_by == "click":
            # In this network a second order after the same click would be a repeat of the first one.
            order = replace(order, click=next(unused))
        yield order


def _evidence(run: Run, order: Order) -> Evidence:
    """What the shop's messages carry: not the click that only its thank-you page has seen. Shoppers often type codes in lower case."""
    partner = None if order.code_owner is None else run.partners[order.code_owner]
    code = None if partner is None else partner.code
    return Evidence(
        code=code.lower() if code and order.number % 3 == 0 else code,
        promotion_id=partner.promotion_id if partner is not None and order.shop in PROMOTING else None,
        click_id=run.human_clicks[order.click][2]
        if order.click is not None and order.attributed_by in ("click", "both")
        else None,
    )


def _own_click(run: Run, orders: Sequence[Order]) -> tuple[Partner, str] | None:
    """A stranger who has a code, with a click that no order names; None on a day on which every click bought."""
    named = {order.click for order in orders}
    clicks = (each for number, each in enumerate(run.human_clicks) if number not in named and each[0].code)
    return next(((partner, click_id) for partner, _, click_id in clicks), None)


def _actions(run: Run, order: Order, own: tuple[Partner, str] | None) -> list[Action]:
    """Everything that is sent about an order; enters the order into the books as well."""
    evidence, shop = _evidence(run, order), BY_NAME.get(order.shop)
    calls: list[dict[str, Any]] = []
    if shop is None:
        simulation, calls = simulate_counter(order)
    else:
        simulation = shop.simulate(order, evidence)
    actions: list[Action] = []
    if order.by_pixel:
        actions += [partial(send_pixel, run, order, simulation.order_id)] * order.repeats
    if order.attributed_by == "pixel_only":
        return actions
    _book(run, order, simulation)
    if own is not None:
        actions += [partial(send_forged, run, hit) for hit in forged_hits(run, order, simulation.order_id, own)]
    if order.by_server:
        actions += [partial(send_conversion, run, order, simulation.order_id, evidence)] * order.repeats
    for call in calls:
        actions += [partial(send_refund, run, call)] * order.repeats
    if shop is not None:
        for messages in simulation.messages:
            alone = len(messages) == 1
            actions += [partial(_deliver, run, shop, messages, 1 if alone else order.repeats)] * (
                order.repeats if alone else 1
            )
        if order.forged:
            actions.append(partial(forge, run, shop, order, evidence))
            run.unreadable.add(shop.name)
    return actions


async def _deliver(run: Run, shop: Shop, messages: tuple[Message, ...], times: int) -> None:
    """Sends messages one after the other, each so many times."""
    for number, message in enumerate(messages):
        if number:
            await asyncio.sleep(APART_S)
        for _ in range(times):
            await deliver(run, shop, message, secret=shop.secret)


def _book(run: Run, order: Order, simulation: Simulation) -> None:
    """Enters what the order must come to. A test order counts for nothing."""
    if order.test:
        return
    share = Share(None)
    if order.click is not None:
        partner, link_id, _ = run.human_clicks[order.click]
        share = Share(deal_of(partner), link_id)
    if order.code_owner is not None:
        partner = run.partners[order.code_owner]
        # The owner's own click says which link led to the code.
        link = share.link if share.deal == deal_of(partner) else None
        share = Share(deal_of(partner), link, partner.code_id)
    run.ledger.orders.append(
        BookedOrder(
            order.at,
            (order.cart.net_minor() if simulation.net_minor is None else simulation.net_minor,),
            (share,),
            order.cart.currency,
            counted=not simulation.never_paid,
            shop=order.shop,
            refunds=tuple((refund.at or run.now, (refund.net_minor,)) for refund in simulation.refunds),
            order_id=simulation.order_id,
        )
    )
