"""Refunds: what was given back of an order, reported by the shop's server."""

from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from app.api.auth import Reporter
from app.api.fields import Moment
from app.api.http import BODY, resource
from app.api.orders import AtDesk, Conversion, show_settled
from app.domain import bodies
from app.domain.bodies import LINES_MAX
from app.domain.money import AMOUNT_MINOR_MAX

router: APIRouter = resource("refunds")

_TEXT = {"type": "string", "minLength": 1, "maxLength": bodies.TEXT_CHARACTERS_MAX}
_TIME = {"type": "string", "format": "date-time"}


def _optional(schema: dict[str, Any], description: str = "") -> dict[str, Any]:
    told = {"description": description} if description else {}
    return {"anyOf": [schema, {"type": "null"}], **told}


FIELDS: dict[str, dict[str, Any]] = {
    "order_id": {**_TEXT, "description": "The order it takes from; it need not be known yet."},
    "refund_id": {**_TEXT, "description": "The shop's own id of the refund, unique within its order."},
    "shop": _optional(_TEXT, "`main` by default."),
    "kind": _optional({"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$"}, "Of the order: `sale` by default."),
    "amount_minor": _optional(
        {"type": "integer", "minimum": 0, "maximum": AMOUNT_MINOR_MAX},
        "Positive, on the base of the order's `net_minor`: before tax and shipping. Or `full: true`.",
    ),
    "full": _optional({"type": "boolean"}, "All that is left of the order."),
    "currency": _optional({"type": "string", "minLength": 3, "maxLength": 3}, "ISO 4217; the brand's by default."),
    "occurred_at": _optional(_TIME, "The time of receipt by default, and at most."),
    "updated_at": _optional(_TIME, "Which of two differing reports of one refund is newer."),
    "lines": _optional({"type": "array", "maxItems": LINES_MAX, "items": {"type": "object"}}),
}
BODY_SCHEMA = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "title": "NewRefund",
                "type": "object",
                "required": ["order_id", "refund_id"],
                "properties": FIELDS,
                "additionalProperties": False,
            },
            "example": {"order_id": "1001", "refund_id": "r-1", "amount_minor": 1500, "currency": "EUR"},
        }
    },
}


class Refund(BaseModel):
    """A refund that was reported, and what it does to its order."""

    refund_id: str
    order_id: str
    shop: str
    kind: str = Field(description="Of the order.")
    status: Literal["recorded", "waiting_for_order"]
    amount_minor: int | None = Field(
        description="What it takes from the order: never more than was left. Null while it waits, while the order's amount is unknown, "
        "or when it is in another currency than the order."
    )
    currency: str | None
    occurred_at: Moment | None = Field(description="When it takes effect; null while it waits.")
    conversion: Conversion | None = Field(description="The order after it; null while it waits.")


ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "It was known, with the same content."},
    202: {"model": Refund, "description": "Kept; the order it names is not known yet."},
    **BODY,
}


@router.post("", status_code=201, responses=ANSWERS, openapi_extra={"requestBody": BODY_SCHEMA})
async def report_refund(caller: Reporter, desk: AtDesk, response: Response) -> Refund:
    """Reports a refund and answers with the order after it. For an order that is not known yet: 202, `waiting_for_order`.

    The same refund again changes nothing and is answered 200 with the same verdict, for ever. Another content under the same `refund_id` is kept
    beside the first: the newer `updated_at` holds; where neither is newer a fixed rule chooses, and the order is flagged `conflicting_reports`.
    """
    report, recorded = await desk.take(caller, bodies.read_refund, tuple(FIELDS))
    [said] = report.refunds
    settled = recorded.settled
    waiting = settled.decision is None
    effect = next(
        (each for each in settled.order.effects if (each.kind, each.refund_id) == (said.kind, said.refund_id)), None
    )
    if waiting:
        response.status_code = 202
    elif not recorded.added:
        response.status_code = 200
    return Refund(
        refund_id=said.refund_id,
        order_id=settled.conversion["order_id"],
        shop=report.shop,
        kind=report.kind,
        status="waiting_for_order" if waiting else "recorded",
        amount_minor=None if effect is None else effect.amount_minor,
        currency=settled.conversion["currency"] or said.currency,
        occurred_at=None if effect is None else effect.occurred_at,
        conversion=None if waiting else show_settled(settled),
    )
