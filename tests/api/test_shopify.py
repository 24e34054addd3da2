"""A Shopify shop, end to end: its messages as they stand in the documentation of API 2024-10, and what the order is worth after them."""

import itertools
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
from tests.api.calls import make_pair, post
from tests.cast import Brand

Json = dict[str, Any]
CASES = Path(__file__).parents[1] / "samples" / "cases"
RIGHT = {
    "04-shopify-shipping-only-refund-2024-10": (5_000, 0),
    # 224.10 came back, 8.75 of it was kept for restocking.
    "05-shopify-return-deduction-without-kind": (22_410, 21_535),
    # 12.00 for damage, of which no tax is stated, and 6.00 of shipping.
    "09-shopify-amount-and-shipping-without-kind": (10_000, 1_200),
    "10-shopify-tip-line": (5_000, 0),
    "11-shopify-duties-only-refund": (5_000, 0),
}


def case(name: str) -> list[tuple[str, Json]]:
    """The messages of a case, each with its topic."""
    return [(each["topic"], each["body"]) for each in json.loads((CASES / f"{name}.json").read_text())]


async def connect(client: AsyncClient, platform: str = "shopify") -> Json:
    secrets = ["kS8vQ2mZ5tR1xW9bN4cJ7dF0gH3pLq"]
    return await post(client, "/v1/sources", {"platform": platform, "secrets": secrets})


async def receive(
    pool: asyncpg.Pool, settings: Settings, brand: Brand, source: Json, *messages: tuple[str, Json]
) -> None:
    """Records messages whose signature was checked at the door."""
    prefix = {"shopify": "x-shopify", "woocommerce": "x-wc-webhook"}[source["platform"]]
    for topic, body in messages:
        line = HookLine(
            id=str(random_ids.new_id()),
            brand_id=str(brand.id),
            source_id=str(ids.read("source", source["id"])),
            platform=source["platform"],
            shop=source["shop"],
            signed=True,
            reason="",
            headers={f"{prefix}-topic": topic},
            query="",
            body=json.dumps(body).encode(),
        )
        await record_deliveries(pool, [line], secret=load_secret(settings), settings=settings)


async def orders(client: AsyncClient) -> list[Json]:
    listed = (await client.get("/v1/conversions")).json()["data"]
    return [(await client.get(f"/v1/conversions/{each['id']}")).json() for each in listed]


@pytest.mark.parametrize("name", RIGHT)
async def test_what_shopify_says_of_a_refund_comes_to_the_same_in_any_order_and_inside_the_order(
    name: str, as_alice: AsyncClient, as_charlie: AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    code = await post(as_alice, "/v1/codes", {**await make_pair(as_alice), "code": "LEA10"})
    source = await connect(as_alice)
    (created, order), *refunds = case(name)
    later = {"updated_at": "2026-11-29T10:00:01+01:00", "refunds": [body for _, body in refunds]}
    messages = [(created, order), *refunds, ("orders/updated", order | later)]
    for number, turn in enumerate(itertools.permutations(messages)):
        # Each order of arrival is another shopper's order.
        own = json.loads(json.dumps(turn).replace(str(order["id"]), f"{order['id']}{number}"))
        await receive(pool, settings, alice, source, *map(tuple, own))
    found = await orders(as_alice)
    assert len(found) == number + 1
    assert {(each["net_minor"], each["refunded_minor"]) for each in found} == {RIGHT[name]}
    assert {tuple(each["flags"]) for each in found} == {()}
    assert {credit["code_id"] for each in found for credit in each["attribution"]["credits"]} == {code["id"]}
    assert await orders(as_charlie) == []


async def test_an_order_that_is_deleted_or_never_paid_is_cancelled_until_a_later_message_says_paid(
    as_alice: AsyncClient, as_charlie: AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    source = await connect(as_alice)
    [(_, order)] = case("10-shopify-tip-line")
    pending = order | {"financial_status": "pending"}
    voided = order | {"financial_status": "voided", "updated_at": "2026-11-29T10:00:00Z"}
    await receive(pool, settings, alice, source, ("orders/create", pending), ("orders/updated", voided))
    [found] = await orders(as_alice)
    assert (found["status"], found["net_minor"], found["refunded_minor"]) == ("rejected", 5_000, 5_000)
    await receive(pool, settings, alice, source, ("orders/delete", {"id": order["id"]}))
    [found] = await orders(as_alice)
    assert found["refunded_minor"] == 5_000
    paid = order | {"updated_at": "2099-01-01T00:00:00Z"}
    await receive(pool, settings, alice, source, ("orders/paid", paid))
    [found] = await orders(as_alice)
    assert (found["status"], found["refunded_minor"]) == ("approved", 0)
    assert await orders(as_charlie) == []


# ── Lists of codes ───────────────────────────────────────────────────────────────────────────────────────────────────


async def credited(client: AsyncClient) -> list[str]:
    [found] = await orders(client)
    return [each["code_id"] for each in found["attribution"]["credits"]]


async def test_a_newer_list_of_codes_takes_back_what_the_same_shop_named_before(
    as_alice: AsyncClient, as_charlie: AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    pair = await make_pair(as_alice)
    lea = await post(as_alice, "/v1/codes", {**pair, "code": "LEA10"})
    other = await post(as_alice, "/v1/codes", {**pair, "code": "OTHER5"})
    source = await connect(as_alice, "woocommerce")
    named, removed = case("35-woo-coupon-removed")
    await receive(pool, settings, alice, source, named)
    assert await credited(as_alice) == [lea["id"]]
    await receive(pool, settings, alice, source, removed)
    assert await credited(as_alice) == []
    # What is repeated late changes nothing.
    await receive(pool, settings, alice, source, named)
    assert await credited(as_alice) == []
    later = {"date_modified_gmt": "2026-11-29T13:00:00", "coupon_lines": [{"code": "other5"}]}
    await receive(pool, settings, alice, source, (removed[0], removed[1] | later))
    assert await credited(as_alice) == [other["id"]]
    assert await orders(as_charlie) == []


async def test_another_sources_word_a_refund_and_a_filtered_message_take_no_code_back(
    as_alice: AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand
) -> None:
    lea = await post(as_alice, "/v1/codes", {**await make_pair(as_alice), "code": "LEA10"})
    source = await connect(as_alice)
    (created, order), refund = case("09-shopify-amount-and-shipping-without-kind")
    later = {"updated_at": "2026-11-29T12:00:00Z"}
    filtered = {"id": order["id"], "financial_status": "paid", **later}
    await receive(pool, settings, alice, source, (created, order), refund, ("orders/updated", filtered))
    told = {"order_id": str(order["id"]), "net_minor": 10_000, "currency": "EUR", "codes": [], **later}
    assert (await as_alice.post("/v1/conversions", json=told)).status_code < 300
    assert await credited(as_alice) == [lea["id"]]
    await receive(pool, settings, alice, source, ("orders/updated", order | later | {"discount_codes": []}))
    assert await credited(as_alice) == []
