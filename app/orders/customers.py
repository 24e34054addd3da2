"""What a customer's other orders say about one of them: whom an earlier order binds the customer to, the clicks it leads to, whether they are new.

Only orders that a trusted report knows count, and of these what trusted reports name. An order depends on earlier ones alone, by the time at which they
were placed and never by arrival; so whatever changes in one brings the later ones of its customer to be decided again (recompute.py), and that ends.
Nothing here is read for a brand whose policies never asked for it, but for `who_is_new`, which is for those who look.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from app.domain.attribution import Touch
from app.domain.folding import Order
from app.domain.orders import TRUST_SIGNED_PIXEL, read_click
from app.domain.policies import Method
from app.domain.statuses import COUNTED

EARLIER_MAX = 100
"""Earlier orders of a customer whose clicks are looked at, the newest first; whoever has more is a dealer."""

# Earlier: by time, and at one moment by what the shop calls the orders. Those of which nothing is left (cancelled, given back whole) count for nothing.
_EARLIER = """
    c.brand_id = $1 AND c.customer_key = a.customer_key AND c.kind = a.kind AND c.root_id = c.id AND c.id <> a.id AND NOT c.test
    AND c.status = ANY($2::text[]) AND (c.occurred_at, c.shop, coalesce(c.order_id, '')) < (a.occurred_at, a.shop, a.order_id)
    AND EXISTS (SELECT FROM conversion m JOIN witness w ON w.brand_id = $1 AND w.conversion_id = m.id AND w.trust >= $3
                WHERE m.brand_id = $1 AND m.root_id = c.id)
"""
BINDINGS = f"""
SELECT a.id AS bound, f.id, f.earlier AS nth, f.occurred_at, s.weight, l.id AS collaboration_id, l.influencer_id, l.campaign_id,
    p.starts_at AS campaign_starts_at, p.ends_at AS campaign_ends_at, i.customer_keys AS owner_keys, i.archived_at AS owner_archived_at
FROM unnest($4::uuid[], $5::text[], $6::text[], $7::timestamptz[], $8::text[], $9::text[])
    AS a(id, customer_key, kind, occurred_at, shop, order_id)
CROSS JOIN LATERAL (
    SELECT c.id, c.occurred_at, c.flags, count(*) OVER () AS earlier FROM conversion c
    WHERE {_EARLIER} AND NOT (c.refunded_minor > 0 AND c.refunded_minor >= c.net_minor)
    ORDER BY c.occurred_at, c.shop, coalesce(c.order_id, ''), c.id LIMIT 1
) AS f
JOIN decision d ON d.brand_id = $1 AND d.conversion_id = f.id
CROSS JOIN LATERAL jsonb_to_recordset(d.credits) AS s(collaboration_id uuid, weight text, unsigned boolean)
JOIN collaboration l ON l.brand_id = $1 AND l.id = s.collaboration_id
JOIN campaign p ON p.brand_id = $1 AND p.id = l.campaign_id
JOIN influencer i ON i.brand_id = $1 AND i.id = l.influencer_id
WHERE NOT coalesce(s.unsigned, 'unsigned' = ANY(f.flags))
"""

# A signed pixel counts unless the brand uses no pixel at all.
NAMED = """
SELECT DISTINCT a.id, n.click, n.visitor_id
FROM unnest($2::uuid[], $3::text[], $4::timestamptz[]) AS a(id, customer_key, occurred_at)
CROSS JOIN LATERAL (
    SELECT c.id FROM conversion c
    WHERE c.brand_id = $1 AND c.customer_key = a.customer_key AND c.root_id = c.id AND c.id <> a.id AND NOT c.test AND c.occurred_at < a.occurred_at
    ORDER BY c.occurred_at DESC, c.shop, c.order_id LIMIT $6
) AS e
JOIN conversion m ON m.brand_id = $1 AND m.root_id = e.id
JOIN witness w ON w.brand_id = $1 AND w.conversion_id = m.id AND w.trust >= $5
CROSS JOIN LATERAL (
    SELECT NULL::text AS click, w.report ->> 'visitor_id' AS visitor_id WHERE w.report ? 'visitor_id'
    UNION ALL SELECT jsonb_array_elements_text(w.report -> 'click_ids'), NULL
) AS n
WHERE w.trust > $5 OR EXISTS (SELECT FROM brand WHERE id = $1 AND pixel_signals <> 'never')
"""
REMEMBER = """
INSERT INTO order_touch (brand_id, touch, conversion_id) SELECT $1, r.touch, r.id FROM unnest($2::text[], $3::uuid[]) AS r(touch, id)
ON CONFLICT DO NOTHING RETURNING conversion_id
"""
LATER = """
SELECT DISTINCT c.id FROM unnest($2::uuid[], $3::text[], $4::timestamptz[]) AS a(id, customer_key, since)
JOIN conversion c ON c.brand_id = $1 AND c.customer_key = a.customer_key AND c.occurred_at >= a.since AND c.root_id = c.id AND c.id <> a.id
"""
NEW = f"""
SELECT a.id, coalesce(a.customer_is_new, NOT EXISTS (SELECT FROM conversion c WHERE {_EARLIER})) AS is_new
FROM (SELECT id, customer_key, customer_is_new, kind, occurred_at, shop, coalesce(order_id, '') AS order_id FROM conversion
      WHERE brand_id = $1 AND id = ANY($4::uuid[])) AS a
