"""A WooCommerce shop, end to end: its source, the messages as its webhooks send them, the orders and the source's health."""

import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient

from app import random_ids
from app.domain import ids
from app.intake.deliveries.recording import record_deliveries
from app.secret import load_secret
from app.settings import Settings
from app.spool.records import HookLine
from demo.simulator.woocommerce import in_version
from tests.api.calls import make_pair, post
from tests.cast import Brand

Json = dict[str, Any]
[AMPERSAND] = json.loads((Path(__file__).parents[1] / "samples" / "cases" / "22-woo-coupon-ampersand.json").read_text())
ORDER: Json = AMPERSAND["body"]


@pytest.fixture
async def source(as_alice: AsyncClient) -> Json:
    return await post(
        as_alice, "/v1/sources", {"platform": "woocommerce", "secrets": ["kS8vQ2mZ5tR1xW9bN4cJ7dF0gH3pLq"]}
    )


async def receive(
    pool: asyncpg.Pool, settings: Settings, brand: Brand, source: Json, *bodies: Json, topic: str = "order.updated"
) -> None:
    """Records messages whose signature was checked at the door."""
    lines = [
        HookLine(
            id=str(random_ids.new_id()),
            brand_id=str(brand.id),
            source_id=str(ids.read("source", source["id"])),
            platform="woocommerce",
            shop=source["shop"],
            signed=True,
            reason="",
            headers={"x-wc-webhook-topic": topic, "x-wc-webhook-source": "https://shop.example/"},
            query="",
            body=json.dumps(body).encode(),
        )
        for body in bodies
    ]
    await record_deliveries(pool, lines, secret=load_secret(settings), settings=settings)


async def orders(client: AsyncClient) -> list[Json]:
    listed = (await client.get("/v1/conversions")).json()["data"]
    return [(await client.get(f"/v1/conversions/{each['id']}")).json() for each in listed]


async def health_of(client: AsyncClient, source: Json) -> Json:
    return dict((await client.get(f"/v1/sources/{source['id']}/health")).json()["health"])


async def test_a_coupon_stored_with_an_entity_credits_the_code_that_was_typed(
    as_alice: AsyncClient, as_charlie: AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand, source: Json
) -> None:
    code = await post(as_alice, "/v1/codes", {**await make_pair(as_alice), "code": "LEACO"})
    await post(as_charlie, "/v1/codes", {**await make_pair(as_charlie), "code": "LEACO"})
    await receive(pool, settings, alice, source, ORDER, topic=AMPERSAND["topic"])
    [order] = await orders(as_alice)
    [credit] = order["attribution"]["credits"]
    assert (credit["code_id"], order["net_minor"], order["flags"]) == (code["id"], 4_500, [])
    assert await orders(as_charlie) == []


async def test_an_order_told_by_v1_v2_and_v3_is_one_and_approved_and_the_health_names_the_older_versions(
    as_alice: AsyncClient, as_charlie: AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand, source: Json
) -> None:
    assert (await health_of(as_alice, source))["notes"] == []
    pending = ORDER | {"status": "pending", "date_paid_gmt": None}
    later = [ORDER | {"date_modified_gmt": f"2026-11-29T10:0{minute}:00"} for minute in (1, 2)]
    told = [in_version(pending, 1), in_version(later[0], 2), later[1] | {"status": "completed"}]
    await receive(pool, settings, alice, source, *told)
    [order] = await orders(as_alice)
    assert (order["status"], order["net_minor"], order["refunded_minor"], order["flags"]) == ("approved", 4_500, 0, [])
    assert sorted((await health_of(as_alice, source))["notes"]) == ["webhook_api_v1", "webhook_api_v2"]
    rival = await post(as_charlie, "/v1/sources", {"platform": "woocommerce", "secrets": ["another secret of theirs"]})
    assert (await health_of(as_charlie, rival))["notes"] == []


async def test_a_webhook_of_the_legacy_api_is_refused_by_name_in_the_health(
    as_alice: AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand, source: Json
) -> None:
    await receive(pool, settings, alice, source, {"order": {"id": 5, "order_number": 5, "total": "1.00"}})
    assert (await health_of(as_alice, source))["failures_24h"]["reasons"] == {"legacy_api": 1}
