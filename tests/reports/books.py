"""The ledger of a test's brand: facts in short form, how they are stored in the tables, and the numbers under which the ledger knows them.

What a report must say of the facts is worked out by demo/ledger.py, with no code under test: days are what the calendar of the zone shows, sums
are sums.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from app import random_ids
from app.database.partitions import ensure_partitions
from app.domain.click_classes import CLICK_CLASSES as CLASSES
from app.domain.ids import floor_at
from app.reports.names import Named
from app.reports.question import Question
from demo.figures import CLICK_CLASSES, WHOLE_BP
from demo.ledger import BookedClick, BookedCost, BookedOrder, Deal, Expected, Key, Ledger, Query, Share, first_visits
from tests.cast import Brand, Collaboration, create_code, create_link

FROM, UNTIL = datetime(2026, 10, 20, tzinfo=UTC), datetime(2026, 11, 10, tzinfo=UTC)
CLICK_COUNTS = (*CLICK_CLASSES.values(), "unique_clicks")
COUNTS = (*CLICK_COUNTS, "conversions", "orders", "gross_minor", "refunds_minor", "net_minor", "cost_minor")
"""The figures of a report that are counted."""
DEALS = (Deal(0, 0, 0), Deal(1, 0, 1), Deal(0, 1, 2))
"""By the number of the collaboration: 0 and 1 share campaign 0, 0 and 2 share influencer 0."""
LINK_OF = (0, 0, 1, 2)
"""By the number of the link: the number of its collaboration."""


def click(at: datetime, link: int, kind: int = 0, visitor: int = 1) -> BookedClick:
    """One redirect by link number `link`; kind: the number of its class."""
    return BookedClick(at, DEALS[LINK_OF[link]], link, CLASSES[kind], visitor)


def share(
    collaboration: int | None, link: int | None = None, code: int | None = None, weight_bp: int = WHOLE_BP
) -> Share:
    """A share of an order: of a collaboration, link and code by number."""
    return Share(None if collaboration is None else DEALS[collaboration], link, code, weight_bp)


def cost(
    on: date, campaign: int, collaboration: int | None, amount: int, currency: str = "EUR", archived: bool = False
) -> BookedCost:
    """A cost of a collaboration, or of the whole campaign where that is None."""
    return BookedCost(on, campaign, None if collaboration is None else DEALS[collaboration], amount, currency, archived)


@dataclass
class Books:
    """The facts about one brand, and the ids behind the numbers of its influencers, campaigns, collaborations, links and codes."""

    clicks: list[BookedClick] = field(default_factory=list)
    orders: list[BookedOrder] = field(default_factory=list)
    costs: list[BookedCost] = field(default_factory=list)
    influencers: list[UUID] = field(default_factory=list)
    campaigns: list[UUID] = field(default_factory=list)
    collaborations: list[Collaboration] = field(default_factory=list)
    links: list[UUID] = field(default_factory=list)
    codes: list[UUID] = field(default_factory=list)

    def expect(self, query: Query, zone: ZoneInfo) -> Expected:
        """What a report in EUR must say of these facts."""
        return Ledger("EUR", zone, self.clicks, self.orders, self.costs).report(query)

    def key(self, key: Mapping[str, Named | str]) -> Key:
        """A row's key with the numbers of the entities in place of their ids."""
        ids = {
            "influencer": self.influencers,
            "campaign": self.campaigns,
            "collaboration": [each.id for each in self.collaborations],
            "link": self.links,
            "code": self.codes,
        }
        return tuple(
            part if isinstance(part, str) else None if part.id is None else ids[group].index(part.id)
            for group, part in key.items()
        )


def query_of(question: Question) -> Query:
    """The ledger's form of a question without filters."""
    period = question.period
    return Query(question.group_by, refunds_by=question.refunds_by, start=period.start, end=period.end)


