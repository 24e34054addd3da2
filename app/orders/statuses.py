"""Statuses that people give to orders (`change_statuses`), and locking after the hold (`lock_due`). Each change is a fact, added under the order's lock."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg

from app import clock
from app.database.errors import is_passing, is_too_much_at_once
from app.database.transactions import in_transaction
from app.domain.statuses import APPROVED, FINAL, LOCKED, NEXT, StatusChange
from app.orders.facts import add_changes
from app.orders.locks import Root, lock_orders
from app.orders.recompute import OrderState, recompute_orders
from app.orders.state import decision_to_keep

log = logging.getLogger("ariane.intake")

BATCH_MAX = 500
"""Orders locked in one transaction."""
BATCHES_MAX = 20
"""Transactions of one pass: the background process has other things to do."""
POSTPONED = timedelta(hours=1)
"""How long an order that could not be locked is postponed."""

KNOWN = "SELECT id FROM conversion WHERE brand_id = $1 AND id = ANY($2::uuid[])"
NEXT_BRAND = "/* across brands: whose holds have passed */ SELECT brand_id FROM conversion WHERE locks_at <= $1 LIMIT 1"
DUE = "SELECT id FROM conversion WHERE brand_id = $1 AND locks_at <= $2 ORDER BY locks_at LIMIT $3"
STILL_DUE = "SELECT id FROM conversion WHERE brand_id = $1 AND id = ANY($2::uuid[]) AND root_id = id AND locks_at <= $3"
# Orders that have become one may each have been locked: a lock is lifted where it stands.
LOCKS = """
SELECT DISTINCT c.root_id, s.conversion_id FROM conversion c JOIN status_change s ON s.brand_id = $1 AND s.conversion_id = c.id
WHERE c.brand_id = $1 AND c.root_id = ANY($2::uuid[]) AND s.status = 'locked'
"""
POSTPONE = "UPDATE conversion SET locks_at = $3 WHERE brand_id = $1 AND id = ANY($2::uuid[])"


@dataclass(frozen=True, slots=True)
class RequestedStatus:
    """The status that somebody wants orders to have. reason: why orders are rejected, one of `statuses.REASONS`."""

    status: str
    key_id: UUID
    reason: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class StatusResult:
    """The result of `change_statuses`. When any order is unknown or refuses (its status does not allow it), nothing was written at all.

    unexplained: orders whose lock may only be lifted with a note. states: by the id given.
    changed: the ids of orders that did not have the requested status already.
    """

    unknown: frozenset[UUID] = frozenset()
    refused: Mapping[UUID, str] | None = None
    unexplained: frozenset[UUID] = frozenset()
    states: Mapping[UUID, OrderState] | None = None
    changed: frozenset[UUID] = frozenset()


async def change_statuses(
    connection: asyncpg.Connection, brand_id: UUID, ids: Sequence[UUID], requested: RequestedStatus
) -> StatusResult:
    """Gives all of these orders the requested status, or none, in the caller's transaction. The id of a merged order leads to its survivor.

    An order that has the status already, for the same reason, stays as it is: asking twice changes nothing.
    """
    rows = await connection.fetch(KNOWN, brand_id, list(ids))
    unknown = frozenset(ids) - {row["id"] for row in rows}
    if unknown:
        return StatusResult(unknown=unknown)
    locked = await lock_orders(connection, brand_id, ids)
    root_of = locked.root_of
    touched = {root_of[each]: locked.root(each) for each in ids}
    changing = [
        root for root in touched.values() if (root.status, root.status_reason) != (requested.status, requested.reason)
    ]
    refused = {root.id: root.status for root in changing if requested.status not in NEXT[root.status]}
    if refused:
        return StatusResult(refused={each: refused[root_of[each]] for each in ids if root_of[each] in refused})
    unexplained = frozenset(root.id for root in changing if root.status == LOCKED and requested.status == APPROVED)
    if unexplained and not requested.note:
        return StatusResult(unexplained=frozenset(each for each in ids if root_of[each] in unexplained))
    kept = await _decisions(connection, brand_id, changing) if requested.status in FINAL else {}
    now = clock.now()
    decided = (requested.reason, requested.note, requested.key_id)
    locks: dict[UUID, list[UUID]] = {}
    for row in await connection.fetch(LOCKS, brand_id, list(unexplained)) if unexplained else ():
        locks.setdefault(row["root_id"], []).append(row["conversion_id"])
    changes = [
        (each, StatusChange(requested.status, now, root.status, *decided, kept.get(root.id)))
        for root in changing
        for each in locks.get(root.id, [root.id])
    ]
    await add_changes(connection, brand_id, changes)
    states = await recompute_orders(connection, brand_id, list(touched.values()))
    changed = {root.id for root in changing}
    return StatusResult(
        states={each: states[root_of[each]] for each in ids},
        changed=frozenset(each for each in ids if root_of[each] in changed),
    )


async def lock_due(pool: asyncpg.Pool) -> int:
    """Locks approved orders whose hold has passed; how many. An order that cannot be locked is postponed, alone. Several processes may run it at once."""
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
        roots = (await lock_orders(connection, brand_id, due)).roots
        # Read under their locks: a report, or another process, may have come first.
        ready = [roots[row["id"]] for row in await connection.fetch(STILL_DUE, brand_id, due, now)]
        kept = await _decisions(connection, brand_id, ready)
        changes = [(root.id, StatusChange(LOCKED, now, root.status, decided=kept.get(root.id))) for root in ready]
        await add_changes(connection, brand_id, changes)
        await recompute_orders(connection, brand_id, ready)
        return len(ready)

    try:
        return await in_transaction(pool, work)
    except Exception as error:
        if is_passing(error) and not is_too_much_at_once(error):
            raise
        if len(due) > 1:
            return await _lock_some(pool, brand_id, len(due) // 2)
        log.exception("order %s cannot be locked; tried again in %s", due, POSTPONED)
        await pool.execute(POSTPONE, brand_id, due, now + POSTPONED)
        return 0


async def _decisions(connection: asyncpg.Connection, brand_id: UUID, roots: Sequence[Root]) -> dict[UUID, str]:
    """What is decided about these locked orders from all facts there are now, as a final status keeps it."""
    states = await recompute_orders(connection, brand_id, roots)
    return {key: decision_to_keep(each.decision) for key, each in states.items() if each.decision is not None}
