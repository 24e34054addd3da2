"""A database that hangs is noticed by its missing sign of life, over a proxy that can stop passing bytes on (tests/faults stops the real server)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from msgspec import structs

from app.database import pulse as module
from app.database.connections import connect_pool
from app.database.errors import DRIVER_ERRORS
from app.database.pulse import Pulse
from app.errors import Unavailable
from app.server.app import create_api
from app.settings import Settings
from tests.api.conftest import client
from tests.cast import Brand


class Line:
    """A TCP port that leads to the server's socket. Bytes wait while `open` is not set."""

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        options = parse_qs(parts.query)
        self.socket = f"{options['host'][0]}/.s.PGSQL.{options['port'][0]}"
        self.name = parts.path
        self.user = parts.username
        self.open = asyncio.Event()
        self.open.set()
        self.tasks: list[asyncio.Task[None]] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def start(self) -> str:
        self.server = await asyncio.start_server(self.meet, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        return f"postgresql://{self.user}@127.0.0.1:{port}{self.name}"

    async def stop(self) -> None:
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(self.socket)
        self.writers += [writer, there_writer]
        for source, target in ((reader, there_writer), (there_reader, writer)):
            self.tasks.append(asyncio.create_task(self.pass_on(source, target)))

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self.open.wait()
                writer.write(data)
        writer.close()


@pytest.fixture
async def line(dsn: str) -> AsyncIterator[Line]:
    line = Line(dsn)
    try:
        yield line
    finally:
        await line.stop()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_EVERY_S", 0.02)
    monkeypatch.setattr(module, "BEAT_WAIT_S", 0.15)


async def until(beating: bool, pulse: Pulse) -> None:
    async with asyncio.timeout(5):
        while pulse.beating is not beating:  # noqa: ASYNC110  nobody announces it
            await asyncio.sleep(0.01)


async def test_whatever_waits_for_a_database_that_hangs_ends_and_later_it_is_used_again(line: Line) -> None:
    dsn = await line.start()
    pulse = Pulse(dsn)
    pool = await connect_pool(dsn, size=1, name="test", connection_class=pulse.connection_class)
    pulse.start()
    holds, waits = asyncio.Event(), asyncio.Event()

    async def ask() -> None:
        async with pulse.watch(), pool.acquire() as connection:
            await connection.fetchval("SELECT 1")
            holds.set()
            await waits.wait()
            await connection.fetchval("SELECT 1")

    async with asyncio.timeout(5):
        first, second = asyncio.create_task(ask()), asyncio.create_task(ask())
        await holds.wait()
        line.open.clear()
        waits.set()
        for each in (first, second):  # one waits for an answer, the other for the connection
            with pytest.raises((Unavailable, *DRIVER_ERRORS)):
                await each
        assert not pulse.beating
        with pytest.raises(Unavailable):
            async with pulse.watch():
                raise AssertionError("not entered")
        line.open.set()
        await until(True, pulse)
        await ask()
        await pool.close()
        await pulse.stop()


async def test_a_database_that_is_down_is_none_that_hangs(line: Line) -> None:
    pulse = Pulse(await line.start())
    pulse.start()
    await asyncio.sleep(0.1)
    await line.stop()
    await asyncio.sleep(0.6)
    assert pulse.beating
    await pulse.stop()


async def test_a_long_answer_is_no_hanging_and_a_timeout_of_the_block_is_its_own(dsn: str) -> None:
    pulse = Pulse(dsn)
    pulse.start()
    connection = await asyncpg.connect(dsn, connection_class=pulse.connection_class)
    async with pulse.watch():
        await connection.execute("SELECT pg_sleep(1)")
    with pytest.raises(TimeoutError):
        async with pulse.watch(), asyncio.timeout(0.01):
            await asyncio.sleep(1)
    await connection.close()
    await pulse.stop()


async def test_a_service_that_leaves_takes_no_leave_of_a_database_that_hangs(line: Line) -> None:
    dsn = await line.start()
    pulse = Pulse(dsn)
    pool = await connect_pool(dsn, size=1, name="test", connection_class=pulse.connection_class)
    pulse.start()
    assert await pool.fetchval("SELECT 1") == 1
    line.open.clear()
    await until(False, pulse)
    async with asyncio.timeout(1):
        await pulse.stop()
        await pool.close()


async def test_a_standby_that_hangs_takes_only_the_reports_with_it(
    line: Line, settings: Settings, alice: Brand
) -> None:
    api = create_api(structs.replace(settings, reports_database_url=await line.start()))
    async with api.router.lifespan_context(api), client(api, alice) as opened:
        assert (await opened.get("/v1/reports/summary")).status_code == 200
        line.open.clear()
        await until(False, api.state.reports_pulse)
        async with asyncio.timeout(5):
            report = await opened.get("/v1/reports/summary")
            assert (report.status_code, report.json()["code"]) == (503, "database_unavailable")
            assert (await opened.get("/v1/campaigns")).status_code == 200
            assert api.state.pulse.beating
        line.open.set()
        await until(True, api.state.reports_pulse)
        assert (await opened.get("/v1/reports/summary")).status_code == 200
