"""From facts to state: reads all facts of some locked orders, folds each, decides it, and writes what changed.

The caller holds the row lock of every root it passes, or made it in this very transaction.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from msgspec.structs import replace

from app import clock
from app.domain import attribution, folding
from app.domain.amounts import EXACT, Tolerance
from app.domain.attribution import Decision, OrderToDecide, Policies, Touch
from app.domain.folding import Order
from app.domain.orders import TRUST_SERVER
from app.domain.statuses import COUNTED, StatusChange, in_time
from app.orders.caps import OVER_CAP, mark_over_cap
from app.orders.code_aliases import name_codes
from app.orders.evidence import Evidence, collect
from app.orders.facts import OrderFacts, read_facts
from app.platforms.registry import PARTIAL

# An order that a platform of `PARTIAL` leaves out is not in doubt for that.
SIGNED_SOURCES = """
SELECT shop, created_at, pauses, archived_at FROM source WHERE brand_id = $1 AND cardinality(secrets) > 0 AND platform <> ALL($2)
"""

TOLERANCE = "SELECT witness_tolerance_bp, witness_tolerance_minor FROM brand WHERE id = $1"

BRAND_CURRENCY = "SELECT currency FROM brand WHERE id = $1"

FORGET_CREDITS = "DELETE FROM credit WHERE brand_id = $1 AND conversion_id = ANY($2::uuid[])"

# A new order's row is written once, whole: as a stub first it would be two row versions, and two entries in every index.
MADE = """
    INSERT INTO conversion (brand_id, id, root_id, shop, kind, created_at, order_id, occurred_at, status, status_reason, locked_at, locks_at,
        currency, items_minor, discount_minor, tax_minor, shipping_minor, net_minor, refunded_minor, codes, visitor_id, customer_key,
        customer_is_new, test, flags, digest, updated_at)
    SELECT $1, r.id, r.id, r.shop, r.kind, r.created_at, r.order_id, r.occurred_at, r.status, r.status_reason, r.locked_at, r.locks_at,
        r.currency, r.items_minor, r.discount_minor, r.tax_minor, r.shipping_minor, r.net_minor, r.refunded_minor, r.codes, r.visitor_id,
        r.customer_key, r.customer_is_new, r.test, r.flags, d.digest, $5
    FROM jsonb_to_recordset($2::jsonb) AS r(id uuid, shop text, kind text, created_at timestamptz, order_id text, occurred_at timestamptz,
        status text, status_reason text, locked_at timestamptz, locks_at timestamptz, currency text, items_minor bigint,
        discount_minor bigint, tax_minor bigint, shipping_minor bigint, net_minor bigint, refunded_minor bigint, codes text[],
        visitor_id text, customer_key text, customer_is_new boolean, test boolean, flags text[])
    JOIN unnest($6::uuid[], $7::bytea[]) AS d(id, digest) ON d.id = r.id
    RETURNING id
"""

FOLDED = """
    UPDATE conversion c
    SET order_id = r.order_id, occurred_at = r.occurred_at, status = r.status, status_reason = r.status_reason,
        locked_at = r.locked_at, locks_at = r.locks_at, currency = r.currency, items_minor = r.items_minor,
        discount_minor = r.discount_minor, tax_minor = r.tax_minor, shipping_minor = r.shipping_minor, net_minor = r.net_minor,
        refunded_minor = r.refunded_minor, codes = r.codes, visitor_id = r.visitor_id, customer_key = r.customer_key,
        customer_is_new = r.customer_is_new, test = r.test, flags = r.flags, digest = d.digest, updated_at = $5
    FROM jsonb_to_recordset($2::jsonb) AS r(id uuid, order_id text, occurred_at timestamptz, status text,
        status_reason text, locked_at timestamptz, locks_at timestamptz, currency text, items_minor bigint,
        discount_minor bigint, tax_minor bigint, shipping_minor bigint, net_minor bigint, refunded_minor bigint, codes text[],
        visitor_id text, customer_key text, customer_is_new boolean, test boolean, flags text[])
    JOIN unnest($6::uuid[], $7::bytea[]) AS d(id, digest) ON d.id = r.id
    WHERE c.brand_id = $1 AND c.id = r.id
    RETURNING c.id
