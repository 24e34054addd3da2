"""What may explain a set of orders, read from the tables in a few statements for all of them: codes, clicks, visitors' clicks, policies."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec
from msgspec.structs import replace

from app.domain import ids
from app.domain.attribution import LATE_CLICK_MAX, VISITOR_CLICKS_MAX, CreditPolicy, Touch
from app.domain.folding import Order
from app.domain.orders import read_click
from app.domain.policies import CLICK_WINDOW_DAYS_MAX, FOLLOWING, Method, Policies, Policy, read_policy
from app.domain.signals import TRUSTED, Support, surer
from app.domain.trust import Rank
from app.orders.customers import read_bindings, read_named

log = logging.getLogger("ariane.intake")

# The columns of a click have the names of a `Touch`.
# The bounds let the planner skip the months that hold none of these clicks, also once the plan is generic.
CLICKS = """
SELECT k.id, k.occurred_at, k.link_id, k.class AS click_class, l.id AS collaboration_id, l.influencer_id, l.campaign_id,
       p.starts_at AS campaign_starts_at, p.ends_at AS campaign_ends_at, i.customer_keys AS owner_keys, i.archived_at AS owner_archived_at
FROM click k
JOIN link n ON n.brand_id = $1 AND n.id = k.link_id
JOIN collaboration l ON l.brand_id = $1 AND l.id = n.collaboration_id
JOIN campaign p ON p.brand_id = $1 AND p.id = l.campaign_id
JOIN influencer i ON i.brand_id = $1 AND i.id = l.influencer_id
WHERE k.brand_id = $1 AND k.id = ANY($2::uuid[]) AND k.id BETWEEN $3 AND $4
"""

# Clicks of a named visitor, or of the visitor whose landing was the first to name a click: nobody else knows that click's id.
VISITORS = """
SELECT a.number::int AS number, v.click_id
FROM unnest($2::text[], $3::uuid[], $4::uuid[], $5::uuid[]) WITH ORDINALITY AS a(visitor_id, landed_with, floor, ceiling, number)
CROSS JOIN LATERAL (
    SELECT a.visitor_id WHERE a.visitor_id IS NOT NULL
    UNION ALL (
        SELECT visitor_id FROM visitor_click WHERE brand_id = $1 AND click_id = a.landed_with AND a.visitor_id IS NULL
        ORDER BY seen_at, visitor_id LIMIT 1
    )
) AS w
CROSS JOIN LATERAL (
    SELECT click_id FROM visitor_click
    WHERE brand_id = $1 AND visitor_id = w.visitor_id AND click_id BETWEEN a.floor AND a.ceiling
    ORDER BY click_id DESC LIMIT $6
) AS v
"""

POLICIES = """
SELECT scope_id, version, effective_from, rules FROM policy WHERE brand_id = $1 AND scope_id = ANY($2::uuid[]) ORDER BY version
"""


class Evidence(msgspec.Struct, frozen=True):
    """What deciding one order needs beside the order itself.

    capped: the caps of the codes it redeems, or has redeemed so far. follows: some policy of the brand looks at other orders of the customer;
    is_drawn_in: these name a click or visitor that this order was not known by.
    """

    touches: tuple[Touch, ...]
    policies: Policies
    capped: Mapping[str, int]
    follows: bool = False
    is_drawn_in: bool = False


async def collect(
    connection: asyncpg.Connection,
    brand_id: UUID,
    orders: Mapping[UUID, Order],
    codes: Mapping[str, Sequence[asyncpg.Record]],
    redeemed: Mapping[UUID, Sequence[str]],
    shops: Mapping[UUID, tuple[str, str]],
) -> dict[UUID, Evidence]:
    """The evidence for each of these orders, none of them a stub. At most three statements, fewer where nothing is named, and more only where the
    brand's policy looks at other orders of the customer.

    codes: those that they name or have redeemed (codes.py). redeemed: the codes of each order so far, by its id: a code that it no longer redeems
    has room under its cap again. shops: of each order, with its kind.
    """
    caps = {code: rows[0]["max_redemptions"] for code, rows in codes.items() if rows[0]["max_redemptions"] is not None}
    named = {key: _named_clicks(order) for key, order in orders.items()}
    visited = await _read_visitors(connection, brand_id, orders, named)
    wanted = {touch.id for touches in named.values() for touch in touches if touch.id is not None}
    wanted.update(click_id for click_ids in visited.values() for click_id in click_ids)
    clicks = await _read_clicks(connection, brand_id, wanted)
    touches = {key: _touches(order, codes, clicks, named[key], visited.get(key, {})) for key, order in orders.items()}
    campaigns = {touch.campaign_id for each in touches.values() for touch in each if touch.campaign_id is not None}
    policies = await _read_policies(connection, brand_id, campaigns)
    drawn_in: set[UUID] | None = None
    if any(method in _rules(row).get("precedence", ()) for row in policies.get(brand_id, ()) for method in FOLLOWING):  # type: ignore[operator]
        touches, drawn_in = await _follow_customers(connection, brand_id, orders, shops, policies[brand_id], touches)
        more = {touch.campaign_id for each in touches.values() for touch in each if touch.campaign_id is not None}
        policies |= await _read_policies(connection, brand_id, more - campaigns)
        campaigns |= more
    return {
        key: Evidence(
            touches[key],
            _in_force(policies, brand_id, campaigns, order.occurred_at),
            {code: caps[code] for code in (*order.codes, *redeemed[key]) if code in caps},
            drawn_in is not None,
            drawn_in is not None and key in drawn_in,
        )
        for key, order in orders.items()
    }


async def _follow_customers(
    connection: asyncpg.Connection,
    brand_id: UUID,
    orders: Mapping[UUID, Order],
    shops: Mapping[UUID, tuple[str, str]],
    policies: Sequence[asyncpg.Record],
    touches: Mapping[UUID, tuple[Touch, ...]],
) -> tuple[dict[UUID, tuple[Touch, ...]], set[UUID]]:
    """The touches of these orders with those that other orders of their customers add, where the brand's policy at the time asks for them; and the
    orders that these add a name to.
    """
    asked: dict[Method, dict[UUID, Order]] = {method: {} for method in FOLLOWING}
    for key, order in orders.items():
        for method in _in_force({brand_id: policies}, brand_id, (), order.occurred_at).brand.precedence:
            if method in asked:
                asked[method][key] = order
    named, drawn_in = await read_named(connection, brand_id, asked[Method.CUSTOMER])
    landed = await _read_landed(
        connection,
        brand_id,
        orders,
        [
            (key, visitor_id, click_id, TRUSTED)
            for key, each in named.items()
            for visitor_id, click_id in (*((v, None) for v in each.visitors), *((None, k) for k in each.clicks))
        ],
    )
    click_ids = {key: {*each.clicks, *landed.get(key, ())} for key, each in named.items()}
    clicks = await _read_clicks(connection, brand_id, set().union(*click_ids.values()))
    bindings = await read_bindings(connection, brand_id, asked[Method.BOUND], shops)
    found = {}
    for key, each in touches.items():
        # A click of the order's own that only unsigned reports name is one of the customer's all the same.
        own = {touch.id for touch in each if touch.rank is Rank.TRUSTED and touch.withheld is None}
        followed = [
            Touch(Method.CUSTOMER, str(click_id), **clicks[click_id])
            for click_id in sorted(click_ids.get(key, ()))
            if click_id in clicks and click_id not in own
        ]
        found[key] = (*each, *followed, *bindings.get(key, ()))
    return found, drawn_in


def _touches(
    order: Order,
    codes: Mapping[str, Sequence[asyncpg.Record]],
    clicks: Mapping[UUID | None, asyncpg.Record],
    named: Sequence[Touch],
    visited: Mapping[UUID, Support],
) -> tuple[Touch, ...]:
    found = [_code_touch(code, order, codes.get(code, ()), support) for code, support in order.signals.codes.items()]
    # A code by an id that the brand has given to none of its codes.
    found += [
        Touch(Method.CODE, f"alias:{each}", each, occurred_at=order.occurred_at, alias=each)
        for each in order.signals.code_ids
        if each not in order.aliases
    ]
    found += [replace(touch, **clicks[touch.id]) if touch.id in clicks else touch for touch in named]
    surest = {touch.id: touch.rank for touch in named if touch.withheld is None}
    # A visitor's click that has not been drained is no candidate yet: the drain will name this order once it is. One that is named is no other
    # click of the visitor, unless it is a stranger alone who names it.
    found += [
        Touch(Method.VISITOR, str(click_id), rank=rank, withheld=withheld, **clicks[click_id])
        for click_id, (rank, withheld) in visited.items()
        if click_id in clicks and (click_id not in surest or surest[click_id] < rank)
    ]
    return tuple(found)


# ── Codes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _code_touch(code: str, order: Order, rows: Sequence[asyncpg.Record], support: Support) -> Touch:
    """A redeemed code with its owner at the order's time."""
    assert order.occurred_at is not None
    touch = Touch(
        Method.CODE,
        code,
        order.spellings.get(code, code),
        occurred_at=order.occurred_at,
        rank=support.rank,
        withheld=support.withheld,
    )
    if not rows:
        return touch
    known = rows[0]
    owner = _owner(rows, order.occurred_at)
    return replace(
        touch,
        **{name: known[name] for name in ("shown", "code_id", "code_starts_at", "code_ends_at")},
        **{name: owner[name] for name in OWNING if owner},
        credit_policy=CreditPolicy(known["credit_policy"]),
        alias=next((code_id for code_id, named in order.aliases.items() if named == code), None),
    )


