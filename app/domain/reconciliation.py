"""The shop's own list of orders against ours: every order once, and a waterfall from the shop's total to what is attributed. Pure.

Every step of the waterfall is a sum over orders, and each order adds to the steps exactly what leads from the shop's figure for it to ours. So
the waterfall sums to the minor unit whatever the facts are, per currency.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product
from uuid import UUID

from app.domain.statuses import COUNTED

MATCHED, DIFFERENT, MISSING_HERE, MISSING_THERE = "matched", "different", "missing_here", "missing_there"
STATUSES = (MATCHED, DIFFERENT, MISSING_HERE, MISSING_THERE)

NEVER_RECEIVED = "never_received"
ROUNDING_MINOR_MAX = 2
"""A difference this small is rounding: shops round tax by line or by order."""

REASONS: Mapping[str, str] = {
    "equal": "the same amount here and there",
    "nothing_to_count": "cancelled there, and never counted here",
    NEVER_RECEIVED: "no report of it ever reached us",
    "rejected_delivery": "a message that names it could not be read; look at the delivery and replay it",
    "unsigned_delivery": "a message that names it had a wrong signature; mend the source's secret and replay it",
    "other_shop": "it was reported under another shop or kind",
    "only_refunds": "only refunds of it were reported, never the order itself",
    "unverified": "only a pixel reported it, though the shop has a signed source",
    "rejected": "it was rejected here",
    "test": "it was reported as a test",
    "not_listed": "it was placed here in this span, and the list does not have it",
    "only_unsigned": "only a pixel reported it, and the list does not have it",
    "tax": "the difference is its tax, which one side has in the amount",
    "shipping": "the difference is its shipping, which one side has in the amount",
    "discount": "the difference is its discount, which one side has not taken off",
    "refund": "one side knows of a refund or cancellation that the other does not",
    "currency": "it is in another currency here",
    "amount_unknown": "no report of it said an amount",
    "rounding": "a rounding of the last digit",
    "several": "several of the above together",
    "unexplained": "none of tax, shipping, discount or refund explains it",
}
"""Every reason of a line, as a sentence."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An order as the shop's list has it. Minor units of `currency`, as they were before any refund; None: the list does not say.

    number: its line. ref: its name as it is compared. refunded_minor: positive. until: the end of the day, where only a day is said.
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
        """What was given back of `net_minor`; what exceeds it was tax and shipping."""
        return self.net_minor if self.cancelled else min(self.refunded_minor, self.net_minor)

    @property
    def left_minor(self) -> int:
        """What the shop has of it in the end."""
        return self.net_minor - self.refund_minor


@dataclass(frozen=True, slots=True)
class Ours:
    """An order as it stands here. attributed_minor: the part of `left_minor` that somebody is credited with."""

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
        """Whether reports count it."""
        return self.status in COUNTED and not self.test

    @property
    def left_minor(self) -> int:
        """What reports count of it, refunds taken off."""
        return (self.net_minor or 0) - self.refunded_minor if self.counted else 0


@dataclass(frozen=True, slots=True)
class Compared:
    """What one order comes to. parts: what leads from the shop's figure to ours, by cause; only of a `different` one."""

    status: str
    reason: str
    listed: Listed | None
    ours: Ours | None
    parts: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Waterfall:
    """From what the shop sold to what is attributed, in one currency."""

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
        """The steps in their order, each with what it adds: the first is the shop's total, and `=` stands before what they come to."""
        yield "shop_total", self.shop_total_minor
        yield "tax", -self.tax_minor
        yield "shipping", -self.shipping_minor
        yield "refunds", -self.refunds_minor
        yield from ((f"missing_here.{name}", -minor) for name, minor in sorted(self.missing_here.items()))
        yield from ((f"missing_there.{name}", minor) for name, minor in sorted(self.missing_there.items()))
        yield from ((f"differences.{name}", -minor) for name, minor in sorted(self.differences.items()))


@dataclass(slots=True)
class Reconciliation:
    """Compares orders one by one and adds them up."""

    waterfalls: dict[str, Waterfall] = field(default_factory=dict)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)

    def compare(self, listed: Listed, ours: Ours | None, absence: str = NEVER_RECEIVED) -> Compared:
        """An order of the list. ours: what stands here under its name; absence: why nothing does."""
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
        return self._told(line)

    def add_unlisted(self, ours: Ours) -> Compared:
        """An order that is counted here and that the list does not have."""
        assert ours.counted
        line = Compared(MISSING_THERE, "only_unsigned" if _only_unsigned(ours) else "not_listed", None, ours)
        here = self._in(ours.currency)
        here.missing_there[line.reason] += ours.left_minor
        here.all_orders_net_minor += ours.left_minor
        here.attributed_minor += ours.attributed_minor
        return self._told(line)

    def _in(self, currency: str) -> Waterfall:
        return self.waterfalls.setdefault(currency, Waterfall(currency))

    def _told(self, line: Compared) -> Compared:
        self.reasons[line.status, line.reason] += 1
        return line


def reconcile(listed: Iterable[Listed], ours: Mapping[str, Ours]) -> tuple[list[Compared], Reconciliation]:
    """All of a list against all orders of a span, by their names: a line for every order of either, and the sums."""
    sums = Reconciliation()
    lines = []
    left = {order.id: order for order in ours.values() if order.counted}
    for each in listed:
        order = ours.get(each.ref)
        lines.append(sums.compare(each, order))
        if order is not None:
            left.pop(order.id, None)
    return [*lines, *map(sums.add_unlisted, left.values())], sums


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


def _only_unsigned(ours: Ours) -> bool:
    return "unsigned" in ours.flags


def explain(listed: Listed, ours: Ours) -> dict[str, int]:
    """What leads from the shop's figure to ours, in one currency: parts that sum to the difference exactly, {} for none.

    The refunds first, as they stand apart on both sides. What is left between the two nets is looked for among tax, shipping and discount, each
    as it may be in the amount of one side: the fewest of them that sum to it.
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
        parts["refund"] = refund
    return parts


def _candidates(listed: Listed, ours: Ours) -> list[tuple[str, Sequence[int]]]:
    said = (
        ("tax", (ours.tax_minor, listed.tax_minor, (ours.tax_minor or 0) - (listed.tax_minor or 0))),
        (
            "shipping",
            (ours.shipping_minor, listed.shipping_minor, (ours.shipping_minor or 0) - (listed.shipping_minor or 0)),
        ),
        ("discount", (ours.discount_minor,)),
    )
    return [
        (name, sorted({sign * minor for minor in amounts if minor for sign in (1, -1)}, reverse=True))
        for name, amounts in said
    ]


def _combination(rest: int, candidates: Sequence[tuple[str, Sequence[int]]]) -> dict[str, int]:
    """The fewest of these amounts, one a cause at most, that sum to `rest`; else rounding or unexplained."""
    names = [name for name, _ in candidates]
    found = [
        {name: minor for name, minor in zip(names, chosen, strict=True) if minor}
        for chosen in product(*([0, *amounts] for _, amounts in candidates))
        if sum(chosen) == rest
    ]
    if found:
        return min(found, key=len)
    return {"rounding" if abs(rest) <= ROUNDING_MINOR_MAX else "unexplained": rest}
