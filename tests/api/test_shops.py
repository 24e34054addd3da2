"""Which of a brand's shops a new source or key belongs to, and which site a source is bound to."""

import asyncio
import json
from dataclasses import replace

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from app import random_ids
from app.domain import ids
from app.intake.deliveries.recording import RecordingCounts, record_deliveries
from app.intake.deliveries.replaying import replay_batch
from app.secret import load_secret
from app.settings import Settings
from app.spool.records import HookLine
from tests.api.calls import Json, fields_at_fault, post
from tests.api.conftest import client
from tests.cast import Brand

SHOPIFY = {"platform": "shopify", "secrets": ["shpss_0123456789abcdef"]}
WOOCOMMERCE = {"platform": "woocommerce", "secrets": ["shpss_0123456789abcdef"]}
PRESTASHOP = {"platform": "generic", "secrets": ["shpss_0123456789abcdef"], "settings": {"preset": "prestashop"}}
STRIPE = {"platform": "stripe", "secrets": ["whsec_0123456789abcdef"]}
PADDLE = {"platform": "generic", "secrets": ["pdl_0123456789abcdef"], "settings": {"preset": "paddle"}}
POSTBACK = {"platform": "postback", "secrets": ["a-long-random-token"], "settings": {"preset": "ariane"}}


async def shop_of(client: AsyncClient, body: Json) -> str:
    return str((await post(client, "/v1/sources", body))["shop"])


# ── The shop of a source ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_first_shop_system_is_main_and_each_further_one_a_shop_of_its_own(
    as_alice: AsyncClient, as_charlie: AsyncClient
) -> None:
    assert await shop_of(as_charlie, SHOPIFY) == "main"
    assert await shop_of(as_alice, STRIPE) == "main"
    assert await shop_of(as_alice, SHOPIFY) == "main"
    assert await shop_of(as_alice, {**SHOPIFY, "name": "Outlet Paris"}) == "outlet-paris"
    assert await shop_of(as_alice, SHOPIFY) == "shopify"
    assert await shop_of(as_alice, SHOPIFY) == "shopify-2"
    assert await shop_of(as_alice, WOOCOMMERCE) == "woocommerce"
    assert await shop_of(as_alice, PRESTASHOP) == "prestashop"
    assert await shop_of(as_alice, {**WOOCOMMERCE, "shop": "de"}) == "de"
    assert await shop_of(as_charlie, STRIPE) == "main"


async def test_two_shop_systems_connected_at_once_are_two_shops(as_alice: AsyncClient) -> None:
    shops = await asyncio.gather(*(shop_of(as_alice, WOOCOMMERCE) for _ in range(5)))
    assert sorted(shops) == ["main", "woocommerce", "woocommerce-2", "woocommerce-3", "woocommerce-4"]


async def test_a_shop_system_that_was_archived_before_its_first_message_leaves_its_shop_to_the_next(
    as_alice: AsyncClient,
) -> None:
    made = await post(as_alice, "/v1/sources", SHOPIFY)
    assert (await as_alice.delete(f"/v1/sources/{made['id']}")).status_code == 200
    assert await shop_of(as_alice, SHOPIFY) == "main"


async def test_a_shop_system_whose_shop_was_left_to_another_does_not_come_back_into_it(
    as_alice: AsyncClient, as_charlie: AsyncClient
) -> None:
    first = await post(as_alice, "/v1/sources", SHOPIFY)
    path = f"/v1/sources/{first['id']}"
    assert (await as_alice.delete(path)).status_code == 200
    await post(as_charlie, "/v1/sources", SHOPIFY)
    assert (await as_alice.post(f"{path}/unarchive")).status_code == 200
    assert (await as_alice.delete(path)).status_code == 200
    await post(as_alice, "/v1/sources", STRIPE)
    second = await post(as_alice, "/v1/sources", SHOPIFY)
    assert second["shop"] == "main"
    refused = await as_alice.post(f"{path}/unarchive")
    assert (refused.status_code, refused.json()["code"]) == (409, "shop_taken")
    assert (await as_alice.delete(f"/v1/sources/{second['id']}")).status_code == 200
    assert (await as_alice.post(f"{path}/unarchive")).status_code == 200


async def test_the_same_site_connected_again_is_the_same_shop(as_alice: AsyncClient, as_charlie: AsyncClient) -> None:
    site = {"site": "https://Outlet.example/"}
    await post(as_charlie, "/v1/sources", {**WOOCOMMERCE, **site, "shop": "rivals"})
    await post(as_alice, "/v1/sources", WOOCOMMERCE)
    made = await post(as_alice, "/v1/sources", {**WOOCOMMERCE, **site})
    assert (made["shop"], made["site"]) == ("woocommerce", "outlet.example")
    assert (await as_alice.delete(f"/v1/sources/{made['id']}")).status_code == 200
    assert await shop_of(as_alice, {**WOOCOMMERCE, **site, "name": "Again"}) == "woocommerce"
    named = {**WOOCOMMERCE, **site, "shop": "de"}
    assert await fields_at_fault(as_alice, "/v1/sources", named) == {"shop": "site_taken"}
    assert await shop_of(as_alice, {**SHOPIFY, **site}) == "shopify"


