"""For the API: a change of what decisions rest on puts the orders it could touch into the queue `redecide`.

Apart from the poller (app/orders/redecide.py), because it speaks SQLAlchemy, which the background process does without.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_OF_CODES = text(
    "SELECT DISTINCT conversion_id FROM order_touch WHERE brand_id = :brand_id AND touch = ANY(CAST(:touches AS text[]))"
)
_OF_CAMPAIGN = text(
    """SELECT DISTINCT d.conversion_id FROM decision d JOIN conversion c ON c.brand_id = :brand_id AND c.id = d.conversion_id
       CROSS JOIN unnest(CAST(:campaign_ids AS text[])) AS wanted(campaign_id)
       WHERE d.brand_id = :brand_id AND d.candidates @> jsonb_build_array(jsonb_build_object('campaign_id', wanted.campaign_id))
         AND (CAST(:since AS timestamptz) IS NULL OR c.occurred_at >= :since)"""
)

_OF_MANY_WITNESSES = text(
    """SELECT c.root_id AS conversion_id FROM witness w JOIN conversion c ON c.brand_id = :brand_id AND c.id = w.conversion_id
       WHERE w.brand_id = :brand_id GROUP BY c.root_id HAVING count(*) > 1"""
)
_APPEND = text(
    "INSERT INTO redecide (brand_id, conversion_id, after) SELECT :brand_id, unnest(CAST(:ids AS uuid[])), '0'"
)


async def schedule_for_code(connection: AsyncConnection, brand_id: UUID, code_norms: Sequence[str]) -> int:
    """After a change to codes (made, assigned, dates, disabled, credit policy): orders that name them are decided again. How many.

    Call it in the transaction that makes the change, after the change: that order is what makes it miss no order.
    """
    touches = [f"code:{code_norm}" for code_norm in code_norms]
    return await _append(connection, brand_id, _OF_CODES, {"touches": touches}) if touches else 0


async def schedule_for_aliases(connection: AsyncConnection, brand_id: UUID, aliases: Sequence[str]) -> int:
    """After ids of shop systems were given to a code or taken from one: orders that name them are decided again. How many. As for a code."""
    touches = [f"alias:{alias}" for alias in aliases]
    return await _append(connection, brand_id, _OF_CODES, {"touches": touches}) if touches else 0


async def schedule_for_campaign(
    connection: AsyncConnection, brand_id: UUID, campaign_ids: Sequence[UUID], since: datetime | None = None
) -> int:
    """After a change to campaigns' dates or policies: orders with a candidate of theirs are decided again. How many.

    since: orders placed before it do not change (a policy's `effective_from`). Reads every decision of the brand: for acts of planning, not
    for every minute. Same transaction, after the change.
    """
    wanted = {"campaign_ids": [str(each) for each in campaign_ids], "since": since}
    return await _append(connection, brand_id, _OF_CAMPAIGN, wanted) if campaign_ids else 0


async def schedule_for_tolerance(connection: AsyncConnection, brand_id: UUID) -> int:
    """After a change to by how much witnesses may differ: every order that has several is compared again. How many."""
    return await _append(connection, brand_id, _OF_MANY_WITNESSES, {})


async def _append(connection: AsyncConnection, brand_id: UUID, query: Any, parameters: dict[str, Any]) -> int:
    rows = (await connection.execute(query, {"brand_id": brand_id, **parameters})).all()
    ids = [row.conversion_id for row in rows]
    if ids:
        await connection.execute(_APPEND, {"brand_id": brand_id, "ids": ids})
    return len(ids)
