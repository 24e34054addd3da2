"""Several machines on one database: which there are, forgetting one, and taking over what a lost one left."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import asyncpg

from app import clock, random_ids
from app.intake.drain import ClickRecorder, drain, note_progress, sign_off, spool_name
from app.spool.quarantine import held, quarantine
from app.spool.records import ClickLine, encode
from app.spool.writer import Spool
from tests.cast import create_brand, create_collaboration, create_link
from tests.commands.commanding import command
from tests.server.test_background import PERSON


async def test_the_spool_of_a_lost_machine_is_adopted_and_no_report_jumps_over_it(
    fresh_dsn: Callable[[], Awaitable[str]], tmp_path: Path
) -> None:
    dsn = await fresh_dsn()
    pool = await asyncpg.create_pool(dsn, min_size=0, max_size=2)
    brand = await create_brand(pool, "Alice")
    link_id = await create_link(pool, brand, await create_collaboration(pool, brand), "lea")
    lost, here = tmp_path / "lost", tmp_path / "here"
    spool = Spool(lost / "spool", kind="clicks")
    clicked_at = clock.now()
    spool.append(
        encode(ClickLine(str(random_ids.new_id()), str(brand.id), str(link_id), 7, "90.12.3.0", PERSON, "", ""))
    )
    await note_progress(pool, lost / "spool")
    # Neither while its doors are open nor with a line in its spool has it left.
    assert not await sign_off(pool, lost / "spool")

    async def run(*arguments: str) -> tuple[int, str]:
        done = await asyncio.to_thread(command, *arguments, DATABASE_URL=dsn, ARIANE_DATA=str(here))
        return done.returncode, done.stdout + done.stderr

    status, told = await run("adopt", str(lost))
    assert (status, "is in use" in told) == (1, True), told
    await spool.close()
    assert not await sign_off(pool, lost / "spool")
    quarantine(lost / "spool", [(b"torn", "unreadable")])
    name = spool_name(lost / "spool")
    assert (await run("adopt", str(tmp_path)))[0] == 1
    status, told = await run("hosts", "forget", name, "--yes")
    assert (status, "is running" in told) == (1, True)
    await pool.execute("UPDATE drain_state SET updated_at = updated_at - interval '1 h'")
    listed = json.loads((await run("hosts", "list", "--json"))[1])
    assert [(each["host"], each["state"]) for each in listed] == [(name, "silent")]

    status, told = await run("adopt", str(lost))
    assert (status, f"2 files of {name}" in told) == (0, True), told
    mine = await pool.fetchrow("SELECT host, drained_until FROM drain_state")
    assert mine["host"] == spool_name(here / "spool") != name
    assert mine["drained_until"] < clicked_at + timedelta(seconds=1)
    assert [each.line for each in held(here / "spool")[0]] == [b"torn"]
    assert await drain(here / "spool", "clicks", ClickRecorder(pool, chunk_rows=10, retention_days=30)) == 1
    assert await pool.fetchval("SELECT clicks FROM click_day WHERE brand_id = $1", brand.id) == 1
    # What broke off halfway is made again.
    assert (await run("adopt", str(lost)))[0] == 0
    assert await note_progress(pool, here / "spool") > clicked_at
    assert await sign_off(pool, here / "spool")
    assert json.loads((await run("hosts", "list", "--json"))[1])[0]["state"] == "stopped"
    assert (await run("hosts", "forget", mine["host"], "--yes"))[0] == 0
    assert "no machine" in (await run("hosts", "list"))[1]
    assert (await run("hosts", "forget", mine["host"], "--yes"))[0] == 1
    await pool.close()
