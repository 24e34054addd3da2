"""Makes a report out of counts: pure, and exact to the minor unit.

rows + unsplit = totals (attributed)        totals + unattributed = all orders
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from app.domain.kpi import ORDER_METRICS, Facts, Figure, Figures, Missing, compute, coverage, shown
from app.reports.clicks import CLICK_COUNTS
from app.reports.money import WHOLE_BP, Sums
from app.reports.names import Named
from app.reports.question import ENTITIES, Key, Question, Tallies

UNSPLITTABLE = Missing("unsplittable")
"""The figure exists for the whole and cannot be told apart by this group or filter."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: for each group its entity, or the label of its day, week or month; and its figures."""

    key: Mapping[str, Named | str]
    figures: Figures


@dataclass(frozen=True, slots=True)
class Unsplit:
    """A part of the totals that no row can take; it explains the difference between them. detail: why, in a sentence."""

    metric: str
    value: int
    detail: str
    reason: str = UNSPLITTABLE.reason


@dataclass(frozen=True, slots=True)
class Unconverted:
    """Sums in another currency than the report's, which are in none of its figures."""

    currency: str
    conversions: int | Decimal | None
    gross_minor: int
    refunds_minor: int
    cost_minor: int


@dataclass(frozen=True, slots=True)
class Unsigned:
    """What of everything attributed rests on unsigned signals alone, in one currency. net_minor: after refunds."""

    currency: str
    conversions: int | Decimal | None
    net_minor: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that is not counted yet. what: `host` (its spool), `visitors`, `deliveries` or `orders` (to be decided again)."""

    since: datetime
    what: str
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Completeness:
    """until: every click and order received before it is counted; None while nothing has been drained yet. held_back_by: what keeps it from being newer,
    when it lags."""

    until: datetime | None
    held_back_by: Waiting | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The whole report, its rows in the order they are shown."""

    question: Question
    as_of: datetime
    completeness: Completeness
    rows: tuple[Row, ...]
    totals: Figures
    unattributed: Figures
    all_orders: Figures
    unsplit: tuple[Unsplit, ...]
    unconverted: tuple[Unconverted, ...]
    unsigned: tuple[Unsigned, ...]


def assemble(
    question: Question,
    clicks: Tallies,
    orders: Sums,
    costs: Sums,
    names: Mapping[str, Mapping[UUID | None, Named]],
    *,
    as_of: datetime,
    completeness: Completeness,
) -> Summary:
    """The report. `clicks` are by row when the groups split clicks, else under the empty key; empty when the filters exclude clicks."""
    counted: Tallies = {}
    totals = Counter(costs.rest)
    for tallies in (orders.rows, clicks, costs.rows):
        for key, counts in tallies.items():
            totals.update(counts)
            if len(key) == len(question.group_by):
                counted.setdefault(key, Counter()).update(counts)
    labels = [bucket.label for bucket in question.buckets]
    if question.group_by == (question.unit,):
        for number in range(len(labels)):
            counted.setdefault((number,), Counter())
    with_clicks = question.knows_clicks and question.splits_clicks
    with_costs = question.knows_costs and question.splits_costs
    facts = {key: _facts(counts, clicks=with_clicks, costs=with_costs) for key, counts in counted.items()}
    rows = []
    for key in _in_order(question, facts) if question.group_by else ():
        parts = zip(question.group_by, key, strict=True)
        shown_key = {group: labels[part] if isinstance(part, int) else names[group][part] for group, part in parts}
        rows.append(Row(shown_key, compute(facts[key])))
    all_totals = _facts(totals, clicks=question.knows_clicks, costs=question.knows_costs)
    return Summary(
        question=question,
        as_of=as_of,
        completeness=completeness,
        rows=tuple(rows),
        totals=compute(all_totals),
        unattributed=compute(_facts(orders.rest), ORDER_METRICS),
        all_orders=_all_orders(question, all_totals.conversions, _facts(_sum(totals, orders.rest))),
        unsplit=tuple(_unsplit(question, totals, costs)) if question.group_by else (),
        unconverted=_unconverted(orders.unconverted, costs.unconverted),
        unsigned=_unsigned({**orders.unconverted, question.currency: totals}),
    )


_FACTS = tuple(each.name for each in fields(Facts))


