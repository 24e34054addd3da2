"""Short links: slug to destination, one by one or a thousand at once."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, AliasChoices, BaseModel, Field, JsonValue, model_validator
from sqlalchemy import ColumnElement, Row, and_, func, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.api.auth import Reader, Writer
from app.api.collaboration_ref import Paired
from app.api.fields import ExternalId, Flag, Given, Metadata, Moment, Word, absent, blame, changes
from app.api.http import CHANGES, CREATES, FOUND, Session, Settings, resource
from app.api.pagination import Page, Paging, fetch_page
from app.api.routes.links.qr import AtLook, draw_png, draw_svg
from app.api.routes.links.queries import LOOP, NewRow, find_loops, link_query, make_links, refuse_archived_host
from app.api.rows import (
    announce,
    answer_found,
    change,
    equals,
    in_use,
    matching,
    points_to,
    read_row,
    refuse_archived,
    refuse_to_return,
    show,
)
from app.database.tables import DEFAULT_HOST, campaign, collaboration, influencer, link, route
from app.domain.destinations import DESTINATION_MAX_CHARS, UTM_FIELDS, apply_utm, check_destination
from app.domain.slugs import check_slug
from app.errors import Invalid
from app.settings import Settings as AllSettings

router: APIRouter = resource("links")

BULK_MAX = 1_000

UtmValue = Annotated[str, Field(max_length=256)]


class Utm(Given):
    """Campaign parameters added to the destination; one of the same name in it is replaced."""

    source: UtmValue | None = Field(default=None, validation_alias=AliasChoices("source", "utm_source"))
    medium: UtmValue | None = Field(default=None, validation_alias=AliasChoices("medium", "utm_medium"))
    campaign: UtmValue | None = Field(default=None, validation_alias=AliasChoices("campaign", "utm_campaign"))
    term: UtmValue | None = Field(default=None, validation_alias=AliasChoices("term", "utm_term"))
    content: UtmValue | None = Field(default=None, validation_alias=AliasChoices("content", "utm_content"))
    id: UtmValue | None = Field(default=None, validation_alias=AliasChoices("id", "utm_id"))


DestinationUrl = Annotated[
    str,
    AfterValidator(check_destination),
    Field(
        description=f"http or https, with a host, without credentials; at most {DESTINATION_MAX_CHARS} characters.",
        examples=["https://shop.example/new"],
    ),
]
Slug = Annotated[
    str,
    AfterValidator(check_slug),
    Field(
        description="3 to 64 letters, digits, - and _; matched in any case, unique per host, never given out again.",
        examples=["lea"],
    ),
]


class NewLink(Paired):
    """What makes a link."""

    destination_url: DestinationUrl
    slug: Slug | None = Field(default=None, description="Made for you when left out.")
    host: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="One of your hosts. Default: the shared one."
    )
    placement: Word | None = Field(
        default=None, description="Where it stands: story, bio, post, video_description, newsletter, qr, …"
    )
    utm: Utm = Field(default_factory=lambda: Utm())
    expires_at: Moment | None = None
    external_id: ExternalId | None = None
    metadata: Metadata = Field(default={})

    @model_validator(mode="after")
    def _fits(self) -> "NewLink":
        try:
            _target_url(self.destination_url, self.utm.model_dump(exclude_none=True))
        except ValueError as error:
            raise blame(*_utm_fault(error)) from None
        return self


def _target_url(url: str, utm: dict[str, str]) -> str:
    # In the order of UTM_FIELDS: jsonb gives the names back in an order of its own.
    return apply_utm(url, {name: utm[name] for name in UTM_FIELDS if name in utm})


def _utm_fault(error: ValueError) -> tuple[str, str, str]:
    """Field, code and reason of an error of `apply_utm`, which names a parameter unless the whole address is too long."""
    field, colon, reason = str(error).partition(": ")
    return (f"utm.{field}", "invalid", reason) if colon else ("utm", "invalid", field)


class LinkChange(Given):
    """What may change; what is left out stays, null clears. Slug, host and collaboration stay for good: make another link."""

    destination_url: DestinationUrl = absent()
    placement: Word | None = None
    utm: Utm = absent()
    expires_at: Moment | None = None
    disabled: Flag = absent()
    external_id: ExternalId | None = None
    metadata: dict[str, JsonValue] = absent()


class Link(BaseModel):
    """A short link."""

    id: str
    external_id: str | None
    short_url: str
    slug: str
    host: str | None = Field(description="Null: the shared host.")
    destination_url: str
    collaboration_id: str
    campaign_id: str
    influencer_id: str
    placement: str | None
    utm: dict[str, str]
    status: Literal["active", "disabled", "expired", "archived"]
    expires_at: Moment | None
    disabled_at: Moment | None
    metadata: dict[str, Any]
    created_at: Moment
    updated_at: Moment
    archived_at: Moment | None


class NewLinks(Given):
    """Up to 1,000 links, made together or not at all."""

    links: Annotated[list[NewLink], Field(min_length=1, max_length=BULK_MAX)]


class MadeLinks(BaseModel):
    """The links in the order in which they were sent."""

    data: list[Link]


# ── How a link is read and shown ─────────────────────────────────────────────────────────────────────────────────────


class _Showing:
    """Shows rows of links, with their status of now and their short addresses."""

    def __init__(self, settings: AllSettings) -> None:
        self._base_url = settings.base_url
        self._scheme = settings.base_url.partition("://")[0]
        self._now = clock.now()

    def __call__(self, row: Any) -> Link:
        own_host = None if row.host == DEFAULT_HOST else row.host
        base = self._base_url if own_host is None else f"{self._scheme}://{own_host}"
        return show(Link, "link", row, short_url=f"{base}/{row.slug}", host=own_host, status=self._status(row))

    def _status(self, row: Any) -> Literal["active", "disabled", "expired", "archived"]:
        if row.archived_at is not None:
            return "archived"
        if row.disabled_at is not None:
            return "disabled"
        return "expired" if row.expires_at is not None and row.expires_at <= self._now else "active"


def _new_row(body: NewLink) -> NewRow:
    utm = body.utm.model_dump(exclude_none=True)
    return NewRow(
        pair=body,
        slug=body.slug,
        host=body.host,
        target_url=_target_url(body.destination_url, utm),
        values={
            "external_id": body.external_id,
            "destination_url": body.destination_url,
            "placement": body.placement,
            "utm": utm,
            "expires_at": body.expires_at,
            "metadata": body.metadata,
        },
    )


# ── The routes ───────────────────────────────────────────────────────────────────────────────────────────────────────


@router.post("", status_code=201, responses={**CREATES, **FOUND})
async def create_link(caller: Writer, session: Session, settings: Settings, body: NewLink, response: Response) -> Link:
    """Makes a link; it redirects before this answer is read. The pair of campaign and influencer finds or creates its collaboration."""
    [row], made = await make_links(session, caller.brand_id, [_new_row(body)], settings.base_url)
    answer_found(response, made)
    return _Showing(settings)(row)


@router.post("/bulk", status_code=201, responses=CREATES)
async def create_links(
    caller: Writer, session: Session, settings: Settings, body: NewLinks, response: Response
) -> MadeLinks:
    """Makes up to 1,000 links, all or none; what is wrong with any of them is told with its index. 200 when all existed already."""
    wanted = [_new_row(each) for each in body.links]
    rows, made = await make_links(session, caller.brand_id, wanted, settings.base_url, batch="links")
    answer_found(response, made)
    return MadeLinks(data=[*map(_Showing(settings), rows)])


@router.get("")
async def list_links(
    caller: Reader,
    session: Session,
    settings: Settings,
    paging: Paging,
    collaboration_id: Annotated[str | None, Query(max_length=205)] = None,
    campaign_id: Annotated[str | None, Query(max_length=205)] = None,
    influencer_id: Annotated[str | None, Query(max_length=205)] = None,
    slug: Annotated[str | None, Query(max_length=64)] = None,
    host: Annotated[str | None, Query(max_length=253)] = None,
    placement: Annotated[str | None, Query(max_length=100)] = None,
    status: Literal["active", "disabled", "expired"] | None = None,
    external_id: Annotated[str | None, Query(max_length=200)] = None,
    include_archived: bool = False,
) -> Page[Link]:
    """The brand's links, newest first."""
    brand_id = caller.brand_id
    query = matching(
        link_query(brand_id),
        points_to(link.c.collaboration_id, collaboration, brand_id, collaboration_id),
        points_to(collaboration.c.campaign_id, campaign, brand_id, campaign_id),
        points_to(collaboration.c.influencer_id, influencer, brand_id, influencer_id),
        equals(link.c.slug, slug and slug.lower()),
        equals(link.c.host, host and host.lower()),
        equals(link.c.placement, placement),
        None if status is None else _is(status),
        equals(link.c.external_id, external_id),
        in_use(link, include_archived),
    )
    return await fetch_page(session, query, paging, [link.c.id], _Showing(settings))


