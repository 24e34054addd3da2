"""What the service weighs after the load: memory per process, and how fast it starts and stops on a filled data directory."""

import os
import signal
import subprocess
import time
import urllib.request

from bench.machine import children, pss_mb
from bench.servers import BIN, Service


def memory(service: Service) -> list[str]:
    """Proportional memory of every process of the service."""
    names = {"app.web": "web worker", "app.worker": "background process", "postgres": "PostgreSQL (its parent alone)"}
    lines = [f"memory of the parent {pss_mb(service.parent):.0f} MB"]
    for pid, command in children(service.parent).items():
        name = next((shown for part, shown in names.items() if part in command), None)
        if name is not None:
            lines.append(f"memory of the {name} {pss_mb(pid):.0f} MB")
    return lines


def restart(service: Service, path: str) -> list[str]:
    """Stops the service and starts it again on its data: until the first redirect, and until it is ready."""
    began = time.perf_counter()
    os.kill(service.parent, signal.SIGTERM)
    while _alive(service.parent):
        time.sleep(0.01)
    stopped = time.perf_counter() - began
    port = service.url.rpartition(":")[2]
    environment = {**os.environ, "PORT": port, "ARIANE_DATA": str(service.data), "ARIANE_LOG_LEVEL": "warning"}
    began = time.perf_counter()
    process = subprocess.Popen([BIN / "ariane", "serve"], env=environment, stdout=subprocess.DEVNULL)
    try:
        redirect = _until(f"{service.url}{path}", began)
        ready = _until(f"{service.url}/readyz", began)
    finally:
        process.terminate()
        process.wait(20)
    return [
        f"stopped in {stopped:.2f} s; first redirect {redirect:.2f} s and ready {ready:.2f} s after the start   (0.6 s / 2 s)"
    ]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _until(url: str, began: float) -> float:
    opener = urllib.request.build_opener(_NoRedirect)
    while time.perf_counter() - began < 30:
        try:
            opener.open(url, timeout=1).close()
            return time.perf_counter() - began
        except urllib.error.HTTPError as error:
            if error.code == 302:
                return time.perf_counter() - began
        except OSError:
            pass
        time.sleep(0.01)
    raise RuntimeError(f"{url} did not answer")


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
