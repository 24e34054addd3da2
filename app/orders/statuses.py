"""What people, and the passing of its hold, make of an order: `change_statuses` and `lock_due`. Each change is a fact, added under the order's lock."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg

from app import clock
from app.database.errors import is_passing
from app.database.transactions import in_transaction
from app.domain.statuses import LOCKED, NEXT, StatusChange
from app.orders.facts import add_changes
from app.orders.record import lock_orders, schedule_expiry
from app.orders.state import OrderState, Root, recompute_orders

log = logging.getLogger("ariane.intake")

BATCH_MAX = 500
"""Orders locked in one transaction."""
BATCHES_MAX = 20
"""Transactions of one pass: the background process has other things to do."""
POSTPONED = timedelta(hours=1)
"""After how long an order that could not be locked is tried again."""

KNOWN = "SELECT id FROM conversion WHERE brand_id = $1 AND id = ANY($2::uuid[])"
NEXT_BRAND = "/* across brands: whose holds have passed */ SELECT brand_id FROM conversion WHERE locks_at <= $1 LIMIT 1"
DUE = "SELECT id FROM conversion WHERE brand_id = $1 AND locks_at <= $2 ORDER BY locks_at LIMIT $3"
STILL_DUE = "SELECT id FROM conversion WHERE brand_id = $1 AND id = ANY($2::uuid[]) AND root_id = id AND locks_at <= $3"
POSTPONE = "UPDATE conversion SET locks_at = $3 WHERE brand_id = $1 AND id = ANY($2::uuid[])"


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants orders to become. reason: of a rejection, one of `statuses.REASONS`."""

    status: str
    key_id: UUID
    reason: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a wish. When any order is unknown or refuses (its status does not allow it), nothing was written at all.

    settled: by the id asked for. changed: those that were not what was wanted already.
    """

    unknown: frozenset[UUID] = frozenset()
    refused: Mapping[UUID, str] | None = None
    settled: Mapping[UUID, OrderState] | None = None
    changed: frozenset[UUID] = frozenset()


async def change_statuses(connection: asyncpg.Connection, brand_id: UUID, ids: Sequence[UUID], wish: Wish) -> Answer:
    """Makes all of these orders what is wished, or none, in the caller's transaction. The id of a merged order leads to the one it was merged into.

    An order that is so already, for the same reason, stays as it is: asking twice changes nothing.
    """
    rows = await connection.fetch(KNOWN, brand_id, list(ids))
    unknown = frozenset(ids) - {row["id"] for row in rows}
    if unknown:
        return Answer(unknown=unknown)
    roots, root_of = await lock_orders(connection, brand_id, ids)
    touched = {root_of[each]: roots[root_of[each]] for each in ids}
    changing = [root for root in touched.values() if (root.status, root.status_reason) != (wish.status, wish.reason)]
    refused = {root.id: root.status for root in changing if wish.status not in NEXT[root.status]}
    if refused:
        return Answer(refused={each: refused[root_of[each]] for each in ids if root_of[each] in refused})
    now = clock.now()
    changes = [
        (root.id, StatusChange(wish.status, now, root.status, wish.reason, wish.note, wish.key_id)) for root in changing
    ]
    if changes:
        await add_changes(connection, brand_id, changes)
    settled = await _settle(connection, brand_id, list(touched.values()))
    ours = {root.id for root in changing}
    return Answer(
        settled={each: settled[root_of[each]] for each in ids},
        changed=frozenset(each for each in ids if root_of[each] in ours),
    )


async def lock_due(pool: asyncpg.Pool) -> int:
    """Locks approved orders whose hold has passed; how many. One that cannot be settled is postponed, alone. Several processes may run it at once."""
    total = 0
    for _ in range(BATCHES_MAX):
        brand_id = await pool.fetchval(NEXT_BRAND, clock.now())
        if brand_id is None:
            break
        total += await _lock_some(pool, brand_id, BATCH_MAX)
    return total


async def _lock_some(pool: asyncpg.Pool, brand_id: UUID, limit: int) -> int:
    now = clock.now()
    due = [row["id"] for row in await pool.fetch(DUE, brand_id, now, limit)]

    async def work(connection: asyncpg.Connection) -> int:
        roots, _ = await lock_orders(connection, brand_id, due)
        # As they stand under their locks: a report, or another process, may have come first.
        rows = await connection.fetch(STILL_DUE, brand_id, due, now)
        ripe = [roots[row["id"]] for row in rows]
        if ripe:
            await add_changes(
                connection, brand_id, [(root.id, StatusChange(LOCKED, now, root.status)) for root in ripe]
            )
            await _settle(connection, brand_id, ripe)
        return len(ripe)

    try:
        return await in_transaction(pool, work) if due else 0
    except Exception as error:
        if is_passing(error):
            raise
        if len(due) > 1:
            return await _lock_some(pool, brand_id, len(due) // 2)
        log.exception("order %s cannot be locked; tried again in %s", due, POSTPONED)
        await pool.execute(POSTPONE, brand_id, due, now + POSTPONED)
        return 0


async def _settle(connection: asyncpg.Connection, brand_id: UUID, roots: Sequence[Root]) -> dict[UUID, OrderState]:
    settled = await recompute_orders(connection, brand_id, sorted(roots, key=lambda root: root.id))
    await schedule_expiry(connection, brand_id, settled)
    return settled
