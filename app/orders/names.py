"""From the names that reports give their orders to locked rows: found or made, merged where one report joins two, taken apart where it must not.

Facts are added under the id that their first name leads to. What the names of all reports together mean is worked out by domain/naming.py; here
the ordinary case is done in two statements, and only where two orders of a shop system come under one name all their facts are read again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from msgspec.structs import replace

from app import clock
from app.database import uuids
from app.domain.naming import (
    AMBIGUOUS,
    PRIMARY,
    Grouping,
    Naming,
    group,
    naming_of,
    read_naming,
)
from app.domain.orders import OrderReport
from app.orders.locks import LockedOrders, Root, head_of, lock_orders, lock_rows, merge, write_stubs
from app.platforms.registry import SHOP_SYSTEMS

# Inserts nothing where a name is ambiguous: what gives it must first be named without it.
NAMES = """
WITH asked AS (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::uuid[]) AS a(shop, kind, ref, candidate)
), stored AS (
    SELECT a.candidate, o.conversion_id
    FROM asked a JOIN order_ref o ON o.brand_id = $1 AND o.shop = a.shop AND o.kind = a.kind AND o.ref = a.ref
), known AS (
    SELECT DISTINCT ON (candidate) candidate, conversion_id FROM stored ORDER BY candidate, conversion_id
), named AS (
    INSERT INTO order_ref (brand_id, shop, kind, ref, conversion_id)
    SELECT $1, a.shop, a.kind, a.ref, coalesce(k.conversion_id, a.candidate) FROM asked a LEFT JOIN known k ON k.candidate = a.candidate
    WHERE NOT EXISTS (SELECT FROM stored WHERE conversion_id IS NULL)
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

FORGET = """
DELETE FROM order_ref o USING unnest($2::text[], $3::text[], $4::text[]) AS a(shop, kind, ref)
WHERE o.brand_id = $1 AND o.shop = a.shop AND o.kind = a.kind AND o.ref = a.ref
"""

STORED = """
SELECT c.root_id, f.conversion_id, f.content_hash, f.delivery_id, 'witness' AS fact,
    coalesce(f.report ->> 'system', CASE WHEN f.door = 'hook' AND f.platform = ANY($3) THEN f.platform END) AS system,
    ARRAY(SELECT jsonb_array_elements_text(f.report -> 'refs')) AS refs
FROM conversion c JOIN witness f ON f.brand_id = $1 AND f.conversion_id = c.id
WHERE c.brand_id = $1 AND c.root_id = ANY($2::uuid[])
UNION ALL
SELECT c.root_id, f.conversion_id, f.content_hash, f.delivery_id, 'adjustment', NULL, f.refs
FROM conversion c JOIN adjustment f ON f.brand_id = $1 AND f.conversion_id = c.id
WHERE c.brand_id = $1 AND c.root_id = ANY($2::uuid[]) AND f.refs <> '{}'
"""
# Where two orders were one for a time, a report may stand under several ids: it is one fact from now on, dated by its earliest receipt.
MOVE = """
WITH moved AS (
    SELECT * FROM unnest($2::uuid[], $3::bytea[], $4::uuid[]) AS m(conversion_id, content_hash, target)
), taken AS (
    DELETE FROM {fact} f USING moved m
    WHERE f.brand_id = $1 AND f.conversion_id = m.conversion_id AND f.content_hash = m.content_hash
    RETURNING to_jsonb(f) || jsonb_build_object('conversion_id', m.target) AS fact, m.target, f.content_hash, f.received_at
)
INSERT INTO {fact}
SELECT p.* FROM (SELECT DISTINCT ON (target, content_hash) fact FROM taken ORDER BY target, content_hash, received_at) AS t
CROSS JOIN LATERAL jsonb_populate_record(NULL::{fact}, t.fact) AS p
ON CONFLICT ON CONSTRAINT pk_{fact} DO UPDATE SET received_at = EXCLUDED.received_at WHERE {fact}.received_at > EXCLUDED.received_at
"""
APART = "UPDATE conversion SET taken_apart = true WHERE brand_id = $1 AND id = ANY($2::uuid[])"
LEAD = """
INSERT INTO order_ref (brand_id, shop, kind, ref, conversion_id)
SELECT $1, $2, $3, r.ref, r.conversion_id FROM unnest($4::text[], $5::uuid[]) AS r(ref, conversion_id) ORDER BY r.ref
ON CONFLICT (brand_id, shop, kind, ref) DO UPDATE SET conversion_id = EXCLUDED.conversion_id
"""
# More than they may need: a touch only leads to orders that are then worked out from their own facts.
TOUCH = """
INSERT INTO order_touch (brand_id, touch, conversion_id)
SELECT $1, t.touch, n.id FROM order_touch t CROSS JOIN unnest($3::uuid[]) AS n(id)
WHERE t.brand_id = $1 AND t.conversion_id IN (SELECT id FROM conversion WHERE brand_id = $1 AND root_id = ANY($2::uuid[]))
ON CONFLICT DO NOTHING
"""
DELIVERED = """
UPDATE delivery d SET conversion_id = m.target FROM unnest($2::uuid[], $3::uuid[]) AS m(id, target) WHERE d.brand_id = $1 AND d.id = m.id
"""

Name = tuple[str, str, str]
"""Shop, kind and one name of an order."""


class NamedOrders(NamedTuple):
    """The locked orders that reports name, and the ids under which the reports are stored, in their order. apart: a name joins two orders of a shop
    system, which `take_apart` has to tell apart first; nothing was merged.
    """

    locked: LockedOrders
    ids: list[UUID]
    apart: bool = False


async def lock_named(connection: asyncpg.Connection, brand_id: UUID, reports: Sequence[OrderReport]) -> NamedOrders:
    """Locks the orders that these reports name.

    Orders that one report names together are one from now on. New orders have no row yet: `recompute_orders` or `write_stubs` writes it.
    """
    assert all(report.refs for report in reports), "a report without a name cannot be recorded"
    namings = [naming_of(report) for report in reports]
    refs = [
        [(report.shop, report.kind, name) for name in each.names] for report, each in zip(reports, namings, strict=True)
    ]
    ids, fresh, added = await _name(connection, brand_id, refs, reports)
    # More than once only where another name became ambiguous meanwhile.
    while None in ids.values():
        await _forget(connection, brand_id, added)
        refs = [_clear(names, ids) for names in refs]
        ids, fresh, added = await _name(connection, brand_id, refs, reports)
    found = {name: each for name, each in ids.items() if each is not None}
    roots, root_of = await lock_rows(connection, brand_id, set(found.values()), fresh)
    if any(root.taken_apart for root in roots.values()):
        # Somebody may have taken an order apart while this transaction waited for its lock: then also new names may have been led astray.
        shops, kinds, names_only = zip(*found, strict=True)
        rows = await connection.fetch(NAMED, brand_id, shops, kinds, names_only)
        if any(row["conversion_id"] != found[row["shop"], row["kind"], row["ref"]] for row in rows):
            await _forget(connection, brand_id, added)
            return await lock_named(connection, brand_id, reports)
    parent = {root_id: root_id for root_id in roots}
    for names in refs:
        heads = {head_of(parent, root_of[found[name]]) for name in names}
        parent |= dict.fromkeys(heads, min(heads))
    survivor_of = {root_id: head for root_id in sorted(roots) if (head := head_of(parent, root_id)) != root_id}
    stored = [found[names[0]] for names in refs]
    primaries = {root_id: {root.primary_ref} for root_id, root in roots.items()}
    for each, conversion_id, names in zip(namings, stored, refs, strict=True):
        alone = names[0][2] if names[0][2].startswith(AMBIGUOUS) else None
        primaries[root_of[conversion_id]].add(each.primary or alone)
    for root_id, survivor_id in survivor_of.items():
        primaries[survivor_id] |= primaries.pop(root_id)
    if any(len(each - {None}) > 1 for each in primaries.values()):
        roots = await write_stubs(connection, brand_id, roots)
        return NamedOrders(LockedOrders(roots, root_of), stored, apart=True)
    roots = await merge(connection, brand_id, roots, survivor_of)
    for root_id, found_names in primaries.items():
        primary = next((name for name in found_names if name is not None), None)
        if primary != roots[root_id].primary_ref:
            roots[root_id] = replace(roots[root_id], primary_ref=primary)
    root_of = {each: survivor_of.get(root_id, root_id) for each, root_id in root_of.items()}
    return NamedOrders(LockedOrders(roots, root_of, frozenset(fresh)), stored)


def _clear(names: Sequence[Name], ids: Mapping[Name, UUID | None]) -> list[Name]:
    """The names of a report without the ambiguous ones; where it gives no other, the name of the order of all such reports. An order that the shop
    system names is still found by its number.
    """
    clear = [name for name in names if name not in ids or ids[name] is not None]
    shop, kind, first = names[0]
    if first.startswith(PRIMARY):
        found = {name for name in names if name not in clear}
        clear += [(shop, kind, f"{AMBIGUOUS}{name}{first}") for _, _, name in sorted(found)]
    return clear or [(shop, kind, f"{AMBIGUOUS}{first}")]


async def _forget(connection: asyncpg.Connection, brand_id: UUID, names: Collection[Name]) -> None:
    """Takes back names that this transaction has just given, of which nobody else knows."""
    if names:
        await connection.execute(FORGET, brand_id, *zip(*names, strict=True))


async def _name(
    connection: asyncpg.Connection, brand_id: UUID, refs: Sequence[Sequence[Name]], reports: Sequence[OrderReport]
) -> tuple[dict[Name, UUID | None], dict[UUID, Root], Collection[Name]]:
    """The conversion that each name leads to, None for an ambiguous one; the new conversions, whose rows are still to be written; the new names."""
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
    ids: dict[Name, UUID | None] = {(row["shop"], row["kind"], row["ref"]): row["conversion_id"] for row in rows}
    added = list(ids)
    mine = set(chosen)
    fresh = {
        conversion_id: Root(conversion_id, shop, kind, order_ids[conversion_id], now, unwritten=True)
        for (shop, kind, _), conversion_id in ids.items()
        if conversion_id is not None and conversion_id in mine
    }
    missing = [name for name in asked if name not in ids]
    if missing:
        shops, kinds, names_only = zip(*missing, strict=True)
        for row in await connection.fetch(NAMED, brand_id, shops, kinds, names_only):
            ids[row["shop"], row["kind"], row["ref"]] = row["conversion_id"]
    return ids, fresh, added


def _connect(refs: Iterable[Sequence[Name]]) -> dict[Name, Name]:
    """A representative of each name's group: names in one report, or joined by a chain of reports, have the same one."""
    parent = {name: name for names in refs for name in names}
    for names in refs:
        for name in names:
            parent[head_of(parent, name)] = head_of(parent, names[0])
    return {name: head_of(parent, name) for name in parent}


# ── Two orders under one name ────────────────────────────────────────────────────────────────────────────────────────


async def take_apart(
    connection: asyncpg.Connection, brand_id: UUID, report: OrderReport, named: NamedOrders
) -> NamedOrders:
    """Tells apart the orders that the names of this report join though they are two: by the names that all their reports give.

    Facts, names and deliveries are led to the order they belong to; decisions of people stay with the row they were made on. Of the orders found,
    one of each keeps a row that was there, by its primary name; the others get new ones.
    """
    found = await _read_component(connection, brand_id, named.locked.roots, [naming_of(report)])
    targets, roots, gone = await _regroup(connection, brand_id, found)
    mine = targets[found.grouping.groups[-1]]
    # What was found under the names of this report, and has no report of its own.
    nameless = dict.fromkeys(named.locked.roots.keys() - set(targets.values()) - gone.keys(), mine)
    roots = await merge(connection, brand_id, roots, gone | nameless)
    root_of = {root_id: root_id for root_id in roots} | gone | nameless
    return NamedOrders(LockedOrders(roots, root_of), [mine], apart=True)


async def split_order(connection: asyncpg.Connection, brand_id: UUID, conversion_id: UUID) -> LockedOrders:
    """Takes an order apart that a release before made of several orders of a shop system; the locked rows of all orders that it is now.

    One row alone where its reports name one order. The caller works them out (`recompute_orders`), in the same transaction.
    """
    locked = await lock_orders(connection, brand_id, [conversion_id])
    found = await _read_component(connection, brand_id, locked.roots, [])
    targets, roots, gone = await _regroup(connection, brand_id, found)
    roots = await merge(connection, brand_id, roots, gone)
    kept = {root_id: root for root_id, root in roots.items() if root_id in {*targets.values(), *locked.roots}}
    return LockedOrders(kept, {root_id: root_id for root_id in kept} | gone)


class _Component(NamedTuple):
    """Locked orders that are connected by names, all their facts, how each names its order, and which order it belongs to. In the last two, reports
    still to be stored come last.
    """

    roots: dict[UUID, Root]
    facts: Sequence[asyncpg.Record]
    namings: Sequence[Naming]
    grouping: Grouping

    def of_facts(self) -> list[tuple[asyncpg.Record, str]]:
        """The facts, each with the order it belongs to."""
        return list(zip(self.facts, self.grouping.groups, strict=False))


async def _read_component(
    connection: asyncpg.Connection, brand_id: UUID, roots: Mapping[UUID, Root], reported: Sequence[Naming]
) -> _Component:
    """The orders that any name in the facts of these leads to. More rows are locked than were asked for: whoever deadlocks by that tries again."""
    roots = dict(roots)
    shop, kind = next((root.shop, root.kind) for root in roots.values())
    while True:
        facts = await connection.fetch(STORED, brand_id, sorted(roots), SHOP_SYSTEMS)
        namings = [*map(_naming_of_fact, facts), *reported]
        given = sorted({name for each in namings for name in each.names})
        given += [f"{AMBIGUOUS}{name}" for name in given]
        rows = await connection.fetch(NAMED, brand_id, [shop] * len(given), [kind] * len(given), given)
        leads = {row["ref"]: row["conversion_id"] for row in rows}
        others, _ = await lock_rows(connection, brand_id, {each for each in leads.values() if each is not None}, {})
        if others.keys() <= roots.keys():
            grouping = group(namings, [name for name, conversion_id in leads.items() if conversion_id is None])
            return _Component(roots, facts, namings, grouping)
        roots = {**others, **roots}


async def _regroup(
    connection: asyncpg.Connection, brand_id: UUID, found: _Component
) -> tuple[dict[str, UUID], dict[UUID, Root], dict[UUID, UUID]]:
    """Leads facts, names and deliveries to the orders that they belong to.

    Returns the row of each order by its name, all rows, and to which of them those belong that no order has kept.
    """
    grouping, facts, roots = found.grouping, found.of_facts(), dict(found.roots)
    shop, kind = next((root.shop, root.kind) for root in roots.values())
    targets = _targets(roots, [row["root_id"] for row in found.facts], grouping)
    now = clock.now()
    for name, target in targets.items():
        primary = f"{AMBIGUOUS}{name}" if name in grouping.ambiguous else name if name.startswith(PRIMARY) else None
        known = roots.get(target) or Root(target, shop, kind, _shown(name), now, status="stub", unwritten=True)
        roots[target] = replace(known, primary_ref=primary, digest=None if known.digest is None else b"")
    fresh = sorted(root_id for root_id, root in roots.items() if root.unwritten)
    roots = await write_stubs(connection, brand_id, roots)
    await connection.execute(APART, brand_id, sorted(found.roots))
    await connection.execute(TOUCH, brand_id, sorted(found.roots), fresh)
    moved = [(row, targets[order]) for row, order in facts if row["root_id"] != targets[order]]
    for fact in ("witness", "adjustment"):
        keys = [(row["conversion_id"], row["content_hash"], target) for row, target in moved if row["fact"] == fact]
        if keys:
            await connection.execute(MOVE.format(fact=fact), brand_id, *zip(*keys, strict=True))
    delivered = {row["delivery_id"]: target for row, target in moved if row["delivery_id"] is not None}
    await connection.execute(DELIVERED, brand_id, list(delivered), list(delivered.values()))
    leads: dict[str, UUID | None] = {
        name: targets[order] for name, order in grouping.owners.items() if order in targets
    }
    for each in found.namings:
        if each.primary is not None:
            claimed = grouping.ambiguous.intersection(each.names)
            leads |= {f"{AMBIGUOUS}{name}{each.primary}": targets[each.primary] for name in claimed}
    for name in grouping.ambiguous:
        leads[name] = None
        if name in targets:
            leads[f"{AMBIGUOUS}{name}"] = targets[name]
    await connection.execute(LEAD, brand_id, shop, kind, list(leads), list(leads.values()))
    kept = set(targets.values())
    gone = {row["root_id"]: targets[order] for row, order in sorted(facts, key=_turn) if row["root_id"] not in kept}
    return targets, roots, gone


def _turn(fact: tuple[asyncpg.Record, str]) -> tuple[str, bytes]:
    return fact[1], fact[0]["content_hash"]


def _naming_of_fact(row: Mapping[str, Any] | asyncpg.Record) -> Naming:
    refs: Sequence[str] = row["refs"]
    if row["fact"] == "adjustment":
        return read_naming(refs)
    return naming_of(OrderReport("", "", tuple(refs), system=row["system"]))


def _targets(roots: Mapping[UUID, Root], homes: Sequence[UUID], grouping: Grouping) -> dict[str, UUID]:
    """The row of each group of facts, by the group's name. homes: of each stored fact, the root it stands under; reports to be stored have none."""
    groups = grouping.groups
    targets: dict[str, UUID] = {}
    for root_id, root in sorted(roots.items()):
        name = (root.primary_ref or "").removeprefix(AMBIGUOUS)
        if name in groups and (name in grouping.ambiguous) is root.is_ambiguous:
            targets.setdefault(name, root_id)
    # The row, with what people decided about it, rather stays with an order of the shop system.
    for name, home in sorted(zip(groups, homes, strict=False), key=lambda each: (each[0][:1] != PRIMARY, each)):
        if name not in targets and home not in targets.values() and roots[home].primary_ref is None:
            targets[name] = home
    for name in sorted(set(groups) - targets.keys()):
        targets[name] = uuids.new_id()
    return targets


def _shown(name: str) -> str:
    """The order id of a group: what follows the shop system in a primary name."""
    return name.partition(":")[2] or name
