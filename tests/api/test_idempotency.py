"""`Idempotency-Key`: the same request under the same key is done once and answered the same."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from httpx2 import AsyncClient

from app import clock
from tests.api.calls import make_influencer, make_link, make_pair, post
from tests.cast import Brand

KEY = {"Idempotency-Key": "8e03978e-40d5"}


async def count(pool: asyncpg.Pool, brand: Brand) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM influencer WHERE brand_id = $1", brand.id))


async def test_a_repeated_request_is_answered_with_the_same_bytes(
    as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand
) -> None:
    first = await as_alice.post("/v1/influencers", json={"name": "Léa"}, headers=KEY)
    again = await as_alice.post("/v1/influencers", json={"name": "Léa"}, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    quoted = await as_alice.post(
        "/v1/influencers", json={"name": "Léa"}, headers={"Idempotency-Key": '"8e03978e-40d5"'}
    )
    assert quoted.headers["Idempotent-Replayed"] == "true"
    assert await count(pool, alice) == 1


async def test_twenty_at_once_do_the_work_once(as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand) -> None:
    answers = await asyncio.gather(
        *(as_alice.post("/v1/influencers", json={"name": "Léa"}, headers=KEY) for _ in range(20))
    )
    assert await count(pool, alice) == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    made = {answer.content for answer in answers if answer.status_code == 201}
    assert len(made) == 1
    busy = [answer.json()["code"] for answer in answers if answer.status_code == 409]
    assert set(busy) <= {"idempotency_key_in_use"}
    settled = await as_alice.post("/v1/influencers", json={"name": "Léa"}, headers=KEY)
    assert settled.content in made


async def test_the_key_cannot_be_used_for_another_request(
    as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand
) -> None:
    await as_alice.post("/v1/influencers", json={"name": "Léa"}, headers=KEY)
    for path, body in (("/v1/influencers", {"name": "Zoé"}), ("/v1/campaigns", {"name": "Léa"})):
        answer = await as_alice.post(path, json=body, headers=KEY)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
        assert answer.json()["errors"][0]["parameter"] == "Idempotency-Key"
    assert await count(pool, alice) == 1


async def test_a_request_that_was_wrong_may_be_mended_under_its_key(as_alice: AsyncClient) -> None:
    assert (await as_alice.post("/v1/influencers", json={"name": ""}, headers=KEY)).status_code == 422
    assert (await as_alice.post("/v1/influencers", json={"name": "Léa"}, headers=KEY)).status_code == 201


async def test_a_refusal_by_the_state_of_things_is_forgotten_and_its_work_undone(
    as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand
) -> None:
    pair = await make_pair(as_alice)
    other = {"campaign_id": pair["campaign_id"], "influencer_id": (await make_influencer(as_alice))["id"]}
    taken = (await make_link(as_alice, other))["slug"]
    body = {**pair, "destination_url": "https://shop.test/", "slug": taken}
    before = await pool.fetchval("SELECT count(*) FROM collaboration WHERE brand_id = $1", alice.id)
    refused = await as_alice.post("/v1/links", json=body, headers=KEY)
    assert (refused.status_code, refused.json()["code"]) == (409, "slug_taken")
    assert await pool.fetchval("SELECT count(*) FROM collaboration WHERE brand_id = $1", alice.id) == before
    mended = await as_alice.post("/v1/links", json={**body, "slug": "mended-under-its-key"}, headers=KEY)
    assert (mended.status_code, mended.headers.get("Idempotent-Replayed")) == (201, None)
    again = await as_alice.post("/v1/links", json={**body, "slug": "mended-under-its-key"}, headers=KEY)
    assert (again.content, again.headers["Idempotent-Replayed"]) == (mended.content, "true")


@pytest.mark.parametrize("wrong", [{"name": "Léa", "nmae": 1}, {"name": ["Léa"]}, {}])
async def test_of_twenty_wrong_requests_at_once_none_keeps_the_key(
    as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand, wrong: dict[str, object]
) -> None:
    refused = await asyncio.gather(
        *(as_alice.post("/v1/influencers", json=wrong, headers=KEY) for _ in range(20)),
        as_alice.post("/v1/influencers", json={"name": "Léa"}, headers=KEY),
    )
    assert {answer.status_code for answer in refused} <= {201, 409, 422}
    assert (await as_alice.post("/v1/influencers", json={"name": "Léa"}, headers=KEY)).status_code == 201
    assert await count(pool, alice) == 1


async def test_a_secret_is_not_in_the_stored_answer(as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand) -> None:
    first = await as_alice.post("/v1/keys", json={"name": "k"}, headers=KEY)
    again = await as_alice.post("/v1/keys", json={"name": "k"}, headers=KEY)
    secret = first.json()["secret_key"]
    assert secret.startswith("sk_")
    assert again.json() == {**first.json(), "secret_key": None}
    stored = await pool.fetch("SELECT body::text FROM idempotency WHERE brand_id = $1", alice.id)
    assert all(secret not in row["body"] for row in stored)


async def test_a_signing_secret_is_not_in_the_stored_answer_either(
    as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand
) -> None:
    made = await post(as_alice, "/v1/keys", {"kind": "publishable"})
    path = f"/v1/keys/{made['id']}/signing_secrets"
    first, again = [(await as_alice.post(path, json={}, headers=KEY)).json() for _ in range(2)]
    assert again == {**first, "signing_secret": None}
    stored = await pool.fetch("SELECT body::text FROM idempotency WHERE brand_id = $1", alice.id)
    assert all(first["signing_secret"] not in row["body"] for row in stored)


async def test_a_key_belongs_to_the_api_key_that_used_it(
    as_alice: AsyncClient, as_charlie: AsyncClient, api: AsyncClient
) -> None:
    first = await as_alice.post("/v1/influencers", json={"name": "Léa"}, headers=KEY)
    rival = await as_charlie.post("/v1/influencers", json={"name": "Léa"}, headers=KEY)
    other = (await post(as_alice, "/v1/keys", {}))["secret_key"]
    colleague = await api.post(
        "/v1/influencers", json={"name": "Léa"}, headers={**KEY, "Authorization": f"Bearer {other}"}
    )
    assert len({first.json()["id"], rival.json()["id"], colleague.json()["id"]}) == 3


async def test_a_key_is_free_again_after_a_day(as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand) -> None:
    first = await as_alice.post("/v1/influencers", json={"name": "Léa"}, headers=KEY)
    await pool.execute(
        "UPDATE idempotency SET created_at = $2 WHERE brand_id = $1", alice.id, clock.now() - timedelta(hours=25)
    )
    other = await as_alice.post("/v1/influencers", json={"name": "Zoé"}, headers=KEY)
    assert (other.status_code, other.json()["name"]) == (201, "Zoé")
    assert other.json()["id"] != first.json()["id"]


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "é", "a\tb"])
async def test_a_key_that_is_none_is_refused(as_alice: AsyncClient, key: str) -> None:
    answer = await as_alice.post(
        "/v1/influencers", json={"name": "x"}, headers={b"Idempotency-Key": key.encode("latin-1")}
    )  # type: ignore[dict-item]
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_idempotency_key")


async def test_a_conversion_reported_twice_under_a_key_is_answered_the_same(as_alice: AsyncClient) -> None:
    order = {"order_id": "i-1", "net_minor": 100, "currency": "EUR"}
    first = await as_alice.post("/v1/conversions", json=order, headers=KEY)
    again = await as_alice.post("/v1/conversions", json=order, headers=KEY)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)
