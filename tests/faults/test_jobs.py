"""An import while its process is killed: every row is recorded once, and the counts say so."""

import asyncio
import json
import os
import time
import urllib.request
from typing import Any

import asyncpg
import pytest

from tests.faults.test_whole import kill
from tests.served import Served

pytestmark = pytest.mark.faults

ROWS = 100_000 if os.environ.get("ARIANE_TESTS_LONG") else 4_000
KILLS = 5 if os.environ.get("ARIANE_TESTS_LONG") else 1
REFUSED_EVERY = 100
COUNTS = """
SELECT (SELECT count(*) FROM conversion WHERE brand_id = $1), (SELECT sum(net_minor)::bigint FROM conversion WHERE brand_id = $1),
       (SELECT count(*) FROM witness WHERE brand_id = $1), (SELECT count(*) FROM job_line WHERE brand_id = $1),
       (SELECT count(*) FROM job_piece WHERE brand_id = $1)
"""


def test_a_killed_import_goes_on_and_nothing_is_lost_or_counted_twice(whole: Served) -> None:
    served = whole.of("Jobs")
    job = upload(served)
    for turn in range(1, KILLS + 1):
        served.until(lambda part=turn: look(served, job)["progress"]["done"] >= ROWS * part // (KILLS + 2), 120)  # type: ignore[misc]
        kill(served, "app.server.background")
    ended = served.until(lambda: (shown := look(served, job))["finished_at"] and shown, 240)
    assert asyncio.run(count(served)) == (ROWS - ROWS // REFUSED_EVERY, (ROWS - ROWS // REFUSED_EVERY) * 1_000)
    assert ended["state"] == "succeeded"
    assert ended["progress"]["done"] == ROWS
    result = ended["result"]
    assert result["orders"] == {"new": ROWS - ROWS // REFUSED_EVERY, "added": 0, "known": 0}
    assert result["reasons"] == {"invalid_amount": ROWS // REFUSED_EVERY}


def upload(served: Served) -> str:
    rows = (f"{number},{'ten' if number % REFUSED_EVERY == 0 else '10.00'},EUR\n" for number in range(ROWS))
    body = "order_id,net,currency\n" + "".join(rows)
    request = urllib.request.Request(f"{served.url}/v1/imports", body.encode(), method="POST")
    request.add_header("Authorization", f"Bearer {served.secret_key}")
    request.add_header("Content-Type", "text/csv")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(json.loads(answer.read())["id"])


def look(served: Served, job: str) -> dict[str, Any]:
    time.sleep(0.05)
    return dict(served.call("GET", f"/v1/jobs/{job}"))


async def count(served: Served) -> tuple[int, int]:
    """Our orders and their money, straight from the tables; the lines kept of those refused are each there once."""
    connection = await asyncpg.connect(served.dsn)
    try:
        orders, net, witnesses, lines, pieces = await connection.fetchrow(COUNTS, served.brand_id)
    finally:
        await connection.close()
    assert (witnesses, lines, pieces) == (orders, ROWS // REFUSED_EVERY, 0)
    return orders, net