WHERE a.customer_is_new IS NOT NULL OR a.customer_key IS NOT NULL AND a.occurred_at IS NOT NULL
"""


class EarlierNames(NamedTuple):
    """Clicks and visitors that a customer's earlier orders name. is_new: nobody knew it of this order."""

    clicks: set[UUID]
    visitors: set[str]


async def read_bindings(
    connection: asyncpg.Connection, brand_id: UUID, orders: Mapping[UUID, Order], shops: Mapping[UUID, tuple[str, str]]
) -> dict[UUID, list[Touch]]:
    """Whom their customers' first orders bind these orders to, by the order's id. shops: of each order, with its kind."""
    some = _known(orders)
    if not some:
        return {}
    columns = zip(
        *(
            (key, each.customer_key, shops[key][1], each.occurred_at, shops[key][0], each.order_id or "")
            for key, each in some.items()
        ),
        strict=True,
    )
    rows = await connection.fetch(BINDINGS, brand_id, COUNTED, TRUST_SIGNED_PIXEL, *columns)
    found: dict[UUID, dict[UUID, Touch]] = {}
    for row in rows:
        owner: dict[str, Any] = dict(row)
        order_id, weight = owner.pop("bound"), Fraction(owner.pop("weight") or 1)
        bound = found.setdefault(order_id, {})
        before = bound.get(row["collaboration_id"])
        if before is not None and before.share is not None:
            weight += before.share
        bound[row["collaboration_id"]] = Touch(Method.BOUND, str(row["collaboration_id"]), **owner, share=weight)
    return {key: list(bound.values()) for key, bound in found.items()}


async def read_named(
    connection: asyncpg.Connection, brand_id: UUID, orders: Mapping[UUID, Order]
) -> tuple[dict[UUID, EarlierNames], set[UUID]]:
    """What the earlier orders of these orders' customers name, by the order's id. It is remembered as named by these orders too, so that a click or
    landing that comes later finds them; and for which of them any of it is remembered for the first time.
    """
    some = _known(orders)
    if not some:
        return {}, set()
    columns = zip(*((key, each.customer_key, each.occurred_at) for key, each in some.items()), strict=True)
    found: dict[UUID, EarlierNames] = {}
    for row in await connection.fetch(NAMED, brand_id, *columns, TRUST_SIGNED_PIXEL, EARLIER_MAX):
        named = found.setdefault(row["id"], EarlierNames(set(), set()))
        click_id = None if row["click"] is None else read_click(row["click"])
        if click_id is not None:
            named.clicks.add(click_id)
        if row["visitor_id"] is not None:
            named.visitors.add(row["visitor_id"])
    touches = sorted(
        (touch, key)
        for key, named in found.items()
        for touch in (*(f"click:{each}" for each in named.clicks), *(f"visitor:{each}" for each in named.visitors))
    )
    if not touches:
        return found, set()
    rows = await connection.fetch(REMEMBER, brand_id, *zip(*touches, strict=True))
    return found, {row["conversion_id"] for row in rows}


def _known(orders: Mapping[UUID, Order]) -> dict[UUID, Order]:
    """Those of these orders whose customer a trusted report knows."""
    return {key: each for key, each in orders.items() if each.is_confirmed and each.customer_key is not None}


async def later_orders(
    connection: asyncpg.Connection, brand_id: UUID, moved: Iterable[tuple[UUID, str, datetime]]
) -> Sequence[UUID]:
    """The orders that these may change: later ones of the same customer. moved: orders with their customer and time, as they are and as they were."""
    columns = [*zip(*moved, strict=True)]
    return [row["id"] for row in await connection.fetch(LATER, brand_id, *columns)] if columns else []


async def who_is_new(connection: asyncpg.Connection, brand_id: UUID, ids: Collection[UUID]) -> dict[UUID, bool]:
    """Whether the customers of these orders were new: as somebody stated it, else by whether an earlier order that counts is known of them. Orders
    whose customer nobody knows are left out.
    """
    rows = await connection.fetch(NEW, brand_id, COUNTED, TRUST_SIGNED_PIXEL, list(ids))
    return {row["id"]: row["is_new"] for row in rows}
