"""The rows that stand for orders: found or made by their names, locked, merged.

Facts are added under the id that their first name leads to. Merging two orders moves one pointer, `root_id`; the row of the root stands for the order.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from msgspec.structs import replace

from app import clock
from app.database import uuids
from app.domain.orders import OrderReport
from app.domain.statuses import STUB

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

# After `root_id` the columns of `Root`.
LOCK = """
SELECT root_id, id, shop, kind, order_id, created_at, status, status_reason, digest, codes FROM conversion
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

STUBS = """
INSERT INTO conversion (brand_id, id, root_id, shop, kind, order_id, created_at, updated_at)
SELECT $1, r.id, r.id, r.shop, r.kind, r.order_id, r.created_at, r.created_at
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[]) AS r(id, shop, kind, order_id, created_at)
"""

Name = tuple[str, str, str]
"""Shop, kind and one name of an order."""
Node = TypeVar("Node", Name, UUID)


class Root(msgspec.Struct, frozen=True):
    """The row that stands for an order, as read under its lock.

    codes: the codes it has redeemed so far, and those of the orders just merged into it. unwritten: named in this transaction, its row is still
    to be written.
    """

    id: UUID
    shop: str
    kind: str
    order_id: str | None
    created_at: datetime
    status: str = STUB
    status_reason: str | None = None
    digest: bytes | None = None
    codes: Sequence[str] = ()
    unwritten: bool = False


class LockedOrders(NamedTuple):
    """Locked rows: the roots by id, the root of each id, and the ids that this transaction has made."""

    roots: dict[UUID, Root]
    root_of: dict[UUID, UUID]
    new: frozenset[UUID] = frozenset()

    def root(self, conversion_id: UUID) -> Root:
        """The row that stands for the order with this id."""
        return self.roots[self.root_of[conversion_id]]


async def lock_named(
    connection: asyncpg.Connection, brand_id: UUID, reports: Sequence[OrderReport]
) -> tuple[LockedOrders, list[UUID]]:
    """Locks the orders that these reports name; the ids under which the reports are stored, in their order.

    Orders that one report names together are one from now on. New orders have no row yet: `recompute_orders` or `write_stubs` writes it.
    """
    refs = [[(report.shop, report.kind, ref) for ref in report.refs] for report in reports]
    assert all(refs), "a report without a name cannot be recorded"
    ids, fresh = await _name(connection, brand_id, refs, reports)
    roots, root_of = await _lock(connection, brand_id, set(ids.values()), fresh)
    roots, root_of = await _merge(connection, brand_id, refs, ids, roots, root_of)
    return LockedOrders(roots, root_of, frozenset(fresh)), [ids[names[0]] for names in refs]


async def lock_orders(connection: asyncpg.Connection, brand_id: UUID, ids: Iterable[UUID]) -> LockedOrders:
    """Locks existing orders, by their ids or by those of orders merged into them."""
    return LockedOrders(*await _lock(connection, brand_id, set(ids), {}))


async def _name(
    connection: asyncpg.Connection, brand_id: UUID, refs: Sequence[Sequence[Name]], reports: Sequence[OrderReport]
) -> tuple[dict[Name, UUID], dict[UUID, Root]]:
    """The conversion that each name leads to, and the new ones, whose rows are still to be written."""
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
        conversion_id: Root(conversion_id, shop, kind, order_ids[conversion_id], now, unwritten=True)
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
    """A representative of each name's group: names in one report, or joined by a chain of reports, have the same one."""
    parent = {name: name for names in refs for name in names}
    for names in refs:
        for name in names:
            parent[_head(parent, name)] = _head(parent, names[0])
    return {name: _head(parent, name) for name in parent}


def _head(parent: dict[Node, Node], node: Node) -> Node:
    """The end of the chain of parents that begins at this node. Each step shortens the chain for the next walk."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


async def _lock(
    connection: asyncpg.Connection, brand_id: UUID, ids: set[UUID], fresh: Mapping[UUID, Root]
) -> tuple[dict[UUID, Root], dict[UUID, UUID]]:
    """Locks rows and the roots they lead to: the roots by id, and the root of each id. Nobody else can see the ids of the new ones."""
    parent = {fresh_id: fresh_id for fresh_id in fresh}
    roots = dict(fresh)
    wanted = ids - parent.keys()
    while wanted:
        rows = await connection.fetch(LOCK, brand_id, sorted(wanted))
        assert len(rows) == len(wanted), "an order's row has gone"
        for row in rows:
            # Read after the wait for the lock, so that a merge we waited for is followed.
            root_id, *columns = row
            root = Root(*columns)
            parent[root.id] = root_id
            if root.id == root_id:
                roots[root_id] = root
        wanted = set(parent.values()) - parent.keys()
    return roots, {each: _head(parent, each) for each in parent}


async def _merge(
    connection: asyncpg.Connection,
    brand_id: UUID,
    refs: Iterable[Sequence[Name]],
    ids: Mapping[Name, UUID],
    roots: dict[UUID, Root],
    root_of: dict[UUID, UUID],
) -> tuple[dict[UUID, Root], dict[UUID, UUID]]:
    """Makes one order of the roots that one report names together; the oldest id stays."""
    parent = {root_id: root_id for root_id in roots}
    for names in refs:
        heads = {_head(parent, root_of[ids[name]]) for name in names}
        parent |= dict.fromkeys(heads, min(heads))
    survivor_of = {root_id: head for root_id in sorted(roots) if (head := _head(parent, root_id)) != root_id}
    if not survivor_of:
        return roots, root_of
    losers = list(survivor_of)
    roots = await write_stubs(connection, brand_id, roots)
    await connection.execute(MERGE, brand_id, losers, list(survivor_of.values()), clock.now())
    await connection.execute(FORGET_DECISIONS, brand_id, losers)
    await connection.execute(FORGET_CREDITS, brand_id, losers)
    for loser, survivor_id in survivor_of.items():
        gone = roots.pop(loser)
        survivor = roots[survivor_id]
        roots[survivor_id] = replace(
            survivor,
            # b"" equals no digest: the order is known and will be written, even when its own state is unchanged: one order fewer redeems its codes.
            digest=None if survivor.digest is None and gone.digest is None else b"",
            codes=(*survivor.codes, *gone.codes),
        )
    return roots, {each: survivor_of.get(root_id, root_id) for each, root_id in root_of.items()}


async def write_stubs(connection: asyncpg.Connection, brand_id: UUID, roots: Mapping[UUID, Root]) -> dict[UUID, Root]:
    """Writes the rows of orders that have none yet, because nothing is stated of them or they are about to be merged; the roots as they are then."""
    missing = [root for root in roots.values() if root.unwritten]
    if not missing:
        return dict(roots)
    columns = zip(*((each.id, each.shop, each.kind, each.order_id, each.created_at) for each in missing), strict=True)
    await connection.execute(STUBS, brand_id, *columns)
    return {root_id: replace(root, unwritten=False) for root_id, root in roots.items()}
