"""Concurrent posts share a transaction; a bad one among them fails alone."""

import asyncio

import asyncpg
import pytest
from msgspec.structs import replace

from app import clock
from app.database.connections import connect_pool
from app.domain.orders import TRUST_SERVER, OrderReport, Receipt
from app.errors import Unavailable
from app.orders import batching as module
from app.orders.batching import Recorder
from tests.cast import Brand

SERVER = Receipt(TRUST_SERVER, "api", "api", clock.now())


def order(number: int) -> OrderReport:
    return OrderReport("main", "sale", (str(number),), order_id=str(number), net_minor=number, currency="EUR")


async def test_posts_that_come_together_share_few_transactions(pool: asyncpg.Pool, alice: Brand) -> None:
    desk = Recorder(pool)
    answers = await asyncio.gather(*(desk.record(alice.id, order(number), SERVER) for number in range(100)))
    assert len({answer.conversion_id for answer in answers}) == 100
    assert all(answer.created for answer in answers)
    transactions = await pool.fetchval(
        "SELECT count(DISTINCT xmin::text) FROM conversion WHERE brand_id = $1", alice.id
    )
    assert transactions <= 3


async def test_one_bad_report_fails_alone(pool: asyncpg.Pool, alice: Brand) -> None:
    desk = Recorder(pool)
    reports = [order(number) for number in range(20)]
    reports[6] = replace(reports[6], order_id="six\0")
    answers = await asyncio.gather(*(desk.record(alice.id, each, SERVER) for each in reports), return_exceptions=True)
    failed = [index for index, answer in enumerate(answers) if isinstance(answer, BaseException)]
    assert failed == [6]
    assert isinstance(answers[6], asyncpg.DataError)
    assert await pool.fetchval("SELECT count(*) FROM conversion WHERE brand_id = $1", alice.id) == 19


async def test_brands_do_not_wait_for_each_other_s_reports(pool: asyncpg.Pool, alice: Brand, charlie: Brand) -> None:
    desk = Recorder(pool)
    answers = await asyncio.gather(*(desk.record(brand.id, order(1), SERVER) for brand in (alice, charlie) * 10))
    assert len({answer.conversion_id for answer in answers}) == 2


async def test_without_a_database_every_waiting_post_is_told_and_the_next_ones_are_recorded(
    dsn: str, alice: Brand
) -> None:
    broken = await connect_pool("postgresql://nobody@127.0.0.1:1/none", size=1, name="nowhere")
    desk = Recorder(broken)
    leaving = asyncio.create_task(desk.record(alice.id, order(9), SERVER))
    await asyncio.sleep(0)
    leaving.cancel()
    answers = await asyncio.gather(*(desk.record(alice.id, order(n), SERVER) for n in range(5)), return_exceptions=True)
    assert all(isinstance(answer, OSError) for answer in answers), answers
    await broken.close()
    desk._pool = await connect_pool(dsn, size=1, name="back")
    assert (await desk.record(alice.id, order(1), SERVER)).created
    await desk._pool.close()


async def test_more_than_may_wait_are_refused_at_once(
    pool: asyncpg.Pool, alice: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Recorder(pool)
    monkeypatch.setattr(module, "WAITING_MAX", 10)
    posts = (desk.record(alice.id, order(number), SERVER) for number in range(15))
    answers = await asyncio.gather(*posts, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert [answer.code for answer in refused] == ["recorder_full"] * 5
    assert (await desk.record(alice.id, order(99), SERVER)).created


async def test_a_caller_who_hangs_up_loses_no_order(pool: asyncpg.Pool, alice: Brand) -> None:
    desk = Recorder(pool)
    leaving = asyncio.create_task(desk.record(alice.id, order(1), SERVER))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await desk.record(alice.id, order(2), SERVER)).created
    assert await pool.fetchval("SELECT count(*) FROM conversion WHERE brand_id = $1", alice.id) == 2
