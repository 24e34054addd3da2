"""Shops that are run for real, from npm, beside a running Ariane: `make shops`.

Nothing is downloaded here: `.ci/install-shops` puts the shops on the machine, where there is a Node for them. Without them these tests skip and say so,
unless ARIANE_TESTS_REQUIRE_SHOPS=1, which `.ci/run` sets. `make test` leaves them out: they take minutes.
"""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.conftest import database_dsn
from tests.shops.tcp import forwarded

HERE = Path(__file__).parent
READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
SILENT = {"MEDUSA_DISABLE_TELEMETRY": "true", "VENDURE_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}
"""No shop here speaks to its maker."""


def installed(shop: str) -> Path:
    """The folder with the shop's packages."""
    if os.environ.get("ARIANE_TESTS_SHOPS") != "1":
        pytest.skip("real shops are run by `make shops`")
    reason = "no node found on PATH" if shutil.which("node") is None else ""
    place = Path(os.environ.get("ARIANE_SHOPS", Path.home() / ".cache" / "ariane-shops")) / shop
    if not reason and not _is_current(place, shop):
        reason = (
            f"{place} does not hold what tests/shops/{shop}/package-lock.json names; .ci/install-shops puts it there"
        )
    if reason and os.environ.get("ARIANE_TESTS_REQUIRE_SHOPS") == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    return place


def _is_current(place: Path, shop: str) -> bool:
    kept = place / "installed-lock.json"
    return kept.is_file() and kept.read_bytes() == (HERE / shop / "package-lock.json").read_bytes()


@pytest.fixture(scope="session")
def postgres_port(server: str) -> Iterator[int]:
    """A TCP port of the tests' PostgreSQL."""
    found = re.search(r"host=([^&]+)&port=(\d+)", server)
    assert found, "the shops run on the embedded PostgreSQL"
    with forwarded(Path(found[1]) / f".s.PGSQL.{found[2]}") as port:
        yield port


@pytest.fixture(scope="session")
def empty_database(server: str) -> Callable[[str], None]:
    """Makes a database of this name, anew."""

    async def make(name: str) -> None:
        connection = await asyncpg.connect(database_dsn(server, "postgres"))
        await connection.execute(f"DROP DATABASE IF EXISTS {name}")
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    return lambda name: asyncio.run(make(name))


@contextmanager
def running(command: list[str | Path], place: Path, log: Path, health: str, **variables: str) -> Iterator[None]:
    """A shop's process, once its address answers, for the length of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=place, env={**os.environ, **SILENT, **variables}, stdout=output, stderr=output
        )
        try:
            deadline = time.monotonic() + READY_TIMEOUT_S
            while not _answers(health):
                assert process.poll() is None, f"the shop ended: {log.read_text()[-3_000:]}"
                assert time.monotonic() < deadline, f"the shop did not become ready: {log.read_text()[-3_000:]}"
                time.sleep(0.2)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
