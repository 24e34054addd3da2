"""Short links: slug to destination, one by one or a thousand at once."""

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AfterValidator, AliasChoices, BaseModel, Field, JsonValue, model_validator
from sqlalchemy import Row, func, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.api.auth import Reader, Writer
from app.api.collaboration_ref import Paired
from app.api.collection import Collection
from app.api.fields import ExternalId, Flag, Given, Metadata, Moment, Word, absent, blame, changes
from app.api.http import CHANGES, CREATES, FOUND, Session, Settings, resource
from app.api.pagination import Page, Paging
from app.api.routes.links.qr import AtLook, draw_png, draw_svg
from app.api.routes.links.queries import (
    LOOP,
    NewRow,
    find_loops,
    link_phase,
    link_query,
    make_links,
    refuse_archived_host,
)
from app.api.rows import announce, answer_found, equals, points_to, show
from app.database.tables import DEFAULT_HOST, campaign, collaboration, influencer, link, route
from app.domain.destinations import DESTINATION_MAX_CHARS, UTM_FIELDS, apply_utm, check_destination
from app.domain.slugs import check_slug
from app.errors import Invalid

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


async def _write_route(session: AsyncConnection, row: Row[Any]) -> None:
    """Writes the route that redirects by a changed link."""
    try:
        target_url = _target_url(row.destination_url, row.utm)
    except ValueError as error:
        field, _, reason = _utm_fault(error)
        raise Invalid.field(field, reason) from None
    its = (route.c.host == row.host, route.c.slug == row.slug, route.c.brand_id == row.brand_id)
    values = {
        "destination_url": target_url,
        "expires_at": row.expires_at,
        "disabled": row.disabled_at is not None or row.archived_at is not None,
        "changed_xid": func.pg_current_xact_id(),
    }
    await session.execute(update(route).where(*its).values(values))
    await announce(session)


def _shown(base_url: str, row: Row[Any]) -> Link:
    own_host = None if row.host == DEFAULT_HOST else row.host
    base = base_url if own_host is None else f"{base_url.partition('://')[0]}://{own_host}"
    return show(Link, "link", row, short_url=f"{base}/{row.slug}", host=own_host)


async def _links(settings: Settings) -> Collection[Link]:
    return Collection(
        link,
        Link,
        query=link_query,
        show=partial(_shown, settings.base_url),
        after_write=_write_route,
        owners=("campaign_id", "influencer_id", "collaboration_id"),
    )


Links = Annotated[Collection[Link], Depends(_links)]


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
async def create_link(
    caller: Writer, session: Session, settings: Settings, links: Links, body: NewLink, response: Response
) -> Link:
    """Makes a link; it redirects before this answer is read. The pair of campaign and influencer finds or creates its collaboration."""
    [row], made = await make_links(session, caller.brand_id, [_new_row(body)], settings.base_url)
    answer_found(response, made)
    return links.show(row)


@router.post("/bulk", status_code=201, responses=CREATES)
async def create_links(
    caller: Writer, session: Session, settings: Settings, links: Links, body: NewLinks, response: Response
) -> MadeLinks:
    """Makes up to 1,000 links, all or none; what is wrong with any of them is told with its index. 200 when all existed already."""
    wanted = [_new_row(each) for each in body.links]
    rows, made = await make_links(session, caller.brand_id, wanted, settings.base_url, batch="links")
    answer_found(response, made)
    return MadeLinks(data=[links.show(row) for row in rows])


@router.get("")
async def list_links(
    caller: Reader,
    session: Session,
    links: Links,
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
    return await links.page(
        session,
        brand_id,
        paging,
        include_archived,
        points_to(link.c.collaboration_id, collaboration, brand_id, collaboration_id),
        points_to(collaboration.c.campaign_id, campaign, brand_id, campaign_id),
        points_to(collaboration.c.influencer_id, influencer, brand_id, influencer_id),
        equals(link.c.slug, slug and slug.lower()),
        equals(link.c.host, host and host.lower()),
        equals(link.c.placement, placement),
        equals(link_phase(), status),
        equals(link.c.external_id, external_id),
    )


@router.get("/{id}", responses=FOUND)
async def read_link(id: str, caller: Reader, session: Session, links: Links) -> Link:
    """One link, also when archived."""
    return links.show(await links.find(session, caller.brand_id, id))


@router.patch("/{id}", responses=CHANGES)
async def change_link(
    id: str, caller: Writer, session: Session, settings: Settings, links: Links, body: LinkChange
) -> Link:
    """Changes what is sent; the next redirect knows it. `utm` and `metadata` are merged key by key."""
    row = await links.lock(session, caller.brand_id, id)
    sent = changes(body, row._mapping.get)
    if "destination_url" in sent and await find_loops(session, [sent["destination_url"]], settings.base_url):
        raise Invalid.field("destination_url", LOOP, code="loop")
    if sent.get("utm") is not None:
        sent["utm"] = {name: value for name, value in sent["utm"].items() if value is not None}
    if "disabled" in sent:
        sent["disabled_at"] = (row.disabled_at or clock.now()) if sent.pop("disabled") else None
    return links.show(await links.write(session, row, sent))


@router.post("/{id}/disable", responses=CHANGES)
async def disable_link(id: str, caller: Writer, session: Session, links: Links) -> Link:
    """The link answers 410 from now on. Disabling twice changes nothing."""
    row = await links.lock(session, caller.brand_id, id)
    return links.show(row if row.disabled_at else await links.write(session, row, {"disabled_at": clock.now()}))


@router.post("/{id}/enable", responses=CHANGES)
async def enable_link(id: str, caller: Writer, session: Session, links: Links) -> Link:
    """The link redirects again, unless it has expired."""
    row = await links.lock(session, caller.brand_id, id)
    return links.show(await links.write(session, row, {"disabled_at": None}) if row.disabled_at else row)


@router.delete("/{id}", responses=FOUND)
async def archive_link(id: str, caller: Writer, session: Session, links: Links) -> Link:
    """Archives a link: it answers 410, is out of lists and kept in reports. Its slug is never given out again."""
    return links.show(await links.archive(session, caller.brand_id, id))


@router.post("/{id}/unarchive", responses=CHANGES)
async def unarchive_link(id: str, caller: Writer, session: Session, links: Links) -> Link:
    """Brings an archived link back: it redirects again, unless it was disabled or has expired. Refused while whom it belongs to is archived."""
    before = await links.find(session, caller.brand_id, id, lock=True)
    row = await links.unarchive(session, caller.brand_id, id)
    if before.archived_at is not None:  # refused, nothing of it is committed
        await refuse_archived_host(session, caller.brand_id, row.host)
    return links.show(row)


# ── QR codes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@router.get("/{id}/qr.svg", responses={200: {"content": {"image/svg+xml": {}}}, **FOUND}, response_class=Response)
async def draw_link_svg(id: str, caller: Reader, session: Session, links: Links, look: AtLook) -> Response:
    """The short address as a QR code that scales without loss."""
    shown = await read_link(id, caller, session, links)
    return Response(draw_svg(shown.short_url, look), media_type="image/svg+xml")


@router.get("/{id}/qr.png", responses={200: {"content": {"image/png": {}}}, **FOUND}, response_class=Response)
async def draw_link_png(id: str, caller: Reader, session: Session, links: Links, look: AtLook) -> Response:
    """The short address as a QR code in pixels: the largest whole scale that fits `size`."""
    shown = await read_link(id, caller, session, links)
    return Response(draw_png(shown.short_url, look), media_type="image/png")
