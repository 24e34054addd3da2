"""Promo codes: given or generated, and who owns them when."""

from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, Field, JsonValue, Strict, field_validator, model_validator
from sqlalchemy import ColumnElement, Row, Select, and_, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.api.auth import Caller, Checker, Reader, Writer
from app.api.collaboration_ref import Pair, Paired, pair_up
from app.api.collection import Collection, phase, status_column
from app.api.fields import (
    ExternalId,
    Flag,
    Given,
    Metadata,
    Moment,
    absent,
    after_start,
    blame,
    changes,
    refuse_reversed,
)
from app.api.http import CHANGES, CREATES, FOUND, Session, resource
from app.api.pagination import Page, Paging, fetch_page
from app.api.problems import FieldErrors
from app.api.routes.codes.aliases import Aliases, aliases_of, code_of, set_aliases
from app.api.routes.codes.queries import CodeWanted, Discount, assign, check_redeemable, generate, take
from app.api.rows import answer_found, equals, points_to, refuse_different, refuse_to_find, show
from app.database.tables import campaign, code, code_assignment, collaboration, influencer
from app.database.transactions import driver_connection
from app.domain.attribution import CreditPolicy
from app.domain.codes import CODE_CHARS_MAX, PATTERN_DEFAULT, check_code, check_pattern, normalise
from app.errors import Invalid
from app.orders.redecide import redecide_for_codes

router: APIRouter = resource("codes")

Typed = Annotated[
    str,
    AfterValidator(check_code),
    Field(description=f"As shoppers type it, at most {CODE_CHARS_MAX} characters; compared without case, accents, spaces, dashes, look-alikes (0/O, 1/I/L)."),
]  # fmt: skip
Pattern = Annotated[str, Field(max_length=80), AfterValidator(check_pattern)]
Redemptions = Annotated[int, Strict(), Field(ge=1, le=2_147_483_647)]


class NewCode(Paired):
    """What makes a code."""

    code: Typed | None = Field(
        default=None, description="Made for you from `pattern` when left out.", examples=["LEA10"]
    )
    pattern: Pattern | None = Field(
        default=None,
        description="Of a generated code: {HANDLE}, {NAME}, {CAMPAIGN}, {DISCOUNT}, {YEAR}, letters and digits. Default: {HANDLE}{DISCOUNT}.",
    )
    discount: Discount | None = None
    starts_at: Moment | None = Field(default=None, description="Orders before it do not redeem the code.")
    ends_at: Moment | None = Field(default=None, description="Half-open: orders at or after it do not redeem the code.")
    max_redemptions: Redemptions | None = Field(
        default=None,
        description="Answers `check` and flags orders beyond it; it takes no credit away, because the shop honoured the code.",
    )
    credit_policy: CreditPolicy = Field(
        default=CreditPolicy.ALWAYS,
        description="Its owner is credited always, only with an eligible click too, only when clicks alone say so, or never.",
    )
    aliases: Aliases = Field(default=[])
    external_id: ExternalId | None = None
    metadata: Metadata = Field(default={})

    _later = field_validator("ends_at")(after_start)

    @model_validator(mode="after")
    def _one_source(self) -> "NewCode":
        if self.code is not None and self.pattern is not None:
            raise blame("pattern", "ambiguous", "is for generated codes: leave out code or pattern")
        return self


class CodeChange(Given):
    """What may change; what is left out stays, null clears. The code itself stays for good: make another."""

    discount: Discount | None = None
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    max_redemptions: Redemptions | None = None
    credit_policy: CreditPolicy = absent()
    disabled: Flag = absent()
    aliases: Aliases = absent()
    external_id: ExternalId | None = None
    metadata: dict[str, JsonValue] = absent()

    _later = field_validator("ends_at")(after_start)


class Code(BaseModel):
    """A promo code with its owner of now."""

    id: str
    external_id: str | None
    code: str
    collaboration_id: str | None = Field(description="Whose it is now; null when nobody's.")
    campaign_id: str | None
    influencer_id: str | None
    discount: Discount | None
    starts_at: Moment | None
    ends_at: Moment | None
    max_redemptions: int | None
    credit_policy: CreditPolicy
    aliases: list[str] = Field(description="Ids under which shop systems report the code.")
    status: Literal["active", "not_started", "expired", "disabled", "archived"]
    disabled_at: Moment | None
    metadata: dict[str, Any]
    created_at: Moment
    updated_at: Moment
    archived_at: Moment | None


class NewAssignment(Paired):
    """Whose the code is from a moment on; whoever had it loses it then."""

    starts_at: Moment | None = Field(default=None, description="Default: now.")
    ends_at: Moment | None = Field(
        default=None, description="Nobody's from then on, unless assigned again. Null: open."
    )

    _later = field_validator("ends_at")(after_start)


class Assignment(BaseModel):
    """One interval of ownership; the one that started last owns the code."""

    id: str
    collaboration_id: str
    starts_at: Moment | None = Field(description="Null: since ever.")
    ends_at: Moment | None
    created_at: Moment


