"""Recording orders: `record()`, one function for every door, set-based, one brand and one transaction a call.

Facts (witness, adjustment, order_touch) are only added, under the id their first name leads to; merging two orders moves one pointer, `root_id`.
Everything else follows from the facts of a root, and is worked out under the root's row lock (deciding.py). The protocol holds at READ COMMITTED
and no other level: every statement must see what the lock or the conflict it waited for let in. Why each step stands where it does:

1. names first: `INSERT order_ref … ON CONFLICT DO NOTHING` waits for whoever is inserting the same name, and only a later SELECT sees their row;
2. the row lock next, in the order of ids, then facts, then reading all facts: whoever comes second reads what the first one wrote;
3. a changed order is put into `redecide`, to be decided once more when every transaction that ran beside this one has ended (settle.py): a click
   drained meanwhile saw neither our order_touch, nor we the click;
4. the row of a new order comes last, once and whole: nobody else can know its id before the commit, until which the facts' foreign keys wait.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec
from msgspec.structs import replace

from app import clock
from app.database import uuids
from app.domain.orders import Landing, OrderReport, Receipt, read_click
from app.orders.facts import OrderFacts, add_facts
from app.orders.state import OrderState, Root, recompute_orders, write_stubs

NAMES = """
WITH asked AS (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::uuid[]) AS a(shop, kind, ref, candidate)
), known AS (
    SELECT DISTINCT ON (a.candidate) a.candidate, o.conversion_id
    FROM asked a JOIN order_ref o ON o.brand_id = $1 AND o.shop = a.shop AND o.kind = a.kind AND o.ref = a.ref
    ORDER BY a.candidate, o.conversion_id
), named AS (
    INSERT INTO order_ref (brand_id, shop, kind, ref, conversion_id)
    SELECT $1, a.shop, a.kind, a.ref, coalesce(k.conversion_id, a.candidate) FROM asked a LEFT JOIN known k ON k.candidate = a.candidate
    ORDER BY a.shop, a.kind, a.ref
    ON CONFLICT DO NOTHING
    RETURNING shop, kind, ref, conversion_id
)
SELECT shop, kind, ref, conversion_id FROM named
"""

# A statement of its own: only now are the rows visible whose insertion NAMES waited for.
NAMED = """
SELECT o.shop, o.kind, o.ref, o.conversion_id
FROM unnest($2::text[], $3::text[], $4::text[]) AS a(shop, kind, ref)
JOIN order_ref o ON o.brand_id = $1 AND o.shop = a.shop AND o.kind = a.kind AND o.ref = a.ref
"""

LOCK = """
SELECT id, root_id, shop, kind, order_id, status, status_reason, digest, created_at, codes FROM conversion
WHERE brand_id = $1 AND id = ANY($2::uuid[]) ORDER BY id FOR NO KEY UPDATE
"""

MERGE = """
UPDATE conversion c
SET root_id = m.root_id, status = 'merged', digest = NULL, occurred_at = NULL, net_minor = NULL, refunded_minor = 0, locks_at = NULL, updated_at = $4
FROM unnest($2::uuid[], $3::uuid[]) AS m(loser_id, root_id)
WHERE c.brand_id = $1 AND c.root_id = m.loser_id
"""
FORGET_DECISIONS = "DELETE FROM decision WHERE brand_id = $1 AND conversion_id = ANY($2::uuid[])"
FORGET_CREDITS = "DELETE FROM credit WHERE brand_id = $1 AND conversion_id = ANY($2::uuid[])"

# redecide is a local table: never together with a brand's tables in one statement.
REDECIDE = "INSERT INTO redecide (brand_id, conversion_id) SELECT $1, unnest($2::uuid[])"
EXPIRE = """
INSERT INTO redecide (brand_id, conversion_id, after, not_before)
SELECT $1, r.conversion_id, '0', r.not_before FROM unnest($2::uuid[], $3::timestamptz[]) AS r(conversion_id, not_before)
"""

LAND = """
INSERT INTO visitor_click (brand_id, visitor_id, click_id, seen_at)
SELECT $1, r.visitor_id, r.click_id, r.seen_at FROM unnest($2::text[], $3::uuid[], $4::timestamptz[]) AS r(visitor_id, click_id, seen_at)
ON CONFLICT DO NOTHING RETURNING visitor_id
"""
NAMING = "SELECT DISTINCT conversion_id FROM order_touch WHERE brand_id = $1 AND touch = ANY($2::text[])"

Name = tuple[str, str, str]
"""Shop, kind and one name of an order."""


class Recorded(msgspec.Struct, frozen=True):
    """What became of one report.

    conversion_id: of the surviving order. created: this report made the order known. added: it said something that was not known yet.
    """

    conversion_id: UUID
    created: bool
    added: bool
    settled: OrderState


async def record(
    connection: asyncpg.Connection, brand_id: UUID, reports: Sequence[tuple[OrderReport, Receipt]]
) -> list[Recorded]:
    """Records reports of one brand's orders inside the caller's READ COMMITTED transaction; answers in their order, [] for none.

    The same words twice change nothing, in this call or in ten years. One report that PostgreSQL refuses (a NUL) fails the whole call: the
    caller rolls back and tries the halves (`Recorder` does). Raises asyncpg.DeadlockDetectedError now and then: try the transaction again
    (`in_transaction` does).
    """
    if not reports:
        return []
    refs = [[(report.shop, report.kind, ref) for ref in report.refs] for report, _ in reports]
    assert all(refs), "a report without a name cannot be recorded"
    ids, fresh = await _name(connection, brand_id, refs, [report for report, _ in reports])
    roots, root_of = await _lock(connection, brand_id, set(ids.values()), fresh)
    roots, root_of = await _merge(connection, brand_id, refs, ids, roots, root_of)
    said = [(ids[names[0]], report, receipt) for names, (report, receipt) in zip(refs, reports, strict=True)]
    added, told = await add_facts(connection, brand_id, said)
    touched = {root_of[conversion_id] for conversion_id, _, _ in said}
    heard = _whole(told, root_of, fresh)
    settled = await recompute_orders(connection, brand_id, [roots[root_id] for root_id in sorted(touched)], heard)
    await schedule(connection, brand_id, settled)
    recorded = []
    known = {root_id for root_id in touched if roots[root_id].digest is not None}
    for index, (conversion_id, report, _) in enumerate(said):
        root_id = root_of[conversion_id]
        created = not report.stub and root_id not in known
        recorded.append(Recorded(root_id, created, index in added, settled[root_id]))
        if not report.stub:
            known.add(root_id)
    return recorded


def _whole(
    told: Mapping[UUID, OrderFacts], root_of: Mapping[UUID, UUID], fresh: Container[UUID]
) -> dict[UUID, OrderFacts]:
    """What was told just now of orders that were made just now: all their facts, so there is nothing to read."""
    whole: dict[UUID, OrderFacts] = {}
    known = {root_id for each, root_id in root_of.items() if each not in fresh}
    for conversion_id, each in told.items():
        root_id = root_of[conversion_id]
        if root_id not in known:
            facts = whole.setdefault(root_id, OrderFacts())
            facts.witnesses.extend(each.witnesses)
            facts.adjustments.extend(each.adjustments)
    return whole


async def record_landings(connection: asyncpg.Connection, brand_id: UUID, landings: Sequence[Landing]) -> None:
    """Records that shops' visitors met clicks, and schedules the orders these visitors made. Click ids that cannot be ours are left out."""
    met: dict[tuple[str, UUID], datetime] = {}
    for landing in landings:
        click_id = read_click(landing.click_id)
        if click_id is not None:
            key = (landing.visitor_id, click_id)
            met[key] = min(landing.seen_at, met.get(key, landing.seen_at))
    if not met:
        return
    visitors, clicks = zip(*sorted(met), strict=True)
    rows = await connection.fetch(LAND, brand_id, visitors, clicks, [met[key] for key in sorted(met)])
    # A statement of its own, after the one that took our transaction id: settling waits for ids, so it must not be older than ours.
    touches = sorted({f"visitor:{row['visitor_id']}" for row in rows})
    orders = await connection.fetch(NAMING, brand_id, touches) if touches else []
    if orders:
        # Not at once: a drain running beside us may be inserting the click and cannot see this landing.
        await connection.execute(REDECIDE, brand_id, [row["conversion_id"] for row in orders])


