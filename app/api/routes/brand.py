"""The brand itself: the one that the key belongs to."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, Field, JsonValue, Strict, StringConstraints
from sqlalchemy import Row, func, literal, select, union_all, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.api.auth import Admin, Reader
from app.api.currencies import KNOWS_CURRENCIES, Currency
from app.api.fields import Given, Moment, Name, Zone, absent, changes
from app.api.http import CHANGES, Session, Settings, resource
from app.api.policies import (
    AttributionPolicy,
    PolicyRules,
    PolicyVersion,
    append_rules,
    list_versions,
    newest_policy,
    show_policy,
)
from app.api.rows import announce, show
from app.database.tables import (
    adjustment,
    brand,
    campaign,
    click_day,
    conversion,
    cost,
    door_rule,
    host,
    route,
    witness,
)
from app.database.transactions import driver_connection
from app.domain.destinations import Forwarding, check_click_param
from app.domain.gpc import GpcRule
from app.domain.money import DECLARED_MAX, check_declared, is_listed
from app.domain.own_clicks import NETWORKS_MAX, OWN_CLICKS, check_network, own_token
from app.domain.trust import PIXEL_WINDOW_MINUTES_MAX, PixelSignals
from app.errors import Conflict, FieldError, Invalid
from app.orders.redecide import redecide_for_pixels, redecide_for_tolerance
from app.secret import derive

router: APIRouter = resource("brand")

DOOR_RULES = frozenset({"forward_query", "gpc", "own_networks"})
PIXEL_RULES = frozenset({"pixel_signals", "pixel_window_minutes", "pixel_claims_max", "pixel_amount_max_minor"})

ClickParam = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=64),
    AfterValidator(check_click_param),
    Field(description="Query parameter that carries the click id to the shop.", examples=["ariane"]),
]
ToleranceBp = Annotated[
    int,
    Strict(),
    Field(
        ge=0,
        le=10_000,
        description="By how much two reports of one order may differ unflagged, in hundredths of a percent of its net.",
    ),
]
ToleranceMinor = Annotated[
    int, Strict(), Field(ge=0, le=1_000_000, description="The same in minor units; the greater of both holds.")
]


WindowMinutes = Annotated[
    int,
    Strict(),
    Field(
        ge=0,
        le=PIXEL_WINDOW_MINUTES_MAX,
        description="How far from an order's own time an unsigned pixel may arrive that names only its number, in minutes.",
    ),
]
ClaimsMax = Annotated[
    int,
    Strict(),
    Field(
        ge=0,
        le=1_000_000,
        description="Orders of different customers that unsigned pixels may claim for one click or code in a day, by number alone.",
    ),
]
AmountMax = Annotated[
    int,
    Strict(),
    Field(
        ge=0,
        le=10**12,
        description="Greatest amount of one order that an unsigned pixel is believed for, in minor units of the brand's currency; null: the"
        " default, about 2,000 euros in every currency.",
    ),
]


BrandForwarding = Annotated[
    Forwarding,
    Field(
        description="What becomes of the query that a visitor brings to a link that does not say so itself: `link_wins` (what the link says stands, the "
        "rest is added), `incoming_wins`, or `nothing` of it is forwarded."
    ),
]
BrandGpc = Annotated[
    GpcRule,
    Field(
        description="What a browser that sends `Sec-GPC: 1` gets from a link: `respect`, nothing that could follow it, or `click_id_only`, the id of this one "
        "click, so that its order can be credited (docs/clicks.md)."
    ),
]
OwnNetworks = Annotated[
    list[Annotated[str, Field(max_length=64), AfterValidator(check_network)]],
    Field(
        max_length=NETWORKS_MAX,
        description="Addresses and networks from which the brand's own people click: their clicks are kept as `own` and not counted.",
        examples=[["203.0.113.7", "2001:db8:12::/48"]],
    ),
]


def _currencies(declared: dict[str, int | None]) -> dict[str, int | None]:
    check_declared({code: decimals or 0 for code, decimals in declared.items() if decimals is not None})
    return declared


Currencies = Annotated[
    dict[str, Annotated[int, Strict()] | None],
    AfterValidator(_currencies),
    Field(
        description=f"Decimals of currencies that ISO 4217 does not list, by code; merged into those declared already. At most {DECLARED_MAX}; null "
        "takes one back as long as nothing is in it.",
        examples=[{"USDT": 6}],
    ),
]


class BrandChange(Given):
    """What may change; what is left out stays."""

    name: Name = absent()
    currency: Currency = absent()
    currencies: Currencies = absent()
    time_zone: Zone = absent()
    click_param: ClickParam = absent()
    consent: Literal["granted", "denied", "wait"] = absent()
    witness_tolerance_bp: ToleranceBp = absent()
    witness_tolerance_minor: ToleranceMinor = absent()
    forward_query: BrandForwarding = absent()
    own_networks: OwnNetworks = absent()
    gpc: BrandGpc = absent()
    pixel_signals: PixelSignals = absent()
    pixel_window_minutes: WindowMinutes = absent()
    pixel_claims_max: ClaimsMax = absent()
    pixel_amount_max_minor: AmountMax | None = absent()
    policy: PolicyRules | None = Field(
        default=None, description="Merged over the policy in force, from now on; null: the defaults again."
    )
    metadata: dict[str, JsonValue] = absent()


class Brand(BaseModel):
    """The tenant: its settings and its default attribution policy."""

    id: str
    name: str
    currency: str = Field(description="Of reports, and of amounts that name none.")
    currencies: dict[str, int] = Field(
        description="Decimals of the currencies that it has declared, by code.", examples=[{"USDT": 6}]
    )
    time_zone: str = Field(description="Whose days clicks are counted by; reports take any zone as `tz`.")
    click_param: str
    consent: str = Field(
        description="What `data-consent` says in the script tags that sources hand out (`snippets`). A page that has its tag keeps what it says."
    )
    witness_tolerance_bp: int = Field(description="100 by default: 1 %.")
    witness_tolerance_minor: int = Field(description="1 by default.")
    forward_query: BrandForwarding
    own_networks: list[str] = Field(description="Clicks from there are not counted.")
    gpc: BrandGpc
    pixel_signals: str = Field(
        description="Which pixels may name an order's code, click or visitor: `normal`, `signed_only` or `never` (docs/trust.md)."
    )
    pixel_window_minutes: int = Field(description="60 by default.")
    pixel_claims_max: int = Field(description="20 by default.")
    pixel_amount_max_minor: int | None
    policy: AttributionPolicy
    metadata: dict[str, Any]
    created_at: Moment
    updated_at: Moment


@router.get("")
async def read_brand(caller: Reader, session: Session) -> Brand:
    """The brand of the key."""
    query = select(brand, newest_policy(caller.brand_id, caller.brand_id).label("policy")).where(
        brand.c.id == caller.brand_id
    )
    row = (await session.execute(query)).one()
    newest = row.policy or {}
    return show(Brand, "brand", row, policy=show_policy(newest.get("version"), newest.get("rules")))


@router.patch("", responses=CHANGES, dependencies=[KNOWS_CURRENCIES])
async def change_brand(caller: Admin, session: Session, body: BrandChange) -> Brand:
    """Changes what is sent. The time zone is fixed once clicks were counted, the currency once orders came in: reports take `tz` and `currency`."""
    row = (await session.execute(select(brand).where(brand.c.id == caller.brand_id).with_for_update())).one()
    sent = changes(body, row._mapping.get)
    policy_sent = "policy" in sent
    sent.pop("policy", None)
    declared = sent.get("currencies", row.currencies)
    if len(declared) > DECLARED_MAX:
        raise Invalid.field("currencies", f"holds more than {DECLARED_MAX}", code="too_many")
    if sent.get("currency", row.currency) not in declared and not is_listed(sent.get("currency", row.currency)):
        raise Invalid.field("currencies", "lacks the brand's own currency", code="required")
    differing = {name: value for name, value in sent.items() if value != row._mapping[name]}
    await _refuse_fixed(session, row, differing)
    if differing:
        write = update(brand).where(brand.c.id == caller.brand_id).values(updated_at=clock.now(), **differing)
        row = (await session.execute(write.returning(brand))).one()
    if DOOR_RULES & differing.keys():
        await _write_door_rule(session, row)
    if {"witness_tolerance_bp", "witness_tolerance_minor"} & differing.keys():
        await redecide_for_tolerance(await driver_connection(session), caller.brand_id)
    if PIXEL_RULES & differing.keys():
        await redecide_for_pixels(await driver_connection(session), caller.brand_id)
    if "click_param" in differing:
        routes = update(route).where(route.c.brand_id == caller.brand_id)
        await session.execute(routes.values(click_param=body.click_param, changed_xid=func.pg_current_xact_id()))
        await announce(session)
    given = body.policy if policy_sent else PolicyRules()
    policy = await append_rules(session, caller.brand_id, caller.brand_id, given)
    return show(Brand, "brand", row, policy=policy)


async def _write_door_rule(session: AsyncConnection, row: Row[Any]) -> None:
    """Copies what the doors have to know of the brand to where they look."""
    copied = {name: row._mapping[name] for name in DOOR_RULES}
    write = insert(door_rule).values(brand_id=row.id, **copied)
    changed = {**copied, "changed_xid": func.pg_current_xact_id()}
    await session.execute(write.on_conflict_do_update(index_elements=[door_rule.c.brand_id], set_=changed))
    await announce(session)


class OwnClicksPage(BaseModel):
    """The page on which the brand's own people have their clicks left out."""

    url: str = Field(description="On the shared host; it works on each host of the brand, too.")
    urls: list[str] = Field(description="On every host that links of the brand stand on.")


