"""The books: what happened to one brand, and what every row of a report over it must contain, with arithmetic of their own.

Ids are whatever the caller uses as names of influencers, campaigns, links and codes. The demo keeps these books while it runs; the tests of the
reports keep them beside the database. Counts are exact; demo/figures.py turns them into the figures of a report.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from demo.figures import CLICK_CLASSES, ORDER_COUNTS, WHOLE_BP, Counts

ENTITIES = ("influencer", "campaign", "collaboration", "link", "code")
TIMES = ("day", "week", "month")
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
Id = Hashable
Key = tuple[Id, ...]
Add = Callable[[date, dict[str, Id], dict[str, int]], None]


@dataclass(frozen=True, slots=True)
class Deal:
    """A collaboration: one influencer in one campaign."""

    influencer: Id
    campaign: Id
    collaboration: Id


@dataclass(frozen=True, slots=True)
class BookedClick:
    """One redirect. counted_as: a class of CLICK_CLASSES; any other is in no report."""

    at: datetime
    deal: Deal
    link: Id
    counted_as: str
    visitor: Hashable


@dataclass(frozen=True, slots=True)
class Share:
    """A share of an order, in basis points. deal None: it belongs to nobody."""

    deal: Deal | None
    link: Id = None
    code: Id = None
    weight_bp: int = WHOLE_BP


@dataclass(frozen=True, slots=True)
class BookedOrder:
    """One order: its amount and each refund divided among the shares. A negative refund was won back. order_id: '' where the shop has none."""

    at: datetime
    amounts: tuple[int, ...]
    shares: tuple[Share, ...]
    currency: str = "EUR"
    kind: str = "sale"
    counted: bool = True
    shop: str = "main"
    refunds: tuple[tuple[datetime, tuple[int, ...]], ...] = ()
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class BookedCost:
    """A cost of a collaboration, or of a whole campaign where `deal` is None."""

    on: date
    campaign: Id
    deal: Deal | None
    amount_minor: int
    currency: str = "EUR"
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """What a report is asked. The range is [start, end). shop: of that shop alone, which has neither clicks nor costs of its own."""

    groups: tuple[str, ...] = ()
    shop: str | None = None
    refunds_by: str = "event"
    start: datetime = EARLIEST
    end: datetime = LATEST

    @property
    def with_clicks(self) -> bool:
        """Whether the rows can have clicks: a click has no code."""
        return self.shop is None and "code" not in self.groups

    @property
    def with_costs(self) -> bool:
        """Whether the rows can have costs: a cost has neither link nor code."""
        return self.shop is None and not {"link", "code"} & set(self.groups)


@dataclass(slots=True)
class Expected:
    """What a report must contain. rows: those for which something was counted; totals: everything that is attributed, and every cost."""

    rows: dict[Key, Counts] = field(default_factory=dict)
    totals: Counts = field(default_factory=Counter)
    unattributed: Counts = field(default_factory=Counter)
    unconverted: dict[str, Counts] = field(default_factory=dict)

    def all_orders(self) -> Counts:
        """The counts of every order in the report's currency, attributed or not."""
        return Counter({name: self.totals[name] + self.unattributed[name] for name in ORDER_COUNTS})


@dataclass(slots=True)
class Ledger:
    """Everything that happened to one brand. zone: that of the report's days."""

    currency: str
    zone: ZoneInfo
    clicks: list[BookedClick] = field(default_factory=list)
    orders: list[BookedOrder] = field(default_factory=list)
    costs: list[BookedCost] = field(default_factory=list)

    def report(self, query: Query) -> Expected:
        """Every entry within the range, added to the row it belongs to."""
        found = Expected()

        def add(day: date, ids: dict[str, Id], counts: dict[str, int]) -> None:
            found.totals.update(counts)
            known = {**ids, "day": day, "week": day - timedelta(days=day.weekday()), "month": f"{day:%Y-%m}"}
            if query.groups and all(group in known for group in query.groups):
                key = tuple(str(known[group]) if group in TIMES else known[group] for group in query.groups)
                found.rows.setdefault(key, Counter()).update(counts)

        if query.shop is None:
            self._add_clicks(query, add)
            self._add_costs(query, add, found)
        self._add_orders(query, add, found)
        return found

    def _add_clicks(self, query: Query, add: Add) -> None:
        first = first_visits(self.clicks)
        for number, click in enumerate(self.clicks):
            if click.counted_as in CLICK_CLASSES and query.start <= click.at < query.end:
                counts = {CLICK_CLASSES[click.counted_as]: 1, "unique_clicks": int(number in first)}
                add(self._day(click.at), {**_ids(click.deal), "link": click.link}, counts)

    def _add_costs(self, query: Query, add: Add, found: Expected) -> None:
        for cost in self.costs:
            midnight = datetime.combine(cost.on, time(), self.zone).astimezone(UTC)
            if cost.archived or not query.start <= midnight < query.end:
                continue
            counts = {"cost_minor": cost.amount_minor}
            if cost.currency == self.currency:
                add(cost.on, {"campaign": cost.campaign} if cost.deal is None else _ids(cost.deal), counts)
            else:
                found.unconverted.setdefault(cost.currency, Counter()).update(counts)

    def _add_orders(self, query: Query, add: Add, found: Expected) -> None:
        for order in self.orders:
            if not order.counted or query.shop not in (None, order.shop):
                continue
            for at, share, counts in _order_counts(order, query.refunds_by):
                if not query.start <= at < query.end:
                    continue
                if order.currency != self.currency:
                    found.unconverted.setdefault(order.currency, Counter()).update(counts)
                elif share.deal is None:
                    found.unattributed.update(counts)
                else:
                    add(self._day(at), {**_ids(share.deal), "link": share.link, "code": share.code}, counts)

    def _day(self, at: datetime) -> date:
        return at.astimezone(self.zone).date()


def first_visits(clicks: Iterable[BookedClick]) -> set[int]:
    """The positions of the clicks that are the first human one of their link, visitor and UTC day."""
    first: dict[tuple[Id, Hashable, date], tuple[datetime, int]] = {}
    for number, click in enumerate(clicks):
        if click.counted_as == "human":
            visit = (click.link, click.visitor, click.at.date())
            first[visit] = min(first.get(visit, (click.at, number)), (click.at, number))
    return {number for _, number in first.values()}


def _order_counts(order: BookedOrder, refunds_by: str) -> Iterator[tuple[datetime, Share, dict[str, int]]]:
    """What each share of the order and of its refunds adds to a report, and when. refunds_by `order`: at the time of the order."""
    is_sale = order.kind == "sale"
    for share, amount in zip(order.shares, order.amounts, strict=True):
        counts = {"conversions": share.weight_bp, "gross_minor": amount, "net_minor": amount}
        yield order.at, share, counts | ({"orders": share.weight_bp, "sales_minor": amount} if is_sale else {})
    for at, amounts in order.refunds:
        for share, amount in zip(order.shares, amounts, strict=True):
            yield order.at if refunds_by == "order" else at, share, {"refunds_minor": amount, "net_minor": -amount}


def _ids(deal: Deal) -> dict[str, Id]:
    return {"influencer": deal.influencer, "campaign": deal.campaign, "collaboration": deal.collaboration}
