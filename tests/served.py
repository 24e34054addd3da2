"""The real thing for tests that need it whole: `ariane serve` on a free port and a data directory of its own."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from app.api.auth import SCOPES
from app.database.embedded import Cluster
from app.domain import ids
from app.server.brand_keys import Keys, issue_keys

ARIANE = Path(sys.executable).parent / "ariane"
ANSWERS_A_WORKER = 15
"""Requests in a row, for each web worker, after which all of them are taken to be ready: one connection goes to any of them."""
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Served:
    """A running service and a brand to speak for."""

    url: str
    pid: int
    data: Path
    secret_key: str
    publishable_key: str
    dsn: str
    brand_id: UUID

    def of(self, brand: str) -> "Served":
        """The same service, speaking for another brand, which is made when it is new."""
        keys = asyncio.run(_make_keys(self.dsn, brand))
        brand_id = ids.read("brand", keys.brand_id)
        return replace(self, secret_key=keys.secret_key, publishable_key=keys.publishable_key, brand_id=brand_id)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the REST API; an error status is an assertion with the answer's body."""
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", f"Bearer {self.secret_key}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(
                request, None if body is None else json.dumps(body).encode(), timeout=20
            ) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from None

    def until(self, look: Callable[[], T], timeout_s: float = 10.0) -> T:
        """What `look` finds, once it finds something."""
        deadline = time.monotonic() + timeout_s
        while not (found := look()):
            assert time.monotonic() < deadline, "it did not come about in time"
            time.sleep(0.05)
        return found


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(directory: Path, **variables: str) -> Iterator[Served]:
    """`ariane serve`, ready, with a brand `Alice`; stopped in order at the end.

    Nobody is greeted, and the keys are made here as `ariane keys create` makes them: tests/faults/test_serve.py shows both from outside, and each
    of these processes costs a second of the processor.
    """
    data = directory / "data"
    data.mkdir(exist_ok=True)
    (data / "welcomed").touch()
    port = int(variables.get("PORT", "0")) or free_port()
    plain = {
        name: value for name, value in os.environ.items() if not name.startswith("ARIANE_") and name != "DATABASE_URL"
    }
    environment = {**plain, "HOST": "127.0.0.1", "PORT": str(port), "ARIANE_DATA": str(data), **variables}
    log = (directory / "serve.log").open("wb")
    process = subprocess.Popen([ARIANE, "serve"], env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        # Whichever worker takes a connection answers it: several in a row speak for all of them.
        workers = int(variables.get("ARIANE_WORKERS", "1"))
        _await_schema(url, process, directory / "serve.log", answers=1 if workers == 1 else ANSWERS_A_WORKER * workers)
        dsn = variables.get("DATABASE_URL") or Cluster(data).dsn
        keys = asyncio.run(_make_keys(dsn, "Alice"))
        brand_id = ids.read("brand", keys.brand_id)
        yield Served(url, process.pid, data, keys.secret_key, keys.publishable_key, dsn, brand_id)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


async def _make_keys(dsn: str, brand: str) -> Keys:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return await issue_keys(connection, brand, SCOPES)
    finally:
        await connection.close()


def _await_schema(url: str, process: subprocess.Popen[bytes], log: Path, *, answers: int) -> None:
    """Until so many requests in a row were answered by the API itself."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    ready = 0
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the service ended: {log.read_text()[-2000:]}"
        try:
            request = urllib.request.Request(f"{url}/v1/brand", headers={"Authorization": "Bearer sk_nobody"})
            with urllib.request.urlopen(request, timeout=2):
                pass
        except urllib.error.HTTPError as error:
            # 401 is the API itself speaking: it is loaded and its schema is there; before that it says 503.
            ready = ready + 1 if error.code == 401 else 0
            if ready == answers:
                return
        except OSError:
            ready = 0
        if not ready:
            time.sleep(0.05)
    raise AssertionError(f"the service did not become ready: {log.read_text()[-2000:]}")
