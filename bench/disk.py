"""The disk's own share of a webhook's answer: a plain loop that appends as many bytes at the same rate and flushes them, and does nothing else.

Like the door it flushes whatever has come due since the last flush together. A process of its own, on the core and with the priority of the
web worker: `disk.py DIRECTORY BYTES PER_SECOND SECONDS` prints the latencies in milliseconds as JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.servers import CORE


def latencies_ms(directory: Path, size_bytes: int, per_second: int, seconds: int) -> list[float]:
    """From when each message was due to when it was on the disk that holds this directory."""
    arguments = [str(directory), str(size_bytes), str(per_second), str(seconds)]
    command = ["taskset", "-c", str(CORE), sys.executable, "-m", "bench.disk", *arguments]
    home = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=True, timeout=seconds + 60)
    found: list[float] = json.loads(done.stdout)
    return found


def _loop(directory: str, size_bytes: int, per_second: int, seconds: int) -> list[float]:
    message = b"x" * size_bytes
    latencies: list[float] = []
    with tempfile.TemporaryFile(dir=directory) as file:
        start = time.perf_counter()
        written = 0
        while written < per_second * seconds:
            pause = start + written / per_second - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            due = min(per_second * seconds, int((time.perf_counter() - start) * per_second) + 1)
            os.write(file.fileno(), message * (due - written))
            os.fdatasync(file.fileno())
            now = time.perf_counter()
            latencies += [(now - start - number / per_second) * 1000 for number in range(written, due)]
            written = due
    return latencies


if __name__ == "__main__":
    print(json.dumps(_loop(sys.argv[1], *(int(each) for each in sys.argv[2:]))))
