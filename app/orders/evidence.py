"""What may explain a set of orders, read from the tables in a few statements for all of them: codes, clicks, visitors' clicks, policies."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from app.domain import ids
from app.domain.attribution import (
    CLICK_WINDOW_DAYS_MAX,
    LATE_CLICK_MAX,
    CreditPolicy,
    Method,
    Policies,
    Policy,
    Touch,
    read_policy,
)
from app.domain.folding import Order
from app.domain.orders import read_click

log = logging.getLogger("ariane.intake")

VISITOR_CLICKS_MAX = 100
"""Clicks of one visitor that are read for one order, newest first; a visitor with more is a machine."""

CODES = """
SELECT c.code_norm, c.code, c.id AS code_id, c.starts_at, c.ends_at, c.disabled_at, c.archived_at, c.credit_policy, c.max_redemptions,
       a.id AS assignment_id, a.starts_at AS assigned_from, a.ends_at AS assigned_until,
       l.id AS collaboration_id, l.influencer_id, l.campaign_id, p.starts_at AS campaign_starts_at, p.ends_at AS campaign_ends_at
FROM code c
LEFT JOIN code_assignment a ON a.brand_id = $1 AND a.code_id = c.id
LEFT JOIN collaboration l ON l.brand_id = $1 AND l.id = a.collaboration_id
LEFT JOIN campaign p ON p.brand_id = $1 AND p.id = l.campaign_id
WHERE c.brand_id = $1 AND c.code_norm = ANY($2::text[])
"""

# The bounds let the planner skip the months that hold none of these clicks, also once the plan is generic.
CLICKS = """
SELECT k.id, k.occurred_at, k.link_id, l.id AS collaboration_id, l.influencer_id, l.campaign_id,
       p.starts_at AS campaign_starts_at, p.ends_at AS campaign_ends_at
