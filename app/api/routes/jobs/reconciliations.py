"""Reconciliations: the shop's own list of orders against ours."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.api.auth import Reader
from app.api.fields import Moment, Word
from app.api.http import BODY, Session, resource
from app.api.job_queue import QUEUED, Job, accept, enqueue
from app.api.problems import responses
from app.api.routes.jobs.uploads import UploadDep, UploadRoute, file_body
from app.domain import order_list
from app.errors import Invalid, TooMany


class ReconciliationRoute(UploadRoute):
    """Reads the columns of an order list."""

    columns = order_list.COLUMNS
    scope = "read"


router: APIRouter = resource("reconciliations", route_class=ReconciliationRoute)

FILE = file_body(
    "order_id,occurred_at,currency,total,tax,shipping,refunded,status\n"
    "1001,2026-11-21T18:00:00Z,EUR,64.88,9.98,5.00,0,completed\n",
    '{"order_id": "1001", "occurred_at": "2026-11-21T18:00:00Z", "currency": "EUR", "total": "64.88", "tax": "9.98"}\n',
)
ANSWERS: dict[int | str, dict[str, Any]] = {**QUEUED, **BODY, **responses(TooMany)}


@router.post("", status_code=202, responses=ANSWERS, openapi_extra={"requestBody": FILE})
async def reconcile_orders(
    caller: Reader,
    session: Session,
    upload: UploadDep,
    response: Response,
    shop: Annotated[Word | None, Query(description="Whose orders the list has; `main` by default.")] = None,
    kind: Annotated[str | None, Query(pattern="^[a-z][a-z0-9_]{0,39}$", description="`sale` by default.")] = None,
    from_: Annotated[
        Moment | None, Query(alias="from", description="The list has every order placed since; by default its first.")
    ] = None,
    to: Annotated[
        Moment | None, Query(description="The list has every order placed before; by default just after its last.")
    ] = None,
) -> Job:
    """Takes the shop's own order list and compares it, in a job, with what was recorded; it records nothing.

    Every order becomes a line of the job: `matched`, `different` (tax, shipping, discount, refund, currency …), `missing_here` (never received,
    refused and by which delivery, a test …) or `missing_there`. The result is a waterfall per currency from the shop's total to what is
    attributed, exact to the minor unit (docs/reconcile.md).
    """
    if from_ is not None and to is not None and from_ >= to:
        raise Invalid.field("to", "is not after from")
    dated = "occurred_at" in upload.sheet.columns or upload.sheet.format == "ndjson"
    if not dated and (from_ is None or to is None):
        raise Invalid.field("from", "say from and to, or give the list a column occurred_at", code="required")
    span = {"from": None if from_ is None else from_.isoformat(), "to": None if to is None else to.isoformat()}
    arguments = {**upload.arguments, "rows": upload.rows, "shop": shop, "kind": kind, **span}
    row = await enqueue(session, caller.brand_id, "reconciliation", arguments, total=upload.rows, job_id=upload.job_id)
    return accept(response, row)
