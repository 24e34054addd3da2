"""Starts and ends the measured servers, each process by its own pid. The process that answers runs on the first core."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from app.database.embedded import Cluster
from bench.machine import Share, children

BIN = Path(sys.executable).parent
CORE = 0
START_TIMEOUT_S = 180.0
"""The background process and PostgreSQL give way to others: on a busy machine a first start takes a minute."""
STOP_TIMEOUT_S = 20.0
POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers: where, and which process does the answering."""

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Service(Running):
    """The whole service on a data directory of its own, with a brand to speak for."""

    parent: int
    data: Path
    secret_key: str
    publishable_key: str

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call of its REST API; raises on an error status."""
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", f"Bearer {self.secret_key}")
        request.add_header("Content-Type", "application/json")
        payload = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, payload, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def make_pair(self, name: str) -> dict[str, str]:
        """A campaign and an influencer, as the bodies of links and codes name them."""
        campaign = self.call("POST", "/v1/campaigns", {"name": name, "objective": "sales"})
        influencer = self.call("POST", "/v1/influencers", {"name": name})
        return {"campaign_id": campaign["id"], "influencer_id": influencer["id"]}

    def make_links(self, count: int) -> list[str]:
        """So many links of one campaign; their paths."""
        pair = self.make_pair("Bench")
        wanted = [pair | {"destination_url": f"https://shop.example/products/{each}?ref=bio"} for each in range(count)]
        made = self.call("POST", "/v1/links/bulk", {"links": wanted})["data"]
        return [f"/{link['slug']}" for link in made]

    @property
    def dsn(self) -> str:
        """Its database."""
        return Cluster(self.data).dsn

    def ask(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows of its database, for what its API does not count."""

        async def fetch() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self.dsn)
            try:
                return list(await connection.fetch(query, *arguments))
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def share(self) -> Share:
        """The processor time of its processes over a block."""
        return Share(web=self.pid, worker=self.find("app.server.background"), postgres=self.find("postgres"))

    def find(self, name: str) -> int:
        """The pid of one of its children: `app.server.web_worker`, `app.server.background` or `postgres`."""
        return next(pid for pid, command in children(self.parent).items() if name in command)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**ours: str) -> dict[str, str]:
    """Ours without a setting of the service, and these: a bench measures the defaults."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ARIANE_")}
    for name in ("DATABASE_URL", "HOST", "PORT", "PG_BIN"):
        kept.pop(name, None)
    return {**kept, **ours}


@contextmanager
def uvicorn_app(target: str, variables: Mapping[str, str] | None = None) -> Iterator[Running]:
    """An ASGI application under the same uvicorn as ours: one process, uvloop, httptools, no access log."""
    port = free_port()
    command = ["taskset", "-c", str(CORE), str(BIN / "uvicorn"), target, "--port", str(port), "--loop", "uvloop"]
    command += ["--http", "httptools", "--no-access-log", "--log-level", "warning"]
    command += ["--factory"] if "create" in target else []
    process = subprocess.Popen(command, env=environment(**(variables or {})))
    try:
        _await_port(port, process)
        yield Running(f"http://127.0.0.1:{port}", process.pid)
    finally:
        end(process)


def serve(data: Path, port: int) -> subprocess.Popen[bytes]:
    """`ariane serve` with one web worker. What it says goes to `serve.log` beside the data."""
    with (data.parent / "serve.log").open("ab") as log:
        return subprocess.Popen([BIN / "ariane", "serve"], env=_settings(data, port), stdout=log, stderr=log)


@contextmanager
def ariane() -> Iterator[Service]:
    """`ariane serve` on a fresh data directory; its web worker runs on the first core, everything else of it where it likes."""
    with tempfile.TemporaryDirectory(prefix="ariane-bench-") as directory:
        port, data = free_port(), Path(directory) / "data"
        process = serve(data, port)
        try:
            url = f"http://127.0.0.1:{port}"
            _await_ready(url, process)
            create = ["keys", "create", "--brand", "Bench", "--scopes", "read,write,conversions,admin", "--json"]
            made = subprocess.run(
                [BIN / "ariane", *create], env=_settings(data, port), capture_output=True, text=True, check=True
            )
            keys = json.loads(made.stdout)
            web = next(pid for pid, command in children(process.pid).items() if "app.server.web_worker" in command)
            os.sched_setaffinity(web, {CORE})
            yield Service(url, web, process.pid, data, keys["secret_key"], keys["publishable_key"])
        except BaseException:
            print((data.parent / "serve.log").read_text()[-3_000:], file=sys.stderr)
            raise
        finally:
            end(process)


def _await_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Returns once the service redirects, records and answers its API. Raises RuntimeError with its last answer if it does not."""
    deadline = time.monotonic() + START_TIMEOUT_S
    last_answer: object = "nothing"
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
                last_answer = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            last_answer = error.read().decode()
        except OSError as error:
            last_answer = error
        if isinstance(last_answer, dict) and last_answer["schema"] == "ready" and last_answer["api"] == "loaded":
            return
        time.sleep(POLL_S)
    raise RuntimeError(
        f"the service did not become ready; it ended with {process.poll()}, /readyz answered last: {last_answer}"
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """TERM, and KILL when it does not go; its children go with it."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _settings(data: Path, port: int) -> dict[str, str]:
    return environment(PORT=str(port), ARIANE_DATA=str(data), ARIANE_LOG_LEVEL="warning")


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the server did not start")
