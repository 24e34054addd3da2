"""What PostgreSQL's planner knows of the tables, kept true while they grow fast.

Of a table that was never analyzed it believes that a brand is one row in two hundred, and reads all of the brand's rows for every look-up. Its own
autovacuum looks in once a minute: on the first day, or after a quiet one, that is a minute in which recording takes three times the processor.
"""

import asyncpg

GROWN = 2
"""Analyzed again at this many times the pages that the planner knows of; by less, autovacuum is in time."""
PAGES_MIN = 4
"""A table smaller than this many pages of 8 KiB is read whole as fast as in any other way."""
TABLES_MAX = 20
"""Of one pass; the others follow in the next."""
LOCK_TIMEOUT_MS = 100

GROWN_TABLES = """
SELECT oid::regclass::text FROM pg_class
WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
  AND pg_relation_size(oid) / current_setting('block_size')::int >= greatest($1 * relpages, $2)
ORDER BY oid LIMIT $3
"""


async def refresh_statistics(pool: asyncpg.Pool) -> int:
    """Analyze the tables that have doubled since the planner last counted them; returns how many there were.

    Plans that connections keep are made anew after it. While somebody changes a table, its very size cannot be asked: all is left for later.
    """
    async with pool.acquire() as connection:
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
                tables = [row[0] for row in await connection.fetch(GROWN_TABLES, GROWN, PAGES_MIN, TABLES_MAX)]
        except asyncpg.LockNotAvailableError:
            return 0
        if tables:
            await connection.execute(f"ANALYZE (SKIP_LOCKED) {', '.join(tables)}")
    return len(tables)
