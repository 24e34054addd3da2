"""Sources: connected shop systems and servers that report orders by signed webhooks, and their trial."""

import json
from typing import Annotated, Any, cast
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator, BaseModel, Field, Strict, StringConstraints
from sqlalchemy import Row, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, random_ids
from app.api.auth import Admin, Caller, Reader
from app.api.docs.guides import guide_path
from app.api.fields import Given, Moment, Name, Word, absent, merge, one_line
from app.api.http import BODY, CHANGES, FOUND, Pool, Session, resource
from app.api.pagination import Page, Paging, fetch_page
from app.api.routes.sources.health import SourceHealth, SourceHealthReport, read_health, read_pixel_health
from app.api.routes.sources.mappings import (
    PlatformName,
    PlatformSettings,
    Sample,
    Sampled,
    SampleHeaders,
    check_source,
    refuse_foreign,
    refuse_unguarded,
)
from app.api.rows import (
    announce,
    change,
    equals,
    in_use,
    insert_new,
    matching,
    missing,
    read_id,
    read_row,
    refuse_archived,
    show,
)
from app.api.shops import SOURCES, is_shop_taken, lock_brand, shop_of_site, shop_of_source
from app.database.tables import api_key, brand, source
from app.database.transactions import driver_connection
from app.domain import ids
from app.domain.money import AMOUNT_MINOR_MAX
from app.domain.sites import SITE_CHARACTERS_MAX, read_site
from app.errors import Conflict, Invalid, TooMany
from app.platforms.kit.guide import Connection
from app.platforms.presets import resolve
from app.platforms.registry import EXAMPLE, MAPPED, platform_of
from app.secret import seal
from app.trial.run import STEP_TIMEOUT_S, STEPS, TrialSample, TrialSource, run_trial

router: APIRouter = resource("sources")

SECRETS_MAX = 5
PAUSES_MAX = 100
"""Most times that a source may be brought back."""

Secret = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=8, max_length=500), AfterValidator(one_line)
]
Secrets = Annotated[
    list[Secret],
    Field(
        max_length=SECRETS_MAX,
        description="Signing secrets, any of which may have signed a message: send the old and the new one while rotating. Never shown again. "
        "Optional for most postbacks, which carry it as a parameter: there, without one, the address is the guard.",
    ),
]


SITE_MEANING = (
    "The domain or address of a shop whose system names it; messages from another one are refused as `other_site`."
)


def _site(text: str) -> str:
    site = read_site(text)
    if not site:
        raise ValueError("is no domain or address such as shop.example")
    return site


Site = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=SITE_CHARACTERS_MAX),
    AfterValidator(_site),
    Field(examples=["shop.example"]),
]


class NewSource(Sampled):
    """What makes a source."""

    platform: PlatformName = Field(
        description=f"`{MAPPED.name}`: any signed webhook, in our own words or through `settings.preset` or `settings.mapping`."
    )
    name: Name = Field(default_factory=str, validate_default=False, examples=[f"{EXAMPLE.title} France"])
    shop: Word | None = Field(
        default=None,
        description="Where its orders come from. Default: the brand's first shop system is `main`, each further one a shop of its own, called by its"
        " `name`. A payment system or postback needs it where the brand has several shops.",
    )
    site: Site | None = Field(
        default=None, description=f"{SITE_MEANING} Default: the one that its first message names."
    )
    secrets: Secrets = Field(default_factory=list)
    settings: PlatformSettings = Field(default_factory=lambda: PlatformSettings())


class SourceChange(Sampled):
    """What may change; what is left out stays. `secrets` replaces the whole list."""

    name: Name = absent()
    site: Site | None = Field(default=None, description=f"{SITE_MEANING} Null: the one that the next message names.")
    secrets: Secrets = absent()
    settings: PlatformSettings = absent()


