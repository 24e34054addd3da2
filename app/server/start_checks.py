"""Whether this host may serve from its database. A host that may not says why and what to do, in one sentence, and does not start.

`ariane serve` runs `python -m app.server.start_checks` before anything else where it was not yet shown that this key and this database belong
together; the background process checks the key at every start, once the schema is there.
"""

import asyncio
import os
import sys

import asyncpg

from app import clock
from app.database.connections import whereabouts
from app.database.errors import DRIVER_ERRORS
from app.database.migrate import is_newer, revision
from app.secret import UnsealError, fingerprint, load_secret, unseal
from app.server.checked import REFUSED
from app.settings import Settings, SettingsError, read_settings

CONNECT_TIMEOUT_S = 5.0
POOLER_TRIES = 5
SEALED_MAX = 20
"""Stored secrets that are tried with a key of which no fingerprint is stored yet."""

RECORD_KEY = "INSERT INTO installation (key_fingerprint, recorded_at) VALUES ($1, $2) ON CONFLICT DO NOTHING"
REPLACE_KEY = """INSERT INTO installation (key_fingerprint, recorded_at) VALUES ($1, $2)
ON CONFLICT (singleton) DO UPDATE SET key_fingerprint = excluded.key_fingerprint, recorded_at = excluded.recorded_at"""
STORED_KEY = "SELECT key_fingerprint FROM installation"
SEALED = """/* across brands: whichever secrets there are */
SELECT unnest(secrets) FROM source WHERE archived_at IS NULL AND secrets <> '{}' ORDER BY id DESC LIMIT $1"""
ROLE = """SELECT pg_is_in_recovery() AS standby, current_user AS role, current_schema() AS schema,
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create"""
OURS = """SELECT tablename, tableowner, pg_has_role(tableowner, 'USAGE') AS owned FROM pg_tables
WHERE schemaname = current_schema() AND tablename = ANY($1) ORDER BY owned, tablename LIMIT 1"""


class StartRefused(SettingsError):
    """This host must not serve from this database; the text says why, and what to do."""


async def check_key(connection: asyncpg.Connection, settings: Settings, secret: str) -> None:
    """Compare the secret key with the database's, which needs this release's schema; the first host's key becomes the database's.

    Raises StartRefused when they differ: each host would refuse what another one signed, and count its visitors as new.
    """
    stored = await connection.fetchval(STORED_KEY)
    if stored is None:
        # A database of a release that stored no fingerprint: what it holds must open with the key that is to be its own.
        sealed = [row[0] for row in await connection.fetch(SEALED, SEALED_MAX)]
        if not sealed or any(_opens(secret, each) for each in sealed):
            await connection.execute(RECORD_KEY, fingerprint(secret), clock.now())
            stored = await connection.fetchval(STORED_KEY)
    if stored != fingerprint(secret):
        raise StartRefused(
            f"the secret key of this host is not that of the database {whereabouts(settings.database_url)}: copy secret.key from the data directory "
            f"of another host, or from the backup, to {settings.data.absolute() / 'secret.key'} (or set ARIANE_SECRET_KEY as it is set there) and start "
            "again; when that key is lost for good, `ariane hosts rekey` makes this one the database's"
        )


async def accept_key(connection: asyncpg.Connection, secret: str) -> None:
    """Make this key the database's, whatever it was before."""
    await connection.execute(REPLACE_KEY, fingerprint(secret), clock.now())


async def check_database(settings: Settings, secret: str) -> None:
    """Check a database of one's own before the first start on it. Raises StartRefused.

    One that cannot be reached is not judged: the doors then wait for it, and the background process says so.
    """
    where = f"the database {whereabouts(settings.database_url)}"
    try:
        connection = await asyncpg.connect(settings.database_url, timeout=CONNECT_TIMEOUT_S)
    except DRIVER_ERRORS:
        return
    try:
        await _refuse_pooler(connection, settings, where)
        await _refuse_strangers(connection, where)
        if await connection.fetchval("SELECT to_regclass('installation')") is not None:
            await check_key(connection, settings, secret)
    finally:
        await connection.close()


