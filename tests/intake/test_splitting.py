"""Orders that a release before made of several orders of a shop are found and taken apart."""

import asyncio
import json
from typing import Any

import asyncpg
from msgspec.structs import replace

from app import random_ids
from app.database.transactions import in_transaction
from app.domain import ids
from app.domain.orders import OrderReport, Receipt, RefundReport
from app.intake.deliveries.splitting import MergedOrder, merged_orders, split_merged
from app.orders.record import record
from tests.cast import Brand, create_brand
from tests.commands.commanding import command
from tests.orders.test_names import FIRST, HIT, HOOK, PIXEL, SECOND, orders

REFUND_BODY = {
    "id": 9001,
    "order_id": 732001,
    "created_at": "2026-11-22T12:00:00Z",
    "refund_line_items": [{"id": 1, "line_item_id": 5, "quantity": 1, "subtotal": 30.0, "total_tax": 0}],
    "transactions": [{"id": 7, "kind": "refund", "status": "success", "amount": "30.00", "currency": "EUR"}],
    "order_adjustments": [],
}


async def post(pool: asyncpg.Pool, brand: Brand, *facts: tuple[OrderReport, Receipt]) -> None:
    await in_transaction(pool, lambda connection: record(connection, brand.id, facts))


async def merge_as_before(pool: asyncpg.Pool, brand: Brand) -> str:
    """Two orders of one number as the release before stored them, with a pixel and a refund of the second one; the id of what they became."""
    delivery_id = random_ids.new_id()
    await pool.execute(
        """INSERT INTO delivery (brand_id, id, platform, topic, body_hash, headers, body, status, received_at)
           VALUES ($1, $2, 'shopify', 'refunds/create', '', $3, $4, 'recorded', now())""",
        brand.id, delivery_id, json.dumps({"x-shopify-topic": "refunds/create"}), json.dumps(REFUND_BODY).encode(),
    )  # fmt: skip
    refund = RefundReport("9001", amount_minor=3_000, currency="EUR")
    stub = OrderReport("main", "sale", ("732001",), refunds=(refund,), stub=True)
    await post(pool, brand, (replace(FIRST, system=None), HOOK), (replace(SECOND, system=None), HOOK), (HIT, PIXEL))
    await post(pool, brand, (stub, replace(HOOK, delivery_id=str(delivery_id))))
    await pool.execute("UPDATE adjustment SET refs = '{}' WHERE brand_id = $1", brand.id)
    [row] = await pool.fetch("SELECT id FROM conversion WHERE brand_id = $1 AND root_id = id", brand.id)
    return ids.show("conversion", row["id"])


async def split(pool: asyncpg.Pool, shown: str) -> Any:
    return await in_transaction(pool, lambda connection: split_merged(connection, ids.read("conversion", shown)))


async def test_an_order_made_of_two_is_listed_and_taken_apart_with_its_refunds(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand
) -> None:
    merged, of_charlie = await merge_as_before(pool, alice), await merge_as_before(pool, charlie)
    async with pool.acquire() as connection:
        listed = {each.id: each for each in await merged_orders(connection)}
    assert listed[merged] == MergedOrder(
        "Alice", merged, "main", listed[merged].order_id, "pending", ("731001", "732001")
    )
    assert len(await split(pool, merged)) == 3
    apart = await orders(pool, alice)
    assert [row[:5] for row in apart] == [
        ("=shopify:731001", "731001", "pending", 30_000, 0),
        ("=shopify:732001", "732001", "pending", 8_000, 3_000),
        ("?2001", "2001", "pending", 99, 0),
    ]
    async with pool.acquire() as connection:
        listed = {each.id: each for each in await merged_orders(connection)}
    assert merged not in listed
    assert of_charlie in listed
    assert len(await orders(pool, charlie)) == 1
    assert await split(pool, merged) is not None
    assert await orders(pool, alice) == apart


async def test_what_the_shop_sends_after_the_upgrade_finds_the_orders_taken_apart(
    pool: asyncpg.Pool, alice: Brand
) -> None:
    await split(pool, await merge_as_before(pool, alice))
    before = await orders(pool, alice)
    await post(pool, alice, (replace(SECOND, version=9, net_minor=7_000), HOOK), (FIRST, HOOK))
    assert [row[3] for row in await orders(pool, alice)] == [30_000, 7_000, 99]
    assert len(before) == 3


async def test_an_order_that_is_one_stays_as_it_is_and_an_unknown_one_is_none(pool: asyncpg.Pool, alice: Brand) -> None:
    await post(pool, alice, (FIRST, HOOK), (replace(HIT, refs=("731001",)), PIXEL))
    before = await orders(pool, alice)
    [row] = await pool.fetch("SELECT id FROM conversion WHERE brand_id = $1 AND root_id = id", alice.id)
    assert list(await split(pool, ids.show("conversion", row["id"]))) == [row["id"]]
    assert await orders(pool, alice) == before
    assert await split(pool, ids.show("conversion", random_ids.new_id())) is None


def test_the_doctor_lists_it_and_the_command_takes_it_apart(server: str, template: str) -> None:
    from app.database.connections import connect_pool
    from tests.conftest import copy_template

    async def prepare() -> tuple[str, str]:
        dsn = await copy_template(server, template)
        pool = await connect_pool(dsn, size=2, name="doctor")
        merged = await merge_as_before(pool, await create_brand(pool, "Alice"))
        await pool.close()
        return dsn, merged

    dsn, merged = asyncio.run(prepare())
    listed = command("doctor", DATABASE_URL=dsn)
    assert listed.returncode == 3
    assert merged in listed.stdout
    assert json.loads(command("doctor", "--json", DATABASE_URL=dsn).stdout)[0]["primary_refs"] == ["731001", "732001"]
    done = json.loads(command("orders", "split", merged, "--json", DATABASE_URL=dsn).stdout)
    assert sorted((each["order_id"], each["net_minor"], each["refunded_minor"]) for each in done) == [
        ("2001", 99, 0),
        ("731001", 30_000, 0),
        ("732001", 8_000, 3_000),
    ]
    assert "30000" in command("orders", "split", merged, DATABASE_URL=dsn).stdout
    assert (command("doctor", DATABASE_URL=dsn).returncode, command("doctor", "--json", DATABASE_URL=dsn).stdout) == (
        0,
        "[]\n",
    )
    for wrong, why in (
        ("cnv_1", "expected cnv_"),
        (ids.show("conversion", random_ids.new_id()), "there is no such order"),
    ):
        refused = command("orders", "split", wrong, DATABASE_URL=dsn)
        assert refused.returncode == 1
        assert why in refused.stderr
