"""Finds the service that the demo runs against, or starts one for as long as the demo takes, and makes keys of a brand of its own."""

import json
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import sleep

from demo import clock
from demo.run import DemoError

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0
POLL_S = 0.1
SCOPES = "read,write,conversions,admin"
ARIANE = (sys.executable, "-m", "app.cli")
"""The command `ariane`, whether or not its script is on the path."""


@dataclass(frozen=True, slots=True)
class Target:
    """A service and the environment in which its commands run."""

    base_url: str
    environment: Mapping[str, str]

    def make_secret_key(self) -> str:
        """The secret key of a new brand, made as an operator makes it: `ariane keys create`."""
        brand = f"Launch day {clock.now():%Y-%m-%d %H:%M:%S}"
        command = [*ARIANE, "keys", "create", "--brand", brand, "--scopes", SCOPES, "--json"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DemoError(f"no keys for the demo: {done.stderr.strip()}")
        return str(json.loads(done.stdout)["secret_key"])


def is_serving(base_url: str) -> bool:
    """Whether a service with its API loaded answers there."""
    request = urllib.request.Request(f"{base_url}/v1/brand")  # noqa: S310 the operator's own address
    try:
        urllib.request.urlopen(request, timeout=2).close()  # noqa: S310 the operator's own address
    except urllib.error.HTTPError as error:
        return error.code == 401  # the API itself: before its schema is there it says 503
    except OSError:
        return False
    return False


@contextmanager
def find_or_start(target: Target) -> Iterator[Target]:
    """This service if it runs; else one that is started on a free port and whose data is thrown away at the end."""
    if is_serving(target.base_url):
        yield target
        return
    with tempfile.TemporaryDirectory(prefix="ariane-demo-") as directory:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        plain = {name: text for name, text in target.environment.items() if not _is_setting(name)}
        environment = {**plain, "HOST": "127.0.0.1", "PORT": str(port), "ARIANE_DATA": directory}
        started = Target(f"http://127.0.0.1:{port}", environment)
        process = subprocess.Popen([*ARIANE, "serve"], env=environment, stdout=subprocess.DEVNULL)
        try:
            _await(started.base_url, process)
            yield started
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_TIMEOUT_S)


def _is_setting(variable: str) -> bool:
    return variable.startswith("ARIANE_") or variable in ("DATABASE_URL", "HOST", "PORT")


def _await(base_url: str, process: subprocess.Popen[bytes]) -> None:
    deadline_s = clock.monotonic_s() + START_TIMEOUT_S
    while not is_serving(base_url):
        if process.poll() is not None or clock.monotonic_s() > deadline_s:
            raise DemoError("the service for the demo did not start; start one with `make run` and try again")
        sleep(POLL_S)
