"""Alembic's way in: one tree, one dialect, the schema of app/database/tables.py."""

import asyncio

from alembic import context
from sqlalchemy import Connection

from app.database.connections import create_engine
from app.database.tables import metadata
from app.settings import read_settings

LOCK_TIMEOUT_MS = 4_000
"""A migration that waits longer for a lock gives up rather than make the running release wait behind it."""


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, compare_type=True, compare_server_default=False)
    with context.begin_transaction():
        context.run_migrations()


async def run_online() -> None:
    url = context.config.get_main_option("sqlalchemy.url") or ""
    engine = create_engine(read_settings(database_url=url or None), size=1)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
        await connection.run_sync(run)
    await engine.dispose()


if context.is_offline_mode():
    raise SystemExit("offline SQL is not offered: `ariane migrate` runs the migrations")

given = context.config.attributes.get("connection")
if given is None:
    asyncio.run(run_online())
else:
    run(given)
