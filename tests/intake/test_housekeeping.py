"""What is kept for a while is gone after it, and nothing else is."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from app import clock, random_ids
from app.database.connections import connect_pool
from app.database.partitions import MONTHS, drop_partitions, ensure_partitions
from app.domain.ids import floor_at
from app.intake.housekeeping import keep_house
from app.settings import read_settings
from tests.cast import create_brand


async def test_what_is_past_its_time_is_removed_and_the_rest_stays(
    fresh_dsn: Callable[[], Awaitable[str]], tmp_path: Path
) -> None:
    pool = await connect_pool(await fresh_dsn(), size=2, name="tests")
    settings = msgspec.structs.replace(read_settings({}, data=tmp_path), click_retention_days=100)
    alice, charlie = await create_brand(pool, "Alice"), await create_brand(pool, "Charlie")
    now = clock.now()
    for brand in (alice, charlie):
        for hours in (1, 25):
            await pool.execute(
                "INSERT INTO idempotency (brand_id, key_id, key, fingerprint, status, created_at) VALUES ($1, $1, $2, '', 200, $3)",
                brand.id,
                f"{hours} h",
                now - timedelta(hours=hours),
            )
        for days in (10, 110):
            await pool.execute(
                "INSERT INTO visit (brand_id, day, link_id, visitor, first_click_id) VALUES ($1, $2, $1, 1, $1)",
                brand.id,
                (now - timedelta(days=days)).date(),
            )
    for host, days in (("here", 0), ("gone", 31)):
        await pool.execute("INSERT INTO drain_state VALUES ($1, $2, $2, $2)", host, now - timedelta(days=days))
    await keep_house(pool, settings)
    for brand in (alice, charlie):
        assert await pool.fetchval("SELECT array_agg(key) FROM idempotency WHERE brand_id = $1", brand.id) == ["1 h"]
        assert await pool.fetchval("SELECT array_agg(day) FROM visit WHERE brand_id = $1", brand.id) == [
            (now - timedelta(days=10)).date()
        ]
    assert await pool.fetchval("SELECT array_agg(host) FROM drain_state") == ["here"]
    await pool.close()


async def test_whole_months_before_the_retention_are_dropped_and_half_ones_kept(
    fresh_dsn: Callable[[], Awaitable[str]],
) -> None:
    pool = await connect_pool(await fresh_dsn(), size=2, name="tests")
    alice = await create_brand(pool)
    async with pool.acquire() as connection:
        await ensure_partitions(
            connection, since=datetime(2020, 1, 9, tzinfo=UTC), until=datetime(2020, 4, 9, tzinfo=UTC)
        )
        for month in (1, 2, 3, 4):
            at = datetime(2020, month, 20, tzinfo=UTC)
            id_ = floor_at(at)
            await connection.execute(
                "INSERT INTO click (brand_id, id, link_id, occurred_at, class) VALUES ($1, $2, $3, $4, 0)",
                alice.id,
                id_,
                random_ids.new_id(),
                at,
            )
        before = await connection.fetch(MONTHS)
        dropped = await drop_partitions(connection, before=datetime(2020, 3, 15, tzinfo=UTC))
        assert dropped == ["click_2020_01", "click_2020_02"]
        left = [row[0] for row in await connection.fetch(MONTHS)]
        assert left == [row[0] for row in before if row[0] not in dropped]
        rows = await connection.fetch(
            "SELECT occurred_at FROM click WHERE brand_id = $1 ORDER BY occurred_at", alice.id
        )
        assert [row[0].month for row in rows] == [3, 4]
        assert await drop_partitions(connection, before=datetime(2020, 3, 15, tzinfo=UTC)) == []
    await pool.close()
