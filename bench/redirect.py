"""The redirect, recorded durably, against a bare ASGI 302 on the same uvicorn and against the plain FastAPI + ORM way."""

import os
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.database.embedded import Cluster
from bench import load
from bench.effort import Effort
from bench.figures import spread_percent
from bench.machine import cpu_seconds
from bench.requests import Requests, clicks
from bench.servers import Running, Service, ariane, uvicorn_app

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
        return spread_percent([each.per_second for each in self.loads])

    def __str__(self) -> str:
        p99 = statistics.median(each.p99_ms for each in self.loads)
        worst = max(each.max_ms for each in self.loads)
        return (
            f"{self.per_second:9,.0f}/s  ±{self.spread_percent:3.0f} %  {self.cpu_us_median:7.1f} us cpu/request"
            f"  p99 {p99:6.1f} ms  max {worst:6.1f} ms"
        )


Compared = dict[str, tuple[Running, int | None]]
"""By name: what answers, and a process to pause while it does."""


def measure(servers: Compared, requests: Requests, effort: Effort) -> dict[str, Measured]:
    """Each in turn, so many rounds; a short run before to warm up."""
    found: dict[str, Measured] = {name: Measured([], []) for name in servers}
    for server, _ in servers.values():
        load.run(server.url, requests, seconds=1)
    for _ in range(effort.rounds):
        for name, (server, paused) in servers.items():
            with _paused(paused):
                before = cpu_seconds(server.pid)
                seen = load.run(server.url, requests, seconds=effort.load_s)
                found[name].cpu_us.append((cpu_seconds(server.pid) - before) / seen.requests * 1e6)
            found[name].loads.append(seen)
            _let_drain(found, servers)
    return found


@contextmanager
def _paused(pid: int | None) -> Iterator[None]:
    if pid is None:
        yield
        return
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _let_drain(found: dict[str, Measured], servers: Compared) -> None:
    """Wait until every click that was answered is in the report: nothing may be lost, and the next run must not pay for this one."""
    service = next(server for server, _ in servers.values() if isinstance(server, Service))
    answered = sum(seen.requests for name, each in found.items() if name.startswith("ariane") for seen in each.loads)
    deadline = time.monotonic() + DRAIN_TIMEOUT_S
    while (recorded := service.call("GET", "/v1/reports/summary")["totals"]["clicks"]) < answered:
        assert time.monotonic() < deadline, f"{answered:,} answered, {recorded:,} recorded"
        time.sleep(0.2)


def scene(effort: Effort) -> list[str]:
    """The lines of the figures."""
    with (
        tempfile.TemporaryDirectory(prefix="ariane-bench-") as directory,
        Cluster(Path(directory) / "pg").run() as dsn,
        ariane() as service,
    ):
        paths = service.make_links(effort.links)
        slugs = ",".join(path.lstrip("/") for path in paths)
        environment = {"PLAIN_DSN": dsn.replace("postgresql://", "postgresql+asyncpg://"), "PLAIN_SLUGS": slugs}
        with uvicorn_app("bench.plain:bare") as bare, uvicorn_app("bench.plain:create_plain", environment) as plain:
            servers: Compared = {
                "bare": (bare, None),
                "ariane": (service, service.find("app.server.background")),
                "ariane, draining": (service, None),
                "plain": (plain, None),
            }
            found = measure(servers, clicks(paths), effort)
    for name, each in found.items():
        assert not any(seen.errors for seen in each.loads), (
            f"{name} answered with errors: its figure would mean nothing"
        )
    return _lines(found)


def _lines(found: dict[str, Measured]) -> list[str]:
    ours, bare, plain = found["ariane"], found["bare"], found["plain"]
    draining = found["ariane, draining"]
    return [
        f"bare ASGI 302, stores nothing        {bare}",
        f"ariane, recorded                     {ours}",
        f"ariane, with the drain beside it     {draining}",
        f"FastAPI + ORM, INSERT per click      {plain}",
        _ratio("ariane / bare", ours, bare, "first stage: 0.70, in the end 1.15"),
        _ratio("draining / bare", draining, bare, "two cores for load, doors, drain and database"),
        _ratio("ariane / plain", ours, plain, "first stage: 30, in the end 80"),
        "0 clicks lost: every answered one was in the report before the next round began",
    ]


def _ratio(name: str, ours: Measured, theirs: Measured, target: str) -> str:
    by_requests = ours.per_second / theirs.per_second
    by_cpu = theirs.cpu_us_median / ours.cpu_us_median
    verdict = load.verdict(ours.loads + theirs.loads)
    line = f"{name:<16} {by_requests:6.2f} by requests, {by_cpu:6.2f} by cpu per request   ({target})"
    return f"{line}\n   {'':<16} {verdict}" if verdict else line
