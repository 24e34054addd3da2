"""Brings a database to this release's schema, once, however many processes ask for it at the same time."""

import asyncio
from pathlib import Path
from string import Template

import asyncpg

from app.database.transactions import Connection

MIGRATION_LOCK = 0x41524941
"""Advisory lock held while migrating: several hosts may start at the same time."""

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"

NUMBERED = (
    ("host", "changed_xid"),
    ("route", "changed_xid"),
    ("api_key", "changed_xid"),
    ("source", "changed_xid"),
    ("redecide", "after"),
)
"""Tables with a column that holds the number of a transaction."""
# A visible row with a transaction number that this server has not reached was written by another server.
ADOPT = Template("""/* across brands: of a restored dump */
UPDATE $table SET $column = pg_current_xact_id() WHERE $column >= pg_snapshot_xmax(pg_current_snapshot())""")


def head() -> str:
    """The newest revision in the tree, read from the file names so that asking does not cost the import of Alembic."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def is_newer(revision: str) -> bool:
    """Whether a database at this revision was brought up to date by a newer release. Migrations only add: this release goes on beside it."""
    return len(revision) == len(head()) and revision.isdigit() and revision > head()


async def revision(connection: Connection) -> str | None:
    """The revision that a database is at; None when it is empty."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    found = await connection.fetchval("SELECT version_num FROM alembic_version")
    return None if found is None else str(found)


def migrate(dsn: str, target: str = "head") -> bool:
    """Bring the database to `target`; True when something was done. Blocking; call it in a thread from async code.

    When it is at head already, that costs one connection and does not import Alembic. A restored dump gets transaction numbers of this server.
    """
    return asyncio.run(_migrate(dsn, target))


async def _migrate(dsn: str, target: str) -> bool:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        at = await revision(connection)
        if target == "head" and at is not None and (at == head() or is_newer(at)):
            return await _renumber(connection)
        await connection.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
        if target == "head" and await revision(connection) == head():
            return False
        await asyncio.to_thread(_run, dsn, target)
        if target == "head":
            await _renumber(connection)
        return True
    finally:
        await connection.close()


async def _renumber(connection: asyncpg.Connection) -> bool:
    """Replace transaction numbers that a dump brought from another server by one of this server; True when there were any.

    Until this server reached those numbers, perhaps never, waiting orders would not be decided and every poll would read every route again.
    """
    restored = False
    for table, column in NUMBERED:
        done = await connection.execute(ADOPT.substitute(table=table, column=column))
        restored |= done != "UPDATE 0"
    return restored


def _run(dsn: str, target: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", dsn.replace("%", "%%"))
    revisions = {"base": command.downgrade}
    revisions.get(target, command.upgrade)(config, target)
