"""The queue `redecide`: orders to be worked out again, because something they depend on may have arrived or changed.

It is a local table: never together with a brand's tables in one statement.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from app import clock
from app.database.transactions import Connection

APPEND = """
INSERT INTO redecide (brand_id, conversion_id, after, queued_at) SELECT $1, unnest($2::uuid[]), $3::text::xid8, $4
"""
NAMING = "SELECT DISTINCT conversion_id FROM order_touch WHERE brand_id = $1 AND touch = ANY($2::text[])"
"""Finds the orders that name any of these touches."""
NAMING_VISITORS = """
SELECT conversion_id FROM order_touch WHERE brand_id = $1 AND touch = ANY($2::text[])
UNION
SELECT named.conversion_id FROM unnest($3::text[]) AS v(visitor_id)
CROSS JOIN LATERAL (
    SELECT click_id FROM visitor_click WHERE brand_id = $1 AND visitor_id = v.visitor_id ORDER BY click_id DESC LIMIT $4
) AS landed CROSS JOIN LATERAL (
    SELECT conversion_id FROM order_touch WHERE brand_id = $1 AND touch = 'click:' || landed.click_id OFFSET 0
) AS named
"""
"""Finds the orders that name any of these touches, or a click with which one of these visitors landed."""
APPEND_LATER = """
INSERT INTO redecide (brand_id, conversion_id, after, not_before)
SELECT $1, r.conversion_id, '0', r.not_before FROM unnest($2::uuid[], $3::timestamptz[]) AS r(conversion_id, not_before)
"""


async def enqueue(
    connection: Connection, brand_id: UUID, conversion_ids: Collection[UUID], *, at_once: bool = False
) -> None:
    """Appends these orders. They are due once every transaction that runs beside this one has ended; at_once: as soon as this one has."""
    if conversion_ids:
        await connection.execute(APPEND, brand_id, sorted(conversion_ids), "0" if at_once else None, clock.now())


async def enqueue_later(connection: Connection, brand_id: UUID, not_before: Mapping[UUID, datetime]) -> None:
    """Appends orders that are due at a moment of their own."""
    if not_before:
        await connection.execute(APPEND_LATER, brand_id, list(not_before), list(not_before.values()))
