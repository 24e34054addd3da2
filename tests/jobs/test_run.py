"""The machinery of jobs: taken once, taken up again after a death, ended by its owner or by the service, kept for a while."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from app import clock, random_ids
from app.database.connections import connect_pool
from app.jobs.run import ATTEMPTS_MAX, JobFailed, JobLine, Kind, Run, run_next, sweep_jobs
from app.settings import Settings, read_settings

Doing = Callable[[Run], Awaitable[Mapping[str, Any]]]


class Runner:
    """A database of the test's own, jobs put into it and runners over it."""

    def __init__(self, pool: asyncpg.Pool, settings: Settings) -> None:
        self.pool = pool
        self.settings = settings
        self.stopping = asyncio.Event()

    async def put(self, brand_id: UUID | None = None, kind: str = "count", **arguments: object) -> UUID:
        job_id = random_ids.new_id()
        await self.pool.execute(
            "INSERT INTO job (brand_id, id, kind, arguments, created_at) VALUES ($1, $2, $3, $4, $5)",
            brand_id or random_ids.new_id(),
            job_id,
            kind,
            json.dumps(arguments),
            clock.now(),
        )
        return job_id

    async def run(self, doing: Doing) -> int:
        return await run_next(self.pool, self.settings, "s" * 43, {"count": Kind(doing, "rows")}, self.stopping)

    async def read(self, job_id: UUID) -> asyncpg.Record:
        row = await self.pool.fetchrow("SELECT * FROM job WHERE id = $1", job_id)
        assert row is not None
        return row

    async def silence(self, job_id: UUID) -> None:
        """Makes its runner seem dead."""
        await self.pool.execute("UPDATE job SET alive_at = alive_at - interval '1 hour' WHERE id = $1", job_id)


@pytest.fixture
async def runner(fresh_dsn: Callable[[], Awaitable[str]], tmp_path: Path) -> AsyncIterator[Runner]:
    pool = await connect_pool(await fresh_dsn(), size=8, name="tests")
    yield Runner(pool, msgspec.structs.replace(read_settings({}, data=tmp_path), job_silent_s=2))
    await pool.close()


async def count(run: Run) -> Mapping[str, Any]:
    """Counts to five, a line each, and remembers how far it was."""
    for number in range(run.checkpoint.get("next", 0), 5):

        async def part(connection: asyncpg.Connection, number: int = number) -> Mapping[str, Any]:
            await run.add_lines(connection, [JobLine(number, "counted", None, "a NUL \0 and \ud800 half")])
            return {"next": number + 1}

        await run.commit(part, done=number + 1, total=5)
    return {"counted": run.checkpoint["next"]}


async def test_a_job_runs_once_and_shows_its_progress_and_result(runner: Runner) -> None:
    job_id = await runner.put()
    assert [await runner.run(count), await runner.run(count)] == [1, 0]
    job = await runner.read(job_id)
    assert (job["state"], job["done"], job["total"], json.loads(job["result"])) == ("succeeded", 5, 5, {"counted": 5})
    assert job["claim"] is None
    assert job["finished_at"] is not None
    lines = await runner.pool.fetch("SELECT number, detail FROM job_line WHERE job_id = $1 ORDER BY number", job_id)
    assert [line["number"] for line in lines] == [0, 1, 2, 3, 4]
    assert lines[0]["detail"] == "a NUL ␀ and ? half"


async def test_ten_runners_take_a_job_once(runner: Runner) -> None:
    await runner.put()
    assert sum(await asyncio.gather(*(runner.run(count) for _ in range(10)))) == 1


async def test_runners_that_choose_at_the_same_moment_take_one_job_of_a_brand(runner: Runner) -> None:
    brand_id = random_ids.new_id()
    for _ in range(8):
        await runner.put(brand_id)
    running, most = 0, 0

    async def meet(run: Run) -> Mapping[str, Any]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return {}

    await asyncio.gather(*(runner.pool.execute("SELECT pg_sleep(0.05)") for _ in range(8)))  # all of them connected
    for _ in range(8):
        await asyncio.gather(*(runner.run(meet) for _ in range(4)))
    assert most == 1


