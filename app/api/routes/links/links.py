"""Short links: slug to destination, one by one or a thousand at once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
import segno
from fastapi import APIRouter, Depends, Query, Response
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    Field,
    JsonValue,
    ValidationError,
    WrapValidator,
    model_validator,
)
from sqlalchemy import ColumnElement, Row, Select, and_, func, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, random_ids
from app.api.auth import Reader, Writer
from app.api.body import aside
from app.api.collaboration_ref import Paired, pair_up
from app.api.collection import Collection, phase, status_column
from app.api.destinations import LOOP, DestinationUrl, GivesAddresses, Note, OwnPlaces, Places, find_loops
from app.api.fields import ExternalId, Flag, Given, Metadata, Moment, Word, absent, blame, changes
from app.api.http import CHANGES, CREATES, FOUND, Session, Settings, resource
from app.api.pagination import Page, Paging
from app.api.problems import FieldErrors, UnreadableRow, as_sent
from app.api.rows import announce, answer_found, equals, points_to, show, stands_archived
from app.database.tables import DEFAULT_HOST, campaign, collaboration, host, influencer, link, route
from app.database.transactions import driver_connection
from app.domain.destinations import UTM_FIELDS, Forwarding, apply_utm, check_destination
from app.domain.hostnames import find_host
from app.domain.qr_codes import CONTRAST_MIN, MODULE_MIN_PIXELS, contrast, make_qr_code
from app.domain.slugs import RESERVED, check_slug, make_slug
from app.errors import FAULTS_SHOWN_MAX, Conflict, Invalid

router: APIRouter = resource("links")

BULK_MAX = 1_000
SLUG_ATTEMPTS = 5
"""Tries for a generated slug: with 40 random bits and a million links, five collisions in a row happen once in 10^30."""

STAND_INS = {
    "destination_url": "https://stand-in.invalid/",
    "campaign_id": "ext_-",
    "influencer_id": "ext_-",
    "collaboration_id": "ext_-",
}
"""For a row of a batch that is refused in any case, so that all that is wrong with it can be told."""

UtmValue = Annotated[str, Field(max_length=256)]


class Utm(Given):
    """Campaign parameters added to the destination; one of the same name in it is replaced."""

    source: UtmValue | None = Field(default=None, validation_alias=AliasChoices("source", "utm_source"))
    medium: UtmValue | None = Field(default=None, validation_alias=AliasChoices("medium", "utm_medium"))
    campaign: UtmValue | None = Field(default=None, validation_alias=AliasChoices("campaign", "utm_campaign"))
    term: UtmValue | None = Field(default=None, validation_alias=AliasChoices("term", "utm_term"))
    content: UtmValue | None = Field(default=None, validation_alias=AliasChoices("content", "utm_content"))
    id: UtmValue | None = Field(default=None, validation_alias=AliasChoices("id", "utm_id"))


Slug = Annotated[
    str,
    AfterValidator(check_slug),
    Field(
        description="3 to 64 letters, digits, - and _; matched in any case, unique per host, never given out again.",
        examples=["lea"],
    ),
]


ForwardQuery = Annotated[
    Forwarding,
    Field(
        description="What becomes of the query that a visitor brings: `link_wins` (what the link says stands, the rest is added), `incoming_wins`"
        " or `nothing` of it is forwarded. Null: as the brand says."
    ),
]


class NewLink(Paired, GivesAddresses):
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
    forward_query: ForwardQuery | None = None
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


class LinkChange(GivesAddresses):
    """What may change; what is left out stays, null clears. Slug, host and collaboration stay for good: make another link."""

    destination_url: DestinationUrl = absent()
    placement: Word | None = None
    utm: Utm = absent()
    forward_query: ForwardQuery | None = None
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
    forward_query: ForwardQuery | None
    status: Literal["active", "disabled", "expired", "archived"]
    expires_at: Moment | None
    disabled_at: Moment | None
    metadata: dict[str, Any]
    created_at: Moment
    updated_at: Moment
    archived_at: Moment | None
    notes: list[Note] = Field(
        default=[],
        description="What was mended in what was sent; empty where nothing was, and when the link is read later.",
    )


class NewLinks(Given):
    """Up to 1,000 links, made together or not at all."""

    # Read by `_read_rows`.
    links: Annotated[list[Annotated[NewLink, WrapValidator(as_sent)]], Field(min_length=1, max_length=BULK_MAX)]


class CreatedLinks(BaseModel):
    """The links in the order in which they were sent."""

    data: list[Link]


# ── How a link is read and shown ─────────────────────────────────────────────────────────────────────────────────────


def _phase() -> ColumnElement[str]:
    """What a link is now, unless it is archived."""
    return phase(link, ends_at=link.c.expires_at)


def _query(brand_id: UUID) -> Select[Any]:
    """Links with their campaign and influencer."""
    joined = and_(
        collaboration.c.brand_id == link.c.brand_id,
        collaboration.c.id == link.c.collaboration_id,
        collaboration.c.brand_id == brand_id,
    )
    whose = (collaboration.c.campaign_id, collaboration.c.influencer_id)
    columns = (link, *whose, status_column(link, _phase()))
    return select(*columns).join_from(link, collaboration, joined).where(link.c.brand_id == brand_id)


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
        "forward_query": row.forward_query,
        "disabled": row.disabled_at is not None or row.archived_at is not None,
        "changed_xid": func.pg_current_xact_id(),
    }
    await session.execute(update(route).where(*its).values(values))
    await announce(session)


def _shown(base_url: str, row: Row[Any]) -> Link:
    own_host = None if row.host == DEFAULT_HOST else row.host
    base = base_url if own_host is None else f"{base_url.partition('://')[0]}://{own_host}"
    return show(Link, "link", row, short_url=f"{base}/{row.slug}", host=own_host, notes=[])


async def _links(settings: Settings) -> Collection[Link]:
    return Collection(link, Link, query=_query, show=partial(_shown, settings.base_url), after_write=_write_route)


Links = Annotated[Collection[Link], Depends(_links)]


# ── How links are made: one and a thousand take the same statements ──────────────────────────────────────────────────

# The slug belongs to the link whose route is inserted first. Sorted by the key, so that two batches that overlap wait for each other and cannot
# deadlock.
_INSERT_ROUTES = """
INSERT INTO route (brand_id, click_param, host, slug, link_id, destination_url, expires_at, forward_query)
SELECT $1::uuid, $2::text, r.* FROM unnest($3::text[], $4::text[], $5::uuid[], $6::text[], $7::timestamptz[], $8::text[])
    AS r(host, slug, link_id, destination_url, expires_at, forward_query)
