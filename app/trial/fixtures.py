"""The rows that the trial of a source uses: an influencer, a campaign, a link and a code of the brand that appear nowhere else.

One set for each brand, used again at every trial: slugs and codes are never given out twice, so a new set each time would use them up. All rows
are archived from the start, so that no list shows them; the clicks of a trial have a class of their own (`test`), which is in no count; its order
is a test order, which is in no report. So there is nothing to clean up afterwards, even when the process is killed in the middle.
"""

from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from uuid import UUID

import asyncpg

from app import clock, random_ids
from app.database.tables import DEFAULT_HOST
from app.database.transactions import Connection
from app.domain.codes import RANDOM_ALPHABET, normalise
from app.domain.ids import unix_ms
from app.domain.slugs import RESERVED, make_slug

NAME = "Ariane connection test"
CODE_LIFE = timedelta(minutes=10)
"""How long after the start of a trial its code can be redeemed: orders redeem an archived code up to its archival."""
SLUG_ATTEMPTS = 5
PARTS = ("influencer", "campaign", "collaboration", "link", "code")

BRAND = "SELECT currency, click_param FROM brand WHERE id = $1 FOR NO KEY UPDATE"
INFLUENCER = """
INSERT INTO influencer (brand_id, id, name, created_at, updated_at, archived_at) VALUES ($1, $2, $3, $4, $4, $4) ON CONFLICT DO NOTHING
"""
CAMPAIGN = """
INSERT INTO campaign (brand_id, id, name, objective, currency, created_at, updated_at, archived_at)
VALUES ($1, $2, $3, 'sales', $5, $4, $4, $4) ON CONFLICT DO NOTHING
"""
COLLABORATION = """
INSERT INTO collaboration (brand_id, id, campaign_id, influencer_id, created_at, updated_at, archived_at)
VALUES ($1, $2, $3, $4, $5, $5, $5) ON CONFLICT DO NOTHING
"""
CODE = """
INSERT INTO code (brand_id, id, code, code_norm, created_at, updated_at, archived_at) VALUES ($1, $2, $3, $4, $5, $5, $6)
ON CONFLICT (brand_id, id) DO UPDATE SET archived_at = excluded.archived_at RETURNING code
"""
ASSIGNMENT = """
INSERT INTO code_assignment (brand_id, id, code_id, collaboration_id, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
"""
EXISTING_LINK = "SELECT slug FROM link WHERE brand_id = $1 AND id = $2"
# Not disabled, though its link is archived: the doors learn of a change a moment later, and a trial would meet the state before it.
ROUTE = """
INSERT INTO route (host, slug, brand_id, link_id, destination_url, click_param) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING RETURNING slug
"""
LINK = """
INSERT INTO link (brand_id, id, collaboration_id, host, slug, destination_url, created_at, updated_at, archived_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $7)
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


async def make_fixtures(pool: asyncpg.Pool, brand_id: UUID, destination_url: str) -> Fixtures:
    """The fixtures of a brand, made at its first trial. destination_url: where the link leads; nobody goes there."""
    now = clock.now()
    part = {name: _own_id(brand_id, name) for name in PARTS}
    code = _code(part["code"])
    async with pool.acquire() as connection, connection.transaction():
        # The brand's row is locked, so that two first trials do not take two slugs.
        brand = await connection.fetchrow(BRAND, brand_id)
        assert brand is not None
        await connection.execute(INFLUENCER, brand_id, part["influencer"], NAME, now)
        await connection.execute(CAMPAIGN, brand_id, part["campaign"], NAME, now, brand["currency"])
        pair = (part["campaign"], part["influencer"])
        await connection.execute(COLLABORATION, brand_id, part["collaboration"], *pair, now)
        typed = await connection.fetchval(CODE, brand_id, part["code"], code, normalise(code), now, now + CODE_LIFE)
        assigned = (_own_id(brand_id, "assignment"), part["code"], part["collaboration"])
        await connection.execute(ASSIGNMENT, brand_id, *assigned, now)
        slug = await connection.fetchval(EXISTING_LINK, brand_id, part["link"])
        if slug is None:
            slug = await _take_slug(connection, brand_id, part["link"], destination_url, brand["click_param"])
            place = (part["collaboration"], DEFAULT_HOST, slug, destination_url)
            await connection.execute(LINK, brand_id, part["link"], *place, now)
    return Fixtures(brand["currency"], brand["click_param"], part["collaboration"], slug, part["code"], typed)


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


def _code(code_id: UUID) -> str:
    number = code_id.int & ((1 << 62) - 1)
    letters = []
    for _ in range(8):
        number, place = divmod(number, len(RANDOM_ALPHABET))
        letters.append(RANDOM_ALPHABET[place])
    return f"TEST-{''.join(letters)}"
