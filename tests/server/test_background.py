"""The background process: works while it can, waits while it cannot, and takes with it what the doors wrote last."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import msgspec
import pytest

from app import clock, random_ids
from app.database.connections import connect_pool
from app.directory.lookup import Directory
from app.server import background
from app.server.background import BackgroundProcess
from app.settings import Settings, SettingsError, read_settings
from app.spool.records import ClickLine, PixelLine, encode
from app.spool.writer import SUFFIX, Spool
from tests.cast import Brand, create_brand, create_collaboration, create_link
from tests.tracking.relay import Relay

PERSON = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"


@asynccontextmanager
async def at_work(settings: Settings) -> AsyncIterator[BackgroundProcess]:
    """A worker that runs for the length of the block and is then told to stop."""
    pool = await connect_pool(settings.database_url, size=background.CONNECTIONS, name="tests")
    subject = BackgroundProcess(settings, pool, Directory(settings))
    running = asyncio.create_task(subject.run())
    try:
        yield subject
    finally:
        subject.stopping.set()
        began_s = clock.monotonic_s()
        await running
        gc.unfreeze()
        pool.terminate()
        assert clock.monotonic_s() - began_s < 5


@pytest.fixture
async def settings_of_my_own(fresh_dsn: Callable[[], Awaitable[str]], tmp_path: Path) -> Settings:
    return read_settings({}, database_url=await fresh_dsn(), data=tmp_path, secret_key="s" * 43)


async def write(settings: Settings, brand: Brand, link_id: object, count: int) -> None:
    """Clicks and one order that names the last of them, as doors that have ended left them."""
    clicks, orders = (Spool(settings.data / "spool", kind=kind) for kind in ("clicks", "orders"))
    ids = [str(random_ids.new_id()) for _ in range(count)]
    for n, id_ in enumerate(ids):
        clicks.append(encode(ClickLine(id_, str(brand.id), str(link_id), n, "90.12.3.0", PERSON, "", "")))
    body = f"event=sale&order_id=order-{ids[-1]}&amount=10&currency=EUR&click_id={ids[-1]}".encode()
    key = str(brand.publishable_id)
    orders.append(encode(PixelLine(str(random_ids.new_id()), str(brand.id), key, "main", "pixel", "", body)))
    await clicks.close()
    await orders.close()


async def eventually(ask: Callable[[], Awaitable[object]], expected: object) -> None:
    deadline_s = clock.monotonic_s() + 30
    while (found := await ask()) != expected:
        assert clock.monotonic_s() < deadline_s, found
        await asyncio.sleep(0.05)


async def test_what_the_doors_wrote_is_recorded_counted_and_settled(settings_of_my_own: Settings) -> None:
    settings = settings_of_my_own
    pool = await connect_pool(settings.database_url, size=2, name="tests")
    brand = await create_brand(pool)
    link_id = await create_link(pool, brand, await create_collaboration(pool, brand), "lea")

    async def figures() -> object:
        row = await pool.fetchrow("SELECT clicks, unique_clicks FROM click_day WHERE brand_id = $1", brand.id)
        verdicts = await pool.fetch("SELECT verdict FROM decision WHERE brand_id = $1", brand.id)
        return row and tuple(row), [each[0] for each in verdicts]

    async with at_work(settings):
        await write(settings, brand, link_id, 20)
        await eventually(figures, ((20, 20), ["attributed"]))
        assert await pool.fetchval("SELECT count(*) FROM drain_state") == 1
        await write(settings, brand, link_id, 30)
    # Told to stop right after the doors wrote: the last pass has taken it. Twenty of its visitors had been there before.
    assert await figures() == ((50, 30), ["attributed", "attributed"])
    assert segments(settings.data) == []
    assert (settings.data / "directory.snapshot").exists()
    await pool.close()


async def test_with_the_database_away_it_waits_and_the_spool_keeps_everything(tmp_path: Path) -> None:
    settings = read_settings(
        {}, database_url=f"postgresql://ariane@/ariane?host={tmp_path}", data=tmp_path, secret_key="s" * 43
    )
    brand = Brand(random_ids.new_id(), "", "", random_ids.new_id())
    async with at_work(settings) as subject:
        await write(settings, brand, random_ids.new_id(), 5)
        await asyncio.sleep(0.5)
        assert not subject.ready.is_set()
    assert len(segments(tmp_path)) == 2


async def test_a_database_that_is_away_is_named_once_without_its_password_and_so_is_its_return(
    settings_of_my_own: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "LOG_AFTER_S", 0.05)
    monkeypatch.setattr(background, "PAUSE_MAX_S", 0.3)
    relay = Relay(settings_of_my_own.database_url, tmp_path)
    dsn = relay.dsn.replace("ariane@", "ariane:hidden@")
    settings = msgspec.structs.replace(settings_of_my_own, database_url=dsn)

    def told(words: str) -> list[str]:
        return [each.getMessage() for each in caplog.records if each.name == "ariane.worker" and words in each.message]

    async def times(words: str, count: int) -> None:
        async def so_often() -> int:
            return min(len(told(words)), count)

        await eventually(so_often, count)

    with caplog.at_level(logging.INFO, "ariane.worker"):
        async with at_work(settings) as subject:
            await times("waiting for the database", 1)
            await asyncio.sleep(0.5)
            assert not subject.ready.is_set()
            assert len(told("waiting for the database")) == 1
            await relay.open()
            await times("is there, after", 1)
            await relay.cut()
            await times("waiting for the database", 2)
            await asyncio.sleep(0.5)
            await relay.open()
            await times("is there, after", 2)
        await relay.cut()
    first = told("waiting for the database")[0]
    assert f"on the socket in {tmp_path}" in first
    assert "check DATABASE_URL" in first
    assert "hidden" not in caplog.text
    assert told("times in a row") == []


async def test_a_task_that_fails_is_told_and_the_others_go_on(
    settings_of_my_own: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = msgspec.structs.replace(settings_of_my_own, drain_interval_ms=10)
    pool = await connect_pool(settings.database_url, size=2, name="tests")
    brand = await create_brand(pool)
    calls: list[object] = []
    called_again = asyncio.Event()

    async def broken(*arguments: object) -> int:
        calls.append(arguments)
        if len(calls) > 1:
            called_again.set()
        raise asyncpg.UndefinedColumnError("no such column")

    monkeypatch.setattr(background, "redecide", broken)
    with caplog.at_level(logging.WARNING, "ariane.worker"):
        async with at_work(settings):
            await write(settings, brand, random_ids.new_id(), 5)
            await eventually(
                lambda: pool.fetchval("SELECT sum(clicks) FROM click_day WHERE brand_id = $1", brand.id), 5
            )
            await eventually(lambda: pool.fetchval("SELECT count(*) FROM delivery WHERE brand_id = $1", brand.id), 1)
            await called_again.wait()
    assert "redecide failed (1 times in a row): no such column" in caplog.text
    await pool.close()


def test_without_a_database_to_work_with_it_says_so() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        background.main(read_settings({}))


def segments(data: Path) -> list[str]:
    return [path.name for path in (data / "spool").glob(f"*{SUFFIX}")]
