"""Takes what identifies a person out of stored orders, clicks and messages. The one exception to "facts are only added" (docs/decisions/0009-erasure.md).

Money and owner stay. A report keeps everything but the key of its customer; it keeps its hash too, so that the same report received once more is
known and adds nothing. The id of a visitor gives way to a made-up name in every place at once, so that an order still finds the clicks that explain
it; a click keeps its link and time. A message keeps its hash, its result and nothing else: read again, it says nothing.
"""

from collections.abc import Callable, Collection, Sequence
from uuid import UUID

import asyncpg
import msgspec

from app import clock
from app.orders.locks import lock_orders
from app.orders.recompute import recompute_orders

MADE_UP = "erased-"
"""Beginning of the names that are made up."""

VISITORS_OF = """
SELECT DISTINCT w.report ->> 'visitor_id' AS visitor_id FROM conversion c JOIN witness w ON w.brand_id = $1 AND w.conversion_id = c.id
WHERE c.brand_id = $1 AND c.root_id = ANY($2::uuid[]) AND w.report ? 'visitor_id'
"""
ORDERS_OF_VISITORS = """
SELECT DISTINCT c.root_id FROM order_touch t JOIN conversion c ON c.brand_id = $1 AND c.id = t.conversion_id
WHERE t.brand_id = $1 AND t.touch = ANY($2::text[])
"""
VISITORS_OF_CLICKS = """
SELECT DISTINCT visitor_id FROM visitor_click WHERE brand_id = $1 AND click_id = ANY($2::uuid[]) ORDER BY visitor_id LIMIT $3
"""
# The visitor of a click that an order names explains the order, though its reports name no visitor.
NAMED_BY_CLICK = """
SELECT DISTINCT l.visitor_id FROM visitor_click l JOIN order_touch t ON t.brand_id = $1 AND t.touch = 'click:' || l.click_id
WHERE l.brand_id = $1 AND l.visitor_id = ANY($2::text[])
"""
VISITORS_MAX = 10_000
"""Visitors who landed with the clicks of one batch of orders."""
MEMBERS = "SELECT id FROM conversion WHERE brand_id = $1 AND root_id = ANY($2::uuid[])"

FORGET_CUSTOMERS = """
UPDATE witness w SET report = CASE
    WHEN (w.report -> 'customer') - 'key' = '{}'::jsonb THEN w.report - 'customer' ELSE w.report #- '{customer,key}' END
WHERE w.brand_id = $1 AND w.conversion_id = ANY($2::uuid[]) AND (w.report -> 'customer') ? 'key'
"""
# A made-up customer stands for the erased one where the number of customers decides: a click is believed for so many (claims.py), and earlier orders
# of a customer may decide who gets the later ones (customers.py).
CLAIMING = """
SELECT n.id FROM conversion n JOIN conversion c ON c.brand_id = $1 AND c.id = n.root_id
WHERE n.brand_id = $1 AND n.root_id = ANY($2::uuid[]) AND (c.claims <> '{}' OR EXISTS (
    SELECT FROM policy WHERE brand_id = $1 AND rules -> 'precedence' ?| ARRAY['customer', 'bound']))
"""
CUSTOMERS_OF = """
SELECT DISTINCT report -> 'customer' ->> 'key' AS key FROM witness
WHERE brand_id = $1 AND conversion_id = ANY($2::uuid[]) AND (report -> 'customer') ? 'key'
"""
RENAME_CUSTOMERS = """
UPDATE witness w SET report = jsonb_set(w.report, '{customer,key}', to_jsonb(n.name)) FROM unnest($3::text[], $4::text[]) AS n(key, name)
WHERE w.brand_id = $1 AND w.conversion_id = ANY($2::uuid[]) AND w.report -> 'customer' ->> 'key' = n.key
"""
RENAME_IN_REPORTS = """
UPDATE witness w SET report = jsonb_set(w.report, '{visitor_id}', to_jsonb(v.name))
FROM unnest($3::text[], $4::text[]) AS v(visitor_id, name)
WHERE w.brand_id = $1 AND w.conversion_id = ANY($2::uuid[]) AND w.report ->> 'visitor_id' = v.visitor_id
"""
RENAME_TOUCHES = """
UPDATE order_touch t SET touch = 'visitor:' || v.name FROM unnest($2::text[], $3::text[]) AS v(visitor_id, name)
WHERE t.brand_id = $1 AND t.touch = 'visitor:' || v.visitor_id RETURNING t.conversion_id
"""
RENAME_LANDINGS = """
UPDATE visitor_click l SET visitor_id = v.name FROM unnest($2::text[], $3::text[]) AS v(visitor_id, name)
WHERE l.brand_id = $1 AND l.visitor_id = v.visitor_id RETURNING l.click_id
"""
FORGET_LANDINGS = "DELETE FROM visitor_click WHERE brand_id = $1 AND visitor_id = ANY($2::text[]) RETURNING click_id"
FACTS = """
SELECT 'witness' AS fact, conversion_id, delivery_id, report -> 'click_ids' AS click_ids FROM witness
WHERE brand_id = $1 AND conversion_id = ANY($2::uuid[])
UNION ALL
SELECT 'adjustment', conversion_id, delivery_id, NULL FROM adjustment WHERE brand_id = $1 AND conversion_id = ANY($2::uuid[])
"""
CLICKS_OF = """
SELECT DISTINCT substr(touch, 7)::uuid AS click_id FROM order_touch
WHERE brand_id = $1 AND conversion_id = ANY($2::uuid[]) AND touch LIKE 'click:%'
"""
TOUCHES_OF = "SELECT count(*) FROM order_touch WHERE brand_id = $1 AND conversion_id = ANY($2::uuid[])"