"""

STATED = """
), decided AS (
    INSERT INTO decision (brand_id, conversion_id, verdict, method, model, policy_version, reason, credits, candidates, decided_at)
    SELECT $1, r.id, r.verdict, r.method, r.model, r.policy_version, r.reason, r.credits, r.candidates, $5
    FROM jsonb_to_recordset($3::jsonb) AS r(id uuid, verdict text, method text, model text, policy_version integer, reason text,
        credits jsonb, candidates jsonb)
    ON CONFLICT (brand_id, conversion_id) DO UPDATE
    SET verdict = EXCLUDED.verdict, method = EXCLUDED.method, model = EXCLUDED.model, policy_version = EXCLUDED.policy_version,
        reason = EXCLUDED.reason, credits = EXCLUDED.credits, candidates = EXCLUDED.candidates, decided_at = EXCLUDED.decided_at
    RETURNING conversion_id
), credited AS (
    INSERT INTO credit (brand_id, conversion_id, position, share, collaboration_id, campaign_id, influencer_id, link_id, code_id, method,
        weight_bp, amount_minor, currency, kind, occurred_at, counted)
    SELECT $1, r.* FROM jsonb_to_recordset($4::jsonb) AS r(conversion_id uuid, position integer, share smallint, collaboration_id uuid,
        campaign_id uuid, influencer_id uuid, link_id uuid, code_id uuid, method text, weight_bp integer, amount_minor bigint, currency text,
        kind text, occurred_at timestamptz, counted boolean)
    RETURNING conversion_id
)
SELECT count(*) FROM folded
"""
WRITE_NEW = f"WITH folded AS ({MADE}{STATED}"
WRITE = f"WITH folded AS ({FOLDED}{STATED}"

STUBS = """
INSERT INTO conversion (brand_id, id, root_id, shop, kind, order_id, created_at, updated_at)
SELECT $1, r.id, r.id, r.shop, r.kind, r.order_id, r.created_at, r.created_at
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[]) AS r(id, shop, kind, order_id, created_at)
"""


NOTHING_TOLD: Mapping[UUID, OrderFacts] = {}


class Root(msgspec.Struct, frozen=True):
    """The row that stands for an order, as read under its lock. unwritten: named in this transaction, and its row is still to be written.

    codes: what it redeemed until now, with what the orders just merged into it did.
    """

    id: UUID
    shop: str
    kind: str
    order_id: str | None
    status: str
    digest: bytes | None
    created_at: datetime
    unwritten: bool = False
    status_reason: str | None = None
    codes: tuple[str, ...] = ()


class OrderState(msgspec.Struct, frozen=True):
    """An order as it stands now: its conversion and decision as they are kept, and as it was folded. decision is None for a stub.

    changes: what people decided, in the order of time. changed: this settling wrote something.
    expires_at: when the wait for a named click ends, if it waits for one.
    """

    conversion: Mapping[str, Any]
    decision: Mapping[str, Any] | None
    order: Order
    changes: tuple[StatusChange, ...]
    changed: bool
    names_touches: bool = False
    expires_at: datetime | None = None


async def recompute_orders(
    connection: asyncpg.Connection,
    brand_id: UUID,
    roots: Sequence[Root],
    told: Mapping[UUID, OrderFacts] = NOTHING_TOLD,
) -> dict[UUID, OrderState]:
    """Folds and decides these orders from all their facts, and writes those whose state is not what it was. By root id.

    told: all facts of orders that were made in this transaction; those of the others are read.
    """
    facts = {**await read_facts(connection, brand_id, [root.id for root in roots if root.id not in told]), **told}
    signed = await _signed_sources(connection, brand_id, facts.values())
    folded = await _fold(connection, brand_id, {root: facts[root.id] for root in roots}, signed)
    orders: dict[UUID, Order] = {}
    settled: dict[UUID, OrderState] = {}
    for root, order in folded.items():
        if order.occurred_at is None:
            settled[root.id] = OrderState(_stub(root), None, order, (), False)
        else:
            orders[root.id] = order
    await write_stubs(connection, brand_id, {root.id: root for root in roots if root.id in settled})
    if not orders:
        return settled
    orders = await name_codes(connection, brand_id, orders)
    evidence = await collect(connection, brand_id, orders, {root.id: root.codes for root in roots})
    currency = ""
    if any(order.currency is None for order in orders.values()):
        currency = await connection.fetchval(BRAND_CURRENCY, brand_id)
    now = clock.now()
    states = [_state(root, orders[root.id], evidence[root.id], currency, now) for root in roots if root.id in orders]
    await _write(connection, brand_id, [state for state in states if state.changed], now)
    capped = {key: each.capped for key, each in evidence.items() if each.capped}
    over: set[UUID] = set()
    if capped:
        over = await mark_over_cap(connection, brand_id, capped, changed=any(state.changed for state in states))
    for state in states:
        root_id = state.root.id
        flags = sorted({*state.conversion["flags"], OVER_CAP}) if root_id in over else state.conversion["flags"]
        settled[root_id] = OrderState(
            conversion={**state.conversion, "flags": flags},
            decision=state.decision,
            order=orders[root_id],
            changes=in_time(facts[root_id].changes),
            changed=state.changed,
            names_touches=bool(evidence[root_id].touches) or orders[root_id].visitor_id is not None,
            expires_at=state.expires_at,
        )
    return settled


FOUND = """
SELECT r.* FROM conversion c JOIN conversion r ON r.brand_id = $1 AND r.id = c.root_id WHERE c.brand_id = $1 AND c.id = $2
"""
DECIDED = "SELECT * FROM decision WHERE brand_id = $1 AND conversion_id = $2"


async def read_order(connection: asyncpg.Connection, brand_id: UUID, conversion_id: UUID) -> OrderState | None:
    """An order as it stands, by its id or by that of an order merged into it. Writes nothing. None: this brand has no such order.

    The connection must not be in a transaction.
    """
    # Of one moment: an order merged between two of these statements would have neither witnesses nor a decision.
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        row = await connection.fetchrow(FOUND, brand_id, conversion_id)
        if row is None:
            return None
        root = Root(
            row["id"], row["shop"], row["kind"], row["order_id"], row["status"], row["digest"], row["created_at"]
        )
        facts = await read_facts(connection, brand_id, [root.id])
        order = (await _fold(connection, brand_id, {root: facts[root.id]}, {}))[root]
        decided = await connection.fetchrow(DECIDED, brand_id, root.id)
    decision = None
    if decided is not None:
        loaded = {name: msgspec.json.decode(decided[name]) for name in ("credits", "candidates")}
        decision = {**decided, **loaded}
    return OrderState(dict(row), decision, order, in_time(facts[root.id].changes), False)


async def _fold(
    connection: asyncpg.Connection,
    brand_id: UUID,
    facts: Mapping[Root, OrderFacts],
    signed: Mapping[str, Sequence[tuple[datetime, datetime | None]]],
) -> dict[Root, Order]:
    """The orders that these facts make. The brand's tolerance is asked for only when two witnesses of one of them differ."""
    tolerance = EXACT

    def folded(root: Root) -> Order:
        told = facts[root]
        return folding.fold(told.witnesses, told.adjustments, signed.get(root.shop, ()), told.changes, tolerance)

    orders = {root: folded(root) for root in facts}
    differing = [root for root, order in orders.items() if any(each.difference_minor for each in order.amount_checks)]
    if differing:
        row = await connection.fetchrow(TOLERANCE, brand_id)
        assert row is not None
        tolerance = Tolerance(*row)
        orders |= {root: folded(root) for root in differing}
    return orders


