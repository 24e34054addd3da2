"""A PostgreSQL of a scene's own with one brand in it, for what the background process does, done in this very process."""

import asyncio
import gc
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg

from app import clock, random_ids
from app.database.connections import connect_pool
from app.database.embedded import Cluster
from app.database.migrate import migrate
from app.database.partitions import ensure_partitions
from app.server.background import GC_OBJECTS
from app.settings import Settings, read_settings
from bench.machine import Share

BRAND = "INSERT INTO brand (id, name, currency, time_zone, created_at, updated_at) VALUES ($1, 'Bench', 'EUR', 'Europe/Paris', $2, $2)"


@dataclass(frozen=True, slots=True)
class Database:
    """It, and where it is. directory: for what else the scene keeps."""

    pool: asyncpg.Pool
    settings: Settings
    brand_id: UUID
    directory: Path
    postgres: int

    def share(self) -> Share:
        """Processor time over a block: this process, which does what the background process would, and PostgreSQL."""
        return Share(python=os.getpid(), postgres=self.postgres)


@asynccontextmanager
async def database() -> AsyncIterator[Database]:
    """Started, migrated, with a brand; gone after the block."""
    with tempfile.TemporaryDirectory(prefix="ariane-bench-") as name:
        directory = Path(name)
        cluster = Cluster(directory / "pg")
        with cluster.run() as dsn:
            assert cluster.process is not None
            await asyncio.to_thread(migrate, dsn)
            pool = await connect_pool(dsn, size=4, name="bench")
            try:
                async with pool.acquire() as connection:
                    await ensure_partitions(connection)
                brand_id = random_ids.new_id()
                await pool.execute(BRAND, brand_id, clock.now())
                settings = read_settings({}, database_url=dsn, data=directory, secret_key="b" * 43)
                # As the background process, whose work is done here, has it.
                gc.collect()
                gc.freeze()
                gc.set_threshold(GC_OBJECTS)
                yield Database(pool, settings, brand_id, directory, cluster.process.pid)
            finally:
                pool.terminate()