def _orders(bp: int) -> int | Fraction:
    """Orders out of basis points: whole when nothing is shared, which is nearly always and much faster."""
    return Fraction(bp, WHOLE_BP) if bp % WHOLE_BP else bp // WHOLE_BP


def _facts(counts: Mapping[str, int], *, clicks: bool = True, costs: bool = True) -> Facts:
    """Facts of what was counted; UNSPLITTABLE for clicks or costs where they are not known."""
    found: dict[str, Figure] = {name: counts.get(name, 0) for name in _FACTS}
    found["conversions"] = _orders(counts.get("conversions_bp", 0))
    found["orders"] = _orders(counts.get("orders_bp", 0))
    if not clicks:
        found.update(dict.fromkeys(CLICK_COUNTS, UNSPLITTABLE))
    if not costs:
        found["cost_minor"] = UNSPLITTABLE
    return Facts(**found)


def _sum(*parts: Counter[str]) -> Counter[str]:
    """The sum, negative counts included (`+` of Counters would drop them)."""
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total


def _all_orders(question: Question, attributed: Figure, facts: Facts) -> Figures:
    """The figures of all orders, and the share that the report explains; no share under a filter that no unattributed order can pass."""
    figures = compute(facts, ORDER_METRICS)
    if any(getattr(question.filters, f"{entity}_id") for entity in ENTITIES):
        attributed = Missing("filtered")
    figure = coverage(attributed, facts.conversions)
    reasons = {"coverage": figure.reason} if isinstance(figure, Missing) else {}
    return Figures({**figures.values, "coverage": shown(figure, "ratio")}, {**figures.reasons, **reasons})


def _unsplit(question: Question, totals: Mapping[str, int], costs: Sums) -> list[Unsplit]:
    found = []
    if question.knows_clicks and not question.splits_clicks:
        found += [Unsplit(name, totals.get(name, 0), "clicks have no code") for name in CLICK_COUNTS]
    unsplit_minor = costs.rest["cost_minor"]
    if question.knows_costs and not question.splits_costs:
        found.append(Unsplit("cost_minor", unsplit_minor, "costs belong to collaborations, not to links or codes"))
    elif unsplit_minor:
        found.append(Unsplit("cost_minor", unsplit_minor, "costs of whole campaigns"))
    return found


def _unconverted(orders: Mapping[str, Counter[str]], costs: Mapping[str, Counter[str]]) -> tuple[Unconverted, ...]:
    found = []
    for currency in sorted({*orders, *costs}):
        counts = _sum(orders.get(currency, Counter()), costs.get(currency, Counter()))
        amounts = (counts[name] for name in ("gross_minor", "refunds_minor", "cost_minor"))
        found.append(Unconverted(currency, shown(_orders(counts["conversions_bp"]), "count"), *amounts))
    return tuple(found)


def _unsigned(counted: Mapping[str, Counter[str]]) -> tuple[Unsigned, ...]:
    """counted: by currency. Currencies in which nothing rests on unsigned signals are left out."""
    return tuple(
        Unsigned(currency, shown(_orders(counts["unsigned_bp"]), "count"), counts["unsigned_minor"])
        for currency, counts in sorted(counted.items())
        if counts["unsigned_bp"] or counts["unsigned_minor"]
    )


def _in_order(question: Question, rows: Mapping[Key, Facts]) -> list[Key]:
    """The keys, group by group: time ascending; entities by revenue, conversions, clicks (over all their rows) descending, unknown last."""
    ranks = [_ranks(place, rows) if group in ENTITIES else None for place, group in enumerate(question.group_by)]

    def order(key: Key) -> tuple[object, ...]:
        return tuple(part if rank is None else rank[part] for part, rank in zip(key, ranks, strict=True))

    return sorted(rows, key=order)


def _ranks(place: int, rows: Mapping[Key, Facts]) -> Mapping[object, int]:
    weights: dict[object, list[int | Fraction]] = {}
    for key, facts in rows.items():
        weight = weights.setdefault(key[place], [0, 0, 0])
        for index, figure in enumerate((facts.net_minor, facts.conversions, facts.clicks)):
            if not isinstance(figure, Missing):
                weight[index] += figure
    ordered = sorted(weights, key=lambda part: (part is None, *(-each for each in weights[part]), str(part)))
    return {part: rank for rank, part in enumerate(ordered)}
