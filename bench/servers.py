"""Starts what is measured, on the first core, and ends it again."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import children

BIN = Path(sys.executable).parent
CORE = 0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0


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

    def find(self, name: str) -> int:
        """The pid of one of its children: `app.web`, `app.worker` or `postgres`."""
        return next(pid for pid, command in children(self.parent).items() if name in command)


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def uvicorn_app(target: str, environment: dict[str, str] | None = None) -> Iterator[Running]:
    """An ASGI application under the same uvicorn as ours: one process, uvloop, httptools, no access log."""
    port = free_port()
    command = [
        str(BIN / "uvicorn"),
        target,
        "--port",
        str(port),
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        "--no-access-log",
    ]
    options = ["--log-level", "warning", *(["--factory"] if "create" in target else [])]
    process = subprocess.Popen(
        ["taskset", "-c", str(CORE), *command, *options], env={**os.environ, **(environment or {})}
    )
    try:
        _await_port(port, process)
        yield Running(f"http://127.0.0.1:{port}", process.pid)
    finally:
        _end(process)


@contextmanager
def ariane(**environment: str) -> Iterator[Service]:
    """`ariane serve` with one worker on a fresh data directory; its worker runs on the first core, everything else of it where it likes."""
    with tempfile.TemporaryDirectory(prefix="ariane-bench-") as directory:
        port, data = free_port(), Path(directory) / "data"
        settings = {"PORT": str(port), "ARIANE_DATA": str(data), "ARIANE_LOG_LEVEL": "warning", **environment}
        settings = {**os.environ, **settings}
        with (Path(directory) / "serve.log").open("wb") as log:
            process = subprocess.Popen([BIN / "ariane", "serve"], env=settings, stdout=log, stderr=log)
        try:
            _await_ready(f"http://127.0.0.1:{port}/readyz", process)
            made = subprocess.run(
                [
                    BIN / "ariane",
                    "keys",
                    "create",
                    "--brand",
                    "Bench",
                    "--scopes",
                    "read,write,conversions,admin",
                    "--json",
                ],
                env=settings,
                capture_output=True,
                text=True,
                check=True,
            )
            keys = json.loads(made.stdout)
            web = next(pid for pid, command in children(process.pid).items() if "app.web" in command)
            os.sched_setaffinity(web, {CORE})
            url = f"http://127.0.0.1:{port}"
            yield Service(url, web, process.pid, data, keys["secret_key"], keys["publishable_key"])
        finally:
            _end(process)


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the server did not start")


def _await_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                body = json.loads(answer.read())
            if body.get("schema") == "ready" or body.get("schema") is True or body.get("schema") == "ok":
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError("the service did not become ready")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
