"""What happened, and what every figure must be: the demo's own books, kept while it plays, with arithmetic of their own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from demo.figures import Counted

ENTITIES = ("influencer", "campaign", "collaboration", "link", "code")
TIMES = ("day", "week", "month")
BELOW_CAMPAIGN = frozenset({"influencer", "collaboration"})
Key = tuple[str | None, ...]


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
    """An order, or with `refund` true money given back (negative: won back), and who it belongs to (None: nobody).

    order: the name by which its shop can be asked for it, '' where it has none. placed_at: when the order was placed, also of money given back.
    """

    shop: str
    order: str
    deal: Deal | None
    link: str | None
    code: str | None
    net_minor: int
    currency: str
    at: datetime
    placed_at: datetime
    refund: bool = False


@dataclass(frozen=True, slots=True)
class Spent:
    """A cost of a collaboration, or of a whole campaign when `deal` is None."""

    deal: Deal | None
    campaign: str
    amount_minor: int
    on: date


@dataclass(slots=True)
class Ledger:
    """Everything that happened. `closed` gives the sums over it."""

    currency: str
    zone: ZoneInfo
    clicks: list[Clicked] = field(default_factory=list)
    money: list[Money] = field(default_factory=list)
    costs: list[Spent] = field(default_factory=list)

    def closed(self, shop: str | None = None, refunds_by: str = "event") -> "Books":
        """The books of the brand, or of one shop, which has neither clicks nor costs of its own. refunds_by `order`: dated as their orders are."""
        money = tuple(entry for entry in self.money if shop in (None, entry.shop))
        if refunds_by == "order":
            money = tuple(replace(entry, at=entry.placed_at) for entry in money)
        if shop is not None:
            return Books(self.currency, self.zone, None, money, None)
        return Books(self.currency, self.zone, tuple(self.clicks), money, tuple(self.costs))


@dataclass(frozen=True)
class Books:
    """The sums over what happened. clicks, costs None: they cannot be told."""

    currency: str
    zone: ZoneInfo
    clicks: Sequence[Clicked] | None
    money: Sequence[Money]
    costs: Sequence[Spent] | None

    def rows(self, groups: Sequence[str]) -> dict[Key, Counted]:
        """Every row of a breakdown that something happened for; without groups the totals: what is attributed, with every cost."""
        found: dict[Key, Counted] = {}
        with_clicks, with_costs = self.splits(groups)

        def row(key: Key) -> Counted:
            return found.setdefault(key, Counted(with_clicks=with_clicks, with_costs=with_costs))

        for click in self.clicks if with_clicks and self.clicks else ():
            row(self._key(groups, click, click.at)).click(click.counted_as, first=id(click) in self._first_visits)
        for entry in self._own_currency():
            if entry.deal is not None:
                row(self._key(groups, entry, entry.at)).book(entry.net_minor, refund=entry.refund)
        for spent in self.costs if with_costs and self.costs else ():
            if spent.deal is not None or not BELOW_CAMPAIGN & set(groups):
                row(self._key(groups, spent, None)).spend(spent.amount_minor)
        return found

    def splits(self, groups: Sequence[str]) -> tuple[bool, bool]:
        """Whether clicks and costs can be told apart by these groups: a click has no code, a cost neither link nor code."""
        with_clicks = self.clicks is not None and "code" not in groups
        with_costs = self.costs is not None and not {"link", "code"} & set(groups)
        return with_clicks, with_costs

    def totals(self) -> Counted:
        """What is attributed, with every cost."""
        return self.rows(()).get((), self.nothing(()))

    def nothing(self, groups: Sequence[str]) -> Counted:
        """A row for which nothing happened."""
        with_clicks, with_costs = self.splits(groups)
        return Counted(with_clicks=with_clicks, with_costs=with_costs)

    def unattributed(self) -> Counted:
        """The orders nobody gets."""
        return _counted(entry for entry in self._own_currency() if entry.deal is None)

    def all_orders(self) -> Counted:
        """Every order in the brand's currency."""
        return _counted(self._own_currency())

    def foreign(self) -> dict[str, Counted]:
        """Orders in other currencies, by currency: listed apart, in no other figure."""
        currencies = sorted({entry.currency for entry in self.money} - {self.currency})
        return {name: _counted(entry for entry in self.money if entry.currency == name) for name in currencies}

    def _own_currency(self) -> Iterator[Money]:
        return (entry for entry in self.money if entry.currency == self.currency)

    def _key(self, groups: Sequence[str], entry: Clicked | Money | Spent, at: datetime | None) -> Key:
        day = entry.on if isinstance(entry, Spent) else (at or entry.at).astimezone(self.zone).date()
        return tuple(_of(group, entry, day) for group in groups)

    @cached_property
    def _first_visits(self) -> set[int]:
        """The first human click per link, visitor and UTC day."""
        first: dict[tuple[str, str, str], Clicked] = {}
        for click in self.clicks or ():
            if click.counted_as == "human":
                known = first.setdefault((click.link, click.visitor, click.at.date().isoformat()), click)
                if click.at < known.at:
                    first[click.link, click.visitor, click.at.date().isoformat()] = click
        return {id(click) for click in first.values()}


def _counted(money: Iterator[Money]) -> Counted:
    counted = Counted(with_clicks=True, with_costs=True)
    for entry in money:
        counted.book(entry.net_minor, refund=entry.refund)
    return counted


def _of(group: str, entry: Clicked | Money | Spent, day: date) -> str | None:
    match group:
        case "day":
            return day.isoformat()
        case "week":
            return (day - timedelta(days=day.weekday())).isoformat()
        case "month":
            return f"{day:%Y-%m}"
        case "link":
            return None if isinstance(entry, Spent) else entry.link
        case "code":
            return entry.code if isinstance(entry, Money) else None
        case "campaign" if isinstance(entry, Spent):
            return entry.campaign
    return None if entry.deal is None else str(getattr(entry.deal, group))
