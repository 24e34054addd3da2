"""The shops of a brand, and which of them a new source or key belongs to. A new one never changes what an existing one belongs to."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from app.domain.sites import MAIN, own_shop
from app.errors import Invalid
from app.platforms.registry import platform_of
from app.platforms.signing import set_up

# The lock of app/intake/deliveries/binding.py: of two sources made at once, one is the first.
LOCK_BRAND = "SELECT id FROM brand WHERE id = $1 FOR NO KEY UPDATE"
SOURCES = "SELECT id, platform, settings::text AS settings, shop, site, created_at, archived_at FROM source WHERE brand_id = $1 ORDER BY id"
SHOPS = """
SELECT shop FROM source WHERE brand_id = $1 AND archived_at IS NULL
UNION SELECT coalesce(shop, 'main') FROM api_key WHERE brand_id = $1 AND kind = 'publishable' AND revoked_at IS NULL
ORDER BY 1
"""
LISTED_MAX_SHOPS = 20


async def lock_brand(connection: asyncpg.Connection, brand_id: UUID) -> None:
    """Lets nobody else make a source of this brand or bind one until this transaction ends."""
    await connection.execute(LOCK_BRAND, brand_id)


async def only_shop(connection: asyncpg.Connection, brand_id: UUID) -> str:
    """The shop of something new that names none: the brand's only one, or `main`. Raises Invalid listing them where there are several."""
    shops = [row["shop"] for row in await connection.fetch(SHOPS, brand_id)]
    if len(shops) > 1:
        listed = ", ".join(shops[:LISTED_MAX_SHOPS])
        raise Invalid.field("shop", f"is required, because the brand has several shops: {listed}", code="required")
    return shops[0] if shops else MAIN


async def shop_of_source(
    connection: asyncpg.Connection,
    brand_id: UUID,
    platform: str,
    settings: Mapping[str, Any],
    *,
    name: str = "",
    shop: str | None = None,
    site: str | None = None,
) -> str:
    """The shop of a new source. The brand must be locked. shop, site: as given.

    The brand's first shop system is the shop `main`, a further one a shop of its own, and one of a known site the shop of that site. Raises
    Invalid where that is another than the one given, and for a source that is no shop system, names no shop and may belong to several.
    """
    if not platform_of(platform).is_shop_system(settings):
        return shop or await only_shop(connection, brand_id)
    rows = await connection.fetch(SOURCES, brand_id)
    known = shop_of_site(rows, platform, site)
    if known is not None and shop not in (None, known):
        raise Invalid.field("shop", f"{site} is the shop {known!r} already", code="site_taken")
    if shop is not None or known is not None:
        return shop or str(known)
    if not any(_stands(row) for row in rows):
        return MAIN
    called = name or str(settings.get("preset") or platform)
    return own_shop(called, {row["shop"] for row in rows})


async def is_shop_taken(connection: asyncpg.Connection, brand_id: UUID, shop: str, *, since: datetime) -> bool:
    """Whether a shop system made since then is this shop. The brand must be locked."""
    rows = await connection.fetch(SOURCES, brand_id)
    return any(row["shop"] == shop and row["created_at"] > since and _stands(row) for row in rows)


def shop_of_site(
    rows: list[asyncpg.Record], platform: str, site: str | None, *, besides: UUID | None = None
) -> str | None:
    """The shop that a source of this platform and site belongs to, archived or not; None where there is none. besides: a source to leave out."""
    if site is None:
        return None
    shops = (row["shop"] for row in rows if (row["platform"], row["site"]) == (platform, site) and row["id"] != besides)
    return next(shops, None)


def _stands(row: asyncpg.Record) -> bool:
    """Whether a source is a shop system of its own: one that was archived before it brought anything may be connected anew as the same shop."""
    setup = set_up(row["platform"], row["settings"])
    return setup.platform.is_shop_system(setup.settings) and (row["archived_at"] is None or row["site"] is not None)
