"""Housekeeping: deletes finished jobs after a while, with their lines, and uploads that broke off."""

from datetime import timedelta

import asyncpg

from app import clock
from app.database.transactions import in_transaction
from app.domain import ids
from app.settings import Settings

BROKEN_OFF_AFTER = timedelta(hours=6)
"""Age at which an upload without a job is deleted: it will never become one."""
JOBS_MAX = 10
"""Jobs deleted in one transaction: each may have a hundred thousand lines."""

OLD = "DELETE FROM job WHERE (brand_id, id) IN (SELECT brand_id, id FROM job WHERE finished_at < $1 LIMIT $2) RETURNING brand_id, id"
LINES = "DELETE FROM job_line WHERE brand_id = $1 AND job_id = $2"
BROKEN_OFF = """
DELETE FROM job_piece p WHERE p.job_id < $1 AND NOT EXISTS (SELECT 1 FROM job j WHERE j.brand_id = p.brand_id AND j.id = p.job_id)
"""


async def sweep_jobs(pool: asyncpg.Pool, settings: Settings) -> int:
    """Deletes jobs that ended more than `job_retention_days` ago, and pieces of uploads that broke off. Returns the number of jobs."""
    now = clock.now()
    before = now - timedelta(days=settings.job_retention_days)

    async def some(connection: asyncpg.Connection) -> int:
        rows = await connection.fetch(OLD, before, JOBS_MAX)
        for row in rows:
            await connection.execute(LINES, row["brand_id"], row["id"])
        return len(rows)

    total = 0
    while deleted := await in_transaction(pool, some):
        total += deleted
    await pool.execute(BROKEN_OFF, ids.floor_at(now - BROKEN_OFF_AFTER))
    return total
