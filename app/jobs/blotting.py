"""The job `blot`: blots the shopper's data out of the messages that an older release kept whole, batch by batch.

The background process puts one into the queue for every brand that has such messages, so after an upgrade it begins by itself. It goes through an
index that holds nothing but them: taken over or begun again, it goes on with what is left.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg

from app import clock, random_ids
from app.intake.deliveries.recording import load_origins, written_headers
from app.intake.deliveries.replaying import BATCH_BYTES, BATCH_ROWS, stored_message
from app.jobs.run import Run

BLOT = "blot"

LEFT = "NOT blotted AND status IN ('recorded', 'ignored')"
BRANDS = f"/* across brands: a job for each that has some */ SELECT DISTINCT brand_id FROM delivery WHERE {LEFT}"  # noqa: S608
COUNT = f"SELECT count(*) FROM delivery WHERE brand_id = $1 AND {LEFT}"  # noqa: S608  a condition of our own
QUEUE = """
INSERT INTO job (brand_id, id, kind, unit, total, created_at) SELECT $1, $2, $3, 'deliveries', $4, $5
WHERE NOT EXISTS (SELECT FROM job WHERE brand_id = $1 AND kind = $3 AND state IN ('queued', 'running'))
"""
NEXT = f"""
SELECT id, octet_length(body) AS bytes FROM delivery WHERE brand_id = $1 AND id > $2 AND {LEFT} ORDER BY id LIMIT $3
"""  # noqa: S608
STORED = f"""
SELECT id, platform, origin_id, shop, headers::text AS headers, body, received_at, status, reason, verified_at FROM delivery
WHERE brand_id = $1 AND id = ANY($2::uuid[]) AND {LEFT} ORDER BY id FOR NO KEY UPDATE
"""  # noqa: S608
WRITE = """
UPDATE delivery d SET headers = r.headers, body = r.body, blotted = true
FROM unnest($2::uuid[], $3::jsonb[], $4::bytea[]) AS r(id, headers, body) WHERE d.brand_id = $1 AND d.id = r.id
"""


async def queue_blotting(pool: asyncpg.Pool) -> int:
    """Put a job into the queue of every brand that has messages to blot and no such job open. Returns how many brands have some."""
    brand_ids = [row["brand_id"] for row in await pool.fetch(BRANDS)]
    for brand_id in brand_ids:
        total = await pool.fetchval(COUNT, brand_id)
        await pool.execute(QUEUE, brand_id, random_ids.new_id(), BLOT, total, clock.now())
    return len(brand_ids)


async def blot_deliveries(run: Run) -> Mapping[str, Any]:
    """Blots every message of the brand that is kept whole though it is resolved; returns how many."""
    run.result = lambda: {"blotted": run.checkpoint.get("blotted", 0)}
    last = UUID(run.checkpoint.get("last", str(UUID(int=0))))
    while batch := await _next(run.pool, run.brand_id, last):

        async def work(connection: asyncpg.Connection, batch: list[UUID] = batch) -> Mapping[str, Any]:
            blotted = await _blot(connection, run, batch)
            return {"last": str(batch[-1]), "blotted": run.checkpoint.get("blotted", 0) + blotted}

        await run.commit(work, done=run.done + len(batch))
        last = batch[-1]
    return run.result()


async def _next(pool: asyncpg.Pool, brand_id: UUID, last: UUID) -> list[UUID]:
    """The next ids, oldest first: one batch, whose bodies fit into memory."""
    chosen: list[UUID] = []
    total_bytes = 0
    for row in await pool.fetch(NEXT, brand_id, last, BATCH_ROWS):
        total_bytes += row["bytes"]
        if chosen and total_bytes > BATCH_BYTES:
            break
        chosen.append(row["id"])
    return chosen


async def _blot(connection: asyncpg.Connection, run: Run, delivery_ids: list[UUID]) -> int:
    messages = [stored_message(row) for row in await connection.fetch(STORED, run.brand_id, delivery_ids)]
    origins = await load_origins(connection, run.brand_id, messages, run.secret)
    kept = [origins.blot(run.brand_id, message) for message in messages]
    headers = [written_headers(each.headers) for each in kept]
    ids = [message.id for message in messages]
    await connection.execute(WRITE, run.brand_id, ids, headers, [each.body for each in kept])
    return len(kept)
