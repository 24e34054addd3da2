"""Removes what has outlived its retention. One brand at a time, because brands may live on different machines."""

from datetime import timedelta

import asyncpg

from app import clock
from app.database.partitions import drop_partitions
from app.intake.deliveries.retention import sweep_deliveries
from app.settings import Settings

IDEMPOTENCY_KEPT = timedelta(hours=24)
LOST_HOST_AFTER = timedelta(days=30)
"""Silence after which a spool no longer holds back `complete_until`: its machine is gone."""

FORGET_ANSWERS = "DELETE FROM idempotency WHERE brand_id = $1 AND created_at < $2"
FORGET_VISITS = "DELETE FROM visit WHERE brand_id = $1 AND day < $2"
FORGET_HOSTS = "DELETE FROM drain_state WHERE updated_at < $1"

# Every brand has a key, so this lists all brands without a query to every machine.
BRANDS = "SELECT DISTINCT brand_id FROM api_key ORDER BY brand_id"


async def keep_house(pool: asyncpg.Pool, settings: Settings) -> bool:
    """Remove stored answers after 24 h, single clicks, visits and deliveries after their retention. Whether much is left to be removed."""
    now = clock.now()
    clicks_before = now - timedelta(days=settings.click_retention_days)
    async with pool.acquire() as connection:
        await drop_partitions(connection, before=clicks_before)
        await connection.execute(FORGET_HOSTS, now - LOST_HOST_AFTER)
        brand_ids = [row["brand_id"] for row in await connection.fetch(BRANDS)]
        for brand_id in brand_ids:
            await connection.execute(FORGET_ANSWERS, brand_id, now - IDEMPOTENCY_KEPT)
            # A visit older than the oldest click that can still arrive is never looked at again.
            await connection.execute(FORGET_VISITS, brand_id, clicks_before.date() - timedelta(days=1))
    _, left = await sweep_deliveries(pool, settings, brand_ids)
    return left
