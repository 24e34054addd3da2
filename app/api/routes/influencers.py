"""Influencers: creators known to a brand, with their handles per network."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, Field, JsonValue, StringConstraints
from sqlalchemy import select

from app.api.auth import Reader, Writer
from app.api.fields import Count, Email, ExternalId, Given, Metadata, Moment, Name, Word, absent, changes
from app.api.http import CHANGES, CREATES, FOUND, Session, resource
from app.api.pagination import Page, Paging, fetch_page
from app.api.rows import (
    answer_found,
    archive,
    change,
    create_or_find,
    equals,
    in_use,
    lock_row,
    matching,
    read_row,
    show,
    unarchive,
)
from app.database.tables import influencer

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


_shown = partial(show, Influencer, "influencer")


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
    query = matching(
        select(influencer).where(influencer.c.brand_id == caller.brand_id),
        None if q is None else influencer.c.name.icontains(q, autoescape=True),
        None if tag is None else influencer.c.tags.contains([tag]),
        equals(influencer.c.external_id, external_id),
        in_use(influencer, include_archived),
    )
    return await fetch_page(session, query, paging, [influencer.c.id], _shown)


@router.get("/{id}", responses=FOUND)
async def read_influencer(id: str, caller: Reader, session: Session) -> Influencer:
    """One influencer, also when archived."""
    return _shown(await read_row(session, select(influencer), influencer, caller.brand_id, id))


@router.patch("/{id}", responses=CHANGES)
async def change_influencer(id: str, caller: Writer, session: Session, body: InfluencerChange) -> Influencer:
    """Changes what is sent; `metadata` is merged key by key."""
    row = await lock_row(session, influencer, caller.brand_id, id)
    return _shown(await change(session, influencer, caller.brand_id, row.id, changes(body, row._mapping.__getitem__)))


@router.delete("/{id}", responses=FOUND)
async def archive_influencer(id: str, caller: Writer, session: Session) -> Influencer:
    """Archives an influencer: out of lists, kept in reports. Links and codes go on working."""
    return _shown(await archive(session, influencer, caller.brand_id, id))


@router.post("/{id}/unarchive", responses=CHANGES)
async def unarchive_influencer(id: str, caller: Writer, session: Session) -> Influencer:
    """Brings an archived influencer back as it was."""
    return _shown(await unarchive(session, influencer, caller.brand_id, id))
