"""The background process: migrates, drains the spool, and runs every periodic task and job. `python -m app.server.background`

Each task repeats on its own; one that fails is logged and retried after a pause while the others go on. With PostgreSQL down nothing else happens:
the spool keeps what the doors write. On TERM it makes a last pass of at most 2 s; the rest is drained at the next start.
"""

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

import asyncpg
import uvloop

from app import clock, random_ids
from app.database.connections import connect_pool, whereabouts
from app.database.errors import DRIVER_ERRORS
from app.database.migrate import migrate
from app.database.partitions import ensure_partitions
from app.directory.lookup import Directory
from app.domain import browsers
from app.intake.clicks.analyze import refresh_statistics
from app.intake.clicks.uniques import count_uniques
from app.intake.deliveries.recording import record_deliveries
from app.intake.drain import ClickRecorder, drain, note_progress, sign_off
from app.intake.housekeeping import keep_house
from app.jobs.blotting import queue_blotting
from app.jobs.influencer_keys import fill_influencer_keys
from app.jobs.kinds import KINDS
from app.jobs.run import run_next, sweep_jobs
from app.metrics import (
    DELIVERIES_IGNORED,
    DELIVERIES_RECORDED,
    DELIVERIES_REJECTED,
    DELIVERIES_UNSIGNED,
    FAILURES_DATABASE,
    FAILURES_OTHER,
    Counts,
    save_gauges,
)
from app.orders.redecide import redecide
from app.orders.statuses import lock_due
from app.secret import load_secret
from app.server.checked import note_checked
from app.server.measures import Measures
from app.server.priority import Backends, lower_priority
from app.server.start_checks import StartRefused, check_key, refuse
from app.settings import Settings, SettingsError, read_settings
from app.spool.records import Line

CONNECTIONS = 13
"""Database connections: one for each task that writes concurrently; a job reads, writes and sends heartbeats."""

PAUSE_MIN_S = 0.2
PAUSE_MAX_S = 5.0
LAST_PASS_S = 2.0
GC_OBJECTS = 20_000
"""Threshold of Python's garbage collection, in new objects. Parsing an order creates hundreds, none of them in a cycle; with Python's default of 700
collecting takes a fortieth of the recording (docs/performance.md)."""
LOG_AFTER_S = 1.0
MEASURE_EVERY_S = 5.0
DELIVERED = {
    "recorded": DELIVERIES_RECORDED,
    "ignored": DELIVERIES_IGNORED,
    "rejected": DELIVERIES_REJECTED,
    "unsigned": DELIVERIES_UNSIGNED,
}
"""Counter of each status of a delivery."""
UNREACHED = (None, errno.ENOENT, errno.EHOSTUNREACH, errno.ENETUNREACH)
"""Errno of a connection that was refused at several addresses, at a missing socket, or on the way."""
JOBS_AT_ONCE = 2
"""Concurrent jobs, of different brands. More would only share the processor that the drain needs too."""

log = logging.getLogger("ariane.worker")


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """A task that runs every `every_s`. busy: `run` returns how much it did, and runs again immediately if that is not 0."""

    name: str
    every_s: float
    timeout_s: float
    run: Callable[[], Awaitable[object]]
    busy: bool = True


class Outage:
    """Logs a database outage once, with the reason and what to check, and once when it is over."""

    def __init__(self, settings: Settings, *, embedded: bool) -> None:
        self._address = whereabouts(settings.database_url)
        self._own_log = settings.data / "postgres" / "server.log"
        self._embedded = embedded
        self._began_s: float | None = None
        self._logged: set[str] = set()

    def note(self, error: Exception) -> None:
        """Note a failure. It is logged only after LOG_AFTER_S, because the start of the embedded database is over in a moment."""
        now_s = clock.monotonic_s()
        if self._began_s is None:
            self._began_s = now_s
        reason = str(error) or type(error).__name__
        if now_s - self._began_s >= LOG_AFTER_S and reason not in self._logged:
            self._logged.add(reason)
            advice = f"see {self._own_log}" if self._embedded else "check DATABASE_URL, and that PostgreSQL runs there"
            log.warning(
                "waiting for the database %s: %s: %s; what the doors receive waits in the spool",
                self._address, reason, advice,
                exc_info=None if _is_outage(error) or isinstance(error, asyncpg.PostgresError | OSError) else error,
            )  # fmt: skip

    def over(self) -> None:
        """Note a success."""
        if self._logged and self._began_s is not None:
            log.warning("the database %s is there, after %.0f s", self._address, clock.monotonic_s() - self._began_s)
        self._began_s = None
        self._logged.clear()


