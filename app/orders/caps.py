"""Redemption caps: orders beyond the cap of a code they redeem are flagged `over_cap`. The flag takes no credit away: the shop honoured the code.
A lead, and whatever else nobody pays for, redeems none.

Orders are counted by (occurred_at, shop, kind, order_id), never by arrival. So an early order that arrives late moves the boundary, and the orders
that change sides are decided again. The flag is no part of the digest of an order's state, because it depends on other orders; it is checked
whenever an order with a capped code is worked out.
"""

from collections.abc import Mapping
from uuid import UUID

import asyncpg

from app.domain.orders import UNPAID_KINDS
from app.orders.queue import enqueue

OVER_CAP = "over_cap"
UNPAID = sorted(UNPAID_KINDS)

# Reads all orders of the code: a cap is for hundreds or thousands of orders, and most codes have none.
RANKED = """
SELECT id, flagged, over, alone FROM (
    SELECT c.id, $5 = ANY(c.flags) AS flagged, row_number() OVER (ORDER BY c.occurred_at, c.shop, c.kind, c.order_id) > $3 AS over,
        (SELECT count(*) FROM code k WHERE k.brand_id = $1 AND k.code_norm = ANY(c.codes) AND k.max_redemptions IS NOT NULL) < 2 AS alone
    FROM conversion c
    WHERE c.brand_id = $1 AND c.root_id = c.id AND c.codes @> ARRAY[$2::text] AND NOT c.test AND c.status IN ('pending', 'approved', 'locked', 'paid')
        AND c.kind <> ALL($6::text[])
        AND c.id IN (SELECT n.root_id FROM order_touch t JOIN conversion n ON n.brand_id = $1 AND n.id = t.conversion_id
                     WHERE t.brand_id = $1 AND t.touch = 'code:' || $2)
) AS ranked
WHERE id = ANY($4::uuid[]) OR flagged <> over
"""

MARK = """
UPDATE conversion c
SET flags = CASE WHEN r.over THEN ARRAY(SELECT DISTINCT unnest(c.flags || $4::text) ORDER BY 1) ELSE array_remove(c.flags, $4::text) END
FROM unnest($2::uuid[], $3::boolean[]) AS r(id, over)
WHERE c.brand_id = $1 AND c.id = r.id AND r.over <> ($4 = ANY(c.flags))
"""


async def mark_over_cap(
    connection: asyncpg.Connection, brand_id: UUID, capped: Mapping[UUID, Mapping[str, int]], *, changed: bool
) -> set[UUID]:
    """Sets or clears the flag of these locked orders, and enqueues others that changed sides of a cap; which of these orders are beyond one.

    capped: each order's codes that have a cap, also those it redeems no longer, with the cap. changed: something about these orders was just written.
    """
    over = dict.fromkeys(capped, False)
    others: set[UUID] = set()
    for code, cap in sorted({item for codes in capped.values() for item in codes.items()}):
        for row in await connection.fetch(RANKED, brand_id, code, cap, list(capped), OVER_CAP, UNPAID):
            if row["id"] in over:
                over[row["id"]] |= row["over"]
            elif row["over"] or row["alone"] or changed:
                # An order that is flagged for another code of its own looks wrong from here and is not. Enqueuing it only when something has
                # changed keeps two such orders from enqueuing each other without end.
                others.add(row["id"])
    await connection.execute(MARK, brand_id, list(over), list(over.values()), OVER_CAP)
    await enqueue(connection, brand_id, others, at_once=True)
    return {order for order, is_over in over.items() if is_over}
