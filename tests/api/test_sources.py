"""Sources over the API: secrets go in and never come out."""

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy.dialects import postgresql

from app import clock, random_ids
from app.api.routes.sources import health as source_health
from app.database.tables import DELIVERY_STATUSES
from app.domain import ids
from app.intake.deliveries.recording import record_deliveries
from app.platforms.registry import PLATFORMS
from app.secret import load_secret, unseal
from app.settings import Settings
from app.spool.records import HookLine, PixelLine
from tests.api.calls import Json, fields_at_fault, post
from tests.api.conftest import client
from tests.cast import Brand

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
        ({"platform": "magento"}, "platform"),
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
    answer = await as_alice.post("/v1/sources", json={**SHOPIFY, "platform": "magento"})
    detail = answer.json()["errors"][0]["detail"]
    assert all(f"'{name}'" in detail for name in PLATFORMS)


# ── The guide ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_new_source_says_what_to_do_with_the_brands_own_values(as_alice: AsyncClient) -> None:
    assert (await as_alice.patch("/v1/brand", json={"click_param": "via"})).status_code == 200
    made = await post(as_alice, "/v1/sources", SHOPIFY)
    # Its shop has no key yet, and is told how to make it.
    assert "POST /v1/keys" in [step["paste"]["where"] for step in made["setup"] if step["paste"]]
    key = (await post(as_alice, "/v1/keys", {"kind": "publishable", "shop": "fr"}))["publishable_key"]
    shown = (await as_alice.get(f"/v1/sources/{made['id']}")).json()
    assert shown["guide_page"] == "https://go.test/docs/guides/connect/shopify"
    page = await as_alice.get(shown["guide_page"], headers={"Authorization": ""})
    assert (page.status_code, "<h1" in page.text) == (200, True)
    assert made["url"] in [step["paste"]["what"] for step in shown["setup"] if step["paste"]]
    assert "POST /v1/keys" not in [step["paste"]["where"] for step in shown["setup"] if step["paste"]]
    snippets = {snippet["name"]: snippet for snippet in shown["snippets"]}
    assert set(snippets) == {"theme", "custom pixel"}
    assert (
        f'src="https://go.test/a.js" data-key="{key}" data-consent="wait" data-param="via"' in snippets["theme"]["code"]
    )
    assert (await as_alice.patch("/v1/brand", json={"consent": "granted"})).status_code == 200
    again = (await as_alice.get(f"/v1/sources/{made['id']}")).json()["snippets"]
    assert 'data-consent="granted"' in next(each["code"] for each in again if each["name"] == "theme")
    for line in ("ARIANE = 'https://go.test'", f"KEY = '{key}'", "PARAM = 'via'"):
        assert line in snippets["custom pixel"]["code"]
    [listed] = (await as_alice.get("/v1/sources")).json()["data"]
    assert "setup" not in listed


async def test_a_guide_holds_no_key_of_another_shop_or_brand_and_none_that_is_revoked(
    as_alice: AsyncClient, as_charlie: AsyncClient
) -> None:
    await post(as_charlie, "/v1/keys", {"kind": "publishable", "shop": "fr"})
    await post(as_alice, "/v1/keys", {"kind": "publishable", "shop": "de"})
    gone = await post(as_alice, "/v1/keys", {"kind": "publishable", "shop": "fr"})
    assert (await as_alice.delete(f"/v1/keys/{gone['id']}")).status_code == 200
    made = await post(as_alice, "/v1/sources", SHOPIFY)
    keys = {key for snippet in made["snippets"] for key in re.findall(r"pk_\w+", snippet["code"])}
    assert keys == {"pk_your_key"}


# ── Health ───────────────────────────────────────────────────────────────────────────────────────────────────────────

HEALTHY = {
    "last_delivery_at": None,
    "last_recorded_at": None,
    "failures_24h": {"unsigned": 0, "rejected": 0, "reasons": {}},
    "last_failure": None,
    "clock_skew_ms": None,
    "notes": [],
}


