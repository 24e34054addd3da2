"""Currencies that ISO 4217 does not list, at every door: those of shops, retired ones, and those that a brand declares."""

import json
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from httpx2 import AsyncClient

from app import random_ids
from app.domain import ids
from app.intake.deliveries.recording import record_deliveries
from app.secret import load_secret
from app.settings import Settings
from app.spool.records import HookLine, PixelLine
from tests.api.calls import Json, fields_at_fault, make_campaign, make_pair, post
from tests.api.test_imports import finish
from tests.api.test_woocommerce import ORDER
from tests.cast import Brand

__all__ = ["finish"]

OWN = {"USDT": 6, "GOLD": 0}
MAPPING = {
    "amounts": "minor",
    "rules": [{"read": "order", "order_id": "/id", "currency": "/currency", "net": {"at": "/net", "unit": "major"}, "tax": "/tax"}],
}  # fmt: skip


@pytest.fixture
async def declared(as_alice: AsyncClient) -> Json:
    answer = await as_alice.patch("/v1/brand", json={"currencies": OWN})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


class Door:
    """Records messages of a brand as the doors hand them over."""

    def __init__(self, pool: asyncpg.Pool, settings: Settings, brand: Brand) -> None:
        self.pool, self.settings, self.brand = pool, settings, brand

    async def hook(
        self, client: AsyncClient, platform: str, body: Any, settings: Json | None = None, **more: Any
    ) -> str:
        source = await post(
            client,
            "/v1/sources",
            {"platform": platform, "secrets": ["s" * 30], "settings": settings or {}, **more.get("source", {})},
        )
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        line_id = random_ids.new_id()
        line = HookLine(
            id=str(line_id), brand_id=str(self.brand.id), source_id=str(ids.read("source", source["id"])), platform=platform,
            shop="main", signed=True, reason="", headers=more.get("headers", {}), query=more.get("query", ""), body=content,
        )  # fmt: skip
        await self._record(line)
        return await self.status(line_id)

    async def pixel(self, hit: str) -> str:
        line_id, brand = random_ids.new_id(), self.brand
        content = f"k={brand.publishable_key}&event=sale&{hit}".encode()
        await self._record(
            PixelLine(str(line_id), str(brand.id), str(brand.publishable_id), "main", "pixel", "", content)
        )
        return await self.status(line_id)

    async def _record(self, line: HookLine | PixelLine) -> None:
        await record_deliveries(self.pool, [line], secret=load_secret(self.settings), settings=self.settings)

    async def status(self, line_id: UUID) -> str:
        row = await self.pool.fetchrow(
            "SELECT status, reason FROM delivery WHERE brand_id = $1 AND id = $2", self.brand.id, line_id
        )
        return str(row["reason"] or row["status"])


@pytest.fixture
def door(pool: asyncpg.Pool, settings: Settings, alice: Brand) -> Door:
    return Door(pool, settings, alice)


async def amounts(client: AsyncClient) -> dict[str, tuple[str, int]]:
    listed = (await client.get("/v1/conversions", params={"limit": 100})).json()["data"]
    return {each["order_id"]: (each["currency"], each["net_minor"]) for each in listed}


# ── Known without being declared ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_woocommerce_order_in_toman_or_kuna_is_recorded(as_alice: AsyncClient, door: Door) -> None:
    headers = {"x-wc-webhook-topic": "order.created"}
    for order_id, currency, total in ((1, "IRT", "1250000"), (2, "HRK", "45.50"), (3, "irt", "1250000.00")):
        line = ORDER["line_items"][0] | {"subtotal": total, "total": total}
        body = ORDER | {
            "id": order_id,
            "order_key": f"k{order_id}",
            "number": str(order_id),
            "currency": currency,
            "line_items": [line],
        }
        assert await door.hook(as_alice, "woocommerce", body, headers=headers) == "recorded"
    assert await amounts(as_alice) == {"1": ("IRT", 1_250_000), "2": ("HRK", 4_550), "3": ("IRT", 1_250_000)}


