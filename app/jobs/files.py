"""The file uploaded for a job, record by record, in bounded memory."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import asyncpg

from app.domain.csv_files import Cutter, Record, Refusal, Sheet
from app.jobs.run import JobFailed, JobLine, Run

BRAND = "SELECT currency, click_param, time_zone FROM brand WHERE id = $1"


def sheet_of(arguments: Mapping[str, Any]) -> Sheet:
    """How the file is written, as the upload found it."""
    return Sheet(arguments["format"], arguments["separator"], tuple(arguments["columns"]))


async def records(run: Run, sheet: Sheet, *, skip: int = 0) -> AsyncIterator[Record]:
    """The records of the file after its header, without the first `skip`."""
    left_out = skip + (sheet.format == "csv")
    async for record in _all_records(run, Cutter(sheet.format)):
        if left_out:
            left_out -= 1
        else:
            yield record


async def _all_records(run: Run, cutter: Cutter) -> AsyncIterator[Record]:
    async for piece in run.pieces():
        for record in cutter.feed(piece):
            yield record
    for record in cutter.close():
        yield record


async def read_brand(run: Run) -> asyncpg.Record:
    """The settings of the job's brand with which lines are read."""
    row = await run.pool.fetchrow(BRAND, run.brand_id)
    if row is None:
        raise JobFailed("the brand does not exist any more")
    return row


def refused_line(number: int, refusal: Refusal) -> JobLine:
    """The line of the job for a line of the file that cannot be used."""
    details = {"field": refusal.field, "order_id": refusal.order_id}
    return JobLine(number, "refused", refusal.reason, refusal.detail, details)
