"""Jobs: their progress, result and lines."""

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.api.auth import Reader, Writer
from app.api.http import FOUND, Pool, Session, resource
from app.api.job_queue import OPEN_STATES, Job, State, show_job
from app.api.pagination import Page, Paging, fetch_page
from app.api.problems import responses
from app.api.rows import equals, matching, read_row, show
from app.database.tables import job, job_line, job_piece
from app.domain import ids
from app.domain.csv_files import BYTE_ORDER_MARK, csv_row
from app.errors import Conflict

router: APIRouter = resource("jobs")

DETAIL_NAMES = """
SELECT DISTINCT k.name FROM job_line l CROSS JOIN jsonb_object_keys(l.details) AS k(name)
WHERE l.brand_id = $1 AND l.job_id = $2 AND ($3::text IS NULL OR l.status = $3) ORDER BY k.name
"""
LINES = """
SELECT number, status, reason, detail, details::text AS details FROM job_line
WHERE brand_id = $1 AND job_id = $2 AND number > $3 AND ($4::text IS NULL OR status = $4) ORDER BY number LIMIT $5
"""
DOWNLOAD_ROWS = 1_000
"""Lines of a download read at a time."""


class JobResultLine(BaseModel):
    """What a job says of one line."""

    number: int = Field(
        description="Of the line in the file; orders that the file does not have are numbered after its last line."
    )
    status: str
    reason: str | None = Field(description="A stable word.")
    detail: str | None = Field(description="A sentence.")
    details: dict[str, Any]


@router.get("")
async def list_jobs(
    caller: Reader,
    session: Session,
    paging: Paging,
    kind: Annotated[str | None, Query(max_length=50)] = None,
    state: State | None = None,
) -> Page[Job]:
    """The brand's jobs, newest first."""
    query = select(job).where(job.c.brand_id == caller.brand_id)
    query = matching(query, equals(job.c.kind, kind), equals(job.c.state, state))
    return await fetch_page(session, query, paging, [job.c.id], show_job)


@router.get("/{id}", responses=FOUND)
async def read_job(id: str, caller: Reader, session: Session) -> Job:
    """One job: how far it is, and what came of it."""
    return show_job(await _read(session, caller.brand_id, id))


@router.post("/{id}/cancel", responses={**FOUND, **responses(Conflict)})
async def cancel_job(id: str, caller: Writer, session: Session) -> Job:
    """Cancels a job. One that is running ends after the part it is at; what it has done stays. A finished one is refused, 409."""
    row = await _read(session, caller.brand_id, id, lock=True)
    if row.state == "cancelled":
        return show_job(row)
    if row.state not in OPEN_STATES:
        raise Conflict(f"this job has {row.state} already", code="job_finished")
    now = clock.now()
    values: dict[str, Any] = {"cancelled_at": row.cancelled_at or now}
    if row.state == "queued":
        # No process will read the upload. A running job deletes its own when it ends.
        upload = (job_piece.c.brand_id == caller.brand_id, job_piece.c.job_id == row.id)
        await session.execute(delete(job_piece).where(*upload))
        values |= {"state": "cancelled", "finished_at": now}
    write = update(job).where(job.c.brand_id == caller.brand_id, job.c.id == row.id).values(values)
    return show_job((await session.execute(write.returning(job))).one())


@router.get("/{id}/lines", responses=FOUND)
async def list_job_lines(
    id: str,
    caller: Reader,
    session: Session,
    paging: Paging,
    status: Annotated[str | None, Query(max_length=50)] = None,
) -> Page[JobResultLine]:
    """What a job says of single lines, in the order of the file: those of an import that were refused, every order of a reconciliation."""
    row = await _read(session, caller.brand_id, id)
    query = select(job_line).where(job_line.c.brand_id == caller.brand_id, job_line.c.job_id == row.id)
    query = matching(query, equals(job_line.c.status, status))
    show_line = partial(show, JobResultLine, "job_line")
    return await fetch_page(session, query, paging, [job_line.c.number], show_line, ascending=True)


@router.get(
    "/{id}/lines.csv",
    responses={
        **FOUND,
        200: {"description": "UTF-8 with a byte order mark, as spreadsheets want it.", "content": {"text/csv": {}}},
    },
    response_class=Response,
)
async def download_job_lines(
    id: str,
    caller: Reader,
    session: Session,
    pool: Pool,
    status: Annotated[str | None, Query(max_length=50)] = None,
) -> Response:
    """A job's results as a file: `number`, `status`, `reason`, `detail`, and a column for everything that any line's `details` say."""
    row = await _read(session, caller.brand_id, id)
    headers = {"Content-Disposition": f'attachment; filename="{ids.show("job", row.id)}.csv"'}
    rows = _download(pool, caller.brand_id, row.id, status)
    return StreamingResponse(rows, media_type="text/csv; charset=utf-8", headers=headers)


async def _read(session: AsyncConnection, brand_id: UUID, shown: str, *, lock: bool = False) -> Row[Any]:
    return await read_row(session, select(job), job, brand_id, shown, lock=lock)


async def _download(pool: asyncpg.Pool, brand_id: UUID, job_id: UUID, status: str | None) -> AsyncIterator[bytes]:
    names = [row["name"] for row in await pool.fetch(DETAIL_NAMES, brand_id, job_id, status)]
    columns = ["number", "status", "reason", "detail", *names]
    yield BYTE_ORDER_MARK + csv_row(columns)
    last = -1
    while rows := await pool.fetch(LINES, brand_id, job_id, last, status, DOWNLOAD_ROWS):
        lines = [{**json.loads(row["details"]), **{name: row[name] for name in columns[:4]}} for row in rows]
        yield b"".join(csv_row(map(line.get, columns)) for line in lines)
        last = rows[-1]["number"]
