"""Goal: a replay of any length goes on where it was, and says how many became what, whatever happened to the process that ran it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from app import clock, random_ids
from app.database.connections import connect_pool
from app.domain import ids
from app.intake.deliveries import replaying
from app.intake.deliveries.recording import RecordingCounts, record_deliveries
from app.jobs.kinds import KINDS
from app.jobs.run import Kind, Run, run_next
from app.platforms.generic import webhook as platform
from app.settings import Settings, read_settings
from app.spool.records import HookLine
from tests.cast import Brand, create_brand
from tests.intake.test_deliveries import SECRET, Shop

KEY = "s" * 43


class Runner:
    """A database of the test's own, with a brand, its shop, and a runner of jobs."""

    def __init__(self, pool: asyncpg.Pool, settings: Settings, brand: Brand, shop: Shop) -> None:
        self.pool = pool
        self.settings = settings
        self.brand = brand
        self.shop = shop
        self.stopping = asyncio.Event()

    async def receive(self, *lines: HookLine) -> RecordingCounts:
        return await record_deliveries(self.pool, lines, secret=KEY, settings=self.settings)

    async def put(self, **arguments: object) -> UUID:
        job_id = random_ids.new_id()
        await self.pool.execute(
            "INSERT INTO job (brand_id, id, kind, arguments, created_at) VALUES ($1, $2, 'replay', $3, $4)",
            self.brand.id,
            job_id,
            json.dumps(arguments),
            clock.now() + timedelta(seconds=1),
        )
        return job_id

    async def run(self, kinds: Any = KINDS) -> int:
        return await run_next(self.pool, self.settings, KEY, kinds, self.stopping)

    async def read(self, job_id: UUID) -> asyncpg.Record:
        row = await self.pool.fetchrow("SELECT * FROM job WHERE id = $1", job_id)
        assert row is not None
        return row

    async def statuses(self) -> list[str]:
        rows = await self.pool.fetch("SELECT status FROM delivery WHERE brand_id = $1 ORDER BY id", self.brand.id)
        return [row["status"] for row in rows]


@pytest.fixture
async def runner(fresh_dsn: Callable[[], Awaitable[str]], tmp_path: Path) -> AsyncIterator[Runner]:
    pool = await connect_pool(await fresh_dsn(), size=8, name="tests")
    brand = await create_brand(pool, "Alice")
    shop = Shop(brand, "generic")
    await shop.connect(pool, KEY, SECRET)
    settings = msgspec.structs.replace(read_settings({}, data=tmp_path, secret_key=KEY), job_silent_s=2)
    yield Runner(pool, settings, brand, shop)
    await pool.close()


def order(runner: Runner, number: int, **changed: object) -> HookLine:
    body = {"order_id": f"A-{number}", "net_minor": 1_000 + number, "currency": "EUR", **changed}
    return runner.shop.line(json.dumps(body).encode(), {})


async def receive_unread(runner: Runner, lines: list[HookLine], monkeypatch: pytest.MonkeyPatch) -> None:
    """As a release that reads none of them."""
    from app.domain.strict_json import Unreadable

    def refuse(*_: object) -> None:
        raise Unreadable("not_an_order", "this release does not know better")

    with monkeypatch.context() as blind:
        blind.setattr(platform, "read_order", refuse)
        assert await runner.receive(*lines) == RecordingCounts(rejected=len(lines))


async def test_everything_that_a_fix_helps_is_recorded_and_the_rest_listed_with_its_reason(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "BATCH_ROWS", 3)
    lines = [order(runner, number, currency="ZZZ" if number == 5 else "EUR") for number in range(8)]
    await receive_unread(runner, lines, monkeypatch)
    untouched = runner.shop.line(b"{", {})
    await runner.receive(untouched)
    job_id = await runner.put(status="rejected", reason="not_an_order")
    assert await runner.run() == 1
    job = await runner.read(job_id)
    assert (job["state"], job["done"]) == ("succeeded", 8)
    result = json.loads(job["result"])
    assert {name: result[name] for name in ("dry_run", "recorded", "ignored", "rejected", "unsigned")} == {
        "dry_run": False,
        "recorded": 7,
        "ignored": 0,
        "rejected": 1,
        "unsigned": 0,
    }
    [reason] = result["reasons"]
    assert (reason["reason"], reason["count"]) == ("invalid_fields", 1)
    assert reason["example_id"] == ids.show("delivery", UUID(lines[5].id))
    [line] = await runner.pool.fetch(
        "SELECT * FROM job_line WHERE brand_id = $1 AND job_id = $2", runner.brand.id, job_id
    )
    assert (line["number"], line["status"], line["reason"]) == (6, "rejected", "invalid_fields")
    assert json.loads(line["details"]) == {"delivery_id": reason["example_id"]}
    assert await runner.statuses() == ["recorded"] * 5 + ["rejected"] + ["recorded"] * 2 + ["rejected"]
    attempts = await runner.pool.fetchval(
        "SELECT attempts FROM delivery WHERE brand_id = $1 AND id = $2", runner.brand.id, UUID(untouched.id)
    )
    assert attempts == 1


