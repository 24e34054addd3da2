"""Deliveries over the API: what was received, why it was not used, and reading it again."""

import base64
import hmac
import json
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx2
from fastapi import FastAPI

from app import clock, mint
from app.domain import ids
from app.intake.deliveries import record_deliveries
from app.secret import load_secret, seal
from app.settings import Settings
from app.spool import HookLine, PixelLine
from tests.api.conftest import client
from tests.cast import Brand
from tests.tracking.asking import ask, running_doors, settings_for, spooled


def hit(brand: Brand, body: bytes) -> PixelLine:
    return PixelLine(str(mint.new_id()), str(brand.id), str(brand.publishable_id), "main", "pixel", "", body)


async def receive(pool: asyncpg.Pool, settings: Settings, *lines: HookLine | PixelLine) -> list[str]:
    """Records the lines as the background process does; their ids as the API shows them."""
    await record_deliveries(pool, lines, secret=load_secret(settings), settings=settings)
    return [ids.show("delivery", UUID(line.id)) for line in lines]


async def test_what_was_received_is_listed_newest_first_and_filtered(
    as_alice: httpx2.AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    good, bad, junk = await receive(
        pool,
        settings,
        hit(alice, b"event=sale&order_id=1&amount=10.00"),
        hit(alice, b"event=sale&order_id=2&currency=ZZZ"),
        hit(alice, b"event=land&click_id=c"),
    )
    answer = await as_alice.get("/v1/deliveries")
    assert answer.status_code == 200, answer.text
    assert [row["id"] for row in answer.json()["data"]] == [junk, bad, good]
    [rejected] = (await as_alice.get("/v1/deliveries", params={"status": "rejected"})).json()["data"]
    assert (rejected["id"], rejected["reason"]) == (bad, "unknown_currency")
    assert "ZZZ" in rejected["detail"]
    assert rejected["key_id"] == ids.show("key", alice.publishable_id)
    assert rejected["source_id"] is None
    assert rejected["body_bytes"] == len(b"event=sale&order_id=2&currency=ZZZ")

    first = (await as_alice.get("/v1/deliveries", params={"limit": 2})).json()
    rest = (await as_alice.get("/v1/deliveries", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [row["id"] for row in first["data"] + rest["data"]] == [junk, bad, good]
    received_at = rejected["received_at"]
    between = (await as_alice.get("/v1/deliveries", params={"from": received_at})).json()["data"]
    assert bad in [row["id"] for row in between]
    before = (await as_alice.get("/v1/deliveries", params={"to": received_at})).json()["data"]
    assert bad not in [row["id"] for row in before]
    assert (await as_alice.get("/v1/deliveries", params={"source_id": "src_nonsense"})).json()["data"] == []
    assert (await as_alice.get("/v1/deliveries", params={"platform": "shopify"})).json()["data"] == []
    assert (await as_alice.get("/v1/deliveries", params={"status": "odd"})).status_code == 422


async def test_one_delivery_shows_its_raw_body_and_what_is_read_in_it(
    as_alice: httpx2.AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    good, odd = await receive(
        pool, settings, hit(alice, b"event=sale&order_id=1&amount=10.00&code=LEA10"), hit(alice, b"order_id=\xff\x00")
    )
    shown = (await as_alice.get(f"/v1/deliveries/{good}")).json()
    assert (shown["body"], shown["body_base64"]) == ("event=sale&order_id=1&amount=10.00&code=LEA10", None)
    [report] = shown["read"]["reports"]
    assert (report["net_minor"], report["codes"], report["currency"]) == (1_000, ["LEA10"], "EUR")
    assert shown["conversion_id"].startswith("cnv_")
    shown = (await as_alice.get(f"/v1/deliveries/{odd}")).json()
    assert shown["body"] is None
    assert base64.b64decode(shown["body_base64"]) == b"order_id=\xff\x00"
    assert shown["read"]["rejected"] == "invalid_text"


async def test_a_delivery_with_a_wrong_signature_is_replayed_once_the_secret_is_mended(
    as_alice: httpx2.AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    source_id, now, key = mint.new_id(), clock.now(), load_secret(settings)
    await pool.execute(
        """INSERT INTO source (token, id, brand_id, platform, secrets, created_at, updated_at)
           VALUES ($1, $2, $3, 'generic', $4, $5, $5)""",
        mint.new_token("in"),
        source_id,
        alice.id,
        [seal(key, "mistyped")],
        now,
    )
    body = json.dumps({"order_id": "A-1", "net_minor": 4990, "currency": "EUR"}).encode()
    headers = {"x-ariane-signature": "sha256=" + hmac.digest(b"right", body, "sha256").hex()}
    line = HookLine(
        str(mint.new_id()),
        str(alice.id),
        str(source_id),
        "generic",
        "main",
        False,
        "wrong_signature",
        headers,
        "",
        body,
    )
    [shown_id] = await receive(pool, settings, line)
    path = f"/v1/deliveries/{shown_id}"
    listed = (await as_alice.get("/v1/deliveries", params={"status": "unsigned"})).json()["data"]
    assert [(row["id"], row["source_id"]) for row in listed] == [(shown_id, ids.show("source", source_id))]
    assert (await as_alice.post(f"{path}/replay")).json()["status"] == "unsigned"

    await pool.execute("UPDATE source SET secrets = $2 WHERE id = $1", source_id, [seal(key, "right")])
    replayed = (await as_alice.post(f"{path}/replay")).json()
    assert (replayed["status"], replayed["reason"], replayed["attempts"]) == ("recorded", None, 3)
    assert replayed["conversion_id"].startswith("cnv_")
    assert (await as_alice.get(path)).json()["headers"] == headers


async def test_a_rival_sees_and_replays_nothing(
    as_alice: httpx2.AsyncClient,
    as_charlie: httpx2.AsyncClient,
    pool: asyncpg.Pool,
    settings: Settings,
    alice: Brand,
) -> None:
    [shown_id] = await receive(pool, settings, hit(alice, b"event=sale&order_id=1"))
    for answer in (
        await as_charlie.get(f"/v1/deliveries/{shown_id}"),
        await as_charlie.post(f"/v1/deliveries/{shown_id}/replay"),
        await as_alice.get("/v1/deliveries/dlv_nonsense"),
        await as_alice.post("/v1/deliveries/ext_1/replay"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "delivery_not_found")
    assert (await as_charlie.get("/v1/deliveries")).json()["data"] == []


async def test_without_a_key_nothing_is_shown(service: FastAPI) -> None:
    async with client(service) as nobody:
        assert (await nobody.get("/v1/deliveries")).status_code == 401


async def test_a_mistyped_secret_loses_no_order_from_the_shops_message_to_the_conversion(
    as_alice: httpx2.AsyncClient, pool: asyncpg.Pool, settings: Settings, tmp_path: Path
) -> None:
    """Through the door itself: the shop is told 401, the owner mends the secret and replays; the shop's own retry changes nothing."""
    made = {"platform": "shopify", "shop": "fr", "secrets": ["mistyped secret"], "settings": {"taxes_included": True}}
    source = (await as_alice.post("/v1/sources", json=made)).json()
    path = f"/in/{source['token']}"
    body = (Path(__file__).parents[1] / "samples" / "shopify_order_rest_2024-04.json").read_bytes()
    signature = base64.b64encode(hmac.digest(b"the right secret", body, "sha256")).decode()
    headers = [
        ("X-Shopify-Topic", "orders/create"),
        ("X-Shopify-Hmac-Sha256", signature),
        ("X-Shopify-Event-Id", "98880550-7158-44d4-b7cd-2c97c8a091b5"),
    ]
    first = settings_for(settings.database_url, tmp_path / "first")
    async with running_doors(first) as doors:
        answer = await ask(doors, "POST", path, headers=headers, body=body)
    assert (answer.status, json.loads(answer.body)["code"]) == (401, "wrong_signature")
    await receive(pool, settings, *spooled(first, "orders"))  # type: ignore[arg-type]
    [unsigned] = (await as_alice.get("/v1/deliveries", params={"source_id": source["id"]})).json()["data"]
    assert (unsigned["status"], unsigned["reason"], unsigned["shop"]) == ("unsigned", "wrong_signature", "fr")

    await as_alice.patch(f"/v1/sources/{source['id']}", json={"secrets": ["mistyped secret", "the right secret"]})
    replayed = (await as_alice.post(f"/v1/deliveries/{unsigned['id']}/replay")).json()
    assert replayed["status"] == "recorded"
    known = (await as_alice.get(f"/v1/conversions/{replayed['conversion_id']}")).json()
    assert (known["order_id"], known["shop"], known["net_minor"], known["refunded_minor"]) == (
        "450789469",
        "fr",
        58_700,
        58_700,
    )

    second = settings_for(settings.database_url, tmp_path / "second")
    async with running_doors(second) as doors:
        assert (await ask(doors, "POST", path, headers=headers, body=body)).status == 200
    await receive(pool, settings, *spooled(second, "orders"))  # type: ignore[arg-type]
    assert len((await as_alice.get("/v1/deliveries", params={"source_id": source["id"]})).json()["data"]) == 1
    again = (await as_alice.get(f"/v1/conversions/{replayed['conversion_id']}")).json()
    assert again == known
    [witness] = again["witnesses"]
    assert (witness["door"], witness["trust"], witness["delivery_id"]) == ("hook", "signed", unsigned["id"])