class Check(BaseModel):
    """Whether a code may be redeemed now, and whose it is."""

    code: str = Field(description="As asked.")
    valid: bool
    reason: Literal["unknown", "not_started", "expired", "disabled", "unassigned", "over_cap"] | None = Field(
        description="Why not; null when it is valid."
    )
    id: str | None
    collaboration_id: str | None
    campaign_id: str | None
    influencer_id: str | None
    discount: Discount | None
    redemptions: int = Field(description="Orders that named it so far, tests aside.")
    max_redemptions: int | None


# ── How a code is read and shown ─────────────────────────────────────────────────────────────────────────────────────


def _query(brand_id: UUID) -> Select[Any]:
    """Codes with their owner of now: the assignment that started last, unless it has ended."""
    now = clock.now()
    started = or_(code_assignment.c.starts_at.is_(None), code_assignment.c.starts_at <= now)
    latest = (
        select(code_assignment.c.collaboration_id, code_assignment.c.ends_at)
        .where(code_assignment.c.brand_id == brand_id, code_assignment.c.code_id == code.c.id, started)
        .order_by(code_assignment.c.starts_at.desc().nulls_last(), code_assignment.c.id.desc())
        .limit(1)
        .lateral("latest")
    )
    open_still = or_(latest.c.ends_at.is_(None), latest.c.ends_at > now)
    owner = and_(collaboration.c.brand_id == brand_id, collaboration.c.id == latest.c.collaboration_id, open_still)
    whose = (collaboration.c.id.label("collaboration_id"), collaboration.c.campaign_id, collaboration.c.influencer_id)
    return (
        select(code, *whose, aliases_of(brand_id), status_column(code, _phase()))
        .select_from(code)
        .outerjoin(latest, true())
        .outerjoin(collaboration, owner)
        .where(code.c.brand_id == brand_id)
    )


def _phase() -> ColumnElement[str]:
    return phase(code, ends_at=code.c.ends_at, starts_at=code.c.starts_at)


async def _redecide(session: AsyncConnection, row: Row[Any]) -> None:
    await redecide_for_codes(await driver_connection(session), row.brand_id, [row.code_norm])


codes = Collection(
    code, Code, query=_query, after_write=_redecide, owners=("campaign_id", "influencer_id", "collaboration_id")
)


# ── The routes ───────────────────────────────────────────────────────────────────────────────────────────────────────


@router.post("", status_code=201, responses={**CREATES, **FOUND})
async def create_code(caller: Writer, session: Session, body: NewCode, response: Response) -> Code:
    """Makes a code that belongs to its collaboration since ever. Orders that named it before are decided again."""
    pair = await _pair(session, caller, body)
    values = body.model_dump(exclude={"collaboration_id", "campaign_id", "influencer_id", "pattern", "code"})
    found = await _same(session, caller.brand_id, body, pair, values)
    answer_found(response, found is None)
    if found is not None:
        return codes.show(found)
    aliases = values.pop("aliases")
    wanted = CodeWanted(values, pair, body.discount)
    if body.code is None:
        row = await generate(session, caller.brand_id, wanted, body.pattern or PATTERN_DEFAULT)
    else:
        row = await take(session, caller.brand_id, wanted, body.code)
    await assign(session, caller.brand_id, row.id, pair.id, None, None)
    await set_aliases(session, caller.brand_id, row.id, [], aliases)
    await _redecide(session, row)
    return codes.show(await codes.read(session, caller.brand_id, row.id))


async def _pair(session: AsyncConnection, caller: Caller, body: Paired) -> Pair:
    faults = FieldErrors()
    pair = (await pair_up(session, caller.brand_id, [body], faults))[0]
    faults.refuse()
    assert pair is not None
    return pair


async def _same(
    session: AsyncConnection, brand_id: UUID, body: NewCode, pair: Pair, values: dict[str, Any]
) -> Row[Any] | None:
    """The code with this external id, if there is one. Raises Conflict when it differs or belongs to another collaboration."""
    if body.external_id is None:
        return None
    row: Row[Any] | None = (
        await session.execute(_query(brand_id).where(code.c.external_id == body.external_id))
    ).one_or_none()
    if row is not None:
        given = {} if body.code is None else {"code": body.code}
        refuse_different(row, {**values, **given, "collaboration_id": pair.id})
        refuse_to_find("code", row)
    return row


