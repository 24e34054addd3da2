"""Conversions: orders, leads, signups and installs, with the reports of them, their attribution and their status."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, cast
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field, StringConstraints, model_validator
from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.api.auth import Caller, Reader, Reporter, Writer
from app.api.downloads import CSV_FILE, NDJSON_FILE, MoneyStyle, send_csv, send_ndjson
from app.api.fields import Given, Moment, Note, Reference, blame
from app.api.http import BODY, CHANGES, FOUND, Pool, Session, resource
from app.api.orders import (
    Conversion,
    ConversionSummary,
    request_body,
    show_order_state,
    summary_fields,
    take_report,
)
from app.api.pagination import Listing, Page, Paging, fetch_listed
from app.api.rows import equals, matching, missing, points_to, read_id
from app.database.tables import campaign, conversion, credit, decision, influencer, order_ref
from app.database.transactions import driver_connection, in_transaction
from app.domain import bodies, ids, orders
from app.domain.folding import FLAGS
from app.domain.naming import AMBIGUOUS, PRIMARY
from app.domain.order_fields import ORDER_FIELDS
from app.domain.statuses import NEXT, REASONS, REJECTED
from app.errors import Conflict, FieldError, Invalid, NotFound
from app.orders import statuses
from app.orders.customers import who_is_new
from app.orders.recompute import read_order
from app.orders.statuses import RequestedStatus, StatusResult

router: APIRouter = resource("conversions")

Status = Literal["stub", "pending", "approved", "locked", "paid", "rejected", "unverified"]
Reason = Literal[
    "cancelled", "returned", "failed_payment", "breach_of_terms", "duplicate", "out_of_stock", "self_referral", "fraud", "other"
]  # fmt: skip


def _known_flag(flag: str) -> str:
    if flag not in FLAGS:
        raise ValueError(f"{flag[:40]!r} is none of {', '.join(FLAGS)}")
    return flag


Flag = Annotated[str, AfterValidator(_known_flag), Field(json_schema_extra={"enum": list(FLAGS)})]
ConversionId = Annotated[str, StringConstraints(min_length=1, max_length=60)]
JOINED = "; "
"""Between several values in one cell of a file."""
BATCH_ROWS = 100
"""Orders read at once for a file."""
IDS_MAX = 1_000
"""Orders in one change of status."""

EXAMPLE = {"order_id": "1001", "net_minor": 4990, "currency": "EUR", "codes": ["LEA10"]}
BODY_SCHEMA = request_body("NewConversion", ORDER_FIELDS, example=EXAMPLE)
KNOWN_ORDER: dict[int | str, dict[str, Any]] = {
    200: {"description": "The order was known; this report is one more witness, or nothing new."}
}


@router.post("", status_code=201, responses={**KNOWN_ORDER, **BODY}, openapi_extra={"requestBody": BODY_SCHEMA})
async def report_conversion(caller: Reporter, request: Request, response: Response) -> Conversion:
    """Reports a conversion and answers with the verdict, after its commit.

    `{order_id, codes}` is enough: the amount may come from another witness. The same report again, now or in a year, changes nothing and is
    answered 200. A differing report of a known order is kept as another witness; what a more trusted or newer one says goes first.
    """
    _, recorded = await take_report(request, caller, bodies.read_order)
    if not recorded.created:
        response.status_code = 200
    return show_order_state(recorded.state)


async def _orders(
    caller: Reader,
    order_id: Annotated[str | None, Query(max_length=200, description="Any name the order goes by.")] = None,
    status: Annotated[
        Status | None, Query(description="`stub` (orders that only refunds name) are listed only when asked for.")
    ] = None,
    shop: Annotated[str | None, Query(max_length=200)] = None,
    kind: Annotated[str | None, Query(max_length=40)] = None,
    origin: Annotated[
        Literal["first", "renewal", "unknown"] | None,
        Query(description="Whether a subscription's first order, or a renewal."),
    ] = None,
    test: Annotated[
        bool | None, Query(description="true: only test orders; false: none of them; both by default.")
    ] = None,
    flag: Annotated[Flag | None, Query(description="Only orders with this flag. docs/orders.md explains each.")] = None,
    influencer_id: Annotated[Reference | None, Query(description="Orders credited to one influencer.")] = None,
    campaign_id: Annotated[Reference | None, Query(description="Orders credited to one campaign.")] = None,
    from_: Annotated[Moment | None, Query(alias="from", description="Placed at or after.")] = None,
    to: Annotated[Moment | None, Query(description="Placed before.")] = None,
) -> Listing[ConversionSummary]:
    """The brand's orders under these filters, newest first."""
    decided = [
        decision.c[name]
        for name in ("verdict", "method", "model", "policy_version", "reason", "credits", "candidates", "now")
    ]
    same = (decision.c.brand_id == conversion.c.brand_id) & (decision.c.conversion_id == conversion.c.id)
    columns = [column for column in conversion.c if column.name != "digest"]
    query = (
        select(*columns, *decided)
        .select_from(conversion.outerjoin(decision, same))
        .where(conversion.c.brand_id == caller.brand_id, conversion.c.root_id == conversion.c.id)
    )
    credited = select(credit.c.conversion_id).where(credit.c.brand_id == caller.brand_id, credit.c.position == 0)
    owners = (
        points_to(credit.c[f"{table.name}_id"], table, caller.brand_id, shown)
        for table, shown in ((influencer, influencer_id), (campaign, campaign_id))
    )
    query = matching(
        query,
        None if status == "stub" else conversion.c.occurred_at.is_not(None),
        equals(conversion.c.status, status),
        equals(conversion.c.shop, shop),
        equals(conversion.c.kind, kind),
        equals(conversion.c.origin, origin),
        None if test is None else conversion.c.test.is_(test),
        None if flag is None else conversion.c.flags.contains([flag]),
        None if order_id is None else conversion.c.id.in_(_roots_named(caller.brand_id, order_id.strip())),
        *(None if owner is None else conversion.c.id.in_(credited.where(owner)) for owner in owners),
        None if from_ is None else conversion.c.occurred_at >= from_,
        None if to is None else conversion.c.occurred_at < to,
    )
    keys = [conversion.c.id] if status == "stub" else [conversion.c.occurred_at, conversion.c.id]

    async def show_all(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[ConversionSummary]:
        listed = {row.id: _summary(row) for row in rows}
        new = await who_is_new(await driver_connection(connection), caller.brand_id, listed) if listed else {}
        for key, is_new in new.items():
            listed[key].customer_is_new = is_new
        return list(listed.values())

    return Listing(query, keys, show_all, batch_rows=BATCH_ROWS)


Orders = Annotated[Listing[ConversionSummary], Depends(_orders)]


@router.get("")
async def list_conversions(session: Session, paging: Paging, orders: Orders) -> Page[ConversionSummary]:
    """The brand's orders, newest first; those that count nowhere (test, rejected, unverified) included."""
    return await fetch_listed(session, orders, paging)


@router.get(".csv", responses=CSV_FILE, response_class=Response)
async def download_conversions_csv(request: Request, orders: Orders, style: MoneyStyle) -> Response:
    """All orders under these filters as a file for a spreadsheet, newest first.

    An order is one line: several flags, or several credits of a shared order, stand in one cell with `; ` between
    them. A text that a spreadsheet would run as a formula begins with an apostrophe.
    """
    return await send_csv(request, "conversions", orders, COLUMNS, _flat, style)


@router.get(".ndjson", responses=NDJSON_FILE, response_class=Response)
async def download_conversions_ndjson(request: Request, orders: Orders) -> Response:
    """All orders under these filters, one JSON object a line as the list shows them, newest first."""
    return await send_ndjson(request, "conversions", orders)


DECIDED = ("verdict", "method", "model", "policy_version", "reason")
CREDITED = ("influencer_id", "campaign_id", "collaboration_id", "link_id", "code_id", "weight_bp")
COLUMNS = (*(name for name in ConversionSummary.model_fields if name != "attribution"), *DECIDED, *CREDITED)


def _flat(order: ConversionSummary) -> dict[str, object]:
    """An order as the cells of one line."""
    shown = order.model_dump(mode="json", exclude={"attribution"})
    shown["flags"] = JOINED.join(order.flags)
    if order.attribution is not None:
        shown |= {name: getattr(order.attribution, name) for name in DECIDED}
        for name in CREDITED:
            values = [getattr(each, name) for each in order.attribution.credits]
            # One number stays a number; several are a text.
            shown[name] = (
                values[0] if len(values) == 1 else JOINED.join("" if each is None else str(each) for each in values)
            )
    return shown


def _roots_named(brand_id: UUID, name: str) -> Select[Any]:
    """The orders that go by this name, each as the one it may have been merged into; all of them for a number that several orders have."""
    names = {name, orders.order_ref(name)}
    number = f"{AMBIGUOUS}{orders.order_ref(name)}"
    by_name = order_ref.c.ref.in_({*names, number}) | order_ref.c.ref.startswith(f"{number}{PRIMARY}", autoescape=True)
    named = select(order_ref.c.conversion_id).where(order_ref.c.brand_id == brand_id, by_name)
    merged = conversion.alias("merged")
    return select(merged.c.root_id).where(merged.c.brand_id == brand_id, merged.c.id.in_(named))


def _summary(row: Row[Any]) -> ConversionSummary:
    fields = dict(row._mapping)
    return ConversionSummary(**summary_fields(fields, None if row.verdict is None else fields))


@router.get("/{id}", responses=FOUND)
async def read_conversion(id: str, caller: Reader, pool: Pool) -> Conversion:
    """One order with its witnesses, refunds, decision and every candidate. The id of an order that was merged into another leads to that one."""
    async with pool.acquire() as connection:
        driver = cast(asyncpg.Connection, connection)
        state = await read_order(driver, caller.brand_id, read_id("conversion", id))
        if state is None:
            raise missing("conversion", id)
        new = await who_is_new(driver, caller.brand_id, [state.conversion["id"]])
    shown = show_order_state(state)
    shown.customer_is_new = new.get(state.conversion["id"])
    return shown


# ── What people decide ───────────────────────────────────────────────────────────────────────────────────────────────


class NewStatus(Given):
    """What an order shall become."""

    status: Literal["approved", "rejected", "pending", "locked", "paid"] = Field(
        description="From `pending` or `unverified`: `approved`, `rejected`. From `approved`: `locked`, `rejected`. From `rejected`: `pending`, which "
        "takes the rejection back (a paid order is approved again at once). From `locked`: `paid`, or `approved`, which lifts the lock and needs a "
        "`note`; the hold begins anew. `paid` is for ever."
    )
    reason: Reason | None = Field(default=None, description="Why: required with `rejected`, and only there.")
    note: Note | None = Field(default=None, description="For those who read it later.")

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        if self.status == REJECTED and self.reason is None:
            raise blame("reason", "required", f"is required: {', '.join(REASONS)}")
        if self.status != REJECTED and self.reason is not None:
            raise blame("reason", "contradiction", "is for `rejected` only")
        return self


class NewStatuses(NewStatus):
    """What many orders shall become."""

    ids: Annotated[list[ConversionId], Field(min_length=1, max_length=IDS_MAX, description="All of them, or none.")]


class ConversionStatus(BaseModel):
    """An order and what became of it."""

    id: str
    order_id: str | None
    status: str
    status_reason: str | None
    locked_at: Moment | None


class ChangedStatuses(BaseModel):
    """What became of many orders."""

    changed: int = Field(description="How many were not so already.")
    data: list[ConversionStatus] = Field(description="In the order asked.")


@router.post("/status", responses=CHANGES)
async def change_statuses(caller: Writer, pool: Pool, body: NewStatuses) -> ChangedStatuses:
    """Approves, rejects, takes back, locks or marks as paid up to 1,000 orders: all of them, or none.

    409 `status_not_allowed` names every order whose status does not allow it, with what it allows.
    """
    answer = await _decide(pool, caller, [(f"ids.{place}", shown) for place, shown in enumerate(body.ids)], body)
    assert answer.states is not None
    rows = [answer.states[read_id("conversion", shown)].conversion for shown in body.ids]
    data = [ConversionStatus(**{**row, "id": ids.show("conversion", row["id"])}) for row in rows]
    return ChangedStatuses(changed=len(answer.changed), data=data)


@router.post("/{id}/status", responses=CHANGES)
async def change_status(id: str, caller: Writer, pool: Pool, body: NewStatus) -> Conversion:
    """Approves, rejects, takes back, locks or marks as paid one order; what is so already stays as it is.

    Every change is kept, with the key, the time, the reason and the note. 409 `status_not_allowed` says what its status allows.
    """
    answer = await _decide(pool, caller, [("id", id)], body)
    assert answer.states is not None
    return show_order_state(answer.states[read_id("conversion", id)])


async def _decide(
    pool: asyncpg.Pool, caller: Caller, named: Sequence[tuple[str, str]], body: NewStatus
) -> StatusResult:
    """Changes these orders, given as (field, id). Raises NotFound or Conflict naming every field at fault, with nothing changed."""
    wanted = {field: read_id("conversion", shown) for field, shown in named}
    requested = RequestedStatus(body.status, caller.key_id, body.reason, body.note)

    async def work(connection: asyncpg.Connection) -> StatusResult:
        return await statuses.change_statuses(
            connection, caller.brand_id, list(dict.fromkeys(wanted.values())), requested
        )

    answer = await in_transaction(pool, work)
    unknown = [field for field, each in wanted.items() if each in answer.unknown]
    if unknown:
        code = "conversion_not_found"
        fields = tuple(FieldError(field, "no such conversion", code) for field in unknown)
        raise NotFound(f"no such conversion: {', '.join(unknown[:10])}", code=code, fields=fields)
    unexplained = [field for field, each in wanted.items() if each in answer.unexplained]
    if unexplained:
        raise Invalid.at(FieldError("note", f"say why the lock of {', '.join(unexplained[:10])} is lifted", "required"))
    refused = answer.refused or {}
    errors = [
        FieldError(field, _allowed(refused[each]), "status_not_allowed")
        for field, each in wanted.items()
        if each in refused
    ]
    if errors:
        raise Conflict.at(*errors, shown_max=10)
    return answer


def _allowed(status: str) -> str:
    following = " or ".join(each for each in NEXT[status] if each != status)
    return f"is {status} and may become {following}" if following else f"is {status} and stays so"
