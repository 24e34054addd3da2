"""Recording reports of orders: `record()`, one function for every door, set-based; one brand and one transaction a call.

It holds at READ COMMITTED and no other isolation level: every statement must see what the lock or the conflict it waited for let in. Why each
step stands where it does:

1. Names first: `INSERT order_ref … ON CONFLICT DO NOTHING` waits for a transaction that inserts the same name, and only a later SELECT sees its row.
2. The row locks next, in the order of ids, then adding facts, then reading all facts: the second of two transactions reads what the first one wrote.
3. A changed order is enqueued, to be decided once more when every transaction that ran beside this one has ended (redecide.py): a click drained
   meanwhile did not see our order_touch, and we did not see the click.
4. The row of a new order is written last, once and whole: nobody else can know its id before the commit, and the facts' foreign keys wait until then.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from app.domain.attribution import VISITOR_CLICKS_MAX
from app.domain.orders import Landing, OrderReport, Receipt, read_click
from app.orders.facts import OrderFacts, add_facts
from app.orders.locks import LockedOrders
from app.orders.names import lock_named, take_apart
from app.orders.queue import NAMING_VISITORS, enqueue
from app.orders.recompute import OrderState, recompute_orders

LAND = """
INSERT INTO visitor_click (brand_id, visitor_id, click_id, seen_at)
SELECT $1, r.visitor_id, r.click_id, r.seen_at FROM unnest($2::text[], $3::uuid[], $4::timestamptz[]) AS r(visitor_id, click_id, seen_at)
ON CONFLICT (brand_id, visitor_id, click_id) DO UPDATE SET seen_at = EXCLUDED.seen_at WHERE visitor_click.seen_at > EXCLUDED.seen_at
RETURNING visitor_id, click_id
"""


class Recorded(msgspec.Struct, frozen=True):
    """What became of one report.

    conversion_id: of the surviving order. created: this report made the order known. added: it stated something that was not known yet.
    """

    conversion_id: UUID
    created: bool
    added: bool
    state: OrderState


async def record(
    connection: asyncpg.Connection, brand_id: UUID, reports: Sequence[tuple[OrderReport, Receipt]]
) -> list[Recorded]:
    """Records reports of one brand's orders inside the caller's READ COMMITTED transaction; answers in their order, [] for none.

    An equal report from the same place changes nothing, in this call or in ten years. A report that PostgreSQL refuses fails the whole call: the
    caller rolls back and tries the halves (`Recorder` does). Raises asyncpg.DeadlockDetectedError now and then: try the transaction again
    (`in_transaction` does).
    """
    if not reports:
        return []
    found = await lock_named(connection, brand_id, [report for report, _ in reports])
    if found.apart and len(reports) > 1:
        return [done for each in reports for done in await record(connection, brand_id, [each])]
    if found.apart:
        found = await take_apart(connection, brand_id, reports[0][0], found)
    locked, ids, is_apart = found.locked, found.ids, found.apart
    named = [(each, report, receipt) for each, (report, receipt) in zip(ids, reports, strict=True)]
    added, reported = await add_facts(connection, brand_id, named)
    roots = locked.roots if is_apart else {locked.root_of[each]: locked.root(each) for each in ids}
    states = await recompute_orders(
        connection,
        brand_id,
        list(roots.values()),
        new_facts=_facts_of_new_orders(reported, locked),
        is_reported=True,
    )
    recorded = []
    known = {root_id for root_id, root in roots.items() if root.digest is not None}
    for index, (conversion_id, report, _) in enumerate(named):
        root_id = locked.root_of[conversion_id]
        created = not report.stub and root_id not in known
        recorded.append(Recorded(root_id, created, index in added, states[root_id]))
        if not report.stub:
            known.add(root_id)
    return recorded


def _facts_of_new_orders(reported: Mapping[UUID, OrderFacts], locked: LockedOrders) -> dict[UUID, OrderFacts]:
    """All facts of the orders that were made in this transaction: just reported, so they need not be read."""
    found: dict[UUID, OrderFacts] = {}
    stored = {root_id for each, root_id in locked.root_of.items() if each not in locked.new}
    for conversion_id, each in reported.items():
        root_id = locked.root_of[conversion_id]
        if root_id not in stored:
            facts = found.setdefault(root_id, OrderFacts())
            facts.witnesses.extend(each.witnesses)
            facts.adjustments.extend(each.adjustments)
    return found


async def record_landings(connection: asyncpg.Connection, brand_id: UUID, landings: Sequence[Landing]) -> None:
    """Records which clicks shops' visitors landed with, at their earliest landing, and enqueues the orders of these visitors and of their clicks.

    Click ids that cannot be ours are left out.
    """
    landed: dict[tuple[str, UUID], datetime] = {}
    for landing in landings:
        click_id = read_click(landing.click_id)
        if click_id is not None:
            key = (landing.visitor_id, click_id)
            landed[key] = min(landing.seen_at, landed.get(key, landing.seen_at))
    if not landed:
        return
    visitors, clicks = zip(*sorted(landed), strict=True)
    rows = await connection.fetch(LAND, brand_id, visitors, clicks, [landed[key] for key in sorted(landed)])
    # A statement of its own, after the one that took our transaction id: the queue waits for ids, so it must not be older than ours.
    touches = {f"{name}:{row[f'{name}_id']}" for row in rows for name in ("visitor", "click")}
    landed_now = sorted({row["visitor_id"] for row in rows})
    orders = await connection.fetch(NAMING_VISITORS, brand_id, sorted(touches), landed_now, VISITOR_CLICKS_MAX)
    # Not at once: a drain running beside us may be inserting the click and cannot see this landing.
    await enqueue(connection, brand_id, {row["conversion_id"] for row in orders})