async def _signed_sources(
    connection: asyncpg.Connection, brand_id: UUID, facts: Iterable[OrderFacts]
) -> dict[str, list[tuple[datetime, datetime | None]]]:
    """When each shop had a source that signs what it sends; asked only if an order rests on unsigned words alone."""
    found: dict[str, list[tuple[datetime, datetime | None]]] = {}
    if any(told.witnesses and all(each.trust < TRUST_SERVER for each in told.witnesses) for told in facts):
        for row in await connection.fetch(SIGNED_SOURCES, brand_id, PARTIAL):
            edges = [row["created_at"], *row["pauses"], row["archived_at"]]
            found.setdefault(row["shop"], []).extend(zip(edges[::2], edges[1::2], strict=True))
    return found


# ── The state of one order ───────────────────────────────────────────────────────────────────────────────────────────


class _State(msgspec.Struct, frozen=True):
    root: Root
    conversion: dict[str, Any]
    decision: dict[str, Any]
    # The same as it is written, and the credits, as JSON: encoded once, for the digest and for the database.
    kept: tuple[bytes, bytes, bytes]
    digest: bytes
    changed: bool
    expires_at: datetime | None


def _stub(root: Root) -> dict[str, Any]:
    return {
        **_columns(Order(order_id=root.order_id)),
        "id": root.id,
        "shop": root.shop,
        "kind": root.kind,
        "created_at": root.created_at,
    }


