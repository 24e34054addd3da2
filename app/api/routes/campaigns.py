"""Campaigns: objective, dates, budget, targets, and the attribution policy of their orders."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, JsonValue, Strict
from sqlalchemy import Row, Select, or_, select

from app.api.auth import Reader, Writer
from app.api.collection import Collection
from app.api.currencies import KNOWS_CURRENCIES, Currency
from app.api.fields import (
    Count,
    EndsAt,
    ExternalId,
    Given,
    Metadata,
    Minor,
    Moment,
    Name,
    Word,
    absent,
    changes,
    refuse_reversed,
)
from app.api.http import CHANGES, CREATES, FOUND, Session, resource
from app.api.pagination import Page, Paging
from app.api.policies import (
    AttributionPolicy,
    PolicyRules,
    PolicyVersion,
    append_rules,
    list_versions,
    newest_policy,
    read_rules,
    show_policy,
)
from app.api.rows import change, equals, show
from app.database.tables import brand, campaign
from app.database.transactions import driver_connection
from app.errors import Conflict
from app.orders.redecide import redecide_for_campaigns

router: APIRouter = resource("campaigns")

TARGETS_MAX = 30


class CampaignTarget(Given):
    """A figure that the campaign is meant to reach."""

    metric: Word = Field(examples=["conversions"])
    value: Count | Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]


Targets = Annotated[list[CampaignTarget], Field(max_length=TARGETS_MAX)]
Objective = Annotated[
    Word, Field(description="awareness, consideration, brand_image, community, leads, sales, …", examples=["sales"])
]
Type = Annotated[
    Word, Field(description="organic, paid, affiliate, multi_channel, contest, event, …", examples=["paid"])
]


class NewCampaign(Given):
    """What makes a campaign."""

    name: Name = Field(examples=["Winter launch"])
    objective: Objective
    type: Type | None = None
    external_id: ExternalId | None = None
    currency: Currency | None = Field(default=None, description="Of budget and commissions. Default: the brand's.")
    starts_at: Moment | None = Field(default=None, description="Touches before it explain no order. Null: since ever.")
    ends_at: EndsAt = Field(default=None, description="Half-open: touches at or after it explain no order.")
    budget_minor: Minor | None = None
    targets: Targets = Field(default=[])
    policy: PolicyRules | None = None
    metadata: Metadata = Field(default={})


class CampaignChange(Given):
    """What may change; what is left out stays, null clears."""

    name: Name = absent()
    objective: Objective = absent()
    type: Type | None = None
    external_id: ExternalId | None = None
    starts_at: Moment | None = None
    ends_at: EndsAt = None
    budget_minor: Minor | None = None
    targets: Targets = absent()
    policy: PolicyRules | None = Field(
        default=None, description="Merged over the policy in force, from now on; null: the brand's again."
    )
    metadata: dict[str, JsonValue] = absent()


class Campaign(BaseModel):
    """What collaborations are made in."""

    id: str
    external_id: str | None
    name: str
    objective: str
    type: str | None
    currency: str
    starts_at: Moment | None
    ends_at: Moment | None
    budget_minor: int | None
    targets: list[CampaignTarget]
    policy: AttributionPolicy | None = Field(description="Null: the brand's policy holds.")
    metadata: dict[str, Any]
    created_at: Moment
    updated_at: Moment
    archived_at: Moment | None


def _query(brand_id: UUID) -> Select[Any]:
    """Campaigns with the newest versions of their policy and of the brand's."""
    own, brands = newest_policy(brand_id, campaign.c.id), newest_policy(brand_id, brand_id)
    return select(campaign, own.label("policy"), brands.label("brand_policy")).where(campaign.c.brand_id == brand_id)


def _shown(row: Row[Any]) -> Campaign:
    policy = None
    # A version without rules went back to the brand's policy.
    if row.policy is not None and row.policy["rules"]:
        brands = {} if row.brand_policy is None else row.brand_policy["rules"]
        policy = show_policy(row.policy["version"], {**brands, **row.policy["rules"]})
    return show(Campaign, "campaign", row, policy=policy)