@router.get("")
async def list_codes(
    caller: Reader,
    session: Session,
    paging: Paging,
    code_typed: Annotated[str | None, Query(alias="code", max_length=100, description="In any spelling.")] = None,
    collaboration_id: Annotated[str | None, Query(max_length=205, description="Of its owner now.")] = None,
    campaign_id: Annotated[str | None, Query(max_length=205)] = None,
    influencer_id: Annotated[str | None, Query(max_length=205)] = None,
    status: Literal["active", "not_started", "expired", "disabled"] | None = None,
    external_id: Annotated[str | None, Query(max_length=200)] = None,
    alias: Annotated[
        str | None, Query(max_length=200, description="The code that has this id in a shop system.")
    ] = None,
    include_archived: bool = False,
) -> Page[Code]:
    """The brand's codes, newest first."""
    brand_id = caller.brand_id
    return await codes.page(
        session,
        brand_id,
        paging,
        include_archived,
        None if code_typed is None else code.c.code_norm == normalise(code_typed),
        points_to(collaboration.c.id, collaboration, brand_id, collaboration_id),
        points_to(collaboration.c.campaign_id, campaign, brand_id, campaign_id),
        points_to(collaboration.c.influencer_id, influencer, brand_id, influencer_id),
        equals(_phase(), status),
        equals(code.c.external_id, external_id),
        None if alias is None else code.c.id == code_of(brand_id, alias),
    )


@router.get("/check")
async def check_code_typed(
    caller: Checker, session: Session, code_typed: Annotated[str, Query(alias="code", min_length=1, max_length=100)]
) -> Check:
    """Whether a shopper may redeem a code now. Unknown codes are an answer (`unknown`), not an error."""
    query = _query(caller.brand_id).where(code.c.code_norm == normalise(code_typed), code.c.archived_at.is_(None))
    row = (await session.execute(query)).one_or_none()
    if row is None:
        unknown: dict[str, Any] = dict.fromkeys(Check.model_fields)
        return Check(**{**unknown, "code": code_typed, "valid": False, "reason": "unknown", "redemptions": 0})
    redemptions, reason = await check_redeemable(session, caller.brand_id, row, row.status)
    return show(Check, "code", row, code=code_typed, valid=reason is None, reason=reason, redemptions=redemptions)


codes.offer_read(router)


@router.patch("/{id}", responses=CHANGES)
async def change_code(id: str, caller: Writer, session: Session, body: CodeChange) -> Code:
    """Changes what is sent. Orders that named the code are decided again."""
    row = await codes.lock(session, caller.brand_id, id)
    sent = changes(body, row._mapping.get)
    if "discount" in sent:
        sent["discount"] = None if body.discount is None else body.discount.model_dump()
    if "disabled" in sent:
        sent["disabled_at"] = (row.disabled_at or clock.now()) if sent.pop("disabled") else None
    starts_at, ends_at = sent.get("starts_at", row.starts_at), sent.get("ends_at", row.ends_at)
    refuse_reversed(sent, starts_at, ends_at)
    if "aliases" in sent:
        await set_aliases(session, caller.brand_id, row.id, row.aliases, sent.pop("aliases"))
    return codes.show(await codes.write(session, row, sent))


@router.post("/{id}/disable", responses=CHANGES)
async def disable_code(id: str, caller: Writer, session: Session) -> Code:
    """Orders from now on do not redeem the code; those before keep their credit. Disabling twice changes nothing."""
    row = await codes.lock(session, caller.brand_id, id)
    return codes.show(row if row.disabled_at else await codes.write(session, row, {"disabled_at": clock.now()}))


@router.post("/{id}/enable", responses=CHANGES)
async def enable_code(id: str, caller: Writer, session: Session) -> Code:
    """The code counts again, as if it had never been disabled."""
    row = await codes.lock(session, caller.brand_id, id)
    return codes.show(await codes.write(session, row, {"disabled_at": None}) if row.disabled_at else row)


codes.offer_archive(
    router,
    archive="Archives a code: orders from now on do not redeem it. It is never given to anybody else.",
    unarchive="Brings an archived code back: it counts again, as if it had never been archived, and orders that named it meanwhile are decided again."
    "\n\nRefused while whoever owns it is archived.",
)


# ── Assignments ──────────────────────────────────────────────────────────────────────────────────────────────────────


_assignment = partial(show, Assignment, "assignment")


@router.post("/{id}/assignments", status_code=201, responses=CHANGES)
async def assign_code(id: str, caller: Writer, session: Session, body: NewAssignment) -> Assignment:
    """Gives the code to a collaboration from a moment on; appended, never changed. Orders that named the code are decided again."""
    row = await codes.lock(session, caller.brand_id, id)
    pair = await _pair(session, caller, body)
    starts_at = body.starts_at or clock.now()
    if body.ends_at is not None and body.ends_at <= starts_at:
        raise Invalid.field("ends_at", "must be later than starts_at, which is now when left out")
    made = await assign(session, caller.brand_id, row.id, pair.id, starts_at, body.ends_at)
    await _redecide(session, row)
    return _assignment(made)


@router.get("/{id}/assignments", responses=FOUND)
async def list_assignments(id: str, caller: Reader, session: Session, paging: Paging) -> Page[Assignment]:
    """Every interval of ownership, the last appended first."""
    row = await codes.find(session, caller.brand_id, id)
    query = select(code_assignment).where(
        code_assignment.c.brand_id == caller.brand_id, code_assignment.c.code_id == row.id
    )
    return await fetch_page(session, query, paging, [code_assignment.c.id], _assignment)
