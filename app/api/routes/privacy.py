"""Privacy: what is kept of a person is handed out, or erased without a figure changing. Both are jobs."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, Field, StringConstraints, model_validator
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.api.auth import Admin
from app.api.fields import Given, Word, one_line
from app.api.http import BODY, FOUND, Pool, Session, resource
from app.api.job_queue import Job, enqueue
from app.api.problems import responses
from app.api.rows import read_row
from app.database.tables import conversion, job, order_ref
from app.domain import ids
from app.domain.customers import customer_keys
from app.domain.orders import order_ref as name_of_order
from app.domain.orders import read_click
from app.errors import Conflict, Invalid, NotFound, TooMany
from app.jobs.run import PIECE

router: APIRouter = resource("privacy")

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=320), AfterValidator(one_line)]

ANSWERS: dict[int | str, dict[str, Any]] = {
    **BODY,
    **FOUND,
    **responses(TooMany),
    202: {
        "model": Job,
        "description": "A job. Its `result` is the receipt: what was found, by kind; its lines name each thing.",
    },
}


class PrivacyRequest(Given):
    """Whose data: a customer, an order or a click; one of them."""

    customer_id: Text | None = Field(
        default=None,
        description="The shop system's id of the customer. Give the e-mail too, if there is one: orders go by it.",
    )
    email: Text | None = Field(default=None, description="Hashed at once, and neither stored nor logged.")
    order_id: Word | None = Field(default=None, description="The order's id or number, in `shop`.", examples=["1001"])
    shop: Word | None = Field(default=None, description="The shop of `order_id`; `main` if it is left out.")
    conversion_id: Word | None = Field(default=None, examples=["cnv_01k…"])
    click_id: Word | None = Field(
        default=None, description="With everybody who landed with it, and their orders.", examples=["clk_01k…"]
    )

    @model_validator(mode="after")
    def _one(self) -> "PrivacyRequest":
        given = [
            self.customer_id is not None or self.email is not None,
            self.order_id is not None,
            self.conversion_id is not None,
            self.click_id is not None,
        ]
        if sum(given) != 1:
            raise ValueError(
                "say whose data: email and customer_id of a customer, or order_id, or conversion_id, or click_id"
            )
        if self.shop is not None and self.order_id is None:
            raise ValueError("shop belongs to order_id")
        return self


@router.post("/export", status_code=202, responses=ANSWERS)
async def export_personal_data(
    caller: Admin, session: Session, request: Request, response: Response, body: PrivacyRequest
) -> Job:
    """Collects everything that is kept of a person: orders with their reports, messages, clicks, landings. The job's `result.download` is the file."""
    arguments = await _arguments(session, request, caller.brand_id, body)
    return await enqueue(session, response, caller.brand_id, "privacy_export", arguments)


@router.post("/erase", status_code=202, responses=ANSWERS)
async def erase_personal_data(
    caller: Admin, session: Session, request: Request, response: Response, body: PrivacyRequest
) -> Job:
    """Erases what identifies a person; every order keeps its amount, owner and credit to the cent. It cannot be taken back.

    Erased once more changes nothing. A message that the shop sends afterwards is new, and is kept as every other.
    """
    arguments = await _arguments(session, request, caller.brand_id, body)
    return await enqueue(session, response, caller.brand_id, "privacy_erase", arguments)


@router.get(
    "/exports/{id}",
    responses={
        **FOUND,
        **responses(Conflict),
        200: {"description": "One record a line, in `records`.", "content": {"application/json": {}}},
    },
    response_class=Response,
)
async def download_export(id: str, caller: Admin, session: Session, pool: Pool) -> Response:
    """The file that an export made, as long as its job is kept, or until the person is erased."""
    row = await read_row(session, select(job).where(job.c.kind == "privacy_export"), job, caller.brand_id, id)
    if row.state != "succeeded":
        raise Conflict(f"this export is {row.state}; its file is there when it has succeeded", code="export_not_ready")
    if await pool.fetchval(PIECE, caller.brand_id, row.id, 0) is None:
        raise NotFound("this file is gone: the person was erased")
    headers = {"Content-Disposition": f'attachment; filename="{ids.show("job", row.id)}.json"'}
    return StreamingResponse(_pieces(pool, caller.brand_id, row.id), media_type="application/json", headers=headers)


async def _pieces(pool: asyncpg.Pool, brand_id: UUID, job_id: UUID) -> AsyncIterator[bytes]:
    number = 0
    while (piece := await pool.fetchval(PIECE, brand_id, job_id, number)) is not None:
        yield bytes(piece)
        number += 1


async def _arguments(
    session: AsyncConnection, request: Request, brand_id: UUID, body: PrivacyRequest
) -> dict[str, Any]:
    """What the job is told: a customer by the keys alone."""
    if body.click_id is not None:
        click_id = read_click(body.click_id)
        if click_id is None:
            raise Invalid.field("click_id", "is no id of a click: clk_… and 26 characters")
        return {"click_id": ids.show("click", click_id)}
    if body.conversion_id is not None or body.order_id is not None:
        return {"conversion_id": ids.show("conversion", await _find_order(session, brand_id, body))}
    secret = request.app.state.customer_secret
    return {"customer_keys": customer_keys(secret, brand_id, body.customer_id, body.email)}


async def _find_order(session: AsyncConnection, brand_id: UUID, body: PrivacyRequest) -> UUID:
    if body.conversion_id is not None:
        row = await read_row(session, select(conversion.c.root_id), conversion, brand_id, body.conversion_id)
        return UUID(str(row.root_id))
    assert body.order_id is not None
    shop = body.shop or "main"
    named = select(order_ref.c.conversion_id).where(
        order_ref.c.brand_id == brand_id,
        order_ref.c.shop == shop,
        order_ref.c.ref.in_([body.order_id, name_of_order(body.order_id)]),
    )
    found = set((await session.execute(named)).scalars())
    if not found:
        raise NotFound(f"there is no order {body.order_id!r} in the shop {shop!r}")
    if len(found) > 1 or None in found:
        raise Conflict("several orders have this number; say which by conversion_id", code="ambiguous_order")
    return UUID(str(found.pop()))
