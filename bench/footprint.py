"""What the service weighs on a filled data directory: memory per process, how fast it starts, and that a stop under load loses nothing.

Beside each start, what the interpreter and uvicorn alone take on this machine at this moment: a start is best read as a multiple of that.
"""

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench import load
from bench.effort import Effort
from bench.figures import spread_percent
from bench.machine import children, pss_mb
from bench.requests import BROWSER_HEADERS, clicks
from bench.servers import CORE, Service, ariane, end, environment, serve
from bench.steady import exchange, written
from demo.simulator.messages import Message

LANES = 8
LOADED_S = 1.0
"""How long the load runs before the stop."""
POLL_S = 0.005
START_TIMEOUT_S = 120.0
NAMES = {
    "app.server.web_worker": "web worker",
    "app.server.background": "background process",
    "postgres": "PostgreSQL, its parent alone",
}
YARDSTICKS = {
    "python": "pass",
    "uvicorn": "import uvicorn, uvicorn.protocols.http.httptools_impl, uvloop",
}


@dataclass(slots=True)
class Stop:
    """A stop under load: what its clients saw. lost: sent and not answered."""

    answered: int = 0
    lost: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Turn:
    """One stop, and the start after it; seconds from the start to each."""

    stop: Stop
    bare_s: dict[str, float] = field(default_factory=dict)
    redirect_s: float = 0.0
    ready_s: float = 0.0
    api_s: float = 0.0


def scene(effort: Effort) -> list[str]:
    """The lines of the figures."""
    with ariane() as service:
        paths = service.make_links(effort.links)
        filling = load.run(service.url, clicks(paths), seconds=effort.load_s)
        answered = filling.requests
        _await_clicks(service, answered)
        lines = [f"on a data directory of {answered:,} clicks and {len(paths):,} links", *_memory(service.parent)]
        turns: list[Turn] = []
        # The one that was started first is ended by its owner, the others here.
        parent, process = service.parent, None
        try:
            for _ in range(effort.starts):
                turn = Turn(_stop_under_load(service.url, paths[0], parent, process))
                turn.bare_s = {name: _took_s(code) for name, code in YARDSTICKS.items()}
                process = _start(service, paths[0], turn)
                parent = process.pid
                turns.append(turn)
            answered += sum(turn.stop.answered for turn in turns)
            recorded = _await_clicks(service, answered)
        finally:
            if process is not None:
                end(process)
    return lines + _lines(turns, answered, recorded)


def _lines(turns: list[Turn], answered: int, recorded: int) -> list[str]:
    uvicorn = [turn.bare_s["uvicorn"] for turn in turns]
    python = [turn.bare_s["python"] for turn in turns]
    redirect = [turn.redirect_s for turn in turns]
    ratio = statistics.median(each / bare for each, bare in zip(redirect, uvicorn, strict=True))
    lost = sum(turn.stop.lost for turn in turns)
    return [
        f"stop under load, {len(turns)} times   {_seconds([turn.stop.seconds for turn in turns])}   requests lost {lost}"
        f" of {sum(turn.stop.answered for turn in turns):,}   (2 s, 0 lost)",
        f"start to the first redirect       {_seconds(redirect)}   (0.6 s)",
        f"start to ready (/readyz)          {_seconds([turn.ready_s for turn in turns])}   (2 s)",
        f"start to the API's first answer   {_seconds([turn.api_s for turn in turns])}",
        f"beside each: python -c pass       {_seconds(python)}",
        f"             importing uvicorn    {_seconds(uvicorn)}   first redirect ÷ this: {ratio:.1f}",
        f"answered {answered:,} redirects, recorded {recorded:,} (at least as many)",
    ]


def _seconds(values: list[float]) -> str:
    return f"{statistics.median(values):5.2f} s  ±{spread_percent(values):3.0f} %"


def _memory(parent: int) -> list[str]:
    """Proportional memory of every process of the service."""
    found = [f"the parent {pss_mb(parent):.0f} MB"]
    for pid, command in sorted(children(parent).items()):
        name = next((shown for part, shown in NAMES.items() if part in command), None)
        if name is not None:
            found.append(f"the {name} {pss_mb(pid):.0f} MB")
    return [f"memory, shared pages split: {', '.join(found)}"]


def _await_clicks(service: Service, answered: int) -> int:
    deadline = time.monotonic() + START_TIMEOUT_S
    while (recorded := service.call("GET", "/v1/reports/summary")["totals"]["clicks"]) < answered:
        assert time.monotonic() < deadline, f"{answered:,} answered, {recorded:,} recorded"
        time.sleep(0.2)
    return int(recorded)


# ── Stop ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _stop_under_load(url: str, path: str, parent: int, process: subprocess.Popen[bytes] | None) -> Stop:
    return asyncio.run(_stop(url, path, parent, process))


async def _stop(url: str, path: str, parent: int, process: subprocess.Popen[bytes] | None) -> Stop:
    stop = Stop()
    parts = urlsplit(url)
    wire = written(parts.netloc, path, Message(method="GET", headers=BROWSER_HEADERS))
    lanes = [asyncio.create_task(_lane(str(parts.hostname), parts.port or 80, wire, stop)) for _ in range(LANES)]
    await asyncio.sleep(LOADED_S)
    began = time.perf_counter()
    os.kill(parent, signal.SIGTERM)
    while not _has_ended(parent, process):  # noqa: ASYNC110  another process, which sets no event of ours
        await asyncio.sleep(POLL_S)
    stop.seconds = time.perf_counter() - began
    await asyncio.gather(*lanes)
    return stop


async def _lane(host: str, port: int, wire: bytes, stop: Stop) -> None:
    """Asks without a pause, over connections kept alive, until the service is gone."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            return
        closing = False
        while not closing:
            try:
                status, closing = await exchange(reader, writer, wire)
            except (asyncio.IncompleteReadError, ConnectionError):
                stop.lost += 1
                break
            assert status == 302, status
            stop.answered += 1
        writer.close()


def _has_ended(pid: int, process: subprocess.Popen[bytes] | None) -> bool:
    if process is not None:
        return process.poll() is not None
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


# ── Start ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _start(service: Service, path: str, turn: Turn) -> subprocess.Popen[bytes]:
    port = urlsplit(service.url).port
    assert port is not None
    began = time.perf_counter()
    process = serve(service.data, port)
    try:
        turn.redirect_s = _until(f"{service.url}{path}", began, 302)
        turn.ready_s = _until(f"{service.url}/readyz", began, 200)
        turn.api_s = _until(f"{service.url}/v1/brand", began, 200, service.secret_key)
        web = next(pid for pid, command in children(process.pid).items() if "app.server.web_worker" in command)
        os.sched_setaffinity(web, {CORE})
    except BaseException:
        end(process)
        raise
    return process


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _until(url: str, began: float, status: int, key: str = "") -> float:
    """Seconds since `began` when it answers so."""
    opener = urllib.request.build_opener(_NoRedirect)
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    while time.perf_counter() - began < START_TIMEOUT_S:
        try:
            with opener.open(request, timeout=START_TIMEOUT_S) as answer:
                seen = answer.status
        except urllib.error.HTTPError as error:
            seen = error.code
        except OSError:
            seen = 0
        if seen == status:
            return time.perf_counter() - began
        time.sleep(POLL_S)
    raise RuntimeError(f"{url} did not answer {status}")


def _took_s(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)
    return time.perf_counter() - began
