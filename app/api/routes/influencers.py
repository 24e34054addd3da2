"""Influencers: creators known to a brand, with their handles per network."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, Field, JsonValue, StringConstraints
from sqlalchemy import Row, select

from app.api.auth import Reader, Writer
from app.api.fields import Count, Email, ExternalId, Given, Metadata, Moment, Name, Word, absent, changes
from app.api.http import CHANGES, CREATES, FOUND, Session, resource
from app.api.pagination import Page, Paging, fetch_page
from app.api.rows import answer_found, archive, change, create_or_find, read_row, refuse_archived, unarchive
from app.database.tables import influencer
from app.domain import ids

router: APIRouter = resource("influencers")

HANDLES_MAX = 20
TAGS_MAX = 50


def _handle(text: str) -> str:
    cleaned = text.removeprefix("@")
    if not cleaned or any(character.isspace() for character in cleaned):
        raise ValueError("should be a handle such as lea.cooks, without spaces")
    return cleaned


class Handle(Given):
    """Who they are on one network."""

    network: Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, min_length=1, max_length=50)] = (
        Field(examples=["instagram"])
    )
    handle: Annotated[Word, AfterValidator(_handle)] = Field(examples=["lea.cooks"])
    followers: Count | None = None


def _distinct(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


Handles = Annotated[list[Handle], Field(max_length=HANDLES_MAX)]
Tags = Annotated[list[Word], Field(max_length=TAGS_MAX), AfterValidator(_distinct)]


class NewInfluencer(Given):
    """What makes an influencer."""

    name: Name = Field(examples=["Léa Martin"])
    external_id: ExternalId | None = None
    email: Email | None = None
    handles: Handles = Field(default=[])
    tags: Tags = Field(default=[])
    metadata: Metadata = Field(default={})


class InfluencerChange(Given):
    """What may change; what is left out stays, null clears."""

    name: Name = absent()
    external_id: ExternalId | None = None
    email: Email | None = None
    handles: Handles = absent()
    tags: Tags = absent()
    metadata: dict[str, JsonValue] = absent()


class Influencer(BaseModel):
    """A creator known to the brand."""

    id: str
    external_id: str | None
    name: str
    email: str | None
    handles: list[Handle]
    tags: list[str]
    metadata: dict[str, Any]
    created_at: Moment
    updated_at: Moment
    archived_at: Moment | None


def _shown(row: Row[Any]) -> Influencer:
    return Influencer(
        id=ids.show("influencer", row.id),
        external_id=row.external_id,
        name=row.name,
        email=row.email,
        handles=row.handles,
        tags=row.tags,
        metadata=row.metadata,
        created_at=row.created_at,
        updated_at=row.updated_at,
        archived_at=row.archived_at,
    )


@router.post("", status_code=201, responses=CREATES)
async def create_influencer(caller: Writer, session: Session, body: NewInfluencer, response: Response) -> Influencer:
    """Adds an influencer; with an `external_id` that exists with the same content, answers 200 with the existing one."""
    row, made = await create_or_find(session, influencer, caller.brand_id, body.model_dump())
    answer_found(response, made)
    return _shown(row)


@router.get("")
async def list_influencers(
    caller: Reader,
    session: Session,
    paging: Paging,
    q: Annotated[str | None, Query(max_length=200, description="Part of the name, in any case.")] = None,
    tag: Annotated[str | None, Query(max_length=100)] = None,
    external_id: Annotated[str | None, Query(max_length=200)] = None,
    include_archived: bool = False,
) -> Page[Influencer]:
    """The brand's influencers, newest first."""
    query = select(influencer).where(influencer.c.brand_id == caller.brand_id)
    if q is not None:
        query = query.where(influencer.c.name.icontains(q, autoescape=True))
    if tag is not None:
        query = query.where(influencer.c.tags.contains([tag]))
    if external_id is not None:
        query = query.where(influencer.c.external_id == external_id)
    if not include_archived:
        query = query.where(influencer.c.archived_at.is_(None))
    return await fetch_page(session, query, paging, [influencer.c.id], _shown)


@router.get("/{id}", responses=FOUND)
async def read_influencer(id: str, caller: Reader, session: Session) -> Influencer:
    """One influencer, also when archived."""
    return _shown(await read_row(session, select(influencer), influencer, "influencer", caller.brand_id, id))


@router.patch("/{id}", responses=CHANGES)
async def change_influencer(id: str, caller: Writer, session: Session, body: InfluencerChange) -> Influencer:
    """Changes what is sent; `metadata` is merged key by key."""
    row = await read_row(session, select(influencer), influencer, "influencer", caller.brand_id, id, lock=True)
    refuse_archived("influencer", row)
    return _shown(await change(session, influencer, caller.brand_id, row.id, changes(body, row._mapping.__getitem__)))


@router.delete("/{id}", responses=FOUND)
async def archive_influencer(id: str, caller: Writer, session: Session) -> Influencer:
    """Archives an influencer: out of lists, kept in reports. Links and codes go on working."""
    return _shown(await archive(session, influencer, "influencer", caller.brand_id, id))


@router.post("/{id}/unarchive", responses=CHANGES)
async def unarchive_influencer(id: str, caller: Writer, session: Session) -> Influencer:
    """Brings an archived influencer back as it was."""
    return _shown(await unarchive(session, influencer, caller.brand_id, id))
