"""ANALYZE for tables that grow fast, for speed alone (docs/performance.md).

For a table that was never analyzed PostgreSQL's planner assumes that a brand has one row in two hundred, and reads all of the brand's rows for every
look-up. Autovacuum runs once a minute: on the first day, or after a quiet one, recording takes three times the processor for that minute.
"""

import asyncpg

GROWN = 2
"""Growth since the planner last counted a table's pages, as a factor, after which it is analyzed; autovacuum is in time for less."""
PAGES_MIN = 4
"""Smallest table that is analyzed, in pages of 8 KiB; smaller ones are read completely as fast as in any other way."""
TABLES_MAX = 20
"""Largest number of tables analyzed in one pass; the others follow in the next."""
LOCK_TIMEOUT_MS = 100

GROWN_TABLES = """
SELECT oid::regclass::text FROM pg_class
WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
  AND pg_relation_size(oid) / current_setting('block_size')::int >= greatest($1 * relpages, $2)
ORDER BY oid LIMIT $3
"""


async def refresh_statistics(pool: asyncpg.Pool) -> int:
    """Analyze the tables that have doubled since the planner last counted them; returns how many.

    Connections replan their cached plans after it. While DDL holds a lock on a table its size cannot be read, and the pass is skipped.
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
