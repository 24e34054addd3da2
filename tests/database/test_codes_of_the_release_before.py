"""Migration 0028 on a filled database: orders are found under the codes they name as they are folded now, and aliases by what they spell."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
from alembic import command
from alembic.config import Config

from app.database.migrate import MIGRATIONS, migrate
from tests.conftest import database_dsn

ALICE, CHARLIE = (UUID(int=number) for number in (1, 2))
ORDERS = {
    UUID(int=11): (ALICE, ["Лёна-10", "LEA10"]),
    UUID(int=12): (ALICE, ["LEA10"]),
    UUID(int=13): (ALICE, ["🎁"]),
    UUID(int=14): (CHARLIE, ["लेना १०"]),
    UUID(int=15): (CHARLIE, None),
}


async def fill(connection: asyncpg.Connection) -> None:
    for brand_id in (ALICE, CHARLIE):
        await connection.execute(
            "INSERT INTO brand (id, name, currency, created_at, updated_at) VALUES ($1, 'A', 'EUR', now(), now())",
            brand_id,
        )
        await connection.execute(
            "INSERT INTO code (brand_id, id, code, code_norm, created_at, updated_at) VALUES ($1, $1, 'LEA10', '1EA10', now(), now())",
            brand_id,
        )
        await connection.execute(
            "INSERT INTO code_alias (brand_id, alias, code_id, created_at) VALUES ($1, 'dsc_O1', $1, now())", brand_id
        )
    for order_id, (brand_id, codes) in ORDERS.items():
        await connection.execute(
            """INSERT INTO conversion (brand_id, id, root_id, shop, kind, created_at, updated_at)
               VALUES ($1, $2, $2, 'main', 'sale', now(), now())""",
            brand_id,
            order_id,
        )
        await connection.execute(
            """INSERT INTO witness (brand_id, conversion_id, content_hash, id, version, report, trust, door, platform, received_at)
               VALUES ($1, $2, '', $2, 0, $3::jsonb, 30, 'hook', 'shop', now())""",
            brand_id,
            order_id,
            json.dumps({"shop": "main", "kind": "sale", "refs": ["1"]} | ({"codes": codes} if codes else {})),
        )


async def queued(connection: asyncpg.Connection) -> list[tuple[Any, ...]]:
    rows = await connection.fetch(
        "/* across brands: all that is queued */ SELECT brand_id, conversion_id FROM redecide"
    )
    return sorted(tuple(row) for row in rows)


async def touches(connection: asyncpg.Connection) -> list[tuple[Any, ...]]:
    rows = await connection.fetch("/* across brands: all of them */ SELECT conversion_id, touch FROM order_touch")
    return sorted(tuple(row) for row in rows)


async def aliases(connection: asyncpg.Connection) -> list[tuple[Any, ...]]:
    rows = await connection.fetch("/* across brands: all of them */ SELECT brand_id, alias, alias_norm FROM code_alias")
    return sorted(tuple(row) for row in rows)


def test_what_orders_named_in_any_alphabet_is_found_as_it_is_folded_now_and_aliases_by_what_they_spell(
    server: str,
) -> None:
    def on(database: str, work: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Any:
        async def connected() -> Any:
            connection = await asyncpg.connect(database)
            try:
                return await work(connection)
            finally:
                await connection.close()

        return asyncio.run(connected())

    async def remake(connection: asyncpg.Connection) -> None:
        await connection.execute("DROP DATABASE IF EXISTS codes_test")
        await connection.execute("CREATE DATABASE codes_test")

    on(server, remake)
    dsn = database_dsn(server, "codes_test")
    migrate(dsn, "0022")
    on(dsn, fill)
    migrate(dsn, "0028")
    assert on(dsn, queued) == [(ALICE, UUID(int=11)), (CHARLIE, UUID(int=14))]
    assert on(dsn, touches) == [(UUID(int=11), "code:ЛEHA10"), (UUID(int=14), "code:लेना10")]
    assert on(dsn, aliases) == [(ALICE, "dsc_O1", "DSC01"), (CHARLIE, "dsc_O1", "DSC01")]
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", dsn)
    command.downgrade(config, "0022")
    migrate(dsn)
    assert on(dsn, aliases) == [(ALICE, "dsc_O1", "DSC01"), (CHARLIE, "dsc_O1", "DSC01")]