@pytest.mark.parametrize("site", ["", "a shop", "https://"])
async def test_what_is_no_site_is_refused(as_alice: AsyncClient, site: str) -> None:
    assert set(await fields_at_fault(as_alice, "/v1/sources", {**SHOPIFY, "site": site})) == {"site"}


async def test_a_source_whose_messages_name_no_site_has_none(as_alice: AsyncClient) -> None:
    stripe = {**STRIPE, "site": "shop.example"}
    assert await fields_at_fault(as_alice, "/v1/sources", stripe) == {"site": "invalid"}


@pytest.mark.parametrize("body", [STRIPE, PADDLE, POSTBACK], ids=["stripe", "paddle", "postback"])
async def test_a_payment_system_names_its_shop_where_there_are_several(
    as_alice: AsyncClient, as_charlie: AsyncClient, body: Json
) -> None:
    earlier = await post(as_alice, "/v1/sources", body)
    await post(as_alice, "/v1/sources", SHOPIFY)
    assert await shop_of(as_alice, body) == "main"
    await post(as_alice, "/v1/sources", {**SHOPIFY, "name": "Outlet"})
    answer = await as_alice.post("/v1/sources", json=body)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert (error["field"], error["code"]) == ("shop", "required")
    assert "main, outlet" in error["detail"]
    assert await shop_of(as_alice, {**body, "shop": "outlet"}) == "outlet"
    assert (await as_alice.get(f"/v1/sources/{earlier['id']}")).json()["shop"] == "main"
    assert await shop_of(as_charlie, body) == "main"


# ── The shop of a key ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "body", [{"kind": "publishable"}, {"scopes": ["conversions"]}, {"scopes": ["admin"]}, {}], ids=str
)
async def test_a_key_that_may_report_names_its_shop_where_there_are_several(
    as_alice: AsyncClient, as_charlie: AsyncClient, body: Json
) -> None:
    earlier = await post(as_alice, "/v1/keys", body)
    assert earlier["shop"] == "main"
    for name in ("Atelier", "Outlet"):
        await post(as_alice, "/v1/sources", {**SHOPIFY, "name": name})
    answer = await as_alice.post("/v1/keys", json=body)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert (error["field"], error["code"]) == ("shop", "required")
    assert "main, outlet" in error["detail"]
    named = await post(as_alice, "/v1/keys", {**body, "shop": "outlet", **({} if body else {"scopes": ["write"]})})
    assert named["shop"] == "outlet"
    assert (await as_alice.get(f"/v1/keys/{earlier['id']}")).json()["shop"] == "main"
    assert (await post(as_charlie, "/v1/keys", body))["shop"] == "main"


async def test_a_key_that_only_reads_belongs_to_no_shop(as_alice: AsyncClient) -> None:
    for name in ("Atelier", "Outlet"):
        await post(as_alice, "/v1/sources", {**SHOPIFY, "name": name})
    assert (await post(as_alice, "/v1/keys", {"scopes": ["read"]}))["shop"] is None


async def test_a_brand_whose_one_shop_is_called_otherwise_gets_its_keys_for_that(
    as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand
) -> None:
    await pool.execute("UPDATE api_key SET shop = 'fr' WHERE brand_id = $1 AND kind = 'publishable'", alice.id)
    assert await shop_of(as_alice, {**SHOPIFY, "shop": "fr"}) == "fr"
    assert (await post(as_alice, "/v1/keys", {"kind": "publishable"}))["shop"] == "fr"
    assert await shop_of(as_alice, STRIPE) == "fr"


async def test_what_is_reported_with_a_key_is_of_its_shop_whatever_shop_came_later(
    as_alice: AsyncClient, service: FastAPI, alice: Brand
) -> None:
    await post(as_alice, "/v1/sources", SHOPIFY)
    first = await post(as_alice, "/v1/keys", {"scopes": ["conversions"]})
    await post(as_alice, "/v1/sources", {**SHOPIFY, "name": "Outlet"})
    second = await post(as_alice, "/v1/keys", {"scopes": ["write"], "shop": "outlet"})
    shops = []
    for made in (first, second):
        key = replace(alice, secret_key=made["secret_key"])
        async with client(service, key) as server:
            order = {"order_id": "1001", "net_minor": 100, "currency": "EUR"}
            shops.append((await post(server, "/v1/conversions", order))["shop"])
            refund = {"order_id": "1001", "refund_id": "r1", "amount_minor": 10}
            assert (await post(server, "/v1/refunds", refund))["shop"] == shops[-1]
            shops.append(
                (await post(server, "/v1/conversions", {**order, "shop": "third"}, status=[201, 200][len(shops) > 1]))[
                    "shop"
                ]
            )
    assert shops == ["main", "third", "outlet", "third"]