async def test_brands_take_turns_and_one_has_one_job_running(runner: Runner) -> None:
    alice, charlie = random_ids.new_id(), random_ids.new_id()
    for brand_id in (alice, alice, charlie):
        await runner.put(brand_id)
    began: list[UUID] = []
    both = asyncio.Event()

    async def wait_for_the_other(run: Run) -> Mapping[str, Any]:
        began.append(run.brand_id)
        if len(began) == 2:
            both.set()
        await both.wait()
        return {}

    await asyncio.gather(*(runner.run(wait_for_the_other) for _ in range(3)))
    assert sorted(began[:2]) == sorted([alice, charlie])


async def test_a_job_whose_runner_died_goes_on_from_its_checkpoint_and_the_dead_runner_can_commit_nothing(
    runner: Runner,
) -> None:
    job_id = await runner.put()
    began, went_on = asyncio.Event(), asyncio.Event()

    async def falls_silent(run: Run) -> Mapping[str, Any]:
        async def part(connection: asyncpg.Connection) -> Mapping[str, Any]:
            await run.add_lines(connection, [JobLine(0, "by the first")])
            return {"next": 99 if began.is_set() else 1}

        await run.commit(part, done=1)
        began.set()
        await went_on.wait()
        await run.commit(part, done=99)
        raise AssertionError("the job is somebody else's by now")

    first = asyncio.create_task(runner.run(falls_silent))
    await began.wait()
    await runner.silence(job_id)
    while not await runner.run(count):
        await runner.silence(job_id)  # it gave a sign of life in between
    went_on.set()
    assert await first == 1
    job = await runner.read(job_id)
    assert (job["state"], job["done"], json.loads(job["result"])) == ("succeeded", 5, {"counted": 5})
    lines = await runner.pool.fetch("SELECT status FROM job_line WHERE job_id = $1 ORDER BY number", job_id)
    assert [line["status"] for line in lines] == ["by the first", "counted", "counted", "counted", "counted"]


async def test_a_long_part_of_a_job_is_no_silence(runner: Runner) -> None:
    job_id = await runner.put()

    async def slow(run: Run) -> Mapping[str, Any]:
        await asyncio.sleep(2.5)
        await run.commit(done=1)
        return {}

    running = asyncio.create_task(runner.run(slow))
    await asyncio.sleep(2.2)
    assert await runner.run(count) == 0
    await running
    assert (await runner.read(job_id))["state"] == "succeeded"


async def test_a_job_whose_runner_died_before_the_clock_was_set_back_goes_on(runner: Runner) -> None:
    """Its last sign of life lies ahead: it must not hold the job, and with it all of the brand's, until the clock gets there."""
    job_id = await runner.put()

    async def dies(_: Run) -> Mapping[str, Any]:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await runner.run(dies)
    await runner.pool.execute("UPDATE job SET alive_at = alive_at + interval '1 day' WHERE id = $1", job_id)
    assert await runner.run(count) == 1
    assert (await runner.read(job_id))["state"] == "succeeded"


async def test_what_kills_its_process_again_and_again_is_given_up(runner: Runner) -> None:
    job_id = await runner.put()

    async def dies(_: Run) -> Mapping[str, Any]:
        raise asyncio.CancelledError

    for _ in range(ATTEMPTS_MAX):
        with pytest.raises(asyncio.CancelledError):
            await runner.run(dies)
        await runner.silence(job_id)
    await runner.run(dies)
    job = await runner.read(job_id)
    assert job["state"] == "failed"
    assert "never came to an end" in job["error"]


