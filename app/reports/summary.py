"""The report: clicks, orders, refunds and costs of one brand, added up and turned into KPIs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.tables import brand, delivery, drain_state, redecide, unique_pending
from app.domain.ids import minted_at
from app.domain.periods import read_zone
from app.errors import Invalid, Unavailable
from app.reports.assembly import Completeness, Summary, Waiting, assemble
from app.reports.clicks import count_clicks
from app.reports.money import Sums, count_costs, count_orders
from app.reports.names import find_names
from app.reports.question import Question, Tallies
from app.reports.statements import check_rows

TIMEOUT_MS = 10_000
"""Longest that one statement of a report may run."""
MODEL = "policy"
"""Credits as each order's own policy gives them."""
CANCELED = "57014"
HELD_BACK_AFTER = timedelta(seconds=10)
"""Age of `complete_until` from which a report says what holds it back; a second or two is the ordinary way of a click."""


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


async def read_basics(connection: AsyncConnection, brand_id: UUID) -> tuple[str, ZoneInfo]:
    """The brand's currency and time zone: a report's defaults. Raises Unavailable on a standby that does not know the brand yet."""
    row = (
        await connection.execute(select(brand.c.currency, brand.c.time_zone).where(brand.c.id == brand_id))
    ).one_or_none()
    if row is None:
        raise Unavailable("the standby that answers reports does not know this brand yet", code="not_everywhere_yet")
    return row.currency, read_zone(row.time_zone)


async def summarise(
    connection: AsyncConnection,
    brand_id: UUID,
    zone: ZoneInfo,
    question: Question,
    *,
    as_of: datetime,
    click_days: int,
) -> Summary:
    """Answer the question, within `one_moment`. zone: the brand's. click_days: days for which single clicks are kept.

    Raises Invalid when it has too many rows, or needs single clicks that are gone.
    """
    clicks: Tallies = {}
    if question.knows_clicks:
        counted = question if question.splits_clicks else replace(question, group_by=())
        clicks = await count_clicks(connection, brand_id, zone, counted, as_of - timedelta(days=click_days))
    orders = await count_orders(connection, brand_id, question)
    costs = await count_costs(connection, brand_id, question) if question.knows_costs else Sums()
    keys = {*orders.rows, *clicks, *costs.rows} - {()}
    check_rows(len(keys))
    names = await find_names(connection, brand_id, question, keys)
    completeness = await find_completeness(connection, brand_id, as_of)
    # Thousands of rows take a second; in a thread, this process goes on redirecting meanwhile.
    return await asyncio.to_thread(
        assemble, question, clicks, orders, costs, names, as_of=as_of, completeness=completeness
    )


async def find_completeness(connection: AsyncConnection, brand_id: UUID, as_of: datetime) -> Completeness:
    """Until when everything is counted: the oldest of undrained lines, uncounted visitors, unrecorded deliveries and orders to be decided again."""
    columns = (drain_state.c.host, drain_state.c.drained_until, drain_state.c.updated_at, drain_state.c.left_at)
    hosts = (await connection.execute(select(*columns))).all()
    if not hosts:
        return Completeness(None, None)
    # One that was heard after it left runs again, with the release before, which knows of no leaving.
    here = [host for host in hosts if host.left_at is None or host.left_at < host.updated_at]
    # With every host stopped nothing is known of what came after the last one.
    waiting = [Waiting(host.drained_until, "host", host.host) for host in here] or [
        Waiting(max(host.left_at for host in hosts), "host", None)
    ]
    click_id = await connection.scalar(
        select(func.unnest(unique_pending.c.click_ids).label("click_id"))
        .where(unique_pending.c.brand_id == brand_id)
        .order_by("click_id")
        .limit(1)
    )
    received_at = await connection.scalar(
        select(delivery.c.received_at)
        .where(delivery.c.brand_id == brand_id, delivery.c.status == "received")
        .order_by(delivery.c.id)
        .limit(1)
    )
    due_at = func.coalesce(redecide.c.not_before, redecide.c.queued_at)
    queued_at = await connection.scalar(
        select(func.min(due_at)).where(redecide.c.brand_id == brand_id, due_at <= as_of)
    )
    for at, what in (
        (click_id and minted_at(click_id), "visitors"),
        (received_at, "deliveries"),
        (queued_at, "orders"),
    ):
        if at:
            waiting.append(Waiting(at, what))
    oldest = min(waiting, key=lambda each: each.since)
    if oldest.since >= as_of:
        return Completeness(as_of, None)
    return Completeness(oldest.since, oldest if as_of - oldest.since > HELD_BACK_AFTER else None)