def _state(root: Root, order: Order, evidence: Evidence, currency: str, now: datetime) -> _State:
    assert order.occurred_at is not None
    decision = attribution.decide(
        evidence.touches, OrderToDecide(order.occurred_at, order.net_minor, now), evidence.policies
    )
    columns = _columns(order) | {"locks_at": _locks_at(order, decision, evidence.policies)}
    if decision.late_click:
        columns["flags"] = sorted({*columns["flags"], "late_click"})
    decided = _decided(decision)
    conversion = {"id": root.id, "shop": root.shop, "kind": root.kind, "created_at": root.created_at, **columns}
    kept = (
        _json(conversion),
        _json({"id": root.id, **decided}),
        _json(_credits(root, order, decision, order.currency or currency)),
    )
    # The moment of deciding stays out of it: the same facts must give the same digest.
    digest = hashlib.sha256(b"".join(kept)).digest()
    waits = decision.verdict is attribution.AttributionStatus.PENDING_CLICK
    return _State(
        root=root,
        conversion=conversion,
        decision=decided,
        kept=kept,
        digest=digest,
        changed=digest != root.digest,
        expires_at=order.occurred_at + attribution.PENDING_CLICK_MAX if waits else None,
    )


def _locks_at(order: Order, decision: Decision, policies: Policies) -> datetime | None:
    """When an approved order will be locked: after the longest hold of the campaigns that get it, the brand's when nobody does."""
    if order.lockable_at is None or order.occurred_at is None:
        return None
    hold_days = policies.brand.hold_days
    if decision.credits:
        hold_days = max(policies.of(credit.touch.campaign_id).hold_days for credit in decision.credits)
    return max(order.occurred_at + timedelta(days=hold_days), order.lockable_at)


def _columns(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "occurred_at": order.occurred_at,
        "status": order.status,
        "status_reason": order.status_reason,
        "locked_at": order.locked_at,
        "locks_at": None,
        "currency": order.currency,
        "items_minor": order.items_minor,
        "discount_minor": order.discount_minor,
        "tax_minor": order.tax_minor,
        "shipping_minor": order.shipping_minor,
        "net_minor": order.net_minor,
        "refunded_minor": order.refunded_minor,
        "codes": order.codes,
        "visitor_id": order.visitor_id,
        "customer_key": order.customer_key,
        "customer_is_new": order.customer_is_new,
        "test": order.test,
        "flags": list(order.flags),
    }


def _owner(touch: Touch) -> dict[str, Any]:
    return {
        "collaboration_id": touch.collaboration_id,
        "campaign_id": touch.campaign_id,
        "influencer_id": touch.influencer_id,
        "link_id": touch.link_id,
        "code_id": touch.code_id,
        "method": touch.method,
    }


