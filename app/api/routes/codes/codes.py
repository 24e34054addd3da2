"""Promo codes: given or generated, and who owns them when."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, Field, JsonValue, Strict, model_validator
from sqlalchemy import ColumnElement, Row, Select, Text, and_, delete, func, or_, select, true, union_all
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, random_ids
from app.api.auth import Checker, Reader, Writer
from app.api.collaboration_ref import Pair, Paired, join
from app.api.collection import Collection, phase, status_column
from app.api.fields import (
    EndsAt,
    ExternalId,
    Flag,
    Given,
    Metadata,
    Minor,
    Moment,
    absent,
    blame,
    changes,
    refuse_reversed,
)
from app.api.http import CHANGES, CREATES, FOUND, Session, resource
from app.api.pagination import Page, Paging, fetch_page
from app.api.rows import answer_found, equals, insert_new, points_to, refuse_different, refuse_to_find, show
from app.database.tables import brand, campaign, code, code_alias, code_assignment, collaboration, influencer
from app.database.transactions import driver_connection
from app.domain.attribution import CreditPolicy
from app.domain.codes import (
    CODE_CHARS_MAX,
    FALLBACKS,
    PATTERN_DEFAULT,
    candidates,
    check_code,
    check_pattern,
    normalise,
)
from app.domain.money import exponent
from app.domain.orders import UNPAID_KINDS
from app.domain.placeholders import read_id
from app.errors import Conflict, Invalid
from app.orders.redecide import redecide_for_aliases, redecide_for_codes
from app.platforms.registry import PLATFORMS

router: APIRouter = resource("codes")

RANDOM_BITS = FALLBACKS * 20
FULL_BP = 10_000
ALIASES_MAX = 50
"""Most ids of one code: a shop has one per promotion code and mode (live, test)."""

# order_touch names every order that ever carried the code; the folded codes of the surviving order decide.
REDEMPTIONS = """
SELECT count(DISTINCT root.id) FROM order_touch named
JOIN conversion o ON o.brand_id = $1 AND o.id = named.conversion_id
JOIN conversion root ON root.brand_id = $1 AND root.id = o.root_id
WHERE named.brand_id = $1 AND named.touch = $2 AND root.codes @> ARRAY[$3::text] AND NOT root.test
  AND root.status IN ('pending', 'approved', 'locked', 'paid') AND root.kind <> ALL($4::text[])
"""

Typed = Annotated[
    str,
    AfterValidator(check_code),
    Field(
        description=f"As shoppers type it, in any script, at most {CODE_CHARS_MAX} characters; "
        "compared without case, accents, spaces, signs (- . % & …) and look-alikes (0/O, 1/I/L): docs/codes.md."
    ),
]
Pattern = Annotated[str, Field(max_length=80), AfterValidator(check_pattern)]
Redemptions = Annotated[int, Strict(), Field(ge=1, le=2_147_483_647)]


def _read_alias(text: str) -> str:
    alias = read_id(text)
    if not normalise(alias):
        raise ValueError("has no letter or digit, so it could never match")
    return alias


Alias = Annotated[str, AfterValidator(_read_alias)]
Aliases = Annotated[
    list[Alias],
    Field(
        max_length=ALIASES_MAX,
        description="What shop systems put in place of the code: an id, the title of a discount. In the place of a code it is compared as codes are; "
        "an id that is stated beside the codes exactly, capitals and all: "
        f"{'; '.join(each.code_ids for each in PLATFORMS.values() if each.code_ids)}. "
        "An alias belongs to one code of a brand, and is no spelling of another. Orders that named it are decided again.",
        examples=[["promo_1Pgc79B7WZ01zgkWNy4mn5NX"]],
    ),
    AfterValidator(lambda given: sorted(set(given))),
]


class PercentDiscount(Given):
    """A share of the price."""

    type: Literal["percent"]
    value_bp: Annotated[int, Strict(), Field(ge=0, le=FULL_BP, description="Basis points: 1,000 is 10 %.")]


class FixedDiscount(Given):
    """An amount, in the campaign's currency."""

    type: Literal["fixed"]
    amount_minor: Minor


Discount = Annotated[
    PercentDiscount | FixedDiscount, Field(discriminator="type", examples=[{"type": "percent", "value_bp": 1_000}])
]


