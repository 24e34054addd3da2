"""Compares the shop's own list of orders with ours, order by order, and adds up a waterfall from the shop's total to what is attributed. Pure.

Every step of the waterfall is a sum over orders, and each order adds to the steps exactly what leads from the shop's figure for it to ours. So
the waterfall of each currency sums to the minor unit whatever the facts are.
"""

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product
from pathlib import Path
from uuid import UUID

from app.domain.statuses import COUNTED

MATCHED, DIFFERENT, MISSING_HERE, MISSING_THERE = "matched", "different", "missing_here", "missing_there"
STATUSES = (MATCHED, DIFFERENT, MISSING_HERE, MISSING_THERE)

NEVER_RECEIVED = "never_received"
ROUNDING_MINOR_MAX = 2
"""Largest difference that counts as rounding, in minor units: shops round tax by line or by order."""

REASONS: Mapping[str, str] = tomllib.loads(Path(__file__).with_suffix(".toml").read_bytes().decode())
"""The sentence for each reason."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An order of the shop's list. Amounts in minor units of `currency`, before any refund; None where the list does not say.

    number: its line. ref: its name as names are compared. refunded_minor: positive. until: the first moment after `occurred_at`, which is the end
    of the day where the list gives only a day.
    """

    number: int
    ref: str
    order_id: str
    currency: str
    total_minor: int
    tax_minor: int | None = None
    shipping_minor: int | None = None
    refunded_minor: int = 0
    cancelled: bool = False
    occurred_at: datetime | None = None
    until: datetime | None = None

    @property
    def net_minor(self) -> int:
        """Before tax, shipping and refunds."""
        return self.total_minor - (self.tax_minor or 0) - (self.shipping_minor or 0)

    @property
    def refund_minor(self) -> int:
        """The refunded part of `net_minor`; anything above it was tax and shipping."""
        return self.net_minor if self.cancelled else min(self.refunded_minor, self.net_minor)

    @property
    def left_minor(self) -> int:
        """What the shop keeps of the order."""
        return self.net_minor - self.refund_minor


@dataclass(frozen=True, slots=True)
class Ours:
    """An order as it is recorded here. attributed_minor: the part of `left_minor` that is credited to a collaboration."""

    id: UUID
    order_id: str | None
    status: str
    test: bool
    currency: str
    net_minor: int | None
    refunded_minor: int = 0
    attributed_minor: int = 0
    tax_minor: int | None = None
    shipping_minor: int | None = None
    discount_minor: int | None = None
    occurred_at: datetime | None = None
    flags: tuple[str, ...] = ()

    @property
    def counted(self) -> bool:
        """Whether reports count the order."""
        return self.status in COUNTED and not self.test

    @property
    def left_minor(self) -> int:
        """What reports count of the order, after refunds."""
        return (self.net_minor or 0) - self.refunded_minor if self.counted else 0


@dataclass(frozen=True, slots=True)
class Compared:
    """The result for one order. parts: what leads from the shop's figure to ours, by cause; only where it is `different`."""

    status: str
    reason: str
    listed: Listed | None
    ours: Ours | None
    parts: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Waterfall:
    """The sums that lead from what the shop sold to what is attributed, in one currency."""

    currency: str
    shop_total_minor: int = 0
    tax_minor: int = 0
    shipping_minor: int = 0
    refunds_minor: int = 0
    missing_here: Counter[str] = field(default_factory=Counter)
    missing_there: Counter[str] = field(default_factory=Counter)
    differences: Counter[str] = field(default_factory=Counter)
    all_orders_net_minor: int = 0
    attributed_minor: int = 0

    def steps(self) -> Iterator[tuple[str, int]]:
        """The steps in order, each with what it adds, beginning with the shop's total."""
        yield "shop_total", self.shop_total_minor
        yield "tax", -self.tax_minor
        yield "shipping", -self.shipping_minor
        yield "refunds", -self.refunds_minor
        yield from ((f"missing_here.{name}", -minor) for name, minor in sorted(self.missing_here.items()))
        yield from ((f"missing_there.{name}", minor) for name, minor in sorted(self.missing_there.items()))
        yield from ((f"differences.{name}", -minor) for name, minor in sorted(self.differences.items()))

    def figures(self) -> dict[str, object]:
        """The sums and the steps, as the result of a job has them."""
        assert sum(minor for _, minor in self.steps()) == self.all_orders_net_minor
        plain = ("currency", "shop_total_minor", "tax_minor", "shipping_minor", "refunds_minor", "all_orders_net_minor")
        counters = ("missing_here", "missing_there", "differences")
        return {
            **{name: getattr(self, name) for name in plain},
            **{f"{name}_minor": getattr(self, name).total() for name in counters},
            "unattributed_minor": self.all_orders_net_minor - self.attributed_minor,
            "attributed_minor": self.attributed_minor,
            "steps": [{"step": step, "minor": minor} for step, minor in self.steps()],
        }


