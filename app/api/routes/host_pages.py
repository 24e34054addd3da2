"""What a host of the brand answers where there is no link: an address of the brand's, or our page."""

from typing import ClassVar

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.api.auth import Admin, Caller, Reader
from app.api.destinations import LOOP, DestinationUrl, GivesAddresses, Note, Places, find_loops
from app.api.http import CHANGES, FOUND, Session, resource
from app.api.rows import announce, missing
from app.database.tables import host
from app.domain.host_pages import Language
from app.domain.hostnames import find_host
from app.errors import FieldError, Invalid

router: APIRouter = resource("hosts")

_ROOT = "Where visitors of the host itself are sent. Null: our page."
_UNKNOWN = "Where visitors of a slug that no link has are sent. Null: our page."
_EXPIRED = "Where visitors of an expired, disabled or archived link are sent. Null: our page."
_LANGUAGE = "Language of our pages. Null: the one that the visitor's browser asks for."


class HostPagesChange(GivesAddresses):
    """What may change; what is left out stays, null clears."""

    ADDRESSES: ClassVar[tuple[str, ...]] = ("root_url", "unknown_url", "expired_url")

    root_url: DestinationUrl | None = Field(default=None, description=_ROOT, examples=["https://brand.example/"])
    unknown_url: DestinationUrl | None = Field(default=None, description=_UNKNOWN)
    expired_url: DestinationUrl | None = Field(default=None, description=_EXPIRED)
    language: Language | None = Field(default=None, description=_LANGUAGE)


class HostPagesAnswer(BaseModel):
    """What a host answers where there is no link."""

    host: str
    root_url: str | None = Field(description=_ROOT)
    unknown_url: str | None = Field(description=_UNKNOWN)
    expired_url: str | None = Field(description=_EXPIRED)
    language: Language | None = Field(description=_LANGUAGE)
    notes: list[Note] = Field(default=[], description="What was mended in what was sent.")


@router.get("/{name}/pages", responses=FOUND)
async def read_host_pages(name: str, caller: Reader, session: Session) -> HostPagesAnswer:
    """Where this host sends the visitors for whom there is no link."""
    return _shown(await _find(session, caller, name), [])


@router.patch("/{name}/pages", responses=CHANGES)
async def change_host_pages(
    name: str, caller: Admin, session: Session, own: Places, body: HostPagesChange
) -> HostPagesAnswer:
    """Changes what is sent; the next visitor is answered by it. Addresses are checked as destinations of links are."""
    row = await _find(session, caller, name, lock=True)
    sent = body.model_dump(exclude_unset=True)
    urls = [each for each in body.ADDRESSES if sent.get(each)]
    if faults := await find_loops(session, [sent[each] for each in urls], own):
        raise Invalid.at(*(FieldError(urls[index], LOOP, "loop") for index in faults))
    pages = {key: value for key, value in (row.pages | sent).items() if value is not None}
    write = update(host).where(host.c.host == row.host, host.c.brand_id == caller.brand_id)
    write = write.values(pages=pages, changed_xid=func.pg_current_xact_id())
    written = (await session.execute(write.returning(host))).one()
    await announce(session)
    return _shown(written, body.notes)


def _shown(row: Row[tuple[object, ...]], notes: list[Note]) -> HostPagesAnswer:
    given = {name: row.pages.get(name) for name in (*HostPagesChange.ADDRESSES, "language")}
    return HostPagesAnswer(host=row.host, notes=notes, **given)


async def _find(
    connection: AsyncConnection, caller: Caller, name: str, *, lock: bool = False
) -> Row[tuple[object, ...]]:
    query = select(host).where(host.c.host == find_host(name), host.c.brand_id == caller.brand_id)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise missing("host", name)
    return row
