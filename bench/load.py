"""A load from outside, bounded in time, to 127.0.0.1 only: wrk where the system has it, else locust, set up on demand."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.requests import Requests

CONNECTIONS = 32
CORE = min(1, (os.cpu_count() or 1) - 1)
"""The load runs on the second core, what is measured on the first."""
BUSY = 0.9
"""A generator that uses this share of its core measures itself: then only the server's processor time per request says something."""
HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".bench"
LOCUST = "2.47.0"
PINS = HERE / "locust.txt"


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of the load saw. generator_cpu_us: the generator's own processor time per request."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int
    generator_cpu_us: float
    generator: str

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return self.requests / self.seconds

    @property
    def generator_share(self) -> float:
        """Of one core, used by the generator itself."""
        return self.generator_cpu_us * self.per_second / 1e6


def run(url: str, requests: Requests, *, seconds: int, connections: int = CONNECTIONS) -> Load:
    """Asks for `seconds` over so many connections, each as fast as it is answered."""
    assert url.startswith("http://127.0.0.1:"), "the load speaks to this machine only"
    wrk = shutil.which("wrk")
    return (
        _locust(url, requests, seconds, connections) if wrk is None else _wrk(wrk, url, requests, seconds, connections)
    )


def generator() -> str:
    """Which one makes the load, set up if need be."""
    if shutil.which("wrk") is not None:
        return "wrk"
    _locust_python()
    return f"locust {LOCUST} from PyPI, as there is no wrk: it is the bottleneck, so cpu per request is what counts"


def verdict(loads: list[Load]) -> str:
    """How to read figures of these loads; '' when nothing speaks against requests per second."""
    busiest = max(loads, key=lambda each: each.generator_share)
    # On a core that others use too, it never comes to 100 %; locust is slower than all that it is pointed at here.
    if busiest.generator_share < BUSY and busiest.generator == "wrk":
        return ""
    return (
        f"{busiest.generator} itself used {busiest.generator_cpu_us:,.0f} us a request, {busiest.generator_share:.0%} of its core,"
        " and was the bottleneck: cpu per request is what counts"
    )


# ── wrk ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

DONE = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %f %f %f %d\\n", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency.max, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def _wrk(program: str, url: str, requests: Requests, seconds: int, connections: int) -> Load:
    with tempfile.TemporaryDirectory(prefix="ariane-bench-") as directory:
        lua = Path(directory) / "load.lua"
        lua.write_text(requests.lua() + DONE)
        command = ["taskset", "-c", str(CORE), program, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(lua), url]
        before = _children_cpu_s()
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
        used_s = _children_cpu_s() - before
    match = re.search(r"RESULT (\d+) (\d+) ([\d.]+) ([\d.]+) ([\d.]+) (\d+)", output)
    if match is None:
        raise RuntimeError(f"wrk printed: {output}")
    count, duration_us, p50_us, p99_us, max_us, errors = (float(each) for each in match.groups())
    cpu_us = used_s / max(1.0, count) * 1e6
    times_ms = (p50_us / 1e3, p99_us / 1e3, max_us / 1e3)
    return Load(int(count), duration_us / 1e6, *times_ms, int(errors), cpu_us, "wrk")


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# ── locust ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _locust(url: str, requests: Requests, seconds: int, connections: int) -> Load:
    # -P: the folder of the script has modules of its own, which must not stand for others.
    command = ["taskset", "-c", str(CORE), str(_locust_python()), "-P", str(HERE / "locust_script.py")]
    task = {"url": url, "seconds": seconds, "connections": connections, "requests": requests.plain()}
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        command, input=json.dumps(task), env=environment, capture_output=True, text=True, timeout=seconds + 60
    )
    match = re.search(r"^RESULT (.*)$", done.stdout, flags=re.M)
    if done.returncode or match is None:
        raise RuntimeError(f"locust printed: {done.stdout[-1000:]} {done.stderr[-3000:]}")
    return Load(**json.loads(match[1]), generator="locust")


@cache
def _locust_python() -> Path:
    """The interpreter of an environment that holds locust and what it needs, all pinned; made when it is not there yet."""
    place = CACHE / f"locust-{LOCUST}-py{sys.version_info.major}.{sys.version_info.minor}"
    python, stamp = place / "bin" / "python", place / "complete"
    if not stamp.exists():
        print(f"no wrk here: installing locust {LOCUST} from PyPI into {place} (85 MB, once)", flush=True)
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        install = ["-m", "pip", "install", "-qq", "--disable-pip-version-check", "-r", str(PINS)]
        subprocess.run([str(python), *install], check=True)
        stamp.touch()
    return python