class NewCode(Paired):
    """What makes a code."""

    code: Typed | None = Field(
        default=None, description="Made for you from `pattern` when left out.", examples=["LEA10"]
    )
    pattern: Pattern | None = Field(
        default=None,
        description="How codes are generated: {HANDLE}, {NAME}, {CAMPAIGN}, {DISCOUNT}, {YEAR}, letters and digits. Default: {HANDLE}{DISCOUNT}.",
    )
    discount: Discount | None = None
    starts_at: Moment | None = Field(default=None, description="Orders before it do not redeem the code.")
    ends_at: EndsAt = Field(default=None, description="Half-open: orders at or after it do not redeem the code.")
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

    @model_validator(mode="after")
    def _one_source(self) -> "NewCode":
        if self.code is not None and self.pattern is not None:
            raise blame("pattern", "ambiguous", "is for generated codes: leave out code or pattern")
        return self


class CodeChange(Given):
    """What may change; what is left out stays, null clears. The code itself stays for good: make another."""

    discount: Discount | None = None
    starts_at: Moment | None = None
    ends_at: EndsAt = None
    max_redemptions: Redemptions | None = None
    credit_policy: CreditPolicy = absent()
    disabled: Flag = absent()
    aliases: Aliases = absent()
    external_id: ExternalId | None = None
    metadata: dict[str, JsonValue] = absent()


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
    aliases: list[str] = Field(description="What shop systems put in place of the code.")
    status: Literal["active", "not_started", "expired", "disabled", "archived"]
    disabled_at: Moment | None
    metadata: dict[str, Any]
    created_at: Moment
    updated_at: Moment
    archived_at: Moment | None


class NewAssignment(Paired):
    """Whose the code is from a moment on; whoever had it loses it then."""

    starts_at: Moment | None = Field(default=None, description="Default: now.")
    ends_at: EndsAt = Field(default=None, description="Nobody's from then on, unless assigned again. Null: open.")


class Assignment(BaseModel):
    """One interval of ownership; the one that started last owns the code."""

    id: str
    collaboration_id: str
    starts_at: Moment | None = Field(description="Null: since ever.")
    ends_at: Moment | None
    created_at: Moment


class CodeCheck(BaseModel):
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
    redemptions: int = Field(description="Orders that named it so far; tests and leads aside.")
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
        select(code, *whose, _aliases_of(brand_id), status_column(code, _phase()))
        .select_from(code)
        .outerjoin(latest, true())
        .outerjoin(collaboration, owner)
        .where(code.c.brand_id == brand_id)
    )


def _aliases_of(brand_id: UUID) -> ColumnElement[Sequence[str]]:
    listed = (
        select(code_alias.c.alias)
        .where(code_alias.c.brand_id == brand_id, code_alias.c.code_id == code.c.id)
        .order_by(code_alias.c.alias)
        .correlate(code)
    )
    return func.array(listed.scalar_subquery(), type_=ARRAY(Text)).label("aliases")


def _phase() -> ColumnElement[str]:
    return phase(code, ends_at=code.c.ends_at, starts_at=code.c.starts_at)


async def _redecide(session: AsyncConnection, row: Row[Any]) -> None:
    await redecide_for_codes(await driver_connection(session), row.brand_id, [row.code_norm])


codes = Collection(code, Code, query=_query, after_write=_redecide)


# ── How codes are made and assigned ──────────────────────────────────────────────────────────────────────────────────


async def _take(connection: AsyncConnection, values: dict[str, Any], typed: str) -> Row[Any] | None:
    """The code as inserted; None when its letters or its external id are taken."""
    return await insert_new(connection, code, {**values, "code": typed, "code_norm": normalise(typed)})


async def _generate(
    connection: AsyncConnection, values: dict[str, Any], pattern: str, words: dict[str, str]
) -> Row[Any]:
    """Insert a readable, free code of the pattern. Raises Conflict when every fallback is taken, which only a broken pattern causes."""
    tried = list(candidates(pattern, words, random_ids.random_number(RANDOM_BITS)))
    norms = [normalise(candidate) for candidate in tried]
    spelled = select(code.c.code_norm).where(code.c.brand_id == values["brand_id"], code.c.code_norm.in_(norms))
    named = select(code_alias.c.alias_norm).where(
        code_alias.c.brand_id == values["brand_id"], code_alias.c.alias_norm.in_(norms)
    )
    taken = set((await connection.execute(union_all(spelled, named))).scalars())
    for candidate, norm in zip(tried, norms, strict=True):
        # Another request may have taken it meanwhile; the unique key decides.
        row = None if norm in taken else await _take(connection, values, candidate)
        if row is not None:
            return row
    reason = "gives no code that is free and may be used; give a code or another pattern"
    raise Conflict.field("pattern", reason, code="pattern_exhausted")


