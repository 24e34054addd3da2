"""Influencers: creators known to a brand, with their handles per network."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field, JsonValue, StringConstraints
from sqlalchemy import Row, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.api.auth import Reader, Writer
from app.api.collection import Collection
from app.api.downloads import CSV_FILE, Style, send_csv
from app.api.fields import Count, Email, ExternalId, Given, Metadata, Moment, Name, Word, absent, changes
from app.api.http import CHANGES, CREATES, Session, resource
from app.api.pagination import Page, Paging
from app.api.rows import change, equals, refuse_different
from app.api.sheets import (
    ID,
    METADATA,
    Cells,
    Column,
    DryRun,
    Form,
    SheetAnswer,
    SheetRoute,
    columns_of,
    file_body,
    make_each,
    take,
    text,
    texts,
)
from app.database.tables import influencer
from app.database.transactions import driver_connection
from app.domain.customers import customer_keys
from app.orders.redecide import redecide_for_influencer

router: APIRouter = resource("influencers")

HANDLES_MAX = 20
TAGS_MAX = 50


def _handle(text: str) -> str:
    cleaned = text.removeprefix("@")
    if not cleaned or any(character.isspace() for character in cleaned):
        raise ValueError("should be a handle such as lea.cooks, without spaces")
    return cleaned


class SocialHandle(Given):
    """Who they are on one network."""

    network: Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, min_length=1, max_length=50)] = (
        Field(examples=["instagram"])
    )
    handle: Annotated[Word, AfterValidator(_handle)] = Field(examples=["lea.cooks"])
    followers: Count | None = None


def _distinct(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


CustomerId = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
CUSTOMER_ID = (
    "The influencer's own id as a customer of the shop: with the e-mail it tells which orders they bought themselves."
)
Handles = Annotated[list[SocialHandle], Field(max_length=HANDLES_MAX)]
Tags = Annotated[list[Word], Field(max_length=TAGS_MAX), AfterValidator(_distinct)]


class NewInfluencer(Given):
    """What makes an influencer."""

    name: Name = Field(examples=["Léa Martin"])
    external_id: ExternalId | None = None
    email: Email | None = None
    customer_id: CustomerId | None = Field(default=None, description=CUSTOMER_ID)
    handles: Handles = Field(default=[])
    tags: Tags = Field(default=[])
    metadata: Metadata = Field(default={})


class InfluencerChange(Given):
    """What may change; what is left out stays, null clears."""

    name: Name = absent()
    external_id: ExternalId | None = None
    email: Email | None = None
    customer_id: CustomerId | None = Field(default=None, description=CUSTOMER_ID)
    handles: Handles = absent()
    tags: Tags = absent()
    metadata: dict[str, JsonValue] = absent()


class Influencer(BaseModel):
    """A creator known to the brand."""

    id: str
    external_id: str | None
    name: str
    email: str | None
    customer_id: str | None = Field(description=CUSTOMER_ID)
    handles: list[SocialHandle]
    tags: list[str]
    metadata: dict[str, Any]
    created_at: Moment
    updated_at: Moment
    archived_at: Moment | None


async def _redecide(session: AsyncConnection, row: Row[Any], *, is_archive: bool = True) -> None:
    connection = await driver_connection(session)
    await redecide_for_influencer(connection, row.brand_id, row.id, is_archive=is_archive)


influencers = Collection(influencer, Influencer, after_write=_redecide)


def _keys(request: Request, brand_id: UUID, known: Mapping[str, Any]) -> list[str]:
    """The keys by which orders know somebody with this e-mail and customer id."""
    return customer_keys(request.app.state.customer_secret, brand_id, known["customer_id"], known["email"])


@router.post("", status_code=201, responses=CREATES)
async def create_influencer(
    caller: Writer, session: Session, body: NewInfluencer, request: Request, response: Response
) -> Influencer:
    """Adds an influencer; with an `external_id` that exists with the same content, answers 200 with the existing one."""
    row, _ = await _add(request, session, caller.brand_id, body, response)
    return influencers.show(row)


async def _add(
    request: Request, session: AsyncConnection, brand_id: UUID, body: NewInfluencer, response: Response
) -> tuple[Row[Any], bool]:
    """The influencer, and whether it is new."""
    values = body.model_dump()
    row, made = await influencers.create(session, brand_id, values, response)
    if made:
        its = (influencer.c.brand_id == brand_id, influencer.c.id == row.id)
        keys = _keys(request, brand_id, values)
        await session.execute(update(influencer).where(*its).values(customer_keys=keys))
    return row, made


# ── As a table ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_handles(cell: str, _: Cells) -> list[dict[str, Any]]:
    """`instagram:lea.cooks:120000|tiktok:lea`: network, handle, and followers where they are known. Raises ValueError."""
    found = []
    for part in filter(None, map(str.strip, cell.split("|"))):
        network, _colon, rest = part.partition(":")
        handle, _colon, followers = rest.partition(":")
        if not handle or (followers and not followers.isdigit()):
            raise ValueError(f"{part[:40]!r} should be network:handle, or network:handle:followers")
        found.append({"network": network, "handle": handle, "followers": int(followers) if followers else None})
    return found


def _write_handles(handles: list[dict[str, Any]]) -> str:
    return "|".join(
        ":".join(str(each[name]) for name in ("network", "handle", "followers") if each[name] is not None)
        for each in handles
    )


FORM = Form(
    NewInfluencer,
    (
        ID, text("external_id"), text("name"), text("email"), text("customer_id"), Column("handles", ("handles",), _read_handles, _write_handles),
        texts("tags"), METADATA,
    ),
    keys=("external_id", "id"),
    stand_ins={"name": "-"},
)  # fmt: skip


class InfluencerSheet(SheetRoute):
    """Reads the columns of influencers."""

    columns = columns_of(FORM, "external_id,name,handles,tags")


sheets: APIRouter = resource("influencers", route_class=InfluencerSheet)


@sheets.post(
    ".csv",
    responses=CHANGES,
    openapi_extra=file_body(InfluencerSheet.columns, "lea,Léa Martin,instagram:lea.cooks:120000,food|paris"),
)
async def upload_influencers(
    caller: Writer, session: Session, request: Request, response: Response, dry_run: DryRun = False
) -> SheetAnswer:
    """Adds up to 1,000 influencers from a CSV, all or none; everything that is wrong is told at once, by line and column. The same file again changes nothing.

    Handles as `instagram:lea.cooks:120000|tiktok:lea`, tags as `food|paris`.
    """

    async def make(body: NewInfluencer, cells: Cells) -> bool:
        if "id" in cells:
            row = await influencers.find(session, caller.brand_id, cells["id"])
            refuse_different(row, body.model_dump(), by="id")
            return False
        _, made = await _add(request, session, caller.brand_id, body, response)
        return made

    answer = await take(
        session,
        request.state.lines,
        FORM,
        lambda rows, faults: make_each(session, FORM, rows, faults, make),
        dry_run=dry_run,
    )
    response.status_code = 200
    return answer


@router.get(".csv", responses=CSV_FILE, response_class=Response)
async def download_influencers(
    caller: Reader, request: Request, style: Style, include_archived: bool = False
) -> Response:
    """All influencers as a CSV, newest first, in the columns in which they can be sent in again."""
    listing = influencers.listing(caller.brand_id, include_archived)
    return await send_csv(request, "influencers", listing, FORM.header, FORM.written, style)


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
    return await influencers.page(
        session,
        caller.brand_id,
        paging,
        include_archived,
        None if q is None else influencer.c.name.icontains(q, autoescape=True),
        None if tag is None else influencer.c.tags.contains([tag]),
        equals(influencer.c.external_id, external_id),
    )


influencers.offer_read(router)


@router.patch("/{id}", responses=CHANGES)
async def change_influencer(
    id: str, caller: Writer, session: Session, body: InfluencerChange, request: Request
) -> Influencer:
    """Changes what is sent; `metadata` is merged key by key."""
    row = await influencers.lock(session, caller.brand_id, id)
    sent = changes(body, row._mapping.get)
    keys = _keys(request, caller.brand_id, {**row._mapping, **sent})
    if keys == row.customer_keys:
        return influencers.show(await change(session, influencer, caller.brand_id, row.id, sent))
    changed = await change(session, influencer, caller.brand_id, row.id, {**sent, "customer_keys": keys})
    await _redecide(session, row, is_archive=False)
    return influencers.show(changed)


influencers.offer_archive(
    router,
    archive="Archives an influencer: out of lists, kept in reports. Links and codes go on working.",
    unarchive="Brings an archived influencer back as it was.",
)
