"""The file uploaded for a job, record by record, in bounded memory."""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from app.domain.csv_files import Cutter, Record, Sheet
from app.domain.customers import PURPOSE, customer_key
from app.domain.orders import Context
from app.jobs.run import JobFailed, Run
from app.secret import derive

BRAND = "SELECT currency, click_param, time_zone FROM brand WHERE id = $1"


def sheet_of(arguments: Mapping[str, Any]) -> Sheet:
    """How the file is written, as the upload found it."""
    return Sheet(arguments["format"], arguments["separator"], tuple(arguments["columns"]))


async def records(run: Run, sheet: Sheet, *, skip: int = 0) -> AsyncIterator[Record]:
    """The records of the file after its header; the first `skip` are left out, they are done."""
    cutter = Cutter(sheet.format)
    left_out = skip + (sheet.format == "csv")
    async for piece in run.pieces():
        for record in cutter.feed(piece):
            if left_out:
                left_out -= 1
            else:
                yield record
    for record in cutter.close():
        if left_out:
            left_out -= 1
        else:
            yield record


async def context_of(run: Run) -> Context:
    """What lines are read with: received when the job was made, so that a repetition dates them the same."""
    brand = await run.pool.fetchrow(BRAND, run.brand_id)
    if brand is None:
        raise JobFailed("the brand does not exist any more")
    return Context(
        received_at=run.created_at,
        currency=brand["currency"],
        customer_key=partial(customer_key, derive(run.secret, PURPOSE), run.brand_id),
        shop=run.arguments.get("shop") or "main",
        click_param=brand["click_param"],
    )