class Source(BaseModel):
    """A connected shop. Its messages are posted to `url`."""

    id: str
    platform: str
    name: str
    shop: str
    site: str | None = Field(description="Whose messages it takes; null until the first one names it.")
    token: str | None = Field(description="Null for keys without the scope `write`, as is `url`.")
    url: str | None = Field(
        description="Withheld from keys that may only read: it is all that guards a postback source without a secret."
    )
    secrets_count: int
    settings: dict[str, Any]
    health: SourceHealth
    created_at: Moment
    updated_at: Moment
    archived_at: Moment | None


class SetupValue(BaseModel):
    """A value and the field it belongs into."""

    where: str
    what: str


class SetupStep(BaseModel):
    """One thing to do."""

    title: str
    text: str
    paste: SetupValue | None = Field(description="Null where there is nothing to paste.")


class Snippet(BaseModel):
    """Code to paste as it stands: address, publishable key, parameter and consent are the brand's own."""

    name: str
    language: str = Field(examples=["html"])
    where: str = Field(description="The page or dialog it belongs into.")
    code: str


class Guidance(BaseModel):
    """How to connect this very source."""

    setup: list[SetupStep] = Field(
        description="In the order in which they are done. Empty for a platform without a guide."
    )
    snippets: list[Snippet]
    guide_page: str | None = Field(
        description="Address of the same at length, as this service serves it.",
        examples=[f"https://go.brand.com/docs/guides/connect/{EXAMPLE.name}"],
    )


class SourceWithSetup(Source, Guidance):
    """A source with what to do in the shop."""


# ── How a source is shown ────────────────────────────────────────────────────────────────────────────────────────────


async def _show_guided(request: Request, session: AsyncConnection, caller: Caller, row: Row[Any]) -> SourceWithSetup:
    """A source with the guide of its platform: the brand's own address, key and parameter are in it."""
    shown = await _show(request, session, caller, row)
    base_url = request.app.state.settings.base_url
    query = select(brand.c.click_param, brand.c.consent).where(brand.c.id == row.brand_id)
    own = (await session.execute(query)).one()
    connection = Connection(
        source_id=ids.show("source", row.id),
        url=f"{base_url}/in/{row.token}",
        base_url=base_url,
        shop=row.shop,
        publishable_key=await _publishable_key(session, row.brand_id, row.shop),
        click_param=own.click_param,
        consent=own.consent,
        settings=row.settings,
    )
    guide = platform_of(row.platform).guide(connection) or {"setup": [], "snippets": [], "guide_page": None}
    page = guide["guide_page"] and guide_path(guide["guide_page"])
    guide = {**guide, "guide_page": page and f"{base_url}{page}"}
    if shown.url is None:
        # Every step and snippet holds the address.
        guide = {**guide, "setup": [], "snippets": []}
    return SourceWithSetup(**dict(shown), **guide)


async def _publishable_key(connection: AsyncConnection, brand_id: UUID, shop: str) -> str | None:
    """The newest publishable key in force of this shop; a hint is the whole key when it is publishable."""
    of_shop = api_key.c.shop == shop
    query = (
        select(api_key.c.hint)
        .where(
            api_key.c.brand_id == brand_id,
            api_key.c.kind == "publishable",
            api_key.c.revoked_at.is_(None),
            or_(of_shop, api_key.c.shop.is_(None)) if shop == "main" else of_shop,
        )
        .order_by(api_key.c.id.desc())
        .limit(1)
    )
    key: str | None = await connection.scalar(query)
    return key


async def _show(request: Request, session: AsyncConnection, caller: Caller, row: Row[Any]) -> Source:
    return _shown(request, caller, row, (await read_health(session, row.brand_id, [row]))[row.id])


def _shown(request: Request, caller: Caller, row: Row[Any], health: SourceHealth) -> Source:
    token = row.token if "write" in caller.scopes else None
    url = None if token is None else f"{request.app.state.settings.base_url}/in/{token}"
    return show(Source, "source", row, token=token, url=url, secrets_count=len(row.secrets), health=health)