@router.get("/own-clicks")
async def read_own_clicks_page(caller: Admin, session: Session, settings: Settings, request: Request) -> OwnClicksPage:
    """The address to open once in each browser that the brand's own people use, on each host: a cookie then says that its clicks are not counted."""
    path = f"/us/{own_token(derive(request.app.state.secret, OWN_CLICKS), caller.brand_id)}"
    query = select(host.c.host).where(host.c.brand_id == caller.brand_id, host.c.archived_at.is_(None))
    names = (await session.execute(query.order_by(host.c.host))).scalars()
    scheme = settings.base_url.partition("://")[0]
    urls = [settings.base_url + path, *(f"{scheme}://{name}{path}" for name in names)]
    return OwnClicksPage(url=urls[0], urls=urls)


async def _refuse_fixed(connection: AsyncConnection, row: Row[Any], differing: dict[str, Any]) -> None:
    """Raises Conflict for a change that would rewrite what was counted already."""
    fixed = []
    if "time_zone" in differing:
        counted = select(literal(1)).where(click_day.c.brand_id == row.id).limit(1)
        if await connection.scalar(counted):
            fixed.append(FieldError("time_zone", "clicks are counted by its days already; reports take `tz`", "fixed"))
    if "currency" in differing:
        # The order of a source's trial is none.
        ordered = select(literal(1)).where(conversion.c.brand_id == row.id, ~conversion.c.test).limit(1)
        if await connection.scalar(ordered):
            fixed.append(FieldError("currency", "orders were read in it already; reports take `currency`", "fixed"))
    for code, decimals in row.currencies.items():
        kept = differing.get("currencies", row.currencies).get(code)
        if kept != decimals and await _is_used(connection, row, code):
            fixed.append(FieldError(f"currencies.{code}", f"amounts with {decimals} decimals are there", "fixed"))
    if fixed:
        raise Conflict.at(*fixed)


async def _is_used(connection: AsyncConnection, row: Row[Any], currency: str) -> bool:
    """Whether the brand has amounts in a currency, or counts in it."""
    stated = (
        (conversion, conversion.c.currency),
        (campaign, campaign.c.currency),
        (cost, cost.c.currency),
        # Beside its order's own: what the shopper paid, what another report says, and what was paid back.
        (witness, witness.c.report["currency"].astext),
        (witness, witness.c.report["total_currency"].astext),
        (adjustment, adjustment.c.report["currency"].astext),
    )
    rows = [select(literal(1)).where(table.c.brand_id == row.id, named == currency) for table, named in stated]
    return row.currency == currency or bool(await connection.scalar(union_all(*rows).limit(1)))


@router.get("/policies")
async def list_brand_policies(caller: Reader, session: Session) -> list[PolicyVersion]:
    """Every version of the brand's default policy, newest first. Empty: the defaults of the service have always been in force."""
    return list(await list_versions(session, caller.brand_id, caller.brand_id))
