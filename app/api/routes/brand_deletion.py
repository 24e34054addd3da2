"""Deleting a brand whole: asked for twice, with a confirmation that lapses."""

import hmac
from datetime import UTC, datetime, timedelta
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import func, select

from app import clock
from app.api.auth import Admin
from app.api.fields import Given, Moment, Word
from app.api.http import BODY, Session, resource
from app.api.job_queue import Job, enqueue
from app.api.problems import responses
from app.database.tables import brand, conversion
from app.errors import Invalid, TooMany
from app.secret import derive

router: APIRouter = resource("brand")

CONFIRM_WITHIN = timedelta(minutes=15)
"""Time after which a confirmation lapses."""
PURPOSE = "brand deletion"
"""Purpose under which app/secret.py derives the secret of confirmations."""
BEGINNING = "delete_"


class BrandDeletionRequest(Given):
    """First without, then with the confirmation that the first call answered."""

    confirmation: Word | None = Field(default=None, examples=["delete_1796040000_4f1c…"])


class BrandDeletionPreview(BaseModel):
    """What would be deleted, and how to go on."""

    name: str = Field(description="Of the brand.")
    orders: int = Field(description="Orders that would go with it, merged ones among them.")
    confirmation: str = Field(description="Send it to this address to delete the brand.")
    expires_at: Moment


@router.post(
    "/delete",
    response_model=BrandDeletionPreview | Job,
    responses={
        **BODY,
        **responses(TooMany),
        200: {"model": BrandDeletionPreview, "description": "Nothing is deleted yet: the confirmation to send."},
        202: {"model": Job, "description": "The deletion has been queued. Every key ends as soon as it begins."},
    },
)
async def delete_brand(
    caller: Admin, session: Session, request: Request, response: Response, body: BrandDeletionRequest
) -> BrandDeletionPreview | Job:
    """Deletes the brand of the key with everything in it, for ever: orders, clicks, links, influencers, keys.

    It takes two calls: the first, with an empty object, answers a confirmation that lapses after 15 minutes; the second sends it. Links answer 410
    from then on; their slugs and hosts are never given out again.
    """
    secret = derive(request.app.state.secret, PURPOSE)
    if body.confirmation is not None:
        _check(secret, caller.brand_id, body.confirmation)
        return await enqueue(session, response, caller.brand_id, "brand_deletion", {})
    expires_at = clock.now().replace(microsecond=0) + CONFIRM_WITHIN
    name = (await session.execute(select(brand.c.name).where(brand.c.id == caller.brand_id))).scalar_one()
    counting = select(func.count()).select_from(conversion).where(conversion.c.brand_id == caller.brand_id)
    orders = (await session.execute(counting)).scalar_one()
    confirmation = confirm(secret, caller.brand_id, expires_at)
    return BrandDeletionPreview(name=name, orders=orders, confirmation=confirmation, expires_at=expires_at)


def confirm(secret: bytes, brand_id: UUID, expires_at: datetime) -> str:
    """The confirmation of a brand's deletion that lapses at this moment."""
    until = int(expires_at.timestamp())
    return f"{BEGINNING}{until}_{hmac.digest(secret, brand_id.bytes + str(until).encode(), 'sha256').hex()[:32]}"


def _check(secret: bytes, brand_id: UUID, given: str) -> None:
    """Raises Invalid for a confirmation of something else, and for one that has lapsed."""
    until = given.removeprefix(BEGINNING).partition("_")[0]
    expires_at = (
        datetime.fromtimestamp(int(until), UTC) if until.isascii() and until.isdigit() and len(until) < 12 else None
    )
    if expires_at is None or not hmac.compare_digest(confirm(secret, brand_id, expires_at).encode(), given.encode()):
        raise Invalid.field("confirmation", "is no confirmation of this brand's deletion; call once without it")
    if clock.now() >= expires_at:
        raise Invalid.field("confirmation", "has lapsed; call once more without it")
