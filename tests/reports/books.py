"""A brand's books kept by hand: facts, how they stand in the tables, and what a report must say of them, recomputed with plain loops.

Nothing here uses the code under test: days are what the calendar of the zone shows, sums are sums.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from app import random_ids
from app.database.partitions import ensure_partitions
from app.database.tables import CLICK_CLASSES
from app.domain.ids import floor_at
from tests.cast import Brand, Collaboration, create_code, create_link

FROM, UNTIL = datetime(2026, 10, 20, tzinfo=UTC), datetime(2026, 11, 10, tzinfo=UTC)
CLASS_NAMES = ("clicks", "bots", "previews", "prefetches", "heads")
UNCOUNTED = len(CLASS_NAMES)
"""The class of clicks made by the trial of a source, which no report counts."""
COUNTS = (
    *CLASS_NAMES,
    "unique_clicks",
    "conversions",
    "orders",
    "gross_minor",
    "refunds_minor",
    "net_minor",
    "cost_minor",
)


@dataclass(frozen=True)
class Click:
    """One redirect; `place` numbers the link."""

    at: datetime
    place: int
    kind: int = 0
    visitor: int = 1


@dataclass(frozen=True)
class Share:
    """A share of an order; collaboration, link and code by number. `weight_bp` of 10,000."""

    collaboration: int | None
    link: int | None = None
    code: int | None = None
    weight_bp: int = 10_000


@dataclass(frozen=True)
class Order:
    """One order with whom it is credited to, and its refunds (when, how much)."""

    at: datetime
    amounts: tuple[int, ...]
    shares: tuple[Share, ...]
    currency: str = "EUR"
    kind: str = "sale"
    counted: bool = True
    shop: str = "main"
    refunds: tuple[tuple[datetime, tuple[int, ...]], ...] = ()


@dataclass(frozen=True)
class Cost:
    """One cost; `collaboration` None: of campaign number `campaign` as a whole."""

    on: date
    campaign: int
    collaboration: int | None
    amount: int
    currency: str = "EUR"
    archived: bool = False


@dataclass
class Books:
    """Everything that is known of one brand. Collaborations number 0 and 1 share campaign 0; 0 and 2 share influencer 0."""

    clicks: Sequence[Click] = ()
    orders: Sequence[Order] = ()
    costs: Sequence[Cost] = ()
    influencers: list[UUID] = field(default_factory=list)
    campaigns: list[UUID] = field(default_factory=list)
    collaborations: list[Collaboration] = field(default_factory=list)
    links: list[UUID] = field(default_factory=list)
    link_of: tuple[int, ...] = (0, 0, 1, 2)
    codes: list[UUID] = field(default_factory=list)


async def open_books(pool: asyncpg.Pool, brand: Brand) -> Books:
    """Two influencers, two campaigns, three collaborations, four links, two codes; no facts yet."""
    books = Books()
    now = FROM
    for table, ids, more in (
        ("influencer", books.influencers, ""),
        ("campaign", books.campaigns, ", objective, currency"),
    ):
        for name in ("first", "second"):
            ids.append(random_ids.new_id())
            values = ", 'sales', 'EUR'" if more else ""
            await pool.execute(
                f"INSERT INTO {table} (brand_id, id, name, created_at, updated_at{more}) VALUES ($1, $2, $3, $4, $4{values})",
                brand.id,
                ids[-1],
                f"{name} {table}",
                now,
            )
    for campaign, influencer in ((0, 0), (0, 1), (1, 0)):
        found = Collaboration(random_ids.new_id(), books.campaigns[campaign], books.influencers[influencer])
        await pool.execute(
            """INSERT INTO collaboration (brand_id, id, campaign_id, influencer_id, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $5)""",
            brand.id,
            found.id,
            found.campaign_id,
            found.influencer_id,
            now,
        )
        books.collaborations.append(found)
    for number in books.link_of:
        books.links.append(await create_link(pool, brand, books.collaborations[number], f"s{random_ids.new_id().hex}"))
    for number in (0, 1):
        books.codes.append(await create_code(pool, brand, books.collaborations[number], f"CODE{number}"))
    return books


async def write(pool: asyncpg.Pool, brand: Brand, zone: ZoneInfo, books: Books) -> None:
    """Puts the facts into the tables, as drain and recording leave them."""
    async with pool.acquire() as connection:
        await ensure_partitions(connection, since=FROM - timedelta(days=2), until=UNTIL + timedelta(days=2))
        await _write_clicks(connection, brand.id, zone, books)
        await _write_orders(connection, brand.id, books)
        rows = [
            (
                brand.id,
                random_ids.new_id(),
                books.campaigns[cost.campaign],
                None if cost.collaboration is None else books.collaborations[cost.collaboration].id,
                "fee",
                cost.amount,
                cost.currency,
                cost.on,
                FROM,
                FROM,
                FROM if cost.archived else None,
            )
            for cost in books.costs
        ]
        columns = "brand_id id campaign_id collaboration_id kind amount_minor currency incurred_on created_at updated_at archived_at"
        await connection.copy_records_to_table("cost", records=rows, columns=columns.split())


def first_clicks(clicks: Iterable[Click]) -> set[int]:
    """The numbers of the clicks that are the first human one of their link, UTC day and visitor."""
    first: dict[tuple[int, date, int], tuple[datetime, int]] = {}
    for number, click in enumerate(clicks):
        if click.kind == 0:
            place = (click.place, click.at.date(), click.visitor)
            first[place] = min(first.get(place, (click.at, number)), (click.at, number))
    return {number for _, number in first.values()}


async def _write_clicks(connection: Any, brand_id: UUID, zone: ZoneInfo, books: Books) -> None:
    rows, visits = [], []
    days: dict[tuple[date, UUID], Counter[str]] = {}
    firsts = first_clicks(books.clicks)
    for number, click in enumerate(books.clicks):
        link = books.links[click.place]
        click_id = UUID(int=floor_at(click.at).int + number)
        rows.append((brand_id, click_id, link, click.at, click.kind, click.visitor))
        if click.kind == UNCOUNTED:
            continue
        day = days.setdefault((click.at.astimezone(zone).date(), link), Counter())
        day[CLASS_NAMES[click.kind]] += 1
        if number in firsts:
            day["unique_clicks"] += 1
            visits.append((brand_id, click.at.date(), link, click.visitor, click_id))
    assert CLICK_CLASSES[UNCOUNTED:] == ("test",)
    columns = ["brand_id", "id", "link_id", "occurred_at", "class", "visitor"]
    await connection.copy_records_to_table("click", records=rows, columns=columns)
    names = [*CLASS_NAMES, "unique_clicks"]
    counted = [(brand_id, day, link, *(counts[name] for name in names)) for (day, link), counts in days.items()]
    await connection.copy_records_to_table("click_day", records=counted, columns=["brand_id", "day", "link_id", *names])
    columns = ["brand_id", "day", "link_id", "visitor", "first_click_id"]
    await connection.copy_records_to_table("visit", records=visits, columns=columns)


async def _write_orders(connection: Any, brand_id: UUID, books: Books) -> None:
    conversions, credits_ = [], []
    for order in books.orders:
        order_id = random_ids.new_id()
        refunded = sum(abs(amount) for _, amounts in order.refunds for amount in amounts)
        conversions.append(
            (brand_id, order_id, order_id, order.shop, order.kind, order.at, "pending", refunded, FROM, FROM)
        )
        events = [
            (order.at, order.amounts),
            *((at, tuple(-amount for amount in amounts)) for at, amounts in order.refunds),
        ]
        for position, (at, amounts) in enumerate(events):
            for number, (share, amount) in enumerate(zip(order.shares, amounts, strict=True)):
                who = None if share.collaboration is None else books.collaborations[share.collaboration]
                credits_.append(
                    (
                        brand_id,
                        order_id,
                        position,
                        number,
                        who and who.id,
                        who and who.campaign_id,
                        who and who.influencer_id,
                        None if share.link is None else books.links[share.link],
                        None if share.code is None else books.codes[share.code],
                        share.weight_bp,
                        amount,
                        order.currency,
                        order.kind,
                        at,
                        order.counted,
                    )
                )
    columns = [
        "brand_id",
        "id",
        "root_id",
        "shop",
        "kind",
        "occurred_at",
        "status",
        "refunded_minor",
        "created_at",
        "updated_at",
    ]
    await connection.copy_records_to_table("conversion", records=conversions, columns=columns)
    columns = [
        "brand_id",
        "conversion_id",
        "position",
        "share",
        "collaboration_id",
        "campaign_id",
        "influencer_id",
        "link_id",
        "code_id",
        "weight_bp",
        "amount_minor",
        "currency",
        "kind",
        "occurred_at",
        "counted",
    ]
    await connection.copy_records_to_table("credit", records=credits_, columns=columns)


# ── What a report must say ───────────────────────────────────────────────────────────────────────────────────────────

Facts = Counter[str]
Expected = dict[tuple[Any, ...], Facts]


@dataclass
class Answer:
    """What the books say: counts per row (entities by id, time by label), the whole, and what nobody is credited with."""

    rows: Expected = field(default_factory=dict)
    totals: Facts = field(default_factory=Counter)
    unattributed: Facts = field(default_factory=Counter)
    unconverted: dict[str, Facts] = field(default_factory=dict)


def label(at: datetime, unit: str, zone: ZoneInfo) -> str:
    """The day, week (by its Monday) or month that a calendar in `zone` shows."""
    day = at.astimezone(zone).date()
    if unit == "week":
        day -= timedelta(days=day.weekday())
    return day.isoformat()[: 7 if unit == "month" else 10]


def answer(
    books: Books,
    group_by: Sequence[str],
    start: datetime,
    end: datetime,
    zone: ZoneInfo,
    *,
    currency: str = "EUR",
    refunds_by: str = "event",
) -> Answer:
    """Every fact in [start, end), put where it belongs; a refund at its own date, or at that of its order."""
    found = Answer()

    def put(at: datetime, known: dict[str, Any], counts: dict[str, int]) -> None:
        found.totals.update(counts)
        key = tuple(
            label(at, group, zone) if group in ("day", "week", "month") else known.get(group, ...) for group in group_by
        )
        if group_by and ... not in key:
            found.rows.setdefault(key, Counter()).update(counts)

    firsts = first_clicks(books.clicks)
    for number, click in enumerate(books.clicks):
        if start <= click.at < end and click.kind != UNCOUNTED:
            known = {**_of(books, books.link_of[click.place]), "link": books.links[click.place]}
            put(click.at, known, {CLASS_NAMES[click.kind]: 1, "unique_clicks": int(number in firsts)})
    _put_orders(books, put, found, start, end, currency, refunds_by)
    for cost in books.costs:
        if not cost.archived and start <= datetime.combine(cost.on, time(), zone).astimezone(UTC) < end:
            if cost.currency != currency:
                found.unconverted.setdefault(cost.currency, Counter())["cost_minor"] += cost.amount
                continue
            known = {"campaign": books.campaigns[cost.campaign]}
            if cost.collaboration is not None:
                known = _of(books, cost.collaboration)
            put(datetime.combine(cost.on, time(12), zone), known, {"cost_minor": cost.amount})
    return found


def _put_orders(
    books: Books,
    put: Callable[..., None],
    found: Answer,
    start: datetime,
    end: datetime,
    currency: str,
    refunds_by: str,
) -> None:
    for order in books.orders:
        refunds = [(order.at if refunds_by == "order" else at, amounts) for at, amounts in order.refunds]
        events = [("gross_minor", order.at, order.amounts), *(("refunds_minor", *refund) for refund in refunds)]
        for name, at, amounts in events:
            if not order.counted or not start <= at < end:
                continue
            for share, amount in zip(order.shares, amounts, strict=True):
                counts = {name: amount, "net_minor": amount if name == "gross_minor" else -amount}
                if name == "gross_minor":
                    counts["conversions"] = share.weight_bp
                    counts["orders"] = share.weight_bp if order.kind == "sale" else 0
                if order.currency != currency:
                    found.unconverted.setdefault(order.currency, Counter()).update(counts)
                elif share.collaboration is None:
                    found.unattributed.update(counts)
                else:
                    known = _of(books, share.collaboration)
                    known["link"] = None if share.link is None else books.links[share.link]
                    known["code"] = None if share.code is None else books.codes[share.code]
                    put(at, known, counts)


def _of(books: Books, number: int) -> dict[str, Any]:
    who = books.collaborations[number]
    return {"influencer": who.influencer_id, "campaign": who.campaign_id, "collaboration": who.id}
