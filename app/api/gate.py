"""API routes answer 503 until the database has this release's schema: a new release may be up before its migration is done."""

from typing import cast

import asyncpg

from app import clock
from app.database.migrate import head, revision
from app.errors import Unavailable

RECHECK_S = 0.2


class SchemaGate:
    """Opens once, for good: schemas only move forward while a release runs."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._open = False
        self._checked_s = float("-inf")

    async def check(self) -> None:
        """Raises Unavailable until the schema matches; asks the database at most every RECHECK_S."""
        if self._open:
            return
        if clock.monotonic_s() - self._checked_s >= RECHECK_S:
            async with self._pool.acquire() as connection:
                # Newer is fine: migrations only add, and the release before keeps running during an upgrade.
                at = await revision(cast(asyncpg.Connection, connection))
                self._open = at is not None and at >= head()
            self._checked_s = clock.monotonic_s()
        if not self._open:
            raise Unavailable("the database is being brought to this release's schema", code="schema_not_ready")
