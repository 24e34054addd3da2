"""Deliveries: the messages of sources and pixels as they are kept, and their results; a stored one can be read again."""

import base64
import json
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field, model_validator
from sqlalchemy import ColumnElement, Row, and_, false, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.api.auth import Caller, Reader, Writer
from app.api.fields import Flag, Given, Moment, Reference, Word
from app.api.http import BODY, FOUND, Pool, Session, resource
from app.api.job_queue import Job, enqueue
from app.api.orders import show_parsed
from app.api.pagination import Page, Paging, fetch_page
from app.api.problems import responses
from app.api.rows import missing, points_to, read_id, show
from app.database.tables import conversion, delivery, source
from app.domain import ids
from app.domain.orders import Parsed
from app.errors import Invalid, TooMany
from app.intake.deliveries.messages import PIXEL_DOORS
from app.intake.deliveries.replaying import (
    ERASED_DETAIL,
    Replayed,
    Selection,
    add_up,
    measure_selected,
    next_selected,
    read_again,
    replay,
    stored_message,
)
from app.jobs.replays import selection_of
from app.platforms.registry import EXAMPLE

router: APIRouter = resource("deliveries")

IDS_MAX = 1_000
"""Most ids in one replay."""
REPLAYED_MAX = 100_000
"""Most deliveries of one replay; more take several replays of shorter ranges of time."""
AT_ONCE_ROWS = 50
AT_ONCE_BYTES = 512 << 10
"""Most rows and bytes replayed within the request: reading them holds up redirects of this process by 20 ms at most. More become a job."""

Status = Literal["received", "recorded", "ignored", "rejected", "unsigned"]

SHOWN = (
    *(column for column in delivery.c if column.name not in ("brand_id", "body_hash", "headers", "body")),
    func.octet_length(delivery.c.body).label("body_bytes"),
)


class DeliverySummary(BaseModel):
    """One message of a source, or one hit of the pixel or beacon."""

    id: str
    platform: str = Field(description="Of its source; `pixel` or `beacon` for a hit.", examples=[EXAMPLE.name])
    source_id: str | None = Field(description="The source it came to; null for a hit of the pixel.")
    key_id: str | None = Field(description="The publishable key of a hit; null for a source.")
    shop: str
    topic: str = Field(description="What the sender calls it.", examples=["orders/create"])
    external_id: str = Field(description="The sender's own id of the message, '' when it has none.")
    status: Status = Field(
        description="`recorded`; `ignored`: understood, nothing to do; `rejected`: not understood, `reason` and `detail` say why; "
        "`unsigned`: its signature fits no secret of the source. Every word and what to do about it: docs/deliveries.md. "
        "How long they are kept: `ARIANE_DELIVERY_RETENTION_DAYS` and its neighbours."
    )
    reason: str | None = Field(description="A stable word.", examples=["not_an_order"])
    detail: str | None
    conversion_id: str | None
    body_bytes: int
    received_at: Moment
    recorded_at: Moment | None
    attempts: int = Field(description="How often it was read.")
    verified_at: Moment | None = Field(
        description="When its signature was found right; null without one. A replay does not check it again."
    )
    verified_by: str | None = Field(
        description="Which secret of the source signed it: a name of it that says nothing about it.",
        examples=["9f86d081"],
    )
    personal_data: Literal["blotted", "whole"] = Field(
        description="`blotted`: what is kept has no e-mails, names, addresses, telephone numbers and IP addresses; in place of the customer's id and e-mail "
        "stand keyed hashes. `whole`: kept as received, because it is `rejected` or `unsigned`, until it is resolved or its days are over."
    )
    erased_at: Moment | None = Field(
        description="When its headers and body were emptied, because a person was erased (docs/privacy.md); it keeps its status."
    )


class Delivery(DeliverySummary):
    """The message as it is kept, for a key that may write: while it is `whole`, it holds shoppers' names and addresses."""

    withheld: bool = Field(
        description="True for a key that may only read: `headers`, `body` and `body_base64` are null."
    )
    headers: dict[str, str] | None = Field(
        description="Those that matter to the platform, in lower case; `:query` is the query string."
    )
    body: str | None = Field(description="The body as it is kept; null when it is not UTF-8.")
    body_base64: str | None = Field(description="The body when it is not UTF-8.")
    read: dict[str, Any] = Field(description="What the present release reads in it: reports, landings, or why nothing.")


def _summary(row: Row[Any]) -> DeliverySummary:
    return show(DeliverySummary, "delivery", row, **_origin(row), personal_data=_kept(row))


def _origin(row: Row[Any]) -> dict[str, str | None]:
    kind, other = ("key", "source") if row.platform in PIXEL_DOORS else ("source", "key")
    return {f"{kind}_id": None if row.origin_id is None else ids.show(kind, row.origin_id), f"{other}_id": None}


