"""The doors' counters over all processes of one data directory, in the text format of Prometheus.

Each process counts in its own file, mapped into memory: counting is one addition, nothing is written on a timer, and counts survive kill -9. A file
belongs to the process that holds its flock; one without a living owner is added to the file `ended` and removed, so that a counter never goes
back. Why not the multiprocess mode of prometheus_client: docs/performance.md.
"""

import fcntl
import mmap
import os
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

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
    ("ariane_pixels", "Hits of the pixel and the beacon.", "outcome", ("stored", "not_stored", "too_large", "over_limit")),
    ("ariane_hooks", "Webhooks and postbacks.", "outcome", ("stored", "ping", "unsigned", "unknown_token", "too_large", "not_stored")),
    ("ariane_unavailable", "Requests of doors and API answered 503: the database could not be asked, or too much waited for it.", "", ("",)),
    ("ariane_deliveries", "Messages of shops, by what became of them.", "status", ("recorded", "ignored", "rejected", "unsigned")),
    ("ariane_task_failures", "Passes of the background process that failed, by what was in the way.", "reason", ("database", "other")),
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
    PIXELS_OVER_LIMIT,
    HOOKS_STORED,
    HOOKS_PINGS,
    HOOKS_UNSIGNED,
    HOOKS_UNKNOWN,
    HOOKS_TOO_LARGE,
    HOOKS_NOT_STORED,
    UNAVAILABLE,
    DELIVERIES_RECORDED,
    DELIVERIES_IGNORED,
    DELIVERIES_REJECTED,
    DELIVERIES_UNSIGNED,
    FAILURES_DATABASE,
    FAILURES_OTHER,
) = range(len(COUNTERS))

BUCKETS_S = (0.005, 0.02, 0.1, 0.5, 2.5, 10.0)
"""Upper bounds of the durations that are told apart, in seconds."""
HISTOGRAMS = (
    ("ariane_api_request_seconds", "Duration of the API's requests, from the first byte to the last."),
    (
        "ariane_loop_delay_seconds",
        "How late a web worker's event loop woke, looked at once a second: what a redirect waits.",
    ),
)
API_SECONDS, LOOP_SECONDS = range(len(HISTOGRAMS))
HISTOGRAM_SLOTS = len(BUCKETS_S) + 2
"""A count per bucket, one of what took longer, and the sum in microseconds."""

SLOTS = len(COUNTERS) + len(HISTOGRAMS) * HISTOGRAM_SLOTS
SLOT_BYTES = 8
FILE_BYTES = SLOT_BYTES * SLOTS
LAYOUT = f"{zlib.crc32(repr((COUNTERS, HISTOGRAMS, BUCKETS_S)).encode()):08x}"
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

    def observe(self, histogram: int, seconds: float) -> None:
        """Count one duration in API_SECONDS or LOOP_SECONDS."""
        first = len(COUNTERS) + histogram * HISTOGRAM_SLOTS
        self.slots[first + bisect_left(BUCKETS_S, seconds)] += 1
        self.slots[first + HISTOGRAM_SLOTS - 1] += max(0, int(seconds * 1e6))

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
    sums = [0] * SLOTS
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


class Gauge(msgspec.Struct, frozen=True, kw_only=True):
    """A value that goes up and down, with its labels."""

    name: str
    help: str
    value: float
    labels: dict[str, str] = {}


GAUGES_FILE = "database.json"
"""What the background process has measured in the database, for the web workers, which do not ask it themselves."""


def save_gauges(directory: Path, gauges: Sequence[Gauge]) -> None:
    """Replace the stored measurements. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    draft = directory / f".{GAUGES_FILE}"
    draft.write_bytes(msgspec.json.encode(gauges))
    draft.rename(directory / GAUGES_FILE)


def load_gauges(directory: Path) -> list[Gauge]:
    """The stored measurements; none while there are none, or of another release."""
    try:
        return msgspec.json.decode((directory / GAUGES_FILE).read_bytes(), type=list[Gauge])
    except (OSError, msgspec.MsgspecError):
        return []


def render(counts: Sequence[int], gauges: Iterable[Gauge]) -> bytes:
    """The text that Prometheus reads. Imports prometheus_client, so call it in a thread."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.registry import Collector

    class Collected(Collector):
        def collect(self) -> "Iterator[Metric]":
            families: dict[str, CounterMetricFamily] = {}
            for counter, count in zip(COUNTERS, counts, strict=False):
                labels = [counter.label] if counter.label else []
                family = families.setdefault(
                    counter.name, CounterMetricFamily(counter.name, counter.help, labels=labels)
                )
                family.add_metric([counter.value] if counter.label else [], count)
            yield from families.values()
            for number, (name, text) in enumerate(HISTOGRAMS):
                first = len(COUNTERS) + number * HISTOGRAM_SLOTS
                *buckets, total_us = counts[first : first + HISTOGRAM_SLOTS]
                bounds = [*map(str, BUCKETS_S), "+Inf"]
                yield HistogramMetricFamily(
                    name, text, list(zip(bounds, accumulate(buckets), strict=True)), total_us / 1e6
                )
            measured: dict[str, GaugeMetricFamily] = {}
            for each in gauges:
                family_of = measured.setdefault(
                    each.name, GaugeMetricFamily(each.name, each.help, labels=list(each.labels))
                )
                family_of.add_metric(list(each.labels.values()), each.value)
            yield from measured.values()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected())
    return generate_latest(registry)
