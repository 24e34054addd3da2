"""Keys of influencers as customers, for those of whom none were worked out: they were added by a release before, or straight in the database."""

import asyncpg

from app.database.transactions import in_transaction
from app.domain.customers import PURPOSE, customer_keys
from app.secret import derive

BATCH_MAX = 500
"""Influencers whose keys are worked out in one transaction."""

MISSING = """/* across brands: influencers whose keys are missing */
SELECT brand_id, id, email, customer_id FROM influencer
WHERE customer_keys IS NULL AND num_nonnulls(email, customer_id) > 0 LIMIT $1 FOR UPDATE SKIP LOCKED
"""
FILL = """/* across brands: each row of its own */
UPDATE influencer i SET customer_keys = string_to_array(k.keys, ',')
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS k(brand_id, id, keys) WHERE i.brand_id = k.brand_id AND i.id = k.id
"""


async def fill_influencer_keys(pool: asyncpg.Pool, secret: str) -> int:
    """Works out the next missing keys; how many influencers had none. Orders show a self-referral when they are next decided."""

    async def work(connection: asyncpg.Connection) -> int:
        rows = await connection.fetch(MISSING, BATCH_MAX)
        derived = derive(secret, PURPOSE)
        keys = [customer_keys(derived, row["brand_id"], row["customer_id"], row["email"]) for row in rows]
        columns = [row["brand_id"] for row in rows], [row["id"] for row in rows], [",".join(each) for each in keys]
        await connection.execute(FILL, *columns)
        return len(rows)

    return await in_transaction(pool, work)