@dataclass(slots=True)
class Reconciliation:
    """Compares orders one by one and adds them up."""

    waterfalls: dict[str, Waterfall] = field(default_factory=dict)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)

    def compare(self, listed: Listed, ours: Ours | None, absence: str = NEVER_RECEIVED) -> Compared:
        """Adds an order of the list. ours: the order recorded here under its name. absence: the reason where there is none."""
        line = _compare(listed, ours, absence)
        shop = self._in(listed.currency)
        shop.shop_total_minor += listed.total_minor
        shop.tax_minor += listed.tax_minor or 0
        shop.shipping_minor += listed.shipping_minor or 0
        shop.refunds_minor += listed.refund_minor
        if line.status == MISSING_HERE:
            shop.missing_here[line.reason] += listed.left_minor
        if ours is not None and ours.counted:
            here = self._in(ours.currency)
            here.all_orders_net_minor += ours.left_minor
            here.attributed_minor += ours.attributed_minor
            if ours.currency != listed.currency:
                shop.differences["currency"] += listed.left_minor
                here.differences["currency"] -= ours.left_minor
            else:
                shop.differences.update(line.parts)
        return self._counted(line)

    def add_unlisted(self, ours: Ours) -> Compared:
        """Adds an order that is counted here and missing from the list."""
        assert ours.counted
        line = Compared(MISSING_THERE, "only_unsigned" if "unsigned" in ours.flags else "not_listed", None, ours)
        here = self._in(ours.currency)
        here.missing_there[line.reason] += ours.left_minor
        here.all_orders_net_minor += ours.left_minor
        here.attributed_minor += ours.attributed_minor
        return self._counted(line)

    def _in(self, currency: str) -> Waterfall:
        return self.waterfalls.setdefault(currency, Waterfall(currency))

    def _counted(self, line: Compared) -> Compared:
        self.reasons[line.status, line.reason] += 1
        return line


def _compare(listed: Listed, ours: Ours | None, absence: str) -> Compared:
    if ours is None or not ours.counted:
        reason = absence if ours is None else _uncounted(ours)
        if listed.left_minor == 0:
            return Compared(MATCHED, "nothing_to_count", listed, ours)
        return Compared(MISSING_HERE, reason, listed, ours)
    if ours.currency != listed.currency:
        return Compared(DIFFERENT, "currency", listed, ours)
    if listed.left_minor == ours.left_minor:
        return Compared(MATCHED, "equal", listed, ours)
    parts = explain(listed, ours)
    return Compared(DIFFERENT, next(iter(parts)) if len(parts) == 1 else "several", listed, ours, parts)


def _uncounted(ours: Ours) -> str:
    if ours.test:
        return "test"
    return ours.status if ours.status in ("unverified", "rejected") else "only_refunds"


def explain(listed: Listed, ours: Ours) -> dict[str, int]:
    """Splits the difference between the shop's figure and ours, in one currency, into causes that sum to it exactly; {} for none.

    Refunds come first, because both sides state them apart. The rest, the difference of the two nets, is explained by the fewest of tax, shipping
    and discount that sum to it, each as it may be contained in the amount of one side.
    """
    parts: dict[str, int] = {}
    refund = ours.refunded_minor - listed.refund_minor
    rest = listed.left_minor - ours.left_minor - refund
    if rest:
        if ours.net_minor is None:
            parts["amount_unknown"] = rest
        else:
            parts.update(_combination(rest, _candidates(listed, ours)))
    if refund:
        cause = "rounding" if abs(refund) <= ROUNDING_MINOR_MAX else "refund"
        parts[cause] = parts.get(cause, 0) + refund
    return parts


def _candidates(listed: Listed, ours: Ours) -> list[tuple[str, Sequence[int]]]:
    def either(here: int | None, there: int | None) -> Sequence[int | None]:
        return here, there, (here or 0) - (there or 0)

    causes = {
        "tax": either(ours.tax_minor, listed.tax_minor),
        "shipping": either(ours.shipping_minor, listed.shipping_minor),
        "discount": (ours.discount_minor,),
    }
    return [
        (name, sorted({sign * minor for minor in amounts if minor for sign in (1, -1)}, reverse=True))
        for name, amounts in causes.items()
    ]


def _combination(rest: int, candidates: Sequence[tuple[str, Sequence[int]]]) -> dict[str, int]:
    """The fewest of these amounts, at most one of each cause, that sum to `rest`; otherwise rounding or unexplained."""
    names = [name for name, _ in candidates]
    found = [
        {name: minor for name, minor in zip(names, chosen, strict=True) if minor}
        for chosen in product(*([0, *amounts] for _, amounts in candidates))
        if sum(chosen) == rest
    ]
    if found:
        return min(found, key=len)
    return {"rounding" if abs(rest) <= ROUNDING_MINOR_MAX else "unexplained": rest}
