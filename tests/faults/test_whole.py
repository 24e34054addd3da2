"""The whole service under load over HTTP, and every process of it killed: what was answered is there, once.

Clicks are counted by the ids in the answers' addresses, orders by the webhooks answered 200. The long version (`make faults`) does it again and again.
"""

import asyncio
import base64
import hmac
import json
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx2
import pytest

from app.database.embedded import Cluster
from app.domain import ids
from app.spool.reader import oldest_waiting
from tests.served import Served, serve

pytestmark = pytest.mark.faults

LONG = bool(os.environ.get("ARIANE_TESTS_LONG"))
ROUNDS = 5 if LONG else 1
CLIENTS = 8
PAUSE_S = 0.01 if LONG else 0.05
"""Between two requests of a client. Whoever is killed has requests in hand either way; the short version leaves the processor to other tests."""
BETWEEN_KILLS_S = 1.2
SECRET = "a-secret-of-the-shop"
EVERY = "/* across brands: everything the service has recorded */"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"


@dataclass
class Load:
    """Clients that click and post orders until told to stop, and remember what was acknowledged."""

    url: str
    hook: str
    clicks: set[str] = field(default_factory=set)
    orders: set[str] = field(default_factory=set)
    broken: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        limits = httpx2.Limits(max_connections=CLIENTS)
        async with httpx2.AsyncClient(timeout=5, limits=limits, trust_env=False) as client:
            await asyncio.gather(*(self._client(client, lane) for lane in range(CLIENTS)))

    async def _client(self, client: httpx2.AsyncClient, lane: int) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            try:
                if number % 4:
                    await self._click(client)
                else:
                    await self._order(client, f"{lane + 1}{number:06d}")
            except httpx2.HTTPError:
                # A killed process cannot answer: what was not answered may be there or not.
                self.broken += 1
            await asyncio.sleep(PAUSE_S)

    async def _click(self, client: httpx2.AsyncClient) -> None:
        answer = await client.get(f"{self.url}/lea", headers={"User-Agent": PHONE})
        if answer.status_code == 302:
            self.clicks.add(parse_qs(urlsplit(answer.headers["location"]).query)["ariane"][0])

    async def _order(self, client: httpx2.AsyncClient, number: str) -> None:
        order = {"id": int(number), "name": f"#{number}", "currency": "EUR", "financial_status": "paid", "test": False}
        order |= {"subtotal_price": "10.00", "total_tax": "0.00", "total_price": "10.00", "taxes_included": False}
        order |= {"line_items": [{"id": 1, "price": "10.00", "quantity": 1}], "discount_codes": [{"code": "lea10"}]}
        raw = json.dumps(order).encode()
        signature = base64.b64encode(hmac.digest(SECRET.encode(), raw, "sha256")).decode()
        headers = {
            "X-Shopify-Topic": "orders/create",
            "X-Shopify-Hmac-Sha256": signature,
            "Content-Type": "application/json",
        }
        answer = await client.post(self.hook, content=raw, headers=headers)
        if answer.status_code == 200:
            self.orders.add(number)


def children(pid: int) -> dict[int, str]:
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if int((path / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def kill(served: Served, name: str) -> None:
    os.kill(next(pid for pid, command in children(served.pid).items() if name in command), signal.SIGKILL)


def set_up(served: Served) -> str:
    served.call("POST", "/v1/campaigns", {"name": "Launch", "objective": "sales", "external_id": "launch"})
    served.call("POST", "/v1/influencers", {"name": "Léa", "external_id": "lea"})
    pair = {"campaign_id": "ext_launch", "influencer_id": "ext_lea"}
    served.call("POST", "/v1/links", pair | {"destination_url": "https://shop.example/", "slug": "lea"})
    served.call("POST", "/v1/codes", pair | {"code": "LEA10"})
    url: str = served.call("POST", "/v1/sources", {"platform": "shopify", "secrets": [SECRET]})["url"]
    return url


def test_nothing_that_was_answered_is_lost_or_doubled_whichever_process_is_killed(tmp_path: Path) -> None:
    with serve(tmp_path) as first:
        hook = set_up(first)
        port = first.url.rpartition(":")[2]
        load = Load(first.url, hook)
        thread = threading.Thread(target=load.run)
        thread.start()
        try:
            for _ in range(ROUNDS):
                for name in ("app.server.web_worker", "app.server.background", "bin/postgres"):
                    time.sleep(BETWEEN_KILLS_S)
                    kill(first, name)
            time.sleep(BETWEEN_KILLS_S)
            os.kill(first.pid, signal.SIGKILL)
            time.sleep(0.5)
            with serve(tmp_path, PORT=port) as second:
                time.sleep(BETWEEN_KILLS_S)
                load.stop.set()
                thread.join()
                second.until(
                    lambda: second.call("GET", "/v1/reports/summary")["totals"]["conversions"] >= len(load.orders), 60
                )
                second.until(
                    lambda: second.call("GET", "/v1/reports/summary")["totals"]["clicks"] >= len(load.clicks), 60
                )
                # What was recorded without being answered counts as well: the sums may be there before the last acknowledged ones are.
                second.until(lambda: oldest_waiting(second.data / "spool") is None, 60)
                asyncio.run(compare(second, load))
        finally:
            load.stop.set()
            thread.join()
    assert load.broken > 0, "no kill was felt by any client"
    assert len(load.clicks) > 100, "there was no load to speak of"
    assert len(load.orders) > 30, "there were no orders to speak of"


async def compare(served: Served, load: Load) -> None:
    """Acknowledged ⊆ recorded; each once; what is recorded beyond was under way when somebody was killed."""
    connection = await asyncpg.connect(Cluster(served.data).dsn)
    try:
        clicks = {ids.show("click", row["id"]) for row in await connection.fetch(f"{EVERY} SELECT id FROM click")}
        counted = await connection.fetchval(f"{EVERY} SELECT sum(clicks) FROM click_day")
        orders = [
            row["order_id"]
            for row in await connection.fetch(f"{EVERY} SELECT order_id FROM conversion WHERE id = root_id")
        ]
        refused = await connection.fetch(
            f"{EVERY} SELECT status, reason, detail FROM delivery WHERE status <> 'recorded'"
        )
        shares = await connection.fetch(
            f"{EVERY} SELECT amount_minor, collaboration_id FROM credit WHERE position = 0 AND counted"
        )
    finally:
        await connection.close()
    assert load.clicks <= clicks, f"{len(load.clicks - clicks)} acknowledged clicks are lost"
    assert counted == len(clicks), "the daily counts differ from the clicks"
    assert len(clicks) - len(load.clicks) <= load.broken
    assert len(orders) == len(set(orders)), "an order was recorded twice"
    assert load.orders <= set(orders), (
        f"{len(load.orders - set(orders))} acknowledged orders are lost; not recorded: {refused}"
    )
    assert len(orders) - len(load.orders) <= load.broken
    assert len(shares) == len(orders)
    assert {row["amount_minor"] for row in shares} == {1000}
    assert all(row["collaboration_id"] is not None for row in shares)