async def receive(
    pool: asyncpg.Pool,
    settings: Settings,
    brand: Brand,
    source: Json,
    body: bytes = b"{}",
    *,
    topic: str = "orders/paid",
    refused: str = "",
    ago: timedelta = timedelta(0),
    behind: timedelta = timedelta(seconds=2),
) -> str:
    """Records a message that the sender, whose clock is `behind`, sent some time `ago`; its id as the API shows it."""
    received_at = clock.now() - ago
    triggered_at = (received_at - behind).isoformat()
    line_id = UUID(int=random_ids.new_id().int & ((1 << 80) - 1) | round(received_at.timestamp() * 1_000) << 80)
    line = HookLine(
        id=str(line_id),
        brand_id=str(brand.id),
        source_id=str(ids.read("source", source["id"])),
        platform="shopify",
        shop="fr",
        signed=not refused,
        reason=refused,
        headers={"x-shopify-topic": topic, "x-shopify-triggered-at": triggered_at, "x-shopify-event-id": str(line_id)},
        query="",
        body=body,
    )
    await record_deliveries(pool, [line], secret=load_secret(settings), settings=settings)
    return ids.show("delivery", line_id)


async def health_of(client: AsyncClient, source: Json) -> Json:
    shown = (await client.get(f"/v1/sources/{source['id']}")).json()["health"]
    [listed] = [row for row in (await client.get("/v1/sources")).json()["data"] if row["id"] == source["id"]]
    assert listed["health"] == shown
    return dict(shown)