# ── The site of a source ─────────────────────────────────────────────────────────────────────────────────────────────


class Receiving:
    """Messages of sources of one brand, as the door writes them down, recorded at once."""

    def __init__(self, pool: asyncpg.Pool, brand: Brand, settings: Settings) -> None:
        self.pool, self.brand, self.settings = pool, brand, settings

    def line(self, source: Json, number: int, site: str | None, *, signed: bool = True) -> HookLine:
        body = {
            "id": number,
            "name": f"#{number}",
            "currency": "EUR",
            "financial_status": "paid",
            "total_price": "9.00",
        }
        headers = {"x-shopify-topic": "orders/paid"} | ({} if site is None else {"x-shopify-shop-domain": site})
        return HookLine(
            id=str(random_ids.new_id()), brand_id=str(self.brand.id), source_id=str(ids.read("source", source["id"])),
            platform="shopify", shop=source["shop"], signed=signed, reason="" if signed else "wrong_signature", headers=headers,
            query="", body=json.dumps(body).encode(),
        )  # fmt: skip

    async def record(self, *lines: HookLine) -> RecordingCounts:
        return await record_deliveries(self.pool, lines, secret=load_secret(self.settings), settings=self.settings)

    async def orders(self) -> list[tuple[str, str]]:
        rows = await self.pool.fetch(
            "SELECT shop, order_id FROM conversion WHERE brand_id = $1 AND id = root_id ORDER BY 1, 2", self.brand.id
        )
        return [tuple(row) for row in rows]

    async def replay(self) -> list[str]:
        """The results of all rejected messages, read again."""
        rows = await self.pool.fetch(
            "SELECT id FROM delivery WHERE brand_id = $1 AND status = 'rejected'", self.brand.id
        )

        async def transact(_ids, work):  # type: ignore[no-untyped-def]
            async with self.pool.acquire() as connection, connection.transaction():
                return await work(connection)

        secret = load_secret(self.settings)
        done = await replay_batch(transact, self.brand.id, [row["id"] for row in rows], secret=secret)
        return [each.result.status for each in done]


@pytest.fixture
def receiving(pool: asyncpg.Pool, alice: Brand, settings: Settings) -> Receiving:
    return Receiving(pool, alice, settings)


async def site_of(client: AsyncClient, source: Json) -> tuple[str | None, str]:
    shown = (await client.get(f"/v1/sources/{source['id']}")).json()
    return shown["site"], shown["shop"]


async def test_the_site_of_the_first_message_is_bound_and_another_ones_messages_are_kept_as_rejected(
    as_alice: AsyncClient, pool: asyncpg.Pool, receiving: Receiving
) -> None:
    made = await post(as_alice, "/v1/sources", SHOPIFY)
    assert await site_of(as_alice, made) == (None, "main")
    # Neither a wrong signature nor a message that names nothing binds it.
    await receiving.record(receiving.line(made, 1, "forged.myshopify.com", signed=False))
    await receiving.record(receiving.line(made, 2, None))
    # Nor does a trial of an earlier release.
    await receiving.record(receiving.line(made, 2, "rehearsal.myshopify.com"))
    assert await site_of(as_alice, made) == (None, "main")
    counts = await receiving.record(
        receiving.line(made, 3, "Atelier.myshopify.com"), receiving.line(made, 4, "outlet.myshopify.com")
    )
    assert (counts["recorded"], counts["rejected"]) == (1, 1)
    assert await site_of(as_alice, made) == ("atelier.myshopify.com", "main")
    assert (await receiving.record(receiving.line(made, 5, None)))["recorded"] == 1
    assert (await receiving.record(receiving.line(made, 6, "outlet.myshopify.com")))["rejected"] == 1
    assert await receiving.orders() == [("main", "2"), ("main", "3"), ("main", "5")]
    [kept] = (await as_alice.get("/v1/deliveries?reason=other_site&limit=1")).json()["data"]
    assert kept["status"] == "rejected"
    assert "atelier.myshopify.com" in kept["detail"]
    assert "outlet.myshopify.com" in kept["detail"]
    health = (await as_alice.get(f"/v1/sources/{made['id']}")).json()["health"]
    assert health["failures_24h"]["reasons"]["other_site"] == 2