OWNING = (
    "id", "collaboration_id", "campaign_id", "influencer_id", "campaign_starts_at", "campaign_ends_at", "owner_keys", "owner_archived_at",
)  # fmt: skip


def _owner(rows: Sequence[asyncpg.Record], moment: datetime) -> asyncpg.Record | None:
    """The assignment that began last before this moment; None when there is none, or it had ended."""
    begun = [row for row in rows if row["assigned_from"] is None or row["assigned_from"] <= moment]
    if not begun:
        return None
    last = max(begun, key=lambda row: (row["assigned_from"] or datetime.min.replace(tzinfo=UTC), row["id"]))
    return last if last["assigned_until"] is None or moment < last["assigned_until"] else None


# ── Clicks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _named_clicks(order: Order) -> list[Touch]:
    """The clicks that an order names, each once, also names that cannot be ids of ours."""
    found: dict[str, Touch] = {}
    for name, (rank, withheld) in order.signals.click_ids.items():
        click_id = read_click(name)
        signal = name if click_id is None else str(click_id)
        found.setdefault(signal, Touch(Method.CLICK, signal, "", click_id, rank=rank, withheld=withheld))
    return list(found.values())


async def _read_visitors(
    connection: asyncpg.Connection,
    brand_id: UUID,
    orders: Mapping[UUID, Order],
    named: Mapping[UUID, Sequence[Touch]],
) -> dict[UUID, dict[UUID, Support]]:
    """Clicks of the visitors that orders name, and of those who landed with the clicks that orders name, each with the surest support; no older than
    the longest window.
    """
    asking: list[Landed] = []
    for key, order in orders.items():
        if order.signals.visitor_id:
            asking.append((key, order.signals.visitor_id, None, order.signals.visitor))
        asking += [
            (key, None, touch.id, Support(touch.rank)) for touch in named[key] if touch.id and touch.withheld is None
        ]
    return await _read_landed(connection, brand_id, orders, asking)


