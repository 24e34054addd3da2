"""Binds a source to the shop whose messages it brings: the first one that names its domain or address says which it is.

A message of another site at the same address would be another shop's: its orders have numbers of their own, and it is kept as `rejected`.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from app.database.transactions import Connection
from app.domain.sites import MAIN, is_of, read_site
from app.intake.deliveries.messages import Message
from app.platforms.registry import platform_of
from app.platforms.signing import set_up

Sources = Mapping[UUID, asyncpg.Record]
"""Rows of `source` by their ids."""

# A lookup table: never joined with a brand's tables.
SOURCES = "SELECT id, platform, shop, site, settings::text AS settings, secrets FROM source WHERE id = ANY($1::uuid[])"

# Every change of a site holds this lock until its commit, so that of two shops only one can be the first to name a site.
LOCK_BRAND = "SELECT id FROM brand WHERE id = $1 FOR NO KEY UPDATE"
# Archived or not: a shop that is connected again is the same shop.
TWIN = """
SELECT shop FROM source WHERE brand_id = $1 AND platform = $2 AND site = $3 AND id <> $4 ORDER BY id LIMIT 1
"""
BIND = """
UPDATE source SET site = $3, shop = $4, changed_xid = pg_current_xact_id() WHERE brand_id = $1 AND id = $2 AND site IS NULL
"""
# What was made for a shop that turns out to be one the brand has goes along with it, unless another shop system is that shop.
SHARED = "SELECT EXISTS (SELECT FROM source WHERE brand_id = $1 AND shop = $2 AND id <> $3 AND site IS NOT NULL)"
MOVES = tuple(
    f"UPDATE {table} SET shop = $3, changed_xid = pg_current_xact_id() WHERE brand_id = $1 AND shop = $2"  # noqa: S608
    for table in ("api_key", "source")
)
REHEARSED = "rehearsal."
"""How the sites began that trials of earlier releases named: they are no shop's, and such messages may be replayed."""
ANNOUNCE = "SELECT pg_notify('directory', '')"


async def read_sources(connection: Connection, source_ids: Sequence[UUID]) -> Sources:
    """The sources with these ids, those that exist."""
    rows = await connection.fetch(SOURCES, source_ids) if source_ids else []
    return {row["id"]: row for row in rows}


def foreign_site(message: Message, source: asyncpg.Record) -> str:
    """The site that a message names where it is not the one its source is bound to, else ''."""
    bound = source["site"]
    if bound is None:
        return ""
    site = site_of(message)
    return "" if not site or is_of(site, bound) else site


def site_of(message: Message) -> str:
    """The site that the headers of a message name; '' where they name none."""
    for name in platform_of(message.platform).site_headers:
        named = message.headers.get(name)
        if named is not None:
            return "" if named.removeprefix("https://").startswith(REHEARSED) else read_site(named)
    return ""


def _may_be_bound(row: asyncpg.Record) -> bool:
    setup = set_up(row["platform"], row["settings"])
    return row["site"] is None and bool(setup.platform.site_headers) and setup.platform.is_shop_system(setup.settings)


async def bind_sources(
    connection: asyncpg.Connection, brand_id: UUID, sources: Sources, messages: Sequence[Message]
) -> Sources:
    """The sources, each that was not bound yet bound to the site of its first message that names one. messages: rightly signed.

    Call it before any order is locked. A site that another source of the brand is bound to is that source's shop.
    """
    unbound = {
        each for each, row in sources.items() if row["site"] is None and platform_of(row["platform"]).site_headers
    }
    if not unbound:
        return sources
    named: dict[UUID, str] = {}
    for message in sorted(messages, key=lambda each: each.id):
        if message.origin_id in unbound and message.origin_id not in named:
            site = site_of(message)
            if site:
                named[message.origin_id] = site
    if not named:
        return sources
    await connection.execute(LOCK_BRAND, brand_id)
    for source_id, row in sorted((await read_sources(connection, list(named))).items()):
        if row["site"] is None:
            await _bind(connection, brand_id, row, named[source_id])
    await connection.execute(ANNOUNCE)
    return {**sources, **await read_sources(connection, list(named))}


async def _bind(connection: asyncpg.Connection, brand_id: UUID, row: asyncpg.Record, site: str) -> None:
    known: str | None = await connection.fetchval(TWIN, brand_id, row["platform"], site, row["id"])
    shop = known or row["shop"]
    if row["shop"] not in (MAIN, shop) and not await connection.fetchval(SHARED, brand_id, row["shop"], row["id"]):
        for move in MOVES:
            await connection.execute(move, brand_id, row["shop"], shop)
    await connection.execute(BIND, brand_id, row["id"], site, shop)
