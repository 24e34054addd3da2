"""Works orders out again when something they depend on may have arrived: the poller that empties the queue `redecide`.

An order and a click that are recorded at the same time cannot see each other: each reads before the other commits. So a changed order is enqueued,
and is taken from the queue only once every transaction that ran beside it has ended. That moment is known exactly: the poller stamps new entries
with its own transaction id, and takes an entry when its stamp is below `pg_snapshot_xmin`, the oldest transaction still running. (Not
`pg_snapshot_xmax`: that is one past the newest transaction that has *ended*, and would miss a click whose drain is still running.)
A fact that starts later finds the order's `order_touch` committed, and enqueues the order itself. It must take its transaction id, by writing,
before the statement that looks for orders.

A long writing transaction anywhere in the database holds back the whole queue.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from app import clock
from app.database.errors import is_passing, is_too_much_at_once
from app.database.transactions import in_transaction
from app.domain.codes import normalise
from app.domain.orders import TRUST_SIGNED_PIXEL
from app.orders.locks import lock_orders
from app.orders.queue import NAMING, enqueue
from app.orders.recompute import recompute_orders

log = logging.getLogger("ariane.intake")

BATCH_MAX = 500
"""Orders worked out in one transaction."""
BATCHES_MAX = 20
"""Transactions of one pass: the background process has other things to do."""
POSTPONED = timedelta(minutes=10)
"""How long an order that could not be decided is postponed."""

STAMP = "UPDATE redecide SET after = pg_current_xact_id() WHERE after IS NULL"
NEXT_BRAND = """
SELECT brand_id FROM redecide
WHERE after < pg_snapshot_xmin(pg_current_snapshot()) AND (not_before IS NULL OR not_before <= $1)
ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
# An array, not IN: the planner has nearly always seen the queue empty, and would read all of it again for each entry taken.
TAKE = """
DELETE FROM redecide WHERE id = ANY (ARRAY (
    SELECT id FROM redecide
    WHERE brand_id = $1 AND after < pg_snapshot_xmin(pg_current_snapshot()) AND (not_before IS NULL OR not_before <= $2)
    ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED
)) RETURNING id, conversion_id
"""
POSTPONE = "UPDATE redecide SET after = '0', not_before = $2 WHERE id = ANY($1::bigint[])"


async def redecide(pool: asyncpg.Pool) -> int:
    """Works out the orders that are due; how many they were. Several processes may run it at once."""
    await pool.execute(STAMP)
    total = 0
    for _ in range(BATCHES_MAX):
        taken = await _redecide_some(pool, BATCH_MAX)
        total += taken
        if taken == 0:
            break
    return total