async def open_books(pool: asyncpg.Pool, brand: Brand) -> Books:
    """Two influencers, two campaigns, three collaborations, four links, two codes; no facts yet."""
    books = Books()
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
                FROM,
            )
    for deal in DEALS:
        found = Collaboration(random_ids.new_id(), books.campaigns[deal.campaign], books.influencers[deal.influencer])
        await pool.execute(
            """INSERT INTO collaboration (brand_id, id, campaign_id, influencer_id, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $5)""",
            brand.id,
            found.id,
            found.campaign_id,
            found.influencer_id,
            FROM,
        )
        books.collaborations.append(found)
    for number in LINK_OF:
        books.links.append(await create_link(pool, brand, books.collaborations[number], f"s{random_ids.new_id().hex}"))
    for number in (0, 1):
        books.codes.append(await create_code(pool, brand, books.collaborations[number], f"CODE{number}"))
    return books


async def write(pool: asyncpg.Pool, brand: Brand, zone: ZoneInfo, books: Books) -> None:
    """Writes the facts into the tables, as drain and recording leave them."""
    async with pool.acquire() as connection:
        await ensure_partitions(connection, since=FROM - timedelta(days=2), until=UNTIL + timedelta(days=2))
        await _write_clicks(connection, brand.id, zone, books)
        await _write_orders(connection, brand.id, books)
        await _copy(
            connection,
            "cost",
            "brand_id id campaign_id collaboration_id kind amount_minor currency incurred_on created_at updated_at archived_at",
            [
                (
                    brand.id,
                    random_ids.new_id(),
                    books.campaigns[cost.campaign],
                    None if cost.deal is None else books.collaborations[cost.deal.collaboration].id,
                    "fee",
                    cost.amount_minor,
                    cost.currency,
                    cost.on,
                    FROM,
                    FROM,
                    FROM if cost.archived else None,
                )
                for cost in books.costs
            ],
        )


async def _copy(connection: Any, table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
    await connection.copy_records_to_table(table, records=rows, columns=columns.split())


async def _write_clicks(connection: Any, brand_id: UUID, zone: ZoneInfo, books: Books) -> None:
    rows: list[tuple[Any, ...]] = []
    visits: list[tuple[Any, ...]] = []
    days: dict[tuple[date, UUID], Counter[str]] = {}
    first = first_visits(books.clicks)
    for number, click in enumerate(books.clicks):
        link = books.links[click.link]
        click_id = UUID(int=floor_at(click.at).int + number)
        rows.append((brand_id, click_id, link, click.at, CLASSES.index(click.counted_as), click.visitor))
        if click.counted_as not in CLICK_CLASSES:
            continue
        day = days.setdefault((click.at.astimezone(zone).date(), link), Counter())
        day[CLICK_CLASSES[click.counted_as]] += 1
        if number in first:
            day["unique_clicks"] += 1
            visits.append((brand_id, click.at.date(), link, click.visitor, click_id))
    await _copy(connection, "click", "brand_id id link_id occurred_at class visitor", rows)
    counted = [(brand_id, day, link, *(counts[name] for name in CLICK_COUNTS)) for (day, link), counts in days.items()]
    await _copy(connection, "click_day", f"brand_id day link_id {' '.join(CLICK_COUNTS)}", counted)
    await _copy(connection, "visit", "brand_id day link_id visitor first_click_id", visits)


async def _write_orders(connection: Any, brand_id: UUID, books: Books) -> None:
    conversions: list[tuple[Any, ...]] = []
    credits_: list[tuple[Any, ...]] = []
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
                credited = None if share.deal is None else books.collaborations[share.deal.collaboration]
                credits_.append(
                    (
                        brand_id,
                        order_id,
                        position,
                        number,
                        credited and credited.id,
                        credited and credited.campaign_id,
                        credited and credited.influencer_id,
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
    columns = "brand_id id root_id shop kind occurred_at status refunded_minor created_at updated_at"
    await _copy(connection, "conversion", columns, conversions)
    columns = (
        "brand_id conversion_id position share collaboration_id campaign_id influencer_id link_id code_id weight_bp"
    )
    columns += " amount_minor currency kind occurred_at counted"
    await _copy(connection, "credit", columns, credits_)
