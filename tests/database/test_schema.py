"""The schema: built by the migrations, equal to tables.py, and ready to be distributed by brand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, ForeignKeyConstraint, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.dialects.postgresql.base import ischema_names

from app.database.columns import TransactionId, metadata
from app.database.connections import create_engine
from app.database.migrate import head, migrate, revision
from app.database.tables import LOCALS, LOOKUPS
from app.settings import read_settings
from tests.conftest import database_dsn
from tests.shadow import distribution_column

# SQLAlchemy does not know the type when it reads a schema back.
ischema_names["xid8"] = TransactionId

BRAND_TABLES = sorted(set(metadata.tables.values()) - LOOKUPS - LOCALS, key=lambda table: table.name)


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def empty_dsn(server: str) -> str:
    async def remake() -> None:
        connection = await asyncpg.connect(server)
        await connection.execute("DROP DATABASE IF EXISTS schema_test")
        await connection.execute("CREATE DATABASE schema_test")
        await connection.close()

    asyncio.run(remake())
    return database_dsn(server, "schema_test")


def test_migrations_go_up_down_and_up_again_and_leave_nothing_behind(empty_dsn: str) -> None:
    async def tables() -> list[str]:
        connection = await asyncpg.connect(empty_dsn)
        rows = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'S') ORDER BY 1"
        )
        await connection.close()
        return [row["relname"] for row in rows]

    assert migrate(empty_dsn) is True

    async def reached() -> str | None:
        connection = await asyncpg.connect(empty_dsn)
        try:
            return await revision(connection)
        finally:
            await connection.close()

    assert asyncio.run(reached()) == head()
    assert migrate(empty_dsn, "base") is True
    assert asyncio.run(tables()) == ["alembic_version"]
    assert migrate(empty_dsn) is True
    assert migrate(empty_dsn) is False


def test_a_dump_of_a_server_that_had_come_further_counts_in_our_own_transactions(empty_dsn: str) -> None:
    """Otherwise what waits in the queue is never decided, and the doors read all their rows again at every poll."""

    async def restore() -> None:
        async with connected(empty_dsn) as connection:
            await connection.execute(
                """INSERT INTO redecide (brand_id, conversion_id, after)
                   SELECT gen_random_uuid(), gen_random_uuid(), unnest('{5, 1099511627776, NULL}'::xid8[])"""
            )
            await connection.execute(
                "INSERT INTO host (host, brand_id, created_at, changed_xid) VALUES ('go.test', gen_random_uuid(), now(), '1099511627776')"
            )

    async def numbers() -> list[int | None]:
        """Of the queue and of the host; 0 for one of our own, from now."""
        async with connected(empty_dsn) as connection:
            now = await connection.fetchval("SELECT pg_current_xact_id()::text::bigint")
            rows = await connection.fetch(
                """SELECT after::text::bigint AS number FROM (SELECT id, after FROM redecide ORDER BY id) AS waiting
                   UNION ALL SELECT changed_xid::text::bigint FROM host"""
            )
        return [0 if row["number"] and now - 10 < row["number"] < now else row["number"] for row in rows]

    assert migrate(empty_dsn) is True
    asyncio.run(restore())
    assert migrate(empty_dsn) is True
    assert asyncio.run(numbers()) == [5, 0, None, 0]
    assert migrate(empty_dsn) is False


async def test_the_migrations_build_exactly_what_tables_py_describes(dsn: str) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(
            connection,
            opts={"compare_type": True, "include_object": lambda _o, name, *_: not str(name).startswith("click_20")},
        )
        return list(compare_metadata(context, metadata))

    engine = create_engine(read_settings({}, database_url=dsn), size=1)
    try:
        async with engine.connect() as connection:
            assert await connection.run_sync(differences) == []
    finally:
        await engine.dispose()


async def test_two_hosts_that_migrate_at_once_migrate_once(server: str) -> None:
    connection = await asyncpg.connect(server)
    await connection.execute("DROP DATABASE IF EXISTS schema_race")
    await connection.execute("CREATE DATABASE schema_race")
    await connection.close()
    target = database_dsn(server, "schema_race")
    done = await asyncio.gather(*(asyncio.to_thread(migrate, target) for _ in range(3)))
    assert sorted(done) == [False, False, True]


@pytest.mark.parametrize("table", BRAND_TABLES, ids=lambda table: table.name)
def test_every_key_of_a_brand_table_contains_the_brand(table: object) -> None:
    column = distribution_column(table)
    for constraint in table.constraints:  # type: ignore[attr-defined]
        if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint):
            assert column in [each.name for each in constraint.columns], constraint.name
        if isinstance(constraint, ForeignKeyConstraint):
            assert "brand_id" in [each.name for each in constraint.columns], constraint.name
            assert constraint.ondelete is None, constraint.name
            assert constraint.referred_table not in LOOKUPS, constraint.name
    for index in table.indexes:  # type: ignore[attr-defined]
        assert index.columns[0].name == "brand_id", index.name


def test_nothing_refers_to_lookup_or_local_tables() -> None:
    for table in LOOKUPS | LOCALS:
        assert not table.foreign_keys, table.name


async def test_there_are_no_triggers(pool: asyncpg.Pool) -> None:
    assert await pool.fetchval("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == 0
