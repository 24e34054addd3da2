"""Orders that a release before made of several orders of a shop system: `merged_orders` finds them, `split_merged` takes one apart.

A release before joined orders by any name they shared, so two orders of one number became one. This one keeps them apart from the first message on,
and leaves what is stored as it is until somebody asks.
"""

import logging
from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain import ids
from app.domain.money import read_declared
from app.domain.naming import naming_of
from app.domain.orders import Context
from app.intake.deliveries.replaying import STORED, stored_message
from app.orders.locks import lock_orders
from app.orders.names import split_order
from app.orders.recompute import OrderState, recompute_orders
from app.platforms.registry import SHOP_SYSTEMS

log = logging.getLogger("ariane.intake")

LISTED_MAX_ROWS = 1_000
"""Most merged orders of one brand in a list."""

BRANDS = "/* across brands: which there are */ SELECT id, name, currency FROM brand ORDER BY name, id"
OWNER = """/* across brands: whose order it is */
SELECT b.id, b.currency, b.currencies FROM conversion c JOIN brand b ON b.id = c.brand_id WHERE c.id = $1
"""
MERGED = """
SELECT r.id, r.shop, r.order_id, r.status, array_agg(DISTINCT w.primary_ref ORDER BY w.primary_ref) AS primary_refs
FROM (
    SELECT conversion_id, coalesce(report ->> 'system', platform) AS system, report -> 'refs' ->> 0 AS primary_ref FROM witness
    WHERE brand_id = $1 AND door = 'hook' AND (report ? 'system' OR platform = ANY($2::text[]))
) AS w
JOIN conversion c ON c.brand_id = $1 AND c.id = w.conversion_id
JOIN conversion r ON r.brand_id = $1 AND r.id = c.root_id
GROUP BY r.id, r.shop, r.order_id, r.status, w.system HAVING count(DISTINCT w.primary_ref) > 1
ORDER BY r.id LIMIT $3
"""
# Releases before did not keep which order a refund named.
UNNAMED = """
SELECT f.refund_id, f.delivery_id FROM conversion c JOIN adjustment f ON f.brand_id = $1 AND f.conversion_id = c.id
WHERE c.brand_id = $1 AND c.root_id = ANY($2::uuid[]) AND f.refs = '{}' AND f.delivery_id IS NOT NULL
"""
NAME = """
UPDATE adjustment f SET refs = $5 FROM conversion c
WHERE c.brand_id = $1 AND c.root_id = ANY($2::uuid[])
    AND f.brand_id = $1 AND f.conversion_id = c.id AND f.delivery_id = $3 AND f.refund_id = $4 AND f.refs = '{}'
"""


class MergedOrder(NamedTuple):
    """An order made of several. primary_refs: their ids in the shop system."""

    brand: str
    id: str
    shop: str
    order_id: str | None
    status: str
    primary_refs: tuple[str, ...]


async def merged_orders(connection: asyncpg.Connection) -> list[MergedOrder]:
    """All such orders of all brands, at most LISTED_MAX_ROWS of each; [] for none. Reads every report of a webhook."""
    found = []
    for brand in await connection.fetch(BRANDS):
        rows = await connection.fetch(MERGED, brand["id"], SHOP_SYSTEMS, LISTED_MAX_ROWS)
        for id_, shop, order_id, status, primary_refs in rows:
            shown = ids.show("conversion", id_)
            found.append(MergedOrder(brand["name"], shown, shop, order_id, status, tuple(primary_refs)))
    return found


async def split_merged(connection: asyncpg.Connection, conversion_id: UUID) -> Mapping[UUID, OrderState] | None:
    """Takes an order apart, in the caller's READ COMMITTED transaction: the orders that it is now, one where it was one. None: there is none.

    Refunds go to the order that their message named; where that is no longer kept they stay with the row, as people's decisions do.
    """
    brand = await connection.fetchrow(OWNER, conversion_id)
    if brand is None:
        return None
    brand_id: UUID = brand["id"]
    roots = list((await lock_orders(connection, brand_id, [conversion_id])).roots)
    await _name_refunds(connection, brand_id, roots, brand)
    locked = await split_order(connection, brand_id, conversion_id)
    states = await recompute_orders(connection, brand_id, list(locked.roots.values()))
    log.warning(
        "order %s was taken apart into %s",
        ids.show("conversion", conversion_id),
        ", ".join(ids.show("conversion", each) for each in sorted(states)),
    )
    return states


async def _name_refunds(
    connection: asyncpg.Connection, brand_id: UUID, roots: list[UUID], brand: asyncpg.Record
) -> None:
    """Gives the refunds of these locked orders the names that the messages which reported them gave the order."""
    unnamed = {(row["delivery_id"], row["refund_id"]) for row in await connection.fetch(UNNAMED, brand_id, roots)}
    for row in await connection.fetch(STORED, brand_id, list({delivery_id for delivery_id, _ in unnamed})):
        message = stored_message(row)
        context = Context(
            message.received_at,
            brand["currency"],
            lambda *_: None,
            shop=message.shop,
            currencies=read_declared(brand["currencies"]),
        )
        parsed = message.read(context)
        for report in parsed.reports:
            for refund in report.refunds:
                if (message.id, refund.refund_id) in unnamed:
                    names = list(naming_of(report).names)
                    await connection.execute(NAME, brand_id, roots, message.id, refund.refund_id, names)