Landed = tuple[UUID, str | None, UUID | None, Support]
"""An order, a visitor or a click that somebody landed with, and how surely that is about the order."""


async def _read_landed(
    connection: asyncpg.Connection, brand_id: UUID, orders: Mapping[UUID, Order], asking: Sequence[Landed]
) -> dict[UUID, dict[UUID, Support]]:
    """By order, the clicks of these visitors with the surest support; no older than the longest window."""
    asked: list[tuple[str | None, UUID | None, UUID, UUID]] = []
    bounds: dict[UUID, tuple[UUID, UUID]] = {}
    for key, visitor_id, landed_with, _ in asking:
        if key not in bounds:
            occurred_at = orders[key].occurred_at
            assert occurred_at is not None
            floor = ids.floor_at(occurred_at - timedelta(days=CLICK_WINDOW_DAYS_MAX))
            bounds[key] = floor, ids.floor_at(occurred_at + LATE_CLICK_MAX)
        asked.append((visitor_id, landed_with, *bounds[key]))
    found: dict[UUID, dict[UUID, Support]] = {}
    if asked:
        for row in await connection.fetch(VISITORS, brand_id, *zip(*asked, strict=True), VISITOR_CLICKS_MAX):
            key, _, _, support = asking[row["number"] - 1]
            clicks = found.setdefault(key, {})
            clicks[row["click_id"]] = surer(clicks.get(row["click_id"], support), support)
    return found


