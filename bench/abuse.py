"""Redirects while somebody sends what costs most: eight connections post 5 MB of one kind or another, without a pause, to one web worker.

`python -m bench.abuse URL PATH KIND AUTHORIZATION` is the sender, a process of its own on another core; a line of its standard input ends it, and it prints
how many requests were answered.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.effort import Effort
from bench.figures import percentile
from bench.machine import cpu_seconds
from bench.servers import Service, ariane

CONNECTIONS = 8
BODY_BYTES = 5 << 20
CLICK_EVERY_S = 0.005
TIMEOUT_S = 30.0
BODIES: dict[str, Callable[[], bytes]] = {
    "nulls": lambda: b'{"links":[' + b"null," * (BODY_BYTES // 5 - 10) + b"null]}",
    "unknown fields": lambda: json.dumps({f"x{number}": 1 for number in range(BODY_BYTES // 14)}).encode(),
    "a thousand rows, all wrong": lambda: json.dumps({"links": [{f"x{n}": 1 for n in range(45)}] * 1_000}).encode(),
    "one long text": lambda: b'{"name":"' + b"x" * (BODY_BYTES - 20) + b'"}',
    "bytes that are no text": lambda: b"\xff" * BODY_BYTES,
}
SENT = (
    ("/v1/links/bulk", "nulls"),
    ("/v1/links/bulk", "unknown fields"),
    ("/v1/links/bulk", "a thousand rows, all wrong"),
    ("/v1/conversions", "one long text"),
    ("/v1/mappings/check", "unknown fields"),
    ("/in/nobody", "bytes that are no text"),
    ("/e", "bytes that are no text"),
)
"""Where what is sent: to an address of the API with a key that may, and to doors that know no key."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Redirects in milliseconds, and requests of the sender that were answered meanwhile."""

    milliseconds: list[float]
    answered: int = 0

    def percentile(self, share: float) -> float:
        """In milliseconds."""
        return percentile(self.milliseconds, share)


def watch(url: str, path: str, seconds: float) -> list[float]:
    """How long each of these redirects took, one every CLICK_EVERY_S over one connection, in milliseconds."""
    found = []
    parts = urlsplit(url)
    request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/132.0\r\n\r\n".encode()
    with socket.create_connection((parts.hostname or "", parts.port or 80), TIMEOUT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        until = time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            connection.sendall(request)
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                answer += connection.recv(4_096)
            assert answer.startswith(b"HTTP/1.1 302 "), answer
            took = time.perf_counter() - began
            found.append(took * 1_000)
            time.sleep(max(0.0, CLICK_EVERY_S - took))
    return found


def watch_under(url: str, link: str, path: str, kind: str, key: str, seconds: float) -> Seen:
    """Redirects by `link` while CONNECTIONS send bodies of this kind to `path`."""
    command = [sys.executable, "-m", "bench.abuse", url, path, kind, key]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender:
        assert sender.stdin is not None
        assert sender.stdout is not None
        try:
            sender.stdout.readline()  # the first of its requests was answered
            found = watch(url, link, seconds)
        finally:
            sender.stdin.write("enough\n")
            sender.stdin.close()
            answered = int(sender.stdout.read() or 0)
    return Seen(found, answered)


def make_link(service: Service) -> str:
    """The path of a link that was clicked once."""
    link = service.call("POST", "/v1/links", {**service.make_pair("abuse"), "destination_url": "https://shop.example/"})
    path = f"/{link['slug']}"
    watch(service.url, path, 0.1)
    return path


def scene(effort: Effort) -> list[str]:
    """Redirects alone, and under each kind of body."""
    with ariane() as service:
        link = make_link(service)
        others = os.sched_getaffinity(0)
        try:
            # What asks and what sends leave the worker its core.
            os.sched_setaffinity(0, others - {min(others)} or others)
            alone = Seen(watch(service.url, link, effort.load_s))
            lines = [f"{'redirects alone':45}  p50 {alone.percentile(50):6.1f} ms  p99 {alone.percentile(99):6.1f} ms"]
            for path, kind in SENT:
                before = cpu_seconds(service.pid)
                seen = watch_under(service.url, link, path, kind, service.secret_key, effort.load_s)
                cpu_ms = (cpu_seconds(service.pid) - before) / max(1, seen.answered) * 1_000
                lines.append(
                    f"{f'{kind} to {path}':45}  p50 {seen.percentile(50):6.1f} ms  p99 {seen.percentile(99):6.1f} ms"
                    f"  max {max(seen.milliseconds):6.1f} ms  {seen.answered:5} answered, {cpu_ms:6.1f} ms cpu each"
                )
        finally:
            os.sched_setaffinity(0, others)
    return lines


# ── The sender ───────────────────────────────────────────────────────────────────────────────────────────────────────


def main(url: str, path: str, kind: str, key: str) -> None:
    """Send over CONNECTIONS until a line comes in."""
    parts = urlsplit(url)
    body = BODIES[kind]()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode()
    ended, answered = threading.Event(), [0] * CONNECTIONS
    first = threading.Event()

    def send(number: int) -> None:
        while not ended.is_set():
            try:
                with socket.create_connection((parts.hostname or "", parts.port or 80), TIMEOUT_S) as connection:
                    with suppress(OSError):  # refused before everything was sent; the answer is there all the same
                        connection.sendall(head + body)
                    if connection.recv(1_024):
                        answered[number] += 1
                        first.set()
            except OSError:
                time.sleep(0.01)

    threads = [threading.Thread(target=send, args=(number,), daemon=True) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    first.wait(TIMEOUT_S)
    print("sending", flush=True)
    sys.stdin.readline()
    ended.set()
    print(sum(answered), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