async def _refuse_pooler(connection: asyncpg.Connection, settings: Settings, where: str) -> None:
    """Raises StartRefused for a pooler that gives each transaction another session, such as PgBouncer in transaction mode."""
    if connection.get_server_pid() == await connection.fetchval("SELECT pg_backend_pid()"):
        return
    other = await asyncpg.connect(settings.database_url, timeout=CONNECT_TIMEOUT_S)
    try:
        for _ in range(POOLER_TRIES):
            mine = await connection.fetchval("SELECT pg_backend_pid()")
            # While the other one is inside a transaction it keeps its session; in session mode that was never mine.
            async with other.transaction():
                theirs = await other.fetchval("SELECT pg_backend_pid()")
                if mine in (theirs, None) or mine != await connection.fetchval("SELECT pg_backend_pid()"):
                    raise StartRefused(
                        f"DATABASE_URL leads to {where} through a pooler in transaction mode (PgBouncer), which breaks notifications and prepared "
                        "statements: name PostgreSQL itself there, or a pooler in session mode"
                    )
    except asyncpg.InvalidSQLStatementNameError as error:
        raise StartRefused(
            f"DATABASE_URL leads to {where} through a pooler in transaction mode ({error}): name PostgreSQL itself there, or a pooler in session mode"
        ) from None
    finally:
        await other.close()


async def _refuse_strangers(connection: asyncpg.Connection, where: str) -> None:
    """Raises StartRefused for a standby, a database of a newer release or of another program, and one that belongs to another role."""
    from app.database.tables import LOCALS, LOOKUPS, brand

    role = await connection.fetchrow(ROLE)
    assert role is not None
    if role["standby"]:
        raise StartRefused(
            f"{where} is a standby, which nobody can write to: name its primary in DATABASE_URL, and the standby in REPORTS_DATABASE_URL"
        )
    at = await revision(connection)
    if at is not None and is_newer(at):
        raise StartRefused(
            f"{where} has the schema {at} of a newer release: start that release, or name another database in DATABASE_URL"
        )
    found = await connection.fetchrow(OURS, sorted({table.name for table in (brand, *LOOKUPS, *LOCALS)}))
    if found is not None and not found["owned"]:
        raise StartRefused(
            f"in {where} the table {found['tablename']} belongs to {found['tableowner']}, not to {role['role']}: restore it as {role['role']} with "
            f"pg_restore --no-owner, or run `REASSIGN OWNED BY {found['tableowner']} TO {role['role']}` in it"
        )
    if found is not None and at is None:
        raise StartRefused(
            f"{where} has a table {found['tablename']} but no schema of a release: it belongs to another program, or was restored in part; name an empty one"
        )
    if not role["may_create"]:
        owner = f"`ALTER DATABASE … OWNER TO {role['role']}`"
        raise StartRefused(
            f"{role['role']} may not create tables in {where}"
            + (f", schema {role['schema']}" if role["schema"] else "")
            + f": make it the owner with {owner}"
        )


def _opens(secret: str, sealed: str) -> bool:
    try:
        unseal(secret, sealed)
    except UnsealError:
        return False
    return True


def refuse(error: StartRefused) -> None:
    """Say why and end this process."""
    print(f"ariane: {error}", file=sys.stderr, flush=True)  # noqa: T201  what the operator reads
    os._exit(REFUSED)


def main() -> None:
    """Check the database of the settings; the exit status is REFUSED when this host must not start."""
    settings = read_settings()
    try:
        asyncio.run(check_database(settings, load_secret(settings)))
    except StartRefused as error:
        refuse(error)
    except DRIVER_ERRORS:
        return  # it went away meanwhile


if __name__ == "__main__":
    main()
