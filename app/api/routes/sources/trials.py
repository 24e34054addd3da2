"""The trial of a source: whether what it reports would arrive, be understood and be credited, shown line by line."""

import json
from typing import Any
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from app import clock
from app.api.auth import Admin
from app.api.http import FOUND, Pool, resource
from app.api.rows import missing
from app.domain import ids
from app.errors import Conflict, TooMany
from app.trial.run import STEP_TIMEOUT_S, STEPS, TrialSource, run_trial

router: APIRouter = resource("sources")

TRIALS_MAX = 4
"""Trials that one web worker runs at the same time, at most one for each source: each waits for the background process. Two of one source in two
web workers do not disturb each other, since each sends an order of its own."""

SOURCE = """
SELECT brand_id, token, platform, secrets AS sealed, settings::text AS source_settings, archived_at FROM source WHERE brand_id = $1 AND id = $2
"""


class TrialLine(BaseModel):
    """One step of a trial."""

    step: str = Field(description="A stable word.", examples=[step.name for step in STEPS])
    ok: bool | None = Field(description="Null: not tried because an earlier step failed, or not to be told from here.")
    took_ms: int
    expected: str
    found: str
    hint: str | None = Field(description="What to do about it.")


class TrialReport(BaseModel):
    """A trial from the click to the refund. Nothing of it is left but a test order and the messages that told of it."""

    ok: bool = Field(description="No line failed, and the order was recorded: the connection works.")
    order_id: str | None = Field(description="Of the test order, as GET /v1/conversions?order_id= finds it.")
    conversion_id: str | None
    took_ms: int
    lines: list[TrialLine]


@router.post("/{id}/test", responses=FOUND)
async def test_source(id: str, caller: Admin, pool: Pool, request: Request) -> TrialReport:
    """Plays click → code → order → refund through the real doors in test mode, and says at each step what was expected and found.

    Signed with the source's own secret and sent to this service's own address. Takes a second; a minute at most when something does not answer.
    """
    source = await _read(pool, caller.brand_id, id)
    running: set[str] = request.app.state.trials
    if source.token in running:
        raise Conflict("a trial of this source is still running", code="trial_running")
    if len(running) >= TRIALS_MAX:
        raise TooMany(f"{TRIALS_MAX} trials are running already", retry_after_s=round(STEP_TIMEOUT_S))
    running.add(source.token)
    began_s = clock.monotonic_s()
    try:
        trial, lines = await run_trial(request.app.state.settings, request.app.state.secret, pool, source)
    finally:
        running.discard(source.token)
    failed = any(line.ok is False for line in lines)
    recorded = any(line.step == "recorded" and line.ok for line in lines)
    return TrialReport(
        ok=not failed and recorded,
        order_id=None if trial.messages is None else trial.messages.order_id,
        conversion_id=None if trial.conversion_id is None else ids.show("conversion", trial.conversion_id),
        took_ms=round((clock.monotonic_s() - began_s) * 1_000),
        lines=[TrialLine.model_validate(line, from_attributes=True) for line in lines],
    )


async def _read(pool: asyncpg.Pool, brand_id: UUID, shown: str) -> TrialSource:
    try:
        row = await pool.fetchrow(SOURCE, brand_id, ids.read("source", shown))
    except ValueError:
        row = None
    if row is None:
        raise missing("source", shown)
    columns: dict[str, Any] = {**row, "source_settings": json.loads(row["source_settings"])}
    return TrialSource(**columns)
