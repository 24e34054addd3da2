"""Until when a report is complete: the oldest thing that has not been brought in yet."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from app import random_ids
from app.database.connections import create_engine
from app.domain.ids import floor_at
from app.intake.housekeeping import keep_house
from app.reports.summary import find_completeness
from app.settings import read_settings
from tests.cast import create_brand

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def until(engine: AsyncEngine, brand_id: object) -> datetime | None:
    async with engine.connect() as connection:
        return (await find_completeness(connection, brand_id, NOW)).until  # type: ignore[arg-type]


async def held_back_by(engine: AsyncEngine, brand_id: object) -> tuple[str, str | None] | None:
    async with engine.connect() as connection:
        found = (await find_completeness(connection, brand_id, NOW)).held_back_by  # type: ignore[arg-type]
    return found and (found.what, found.host)


async def test_a_report_is_complete_until_the_slowest_host_queue_or_delivery(
    fresh_dsn: Callable[[], Awaitable[str]],
) -> None:
    dsn = await fresh_dsn()
    engine = create_engine(read_settings({}, database_url=dsn))
    pool = await asyncpg.create_pool(dsn, min_size=0, max_size=1)
    alice, charlie = await create_brand(pool, "Alice"), await create_brand(pool, "Charlie")
    assert await until(engine, alice.id) is None

    await pool.execute("INSERT INTO drain_state VALUES ('a', $1, $1), ('b', $2, $1)", NOW + timedelta(seconds=1), NOW)
    assert await until(engine, alice.id) == NOW

    slow = NOW - timedelta(seconds=5)
    await pool.execute("UPDATE drain_state SET drained_until = $1 WHERE host = 'b'", slow)
    assert await until(engine, alice.id) == slow

    # Visitors of clicks that are stored but not looked at yet, and an order that is stored but not recorded yet: only Alice's.
    clicked, received = NOW - timedelta(seconds=9), NOW - timedelta(seconds=20)
    click_ids = [floor_at(clicked + timedelta(seconds=more)) for more in (3, 0)]
    await pool.execute(
        "INSERT INTO unique_pending (brand_id, click_ids, link_ids, visitors) VALUES ($1, $2, $2, $3)",
        alice.id,
        click_ids,
        [1, 2],
    )
    assert await until(engine, alice.id) == clicked
    await pool.execute(
        """INSERT INTO delivery (brand_id, id, platform, body_hash, body, status, received_at)
           VALUES ($1, $2, 'generic', '', '', 'received', $3)""",
        alice.id,
        random_ids.new_id(),
        received,
    )
    assert await until(engine, alice.id) == received
    assert await held_back_by(engine, alice.id) == ("deliveries", None)
    assert await until(engine, charlie.id) == slow

    # An order that waits to be decided again, since before all that; one that waits for its click is not due.
    queued = NOW - timedelta(seconds=30)
    await pool.execute(
        "INSERT INTO redecide (brand_id, conversion_id, queued_at, not_before) VALUES ($1, $1, $2, NULL), ($1, $1, $2, $3)",
        alice.id,
        queued,
        NOW + timedelta(days=1),
    )
    assert (await until(engine, alice.id), await held_back_by(engine, alice.id)) == (queued, ("orders", None))
    assert (await until(engine, charlie.id), await held_back_by(engine, charlie.id)) == (slow, None)
    await pool.close()
    await engine.dispose()


async def test_a_host_that_left_in_order_holds_nothing_back_and_a_lost_one_is_named(
    fresh_dsn: Callable[[], Awaitable[str]],
) -> None:
    dsn = await fresh_dsn()
    engine = create_engine(read_settings({}, database_url=dsn))
    pool = await asyncpg.create_pool(dsn, min_size=0, max_size=1)
    alice = await create_brand(pool, "Alice")
    months, hour = NOW - timedelta(days=90), NOW - timedelta(hours=1)
    await pool.execute("INSERT INTO drain_state VALUES ('here', $1, $1, NULL), ('left', $2, $2, $2)", NOW, hour)
    assert await until(engine, alice.id) == NOW
    # Silence alone forgets nobody, however long it lasts: its clicks are still missing.
    await pool.execute("INSERT INTO drain_state VALUES ('lost', $1, $1, NULL)", months)
    await keep_house(pool, read_settings({}, database_url=dsn))
    assert (await until(engine, alice.id), await held_back_by(engine, alice.id)) == (months, ("host", "lost"))
    # One that is heard again after it left, from a release that cannot take that back, holds back as any other.
    await pool.execute("UPDATE drain_state SET updated_at = $1 WHERE host = 'left'", NOW)
    await pool.execute("DELETE FROM drain_state WHERE host = 'lost'")
    assert await until(engine, alice.id) == hour
    await pool.execute("UPDATE drain_state SET updated_at = $1 WHERE host = 'left'", hour)
    assert await until(engine, alice.id) == NOW
    # While all are stopped nothing is known of what came since.
    await pool.execute("DELETE FROM drain_state WHERE host <> 'left'")
    assert await until(engine, alice.id) == hour
    await pool.close()
    await engine.dispose()
