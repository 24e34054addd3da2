"""Goal: whose data is asked for in every way a brand knows a person, nothing of it is kept in clear, and no other brand is touched."""

import json

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from app import random_ids
from app.domain import ids
from tests.api.calls import post
from tests.cast import Brand

ORDER = {"order_id": "P-1", "net_minor": 1000, "currency": "EUR", "customer": {"email": "jane@example.org"}}


@pytest.mark.parametrize("what", ["export", "erase"])
async def test_a_customer_is_asked_for_by_hashes_alone(
    pool: asyncpg.Pool, alice: Brand, as_alice: AsyncClient, what: str
) -> None:
    conversion = await post(as_alice, "/v1/conversions", ORDER)
    job = await post(
        as_alice, f"/v1/privacy/{what}", {"email": " Jane@Example.org", "customer_id": "191167"}, status=202
    )
    assert job["kind"] == f"privacy_{what}"
    assert len(job["arguments"]["customer_keys"]) == 2
    key = await pool.fetchval("SELECT customer_key FROM conversion WHERE brand_id = $1 AND order_id = 'P-1'", alice.id)
    assert key in job["arguments"]["customer_keys"]
    row = await pool.fetchrow("SELECT * FROM job WHERE brand_id = $1", alice.id)
    assert "xample" not in str(dict(row or {}))
    assert "191167" not in str(dict(row or {}))
    assert conversion["order_id"] == "P-1"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"shop": "main"},
        {"email": "a@b.test", "order_id": "P-1"},
        {"conversion_id": "cnv_x", "click_id": "clk_x"},
        {"click_id": "clk_nonsense"},
        {"name": "Jane"},
    ],
)
async def test_a_request_that_does_not_say_whose_data_is_refused(as_alice: AsyncClient, body: dict[str, str]) -> None:
    answer = await as_alice.post("/v1/privacy/erase", json=body)
    assert answer.status_code == 422, answer.text


async def test_an_order_is_found_by_its_number_or_our_id_and_only_by_its_brand(
    as_alice: AsyncClient, as_charlie: AsyncClient
) -> None:
    conversion = await post(as_alice, "/v1/conversions", ORDER)
    for body in ({"order_id": "#P-1"}, {"order_id": "P-1", "shop": "main"}, {"conversion_id": conversion["id"]}):
        job = await post(as_alice, "/v1/privacy/export", body, status=202)
        assert job["arguments"] == {"conversion_id": conversion["id"]}
        assert (await as_charlie.post("/v1/privacy/export", json=body)).status_code == 404
    assert (await as_alice.post("/v1/privacy/erase", json={"order_id": "P-1", "shop": "second"})).status_code == 404
    assert (await as_charlie.get(f"/v1/privacy/exports/{job['id']}")).status_code == 404


async def test_a_click_is_asked_for_by_its_id(as_alice: AsyncClient) -> None:
    click_id = ids.show("click", random_ids.new_id())
    job = await post(as_alice, "/v1/privacy/erase", {"click_id": click_id}, status=202)
    assert job["arguments"] == {"click_id": click_id}


async def test_the_file_is_there_when_the_export_has_succeeded(
    pool: asyncpg.Pool, alice: Brand, as_alice: AsyncClient
) -> None:
    job = await post(as_alice, "/v1/privacy/export", {"email": "jane@example.org"}, status=202)
    answer = await as_alice.get(f"/v1/privacy/exports/{job['id']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "export_not_ready")
    job_id = ids.read("job", job["id"])
    await pool.execute(
        "UPDATE job SET state = 'succeeded', finished_at = now() WHERE brand_id = $1 AND id = $2", alice.id, job_id
    )
    for number, piece in enumerate((b'{"records": [', b"]}")):
        await pool.execute("INSERT INTO job_piece VALUES ($1, $2, $3, $4)", alice.id, job_id, number, piece)
    answer = await as_alice.get(f"/v1/privacy/exports/{job['id']}")
    assert json.loads(answer.text) == {"records": []}
    assert job["id"] in answer.headers["content-disposition"]
    await pool.execute("DELETE FROM job_piece WHERE brand_id = $1 AND job_id = $2", alice.id, job_id)
    assert (await as_alice.get(f"/v1/privacy/exports/{job['id']}")).status_code == 404


async def test_only_an_admin_key_may(service: FastAPI, as_alice: AsyncClient) -> None:
    key = await post(as_alice, "/v1/keys", {"kind": "secret", "name": "shop", "scopes": ["read", "write"]})
    headers = {"Authorization": f"Bearer {key['secret_key']}"}
    for path in ("/v1/privacy/export", "/v1/privacy/erase"):
        answer = await as_alice.post(path, json={"email": "jane@example.org"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
