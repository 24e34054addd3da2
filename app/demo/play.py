"""Plays the launch day against a running service, waits until it has all been counted, and compares every figure with the ledger."""

import asyncio
import hmac
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from zoneinfo import ZoneInfo

import httpx2
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app import clock
from app.demo import ledger as books
from app.demo import shop
from app.demo.browsers import Visit, draw_visit
from app.demo.day import DISCOUNT_PERCENT, INFLUENCERS, Order, Partner, draw_order, draw_partners
from app.domain import ids

ZONE = "Europe/Paris"
CONCURRENCY = 16
SETTLE_TIMEOUT_S = 30.0
TIMEOUT_S = 20.0
AGENCY_MINOR = 250_000
DIMENSIONS = ("influencer", "campaign", "collaboration", "link", "code", "day")
COLUMNS = {
    "clicks": "clicks",
    "unique_clicks": "unique",
    "conversions": "orders",
    "gross_minor": "gross",
    "refunds_minor": "refunds",
    "net_minor": "net",
    "cost_minor": "cost",
    "roi": "roi",
}
HOOK_SECRET = "launch-day-hook-secret"  # noqa: S105 a secret of the demo's own brand
SHOP_SECRET = "launch-day-shop-secret"  # noqa: S105 the same


class DemoError(Exception):
    """The service answered something the demo cannot go on with; the text says what."""