async def test_a_brand_may_declare_the_toman_as_it_is_known_and_count_in_it(as_alice: AsyncClient) -> None:
    shown = (await as_alice.patch("/v1/brand", json={"currencies": {"IRT": 0}, "currency": "IRT"})).json()
    assert (shown["currencies"], shown["currency"]) == ({"IRT": 0}, "IRT")
    order = await post(as_alice, "/v1/conversions", {"order_id": "1", "net_minor": 7})
    assert order["currency"] == "IRT"


# ── Declared ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "currencies", [{"EUR": 3}, {"usdt": 6}, {"USDT": 9}, {"USDT": "6"}, {"US": 1}, ["USDT"], {"IRT": 2}]
)
async def test_a_declaration_that_cannot_be_is_refused(as_alice: AsyncClient, currencies: Any) -> None:
    answer = await as_alice.patch("/v1/brand", json={"currencies": currencies})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("currencies")
    assert (await as_alice.get("/v1/brand")).json()["currencies"] == {}


async def test_declarations_are_merged_and_one_in_use_is_fixed(as_alice: AsyncClient, declared: Json) -> None:
    assert declared["currencies"] == OWN
    await post(as_alice, "/v1/conversions", {"order_id": "1", "net_minor": 1_500_000, "currency": "USDT"})
    for change in ({"USDT": 2}, {"USDT": None}):
        answer = await as_alice.patch("/v1/brand", json={"currencies": change})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (409, "currencies.USDT")
    shown = (await as_alice.patch("/v1/brand", json={"currencies": {"GOLD": None, "SILVER": 1}})).json()
    assert shown["currencies"] == {"USDT": 6, "SILVER": 1}


async def test_a_declaration_is_fixed_by_what_was_paid_back_or_reported_beside_the_order_s_currency(
    as_alice: AsyncClient, as_charlie: AsyncClient, declared: Json
) -> None:
    await post(as_alice, "/v1/conversions", {"order_id": "1", "net_minor": 5_000, "currency": "EUR"})
    refund = {"order_id": "1", "refund_id": "r", "amount_minor": 1_500_000, "currency": "USDT"}
    await post(as_alice, "/v1/refunds", refund)
    assert (await as_alice.patch("/v1/brand", json={"currencies": {"USDT": 2}})).status_code == 409
    await as_charlie.patch("/v1/brand", json={"currencies": OWN})
    assert (await as_charlie.patch("/v1/brand", json={"currencies": {"USDT": 2}})).status_code == 200


async def test_a_brand_counts_in_its_own_currency_only_while_it_is_declared(
    as_alice: AsyncClient, declared: Json
) -> None:
    assert (await as_alice.patch("/v1/brand", json={"currency": "GOLD"})).json()["currency"] == "GOLD"
    assert (await as_alice.patch("/v1/brand", json={"currencies": {"GOLD": None}})).status_code in (409, 422)


async def test_a_declared_currency_is_taken_wherever_a_request_names_one_and_not_by_another_brand(
    as_alice: AsyncClient, as_charlie: AsyncClient, declared: Json
) -> None:
    cost = {
        "campaign_id": (await make_campaign(as_alice))["id"],
        "kind": "fee",
        "amount_minor": 5,
        "incurred_on": "2026-11-22",
    }
    bodies: dict[str, Json] = {
        "/v1/campaigns": {"name": "x", "objective": "sales", "currency": "usdt"},
        "/v1/costs": {**cost, "currency": "USDT"},
        "/v1/conversions": {"order_id": "1", "net_minor": 1_500_000, "currency": "USDT"},
        "/v1/refunds": {"order_id": "1", "refund_id": "r", "amount_minor": 500_000, "currency": "USDT"},
    }
    for path, body in bodies.items():
        assert (await as_charlie.post(path, json=body)).status_code == 422
        made = await post(as_alice, path, body)
        assert made["currency"] == "USDT"
        faults = await fields_at_fault(as_alice, path, {**body, "currency": "QQQ"})
        assert faults.get("currency"), (path, faults)
        assert "currency" in await fields_at_fault(as_charlie, path, body)
    costs = (await as_alice.get("/v1/costs")).json()["data"]
    assert (await as_alice.patch(f"/v1/costs/{costs[0]['id']}", json={"currency": "GOLD"})).json()["currency"] == "GOLD"
    summary = await as_alice.get("/v1/reports/summary", params={"currency": "USDT", "from": "2026-01-01"})
    assert (summary.status_code, summary.json()["currency"]) == (200, "USDT")
    assert (await as_charlie.get("/v1/reports/summary", params={"currency": "USDT"})).status_code == 422


