"""Costs: what a collaboration or a whole campaign cost. ROI stands on them, so a kind says what is counted."""

import re
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, JsonValue, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from app.api.auth import Reader, Writer
from app.api.collaboration_ref import Paired, join
from app.api.collection import Collection
from app.api.currencies import KNOWS_CURRENCIES, Currency, read_declared_of
from app.api.downloads import CSV_FILE, MoneyStyle, send_csv
from app.api.fields import (
    YEARS,
    ExternalId,
    Given,
    Metadata,
    Minor,
    Moment,
    Note,
    Reference,
    absent,
    blame,
    changes,
)
from app.api.http import CHANGES, CREATES, FOUND, Session, resource
from app.api.pagination import Page, Paging
from app.api.rows import equals, points_to, refer, refuse_different
from app.api.sheets import (
    ID,
    METADATA,
    Cells,
    Column,
    DryRun,
    Form,
    SheetAnswer,
    SheetRoute,
    columns_of,
    file_body,
    make_each,
    take,
    text,
    whole,
)
from app.database.tables import campaign, collaboration, cost
from app.domain.money import Decimals, read_amount, read_currency

router: APIRouter = resource("costs")

Kind = Literal[
    "fee",
    "product",
    "product_shipping",
    "shipping",
    "production",
    "gift",
    "event",
    "travel",
    "meal",
    "agency_fee",
    "content_rights",
    "paid_boost",
    "platform_fee",
    "commission",
    "network_fee",
    "other",
]


_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _day_text(value: object) -> object:
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("should be a day such as 2026-11-22, without a time")
    return value


def _believable(day: date) -> date:
    if not YEARS[0] <= day.year < YEARS[1]:
        raise ValueError(f"lies outside the years {YEARS[0]} to {YEARS[1]}")
    return day


Day = Annotated[
    date,
    BeforeValidator(_day_text),
    AfterValidator(_believable),
    Field(description="The day it counts on, in the brand's zone.", examples=["2026-11-22"]),
]


class NewCost(Given):
    """What makes a cost: of one collaboration, or of a whole campaign, which no breakdown below the campaign can split."""

    collaboration_id: Reference | None = None
    campaign_id: Reference | None = Field(default=None, description="Alone: a cost of the whole campaign.")
    influencer_id: Reference | None = Field(
        default=None,
        description="With `campaign_id`: the cost of their collaboration, which is made when there is none.",
    )
    kind: Kind = Field(description="`product` is the unit cost, not the retail price.")
    amount_minor: Minor
    currency: Currency
    incurred_on: Day
    note: Note | None = None
    external_id: ExternalId | None = None
    metadata: Metadata = Field(default={})

    @model_validator(mode="after")
    def _one_owner(self) -> "NewCost":
        if self.collaboration_id is None and self.campaign_id is None:
            if self.influencer_id is not None:
                raise blame("campaign_id", "required", "is required: campaign_id and influencer_id go together")
            raise blame("collaboration_id", "required", "is required, or campaign_id for a cost of the whole campaign")
        for field in ("campaign_id", "influencer_id"):
            if self.collaboration_id is not None and getattr(self, field) is not None:
                raise blame(field, "ambiguous", "leave it out: the collaboration has both already")
        return self


class CostChange(Given):
    """What may change; what is left out stays, null clears. Whose cost it is does not change: archive it and make another."""

    kind: Kind = absent()
    amount_minor: Minor = absent()
    currency: Currency = absent()
    incurred_on: Day = absent()
    note: Note | None = None
    external_id: ExternalId | None = None
    metadata: dict[str, JsonValue] = absent()


class Cost(BaseModel):
    """What something cost."""

    id: str
    external_id: str | None
    campaign_id: str
    collaboration_id: str | None = Field(description="Null: a cost of the whole campaign.")
    kind: str
    amount_minor: int
    currency: str
    incurred_on: date
    note: str | None
    metadata: dict[str, Any]
    created_at: Moment
    updated_at: Moment
    archived_at: Moment | None


costs = Collection(cost, Cost)


@router.post("", status_code=201, responses={**CREATES, **FOUND}, dependencies=[KNOWS_CURRENCIES])
async def create_cost(caller: Writer, session: Session, body: NewCost, response: Response) -> Cost:
    """Adds a cost; with an `external_id` that exists with the same content, answers 200 with the existing one."""
    row, _ = await costs.create(session, caller.brand_id, await _values(session, caller.brand_id, body), response)
    return costs.show(row)


async def _values(session: AsyncConnection, brand_id: UUID, body: NewCost) -> dict[str, Any]:
    """The columns of a cost. Raises NotFound or Conflict for whom it names."""
    values = body.model_dump(exclude={"collaboration_id", "campaign_id", "influencer_id"})
    if body.collaboration_id is None and body.influencer_id is None:
        assert body.campaign_id is not None
        owner = await refer(session, campaign, brand_id, "campaign_id", body.campaign_id)
        values |= {"collaboration_id": None, "campaign_id": owner}
    else:
        named = Paired(**body.model_dump(include={"collaboration_id", "campaign_id", "influencer_id"}))
        pair = await join(session, brand_id, named)
        values |= {"collaboration_id": pair.id, "campaign_id": pair.campaign_id}
    return values


