"""The spool beside SQLite (WAL): processor time of a click, singly and in batches of 32, and the latency of a durable 3 kB record.

Each round measures both in turn, on the disk that holds the working directory. The spool flushes clicks every 100 ms; SQLite commits each click, or
batch of clicks, with synchronous=FULL (flushed), and with NORMAL, which is closer to what the spool promises of clicks.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from app.spool.writer import Spool
from bench.effort import Effort
from bench.figures import percentile

BATCH = 32
CLICK_BYTES = 260
RECORD_BYTES = 3_000


def scene(effort: Effort) -> list[str]:
    """The lines of the figures: medians of the rounds, and of the ratios of each round."""
    measured: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix=".bench-spool-", dir=Path.cwd()) as directory:
        for turn in range(effort.spool_rounds):
            place = Path(directory) / str(turn)
            place.mkdir()
            for batch, name in ((1, "a click"), (BATCH, f"a click in batches of {BATCH}")):
                spool_us = _spool_clicks_us(place, effort, batch)
                for synchronous in ("FULL", "NORMAL"):
                    pair = spool_us, _sqlite_clicks_us(place, effort, batch, synchronous)
                    measured.setdefault(f"{name}, us of processor time, {synchronous}", []).append(pair)
            spool_ms, sqlite_ms = _spool_records_ms(place, effort), _sqlite_records_ms(place, effort)
            for percent in (50, 99):
                pair = percentile(spool_ms, percent), percentile(sqlite_ms, percent)
                measured.setdefault(f"a durable record of 3 kB, p{percent} in ms, FULL", []).append(pair)
    return [_line(name, pairs) for name, pairs in measured.items()]


def _line(name: str, pairs: list[tuple[float, float]]) -> str:
    spool, sqlite = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(theirs / ours for ours, theirs in pairs)
    return f"{name:<58} spool {spool:7.2f}  SQLite {sqlite:7.2f}  ratio {ratio:5.1f}"


def _each_us(work: Callable[[], int]) -> float:
    """Processor time of this process, its threads included, for each of the things that `work` says it did."""
    began = time.process_time()
    count = work()
    return (time.process_time() - began) / count * 1e6


def _spool_clicks_us(place: Path, effort: Effort, batch: int) -> float:
    line = b"x" * CLICK_BYTES

    async def write() -> int:
        spool = Spool(place / f"spool-{batch}", kind="clicks")
        record = b"\n".join([line] * batch)
        for number in range(effort.spool_clicks // batch):
            spool.append(record)
            if number % 256 == 0:
                await asyncio.sleep(0)
        await spool.close()
        return effort.spool_clicks // batch * batch

    return _each_us(lambda: asyncio.run(write()))


def _sqlite_clicks_us(place: Path, effort: Effort, batch: int, synchronous: str) -> float:
    commits = min(effort.spool_records, effort.spool_clicks // batch)

    def write() -> int:
        database = _database(place / f"clicks-{batch}-{synchronous}.sqlite", synchronous)
        rows = [(b"x" * CLICK_BYTES,)] * batch
        for _ in range(commits):
            database.execute("BEGIN")
            database.executemany("INSERT INTO line (content) VALUES (?)", rows)
            database.execute("COMMIT")
        database.close()
        return commits * batch

    return _each_us(write)


def _spool_records_ms(place: Path, effort: Effort) -> list[float]:
    line = b"x" * RECORD_BYTES
    latencies: list[float] = []

    async def write() -> None:
        spool = Spool(place / "spool-orders", kind="orders")
        for _ in range(effort.spool_records):
            began = time.perf_counter()
            spool.append(line)
            await spool.synced()
            latencies.append((time.perf_counter() - began) * 1000)
        await spool.close()

    asyncio.run(write())
    return latencies


def _sqlite_records_ms(place: Path, effort: Effort) -> list[float]:
    database = _database(place / "records.sqlite", "FULL")
    latencies: list[float] = []
    for _ in range(effort.spool_records):
        began = time.perf_counter()
        database.execute("INSERT INTO line (content) VALUES (?)", (b"x" * RECORD_BYTES,))
        latencies.append((time.perf_counter() - began) * 1000)
    database.close()
    return latencies


def _database(path: Path, synchronous: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute(f"PRAGMA synchronous = {synchronous}")
    database.execute("CREATE TABLE line (id INTEGER PRIMARY KEY, content BLOB)")
    return database
