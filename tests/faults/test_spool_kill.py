"""Writers, the background process and PostgreSQL are killed under load: what was acknowledged is recorded, and counted once.

The long version (`make faults`) does it ten times over, fifty kills, and keeps the database away for a minute.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.database.embedded import Cluster
from app.database.migrate import migrate
from app.process import child_setup
from app.spool.writer import QUARANTINE, SUFFIX
from tests.cast import Brand, create_brand, create_collaboration, create_link

pytestmark = pytest.mark.faults

LONG = bool(os.environ.get("ARIANE_TESTS_LONG"))
ROUNDS = 10 if LONG else 1
OUTAGE_S = 6.0 if LONG else 0.5
PATIENCE_S = 90.0
CLICKS_PER_ORDER = 50

# Acknowledges as a door does: clicks once they are appended, orders once they are on the disk. Ends by being killed.
WRITER = """
import asyncio, os, sys
from pathlib import Path
from app import random_ids
from app.spool.records import ClickLine, PixelLine, encode
from app.spool.writer import Spool

AGENT = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"

async def write(spool: Path, brand: str, key: str, per_order: int, links: list[str]) -> None:
    clicks = Spool(spool, kind="clicks", segment_bytes=65_536)
    orders = Spool(spool, kind="orders", segment_bytes=65_536)
    while True:
        for n in range(per_order):
            click = str(random_ids.new_id())
            clicks.append(encode(ClickLine(click, brand, links[n % len(links)], n, "90.12.3.0", AGENT, "instagram.com", "")))
            os.write(1, f"click {click}\\n".encode())
        order = str(random_ids.new_id())
        body = f"event=sale&order_id={order}&amount=49.90&currency=EUR&click_id={click}".encode()
        orders.append(encode(PixelLine(order, brand, key, "main", "pixel", "", body)))
        await orders.synced()
        os.write(1, f"order {order}\\n".encode())
        await asyncio.sleep(0.05)

