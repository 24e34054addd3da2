"""Sources over the API: secrets go in and never come out."""

import asyncpg
import pytest
from httpx2 import AsyncClient

from app.secret import unseal
from app.settings import Settings
from tests.api.calls import Json, fields_at_fault, post

SHOPIFY = {
    "platform": "shopify",
    "shop": "fr",
    "secrets": ["shpss_0123456789abcdef"],
    "settings": {"taxes_included": True},
}


async def stored(pool: asyncpg.Pool, source: Json, settings: Settings) -> list[str]:
    sealed = await pool.fetchval("SELECT secrets FROM source WHERE token = $1", source["token"])
    assert not any("shpss" in text for text in sealed)
    return [unseal(settings.secret_key, text) for text in sealed]


async def test_a_source_has_an_address_and_keeps_its_secrets_sealed(
    as_alice: AsyncClient, pool: asyncpg.Pool, settings: Settings
) -> None:
    made = await post(as_alice, "/v1/sources", SHOPIFY)
    assert made["url"] == f"https://go.test/in/{made['token']}"
    assert (made["platform"], made["shop"], made["secrets_count"]) == ("shopify", "fr", 1)
    assert await stored(pool, made, settings) == ["shpss_0123456789abcdef"]
    path = f"/v1/sources/{made['id']}"
    for answer in (await as_alice.get(path), await as_alice.get("/v1/sources")):
        assert "shpss" not in answer.text
    rotated = (
        await as_alice.patch(
            path, json={"secrets": ["new-secret-1", "shpss_0123456789abcdef"], "settings": {"taxes_included": None}}
        )
    ).json()
    assert (rotated["secrets_count"], rotated["settings"], rotated["token"]) == (2, {}, made["token"])
    assert await stored(pool, made, settings) == ["new-secret-1", "shpss_0123456789abcdef"]
    assert (await as_alice.delete(path)).json()["archived_at"] is not None
    assert (await as_alice.patch(path, json={"name": "x"})).json()["code"] == "source_archived"
    assert (await as_alice.get("/v1/sources")).json()["data"] == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"platform": "woocommerce"}, "platform"),
        ({"secrets": []}, "secrets"),
        ({"secrets": ["short"]}, "secrets.0"),
        ({"secrets": ["x" * 20] * 6}, "secrets"),
        ({"settings": {"colour": "red"}}, "settings.colour"),
        ({"shop": ""}, "shop"),
    ],
)
async def test_a_wrong_field_is_named(as_alice: AsyncClient, fields: dict[str, object], field: str) -> None:
    assert set(await fields_at_fault(as_alice, "/v1/sources", {**SHOPIFY, **fields})) == {field}


async def test_a_platform_that_is_not_offered_is_answered_with_those_that_are(as_alice: AsyncClient) -> None:
    answer = await as_alice.post("/v1/sources", json={**SHOPIFY, "platform": "stripe"})
    assert "'shopify', 'generic' or 'postback'" in answer.json()["errors"][0]["detail"]


async def test_charlie_gets_404_for_sources(as_alice: AsyncClient, as_charlie: AsyncClient) -> None:
    made = await post(as_alice, "/v1/sources", SHOPIFY)
    path = f"/v1/sources/{made['id']}"
    assert (await as_charlie.get(path)).status_code == 404
    assert (await as_charlie.patch(path, json={"name": "mine"})).status_code == 404
    assert (await as_charlie.delete(path)).status_code == 404
    assert (await as_charlie.get("/v1/sources")).json()["data"] == []
