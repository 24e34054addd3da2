"""Recording single orders: what one report, or two, lead to."""

from dataclasses import replace
from datetime import timedelta

import asyncpg

from app import clock
from app.domain.codes import normalise
from app.domain.orders import TRUST_SERVER, OrderReport, Receipt
from app.intake.recording import Recorded, in_transaction, record
from tests.cast import Brand, create_code, create_collaboration

NOW = clock.now()
SERVER = Receipt(TRUST_SERVER, "api", "api", NOW)


async def post(pool: asyncpg.Pool, brand: Brand, *reports: OrderReport, receipt: Receipt = SERVER) -> list[Recorded]:
    return await in_transaction(
        pool, lambda connection: record(connection, brand.id, [(each, receipt) for each in reports])
    )


ORDER = OrderReport("main", "sale", ("1001",), order_id="1001", net_minor=10_000, currency="EUR", codes=("LEA10",))


async def test_an_order_with_a_code_is_credited_to_the_code_s_owner(pool: asyncpg.Pool, alice: Brand) -> None:
    lea = await create_collaboration(pool, alice)
    await create_code(pool, alice, lea, normalise("LEA10"))
    [first] = await post(pool, alice, ORDER)
    assert first.created
    assert first.settled.decision is not None
    assert first.settled.decision["verdict"] == "attributed"
    rows = await pool.fetch("SELECT * FROM credit WHERE brand_id = $1", alice.id)
    assert [(row["collaboration_id"], row["amount_minor"], row["counted"]) for row in rows] == [(lea.id, 10_000, True)]


async def test_the_same_words_again_change_nothing(pool: asyncpg.Pool, alice: Brand) -> None:
    [first] = await post(pool, alice, ORDER)
    [again] = await post(pool, alice, ORDER, receipt=replace(SERVER, received_at=NOW + timedelta(days=400)))
    assert again.conversion_id == first.conversion_id
    assert not again.created
    assert not again.settled.changed
    assert await pool.fetchval("SELECT count(*) FROM witness WHERE brand_id = $1", alice.id) == 1
