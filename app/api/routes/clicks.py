"""Single clicks: every request of a short link that was recorded, of people and of programs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, FromClause, Row, false, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.api.auth import Reader
from app.api.downloads import CSV_FILE, NDJSON_FILE, Style, send_csv, send_ndjson
from app.api.fields import Moment, Reference
from app.api.http import Session, resource
from app.api.pagination import Listing, Page, Paging, Sieve, fetch_listed
from app.api.rows import equals, points_to
from app.database.tables import campaign, click, collaboration, influencer, link, visitor_click
from app.domain import ids
from app.domain.click_classes import CLICK_CLASSES

router: APIRouter = resource("clicks")

SCANNED_ROWS_MAX = 20_000
"""Clicks that one page looks through: some 30 ms, also where none of them fits the filters."""
BATCH_ROWS = 1_000
"""Clicks read at once for a file."""
VISITOR_HEX = 16
"""Length of a visitor as it is shown, in characters."""


def _known_class(name: str) -> str:
    if name not in CLICK_CLASSES:
        raise ValueError(f"{name[:40]!r} is none of {', '.join(CLICK_CLASSES)}")
    return name


def _visitor(text: str) -> str:
    if len(text) != VISITOR_HEX or not set(text.lower()) <= set("0123456789abcdef"):
        raise ValueError(f"is no visitor as clicks show it: {VISITOR_HEX} characters of 0-9 and a-f")
    return text.lower()


ClickClass = Annotated[str, AfterValidator(_known_class), Field(json_schema_extra={"enum": list(CLICK_CLASSES)})]
Text = Annotated[str | None, Query(min_length=1, max_length=200)]
Pattern = Annotated[str, AfterValidator(_visitor), Field(json_schema_extra={"pattern": "^[0-9a-fA-F]{16}$"})]


class Click(BaseModel):
    """One request of a short link."""

    model_config = ConfigDict(populate_by_name=True)

    id: str = Field(description="The click id that the shop was given.", examples=["clk_06f3k2m8p4q9r1s5t7v0w2x4y6"])
    occurred_at: Moment
    class_: str = Field(
        alias="class", description="What asked: `human` is what reports count as clicks.", examples=["human"]
    )
    link_id: str
    host: str | None = Field(description="`*`: the shared host.")
    slug: str | None
    collaboration_id: str | None
    influencer_id: str | None
    campaign_id: str | None
    visitor: str | None = Field(
        description="Equal for the clicks of one visitor on one UTC day, and on no other. Null: the visitor asked not to be followed.",
        examples=["9f02c4d1a7b35e68"],
    )
    country: str | None = Field(description="Two letters, by the address.", examples=["FR"])
    device: str | None
    os: str | None
    browser: str | None
    in_app: str | None = Field(description="The app whose own browser it was.", examples=["instagram"])
    referrer_host: str | None


COLUMNS = tuple(field.alias or name for name, field in Click.model_fields.items())


async def _clicks(
    caller: Reader,
    id: Annotated[str | None, Query(max_length=60, description="One click.")] = None,
    link_id: Annotated[Reference | None, Query(description="Clicks of one link.")] = None,
    influencer_id: Annotated[Reference | None, Query(description="Clicks of one influencer's links.")] = None,
    campaign_id: Annotated[Reference | None, Query(description="Clicks of one campaign's links.")] = None,
    collaboration_id: Annotated[Reference | None, Query(description="Clicks of one collaboration's links.")] = None,
    class_: Annotated[ClickClass | None, Query(alias="class", description="All of them by default.")] = None,
    country: Annotated[str | None, Query(pattern="^[A-Za-z]{2}$", description="Two letters.")] = None,
    device: Text = None,
    os: Text = None,
    browser: Text = None,
    in_app: Text = None,
    referrer_host: Text = None,
    visitor: Annotated[Pattern | None, Query(description="As clicks show it.")] = None,
    visitor_id: Annotated[
        str | None,
        Query(
            max_length=200, description="Clicks with which a visitor of the shop landed, by the shop's first-party id."
        ),
    ] = None,
    from_: Annotated[Moment | None, Query(alias="from", description="At or after.")] = None,
    to: Annotated[Moment | None, Query(description="Before.")] = None,
) -> Listing[Click]:
    """The brand's clicks under these filters, newest first."""
    brand_id = caller.brand_id
    query = select(*(column for column in click.c if column.name != "brand_id")).where(click.c.brand_id == brand_id)
    # An id begins with the time of its click, so that a range of time is a range of the key, and of partitions.
    if from_ is not None:
        query = query.where(click.c.id >= ids.floor_at(from_))
    if to is not None:
        query = query.where(click.c.id < ids.floor_at(to))
    if id is not None:
        query = query.where(_is(id))
    if visitor_id is not None:
        landed = select(visitor_click.c.click_id).where(
            visitor_click.c.brand_id == brand_id, visitor_click.c.visitor_id == visitor_id
        )
        # As an array: its few ids are looked up, where a join might look for them among all clicks.
        query = query.where(click.c.id == func.any(func.array(landed.scalar_subquery())))
    links = _links(caller, link_id, collaboration_id, influencer_id, campaign_id)
    plain = {"country": country and country.upper(), "device": device, "os": os, "browser": browser, "in_app": in_app}
    plain |= {"referrer_host": referrer_host and referrer_host.lower()}

    def sift(part: FromClause) -> Sequence[ColumnElement[bool]]:
        conditions = [equals(part.c[name], value) for name, value in plain.items()]
        conditions.append(equals(part.c["class"], None if class_ is None else CLICK_CLASSES.index(class_)))
        conditions.append(equals(part.c.visitor, None if visitor is None else _stored(visitor)))
        conditions.append(None if links is None else part.c.link_id.in_(links))
        return [each for each in conditions if each is not None]

    sieve = Sieve(sift, SCANNED_ROWS_MAX) if sift(click) else None

    async def show_all(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[Click]:
        return await _show(connection, caller, rows)

    return Listing(query, [click.c.id], show_all, BATCH_ROWS, sieve)


ClickListing = Annotated[Listing[Click], Depends(_clicks)]


@router.get("")
async def list_clicks(session: Session, paging: Paging, clicks: ClickListing) -> Page[Click]:
    """Single clicks, newest first, as long as they are kept (`ARIANE_CLICK_RETENTION_DAYS`).

    A page looks through at most 20,000 clicks. Under a filter that few of them fit it may hold fewer than `limit`, or none, and still say
    `has_more`: go on with its cursor, or ask for a shorter time. `from`, `to`, `id` and `visitor_id` are looked up and cost nothing.
    """
    return await fetch_listed(session, clicks, paging)


@router.get(".csv", responses=CSV_FILE, response_class=Response)
async def download_clicks_csv(request: Request, clicks: ClickListing, style: Style) -> Response:
    """All clicks under these filters as a file for a spreadsheet, newest first. A text that it would run as a formula begins with an apostrophe."""
    return await send_csv(
        request, "clicks", clicks, COLUMNS, lambda each: each.model_dump(mode="json", by_alias=True), style
    )


@router.get(".ndjson", responses=NDJSON_FILE, response_class=Response)
async def download_clicks_ndjson(request: Request, clicks: ClickListing) -> Response:
    """All clicks under these filters, one JSON object a line, newest first."""
    return await send_ndjson(request, "clicks", clicks)


def _is(shown: str) -> ColumnElement[bool]:
    try:
        return click.c.id == ids.read("click", shown)
    except ValueError:
        return false()


def _links(
    caller: Reader,
    link_id: str | None,
    collaboration_id: str | None,
    influencer_id: str | None,
    campaign_id: str | None,
) -> Any:
    """The ids of the links that the filters leave; None where none of them was sent."""
    conditions = [
        points_to(column, table, caller.brand_id, shown)
        for column, table, shown in (
            (link.c.id, link, link_id),
            (link.c.collaboration_id, collaboration, collaboration_id),
            (collaboration.c.influencer_id, influencer, influencer_id),
            (collaboration.c.campaign_id, campaign, campaign_id),
        )
    ]
    wanted = [each for each in conditions if each is not None]
    return _owned(caller).with_only_columns(link.c.id).where(*wanted) if wanted else None


def _owned(caller: Reader) -> Any:
    """The brand's links with their collaborations."""
    same = (collaboration.c.brand_id == link.c.brand_id) & (collaboration.c.id == link.c.collaboration_id)
    columns = (link.c.id, link.c.host, link.c.slug, link.c.collaboration_id)
    owners = (collaboration.c.influencer_id, collaboration.c.campaign_id)
    return (
        select(*columns, *owners).select_from(link.join(collaboration, same)).where(link.c.brand_id == caller.brand_id)
    )


async def _show(connection: AsyncConnection, caller: Reader, rows: Sequence[Row[Any]]) -> list[Click]:
    wanted = {row.link_id for row in rows}
    found = (await connection.execute(_owned(caller).where(link.c.id.in_(wanted)))).mappings() if wanted else ()
    links = {each["id"]: each for each in found}
    shown = []
    for row in rows:
        fields = dict(row._mapping)
        own: Mapping[Any, Any] = links.get(row.link_id, {})
        kinds = ("collaboration", "influencer", "campaign")
        owners = {f"{kind}_id": ids.show(kind, own[f"{kind}_id"]) if own else None for kind in kinds}
        fields |= {"host": own.get("host"), "slug": own.get("slug"), "class": CLICK_CLASSES[fields["class"]], **owners}
        fields |= {"id": ids.show("click", row.id), "link_id": ids.show("link", row.link_id)}
        fields["visitor"] = None if row.visitor is None else f"{row.visitor % (1 << 64):0{VISITOR_HEX}x}"
        shown.append(Click(**fields))
    return shown


def _stored(visitor: str) -> int:
    """A visitor as its column holds it: a signed number of 64 bits."""
    return int.from_bytes(bytes.fromhex(visitor), "big", signed=True)
