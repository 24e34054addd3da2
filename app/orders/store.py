"""Writes the state of orders: their columns, decisions and credits, in one statement for all of them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from app.database.recordset import assignments, columns_of, names, recordset
from app.domain.folding import OrderColumns
from app.orders.state import StateRows

CONVERSION = (
    ("id", "uuid"),
    ("shop", "text"),
    ("kind", "text"),
    ("created_at", "timestamptz"),
    *columns_of(OrderColumns),
    ("locks_at", "timestamptz"),
)
FOLDED = tuple(column for column in CONVERSION if column[0] not in {"id", "shop", "kind", "created_at"})
"""Columns that follow from the facts; the others stay as the first report made them."""
DECISION = (
    ("verdict", "text"),
    ("method", "text"),
    ("model", "text"),
    ("policy_version", "integer"),
    ("reason", "text"),
    ("credits", "jsonb"),
    ("candidates", "jsonb"),
)
CREDIT = (
    ("conversion_id", "uuid"),
    ("position", "integer"),
    ("share", "smallint"),
    ("collaboration_id", "uuid"),
    ("campaign_id", "uuid"),
    ("influencer_id", "uuid"),
    ("link_id", "uuid"),
    ("code_id", "uuid"),
    ("method", "text"),
    ("weight_bp", "integer"),
    ("amount_minor", "bigint"),
    ("currency", "text"),
    ("kind", "text"),
    ("occurred_at", "timestamptz"),
    ("counted", "boolean"),
)

FORGET_CREDITS = "DELETE FROM credit WHERE brand_id = $1 AND conversion_id = ANY($2::uuid[])"

# The row of a new order is written once, whole: as a stub first it would be two row versions, and two entries in every index.
INSERT = f"""
    INSERT INTO conversion (brand_id, root_id, {names(CONVERSION)}, digest, updated_at)
    SELECT $1, r.id, {names(CONVERSION, "r.")}, d.digest, $5
    FROM {recordset("$2", CONVERSION)} JOIN unnest($6::uuid[], $7::bytea[]) AS d(id, digest) ON d.id = r.id
    RETURNING id
"""
UPDATE = f"""
    UPDATE conversion c SET {assignments(FOLDED, "r.")}, digest = d.digest, updated_at = $5
    FROM {recordset("$2", CONVERSION)} JOIN unnest($6::uuid[], $7::bytea[]) AS d(id, digest) ON d.id = r.id
    WHERE c.brand_id = $1 AND c.id = r.id
    RETURNING c.id
"""
WRITE = f"""
WITH folded AS (%s), decided AS (
    INSERT INTO decision (brand_id, conversion_id, {names(DECISION)}, decided_at)
    SELECT $1, r.id, {names(DECISION, "r.")}, $5 FROM {recordset("$3", (("id", "uuid"), *DECISION))}
    ON CONFLICT (brand_id, conversion_id) DO UPDATE SET {assignments(DECISION, "EXCLUDED.")}, decided_at = EXCLUDED.decided_at
    RETURNING conversion_id
), credited AS (
    INSERT INTO credit (brand_id, {names(CREDIT)}) SELECT $1, {names(CREDIT, "r.")} FROM {recordset("$4", CREDIT)}
    RETURNING conversion_id
)
SELECT count(*) FROM folded
"""
WRITE_NEW, WRITE_KNOWN = WRITE % INSERT, WRITE % UPDATE


async def write_states(
    connection: asyncpg.Connection, brand_id: UUID, states: Sequence[StateRows], now: datetime
) -> None:
    """Writes these orders; those whose row is unwritten are inserted. No statement for none."""
    for statement, some in (
        (WRITE_NEW, [state for state in states if state.root.unwritten]),
        (WRITE_KNOWN, [state for state in states if not state.root.unwritten]),
    ):
        if some:
            await _write(connection, brand_id, statement, some, now)


async def _write(
    connection: asyncpg.Connection, brand_id: UUID, statement: str, states: Sequence[StateRows], now: datetime
) -> None:
    decided_before = [state.root.id for state in states if state.root.digest is not None]
    if decided_before:
        await connection.execute(FORGET_CREDITS, brand_id, decided_before)
    conversions, decisions, credits_ = zip(*(state.encoded for state in states), strict=True)
    written = await connection.fetchval(
        statement,
        brand_id,
        f"[{b','.join(conversions).decode()}]",
        f"[{b','.join(decisions).decode()}]",
        # Each is a list already, never an empty one.
        f"[{b','.join(rows[1:-1] for rows in credits_).decode()}]",
        now,
        [state.root.id for state in states],
        [state.digest for state in states],
    )
    assert written == len(states), "a locked order has gone"
