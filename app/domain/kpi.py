"""The meaning of every figure in a report: one table, kpi.toml, of pure functions over counted facts.

A ratio is always a ratio of sums, never a mean of ratios. A figure that cannot exist (nothing to divide by, a dimension that cannot split it) is
`Missing` with a reason; it is never 0 and never infinite. Fractions stay exact until they are shown; then they are rounded once, half away from zero.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Literal

DEFINITION_VERSION = "2026-11"
"""Version of the formulas: it changes with any of them, so that two reports that differ only by definition can be told apart."""

SHARE_DECIMALS = 4
"""Decimals of a count shared between collaborations: weights are whole basis points, so four decimals are exact."""
RATIO_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Missing:
    """A figure that does not exist here. reason: a stable machine word such as `no_clicks`, `no_cost`, `unsplittable`."""

    reason: str


Figure = int | Fraction | Missing
Unit = Literal["count", "minor", "ratio"]


@dataclass(frozen=True, slots=True)
class Facts:
    """Counts and sums of one row, in one currency. Everything else is computed from them.

    clicks … heads: redirects by class (`clicks` are the human ones). conversions: orders of any kind; orders: those of kind `sale`; both are
    fractions where an order is shared. gross_minor: Σ net amounts of the conversions; order_gross_minor: of those of kind `sale`.
    refunds_minor: positive. cost_minor: costs of the collaborations.
    """

    clicks: Figure = 0
    unique_clicks: Figure = 0
    bots: Figure = 0
    previews: Figure = 0
    prefetches: Figure = 0
    heads: Figure = 0
    conversions: Figure = 0
    orders: Figure = 0
    gross_minor: Figure = 0
    order_gross_minor: Figure = 0
    refunds_minor: Figure = 0
    cost_minor: Figure = 0

    @property
    def net_minor(self) -> Figure:
        """Revenue: orders after discount, before tax and shipping, less the refunds of the period."""
        return difference(self.gross_minor, self.refunds_minor)

    @property
    def profit_minor(self) -> Figure:
        """Revenue less cost. Cost of goods is not part of it."""
        return difference(self.net_minor, self.cost_minor)


def difference(whole: Figure, part: Figure) -> Figure:
    """whole − part; Missing with the first reason when one of them is."""
    if isinstance(whole, Missing):
        return whole
    if isinstance(part, Missing):
        return part
    return whole - part


def quotient(above: Figure, below: Figure, nothing: str) -> Figure:
    """above ÷ below, exactly. Missing(`nothing`) when there is nothing to divide by, or with the reason why one of them is missing."""
    if isinstance(above, Missing):
        return above
    if isinstance(below, Missing):
        return below
    if below == 0:
        return Missing(nothing)
    return Fraction(above) / below


def coverage(attributed: Figure, all_orders: Figure) -> Figure:
    """Attributed conversions ÷ all conversions received: how much of the shop's business the report can explain."""
    return quotient(attributed, all_orders, "no_conversions")


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a report row, as kpi.toml describes it: one of `Facts`, or the quotient of two of them."""

    name: str
    unit: Unit
    formula: str
    source: str
    above: str = ""
    below: str = ""
    nothing: str = ""

    def of(self, facts: Facts) -> Figure:
        """The exact figure of these facts."""
        if self.below:
            return quotient(getattr(facts, self.above), getattr(facts, self.below), self.nothing)
        figure: Figure = getattr(facts, self.name)
        return figure


_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_bytes().decode())
METRICS = tuple(Metric(name, **described) for name, described in _TABLE.items())

ORDER_METRICS = frozenset({"conversions", "orders", "gross_minor", "refunds_minor", "net_minor", "aov_minor"})
"""Metrics of orders that nobody is credited with: clicks and costs belong to links and collaborations."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The metrics of one row, ready to show: a value or None for each, and a reason for each None."""

    values: Mapping[str, int | Decimal | None]
    reasons: Mapping[str, str]


def compute(facts: Facts, only: frozenset[str] | None = None) -> Figures:
    """Every metric of these facts, or only those named in `only`, in the order of METRICS, rounded for display."""
    values: dict[str, int | Decimal | None] = {}
    reasons: dict[str, str] = {}
    for metric in METRICS:
        if only is not None and metric.name not in only:
            continue
        figure = metric.of(facts)
        values[metric.name] = shown(figure, metric.unit)
        if isinstance(figure, Missing):
            reasons[metric.name] = figure.reason
    return Figures(values, reasons)


def shown(figure: Figure, unit: Unit) -> int | Decimal | None:
    """A figure as it is shown: minor units whole, counts whole unless shared (4 decimals), ratios with 6 decimals. None when missing."""
    if isinstance(figure, Missing):
        return None
    if unit == "ratio":
        return to_decimal(figure, RATIO_DECIMALS)
    if isinstance(figure, int):
        return figure
    if unit == "minor":
        return round_half_up(figure)
    return figure.numerator if figure.denominator == 1 else to_decimal(figure, SHARE_DECIMALS)


def round_half_up(value: int | Fraction, scale: int = 1) -> int:
    """The whole number nearest to value × scale; a half goes away from zero (2.5 → 3, −2.5 → −3), as on invoices."""
    if value < 0:
        return -round_half_up(-value, scale)
    below = value.denominator
    return (2 * scale * value.numerator + below) // (2 * below)


def to_decimal(value: int | Fraction, decimals: int) -> Decimal:
    """The value rounded half up to a number of decimals. Built from digits: arithmetic on Decimals would round to the context's 28."""
    return Decimal(f"{round_half_up(value, 10**decimals)}E-{decimals}")
