"""Reports over 30 days of clicks and orders, asked over HTTP with one connection: what a dashboard waits for."""

import asyncio
import http.client
import json
import random
import time
from datetime import timedelta
from urllib.parse import urlencode, urlsplit
from uuid import UUID

import asyncpg

from app import clock
from app.database.partitions import ensure_partitions
from app.domain import ids
from app.intake.drain import ClickRecorder
from app.settings import read_settings
from app.spool.records import ClickLine, Line
from bench.drain import AGENTS, click
from bench.effort import Effort
from bench.figures import times
from bench.imports import orders_file, upload
from bench.servers import Service, ariane
from demo.browsers import draw_human

INFLUENCERS = 100
LINKS_EACH = 10
DAYS = 30
BATCH = 30_000
UNIQUES_TIMEOUT_S = 300.0
KINDS = {
    "by influencer": ("influencer",),
    "by day": ("day",),
    "by influencer and day": ("influencer", "day"),
}


def scene(effort: Effort) -> list[str]:
    """A line a kind of report."""
    with ariane() as service:
        links, codes = _cast(service)
        began = time.perf_counter()
        asyncio.run(_fill(service, links, effort.report_clicks))
        upload(service, orders_file(effort.report_orders, codes))
        _await_uniques(service)
        # As the autovacuum would within its minute.
        service.ask("VACUUM ANALYZE")
        filled_s = time.perf_counter() - began
        lines = [
            f"{DAYS} days, {effort.report_clicks:,} clicks and {effort.report_orders:,} orders of {INFLUENCERS} influencers"
            f" with {LINKS_EACH} links each (filled in {filled_s:.0f} s)"
        ]
        for name, groups in KINDS.items():
            rows, clicks, latencies = _ask(service, groups, effort.reports)
            assert clicks == effort.report_clicks, clicks
            lines.append(
                f"GET /v1/reports/summary, {name:<22} {rows:5,} rows  {times(latencies, percent=95)}   (at 10 million clicks: p95 100 ms)"
            )
    return lines


def _cast(service: Service) -> tuple[list[str], list[str]]:
    """Ids of links and codes of many influencers in one campaign."""
    campaign = service.call("POST", "/v1/campaigns", {"name": "Reports", "objective": "sales"})
    since = (clock.now() - timedelta(days=DAYS + 1)).isoformat()
    links: list[str] = []
    codes = [f"LEA{number}" for number in range(INFLUENCERS)]
    for number, code in enumerate(codes):
        influencer = service.call("POST", "/v1/influencers", {"name": f"Léa {number}"})
        pair = {"campaign_id": campaign["id"], "influencer_id": influencer["id"]}
        service.call("POST", "/v1/codes", pair | {"code": code, "starts_at": since})
        wanted = [pair | {"destination_url": f"https://shop.example/{number}/{each}"} for each in range(LINKS_EACH)]
        made = service.call("POST", "/v1/links/bulk", {"links": wanted})["data"]
        links += [str(ids.read("link", link["id"])) for link in made]
    return links, codes


async def _fill(service: Service, links: list[str], count: int) -> None:
    """Clicks as the drain records them, spread evenly over the days before today."""
    settings = read_settings({}, database_url=service.dsn, data=service.data)
    pool = await asyncpg.create_pool(service.dsn, min_size=1, max_size=2)
    try:
        brand_id = await pool.fetchval("SELECT id FROM brand WHERE name = 'Bench'")
        end = clock.now()
        begin = end - timedelta(days=DAYS) + timedelta(hours=26)
        async with pool.acquire() as connection:
            await ensure_partitions(connection, since=begin, until=end)
        recorder = ClickRecorder(
            pool, chunk_rows=settings.drain_chunk_rows, retention_days=settings.click_retention_days
        )
        chance = random.Random(7)
        agents = [draw_human(chance) for _ in range(AGENTS)]
        first_ms, span_ms = int(begin.timestamp() * 1000), int((end - begin).total_seconds() * 1000)
        batch: list[Line] = []
        for number in range(count):
            batch.append(_click(chance, first_ms + span_ms * number // count, brand_id, chance.choice(links), agents))
            if len(batch) == BATCH or number == count - 1:
                await recorder(batch)
                batch = []
    finally:
        await pool.close()


def _click(chance: random.Random, at_ms: int, brand_id: UUID, link_id: str, agents: list[str]) -> ClickLine:
    click_id = UUID(int=ids.floor_ms(at_ms).int | chance.getrandbits(62))
    return click(chance, click_id, brand_id, link_id, chance.choice(agents))


def _await_uniques(service: Service) -> None:
    """Visits are counted by the background process, after the clicks."""
    deadline = time.monotonic() + UNIQUES_TIMEOUT_S
    while service.ask("SELECT count(*) FROM unique_pending")[0][0]:
        assert time.monotonic() < deadline, "visits are still being counted"
        time.sleep(0.2)


def _ask(service: Service, groups: tuple[str, ...], count: int) -> tuple[int, int, list[float]]:
    """How many rows the report has, its clicks in all, and how long each answer took in milliseconds, after two to warm up."""
    parts = urlsplit(service.url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=30)
    path = "/v1/reports/summary?" + urlencode([("group_by", group) for group in groups])
    latencies = []
    for turn in range(count + 2):
        began = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {service.secret_key}"})
        answer = connection.getresponse()
        body = answer.read()
        if turn >= 2:
            latencies.append((time.perf_counter() - began) * 1000)
        assert answer.status == 200, body
    connection.close()
    found = json.loads(body)
    return len(found["rows"]), found["totals"]["clicks"], latencies