async def test_a_process_that_dies_midway_leaves_nothing_twice_and_nothing_out(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "BATCH_ROWS", 3)
    lines = [order(runner, number) for number in range(8)]
    await receive_unread(runner, lines, monkeypatch)
    job_id = await runner.put(status="rejected")
    commits = 0

    async def dying(run: Run) -> Any:
        whole = run.commit

        async def commit(*arguments: Any, **named: Any) -> None:
            nonlocal commits
            commits += 1
            if commits == 3:
                raise asyncio.CancelledError  # what a killed process is, seen from the database
            await whole(*arguments, **named)

        monkeypatch.setattr(run, "commit", commit)
        return await KINDS["replay"].run(run)

    with pytest.raises(asyncio.CancelledError):
        await runner.run({"replay": Kind(dying, "deliveries")})
    assert (await runner.read(job_id))["done"] == 6
    assert await runner.statuses() == ["recorded"] * 6 + ["rejected"] * 2
    assert await runner.run() == 0  # its claim is still believed
    await runner.pool.execute("UPDATE job SET alive_at = alive_at - interval '1 hour' WHERE id = $1", job_id)
    assert await runner.run() == 1
    job = await runner.read(job_id)
    assert (job["state"], job["done"], json.loads(job["result"])["recorded"]) == ("succeeded", 8, 8)
    assert await runner.statuses() == ["recorded"] * 8
    witnesses = await runner.pool.fetchval("SELECT count(*) FROM witness WHERE brand_id = $1", runner.brand.id)
    assert witnesses == 8


async def test_one_that_cannot_be_recorded_costs_only_itself(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    await runner.receive(*[order(runner, number) for number in range(7)])
    whole = platform.read_order

    def careless(body: Any, context: Any) -> Any:
        report = whole(body, context)
        return dataclasses.replace(report, visitor_id="a\0b") if report.order_id == "A-3" else report

    monkeypatch.setattr(platform, "read_order", careless)
    job_id = await runner.put(status="recorded")
    await runner.run()
    job = await runner.read(job_id)
    result = json.loads(job["result"])
    assert (job["state"], job["done"], result["recorded"], result["rejected"]) == ("succeeded", 7, 6, 1)
    assert result["reasons"][0]["reason"] == "not_recordable"


async def test_a_cancelled_replay_keeps_the_result_so_far(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "BATCH_ROWS", 2)
    await runner.receive(*[order(runner, number) for number in range(6)])
    job_id = await runner.put(status="recorded")

    async def cancelling(run: Run) -> Any:
        await runner.pool.execute("UPDATE job SET cancelled_at = now() WHERE id = $1", job_id)
        return await KINDS["replay"].run(run)

    await runner.run({"replay": Kind(cancelling, "deliveries")})
    job = await runner.read(job_id)
    assert (job["state"], job["done"], json.loads(job["result"])["recorded"]) == ("cancelled", 2, 2)


async def test_a_dry_run_counts_and_records_nothing(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    await receive_unread(runner, [order(runner, number) for number in range(3)], monkeypatch)
    job_id = await runner.put(status="rejected", dry_run=True)
    await runner.run()
    result = json.loads((await runner.read(job_id))["result"])
    assert (result["dry_run"], result["recorded"]) == (True, 3)
    assert await runner.statuses() == ["rejected"] * 3


async def test_what_comes_in_while_it_runs_is_not_its_business(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a replay of what is recorded would never end on a busy day."""
    await runner.receive(order(runner, 1))
    job_id = await runner.put(status="recorded")
    await runner.pool.execute(
        "UPDATE job SET created_at = $2 WHERE id = $1", job_id, clock.now() + timedelta(milliseconds=1)
    )
    await asyncio.sleep(0.01)
    await runner.receive(order(runner, 2))
    await runner.run()
    assert (await runner.read(job_id))["done"] == 1


async def test_a_rivals_deliveries_are_not_touched(runner: Runner) -> None:
    charlie = await create_brand(runner.pool, "Charlie")
    his = Shop(charlie, "generic")
    await his.connect(runner.pool, KEY, SECRET)
    line = his.line(b'{"order_id": "his"}', {})
    await runner.receive(line)
    by_id = await runner.put(ids=[ids.show("delivery", UUID(line.id))])
    by_source = await runner.put(source_id=ids.show("source", his.id))
    assert await runner.run() + await runner.run() == 2
    for job_id in (by_id, by_source):
        assert (await runner.read(job_id))["done"] == 0
    assert await runner.pool.fetchval("SELECT attempts FROM delivery WHERE brand_id = $1", charlie.id) == 1
