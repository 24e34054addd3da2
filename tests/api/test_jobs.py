"""Jobs over the API: shown to their brand alone, page by page and as a file, cancelled by whoever may write."""

import csv
import io
import json
from uuid import UUID

import asyncpg
from httpx2 import AsyncClient

from app import clock, random_ids
from app.domain import ids
from tests.cast import Brand


async def put(pool: asyncpg.Pool, brand: Brand, state: str = "queued", lines: int = 0) -> tuple[str, UUID]:
    """A job straight in the table, as it is shown and as it is kept."""
    job_id = random_ids.new_id()
    now = clock.now()
    finished_at = None if state in ("queued", "running") else now
    await pool.execute(
        """INSERT INTO job (brand_id, id, kind, state, done, total, result, created_at, finished_at)
           VALUES ($1, $2, 'test', $3, 3, 7, '{"new": 3}', $4, $5)""",
        brand.id, job_id, state, now, finished_at,
    )  # fmt: skip
    for number in range(lines):
        status = "refused" if number % 2 else "conflicting"
        await pool.execute(
            "INSERT INTO job_line VALUES ($1, $2, $3, $4, 'invalid', $5, $6)",
            brand.id, job_id, number + 2, status, "=cmd|' /C calc'!A0", json.dumps({"order_id": f"#{number}"}),
        )  # fmt: skip
    return ids.show("job", job_id), job_id


async def test_a_job_is_listed_and_read_with_its_progress(
    pool: asyncpg.Pool, alice: Brand, as_alice: AsyncClient
) -> None:
    first, _ = await put(pool, alice, "succeeded")
    second, _ = await put(pool, alice)
    listed = (await as_alice.get("/v1/jobs")).json()["data"]
    assert [job["id"] for job in listed] == [second, first]
    assert [job["id"] for job in (await as_alice.get("/v1/jobs?state=succeeded")).json()["data"]] == [first]
    assert (await as_alice.get("/v1/jobs?kind=import")).json()["data"] == []
    shown = (await as_alice.get(f"/v1/jobs/{first}")).json()
    assert shown["progress"] == {"done": 3, "total": 7, "unit": "rows"}
    assert shown["result"] == {"new": 3}
    assert shown["cancelling"] is False


async def test_its_lines_come_in_the_order_of_the_file_and_by_status(
    pool: asyncpg.Pool, alice: Brand, as_alice: AsyncClient
) -> None:
    shown, _ = await put(pool, alice, "succeeded", lines=7)
    page = (await as_alice.get(f"/v1/jobs/{shown}/lines?limit=4")).json()
    assert [line["number"] for line in page["data"]] == [2, 3, 4, 5]
    rest = (await as_alice.get(f"/v1/jobs/{shown}/lines?limit=4&cursor={page['next_cursor']}")).json()
    assert [line["number"] for line in rest["data"]] == [6, 7, 8]
    assert rest["has_more"] is False
    refused = (await as_alice.get(f"/v1/jobs/{shown}/lines?status=refused")).json()["data"]
    assert [line["details"] for line in refused] == [{"order_id": f"#{number}"} for number in (1, 3, 5)]


async def test_its_lines_are_a_file_that_a_spreadsheet_opens_and_does_not_run(
    pool: asyncpg.Pool, alice: Brand, as_alice: AsyncClient
) -> None:
    shown, _ = await put(pool, alice, "succeeded", lines=3)
    answer = await as_alice.get(f"/v1/jobs/{shown}/lines.csv?status=refused")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.content.startswith(b"\xef\xbb\xbfnumber,status,reason,detail,order_id\r\n")
    [row] = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
    assert row == {
        "number": "3",
        "status": "refused",
        "reason": "invalid",
        "detail": "'=cmd|' /C calc'!A0",
        "order_id": "#1",
    }


async def test_a_waiting_job_is_cancelled_at_once_a_running_one_soon_and_a_finished_one_not(
    pool: asyncpg.Pool, alice: Brand, as_alice: AsyncClient
) -> None:
    waiting, waiting_id = await put(pool, alice)
    running, _ = await put(pool, alice, "running")
    finished, _ = await put(pool, alice, "succeeded")
    await pool.execute("INSERT INTO job_piece VALUES ($1, $2, 0, 'a customer')", alice.id, waiting_id)
    answers = [(await as_alice.post(f"/v1/jobs/{job}/cancel")) for job in (waiting, waiting, running, finished)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 409]
    states = [(answer.json()["state"], answer.json()["cancelling"]) for answer in answers[:3]]
    assert states == [("cancelled", False), ("cancelled", False), ("running", True)]
    assert answers[3].json()["code"] == "job_finished"
    assert await pool.fetchval("SELECT count(*) FROM job_piece WHERE brand_id = $1", alice.id) == 0
    assert await pool.fetchval("SELECT finished_at FROM job WHERE brand_id = $1 AND id = $2", alice.id, waiting_id)


async def test_a_rival_brand_sees_nothing_of_it(
    pool: asyncpg.Pool, alice: Brand, as_alice: AsyncClient, as_charlie: AsyncClient
) -> None:
    shown, _ = await put(pool, alice, lines=1)
    for path in (f"/v1/jobs/{shown}", f"/v1/jobs/{shown}/lines", f"/v1/jobs/{shown}/lines.csv"):
        assert (await as_charlie.get(path)).status_code == 404
    assert (await as_charlie.post(f"/v1/jobs/{shown}/cancel")).status_code == 404
    assert (await as_charlie.get("/v1/jobs")).json()["data"] == []
    assert (await as_alice.get(f"/v1/jobs/{shown}")).json()["state"] == "queued"
    for nonsense in ("job_nonsense", "clk_01kb2v0q4n8t6s3d5f7h9j1m2p"):
        assert (await as_alice.get(f"/v1/jobs/{nonsense}")).status_code == 404
