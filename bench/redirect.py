"""The redirect, recorded durably, against a bare ASGI 302 on the same uvicorn and against the plain FastAPI + ORM way."""

import os
import signal
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from app.postgres import running
from bench import load
from bench.machine import cpu_seconds
from bench.servers import Running, Service, ariane, uvicorn_app

LINKS = 1_000
ROUNDS = 3
DRAIN_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One thing, measured in turn with the others."""

    loads: list[load.Load]
    cpu_us: list[float]

    @property
    def per_second(self) -> float:
        """Median of answered requests per second."""
        return statistics.median(each.per_second for each in self.loads)

    @property
    def cpu_us_median(self) -> float:
        """Median of the server's processor time per request, in microseconds."""
        return statistics.median(self.cpu_us)

    @property
    def spread_percent(self) -> float:
        """How far the best run lies over the worst."""
        rates = [each.per_second for each in self.loads]
        return (max(rates) / min(rates) - 1) * 100

    def __str__(self) -> str:
        p99 = statistics.median(each.p99_ms for each in self.loads)
        worst = max(each.max_ms for each in self.loads)
        return (
            f"{self.per_second:9,.0f}/s  ±{self.spread_percent:3.0f} %  {self.cpu_us_median:7.1f} us cpu/request"
            f"  p99 {p99:6.1f} ms  max {worst:6.1f} ms"
        )


def make_links(service: Service, count: int = LINKS) -> list[str]:
    """So many links of one campaign; their paths."""
    campaign = service.call("POST", "/v1/campaigns", {"name": "Bench", "objective": "sales"})
    influencer = service.call("POST", "/v1/influencers", {"name": "Bench"})
    pair = {"campaign_id": campaign["id"], "influencer_id": influencer["id"]}
    wanted = [pair | {"destination_url": f"https://shop.example/products/{number}?ref=bio"} for number in range(count)]
    made = service.call("POST", "/v1/links/bulk", {"links": wanted})["data"]
    return [f"/{link['slug']}" for link in made]


def measure(servers: dict[str, tuple[Running, str, int | None]]) -> dict[str, Measured]:
    """Each in turn, so many rounds; a short run before to warm up. The process named with a server is paused while it is measured."""
    found: dict[str, Measured] = {name: Measured([], []) for name in servers}
    for server, script, _ in servers.values():
        load.run(server.url, script, seconds=1)
    for _ in range(ROUNDS):
        for name, (server, script, paused) in servers.items():
            if paused is not None:
                os.kill(paused, signal.SIGSTOP)
            before = cpu_seconds(server.pid)
            seen = load.run(server.url, script)
            found[name].cpu_us.append((cpu_seconds(server.pid) - before) / seen.requests * 1e6)
            found[name].loads.append(seen)
            if paused is not None:
                os.kill(paused, signal.SIGCONT)
            _let_drain(found, servers)
    return found


def _let_drain(found: dict[str, Measured], servers: dict[str, tuple[Running, str, int | None]]) -> None:
    """Wait until every click that was answered is in the report: nothing may be lost, and the next run must not pay for this one."""
    service = next(server for server, _, _ in servers.values() if isinstance(server, Service))
    answered = sum(seen.requests for name, each in found.items() if name.startswith("ariane") for seen in each.loads)
    deadline = time.monotonic() + DRAIN_TIMEOUT_S
    while (recorded := service.call("GET", "/v1/reports/summary")["totals"]["clicks"]) < answered:
        assert time.monotonic() < deadline, f"{answered:,} answered, {recorded:,} recorded"
        time.sleep(0.2)


def scene() -> list[str]:
    """The lines of the figures."""
    with tempfile.TemporaryDirectory() as directory, running(Path(directory) / "pg") as dsn, ariane() as service:
        paths = make_links(service)
        slugs = ",".join(path.lstrip("/") for path in paths)
        environment = {"PLAIN_DSN": dsn.replace("postgresql://", "postgresql+asyncpg://"), "PLAIN_SLUGS": slugs}
        script = load.random_paths(paths)
        with uvicorn_app("bench.plain:bare") as bare, uvicorn_app("bench.plain:create_plain", environment) as plain:
            found = measure(
                {
                    "bare": (bare, script, None),
                    "ariane": (service, script, service.find("app.worker")),
                    "ariane, draining": (service, script, None),
                    "plain": (plain, script, None),
                }
            )
    ours, bare_one, plain_one = found["ariane"], found["bare"], found["plain"]
    for name, each in found.items():
        assert not any(seen.errors for seen in each.loads), (
            f"{name} answered with errors: its figure would mean nothing"
        )
    return [
        f"bare ASGI 302, stores nothing        {bare_one}",
        f"ariane, recorded                     {ours}",
        f"ariane, with the drain beside it     {found['ariane, draining']}",
        f"FastAPI + ORM, INSERT per click      {plain_one}",
        _ratio("ariane / bare", ours, bare_one, "first stage: 0.70"),
        _ratio("draining / bare", found["ariane, draining"], bare_one, "two cores for load, doors, drain and database"),
        _ratio("ariane / plain", ours, plain_one, "first stage: 30"),
    ]


def _ratio(name: str, ours: Measured, theirs: Measured, target: str) -> str:
    by_requests = ours.per_second / theirs.per_second
    by_cpu = theirs.cpu_us_median / ours.cpu_us_median
    return f"{name:<16} {by_requests:6.2f} by requests, {by_cpu:6.2f} by cpu per request   ({target})"
