"""Writes links and their routes, set-based: one link and a thousand take the same statements."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, Row, Select, and_, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, random_ids
from app.api.collaboration_ref import Pair, Paired, pair_up
from app.api.collection import phase, status_column
from app.api.problems import FieldErrors
from app.api.rows import announce, stands_archived
from app.database.tables import DEFAULT_HOST, collaboration, host, link
from app.database.transactions import driver_connection
from app.domain.slugs import RESERVED, make_slug
from app.errors import Conflict

LOOP = "leads back to this service; give the page the shopper shall see"
SLUG_ATTEMPTS = 5
"""Tries for a generated slug: with 40 random bits and a million links, five collisions in a row happen once in 10^30."""


@dataclass(frozen=True, slots=True)
class NewRow:
    """A link to be made, checked already as far as it can be alone. target_url: the destination with UTM applied."""

    pair: Paired
    slug: str | None
    host: str | None
    target_url: str
    values: dict[str, Any]


Columns = dict[str, Any]
"""The columns of a link that is about to be inserted, as _COLUMNS names them."""


def link_phase() -> ColumnElement[str]:
    """What a link is now, unless it is archived."""
    return phase(link, ends_at=link.c.expires_at)


def link_query(brand_id: UUID) -> Select[Any]:
    """Links with their campaign and influencer."""
    joined = and_(
        collaboration.c.brand_id == link.c.brand_id,
        collaboration.c.id == link.c.collaboration_id,
        collaboration.c.brand_id == brand_id,
    )
    whose = (collaboration.c.campaign_id, collaboration.c.influencer_id)
    columns = (link, *whose, status_column(link, link_phase()))
    return select(*columns).join_from(link, collaboration, joined).where(link.c.brand_id == brand_id)


# The slug belongs to the link whose route is inserted first. Sorted by the key, so that two batches that overlap wait for each other and cannot
# deadlock.
_INSERT_ROUTES = """
INSERT INTO route (brand_id, click_param, host, slug, link_id, destination_url, expires_at)
SELECT $1::uuid, $2::text, r.* FROM unnest($3::text[], $4::text[], $5::uuid[], $6::text[], $7::timestamptz[])
    AS r(host, slug, link_id, destination_url, expires_at)
ORDER BY r.host, r.slug
ON CONFLICT (host, slug) DO NOTHING
RETURNING link_id
"""

_COLUMNS = {
    "id": "uuid", "external_id": "text", "collaboration_id": "uuid", "host": "text", "slug": "text", "destination_url": "text", "placement": "text",
    "utm": "jsonb", "expires_at": "timestamptz", "metadata": "jsonb",
}  # fmt: skip
_NAMES = ", ".join(_COLUMNS)
_ARRAYS = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(_COLUMNS.values(), 3))
_INSERT_LINKS = f"""
INSERT INTO link (brand_id, created_at, updated_at, {_NAMES}) SELECT $1::uuid, $2::timestamptz, $2, r.* FROM unnest({_ARRAYS}) AS r({_NAMES})
"""  # noqa: S608  names and types of columns


async def make_links(
    connection: AsyncConnection, brand_id: UUID, rows: Sequence[NewRow], base_url: str, *, batch: str | None = None
) -> tuple[list[Row[Any]], bool]:
    """Make the links, or find them by their external id; all or none, in order: the rows of `link_query`, and whether any is new.

    Raises Invalid, Conflict or NotFound naming every field at fault, as `links.3.slug` when `batch` is "links". Takes at most 14 statements for
    any number of links. base_url: the address of the shared host.
    """
    faults = FieldErrors(batch)
    pairs = await pair_up(connection, brand_id, [row.pair for row in rows], faults)
    await _check_hosts(connection, brand_id, rows, faults)
    _check_twins(rows, faults)
    destinations = [row.values["destination_url"] for row in rows]
    for index in await find_loops(connection, destinations, base_url):
        faults.invalid(index, "destination_url", "loop", LOOP)
    existing = await _existing(connection, brand_id, rows)
    fresh: dict[int, Columns] = {}
    for index, (row, pair) in enumerate(zip(rows, pairs, strict=True)):
        old = _old(existing, row)
        if pair is None:
            continue
        if old is None:
            own = {"id": random_ids.new_id(), "host": _host_of(row), "slug": row.slug or _new_slug()}
            fresh[index] = {**own, "collaboration_id": pair.id, **row.values}
        elif _differs(old, row, pair):
            reason = f"stands for another content already; it differs in {_differs(old, row, pair)}"
            faults.conflict(index, "external_id", "external_id_taken", reason)
        elif old.archived_at is not None:
            faults.conflict(index, "external_id", "link_archived", stands_archived("link", old.id))
    faults.refuse()
    if fresh:
        driver = await driver_connection(connection)
        await _take_routes(driver, brand_id, rows, fresh, faults)
        await _insert_links(driver, brand_id, list(fresh.values()))
        await announce(connection)
    link_ids = [fresh[index]["id"] if index in fresh else _old(existing, row).id for index, row in enumerate(rows)]
    query = link_query(brand_id).where(link.c.id == func.any(literal(link_ids, ARRAY(link.c.id.type))))
    made = {row.id: row for row in await connection.execute(query)}
    return [made[link_id] for link_id in link_ids], bool(fresh)


async def _check_hosts(
    connection: AsyncConnection, brand_id: UUID, rows: Sequence[NewRow], faults: FieldErrors
) -> None:
    if all(row.host is None for row in rows):
        return
    query = select(host.c.host).where(host.c.brand_id == brand_id, host.c.archived_at.is_(None))
    own = set((await connection.execute(query)).scalars())
    for index, row in enumerate(rows):
        if row.host is not None and row.host.lower() not in own:
            faults.invalid(index, "host", "unknown_host", "is none of your hosts; add it under /v1/hosts first")


async def refuse_archived_host(connection: AsyncConnection, brand_id: UUID, name: str) -> None:
    """Raises Conflict when this host is one of the brand's and archived: its name may lead elsewhere by now."""
    query = select(host.c.archived_at).where(host.c.brand_id == brand_id, host.c.host == name)
    if await connection.scalar(query) is not None:
        reason = f"{name} is archived itself; first: POST /v1/hosts/{name}/unarchive"
        raise Conflict.field("host", reason, code="host_archived")


