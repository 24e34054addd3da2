"""Deliveries over the API: what was received, why it was not used, and reading it again."""

import base64
import hmac
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI

from app import clock, random_ids
from app.api.routes.deliveries import AT_ONCE_BYTES, AT_ONCE_ROWS
from app.domain import ids
from app.intake.deliveries.recording import record_deliveries
from app.intake.deliveries.replaying import Selection
from app.secret import load_secret, seal
from app.settings import Settings
from app.spool.records import HookLine, PixelLine
from demo.simulator import DOCUMENTS
from tests.api.conftest import client
from tests.cast import Brand
from tests.tracking.asking import ask, running_doors, settings_for, spooled


def hit(brand: Brand, body: bytes) -> PixelLine:
    return PixelLine(str(random_ids.new_id()), str(brand.id), str(brand.publishable_id), "main", "pixel", "", body)


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
    source_id, now, key = random_ids.new_id(), clock.now(), load_secret(settings)
    await pool.execute(
        """INSERT INTO source (token, id, brand_id, platform, secrets, created_at, updated_at)
           VALUES ($1, $2, $3, 'generic', $4, $5, $5)""",
        random_ids.new_token("in"),
        source_id,
        alice.id,
        [seal(key, "mistyped")],
        now,
    )
    body = json.dumps({"order_id": "A-1", "net_minor": 4990, "currency": "EUR"}).encode()
    headers = {"x-ariane-signature": "sha256=" + hmac.digest(b"right", body, "sha256").hex()}
    line = HookLine(
        str(random_ids.new_id()),
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
    body = (DOCUMENTS / "shopify_order_rest_2024-04.json").read_bytes()
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


# ── Finding ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def connect(pool: asyncpg.Pool, settings: Settings, brand: Brand, *, shop: str = "main") -> UUID:
    """A generic source; its id."""
    source_id, now = random_ids.new_id(), clock.now()
    await pool.execute(
        """INSERT INTO source (token, id, brand_id, platform, shop, secrets, created_at, updated_at)
           VALUES ($1, $2, $3, 'generic', $4, $5, $6, $6)""",
        random_ids.new_token("in"), source_id, brand.id, shop, [seal(load_secret(settings), "right")], now,
    )  # fmt: skip
    return source_id


def sent(
    brand: Brand, source_id: UUID, body: object, *, event: str = "", shop: str = "main", wrong: str = ""
) -> HookLine:
    """A message of that source, rightly signed; `wrong`: what the door said all the same, before the secret was mended."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    signature = "sha256=" + hmac.digest(b"right", raw, "sha256").hex()
    headers = {"x-ariane-signature": signature, "x-ariane-delivery": event}
    return HookLine(
        str(random_ids.new_id()), str(brand.id), str(source_id), "generic", shop, not wrong, wrong, headers, "", raw
    )


async def test_each_filter_finds_its_own_and_two_narrow_further(
    as_alice: httpx2.AsyncClient,
    as_charlie: httpx2.AsyncClient,
    pool: asyncpg.Pool,
    settings: Settings,
    alice: Brand,
) -> None:
    fr, de = (
        await connect(pool, settings, alice, shop="fr"),
        await connect(pool, settings, alice, shop="de"),
    )
    order, refund, broken, foreign, seen = await receive(
        pool,
        settings,
        sent(alice, fr, {"order_id": "1", "net_minor": 100, "currency": "EUR"}, event="e1", shop="fr"),
        sent(alice, fr, {"order_id": "1", "refund_id": "r", "full": True}, event="e2", shop="fr"),
        sent(alice, fr, b"{", event="e3", shop="fr"),
        sent(alice, de, {"order_id": "1", "currency": "ZZZ"}, event="e1", shop="de"),
        hit(alice, b"event=land&click_id=c"),
    )

    async def found(client: httpx2.AsyncClient = as_alice, **filters: str) -> list[str]:
        answer = await client.get("/v1/deliveries", params=filters)
        assert answer.status_code == 200, answer.text
        return [row["id"] for row in answer.json()["data"]]

    assert await found(reason="not_json") == [broken]
    assert await found(status="rejected", reason="invalid_fields") == [foreign]
    assert await found(status="recorded", reason="not_json") == []
    assert await found(source_id=ids.show("source", fr)) == [broken, refund, order]
    assert await found(shop="de") == [foreign]
    assert await found(platform="pixel") == [seen]
    assert await found(topic="refund") == [refund]
    assert await found(external_id="e1") == [foreign, order]
    assert await found(external_id="e1", shop="fr") == [order]
    conversion_id = (await as_alice.get(f"/v1/deliveries/{order}")).json()["conversion_id"]
    assert await found(conversion_id=conversion_id) == [refund, order]
    assert await found(conversion_id="cnv_nonsense") == []
    for filters in ({"reason": "not_json"}, {"external_id": "e1"}, {"conversion_id": conversion_id}):
        assert await found(as_charlie, **filters) == []


async def test_a_merged_order_still_finds_the_messages_of_both_its_rows(
    as_alice: httpx2.AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    source_id = await connect(pool, settings, alice)
    lines = [sent(alice, source_id, {"order_id": order_id, "net_minor": 1, "currency": "EUR"}) for order_id in "ab"]
    first, second = await receive(pool, settings, *lines)
    rows = await pool.fetch("SELECT id FROM conversion WHERE brand_id = $1 ORDER BY id", alice.id)
    await pool.execute(
        "UPDATE conversion SET root_id = $2, status = 'merged' WHERE brand_id = $1 AND id = $3",
        alice.id,
        rows[0]["id"],
        rows[1]["id"],
    )
    shown = ids.show("conversion", rows[0]["id"])
    listed = (await as_alice.get("/v1/deliveries", params={"conversion_id": shown})).json()["data"]
    assert [row["id"] for row in listed] == [second, first]


async def test_no_list_and_no_replay_reads_more_than_it_shows(fresh_dsn: Callable[[], Awaitable[str]]) -> None:
    """20,000 rows of one brand (200,000 gave the same), every filter: an index with the brand first, and few rows read."""
    connection = await asyncpg.connect(await fresh_dsn())
    try:
        brand = random_ids.new_id()
        await connection.execute(MANY, brand, ids.floor_ms(1_790_000_000_000).bytes[:6].hex())
        await connection.execute("ANALYZE delivery")
        until = UUID(int=2**128 - 1)
        for name, value in COMMON.items():
            where, values = Selection(until=until, **{name: value}).where(brand)  # type: ignore[arg-type]
            query = f"SELECT id FROM delivery WHERE {where} ORDER BY id LIMIT 200"
            await read_little(connection, query, values, 300)
        for name, value in COMMON.items():
            query = f"SELECT * FROM delivery WHERE brand_id = $1 AND {name} = $2 ORDER BY id DESC LIMIT 26"
            await read_little(connection, query, [brand, value], 60)
            # A value that nothing has: nothing is read to find that out.
            none: object = until if name == "origin_id" else "never"
            await read_little(connection, query, [brand, none], 5)
        query = "SELECT * FROM delivery WHERE brand_id = $1 AND external_id = $2 AND external_id <> '' ORDER BY id DESC LIMIT 26"
        await read_little(connection, query, [brand, "e77"], 5)
        query = "SELECT * FROM delivery WHERE brand_id = $1 AND status = $2 AND reason = $3 ORDER BY id DESC LIMIT 26"
        await read_little(connection, query, [brand, "rejected", "rare"], 60)
    finally:
        await connection.close()


COMMON = {
    "status": "recorded", "reason": "not_json", "topic": "orders/create", "shop": "fr", "platform": "shopify", "origin_id": UUID(int=3),
}  # fmt: skip
MANY = """
INSERT INTO delivery (brand_id, id, origin_id, platform, shop, topic, external_id, body_hash, body, status, reason, received_at)
SELECT $1, ($2 || lpad(to_hex(n), 20, '0'))::uuid, ('00000000-0000-0000-0000-00000000000' || n % 5)::uuid,
    CASE n % 5 WHEN 0 THEN 'woocommerce' ELSE 'shopify' END, CASE n % 7 WHEN 0 THEN 'fr' ELSE 'main' END,
    CASE n % 3 WHEN 0 THEN 'orders/create' ELSE 'orders/updated' END, 'e' || n, int4send(n), '{}',
    CASE WHEN n % 100 = 0 THEN 'rejected' ELSE 'recorded' END,
    CASE WHEN n % 100 <> 0 THEN NULL WHEN n % 4000 = 0 THEN 'rare' ELSE 'not_json' END, now()
FROM generate_series(1, 20000) AS n
"""


async def read_little(connection: asyncpg.Connection, query: str, values: list[object], most: int) -> None:
    """Asserts that a query reads at most so many rows, and none by scanning the table."""
    found = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *values)
    nodes, stack = [], [json.loads(found)[0]["Plan"]]
    while stack:
        node = stack.pop()
        nodes.append(node)
        stack += node.get("Plans", [])
    for node in nodes:
        told = (query, values, node)
        assert node["Node Type"] != "Seq Scan", told
        if node["Node Type"] in ("Index Scan", "Index Only Scan"):
            assert "brand_id" in node["Index Cond"], told
        read = (
            node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        )
        assert read * node["Actual Loops"] <= most, told


# ── Who may see a body ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_key_that_may_only_read_sees_what_was_read_and_no_body(
    service: FastAPI, as_alice: httpx2.AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    source_id = await connect(pool, settings, alice)
    message = {"order_id": "1", "net_minor": 100, "currency": "EUR", "customer": {"email": "lea@example.com"}}
    binary = sent(alice, source_id, b"\xff\x00")
    text, odd = await receive(pool, settings, sent(alice, source_id, message), binary)
    made = (await as_alice.post("/v1/keys", json={"scopes": ["read"], "name": "BI"})).json()
    async with client(service) as reader:
        reader.headers["Authorization"] = f"Bearer {made['secret_key']}"
        for each in (text, odd):
            answer = await reader.get(f"/v1/deliveries/{each}")
            assert answer.status_code == 200
            shown = answer.json()
            assert (shown["withheld"], shown["headers"], shown["body"], shown["body_base64"]) == (
                True,
                None,
                None,
                None,
            )
            assert "lea@example.com" not in answer.text
        assert (await reader.get(f"/v1/deliveries/{text}")).json()["read"]["reports"][0]["net_minor"] == 100
        assert (await reader.post(f"/v1/deliveries/{text}/replay")).status_code == 403
        assert (await reader.post("/v1/deliveries/replay", json={"status": "recorded"})).status_code == 403
    shown = (await as_alice.get(f"/v1/deliveries/{text}")).json()
    assert (shown["withheld"], shown["personal_data"]) == (False, "blotted")
    assert json.loads(shown["body"]) | {"customer": message["customer"]} == message
    assert shown["headers"]["x-ariane-signature"].startswith("sha256=")
    assert base64.b64decode((await as_alice.get(f"/v1/deliveries/{odd}")).json()["body_base64"]) == b"\xff\x00"


# ── Replaying a range ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_small_range_is_replayed_at_once_and_says_what_became_of_each(
    as_alice: httpx2.AsyncClient, as_charlie: httpx2.AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    source_id = await connect(pool, settings, alice)
    good, bad, fine = await receive(
        pool,
        settings,
        sent(alice, source_id, {"order_id": "1", "net_minor": 100, "currency": "EUR"}, wrong="wrong_signature"),
        sent(alice, source_id, b"{", wrong="wrong_signature"),
        sent(alice, source_id, {"order_id": "2", "net_minor": 100, "currency": "EUR"}),
    )
    body = {"status": "unsigned", "source_id": ids.show("source", source_id)}
    assert (await as_charlie.post("/v1/deliveries/replay", json=body)).json()["deliveries"] == []

    dry = (await as_alice.post("/v1/deliveries/replay", json={**body, "dry_run": True})).json()
    assert (dry["dry_run"], dry["recorded"], dry["rejected"]) == (True, 1, 1)
    assert len((await as_alice.get("/v1/deliveries", params={"status": "unsigned"})).json()["data"]) == 2

    answer = await as_alice.post("/v1/deliveries/replay", json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["dry_run"], told["recorded"], told["ignored"], told["rejected"], told["unsigned"]) == (
        False,
        1,
        0,
        1,
        0,
    )
    [reason] = told["reasons"]
    assert (reason["status"], reason["reason"], reason["count"], reason["example_id"]) == (
        "rejected",
        "not_json",
        1,
        bad,
    )
    assert [(each["id"], each["status"]) for each in told["deliveries"]] == [(good, "recorded"), (bad, "rejected")]
    assert told["deliveries"][0]["conversion_id"].startswith("cnv_")
    assert (await as_alice.get(f"/v1/deliveries/{fine}")).json()["attempts"] == 1

    named = (await as_alice.post("/v1/deliveries/replay", json={"ids": [fine, good, fine]})).json()
    assert [each["id"] for each in named["deliveries"]] == [good, fine]
    assert named["recorded"] == 2


async def test_a_range_in_time_takes_what_lies_in_it(
    as_alice: httpx2.AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    source_id = await connect(pool, settings, alice)
    line = sent(alice, source_id, b"{")
    [shown_id] = await receive(pool, settings, line)
    received_at = (await as_alice.get(f"/v1/deliveries/{shown_id}")).json()["received_at"]

    async def taken(**range_: str) -> int:
        told = (await as_alice.post("/v1/deliveries/replay", json={"status": "rejected", **range_})).json()
        return len(told["deliveries"])

    assert await taken(**{"from": received_at}) == 1
    assert await taken(to=received_at) == 0
    assert await taken(**{"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}) == 0
    assert await taken(reason="not_json") == 1
    assert await taken(reason="not_an_order") == 0
    assert await taken(platform="shopify") == 0
    assert await taken(source_id="src_nonsense") == 0


async def test_many_become_a_job(
    as_alice: httpx2.AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    await receive(pool, settings, *[hit(alice, b"event=sale&order_id=1&currency=ZZZ") for _ in range(AT_ONCE_ROWS + 1)])
    answer = await as_alice.post("/v1/deliveries/replay", json={"status": "rejected", "dry_run": True})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["kind"], job["state"]) == ("replay", "queued")
    assert job["progress"] == {"done": 0, "total": AT_ONCE_ROWS + 1, "unit": "deliveries"}
    assert job["arguments"] == {"status": "rejected", "dry_run": True}
    await as_alice.post(f"/v1/jobs/{job['id']}/cancel")


async def test_large_bodies_become_a_job_too(
    as_alice: httpx2.AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    source_id = await connect(pool, settings, alice)
    await receive(pool, settings, sent(alice, source_id, b"[" + b"1," * AT_ONCE_BYTES + b"1]"))
    answer = await as_alice.post("/v1/deliveries/replay", json={"status": "rejected"})
    assert answer.status_code == 202
    await as_alice.post(f"/v1/jobs/{answer.json()['id']}/cancel")


@pytest.mark.parametrize(
    "body",
    [{}, {"dry_run": True}, {"to": "2026-11-22T00:00:00Z"}, {"ids": []}, {"ids": ["dlv_x"], "status": "rejected"},
     {"ids": ["dlv_x"], "to": "2026-11-22T00:00:00Z"}, {"status": "odd"}, {"from": "yesterday"}, {"everything": True},
     {"ids": ["dlv_x"] * 1_001}],
    ids=str,
)  # fmt: skip
async def test_a_replay_that_nothing_narrows_or_that_is_unclear_is_refused(
    as_alice: httpx2.AsyncClient, body: dict[str, Any]
) -> None:
    answer = await as_alice.post("/v1/deliveries/replay", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"]


async def test_a_replay_of_unknown_ids_replays_nothing(
    as_alice: httpx2.AsyncClient, as_charlie: httpx2.AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    [mine] = await receive(pool, settings, hit(alice, b"event=sale&order_id=1&currency=ZZZ"))
    for caller, named in (
        (as_alice, [mine, "dlv_nonsense"]),
        (as_alice, [mine, ids.show("delivery", random_ids.new_id())]),
        (as_charlie, [mine]),
    ):
        answer = await caller.post("/v1/deliveries/replay", json={"ids": named})
        assert (answer.status_code, answer.json()["code"]) == (404, "delivery_not_found")
    assert (await as_alice.get(f"/v1/deliveries/{mine}")).json()["attempts"] == 1


async def test_more_than_a_replay_may_take_is_refused_with_what_to_do(
    as_alice: httpx2.AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.routes.deliveries.REPLAYED_MAX", 2)
    await receive(pool, settings, *[hit(alice, b"event=sale&order_id=1&currency=ZZZ") for _ in range(3)])
    answer = await as_alice.post("/v1/deliveries/replay", json={"status": "rejected"})
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_deliveries")
    assert "from and to" in answer.json()["detail"]
