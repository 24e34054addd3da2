"""Deliveries: what sources and pixels sent, as received, and what became of it; a kept one can be read again."""

import base64
import json
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Row, false, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.api.auth import Caller, Reader, Writer
from app.api.fields import Moment, Reference
from app.api.http import FOUND, Pool, Session, resource
from app.api.paging import Page, Paging, fetch_page
from app.api.rows import missing
from app.api.said import show_said
from app.domain import ids
from app.domain.bodies import EPOCH
from app.intake.messages import PIXEL_DOORS
from app.intake.replaying import read_again, replay, stored_message
from app.tables import delivery

router: APIRouter = resource("deliveries")

Status = Literal["received", "recorded", "ignored", "rejected", "unsigned"]

SHOWN = (
    delivery.c.id,
    delivery.c.origin_id,
    delivery.c.platform,
    delivery.c.shop,
    delivery.c.topic,
    delivery.c.external_id,
    delivery.c.status,
    delivery.c.reason,
    delivery.c.detail,
    delivery.c.conversion_id,
    delivery.c.received_at,
    delivery.c.recorded_at,
    delivery.c.attempts,
    func.octet_length(delivery.c.body).label("body_bytes"),
)


def _secret(request: Request) -> str:
    secret: str = request.app.state.secret
    return secret


Secret = Annotated[str, Depends(_secret)]


class DeliverySummary(BaseModel):
    """One message of a source, or one hit of the pixel or beacon."""

    id: str
    platform: str = Field(description="Of its source; `pixel` or `beacon` for a hit.", examples=["shopify"])
    source_id: str | None = Field(description="The source it came to; null for a hit of the pixel.")
    key_id: str | None = Field(description="The publishable key of a hit; null for a source.")
    shop: str
    topic: str = Field(description="What the sender calls it.", examples=["orders/create"])
    external_id: str = Field(description="The sender's own id of the message, '' when it has none.")
    status: Status = Field(
        description="`recorded`; `ignored`: understood, nothing to do; `rejected`: not understood, `reason` and `detail` say why; "
        "`unsigned`: its signature fits no secret of the source, kept for 7 days."
    )
    reason: str | None = Field(description="A stable word.", examples=["not_an_order"])
    detail: str | None
    conversion_id: str | None
    body_bytes: int
    received_at: Moment
    recorded_at: Moment | None
    attempts: int = Field(description="How often it was read.")


class Delivery(DeliverySummary):
    """The whole message."""

    headers: dict[str, str] = Field(description="Those that matter to the platform, in lower case.")
    body: str | None = Field(description="The raw body; null when it is not UTF-8.")
    body_base64: str | None = Field(description="The raw body when it is not UTF-8.")
    read: dict[str, Any] = Field(description="What the present release reads in it: reports, landings, or why nothing.")


def _summary(row: Row[Any]) -> DeliverySummary:
    return DeliverySummary(**_fields(row))


def _fields(row: Row[Any]) -> dict[str, Any]:
    is_hit = row.platform in PIXEL_DOORS
    return {
        "id": ids.show("delivery", row.id),
        "platform": row.platform,
        "source_id": None if is_hit or row.origin_id is None else ids.show("source", row.origin_id),
        "key_id": ids.show("key", row.origin_id) if is_hit and row.origin_id is not None else None,
        "shop": row.shop,
        "topic": row.topic,
        "external_id": row.external_id,
        "status": row.status,
        "reason": row.reason,
        "detail": row.detail,
        "conversion_id": None if row.conversion_id is None else ids.show("conversion", row.conversion_id),
        "body_bytes": row.body_bytes,
        "received_at": row.received_at,
        "recorded_at": row.recorded_at,
        "attempts": row.attempts,
    }


@router.get("")
async def list_deliveries(
    caller: Reader,
    session: Session,
    paging: Paging,
    status: Status | None = None,
    source_id: Annotated[Reference | None, Query(description="Only those of one source.")] = None,
    platform: Annotated[str | None, Query(max_length=40, description="Only those of one platform.")] = None,
    from_: Annotated[Moment | None, Query(alias="from", description="Received at or after.")] = None,
    to: Annotated[Moment | None, Query(description="Received before.")] = None,
) -> Page[DeliverySummary]:
    """What was received, newest first, without the bodies. `status=rejected` and `status=unsigned` are what needs a look."""
    query = select(*SHOWN).where(delivery.c.brand_id == caller.brand_id)
    if status is not None:
        query = query.where(delivery.c.status == status)
    if source_id is not None:
        query = query.where(_came_to(source_id))
    if platform is not None:
        query = query.where(delivery.c.platform == platform)
    # An id holds its time of receipt, and is in the index.
    if from_ is not None:
        query = query.where(delivery.c.id >= _floor(from_))
    if to is not None:
        query = query.where(delivery.c.id < _floor(to))
    return await fetch_page(session, query, paging, [delivery.c.id], _summary)


@router.get("/{id}", responses=FOUND)
async def read_delivery(id: str, caller: Reader, session: Session, pool: Pool, secret: Secret) -> Delivery:  # noqa: A002
    """One message with its raw body, its headers, and what is read in it."""
    row = await _find(session, caller, id, whole=True)
    body = bytes(row.body)
    try:
        text, encoded = body.decode(), None
    except UnicodeDecodeError:
        text, encoded = None, base64.b64encode(body).decode()
    message = stored_message({**row._mapping, "headers": json.dumps(row.headers)})
    async with pool.acquire() as connection:
        said = await read_again(connection, caller.brand_id, message, secret=secret)
    return Delivery(**_fields(row), headers=row.headers, body=text, body_base64=encoded, read=show_said(said))


@router.post("/{id}/replay", responses=FOUND)
async def replay_delivery(id: str, caller: Writer, session: Session, pool: Pool, secret: Secret) -> DeliverySummary:  # noqa: A002
    """Reads a message once more and records what it says: after a secret was mended, or a newer release understands more.

    An unsigned one is checked against the source's present secrets, as of its time of receipt. What was recorded already changes nothing.
    """
    delivery_id = _id_of(id)
    if not await replay(pool, caller.brand_id, [delivery_id], secret=secret):
        raise missing("delivery", id)
    return _summary(await _find(session, caller, id))


async def _find(session: AsyncConnection, caller: Caller, shown: str, *, whole: bool = False) -> Row[Any]:
    columns = (*SHOWN, delivery.c.headers, delivery.c.body) if whole else SHOWN
    query = select(*columns).where(delivery.c.brand_id == caller.brand_id, delivery.c.id == _id_of(shown))
    row: Row[Any] | None = (await session.execute(query)).one_or_none()
    if row is None:
        raise missing("delivery", shown)
    return row


def _id_of(shown: str) -> UUID:
    try:
        return ids.read("delivery", shown)
    except ValueError:
        raise missing("delivery", shown) from None


def _came_to(source_id: str) -> ColumnElement[bool]:
    try:
        return delivery.c.origin_id == ids.read("source", source_id)
    except ValueError:
        return false()


def _floor(moment: datetime) -> UUID:
    """The least id received at or after this moment; a fraction of a millisecond counts as the next one."""
    return ids.floor_ms(-((EPOCH - moment) // timedelta(milliseconds=1)))
