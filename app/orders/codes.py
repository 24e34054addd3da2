"""The codes that orders name: by themselves, or by something that a shop system puts in their place, an alias.

The brand maps an alias to one of its codes (table code_alias), perhaps after the orders came: so what an order names is a fact of it, and what that
stands for is looked up whenever the order is worked out. In the place of a code an alias is compared as codes are. An id that a shop system states
beside its codes is compared exactly: it is case-sensitive, and folding would make one of two.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain.codes import normalise
from app.domain.folding import Order, code_named

# Columns that are attributes of a `Touch` have its names.
CODES = """
SELECT c.code_norm, c.code AS shown, c.id AS code_id, c.starts_at AS code_starts_at, least(c.ends_at, c.disabled_at, c.archived_at) AS code_ends_at,
       c.credit_policy, c.max_redemptions, a.starts_at AS assigned_from, a.ends_at AS assigned_until,
       a.id, l.id AS collaboration_id, l.influencer_id, l.campaign_id, p.starts_at AS campaign_starts_at, p.ends_at AS campaign_ends_at,
       i.customer_keys AS owner_keys, i.archived_at AS owner_archived_at
FROM code c
LEFT JOIN code_assignment a ON a.brand_id = $1 AND a.code_id = c.id
LEFT JOIN collaboration l ON l.brand_id = $1 AND l.id = a.collaboration_id
LEFT JOIN campaign p ON p.brand_id = $1 AND p.id = l.campaign_id
LEFT JOIN influencer i ON i.brand_id = $1 AND i.id = l.influencer_id
WHERE c.brand_id = $1 AND c.code_norm = ANY($2::text[])
"""
ALIASES = """
SELECT a.alias, c.code_norm FROM (
    SELECT alias, code_id FROM code_alias WHERE brand_id = $1 AND alias_norm = ANY($2::text[])
    UNION ALL SELECT alias, code_id FROM code_alias WHERE brand_id = $1 AND alias = ANY($3::text[])
) AS a JOIN code c ON c.brand_id = $1 AND c.id = a.code_id
"""

# The order names the code from now on, so that a change of the code, and its cap, find the order.
NAME = """
INSERT INTO order_touch (brand_id, touch, conversion_id)
SELECT $1, r.touch, r.conversion_id FROM unnest($2::text[], $3::uuid[]) AS r(touch, conversion_id)
ORDER BY r.touch, r.conversion_id
ON CONFLICT DO NOTHING
"""


class NamedCodes(NamedTuple):
    """What is known of the codes that some orders name. rows: by folded code, one for each assignment. aliases: the folded code of each alias."""

    rows: Mapping[str, Sequence[asyncpg.Record]]
    aliases: Mapping[str, str]


async def read_codes(
    connection: asyncpg.Connection, brand_id: UUID, orders: Iterable[Order], redeemed: Iterable[Sequence[str]]
) -> NamedCodes:
    """The codes that these orders name, and those they have redeemed so far. One statement where all of them are codes of the brand."""
    names, ids = set[str]().union(*redeemed), set[str]()
    for order in orders:
        names.update(order.signals.codes)
        ids.update(order.signals.code_ids)
    rows = await _read_rows(connection, brand_id, names)
    unknown = sorted(names - rows.keys())
    aliases: dict[str, str] = {}
    # Only what is no code is looked up once more: most orders name none, or one of the brand's.
    if unknown or ids:
        found = await connection.fetch(ALIASES, brand_id, unknown, sorted(ids))
        aliases = {row["alias"]: row["code_norm"] for row in found}
        rows |= await _read_rows(connection, brand_id, set(aliases.values()) - rows.keys())
    return NamedCodes(rows, aliases)


async def _read_rows(
    connection: asyncpg.Connection, brand_id: UUID, names: Collection[str]
) -> dict[str, list[asyncpg.Record]]:
    rows: dict[str, list[asyncpg.Record]] = {}
    if names:
        for row in await connection.fetch(CODES, brand_id, sorted(names)):
            rows.setdefault(row["code_norm"], []).append(row)
    return rows


async def name_codes(
    connection: asyncpg.Connection, brand_id: UUID, orders: dict[UUID, Order], codes: NamedCodes
) -> dict[UUID, Order]:
    """These locked orders with the codes that their aliases stand for. No statement where none of these names one."""
    if not codes.aliases:
        return orders
    # A code of the brand goes first: what it is a spelling of stands for nothing else.
    folded: dict[str, set[str]] = {}
    for alias, code in codes.aliases.items():
        if (text := normalise(alias)) not in codes.rows:
            folded.setdefault(text, set()).add(code)
    texts = {text: named.pop() for text, named in folded.items() if len(named) == 1}
    found = {key: code_named(order, codes.aliases, texts) for key, order in orders.items()}
    touches = sorted((f"code:{code}", key) for key, order in found.items() for code in set(order.aliases.values()))
    if touches:
        names, ids = zip(*touches, strict=True)
        await connection.execute(NAME, brand_id, names, ids)
    return found


def as_reported(order: Order, claims: Iterable[str]) -> tuple[str, ...]:
    """The claims of an order, and for each code among them the aliases by which its reports named it."""
    withheld = set(claims)
    aliases = (f"code:{normalise(alias)}" for alias, code in order.aliases.items() if f"code:{code}" in withheld)
    return (*withheld, *aliases)
