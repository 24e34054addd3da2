"""Migration 0016 on a filled database: a shop that is connected already is bound to the site that its newest order named."""

import asyncio
import hashlib
import json
from uuid import UUID

import asyncpg
from alembic import command
from alembic.config import Config

from app.database.migrate import MIGRATIONS, migrate
from app.domain.sites import read_site
from tests.conftest import database_dsn

BRAND, RIVAL = UUID(int=1), UUID(int=2)
DELIVERED = [
    # brand, source, header, what it says, status
    (BRAND, 11, "x-shopify-shop-domain", "old.myshopify.com", "recorded"),
    (BRAND, 11, "x-shopify-shop-domain", "Atelier.myshopify.com", "recorded"),
    (BRAND, 11, "x-shopify-shop-domain", "rehearsal.myshopify.com", "recorded"),
    (BRAND, 11, "x-shopify-shop-domain", "forged.myshopify.com", "unsigned"),
    (BRAND, 12, "x-wc-webhook-source", "https://www.Boutique.example:443/Paris/", "recorded"),
    (RIVAL, 13, "x-wc-webhook-source", "https://rival.example/", "recorded"),
]
SOURCES = [
    (BRAND, 11, "shopify"),
    (BRAND, 12, "woocommerce"),
    (RIVAL, 13, "woocommerce"),
    (BRAND, 14, "shopify"),
    (BRAND, 15, "stripe"),
]


async def fill(connection: asyncpg.Connection) -> None:
    for brand_id in (BRAND, RIVAL):
        await connection.execute(
            "INSERT INTO brand (id, name, currency, created_at, updated_at) VALUES ($1, 'x', 'EUR', now(), now())",
            brand_id,
        )
        for kind, scopes in (("secret", ["write"]), ("secret", ["read"]), ("publishable", [])):
            key = f"{brand_id}{kind}{scopes}"
            await connection.execute(
                """INSERT INTO api_key (brand_id, id, kind, key_hash, hint, name, scopes, shop, created_at)
                   VALUES ($1, gen_random_uuid(), $2, $3, '', $4, $5, $6, now())""",
                brand_id, kind, hashlib.sha256(key.encode()).digest(), "/".join(scopes), scopes, "fr" if kind == "publishable" else None,
            )  # fmt: skip
    for brand_id, number, platform in SOURCES:
        await connection.execute(
            "INSERT INTO source (brand_id, id, token, platform, created_at, updated_at) VALUES ($1, $2, $3, $4, now(), now())",
            brand_id, UUID(int=number), f"hook_{number}", platform,
        )  # fmt: skip
    for number, (brand_id, source, header, named, status) in enumerate(DELIVERED):
        await connection.execute(
            """INSERT INTO delivery (brand_id, id, origin_id, platform, body_hash, body, headers, status, received_at)
               VALUES ($1, $2, $3, 'x', $4, '', $5::jsonb, $6, now())""",
            brand_id, UUID(int=100 + number), UUID(int=source), bytes([number]), json.dumps({header: named}), status,
        )  # fmt: skip


def test_a_shop_is_bound_to_what_its_newest_order_named_and_keys_that_report_have_a_shop(server: str) -> None:
    async def on(database: str, work):  # type: ignore[no-untyped-def]
        connection = await asyncpg.connect(database)
        try:
            return await work(connection)
        finally:
            await connection.close()

    async def remake(connection: asyncpg.Connection) -> None:
        await connection.execute("DROP DATABASE IF EXISTS sites_test")
        await connection.execute("CREATE DATABASE sites_test")

    async def sites(connection: asyncpg.Connection) -> dict[int, str]:
        rows = await connection.fetch("/* across brands: the whole of a test's database */ SELECT id, site FROM source")
        return {row["id"].int: row["site"] for row in rows}

    async def shops(connection: asyncpg.Connection) -> set[tuple[str, str, str | None]]:
        rows = await connection.fetch("/* across brands: as above */ SELECT kind, name, shop FROM api_key")
        return {tuple(row) for row in rows}

    asyncio.run(on(server, remake))
    dsn = database_dsn(server, "sites_test")
    migrate(dsn, "0015")
    asyncio.run(on(dsn, fill))
    migrate(dsn, "0016")
    found = asyncio.run(on(dsn, sites))
    assert found == {11: "atelier.myshopify.com", 12: "boutique.example/Paris", 13: "rival.example", 14: None, 15: None}
    assert all(site is None or read_site(site) == site for site in found.values())
    expected = {("secret", "write", "main"), ("secret", "read", None), ("publishable", "", "fr")}
    assert asyncio.run(on(dsn, shops)) == expected
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", dsn)
    command.downgrade(config, "0015")
    before = {(kind, name, shop if kind == "publishable" else None) for kind, name, shop in expected}
    assert asyncio.run(on(dsn, shops)) == before
    migrate(dsn)
    assert asyncio.run(on(dsn, sites)) == found