asyncio.run(write(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5:]))
"""


@dataclass
class Scene:
    """Everything that can be killed, and what it acknowledged."""

    cluster: Cluster
    home: Path
    brand: Brand
    links: list[UUID]
    acknowledged: Path = field(init=False)
    writers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    worker: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.acknowledged = self.home / "acknowledged"

    @property
    def spool(self) -> Path:
        return self.home / "spool"

    def start_writer(self) -> None:
        brand, key = str(self.brand.id), str(self.brand.publishable_id)
        with self.acknowledged.open("ab") as output:
            self.writers.append(
                subprocess.Popen(
                    [
                        sys.executable,
                        "-c",
                        WRITER,
                        str(self.spool),
                        brand,
                        key,
                        str(CLICKS_PER_ORDER),
                        *map(str, self.links),
                    ],
                    stdout=output,
                    preexec_fn=child_setup(death_signal=signal.SIGKILL),
                )
            )

    def kill_writer(self) -> None:
        writer = self.writers.pop(0)
        writer.kill()
        assert writer.wait() == -signal.SIGKILL, "a writer ended by itself"

    def start_worker(self) -> None:
        environment = {**os.environ, "DATABASE_URL": self.cluster.dsn, "ARIANE_DATA": str(self.home)}
        with (self.home / "worker.log").open("ab") as output:
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "app.server.background"],
                env=environment,
                stderr=output,
                preexec_fn=child_setup(death_signal=signal.SIGKILL),
            )

    def kill_worker(self) -> None:
        assert self.worker is not None
        self.worker.kill()
        assert self.worker.wait() == -signal.SIGKILL, self.log()
        self.worker = None

    def log(self) -> str:
        return (self.home / "worker.log").read_text()

    def ask(self, query: str) -> Any:
        async def fetch() -> Any:
            connection = await asyncpg.connect(self.cluster.dsn)
            try:
                return await connection.fetch(query, self.brand.id)
            finally:
                await connection.close()

        return asyncio.run(fetch())

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}\n{self.log()}"
            time.sleep(0.05)

    def wait_for_growth(self) -> None:
        """Until the drain is seen at work."""
        before = self.count()
        self.wait_until(lambda: self.count() > before, "new clicks in the database")

    def count(self) -> int:
        return int(self.ask("SELECT count(*) FROM click WHERE brand_id = $1")[0][0])


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    cluster = Cluster(tmp_path / "data")
    with ExitStack() as stack:
        stack.callback(cluster.stop)
        stack.enter_context(cluster.run())
        migrate(cluster.dsn)
        brand, links = asyncio.run(make_links(cluster.dsn))
        scene = Scene(cluster, tmp_path, brand, links)
        stack.callback(end, scene)
        yield scene


def end(scene: Scene) -> None:
    for process in [*scene.writers, *([scene.worker] if scene.worker else [])]:
        process.kill()
        process.wait()


async def make_links(dsn: str) -> tuple[Brand, list[UUID]]:
    pool = await asyncpg.create_pool(dsn, min_size=0, max_size=1)
    try:
        brand = await create_brand(pool)
        collaboration = await create_collaboration(pool, brand)
        return brand, [await create_link(pool, brand, collaboration, f"lea-{n}") for n in range(3)]
    finally:
        await pool.close()


def kill_in_turn(scene: Scene) -> int:
    """The background process in the middle of its work, then a writer; returns how many writers were killed."""
    scene.wait_for_growth()
    scene.kill_worker()
    scene.kill_writer()
    scene.start_writer()
    scene.start_worker()
    return 1


def kill_at_once(scene: Scene) -> int:
    """PostgreSQL and the background process together; the doors go on, and one of them dies while the database is away."""
    scene.wait_for_growth()
    postmaster = scene.cluster.process
    assert postmaster is not None
    postmaster.kill()
    scene.kill_worker()
    postmaster.wait()
    scene.start_worker()
    time.sleep(OUTAGE_S / 2)
    scene.kill_writer()
    scene.start_writer()
    time.sleep(OUTAGE_S / 2)
    scene.cluster.spawn()
    scene.cluster.wait_ready()
    return 1


def test_nothing_acknowledged_is_lost_or_counted_twice_whoever_is_killed(scene: Scene) -> None:
    for _ in range(2):
        scene.start_writer()
    scene.start_worker()
    kills = 0
    for _ in range(ROUNDS):
        kills += kill_in_turn(scene) if LONG else 0
        kills += kill_at_once(scene)
    scene.wait_for_growth()
    while scene.writers:
        scene.kill_writer()
        kills += 1
    scene.wait_until(lambda: not list(scene.spool.glob(f"*{SUFFIX}")), "an empty spool")
    scene.wait_until(lambda: not scene.ask("SELECT 1 FROM unique_pending WHERE brand_id = $1"), "uniques counted")
    scene.wait_until(
        lambda: not scene.ask("SELECT 1 FROM redecide WHERE brand_id = $1 AND not_before IS NULL"), "orders settled"
    )
    assert scene.worker is not None
    scene.worker.terminate()
    assert scene.worker.wait(10) == 0, scene.log()
    scene.worker = None

    acknowledged = [line.split() for line in scene.acknowledged.read_text().splitlines()]
    clicks = {id_ for kind, id_ in acknowledged if kind == "click"}
    orders = {id_ for kind, id_ in acknowledged if kind == "order"}
    stored = {str(row[0]) for row in scene.ask("SELECT id FROM click WHERE brand_id = $1")}
    delivered = {str(row[0]) for row in scene.ask("SELECT id FROM delivery WHERE brand_id = $1")}
    assert len(clicks) > 200
    assert not clicks - stored
    assert not orders - delivered
    # A writer killed between the write and its word leaves at most one line of each kind that nobody was told about.
    assert len(stored - clicks) <= kills
    assert len(delivered - orders) <= kills

    counted = scene.ask("SELECT sum(clicks), sum(unique_clicks) FROM click_day WHERE brand_id = $1")[0]
    visits = scene.ask(
        "SELECT count(*) FROM (SELECT DISTINCT link_id, visitor, occurred_at::date FROM click WHERE brand_id = $1) AS v"
    )
    assert counted[0] == len(stored)
    assert counted[1] == visits[0][0]
    sales = scene.ask(
        "SELECT count(*), count(DISTINCT order_id), sum(net_minor) FROM conversion WHERE brand_id = $1 AND id = root_id"
    )[0]
    assert tuple(sales) == (len(delivered), len(delivered), 4_990 * len(delivered))
    verdicts = scene.ask("SELECT verdict, count(*) FROM decision WHERE brand_id = $1 GROUP BY verdict")
    # Every order names a click; most were recorded before it, some in another process, and all of them have found it.
    assert {row[0]: row[1] for row in verdicts} == {"attributed": len(delivered)}
    assert not (scene.spool / QUARANTINE).exists()
