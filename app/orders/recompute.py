"""The one way from facts to an order: read all facts, fold, decide, write what changed, enqueue what may have to be decided once more."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from msgspec.structs import replace

from app import clock
from app.domain import folding
from app.domain.amounts import EXACT, Tolerance
from app.domain.folding import Order
from app.domain.money import read_declared
from app.domain.orders import TRUST_SIGNED_PIXEL, is_trusted
from app.domain.statuses import StatusChange, in_time
from app.domain.trust import DEFAULT_RULES, PixelSignals, TrustRules
from app.orders.caps import OVER_CAP, mark_over_cap
from app.orders.claims import NO_CLAIMS, count_claims
from app.orders.codes import as_reported, name_codes, read_codes
from app.orders.customers import later_orders
from app.orders.evidence import Evidence, collect
from app.orders.facts import OrderFacts, read_facts
from app.orders.locks import Root, name_stubs, write_stubs
from app.orders.queue import enqueue, enqueue_later
from app.orders.state import conversion_of, rows_of
from app.orders.store import write_states
from app.platforms.registry import PARTIAL

# An order that a platform of `PARTIAL` leaves out is not in doubt for that.
SIGNED_SOURCES = """
SELECT shop, array_append(created_at || pauses, archived_at) AS edges FROM source
WHERE brand_id = $1 AND cardinality(secrets) > 0 AND platform <> ALL($2)
UNION ALL
SELECT shop, CASE WHEN cardinality(every_order_edges) % 2 = 1 THEN array_append(every_order_edges, revoked_at) ELSE every_order_edges END
FROM api_key WHERE brand_id = $1 AND kind = 'secret' AND shop IS NOT NULL AND cardinality(every_order_edges) > 0
"""
TOLERANCE = "SELECT witness_tolerance_bp, witness_tolerance_minor FROM brand WHERE id = $1"
RULES = "SELECT pixel_signals, pixel_window_minutes, currency, pixel_amount_max_minor, pixel_claims_max, currencies FROM brand WHERE id = $1"
BRAND_CURRENCY = "SELECT currency FROM brand WHERE id = $1"

NO_FACTS: Mapping[UUID, OrderFacts] = {}

Intervals = Sequence[tuple[datetime, datetime | None]]
"""Half-open intervals of time; None: until today."""


class OrderState(msgspec.Struct, frozen=True):
    """An order as it stands now: its conversion and decision as they are stored, and as it was folded. decision: None for a stub.

    changes: the decisions of people, in the order of time. changed: this computation wrote something.
    """

    conversion: Mapping[str, Any]
    decision: Mapping[str, Any] | None
    order: Order
    changes: tuple[StatusChange, ...]
    changed: bool


async def recompute_orders(
    connection: asyncpg.Connection,
    brand_id: UUID,
    roots: Sequence[Root],
    *,
    new_facts: Mapping[UUID, OrderFacts] = NO_FACTS,
    is_reported: bool = False,
) -> dict[UUID, OrderState]:
    """Works out these orders from all their facts, and writes those whose state changed; their states by root id.

    The caller holds the lock of every root, or made it in this transaction. new_facts: all facts of orders that this transaction made; the
    others' are read. is_reported: reports were just added, so an order that changed is enqueued, to be decided once more when every
    transaction that ran beside this one has ended.
    """
    facts = {
        **await read_facts(connection, brand_id, [root.id for root in roots if root.id not in new_facts]),
        **new_facts,
    }
    signed = await _signed_sources(connection, brand_id, facts.values())
    rules = await read_rules(connection, brand_id, facts.values())
    intervals = {root.id: signed.get(root.shop, ()) for root in roots}
    folded = await _fold(connection, brand_id, facts, intervals, rules)
    orders = {key: order for key, order in folded.items() if order.occurred_at is not None}
    stubs = {root.id: root for root in roots if root.id not in orders}
    await name_stubs(connection, brand_id, stubs.values())
    await write_stubs(connection, brand_id, stubs)
    states = {
        key: OrderState(conversion_of(root, Order(order_id=root.order_id)), None, folded[key], (), False)
        for key, root in stubs.items()
    }
    if not orders:
        return states
    redeemed = {root.id: root.codes for root in roots}
    codes = await read_codes(connection, brand_id, orders.values(), redeemed.values())
    orders = await name_codes(connection, brand_id, orders, codes)
    claims = await count_claims(connection, brand_id, roots, orders, rules.claims_max)
    if claims.withheld:
        some = {key: facts[key] for key in claims.withheld}
        withheld = {key: as_reported(orders[key], each) for key, each in claims.withheld.items()}
        judged = await _fold(connection, brand_id, some, intervals, rules, withheld)
        orders |= await name_codes(connection, brand_id, judged, codes)
    for key, made in claims.made.items():
        orders[key] = replace(orders[key], claims=made, claims_withheld=claims.withheld.get(key, ()))
    evidence = await collect(
        connection, brand_id, orders, codes.rows, redeemed, {root.id: (root.shop, root.kind) for root in roots}
    )
    currency = ""
    if any(order.currency is None for order in orders.values()):
        currency = await connection.fetchval(BRAND_CURRENCY, brand_id)
    now = clock.now()
    rows = [rows_of(root, orders[root.id], evidence[root.id], currency, now) for root in roots if root.id in orders]
    changed = [each for each in rows if each.changed]
    await write_states(connection, brand_id, changed, now)
    capped = {key: each.capped for key, each in evidence.items() if each.capped}
    over: set[UUID] = set()
    if capped:
        over = await mark_over_cap(connection, brand_id, capped, changed=bool(changed))
    for each in rows:
        root_id = each.root.id
        flags = sorted({*each.conversion["flags"], OVER_CAP}) if root_id in over else each.conversion["flags"]
        conversion = {**each.conversion, "flags": flags}
        changes = in_time(facts[root_id].changes)
        states[root_id] = OrderState(conversion, each.decision, orders[root_id], changes, each.changed)
    again = {each.root.id for each in changed if each.root.id in claims.made} | claims.claimants
    if is_reported:
        again |= {each.root.id for each in changed if evidence[each.root.id].touches or orders[each.root.id].visitor_id}
    again |= await _follow(connection, brand_id, roots, states, evidence, is_reported=is_reported)
    await enqueue(connection, brand_id, again)
    await enqueue_later(connection, brand_id, {each.root.id: each.waits_until for each in changed if each.waits_until})
    return states


async def _follow(
    connection: asyncpg.Connection,
    brand_id: UUID,
    roots: Sequence[Root],
    states: Mapping[UUID, OrderState],
    evidence: Mapping[UUID, Evidence],
    *,
    is_reported: bool,
) -> set[UUID]:
    """Enqueues the later orders of the customers of these orders, who were known before or are known now; which of these orders are to be decided
    once more themselves. Nothing where no policy follows customers.
    """
    if not any(each.follows for each in evidence.values()):
        return set()
    known: set[tuple[UUID, str, datetime]] = set()
    for root in roots:
        state = states[root.id]
        if is_reported or state.changed or state.decision is None:
            known |= {(root.id, *before) for before in root.known_as}
            if state.order.customer_key is not None and state.order.occurred_at is not None:
                known.add((root.id, state.order.customer_key, state.order.occurred_at))
    await enqueue(connection, brand_id, await later_orders(connection, brand_id, known), at_once=True)
    reported = {key for key in evidence if is_reported and states[key].order.customer_key is not None}
    return reported | {key for key, each in evidence.items() if each.is_drawn_in}


FOUND = """
SELECT r.* FROM conversion c JOIN conversion r ON r.brand_id = $1 AND r.id = c.root_id WHERE c.brand_id = $1 AND c.id = $2
"""
DECIDED = "SELECT * FROM decision WHERE brand_id = $1 AND conversion_id = $2"


async def read_order(connection: asyncpg.Connection, brand_id: UUID, conversion_id: UUID) -> OrderState | None:
    """An order as it stands, by its id or by that of an order merged into it. Writes nothing. None: this brand has no such order.

    The connection must not be in a transaction.
    """
    # One snapshot: an order merged between two of these statements would have neither witnesses nor a decision.
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        row = await connection.fetchrow(FOUND, brand_id, conversion_id)
        if row is None:
            return None
        facts = (await read_facts(connection, brand_id, [row["id"]]))[row["id"]]
        rules = await read_rules(connection, brand_id, [facts])
        order = (await _fold(connection, brand_id, {row["id"]: facts}, {}, rules))[row["id"]]
        decided = await connection.fetchrow(DECIDED, brand_id, row["id"])
    decision = None
    if decided is not None:
        loaded = {
            name: decided[name] and msgspec.json.decode(decided[name]) for name in ("credits", "candidates", "now")
        }
        decision = {**decided, **loaded}
    return OrderState(dict(row), decision, order, in_time(facts.changes), False)


async def _fold(
    connection: asyncpg.Connection,
    brand_id: UUID,
    facts: Mapping[UUID, OrderFacts],
    signed: Mapping[UUID, Intervals],
    rules: TrustRules,
    overclaimed: Mapping[UUID, Sequence[str]] = NO_CLAIMS.withheld,
) -> dict[UUID, Order]:
    """The orders that these facts make. The brand's tolerance is read only when two witnesses of one of them differ."""
    tolerance = EXACT

    def folded(key: UUID) -> Order:
        each = facts[key]
        return folding.fold(
            each.witnesses,
            each.adjustments,
            signed.get(key, ()),
            each.changes,
            tolerance,
            rules,
            overclaimed.get(key, ()),
        )

    orders = {key: folded(key) for key in facts}
    differing = [key for key, order in orders.items() if any(each.difference_minor for each in order.amount_checks)]
    if differing:
        row = await connection.fetchrow(TOLERANCE, brand_id)
        assert row is not None
        tolerance = Tolerance(*row)
        orders |= {key: folded(key) for key in differing}
    return orders