def _sealed(request: Request, secrets: list[str]) -> list[str]:
    return [seal(request.app.state.secret, secret) for secret in dict.fromkeys(secrets)]


# ── The routes ───────────────────────────────────────────────────────────────────────────────────────────────────────


@router.post("", status_code=201, responses=BODY)
async def create_source(caller: Admin, session: Session, request: Request, body: NewSource) -> SourceWithSetup:
    """Connects a shop: `setup` says step by step what to do there, `snippets` what to paste. From then on its orders need a signed message to count.

    `shop` of the answer says which of the brand's shops it is (docs/connect/README.md).
    """
    refuse_foreign(body.settings, body.platform)
    settings = body.settings.model_dump(exclude_none=True)
    refuse_unguarded(body.platform, settings, len(body.secrets))
    _refuse_siteless(body.platform, settings, body.site)
    connection = await driver_connection(session)
    await lock_brand(connection, caller.brand_id)
    shop = await shop_of_source(
        connection, caller.brand_id, body.platform, settings, name=body.name, shop=body.shop, site=body.site
    )
    await check_source(session, request, body, settings, shop)
    values = {
        "token": random_ids.new_token("hook"),
        "brand_id": caller.brand_id,
        "platform": body.platform,
        "name": body.name,
        "shop": shop,
        "site": body.site,
        "secrets": _sealed(request, body.secrets),
        "settings": settings,
    }
    row = await insert_new(session, source, values)
    assert row is not None
    await announce(session)
    return await _show_guided(request, session, caller, row)


@router.get("")
async def list_sources(
    caller: Reader,
    session: Session,
    paging: Paging,
    request: Request,
    platform: Annotated[str | None, Query(max_length=50)] = None,
    shop: Annotated[str | None, Query(max_length=100)] = None,
    include_archived: bool = False,
) -> Page[Source]:
    """The brand's sources, newest first."""
    query = select(source).where(source.c.brand_id == caller.brand_id)
    filters = (equals(source.c.platform, platform), equals(source.c.shop, shop), in_use(source, include_archived))
    query = matching(query, *filters)
    page: Page[Any] = await fetch_page(session, query, paging, [source.c.id], lambda row: row)
    health = await read_health(session, caller.brand_id, page.data)
    shown = [_shown(request, caller, row, health[row.id]) for row in page.data]
    return Page(data=shown, next_cursor=page.next_cursor, has_more=page.has_more)


async def _read(session: AsyncConnection, brand_id: UUID, shown: str, *, lock: bool = False) -> Row[Any]:
    return await read_row(session, select(source), source, brand_id, shown, lock=lock)


@router.get("/{id}/health", responses=FOUND)
async def read_source_health(id: str, caller: Reader, session: Session, pool: Pool) -> SourceHealthReport:
    """How a source is doing, and what became of the pixels of its shop: how many are used, and why others are not."""
    row = await _read(session, caller.brand_id, id)
    health = (await read_health(session, caller.brand_id, [row]))[row.id]
    async with pool.acquire() as connection:
        pixels = await read_pixel_health(cast(asyncpg.Connection, connection), caller.brand_id, row.shop)
    return SourceHealthReport(source_id=ids.show("source", row.id), shop=row.shop, health=health, pixels_24h=pixels)


@router.get("/{id}", responses=FOUND)
async def read_source(id: str, caller: Reader, session: Session, request: Request) -> SourceWithSetup:
    """One source, also when archived, with its guide; its secrets are never shown."""
    return await _show_guided(request, session, caller, await _read(session, caller.brand_id, id))


