"""The file uploaded for a job, record by record, in bounded memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import asyncpg

from app.domain.csv_files import Cutter, Record, Refusal, Sheet
from app.jobs.run import JobFailed, JobLine, Run

YIELD_ROWS = 50
"""Lines read before other tasks may run: some milliseconds."""

BRAND = "SELECT currency, click_param, time_zone, currencies FROM brand WHERE id = $1"

T = TypeVar("T")


async def read_lines(run: Run, read: Callable[[Record, Sheet], T], *, skip: int = 0) -> AsyncIterator[tuple[int, T]]:
    """The number of each record after the file's header, without the first `skip`, and what `read` makes of it."""
    arguments = run.arguments
    sheet = Sheet(arguments["format"], arguments["separator"], tuple(arguments["columns"]))
    left_out = skip + (sheet.format == "csv")
    count = 0
    async for record in _records(run, Cutter(sheet.format)):
        count += 1
        if count > left_out:
            yield record.number, read(record, sheet)
        if count % YIELD_ROWS == 0:
            await asyncio.sleep(0)


async def _records(run: Run, cutter: Cutter) -> AsyncIterator[Record]:
    async for piece in run.pieces():
        for record in cutter.feed(piece):
            yield record
    for record in cutter.close():
        yield record


async def in_batches(items: AsyncIterator[T], size: int) -> AsyncIterator[list[T]]:
    """The items in lists of this length; the last one is shorter."""
    batch: list[T] = []
    async for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


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
