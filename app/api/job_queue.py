"""Puts jobs into the queue, for resources whose work takes longer than a request, and shows them."""

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, Field
from sqlalchemy import Row, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, random_ids
from app.api.fields import Moment
from app.api.rows import show
from app.database.tables import job
from app.errors import TooMany
from app.jobs.kinds import KINDS

OPEN_MAX = 20
"""Jobs of one brand that may be queued or running."""
RETRY_AFTER_S = 30

OPEN_STATES = ("queued", "running")
State = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class JobProgress(BaseModel):
    """How far a job is."""

    done: int
    total: int | None = Field(description="Null while it is not known.")
    unit: str = Field(description="What is counted.", examples=["rows"])


class Job(BaseModel):
    """Work that takes longer than a request. Ask again until `state` is `succeeded`, `failed` or `cancelled`."""

    id: str
    kind: str
    state: State
    progress: JobProgress
    cancelling: bool = Field(description="It was cancelled and has not ended yet.")
    error: str | None = Field(description="Why it failed, as a sentence.")
    result: dict[str, Any] | None = Field(description="What came of it; its shape depends on `kind`.")
    arguments: dict[str, Any] = Field(description="What was asked for.")
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None = Field(description="Then it is kept for `ARIANE_JOB_RETENTION_DAYS`.")


async def enqueue(
    session: AsyncConnection,
    response: Response,
    brand_id: UUID,
    kind: str,
    arguments: Mapping[str, Any],
    *,
    total: int | None = None,
    job_id: UUID | None = None,
) -> Job:
    """Puts a job of a registered kind into the queue, in the request's transaction, and answers 202 with it and its address. Raises TooMany over OPEN_MAX.

    job_id: the id that its upload was stored under.
    """
    await refuse_when_full(session, brand_id)
    made = insert(job).values(
        brand_id=brand_id,
        id=job_id or random_ids.new_id(),
        kind=kind,
        arguments=dict(arguments),
        total=total,
        unit=KINDS[kind].unit,
        created_at=clock.now(),
    )
    shown = show_job((await session.execute(made.returning(job))).one())
    response.status_code = 202
    response.headers["Location"] = f"/v1/jobs/{shown.id}"
    return shown


async def refuse_when_full(session: AsyncConnection, brand_id: UUID, *, final: bool = True) -> None:
    """Raises TooMany when the brand has as many jobs as it may have.

    final: takes a lock until the transaction ends, so that two requests cannot both be the last. Without it the answer is a hint, for a check before
    an upload is read.
    """
    if final:
        key = int.from_bytes(brand_id.bytes[-8:], "big", signed=True)
        await session.execute(select(func.pg_advisory_xact_lock(key)))
    query = select(func.count()).select_from(job).where(job.c.brand_id == brand_id, job.c.state.in_(OPEN_STATES))
    if (await session.execute(query)).scalar_one() >= OPEN_MAX:
        raise TooMany(
            f"{OPEN_MAX} jobs are queued or running already; wait for one of them to end, or cancel one",
            retry_after_s=RETRY_AFTER_S,
            code="too_many_jobs",
        )


def show_job(row: Row[Any]) -> Job:
    """A row of `job`."""
    cancelling = row.cancelled_at is not None and row.state in OPEN_STATES
    progress = JobProgress(done=row.done, total=row.total, unit=row.unit)
    return show(Job, "job", row, progress=progress, cancelling=cancelling)
