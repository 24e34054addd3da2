"""Removes what has outlived its retention. One brand at a time, because brands may live on different machines.

Of deliveries whole rows are removed: without its body a row could be neither shown nor replayed. The facts of a recorded delivery stay with its
order. So a message that comes again after its row was removed is recorded again, which changes nothing: the row's uniqueness only saves work, it
does not protect an order from being counted twice.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg

from app import clock
from app.database.partitions import drop_partitions
from app.domain import ids
from app.intake.deliveries.recording import NOBODY
from app.settings import Settings

IDEMPOTENCY_KEPT = timedelta(hours=24)
LEFT_HOSTS_KEPT = timedelta(days=30)
"""How long a host that stopped in order is listed. One that did not holds back `complete_until` until it is forgotten or its spool adopted."""

FORGET_ANSWERS = "DELETE FROM idempotency WHERE brand_id = $1 AND created_at < $2"
FORGET_VISITS = "DELETE FROM visit WHERE brand_id = $1 AND day < $2"
FORGET_HOSTS = "DELETE FROM drain_state WHERE left_at < $1 AND left_at >= updated_at"

# Every brand has a key, so this lists all brands without a query to every machine.
BRANDS = "SELECT DISTINCT brand_id FROM api_key ORDER BY brand_id"

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


async def keep_house(pool: asyncpg.Pool, settings: Settings) -> bool:
    """Remove stored answers after 24 h, single clicks, visits and deliveries after their retention. Whether much is left to be removed."""
    now = clock.now()
    clicks_before = now - timedelta(days=settings.click_retention_days)
    async with pool.acquire() as connection:
        await drop_partitions(connection, before=clicks_before)
        await connection.execute(FORGET_HOSTS, now - LEFT_HOSTS_KEPT)
        brand_ids = [row["brand_id"] for row in await connection.fetch(BRANDS)]
        for brand_id in brand_ids:
            await connection.execute(FORGET_ANSWERS, brand_id, now - IDEMPOTENCY_KEPT)
            # A visit older than the oldest click that can still arrive is never looked at again.
            await connection.execute(FORGET_VISITS, brand_id, clicks_before.date() - timedelta(days=1))
    _, left = await sweep_deliveries(pool, settings, brand_ids)
    return left


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
