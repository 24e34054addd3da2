"""POST /v1/refunds: before or after its order, once or a hundred times, never more than there was."""

import asyncio
from typing import Any

import asyncpg
import httpx2
import pytest

from app.domain.codes import normalise
from tests.cast import Brand, create_code, create_collaboration

ORDER: dict[str, Any] = {"order_id": "1001", "net_minor": 9_000, "currency": "EUR", "codes": ["LEA10"]}
REFUND: dict[str, Any] = {"order_id": "1001", "refund_id": "r-1", "amount_minor": 4_000, "currency": "EUR"}


@pytest.fixture(autouse=True)
async def lea(pool: asyncpg.Pool, alice: Brand) -> None:
    """Lea owns LEA10."""
    await create_code(pool, alice, await create_collaboration(pool, alice), normalise("LEA10"))


async def credits_of(pool: asyncpg.Pool, brand: Brand) -> list[int]:
    rows = await pool.fetch("SELECT amount_minor FROM credit WHERE brand_id = $1 ORDER BY position, share", brand.id)
    return [row["amount_minor"] for row in rows]


async def test_a_refund_takes_from_the_order_and_its_credits(
    pool: asyncpg.Pool, as_alice: httpx2.AsyncClient, alice: Brand
) -> None:
    await as_alice.post("/v1/conversions", json=ORDER)
    answer = await as_alice.post("/v1/refunds", json=REFUND)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert (told["status"], told["amount_minor"]) == ("recorded", 4_000)
    assert (told["conversion"]["net_minor"], told["conversion"]["refunded_minor"]) == (9_000, 4_000)
    assert await credits_of(pool, alice) == [9_000, -4_000]


async def test_a_refund_that_comes_first_waits_for_its_order(
    pool: asyncpg.Pool, as_alice: httpx2.AsyncClient, alice: Brand
) -> None:
    answer = await as_alice.post("/v1/refunds", json=REFUND)
    assert answer.status_code == 202, answer.text
    assert (answer.json()["status"], answer.json()["conversion"]) == ("waiting_for_order", None)
    assert (await as_alice.get("/v1/conversions")).json()["data"] == []
    [stub] = (await as_alice.get("/v1/conversions", params={"status": "stub"})).json()["data"]
    assert (stub["order_id"], stub["attribution"]) == ("1001", None)
    order = await as_alice.post("/v1/conversions", json=ORDER)
    assert order.status_code == 201
    assert order.json()["refunded_minor"] == 4_000
    assert await credits_of(pool, alice) == [9_000, -4_000]


async def test_the_same_refund_for_ever_takes_once(
    pool: asyncpg.Pool, as_alice: httpx2.AsyncClient, alice: Brand
) -> None:
    await as_alice.post("/v1/conversions", json=ORDER)
    answers = await asyncio.gather(*(as_alice.post("/v1/refunds", json=REFUND) for _ in range(30)))
    assert sorted(answer.status_code for answer in answers) == [200] * 29 + [201]
    assert len({answer.text for answer in answers}) == 1
    assert await credits_of(pool, alice) == [9_000, -4_000]


async def test_full_is_what_is_left_and_more_than_that_is_cut_and_flagged(
    pool: asyncpg.Pool, as_alice: httpx2.AsyncClient, alice: Brand
) -> None:
    await as_alice.post("/v1/conversions", json={**ORDER, "occurred_at": "2026-01-01T00:00:00Z"})
    await as_alice.post("/v1/refunds", json={**REFUND, "occurred_at": "2026-01-02T00:00:00Z"})
    full = {"order_id": "1001", "refund_id": "r-2", "full": True, "occurred_at": "2026-01-03T00:00:00Z"}
    told = (await as_alice.post("/v1/refunds", json=full)).json()
    assert (told["amount_minor"], told["conversion"]["refunded_minor"], told["conversion"]["flags"]) == (
        5_000,
        9_000,
        [],
    )
    over = {**REFUND, "refund_id": "r-3", "occurred_at": "2026-01-04T00:00:00Z"}
    told = (await as_alice.post("/v1/refunds", json=over)).json()
    assert (told["amount_minor"], told["conversion"]["flags"]) == (0, ["refund_over_order"])
    assert await credits_of(pool, alice) == [9_000, -4_000, -5_000, 0]


async def test_another_content_under_the_same_id_is_flagged_unless_one_is_newer(as_alice: httpx2.AsyncClient) -> None:
    await as_alice.post("/v1/conversions", json=ORDER)
    await as_alice.post("/v1/refunds", json=REFUND)
    told = (await as_alice.post("/v1/refunds", json={**REFUND, "amount_minor": 3_000})).json()
    assert told["conversion"]["flags"] == ["conflicting_reports"]
    newest = {**REFUND, "amount_minor": 2_500, "updated_at": "2026-02-01T00:00:00Z"}
    told = (await as_alice.post("/v1/refunds", json=newest)).json()
    assert (told["amount_minor"], told["conversion"]["flags"]) == (2_500, [])


async def test_another_currency_is_flagged_and_takes_nothing(as_alice: httpx2.AsyncClient) -> None:
    await as_alice.post("/v1/conversions", json=ORDER)
    told = (await as_alice.post("/v1/refunds", json={**REFUND, "currency": "USD"})).json()
    assert (told["amount_minor"], told["conversion"]["refunded_minor"]) == (None, 0)
    assert told["conversion"]["flags"] == ["currency_mismatch"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"refund_id": None}, "refund_id"),
        ({"order_id": None}, "order_id"),
        ({"amount_minor": None}, "amount_minor"),
        ({"full": True}, "amount_minor"),
        ({"amount_minor": -1}, "amount_minor"),
        ({"currency": "EU"}, "currency"),
        ({"occurred_at": "2026-01-01"}, "occurred_at"),
        ({"reason": "too small"}, "reason"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_kept(
    pool: asyncpg.Pool, as_alice: httpx2.AsyncClient, alice: Brand, wrong: dict[str, Any], field: str
) -> None:
    answer = await as_alice.post("/v1/refunds", json={**REFUND, **wrong})
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert await pool.fetchval("SELECT count(*) FROM conversion WHERE brand_id = $1", alice.id) == 0


async def test_a_rival_s_refund_touches_nothing_of_hers(
    as_alice: httpx2.AsyncClient, as_charlie: httpx2.AsyncClient
) -> None:
    await as_alice.post("/v1/conversions", json=ORDER)
    assert (await as_charlie.post("/v1/refunds", json=REFUND)).status_code == 202
    [hers] = (await as_alice.get("/v1/conversions")).json()["data"]
    assert hers["refunded_minor"] == 0
