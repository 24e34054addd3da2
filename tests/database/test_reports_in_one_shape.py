"""Migration 0012 on a filled database: what an adjustment stated in columns is its report afterwards, and the columns are as they were."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from app import random_ids
from app.database.migrate import migrate
from app.domain.orders import OrderLine, OrderReport, Receipt, RefundReport
from app.orders.facts import add_facts, read_facts
from tests.conftest import database_dsn

AT = datetime(2026, 11, 22, 12, 30, 0, 120_000, tzinfo=UTC)
BRAND, ORDER = (UUID(int=number) for number in (1, 2))

STATED: dict[str, tuple[dict[str, Any], RefundReport]] = {
    "amount": (
        {"amount_minor": 1_500, "currency": "EUR", "occurred_at": AT, "version": 7},
        RefundReport("amount", amount_minor=1_500, currency="EUR", occurred_at=AT, version=7),
    ),
    "zero": ({"kind": "cancellation", "amount_minor": 0}, RefundReport("zero", "cancellation", amount_minor=0)),
    "full": ({"kind": "chargeback"}, RefundReport("full", "chargeback", full=True)),
    "lines": (
        {"by_lines": True, "lines": '[{"id": "a", "quantity": 2, "net_minor": null}]'},
        RefundReport("lines", line_based=True, lines=(OrderLine("a", 2),)),
    ),
    "gross": (
        {"amount_minor": 10, "of_total": True, "part_of": "ch_1", "lines": '[{"id": "b", "net_minor": 4}]'},
        RefundReport("gross", amount_minor=10, is_gross=True, included_in="ch_1", lines=(OrderLine("b", net_minor=4),)),
    ),
    "sum": ({"amount_minor": 30, "cumulative": True}, RefundReport("sum", amount_minor=30, cumulative=True)),
    "back": (
        {"kind": "reversal", "amount_minor": 5, "reverses": "amount"},
        RefundReport("back", "reversal", amount_minor=5, reverses="amount"),
    ),
}


async def on_database(server: str, work: Callable[[asyncpg.Connection], Any]) -> Any:
    connection = await asyncpg.connect(
        database_dsn(server, "one_shape_test"), server_settings={"timezone": "Europe/Paris"}
    )
    try:
        return await work(connection)
    finally:
        await connection.close()


async def remake(server: str) -> None:
    connection = await asyncpg.connect(server)
    await connection.execute("DROP DATABASE IF EXISTS one_shape_test")
    await connection.execute("CREATE DATABASE one_shape_test")
    await connection.close()


async def fill(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "INSERT INTO brand (id, name, currency, created_at, updated_at) VALUES ($1, 'Alice', 'EUR', now(), now())",
        BRAND,
    )
    await connection.execute(
        """INSERT INTO conversion (brand_id, id, root_id, shop, kind, status, created_at, updated_at)
           VALUES ($1, $2, $2, 'main', 'sale', 'stub', now(), now())""",
        BRAND,
        ORDER,
    )
    for refund_id, (columns, _) in STATED.items():
        row = {
            "brand_id": BRAND,
            "conversion_id": ORDER,
            "refund_id": refund_id,
            "kind": "refund",
            "content_hash": refund_id.encode(),
            "id": random_ids.new_id(),
            "trust": 30,
            "door": "hook",
            "platform": "shopify",
            "received_at": AT,
            **columns,
        }
        places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
        await connection.execute(f"INSERT INTO adjustment ({', '.join(row)}) VALUES ({places})", *row.values())


async def reports(connection: asyncpg.Connection) -> dict[str, RefundReport]:
    facts = await read_facts(connection, BRAND, [ORDER])
    return {each.report.refund_id: each.report for each in facts[ORDER].adjustments}


def columns(row: asyncpg.Record) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in {"report", "origin_id"}}


async def stored(connection: asyncpg.Connection) -> list[dict[str, Any]]:
    rows = await connection.fetch("SELECT * FROM adjustment WHERE brand_id = $1 ORDER BY refund_id", BRAND)
    return [columns(row) for row in rows]


def test_what_was_stored_in_columns_is_read_as_a_report_and_goes_back_unchanged(server: str) -> None:
    asyncio.run(remake(server))
    dsn = database_dsn(server, "one_shape_test")
    expected = {refund_id: report for refund_id, (_, report) in STATED.items()}
    migrate(dsn, "0011")
    asyncio.run(on_database(server, fill))
    before = asyncio.run(on_database(server, stored))

    migrate(dsn, "0012")
    assert asyncio.run(on_database(server, reports)) == expected
    assert asyncio.run(on_database(server, stored)) == before

    migrate(dsn, "0011")
    assert asyncio.run(on_database(server, stored)) == before
    migrate(dsn)
    assert asyncio.run(on_database(server, reports)) == expected


def test_a_row_of_the_release_before_is_read_from_its_columns(server: str) -> None:
    asyncio.run(remake(server))
    migrate(database_dsn(server, "one_shape_test"))
    asyncio.run(on_database(server, fill))
    expected = {refund_id: report for refund_id, (_, report) in STATED.items()}
    assert asyncio.run(on_database(server, reports)) == expected


def test_what_is_written_now_stands_in_the_columns_of_the_release_before_too(server: str) -> None:
    """It may run beside this one during an upgrade, and must not take a refund of 15.00 for one of everything."""
    receipt = Receipt(30, "hook", "shopify", AT)

    async def add(connection: asyncpg.Connection) -> None:
        for refund_id, (_, refund) in STATED.items():
            report = OrderReport("main", "refund", (refund_id,), refunds=(refund,), stub=True)
            await add_facts(connection, BRAND, [(ORDER, report, receipt)])

    asyncio.run(remake(server))
    migrate(database_dsn(server, "one_shape_test"))
    asyncio.run(on_database(server, fill))
    filled = asyncio.run(on_database(server, stored))
    forget = "DELETE FROM adjustment WHERE brand_id = $1"
    asyncio.run(on_database(server, lambda connection: connection.execute(forget, BRAND)))
    asyncio.run(on_database(server, add))
    written = asyncio.run(on_database(server, stored))
    own = {"id", "content_hash", "lines", "refs"}
    assert [{k: v for k, v in row.items() if k not in own} for row in written] == [
        {k: v for k, v in row.items() if k not in own} for row in filled
    ]
    assert [json.loads(row["lines"]) for row in written if row["by_lines"]] == [[{"id": "a", "quantity": 2}]]