def _decided(decision: Decision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict,
        "method": decision.method,
        "model": decision.model,
        "policy_version": decision.policy_version,
        "reason": decision.reason,
        "credits": [
            {**_owner(credit.touch), "weight_bp": credit.weight_bp, "net_minor": credit.net_minor}
            for credit in decision.credits
        ],
        "candidates": [
            {
                **_owner(each.touch),
                "code": each.touch.shown if each.touch.method is attribution.Method.CODE else None,
                "code_alias": each.touch.alias,
                "click_id": None if each.touch.method is attribution.Method.CODE else each.touch.signal,
                "occurred_at": each.touch.occurred_at,
                "eligible": each.eligible,
                "reason": each.reason,
            }
            for each in decision.candidates
        ],
    }


def _credits(root: Root, order: Order, decision: Decision, currency: str) -> list[dict[str, Any]]:
    """The rows reports add up: the order split over its shares, then each refund likewise. An order nobody gets has one share, of nobody.

    A refund is split as the difference between what is left before and after it, so that an order refunded to nothing leaves nobody a cent.
    """
    owners: list[dict[str, Any]] = [_owner(credit.touch) for credit in decision.credits] or [OF_NOBODY]
    weights = [credit.weight for credit in decision.credits] or [attribution.WHOLE]
    points = [credit.weight_bp for credit in decision.credits] or [attribution.WEIGHT_BP]
    counted = order.status in COUNTED and not order.test
    left = order.net_minor or 0
    held = attribution.share_out(left, weights)
    rows = []
    events = [(0, order.occurred_at, held)]
    for position, effect in enumerate(order.effects, start=1):
        left -= effect.amount_minor
        after = attribution.share_out(left, weights)
        events.append((position, effect.occurred_at, [new - old for new, old in zip(after, held, strict=True)]))
        held = after
    for position, occurred_at, amounts in events:
        rows += [
            {
                "conversion_id": root.id,
                "position": position,
                "share": share,
                **owner,
                "weight_bp": point,
                "amount_minor": amount,
                "currency": currency,
                "kind": root.kind,
                "occurred_at": occurred_at,
                "counted": counted,
            }
            for share, (owner, point, amount) in enumerate(zip(owners, points, amounts, strict=True))
        ]
    return rows


OF_NOBODY = _owner(Touch(attribution.Method.CODE, "")) | {"method": None}


async def write_stubs(connection: asyncpg.Connection, brand_id: UUID, roots: Mapping[UUID, Root]) -> dict[UUID, Root]:
    """Writes the rows of orders that have none yet and of which nothing is said, or that are about to be merged; the roots as they are then."""
    missing = [root for root in roots.values() if root.unwritten]
    if not missing:
        return dict(roots)
    columns = zip(*((each.id, each.shop, each.kind, each.order_id, each.created_at) for each in missing), strict=True)
    await connection.execute(STUBS, brand_id, *columns)
    return {root_id: replace(root, unwritten=False) for root_id, root in roots.items()}


async def _write(connection: asyncpg.Connection, brand_id: UUID, states: Sequence[_State], now: datetime) -> None:
    for statement, some in (
        (WRITE_NEW, [state for state in states if state.root.unwritten]),
        (WRITE, [state for state in states if not state.root.unwritten]),
    ):
        if some:
            await _write_states(connection, brand_id, statement, some, now)


async def _write_states(
    connection: asyncpg.Connection, brand_id: UUID, statement: str, states: Sequence[_State], now: datetime
) -> None:
    known = [state.root.id for state in states if state.root.digest is not None]
    if known:
        await connection.execute(FORGET_CREDITS, brand_id, known)
    conversions, decisions, credited = zip(*(state.kept for state in states), strict=True)
    written = await connection.fetchval(
        statement,
        brand_id,
        f"[{b','.join(conversions).decode()}]",
        f"[{b','.join(decisions).decode()}]",
        # Each is a list already, never an empty one.
        f"[{b','.join(rows[1:-1] for rows in credited).decode()}]",
        now,
        [state.root.id for state in states],
        [state.digest for state in states],
    )
    assert written == len(states), "a locked order has gone"


_json = msgspec.json.Encoder(enc_hook=str).encode