async def test_a_stop_puts_it_back_and_it_goes_on_where_it_was(runner: Runner) -> None:
    job_id = await runner.put()

    async def is_stopped(run: Run) -> Mapping[str, Any]:
        runner.stopping.set()
        return await count(run)

    await runner.run(is_stopped)
    job = await runner.read(job_id)
    assert (job["state"], job["done"], job["attempts"]) == ("queued", 1, 0)
    assert await runner.run(count) == 0
    runner.stopping.clear()
    assert await runner.run(count) == 1
    assert (await runner.read(job_id))["done"] == 5


async def test_a_cancelled_job_ends_after_its_part_and_keeps_its_result(runner: Runner) -> None:
    job_id = await runner.put()

    async def is_cancelled(run: Run) -> Mapping[str, Any]:
        await runner.pool.execute("UPDATE job SET cancelled_at = now() WHERE id = $1", job_id)
        run.result = lambda: {"counted": 1}
        return await count(run)

    await runner.run(is_cancelled)
    job = await runner.read(job_id)
    assert (job["state"], job["done"], json.loads(job["result"])) == ("cancelled", 1, {"counted": 1})


async def test_a_failure_is_a_sentence_and_a_fault_of_ours_does_not_tell_its_inside(
    runner: Runner, caplog: pytest.LogCaptureFixture
) -> None:
    failing, ours, unknown = await runner.put(), await runner.put(), await runner.put(kind="dance")

    async def fails(run: Run) -> Mapping[str, Any]:
        if run.id == failing:
            raise JobFailed("the file is empty")
        raise KeyError("a secret")

    for _ in range(3):
        assert await runner.run(fails) == 1
    assert (await runner.read(failing))["error"] == "the file is empty"
    assert "the log has the details" in (await runner.read(ours))["error"]
    assert "dance" in (await runner.read(unknown))["error"]
    assert "a secret" in caplog.text
    assert {(await runner.read(each))["state"] for each in (failing, ours, unknown)} == {"failed"}


async def test_a_database_that_is_away_is_no_failure_of_the_job(runner: Runner) -> None:
    job_id = await runner.put()

    async def meets_an_outage(_: Run) -> Mapping[str, Any]:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await runner.run(meets_an_outage)
    assert (await runner.read(job_id))["state"] == "queued"
    assert await runner.run(count) == 1
    assert (await runner.read(job_id))["state"] == "succeeded"


async def test_an_upload_is_forgotten_with_the_end_and_the_job_after_its_time(runner: Runner) -> None:
    brand_id = random_ids.new_id()
    job_id = await runner.put(brand_id)
    broken_off = [random_ids.new_id(), UUID(int=random_ids.new_id().int - (7 * 3_600_000 << 80))]
    for owner in (job_id, *broken_off):
        await runner.pool.execute(
            "INSERT INTO job_piece VALUES ($1, $2, 0, 'abc'), ($1, $2, 1, 'def')", brand_id, owner
        )

    async def reads(run: Run) -> Mapping[str, Any]:
        return {"file": b"".join([piece async for piece in run.pieces()]).decode(), **await count(run)}

    await runner.run(reads)
    assert json.loads((await runner.read(job_id))["result"])["file"] == "abcdef"
    pieces = "SELECT DISTINCT job_id FROM job_piece"
    assert {row["job_id"] for row in await runner.pool.fetch(pieces)} == set(broken_off)
    await sweep_jobs(runner.pool, runner.settings)
    assert {row["job_id"] for row in await runner.pool.fetch(pieces)} == {broken_off[0]}
    assert await runner.pool.fetchval("SELECT count(*) FROM job_line") == 5
    kept = timedelta(days=runner.settings.job_retention_days)
    await runner.pool.execute("UPDATE job SET finished_at = $1", clock.now() - kept - timedelta(minutes=1))
    assert await sweep_jobs(runner.pool, runner.settings) == 1
    assert await runner.pool.fetchval("SELECT count(*) FROM job_line") == 0
