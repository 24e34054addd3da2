"""The meaning of every figure in a report: one table, `METRICS`, of pure functions over counted facts.

A ratio is always a ratio of sums, never a mean of ratios. A figure that cannot exist (nothing to divide by, a dimension that cannot split it) is
`Missing` with a reason; it is never 0 and never infinite. Fractions stay exact until they are shown; then they are rounded once, half away from zero.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from operator import attrgetter
from typing import Literal

DEFINITION_VERSION = "2026-11"
"""Version of the formulas below: it changes with any of them, so that two reports that differ only by definition can be told apart."""

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
    """One figure of a report row: its name, its unit, its formula as a text and as a function, and the origin of the definition."""

    name: str
    unit: Unit
    formula: str
    source: str
    of: Callable[[Facts], Figure]


def _fact(name: str, unit: Unit, formula: str, source: str) -> Metric:
    return Metric(name, unit, formula, source, attrgetter(name))


_NOTHING = {
    "clicks": "no_clicks",
    "unique_clicks": "no_clicks",
    "conversions": "no_conversions",
    "orders": "no_orders",
    "cost_minor": "no_cost",
}
"""Reason of a quotient without a value, by the fact it divides by."""


def _quotient(name: str, unit: Unit, above: str, below: str, source: str, formula: str = "") -> Metric:
    above_of, below_of, nothing = attrgetter(above), attrgetter(below), _NOTHING[below]
    return Metric(
        name,
        unit,
        formula or f"{above} / {below}",
        source,
        lambda facts: quotient(above_of(facts), below_of(facts), nothing),
    )


METRICS: tuple[Metric, ...] = (
    _fact(
        "clicks",
        "count",
        "human redirects; bots, link previews, prefetches and HEAD requests are counted apart",
        "usual; Everflow counts refused clicks in gross clicks only",
    ),
    _fact(
        "unique_clicks",
        "count",
        "first human click per link, visitor and UTC day, so it adds up over rows and days; visits by day, not people",
        "ours; Impact uses a rolling 30 min, Everflow 24 h",
    ),
    _fact("bots", "count", "redirects of crawlers and scripts", "ours"),
    _fact("previews", "count", "redirects of link-preview fetchers", "ours"),
    _fact("prefetches", "count", "redirects a browser made ahead of a tap", "ours"),
    _fact("heads", "count", "HEAD requests", "ours"),
    _fact(
        "conversions",
        "count",
        "orders, leads, signups … by the date of the order; one that is shared counts by its shares",
        "usual",
    ),
    _fact("orders", "count", "conversions of kind sale", "ours"),
    _fact(
        "gross_minor",
        "minor",
        "sum of the conversions' net_minor (after discount, before tax, shipping and refunds)",
        "Awin: order subtotal after discounts, before taxes and delivery",
    ),
    _fact(
        "refunds_minor",
        "minor",
        "refunds, cancellations and chargebacks by their own date, positive; less reversals",
        "usual; gross never moves",
    ),
    _fact("net_minor", "minor", "gross_minor - refunds_minor", "usual"),
    _fact(
        "cost_minor",
        "minor",
        "costs by the day they were incurred on",
        "GRIN: cash payments and product costs; ours takes every kind of cost",
    ),
    _fact("profit_minor", "minor", "net_minor - cost_minor", "usual (marketing profit)"),
    _quotient(
        "roi",
        "ratio",
        "profit_minor",
        "cost_minor",
        "usual; null without cost",
        "(net_minor - cost_minor) / cost_minor",
    ),
    _quotient("roas", "ratio", "net_minor", "cost_minor", "usual; GRIN calls it Revenue ROI"),
    _quotient("cpa_minor", "minor", "cost_minor", "conversions", "all costs; Everflow takes the payout alone"),
    # Only orders of kind `sale` count: leads and signups would dilute it.
    _quotient(
        "aov_minor",
        "minor",
        "order_gross_minor",
        "orders",
        "Everflow: gross sales / conversions",
        "gross of orders / orders",
    ),
    # May pass 1: an order by code alone has no click.
    _quotient("cvr", "ratio", "conversions", "unique_clicks", "usual"),
    _quotient("cvr_clicks", "ratio", "conversions", "clicks", "Everflow: CVR per click"),
    # Not EPC, earnings per click: that is commission / clicks.
    _quotient("rpc_minor", "minor", "net_minor", "clicks", "usual (revenue per click)"),
    _quotient("cpc_minor", "minor", "cost_minor", "clicks", "usual"),
)

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
