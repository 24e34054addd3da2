"""Refunds, cancellations, chargebacks and their reversals, reported by the shop's server."""

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from app.api.auth import Reporter
from app.api.fields import Moment
from app.api.http import BODY, resource
from app.api.orders import Conversion, request_body, show_order_state, take_report
from app.domain import bodies
from app.domain.order_fields import REFUND_FIELDS
from app.domain.orders import RefundReport
from app.domain.refunds import LINE_UNKNOWN, NO_REFUND, OTHER_CURRENCY, OVER_ORDER, Effect

router: APIRouter = resource("refunds")

EXAMPLES = {
    "part": {"value": {"order_id": "1001", "refund_id": "r-1", "amount_minor": 1500, "currency": "EUR"}},
    "lines": {"value": {"order_id": "1001", "refund_id": "r-2", "lines": [{"id": "1", "quantity": 1}]}},
    "cancellation": {"value": {"order_id": "1001", "refund_id": "c-1", "type": "cancellation"}},
    "reversal": {"value": {"order_id": "1001", "refund_id": "v-1", "type": "reversal", "reverses": "r-1"}},
}
BODY_SCHEMA = request_body("NewRefund", REFUND_FIELDS, examples=EXAMPLES)


class Refund(BaseModel):
    """A refund that was reported, and what it does to its order."""

    refund_id: str
    type: Literal["refund", "cancellation", "chargeback", "reversal"]
    reverses: str | None
    order_id: str
    shop: str
    kind: str = Field(description="Of the order.")
    status: Literal["recorded", "waiting_for_order", "waiting_for_refund"]
    amount_minor: int | None = Field(
        description="What it takes from the order (negative: gives back): never more than was left. Null while it waits, while the order's amount is "
        "unknown, when it was taken back, or when it is in another currency than the order."
    )
    currency: str | None
    occurred_at: Moment | None = Field(description="When it takes effect; null while it waits.")
    warning: str | None = Field(
        description="Why it moves less than it says, or nothing at all, in a sentence; the order's `flags` and the `flag` of its refund have the word."
    )
    conversion: Conversion | None = Field(description="The order after it; null while it waits for it.")


WARNINGS = {
    OVER_ORDER: "more than there was to take or to give back; it was cut to that",
    LINE_UNKNOWN: "the order has no such line, or no amount for it; that line counts as 0",
    OTHER_CURRENCY: "it is in another currency than its order; it is kept and takes nothing: report it again in the order's currency",
    NO_REFUND: "what it reverses is not known yet; it is kept and takes effect when that is reported",
}


ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "It was known, with the same content."},
    202: {"model": Refund, "description": "Kept; the order, or the refund it reverses, is not known yet."},
    **BODY,
}


@router.post("", status_code=201, responses=ANSWERS, openapi_extra={"requestBody": BODY_SCHEMA})
async def report_refund(caller: Reporter, request: Request, response: Response) -> Refund:
    """Reports a refund, cancellation, chargeback or reversal, and answers with the order after it. The order's gross never changes, its net does.

    For an order that is not known yet: 202, `waiting_for_order`; a reversal of what is not known yet: 202, `waiting_for_refund`.

    The same refund again changes nothing and is answered 200 with the same verdict, for ever. Another content under the same `refund_id` is kept
    beside the first: the newer `updated_at` holds; where neither is newer a fixed rule chooses, and the order is flagged `conflicting_reports`.
    """
    report, recorded = await take_report(request, caller, bodies.read_refund)
    [refund] = report.refunds
    state = recorded.state
    status: Literal["recorded", "waiting_for_order", "waiting_for_refund"] = "recorded"
    effect = _effect_of(state.order.effects, refund)
    flag = None if effect is None else effect.flag
    if state.decision is None:
        status = "waiting_for_order"
    elif effect is None and (idle := _effect_of(state.order.idle, refund)) is not None:
        flag = idle.flag
        status = "waiting_for_refund" if flag == NO_REFUND else "recorded"
    if status != "recorded":
        response.status_code = 202
    elif not recorded.added:
        response.status_code = 200
    return Refund(
        refund_id=refund.refund_id,
        type=refund.kind,  # type: ignore[arg-type]
        reverses=refund.reverses,
        order_id=state.conversion["order_id"],
        shop=report.shop,
        kind=report.kind,
        status=status,
        amount_minor=None if effect is None else effect.amount_minor,
        currency=state.conversion["currency"] or refund.currency,
        occurred_at=None if effect is None else effect.occurred_at,
        warning=None if flag is None else WARNINGS[flag],
        conversion=None if state.decision is None else show_order_state(state),
    )


def _effect_of(effects: Sequence[Effect], refund: RefundReport) -> Effect | None:
    return next((each for each in effects if (each.kind, each.refund_id) == (refund.kind, refund.refund_id)), None)