class BackgroundProcess:
    """The background process of one data directory and one database. embedded: our parent runs the database."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool, directory: Directory, *, embedded: bool = False) -> None:
        self.settings = settings
        self.pool = pool
        self.directory = directory
        self.spool: Path = settings.data / "spool"
        self.stopping = asyncio.Event()
        self.ready = asyncio.Event()
        """Set once the schema and the months' partitions exist."""
        self.refused: StartRefused | None = None
        """Why this host must not serve from its database."""
        self.clicks = ClickRecorder(
            pool, chunk_rows=settings.drain_chunk_rows, retention_days=settings.click_retention_days
        )
        self.secret = load_secret(settings)
        self.embedded = embedded
        self.backends = Backends()
        self.counts = Counts(settings.data / "metrics")
        self.measures = Measures()
        self.outage = Outage(settings, embedded=embedded)

    def tasks(self) -> list[PeriodicTask]:
        """All periodic tasks. After an outage a drain takes long, so its timeout is for a database that hangs."""
        drain_s = self.settings.drain_interval_ms / 1000
        pool, calendar = self.pool, self.clicks.calendar
        tasks = [
            PeriodicTask("clicks", drain_s, 120, self._drain_clicks),
            PeriodicTask("deliveries", drain_s, 120, self._drain_deliveries),
            PeriodicTask("redecide", 0.25, 60, lambda: redecide(pool)),
            PeriodicTask("locks", 30.0, 60, lambda: lock_due(pool)),
            PeriodicTask("uniques", 1.0, 60, lambda: count_uniques(pool, calendar)),
            PeriodicTask("statistics", 2.0, 60, lambda: refresh_statistics(pool), busy=False),
            PeriodicTask("progress", 1.0, 10, lambda: note_progress(pool, self.spool), busy=False),
            PeriodicTask("measures", MEASURE_EVERY_S, 30, self._measure, busy=False),
            PeriodicTask("housekeeping", 600.0, 600, self._keep_house),
            PeriodicTask("partitions", 6 * 3_600.0, 60, self._ensure_partitions, busy=False),
        ]
        tasks += [PeriodicTask(f"jobs {n}", 0.5, 24 * 3_600, self._run_job) for n in range(1, JOBS_AT_ONCE + 1)]
        if self.embedded:
            lower = self.backends.lower_priority
            tasks.append(PeriodicTask("priority", 2.0, 60, lambda: lower(pool), busy=False))
        return tasks

    async def run(self) -> None:
        """Work until `stopping` is set, then make the last pass. Threads that migrate or load user agent data may still run on return."""
        self.counts.open()
        await self.directory.start()
        snapshot = PeriodicTask("snapshot", 1.0, 60, self.directory.save_snapshot, busy=False)
        tasks = [asyncio.create_task(self._repeat(snapshot)), asyncio.create_task(self._work())]
        loading = asyncio.create_task(self._load())
        await self.stopping.wait()
        await self._finish(tasks)
        loading.cancel()
        with suppress(OSError):
            self.counts.close()

    async def _work(self) -> None:
        await self._prepare()
        await asyncio.gather(*map(self._repeat, self.tasks()))

    async def _load(self) -> None:
        await asyncio.to_thread(browsers.load)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_OBJECTS)

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        """Let running tasks end and drain what the doors wrote last, within 2 s together."""
        try:
            async with asyncio.timeout(LAST_PASS_S):
                # Waiting tasks see `stopping` and end; running ones finish their pass first.
                await asyncio.wait(tasks)
                if self.ready.is_set():
                    while await self._drain_clicks() + await self._drain_deliveries():
                        pass
                    while await count_uniques(self.pool, self.clicks.calendar):
                        pass
                    while await redecide(self.pool):
                        pass
                    await note_progress(self.pool, self.spool)
                    await sign_off(self.pool, self.spool)
        except TimeoutError:
            log.info("stopped before everything was drained; the rest follows at the next start")
        except DRIVER_ERRORS as error:
            log.info("the database is away (%s); the spool is drained at the next start", error)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=1)
            try:
                await self.directory.save_snapshot(now=True)
            except OSError as error:
                log.warning("the snapshot could not be written: %s", error)
            await self.directory.stop()

    # ── The tasks ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _prepare(self) -> None:
        """Migrate and create the months' partitions; no other task touches the database before that succeeded."""
        pause_s = PAUSE_MIN_S / 4  # the embedded PostgreSQL is starting and ready in a moment
        while not self.stopping.is_set():
            try:
                if await asyncio.to_thread(migrate, self.settings.database_url):
                    log.info("the database was brought up to date")
                await self._ensure_partitions()
                await self._check_key()
            except StartRefused as error:
                self.refused = error
                self.stopping.set()
            except Exception as error:
                self.outage.note(error)
                await self._pause(pause_s)
                pause_s = min(pause_s * 2, PAUSE_MAX_S / 2)
            else:
                self.outage.over()
                self.ready.set()
                return

    async def _check_key(self) -> None:
        async with self.pool.acquire() as connection:
            await check_key(cast(asyncpg.Connection, connection), self.settings, self.secret)
        with suppress(OSError):  # a full disk; the next start checks again
            note_checked(self.settings, self.secret)

    async def _drain_clicks(self) -> int:
        retention = timedelta(days=self.settings.click_retention_days)
        return await drain(self.spool, "clicks", self.clicks, retention=retention)

    async def _drain_deliveries(self) -> int:
        async def record(lines: Sequence[Line]) -> None:
            done = await record_deliveries(self.pool, lines, secret=self.secret, settings=self.settings)
            for status, slot in DELIVERED.items():
                self.counts.slots[slot] += done[status]

        return await drain(self.spool, "orders", record)

    async def _measure(self) -> None:
        """Store what only the database knows for `/metrics`; while it is away, that it is."""
        directory = self.settings.data / "metrics"
        try:
            gauges = await self.measures.take(self.pool)
        except DRIVER_ERRORS:
            save_gauges(directory, self.measures.away())
            raise
        save_gauges(directory, gauges)

    async def _ensure_partitions(self) -> None:
        async with self.pool.acquire() as connection:
            await ensure_partitions(connection)

    async def _keep_house(self) -> int:
        left = await keep_house(self.pool, self.settings)
        await sweep_jobs(self.pool, self.settings)
        await queue_blotting(self.pool)
        filled = await fill_influencer_keys(self.pool, self.secret)
        return int(left) + filled

    async def _run_job(self) -> int:
        """Run one job to its end."""
        return await run_next(self.pool, self.settings, self.secret, KINDS, self.stopping)

    # ── Repeating ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _repeat(self, task: PeriodicTask) -> None:
        failures, outage = 0, False
        while not self.stopping.is_set():
            try:
                async with asyncio.timeout(task.timeout_s):
                    done = await task.run()
            except Exception as error:
                failures += 1
                pause_s = min(PAUSE_MIN_S * 2**failures, PAUSE_MAX_S) * (0.5 + random_ids.random_number(16) / 2**17)
                outage = _is_outage(error)
                self.counts.slots[FAILURES_DATABASE if outage else FAILURES_OTHER] += 1
                if outage:
                    self.outage.note(error)
                elif failures & (failures - 1) == 0:  # not a line a second for as long as the fault lasts
                    log.warning(
                        "%s failed (%d times in a row): %s", task.name, failures, error or type(error).__name__,
                        exc_info=None if isinstance(error, OSError) else error,
                    )  # fmt: skip
                await self._pause(pause_s)
            else:
                if failures and outage:
                    self.outage.over()
                elif failures:
                    log.info("%s works again after %d failures", task.name, failures)
                failures = 0
                if not (task.busy and done):
                    await self._pause(task.every_s)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            return


