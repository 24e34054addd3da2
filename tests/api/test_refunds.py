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
    answered = answer.json()
    assert (answered["status"], answered["amount_minor"]) == ("recorded", 4_000)
    assert (answered["conversion"]["net_minor"], answered["conversion"]["refunded_minor"]) == (9_000, 4_000)
    assert await credits_of(pool, alice) == [9_000, -4_000]


async def test_what_was_paid_back_with_tax_takes_the_goods_in_it_also_before_its_order(
    as_alice: httpx2.AsyncClient,
) -> None:
    half = {"order_id": "1001", "refund_id": "r-1", "gross_minor": 5_400, "currency": "EUR"}
    assert (await as_alice.post("/v1/refunds", json=half)).json()["status"] == "waiting_for_order"
    await as_alice.post("/v1/conversions", json=ORDER | {"tax_minor": 1_800})
    assert (await as_alice.post("/v1/refunds", json=half)).json()["amount_minor"] == 4_500
    rest = (await as_alice.post("/v1/refunds", json=half | {"refund_id": "r-2"})).json()
    assert (rest["conversion"]["refunded_minor"], rest["conversion"]["flags"], rest["warning"]) == (9_000, [], None)


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
    answered = (await as_alice.post("/v1/refunds", json=full)).json()
    assert (answered["amount_minor"], answered["conversion"]["refunded_minor"], answered["conversion"]["flags"]) == (
        5_000,
        9_000,
        [],
    )
    over = {**REFUND, "refund_id": "r-3", "occurred_at": "2026-01-04T00:00:00Z"}
    answered = (await as_alice.post("/v1/refunds", json=over)).json()
    assert (answered["amount_minor"], answered["conversion"]["flags"]) == (0, ["refund_over_order"])
    assert await credits_of(pool, alice) == [9_000, -4_000, -5_000, 0]


async def test_another_content_under_the_same_id_is_flagged_unless_one_is_newer(as_alice: httpx2.AsyncClient) -> None:
    await as_alice.post("/v1/conversions", json=ORDER)
    await as_alice.post("/v1/refunds", json=REFUND)
    answered = (await as_alice.post("/v1/refunds", json={**REFUND, "amount_minor": 3_000})).json()
    assert answered["conversion"]["flags"] == ["conflicting_reports"]
    newest = {**REFUND, "amount_minor": 2_500, "updated_at": "2026-02-01T00:00:00Z"}
    answered = (await as_alice.post("/v1/refunds", json=newest)).json()
    assert (answered["amount_minor"], answered["conversion"]["flags"]) == (2_500, [])


async def test_another_currency_is_flagged_and_takes_nothing(as_alice: httpx2.AsyncClient) -> None:
    await as_alice.post("/v1/conversions", json=ORDER)
    answered = (await as_alice.post("/v1/refunds", json={**REFUND, "currency": "USD"})).json()
    assert (answered["amount_minor"], answered["conversion"]["refunded_minor"]) == (None, 0)
    assert answered["conversion"]["flags"] == ["currency_mismatch"]
    assert "another currency" in answered["warning"]
    [shown] = answered["conversion"]["refunds"]
    assert (shown["amount_minor"], shown["flag"]) == (0, "currency_mismatch")


async def test_a_cancellation_takes_what_is_left_and_can_be_taken_back(
    pool: asyncpg.Pool, as_alice: httpx2.AsyncClient, alice: Brand
) -> None:
    await as_alice.post("/v1/conversions", json=ORDER)
    await as_alice.post("/v1/refunds", json=REFUND)
    cancelled = {"order_id": "1001", "refund_id": "c", "type": "cancellation"}
    answered = (await as_alice.post("/v1/refunds", json=cancelled)).json()
    assert (answered["type"], answered["amount_minor"], answered["conversion"]["refunded_minor"]) == (
        "cancellation",
        5_000,
        9_000,
    )
    # Sold and taken back, which is not rejected: it stays among the orders that count.
    assert answered["conversion"]["status"] == "pending"
    whole = (await as_alice.get("/v1/reports/summary?from=2020-01-01&to=2030-01-01")).json()["all_orders"]
    assert (whole["conversions"], whole["gross_minor"], whole["net_minor"]) == (1, 9_000, 0)
    live = {**cancelled, "amount_minor": 0, "updated_at": "2026-02-01T00:00:00Z"}
    answered = (await as_alice.post("/v1/refunds", json=live)).json()
    assert (answered["amount_minor"], answered["conversion"]["refunded_minor"]) == (None, 4_000)
    assert await credits_of(pool, alice) == [9_000, -4_000]


async def test_a_chargeback_and_its_reversal_by_name(
    pool: asyncpg.Pool, as_alice: httpx2.AsyncClient, alice: Brand
) -> None:
    await as_alice.post("/v1/conversions", json=ORDER)
    won = {"order_id": "1001", "refund_id": "w", "type": "reversal", "reverses": "cb"}
    early = await as_alice.post("/v1/refunds", json=won)
    assert (early.status_code, early.json()["status"]) == (202, "waiting_for_refund")
    assert early.json()["conversion"]["flags"] == ["reversal_without_refund"]
    lost = {**REFUND, "refund_id": "cb", "type": "chargeback"}
    answered = (await as_alice.post("/v1/refunds", json=lost)).json()["conversion"]
    assert (answered["refunded_minor"], answered["flags"]) == (0, [])
    shown = [(each["type"], each["amount_minor"], each["reverses"]) for each in answered["refunds"]]
    assert shown == [("chargeback", 4_000, None), ("reversal", -4_000, "cb")]
    again = await as_alice.post("/v1/refunds", json=won)
    assert (again.status_code, again.json()["amount_minor"]) == (200, -4_000)
    assert await credits_of(pool, alice) == [9_000, -4_000, 4_000]


async def test_lines_are_worth_what_they_are_worth_in_the_order(as_alice: httpx2.AsyncClient) -> None:
    lines = [{"id": "shirt", "quantity": 3, "net_minor": 4_000}, {"id": "hat", "net_minor": 5_000}]
    back = {"order_id": "1001", "refund_id": "r", "lines": [{"id": "shirt", "quantity": 2}]}
    assert (await as_alice.post("/v1/refunds", json=back)).status_code == 202
    answered = (await as_alice.post("/v1/conversions", json={**ORDER, "lines": lines})).json()
    assert answered["refunded_minor"] == 2_667
    scarf = {"order_id": "1001", "refund_id": "r2", "lines": [{"id": "scarf"}, {"id": "hat", "net_minor": 1_000}]}
    answer = (await as_alice.post("/v1/refunds", json=scarf)).json()
    assert (answer["amount_minor"], answer["conversion"]["flags"]) == (1_000, ["refund_line_unknown"])
    assert "no such line" in answer["warning"]
    assert [each["amount_minor"] for each in (await shown_refunds(as_alice))] == [2_667, 1_000]


async def shown_refunds(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
    [listed] = (await client.get("/v1/conversions")).json()["data"]
    return list((await client.get(f"/v1/conversions/{listed['id']}")).json()["refunds"])


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
        ({"type": "gift"}, "type"),
        ({"type": "chargeback", "amount_minor": None}, "amount_minor"),
        ({"reverses": "r-0"}, "reverses"),
        ({"amount_minor": None, "lines": [{"quantity": 2}]}, "lines.0.id"),
        ({"amount_minor": None, "lines": []}, "amount_minor"),
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
