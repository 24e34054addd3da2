"""What the figures must be: the demo's own books, kept while it plays, with arithmetic of their own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

Figures = dict[str, int | Fraction | None]


@dataclass(frozen=True, slots=True)
class Deal:
    """One influencer in one campaign, with the names a report shows."""

    influencer: str
    campaign: str
    collaboration: str


@dataclass(frozen=True, slots=True)
class Clicked:
    """One request for a link that was answered with a redirect."""

    deal: Deal
    link: str
    counted_as: str
    visitor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Money:
    """An order, or with `refund` true money given back, and who it belongs to (None: nobody)."""

    order: str
    deal: Deal | None
    link: str | None
    code: str | None
    net_minor: int
    currency: str
    at: datetime
    refund: bool = False


@dataclass(frozen=True, slots=True)
class Spent:
    """A cost of a collaboration, or of a whole campaign when `deal` is None."""

    deal: Deal | None
    campaign: str
    amount_minor: int


@dataclass(slots=True)
class Ledger:
    """Everything that happened, and the sums over it."""

    currency: str
    zone: ZoneInfo
    clicks: list[Clicked] = field(default_factory=list)
    money: list[Money] = field(default_factory=list)
    costs: list[Spent] = field(default_factory=list)

    def keys(self, dimension: str) -> set[str]:
        """Every value of a dimension that something happened for."""
        found = {_of(dimension, click, self.zone) for click in self.clicks if click.counted_as == "human"}
        found |= {_of(dimension, entry, self.zone) for entry in self._attributed()}
        return {each for each in found if each is not None}

    def row(self, dimension: str, value: str) -> Figures:
        """The figures of one row of a breakdown."""

        def same(entry: Clicked | Money) -> bool:
            return _of(dimension, entry, self.zone) == value

        figures = self._sums(
            [click for click in self.clicks if same(click)], [entry for entry in self._attributed() if same(entry)]
        )
        cost = self._cost(dimension, value)
        return figures if cost is None else figures | _with_cost(figures, cost)

    def totals(self) -> Figures:
        """What is attributed, with every cost."""
        figures = self._sums(self.clicks, list(self._attributed()))
        return figures | _with_cost(figures, sum(cost.amount_minor for cost in self.costs))

    def unattributed(self) -> Figures:
        """The orders nobody gets."""
        figures = self._sums([], [entry for entry in self._own_currency() if entry.deal is None])
        return {name: figures[name] for name in ("conversions", "gross_minor", "refunds_minor", "net_minor")}

    def all_orders(self) -> Figures:
        """Every order in the brand's currency."""
        figures = self._sums([], list(self._own_currency()))
        return {name: figures[name] for name in ("conversions", "gross_minor", "refunds_minor", "net_minor")}

    def foreign(self) -> dict[str, Figures]:
        """Orders in other currencies, by currency: listed apart, in no other figure."""
        currencies = {entry.currency for entry in self.money} - {self.currency}
        found = {}
        for currency in sorted(currencies):
            figures = self._sums([], [entry for entry in self.money if entry.currency == currency])
            found[currency] = {name: figures[name] for name in ("conversions", "gross_minor", "refunds_minor")}
        return found

    def by_order(self) -> "Ledger":
        """The same, with every refund dated as its order is."""
        placed = {entry.order: entry.at for entry in self.money if not entry.refund}
        return replace(self, money=[replace(entry, at=placed[entry.order]) for entry in self.money])

    def _own_currency(self) -> Iterator[Money]:
        return (entry for entry in self.money if entry.currency == self.currency)

    def _attributed(self) -> Iterator[Money]:
        return (entry for entry in self._own_currency() if entry.deal is not None)

    def _cost(self, dimension: str, value: str) -> int | None:
        if dimension == "campaign":
            return sum(cost.amount_minor for cost in self.costs if cost.campaign == value)
        reads: dict[str, Callable[[Deal], str]] = {
            "influencer": lambda deal: deal.influencer,
            "collaboration": lambda deal: deal.collaboration,
        }
        read = reads.get(dimension)
        if read is None:
            return None
        return sum(cost.amount_minor for cost in self.costs if cost.deal is not None and read(cost.deal) == value)

    def _sums(self, clicks: list[Clicked], money: list[Money]) -> Figures:
        people = [click for click in clicks if click.counted_as == "human"]
        orders = [entry for entry in money if not entry.refund]
        gross = sum(entry.net_minor for entry in orders)
        refunds = sum(entry.net_minor for entry in money if entry.refund)
        return {
            "clicks": len(people),
            "unique_clicks": len(self._first_visits(people)),
            "conversions": len(orders),
            "gross_minor": gross,
            "refunds_minor": refunds,
            "net_minor": gross - refunds,
        }

    def _first_visits(self, people: list[Clicked]) -> set[tuple[str, str, str]]:
        return {(click.link, click.visitor, click.at.date().isoformat()) for click in people}


def _with_cost(figures: Figures, cost_minor: int) -> Figures:
    net = figures["net_minor"]
    assert isinstance(net, int)
    return {
        "cost_minor": cost_minor,
        "profit_minor": net - cost_minor,
        "roi": Fraction(net - cost_minor, cost_minor) if cost_minor else None,
        "roas": Fraction(net, cost_minor) if cost_minor else None,
    }


def _of(dimension: str, entry: Clicked | Money, zone: ZoneInfo) -> str | None:
    if dimension == "day":
        return entry.at.astimezone(zone).date().isoformat()
    if dimension == "link":
        return entry.link
    if dimension == "code":
        return entry.code if isinstance(entry, Money) else None
    if entry.deal is None:
        return None
    return str(getattr(entry.deal, dimension))
