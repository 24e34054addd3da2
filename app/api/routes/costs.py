"""Costs: what a collaboration or a whole campaign cost. ROI stands on them, so a kind says what is counted."""

import re
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, JsonValue, model_validator

from app.api.auth import Reader, Writer
from app.api.collaboration_ref import Paired, join
from app.api.collection import Collection
from app.api.currencies import KNOWS_CURRENCIES, Currency
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
from app.api.rows import equals, points_to, refer
from app.database.tables import campaign, collaboration, cost

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
    values = body.model_dump(exclude={"collaboration_id", "campaign_id", "influencer_id"})
    if body.collaboration_id is None and body.influencer_id is None:
        assert body.campaign_id is not None
        owner = await refer(session, campaign, caller.brand_id, "campaign_id", body.campaign_id)
        values |= {"collaboration_id": None, "campaign_id": owner}
    else:
        named = Paired(**body.model_dump(include={"collaboration_id", "campaign_id", "influencer_id"}))
        pair = await join(session, caller.brand_id, named)
        values |= {"collaboration_id": pair.id, "campaign_id": pair.campaign_id}
    row, _ = await costs.create(session, caller.brand_id, values, response)
    return costs.show(row)


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
