"""The webhook door at a steady rate: acknowledged after the flush to the disk, with the drain running and with PostgreSQL stopped for a minute.

Beside it, in the same run, what the disk alone takes for the same bytes at the same rate. At the end everything that was acknowledged is there.
"""

import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench import disk, orders, steady
from bench.effort import Effort
from bench.figures import percentile
from bench.machine import Share, children
from bench.servers import Service, ariane

PER_SECOND = 1_000
ARRIVAL_TIMEOUT_S = 300.0
RECORDED = """
SELECT count(*) FILTER (WHERE status = 'recorded') AS recorded, count(*) AS kept, count(DISTINCT conversion_id) AS orders
FROM delivery WHERE origin_id = (SELECT id FROM source ORDER BY id DESC LIMIT 1)
"""


@dataclass(slots=True)
class Door:
    """Rounds of the same load on one door, and of the plain loop after each."""

    rounds: list[steady.Steady] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    disk_ms: list[list[float]] = field(default_factory=list)

    def lines(self, name: str, size_bytes: int) -> list[str]:
        """Medians of the rounds."""
        failed = sum(each.failed for each in self.rounds)
        share = self.shares[len(self.shares) // 2]
        door, loop = [each.latencies_ms for each in self.rounds], self.disk_ms
        return [
            f"webhook door, {PER_SECOND}/s of {size_bytes / 1000:.0f} kB, {name}",
            f"   door       {_medians(door)}  not answered 200: {failed}   (wanted: p99 10 ms)",
            f"   disk alone {_medians(loop)}   the same bytes at the same rate, appended and flushed by a plain loop",
            f"   door / disk {_ratio(door, loop, 50):.1f} at p50, {_ratio(door, loop, 99):.1f} at p99",
            f"   shares of a core: {share}; the client {statistics.median(each.client_share for each in self.rounds):.0%}",
        ]


def scene(effort: Effort) -> list[str]:
    """The lines of the figures."""
    with ariane() as service:
        service.call("POST", "/v1/codes", service.make_pair("Orders") | {"code": "LEA10"})
        source = service.call("POST", "/v1/sources", {"platform": "shopify", "secrets": [orders.SECRET]})
        path = urlsplit(source["url"]).path
        size_bytes = len(orders.shopify_order(orders.small_sample(), 1).body)
        running, stopped = Door(), Door()
        for turn in range(effort.rounds):
            _round(service, path, running, 10_000_000 + turn * 1_000_000, effort)
        lines = running.lines("drain running", size_bytes)
        acknowledged = sum(len(each.latencies_ms) - each.failed for each in running.rounds)
        await_arrival(service, acknowledged)
        with _postgres_stopped(service):
            began = time.monotonic()
            for turn in range(effort.rounds):
                # Spread over the outage: its last seconds may be unlike its first.
                latest = effort.outage_s - effort.door_s - effort.disk_s
                _pause_until(began + latest * turn / max(1, effort.rounds - 1))
                _round(service, path, stopped, 20_000_000 + turn * 1_000_000, effort)
            _pause_until(began + effort.outage_s)
            outage_s = time.monotonic() - began
        lines += stopped.lines(f"PostgreSQL stopped for {outage_s:.0f} s", size_bytes)
        missed = sum(len(each.latencies_ms) - each.failed for each in stopped.rounds)
        lines.append(
            await_arrival(service, acknowledged + missed, note=f"{missed:,} of them while PostgreSQL stood still, ")
        )
    return lines


def await_arrival(service: Service, acknowledged: int, note: str = "") -> str:
    """Returns once as many deliveries of the newest source are recorded as were acknowledged, each an order of its own; as a line."""
    began = time.monotonic()
    while (found := service.ask(RECORDED)[0])["kept"] < acknowledged:
        assert time.monotonic() - began < ARRIVAL_TIMEOUT_S, f"{acknowledged} acknowledged, {dict(found)}"
        time.sleep(0.2)
    took_s = time.monotonic() - began
    assert found["recorded"] == found["kept"] == found["orders"] == acknowledged, (
        f"{acknowledged} acknowledged, {dict(found)}"
    )
    return f"{acknowledged:,} acknowledged, {note}all recorded {took_s:.0f} s after the end, 0 lost, 0 double"


def _round(service: Service, path: str, door: Door, first_number: int, effort: Effort) -> None:
    small = orders.small_sample()
    messages = [orders.shopify_order(small, first_number + each) for each in range(PER_SECOND * effort.door_s)]
    with service.share() as share:
        door.rounds.append(steady.stream(service.url, path, messages, per_second=PER_SECOND))
    door.shares.append(share)
    # At once: with the drain running, it is still at work on what was sent.
    size_bytes = len(messages[0].body)
    door.disk_ms.append(disk.latencies_ms(service.data / "spool", size_bytes, PER_SECOND, effort.disk_s))


@contextmanager
def _postgres_stopped(service: Service) -> Iterator[None]:
    """Stopped, not ended: what waits for it hangs, which is harder on the door than being refused."""
    postgres = service.find("postgres")
    os.kill(postgres, signal.SIGSTOP)
    # Its processes are sessions of their own: each is stopped by itself. None is added once it stands still.
    stopped = [postgres, *children(postgres)]
    for pid in stopped[1:]:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def _pause_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _medians(rounds: list[list[float]]) -> str:
    p50, p99 = (statistics.median(percentile(each, percent) for each in rounds) for percent in (50, 99))
    return f"p50 {p50:6.1f} ms  p99 {p99:6.1f} ms  max {max(max(each) for each in rounds):6.1f} ms"


def _ratio(ours: list[list[float]], theirs: list[list[float]], percent: float) -> float:
    mine, other = (statistics.median(percentile(each, percent) for each in rounds) for rounds in (ours, theirs))
    return mine / other
