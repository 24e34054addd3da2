"""The rules by which orders are credited: what a brand or campaign lays down, and the models that divide an order. Pure.

A stored policy says what it does not leave at the default; `read_policy` checks it. What the rules do is in attribution.py.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import TypeVar
from uuid import UUID

CLICK_WINDOW_DAYS_MAX = 365
"""Longest click window of a policy, in days; older clicks are not even queried."""
HOLD_DAYS_MAX = 3_650
"""Longest hold of an approved order before it is locked, in days."""
BOUND_MONTHS_MAX = 120
"""Longest time for which a policy binds a customer, in calendar months."""
BOUND_ORDERS_MAX = 1_000
"""Greatest number of later orders for which a policy binds a customer."""
WHOLE = Fraction(1)


class Method(StrEnum):
    """Ways in which a touch explains an order, the most certain first. The last two only where the brand's policy names them."""

    CODE = "code"
    CLICK = "click"
    VISITOR = "visitor"
    # A click that trusted reports of the customer's earlier orders lead to.
    CUSTOMER = "customer"
    # The customer's first order: it binds them to whoever was credited with it.
    BOUND = "bound"


FOLLOWING = (Method.CUSTOMER, Method.BOUND)
"""Methods that look at other orders of the customer."""


class SelfReferral(StrEnum):
    """What becomes of a code or click whose influencer is the one who bought."""

    FLAG = "flag"
    WITHHOLD = "withhold"


class ArchivedInfluencers(StrEnum):
    """Whether links and codes of an archived influencer go on earning."""

    EARN = "earn"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Policy:
    """How credit is given, and how long an approved order is held before it is locked. version: of the row it came from, 0 for the defaults.

    bound_months, bound_orders: how long a customer is bound, where `precedence` names that; 0: without end.
    """

    version: int = 0
    model: str = "last"
    click_window_days: int = 30
    precedence: tuple[Method, ...] = (Method.CODE, Method.CLICK, Method.VISITOR)
    hold_days: int = 30
    self_referral: SelfReferral = SelfReferral.FLAG
    archived_influencers: ArchivedInfluencers = ArchivedInfluencers.EARN
    bound_months: int = 12
    bound_orders: int = 0


DEFAULT_POLICY = Policy()


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies in force at the time of the order: the brand's own, and those of its campaigns that have one."""

    brand: Policy = DEFAULT_POLICY
    campaigns: Mapping[UUID, Policy] = field(default_factory=dict)

    def of(self, campaign_id: UUID | None) -> Policy:
        """The policy of a campaign; the brand's where it has none."""
        return self.brand if campaign_id is None else self.campaigns.get(campaign_id, self.brand)

    def governing(self, campaign_ids: Set[UUID | None]) -> Policy:
        """The policy whose precedence and model apply: the campaign's when all eligible touches are of one campaign, else the brand's."""
        return self.of(next(iter(campaign_ids))) if len(campaign_ids) == 1 else self.brand


# ── Models ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _position(count: int) -> list[Fraction]:
    """40 % to the first, 40 % to the last, the rest spread between; two touches halve the order."""
    if count <= 2:
        return [Fraction(1, count)] * count
    between = Fraction(1, 5) / (count - 2)
    return [Fraction(2, 5), *[between] * (count - 2), Fraction(2, 5)]


MODELS: Mapping[str, Callable[[int], list[Fraction]]] = {
    "last": lambda count: [Fraction(0)] * (count - 1) + [WHOLE],
    "first": lambda count: [WHOLE] + [Fraction(0)] * (count - 1),
    "linear": lambda count: [Fraction(1, count)] * count,
    "position": _position,
}
"""Models by their names in policies: the weights of so many touches (at least one), oldest first. They sum to exactly 1."""


# ── Stored policies ──────────────────────────────────────────────────────────────────────────────────────────────────


def read_policy(rules: Mapping[str, object], version: int = 0) -> Policy:
    """The policy of these rules, with the defaults of `Policy()` for missing ones. Unknown names are ignored: a later release may have written them.

    Raises ValueError beginning with the name of the rule at fault.
    """
    model = rules.get("model", DEFAULT_POLICY.model)
    if not isinstance(model, str) or model not in MODELS:
        raise ValueError(f"model: one of {', '.join(MODELS)}")
    days = _count(rules, "click_window_days", CLICK_WINDOW_DAYS_MAX)
    precedence = rules.get("precedence", DEFAULT_POLICY.precedence)
    if not isinstance(precedence, list | tuple) or not precedence or not set(precedence) <= set(Method):
        raise ValueError(f"precedence: a list of {', '.join(Method)}, the strongest first")
    if len(set(precedence)) < len(precedence):
        raise ValueError("precedence: names a method twice")
    if Method.BOUND in precedence[:-1]:
        raise ValueError("precedence: bound stands last")
    return Policy(
        version,
        model,
        days,
        tuple(Method(name) for name in precedence),
        _count(rules, "hold_days", HOLD_DAYS_MAX),
        _choice(rules, "self_referral", SelfReferral),
        _choice(rules, "archived_influencers", ArchivedInfluencers),
        _count(rules, "bound_months", BOUND_MONTHS_MAX),
        _count(rules, "bound_orders", BOUND_ORDERS_MAX),
    )


def _count(rules: Mapping[str, object], name: str, most: int) -> int:
    """The rule of this name, which is a whole number up to `most`."""
    found = rules.get(name, getattr(DEFAULT_POLICY, name))
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= most:
        raise ValueError(f"{name}: a whole number from 0 to {most}")
    return found


Choice = TypeVar("Choice", bound=StrEnum)


def _choice(rules: Mapping[str, object], name: str, words: type[Choice]) -> Choice:
    """The rule of this name, which is one of these words; by default the first of them."""
    found = rules.get(name, next(iter(words)))
    for word in words:
        if word == found:
            return word
    raise ValueError(f"{name}: one of {', '.join(words)}")
