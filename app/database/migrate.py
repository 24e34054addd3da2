"""Brings a database to this release's schema, once, whoever asks and however many ask at once."""

import asyncio
from pathlib import Path
from string import Template

import asyncpg

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
# Foreign is a row that this server cannot have written: it sees the row, and its own transactions have not come that far.
IS_FOREIGN = Template("""/* across brands: of a restored dump */
SELECT EXISTS (SELECT FROM $table WHERE $column >= pg_snapshot_xmax(pg_current_snapshot()))""")
ADOPT = Template("""/* across brands: of a restored dump */
UPDATE $table SET $column = pg_current_xact_id() WHERE $column >= pg_snapshot_xmax(pg_current_snapshot())""")


def head() -> str:
    """The newest revision in the tree, read from the file names so that asking does not cost the import of Alembic."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


async def current(dsn: str) -> str | None:
    """The revision a database is at; None when it is empty. Raises what asyncpg raises when it cannot be reached."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return await revision(connection)
    finally:
        await connection.close()


async def revision(connection: asyncpg.Connection) -> str | None:
    """The same, over an open connection."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    found = await connection.fetchval("SELECT version_num FROM alembic_version")
    return None if found is None else str(found)


def migrate(dsn: str, target: str = "head") -> bool:
    """Brings the database to `target`; True when something was done. Blocking; call it in a thread from async code.

    At head already, it costs one connection and does not import Alembic. A database restored from a dump gets numbers of its own transactions.
    """
    return asyncio.run(_migrate(dsn, target))


async def _migrate(dsn: str, target: str) -> bool:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        if target == "head" and await revision(connection) == head():
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
    """Takes numbers of another server's transactions, which came with a dump, for our own; True when there were any.

    Until this server had come as far, which may be never, waiting orders would not be decided, and every poll would read every route again.
    """
    restored = False
    for table, column in NUMBERED:
        if await connection.fetchval(IS_FOREIGN.substitute(table=table, column=column)):
            restored = True
            await connection.execute(ADOPT.substitute(table=table, column=column))
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
