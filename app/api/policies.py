"""Attribution policies of a brand and of its campaigns: append-only versions, each in force from its time on."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, Strict
from sqlalchemy import Select, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.api.fields import Given, Moment
from app.database.tables import policy
from app.domain.policies import BOUND_MONTHS_MAX, BOUND_ORDERS_MAX, CLICK_WINDOW_DAYS_MAX, HOLD_DAYS_MAX, read_policy
from app.errors import Invalid

ModelName = Literal["last", "first", "linear", "position"]
MethodName = Literal["code", "click", "visitor", "customer", "bound"]
Days = Annotated[int, Strict(), Field(ge=0, le=CLICK_WINDOW_DAYS_MAX)]
SelfReferralRule = Literal["flag", "withhold"]
ArchivedRule = Literal["earn", "stop"]
BoundMonths = Annotated[int, Strict(), Field(ge=0, le=BOUND_MONTHS_MAX)]
BoundOrders = Annotated[int, Strict(), Field(ge=0, le=BOUND_ORDERS_MAX)]
HoldDays = Annotated[int, Strict(), Field(ge=0, le=HOLD_DAYS_MAX)]


class PolicyRules(Given):
    """Rules of a policy; what is left out or null is as in the policy above it (campaign, brand, service)."""

    model: ModelName | None = Field(default=None, description="How clicks share an order: last touch by default.")
    click_window_days: Days | None = Field(
        default=None, description="A click older than that explains nothing. 30 by default."
    )
    precedence: Annotated[list[MethodName], Field(min_length=1)] | None = Field(
        default=None,
        description="The strongest first; what is left out is off. Code, click, visitor by default. `customer` (clicks that the customer's earlier "
        "orders lead to) and `bound` (whoever was credited with the customer's first order; it stands last) hold where the brand's policy names them.",
    )
    hold_days: HoldDays | None = Field(
        default=None,
        description="An approved order is locked that many days after it was placed; then only refunds change its money. 30 by default.",
    )
    self_referral: SelfReferralRule | None = Field(
        default=None,
        description="An order that the influencer bought: flagged `self_referral` in any case, and with `withhold` not credited to them.",
    )
    archived_influencers: ArchivedRule | None = Field(
        default=None,
        description="Whether links and codes of an archived influencer go on earning; `stop`: not by clicks and orders from then on.",
    )
    bound_months: BoundMonths | None = Field(
        default=None,
        description="For how many months after the first order a customer is `bound`; 0: without end. 12 by default.",
    )
    bound_orders: BoundOrders | None = Field(
        default=None,
        description="For how many orders after the first a customer is `bound`; 0, the default: for any number.",
    )


class AttributionPolicy(BaseModel):
    """The policy in force."""

    model: str
    click_window_days: int
    precedence: list[str]
    hold_days: int
    self_referral: str
    archived_influencers: str
    bound_months: int
    bound_orders: int
    version: int = Field(description="0: the defaults of the service, nothing was ever set here.")


class PolicyVersion(AttributionPolicy):
    """One version of a policy."""

    effective_from: Moment | None = Field(description="Null: since ever.")
    created_at: Moment


PLAIN_RULES = (
    "model", "click_window_days", "hold_days", "self_referral", "archived_influencers", "bound_months", "bound_orders",
)  # fmt: skip


def show_policy(version: int | None, rules: Mapping[str, object] | None) -> AttributionPolicy:
    """A version of a policy with the defaults filled in."""
    read = read_policy(rules or {})
    plain = {name: getattr(read, name) for name in PLAIN_RULES}
    return AttributionPolicy(**plain, precedence=[method.value for method in read.precedence], version=version or 0)


def _versions(columns: Iterable[Any], brand_id: UUID, scope: Any, most: int) -> Select[Any]:
    """The newest versions of the policy of a brand or campaign."""
    query = select(*columns).where(policy.c.brand_id == brand_id, policy.c.scope_id == scope)
    return query.order_by(policy.c.version.desc()).limit(most)


async def read_rules(connection: AsyncConnection, brand_id: UUID, scope_id: UUID) -> tuple[int, dict[str, Any]]:
    """The newest version of a policy, and its rules; (0, {}) when there is none."""
    query = _versions([policy.c.version, policy.c.rules], brand_id, scope_id, 1)
    row = (await connection.execute(query)).one_or_none()
    return (0, {}) if row is None else (row.version, row.rules)


async def append_rules(
    connection: AsyncConnection, brand_id: UUID, scope_id: UUID, given: PolicyRules | None, *, first: bool = False
) -> AttributionPolicy:
    """Append a version with the given rules merged over the newest, unless that changes nothing. None goes back to the defaults.

    first: the row was just created, so its policy counts for all time; otherwise it counts from now on, because orders keep the policy under
    which they were placed. The caller holds a lock on the row that the policy belongs to.
    """
    version, rules = (0, {}) if first else await read_rules(connection, brand_id, scope_id)
    sent = {} if given is None else given.model_dump(exclude_unset=True)
    merged = sent if given is None else rules | sent
    wanted = {name: value for name, value in merged.items() if value is not None}
    try:
        shown = show_policy(version + 1, wanted)
    except ValueError as error:
        field, _, reason = str(error).partition(": ")
        raise Invalid.field(f"policy.{field}", reason) from None
    if wanted == rules:
        return show_policy(version, rules)
    now = clock.now()
    made = insert(policy).values(
        brand_id=brand_id,
        scope_id=scope_id,
        version=version + 1,
        effective_from=None if first else now,
        rules=wanted,
        created_at=now,
    )
    await connection.execute(made)
    return shown


def newest_policy(brand_id: UUID, scope: Any) -> Any:
    """A scalar subquery for the newest version of each row's policy, as JSON {version, rules}; null when there is none."""
    shown = func.jsonb_build_object("version", policy.c.version, "rules", policy.c.rules)
    return _versions([shown], brand_id, scope, 1).scalar_subquery()


async def list_versions(connection: AsyncConnection, brand_id: UUID, scope_id: UUID) -> Sequence[PolicyVersion]:
    """Every version, newest first; at most 100."""
    return [
        PolicyVersion(
            **dict(show_policy(row.version, row.rules)), effective_from=row.effective_from, created_at=row.created_at
        )
        for row in await connection.execute(_versions(policy.c, brand_id, scope_id, 100))
    ]
