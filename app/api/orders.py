"""Orders in requests and answers: shows them to those who report and those who read them, and takes reported ones in."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal
from uuid import UUID

import msgspec
from fastapi import Request
from pydantic import BaseModel, Field

from app import clock
from app.api.auth import Caller
from app.api.fields import Moment
from app.api.rows import show
from app.domain import ids
from app.domain.amounts import AmountCheck
from app.domain.customers import customer_key
from app.domain.money import NONE_DECLARED, is_listed, read_declared
from app.domain.order_fields import UNKNOWN, properties
from app.domain.order_fields import Field as OrderField
from app.domain.orders import (
    TRUST_PIXEL,
    TRUST_SERVER,
    TRUST_SIGNED_PIXEL,
    TRUST_WEBHOOK,
    Context,
    OrderReport,
    Parsed,
    Receipt,
    stated_fields,
)
from app.domain.statuses import StatusChange
from app.orders.batching import Recorder
from app.orders.recompute import OrderState
from app.orders.record import Recorded

TRUST_NAMES = {
    TRUST_WEBHOOK: "signed",
    TRUST_SERVER: "authenticated",
    TRUST_SIGNED_PIXEL: "signed_pixel",
    TRUST_PIXEL: "unsigned",
}
CURRENCIES = "SELECT currency, currencies FROM brand WHERE id = $1"


# ── What is shown ────────────────────────────────────────────────────────────────────────────────────────────────────


class ConversionWitness(BaseModel):
    """One report of the order."""

    door: str = Field(description="Where it came in: `api`, `import`, `hook`, `pixel`, `beacon`.")
    platform: str
    trust: Literal["signed", "authenticated", "signed_pixel", "unsigned"] = Field(
        description="A signed webhook is believed before a call with a secret key, that before a pixel that the shop's server signed. What is `unsigned` "
        "was sent by anybody."
    )
    received_at: Moment = Field(description="The earliest receipt of these words.")
    delivery_id: str | None = Field(description="The raw message, for what came through a public door.")
    amounts: Literal[
        "used",
        "confirmed",
        "differs",
        "superseded",
        "after_lock",
        "after_refunds",
        "other_currency",
        "other_base",
        "none",
    ] = Field(
        description="What its amount is to the order's `net_minor`. `used`: it is taken. `confirmed`: the same, within the brand's tolerance. "
        "`differs`: another one, and somebody should look. `superseded`: the same place has said something newer since. `after_lock`: heard after the "
        "order was locked. `after_refunds`: what refunds or a cancellation have left. "
        "`other_currency`, `other_base` (with tax or shipping that nobody tells apart): cannot be compared. `none`: it states none."
    )
    net_minor: int | None = Field(description="The net it states itself.")
    difference_minor: int | None = Field(
        description="By how much it says more than what is taken, on one base; null where that cannot be told."
    )
    said: dict[str, Any] = Field(description="What it said; what it did not say is left out.")


class CreditShare(BaseModel):
    """A collaboration's share of the order."""

    collaboration_id: str
    influencer_id: str
    campaign_id: str
    link_id: str | None
    code_id: str | None
    method: str
    weight_bp: int = Field(description="Hundredths of a percent, for display; 10,000 over all credits.")
    net_minor: int | None = Field(description="Its share of the order's `net_minor`, before refunds.")


class AttributionCandidate(BaseModel):
    """A code or click that might have explained the order, and why it did or did not."""

    method: str
    code: str | None
    code_alias: str | None = Field(
        default=None, description="What the shop system calls the code (`promo_…`), where the order named it so."
    )
    click_id: str | None
    bound_by: str | None = Field(default=None, description="The customer's first order, where the method is `bound`.")
    occurred_at: Moment | None
    collaboration_id: str | None
    influencer_id: str | None
    campaign_id: str | None
    link_id: str | None
    code_id: str | None
    eligible: bool
    reason: str = Field(description="A stable word.", examples=["outranked"])


class AttributionPreview(BaseModel):
    """What would be decided now about a locked order."""

    verdict: Literal["attributed", "unattributed", "pending_click"]
    method: str | None
    model: str
    policy_version: int
    reason: str
    credits: list[CreditShare]


class Attribution(AttributionPreview):
    """Who gets the order, and why."""

    candidates: list[AttributionCandidate]
    now: AttributionPreview | None = Field(
        default=None,
        description="What would be decided today about a locked order, where that credits somebody else. It moves nothing.",
    )