async def _read_clicks(
    connection: asyncpg.Connection, brand_id: UUID, click_ids: Iterable[UUID]
) -> dict[UUID | None, asyncpg.Record]:
    wanted = sorted(click_ids)
    if not wanted:
        return {}
    rows = await connection.fetch(CLICKS, brand_id, wanted, wanted[0], wanted[-1])
    return {row["id"]: row for row in rows}


# ── Policies ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _read_policies(
    connection: asyncpg.Connection, brand_id: UUID, campaigns: Iterable[UUID]
) -> dict[UUID, list[asyncpg.Record]]:
    """Every version of the policies of the brand (scope: its own id) and of these campaigns."""
    found: dict[UUID, list[asyncpg.Record]] = {}
    for row in await connection.fetch(POLICIES, brand_id, [brand_id, *sorted(campaigns)]):
        found.setdefault(row["scope_id"], []).append(row)
    return found


def _in_force(
    rows: Mapping[UUID, Sequence[asyncpg.Record]], brand_id: UUID, campaigns: Iterable[UUID], moment: datetime | None
) -> Policies:
    """The policies at this moment: a campaign's rules laid over the brand's, the brand's over the defaults."""
    assert moment is not None
    brand_row = _version_at(rows.get(brand_id, ()), moment)
    brand_rules = _rules(brand_row)
    brand = _policy(brand_rules, brand_row, Policy())
    own = {}
    for campaign_id in campaigns:
        row = _version_at(rows.get(campaign_id, ()), moment)
        own[campaign_id] = _policy({**brand_rules, **_rules(row)}, row, brand)
    return Policies(brand, own)


def _version_at(rows: Sequence[asyncpg.Record], moment: datetime) -> asyncpg.Record | None:
    """The newest version in force; rows: by version."""
    begun = [row for row in rows if row["effective_from"] is None or row["effective_from"] <= moment]
    return begun[-1] if begun else None


def _rules(row: asyncpg.Record | None) -> dict[str, object]:
    rules = {} if row is None else json.loads(row["rules"])
    return {name: value for name, value in rules.items() if value is not None}


def _policy(rules: Mapping[str, object], row: asyncpg.Record | None, fallback: Policy) -> Policy:
    if row is None:
        return fallback
    try:
        return read_policy(rules, row["version"])
    except ValueError as error:
        # The API refuses such rules. Should some be stored all the same, orders must go on being recorded.
        log.warning("policy %s version %s is not usable: %s", row["scope_id"], row["version"], error)
        return fallback
