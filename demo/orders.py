"""The orders of the day, over all shops: everything that is sent about each of them, in no order, and what it must come to."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from rich.progress import Progress

from app import clock
from demo.day import Order, draw_order
from demo.ledger import Money
from demo.performance import Act, Performance, deal_of, in_parallel
from demo.setting import COUNTER, SHOPS, map_late_promotions
from demo.shops.letters import Letter, Names, Shop, Telling
from demo.witnesses import (
    COUNTER_STORIES,
    deliver,
    forge,
    refund,
    report,
    tell_at_the_counter,
    thank,
)

FIRST_NUMBER = 1_001
AROUND_MIDNIGHT = timedelta(seconds=120)
COUNTED_BY_CLICK = "everflow"
APART_S = 0.02
BY_NAME = {shop.name: shop for shop in SHOPS}


async def send_orders(show: Performance, count: int, progress: Progress) -> None:
    """So many orders by every door, with duplicates, late witnesses and refunds that overtake their order."""
    await _pass_midnight(show)
    show.now = clock.now()
    acts: list[Act] = []
    for order in _draw(show, count):
        acts += _acts(show, order)
    show.chance.shuffle(acts)
    task = progress.add_task("webhooks, pixels, calls, refunds", total=len(acts))
    await in_parallel(acts, progress, task)
    await map_late_promotions(show)


async def _pass_midnight(show: Performance) -> None:
    """A cancellation that carries no date counts on the day it is heard of: near midnight nobody could say in advance which that is."""
    now = clock.now().astimezone(show.ledger.zone)
    if (now + AROUND_MIDNIGHT).date() != now.date():
        midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), show.ledger.zone)
        await asyncio.sleep((midnight - now).total_seconds() + 1)


def _draw(show: Performance, count: int) -> Iterator[Order]:
    coded = [index for index, partner in enumerate(show.partners) if partner.code]
    unused = iter(show.chance.sample(range(len(show.people)), len(show.people)))
    names = [*BY_NAME, COUNTER]
    for number in range(FIRST_NUMBER, FIRST_NUMBER + count):
        name = names[number % len(names)]
        stories = BY_NAME[name].stories if name in BY_NAME else COUNTER_STORIES
        order = draw_order(show.chance, number, show.now, name, stories, coded, len(show.people))
        if order.way == "pixel_only" and (name == COUNTER or BY_NAME[name].platform == "postback"):
            # Only where a shop signs its messages is a pixel alone no order.
            order = replace(order, way="click", by_pixel=False)
        if number < FIRST_NUMBER + len(names):
            order = replace(order, spoiled=True)
        if name == COUNTER:
            order = replace(order, by_server=True, spoiled=False)
        if name == COUNTED_BY_CLICK and order.way == "click":
            # There a second order after the same click would be the first one told again.
            order = replace(order, click=next(unused))
        yield order


def _names(show: Performance, order: Order) -> Names:
    """What the shop knows: not the click that only its thank-you page has seen. Shoppers often type codes in small letters."""
    partner = None if order.code_owner is None else show.partners[order.code_owner]
    code = None if partner is None else partner.code
    return Names(
        code=code.lower() if code and order.number % 3 == 0 else code,
        promotion_id=partner.promotion_id if partner is not None and order.shop in PROMOTING else None,
        click_id=show.people[order.click][2] if order.click is not None and order.way in ("click", "both") else None,
    )


PROMOTING = frozenset(shop.name for shop in SHOPS if shop.platform == "stripe")


def _acts(show: Performance, order: Order) -> list[Act]:
    """Everything that is sent about an order. It is entered into the books as well."""
    names, shop = _names(show, order), BY_NAME.get(order.shop)
    calls: list[dict[str, Any]] = []
    if shop is None:
        telling, calls = tell_at_the_counter(order)
    else:
        telling = shop.tell(order, names)
    acts: list[Act] = []
    if order.by_pixel:
        acts += [partial(thank, show, order, telling.name)] * order.repeats
    if order.way == "pixel_only":
        return acts
    _enter(show, order, telling)
    if order.by_server:
        acts += [partial(report, show, order, telling.name, names)] * order.repeats
    for call in calls:
        acts += [partial(refund, show, call)] * order.repeats
    if shop is not None:
        for letters in telling.letters:
            alone = len(letters) == 1
            acts += [partial(_deliver, show, shop, letters, 1 if alone else order.repeats)] * (
                order.repeats if alone else 1
            )
        if order.spoiled:
            acts.append(partial(forge, show, shop, order, names))
            show.unreadable.add(shop.name)
    return acts


async def _deliver(show: Performance, shop: Shop, letters: tuple[Letter, ...], times: int) -> None:
    """Messages that must come one after the other, each so many times."""
    for number, letter in enumerate(letters):
        if number:
            # The moments of receipt are what tells them apart, and those are milliseconds.
            await asyncio.sleep(APART_S)
        for _ in range(times):
            await deliver(show, shop, letter, secret=shop.secret)


def _enter(show: Performance, order: Order, telling: Telling) -> None:
    """What the order must come to, in the ledger. A test counts for nothing."""
    if order.test:
        return
    partner, link = None, None
    if order.click is not None:
        partner, link, _ = show.people[order.click]
    if order.code_owner is not None:
        partner, link = show.partners[order.code_owner], None
    deal = None if partner is None else deal_of(partner)
    code = partner.code_id if partner is not None and order.code_owner is not None else None
    cart = order.cart
    entry = Money(order.shop, telling.name, deal, link, code, cart.net_minor(), cart.currency, order.at, order.at)
    show.ledger.money.append(entry)
    for back in telling.back:
        at = show.now if back.at is None else back.at
        show.ledger.money.append(replace(entry, net_minor=back.net_minor, at=at, refund=True))