def _is_outage(error: Exception) -> bool:
    """Whether the database cannot be reached or refuses connections. A task's timeout and a disk error are no outage."""
    outage = (
        ConnectionError, socket.gaierror, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError,
        asyncpg.InterfaceError, asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError,
    )  # fmt: skip
    if isinstance(error, OSError) and error.errno in UNREACHED and error.filename is None:
        return not isinstance(error, TimeoutError)
    return isinstance(error, outage)


async def _lower_priority_after(ready: asyncio.Event) -> None:
    await ready.wait()  # the other processes wait for the schema
    with suppress(OSError):
        lower_priority()


async def work(settings: Settings, *, embedded: bool = False) -> None:
    """Run the background process until SIGTERM or SIGINT, and end the process."""
    pool = await connect_pool(settings.database_url, size=CONNECTIONS, name="worker")
    worker = BackgroundProcess(settings, pool, Directory(settings), embedded=embedded)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stopping.set)
    began_s = clock.monotonic_s()
    lowering = asyncio.create_task(_lower_priority_after(worker.ready))
    try:
        await worker.run()
    finally:
        lowering.cancel()
        pool.terminate()
        log.info("ended after %.1f s", clock.monotonic_s() - began_s)
    if worker.refused is not None:
        refuse(worker.refused)
    logging.shutdown()
    # Python would wait for a thread that migrates or loads. A migration is a transaction: it starts again next time.
    os._exit(0)


def main(settings: Settings | None = None, *, embedded: bool = False) -> None:
    """Run the command. embedded: `ariane serve`, our parent, runs the database. Raises SettingsError when no database is configured."""
    settings = settings or read_settings()
    if not settings.database_url:
        raise SettingsError(
            "DATABASE_URL: needed here; the embedded database is run by `ariane serve`, which does this work too"
        )
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(settings, embedded=embedded))


if __name__ == "__main__":
    main(embedded=sys.argv[1:] == ["embedded"])
