"""Deliveries recorded in batches, attribution included, one process: Shopify's orders as they are, 25 kB, and small ones of 3 kB."""

import asyncio
import time
from typing import Any
from uuid import UUID

from app import random_ids
from app.intake.clicks.analyze import refresh_statistics
from app.intake.deliveries.recording import BATCH_MAX, record_deliveries
from app.orders.redecide import redecide
from app.spool.records import HookLine
from bench import orders
from bench.database import Database, database
from bench.effort import Effort
from bench.figures import rate


def scene(effort: Effort) -> list[str]:
    """The lines of the figures."""
    return asyncio.run(_scene(effort))


async def _scene(effort: Effort) -> list[str]:
    async with database() as base:
        return [
            *await _size(base, orders.sample(), effort, 0),
            *await _size(base, orders.small_sample(), effort, 100_000_000),
        ]


async def _size(base: Database, order: dict[str, Any], effort: Effort, first: int) -> list[str]:
    rates, recording, settling = [], [], []
    size_bytes = len(orders.shopify_order(order, 1).body)
    for turn in range(effort.rounds):
        source_id = random_ids.new_id()
        numbers = range(first + turn * effort.deliveries + 1, first + (turn + 1) * effort.deliveries + 1)
        lines = [_line(base.brand_id, source_id, order, number) for number in numbers]
        began = time.perf_counter()
        with base.share() as share:
            await refresh_statistics(base.pool)
            outcome = await record_deliveries(base.pool, lines, secret=base.settings.secret_key, settings=base.settings)
        rates.append(effort.deliveries / (time.perf_counter() - began))
        assert outcome["recorded"] == effort.deliveries, outcome
        recording.append(share.each_us(effort.deliveries))
        with base.share() as share:
            while await redecide(base.pool):
                pass
        settling.append(share.each_us(effort.deliveries))
    middle = effort.rounds // 2
    return [
        f"deliveries of {size_bytes / 1000:.0f} kB, batches of {BATCH_MAX:,}   {rate(rates)}   (first stage: 1,500/s, in the end 5,000/s)",
        f"   cpu per delivery: {recording[middle]}; deciding once more afterwards: {settling[middle]}",
    ]


def _line(brand_id: UUID, source_id: UUID, order: dict[str, Any], number: int) -> HookLine:
    sent = orders.shopify_order(order, number)
    return HookLine(
        id=str(random_ids.new_id()),
        brand_id=str(brand_id),
        source_id=str(source_id),
        platform="shopify",
        shop="main",
        signed=True,
        reason="",
        headers={name.lower(): text for name, text in sent.headers.items()},
        query="",
        body=sent.body,
    )