def _kept(row: Row[Any]) -> str:
    return "blotted" if row.blotted else "whole"


class ReplayRequest(Given):
    """Which deliveries: `ids`, or a filter that says at least something beside `to`."""

    ids: list[str] | None = Field(default=None, min_length=1, max_length=IDS_MAX, examples=[["dlv_01k…"]])
    status: Status | None = None
    reason: Word | None = Field(default=None, examples=["not_json"])
    source_id: Reference | None = None
    platform: Word | None = None
    topic: Word | None = None
    shop: Word | None = None
    from_: Moment | None = Field(default=None, alias="from", description="Received at or after.")
    to: Moment | None = Field(default=None, description="Received before.")
    dry_run: Flag = Field(default=False, description="Only say what would be read; nothing is recorded.")

    @model_validator(mode="after")
    def _narrowed(self) -> "ReplayRequest":
        given = self.model_dump(exclude={"to", "dry_run"}, exclude_none=True)
        if not given:
            raise ValueError(
                'give ids, or a filter such as {"status": "rejected", "reason": "not_json"}: not simply everything there is'
            )
        if self.ids is not None and (len(given) > 1 or self.to is not None):
            raise ValueError("give either ids or a filter")
        return self


class ReplayReason(BaseModel):
    """How many deliveries ended with one reason."""

    status: Status
    reason: str
    count: int
    example_id: str
    detail: str | None = Field(description="Of the example.")


class DeliveryOutcome(BaseModel):
    """What became of one delivery."""

    id: str
    status: Status
    reason: str | None
    detail: str | None
    conversion_id: str | None


class ReplayResult(BaseModel):
    """What came of reading deliveries again; in a dry run, what would."""

    dry_run: bool
    recorded: int
    ignored: int
    rejected: int = Field(description="Again: `reasons` says why.")
    unsigned: int = Field(description="Still: no secret of their source signed them.")
    reasons: list[ReplayReason] = Field(description="The most frequent first.")
    deliveries: list[DeliveryOutcome]


async def _found_by(
    caller: Reader,
    status: Status | None = None,
    reason: Annotated[str | None, Query(max_length=100, description="A word of docs/deliveries.md.")] = None,
    source_id: Annotated[Reference | None, Query(description="Only those of one source.")] = None,
    platform: Annotated[str | None, Query(max_length=40, description="Only those of one platform.")] = None,
    topic: Annotated[str | None, Query(max_length=200, description="What the sender calls it.")] = None,
    shop: Annotated[str | None, Query(max_length=100)] = None,
    conversion_id: Annotated[Reference | None, Query(description="Only those that told of one order.")] = None,
    external_id: Annotated[str | None, Query(max_length=200, description="The sender's own id of the message.")] = None,
    from_: Annotated[Moment | None, Query(alias="from", description="Received at or after.")] = None,
    to: Annotated[Moment | None, Query(description="Received before.")] = None,
) -> ColumnElement[bool]:
    exact = {"status": status, "reason": reason, "platform": platform, "topic": topic, "shop": shop}
    conditions = [delivery.c[name] == value for name, value in exact.items() if value is not None]
    if external_id is not None:
        conditions += [delivery.c.external_id == external_id, delivery.c.external_id != ""]  # as its index says
    if (of_source := points_to(delivery.c.origin_id, source, caller.brand_id, source_id)) is not None:
        conditions.append(of_source)
    if conversion_id is not None:
        conditions.append(_reported(caller.brand_id, conversion_id))
    # An id holds its time of receipt, and is in the index.
    if from_ is not None:
        conditions.append(delivery.c.id >= ids.floor_at(from_))
    if to is not None:
        conditions.append(delivery.c.id < ids.floor_at(to))
    return and_(delivery.c.brand_id == caller.brand_id, *conditions)


@router.get("")
async def list_deliveries(
    caller: Reader, session: Session, paging: Paging, found_by: Annotated[ColumnElement[bool], Depends(_found_by)]
) -> Page[DeliverySummary]:
    """What was received, newest first, without the bodies. `status=rejected` and `status=unsigned` are what needs a look."""
    return await fetch_page(session, select(*SHOWN).where(found_by), paging, [delivery.c.id], _summary)


@router.get("/{id}", responses=FOUND)
async def read_delivery(id: str, caller: Reader, session: Session, pool: Pool, request: Request) -> Delivery:
    """One message and what is read in it; its body and headers only for a key that may write."""
    row = await _find(session, caller, id, whole=True)
    message = stored_message({**row._mapping, "headers": json.dumps(row.headers)})
    if row.erased_at is not None:
        parsed = Parsed(topic=row.topic, ignored="erased", detail=ERASED_DETAIL)
    else:
        async with pool.acquire() as connection:
            parsed = await read_again(connection, caller.brand_id, message, secret=request.app.state.secret)
    withheld = "write" not in caller.scopes
    text, encoded = (None, None) if withheld else _shown(message.body)
    return show(
        Delivery,
        "delivery",
        row,
        **_origin(row),
        personal_data=_kept(row),
        withheld=withheld,
        headers=None if withheld else row.headers,
        body=text,
        body_base64=encoded,
        read=show_parsed(parsed),
    )