def _is(status: str) -> ColumnElement[bool]:
    now = clock.now()
    if status == "disabled":
        return link.c.disabled_at.is_not(None)
    over = and_(link.c.disabled_at.is_(None), link.c.expires_at <= now)
    return (
        over
        if status == "expired"
        else and_(link.c.disabled_at.is_(None), or_(link.c.expires_at.is_(None), link.c.expires_at > now))
    )


async def _read(session: AsyncConnection, brand_id: UUID, shown: str, *, lock: bool = False) -> Row[Any]:
    return await read_row(session, link_query(brand_id), link, brand_id, shown, lock=lock)


@router.get("/{id}", responses=FOUND)
async def read_link(id: str, caller: Reader, session: Session, settings: Settings) -> Link:
    """One link, also when archived."""
    return _Showing(settings)(await _read(session, caller.brand_id, id))


@router.patch("/{id}", responses=CHANGES)
async def change_link(id: str, caller: Writer, session: Session, settings: Settings, body: LinkChange) -> Link:
    """Changes what is sent; the next redirect knows it. `utm` and `metadata` are merged key by key."""
    row = await _read(session, caller.brand_id, id, lock=True)
    refuse_archived("link", row)
    sent = changes(body, row._mapping.get)
    if "destination_url" in sent and await find_loops(session, [sent["destination_url"]], settings.base_url):
        raise Invalid.field("destination_url", LOOP, code="loop")
    if sent.get("utm") is not None:
        sent["utm"] = {name: value for name, value in sent["utm"].items() if value is not None}
    if "disabled" in sent:
        sent["disabled_at"] = (row.disabled_at or clock.now()) if sent.pop("disabled") else None
    return _Showing(settings)(await _write(session, row, sent))


