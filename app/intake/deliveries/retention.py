"""Removes deliveries after their retention. Whole rows are removed: without its body a row could be neither shown nor replayed.

The facts of a recorded delivery stay with its order. So a message that comes again after its row was removed is recorded again, which changes
nothing: the row's uniqueness only saves work, it does not protect an order from being counted twice.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg

from app import clock
from app.domain import ids
from app.intake.deliveries.recording import NOBODY
from app.settings import Settings

SWEPT_ROWS = 1_000
"""Rows removed in one transaction."""
BATCHES_MAX = 100
"""Transactions for one brand and status in one pass, before the next brand's turn."""

# An id holds its time of receipt, and follows the status in the index. SKIP LOCKED: a replay is writing that row.
SWEEP = """
DELETE FROM delivery WHERE brand_id = $1 AND status = $2 AND id = ANY(ARRAY(
    SELECT id FROM delivery WHERE brand_id = $1 AND status = $2 AND id < $3 ORDER BY id LIMIT $4 FOR UPDATE SKIP LOCKED))
RETURNING id
"""


def kept_days(settings: Settings) -> Mapping[str, int]:
    """Days a delivery is kept, by its status."""
    return {
        "received": settings.delivery_retention_days,
        "recorded": settings.delivery_retention_days,
        "ignored": settings.rejected_retention_days,
        "rejected": settings.rejected_retention_days,
        "unsigned": settings.unsigned_retention_days,
    }


async def sweep_deliveries(pool: asyncpg.Pool, settings: Settings, brand_ids: Sequence[UUID]) -> tuple[int, bool]:
    """Remove expired deliveries of these brands and of NOBODY: how many, and whether some are left for the next pass."""
    total, left = 0, False
    turns = [(brand_id, status, days) for brand_id in brand_ids for status, days in kept_days(settings).items()]
    for brand_id, status, days in [*turns, (NOBODY, "rejected", settings.unsigned_retention_days)]:
        before = clock.now() - timedelta(days=days)
        floor = ids.floor_at(before)
        for _ in range(BATCHES_MAX):
            gone = len(await pool.fetch(SWEEP, brand_id, status, floor, SWEPT_ROWS))
            total += gone
            if gone < SWEPT_ROWS:
                break
        else:
            left = True
    return total, left
