"""A data directory is lost: what its page says to save is saved, typed in as it stands, and brings all of it back, here or in a server of one's own."""

import asyncio
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.conftest import database_dsn
from tests.served import Served, serve
from tests.test_docs import example, type_in

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not os.environ.get("ARIANE_TESTS_LONG"), reason="four starts of the service: make faults"),
]
YOURS = "yours"


def test_a_dump_is_made_and_restored_as_the_page_of_operations_says(tmp_path: Path, server: str) -> None:
    """PG_BIN chooses the server that is one's own; the dump is always the newest PostgreSQL's, which older ones read only as the page says."""
    yours = asyncio.run(make_database(server))
    with serve(tmp_path, PG_BIN="") as served:
        type_in(example("first-steps"), served)
        source = served.call("POST", "/v1/sources", {"platform": "generic", "secrets": ["a-long-random-secret"]})
        told = served.until(lambda: report(served))
        steps = [
            f"set -a\ncd {tmp_path}\nln -s {sys.prefix} .venv\nHOME={tmp_path} PG_BIN= ARIANE_DATA={served.data}",
            example("backup"),
            f"DATABASE_URL={yours!r}",
            example("restore-yours"),
            "unset DATABASE_URL",
            example("restore"),
        ]
        told_by = type_in("\n".join(steps), served, PYTHONPATH=os.environ.get("PYTHONPATH", ""))
        assert "sk_" not in told_by
        assert "Traceback" not in told_by
    place = tmp_path / "another place"
    place.mkdir()
    (tmp_path / "restored").rename(place / "data")
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "data").mkdir(parents=True)
    shutil.copy(tmp_path / "another" / "secret.key", elsewhere / "data" / "secret.key")
    for directory, variables in ((place, {"PG_BIN": ""}), (elsewhere, {"DATABASE_URL": yours})):
        with serve(directory, **variables) as restored:
            before = replace(restored, secret_key=served.secret_key)
            assert report(before) == told
            goes_on(before, source["url"].replace(served.url, restored.url))


async def make_database(server: str) -> str:
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE DATABASE {YOURS}")
    await connection.close()
    return database_dsn(server, YOURS)


def report(served: Served) -> dict[str, Any] | None:
    """What the first steps have come to; None while their click is not counted yet."""
    found: dict[str, Any] = served.call("GET", "/v1/reports/summary?group_by=influencer")
    return {name: found[name] for name in ("rows", "totals")} if found["totals"]["unique_clicks"] else None


def goes_on(served: Served, hook_url: str) -> None:
    """A code known before and a secret kept before still decide and verify what comes now."""
    order = {"order_id": "new", "codes": ["LEA10"], "net_minor": 1_000, "currency": "EUR"}
    decided = served.call("POST", "/v1/conversions", order)["attribution"]
    assert (decided["verdict"], decided["method"]) == ("attributed", "code")
    type_in(example("generic-webhook"), served, HOOK_URL=hook_url)
    assert served.until(lambda: served.call("GET", "/v1/conversions?order_id=1002")["data"])