async def test_a_source_shows_when_it_last_worked_and_what_failed(
    as_alice: AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    made = await post(as_alice, "/v1/sources", SHOPIFY)
    other = await post(as_alice, "/v1/sources", {**SHOPIFY, "shop": "de"})
    assert made["health"] == HEALTHY
    order = b'{"id": 7, "currency": "EUR", "financial_status": "paid", "total_price": "9.00"}'
    hour = timedelta(hours=1)
    await receive(pool, settings, alice, made, refused="wrong_signature", ago=30 * hour)
    await receive(pool, settings, alice, made, order, ago=3 * hour)
    await receive(pool, settings, alice, made, refused="wrong_signature", ago=2 * hour, body=b"1")
    await receive(pool, settings, alice, made, refused="wrong_signature", ago=2 * hour, body=b"2")
    last = await receive(pool, settings, alice, made, b"{", ago=hour)
    await receive(pool, settings, alice, made, topic="products/update")
    health = await health_of(as_alice, made)
    assert health["failures_24h"] == {
        "unsigned": 2,
        "rejected": 1,
        "reasons": {"wrong_signature": 2, "not_json": 1},
    }
    failure = health["last_failure"]
    assert (failure["status"], failure["reason"], failure["delivery_id"]) == ("rejected", "not_json", last)
    assert failure["at"] < health["last_delivery_at"]
    assert health["last_recorded_at"] is not None
    # Shopify's clock, two seconds behind ours or two seconds on the way; what is unsigned may say anything.
    assert health["clock_skew_ms"] == -2_000
    assert await health_of(as_alice, other) == HEALTHY


async def test_a_shop_s_health_counts_pixels_that_are_used_proven_outside_their_window_or_claim_too_much(
    as_alice: AsyncClient,
    as_charlie: AsyncClient,
    pool: asyncpg.Pool,
    settings: Settings,
    alice: Brand,
) -> None:
    made = await post(as_alice, "/v1/sources", {**SHOPIFY, "shop": "main"})
    path = f"/v1/sources/{made['id']}/health"
    nothing = {"used": 0, "proven": 0, "outside_pixel_window": 0, "too_many_claims": 0, "pixels_off": 0}
    before = (await as_alice.get(path)).json()
    assert (before["source_id"], before["shop"], before["pixels_24h"]) == (made["id"], "main", nothing)
    await as_alice.patch("/v1/brand", json={"pixel_claims_max": 1})
    order = b'{"id": 7, "currency": "EUR", "financial_status": "paid", "total_price": "9.00", "checkout_token": "token-of-7"}'
    await receive(pool, settings, alice, made, order)
    long_ago = (clock.now() - timedelta(days=30)).isoformat()
    await post(as_alice, "/v1/conversions", {"order_id": "8", "occurred_at": long_ago})
    for number in ("9", "10", "11"):
        await post(as_alice, "/v1/conversions", {"order_id": number})
    hits = [
        "order_id=7&checkout_token=token-of-7",
        "order_id=7&click_id=clk_own",
        "order_id=8&code=MAX5",
        "order_id=9&code=MAX5",
        "order_id=10&code=MAX5",
        "order_id=11",
        "order_id=11",
        "order_id=12&code=MAX5",
    ]
    for key_shop in ("main", "de"):
        lines = [
            PixelLine(str(random_ids.new_id()), str(alice.id), str(alice.publishable_id), key_shop, "pixel", "", each)
            for each in (f"k={alice.publishable_key}&event=sale&{hit}".encode() for hit in hits)
        ]
        await record_deliveries(pool, lines, secret=load_secret(settings), settings=settings)
    expected = {**nothing, "used": 4, "proven": 1, "outside_pixel_window": 1, "too_many_claims": 2}
    after = (await as_alice.get(path)).json()
    assert after["pixels_24h"] == expected
    assert after["health"] == (await as_alice.get(f"/v1/sources/{made['id']}")).json()["health"]
    assert (await as_charlie.get(path)).status_code == 404
    rival = await post(as_charlie, "/v1/sources", {**SHOPIFY, "shop": "main"})
    assert (await as_charlie.get(f"/v1/sources/{rival['id']}/health")).json()["pixels_24h"] == nothing
    await as_alice.patch("/v1/brand", json={"pixel_signals": "never"})
    off = (await as_alice.get(path)).json()["pixels_24h"]
    assert (off["used"], off["pixels_off"]) == (0, 7)


async def test_a_clock_that_is_wrong_shows_though_its_messages_are_refused(
    as_alice: AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    made = await post(as_alice, "/v1/sources", SHOPIFY)
    await receive(pool, settings, alice, made, refused="stale_timestamp", behind=timedelta(minutes=10))
    await receive(pool, settings, alice, made, refused="wrong_signature", behind=timedelta(days=99))
    assert (await health_of(as_alice, made))["clock_skew_ms"] == -600_000


DELIVERIES = 40_000
"""The same plans were seen with 200,000; making those takes longer than everything else in this file."""


async def test_health_is_found_by_the_index_however_many_deliveries_there_are(
    fresh_dsn: Callable[[], Awaitable[str]],
) -> None:
    """A quiet source beside busy ones, all their messages refused: neither its one old order nor their failures are searched for."""
    connection = await asyncpg.connect(await fresh_dsn())
    brand_id, sources = random_ids.new_id(), [random_ids.new_id() for _ in range(4)]
    await connection.execute(
        """INSERT INTO delivery (brand_id, id, origin_id, platform, body_hash, body, status, reason, received_at)
           SELECT $1, ('019a0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
                  ($2::uuid[])[CASE WHEN n < 10 THEN 1 ELSE 2 + n % 3 END], 'shopify', int8send(n), '',
                  CASE WHEN n = 0 THEN 'recorded' WHEN n % 2 = 0 THEN 'rejected' ELSE 'unsigned' END, 'x', now()
           FROM generate_series(0, $3::int - 1) AS n""",
        brand_id,
        sources,
        DELIVERIES,
    )
    await connection.execute("ANALYZE delivery")
    common = {"brand_id": brand_id, "ids": sources}
    asked = {**common, "statuses": list(DELIVERY_STATUSES), "most": source_health.SKEW_DELIVERIES}
    counted = source_health.FAILURES_COUNTED_MAX
    since = {**common, "statuses": list(source_health.FAILED), "since": UUID(int=0), "most": counted}
    plans = []
    for statement, values in ((source_health._LATEST, asked), (source_health._FAILURES, since)):
        compiled = statement.compile(dialect=postgresql.asyncpg.dialect())
        arguments = [values[name] for name in compiled.positiontup or ()]
        plan = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS OFF) {compiled}", *arguments)
        plans.append("\n".join(row[0] for row in plan))
    await connection.close()
    for told in plans:
        assert "using ix_delivery_source" in told, told
        assert "Rows Removed by Filter" not in told, told
        assert max(int(rows) for rows in re.findall(r"actual.*? rows=(\d+)", told)) <= 2 * len(sources) * counted, told


async def test_charlie_gets_404_for_sources(as_alice: AsyncClient, as_charlie: AsyncClient) -> None:
    made = await post(as_alice, "/v1/sources", SHOPIFY)
    path = f"/v1/sources/{made['id']}"
    assert (await as_charlie.get(path)).status_code == 404
    assert (await as_charlie.patch(path, json={"name": "mine"})).status_code == 404
    assert (await as_charlie.delete(path)).status_code == 404
    assert (await as_charlie.get("/v1/sources")).json()["data"] == []


# ── Postbacks ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_address_is_withheld_from_keys_that_may_only_read(as_alice: AsyncClient, service: FastAPI) -> None:
    made = await post(as_alice, "/v1/sources", {"platform": "postback"})
    reading = await post(as_alice, "/v1/keys", {"scopes": ["read"], "name": "BI"})
    async with client(service) as reader:
        reader.headers["Authorization"] = f"Bearer {reading['secret_key']}"
        for path in (f"/v1/sources/{made['id']}", "/v1/sources"):
            answer = await reader.get(path)
            assert answer.status_code == 200
            assert made["id"] in answer.text
            assert made["token"] not in answer.text


async def test_a_postback_source_needs_no_secret_and_is_its_presets(as_alice: AsyncClient) -> None:
    made = await post(as_alice, "/v1/sources", {"platform": "postback"})
    assert (made["secrets_count"], made["settings"]) == (0, {})
    path = f"/v1/sources/{made['id']}"
    changed = (await as_alice.patch(path, json={"settings": {"preset": "awin"}})).json()
    assert changed["settings"] == {"preset": "awin"}
    guarded = (await as_alice.patch(path, json={"secrets": ["a-token-of-ours"]})).json()
    assert guarded["secrets_count"] == 1
    assert (await as_alice.patch(path, json={"secrets": [], "settings": {"preset": None}})).json()["settings"] == {}


@pytest.mark.parametrize(
    ("wanted", "field", "said"),
    [
        ({"preset": "everflow"}, "secrets", "verification_token"),
        ({"preset": "tune"}, "secrets", "security_token"),
        ({"preset": "commission-junction"}, "settings.preset", "kwanko"),
        ({"preset": 7}, "settings.preset", "should be a text, not 7"),
        ({"taxes_included": True}, "settings.taxes_included", "postback"),
    ],
)
async def test_a_preset_without_its_token_and_an_unknown_one_are_refused_by_name(
    as_alice: AsyncClient, wanted: dict[str, object], field: str, said: str
) -> None:
    answer = await as_alice.post("/v1/sources", json={"platform": "postback", "settings": wanted})
    [error] = answer.json()["errors"]
    assert (answer.status_code, error["field"]) == (422, field)
    assert said in error["detail"]


async def test_a_preset_does_not_lose_its_token_afterwards(as_alice: AsyncClient) -> None:
    everflow = {"platform": "postback", "secrets": ["a-verification-token"], "settings": {"preset": "everflow"}}
    path = f"/v1/sources/{(await post(as_alice, '/v1/sources', everflow))['id']}"
    assert (await as_alice.patch(path, json={"secrets": []})).status_code == 422
    plain = f"/v1/sources/{(await post(as_alice, '/v1/sources', {'platform': 'postback'}))['id']}"
    assert (await as_alice.patch(plain, json={"settings": {"preset": "tune"}})).status_code == 422
    both = {"secrets": ["a-security-token"], "settings": {"preset": "tune"}}
    assert (await as_alice.patch(plain, json=both)).status_code == 200


async def test_a_platform_that_signs_needs_its_secret(as_alice: AsyncClient) -> None:
    for body in ({"platform": "shopify"}, {"platform": "generic", "secrets": []}):
        assert await fields_at_fault(as_alice, "/v1/sources", body) == {"secrets": "required"}
    made = await post(as_alice, "/v1/sources", SHOPIFY)
    assert (await as_alice.patch(f"/v1/sources/{made['id']}", json={"secrets": []})).status_code == 422
