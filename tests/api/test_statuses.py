"""POST /v1/conversions/{id}/status and /v1/conversions/status: what people decide, what is allowed, and what a lock closes."""

from typing import Any

import asyncpg
import httpx2
import pytest

from tests.cast import Brand


async def order(client: httpx2.AsyncClient, order_id: str = "1001", **fields: Any) -> dict[str, Any]:
    body = {"order_id": order_id, "net_minor": 9_000, "currency": "EUR", **fields}
    return dict((await client.post("/v1/conversions", json=body)).json())


async def decide(client: httpx2.AsyncClient, each: dict[str, Any], status: str, **fields: Any) -> httpx2.Response:
    return await client.post(f"/v1/conversions/{each['id']}/status", json={"status": status, **fields})


async def counted(pool: asyncpg.Pool, brand: Brand) -> list[bool]:
    rows = await pool.fetch("SELECT counted FROM credit WHERE brand_id = $1 ORDER BY conversion_id, position", brand.id)
    return [row["counted"] for row in rows]


async def test_an_order_goes_its_way_and_keeps_every_step(as_alice: httpx2.AsyncClient) -> None:
    made = await order(as_alice)
    assert (made["status"], made["locks_at"], made["status_changes"]) == ("pending", None, [])
    approved = (await decide(as_alice, made, "approved", note="paid by invoice")).json()
    assert (approved["status"], approved["locks_at"] is not None) == ("approved", True)
    locked = (await decide(as_alice, made, "locked")).json()
    assert (locked["status"], locked["locks_at"], locked["locked_at"] is not None) == ("locked", None, True)
    paid = (await decide(as_alice, made, "paid")).json()
    assert (paid["status"], paid["locked_at"]) == ("paid", locked["locked_at"])
    steps = [(step["from"], step["to"], step["reason"], step["note"]) for step in paid["status_changes"]]
    assert steps == [
        ("pending", "approved", None, "paid by invoice"),
        ("approved", "locked", None, None),
        ("locked", "paid", None, None),
    ]
    assert all(step["key_id"].startswith("key_") for step in paid["status_changes"])
    assert (await as_alice.get(f"/v1/conversions/{made['id']}")).json() == paid


async def test_a_rejected_order_counts_nowhere_until_it_is_taken_back(
    pool: asyncpg.Pool, as_alice: httpx2.AsyncClient, alice: Brand
) -> None:
    made = await order(as_alice)
    rejected = (await decide(as_alice, made, "rejected", reason="returned")).json()
    assert (rejected["status"], rejected["status_reason"], rejected["net_minor"]) == ("rejected", "returned", 9_000)
    assert await counted(pool, alice) == [False]
    again = await order(as_alice, codes=["LEA10"])
    assert again["status"] == "rejected"
    restored = (await decide(as_alice, made, "pending")).json()
    assert (restored["status"], restored["status_reason"]) == ("pending", None)
    assert await counted(pool, alice) == [True]


async def test_asking_twice_changes_nothing_and_another_reason_replaces_the_first(as_alice: httpx2.AsyncClient) -> None:
    made = await order(as_alice)
    first = await decide(as_alice, made, "rejected", reason="fraud")
    again = await decide(as_alice, made, "rejected", reason="fraud")
    assert (again.status_code, again.json()) == (200, first.json())
    other = (await decide(as_alice, made, "rejected", reason="duplicate")).json()
    assert (other["status_reason"], len(other["status_changes"])) == ("duplicate", 2)


