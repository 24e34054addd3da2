"""WooCommerce through the real doors into the real database: the ping, an order with its code, its refunds, its trash and back."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app import clock, random_ids
from app.domain.codes import normalise
from app.intake.deliveries.recording import RecordingCounts, record_deliveries
from app.orders.redecide import redecide
from app.secret import load_secret
from app.settings import Settings
from app.tracking.doors import Doors
from demo.simulator import DOCUMENTS
from tests.cast import Brand, create_code, create_collaboration
from tests.tracking.asking import Answer, ask, running_doors, settings_for, spooled
from tests.tracking.rows import write_source

ORDER = json.loads((DOCUMENTS / "woocommerce_order_v3.json").read_bytes())
PING = json.loads((DOCUMENTS / "woocommerce_ping.json").read_bytes())
TYPED = """l'été <&> "noir" """.strip()
STORED = "l&#039;été &lt;&amp;&gt; &quot;noir&quot;"
NOW = clock.now().replace(microsecond=0)


def gmt(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def order(number: int, minutes: int = 0, **changed: Any) -> bytes:
    """The documentation's order under a number of its own, modified so long after it was made; as PHP writes it."""
    made = NOW - timedelta(hours=2)
    times = {"date_created_gmt": gmt(made), "date_modified_gmt": gmt(made + timedelta(minutes=minutes))}
    whole = {**ORDER, "id": number, "number": str(number), "order_key": f"wc_order_{number}", **times, **changed}
    return json.dumps(whole, separators=(",", ":")).replace("/", "\\/").encode()


class Shop:
    """Posts as WooCommerce's class-wc-webhook.php does."""

    def __init__(self, doors: Doors, token: str) -> None:
        self.doors = doors
        self.token = token

    async def post(self, topic: str, body: bytes, *, secret: str = TYPED, delivery: str = "") -> Answer:
        headers = [
            ("Content-Type", "application/json"),
            ("User-Agent", "WooCommerce/11.2.0 Hookshot (WordPress/7.0)"),
            ("X-WC-Webhook-Source", "https://shop.example/"),
            ("X-WC-Webhook-Topic", topic),
            ("X-WC-Webhook-Resource", "order"),
            ("X-WC-Webhook-Event", topic.partition(".")[2]),
            ("X-WC-Webhook-Signature", base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()),
            ("X-WC-Webhook-ID", "7"),
            ("X-WC-Webhook-Delivery-ID", delivery or random_ids.new_id().hex),
        ]
        return await ask(self.doors, "POST", f"/in/{self.token}", headers=headers, body=body)


@pytest.fixture
def own(dsn: str, tmp_path: Path) -> Settings:
    return settings_for(dsn, tmp_path)


@pytest.fixture
async def doors(own: Settings) -> AsyncIterator[Doors]:
    async with running_doors(own) as doors:
        yield doors


@pytest.fixture
async def shop(pool: asyncpg.Pool, alice: Brand, doors: Doors) -> Shop:
    token, _ = await write_source(pool, alice, "woocommerce", TYPED)
    return Shop(doors, token)


@pytest.fixture
def record(pool: asyncpg.Pool, own: Settings, doors: Doors) -> Callable[[], Awaitable[RecordingCounts]]:
    async def record() -> RecordingCounts:
        await doors.stop()
        outcome = await record_deliveries(pool, spooled(own, "orders"), secret=load_secret(own), settings=own)
        await redecide(pool)
        return outcome

    return record


async def conversion(pool: asyncpg.Pool, brand: Brand) -> asyncpg.Record:
    [row] = await pool.fetch("SELECT * FROM conversion WHERE brand_id = $1 AND id = root_id", brand.id)
    return row


async def test_the_ping_is_answered_200_and_leaves_nothing(
    pool: asyncpg.Pool, alice: Brand, own: Settings, doors: Doors
) -> None:
    token, _ = await write_source(pool, alice, "woocommerce", TYPED)
    headers = list(PING["headers"].items())
    answer = await ask(doors, "POST", f"/in/{token}", headers=headers, body=PING["body"].encode())
    assert (answer.status, json.loads(answer.body)) == (200, {"status": "pong"})
    metrics = (await ask(doors, "GET", "/metrics")).body
    assert b'ariane_hooks_total{outcome="ping"} 1.0' in metrics
    assert b'ariane_hooks_total{outcome="unsigned"} 0.0' in metrics
    await doors.stop()
    assert spooled(own, "orders") == []


async def test_a_ping_to_nobody_or_to_another_platform_is_no_ping(
    pool: asyncpg.Pool, alice: Brand, own: Settings, doors: Doors
) -> None:
    token, _ = await write_source(pool, alice, "shopify", TYPED)
    assert (await ask(doors, "POST", f"/in/{token}", body=b"webhook_id=42")).status == 401
    assert (await ask(doors, "POST", "/in/in_nobody", body=b"webhook_id=42")).status == 404
    await doors.stop()
    assert len(spooled(own, "orders")) == 1


async def test_an_order_is_credited_by_a_code_that_the_shop_has_put_in_lower_case(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, shop: Shop, record: Callable[[], Awaitable[RecordingCounts]]
) -> None:
    for brand in (alice, charlie):
        await create_code(pool, brand, await create_collaboration(pool, brand), normalise("LÉA-10"))
    body = order(5001, coupon_lines=[{"id": 1, "code": "léa-10", "discount": "2.00", "discount_tax": "0.00"}])
    answer = await shop.post("order.created", body)
    assert answer.status == 200
    assert json.loads(answer.body)["status"] == "received"
    assert (await record())["recorded"] == 1
    row = await conversion(pool, alice)
    assert (row["order_id"], row["currency"], row["net_minor"], row["status"]) == ("5001", "USD", 1_800, "approved")
    decision = await pool.fetchrow("SELECT * FROM decision WHERE brand_id = $1", alice.id)
    assert (decision["verdict"], decision["method"]) == ("attributed", "code")
    assert await pool.fetchval("SELECT count(*) FROM conversion WHERE brand_id = $1", charlie.id) == 0


@pytest.mark.parametrize("kept", [TYPED, STORED])
async def test_a_secret_with_quotes_and_angles_may_be_given_either_way(
    pool: asyncpg.Pool, alice: Brand, doors: Doors, kept: str
) -> None:
    token, _ = await write_source(pool, alice, "woocommerce", kept)
    shop = Shop(doors, token)
    assert (await shop.post("order.created", order(5002))).status == 200
    assert (await shop.post("order.created", order(5002), secret="another")).status == 401


async def test_two_messages_of_one_second_share_their_delivery_id_and_both_are_kept(
    pool: asyncpg.Pool, alice: Brand, shop: Shop, record: Callable[[], Awaitable[RecordingCounts]]
) -> None:
    """wp_hash(webhook id + second): the id is no proof of repetition, the body beside it is."""
    for body in (order(5003), order(5004), order(5003)):
        assert (await shop.post("order.updated", body, delivery="same")).status == 200
    outcome = await record()
    assert (outcome["recorded"], outcome["repeated"]) == (2, 1)
    numbers = await pool.fetch("SELECT order_id FROM conversion WHERE brand_id = $1", alice.id)
    assert sorted(row["order_id"] for row in numbers) == ["5003", "5004"]


async def test_an_order_is_paid_refunded_cancelled_trashed_and_back_whatever_comes_first(
    pool: asyncpg.Pool, alice: Brand, shop: Shop, record: Callable[[], Awaitable[RecordingCounts]]
) -> None:
    """18.00 of goods with 1.35 of tax; 6.45 went back, which are 6.00 net. Sent in the worst of orders, but for the trash, which has no time."""
    refunds = [{"id": 9001, "reason": "", "total": "-6.45"}]
    await shop.post("order.updated", order(5005, 20, status="cancelled", refunds=refunds))
    await shop.post("order.updated", order(5005, 10, status="processing", refunds=refunds))
    await shop.post("order.deleted", b'{"id":5005}')
    await asyncio.sleep(
        0.002
    )  # both have the time of their receipt alone, in milliseconds, and nobody restores an order in the one it was trashed in
    await shop.post("order.created", order(5005, 0, status="pending"))
    await shop.post("order.restored", order(5005, 30, status="processing", refunds=refunds))
    await shop.post("order.updated", order(5005, 5, status="processing"))
    assert (await record())["recorded"] == 6
    row = await conversion(pool, alice)
    assert (row["status"], row["net_minor"], row["refunded_minor"], row["flags"]) == ("approved", 1_800, 600, [])


async def test_what_is_no_order_is_kept_with_its_reason(
    pool: asyncpg.Pool, alice: Brand, shop: Shop, record: Callable[[], Awaitable[RecordingCounts]]
) -> None:
    assert (await shop.post("order.updated", b'{"code":"rest_forbidden","message":"Sorry."}')).status == 200
    assert (await shop.post("order.created", order(5006, status="checkout-draft"))).status == 200
    assert (await shop.post("product.updated", b'{"id":5}')).status == 200
    outcome = await record()
    assert (outcome["rejected"], outcome["ignored"], outcome["recorded"]) == (1, 2, 0)
    rows = await pool.fetch("SELECT status, reason FROM delivery WHERE brand_id = $1 ORDER BY id", alice.id)
    assert [tuple(row) for row in rows] == [
        ("rejected", "not_an_order"), ("ignored", "checkout_draft"), ("ignored", "unknown_topic"),
    ]  # fmt: skip
