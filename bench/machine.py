"""What machine this is, and how much its clock can be trusted today."""

import os
import platform
import time
from pathlib import Path


def describe() -> str:
    """One line for the head of the figures."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor() or "unknown processor",
    )
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {model}, {memory_gib:.0f} GiB, Python {platform.python_version()}, Linux {platform.release()}"


def noise_percent(rounds: int = 9) -> float:
    """How far the slowest of some equal pieces of work lies over the fastest: what a single figure can be wrong by."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        sum(range(2_000_000))
        times.append(time.perf_counter() - began)
    return (max(times) / min(times) - 1) * 100


def cpu_seconds(pid: int) -> float:
    """Processor seconds a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_mb(pid: int) -> float:
    """Proportional memory of a process in MB: shared pages are split among those who share them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def children(pid: int) -> dict[int, str]:
    """The direct children of a process, with their command lines."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