# The bounds let the planner skip the months that hold none of these clicks.
FORGET_VISITS = """
DELETE FROM visit v USING click k
WHERE k.brand_id = $1 AND k.id = ANY($2::uuid[]) AND k.id BETWEEN $3 AND $4 AND v.brand_id = $1 AND v.link_id = k.link_id
    AND v.visitor = k.visitor AND v.day = (k.occurred_at AT TIME ZONE 'UTC')::date
"""
EMPTY_CLICKS = """
UPDATE click SET visitor = NULL, country = NULL, device = NULL, os = NULL, browser = NULL, in_app = NULL, referrer_host = NULL
WHERE brand_id = $1 AND id = ANY($2::uuid[]) AND id BETWEEN $3 AND $4
    AND num_nonnulls(visitor, country, device, os, browser, in_app, referrer_host) > 0 RETURNING id
"""
EMPTY_DELIVERIES = """
UPDATE delivery SET body = '', headers = '{}', detail = NULL, blotted = true, erased_at = $3
WHERE brand_id = $1 AND id = ANY($2::uuid[]) AND erased_at IS NULL RETURNING id
"""
EMPTY_DELIVERIES_OF = """
UPDATE delivery SET body = '', headers = '{}', detail = NULL, blotted = true, erased_at = $3
WHERE brand_id = $1 AND conversion_id = ANY($2::uuid[]) AND erased_at IS NULL RETURNING id
"""

Rename = Callable[[str], str]
"""The made-up name of a visitor or customer: the same for one id until the erasure has ended, and not to be found out afterwards."""


class Erased(msgspec.Struct):
    """What was found and done. conversions: the orders asked for. visitors: the ids that no longer stand anywhere."""

    conversions: list[UUID] = []
    deliveries: list[UUID] = []
    clicks: list[UUID] = []
    visitors: list[str] = []
    witnesses: int = 0
    adjustments: int = 0
    landings: int = 0
    touches: int = 0

    def add(self, other: "Erased") -> None:
        """Adds another part."""
        for name in self.__struct_fields__:
            before, more = getattr(self, name), getattr(other, name)
            setattr(
                self, name, before + (more if isinstance(more, int) else [each for each in more if each not in before])
            )


async def erase_orders(
    connection: asyncpg.Connection, brand_id: UUID, root_ids: Collection[UUID], rename: Rename
) -> Erased:
    """Erases these orders, in the caller's transaction: their customer, their visitors wherever these stand, their clicks and messages."""
    visitors = await _visitors_of(connection, brand_id, root_ids)
    touches = [f"visitor:{each}" for each in visitors]
    others = {row["root_id"] for row in await connection.fetch(ORDERS_OF_VISITORS, brand_id, touches)}
    locked = await lock_orders(connection, brand_id, {*root_ids, *others})
    asked = sorted({locked.root_of[each] for each in root_ids})
    # What was recorded while this waited for the locks belongs to these orders too.
    visitors = sorted({*visitors, *await _visitors_of(connection, brand_id, asked)})
    members = [row["id"] for row in await connection.fetch(MEMBERS, brand_id, asked)]
    facts = await connection.fetch(FACTS, brand_id, members)
    clicks = {row["click_id"] for row in await connection.fetch(CLICKS_OF, brand_id, members)}
    erased = Erased(
        conversions=asked,
        witnesses=sum(row["fact"] == "witness" for row in facts),
        adjustments=sum(row["fact"] == "adjustment" for row in facts),
        touches=await connection.fetchval(TOUCHES_OF, brand_id, members),
    )
    await _forget_customers(connection, brand_id, asked, members, rename)
    landed = await _rename_visitors(connection, brand_id, visitors, list(locked.roots), rename)
    erased.visitors, erased.landings = visitors, len(landed)
    erased.clicks = await empty_clicks(connection, brand_id, clicks | set(landed))
    rows = await connection.fetch(VISITORS_OF_CLICKS, brand_id, sorted(clicks), VISITORS_MAX)
    erased.add(await erase_visitors(connection, brand_id, [row["visitor_id"] for row in rows], rename))
    # The orders' rows first, then the messages', as everywhere: or two processes could deadlock.
    await recompute_orders(connection, brand_id, list(locked.roots.values()))
    now = clock.now()
    erased.deliveries = [row["id"] for row in await connection.fetch(EMPTY_DELIVERIES_OF, brand_id, members, now)]
    named = {row["delivery_id"] for row in facts if row["delivery_id"] is not None}
    erased.deliveries += await empty_deliveries(connection, brand_id, named)
    return erased