ORDER BY r.host, r.slug
ON CONFLICT (host, slug) DO NOTHING
RETURNING link_id
"""

_COLUMNS = {
    "id": "uuid", "external_id": "text", "collaboration_id": "uuid", "host": "text", "slug": "text", "destination_url": "text", "placement": "text",
    "utm": "jsonb", "expires_at": "timestamptz", "forward_query": "text", "metadata": "jsonb",
}  # fmt: skip
_NAMES = ", ".join(_COLUMNS)
_ARRAYS = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(_COLUMNS.values(), 3))
_INSERT_LINKS = f"""
INSERT INTO link (brand_id, created_at, updated_at, {_NAMES}) SELECT $1::uuid, $2::timestamptz, $2, r.* FROM unnest({_ARRAYS}) AS r({_NAMES})
"""  # noqa: S608  names and types of columns


async def make_links(
    connection: AsyncConnection, brand_id: UUID, bodies: Sequence[NewLink], own: OwnPlaces, faults: FieldErrors
) -> tuple[list[Row[Any]], int]:
    """Make the links, or find them by their external id; all or none, in order: the rows of `_query`, and how many are new.

    Raises Invalid, Conflict or NotFound naming every field at fault, those included that `faults` knows before. Takes at most 14 statements for
    any number of links. own: where this service answers.
    """
    pairs = await pair_up(connection, brand_id, bodies, faults)
    await _check_hosts(connection, brand_id, bodies, faults)
    _check_twins(bodies, faults)
    for index in await find_loops(connection, [body.destination_url for body in bodies], own):
        faults.invalid(index, "destination_url", "loop", LOOP)
    query = select(link).where(link.c.brand_id == brand_id)
    externals = {body.external_id for body in bodies} - {None}
    found = await connection.execute(query.where(link.c.external_id.in_(externals))) if externals else ()
    existing: dict[str | None, Any] = {row.external_id: row for row in found}
    await _note_taken_slugs(connection, bodies, existing, faults)
    fresh: dict[int, dict[str, Any]] = {}
    for index, (body, pair) in enumerate(zip(bodies, pairs, strict=True)):
        if pair is None:
            continue
        wanted = wanted_of(body, pair.id)
        old = existing.get(body.external_id)
        if old is None:
            fresh[index] = {**wanted, "id": random_ids.new_id(), "slug": body.slug or _new_slug()}
        else:
            compare(old, body, wanted, faults, index, by="external_id")
    faults.refuse()
    if fresh:
        driver = await driver_connection(connection)
        await _take_routes(driver, brand_id, bodies, fresh, faults)
        arrays = [
            [json.dumps(row[name]) if kind == "jsonb" else row[name] for row in fresh.values()]
            for name, kind in _COLUMNS.items()
        ]
        await driver.execute(_INSERT_LINKS, brand_id, clock.now(), *arrays)
        await announce(connection)
    link_ids = [
        fresh[index]["id"] if index in fresh else existing[body.external_id].id for index, body in enumerate(bodies)
    ]
    query = _query(brand_id).where(link.c.id == func.any(literal(link_ids, ARRAY(link.c.id.type))))
    made = {row.id: row for row in await connection.execute(query)}
    return [made[link_id] for link_id in link_ids], len(fresh)


def wanted_of(body: NewLink, collaboration_id: UUID) -> dict[str, Any]:
    """The columns of a link but its slug."""
    wanted = body.model_dump(
        include={"external_id", "destination_url", "placement", "expires_at", "forward_query", "metadata"}
    )
    return wanted | {
        "collaboration_id": collaboration_id,
        "host": host_of(body),
        "utm": body.utm.model_dump(exclude_none=True),
    }


def compare(old: Row[Any], body: NewLink, wanted: dict[str, Any], faults: FieldErrors, index: int, *, by: str) -> None:
    """Notes in what a link that was found by this field differs from what was sent, or that it is archived."""
    if body.slug is not None:
        wanted = {**wanted, "slug": body.slug}
    differing = sorted(name for name, value in wanted.items() if _as_now(name, old._mapping[name]) != value)
    if differing:
        reason = f"stands for another content already; it differs in {', '.join(differing)}"
        faults.conflict(index, by, f"{by}_taken", reason)
    elif old.archived_at is not None:
        faults.conflict(index, by, "link_archived", stands_archived("link", old.id))


def _as_now(name: str, stored: Any) -> Any:
    """A stored value as it would be stored today: an older release kept click ids in destinations."""
    if name != "destination_url":
        return stored
    try:
        return check_destination(stored)
    except ValueError:
        return stored


async def _check_hosts(
    connection: AsyncConnection, brand_id: UUID, bodies: Sequence[NewLink], faults: FieldErrors
) -> None:
    if all(body.host is None for body in bodies):
        return
    query = select(host.c.host).where(host.c.brand_id == brand_id, host.c.archived_at.is_(None))
    own = set((await connection.execute(query)).scalars())
    for index, body in enumerate(bodies):
        if body.host is not None and find_host(body.host) not in own:
            faults.invalid(index, "host", "unknown_host", "is none of your hosts; add it under /v1/hosts first")


async def _refuse_archived_host(connection: AsyncConnection, brand_id: UUID, name: str) -> None:
    """Raises Conflict when this host is one of the brand's and archived: its name may lead elsewhere by now."""
    query = select(host.c.archived_at).where(host.c.brand_id == brand_id, host.c.host == name)
    if await connection.scalar(query) is not None:
        reason = f"{name} is archived itself; first: POST /v1/hosts/{name}/unarchive"
        raise Conflict.field("host", reason, code="host_archived")


