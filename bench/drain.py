"""The background process: spooled clicks and deliveries into the database, one process, waiting orders looked up, nothing else running."""

import asyncio
import base64
import hmac
import json
import random
import shutil
import statistics
import tempfile
import time
from importlib import resources
from pathlib import Path
from uuid import UUID

import asyncpg

from app import clock, mint
from app.db import connect_pool
from app.demo.browsers import draw_human
from app.intake.deliveries import record_deliveries
from app.intake.drain import ClickRecorder, drain
from app.intake.partitions import ensure_partitions
from app.intake.settle import settle
from app.migrate import migrate
from app.postgres import running
from app.settings import Settings, read_settings
from app.spool import ClickLine, HookLine, Spool, encode

ROUNDS = 3
CLICKS = 200_000
LINKS = 1_000
AGENTS = 2_000
WAITING_ORDERS = 10_000
DELIVERIES = 3_000
SECRET = "bench-secret"


def scene() -> list[str]:
    """The lines of the figures."""
    with tempfile.TemporaryDirectory(prefix="ariane-bench-") as directory, running(Path(directory) / "pg") as dsn:
        migrate(dsn)
        return asyncio.run(_scene(dsn, Path(directory)))


async def _scene(dsn: str, directory: Path) -> list[str]:
    pool = await connect_pool(dsn, size=4, name="bench")
    settings = read_settings({}, database_url=dsn, data=directory, secret_key="b" * 43)
    async with pool.acquire() as connection:
        await ensure_partitions(connection)
    brand_id, links = await _brand(pool)
    recorder = ClickRecorder(pool, chunk_rows=settings.drain_chunk_rows, retention_days=settings.click_retention_days)
    rates = []
    for _ in range(ROUNDS):
        spool = directory / "spool"
        await _fill(spool, brand_id, links)
        began = time.perf_counter()
        count = 0
        while drained := await drain(spool, "clicks", recorder):
            count += drained
        rates.append(count / (time.perf_counter() - began))
        assert count == CLICKS, count
        shutil.rmtree(spool)
    stored = await pool.fetchval("SELECT count(*) FROM click")
    rolled = await pool.fetchval("SELECT sum(clicks) FROM click_day")
    assert stored == rolled == CLICKS * ROUNDS, (stored, rolled)
    bytes_on_disk = await pool.fetchval(
        "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'click'::regclass"
    )
    rollup_bytes = await pool.fetchval("SELECT pg_total_relation_size('click_day')")
    lines = [
        f"drain, chunks of {settings.drain_chunk_rows:,}, {WAITING_ORDERS:,} orders waiting   {statistics.median(rates):9,.0f} clicks/s"
        f"  ±{(max(rates) / min(rates) - 1) * 100:3.0f} %   (first stage: 40,000/s)",
        f"bytes on disk per click: {bytes_on_disk / stored:.0f} with its index, and {rollup_bytes / stored:.2f} in the daily counts",
    ]
    lines.append(await _deliveries(pool, settings, brand_id))
    await pool.close()
    return lines


async def _brand(pool: asyncpg.Pool) -> tuple[UUID, list[str]]:
    brand_id, now = mint.new_id(), clock.now()
    await pool.execute(
        "INSERT INTO brand (id, name, currency, time_zone, created_at, updated_at) VALUES ($1, 'Bench', 'EUR', 'Europe/Paris', $2, $2)",
        brand_id,
        now,
    )
    waiting = [(brand_id, f"click:{mint.new_id()}", mint.new_id()) for _ in range(WAITING_ORDERS)]
    await pool.copy_records_to_table("order_touch", records=waiting, columns=["brand_id", "touch", "conversion_id"])
    return brand_id, [str(mint.new_id()) for _ in range(LINKS)]


async def _fill(directory: Path, brand_id: UUID, links: list[str]) -> None:
    chance = random.Random(7)
    agents = [draw_human(chance) for _ in range(AGENTS)]
    spool = Spool(directory, kind="clicks")
    for number in range(CLICKS):
        line = ClickLine(
            id=str(mint.new_id()),
            brand_id=str(brand_id),
            link_id=chance.choice(links),
            visitor=chance.getrandbits(62),
            address=f"88.{chance.randrange(200)}.{chance.randrange(250)}.0",
            user_agent=chance.choice(agents),
            referrer_host="l.instagram.com",
            hint="",
        )
        spool.append(encode(line))
        if number % 5_000 == 0:
            await asyncio.sleep(0)
    await spool.close()


async def _deliveries(pool: asyncpg.Pool, settings: Settings, brand_id: UUID) -> str:
    sample = json.loads(resources.files("app.demo").joinpath("shopify_order.json").read_text())
    rates = []
    for turn in range(ROUNDS):
        source_id = str(mint.new_id())
        lines = [_delivery(sample, brand_id, source_id, turn * DELIVERIES + number) for number in range(DELIVERIES)]
        began = time.perf_counter()
        outcome = await record_deliveries(pool, lines, secret=settings.secret_key, settings=settings)
        rates.append(DELIVERIES / (time.perf_counter() - began))
        assert outcome.recorded == DELIVERIES, outcome
        while await settle(pool):
            pass
    return (
        f"deliveries of 25 kB recorded, attribution included   {statistics.median(rates):9,.0f}/s"
        f"  ±{(max(rates) / min(rates) - 1) * 100:3.0f} %   (first stage: 1,500/s)"
    )


def _delivery(sample: dict[str, object], brand_id: UUID, source_id: str, number: int) -> HookLine:
    order = sample | {
        "id": number + 1,
        "name": f"#{number}",
        "order_number": number,
        "checkout_token": f"bench{number}",
        "refunds": [],
    }
    body = json.dumps(order, separators=(",", ":")).encode()
    signature = base64.b64encode(hmac.digest(SECRET.encode(), body, "sha256")).decode()
    return HookLine(
        id=str(mint.new_id()),
        brand_id=str(brand_id),
        source_id=source_id,
        platform="shopify",
        shop="main",
        signed=True,
        reason="",
        headers={"x-shopify-topic": "orders/create", "x-shopify-hmac-sha256": signature},
        query="",
        body=body,
    )