async def erase_visitors(
    connection: asyncpg.Connection, brand_id: UUID, visitors: Collection[str], rename: Rename
) -> Erased:
    """Erases visitors: landings that explain no order go, the others are kept under a made-up name."""
    wanted = sorted(each for each in visitors if not each.startswith(MADE_UP))
    if not wanted:
        return Erased()
    touches = [f"visitor:{each}" for each in wanted]
    others = {row["root_id"] for row in await connection.fetch(ORDERS_OF_VISITORS, brand_id, touches)}
    locked = await lock_orders(connection, brand_id, others)
    buying = await _visitors_of(connection, brand_id, list(locked.roots))
    named = await connection.fetch(NAMED_BY_CLICK, brand_id, wanted)
    needed = {*buying, *(row["visitor_id"] for row in named)}
    kept = [each for each in wanted if each in needed]
    landed = await _rename_visitors(connection, brand_id, kept, list(locked.roots), rename)
    idle = [each for each in wanted if each not in needed]
    landed += [row["click_id"] for row in await connection.fetch(FORGET_LANDINGS, brand_id, idle)]
    clicks = await empty_clicks(connection, brand_id, landed)
    await recompute_orders(connection, brand_id, list(locked.roots.values()))
    return Erased(visitors=wanted, landings=len(landed), clicks=clicks)


async def empty_clicks(connection: asyncpg.Connection, brand_id: UUID, click_ids: Collection[UUID]) -> list[UUID]:
    """Leaves of these clicks their id, link, class and time; those of which there was more."""
    wanted = sorted(click_ids)
    if not wanted:
        return []
    bounds = (brand_id, wanted, wanted[0], wanted[-1])
    await connection.execute(FORGET_VISITS, *bounds)
    return [row["id"] for row in await connection.fetch(EMPTY_CLICKS, *bounds)]


async def empty_deliveries(
    connection: asyncpg.Connection, brand_id: UUID, delivery_ids: Collection[UUID]
) -> list[UUID]:
    """Leaves of these messages their hash and result; those that were not empty yet."""
    if not delivery_ids:
        return []
    rows = await connection.fetch(EMPTY_DELIVERIES, brand_id, sorted(delivery_ids), clock.now())
    return [row["id"] for row in rows]


async def _visitors_of(connection: asyncpg.Connection, brand_id: UUID, root_ids: Collection[UUID]) -> list[str]:
    rows = await connection.fetch(VISITORS_OF, brand_id, list(root_ids)) if root_ids else []
    return sorted(row["visitor_id"] for row in rows if not row["visitor_id"].startswith(MADE_UP))


async def _forget_customers(
    connection: asyncpg.Connection, brand_id: UUID, root_ids: Sequence[UUID], members: Sequence[UUID], rename: Rename
) -> None:
    claiming = [row["id"] for row in await connection.fetch(CLAIMING, brand_id, root_ids)]
    rows = await connection.fetch(CUSTOMERS_OF, brand_id, claiming) if claiming else []
    keys = [row["key"] for row in rows if not row["key"].startswith(MADE_UP)]
    if keys:
        await connection.execute(RENAME_CUSTOMERS, brand_id, claiming, keys, list(map(rename, keys)))
    await connection.execute(FORGET_CUSTOMERS, brand_id, sorted(set(members) - set(claiming)))


async def _rename_visitors(
    connection: asyncpg.Connection, brand_id: UUID, visitors: Sequence[str], root_ids: Sequence[UUID], rename: Rename
) -> list[UUID]:
    """Gives visitors other names in all reports of these orders, in touches and landings; the clicks they landed with."""
    if not visitors:
        return []
    names = [rename(each) for each in visitors]
    members = [row["id"] for row in await connection.fetch(MEMBERS, brand_id, list(root_ids))]
    await connection.execute(RENAME_IN_REPORTS, brand_id, members, visitors, names)
    await connection.fetch(RENAME_TOUCHES, brand_id, visitors, names)
    return [row["click_id"] for row in await connection.fetch(RENAME_LANDINGS, brand_id, visitors, names)]
