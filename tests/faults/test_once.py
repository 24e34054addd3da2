"""One message a hundred times at once, through the real doors of the real service, and again after it was started anew: counted once."""

import asyncio
import json
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from app import clock
from app.domain.rehearsal import Rehearsal, Sent
from app.intake.messages import PLATFORMS
from app.postgres import Cluster
from tests.checkouts.signing import CHECKOUTS, SECRET, TOKENS
from tests.served import Served, serve

pytestmark = pytest.mark.faults

TIMES = 100
NET_MINOR = 4_990
BY_HAND = {"order_id": "by-hand", "net_minor": NET_MINOR, "currency": "EUR", "codes": ["LEA10"]}
SHOWN = {"order_id": "shown", "amount": "49.90", "tax": "0", "shipping": "0", "currency": "EUR", "code": "LEA10"}
ORDERS = """/* across brands: everything the service has recorded */
SELECT c.order_id, c.net_minor, count(r.*) AS credits FROM conversion c LEFT JOIN credit r ON r.brand_id = c.brand_id AND r.conversion_id = c.id
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
        body = {"platform": checkout.platform, "secrets": [SECRET], "settings": dict(checkout.settings)}
        found[name] = str(served.call("POST", "/v1/sources", body)["url"])
    return found


def messages() -> Mapping[str, Sent]:
    """An order of each checkout, as it is sent when it is no rehearsal; signed now."""
    now = clock.now()
    found = {}
    for number, (name, checkout) in enumerate(CHECKOUTS.items(), 1):
        rehearse = PLATFORMS[checkout.platform].rehearse
        assert rehearse is not None
        plan = Rehearsal(number, "EUR", NET_MINOR, 1, now - timedelta(seconds=2), now, code="LEA10", test=False)
        [sent] = rehearse(plan, SECRET, checkout.settings).order
        query = sent.query.rpartition(f"&{TOKENS[name]}=")[0] if name in TOKENS else None
        # Signed by the test's own hand.
        found[name] = checkout.sends(sent.body, now, {"Content-Type": "application/json", **_topics(sent)}, query=query)
    return found


def _topics(sent: Sent) -> dict[str, str]:
    return {name: text for name, text in sent.headers.items() if "topic" in name.lower() or "-id" in name.lower()}


async def send_all(served: Served, doors: Mapping[str, str], sent: Mapping[str, Sent]) -> Counter[tuple[str, int]]:
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


def await_drained(served: Served, hits: int) -> None:
    """Until every hit of the beacon, each of which is a delivery of its own, is a row, and the doors have nothing left."""

    async def count() -> int:
        connection = await asyncpg.connect(Cluster(served.data).dsn)
        try:
            found: int = await connection.fetchval(
                "/* across brands: everything the service has recorded */ SELECT count(*) FROM delivery WHERE platform = 'beacon'"
            )
            return found
        finally:
            await connection.close()

    served.until(lambda: asyncio.run(count()) >= hits, 60)
    time.sleep(1)


def test_one_message_a_hundred_times_is_one_conversion_also_after_a_restart(tmp_path: Path) -> None:
    with serve(tmp_path) as first:
        doors = connect(first)
        port = first.url.rpartition(":")[2]
        sent = messages()
        once = asyncio.run(send_all(first, doors, sent))
        await_drained(first, TIMES)
        asyncio.run(check(first, len(sent) + 2))
        totals = first.call("GET", "/v1/reports/summary")["totals"]
        counted = totals["conversions"], totals["gross_minor"], totals["net_minor"]
    assert {status for _, status in once} <= {200, 201, 204}, once
    assert set(Counter(name for name, _ in once.elements()).values()) == {TIMES}
    # The beacon's order is unverified, and outside revenue: the shop has sources that sign, and none of them told of it.
    assert counted == (len(sent) + 1, (len(sent) + 1) * NET_MINOR, (len(sent) + 1) * NET_MINOR)
    with serve(tmp_path, PORT=port) as second:
        again = asyncio.run(send_all(first, doors, sent))
        await_drained(second, 2 * TIMES)
        asyncio.run(check(second, len(sent) + 2))
        request = urllib.request.Request(
            f"{second.url}/v1/reports/summary", headers={"Authorization": f"Bearer {first.secret_key}"}
        )
        with urllib.request.urlopen(request) as answer:
            totals = json.loads(answer.read())["totals"]
    assert {status for _, status in again} <= {200, 201, 204}, again
    assert (totals["conversions"], totals["gross_minor"], totals["net_minor"]) == counted