async def test_a_source_is_bound_to_another_site_by_hand_and_what_was_refused_is_replayed(
    as_alice: AsyncClient, as_charlie: AsyncClient, receiving: Receiving
) -> None:
    made = await post(as_alice, "/v1/sources", {**SHOPIFY, "site": "old.myshopify.com"})
    path = f"/v1/sources/{made['id']}"
    assert (await receiving.record(receiving.line(made, 1, "new.myshopify.com")))["rejected"] == 1
    assert await receiving.replay() == ["rejected"]
    assert (await as_charlie.patch(path, json={"site": "new.myshopify.com"})).status_code == 404
    moved = await as_alice.patch(path, json={"site": "https://new.myshopify.com/"})
    assert (moved.status_code, moved.json()["site"]) == (200, "new.myshopify.com")
    assert await receiving.replay() == ["recorded"]
    # Null: the next message binds it.
    assert (await as_alice.patch(path, json={"site": None})).json()["site"] is None
    assert (await receiving.record(receiving.line(made, 2, "third.myshopify.com")))["recorded"] == 1
    assert await site_of(as_alice, made) == ("third.myshopify.com", "main")
    assert (await as_alice.patch(path, json={"name": "renamed"})).json()["site"] == "third.myshopify.com"


async def test_the_site_of_another_shop_is_not_taken_by_hand(as_alice: AsyncClient) -> None:
    await post(as_alice, "/v1/sources", {**SHOPIFY, "site": "one.myshopify.com"})
    other = await post(as_alice, "/v1/sources", {**SHOPIFY, "site": "two.myshopify.com"})
    answer = await as_alice.patch(f"/v1/sources/{other['id']}", json={"site": "one.myshopify.com"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "site_taken")


async def test_of_two_shops_that_are_first_at_once_one_is_bound_and_the_other_refused(
    as_alice: AsyncClient, receiving: Receiving
) -> None:
    made = await post(as_alice, "/v1/sources", SHOPIFY)
    lines = [receiving.line(made, number, f"shop-{number % 4}.myshopify.com") for number in range(24)]
    counts = await asyncio.gather(*(receiving.record(line) for line in lines))
    site, _ = await site_of(as_alice, made)
    assert site in {f"shop-{number}.myshopify.com" for number in range(4)}
    assert sum(each["recorded"] for each in counts) == 6
    assert sum(each["rejected"] for each in counts) == 18
    assert len(await receiving.orders()) == 6


async def test_a_site_that_is_connected_anew_is_the_same_shop_as_soon_as_it_names_itself(
    as_alice: AsyncClient, as_charlie: AsyncClient, receiving: Receiving, pool: asyncpg.Pool
) -> None:
    await post(as_charlie, "/v1/sources", {**SHOPIFY, "site": "atelier.myshopify.com", "shop": "rivals"})
    first = await post(as_alice, "/v1/sources", SHOPIFY)
    await receiving.record(receiving.line(first, 1, "atelier.myshopify.com"))
    assert (await as_alice.delete(f"/v1/sources/{first['id']}")).status_code == 200
    again = await post(as_alice, "/v1/sources", SHOPIFY)
    assert again["shop"] == "shopify"
    key = await post(as_alice, "/v1/keys", {"kind": "publishable", "shop": "shopify"})
    lines = [receiving.line(again, number, "atelier.myshopify.com") for number in (1, 2)]
    assert (await receiving.record(*lines))["recorded"] == 2
    assert await site_of(as_alice, again) == ("atelier.myshopify.com", "main")
    assert await receiving.orders() == [("main", "1"), ("main", "2")]
    shops = await pool.fetch("SELECT DISTINCT shop FROM delivery WHERE brand_id = $1", receiving.brand.id)
    assert [row["shop"] for row in shops] == ["main"]
    # What was made for the shop that it seemed to be goes along.
    assert (await as_alice.get(f"/v1/keys/{key['id']}")).json()["shop"] == "main"


async def test_the_ordinary_batch_asks_nothing_more_for_its_site(
    as_alice: AsyncClient, receiving: Receiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await post(as_alice, "/v1/sources", SHOPIFY)
    await receiving.record(receiving.line(made, 1, "atelier.myshopify.com"))
    asked: list[str] = []
    async with receiving.pool.acquire() as connection:
        kind = type(connection)
    fetch = kind.fetch

    async def noted(self, query, *arguments, **options):  # type: ignore[no-untyped-def]
        asked.append(query)
        return await fetch(self, query, *arguments, **options)

    monkeypatch.setattr(kind, "fetch", noted)
    await receiving.record(receiving.line(made, 2, "atelier.myshopify.com"))
    assert sum("FROM source" in query for query in asked) == 1
