"""Goal: an upgrade blots out what is stored already, by itself, whatever happens to the process, and changes no report."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from app import clock
from app.intake.deliveries.recording import RecordingCounts
from app.jobs import blotting
from app.jobs.blotting import queue_blotting
from app.jobs.kinds import KINDS
from app.jobs.run import run_next
from app.settings import Settings
from tests.cast import Brand, create_brand
from tests.checkouts.canaries import BIRDS, shopify_order
from tests.intake.test_deliveries import SECRET, Record, Shop, deliveries, record, secret, shopify
from tests.intake.test_personal_data import Shops, canaries_in, dump, facts, hits

__all__ = ["record", "secret", "shopify"]

Upgrade = Callable[[], Awaitable[None]]


def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The release before kept everything whole, and carried out no demand to export or erase a person."""

    async def ignore(*_given: object) -> None:
        pass

    monkeypatch.setattr("app.intake.deliveries.recording.keep", lambda *given: None)
    monkeypatch.setattr("app.intake.deliveries.recording.carry_out", ignore)


@pytest.fixture
def run(pool: asyncpg.Pool, settings: Settings, secret: str) -> Upgrade:
    """The background process after the upgrade: queues, and works until nothing is queued."""

    async def run() -> None:
        await queue_blotting(pool)
        while await run_next(pool, settings, secret, KINDS, asyncio.Event()):
            pass

    return run


async def test_what_an_older_release_kept_is_blotted_after_the_upgrade(
    pool: asyncpg.Pool, alice: Brand, record: Record, secret: str, run: Upgrade, monkeypatch: pytest.MonkeyPatch
) -> None:
    shops = Shops(pool, alice, secret)
    # Whoever demands an export gets what is kept of him, into a file of its own.
    birds = [bird for bird in BIRDS if "data_request" not in str(bird.headers)]
    lines = [*[await shops.send(bird) for bird in birds], *hits(alice)]
    with monkeypatch.context() as older:
        as_before(older)
        await record(*lines)
    assert canaries_in(await dump(pool, alice))
    before, hashes = await facts(pool, alice), [row["body_hash"] for row in await deliveries(pool, alice.id)]
    await run()
    assert canaries_in(await dump(pool, alice)) == []
    assert [row["body_hash"] for row in await deliveries(pool, alice.id)] == hashes
    assert await facts(pool, alice) == before
    [job] = await pool.fetch("SELECT state, done, total, result FROM job WHERE brand_id = $1", alice.id)
    assert (job["state"], job["done"], job["total"]) == ("succeeded", len(lines), len(lines))
    assert json.loads(job["result"]) == {"blotted": len(lines)}
    await queue_blotting(pool)
    assert await pool.fetchval("SELECT count(*) FROM job WHERE brand_id = $1", alice.id) == 1, "nothing is queued again"


async def test_a_message_that_nobody_resolved_stays_whole(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record, run: Upgrade
) -> None:
    body = json.dumps(shopify_order()).encode()
    await record(shopify.line(body, {"x-shopify-topic": "orders/create"}, wrong="wrong_signature"))
    await run()
    [kept] = await deliveries(pool, alice.id)
    assert (kept["blotted"], bytes(kept["body"])) == (False, body)


async def test_one_that_cannot_be_read_any_more_is_blotted_all_the_same(
    pool: asyncpg.Pool, alice: Brand, record: Record, secret: str, run: Upgrade, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(alice, "generic")
    await shop.connect(pool, secret, SECRET)
    with monkeypatch.context() as older:
        as_before(older)
        order = {"order_id": "1", "customer": {"email": "canary@canary-mail.example"}}
        assert await record(shop.line(json.dumps(order).encode(), {})) == RecordingCounts(recorded=1)
    settings = {"mapping": {"amounts": "major", "rules": [{"read": "order", "order_id": "/nowhere"}]}}
    await pool.execute("UPDATE source SET settings = $2::jsonb WHERE id = $1", shop.id, json.dumps(settings))
    await run()
    assert canaries_in(await dump(pool, alice)) == []


async def test_it_goes_on_where_it_was_interrupted_and_leaves_a_rival_alone(
    pool: asyncpg.Pool,
    alice: Brand,
    shopify: Shop,
    record: Record,
    secret: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rival = Shop(await create_brand(pool), "shopify")
    await rival.connect(pool, secret, SECRET)
    with monkeypatch.context() as older:
        as_before(older)
        for shop in (shopify, rival):
            await record(*[shop.order(email=f"canary{number}@canary-mail.example") for number in range(5)])
    monkeypatch.setattr(blotting, "BATCH_ROWS", 2)
    await pool.execute(blotting.QUEUE, alice.id, shopify.id, "blot", 5, clock.now())
    stopping = asyncio.Event()
    whole = blotting._blot

    async def blot_and_stop(*given: Any) -> int:
        stopping.set()
        return await whole(*given)

    with monkeypatch.context() as stopped:
        stopped.setattr(blotting, "_blot", blot_and_stop)
        await run_next(pool, settings, secret, KINDS, stopping)
    assert [row["blotted"] for row in await deliveries(pool, alice.id)] == [True, True, False, False, False]
    while await run_next(pool, settings, secret, KINDS, asyncio.Event()):
        pass
    assert {row["blotted"] for row in await deliveries(pool, alice.id)} == {True}
    assert {row["blotted"] for row in await deliveries(pool, rival.brand.id)} == {False}
