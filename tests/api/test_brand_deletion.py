"""Goal: a brand is deleted by somebody who asked for it twice, and by nobody else."""

from datetime import timedelta

import asyncpg
import pytest
from httpx2 import AsyncClient

from app import clock
from app.api.routes import brand_deletion
from tests.api.calls import post
from tests.cast import Brand


async def test_the_first_call_deletes_nothing_and_the_second_starts_it(
    pool: asyncpg.Pool, alice: Brand, as_alice: AsyncClient
) -> None:
    asked = await post(as_alice, "/v1/brand/delete", {}, status=200)
    assert (asked["name"], asked["orders"]) == ("Alice", 0)
    assert await pool.fetchval("SELECT count(*) FROM job WHERE brand_id = $1", alice.id) == 0
    job = await post(as_alice, "/v1/brand/delete", {"confirmation": asked["confirmation"]}, status=202)
    assert (job["kind"], job["state"]) == ("brand_deletion", "queued")
    await pool.execute("DELETE FROM job WHERE brand_id = $1", alice.id)


async def test_a_confirmation_lapses_and_fits_its_brand_alone(
    as_alice: AsyncClient, as_charlie: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await post(as_alice, "/v1/brand/delete", {}, status=200)
    body = {"confirmation": asked["confirmation"]}
    refused = await as_charlie.post("/v1/brand/delete", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/confirmation")
    for other in ("delete_", "delete_1", f"{asked['confirmation']}0", "nonsense"):
        assert (await as_alice.post("/v1/brand/delete", json={"confirmation": other})).status_code == 422
    later = clock.now() + brand_deletion.CONFIRM_WITHIN
    monkeypatch.setattr(brand_deletion.clock, "now", lambda: later)
    lapsed = await as_alice.post("/v1/brand/delete", json=body)
    assert "has lapsed" in lapsed.json()["errors"][0]["detail"]
    assert timedelta(minutes=15) == brand_deletion.CONFIRM_WITHIN


async def test_only_an_admin_key_may_delete_its_brand(as_alice: AsyncClient) -> None:
    key = await post(as_alice, "/v1/keys", {"kind": "secret", "name": "tool", "scopes": ["write"]})
    answer = await as_alice.post("/v1/brand/delete", json={}, headers={"Authorization": f"Bearer {key['secret_key']}"})
    assert answer.status_code == 403
