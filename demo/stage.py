"""Finds the service to play against, or starts one for the length of the play, and asks it for a brand of the demo's own."""

import json
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

from app import clock
from app.settings import Settings, child_environment, read_settings

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0
POLL_S = 0.1
SCOPES = "read,write,conversions,admin"


class StageError(Exception):
    """There is no service to play against; the text says what to do."""


def is_serving(base_url: str) -> bool:
    """Whether a service with its API loaded answers there."""
    request = urllib.request.Request(f"{base_url}/v1/brand")  # noqa: S310 the operator's own address
    try:
        urllib.request.urlopen(request, timeout=2).close()  # noqa: S310 the same
    except urllib.error.HTTPError as error:
        return error.code == 401  # the API itself: before its schema is there it says 503
    except OSError:
        return False
    return False


@contextmanager
def service(settings: Settings) -> Iterator[Settings]:
    """Settings of a running service: the one at HOST and PORT, else one started here on a free port, its data thrown away afterwards."""
    if is_serving(settings.base_url):
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="ariane-demo-") as directory:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        own = read_settings({}, host="127.0.0.1", port=port, data=Path(directory), pg_bin=settings.pg_bin or None)
        command = [sys.executable, "-m", "app.cli", "serve"]
        process = subprocess.Popen(command, env=child_environment(own), stdout=subprocess.DEVNULL)
        try:
            _await(own.base_url, process)
            yield own
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_TIMEOUT_S)


def make_keys(settings: Settings) -> dict[str, str]:
    """Keys of a new brand, as an operator makes them: `ariane keys create`."""
    name = f"Launch day {clock.now():%Y-%m-%d %H:%M:%S}"
    command = [sys.executable, "-m", "app.cli", "keys", "create", "--brand", name, "--scopes", SCOPES, "--json"]
    done = subprocess.run(command, env=child_environment(settings), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StageError(f"no keys for the demo: {done.stderr.strip()}")
    keys: dict[str, str] = json.loads(done.stdout)
    return keys


def _await(base_url: str, process: subprocess.Popen[bytes]) -> None:
    deadline_s = clock.monotonic_s() + START_TIMEOUT_S
    while not is_serving(base_url):
        if process.poll() is not None or clock.monotonic_s() > deadline_s:
            raise StageError("the service for the demo did not start; start one with `make run` and try again")
        sleep(POLL_S)
