"""Writes the state of orders: their columns, decisions and credits, in one statement for all of them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from app.database.recordset import assignments, names, recordset
from app.domain.folding import OrderColumns
from app.orders.state import CONVERSION, DECISION, StateRows

FOLDED = ("primary_ref", *OrderColumns.__struct_fields__, "locks_at")
"""Columns that follow from the facts; the others stay as the first report made them."""
CREDIT = (
    "conversion_id, position, share, collaboration_id, campaign_id, influencer_id, link_id, code_id, method, weight_bp, amount_minor, "
    "currency, kind, occurred_at, counted, unsigned"
)

FORGET_CREDITS = "DELETE FROM credit WHERE brand_id = $1 AND conversion_id = ANY($2::uuid[])"

# The row of a new order is written once, whole: as a stub first it would be two row versions, and two entries in every index.
INSERT = f"""
    INSERT INTO conversion (brand_id, root_id, {names(CONVERSION)}, digest, updated_at)
    SELECT $1, r.id, {names(CONVERSION, "r.")}, d.digest, $5
    FROM {recordset("conversion", "$2")} JOIN unnest($6::uuid[], $7::bytea[]) AS d(id, digest) ON d.id = r.id
    RETURNING id
"""
UPDATE = f"""
    UPDATE conversion c SET {assignments(FOLDED, "r.")}, digest = d.digest, updated_at = $5
    FROM {recordset("conversion", "$2")} JOIN unnest($6::uuid[], $7::bytea[]) AS d(id, digest) ON d.id = r.id
    WHERE c.brand_id = $1 AND c.id = r.id
    RETURNING c.id
"""
WRITE = f"""
WITH folded AS (%s), decided AS (
    INSERT INTO decision (brand_id, {names(DECISION)}, decided_at)
    SELECT $1, {names(DECISION, "r.")}, $5 FROM {recordset("decision", "$3")}
    ON CONFLICT (brand_id, conversion_id) DO UPDATE SET {assignments(DECISION, "EXCLUDED.")}, decided_at = EXCLUDED.decided_at
    RETURNING conversion_id
), credited AS (
    INSERT INTO credit (brand_id, {CREDIT}) SELECT $1, {CREDIT} FROM {recordset("credit", "$4")}
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
