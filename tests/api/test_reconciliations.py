"""Reconciliation over the API: every order of the list and of ours once, why it differs, and sums that agree with the report."""

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from httpx2 import AsyncClient

from app import clock, random_ids
from app.domain import ids
from app.intake.deliveries.recording import record_deliveries
from app.secret import load_secret
from app.settings import Settings
from app.spool.records import HookLine
from tests.api.calls import Json, make_pair, post
from tests.api.test_imports import CSV, NDJSON, finish, lines
from tests.cast import Brand

__all__ = ["finish"]

DAY = (clock.now() - timedelta(days=2)).date()


def dated(text: bytes) -> bytes:
    """With the day before yesterday for the day that stands in it."""
    return text.replace(b"2026-11-20", DAY.isoformat().encode())


OURS = [
    {"order_id": "1001", "net_minor": 5_000, "tax_minor": 1_000, "shipping_minor": 500, "codes": ["LEA10"]},
    {"order_id": "1002", "net_minor": 6_000},
    {"order_id": "1003", "net_minor": 2_000, "codes": ["LEA10"]},
    {"order_id": "1004", "net_minor": 900, "test": True},
    {"order_id": "1005", "net_minor": 700, "shop": "lyon"},
    {"order_id": "1006", "net_minor": 4_000},
    {"order_id": "1007", "net_minor": 1_000, "currency": "USD"},
]
LIST = dated(
    b"order_id;occurred_at;currency;total;tax;shipping;refunded;status\n"
    b"#1001;2026-11-20T10:00:00Z;EUR;65,00;10,00;5,00;;completed\n"  # equal
    b"1002;2026-11-20T11:00:00Z;EUR;72,00;12,00;;;completed\n"  # equal
    b"1003;2026-11-20T12:00:00Z;EUR;20,00;;;20,00;refunded\n"  # we know of no refund
    b"1004;2026-11-20T12:00:00Z;EUR;9,00;;;;completed\n"  # a test here
    b"1005;2026-11-20T12:00:00Z;EUR;7,00;;;;completed\n"  # in another shop here
    b"1007;2026-11-20T12:00:00Z;EUR;9,00;;;;completed\n"  # in dollars here
    b"9001;2026-11-20T12:00:00Z;EUR;30,00;;;;completed\n"  # its message was unsigned
    b"9002;2026-11-20T12:00:00Z;EUR;31,00;;;;completed\n"  # its message could not be read
    b"9003;2026-11-20T12:00:00Z;EUR;32,00;;;;completed\n"  # never received
    b"9004;2026-11-20T13:00:00Z;EUR;33,00;;;;cancelled\n"
    b"1001;2026-11-20T13:00:00Z;EUR;65,00;;;;completed\n"
    b"9005;yesterday;EUR;1,00;;;;completed\n"
)


