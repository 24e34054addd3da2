"""Codes that shop systems name by an id of their own: a webhook may state such an id and never what the shopper typed.

The brand maps an id to one of its codes (table code_alias), perhaps after the orders came: so the id is a fact of the order, and what it stands for is
looked up whenever the order is worked out. Ids are compared exactly: they are case-sensitive, and folding them as codes are would make one of two.
"""

from collections.abc import Mapping
from uuid import UUID

import asyncpg

from app.domain.folding import Order, code_named

ALIASES = """
SELECT a.alias, c.code_norm FROM code_alias a JOIN code c ON c.brand_id = $1 AND c.id = a.code_id
WHERE a.brand_id = $1 AND a.alias = ANY($2::text[])
"""

# The order names the code from now on, so that a change of the code, and its cap, find the order.
NAME = """
INSERT INTO order_touch (brand_id, touch, conversion_id)
SELECT $1, r.touch, r.conversion_id FROM unnest($2::text[], $3::uuid[]) AS r(touch, conversion_id)
ORDER BY r.touch, r.conversion_id
ON CONFLICT DO NOTHING
"""


async def name_codes(connection: asyncpg.Connection, brand_id: UUID, orders: dict[UUID, Order]) -> dict[UUID, Order]:
    """These locked orders with the codes that their code ids stand for. No statement where no order has such an id."""
    wanted = sorted({code_id for order in orders.values() for code_id in order.signals.code_ids})
    if not wanted:
        return orders
    mapped: Mapping[str, str] = {
        row["alias"]: row["code_norm"] for row in await connection.fetch(ALIASES, brand_id, wanted)
    }
    named = {key: code_named(order, mapped) for key, order in orders.items()}
    touches = sorted((f"code:{code}", key) for key, order in named.items() for code in set(order.aliases.values()))
    if touches:
        names, ids = zip(*touches, strict=True)
        await connection.execute(NAME, brand_id, names, ids)
    return named
