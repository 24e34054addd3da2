"""The figures of one row as docs/reports.md defines them, worked out a second time: nothing here knows the service's own formulas."""

from dataclasses import dataclass
from fractions import Fraction

CLASSES = {"human": "clicks", "bot": "bots", "preview": "previews", "head": "heads", "prefetch": "prefetches"}
OF_ORDERS = ("conversions", "orders", "gross_minor", "refunds_minor", "net_minor", "aov_minor")
"""What can be said of orders alone."""

Figures = dict[str, int | Fraction | None]


@dataclass(slots=True)
class Counted:
    """What was counted. with_clicks, with_costs: whether it can be said here at all."""

    with_clicks: bool
    with_costs: bool
    clicks: int = 0
    bots: int = 0
    previews: int = 0
    heads: int = 0
    prefetches: int = 0
    unique: int = 0
    orders: int = 0
    gross_minor: int = 0
    refunds_minor: int = 0
    cost_minor: int = 0

    def click(self, counted_as: str, *, first: bool) -> None:
        """One redirect."""
        name = CLASSES[counted_as]
        setattr(self, name, getattr(self, name) + 1)
        self.unique += first

    def book(self, net_minor: int, *, refund: bool) -> None:
        """One order, or money given back."""
        if refund:
            self.refunds_minor += net_minor
        else:
            self.orders += 1
            self.gross_minor += net_minor

    def spend(self, amount_minor: int) -> None:
        """One cost."""
        self.cost_minor += amount_minor

    def figures(self) -> Figures:
        """Every figure of the report; None for what cannot be said or divided."""
        net, cost = self.gross_minor - self.refunds_minor, self.cost_minor
        of_orders: Figures = {
            "conversions": self.orders,
            "orders": self.orders,
            "gross_minor": self.gross_minor,
            "refunds_minor": self.refunds_minor,
            "net_minor": net,
            "aov_minor": _whole(self.gross_minor, self.orders),
        }
        of_clicks: Figures = {name: getattr(self, name) for name in CLASSES.values()}
        of_clicks |= {
            "unique_clicks": self.unique,
            "cvr": _ratio(self.orders, self.unique),
            "cvr_clicks": _ratio(self.orders, self.clicks),
            "rpc_minor": _whole(net, self.clicks),
        }
        of_costs: Figures = {
            "cost_minor": cost,
            "profit_minor": net - cost,
            "roi": _ratio(net - cost, cost),
            "roas": _ratio(net, cost),
            "cpa_minor": _whole(cost, self.orders),
            "cpc_minor": _whole(cost, self.clicks),
        }
        if not self.with_clicks:
            of_clicks, of_costs["cpc_minor"] = dict.fromkeys(of_clicks), None
        if not self.with_costs:
            of_costs = dict.fromkeys(of_costs)
        return of_orders | of_clicks | of_costs

    def of_orders(self) -> Figures:
        """The figures of orders alone."""
        figures = self.figures()
        return {name: figures[name] for name in OF_ORDERS}


def same(expected: int | Fraction | None, found: object) -> bool:
    """Whether a figure is what it must be: exactly, or to the six decimals of a ratio."""
    if isinstance(expected, Fraction):
        return isinstance(found, int | float) and abs(Fraction(str(found)) - expected) <= Fraction(1, 10**6)
    return found == expected


def _ratio(above: int, below: int) -> Fraction | None:
    return Fraction(above, below) if below else None


def _whole(above: int, below: int) -> int | None:
    """Rounded half up, away from zero."""
    if not below:
        return None
    size = int(abs(Fraction(above, below)) + Fraction(1, 2))
    return size if above >= 0 else -size