FROM click k
JOIN link n ON n.brand_id = $1 AND n.id = k.link_id
JOIN collaboration l ON l.brand_id = $1 AND l.id = n.collaboration_id
JOIN campaign p ON p.brand_id = $1 AND p.id = l.campaign_id
WHERE k.brand_id = $1 AND k.id = ANY($2::uuid[]) AND k.id BETWEEN $3 AND $4
"""

VISITORS = """
SELECT a.visitor_id, a.floor, v.click_id
FROM unnest($2::text[], $3::uuid[], $4::uuid[]) AS a(visitor_id, floor, ceiling)
CROSS JOIN LATERAL (
    SELECT click_id FROM visitor_click
    WHERE brand_id = $1 AND visitor_id = a.visitor_id AND click_id BETWEEN a.floor AND a.ceiling
    ORDER BY click_id DESC LIMIT $5
) AS v
"""

POLICIES = """
SELECT scope_id, version, effective_from, rules FROM policy WHERE brand_id = $1 AND scope_id = ANY($2::uuid[]) ORDER BY version
"""


class Evidence(msgspec.Struct, frozen=True):
    """What deciding one order needs beside the order itself. capped: the caps of the codes it redeems, or has redeemed so far."""

    touches: tuple[Touch, ...]
    policies: Policies
    capped: Mapping[str, int]


async def collect(
    connection: asyncpg.Connection, brand_id: UUID, orders: Mapping[UUID, Order], redeemed: Mapping[UUID, Sequence[str]]
) -> dict[UUID, Evidence]:
    """The evidence for each of these orders, none of them a stub. At most four statements, fewer where nothing is named.

    redeemed: the codes of each order so far, by its id: a code that it no longer redeems has room under its cap again.
    """
    codes = await _read_codes(connection, brand_id, orders.values(), redeemed.values())
    visited = await _read_visitors(connection, brand_id, orders)
    named = {key: _named_clicks(order) for key, order in orders.items()}
    wanted = {touch.id for touches in named.values() for touch in touches if touch.id is not None}
    wanted.update(click_id for click_ids in visited.values() for click_id in click_ids)
    clicks = await _read_clicks(connection, brand_id, wanted)
    touches = {key: _touches(order, codes, clicks, named[key], visited.get(key, ())) for key, order in orders.items()}
    campaigns = {touch.campaign_id for each in touches.values() for touch in each if touch.campaign_id is not None}
    policies = await _read_policies(connection, brand_id, campaigns)
    return {
        key: Evidence(
            touches[key],
            _in_force(policies, brand_id, campaigns, order.occurred_at),
            {code: cap for code in (*order.codes, *redeemed[key]) if (cap := _cap(codes.get(code, ()))) is not None},
        )
        for key, order in orders.items()
    }


def _touches(
    order: Order,
    codes: Mapping[str, Sequence[asyncpg.Record]],
    clicks: Mapping[UUID, asyncpg.Record],
    named: Sequence[Touch],
    visited: Sequence[UUID],
) -> tuple[Touch, ...]:
    found = [_code_touch(code, order, codes.get(code, ()), unsigned_only=False) for code in order.codes]
    found += [_unmapped(code_id, order) for code_id in order.code_ids if code_id not in order.aliases]
    found += [_code_touch(code, order, codes.get(code, ()), unsigned_only=True) for code in order.unsigned_codes]
    found += [_resolved(touch, clicks.get(touch.id) if touch.id else None) for touch in named]
    named_ids = {touch.id for touch in named}
    for click_id in visited:
        # A visitor's click that has not been drained is no candidate yet: the drain will name this order once it is.
        if click_id in clicks and click_id not in named_ids:
            found.append(_resolved(Touch(Method.VISITOR, str(click_id), "", click_id), clicks[click_id]))
    return tuple(found)


# ── Codes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _read_codes(
    connection: asyncpg.Connection, brand_id: UUID, orders: Iterable[Order], redeemed: Iterable[Sequence[str]]
) -> dict[str, list[asyncpg.Record]]:
    """Rows by folded code, one for each assignment."""
    named = {code for order in orders for code in (*order.codes, *order.unsigned_codes)}
    wanted = sorted(named.union(*redeemed))
    found: dict[str, list[asyncpg.Record]] = {}
    if wanted:
        for row in await connection.fetch(CODES, brand_id, wanted):
            found.setdefault(row["code_norm"], []).append(row)
    return found


def _cap(rows: Sequence[asyncpg.Record]) -> int | None:
    return rows[0]["max_redemptions"] if rows else None


def _code_touch(code: str, order: Order, rows: Sequence[asyncpg.Record], *, unsigned_only: bool) -> Touch:
    """A redeemed code with its owner at the order's time."""
    assert order.occurred_at is not None
    if not rows:
        return Touch(
            Method.CODE,
            code,
            order.spellings.get(code, code),
            occurred_at=order.occurred_at,
            unsigned_only=unsigned_only,
        )
    row = rows[0]
    ends = [row[name] for name in ("ends_at", "disabled_at", "archived_at") if row[name] is not None]
    owner = _owner(rows, order.occurred_at) or NOBODY
    return Touch(
        method=Method.CODE,
        signal=code,
        shown=row["code"],
        id=owner["assignment_id"],
        occurred_at=order.occurred_at,
        collaboration_id=owner["collaboration_id"],
        campaign_id=owner["campaign_id"],
        influencer_id=owner["influencer_id"],
        code_id=row["code_id"],
        campaign_starts_at=owner["campaign_starts_at"],
        campaign_ends_at=owner["campaign_ends_at"],
        code_starts_at=row["starts_at"],
        code_ends_at=min(ends) if ends else None,
        credit_policy=CreditPolicy(row["credit_policy"]),
        unsigned_only=unsigned_only,
        alias=next((code_id for code_id, named in order.aliases.items() if named == code), None),
    )


def _unmapped(code_id: str, order: Order) -> Touch:
    """A code by an id that the brand has given to none of its codes."""
    return Touch(Method.CODE, f"alias:{code_id}", code_id, occurred_at=order.occurred_at, alias=code_id)


OWNING = ("assignment_id", "collaboration_id", "campaign_id", "influencer_id", "campaign_starts_at", "campaign_ends_at")
NOBODY: Mapping[str, Any] = dict.fromkeys(OWNING)


def _owner(rows: Sequence[asyncpg.Record], moment: datetime) -> asyncpg.Record | None:
    """The assignment that began last before this moment; None when there is none, or it had ended."""
    begun = [
        row for row in rows if row["assignment_id"] and (row["assigned_from"] is None or row["assigned_from"] <= moment)
    ]
    if not begun:
        return None
    last = max(begun, key=lambda row: (row["assigned_from"] or datetime.min.replace(tzinfo=UTC), row["assignment_id"]))
    return last if last["assigned_until"] is None or moment < last["assigned_until"] else None


