"""One message a hundred times at once, through the real doors of the real service, and again after it was started anew: counted once."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from app import clock
from app.database.embedded import Cluster
from demo.simulator.carts import single_item
from demo.simulator.messages import Message
from tests.checkouts.signing import CHECKOUTS, SECRET
from tests.served import Served, serve

pytestmark = pytest.mark.faults

TIMES = 100
NET_MINOR = 4_990
DOUBLES_S = 1.0
ACCEPTED = {200, 201, 204}
BY_HAND = {"order_id": "by-hand", "net_minor": NET_MINOR, "currency": "EUR", "codes": ["LEA10"]}
SHOWN = {"order_id": "shown", "amount": "49.90", "tax": "0", "shipping": "0", "currency": "EUR", "code": "LEA10"}
ORDERS = """/* across brands: everything the service has recorded */
SELECT c.order_id, c.net_minor, count(r.*) FILTER (WHERE r.amount_minor <> 0) AS credits
FROM conversion c LEFT JOIN credit r ON r.brand_id = c.brand_id AND r.conversion_id = c.id
WHERE c.id = c.root_id GROUP BY 1, 2"""
DELIVERIES = """/* across brands: everything the service has recorded */
SELECT origin_id, platform, status FROM delivery"""


def connect(served: Served) -> dict[str, str]:
    """A source for every checkout: the address of its door."""
    served.call("POST", "/v1/campaigns", {"name": "Launch", "objective": "sales", "external_id": "launch"})
    served.call("POST", "/v1/influencers", {"name": "Léa", "external_id": "lea"})
    pair = {"campaign_id": "ext_launch", "influencer_id": "ext_lea"}
    served.call("POST", "/v1/codes", pair | {"code": "LEA10"})
    found = {}
    for name, checkout in CHECKOUTS.items():
        body = {"platform": checkout.platform, "shop": "main", "secrets": [SECRET], "settings": dict(checkout.settings)}
        found[name] = str(served.call("POST", "/v1/sources", body)["url"])
    return found


def messages() -> Mapping[str, Message]:
    """An order of each checkout, signed now."""
    now = clock.now()
    return {
        name: checkout.signed(checkout.sale(single_item(number, NET_MINOR), now, "LEA10"), now)
        for number, (name, checkout) in enumerate(CHECKOUTS.items(), 1)
    }


async def send_all(served: Served, doors: Mapping[str, str], sent: Mapping[str, Message]) -> Counter[tuple[str, int]]:
    """Every message over TIMES connections beside each other; how each was answered."""
    requests = {
        name: _request(each.method, f"{doors[name]}?{each.query}", each.body, each.headers)
        for name, each in sent.items()
    }
    key = {"Authorization": f"Bearer {served.secret_key}", "Content-Type": "application/json"}
    requests["server call"] = _request("POST", f"{served.url}/v1/conversions", json.dumps(BY_HAND).encode(), key)
    hit = json.dumps({"k": served.publishable_key, **SHOWN}).encode()
    requests["beacon"] = _request("POST", f"{served.url}/e", hit, {"Content-Type": "text/plain"})
    answers: Counter[tuple[str, int]] = Counter()
    address = urlsplit(served.url)

    async def talk() -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        for name, request in requests.items():
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            answers[name, int(head.split()[1])] += 1
        writer.close()

    await asyncio.gather(*(talk() for _ in range(TIMES)))
    return answers


def _request(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A request as bytes: a client library would be slower than the service."""
    address = urlsplit(url)
    told = {"Host": address.netloc, **headers, "Content-Length": str(len(body))}
    lines = [f"{method} {address.path}?{address.query} HTTP/1.1", *(f"{name}: {text}" for name, text in told.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def check(served: Served, count: int) -> None:
    """Every order is there once, credited once; every signed delivery is one row."""
    connection = await asyncpg.connect(Cluster(served.data).dsn)
    try:
        orders = await connection.fetch(ORDERS)
        deliveries = await connection.fetch(DELIVERIES)
    finally:
        await connection.close()
    assert len(orders) == len({row["order_id"] for row in orders}) == count
    assert {(row["net_minor"], row["credits"]) for row in orders} == {(NET_MINOR, 1)}
    assert {row["status"] for row in deliveries} == {"recorded"}
    signed = Counter(row["origin_id"] for row in deliveries if row["platform"] not in ("pixel", "beacon"))
    assert sorted(signed.values()) == [1] * len(CHECKOUTS)


def await_drained(served: Served, hits: int, orders: int) -> None:
    """Until every hit of the beacon, each of which is a delivery of its own, is a row, and every order is there; then a second for doubles to show."""

    async def count() -> tuple[int, int]:
        connection = await asyncpg.connect(Cluster(served.data).dsn)
        try:
            platforms = [row["platform"] for row in await connection.fetch(DELIVERIES)]
            return platforms.count("beacon"), len(await connection.fetch(ORDERS))
        finally:
            await connection.close()

    served.until(
        lambda: all(found >= wanted for found, wanted in zip(asyncio.run(count()), (hits, orders), strict=True)), 60
    )
    time.sleep(DOUBLES_S)


def figures(served: Served) -> tuple[int, int, int]:
    """What the report counts."""
    totals = served.call("GET", "/v1/reports/summary")["totals"]
    return totals["conversions"], totals["gross_minor"], totals["net_minor"]


def test_one_message_a_hundred_times_is_one_conversion_also_after_a_restart(tmp_path: Path) -> None:
    with serve(tmp_path) as first:
        doors = connect(first)
        sent = messages()
        orders = len(sent) + 2
        once = asyncio.run(send_all(first, doors, sent))
        await_drained(first, TIMES, orders)
        asyncio.run(check(first, orders))
        # The beacon's order is unverified, and outside revenue: the shop has sources that sign, and none of them told of it.
        assert figures(first) == (orders - 1, (orders - 1) * NET_MINOR, (orders - 1) * NET_MINOR)
    assert {status for _, status in once} <= ACCEPTED, once
    assert set(Counter(name for name, _ in once.elements()).values()) == {TIMES}
    with serve(tmp_path, PORT=first.url.rpartition(":")[2]) as started:
        # Its own brand is another one.
        second = replace(started, secret_key=first.secret_key, publishable_key=first.publishable_key)
        again = asyncio.run(send_all(second, doors, sent))
        await_drained(second, 2 * TIMES, orders)
        asyncio.run(check(second, orders))
        assert figures(second) == (orders - 1, (orders - 1) * NET_MINOR, (orders - 1) * NET_MINOR)
    assert {status for _, status in again} <= ACCEPTED, again
