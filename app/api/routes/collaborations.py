"""Collaborations: one influencer in one campaign, at most one per pair; the unit that is credited, paid and compared."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, JsonValue, Strict

from app.api.auth import Reader, Writer
from app.api.collection import Collection
from app.api.fields import ExternalId, Given, Metadata, Minor, Moment, Reference, absent, changes
from app.api.http import CHANGES, CREATES, FOUND, Session, resource
from app.api.pagination import Page, Paging
from app.api.rows import answer_found, equals, insert_new, points_to, refer, refuse_archived, refuse_different
from app.database.tables import campaign, collaboration, influencer

router: APIRouter = resource("collaborations")


class PercentCommission(Given):
    """A share of net revenue."""

    type: Literal["percent"]
    rate_bp: Annotated[int, Strict(), Field(ge=0, le=10_000, description="Basis points: 1,000 is 10 %.")]


class FixedCommission(Given):
    """An amount per conversion, in the campaign's currency."""

    type: Literal["fixed"]
    amount_minor: Minor


Commission = Annotated[
    PercentCommission | FixedCommission, Field(discriminator="type", examples=[{"type": "percent", "rate_bp": 1_000}])
]


class NewCollaboration(Given):
    """What makes a collaboration."""

    campaign_id: Reference
    influencer_id: Reference
    commission: Commission | None = None
    external_id: ExternalId | None = None
    metadata: Metadata = Field(default={})


class CollaborationChange(Given):
    """What may change; what is left out stays, null clears."""

    commission: Commission | None = None
    external_id: ExternalId | None = None
    metadata: dict[str, JsonValue] = absent()


class Collaboration(BaseModel):
    """One influencer in one campaign."""

    id: str
    external_id: str | None
    campaign_id: str
    influencer_id: str
    commission: Commission | None
    metadata: dict[str, Any]
    created_at: Moment
    updated_at: Moment
    archived_at: Moment | None


collaborations = Collection(collaboration, Collaboration)


@router.post("", status_code=201, responses={**CREATES, **FOUND})
async def create_collaboration(
    caller: Writer, session: Session, body: NewCollaboration, response: Response
) -> Collaboration:
    """Joins an influencer to a campaign, or answers 200 with the collaboration that the pair has. Refused when that one says otherwise."""
    campaign_id = await refer(session, campaign, caller.brand_id, "campaign_id", body.campaign_id)
    influencer_id = await refer(session, influencer, caller.brand_id, "influencer_id", body.influencer_id)
    values = {**body.model_dump(exclude_unset=True), "campaign_id": campaign_id, "influencer_id": influencer_id}
    row = await insert_new(session, collaboration, {"brand_id": caller.brand_id, **values})
    answer_found(response, row is not None)
    if row is None:
        pair = (collaboration.c.campaign_id == campaign_id) & (collaboration.c.influencer_id == influencer_id)
        query = collaborations.query(caller.brand_id)
        row = (await session.execute(query.where(pair))).one_or_none()
        if row is None:
            row = (await session.execute(query.where(collaboration.c.external_id == body.external_id))).one()
        refuse_archived("collaboration", row)
        refuse_different(row, values, by="influencer_id")
    return collaborations.show(row)


@router.get("")
async def list_collaborations(
    caller: Reader,
    session: Session,
    paging: Paging,
    campaign_id: Annotated[str | None, Query(max_length=205)] = None,
    influencer_id: Annotated[str | None, Query(max_length=205)] = None,
    external_id: Annotated[str | None, Query(max_length=200)] = None,
    include_archived: bool = False,
) -> Page[Collaboration]:
    """The brand's collaborations, newest first."""
    return await collaborations.page(
        session,
        caller.brand_id,
        paging,
        include_archived,
        points_to(collaboration.c.campaign_id, campaign, caller.brand_id, campaign_id),
        points_to(collaboration.c.influencer_id, influencer, caller.brand_id, influencer_id),
        equals(collaboration.c.external_id, external_id),
    )


collaborations.offer_read(router)


@router.patch("/{id}", responses=CHANGES)
async def change_collaboration(id: str, caller: Writer, session: Session, body: CollaborationChange) -> Collaboration:
    """Changes what is sent; the commission is replaced as a whole."""
    row = await collaborations.lock(session, caller.brand_id, id)
    sent = changes(body, row._mapping.get)
    if body.commission is not None:
        sent["commission"] = body.commission.model_dump()
    return collaborations.show(await collaborations.write(session, row, sent))


collaborations.offer_archive(
    router,
    archive="Archives a collaboration: nothing new can be made in it; its links and codes go on working.",
    unarchive="Brings an archived collaboration back as it was. Refused while its campaign or its influencer is archived.",
)