async def test_amounts_in_a_declared_currency_have_its_decimals_at_every_door(
    as_alice: AsyncClient, door: Door, declared: Json, finish: Any
) -> None:
    line = ORDER["line_items"][0] | {"subtotal": "1.5", "total": "1.5"}
    woo = ORDER | {"id": 1, "order_key": "k", "number": "1", "currency": "USDT", "line_items": [line]}
    assert await door.hook(as_alice, "woocommerce", woo, headers={"x-wc-webhook-topic": "order.created"}) == "recorded"
    mapped = {"id": "2", "currency": "USDT", "net": "1.5", "tax": 250_000}
    assert await door.hook(as_alice, "generic", mapped, {"mapping": MAPPING}, source={"sample": mapped}) == "recorded"
    assert (
        await door.hook(as_alice, "generic", {"order_id": "3", "net_minor": 1_500_000, "currency": "USDT"})
        == "recorded"
    )
    query = "order_id=4&amount=1.5&currency=USDT"
    assert await door.hook(as_alice, "postback", b"", query=query) == "recorded"
    assert await door.pixel("order_id=5&amount=1.5&tax=0&shipping=0&currency=USDT") == "recorded"
    content = "order_id,occurred_at,currency,net\n6,2026-11-21T18:00:00Z,USDT,1.5\n"
    answer = await as_alice.post("/v1/imports", content=content, headers={"Content-Type": "text/csv"})
    assert (await finish(as_alice, answer.json()))["result"]["orders"]["new"] == 1
    assert await amounts(as_alice) == dict.fromkeys("123456", ("USDT", 1500000))
    shop_list = "order_id,occurred_at,currency,net\n6,2026-11-21T18:00:00Z,USDT,1.5\n"
    answer = await as_alice.post("/v1/reconciliations", content=shop_list, headers={"Content-Type": "text/csv"})
    assert (await finish(as_alice, answer.json()))["result"]["orders"]["matched"] == 1


async def test_a_code_s_pattern_says_a_discount_in_a_declared_currency(as_alice: AsyncClient, declared: Json) -> None:
    pair = await make_pair(as_alice)
    campaign = await post(as_alice, "/v1/campaigns", {"name": "y", "objective": "sales", "currency": "USDT"})
    body = {**pair, "campaign_id": campaign["id"], "pattern": "{HANDLE}{DISCOUNT}"}
    made = await post(as_alice, "/v1/codes", {**body, "discount": {"type": "fixed", "amount_minor": 5_000_000}})
    assert made["code"].endswith("5")


async def test_a_message_in_a_currency_that_nobody_declared_says_so_and_can_be_replayed(
    as_alice: AsyncClient, door: Door
) -> None:
    body = {"order_id": "3", "net_minor": 1_500_000, "currency": "USDT"}
    assert await door.hook(as_alice, "generic", body) == "invalid_fields"
    await as_alice.patch("/v1/brand", json={"currencies": OWN})
    [kept] = (await as_alice.get("/v1/deliveries", params={"status": "rejected"})).json()["data"]
    assert "'USDT' is not an ISO 4217 currency" in kept["detail"]
    await as_alice.post(f"/v1/deliveries/{kept['id']}/replay")
    assert await amounts(as_alice) == {"3": ("USDT", 1_500_000)}
