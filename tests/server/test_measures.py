"""Every metric that the page of alerts names exists, and says what it promises."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
import yaml

from app import clock
from app.metrics import API_SECONDS, SLOTS, Counts, Gauge, load_gauges, render, save_gauges, totals
from app.server.measures import Measures
from tests.cast import create_brand
from tests.tracking.asking import ask, running_doors, settings_for

DOCS = Path(__file__).resolve().parents[2] / "docs"
RULES = DOCS / "alerts.yml"
METRIC = re.compile(r"\bariane_\w+")


async def test_queues_lag_and_a_long_transaction_are_measured_and_every_metric_of_the_alerts_exists(
    fresh_dsn: Callable[[], Awaitable[str]], tmp_path: Path
) -> None:
    dsn = await fresh_dsn()
    pool = await asyncpg.create_pool(dsn, min_size=0, max_size=3)
    brand = await create_brand(pool, "Alice")
    now = clock.now()
    await pool.execute(
        "INSERT INTO drain_state VALUES ('lags', $1, $2, NULL), ('left', $1, $1, $1)", now - timedelta(hours=1), now
    )
    await pool.execute(
        "INSERT INTO redecide (brand_id, conversion_id, not_before) VALUES ($1, $1, NULL), ($1, $1, $2)",
        brand.id,
        now + timedelta(days=1),
    )
    measures = Measures()

    async def measured() -> dict[str, list[Gauge]]:
        found: dict[str, list[Gauge]] = {}
        for each in await measures.take(pool):
            found.setdefault(each.name, []).append(each)
        return found

    async with pool.acquire() as elsewhere, elsewhere.transaction():
        await elsewhere.fetchval("SELECT pg_current_xact_id()")
        await pool.execute("SELECT pg_current_xact_id()")  # one that ran beside it and has ended
        await measured()
        await asyncio.sleep(0.2)
        found = await measured()
        assert 0.2 <= found["ariane_horizon_age_seconds"][0].value < 5
    assert [each.labels for each in found["ariane_drain_lag_seconds"]] == [{"host": "lags"}]
    assert 3_600 <= found["ariane_drain_lag_seconds"][0].value < 3_700
    assert found["ariane_queued_orders"][0].value == 1
    await pool.close()
    async with running_doors(settings_for(dsn, tmp_path)) as doors:
        save_gauges(tmp_path / "metrics", [each for family in found.values() for each in family])
        shown = (await ask(doors, "GET", "/metrics")).body.decode()
    named = set(METRIC.findall(" ".join(rule["expr"] for group in rules() for rule in group["rules"])))
    assert named <= set(METRIC.findall(shown)), named - set(METRIC.findall(shown))
    page = (DOCS / "alerts.md").read_text()
    assert set(METRIC.findall(page)) <= set(METRIC.findall(shown)) | {"ariane_loop_delay_seconds"}
    assert 'ariane_drain_lag_seconds{host="lags"}' in shown


def rules() -> list[dict[str, list[dict[str, str]]]]:
    groups: list[dict[str, list[dict[str, str]]]] = yaml.safe_load(RULES.read_text())["groups"]
    return groups


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_the_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_an_api_that_answers_503_and_its_time_are_counted(dsn: str, tmp_path: Path) -> None:
    async with running_doors(settings_for(dsn, tmp_path)) as doors:

        async def api(scope: object, receive: object, send: Callable[[object], Awaitable[None]]) -> None:
            await send({"type": "http.response.start", "status": 503, "headers": []})

        doors.api = api
        await ask(doors, "GET", "/v1/links")
        shown = (await ask(doors, "GET", "/metrics")).body.decode()
    assert "ariane_unavailable_total 1.0" in shown
    assert "ariane_api_request_seconds_count 1.0" in shown


def test_durations_are_told_apart_and_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    counts = Counts(tmp_path)
    counts.open()
    for seconds in (0.001, 0.02, 3.0, 60.0):
        counts.observe(API_SECONDS, seconds)
    counts.close()
    assert len(totals(tmp_path)) == SLOTS
    shown = render(totals(tmp_path), []).decode()
    for bound, count in (("0.005", 1), ("0.02", 2), ("2.5", 2), ("10.0", 3), ("+Inf", 4)):
        assert f'ariane_api_request_seconds_bucket{{le="{bound}"}} {float(count)}' in shown
    assert "ariane_api_request_seconds_sum 63.021" in shown
    (tmp_path / "database.json").write_text("{")
    assert load_gauges(tmp_path) == load_gauges(tmp_path / "none") == []
    assert Measures().away()[0].value == 0
