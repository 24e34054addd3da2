"""Goal: a delivery is kept for the time its status says, and when it comes again after that, its order is still one order."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from app import clock, random_ids
from app.database.connections import connect_pool
from app.database.tables import DELIVERY_STATUSES
from app.domain import ids
from app.intake import housekeeping
from app.intake.deliveries.recording import NOBODY, RecordingCounts, record_deliveries
from app.intake.housekeeping import keep_house, kept_days, sweep_deliveries
from app.settings import Settings, read_settings
from app.spool.records import HookLine
from tests.cast import create_brand
from tests.intake.test_deliveries import SECRET, Shop

KEY = "s" * 43


@pytest.fixture
async def own(fresh_dsn: Callable[[], Awaitable[str]]) -> AsyncIterator[asyncpg.Pool]:
    pool = await connect_pool(await fresh_dsn(), size=4, name="retention")
    yield pool
    await pool.close()


def minted(moment: datetime) -> UUID:
    """An id as it was made at that moment."""
    return UUID(int=ids.floor_at(moment).int | random_ids.random_number(32))


async def put(pool: asyncpg.Pool, brand_id: UUID, status: str, days: float) -> UUID:
    """A delivery straight in the table, received so many days ago."""
    moment = clock.now() - timedelta(days=days)
    delivery_id = minted(moment)
    await pool.execute(
        """INSERT INTO delivery (brand_id, id, origin_id, platform, body_hash, body, status, received_at)
           VALUES ($1, $2, $2, 'generic', $3, '{}', $4, $5)""",
        brand_id, delivery_id, delivery_id.bytes, status, moment,
    )  # fmt: skip
    return delivery_id


async def test_every_status_is_kept_for_its_time_and_no_longer(own: asyncpg.Pool) -> None:
    settings = read_settings({}, delivery_retention_days=100, rejected_retention_days=30, unsigned_retention_days=7)
    days = kept_days(settings)
    assert set(days) == set(DELIVERY_STATUSES)
    assert (days["recorded"], days["ignored"], days["rejected"], days["unsigned"]) == (100, 30, 30, 7)
    alice, charlie = await create_brand(own, "Alice"), await create_brand(own, "Charlie")
    kept = set()
    for brand in (alice, charlie):
        for status, most in days.items():
            kept.add(await put(own, brand.id, status, most - 0.1))
            await put(own, brand.id, status, most + 0.1)
    kept.add(await put(own, NOBODY, "rejected", 6.9))
    await put(own, NOBODY, "rejected", 7.1)
    assert await keep_house(own, settings) is False
    left = await own.fetch("/* across brands: the whole table */ SELECT id FROM delivery")
    assert {row["id"] for row in left} == kept


async def test_a_pass_is_bounded_and_says_that_more_is_left(own: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "SWEPT_ROWS", 3)
    monkeypatch.setattr(housekeeping, "BATCHES_MAX", 2)
    alice, charlie = await create_brand(own, "Alice"), await create_brand(own, "Charlie")
    for _ in range(7):
        await put(own, alice.id, "unsigned", 8)
    await put(own, charlie.id, "unsigned", 8)
    settings = read_settings({})
    assert await sweep_deliveries(own, settings, [alice.id, charlie.id]) == (7, True)
    assert await sweep_deliveries(own, settings, [alice.id, charlie.id]) == (1, False)


async def test_a_row_that_a_replay_is_writing_is_left_for_the_next_pass(own: asyncpg.Pool) -> None:
    alice = await create_brand(own, "Alice")
    busy = await put(own, alice.id, "rejected", 1_000)
    async with own.acquire() as connection, connection.transaction():
        await connection.execute("SELECT 1 FROM delivery WHERE brand_id = $1 AND id = $2 FOR UPDATE", alice.id, busy)
        assert await sweep_deliveries(own, read_settings({}), [alice.id]) == (0, False)
    assert await sweep_deliveries(own, read_settings({}), [alice.id]) == (1, False)


@pytest.mark.parametrize("platform", ["shopify", "generic"])
async def test_a_delivery_that_comes_again_after_its_row_has_gone_is_still_one_order(
    own: asyncpg.Pool, platform: str
) -> None:
    settings = read_settings({}, secret_key=KEY)
    brand = await create_brand(own, "Alice")
    shop = Shop(brand, platform)
    await shop.connect(own, KEY, SECRET)
    if platform == "shopify":
        line = shop.order(event="e1", updated_at="2026-11-20T10:00:00Z")
    else:
        line = shop.line(json.dumps({"order_id": "A-1", "net_minor": 4_990, "currency": "EUR"}).encode(), {})

    async def state() -> tuple[object, ...]:
        orders = await own.fetch(
            """SELECT id, root_id, order_id, occurred_at, status, currency, net_minor, refunded_minor, codes, flags, digest
               FROM conversion WHERE brand_id = $1""", brand.id,
        )  # fmt: skip
        counts = await own.fetchrow(
            """SELECT (SELECT count(*) FROM witness WHERE brand_id = $1), (SELECT count(*) FROM adjustment WHERE brand_id = $1),
                      (SELECT count(*) FROM credit WHERE brand_id = $1)""", brand.id,
        )  # fmt: skip
        return tuple(map(tuple, orders)), tuple(counts or ())

    old = _again(line, clock.now() - timedelta(days=401))
    assert await record_deliveries(own, [old], secret=KEY, settings=settings) == RecordingCounts(recorded=1)
    before = await state()
    assert (await sweep_deliveries(own, settings, [brand.id]))[0] == 1
    assert await own.fetchval("SELECT count(*) FROM delivery WHERE brand_id = $1", brand.id) == 0

    late = _again(line, clock.now())
    assert await record_deliveries(own, [late], secret=KEY, settings=settings) == RecordingCounts(recorded=1)
    assert await state() == before
    assert await own.fetchval("SELECT count(*) FROM delivery WHERE brand_id = $1", brand.id) == 1


def _again(line: HookLine, moment: datetime) -> HookLine:
    return HookLine(**{**{name: getattr(line, name) for name in line.__struct_fields__}, "id": str(minted(moment))})


async def test_the_defaults_keep_what_was_recorded_longest(settings: Settings) -> None:
    assert settings.delivery_retention_days > settings.rejected_retention_days > settings.unsigned_retention_days
