"""Conversions: orders, leads, signups, installs, whoever reported them, with who gets them and why."""

from typing import Annotated, Any, Literal, cast

import asyncpg
from fastapi import APIRouter, Query, Response
from sqlalchemy import Row, select

from app.api.auth import Reader, Reporter
from app.api.fields import Moment, Reference
from app.api.http import BODY, FOUND, Pool, Session, resource
from app.api.orders import AtDesk, Conversion, ConversionSummary, show_settled, summary_fields
from app.api.paging import Page, Paging, fetch_page
from app.api.rows import missing, points_to
from app.domain import bodies, ids
from app.domain.bodies import CODES_MAX, LINES_MAX
from app.domain.money import AMOUNT_MINOR_MAX
from app.intake.deciding import read_order
from app.tables import campaign, conversion, credit, decision, influencer, order_ref

router: APIRouter = resource("conversions")

Status = Literal["stub", "pending", "approved", "locked", "paid", "rejected", "unverified"]

_TEXT = {"type": "string", "minLength": 1, "maxLength": bodies.TEXT_CHARACTERS_MAX}
_AMOUNT = {"type": "integer", "minimum": 0, "maximum": AMOUNT_MINOR_MAX}
_TIME = {"type": "string", "format": "date-time", "description": "RFC 3339 with its offset."}


def _optional(schema: dict[str, Any], description: str = "") -> dict[str, Any]:
    told = {"description": description} if description else {}
    return {"anyOf": [schema, {"type": "null"}], **told}


# The body is read by domain/bodies.py, which reads the same body when a signed webhook brings it; this is its description.
FIELDS: dict[str, dict[str, Any]] = {
    "order_id": {**_TEXT, "description": "The shop's own id of the order; `#1001` and `1001` are one."},
    "kind": _optional(
        {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$"}, "`sale` by default; `lead`, `signup`, `install` …"
    ),
    "shop": _optional(_TEXT, "`main` by default."),
    "occurred_at": _optional(_TIME, "The time of receipt by default, and at most."),
    "updated_at": _optional(
        _TIME,
        "Which of two differing reports of one order is newer. Without it a fixed rule decides, and the order is flagged.",
    ),
    "currency": _optional({"type": "string", "minLength": 3, "maxLength": 3}, "ISO 4217; the brand's by default."),
    "net_minor": _optional(
        _AMOUNT, "After discount, before tax, shipping and refunds. Or give items_minor and discount_minor."
    ),
    "items_minor": _optional(_AMOUNT, "Before discount."),
    "discount_minor": _optional(_AMOUNT),
    "tax_minor": _optional(_AMOUNT),
    "shipping_minor": _optional(_AMOUNT),
    "codes": _optional(
        {"type": "array", "items": _TEXT, "maxItems": CODES_MAX}, "Redeemed codes, in the order of the cart."
    ),
    "click_id": _optional(_TEXT, "As the shop's landing page received it."),
    "visitor_id": _optional(_TEXT, "The first-party id that /a.js keeps."),
    "customer": _optional(
        {
            "type": "object",
            "properties": {
                "id": _optional(_TEXT),
                "email": _optional(_TEXT),
                "is_new": _optional({"type": "boolean"}),
            },
        },
        "Neither id nor e-mail is kept: only a keyed hash.",
    ),
    "lines": _optional(
        {
            "type": "array",
            "maxItems": LINES_MAX,
            "items": {
                "type": "object",
                "properties": {
                    "id": _optional(_TEXT),
                    "quantity": _optional({"type": "integer", "minimum": 0, "maximum": 1_000_000}),
                    "net_minor": _optional(_AMOUNT),
                    "sku": _optional(_TEXT),
                    "name": _optional(_TEXT),
                },
            },
        }
    ),
    "test": _optional({"type": "boolean"}, "Recorded and decided, never counted."),
}
BODY_SCHEMA = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "title": "NewConversion",
                "type": "object",
                "required": ["order_id"],
                "properties": FIELDS,
                "additionalProperties": False,
            },
            "example": {"order_id": "1001", "net_minor": 4990, "currency": "EUR", "codes": ["LEA10"]},
        }
    },
}
KNOWN_ORDER: dict[int | str, dict[str, Any]] = {
    200: {"description": "The order was known; this report is one more witness, or nothing new."}
}


