"""Imports: a file of orders and refunds, recorded by a job, with a reason for every line that was refused."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.api.auth import Writer
from app.api.fields import Word
from app.api.http import BODY, Session, resource
from app.api.job_queue import QUEUED, Job, accept, enqueue
from app.api.problems import responses
from app.api.routes.jobs.uploads import UploadDep, UploadRoute, file_body
from app.domain import order_file
from app.errors import TooMany


class ImportRoute(UploadRoute):
    """Reads the columns of orders and refunds."""

    columns = order_file.COLUMNS


router: APIRouter = resource("imports", route_class=ImportRoute)

FILE = file_body(
    "order_id,occurred_at,currency,net,codes\n1001,2026-11-21T18:00:00Z,EUR,49.90,LEA10|VIP\n",
    '{"order_id": "1001", "net_minor": 4990, "currency": "EUR", "codes": ["LEA10"]}\n'
    '{"order_id": "1001", "refund_id": "r-1", "amount_minor": 1500, "currency": "EUR"}\n',
)
ANSWERS: dict[int | str, dict[str, Any]] = {**QUEUED, **BODY, **responses(TooMany)}


@router.post("", status_code=202, responses=ANSWERS, openapi_extra={"requestBody": FILE})
async def import_orders(
    caller: Writer,
    session: Session,
    upload: UploadDep,
    response: Response,
    shop: Annotated[Word | None, Query(description="Of lines that name none; `main` by default.")] = None,
    kind: Annotated[
        str | None, Query(pattern="^[a-z][a-z0-9_]{0,39}$", description="Of lines that name none; `sale` by default.")
    ] = None,
    dry_run: Annotated[bool, Query(description="Read every line and record none.")] = False,
) -> Job:
    """Takes a file of up to 100,000 orders and refunds and records them in a job; every line that is refused is among the job's lines.

    NDJSON: a body of `POST /v1/conversions` or `POST /v1/refunds` a line. CSV: the same fields as columns (docs/import.md). The first line is
    checked before anything is stored. The same file again changes nothing.
    """
    arguments = {**upload.arguments, "shop": shop, "kind": kind, "dry_run": dry_run}
    row = await enqueue(session, caller.brand_id, "import", arguments, total=upload.rows, job_id=upload.job_id)
    return accept(response, row)
