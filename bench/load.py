"""A load from outside: wrk where the system has it. Bounded in time, to 127.0.0.1 only."""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 32
SECONDS = 5
CORE = 1
"""The load runs on the second core, what is measured on the first."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of the load saw."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return self.requests / self.seconds


def wrk() -> str:
    """The path of wrk; SystemExit with what to do when there is none."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("the bench needs wrk (Debian: apt-get install wrk)")
    return found


def run(url: str, script: str, *, seconds: int = SECONDS, connections: int = CONNECTIONS) -> Load:
    """Runs the load with a Lua script that builds the requests."""
    assert url.startswith("http://127.0.0.1:"), "the load speaks to this machine only"
    with tempfile.TemporaryDirectory() as directory:
        lua = Path(directory) / "load.lua"
        lua.write_text(script + DONE)
        command = ["taskset", "-c", str(CORE), wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(lua), url]
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
    match = re.search(r"RESULT (\d+) (\d+) ([\d.]+) ([\d.]+) ([\d.]+) (\d+)", output)
    if match is None:
        raise RuntimeError(f"wrk said: {output}")
    requests, duration_us, p50_us, p99_us, max_us, errors = (float(each) for each in match.groups())
    return Load(int(requests), duration_us / 1e6, p50_us / 1e3, p99_us / 1e3, max_us / 1e3, int(errors))


DONE = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %f %f %f %d\\n", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency.max, e.connect + e.read + e.write + e.status + e.timeout))
end
"""

BROWSER_HEADERS = """
wrk.headers["User-Agent"] = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 401.0"
wrk.headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
wrk.headers["Accept-Language"] = "fr-FR,fr;q=0.9"
wrk.headers["Accept-Encoding"] = "gzip, deflate, br"
wrk.headers["Referer"] = "https://l.instagram.com/"
wrk.headers["Sec-Fetch-Mode"] = "navigate"
"""


def random_paths(paths: list[str]) -> str:
    """A script that asks for these paths at random, as a phone's browser would."""
    listed = ", ".join(f'"{path}"' for path in paths)
    return f"""{BROWSER_HEADERS}
local paths = {{ {listed} }}
math.randomseed(7)
request = function() return wrk.format("GET", paths[math.random(#paths)]) end
"""


def posts(path: str, headers: dict[str, str], body: str) -> str:
    """A script that posts; `body` is Lua that returns the body from the number `n` of the request."""
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items())
    return f"""{lines}
local n = 0
local start = os.time() * 1000000
request = function()
  n = n + 1
  return wrk.format("POST", "{path}", nil, {body})
end
"""
