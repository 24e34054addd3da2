"""The doors' counters over all processes of one data directory, in the text format of Prometheus.

Each process counts in its own file, mapped into memory: counting is one addition, nothing is written on a timer, and counts survive kill -9. A file
belongs to the process that holds its flock; one without a living owner is added to the file `ended` and removed, so that a counter never goes
back. Why not the multiprocess mode of prometheus_client: docs/performance.md.
"""

import fcntl
import mmap
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from app import random_ids

if TYPE_CHECKING:
    from prometheus_client import Metric


class Counter(NamedTuple):
    """One time series: the metric's name without `_total`, its help text, and its label."""

    name: str
    help: str
    label: str = ""
    value: str = ""


_METRICS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("ariane_redirects", "Redirects answered with 302.", "recorded", ("yes", "no")),
    ("ariane_misses", "Requests for a slug that leads nowhere (any more).", "reason", ("unknown_slug", "expired", "disabled")),
    ("ariane_pixels", "Hits of the pixel and the beacon.", "outcome", ("stored", "not_stored", "too_large")),
    ("ariane_hooks", "Webhooks and postbacks.", "outcome", ("stored", "ping", "unsigned", "unknown_token", "too_large", "not_stored")),
    ("ariane_unavailable", "Requests answered 503 because the database could not be asked.", "", ("",)),
)  # fmt: skip
COUNTERS = tuple(Counter(name, text, label, value) for name, text, label, values in _METRICS for value in values)
"""The time series in the order of the slots in the files; files of another order have another LAYOUT and are ignored."""

(
    REDIRECTS,
    REDIRECTS_UNRECORDED,
    MISSES_UNKNOWN,
    MISSES_EXPIRED,
    MISSES_DISABLED,
    PIXELS_STORED,
    PIXELS_NOT_STORED,
    PIXELS_TOO_LARGE,
    HOOKS_STORED,
    HOOKS_PINGS,
    HOOKS_UNSIGNED,
    HOOKS_UNKNOWN,
    HOOKS_TOO_LARGE,
    HOOKS_NOT_STORED,
    UNAVAILABLE,
) = range(len(COUNTERS))

SLOT_BYTES = 8
FILE_BYTES = SLOT_BYTES * len(COUNTERS)
LAYOUT = f"{zlib.crc32(repr(COUNTERS).encode()):08x}"
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Counts:
    """The counters of this process: `slots[REDIRECTS] += 1`. Without a file, which a full disk may refuse, it counts for itself only."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.slots: memoryview = memoryview(bytearray(FILE_BYTES)).cast("Q")
        self._descriptor = -1
        self._mapped: mmap.mmap | None = None

    def open(self) -> None:
        """Begin to count in a file. Never raises: a full disk must not keep the doors shut."""
        path = self.directory / f"{LAYOUT}-{random_ids.new_id()}.counts"
        hidden = path.with_name(f".{path.name}")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            # Locked and filled before it is visible. Filled, not only sized: on a full disk the first write into a hole is a SIGBUS.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.write(descriptor, bytes(FILE_BYTES)) != FILE_BYTES:
                raise OSError("the disk is full")
            self._mapped = mmap.mmap(descriptor, FILE_BYTES)
            hidden.rename(path)
        except OSError:
            hidden.unlink(missing_ok=True)
            os.close(descriptor)
            return
        self._descriptor = descriptor
        slots = memoryview(self._mapped).cast("Q")
        for index, count in enumerate(self.slots):
            slots[index] = count
        self.slots = slots

    def close(self) -> None:
        """Add the counts to `ended`."""
        if self._mapped is None:
            return
        kept = memoryview(bytearray(self.slots)).cast("Q")
        self.slots.release()
        self._mapped.close()
        self._mapped = None
        self.slots = kept
        os.close(self._descriptor)
        totals(self.directory)


def totals(directory: Path) -> list[int]:
    """Every counter over all processes, living and ended; files without a living owner are added to `ended`. Raises OSError."""
    sums = [0] * len(COUNTERS)
    with _ended(directory) as ended:
        for path in sorted(directory.glob(f"{LAYOUT}-*.counts")):
            counts, alive = _read(path)
            if alive:
                sums = [a + b for a, b in zip(sums, counts, strict=True)]
            else:
                for index, count in enumerate(counts):
                    ended[index] += count
                path.unlink(missing_ok=True)
        return [a + b for a, b in zip(sums, ended, strict=True)]


def _read(path: Path) -> tuple[Iterable[int], bool]:
    """The counts of one file, and whether its process is alive."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            alive = False
        except OSError:
            alive = True
        content = file.read(FILE_BYTES)
    return memoryview(content.ljust(FILE_BYTES, b"\0")).cast("Q"), alive


@contextmanager
def _ended(directory: Path) -> "Iterator[memoryview]":
    """The counts of ended processes, locked for changes."""
    descriptor = os.open(directory / f"{LAYOUT}-ended", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        content = bytearray(os.pread(descriptor, FILE_BYTES, 0).ljust(FILE_BYTES, b"\0"))
        before = bytes(content)
        yield memoryview(content).cast("Q")
        if bytes(content) != before:
            os.pwrite(descriptor, content, 0)
    finally:
        os.close(descriptor)


def render(counts: Iterable[int], gauges: Mapping[str, tuple[str, float]]) -> bytes:
    """The text that Prometheus reads. gauges: name → (help text, value). Imports prometheus_client, so call it in a thread."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector

    class Collected(Collector):
        def collect(self) -> "Iterator[Metric]":
            families: dict[str, CounterMetricFamily] = {}
            for counter, count in zip(COUNTERS, counts, strict=True):
                labels = [counter.label] if counter.label else []
                family = families.setdefault(
                    counter.name, CounterMetricFamily(counter.name, counter.help, labels=labels)
                )
                family.add_metric([counter.value] if counter.label else [], count)
            yield from families.values()
            for name, (text, value) in gauges.items():
                yield GaugeMetricFamily(name, text, value=value)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected())
    return generate_latest(registry)