@router.patch("/{id}", responses=CHANGES)
async def change_source(id: str, caller: Admin, session: Session, request: Request, body: SourceChange) -> Source:
    """Changes what is sent, for every message that comes after the answer.

    Messages that failed under a mistyped secret can be replayed once it is mended.
    """
    if "site" in body.model_fields_set:
        # Before its row is locked: recording binds sources in this sequence.
        await lock_brand(await driver_connection(session), caller.brand_id)
    row = await _read(session, caller.brand_id, id, lock=True)
    refuse_archived("source", row)
    sent = body.model_dump(exclude_unset=True, exclude=set(Sampled.model_fields))
    if "secrets" in sent:
        sent["secrets"] = _sealed(request, body.secrets)
    if "settings" in sent:
        refuse_foreign(body.settings, row.platform)
        sent["settings"] = merge(row.settings, sent["settings"])
        await check_source(session, request, body, sent["settings"], row.shop)
    if sent.get("site") is not None:
        _refuse_siteless(row.platform, sent.get("settings", row.settings), body.site)
        await _refuse_other_shop(await driver_connection(session), row, body.site)
    refuse_unguarded(row.platform, sent.get("settings", row.settings), len(sent.get("secrets", row.secrets)))
    return await _show(request, session, caller, await _write(request, session, row, sent) if sent else row)


@router.delete("/{id}", responses=FOUND)
async def archive_source(id: str, caller: Admin, session: Session, request: Request) -> Source:
    """Disconnects a shop: its address answers 404 from now on. What it reported stays."""
    row = await _read(session, caller.brand_id, id, lock=True)
    # Also when it is archived already: the first request may not have waited for every worker.
    request.state.unit.changes_doors = True
    if row.archived_at is None:
        row = await _write(request, session, row, {"archived_at": clock.now()})
    return await _show(request, session, caller, row)


@router.post("/{id}/unarchive", responses=CHANGES)
async def unarchive_source(id: str, caller: Admin, session: Session, request: Request) -> Source:
    """Connects an archived source again, at the same address and with the same secrets. What was sent meanwhile was answered 404: send it again.

    Orders that a pixel told of meanwhile go on counting: there was no signed source that could have confirmed them.
    """
    connection = await driver_connection(session)
    await lock_brand(connection, caller.brand_id)
    row = await _read(session, caller.brand_id, id, lock=True)
    # Also when it is live already, as in `archive_source`.
    request.state.unit.changes_doors = True
    if row.archived_at is not None:
        if row.site is None and await is_shop_taken(connection, row.brand_id, row.shop, since=row.archived_at):
            reason = f"another shop has been connected as {row.shop!r} meanwhile; connect this one anew with POST /v1/sources"
            raise Conflict(reason, code="shop_taken")
        if len(row.pauses) >= 2 * PAUSES_MAX:
            reason = (
                f"this source has been brought back {PAUSES_MAX} times; connect the shop anew with POST /v1/sources"
            )
            raise Conflict(reason, code="fixed")
        row = await _write(
            request, session, row, {"archived_at": None, "pauses": [*row.pauses, row.archived_at, clock.now()]}
        )
    return await _show(request, session, caller, row)


def _refuse_siteless(platform: str, settings: dict[str, Any], site: str | None) -> None:
    """Raises Invalid for the site of a source whose messages name none."""
    found = platform_of(platform)
    if site is not None and not (found.site_headers and found.is_shop_system(settings)):
        raise Invalid.field("site", f"is of shop systems only; messages of {platform} name none", code="invalid")


async def _refuse_other_shop(connection: asyncpg.Connection, row: Row[Any], site: str | None) -> None:
    """Raises Conflict for a site that is another shop of the brand. The brand must be locked."""
    rows = await connection.fetch(SOURCES, row.brand_id)
    shop = shop_of_site(rows, row.platform, site, besides=row.id)
    if shop not in (None, row.shop):
        raise Conflict.field(
            "site", f"is the shop {shop!r} already, and this source the shop {row.shop!r}", code="site_taken"
        )


async def _write(request: Request, session: AsyncConnection, row: Row[Any], values: dict[str, Any]) -> Row[Any]:
    """The row with these values, which hold for the next message, at whichever web worker it arrives, once the request is answered."""
    request.state.unit.changes_doors = True
    values = {**values, "changed_xid": func.pg_current_xact_id()}
    changed = await change(session, source, row.brand_id, row.id, values)
    await announce(session)
    return changed


