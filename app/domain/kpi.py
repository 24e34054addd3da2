"""What every figure of a report means: one table, `METRICS`, of pure functions over counted facts.

A ratio is always a ratio of sums, never a mean of ratios. A figure that cannot exist (nothing to divide by, a dimension that cannot split it) is
`Missing` with a reason; it is never 0 and never infinite. Fractions stay exact until they are shown; then they are rounded once, half up, away from zero.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

DEFINITION_VERSION = "2026-11"
"""Changes whenever a formula below changes, so that two reports can be told apart that differ by definition only."""

SHARE_DECIMALS = 4
"""Conversions shared between collaborations: weights are whole basis points, so four decimals are exact."""
RATIO_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Missing:
    """A figure that does not exist here. `reason` is a stable machine word: `no_clicks`, `no_cost`, `unsplittable` …"""

    reason: str


Figure = int | Fraction | Missing
Unit = Literal["count", "minor", "ratio"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was counted for one row, in one currency. Everything else is computed from it.

    clicks … heads: redirects by class (`clicks` are the human ones). conversions, orders: orders of any kind, and those of kind `sale`; a fraction
    when an order is shared. gross_minor: Σ net amounts of the orders, order_gross_minor: of those of kind `sale`. refunds_minor: positive.
    cost_minor: what the collaborations cost.
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
    if isinstance(above, int) and isinstance(below, int):
        return Fraction(above, below)
    return Fraction(above) / below


def net_minor(facts: Facts) -> Figure:
    """Revenue: orders after discount, before tax and shipping, less the refunds of the period."""
    return difference(facts.gross_minor, facts.refunds_minor)


def profit_minor(facts: Facts) -> Figure:
    """Revenue less cost: what the money spent brought beyond itself. Cost of goods is not in it."""
    return difference(net_minor(facts), facts.cost_minor)


def roi(facts: Facts) -> Figure:
    """(revenue − cost) ÷ cost, as a fraction: −0.4 lost 40 % of what was spent. Missing without cost."""
    return quotient(profit_minor(facts), facts.cost_minor, "no_cost")


def roas(facts: Facts) -> Figure:
    """Revenue ÷ cost. Missing without cost."""
    return quotient(net_minor(facts), facts.cost_minor, "no_cost")


def cpa_minor(facts: Facts) -> Figure:
    """Cost ÷ conversions: all costs, not the commission alone. Missing when nothing converted."""
    return quotient(facts.cost_minor, facts.conversions, "no_conversions")


def aov_minor(facts: Facts) -> Figure:
    """Average order: gross of the orders of kind `sale` ÷ their number, so that leads and signups do not dilute it."""
    return quotient(facts.order_gross_minor, facts.orders, "no_orders")


def cvr(facts: Facts) -> Figure:
    """Conversions ÷ unique clicks. Orders by code alone have no click, so it may pass 1."""
    return quotient(facts.conversions, facts.unique_clicks, "no_clicks")


def cvr_clicks(facts: Facts) -> Figure:
    """Conversions ÷ clicks."""
    return quotient(facts.conversions, facts.clicks, "no_clicks")


def rpc_minor(facts: Facts) -> Figure:
    """Revenue ÷ clicks. (EPC, earnings per click, is commission ÷ clicks and another figure.)"""
    return quotient(net_minor(facts), facts.clicks, "no_clicks")


def cpc_minor(facts: Facts) -> Figure:
    """Cost ÷ clicks."""
    return quotient(facts.cost_minor, facts.clicks, "no_clicks")


def coverage(attributed: Figure, all_orders: Figure) -> Figure:
    """Attributed conversions ÷ all conversions received: how much of the shop's business the report can explain."""
    return quotient(attributed, all_orders, "no_conversions")


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a report row: its name, its unit, how it is computed (a sentence and the function), and where the definition comes from."""

    name: str
    unit: Unit
    formula: str
    source: str
    of: Callable[[Facts], Figure]


METRICS: tuple[Metric, ...] = (
    Metric(
        "clicks",
        "count",
        "human redirects; bots, link previews, prefetches and HEAD requests are counted apart",
        "usual; Everflow counts refused clicks in gross clicks only",
        lambda facts: facts.clicks,
    ),
    Metric(
        "unique_clicks",
        "count",
        "first human click per link, visitor and UTC day, so it adds up over rows and days; visits by day, not people",
        "ours; Impact uses a rolling 30 min, Everflow 24 h",
        lambda facts: facts.unique_clicks,
    ),
    Metric("bots", "count", "redirects of crawlers and scripts", "ours", lambda facts: facts.bots),
    Metric("previews", "count", "redirects of link-preview fetchers", "ours", lambda facts: facts.previews),
    Metric("prefetches", "count", "redirects a browser made ahead of a tap", "ours", lambda facts: facts.prefetches),
    Metric("heads", "count", "HEAD requests", "ours", lambda facts: facts.heads),
    Metric(
        "conversions",
        "count",
        "orders, leads, signups … by the date of the order; one that is shared counts by its shares",
        "usual",
        lambda facts: facts.conversions,
    ),
    Metric("orders", "count", "conversions of kind sale", "ours", lambda facts: facts.orders),
    Metric(
        "gross_minor",
        "minor",
        "sum of the conversions' net_minor (after discount, before tax, shipping and refunds)",
        "Awin: order subtotal after discounts, before taxes and delivery",
        lambda facts: facts.gross_minor,
    ),
    Metric(
        "refunds_minor",
        "minor",
        "refunds, cancellations and chargebacks by their own date, positive; less reversals",
        "usual; gross never moves",
        lambda facts: facts.refunds_minor,
    ),
    Metric("net_minor", "minor", "gross_minor - refunds_minor", "usual", net_minor),
    Metric(
        "cost_minor",
        "minor",
        "costs by the day they were incurred on",
        "GRIN: cash payments and product costs; ours takes every kind of cost",
        lambda facts: facts.cost_minor,
    ),
    Metric("profit_minor", "minor", "net_minor - cost_minor", "usual (marketing profit)", profit_minor),
    Metric("roi", "ratio", "(net_minor - cost_minor) / cost_minor", "usual; null without cost", roi),
    Metric("roas", "ratio", "net_minor / cost_minor", "usual; GRIN calls it Revenue ROI", roas),
    Metric("cpa_minor", "minor", "cost_minor / conversions", "all costs; Everflow takes the payout alone", cpa_minor),
    Metric("aov_minor", "minor", "gross of orders / orders", "Everflow: gross sales / conversions", aov_minor),
    Metric("cvr", "ratio", "conversions / unique_clicks", "usual", cvr),
    Metric("cvr_clicks", "ratio", "conversions / clicks", "Everflow: CVR per click", cvr_clicks),
    Metric("rpc_minor", "minor", "net_minor / clicks", "usual (revenue per click)", rpc_minor),
    Metric("cpc_minor", "minor", "cost_minor / clicks", "usual", cpc_minor),
)

ORDER_METRICS = frozenset({"conversions", "orders", "gross_minor", "refunds_minor", "net_minor", "aov_minor"})
"""What can be said of orders that nobody is credited with: clicks and costs belong to links and collaborations."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The metrics of one row, ready to show: a value or None for each, and for each None its reason."""

    values: Mapping[str, int | Decimal | None]
    reasons: Mapping[str, str]


def compute(facts: Facts, only: frozenset[str] | None = None) -> Figures:
    """Every metric of these facts (or `only` those named), in the order of METRICS, rounded for display."""
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
    """The whole number nearest to value × scale; a half goes away from zero (2.5 → 3, −2.5 → −3), as invoices round."""
    below = value.denominator
    size = (2 * scale * abs(value.numerator) + below) // (2 * below)
    return -size if value < 0 else size


def to_decimal(value: int | Fraction, decimals: int) -> Decimal:
    """Exactly so many decimals, half up. Built from digits: arithmetic on Decimals would round to the context's 28."""
    return Decimal(f"{round_half_up(value, 10**decimals)}E-{decimals}")
