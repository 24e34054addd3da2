"""The rows that stand for orders: locked, merged, written. Merging two orders moves one pointer, `root_id`; the row of the root stands for the order."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from msgspec.structs import replace

from app import clock
from app.domain.naming import AMBIGUOUS
from app.domain.statuses import STUB

# After `root_id` the columns of `Root`.
LOCK = """
SELECT root_id, id, shop, kind, order_id, created_at, primary_ref, status, status_reason, digest, codes, taken_apart,
    claims, (occurred_at AT TIME ZONE 'UTC')::date, customer_key, occurred_at
FROM conversion
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
INSERT INTO conversion (brand_id, id, root_id, shop, kind, order_id, created_at, updated_at, primary_ref)
SELECT $1, r.id, r.id, r.shop, r.kind, r.order_id, r.created_at, r.created_at, r.primary_ref
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[]) AS r(id, shop, kind, order_id, created_at, primary_ref)
"""

NAME_STUBS = """
UPDATE conversion c SET primary_ref = r.primary_ref FROM unnest($2::uuid[], $3::text[]) AS r(id, primary_ref)
WHERE c.brand_id = $1 AND c.id = r.id AND c.primary_ref IS DISTINCT FROM r.primary_ref
"""

Name = tuple[str, str, str]
"""Shop, kind and one name of an order."""
Node = TypeVar("Node", Name, UUID)
Claim = tuple[str, date]
"""What claims an order by number alone, by its name in `order_touch`, and the UTC day of the order."""


class Root(msgspec.Struct, frozen=True):
    """The row that stands for an order, as read under its lock.

    codes: the codes it has redeemed so far, and those of the orders just merged into it. claims: likewise what has claimed it by number alone, with
    the day; known_as: its customer and time, and those of the orders just merged into it. unwritten: named in this transaction, its row is still to be written.
    """

    id: UUID
    shop: str
    kind: str
    order_id: str | None
    created_at: datetime
    primary_ref: str | None = None
    status: str = STUB
    status_reason: str | None = None
    digest: bytes | None = None
    codes: Sequence[str] = ()
    taken_apart: bool = False
    claims: Sequence[Claim] = ()
    known_as: Sequence[tuple[str, datetime]] = ()
    unwritten: bool = False

    @property
    def is_ambiguous(self) -> bool:
        """Whether only a number leads to it that several orders of the shop have."""
        return self.primary_ref is not None and self.primary_ref.startswith(AMBIGUOUS)


class LockedOrders(NamedTuple):
    """Locked rows: the roots by id, the root of each id, and the ids that this transaction has made."""

    roots: dict[UUID, Root]
    root_of: dict[UUID, UUID]
    new: frozenset[UUID] = frozenset()

    def root(self, conversion_id: UUID) -> Root:
        """The row that stands for the order with this id."""
        return self.roots[self.root_of[conversion_id]]


async def lock_orders(connection: asyncpg.Connection, brand_id: UUID, ids: Iterable[UUID]) -> LockedOrders:
    """Locks existing orders, by their ids or by those of orders merged into them."""
    return LockedOrders(*await lock_rows(connection, brand_id, set(ids), {}))


def head_of(parent: dict[Node, Node], node: Node) -> Node:
    """The end of the chain of parents that begins at this node. Each step shortens the chain for the next walk."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


async def lock_rows(
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
            root_id, *columns, day, customer_key, occurred_at = row
            columns[-1] = [(touch, day) for touch in columns[-1]]
            columns.append(() if customer_key is None or occurred_at is None else ((customer_key, occurred_at),))
            root = Root(*columns)
            parent[root.id] = root_id
            if root.id == root_id:
                roots[root_id] = root
        wanted = set(parent.values()) - parent.keys()
    return roots, {each: head_of(parent, each) for each in parent}


async def merge(
    connection: asyncpg.Connection, brand_id: UUID, roots: dict[UUID, Root], survivor_of: Mapping[UUID, UUID]
) -> dict[UUID, Root]:
    """The locked roots after these have been merged into their survivors; no statement for none."""
    if not survivor_of:
        return roots
    losers = sorted(survivor_of)
    roots = await write_stubs(connection, brand_id, roots)
    await connection.execute(MERGE, brand_id, losers, [survivor_of[loser] for loser in losers], clock.now())
    await connection.execute(FORGET_DECISIONS, brand_id, losers)
    await connection.execute(FORGET_CREDITS, brand_id, losers)
    for loser in losers:
        gone = roots.pop(loser)
        survivor = roots[survivor_of[loser]]
        roots[survivor.id] = replace(
            survivor,
            # b"" equals no digest: the order is known and will be written, even when its own state is unchanged: one order fewer redeems its codes.
            digest=None if survivor.digest is None and gone.digest is None else b"",
            codes=(*survivor.codes, *gone.codes),
            claims=(*survivor.claims, *gone.claims),
            known_as=(*survivor.known_as, *gone.known_as),
            primary_ref=survivor.primary_ref or gone.primary_ref,
        )
    return roots


async def write_stubs(connection: asyncpg.Connection, brand_id: UUID, roots: Mapping[UUID, Root]) -> dict[UUID, Root]:
    """Writes the rows of orders that have none yet, because nothing is stated of them or they are about to be merged; the roots as they are then."""
    missing = [root for root in roots.values() if root.unwritten]
    if not missing:
        return dict(roots)
    columns = zip(
        *((each.id, each.shop, each.kind, each.order_id, each.created_at, each.primary_ref) for each in missing),
        strict=True,
    )
    await connection.execute(STUBS, brand_id, *columns)
    return {root_id: replace(root, unwritten=False) for root_id, root in roots.items()}


async def name_stubs(connection: asyncpg.Connection, brand_id: UUID, roots: Iterable[Root]) -> None:
    """Writes the primary names of locked rows of which nothing else is stated; no statement for none."""
    named = [(root.id, root.primary_ref) for root in roots if not root.unwritten]
    if named:
        await connection.execute(NAME_STUBS, brand_id, *zip(*named, strict=True))
