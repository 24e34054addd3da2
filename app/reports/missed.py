"""Requests that led nowhere: unknown slugs of a brand's own hosts, expired and disabled links, by day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.tables import missed_day
from app.domain.periods import Period, first_day_from
from app.reports.statements import ROWS_MAX, fetch, is_one_of

REASONS = ("unknown_slug", "expired", "disabled")


@dataclass(frozen=True, slots=True)
class Missed:
    """Hits of one slug on one day of the brand's zone. slug '(other)': those past the number of slugs that are told apart per host and day."""

    day: date
    host: str
    slug: str
    reason: str
    hits: int


async def list_missed(
    connection: AsyncConnection, brand_id: UUID, period: Period, reasons: Sequence[str] = ()
) -> tuple[Missed, ...]:
    """What was missed on the days that begin in the period, latest day first, most hits first. Invalid when there are too many rows."""
    query = select(missed_day).where(
        missed_day.c.brand_id == brand_id,
        missed_day.c.day >= first_day_from(period.start, period.zone),
        missed_day.c.day < first_day_from(period.end, period.zone),
    )
    if reasons:
        query = query.where(is_one_of(missed_day.c.reason, reasons))
    order = (
        missed_day.c.day.desc(),
        missed_day.c.hits.desc(),
        missed_day.c.host,
        missed_day.c.slug,
        missed_day.c.reason,
    )
    rows = await fetch(connection, query.order_by(*order).limit(ROWS_MAX + 1))
    return tuple(Missed(row.day, row.host, row.slug, row.reason, row.hits) for row in rows)
