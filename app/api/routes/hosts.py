"""Host names of a brand's own, on which its links may stand."""

import re
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.api.auth import Admin, Caller, Reader
from app.api.destinations import OwnPlaces, Places
from app.api.fields import Given, Moment
from app.api.http import CHANGES, CREATES, FOUND, Pool, Session, Settings, resource
from app.api.pagination import Page, Paging, fetch_page
from app.api.rows import announce, answer_found, in_use, matching, missing, show
from app.database.tables import host
from app.domain.hostnames import find_host, is_public_suffix
from app.errors import Conflict, FieldError
from app.outgoing.host_proofs import HostProofs
from app.settings import Settings as AllSettings

router: APIRouter = resource("hosts")

_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")


def _host_name(text: str) -> str:
    name = find_host(text)
    if not _HOST.fullmatch(name) or name.rpartition(".")[2].isdigit():
        raise ValueError("should be a host name such as go.brand.com, without https://, path or port")
    if is_public_suffix(name):
        raise ValueError("is a public suffix: names under it belong to different people (publicsuffix.org)")
    return name


HostName = Annotated[str, StringConstraints(strip_whitespace=True, max_length=253), AfterValidator(_host_name)]


class NewHost(Given):
    """What makes a host."""

    host: HostName = Field(examples=["go.brand.com"])


class Host(BaseModel):
    """A host name of the brand; point its DNS at this service."""

    host: str
    created_at: Moment
    archived_at: Moment | None


_shown = partial(show, Host, "host")


class HostProof(BaseModel):
    """What proves that a host is the brand's: any one of these places has to hold `value`."""

    host: str
    needed: bool = Field(
        description="Whether it has to be proved: not where the brand has the host already, nor for the only brand of a service (`ARIANE_PROOF_OF_HOSTS`)."
    )
    value: str = Field(description="The TXT record, or the whole content of the file.", examples=["ariane-host=4f1d…"])
    dns_name: str = Field(description="A TXT record of this name.", examples=["_ariane.go.brand.com"])
    file_urls: list[str] = Field(
        description="Or a file at one of these addresses, as long as the name leads to another web server than this service."
    )


@router.get("/proof")
async def read_host_proof(
    caller: Admin,
    pool: Pool,
    settings: Settings,
    request: Request,
    host: Annotated[HostName, Query(description="The name to be added.")],
) -> HostProof:
    """What to put where before the host is added, when several brands share the service. Asking reserves nothing."""
    proofs: HostProofs = request.app.state.host_proofs
    proof = proofs.proof_of(caller.brand_id, host)
    needed = await _needs_proof(pool, caller, host, settings)
    return HostProof(
        host=host, needed=needed, value=proof.value, dns_name=proof.dns_name, file_urls=list(proof.file_urls)
    )


@router.post("", status_code=201, responses=CREATES)
async def add_host(
    caller: Admin,
    session: Session,
    pool: Pool,
    settings: Settings,
    places: Places,
    body: NewHost,
    response: Response,
    request: Request,
) -> Host:
    """Adds a host name, or brings an archived one back. A name that another brand has is refused, for good: its links live there.

    So is the service's own: every brand's links on the shared host would become this brand's. Where several brands share the service, the name must be proved
    first (`GET /v1/hosts/proof`); the proof is looked up now, and may go afterwards.
    """
    _refuse_shared(body.host, places)
    # Before the session's transaction begins: looking a name up may take seconds.
    if await _needs_proof(pool, caller, body.host, settings):
        await _demand_proof(request, caller, body.host)
    made = insert(host).values(host=body.host, brand_id=caller.brand_id, created_at=clock.now())
    row = (await session.execute(made.on_conflict_do_nothing().returning(host))).one_or_none()
    answer_found(response, row is not None)
    if row is None:
        row = (await session.execute(select(host).where(host.c.host == body.host).with_for_update())).one()
        if row.brand_id != caller.brand_id:
            raise _taken()
        if row.archived_at is None:
            return _shown(row)
        return await _write(session, row, None)
    await announce(session)
    return _shown(row)


async def _needs_proof(pool: asyncpg.Pool, caller: Caller, name: str, settings: AllSettings) -> bool:
    """Whether the brand must prove that the name is its own. Raises Conflict for one that another brand has."""
    owner = await pool.fetchval(
        "/* across brands: a name has one owner */ SELECT brand_id FROM host WHERE host = $1", name
    )
    if owner is not None:
        if owner != caller.brand_id:
            raise _taken()
        return False
    if settings.proof_of_hosts != "auto":
        return settings.proof_of_hosts == "always"
    several: bool = await pool.fetchval(
        "/* across brands: whether there are others */ SELECT count(*) > 1 FROM (SELECT FROM brand LIMIT 2) AS few"
    )
    return several


async def _demand_proof(request: Request, caller: Caller, name: str) -> None:
    """Raises Conflict, with what was found in each place, unless the name is proved."""
    proofs: HostProofs = request.app.state.host_proofs
    proof = proofs.proof_of(caller.brand_id, name)
    missing_in = await proofs.what_is_missing(proof)
    if missing_in:
        wanted = (
            f"has to be proved as yours: put {proof.value} into a TXT record of {proof.dns_name}, or into the file {proof.file_urls[0]},"
            " and send this again"
        )
        raise Conflict.at(
            *(FieldError("host", each, "host_unproven") for each in (wanted, *missing_in)), code="host_unproven"
        )


def _taken() -> Conflict:
    return Conflict.field("host", "belongs to another brand", code="host_taken")


def _refuse_shared(name: str, places: OwnPlaces) -> None:
    """Raises Conflict for a name under which the service itself is reached."""
    if name in {own for own, _ in places.places}:
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
async def unarchive_host(name: str, caller: Admin, session: Session, places: Places) -> Host:
    """Brings an archived host name back: new links may stand on it again."""
    row = await _lock(session, caller, name)
    if row.archived_at is None:
        return _shown(row)
    _refuse_shared(row.host, places)
    return await _write(session, row, None)


async def _lock(connection: AsyncConnection, caller: Caller, name: str) -> Row[Any]:
    query = select(host).where(host.c.host == find_host(name), host.c.brand_id == caller.brand_id).with_for_update()
    row: Row[Any] | None = (await connection.execute(query)).one_or_none()
    if row is None:
        raise missing("host", name)
    return row