campaigns = Collection(campaign, Campaign, query=_query, show=_shown)


@router.post("", status_code=201, responses=CREATES, dependencies=[KNOWS_CURRENCIES])
async def create_campaign(caller: Writer, session: Session, body: NewCampaign, response: Response) -> Campaign:
    """Adds a campaign; with an `external_id` that exists with the same content, answers 200 with the existing one."""
    values = body.model_dump(exclude={"policy"})
    if body.currency is None:
        values["currency"] = await session.scalar(select(brand.c.currency).where(brand.c.id == caller.brand_id))
    row, made = await campaigns.create(session, caller.brand_id, values, response)
    if not made:
        _, rules = await read_rules(session, caller.brand_id, row.id)
        given = {} if body.policy is None else body.policy.model_dump(exclude_none=True)
        if given != rules:
            reason = "stands for another content already; it differs in policy"
            raise Conflict(f"external_id: {reason}", code="external_id_taken")
    elif body.policy is not None:
        await append_rules(session, caller.brand_id, row.id, body.policy, first=True)
    return _shown(await campaigns.read(session, caller.brand_id, row.id))


@router.get("")
async def list_campaigns(
    caller: Reader,
    session: Session,
    paging: Paging,
    q: Annotated[str | None, Query(max_length=200, description="Part of the name, in any case.")] = None,
    objective: Annotated[str | None, Query(max_length=100)] = None,
    active_at: Annotated[Moment | None, Query(description="Only campaigns whose dates hold this moment.")] = None,
    external_id: Annotated[str | None, Query(max_length=200)] = None,
    include_archived: bool = False,
) -> Page[Campaign]:
    """The brand's campaigns, newest first."""
    return await campaigns.page(
        session,
        caller.brand_id,
        paging,
        include_archived,
        None if q is None else campaign.c.name.icontains(q, autoescape=True),
        equals(campaign.c.objective, objective),
        None if active_at is None else or_(campaign.c.starts_at.is_(None), campaign.c.starts_at <= active_at),
        None if active_at is None else or_(campaign.c.ends_at.is_(None), campaign.c.ends_at > active_at),
        equals(campaign.c.external_id, external_id),
    )


campaigns.offer_read(router)


@router.patch("/{id}", responses=CHANGES)
async def change_campaign(id: str, caller: Writer, session: Session, body: CampaignChange) -> Campaign:
    """Changes what is sent. A policy becomes a new version, in force from now on: orders keep the policy under which they were placed.

    After a change of dates, orders that touched this campaign are decided again.
    """
    row = await campaigns.lock(session, caller.brand_id, id)
    sent = changes(body, row._mapping.get)
    policy_sent = "policy" in sent
    sent.pop("policy", None)
    starts_at, ends_at = sent.get("starts_at", row.starts_at), sent.get("ends_at", row.ends_at)
    refuse_reversed(sent, starts_at, ends_at)
    await change(session, campaign, caller.brand_id, row.id, sent)
    if policy_sent:
        await append_rules(session, caller.brand_id, row.id, body.policy)
    if (starts_at, ends_at) != (row.starts_at, row.ends_at):
        await redecide_for_campaigns(await driver_connection(session), caller.brand_id, [row.id])
    return _shown(await campaigns.read(session, caller.brand_id, row.id))


campaigns.offer_archive(
    router,
    archive="Archives a campaign: out of lists, kept in reports; its links and codes go on working.",
    unarchive="Brings an archived campaign back as it was. Its collaborations that were archived by themselves stay so.",
)


@router.get("/{id}/policies", responses=FOUND)
async def list_campaign_policies(id: str, caller: Reader, session: Session) -> list[PolicyVersion]:
    """Every version of the campaign's policy, newest first. Empty: the brand's policy has always held."""
    row = await campaigns.find(session, caller.brand_id, id)
    return list(await list_versions(session, caller.brand_id, row.id))