# ── Names and locks ──────────────────────────────────────────────────────────────────────────────────────────────────


async def _name(
    connection: asyncpg.Connection, brand_id: UUID, refs: Sequence[Sequence[Name]], reports: Sequence[OrderReport]
) -> tuple[dict[Name, UUID], dict[UUID, Root]]:
    """The conversion each name leads to: ids by name, and the new ones, whose rows are still to be written."""
    groups = _connect(refs)
    candidates: dict[Name, UUID] = {}
    order_ids: dict[UUID, str] = {}
    for names, report in zip(refs, reports, strict=True):
        head = groups[names[0]]
        candidate = candidates.setdefault(head, uuids.new_id())
        order_ids.setdefault(candidate, report.order_id or report.refs[0])
    asked = sorted(groups)
    chosen = [candidates[groups[name]] for name in asked]
    now = clock.now()
    shops, kinds, names_only = zip(*asked, strict=True)
    rows = await connection.fetch(NAMES, brand_id, shops, kinds, names_only, chosen)
    ids: dict[Name, UUID] = {(row["shop"], row["kind"], row["ref"]): row["conversion_id"] for row in rows}
    mine = set(chosen)
    fresh = {
        conversion_id: Root(conversion_id, shop, kind, order_ids[conversion_id], "stub", None, now, unwritten=True)
        for (shop, kind, _), conversion_id in ids.items()
        if conversion_id in mine
    }
    missing = [name for name in asked if name not in ids]
    if missing:
        shops, kinds, names_only = zip(*missing, strict=True)
        for row in await connection.fetch(NAMED, brand_id, shops, kinds, names_only):
            ids[row["shop"], row["kind"], row["ref"]] = row["conversion_id"]
    return ids, fresh


