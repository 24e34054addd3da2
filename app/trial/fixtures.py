"""The rows that the trial of a source uses: an influencer, a campaign, a link and a code of the brand that appear nowhere else.

One set for each brand, used again at every trial: slugs and codes are never given out twice, so a new set each time would use them up. All rows
are archived from the start, so that no list shows them; the clicks of a trial have a class of their own (`test`), which is in no count; its order
is a test order, which is in no report. So there is nothing to clean up afterwards, even when the process is killed in the middle.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from uuid import UUID

import asyncpg

from app import clock, random_ids
from app.database.tables import DEFAULT_HOST
from app.database.transactions import Connection
from app.domain.codes import normalise, random_characters
from app.domain.ids import unix_ms
from app.domain.money import Decimals, read_declared
from app.domain.slugs import RESERVED, make_slug

NAME = "Ariane connection test"
CODE_LIFE = timedelta(minutes=10)
"""How long after the start of a trial its code can be redeemed: orders redeem an archived code up to its archival."""
SLUG_ATTEMPTS = 5
PARTS = ("influencer", "campaign", "collaboration", "link", "code")

BRAND = "SELECT currency, click_param, currencies FROM brand WHERE id = $1 FOR NO KEY UPDATE"
# The code of every trial is the same row: a new trial moves its archival on.
CODE = """
INSERT INTO code (brand_id, id, code, code_norm, created_at, updated_at, archived_at) VALUES ($1, $2, $3, $4, $5, $5, $6)
ON CONFLICT (brand_id, id) DO UPDATE SET archived_at = excluded.archived_at RETURNING code
"""
EXISTING_LINK = "SELECT slug FROM link WHERE brand_id = $1 AND id = $2"
# Not disabled, though its link is archived: the doors learn of a change a moment later, and a trial would meet the state before it.
ROUTE = """
INSERT INTO route (host, slug, brand_id, link_id, destination_url, click_param) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING RETURNING slug
"""


@dataclass(frozen=True, slots=True)
class Fixtures:
    """What a trial clicks, redeems and expects to be credited."""

    currency: str
    click_param: str
    collaboration_id: UUID
    slug: str
    code_id: UUID
    code: str
    currencies: Decimals


async def make_fixtures(pool: asyncpg.Pool, brand_id: UUID, destination_url: str) -> Fixtures:
    """The fixtures of a brand, made at its first trial. destination_url: where the link leads; nobody goes there."""
    now = clock.now()
    part = {name: _own_id(brand_id, name) for name in PARTS}
    _, characters = random_characters(part["code"].int & ((1 << 62) - 1), 8)
    code = f"TEST-{characters}"
    async with pool.acquire() as connection, connection.transaction():
        # The brand's row is locked, so that two first trials do not take two slugs.
        brand = await connection.fetchrow(BRAND, brand_id)
        assert brand is not None
        made = {"created_at": now, "updated_at": now, "archived_at": now}
        owner = {"campaign_id": part["campaign"], "influencer_id": part["influencer"]}
        assigned = {"code_id": part["code"], "collaboration_id": part["collaboration"], "created_at": now}
        campaign = {"name": NAME, "objective": "sales", "currency": brand["currency"]}
        await _insert(connection, "influencer", brand_id, {"id": part["influencer"], "name": NAME, **made})
        await _insert(connection, "campaign", brand_id, {"id": part["campaign"], **campaign, **made})
        await _insert(connection, "collaboration", brand_id, {"id": part["collaboration"], **owner, **made})
        typed = await connection.fetchval(CODE, brand_id, part["code"], code, normalise(code), now, now + CODE_LIFE)
        await _insert(connection, "code_assignment", brand_id, {"id": _own_id(brand_id, "assignment"), **assigned})
        slug = await connection.fetchval(EXISTING_LINK, brand_id, part["link"])
        if slug is None:
            slug = await _take_slug(connection, brand_id, part["link"], destination_url, brand["click_param"])
            place = {"host": DEFAULT_HOST, "slug": slug, "destination_url": destination_url}
            link = {"id": part["link"], "collaboration_id": part["collaboration"]}
            await _insert(connection, "link", brand_id, {**link, **place, **made})
    declared = read_declared(brand["currencies"])
    return Fixtures(brand["currency"], brand["click_param"], part["collaboration"], slug, part["code"], typed, declared)


async def _insert(connection: Connection, table: str, brand_id: UUID, row: Mapping[str, object]) -> None:
    """Inserts a row unless an earlier trial has done so."""
    places = ", ".join(f"${number}" for number in range(2, len(row) + 2))
    query = f"INSERT INTO {table} (brand_id, {', '.join(row)}) VALUES ($1, {places}) ON CONFLICT DO NOTHING"  # noqa: S608  names of our own
    await connection.execute(query, brand_id, *row.values())


async def _take_slug(
    connection: Connection, brand_id: UUID, link_id: UUID, destination_url: str, click_param: str
) -> str:
    for _ in range(SLUG_ATTEMPTS):
        slug = make_slug(random_ids.random_number())
        if slug not in RESERVED and await connection.fetchval(
            ROUTE, DEFAULT_HOST, slug, brand_id, link_id, destination_url, click_param
        ):
            return slug
    raise AssertionError("generated slugs collide over and over: the random numbers are not random")


def is_fixture(brand_id: UUID, row_id: UUID) -> bool:
    """Whether a row is one of the fixtures. They stay archived: unarchived they would be in lists, and archiving them again would stop the link."""
    return any(row_id == _own_id(brand_id, name) for name in PARTS)


def _own_id(brand_id: UUID, name: str) -> UUID:
    """A UUIDv7 as old as the brand and always the same, so that the row is found without a name that somebody might use."""
    number = int.from_bytes(blake2b(f"trial {name}".encode(), key=brand_id.bytes, digest_size=16).digest(), "big")
    number = unix_ms(brand_id) << 80 | number & ((1 << 80) - 1)
    return UUID(int=number & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)
