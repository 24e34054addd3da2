"""Requests at a steady rate, each timed from when it was due: a server that falls behind pays for it, as a waiting shop would."""

import asyncio
import gc
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvloop

from bench import load
from demo.simulator.messages import Message

CONNECTIONS = 16
PRIORITY = -15


@dataclass(frozen=True, slots=True)
class Steady:
    """What one stream saw. failed: not answered 200. client_share: of one core, used by the stream itself."""

    latencies_ms: list[float]
    failed: int
    client_share: float


def stream(url: str, path: str, messages: Sequence[Message], *, per_second: int) -> Steady:
    """Sends all messages to this door at this rate."""
    parts = urlsplit(url)
    assert parts.hostname == "127.0.0.1", "the load speaks to this machine only"
    assert parts.port is not None
    wires = [written(parts.netloc, path, message) for message in messages]
    with _as_client():
        began, used = time.perf_counter(), time.process_time()
        latencies, failed = uvloop.run(_stream(parts.hostname, parts.port, wires, per_second))
        share = (time.process_time() - used) / (time.perf_counter() - began)
    return Steady(latencies, failed, share)


def written(host: str, path: str, message: Message) -> bytes:
    """A request as it goes over the wire."""
    target = f"{path}?{message.query}" if message.query else path
    headers = {"host": host, **message.headers, "content-length": str(len(message.body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{message.method} {target} HTTP/1.1\r\n{head}\r\n".encode() + message.body


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: bytes) -> tuple[int, bool]:
    """Sends a request and reads its whole answer: the status, and whether the server closes. An HTTP client library would cost more than
    the server. asyncio.IncompleteReadError or ConnectionError where there is no whole answer."""
    writer.write(wire)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.partition(b":")[2]))
    return int(head[9:12]), b"connection: close" in head


async def _stream(host: str, port: int, wires: Sequence[bytes], per_second: int) -> tuple[list[float], int]:
    latencies: list[float] = []
    failed = 0
    start = time.perf_counter() + 0.2

    async def lane(first: int) -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(host, port)
        for number in range(first, len(wires), CONNECTIONS):
            due = start + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            status, _ = await exchange(reader, writer, wires[number])
            failed += status != 200
            latencies.append((time.perf_counter() - due) * 1000)
        writer.close()

    gc.disable()  # the client's own pauses are not the door's
    try:
        await asyncio.gather(*(lane(first) for first in range(min(CONNECTIONS, len(wires)))))
    finally:
        gc.enable()
    return latencies, failed


@contextmanager
def _as_client() -> Iterator[None]:
    """On the second core and first in its queue: a client that is late because it waited for its turn would measure itself.

    Only for as long as it is one: what the bench starts inherits both.
    """
    cores, priority = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    os.sched_setaffinity(0, {load.CORE})
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, priority)
        os.sched_setaffinity(0, cores)
