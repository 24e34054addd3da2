"""The report: clicks, orders, refunds and costs of one brand, added up and turned into KPIs."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.tables import brand, delivery, drain_state, unique_pending
from app.domain.ids import minted_at
from app.domain.kpi import ORDER_METRICS, Figures, Missing, compute, coverage, shown
from app.domain.periods import read_zone
from app.errors import Invalid, NotFound
from app.reports.assembly import Assembly, Unconverted, Unsplit, assemble, knows_clicks, knows_costs, splits_clicks
from app.reports.clicks import count_clicks
from app.reports.money import Costs, count_costs, count_orders
from app.reports.names import Named, find_names
from app.reports.question import Question

TIMEOUT_MS = 10_000
"""Longest that one statement of a report may run."""
MODEL = "policy"
"""Credits as each order's own policy gives them."""
CANCELED = "57014"


@dataclass(frozen=True, slots=True)
class BrandBasics:
    """The brand's currency and time zone: a report's defaults."""

    currency: str
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """One row: for each group its entity, or the label of its day, week or month; and its figures."""

    key: Mapping[str, Named | str]
    figures: Figures


@dataclass(frozen=True, slots=True)
class Summary:
    """The whole report. complete_until: every click and order received before it is counted; None while nothing has been drained yet."""

    question: Question
    as_of: datetime
    complete_until: datetime | None
    rows: tuple[GroupFigures, ...]
    totals: Figures
    unattributed: Figures
    all_orders: Figures
    unsplit: tuple[Unsplit, ...]
    unconverted: tuple[Unconverted, ...]


@asynccontextmanager
async def one_moment(connection: AsyncConnection) -> AsyncIterator[None]:
    """Run the block at one moment of the database, each statement for at most TIMEOUT_MS. The transaction must not have read anything yet.

    A statement that is cut off becomes Invalid with advice: the same question would be cut off again.
    """
    await connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    # Compiling these statements takes longer than running them.
    await connection.exec_driver_sql(
        f"SELECT set_config('statement_timeout', '{TIMEOUT_MS}', true), set_config('jit', 'off', true)"
    )
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != CANCELED:
            raise
        raise Invalid(
            f"the report takes longer than {TIMEOUT_MS // 1_000} s: ask for a shorter range, for the brand's own time zone, or for weeks",
            code="report_too_long",
        ) from error


async def read_basics(connection: AsyncConnection, brand_id: UUID) -> BrandBasics:
    """The brand's currency and time zone."""
    row = (await connection.execute(select(brand.c.currency, brand.c.time_zone).where(brand.c.id == brand_id))).first()
    if row is None:
        raise NotFound("there is no such brand")
    return BrandBasics(row.currency, read_zone(row.time_zone))


async def summarise(
    connection: AsyncConnection,
    brand_id: UUID,
    basics: BrandBasics,
    question: Question,
    *,
    as_of: datetime,
    click_days: int,
) -> Summary:
    """Answer the question, within `one_moment`. click_days: days for which single clicks are kept.

    Raises Invalid when it has too many rows, or needs single clicks that are gone.
    """
    counted = question
    if not all(map(splits_clicks, question.group_by)):
        counted = replace(question, group_by=())
    kept_from = as_of - timedelta(days=click_days)
    clicks = {}
    if knows_clicks(question):
        clicks = await count_clicks(connection, brand_id, basics.zone, counted, kept_from)
    orders = await count_orders(connection, brand_id, question)
    costs = await count_costs(connection, brand_id, question) if knows_costs(question) else Costs()
    # Thousands of rows take a second; in a thread, this process goes on redirecting meanwhile.
    assembly = await asyncio.to_thread(assemble, question, clicks, orders, costs)
    names = await find_names(connection, brand_id, question, assembly.rows)
    return Summary(
        question=question,
        as_of=as_of,
        complete_until=await complete_until(connection, brand_id, as_of),
        rows=await asyncio.to_thread(_rows, question, assembly, names),
        totals=compute(assembly.totals),
        unattributed=compute(assembly.unattributed, ORDER_METRICS),
        all_orders=_all_orders(question, assembly),
        unsplit=assembly.unsplit,
        unconverted=assembly.unconverted,
    )


def _rows(
    question: Question, assembly: Assembly, names: Mapping[str, Mapping[UUID | None, Named]]
) -> tuple[GroupFigures, ...]:
    labels = [bucket.label for bucket in question.buckets]
    found = []
    for row in assembly.rows:
        key: dict[str, Named | str] = {}
        for group, part in zip(question.group_by, row.key, strict=True):
            key[group] = labels[part] if isinstance(part, int) else names[group][part]
        found.append(GroupFigures(key, compute(row.facts)))
    return tuple(found)


def _all_orders(question: Question, assembly: Assembly) -> Figures:
    """The figures of all orders, and the share that the report explains; no share under a filter that no unattributed order can pass."""
    figures = compute(assembly.all_orders, ORDER_METRICS)
    filters = question.filters
    if filters.influencer_id or filters.campaign_id or filters.collaboration_id or filters.link_id or filters.code_id:
        figure = coverage(Missing("filtered"), assembly.all_orders.conversions)
    else:
        figure = coverage(assembly.totals.conversions, assembly.all_orders.conversions)
    values: dict[str, int | Decimal | None] = {**figures.values, "coverage": shown(figure, "ratio")}
    reasons = {**figures.reasons, **({"coverage": figure.reason} if isinstance(figure, Missing) else {})}
    return Figures(values, reasons)


async def complete_until(connection: AsyncConnection, brand_id: UUID, as_of: datetime) -> datetime | None:
    """The oldest moment at which something may still be missing: undrained lines, uncounted visitors, unrecorded deliveries."""
    drained: datetime | None = (await connection.execute(select(func.min(drain_state.c.drained_until)))).scalar()
    if drained is None:
        return None
    moments = [as_of, drained]
    click_ids = (
        select(func.unnest(unique_pending.c.click_ids).label("click_id"))
        .where(unique_pending.c.brand_id == brand_id)
        .order_by("click_id")
        .limit(1)
    )
    click_id = (await connection.execute(click_ids)).scalar()
    if click_id is not None:
        moments.append(minted_at(click_id))
    waiting = (
        select(delivery.c.received_at)
        .where(delivery.c.brand_id == brand_id, delivery.c.status == "received")
        .order_by(delivery.c.id)
        .limit(1)
    )
    received_at = (await connection.execute(waiting)).scalar()
    if received_at is not None:
        moments.append(received_at)
    return min(moments)