def _check_twins(bodies: Sequence[NewLink], faults: FieldErrors) -> None:
    """Notes bodies of one batch that want the same slug or external id."""
    slugs: set[tuple[str, str]] = set()
    externals: set[str] = set()
    for index, body in enumerate(bodies):
        if body.slug is not None:
            if (host_of(body), body.slug) in slugs:
                faults.conflict(index, "slug", "slug_taken", "stands twice in this batch")
            slugs.add((host_of(body), body.slug))
        if body.external_id is not None:
            if body.external_id in externals:
                faults.conflict(index, "external_id", "external_id_taken", "stands twice in this batch")
            externals.add(body.external_id)


async def _note_taken_slugs(
    connection: AsyncConnection, bodies: Sequence[NewLink], existing: Mapping[str | None, Any], faults: FieldErrors
) -> None:
    """Notes the slugs that a link has already, of any brand, so that they are told together with all other faults. The insert decides."""
    wanted = {
        (host_of(body), body.slug): index
        for index, body in enumerate(bodies)
        if body.slug is not None and (body.external_id is None or body.external_id not in existing)
    }
    if not wanted:
        return
    query = select(route.c.host, route.c.slug).where(tuple_(route.c.host, route.c.slug).in_(list(wanted)))
    for name, slug in (await connection.execute(query)).all():
        faults.conflict(wanted[name, slug], "slug", "slug_taken", _taken(slug))


