"""The figures of a row as docs/reports.md defines them, computed a second time: nothing here knows the service's own formulas."""

from collections import Counter
from decimal import Decimal
from fractions import Fraction

CLICK_CLASSES = {"human": "clicks", "bot": "bots", "preview": "previews", "head": "heads", "prefetch": "prefetches"}
"""By the class of a click: the figure that counts it."""
WHOLE_BP = 10_000
"""The whole of an order, in basis points: conversions and orders are counted in these."""
ORDER_COUNTS = ("conversions", "orders", "gross_minor", "sales_minor", "refunds_minor", "net_minor")
ORDER_FIGURES = ("conversions", "orders", "gross_minor", "refunds_minor", "net_minor", "aov_minor")
"""Figures that orders alone determine."""

Counts = Counter[str]
"""The counted facts of a row. sales_minor: gross_minor of the orders of kind `sale`."""
Figures = dict[str, int | Fraction | None]


def figures(counts: Counts, *, with_clicks: bool, with_costs: bool) -> Figures:
    """Every figure of a row; None for what cannot be split by the row's key, or has nothing to be divided by."""
    conversions, orders = (Fraction(counts[name], WHOLE_BP) for name in ("conversions", "orders"))
    clicks, unique, cost, net = (counts[name] for name in ("clicks", "unique_clicks", "cost_minor", "net_minor"))
    of_clicks: Figures = {name: counts[name] for name in CLICK_CLASSES.values()}
    of_clicks |= {
        "unique_clicks": unique,
        "cvr": _ratio(conversions, unique),
        "cvr_clicks": _ratio(conversions, clicks),
        "rpc_minor": _rounded(net, clicks),
    }
    of_costs: Figures = {
        "cost_minor": cost,
        "profit_minor": net - cost,
        "roi": _ratio(net - cost, cost),
        "roas": _ratio(net, cost),
        "cpa_minor": _rounded(cost, conversions),
        "cpc_minor": _rounded(cost, clicks),
    }
    if not with_clicks:
        of_clicks, of_costs["cpc_minor"] = dict.fromkeys(of_clicks), None
    if not with_costs:
        of_costs = dict.fromkeys(of_costs)
    of_orders: Figures = {
        "conversions": conversions,
        "orders": orders,
        "gross_minor": counts["gross_minor"],
        "refunds_minor": counts["refunds_minor"],
        "net_minor": net,
        "aov_minor": _rounded(counts["sales_minor"], orders),
    }
    return of_orders | of_clicks | of_costs


def order_figures(counts: Counts) -> Figures:
    """The figures that orders alone determine."""
    found = figures(counts, with_clicks=False, with_costs=False)
    return {name: found[name] for name in ORDER_FIGURES}


def same(expected: int | Fraction | None, found: object) -> bool:
    """Whether a figure is as expected: exactly, or to the six decimals of a ratio."""
    if isinstance(expected, Fraction):
        return isinstance(found, int | float | Decimal | Fraction) and abs(Fraction(str(found)) - expected) <= Fraction(
            1, 10**6
        )
    return found == expected


def _ratio(above: int | Fraction, below: int) -> Fraction | None:
    return Fraction(above) / below if below else None


def _rounded(above: int, below: int | Fraction) -> int | None:
    """above ÷ below in whole minor units, rounded half away from zero."""
    if not below:
        return None
    size = int(abs(Fraction(above) / below) + Fraction(1, 2))
    return size if above >= 0 else -size