# ── The trial of a source ────────────────────────────────────────────────────────────────────────────────────────────

TRIALS_MAX = 4
"""Trials that one web worker runs at the same time, at most one for each source: each waits for the background process. Two of one source in two
web workers do not disturb each other, since each sends an order of its own."""

TRIED = """
SELECT brand_id, token, platform, secrets AS sealed, settings::text AS source_settings, archived_at FROM source WHERE brand_id = $1 AND id = $2
"""


class SourceTest(Given):
    """A message to try the source with, in place of one that is made up."""

    sample: Sample = None
    sample_headers: SampleHeaders = Field(default_factory=dict)
    net_minor: Annotated[int, Strict()] | None = Field(
        default=None,
        ge=0,
        le=AMOUNT_MINOR_MAX,
        description="What the order of the sample is worth, before tax and shipping, in minor units: what the trial compares with what is read.",
    )


class SourceTestStep(BaseModel):
    """One step of a trial."""

    step: str = Field(description="A stable word.", examples=[step.name for step in STEPS])
    ok: bool | None = Field(description="Null: not tried because an earlier step failed, or not to be told from here.")
    took_ms: int
    expected: str
    found: str
    hint: str | None = Field(description="What to do about it.")


class SourceTestResult(BaseModel):
    """A trial from the click to the refund. Nothing of it is left but a test order and the messages that told of it."""

    ok: bool = Field(
        description="No line failed, and the order was recorded with the right amount: the connection works."
    )
    order_id: str | None = Field(description="Of the test order, as GET /v1/conversions?order_id= finds it.")
    conversion_id: str | None
    took_ms: int
    lines: list[SourceTestStep]


@router.post("/{id}/test", responses=CHANGES)
async def test_source(
    id: str,
    caller: Admin,
    pool: Pool,
    request: Request,
    body: SourceTest | None = None,  # noqa: PT028  no test of pytest's
) -> SourceTestResult:
    """Plays click → code → order → refund through the real doors in test mode, and says at each step what was expected and found.

    With a `sample` the order is that message, with the trial's own id, code, click and test mark put where the mapping looks for them; its amounts
    stay. Whether a mapping reads amounts right is told by a sample alone. Signed with the source's own secret and sent to this service's own
    address. Takes a second; a minute at most when something does not answer.
    """
    row = await pool.fetchrow(TRIED, caller.brand_id, read_id("source", id))
    if row is None:
        raise missing("source", id)
    tried = TrialSource(**{**row, "source_settings": json.loads(row["source_settings"])})
    sample = None
    if body is not None and body.sample is not None:
        if resolve(tried.source_settings).get("mapping") is None or not isinstance(body.sample, dict):
            raise Invalid.field(
                "sample", "is a JSON object that a mapping reads, and this source has none, or it is none"
            )
        sample = TrialSample(body.sample, body.sample_headers, body.net_minor)
    running: set[str] = request.app.state.trials
    if tried.token in running:
        raise Conflict("a trial of this source is still running", code="trial_running")
    if len(running) >= TRIALS_MAX:
        raise TooMany(f"{TRIALS_MAX} trials are running already", retry_after_s=round(STEP_TIMEOUT_S))
    running.add(tried.token)
    began_s = clock.monotonic_s()
    try:
        trial, lines = await run_trial(request.app.state.settings, request.app.state.secret, pool, tried, sample)
    finally:
        running.discard(tried.token)
    failed = any(line.ok is False for line in lines)
    amount_is_right = any(line.step == "amount" and line.ok for line in lines)
    return SourceTestResult(
        ok=not failed and amount_is_right,
        order_id=None if trial.messages is None else trial.messages.order_id,
        conversion_id=None if trial.conversion_id is None else ids.show("conversion", trial.conversion_id),
        took_ms=round((clock.monotonic_s() - began_s) * 1_000),
        lines=[SourceTestStep.model_validate(line, from_attributes=True) for line in lines],
    )