def _shown(body: bytes) -> tuple[str | None, str | None]:
    """The body as a text, else in base64."""
    try:
        return body.decode(), None
    except UnicodeDecodeError:
        return None, base64.b64encode(body).decode()


@router.post(
    "/replay",
    response_model=ReplayResult | Job,
    responses={
        **BODY,
        **FOUND,
        **responses(TooMany),
        200: {"model": ReplayResult, "description": "Few: what came of each."},
        202: {
            "model": Job,
            "description": "More: a job. Its `result` says how many, its lines say which were not recorded, and why.",
        },
    },
)
async def replay_deliveries(
    body: ReplayRequest, caller: Writer, session: Session, pool: Pool, request: Request, response: Response
) -> ReplayResult | Job:
    """Reads many messages once more and records what they say, after a fix: those of a filter as it stands now, or named ones.

    Replaying what is recorded already changes nothing. Up to 50 small ones are answered at once, more become a job: `GET /v1/jobs/{id}`.
    """
    arguments = body.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for each in body.ids or ():
        read_id("delivery", each)
    selection = selection_of(arguments, clock.now())
    if selection is None:
        return _replay([], body.dry_run)
    async with pool.acquire() as connection:
        rows, size_bytes = await measure_selected(connection, caller.brand_id, selection, REPLAYED_MAX)
        if rows > REPLAYED_MAX:
            reason = f"these are more than {REPLAYED_MAX} deliveries; narrow them with from and to"
            raise Invalid(reason, code="too_many_deliveries")
        at_once = rows <= AT_ONCE_ROWS and size_bytes <= AT_ONCE_BYTES
        chosen = await next_selected(connection, caller.brand_id, selection) if at_once else []
    await _refuse_unknown(session, caller, selection, rows)
    if at_once:
        secret = request.app.state.secret
        return _replay(await replay(pool, caller.brand_id, chosen, secret=secret, dry_run=body.dry_run), body.dry_run)
    return await enqueue(session, response, caller.brand_id, "replay", arguments, total=rows)


async def _refuse_unknown(session: AsyncConnection, caller: Caller, selection: Selection, found: int) -> None:
    """Raises NotFound for an id that is no delivery of this brand: nothing is replayed then."""
    if selection.ids is None or found == len(selection.ids):
        return
    query = select(delivery.c.id).where(delivery.c.brand_id == caller.brand_id, delivery.c.id.in_(selection.ids))
    found_ids = set((await session.execute(query)).scalars())
    for each in selection.ids:
        if each not in found_ids:
            raise missing("delivery", ids.show("delivery", each))


def _replay(replayed: list[Replayed], dry_run: bool) -> ReplayResult:
    verdicts = [show(DeliveryOutcome, "delivery", each.result, id=ids.show("delivery", each.id)) for each in replayed]
    return ReplayResult(dry_run=dry_run, **add_up(replayed), deliveries=verdicts)


@router.post("/{id}/replay", responses=FOUND)
async def replay_delivery(id: str, caller: Writer, session: Session, pool: Pool, request: Request) -> DeliverySummary:
    """Reads a message once more and records what it says: after a secret was mended, or a newer release understands more.

    An unsigned one is checked against the source's present secrets, as of its time of receipt. What was recorded already changes nothing.
    """
    delivery_id = read_id("delivery", id)
    if not await replay(pool, caller.brand_id, [delivery_id], secret=request.app.state.secret):
        raise missing("delivery", id)
    return _summary(await _find(session, caller, id))


async def _find(session: AsyncConnection, caller: Caller, shown: str, *, whole: bool = False) -> Row[Any]:
    columns = (*SHOWN, delivery.c.headers, delivery.c.body) if whole else SHOWN
    query = select(*columns).where(delivery.c.brand_id == caller.brand_id, delivery.c.id == read_id("delivery", shown))
    row: Row[Any] | None = (await session.execute(query)).one_or_none()
    if row is None:
        raise missing("delivery", shown)
    return row


def _reported(brand_id: UUID, conversion_id: str) -> ColumnElement[bool]:
    """The condition that a message reported this order, or one that was merged into it later."""
    try:
        order_id = ids.read("conversion", conversion_id)
    except ValueError:
        return false()
    merged = select(conversion.c.id).where(conversion.c.brand_id == brand_id, conversion.c.root_id == order_id)
    return or_(delivery.c.conversion_id == order_id, delivery.c.conversion_id.in_(merged))