async def upload(
    client: AsyncClient, content: Any = LIST, query: str = "", status: int = 202, headers: Any = CSV
) -> Json:
    answer = await client.post(f"/v1/reconciliations{query}", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def receive_unusable(pool: asyncpg.Pool, settings: Settings, client: AsyncClient, brand: Brand) -> dict[str, str]:
    """An unsigned message about order 9001 and one about 9002 that cannot be read; their delivery ids."""
    source = await post(client, "/v1/sources", {"platform": "generic", "secrets": ["a-long-random-secret"]})
    found = {}
    for order_id, signed in (("9001", False), ("9002", True)):
        line_id = random_ids.new_id()
        body = b'{"order_id": "%s", "net_minor": "thirty"}' % order_id.encode()
        reason = "" if signed else "wrong_signature"
        source_id = str(ids.read("source", source["id"]))
        line = HookLine(str(line_id), str(brand.id), source_id, "generic", "main", signed, reason, {}, "", body)
        await record_deliveries(pool, [line], secret=load_secret(settings), settings=settings)
        found[order_id] = ids.show("delivery", line_id)
    return found


async def report_ours(client: AsyncClient) -> None:
    await post(client, "/v1/codes", {**await make_pair(client), "code": "LEA10"})
    for order in OURS:
        await post(client, "/v1/conversions", {"currency": "EUR", "occurred_at": f"{DAY}T12:30:00Z", **order})


async def test_every_order_stands_once_with_the_reason_and_the_sums_agree_with_the_report(
    as_alice: AsyncClient, as_charlie: AsyncClient, alice: Brand, pool: asyncpg.Pool, settings: Settings, finish: Any
) -> None:
    await report_ours(as_alice)
    await report_ours(as_charlie)
    deliveries = await receive_unusable(pool, settings, as_alice, alice)
    job = await upload(as_alice, query=f"?to={DAY + timedelta(days=3)}T00:00:00Z")
    shown = await finish(as_alice, job)
    assert shown["state"] == "succeeded", shown["error"]
    result = shown["result"]
    assert result["orders"] == {"matched": 3, "different": 2, "missing_here": 5, "missing_there": 1, "refused": 2}
    assert result["reasons"] == {
        "matched": {"equal": 2, "nothing_to_count": 1},
        "different": {"currency": 1, "refund": 1},
        "missing_here": {
            "never_received": 1,
            "other_shop": 1,
            "rejected_delivery": 1,
            "test": 1,
            "unsigned_delivery": 1,
        },
        "missing_there": {"not_listed": 1},
        "refused": {"invalid_time": 1, "listed_twice": 1},
    }
    found = await lines(as_alice, job, "?limit=100")
    assert [line["number"] for line in found] == list(range(2, 15))
    by_order = {line["details"]["order_id"]: line for line in found if line["status"] != "refused"}
    assert by_order["9001"]["details"]["delivery_id"] == deliveries["9001"]
    assert by_order["9002"]["details"]["delivery_id"] == deliveries["9002"]
    assert by_order["1005"]["details"]["other_shop"] == "lyon"
    assert by_order["1003"]["details"]["refund_minor"] == -2_000
    assert by_order["1006"]["number"] == 14
    euro, dollar = result["waterfalls"]
    assert {name: euro[name] for name in euro if name != "steps"} == {
        "currency": "EUR", "shop_total_minor": 30_800, "tax_minor": 2_200, "shipping_minor": 500, "refunds_minor": 5_300,
        "missing_here_minor": 900 + 700 + 3_000 + 3_100 + 3_200, "missing_there_minor": 4_000, "differences_minor": -2_000 + 900,
        "all_orders_net_minor": 17_000, "unattributed_minor": 10_000, "attributed_minor": 7_000,
    }  # fmt: skip
    assert sum(step["minor"] for step in euro["steps"]) == 17_000
    assert (dollar["shop_total_minor"], dollar["all_orders_net_minor"]) == (0, 1_000)
    report = (
        await as_alice.get(f"/v1/reports/summary?from={DAY}&to={DAY + timedelta(days=1)}&tz=UTC&shop=main")
    ).json()
    assert report["all_orders"]["net_minor"] == euro["all_orders_net_minor"]
    assert report["totals"]["net_minor"] == euro["attributed_minor"]


async def test_it_records_nothing_and_a_rival_reconciles_with_its_own(
    as_alice: AsyncClient, as_charlie: AsyncClient, alice: Brand, pool: asyncpg.Pool, finish: Any
) -> None:
    await report_ours(as_alice)
    witnesses = "SELECT count(*) FROM witness WHERE brand_id = $1"
    before = await pool.fetchval(witnesses, alice.id)
    result = (await finish(as_charlie, await upload(as_charlie)))["result"]
    assert (result["orders"]["missing_here"], result["orders"]["missing_there"]) == (8, 0)
    assert await pool.fetchval(witnesses, alice.id) == before


async def test_the_span_is_that_of_the_list_unless_it_is_given(as_alice: AsyncClient, finish: Any) -> None:
    await report_ours(as_alice)
    listed = dated(b'{"order_id": "1001", "occurred_at": "2026-11-20", "net": "50.00"}\n')
    result = (await finish(as_alice, await upload(as_alice, listed, headers=NDJSON)))["result"]
    # The day is the brand's own, in Paris.
    midnights = [
        datetime.combine(DAY + timedelta(days=days), time(), ZoneInfo("Europe/Paris")).isoformat() for days in (0, 1)
    ]
    assert (result["from"], result["to"]) == tuple(midnights)
    assert result["orders"]["missing_there"] == 4
    query = "?from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00Z"
    result = (await finish(as_alice, await upload(as_alice, listed, query, headers=NDJSON)))["result"]
    assert (result["orders"]["matched"], result["orders"]["missing_there"]) == (1, 0)


@pytest.mark.parametrize(
    ("content", "query", "code"),
    [
        (b"order_id,total\n1,5.00\n", "", "required"),
        (b"order_id,total\n1,5.00\n", "?from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z", "invalid"),
        (b"order_id,occurred_at\n1,2026-11-20\n", "", "wrong_header"),
        (b"order_id,occurred_at,total,net\n1,2026-11-20,5,5\n", "", "wrong_header"),
        (b"order_id,occurred_at,total,net_minor\n1,2026-11-20,5,5\n", "", "wrong_header"),
    ],
)
async def test_a_list_that_cannot_be_compared_is_refused_before_it_is_stored(
    as_alice: AsyncClient, alice: Brand, pool: asyncpg.Pool, content: bytes, query: str, code: str
) -> None:
    assert (await upload(as_alice, content, query, 422))["code"] == code
    assert await pool.fetchval("SELECT count(*) FROM job_piece WHERE brand_id = $1", alice.id) == 0


async def test_an_order_of_several_other_shops_is_reported_under_the_first_of_them(
    as_alice: AsyncClient, finish: Any
) -> None:
    for shop, kind in (("paris", "sale"), ("lyon", "sale"), ("lyon", "lead"), ("main", "lead")):
        order = {"order_id": "1005", "shop": shop, "kind": kind, "net_minor": 500, "currency": "EUR"}
        await post(as_alice, "/v1/conversions", {**order, "occurred_at": f"{DAY}T12:30:00Z"})
    job = await upload(as_alice)
    assert (await finish(as_alice, job))["state"] == "succeeded"
    [line] = [each for each in await lines(as_alice, job, "?limit=100") if each["reason"] == "other_shop"]
    assert {name: line["details"][name] for name in ("order_id", "other_shop", "other_kind")} == {
        "order_id": "1005", "other_shop": "lyon", "other_kind": "lead",
    }  # fmt: skip


async def test_a_list_without_a_single_date_fails_with_the_reason(as_alice: AsyncClient, finish: Any) -> None:
    shown = await finish(as_alice, await upload(as_alice, b'{"order_id": "1", "net": "5.00"}\n', headers=NDJSON))
    assert shown["state"] == "failed"
    assert "say `from` and `to`" in shown["error"]


async def test_two_names_of_one_order_are_one_order(
    as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand, finish: Any
) -> None:
    await post(as_alice, "/v1/conversions", {"order_id": "555", "net_minor": 500, "occurred_at": f"{DAY}T12:00:00Z"})
    await pool.execute(
        """INSERT INTO order_ref (brand_id, shop, kind, ref, conversion_id)
           SELECT $1, 'main', 'sale', '1001', conversion_id FROM order_ref WHERE brand_id = $1 AND ref = '555'""",
        alice.id,
    )
    listed = dated(b"order_id,occurred_at,net\n#1001,2026-11-20,5.00\n555,2026-11-20,5.00\n")
    job = await upload(as_alice, listed)
    assert (await finish(as_alice, job))["result"]["orders"] == {
        "matched": 1, "different": 0, "missing_here": 0, "missing_there": 0, "refused": 1,
    }  # fmt: skip
    assert [(line["number"], line["reason"]) for line in await lines(as_alice, job)] == [
        (2, "equal"),
        (3, "listed_twice"),
    ]
