"""The webhook door at a steady rate: acknowledged after the flush to the disk, with the drain running and with PostgreSQL stopped."""

import asyncio
import base64
import gc
import hmac
import json
import os
import signal
import statistics
import time
from contextlib import suppress
from importlib import resources
from urllib.parse import urlsplit

import uvloop

from bench import load
from bench.machine import children
from bench.servers import Service

PER_SECOND = 1_000
SECONDS = 5
ROUNDS = 3
CONNECTIONS = 16
SECRET = "bench-secret"
KEPT = ("discount_codes", "note_attributes", "customer")


class Connection:
    """One keep-alive connection that posts and reads the answer's head: an HTTP client library would cost more than the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self._reader, self._writer, self._head = reader, writer, head

    async def post(self, body: bytes, signature: bytes) -> int:
        """The status of one delivery."""
        self._writer.write(
            self._head + b"x-shopify-hmac-sha256: " + signature + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await self._reader.readexactly(int(line.partition(b":")[2]))
        return int(head[9:12])


async def paced(service: Service, path: str, first_number: int) -> tuple[list[float], int]:
    """Latencies in milliseconds of a steady stream of new orders, counted from when each was due; and how many were not answered 200."""
    deliveries = _deliveries(first_number, PER_SECOND * SECONDS)
    parts = urlsplit(service.url)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        "x-shopify-topic: orders/create\r\nx-shopify-shop-domain: bench.myshopify.com\r\nx-shopify-api-version: 2026-07\r\n"
    ).encode()
    latencies: list[float] = []
    failed = 0
    total = PER_SECOND * SECONDS
    start = time.perf_counter() + 0.2

    async def stream(lane: int) -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        connection = Connection(reader, writer, head)
        for number in range(lane, total, CONNECTIONS):
            due = start + number / PER_SECOND
            body, signature = deliveries[number]
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            failed += await connection.post(body, signature) != 200
            latencies.append((time.perf_counter() - due) * 1000)
        writer.close()

    gc.disable()  # the client's own pauses are not the door's
    await asyncio.gather(*(stream(lane) for lane in range(CONNECTIONS)))
    gc.enable()
    return latencies, failed


def _deliveries(first_number: int, count: int) -> list[tuple[bytes, bytes]]:
    """Bodies and signatures, made before the clock runs. Small orders, about 3 kB: what is measured is the door, not the sample's length."""
    sample = json.loads(resources.files("app.demo").joinpath("shopify_order.json").read_text())
    kept = {name: value for name, value in sample.items() if not isinstance(value, dict | list) or name in KEPT}
    kept["line_items"] = [{name: sample["line_items"][0][name] for name in ("id", "price", "quantity", "sku", "title")}]
    found = []
    for order in range(first_number, first_number + count):
        named = kept | {"id": order, "name": f"#{order}", "order_number": order, "checkout_token": f"bench{order}"}
        body = json.dumps(named, separators=(",", ":")).encode()
        found.append((body, base64.b64encode(hmac.digest(SECRET.encode(), body, "sha256"))))
    return found


def scene(service: Service) -> list[str]:
    """The lines of the figures."""
    os.sched_setaffinity(0, {load.CORE})
    with suppress(PermissionError):
        # The client shares two cores with the service; late because it waited for its turn, it would measure itself.
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    source = service.call("POST", "/v1/sources", {"platform": "shopify", "secrets": [SECRET]})
    path = urlsplit(source["url"]).path
    lines = [_rounds(service, path, "drain running", 10_000_000)]
    postgres = service.find("postgres")
    # Its processes are sessions of their own: each is stopped by itself.
    stopped = [postgres, *children(postgres)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        lines.append(_rounds(service, path, "PostgreSQL stopped", 20_000_000))
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        os.sched_setaffinity(0, set(range(os.cpu_count() or 1)))
    return lines


def _rounds(service: Service, path: str, name: str, first_number: int) -> str:
    p50s, p99s, worst, failed = [], [], 0.0, 0
    size = len(_deliveries(1, 1)[0][0])
    for turn in range(ROUNDS):
        latencies, lost = uvloop.run(paced(service, path, first_number + turn * 1_000_000))
        latencies.sort()
        p50s.append(latencies[len(latencies) // 2])
        p99s.append(latencies[len(latencies) * 99 // 100])
        worst = max(worst, latencies[-1])
        failed += lost
    return (
        f"webhook door, {PER_SECOND}/s of {size / 1000:.0f} kB, {name:<18}  p50 {statistics.median(p50s):5.1f} ms  p99 {statistics.median(p99s):6.1f} ms"
        f"  max {worst:6.1f} ms  not answered 200: {failed}   (first stage: p99 10 ms)"
    )
