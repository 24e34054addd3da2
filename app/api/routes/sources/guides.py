"""How a new source is connected: the guide of its platform with the brand's own address, key and parameter in it."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import Row, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.tables import api_key, brand
from app.domain import ids
from app.platforms.kit.guide import Connection
from app.platforms.registry import EXAMPLE, platform_of
from app.settings import Settings


class Paste(BaseModel):
    """A value and the field it belongs into."""

    where: str
    what: str


class SetupStep(BaseModel):
    """One thing to do."""

    title: str
    text: str
    paste: Paste | None = Field(description="Null where there is nothing to paste.")


class Snippet(BaseModel):
    """Code to paste as it stands: address, publishable key, parameter and consent are the brand's own."""

    name: str
    language: str = Field(examples=["html"])
    where: str = Field(description="The page or dialog it belongs into.")
    code: str


class Guidance(BaseModel):
    """How to connect this very source."""

    setup: list[SetupStep] = Field(
        description="In the order in which they are done. Empty for a platform without a guide."
    )
    snippets: list[Snippet]
    guide_page: str | None = Field(
        description="The same at length, in the repository.", examples=[f"docs/connect/{EXAMPLE.name}.md"]
    )


async def guide_source(connection: AsyncConnection, row: Row[Any], settings: Settings) -> Guidance:
    """The guidance for a source's row."""
    own = (
        await connection.execute(select(brand.c.click_param, brand.c.consent).where(brand.c.id == row.brand_id))
    ).one()
    found = platform_of(row.platform).guide(
        Connection(
            source_id=ids.show("source", row.id),
            url=f"{settings.base_url}/in/{row.token}",
            base_url=settings.base_url,
            shop=row.shop,
            publishable_key=await _publishable_key(connection, row.brand_id, row.shop),
            click_param=own.click_param,
            consent=own.consent,
            settings=row.settings,
        ),
    )
    return Guidance.model_validate(found or {"setup": [], "snippets": [], "guide_page": None})


async def _publishable_key(connection: AsyncConnection, brand_id: UUID, shop: str) -> str | None:
    """The newest publishable key in force of this shop; a hint is the whole key when it is publishable."""
    of_shop = api_key.c.shop == shop
    query = (
        select(api_key.c.hint)
        .where(
            api_key.c.brand_id == brand_id,
            api_key.c.kind == "publishable",
            api_key.c.revoked_at.is_(None),
            or_(of_shop, api_key.c.shop.is_(None)) if shop == "main" else of_shop,
        )
        .order_by(api_key.c.id.desc())
        .limit(1)
    )
    key: str | None = await connection.scalar(query)
    return key