class RefundEffect(BaseModel):
    """What one refund, cancellation or chargeback took from the order; negative for a reversal, which gives back."""

    refund_id: str
    type: str
    amount_minor: int
    occurred_at: Moment
    reverses: str | None = Field(
        description="The `refund_id` that a reversal gives back; null: anything that was taken."
    )
    flag: str | None = Field(
        description="Why it moved less than it said, or nothing at all: `refund_over_order`, `refund_line_unknown`, `currency_mismatch`, "
        "`reversal_without_refund` (it waits for the refund that it names). Null: it moved what it said."
    )


class ConversionStatusChange(BaseModel):
    """One decision about the order."""

    at: Moment
    from_: str = Field(alias="from", description="The status it found.")
    to: str
    reason: str | None
    note: str | None
    key_id: str | None = Field(description="Whose key. Null: its hold had passed, and the service locked it.")


class ConversionSummary(BaseModel):
    """An order, lead, signup, install or other event."""

    id: str
    order_id: str | None
    shop: str
    kind: str
    status: str = Field(
        description="`pending`; `approved` once paid, or by you; `locked` when its hold has passed: only refunds change its money then; `paid`; "
        "`rejected` by you; `unverified`: only a pixel reported it, and the shop has a signed source, or a server that reports every order, or the "
        "amount is more than pixels are believed for; `stub`: only refunds name it so far."
    )
    status_reason: str | None = Field(description="Why it was rejected.")
    locks_at: Moment | None = Field(description="When it will be locked, while it is approved.")
    locked_at: Moment | None
    occurred_at: Moment | None
    currency: str | None
    items_minor: int | None
    discount_minor: int | None
    tax_minor: int | None
    shipping_minor: int | None
    net_minor: int | None = Field(
        description="After discount, before tax, shipping and refunds; null while nobody said it."
    )
    refunded_minor: int = Field(description="Positive: what refunds have taken back.")
    origin: Literal["first", "renewal", "unknown"] = Field(
        description="Whether it is a subscription's `first` order or a `renewal`; `unknown` where nobody said so."
    )
    customer_is_new: bool | None = Field(
        default=None,
        description="Whether the customer was new: as somebody stated it, else whether no earlier order of theirs is known; null when nobody knows the "
        "customer, and in answers to a report that does not state it.",
    )
    test: bool
    flags: list[str] = Field(
        description="What should be looked at: `amount_disagreement`, `changed_after_lock`, `refund_over_order`, `unsigned`, `over_cap` … "
        "docs/orders.md explains every one."
    )
    attribution: Attribution | None = Field(description="Null for a stub.")
    created_at: Moment


class Conversion(ConversionSummary):
    """An order with everything that is known of it."""

    refunds: list[RefundEffect] = Field(
        description="In the order in which they took effect; then those that have none yet, with amount 0 and their `flag`."
    )
    status_changes: list[ConversionStatusChange] = Field(description="Every decision about it, the oldest first.")
    witnesses: list[ConversionWitness] = Field(description="Everyone who reported it, the most trusted first.")


def show_order_state(state: OrderState) -> Conversion:
    """An order with its witnesses, refunds and decisions."""
    order = state.order
    return Conversion(
        **summary_fields(state.conversion, state.decision),
        refunds=[show(RefundEffect, "", each, type=each.kind) for each in (*order.effects, *order.idle)],
        status_changes=[_status_change(change) for change in state.changes],
        witnesses=[_witness(check) for check in order.amount_checks],
    )