async def _write(session: AsyncConnection, row: Row[Any], values: dict[str, Any]) -> Row[Any]:
    """Writes a link and the route that redirects by it."""
    changed = await change(session, link, row.brand_id, row.id, values)
    try:
        target_url = _target_url(changed.destination_url, changed.utm)
    except ValueError as error:
        field, _, reason = _utm_fault(error)
        raise Invalid.field(field, reason) from None
    write = update(route).where(
        route.c.host == changed.host, route.c.slug == changed.slug, route.c.brand_id == row.brand_id
    )
    write = write.values(
        destination_url=target_url,
        expires_at=changed.expires_at,
        disabled=changed.disabled_at is not None or changed.archived_at is not None,
        changed_xid=func.pg_current_xact_id(),
    )
    await session.execute(write)
    await announce(session)
    written: Row[Any] = (await session.execute(link_query(row.brand_id).where(link.c.id == row.id))).one()
    return written


@router.post("/{id}/disable", responses=CHANGES)
async def disable_link(id: str, caller: Writer, session: Session, settings: Settings) -> Link:
    """The link answers 410 from now on. Disabling twice changes nothing."""
    row = await _read(session, caller.brand_id, id, lock=True)
    refuse_archived("link", row)
    return _Showing(settings)(row if row.disabled_at else await _write(session, row, {"disabled_at": clock.now()}))


@router.post("/{id}/enable", responses=CHANGES)
async def enable_link(id: str, caller: Writer, session: Session, settings: Settings) -> Link:
    """The link redirects again, unless it has expired."""
    row = await _read(session, caller.brand_id, id, lock=True)
    refuse_archived("link", row)
    return _Showing(settings)(await _write(session, row, {"disabled_at": None}) if row.disabled_at else row)


@router.delete("/{id}", responses=FOUND)
async def archive_link(id: str, caller: Writer, session: Session, settings: Settings) -> Link:
    """Archives a link: it answers 410, is out of lists and kept in reports. Its slug is never given out again."""
    row = await _read(session, caller.brand_id, id, lock=True)
    return _Showing(settings)(row if row.archived_at else await _write(session, row, {"archived_at": clock.now()}))


@router.post("/{id}/unarchive", responses=CHANGES)
async def unarchive_link(id: str, caller: Writer, session: Session, settings: Settings) -> Link:
    """Brings an archived link back: it redirects again, unless it was disabled or has expired. Refused while whom it belongs to is archived."""
    row = await _read(session, caller.brand_id, id, lock=True)
    if row.archived_at is None:
        return _Showing(settings)(row)
    whose = {field: row._mapping[field] for field in ("campaign_id", "influencer_id", "collaboration_id")}
    await refuse_to_return(session, "link", row, whose)
    await refuse_archived_host(session, caller.brand_id, row.host)
    return _Showing(settings)(await _write(session, row, {"archived_at": None}))


# ── QR codes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@router.get("/{id}/qr.svg", responses={200: {"content": {"image/svg+xml": {}}}, **FOUND}, response_class=Response)
async def draw_link_svg(id: str, caller: Reader, session: Session, settings: Settings, look: AtLook) -> Response:
    """The short address as a QR code that scales without loss."""
    shown = await read_link(id, caller, session, settings)
    return Response(draw_svg(shown.short_url, look), media_type="image/svg+xml")


@router.get("/{id}/qr.png", responses={200: {"content": {"image/png": {}}}, **FOUND}, response_class=Response)
async def draw_link_png(id: str, caller: Reader, session: Session, settings: Settings, look: AtLook) -> Response:
    """The short address as a QR code in pixels: the largest whole scale that fits `size`."""
    shown = await read_link(id, caller, session, settings)
    return Response(draw_png(shown.short_url, look), media_type="image/png")
