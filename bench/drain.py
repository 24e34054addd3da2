"""The drain: spooled clicks into the database, one process, waiting orders looked up, nothing else running."""

import asyncio
import random
import shutil
import time
from pathlib import Path
from uuid import UUID

from app import random_ids
from app.intake.drain import ClickRecorder, drain
from app.spool.records import ClickLine, encode
from app.spool.writer import Spool
from bench.database import Database, database
from bench.effort import Effort
from bench.figures import rate
from demo.browsers import draw_human

LINKS = 1_000
AGENTS = 2_000


def scene(effort: Effort) -> list[str]:
    """The lines of the figures."""
    return asyncio.run(_scene(effort))


async def _scene(effort: Effort) -> list[str]:
    async with database() as base:
        waiting = [
            (base.brand_id, f"click:{random_ids.new_id()}", random_ids.new_id()) for _ in range(effort.waiting_orders)
        ]
        columns = ["brand_id", "touch", "conversion_id"]
        await base.pool.copy_records_to_table("order_touch", records=waiting, columns=columns)
        chunk_rows, retention_days = base.settings.drain_chunk_rows, base.settings.click_retention_days
        recorder = ClickRecorder(base.pool, chunk_rows=chunk_rows, retention_days=retention_days)
        links = [str(random_ids.new_id()) for _ in range(LINKS)]
        rates, each_us = [], []
        for _ in range(effort.rounds):
            spool = base.directory / "spool"
            await _fill(spool, base.brand_id, links, effort.clicks)
            began, count = time.perf_counter(), 0
            with base.share() as share:
                while drained := await drain(spool, "clicks", recorder):
                    count += drained
            rates.append(count / (time.perf_counter() - began))
            each_us.append(share.each_us(count))
            assert count == effort.clicks, count
            shutil.rmtree(spool)
        return [
            f"drain, chunks of {chunk_rows:,}, {effort.waiting_orders:,} orders waiting   {rate(rates, 'clicks')}"
            "   (first stage: 40,000/s, in the end 80,000/s)",
            f"cpu per click: {each_us[len(each_us) // 2]}",
            await _sizes(base, effort.clicks * effort.rounds),
        ]


async def _sizes(base: Database, wanted: int) -> str:
    stored = await base.pool.fetchval("SELECT count(*) FROM click")
    rolled = await base.pool.fetchval("SELECT sum(clicks) FROM click_day")
    assert stored == rolled == wanted, (stored, rolled)
    bytes_on_disk = await base.pool.fetchval(
        "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'click'::regclass"
    )
    rollup_bytes = await base.pool.fetchval("SELECT pg_total_relation_size('click_day')")
    return f"bytes on disk per click: {bytes_on_disk / stored:.0f} with its index, and {rollup_bytes / stored:.2f} in the daily counts"


async def _fill(directory: Path, brand_id: UUID, links: list[str], count: int) -> None:
    chance = random.Random(7)
    agents = [draw_human(chance) for _ in range(AGENTS)]
    spool = Spool(directory, kind="clicks")
    for number in range(count):
        spool.append(encode(click(chance, random_ids.new_id(), brand_id, chance.choice(links), chance.choice(agents))))
        if number % 5_000 == 0:
            await asyncio.sleep(0)
    await spool.close()


def click(chance: random.Random, click_id: UUID, brand_id: UUID, link_id: str, agent: str) -> ClickLine:
    """A person's tap in an in-app browser."""
    return ClickLine(
        id=str(click_id),
        brand_id=str(brand_id),
        link_id=link_id,
        visitor=chance.getrandbits(62),
        address=f"88.{chance.randrange(200)}.{chance.randrange(250)}.0",
        user_agent=agent,
        referrer_host="l.instagram.com",
        hint="",
    )