def _taken(slug: str) -> str:
    return f"{slug!r} is taken on this host"


def host_of(body: NewLink) -> str:
    """The host on which it stands, as it is stored."""
    return DEFAULT_HOST if body.host is None else find_host(body.host)


def _new_slug() -> str:
    slug = make_slug(random_ids.random_number())
    return slug if slug not in RESERVED else _new_slug()


async def _take_routes(
    connection: asyncpg.Connection,
    brand_id: UUID,
    bodies: Sequence[NewLink],
    fresh: dict[int, dict[str, Any]],
    faults: FieldErrors,
) -> None:
    """Insert the routes, with another generated slug until one is free. Raises Conflict for given slugs that are taken."""
    click_param = await connection.fetchval("SELECT click_param FROM brand WHERE id = $1", brand_id)
    waiting = dict(fresh)
    for _ in range(SLUG_ATTEMPTS):
        routes = [
            (
                row["host"],
                row["slug"],
                row["id"],
                _target_url(row["destination_url"], row["utm"]),
                row["expires_at"],
                row["forward_query"],
            )
            for row in waiting.values()
        ]
        found = await connection.fetch(_INSERT_ROUTES, brand_id, click_param, *zip(*routes, strict=True))
        taken = {row["link_id"] for row in found}
        waiting = {index: row for index, row in waiting.items() if row["id"] not in taken}
        for index, row in waiting.items():
            if bodies[index].slug is not None:
                faults.conflict(index, "slug", "slug_taken", _taken(row["slug"]))
            row["slug"] = _new_slug()
        faults.refuse()
        if not waiting:
            return
    raise AssertionError("generated slugs collide over and over: the random numbers are not random")


# ── The routes ───────────────────────────────────────────────────────────────────────────────────────────────────────


@router.post("", status_code=201, responses={**CREATES, **FOUND})
async def create_link(
    caller: Writer, session: Session, own: Places, links: Links, body: NewLink, response: Response
) -> Link:
    """Makes a link; it redirects before this answer is read. The pair of campaign and influencer finds or creates its collaboration."""
    [row], made = await make_links(session, caller.brand_id, [body], own, FieldErrors())
    answer_found(response, made > 0)
    return links.show(row).model_copy(update={"notes": body.notes})


def _read_rows(sent: Sequence[Any]) -> tuple[list[NewLink], FieldErrors]:
    """The links of a batch as far as they can be read, and what is wrong with the others. The rest of a row is looked at for as many as an answer shows."""
    read: list[NewLink | None] = []
    unreadable: dict[int, UnreadableRow] = {}
    for at, each in enumerate(sent):
        try:
            read.append(NewLink.model_validate(each))
        except ValidationError as error:
            row = unreadable[at] = UnreadableRow(error, each)
            read.append(row.read_rest(NewLink, STAND_INS) if len(unreadable) <= FAULTS_SHOWN_MAX else None)
    faults = FieldErrors("links", [at for at, each in enumerate(read) if each is not None])
    for at, row in unreadable.items():
        faults.unreadable(row, at)
    return [each for each in read if each is not None], faults


@router.post("/bulk", status_code=201, responses=CREATES)
async def create_links(
    caller: Writer, session: Session, own: Places, links: Links, body: NewLinks, response: Response
) -> CreatedLinks:
    """Makes up to 1,000 links, all or none; everything that is wrong with any of them is told in one answer, with its index. 200 when all existed already."""
    readable, faults = await aside(_read_rows, body.links)
    rows, made = await make_links(session, caller.brand_id, readable, own, faults)
    answer_found(response, made > 0)
    shown = zip(map(links.show, rows), readable, strict=True)
    return CreatedLinks(data=[each.model_copy(update={"notes": sent.notes}) for each, sent in shown])


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
        equals(link.c.host, host and find_host(host)),
        equals(link.c.placement, placement),
        equals(_phase(), status),
        equals(link.c.external_id, external_id),
    )


