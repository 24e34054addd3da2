"""What machine this is, and how much its clock can be trusted today."""

import os
import platform
import time
from contextlib import suppress
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


class Weather:
    """How fast the machine itself is while a scene runs: on a shared one, equal work takes up to five times as long from one hour to the next."""

    def __init__(self) -> None:
        self._times_ms = [_work_ms() for _ in range(WORKS)]
        self._ticks = _ticks()

    def tell(self) -> str:
        """Since the making: how long equal work took before and after, and what other machines took of our processors."""
        self._times_ms += [_work_ms() for _ in range(WORKS)]
        total, stolen = (now - then for now, then in zip(_ticks(), self._ticks, strict=True))
        fastest, slowest = min(self._times_ms), max(self._times_ms)
        return f"equal work took {fastest:.0f} to {slowest:.0f} ms, {stolen / max(1, total):.0%} of the processors were elsewhere"


WORKS = 9


def _work_ms() -> float:
    began = time.perf_counter()
    sum(range(2_000_000))
    return (time.perf_counter() - began) * 1000


def _ticks() -> tuple[int, int]:
    """Of all processors since the start: in all, and stolen."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(fields), fields[7]


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


def family_cpu_seconds(pid: int) -> float:
    """Processor seconds of a process with its children, also those that have ended: PostgreSQL makes one for each connection."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    used = sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    for child in children(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            used += cpu_seconds(child)
    return used


def peak_mb(pid: int) -> float:
    """The most memory a process has held in MB since its start, or since `forget_peak`."""
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def forget_peak(pid: int) -> None:
    """Let `peak_mb` begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


class Share:
    """Processor time of some processes over a stretch of time: `with Share(...) as share: …`, then `seconds` by name and `wall_s`."""

    def __init__(self, **pids: int) -> None:
        self.pids = pids
        self.seconds: dict[str, float] = {}
        self.wall_s = 0.0

    def __enter__(self) -> "Share":
        self._before = {name: self._used(name) for name in self.pids}
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_s = time.perf_counter() - self._began
        self.seconds = {name: self._used(name) - before for name, before in self._before.items()}

    def _used(self, name: str) -> float:
        return family_cpu_seconds(self.pids[name]) if name == "postgres" else cpu_seconds(self.pids[name])

    def __str__(self) -> str:
        """`web 45 %, worker 80 %` of one core each."""
        return ", ".join(f"{name} {used / self.wall_s:.0%}" for name, used in self.seconds.items())

    def each_us(self, count: int) -> str:
        """`python 12.3 us, postgres 20.1 us`: for one of so many things done."""
        return ", ".join(f"{name} {used / count * 1e6:,.1f} us" for name, used in self.seconds.items())