# ── As a table ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _form(declared: Decimals) -> Form[NewCost]:
    """The columns of costs. declared: the brand's own currencies."""

    def read_major(cell: str, cells: Cells) -> int:
        currency = read_currency(cells.get("currency", ""), declared)
        return read_amount(cell, currency, declared)

    return Form(
        NewCost,
        (
            ID, text("external_id"), text("collaboration_id"), text("campaign_id"), text("influencer_id"), text("kind"),
            Column("amount", ("amount_minor",), read_major, None), whole("amount_minor"), text("currency"), text("incurred_on"), text("note"), METADATA,
        ),
        keys=("external_id", "id"),
        stand_ins={
            "campaign_id": "ext_-", "collaboration_id": "ext_-", "kind": "fee", "amount_minor": 0, "amount": 0, "currency": "EUR",
            "incurred_on": "2026-01-01",
        },
    )  # fmt: skip


class CostSheet(SheetRoute):
    """Reads the columns of costs."""

    columns = columns_of(_form({}), "external_id,campaign_id,influencer_id,kind,amount,currency,incurred_on")


sheets: APIRouter = resource("costs", route_class=CostSheet)


@sheets.post(
    ".csv",
    responses=CHANGES,
    dependencies=[KNOWS_CURRENCIES],
    openapi_extra=file_body(CostSheet.columns, "fee-lea,ext_serum,ext_lea,fee,500.00,EUR,2026-11-22"),
)
async def upload_costs(
    caller: Writer, session: Session, request: Request, response: Response, dry_run: DryRun = False
) -> SheetAnswer:
    """Adds up to 1,000 costs from a CSV, all or none; everything that is wrong is told at once, by line and column. The same file again changes nothing.

    Amounts as `amount`, `500.00`, or as `amount_minor`, `50000`.
    """

    async def make(body: NewCost, cells: Cells) -> bool:
        values = await _values(session, caller.brand_id, body)
        if "id" in cells:
            refuse_different(await costs.find(session, caller.brand_id, cells["id"]), values, by="id")
            return False
        _, made = await costs.create(session, caller.brand_id, values, response)
        return made

    form = _form(await read_declared_of(request))
    answer = await take(
        session,
        request.state.lines,
        form,
        lambda rows, faults: make_each(session, form, rows, faults, make),
        dry_run=dry_run,
    )
    response.status_code = 200
    return answer


@router.get(".csv", responses=CSV_FILE, response_class=Response)
async def download_costs(
    caller: Reader, request: Request, style: MoneyStyle, include_archived: bool = False
) -> Response:
    """All costs as a CSV, newest first, in the columns in which they can be sent in again."""
    form = _form({})
    return await send_csv(
        request, "costs", costs.listing(caller.brand_id, include_archived), form.header, _written, style
    )


def _written(shown: Cost) -> dict[str, object]:
    """The cells of a cost. Of a collaboration's, the collaboration alone says whose it is."""
    cells = _form({}).written(shown)
    return {
        **cells,
        "amount_minor": shown.amount_minor,
        "campaign_id": None if shown.collaboration_id else shown.campaign_id,
    }


@router.get("")
async def list_costs(
    caller: Reader,
    session: Session,
    paging: Paging,
    campaign_id: Annotated[str | None, Query(max_length=205, description="Its collaborations' costs included.")] = None,
    collaboration_id: Annotated[str | None, Query(max_length=205)] = None,
    kind: Kind | None = None,
    first_day: Annotated[Day | None, Query(alias="from", description="First day.")] = None,
    day_after: Annotated[Day | None, Query(alias="to", description="The day after the last.")] = None,
    external_id: Annotated[str | None, Query(max_length=200)] = None,
    include_archived: bool = False,
) -> Page[Cost]:
    """The brand's costs, newest first."""
    return await costs.page(
        session,
        caller.brand_id,
        paging,
        include_archived,
        points_to(cost.c.campaign_id, campaign, caller.brand_id, campaign_id),
        points_to(cost.c.collaboration_id, collaboration, caller.brand_id, collaboration_id),
        equals(cost.c.kind, kind),
        None if first_day is None else cost.c.incurred_on >= first_day,
        None if day_after is None else cost.c.incurred_on < day_after,
        equals(cost.c.external_id, external_id),
    )


costs.offer_read(router)


@router.patch("/{id}", responses=CHANGES, dependencies=[KNOWS_CURRENCIES])
async def change_cost(id: str, caller: Writer, session: Session, body: CostChange) -> Cost:
    """Changes what is sent; reports show it at once."""
    row = await costs.lock(session, caller.brand_id, id)
    return costs.show(await costs.write(session, row, changes(body, row._mapping.get)))


costs.offer_archive(
    router,
    archive="Archives a cost: it counts no longer.",
    unarchive="Brings an archived cost back: it counts again, on its day. Refused while its campaign or its collaboration is archived.",
)