async def find_loops(connection: AsyncConnection, destinations: Sequence[str], base_url: str) -> list[int]:
    """Indexes of destinations that are short links themselves, on the shared host or on a host of any brand: a click would never arrive."""
    places = [_place(destination) for destination in destinations]
    # Hosts of other brands too: this is a lookup table, and only names are read.
    query = select(host.c.host).where(host.c.host.in_({place[0] for place in places}), host.c.archived_at.is_(None))
    hosts = set((await connection.execute(query)).scalars())
    shared = _place(base_url)
    # A host of a brand answers on whatever port its proxy listens to; the shared one may have a shop beside it on another port.
    return [index for index, place in enumerate(places) if place == shared or place[0] in hosts]


def _place(url: str) -> tuple[str, int]:
    """Host and port of an address, however it is spelt."""
    parts = urlsplit(url)
    return (parts.hostname or "").removesuffix("."), parts.port or (80 if parts.scheme == "http" else 443)


def _check_twins(rows: Sequence[NewRow], faults: FieldErrors) -> None:
    """Notes rows of one batch that want the same slug or external id."""
    slugs: set[tuple[str, str]] = set()
    externals: set[str] = set()
    for index, row in enumerate(rows):
        if row.slug is not None:
            if (_host_of(row), row.slug) in slugs:
                faults.conflict(index, "slug", "slug_taken", "stands twice in this batch")
            slugs.add((_host_of(row), row.slug))
        external_id = row.values["external_id"]
        if external_id is not None:
            if external_id in externals:
                faults.conflict(index, "external_id", "external_id_taken", "stands twice in this batch")
            externals.add(external_id)


def _host_of(row: NewRow) -> str:
    return DEFAULT_HOST if row.host is None else row.host.lower()


async def _existing(connection: AsyncConnection, brand_id: UUID, rows: Sequence[NewRow]) -> dict[str, Any]:
    externals = {row.values["external_id"] for row in rows} - {None}
    if not externals:
        return {}
    query = select(link).where(link.c.brand_id == brand_id, link.c.external_id.in_(externals))
    return {row.external_id: row for row in await connection.execute(query)}


def _old(existing: dict[str, Any], row: NewRow) -> Any:
    return existing.get(row.values["external_id"] or "")


def _differs(old: Any, row: NewRow, pair: Pair) -> str:
    """The fields in which an existing link differs from the wanted one; '' when none does."""
    wanted = {**row.values, "collaboration_id": pair.id, "host": _host_of(row)}
    if row.slug is not None:
        wanted["slug"] = row.slug
    return ", ".join(sorted(name for name, value in wanted.items() if old._mapping[name] != value))


def _new_slug() -> str:
    slug = make_slug(random_ids.random_number())
    return slug if slug not in RESERVED else _new_slug()


async def _take_routes(
    connection: asyncpg.Connection,
    brand_id: UUID,
    rows: Sequence[NewRow],
    fresh: dict[int, Columns],
    faults: FieldErrors,
) -> None:
    """Insert the routes, with another generated slug until one is free. Raises Conflict for given slugs that are taken."""
    click_param = await connection.fetchval("SELECT click_param FROM brand WHERE id = $1", brand_id)
    waiting = dict(fresh)
    for _ in range(SLUG_ATTEMPTS):
        routes = [
            (row["host"], row["slug"], row["id"], rows[index].target_url, row["expires_at"])
            for index, row in waiting.items()
        ]
        found = await connection.fetch(_INSERT_ROUTES, brand_id, click_param, *zip(*routes, strict=True))
        taken = {row["link_id"] for row in found}
        waiting = {index: row for index, row in waiting.items() if row["id"] not in taken}
        for index, row in waiting.items():
            if rows[index].slug is not None:
                faults.conflict(index, "slug", "slug_taken", f"{row['slug']!r} is taken on this host")
            row["slug"] = _new_slug()
        faults.refuse()
        if not waiting:
            return
    raise AssertionError("generated slugs collide over and over: the random numbers are not random")


async def _insert_links(connection: asyncpg.Connection, brand_id: UUID, rows: Sequence[Columns]) -> None:
    arrays = [
        [json.dumps(row[name]) if kind == "jsonb" else row[name] for row in rows] for name, kind in _COLUMNS.items()
    ]
    await connection.execute(_INSERT_LINKS, brand_id, clock.now(), *arrays)