@router.post("", status_code=201, responses={**KNOWN_ORDER, **BODY}, openapi_extra={"requestBody": BODY_SCHEMA})
async def report_conversion(caller: Reporter, desk: AtDesk, response: Response) -> Conversion:
    """Reports a conversion and answers with the verdict, after its commit.

    `{order_id, codes}` is enough: the amount may come from another witness. The same report again, now or in a year, changes nothing and is
    answered 200. A differing report of a known order is kept as another witness; what a more trusted or newer one says goes first.
    """
    _, recorded = await desk.take(caller, bodies.read_order, tuple(FIELDS))
    if not recorded.created:
        response.status_code = 200
    return show_settled(recorded.settled)


@router.get("")
async def list_conversions(
    caller: Reader,
    session: Session,
    paging: Paging,
    order_id: Annotated[str | None, Query(max_length=200, description="Any name the order goes by.")] = None,
    status: Annotated[
        Status | None, Query(description="`stub` (orders that only refunds name) are listed only when asked for.")
    ] = None,
    shop: Annotated[str | None, Query(max_length=200)] = None,
    kind: Annotated[str | None, Query(max_length=40)] = None,
    influencer_id: Annotated[Reference | None, Query(description="Orders credited to one influencer.")] = None,
    campaign_id: Annotated[Reference | None, Query(description="Orders credited to one campaign.")] = None,
    from_: Annotated[Moment | None, Query(alias="from", description="Placed at or after.")] = None,
    to: Annotated[Moment | None, Query(description="Placed before.")] = None,
) -> Page[ConversionSummary]:
    """The brand's orders, newest first, test orders included."""
    decided = [
        decision.c[name] for name in ("verdict", "method", "model", "policy_version", "reason", "credits", "candidates")
    ]
    same = (decision.c.brand_id == conversion.c.brand_id) & (decision.c.conversion_id == conversion.c.id)
    columns = [column for column in conversion.c if column.name != "digest"]
    query = (
        select(*columns, *decided)
        .select_from(conversion.outerjoin(decision, same))
        .where(conversion.c.brand_id == caller.brand_id, conversion.c.root_id == conversion.c.id)
    )
    if status == "stub":
        query = query.where(conversion.c.status == status)
    else:
        query = query.where(conversion.c.occurred_at.is_not(None))
        if status is not None:
            query = query.where(conversion.c.status == status)
    if order_id is not None:
        named = select(order_ref.c.conversion_id).where(
            order_ref.c.brand_id == caller.brand_id,
            order_ref.c.ref.in_({order_id.strip(), bodies.order_ref(order_id.strip())}),
        )
        other = conversion.alias("other")
        roots = select(other.c.root_id).where(other.c.brand_id == caller.brand_id, other.c.id.in_(named))
        query = query.where(conversion.c.id.in_(roots))
    for field, value in ((conversion.c.shop, shop), (conversion.c.kind, kind)):
        if value is not None:
            query = query.where(field == value)
    for table, name, shown in ((influencer, "influencer", influencer_id), (campaign, "campaign", campaign_id)):
        if shown is not None:
            owner = points_to(credit.c[f"{name}_id"], table, name, caller.brand_id, shown)
            credited = select(credit.c.conversion_id).where(
                credit.c.brand_id == caller.brand_id, credit.c.position == 0, owner
            )
            query = query.where(conversion.c.id.in_(credited))
    if from_ is not None:
        query = query.where(conversion.c.occurred_at >= from_)
    if to is not None:
        query = query.where(conversion.c.occurred_at < to)
    keys = [conversion.c.id] if status == "stub" else [conversion.c.occurred_at, conversion.c.id]
    return await fetch_page(session, query, paging, keys, _summary)


def _summary(row: Row[Any]) -> ConversionSummary:
    fields = dict(row._mapping)
    return ConversionSummary(**summary_fields(fields, None if row.verdict is None else fields))


@router.get("/{id}", responses=FOUND)
async def read_conversion(id: str, caller: Reader, pool: Pool) -> Conversion:  # noqa: A002
    """One order with its witnesses, refunds, decision and every candidate. The id of an order that was merged into another leads to that one."""
    try:
        conversion_id = ids.read("conversion", id)
    except ValueError:
        raise missing("conversion", id) from None
    async with pool.acquire() as connection:
        settled = await read_order(cast(asyncpg.Connection, connection), caller.brand_id, conversion_id)
    if settled is None:
        raise missing("conversion", id)
    return show_settled(settled)
