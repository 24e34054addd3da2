"""The real PostgreSQL, built by the real migrations, once per test process; brands are the isolation between tests."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings

from app import clock, random_ids
from app.database.connections import connect_pool
from app.database.embedded import Cluster
from app.settings import Settings, read_settings
from tests.cast import Brand, create_brand
from tests.served import Served, serve
from tests.shadow import Recorder, build, crossings

hypothesis_settings.register_profile(
    "quick", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
hypothesis_settings.register_profile(
    "nightly", max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# For `make mutants`: equal in every run, and a failure is not made smaller first.
hypothesis_settings.register_profile(
    "mutants",
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

TEMPLATE = "ariane_template"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests are shared out by tests/balance.py where they would be by file."""
    if config.getoption("dist") != "loadfile":
        return None
    from tests.balance import ByShare

    return ByShare(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The dearest first, in a process among others."""
    if hasattr(config, "workerinput"):
        from tests.balance import dearest_first

        dearest_first(items)


RECORDER = Recorder()
RECORDER.start()


SERVER_VARIABLE = "ARIANE_TESTS_SERVER"
"""Names the DSN of a server that is running already, for test runs of which each is too short to start one."""
PG_BIN = os.environ.get("PG_BIN", "")
MEMORY = Path("/dev/shm")
MEMORY_MIN_BYTES = 2 << 30


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DSN of a running, empty server: of the programs in PG_BIN, where it is set. Not durable: the fault tests start servers of their own.

    In memory where there is room: copying a database takes 0.1 s there, and up to 2 s on a busy disk. The mutants share one server.
    """
    if shared := os.environ.get(SERVER_VARIABLE):
        yield shared
        return
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_MIN_BYTES:
        with (
            tempfile.TemporaryDirectory(dir=MEMORY, prefix="ariane-tests-") as place,
            Cluster(Path(place), PG_BIN, durable=False).run() as dsn,
        ):
            yield dsn
    else:
        with Cluster(tmp_path_factory.mktemp("pg"), PG_BIN, durable=False).run() as dsn:
            yield dsn


@pytest.fixture(scope="session")
def template(server: str) -> str:
    """The name of a migrated database that is only copied, never used."""
    asyncio.run(_make_template(server))
    return TEMPLATE


async def _make_template(server: str) -> None:
    from app.database.migrate import migrate
    from app.database.partitions import ensure_partitions

    connection = await asyncpg.connect(server)
    made = await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", TEMPLATE)
    if not made:
        await connection.execute(f"CREATE DATABASE {TEMPLATE}")
    await connection.close()
    if made:
        return
    dsn = database_dsn(server, TEMPLATE)
    await asyncio.to_thread(migrate, dsn)
    connection = await asyncpg.connect(dsn)
    # On the first of a month, a click of 31 days ago is of the month before the last.
    await ensure_partitions(connection, since=clock.now() - timedelta(days=40))
    await connection.close()


def database_dsn(server: str, name: str) -> str:
    """The DSN of another database on the same server."""
    head, question, query = server.partition("?")
    return f"{head.rpartition('/')[0]}/{name}{question}{query}"


async def copy_template(server: str, template: str) -> str:
    """The DSN of a fresh database with the whole schema (about 0.1 s)."""
    name = f"test_{random_ids.new_id().hex}"
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    await connection.close()
    return database_dsn(server, name)


@pytest.fixture(scope="session")
def dsn(server: str, template: str) -> Iterator[str]:
    """The database that most tests share; each makes its own brands in it.

    When the last test is over, every statement that was sent is explained against the shadow schema: it must stay within one brand.
    """
    dsn = asyncio.run(copy_template(server, template))
    yield dsn
    asyncio.run(_check_statements(dsn))


async def _check_statements(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    statements = RECORDER.about_brands()
    await build(connection)
    found = []
    for statement, arguments in statements.items():
        try:
            found += await crossings(connection, statement, arguments)
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
            # A test's own scratch table, or the migrations looking at themselves.
            continue
    await connection.close()
    told = "\n\n".join(f"{each.table} {each.buckets}:\n{each.statement}" for each in found)
    assert not found, f"these statements look at more than one brand:\n{told}"


@pytest.fixture
def fresh_dsn(server: str, template: str) -> Callable[[], Awaitable[str]]:
    """Makes a database of a test's own, for what looks across brands (queues, drains, housekeeping)."""
    return lambda: copy_template(server, template)


@pytest.fixture(scope="session")
def settings(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings over the shared database, with a data directory of their own."""
    data: Path = tmp_path_factory.mktemp("data")
    return read_settings(
        {}, database_url=dsn, data=data, secret_key="s" * 43, public_url="https://go.test", proof_of_hosts="off"
    )


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One `ariane serve` with a PostgreSQL of its own, for all tests that leave it running; each speaks for a brand of its own (`whole.of`)."""
    with serve(tmp_path_factory.mktemp("whole"), ARIANE_JOB_SILENT_S="2", ARIANE_PROOF_OF_HOSTS="off") as served:
        yield served


@pytest.fixture(scope="session")
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    """Plain connections to the shared database."""
    pool = await connect_pool(dsn, size=8, name="tests")
    yield pool
    await pool.close()


@pytest.fixture
async def alice(pool: asyncpg.Pool) -> Brand:
    """The brand a test is about."""
    return await create_brand(pool, "Alice")


@pytest.fixture
async def charlie(pool: asyncpg.Pool) -> Brand:
    """A rival brand, which must never see anything of Alice's."""
    return await create_brand(pool, "Charlie")