async def _redecide_some(pool: asyncpg.Pool, limit: int) -> int:
    """Works out at most `limit` entries of the brand whose turn it is; an order that cannot be decided is postponed, alone."""
    entries: list[int] = []

    async def work(connection: asyncpg.Connection) -> int:
        entries.clear()
        now = clock.now()
        brand_id = await connection.fetchval(NEXT_BRAND, now)
        if brand_id is None:
            return 0
        rows = await connection.fetch(TAKE, brand_id, now, limit)
        entries.extend(row["id"] for row in rows)
        await redecide_orders(connection, brand_id, [row["conversion_id"] for row in rows])
        return len(rows)

    try:
        return await in_transaction(pool, work)
    except Exception as error:
        if is_passing(error) and not is_too_much_at_once(error):
            raise
        if len(entries) > 1:
            return await _redecide_some(pool, len(entries) // 2)
        log.exception("order of queue entry %s cannot be decided; tried again in %s", entries, POSTPONED)
        await pool.execute(POSTPONE, entries, clock.now() + POSTPONED)
        return len(entries)


async def redecide_orders(connection: asyncpg.Connection, brand_id: UUID, conversion_ids: Sequence[UUID]) -> int:
    """Locks these orders and works them out from all facts, in the caller's transaction; how many changed."""
    locked = await lock_orders(connection, brand_id, conversion_ids)
    touched = {locked.root_of[each]: locked.root(each) for each in conversion_ids}
    states = await recompute_orders(connection, brand_id, list(touched.values()))
    return sum(each.changed for each in states.values())


# ── After a change over the API ──────────────────────────────────────────────────────────────────────────────────────
# Each function finds the orders that a change could touch and queues them; call it in the transaction of the change, behind the change, so that no
# order is missed. It answers how many there are.

WITH_CANDIDATE_OF = """
SELECT DISTINCT d.conversion_id FROM decision d JOIN conversion c ON c.brand_id = $1 AND c.id = d.conversion_id
CROSS JOIN unnest($2::text[]) AS wanted(campaign_id)
WHERE d.brand_id = $1 AND d.candidates @> jsonb_build_array(jsonb_build_object('campaign_id', wanted.campaign_id))
  AND ($3::timestamptz IS NULL OR c.occurred_at >= $3)
"""
WITH_CANDIDATE_BY = """
SELECT conversion_id FROM decision
WHERE brand_id = $1 AND candidates @> jsonb_build_array(jsonb_build_object('influencer_id', $2::text))
  AND (NOT $3::boolean OR EXISTS (SELECT FROM policy WHERE brand_id = $1 AND rules ->> 'archived_influencers' = 'stop'))
"""
WITH_PIXELS = """
SELECT DISTINCT c.root_id AS conversion_id FROM witness w JOIN conversion c ON c.brand_id = $1 AND c.id = w.conversion_id
WHERE w.brand_id = $1 AND w.trust <= $2
"""
WITH_MANY_WITNESSES = """
SELECT c.root_id AS conversion_id FROM witness w JOIN conversion c ON c.brand_id = $1 AND c.id = w.conversion_id
WHERE w.brand_id = $1 GROUP BY c.root_id HAVING count(*) > 1
"""


async def redecide_for_codes(connection: asyncpg.Connection, brand_id: UUID, code_norms: Sequence[str]) -> int:
    """Queue the orders that name codes which were made, assigned, disabled, or given other dates or another credit policy."""
    return await _append(connection, NAMING, brand_id, [f"code:{code_norm}" for code_norm in code_norms])


async def redecide_for_aliases(connection: asyncpg.Connection, brand_id: UUID, aliases: Sequence[str]) -> int:
    """Queue the orders that name aliases which were given to a code or taken from one, as an id or in the place of a code."""
    touches = [*(f"alias:{alias}" for alias in aliases), *(f"code:{normalise(alias)}" for alias in aliases)]
    return await _append(connection, NAMING, brand_id, touches)


async def redecide_for_campaigns(
    connection: asyncpg.Connection, brand_id: UUID, campaign_ids: Sequence[UUID], since: datetime | None = None
) -> int:
    """Queue the orders with a candidate of campaigns whose dates or policies changed; only those placed at or after `since`, if it is given.

    Reads every decision of the brand: for acts of planning, not for every minute.
    """
    return await _append(connection, WITH_CANDIDATE_OF, brand_id, [str(each) for each in campaign_ids], since)


async def redecide_for_influencer(
    connection: asyncpg.Connection, brand_id: UUID, influencer_id: UUID, *, is_archive: bool
) -> int:
    """Queue the orders with a candidate of this influencer, who has another e-mail or customer id; is_archive: who was archived or came back, which
    changes something only where a policy of the brand says so.

    Reads every decision of the brand, as `redecide_for_campaigns` does.
    """
    return await _append(connection, WITH_CANDIDATE_BY, brand_id, str(influencer_id), is_archive)


async def redecide_for_tolerance(connection: asyncpg.Connection, brand_id: UUID) -> int:
    """Queue every order that has several witnesses, after the tolerance between witnesses was changed."""
    return await _append(connection, WITH_MANY_WITNESSES, brand_id)


async def redecide_for_pixels(connection: asyncpg.Connection, brand_id: UUID) -> int:
    """Queue every order that a pixel reported, after it was changed how far pixels are believed. Locked ones too: what would be decided is shown."""
    return await _append(connection, WITH_PIXELS, brand_id, TRUST_SIGNED_PIXEL)


async def _append(connection: asyncpg.Connection, query: str, brand_id: UUID, *arguments: object) -> int:
    ids = [row["conversion_id"] for row in await connection.fetch(query, brand_id, *arguments)]
    await enqueue(connection, brand_id, ids, at_once=True)
    return len(ids)