@pytest.mark.parametrize(
    ("before", "wanted", "told"),
    [
        ([], "locked", "is pending and may become approved or rejected"),
        ([], "paid", "is pending and may become approved or rejected"),
        (["approved"], "pending", "is approved and may become locked or rejected"),
        (["rejected"], "approved", "is rejected and may become pending"),
        (["approved", "locked"], "rejected", "is locked and may become paid"),
        (["approved", "locked", "paid"], "locked", "is paid and stays so"),
    ],
)
async def test_a_step_that_is_not_allowed_is_refused_with_what_is(
    as_alice: httpx2.AsyncClient, before: list[str], wanted: str, told: str
) -> None:
    made = await order(as_alice)
    for status in before:
        assert (
            await decide(as_alice, made, status, **({"reason": "other"} if status == "rejected" else {}))
        ).status_code == 200
    answer = await decide(as_alice, made, wanted, **({"reason": "other"} if wanted == "rejected" else {}))
    assert (answer.status_code, answer.json()["code"]) == (409, "status_not_allowed")
    assert told in answer.json()["detail"]
    kept = (await as_alice.get(f"/v1/conversions/{made['id']}")).json()
    assert len(kept["status_changes"]) == len(before)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"status": "rejected"}, "reason"),
        ({"status": "rejected", "reason": "because"}, "reason"),
        ({"status": "approved", "reason": "fraud"}, "reason"),
        ({"status": "stub"}, "status"),
        ({"status": "approved", "why": "x"}, "why"),
    ],
)
async def test_what_is_wrong_is_named(as_alice: httpx2.AsyncClient, body: dict[str, Any], field: str) -> None:
    made = await order(as_alice)
    answer = await as_alice.post(f"/v1/conversions/{made['id']}/status", json=body)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_many_at_once_are_all_changed_or_none(as_alice: httpx2.AsyncClient) -> None:
    made = [await order(as_alice, str(number)) for number in range(3)]
    ids = [each["id"] for each in made]
    await decide(as_alice, made[0], "approved")
    answer = await as_alice.post("/v1/conversions/status", json={"ids": [*ids, ids[1]], "status": "approved"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["changed"], [each["id"] for each in answer.json()["data"]]) == (2, [*ids, ids[1]])
    await decide(as_alice, made[2], "locked")
    body = {"ids": ids, "status": "rejected", "reason": "cancelled"}
    refused = await as_alice.post("/v1/conversions/status", json=body)
    assert refused.status_code == 409
    assert [error["field"] for error in refused.json()["errors"]] == ["ids.2"]
    statuses = [(await as_alice.get(f"/v1/conversions/{each}")).json()["status"] for each in ids]
    assert statuses == ["approved", "approved", "locked"]


async def test_unknown_orders_are_named_and_nothing_is_changed(
    as_alice: httpx2.AsyncClient, as_charlie: httpx2.AsyncClient
) -> None:
    made = await order(as_alice)
    body = {"ids": [made["id"]], "status": "approved"}
    answer = await as_charlie.post("/v1/conversions/status", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "conversion_not_found")
    assert (await decide(as_charlie, made, "approved")).status_code == 404
    assert (await as_alice.get(f"/v1/conversions/{made['id']}")).json()["status"] == "pending"
    assert (
        await as_alice.post("/v1/conversions/status", json={"ids": [made["id"]] * 1_001, "status": "approved"})
    ).status_code == 422


async def test_a_stub_is_no_order_yet(pool: asyncpg.Pool, as_alice: httpx2.AsyncClient, alice: Brand) -> None:
    await as_alice.post("/v1/refunds", json={"order_id": "5", "refund_id": "r", "full": True})
    [stub] = (await as_alice.get("/v1/conversions", params={"status": "stub"})).json()["data"]
    answer = await decide(as_alice, stub, "rejected", reason="fraud")
    assert (answer.status_code, answer.json()["code"]) == (409, "status_not_allowed")


async def test_after_the_lock_only_refunds_move_money(
    pool: asyncpg.Pool, as_alice: httpx2.AsyncClient, alice: Brand
) -> None:
    made = await order(as_alice)
    await decide(as_alice, made, "approved")
    await decide(as_alice, made, "locked")
    later = await order(as_alice, net_minor=5_000, updated_at="2030-01-01T00:00:00Z", test=True)
    assert (later["net_minor"], later["test"], later["flags"]) == (9_000, False, ["changed_after_lock"])
    assert [(each["amounts"], each["difference_minor"]) for each in later["witnesses"]] == [
        ("after_lock", -4_000),
        ("used", 0),
    ]
    refund = {"order_id": "1001", "refund_id": "r-1", "amount_minor": 4_000, "currency": "EUR"}
    told = (await as_alice.post("/v1/refunds", json=refund)).json()["conversion"]
    assert (told["net_minor"], told["refunded_minor"], told["status"]) == (9_000, 4_000, "locked")
    rows = await pool.fetch("SELECT amount_minor FROM credit WHERE brand_id = $1 ORDER BY position", alice.id)
    assert [row["amount_minor"] for row in rows] == [9_000, -4_000]


async def test_lists_filter_by_status_test_and_flag(as_alice: httpx2.AsyncClient) -> None:
    await order(as_alice, "plain")
    await order(as_alice, "trial", test=True)
    await order(as_alice, "odd", net_minor=None)
    await decide(as_alice, await order(as_alice, "bad"), "rejected", reason="fraud")

    async def found(**params: str) -> set[str]:
        rows = (await as_alice.get("/v1/conversions", params=params)).json()["data"]
        return {row["order_id"] for row in rows}

    assert await found() == {"plain", "trial", "odd", "bad"}
    assert await found(test="true") == {"trial"}
    assert await found(test="false", status="pending") == {"plain", "odd"}
    assert await found(status="rejected") == {"bad"}
    assert await found(flag="amount_unknown") == {"odd"}
    assert await found(flag="late_click") == set()
    unknown = await as_alice.get("/v1/conversions", params={"flag": "nothing_of_the_kind"})
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "flag")


async def test_the_brand_says_by_how_much_two_reports_may_differ(as_alice: httpx2.AsyncClient) -> None:
    await order(as_alice, net_minor=10_000, updated_at="2026-01-01T00:00:00Z")
    await as_alice.patch("/v1/brand", json={"witness_tolerance_bp": 1_000})
    brand = (await as_alice.get("/v1/brand")).json()
    assert (brand["witness_tolerance_bp"], brand["witness_tolerance_minor"]) == (1_000, 1)
    told = await order(as_alice, net_minor=9_100, updated_at="2026-02-01T00:00:00Z")
    assert [each["amounts"] for each in told["witnesses"]] == ["used", "confirmed"]
    assert (await as_alice.patch("/v1/brand", json={"witness_tolerance_bp": 10_001})).status_code == 422
