"""Host names of a brand's own, on which its links may stand."""

import re
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.api.auth import Admin, Caller, Reader
from app.api.fields import Given, Moment
from app.api.http import CHANGES, CREATES, FOUND, Session, Settings, resource
from app.api.pagination import Page, Paging, fetch_page
from app.api.rows import announce, answer_found, in_use, matching, missing, show
from app.database.tables import host
from app.domain.hostnames import find_host
from app.errors import Conflict
from app.settings import Settings as AllSettings

router: APIRouter = resource("hosts")

_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")


def _host_name(text: str) -> str:
    name = find_host(text)
    if not _HOST.fullmatch(name) or name.rpartition(".")[2].isdigit():
        raise ValueError("should be a host name such as go.brand.com, without https://, path or port")
    return name


class NewHost(Given):
    """What makes a host."""

    host: Annotated[str, StringConstraints(strip_whitespace=True, max_length=253), AfterValidator(_host_name)] = Field(
        examples=["go.brand.com"]
    )


class Host(BaseModel):
    """A host name of the brand; point its DNS at this service."""

    host: str
    created_at: Moment
    archived_at: Moment | None


_shown = partial(show, Host, "host")


@router.post("", status_code=201, responses=CREATES)
async def add_host(caller: Admin, session: Session, settings: Settings, body: NewHost, response: Response) -> Host:
    """Adds a host name, or brings an archived one back. A name that another brand has is refused, for good: its links live there.

    So is the service's own: every brand's links on the shared host would become this brand's.
    """
    _refuse_shared(body.host, settings)
    made = insert(host).values(host=body.host, brand_id=caller.brand_id, created_at=clock.now())
    row = (await session.execute(made.on_conflict_do_nothing().returning(host))).one_or_none()
    answer_found(response, row is not None)
    if row is None:
        row = (await session.execute(select(host).where(host.c.host == body.host).with_for_update())).one()
        if row.brand_id != caller.brand_id:
            raise Conflict.field("host", "belongs to another brand", code="host_taken")
        if row.archived_at is None:
            return _shown(row)
        return await _write(session, row, None)
    await announce(session)
    return _shown(row)


def _refuse_shared(name: str, settings: AllSettings) -> None:
    if name == find_host(urlsplit(settings.base_url).hostname or ""):
        raise Conflict.field("host", "is the shared host of this service", code="host_taken")


async def _write(session: AsyncConnection, row: Row[Any], archived_at: datetime | None) -> Host:
    write = update(host).where(host.c.host == row.host, host.c.brand_id == row.brand_id)
    write = write.values(archived_at=archived_at, changed_xid=func.pg_current_xact_id())
    written = (await session.execute(write.returning(host))).one()
    await announce(session)
    return _shown(written)


@router.get("")
async def list_hosts(caller: Reader, session: Session, paging: Paging, include_archived: bool = False) -> Page[Host]:
    """The brand's host names, newest first."""
    query = matching(select(host).where(host.c.brand_id == caller.brand_id), in_use(host, include_archived))
    return await fetch_page(session, query, paging, [host.c.created_at, host.c.host], _shown)


@router.delete("/{name}", responses=FOUND)
async def archive_host(name: str, caller: Admin, session: Session) -> Host:
    """Takes a host name out of use for new links. Those on it go on working while its DNS points here; nobody else can have the name."""
    row = await _lock(session, caller, name)
    return _shown(row) if row.archived_at is not None else await _write(session, row, clock.now())


@router.post("/{name}/unarchive", responses=CHANGES)
async def unarchive_host(name: str, caller: Admin, session: Session, settings: Settings) -> Host:
    """Brings an archived host name back: new links may stand on it again."""
    row = await _lock(session, caller, name)
    if row.archived_at is None:
        return _shown(row)
    _refuse_shared(row.host, settings)
    return await _write(session, row, None)


async def _lock(connection: AsyncConnection, caller: Caller, name: str) -> Row[Any]:
    query = select(host).where(host.c.host == find_host(name), host.c.brand_id == caller.brand_id).with_for_update()
    row: Row[Any] | None = (await connection.execute(query)).one_or_none()
    if row is None:
        raise missing("host", name)
    return row