async def _words(
    connection: AsyncConnection, brand_id: UUID, pair: Pair, discount: PercentDiscount | FixedDiscount | None
) -> dict[str, str]:
    """Values of the placeholders of a pattern. The discount is as people say it: 10 for 10 % and for 10.00 EUR; whole numbers only."""
    query = (
        select(
            influencer.c.name,
            influencer.c.handles,
            campaign.c.name.label("campaign"),
            campaign.c.currency,
            brand.c.currencies,
        )
        .join_from(influencer, campaign, campaign.c.brand_id == influencer.c.brand_id)
        .join(brand, brand.c.id == influencer.c.brand_id)
        .where(
            brand.c.id == brand_id,
            influencer.c.brand_id == brand_id,
            campaign.c.brand_id == brand_id,
            influencer.c.id == pair.influencer_id,
            campaign.c.id == pair.campaign_id,
        )
    )
    row = (await connection.execute(query)).one()
    if discount is None:
        spoken = ""
    elif isinstance(discount, PercentDiscount):
        spoken = str(discount.value_bp // 100)
    else:
        spoken = str(discount.amount_minor // 10 ** exponent(row.currency, row.currencies))
    handle = row.handles[0]["handle"] if row.handles else row.name
    return {
        "HANDLE": handle,
        "NAME": row.name.split()[0],
        "CAMPAIGN": row.campaign,
        "DISCOUNT": spoken,
        "YEAR": str(clock.now().year),
    }


async def _assign(
    connection: AsyncConnection, owned: Row[Any], pair: Pair, starts_at: datetime | None, ends_at: datetime | None
) -> Row[Any]:
    """Append an interval of ownership of the code `owned`. starts_at None: without a beginning."""
    made = insert(code_assignment).values(
        brand_id=owned.brand_id,
        id=random_ids.new_id(),
        code_id=owned.id,
        collaboration_id=pair.id,
        starts_at=starts_at,
        ends_at=ends_at,
        created_at=clock.now(),
    )
    row: Row[Any] = (await connection.execute(made.returning(code_assignment))).one()
    return row


async def _set_aliases(
    connection: AsyncConnection, brand_id: UUID, code_id: UUID, before: Sequence[str], wanted: Sequence[str]
) -> None:
    """Replace the aliases of a locked code, and queue the orders that name an added or removed one. Raises Conflict for what names another code."""
    gone, new = sorted(set(before) - set(wanted)), sorted(set(wanted) - set(before))
    of_code = (code_alias.c.brand_id == brand_id, code_alias.c.code_id == code_id)
    if gone:
        await connection.execute(delete(code_alias).where(*of_code, code_alias.c.alias.in_(gone)))
    if new:
        await _refuse_spellings(connection, brand_id, code_id, new)
        row = {"brand_id": brand_id, "code_id": code_id, "created_at": clock.now()}
        rows = [{**row, "alias": alias, "alias_norm": normalise(alias)} for alias in new]
        made = insert(code_alias).values(rows).on_conflict_do_nothing().returning(code_alias.c.alias)
        taken = sorted(set(new) - set((await connection.execute(made)).scalars()))
        if taken:
            raise Conflict.field("aliases", f"{taken[0]!r} is an alias of another code already", code="alias_taken")
    await redecide_for_aliases(await driver_connection(connection), brand_id, [*gone, *new])


async def _refuse_alias(connection: AsyncConnection, row: Row[Any]) -> None:
    """Raises Conflict where a new code spells an alias of another: orders that name it redeem that one."""
    query = select(code_alias.c.alias).where(
        code_alias.c.brand_id == row.brand_id, code_alias.c.alias_norm == row.code_norm
    )
    alias = (await connection.execute(query.limit(1))).scalar_one_or_none()
    if alias is not None:
        raise Conflict.field("code", f"{row.code!r} is an alias of another code ({alias!r})", code="code_taken")


async def _refuse_spellings(connection: AsyncConnection, brand_id: UUID, code_id: UUID, aliases: Sequence[str]) -> None:
    """Raises Conflict where one of these spells another code of the brand, which goes first, or an alias of another, so that neither would match."""
    spelled = {normalise(alias): alias for alias in aliases}
    query = select(code.c.code, code.c.code_norm).where(code.c.brand_id == brand_id, code.c.id != code_id)
    row = (await connection.execute(query.where(code.c.code_norm.in_(spelled)).limit(1))).one_or_none()
    if row is not None:
        reason = (
            f"{spelled[row.code_norm]!r} is a spelling of the code {row.code!r}, which goes first: it would never match"
        )
        raise Conflict.field("aliases", reason, code="alias_taken")
    others = select(code_alias.c.alias, code_alias.c.alias_norm).where(
        code_alias.c.brand_id == brand_id, code_alias.c.code_id != code_id, code_alias.c.alias_norm.in_(spelled)
    )
    other = (await connection.execute(others.limit(1))).one_or_none()
    if other is not None:
        reason = f"{spelled[other.alias_norm]!r} is a spelling of {other.alias!r}, an alias of another code already"
        raise Conflict.field("aliases", reason, code="alias_taken")


# ── The routes ───────────────────────────────────────────────────────────────────────────────────────────────────────


@router.post("", status_code=201, responses={**CREATES, **FOUND})
async def create_code(caller: Writer, session: Session, body: NewCode, response: Response) -> Code:
    """Makes a code that belongs to its collaboration since ever. Orders that named it before are decided again."""
    named = None if body.external_id is None else (code.c.external_id == body.external_id)
    row, made = await make_code(session, caller.brand_id, body, named, by="external_id")
    answer_found(response, made)
    return codes.show(row)


async def make_code(
    session: AsyncConnection, brand_id: UUID, body: NewCode, named: ColumnElement[bool] | None, *, by: str
) -> tuple[Row[Any], bool]:
    """The code, and whether it is new. named: how one that is there already is found, by this field of the request."""
    pair = await join(session, brand_id, body)
    values = body.model_dump(exclude={"collaboration_id", "campaign_id", "influencer_id", "pattern", "code"})
    found = None if named is None else (await session.execute(_query(brand_id).where(named))).one_or_none()
    if found is not None:
        given = {} if body.code is None else {"code": body.code}
        refuse_different(found, {**values, **given, "collaboration_id": pair.id}, by=by)
        refuse_to_find("code", found)
        return found, False
    aliases = values.pop("aliases")
    values["brand_id"] = brand_id
    if body.code is None:
        words = await _words(session, brand_id, pair, body.discount)
        row = await _generate(session, values, body.pattern or PATTERN_DEFAULT, words)
    else:
        taken = await _take(session, values, body.code)
        if taken is None:
            why = "0/O and 1/I/L are one letter; accents, spaces and signs count for nothing"
            reason = f"{body.code!r} is taken, or cannot be told apart from another code ({why})"
            raise Conflict.field("code", reason, code="code_taken")
        row = taken
        await _refuse_alias(session, row)
    await _assign(session, row, pair, None, None)
    await _set_aliases(session, brand_id, row.id, [], aliases)
    await _redecide(session, row)
    return await codes.read(session, brand_id, row.id), True


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
    named = select(code_alias.c.code_id).where(code_alias.c.brand_id == brand_id)
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
        None if alias is None else code.c.id.in_(named.where(code_alias.c.alias == alias)),
    )


@router.get("/check")
async def check_code_typed(
    caller: Checker, session: Session, code_typed: Annotated[str, Query(alias="code", min_length=1, max_length=100)]
) -> CodeCheck:
    """Whether a shopper may redeem a code now. Unknown codes are an answer (`unknown`), not an error."""
    query = _query(caller.brand_id).where(code.c.code_norm == normalise(code_typed), code.c.archived_at.is_(None))
    row = (await session.execute(query)).one_or_none()
    if row is None:
        unknown: dict[str, Any] = dict.fromkeys(CodeCheck.model_fields)
        return CodeCheck(**{**unknown, "code": code_typed, "valid": False, "reason": "unknown", "redemptions": 0})
    driver = await driver_connection(session)
    redemptions = await driver.fetchval(
        REDEMPTIONS, caller.brand_id, f"code:{row.code_norm}", row.code_norm, sorted(UNPAID_KINDS)
    )
    reason = None if row.status == "active" else row.status
    if reason is None and row.collaboration_id is None:
        reason = "unassigned"
    elif reason is None and row.max_redemptions is not None and redemptions >= row.max_redemptions:
        reason = "over_cap"
    return show(CodeCheck, "code", row, code=code_typed, valid=reason is None, reason=reason, redemptions=redemptions)


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
        await _set_aliases(session, caller.brand_id, row.id, row.aliases, sent.pop("aliases"))
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
    pair = await join(session, caller.brand_id, body)
    starts_at = body.starts_at or clock.now()
    if body.ends_at is not None and body.ends_at <= starts_at:
        raise Invalid.field("ends_at", "must be later than starts_at, which is now when left out")
    made = await _assign(session, row, pair, starts_at, body.ends_at)
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