# ── Clicks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _named_clicks(order: Order) -> list[Touch]:
    """The clicks that an order names, each once, also names that cannot be ids of ours."""
    found: dict[str, Touch] = {}
    for names, unsigned_only in ((order.click_ids, False), (order.unsigned_click_ids, True)):
        for name in names:
            click_id = read_click(name)
            signal = name if click_id is None else str(click_id)
            found.setdefault(signal, Touch(Method.CLICK, signal, "", click_id, unsigned_only=unsigned_only))
    return list(found.values())


async def _read_visitors(
    connection: asyncpg.Connection, brand_id: UUID, orders: Mapping[UUID, Order]
) -> dict[UUID, list[UUID]]:
    """Click ids of the visitors that orders name, no older than the longest window."""
    ceilings: dict[tuple[str, UUID], UUID] = {}
    keys: dict[UUID, tuple[str, UUID]] = {}
    for key, order in orders.items():
        if order.visitor_id is None or order.occurred_at is None:
            continue
        floor = ids.floor_ms(_ms(order.occurred_at - timedelta(days=CLICK_WINDOW_DAYS_MAX)))
        ceiling = ids.floor_ms(_ms(order.occurred_at + LATE_CLICK_MAX))
        keys[key] = (order.visitor_id, floor)
        ceilings[order.visitor_id, floor] = ceiling
    if not ceilings:
        return {}
    visitors, floors = zip(*ceilings, strict=True)
    found: dict[tuple[str, UUID], list[UUID]] = {}
    for row in await connection.fetch(
        VISITORS, brand_id, visitors, floors, list(ceilings.values()), VISITOR_CLICKS_MAX
    ):
        found.setdefault((row["visitor_id"], row["floor"]), []).append(row["click_id"])
    return {key: found.get(visit, []) for key, visit in keys.items()}


async def _read_clicks(
    connection: asyncpg.Connection, brand_id: UUID, click_ids: Iterable[UUID]
) -> dict[UUID, asyncpg.Record]:
    wanted = sorted(click_ids)
    if not wanted:
        return {}
    rows = await connection.fetch(CLICKS, brand_id, wanted, wanted[0], wanted[-1])
    return {row["id"]: row for row in rows}


def _resolved(touch: Touch, row: asyncpg.Record | None) -> Touch:
    """The touch with the attributes of the click's row; unchanged without a row."""
    if row is None:
        return touch
    return Touch(
        method=touch.method,
        signal=touch.signal,
        id=touch.id,
        occurred_at=row["occurred_at"],
        collaboration_id=row["collaboration_id"],
        campaign_id=row["campaign_id"],
        influencer_id=row["influencer_id"],
        link_id=row["link_id"],
        campaign_starts_at=row["campaign_starts_at"],
        campaign_ends_at=row["campaign_ends_at"],
        unsigned_only=touch.unsigned_only,
    )


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


# ── Policies ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _read_policies(
    connection: asyncpg.Connection, brand_id: UUID, campaigns: Iterable[UUID]
) -> dict[UUID, list[asyncpg.Record]]:
    """Every version of the policies of the brand (scope: its own id) and of these campaigns."""
    found: dict[UUID, list[asyncpg.Record]] = {}
    for row in await connection.fetch(POLICIES, brand_id, [brand_id, *sorted(campaigns)]):
        found.setdefault(row["scope_id"], []).append(row)
    return found


DEFAULTS = Policies()


def _in_force(
    rows: Mapping[UUID, Sequence[asyncpg.Record]], brand_id: UUID, campaigns: Iterable[UUID], moment: datetime | None
) -> Policies:
    """The policies at this moment: a campaign's rules laid over the brand's, the brand's over the defaults."""
    assert moment is not None
    if not rows:
        return DEFAULTS
    brand_row = _version_at(rows.get(brand_id, ()), moment)
    brand_rules = _rules(brand_row)
    brand = _policy(brand_rules, brand_row, Policy())
    own = {}
    for campaign_id in campaigns:
        row = _version_at(rows.get(campaign_id, ()), moment)
        if row is not None:
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
