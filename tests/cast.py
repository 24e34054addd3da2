"""The people in the tests: Alice's brand, and Charlie, a rival with no access to anything of hers."""

import hashlib
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from app import clock, random_ids


@dataclass(frozen=True, slots=True)
class Brand:
    """A brand with one secret key of all scopes and one publishable key of the shop `main`."""

    id: UUID
    secret_key: str
    publishable_key: str
    publishable_id: UUID

    @property
    def auth(self) -> dict[str, str]:
        """The header that speaks for this brand."""
        return {"Authorization": f"Bearer {self.secret_key}"}


@dataclass(frozen=True, slots=True)
class Collaboration:
    """One influencer in one campaign, with the ids of all three."""

    id: UUID
    campaign_id: UUID
    influencer_id: UUID


async def create_brand(
    pool: asyncpg.Pool, name: str = "Alice", *, currency: str = "EUR", time_zone: str = "Europe/Paris"
) -> Brand:
    """A brand straight in the tables, for tests that are not about the API."""
    now = clock.now()
    brand = Brand(random_ids.new_id(), random_ids.new_token("sk"), random_ids.new_token("pk"), random_ids.new_id())
    await pool.execute(
        "INSERT INTO brand (id, name, currency, time_zone, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5)",
        brand.id,
        name,
        currency,
        time_zone,
        now,
    )
    insert_key = """INSERT INTO api_key (key_hash, id, brand_id, kind, scopes, shop, hint, created_at)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""
    secret, public = brand.secret_key, brand.publishable_key
    scopes = ["read", "write", "conversions", "admin"]
    await pool.execute(
        insert_key, digest(secret), random_ids.new_id(), brand.id, "secret", scopes, None, secret[-4:], now
    )
    await pool.execute(
        insert_key, digest(public), brand.publishable_id, brand.id, "publishable", [], "main", public, now
    )
    return brand


async def create_collaboration(pool: asyncpg.Pool, brand: Brand, name: str = "Lea") -> Collaboration:
    """An influencer, a campaign and their collaboration, straight in the tables."""
    now = clock.now()
    collaboration = Collaboration(random_ids.new_id(), random_ids.new_id(), random_ids.new_id())
    await pool.execute(
        "INSERT INTO influencer (brand_id, id, name, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)",
        brand.id,
        collaboration.influencer_id,
        name,
        now,
    )
    await pool.execute(
        """INSERT INTO campaign (brand_id, id, name, objective, currency, created_at, updated_at)
           VALUES ($1, $2, $3, 'sales', 'EUR', $4, $4)""",
        brand.id,
        collaboration.campaign_id,
        f"{name}'s launch",
        now,
    )
    await pool.execute(
        """INSERT INTO collaboration (brand_id, id, campaign_id, influencer_id, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $5)""",
        brand.id,
        collaboration.id,
        collaboration.campaign_id,
        collaboration.influencer_id,
        now,
    )
    return collaboration


async def create_link(pool: asyncpg.Pool, brand: Brand, collaboration: Collaboration, slug: str) -> UUID:
    """A link on the shared host with its route."""
    link_id = random_ids.new_id()
    now = clock.now()
    await pool.execute(
        """INSERT INTO link (brand_id, id, collaboration_id, host, slug, destination_url, created_at, updated_at)
           VALUES ($1, $2, $3, '*', $4, 'https://shop.test/', $5, $5)""",
        brand.id,
        link_id,
        collaboration.id,
        slug,
        now,
    )
    await pool.execute(
        """INSERT INTO route (host, slug, brand_id, link_id, destination_url, click_param)
           VALUES ('*', $1, $2, $3, 'https://shop.test/', 'ariane')""",
        slug,
        brand.id,
        link_id,
    )
    return link_id


async def create_code(pool: asyncpg.Pool, brand: Brand, collaboration: Collaboration, code: str) -> UUID:
    """A code, already folded by the caller, that belongs to the collaboration since ever."""
    code_id = random_ids.new_id()
    now = clock.now()
    await pool.execute(
        "INSERT INTO code (brand_id, id, code, code_norm, created_at, updated_at) VALUES ($1, $2, $3, $3, $4, $4)",
        brand.id,
        code_id,
        code,
        now,
    )
    await pool.execute(
        "INSERT INTO code_assignment (brand_id, id, code_id, collaboration_id, created_at) VALUES ($1, $2, $3, $4, $5)",
        brand.id,
        random_ids.new_id(),
        code_id,
        collaboration.id,
        now,
    )
    return code_id


def digest(key: str) -> bytes:
    """How a key is looked up."""
    return hashlib.sha256(key.encode()).digest()