def _connect(refs: Iterable[Sequence[Name]]) -> dict[Name, Name]:
    """Each name's head: names that stand in one report, or are joined by a chain of reports, have the same one."""
    parent: dict[Name, Name] = {}

    def head(name: Name) -> Name:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for names in refs:
        for name in names:
            parent[head(name)] = head(names[0])
    return {name: head(name) for name in list(parent)}


async def _lock(
    connection: asyncpg.Connection, brand_id: UUID, ids: set[UUID], fresh: Mapping[UUID, Root]
) -> tuple[dict[UUID, Root], dict[UUID, UUID]]:
    """Locks rows and the roots they lead to: the roots by id, and the root of each id. New ones are ours already: nobody else can see their ids."""
    parent = {fresh_id: fresh_id for fresh_id in fresh}
    roots = dict(fresh)
    wanted = ids - parent.keys()
    while wanted:
        rows = await connection.fetch(LOCK, brand_id, sorted(wanted))
        assert len(rows) == len(wanted), "an order's row has gone"
        for row in rows:
            # As it stands after the wait, so that a merge we waited for is followed.
            parent[row["id"]] = row["root_id"]
            if row["id"] == row["root_id"]:
                roots[row["id"]] = Root(
                    row["id"],
                    row["shop"],
                    row["kind"],
                    row["order_id"],
                    row["status"],
                    row["digest"],
                    row["created_at"],
                    status_reason=row["status_reason"],
                    codes=tuple(row["codes"]),
                )
        wanted = set(parent.values()) - parent.keys()

    def root_of(each: UUID) -> UUID:
        while parent[each] != each:
            each = parent[each]
        return each

    return roots, {each: root_of(each) for each in parent}


async def lock_orders(
    connection: asyncpg.Connection, brand_id: UUID, ids: Iterable[UUID]
) -> tuple[dict[UUID, Root], dict[UUID, UUID]]:
    """Locks existing orders for settling them: their roots by id, and the root of each id asked for."""
    return await _lock(connection, brand_id, set(ids), {})


async def _merge(
    connection: asyncpg.Connection,
    brand_id: UUID,
    refs: Iterable[Sequence[Name]],
    ids: Mapping[Name, UUID],
    roots: dict[UUID, Root],
    root_of: dict[UUID, UUID],
) -> tuple[dict[UUID, Root], dict[UUID, UUID]]:
    """Makes one order of roots that one report names together; the oldest id stays."""
    parent = {root_id: root_id for root_id in roots}

    def head(root_id: UUID) -> UUID:
        while parent[root_id] != root_id:
            root_id = parent[root_id]
        return root_id

    for names in refs:
        heads = {head(root_of[ids[name]]) for name in names}
        for each in heads:
            parent[each] = min(heads)
    losers = sorted(root_id for root_id in parent if head(root_id) != root_id)
    if not losers:
        return roots, root_of
    roots = await write_stubs(connection, brand_id, roots)
    await connection.execute(MERGE, brand_id, losers, [head(loser) for loser in losers], clock.now())
    await connection.execute(FORGET_DECISIONS, brand_id, losers)
    await connection.execute(FORGET_CREDITS, brand_id, losers)
    kept = dict(roots)
    for loser in losers:
        gone = kept.pop(loser)
        survivor = kept[head(loser)]
        kept[survivor.id] = replace(
            survivor,
            # Equal to no digest there is: known as an order already, and to be written. Also when the one that stays is what it was: one less
            # redeems its codes.
            digest=None if survivor.digest is None and gone.digest is None else b"",
            codes=(*survivor.codes, *gone.codes),
        )
    return kept, {each: head(root_id) for each, root_id in root_of.items()}


# ── What has to be decided again ─────────────────────────────────────────────────────────────────────────────────────


async def schedule(connection: asyncpg.Connection, brand_id: UUID, settled: Mapping[UUID, OrderState]) -> None:
    """Puts orders that have just changed into `redecide`: at the horizon, and at the end of their wait for a click."""
    again = sorted(root_id for root_id, each in settled.items() if each.changed and each.names_touches)
    if again:
        await connection.execute(REDECIDE, brand_id, again)
    await schedule_expiry(connection, brand_id, settled)


async def schedule_expiry(connection: asyncpg.Connection, brand_id: UUID, settled: Mapping[UUID, OrderState]) -> None:
    """Puts orders that have begun to wait for a click into `redecide`, not before the wait is over."""
    waiting = {root_id: each.expires_at for root_id, each in settled.items() if each.changed and each.expires_at}
    if waiting:
        await connection.execute(EXPIRE, brand_id, list(waiting), list(waiting.values()))