async def read_rules(connection: asyncpg.Connection, brand_id: UUID, facts: Iterable[OrderFacts]) -> TrustRules:
    """How far the brand believes pixels; read only if a pixel reported one of these orders."""
    if all(one.trust > TRUST_SIGNED_PIXEL for each in facts for one in each.witnesses):
        return DEFAULT_RULES
    row = await connection.fetchrow(RULES, brand_id)
    assert row is not None
    signals, window_minutes, currency, amount_max_minor, claims_max, stored = row
    window, declared = timedelta(minutes=window_minutes), read_declared(stored)
    return TrustRules(PixelSignals(signals), window, currency, amount_max_minor, claims_max, declared)


async def _signed_sources(
    connection: asyncpg.Connection, brand_id: UUID, facts: Iterable[OrderFacts]
) -> dict[str, list[tuple[datetime, datetime | None]]]:
    """When each shop had a source that signs what it sends, or a server that reports every order; read only if an order rests on unsigned
    reports alone.
    """
    found: dict[str, list[tuple[datetime, datetime | None]]] = {}
    if any(each.witnesses and not any(is_trusted(one.trust) for one in each.witnesses) for each in facts):
        for row in await connection.fetch(SIGNED_SOURCES, brand_id, PARTIAL):
            edges = row["edges"]
            found.setdefault(row["shop"], []).extend(zip(edges[::2], edges[1::2], strict=True))
    return found
