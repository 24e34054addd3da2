"""Lookup rows as the API writes them: with their transaction, and announced."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from app import clock, random_ids
from app.secret import seal
from tests.cast import Brand

SECRET = "s" * 43
NOTIFY = "SELECT pg_notify('directory', '')"


def fresh_slug() -> str:
    """A slug that no other test uses; the database is shared."""
    return f"t{random_ids.new_id().hex[-16:]}"


async def write_route(
    connection: asyncpg.Connection | asyncpg.Pool,
    brand: Brand,
    slug: str,
    *,
    host: str = "*",
    destination: str = "https://shop.test/p?size=m#top",
    click_param: str = "ariane",
    expires_at: datetime | None = None,
    disabled: bool = False,
    announce: bool = True,
) -> UUID:
    """A route, new or changed; the link's id."""
    link_id = random_ids.new_id()
    await connection.execute(
        """INSERT INTO route (host, slug, brand_id, link_id, destination_url, click_param, expires_at, disabled)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
           ON CONFLICT (host, slug) DO UPDATE SET destination_url = excluded.destination_url, disabled = excluded.disabled,
               expires_at = excluded.expires_at, changed_xid = pg_current_xact_id()""",
        host,
        slug,
        brand.id,
        link_id,
        destination,
        click_param,
        expires_at,
        disabled,
    )
    if announce:
        await connection.execute(NOTIFY)
    return link_id


async def write_host(
    connection: asyncpg.Connection | asyncpg.Pool, brand: Brand, host: str, *, pages: Mapping[str, str] | None = None
) -> None:
    """A host of the brand's own."""
    await connection.execute(
        "INSERT INTO host (host, brand_id, created_at, pages) VALUES ($1, $2, $3, $4::jsonb)",
        host,
        brand.id,
        clock.now(),
        json.dumps(dict(pages or {})),
    )
    await connection.execute(NOTIFY)


async def write_rule(
    connection: asyncpg.Connection | asyncpg.Pool,
    brand: Brand,
    *,
    forward_query: str = "link_wins",
    own_networks: Sequence[str] = (),
    gpc: str = "respect",
) -> None:
    """What the doors know of a brand beside its links."""
    await connection.execute(
        "INSERT INTO door_rule (brand_id, forward_query, own_networks, gpc) VALUES ($1, $2, $3, $4)",
        brand.id,
        forward_query,
        list(own_networks),
        gpc,
    )
    await connection.execute(NOTIFY)


async def write_source(
    connection: asyncpg.Connection | asyncpg.Pool,
    brand: Brand,
    platform: str,
    *secrets: str,
    shop: str = "main",
    settings: str = "{}",
) -> tuple[str, UUID]:
    """A connected shop: its token and id."""
    token, source_id = random_ids.new_token("in"), random_ids.new_id()
    await connection.execute(
        """INSERT INTO source (token, id, brand_id, platform, shop, secrets, settings, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8, $8)""",
        token,
        source_id,
        brand.id,
        platform,
        shop,
        [seal(SECRET, secret) for secret in secrets],
        settings,
        clock.now(),
    )
    await connection.execute(NOTIFY)
    return token, source_id