@dataclass(slots=True)
class Stage:
    """One performance: the way to the service, the chance, the books and what was made so far."""

    client: httpx2.AsyncClient
    base_url: str
    secret_key: str
    publishable_key: str
    chance: random.Random
    ledger: books.Ledger
    now: datetime
    partners: list[Partner] = field(default_factory=list)
    people: list[tuple[Partner, str, str]] = field(default_factory=list)
    shop_url: str = ""
    hook_url: str = ""

    async def call(self, method: str, path: str, body: Any = None, *, expect: Sequence[int] = (200, 201)) -> Any:
        """One call of the REST API; DemoError when the status is not expected."""
        answer = await self.client.request(
            method, f"{self.base_url}{path}", json=body, headers={"Authorization": f"Bearer {self.secret_key}"}
        )
        if answer.status_code not in expect:
            raise DemoError(f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
        return answer.json() if answer.content else None


async def play(base_url: str, keys: dict[str, str], *, clicks: int, orders: int, seed: int, console: Console) -> int:
    """Plays the whole day; the number of figures that differ from the ledger."""
    limits = httpx2.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
    async with httpx2.AsyncClient(timeout=TIMEOUT_S, limits=limits, trust_env=False) as client:
        stage = Stage(
            client=client,
            base_url=base_url.rstrip("/"),
            secret_key=keys["secret_key"],
            publishable_key=keys["publishable_key"],
            chance=random.Random(seed),  # noqa: S311 a story, not a secret
            ledger=books.Ledger("EUR", ZoneInfo(ZONE)),
            now=clock.now(),
        )
        with _progress(console) as progress:
            await set_up(stage, progress)
            await send_clicks(stage, clicks, progress)
            await send_orders(stage, orders, progress)
        began = clock.monotonic_s()
        differences = await compare(stage)
        while differences and clock.monotonic_s() - began < SETTLE_TIMEOUT_S:
            await asyncio.sleep(0.5)
            differences = await compare(stage)
        await show(stage, console)
        for difference in differences[:20]:
            console.print(f"[red]{difference}[/red]", highlight=False)
        console.print(f"{len(differences)} differences", style="bold red" if differences else "bold green")
        return len(differences)


async def set_up(stage: Stage, progress: Progress) -> None:
    """The brand's currency and zone, campaigns, influencers, collaborations, links, codes, costs and sources."""
    stage.partners = draw_partners(stage.chance)
    task = progress.add_task("campaigns, influencers, links, codes", total=5 * len(stage.partners) + 3)
    await stage.call("PATCH", "/v1/brand", {"currency": "EUR", "time_zone": ZONE})
    campaign_ids: dict[str, str] = {}
    influencer_ids: dict[str, str] = {}
    for partner in stage.partners:
        if partner.campaign not in campaign_ids:
            campaign = {"name": partner.campaign, "objective": "sales", "type": "paid", "currency": "EUR"}
            campaign_ids[partner.campaign] = (await stage.call("POST", "/v1/campaigns", campaign))["id"]
        if partner.influencer not in influencer_ids:
            handle = partner.influencer.split()[0]
            body = {"name": partner.influencer, "handles": [{"network": "instagram", "handle": handle}]}
            influencer_ids[partner.influencer] = (await stage.call("POST", "/v1/influencers", body))["id"]
        partner.campaign_id = campaign_ids[partner.campaign]
        partner.influencer_id = influencer_ids[partner.influencer]
        pair = {"campaign_id": partner.campaign_id, "influencer_id": partner.influencer_id}
        partner.collaboration_id = (await stage.call("POST", "/v1/collaborations", pair))["id"]
        progress.advance(task, 2)
        await _costs(stage, partner)
        progress.advance(task)
    await _links(stage)
    progress.advance(task, len(stage.partners))
    for partner in stage.partners[: len(INFLUENCERS)]:
        await _code(stage, partner)
    progress.advance(task, len(stage.partners))
    agency = {"campaign_id": stage.partners[0].campaign_id, "kind": "agency_fee", "amount_minor": AGENCY_MINOR}
    await stage.call("POST", "/v1/costs", agency | _today(stage))
    stage.ledger.costs.append(books.Spent(None, stage.partners[0].campaign_id, AGENCY_MINOR))
    stage.shop_url = (await stage.call("POST", "/v1/sources", {"platform": "shopify", "secrets": [SHOP_SECRET]}))["url"]
    stage.hook_url = (await stage.call("POST", "/v1/sources", {"platform": "generic", "secrets": [HOOK_SECRET]}))["url"]
    progress.advance(task, 3)


async def send_clicks(stage: Stage, count: int, progress: Progress) -> None:
    """So many real redirects; one in ten is the same person again."""
    task = progress.add_task("clicks", total=count)
    await stage.call("GET", "/v1/brand")
    returning: list[tuple[Partner, str, str, Visit]] = []
    visits = []
    for _ in range(count):
        if returning and stage.chance.random() < 0.1:
            visits.append(stage.chance.choice(returning))
            continue
        partner = stage.chance.choice(stage.partners)
        link_id, slug = stage.chance.choice(partner.links)
        visit = draw_visit(stage.chance)
        visits.append((partner, link_id, slug, visit))
        if visit.counted_as == "human":
            returning.append(visits[-1])
    await _in_parallel([_click(stage, *visit) for visit in visits], progress, task)


async def send_orders(stage: Stage, count: int, progress: Progress) -> None:
    """So many orders by every door, with duplicates, late witnesses and refunds that overtake their order."""
    stage.now = clock.now()
    coded = [index for index, partner in enumerate(stage.partners) if partner.code]
    orders = [draw_order(stage.chance, 1_001 + number, stage.now, coded, len(stage.people)) for number in range(count)]
    acts: list[Callable[[], Awaitable[None]]] = []
    for order in orders:
        acts += _acts(stage, order)
        _enter(stage, order)
    stage.chance.shuffle(acts)
    task = progress.add_task("pixels, webhooks, refunds", total=len(acts))
    await _in_parallel([act() for act in acts], progress, task)


async def _costs(stage: Stage, partner: Partner) -> None:
    for kind, amount_minor in (("fee", partner.fee_minor), ("product", partner.product_minor)):
        body = {"collaboration_id": partner.collaboration_id, "kind": kind, "amount_minor": amount_minor}
        await stage.call("POST", "/v1/costs", body | _today(stage))
        stage.ledger.costs.append(books.Spent(_deal(partner), partner.campaign_id, amount_minor))


async def _links(stage: Stage) -> None:
    wanted = [
        {
            "collaboration_id": partner.collaboration_id,
            "destination_url": "https://shop.example/products/launch?ref=social#buy",
            "placement": placement,
            "utm": {"source": "instagram", "medium": placement},
        }
        for partner in stage.partners
        for placement in ("story", "bio")
    ]
    made = (await stage.call("POST", "/v1/links/bulk", {"links": wanted}))["data"]
    for number, link in enumerate(made):
        stage.partners[number // 2].links.append((link["id"], link["slug"]))


async def _code(stage: Stage, partner: Partner) -> None:
    body = {
        "collaboration_id": partner.collaboration_id,
        "pattern": "{HANDLE}{DISCOUNT}",
        "discount": {"type": "percent", "value_bp": DISCOUNT_PERCENT * 100},
    }
    made = await stage.call("POST", "/v1/codes", body)
    partner.code, partner.code_id = made["code"], made["id"]


async def _click(stage: Stage, partner: Partner, link_id: str, slug: str, visit: Visit) -> None:
    headers = {"User-Agent": visit.user_agent, "Referer": "https://l.instagram.com/", "Accept-Language": "fr-FR"}
    if visit.prefetch:
        headers["Sec-Purpose"] = "prefetch"
    answer = await stage.client.request(visit.method, f"{stage.base_url}/{slug}", headers=headers)
    if answer.status_code != 302:
        raise DemoError(f"/{slug} answered {answer.status_code}")
    click_id = parse_qs(urlsplit(answer.headers["location"]).query)["ariane"][0]
    at = datetime.fromtimestamp(ids.minted_ms(ids.read("click", click_id)) / 1000, UTC)
    stage.ledger.clicks.append(books.Clicked(_deal(partner), link_id, visit.counted_as, visit.user_agent, at))
    if visit.counted_as == "human":
        stage.people.append((partner, link_id, click_id))


def _acts(stage: Stage, order: Order) -> list[Callable[[], Awaitable[None]]]:
    """Everything that is sent about an order."""
    if order.kind == "server_code":
        return [lambda: _server_call(stage, order)] * order.repeats
    if order.kind == "signed_code":
        return [lambda: _signed_call(stage, order)] * order.repeats
    acts: list[Callable[[], Awaitable[None]]] = []
    if order.kind.startswith("pixel"):
        acts += [lambda: _pixel(stage, order)] * order.repeats
    if order.kind == "pixel_only":
        return acts
    acts += [lambda: _shopify(stage, order, "orders/create", 0)] * order.repeats
    acts += [partial(_shopify, stage, order, "orders/updated", 1 + update) for update in range(order.updates)]
    if order.refund is not None and order.refund.line is None:
        acts.append(lambda: _shopify(stage, order, "orders/cancelled", 5))
    elif order.refund is not None:
        acts += [lambda: _refund(stage, order)] * order.repeats
    return acts


def _enter(stage: Stage, order: Order) -> None:
    """What the order must come to, in the ledger. A pixel alone is no order, where the shop has a signed source; a test is none either."""
    if order.kind == "pixel_only" or order.test:
        return
    partner, link = None, None
    if order.click is not None:
        partner, link, _ = stage.people[order.click]
    if order.code_owner is not None:
        partner, link = stage.partners[order.code_owner], None
    deal = None if partner is None else _deal(partner)
    code = partner.code_id if partner is not None and order.code_owner is not None else None
    entry = books.Money(str(order.cart.number), deal, link, code, order.cart.net_minor(), order.cart.currency, order.at)
    stage.ledger.money.append(entry)
    if order.refund is not None:
        back = order.cart.net_minor(order.refund.line)
        stage.ledger.money.append(
            books.Money(entry.order, deal, link, code, back, entry.currency, order.refund.at, refund=True)
        )


def _code_of(stage: Stage, order: Order) -> str | None:
    """The code as a shopper types it: often in small letters."""
    if order.code_owner is None:
        return None
    code = stage.partners[order.code_owner].code or ""
    return code.lower() if order.cart.number % 3 == 0 else code


async def _shopify(stage: Stage, order: Order, topic: str, version: int) -> None:
    named = order.click is not None and order.kind != "pixel_and_shopify"
    cancelled = topic == "orders/cancelled"
    body = shop.order_body(
        order.cart,
        created_at=order.at,
        updated_at=order.at + timedelta(seconds=version),
        status="paid" if version else "pending",
        code=_code_of(stage, order),
        click_id=stage.people[order.click][2] if named and order.click is not None else None,
        cancelled_at=order.refund.at if cancelled and order.refund is not None else None,
        test=order.test,
    )
    await _deliver(stage, topic, body, f"{order.cart.number}-{topic}-{version}")


async def _refund(stage: Stage, order: Order) -> None:
    assert order.refund is not None
    assert order.refund.line is not None
    body = shop.refund_body(order.cart, order.refund.refund_id, order.refund.line, order.refund.at)
    await _deliver(stage, "refunds/create", body, f"{order.refund.refund_id}")


async def _deliver(stage: Stage, topic: str, body: dict[str, Any], event_id: str) -> None:
    raw, headers = shop.sign(topic, body, SHOP_SECRET, event_id)
    answer = await stage.client.post(stage.shop_url, content=raw, headers=headers)
    if answer.status_code != 200:
        raise DemoError(f"{topic} answered {answer.status_code}: {answer.text[:300]}")


async def _pixel(stage: Stage, order: Order) -> None:
    """The thank-you page: half of them by the image, half by the beacon; it names the click, which the webhook does not."""
    assert order.click is not None
    fields = {
        "k": stage.publishable_key,
        "event": "sale",
        "order_id": f"#{order.cart.number}",
        "amount": f"{order.cart.totals()['total'] / 100:.2f}",
        "currency": order.cart.currency,
        "click_id": stage.people[order.click][2],
    }
    if order.cart.number % 2:
        query = "&".join(f"{name}={quote(value)}" for name, value in fields.items())
        answer = await stage.client.get(f"{stage.base_url}/p.gif?{query}")
    else:
        text = {"Content-Type": "text/plain;charset=UTF-8"}
        answer = await stage.client.post(f"{stage.base_url}/e", content=json.dumps(fields), headers=text)
    if answer.status_code not in (200, 204):
        raise DemoError(f"the pixel answered {answer.status_code}")


def _generic(stage: Stage, order: Order) -> dict[str, Any]:
    return {
        "order_id": f"S-{order.cart.number}",
        "kind": "sale",
        "occurred_at": order.at.isoformat(),
        "currency": order.cart.currency,
        "net_minor": order.cart.net_minor(),
        "codes": [_code_of(stage, order)],
    }


async def _server_call(stage: Stage, order: Order) -> None:
    await stage.call("POST", "/v1/conversions", _generic(stage, order))


async def _signed_call(stage: Stage, order: Order) -> None:

    raw = json.dumps(_generic(stage, order)).encode()
    signature = hmac.digest(HOOK_SECRET.encode(), raw, "sha256").hex()
    headers = {"Content-Type": "application/json", "X-Ariane-Signature": f"sha256={signature}"}
    answer = await stage.client.post(stage.hook_url, content=raw, headers=headers)
    if answer.status_code != 200:
        raise DemoError(f"the signed webhook answered {answer.status_code}: {answer.text[:300]}")


async def _report(stage: Stage, group_by: str | None, refunds_by: str = "event") -> dict[str, Any]:
    day = stage.now.astimezone(ZoneInfo(ZONE)).date()
    query = f"from={day - timedelta(days=3)}&to={day + timedelta(days=2)}&tz={quote(ZONE)}&refunds_by={refunds_by}"
    grouped = "" if group_by is None else f"&group_by={group_by}"
    answer: dict[str, Any] = await stage.call("GET", f"/v1/reports/summary?{query}{grouped}")
    return answer


async def compare(stage: Stage) -> list[str]:
    """Every figure of every breakdown against the ledger: one sentence a difference."""
    differences: list[str] = []
    whole = await _report(stage, None)
    differences += _differ("totals", stage.ledger.totals(), whole["totals"])
    differences += _differ("unattributed", stage.ledger.unattributed(), whole["unattributed"])
    differences += _differ("all orders", stage.ledger.all_orders(), whole["all_orders"])
    listed = {entry["currency"]: entry for entry in whole["unconverted"]}
    for currency, figures in stage.ledger.foreign().items():
        differences += _differ(f"unconverted {currency}", figures, listed.get(currency, {}))
    cohorts = stage.ledger.by_order()
    for ledger, dimension, refunds_by in [
        *((stage.ledger, each, "event") for each in DIMENSIONS),
        (cohorts, "day", "order"),
    ]:
        rows = {_key(row, dimension): row for row in (await _report(stage, dimension, refunds_by))["rows"]}
        for value in sorted(ledger.keys(dimension)):
            expected = ledger.row(dimension, value)
            if dimension == "code":
                expected = {name: figure for name, figure in expected.items() if "clicks" not in name}
            differences += _differ(f"{dimension} {value}, refunds by {refunds_by}", expected, rows.get(value, {}))
    return differences


def _key(row: dict[str, Any], dimension: str) -> str | None:
    key = row["key"][dimension]
    return key["id"] if isinstance(key, dict) else None if key is None else str(key)


def _differ(where: str, expected: books.Figures, found: dict[str, Any]) -> list[str]:
    differences = []
    for name, figure in expected.items():
        got = found.get(name)
        # A row that is not there says nought of everything.
        if got is None and not found and figure in (0, None):
            continue
        same = (
            abs(Fraction(str(got)) - figure) < Fraction(1, 10**5)
            if isinstance(figure, Fraction) and got is not None
            else got == figure
        )
        if not same:
            differences.append(
                f"{where}: {name} is {got}, the ledger says {figure if not isinstance(figure, Fraction) else float(figure)}"
            )
    return differences


async def show(stage: Stage, console: Console) -> None:
    """The report by influencer as a table."""
    answer = await _report(stage, "influencer")
    table = Table(
        title=f"The launch day, in {answer['currency']}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        padding=(0, 1, 0, 0),
    )
    table.add_column("influencer", no_wrap=True)
    for heading in COLUMNS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    rows = sorted(answer["rows"], key=lambda row: -row["net_minor"])
    for row in rows:
        table.add_row(
            str((row["key"]["influencer"] or {}).get("name")), *(_cell(name, row.get(name)) for name in COLUMNS)
        )
    table.add_section()
    for name in ("totals", "unattributed", "all_orders"):
        table.add_row(name.replace("_", " "), *(_cell(column, answer[name].get(column)) for column in COLUMNS))
    console.print(table)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name.endswith("_minor"):
        return f"{value / 100:,.0f}"
    return f"{value:.2f}" if isinstance(value, float) else f"{value:,}"


def _deal(partner: Partner) -> books.Deal:
    return books.Deal(partner.influencer_id, partner.campaign_id, partner.collaboration_id)


def _today(stage: Stage) -> dict[str, str]:
    return {"currency": "EUR", "incurred_on": stage.now.astimezone(ZoneInfo(ZONE)).date().isoformat()}


async def _in_parallel(tasks: Sequence[Awaitable[None]], progress: Progress, task: Any) -> None:
    """Awaits all, CONCURRENCY at a time; the first failure ends the rest."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(act: Awaitable[None]) -> None:
        async with gate:
            await act
        progress.advance(task)

    async with asyncio.TaskGroup() as group:
        for act in tasks:
            group.create_task(one(act))


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<38}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
