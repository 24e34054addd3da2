"""Links as a table."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.api.auth import Reader, Writer
from app.api.collaboration_ref import pair_up
from app.api.collection import Collection
from app.api.destinations import OwnPlaces, Places
from app.api.downloads import CSV_FILE, Style, send_csv
from app.api.http import CHANGES, Session, resource
from app.api.problems import FieldErrors
from app.api.routes.links.links import STAND_INS, Link, Links, NewLink, compare, host_of, make_links, wanted_of
from app.api.sheets import (
    ID,
    METADATA,
    Column,
    DryRun,
    Form,
    SheetAnswer,
    SheetRoute,
    SheetRow,
    columns_of,
    file_body,
    take,
    text,
)
from app.database.tables import link
from app.domain.destinations import UTM_FIELDS
from app.errors import NotFound

router: APIRouter = resource("links")

UTM_COLUMNS = tuple(Column(f"utm_{name}", ("utm", name), lambda cell, _: cell) for name in UTM_FIELDS)
FORM = Form(
    NewLink,
    (
        ID, text("external_id"), text("slug"), text("host"), text("destination_url"), text("collaboration_id"), text("campaign_id"), text("influencer_id"),
        text("placement"), *UTM_COLUMNS, text("forward_query"), text("expires_at"), METADATA,
        Column("short_url", ("short_url",), None), Column("status", ("status",), None),
    ),
    keys=("slug", "external_id", "id"),
    stand_ins=STAND_INS,
)  # fmt: skip


class LinkSheet(SheetRoute):
    """Reads the columns of links."""

    columns = columns_of(FORM, "slug,campaign_id,influencer_id,destination_url,utm_source")


sheets: APIRouter = resource("links", route_class=LinkSheet)


@sheets.post(
    ".csv",
    responses=CHANGES,
    openapi_extra=file_body(LinkSheet.columns, "lea-bio,ext_serum,ext_lea,https://shop.example/serum,instagram"),
)
async def upload_links(
    caller: Writer, session: Session, own: Places, request: Request, dry_run: DryRun = False
) -> SheetAnswer:
    """Makes up to 1,000 links from a CSV, all or none; everything that is wrong is told at once, by line and column. The same file again changes nothing."""

    return await take(
        session,
        request.state.lines,
        FORM,
        lambda rows, faults: _make(session, caller.brand_id, own, rows, faults),
        dry_run=dry_run,
    )


async def _make(
    session: AsyncConnection, brand_id: UUID, own: OwnPlaces, rows: Sequence[SheetRow[NewLink]], faults: FieldErrors
) -> int:
    """Makes the links that are not there yet, all by the same statements, and compares those that are; how many were made."""
    found: dict[int, tuple[Any, str]] = {}
    for at, row in enumerate(rows):
        if "id" in row.cells:
            try:
                found[at] = await Collection(link, Link).find(session, brand_id, row.cells["id"]), "id"
            except NotFound as error:
                faults.failed(row.number, error, FORM.column_of)
                found[at] = None, "id"
    by_slug = {
        (host_of(row.body), row.body.slug): at
        for at, row in enumerate(rows)
        if at not in found and row.body.external_id is None and row.body.slug is not None
    }
    if by_slug:
        query = select(link).where(link.c.brand_id == brand_id, tuple_(link.c.host, link.c.slug).in_(list(by_slug)))
        found |= {by_slug[old.host, old.slug]: (old, "slug") for old in await session.execute(query)}
    there = [at for at, (old, _) in found.items() if old is not None]
    part = faults.of([rows[at].number for at in there], FORM.column_of)
    pairs = await pair_up(session, brand_id, [rows[at].body for at in there], part)
    for index, (at, pair) in enumerate(zip(there, pairs, strict=True)):
        if pair is not None:
            old, by = found[at]
            compare(old, rows[at].body, wanted_of(rows[at].body, pair.id), part, index, by=by)
    others = [row for at, row in enumerate(rows) if at not in found]
    part = faults.of([row.number for row in others], FORM.column_of)
    _, new = await make_links(session, brand_id, [row.body for row in others], own, part)
    return new


@router.get(".csv", responses=CSV_FILE, response_class=Response)
async def download_links(
    caller: Reader, request: Request, links: Links, style: Style, include_archived: bool = False
) -> Response:
    """All links as a CSV, newest first, in the columns in which they can be sent in again; `short_url` and `status` are not read."""
    return await send_csv(
        request, "links", links.listing(caller.brand_id, include_archived), FORM.header, _written, style
    )


def _written(shown: Link) -> dict[str, object]:
    """The cells of a link; the collaboration alone says whose it is."""
    return {**FORM.written(shown), "campaign_id": None, "influencer_id": None}
