"""Goal: of a brand that is deleted nothing is left in any table, nobody else notices, and its slugs are never given out again."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from app import clock, random_ids
from app.database.columns import metadata
from app.intake.clicks.calendar import Calendar
from app.intake.clicks.recording import read_clicks, record_clicks
from app.jobs import brand_deletion
from app.jobs.kinds import KINDS
from app.jobs.run import run_next
from app.spool.records import ClickLine
from tests.cast import Brand
from tests.jobs.test_privacy import KEY, Life, life

__all__ = ["life"]

MORE = (
    "INSERT INTO host (host, brand_id, created_at) VALUES ('go.' || ($1::uuid)::text, $1, now())",
    "INSERT INTO policy (brand_id, scope_id, version, created_at) VALUES ($1, $1, 1, now())",
    """INSERT INTO cost (brand_id, id, campaign_id, kind, amount_minor, currency, incurred_on, created_at, updated_at)
       SELECT $1, gen_random_uuid(), id, 'fee', 1, 'EUR', '2026-11-01', now(), now() FROM campaign WHERE brand_id = $1""",
    "INSERT INTO code_alias (brand_id, alias, code_id, created_at) SELECT $1, 'promo_1', id, now() FROM code WHERE brand_id = $1",
    "INSERT INTO door_rule (brand_id, forward_query, own_networks) VALUES ($1, 'nothing', '{}')",
    "INSERT INTO missed_day (brand_id, day, host, slug, reason) VALUES ($1, '2026-11-01', '*', 'x', 'disabled')",
    """INSERT INTO visit (brand_id, day, link_id, visitor, first_click_id)
       SELECT $1, '2026-11-01', id, 1, gen_random_uuid() FROM link WHERE brand_id = $1""",
    """INSERT INTO status_change (brand_id, conversion_id, id, status, was, changed_at)
       SELECT $1, id, gen_random_uuid(), 'approved', 'pending', now() FROM conversion WHERE brand_id = $1""",
    """INSERT INTO idempotency (brand_id, key_id, key, fingerprint, status, created_at) VALUES ($1, $1, 'k', '', 200, now())""",
    "INSERT INTO redecide (brand_id, conversion_id, not_before) VALUES ($1, $1, now() + interval '1 day')",
    "INSERT INTO unique_pending (brand_id, click_ids, link_ids, visitors) VALUES ($1, '{}', '{}', '{}')",
    "INSERT INTO job (brand_id, id, kind, created_at) VALUES ($1, $1, 'import', now())",
    "INSERT INTO job_line (brand_id, job_id, number, status) VALUES ($1, $1, 1, 'refused')",
    "INSERT INTO job_piece (brand_id, job_id, number, content) VALUES ($1, $1, 0, 'x')",
)
TABLES = [table.name for table in metadata.sorted_tables if "brand_id" in table.c]


async def counts(life: Life, brand: Brand) -> dict[str, int]:
    return {
        table: await life.pool.fetchval(f"SELECT count(*) FROM {table} WHERE brand_id = $1", brand.id)
        for table in TABLES
    }


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brand_deletion, "SEEN_AFTER", timedelta())
    monkeypatch.setattr(brand_deletion, "BATCH_ROWS", 2)


async def delete(life: Life) -> UUID:
    job_id = random_ids.new_id()
    # Before the import that waits: its brand has one job at a time.
    await life.pool.execute(
        "INSERT INTO job (brand_id, id, kind, created_at) VALUES ($1, $2, 'brand_deletion', $3)",
        life.alice.id,
        job_id,
        clock.now(),
    )
    await life.pool.execute("UPDATE job SET state = 'failed' WHERE kind = 'import'")
    assert await run_next(life.pool, life.settings, KEY, KINDS, life.stopping) == 1
    return job_id


async def test_nothing_of_a_deleted_brand_is_left_in_any_table_and_the_rival_is_untouched(life: Life) -> None:
    for statement in MORE:
        await life.pool.execute(statement, life.alice.id)
        await life.pool.execute(statement, life.charlie.id)
    assert {table: count for table, count in (await counts(life, life.alice)).items() if count == 0} == {}
    slug = await life.pool.fetchval("SELECT slug FROM link WHERE brand_id = $1", life.alice.id)
    rival = await life.everything(life.charlie)
    await delete(life)
    assert {table: count for table, count in (await counts(life, life.alice)).items() if count} == {}
    assert await life.pool.fetchval("SELECT count(*) FROM brand WHERE id = $1", life.alice.id) == 0
    assert await life.everything(life.charlie) == rival.replace("queued", "failed")
    # Its slug leads nowhere, belongs to nobody and stays taken.
    route = await life.pool.fetchrow("SELECT * FROM route WHERE slug = $1", slug)
    assert route is not None
    assert (route["brand_id"], route["link_id"], route["disabled"]) == (UUID(int=0), UUID(int=0), True)
    assert "shop" not in route["destination_url"]


async def test_what_a_machine_that_was_down_brings_afterwards_is_nobodys(life: Life) -> None:
    late = life.order(life.alice, 9, "late@example.org")
    await delete(life)
    await life.receive(late)
    assert await life.pool.fetchval("SELECT count(*) FROM delivery WHERE brand_id = $1", life.alice.id) == 0
    row = await life.pool.fetchrow("SELECT * FROM delivery WHERE brand_id = $1", UUID(int=0))
    assert row is not None
    assert (row["status"], row["reason"]) == ("rejected", "unknown_brand")
    click = ClickLine(
        str(random_ids.new_id()), str(life.alice.id), str(random_ids.new_id()), 7, "", "Mozilla/5.0", "", ""
    )
    async with life.pool.acquire() as connection:
        assert await record_clicks(connection, read_clicks([click]), Calendar()) == 0
    assert {table: count for table, count in (await counts(life, life.alice)).items() if count} == {}


async def test_keys_and_sources_end_and_links_close_before_anything_is_deleted(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brand_deletion, "SEEN_AFTER", timedelta(hours=1))

    async def stop(_seconds: float) -> None:
        life.stopping.set()

    monkeypatch.setattr(brand_deletion.asyncio, "sleep", stop)
    job_id = await delete(life)
    job = await life.pool.fetchrow("SELECT state, checkpoint FROM job WHERE id = $1", job_id)
    assert job is not None
    assert job["state"] == "queued"
    assert "closed_at" in json.loads(job["checkpoint"])
    open_ones: Any = await life.pool.fetchval(
        """SELECT (SELECT count(*) FROM api_key WHERE brand_id = $1 AND revoked_at IS NULL)
                + (SELECT count(*) FROM source WHERE brand_id = $1 AND archived_at IS NULL)
                + (SELECT count(*) FROM route WHERE brand_id = $1)""",
        life.alice.id,
    )
    assert open_ones == 0
    assert await life.pool.fetchval("SELECT count(*) FROM conversion WHERE brand_id = $1", life.alice.id) == 4


async def test_it_waits_for_spools_that_are_not_drained_yet(life: Life) -> None:
    past = clock.now() - timedelta(minutes=1)
    await life.pool.execute("INSERT INTO drain_state VALUES ('here', $1, $2)", past, clock.now())
    now = clock.now()
    undrained = [
        await life.pool.fetchval(brand_deletion.UNDRAINED, each, now - timedelta(hours=1)) for each in (past, now)
    ]
    assert undrained == [False, True]
