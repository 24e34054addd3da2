"""Requests that led nowhere: unknown slugs of a brand's own hosts, expired and disabled links, by day."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.tables import missed_day
from app.domain.periods import Period
from app.reports.statements import ROWS_MAX, fetch, in_days, is_one_of

MISSED_COLUMNS = ("day", "host", "slug", "reason", "hits")


async def list_missed(
    connection: AsyncConnection, brand_id: UUID, period: Period, reasons: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Day, host, slug, reason and hits of what was missed on the days that begin in the period: latest day first, most hits first.

    Invalid when there are too many rows.
    """
    day, host, slug, reason, hits = (missed_day.c[name] for name in MISSED_COLUMNS)
    query = (
        select(day, host, slug, reason, hits)
        .where(missed_day.c.brand_id == brand_id, *in_days(day, period))
        .order_by(day.desc(), hits.desc(), host, slug, reason)
        .limit(ROWS_MAX + 1)
    )
    if reasons:
        query = query.where(is_one_of(reason, reasons))
    return [row._asdict() for row in await fetch(connection, query)]