@router.get("/{id}", responses=FOUND)
async def read_link(id: str, caller: Reader, session: Session, links: Links) -> Link:
    """One link, also when archived."""
    return links.show(await links.find(session, caller.brand_id, id))


@router.patch("/{id}", responses=CHANGES)
async def change_link(id: str, caller: Writer, session: Session, own: Places, links: Links, body: LinkChange) -> Link:
    """Changes what is sent; the next redirect knows it. `utm` and `metadata` are merged key by key."""
    row = await links.lock(session, caller.brand_id, id)
    sent = changes(body, row._mapping.get)
    if "destination_url" in sent and await find_loops(session, [sent["destination_url"]], own):
        raise Invalid.field("destination_url", LOOP, code="loop")
    if sent.get("utm") is not None:
        sent["utm"] = {name: value for name, value in sent["utm"].items() if value is not None}
    if "disabled" in sent:
        sent["disabled_at"] = (row.disabled_at or clock.now()) if sent.pop("disabled") else None
    return links.show(await links.write(session, row, sent)).model_copy(update={"notes": body.notes})


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
        await _refuse_archived_host(session, caller.brand_id, row.host)
    return links.show(row)


# ── QR codes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

Size = Annotated[int, Query(ge=64, le=2_048, description="Width and height in pixels, border included.")]
Border = Annotated[int, Query(ge=0, le=20, description="Quiet zone in modules; readers ask for 4.")]
Level = Annotated[
    Literal["l", "m", "q", "h"], Query(description="Error correction: 7, 15, 25 or 30 % may be covered by a logo.")
]
Colour = Annotated[str, Query(pattern="^[0-9A-Fa-f]{6}$", description="RGB in hexadecimal, without #.")]


@dataclass(frozen=True, slots=True)
class Look:
    """The look of a QR code."""

    size: Size = 512
    border: Border = 4
    level: Level = "m"
    dark: Colour = "000000"
    light: Colour = "ffffff"


AtLook = Annotated[Look, Depends()]
"""The look that the query parameters describe."""


def _qr_code(shown: Link, look: Look) -> tuple[segno.QRCode, int]:
    """The short address as a QR code, and its width in modules, border included. Raises Invalid when no camera would read it in this look."""
    made = make_qr_code(shown.short_url, look.level)
    modules = int(made.symbol_size(border=look.border)[0])
    if look.size < modules * MODULE_MIN_PIXELS:
        reason = f"must be at least {modules * MODULE_MIN_PIXELS} for this address, border and level: a module needs {MODULE_MIN_PIXELS} pixels"
        raise Invalid.field("size", reason, code="too_small")
    ratio = contrast(look.dark, look.light)
    if ratio < CONTRAST_MIN:
        reason = f"has a contrast of {ratio:.1f} to light; cameras need a dark colour on a light one, with {CONTRAST_MIN:.0f} at least"
        raise Invalid.field("dark", reason, code="low_contrast")
    return made, modules


def _draw(qr_code: segno.QRCode, look: Look, kind: str, media_type: str, **more: Any) -> Response:
    out = BytesIO()
    qr_code.save(out, kind=kind, border=look.border, dark=f"#{look.dark}", light=f"#{look.light}", **more)
    return Response(out.getvalue(), media_type=media_type)


@router.get("/{id}/qr.svg", responses={200: {"content": {"image/svg+xml": {}}}, **FOUND}, response_class=Response)
async def draw_link_svg(id: str, caller: Reader, session: Session, links: Links, look: AtLook) -> Response:
    """The short address as a QR code that scales without loss."""
    shown = await read_link(id, caller, session, links)
    qr_code, modules = _qr_code(shown, look)
    return _draw(qr_code, look, "svg", "image/svg+xml", scale=look.size / modules, title=shown.short_url)


@router.get("/{id}/qr.png", responses={200: {"content": {"image/png": {}}}, **FOUND}, response_class=Response)
async def draw_link_png(id: str, caller: Reader, session: Session, links: Links, look: AtLook) -> Response:
    """The short address as a QR code in pixels: the largest whole scale that fits `size`."""
    qr_code, modules = _qr_code(await read_link(id, caller, session, links), look)
    # Modules are whole pixels, so that readers see sharp edges.
    return _draw(qr_code, look, "png", "image/png", scale=look.size // modules)