def summary_fields(conversion: Mapping[str, Any], decision: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of ConversionSummary, from rows or from what `record()` returns."""
    computed = {
        "id": ids.show("conversion", conversion["id"]),
        "attribution": None if decision is None else _attribution(decision),
    }
    return {name: conversion[name] for name in ConversionSummary.model_fields if name not in computed} | computed


def _attribution(decision: Mapping[str, Any]) -> Attribution:
    now = decision["now"]
    return Attribution(
        **_decided(decision),
        now=None if now is None else AttributionPreview(**_decided(now)),
        candidates=[
            AttributionCandidate(
                **{
                    **each,
                    **_ids_of(each),
                    "click_id": _click(each["click_id"]),
                    "bound_by": _shown("conversion", each.get("bound_by")),
                }
            )
            for each in decision["candidates"]
        ],
    )


def _decided(decision: Mapping[str, Any]) -> dict[str, Any]:
    decided = {name: decision[name] for name in ("verdict", "method", "model", "policy_version", "reason")}
    return {**decided, "credits": [CreditShare(**{**each, **_ids_of(each)}) for each in decision["credits"]]}


def _ids_of(row: Mapping[str, Any]) -> dict[str, str | None]:
    kinds = ("collaboration", "influencer", "campaign", "link", "code")
    return {f"{kind}_id": _shown(kind, row[f"{kind}_id"]) for kind in kinds}


def _shown(kind: str, value: UUID | str | None) -> str | None:
    if value is None:
        return None
    return ids.show(kind, value if isinstance(value, UUID) else UUID(value))


def _click(signal: str | None) -> str | None:
    """A click as it is shown; as the order named it when it cannot be one of ours."""
    try:
        return _shown("click", signal)
    except ValueError:
        return signal


def _status_change(change: StatusChange) -> ConversionStatusChange:
    return ConversionStatusChange(
        at=change.changed_at,
        **{"from": change.was},
        to=change.status,
        reason=change.reason,
        note=change.note,
        key_id=_shown("key", change.key_id),
    )


def _witness(check: AmountCheck) -> ConversionWitness:
    witness = check.witness
    return ConversionWitness(
        **{name: getattr(witness, name) for name in ("door", "platform", "received_at")},
        **{name: getattr(check, name) for name in ("amounts", "net_minor", "difference_minor")},
        trust=TRUST_NAMES[witness.trust],  # type: ignore[arg-type]
        delivery_id=_shown("delivery", witness.delivery_id),
        said=stated_fields(witness.report),
    )


def show_parsed(parsed: Parsed) -> dict[str, Any]:
    """The `read` of a delivery, or of a sample that a mapping is tried on: reports with their refunds, landings, or why there are none."""
    shown: dict[str, Any] = {"topic": parsed.topic}
    for name in ("ignored", "rejected", "detail"):
        if getattr(parsed, name) is not None:
            shown[name] = getattr(parsed, name)
    if parsed.all_reports:
        shown["reports"] = [
            {**stated_fields(report), "refunds": [stated_fields(each) for each in report.refunds]}
            for report in parsed.all_reports
        ]
    if parsed.landings:
        shown["landings"] = [
            {"visitor_id": each.visitor_id, "click_id": each.click_id, "seen_at": each.seen_at}
            for each in parsed.landings
        ]
    if parsed.demand is not None:
        shown["demand"] = msgspec.to_builtins(parsed.demand)
    if parsed.notes:
        shown["notes"] = list(parsed.notes)
    return shown


# ── What is taken in ─────────────────────────────────────────────────────────────────────────────────────────────────


def request_body(title: str, fields: Iterable[OrderField], **examples: Any) -> dict[str, Any]:
    """OpenAPI's requestBody of these fields; examples: `example` or `examples`."""
    fields = tuple(fields)
    schema = {
        "title": title,
        "type": "object",
        "required": [field.name for field in fields if field.required],
        "properties": properties(fields),
        "additionalProperties": UNKNOWN,
    }
    return {"required": True, "content": {"application/json": {"schema": schema, **examples}}}


ReadBody = Callable[[object, Context], OrderReport]


async def take_report(request: Request, caller: Caller, read: ReadBody) -> tuple[OrderReport, Recorded]:
    """Reads the body with `read` and records it, together with those of other requests.

    Returns after the commit. Raises Invalid.
    """
    body = await request.json()
    given = body if isinstance(body, dict) else {}
    state = request.app.state
    now = clock.now()
    currency, declared = given.get("currency"), NONE_DECLARED
    # Nearly every order is in a currency that is known without asking.
    if not isinstance(currency, str) or not is_listed(currency.strip().upper()):
        brands, stored = await state.pool.fetchrow(CURRENCIES, caller.brand_id)
        currency, declared = brands, read_declared(stored)
    context = Context(
        received_at=now,
        currency=currency,
        customer_key=partial(customer_key, state.customer_secret, caller.brand_id),
        shop=caller.shop or "main",
        currencies=declared,
    )
    report = read(body, context)
    # No origin: the same content is one witness under any key of the brand, also after the key was replaced.
    receipt = Receipt(TRUST_SERVER, "api", "api", now)
    recorder: Recorder = state.recorder
    return report, await recorder.record(caller.brand_id, report, receipt)
