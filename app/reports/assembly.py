"""Makes the rows of a report out of counts: pure, and exact to the minor unit.

rows + unsplit = totals (attributed)        totals + unattributed = all orders
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction

from app.domain.kpi import Facts, Figure, Missing
from app.reports.clicks import CLICK_COUNTS
from app.reports.money import WHOLE_BP, Costs, Orders, splits_costs
from app.reports.question import ENTITIES, Key, Question, Tallies
from app.reports.statements import check_rows

UNSPLITTABLE = Missing("unsplittable")
"""The figure exists for the whole and cannot be told apart by this group or filter."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its key and what was counted for it."""

    key: Key
    facts: Facts


@dataclass(frozen=True, slots=True)
class Unsplit:
    """A part of the totals that no row can take; it explains the difference between them. detail: why, in a sentence."""

    metric: str
    value: int
    detail: str


@dataclass(frozen=True, slots=True)
class Unconverted:
    """Sums in another currency than the report's, which are in none of its figures."""

    currency: str
    conversions: Figure
    gross_minor: int
    refunds_minor: int
    cost_minor: int


@dataclass(frozen=True, slots=True)
class Assembly:
    """A report in facts. Rows are in the order they are shown."""

    rows: tuple[Row, ...]
    totals: Facts
    unattributed: Facts
    all_orders: Facts
    unsplit: tuple[Unsplit, ...]
    unconverted: tuple[Unconverted, ...]


def splits_clicks(group: str) -> bool:
    """Whether clicks can be told apart by this group at all: a click knows its link and its time, and no code."""
    return group != "code"


def knows_clicks(question: Question) -> bool:
    """Whether clicks can answer the filters: they have neither code nor shop."""
    return not (question.filters.code_id or question.filters.shop)


def knows_costs(question: Question) -> bool:
    """Whether costs can answer the filters: they have no link, code or shop."""
    return not (question.filters.link_id or question.filters.code_id or question.filters.shop)


def assemble(question: Question, clicks: Tallies, orders: Orders, costs: Costs) -> Assembly:
    """The report. `clicks` are by row when the groups split clicks, else under the empty key; empty when the filters exclude clicks."""
    rows_have_clicks = knows_clicks(question) and all(map(splits_clicks, question.group_by))
    rows_have_costs = knows_costs(question) and all(map(splits_costs, question.group_by))
    counted: Tallies = {}
    for tallies in (orders.attributed, clicks if rows_have_clicks else {}, costs.split):
        for key, counts in tallies.items():
            counted.setdefault(key, Counter()).update(counts)
    totals: Counter[str] = Counter()
    for tallies in (orders.attributed, clicks, costs.split):
        for counts in tallies.values():
            totals.update(counts)
    totals["cost_minor"] += costs.unsplit_minor
    if question.group_by == (question.unit,):
        for number in range(len(question.buckets)):
            counted.setdefault((number,), Counter())
    rows = [Row(key, _facts(counts, clicks=rows_have_clicks, costs=rows_have_costs)) for key, counts in counted.items()]
    check_rows(len(rows))
    all_orders = _sum(totals, orders.unattributed)
    return Assembly(
        rows=tuple(_in_order(question, rows)) if question.group_by else (),
        totals=_facts(totals, clicks=knows_clicks(question), costs=knows_costs(question)),
        unattributed=_facts(orders.unattributed, clicks=True, costs=True),
        all_orders=_facts(all_orders, clicks=True, costs=True),
        unsplit=tuple(_unsplit(question, totals, costs)) if question.group_by else (),
        unconverted=_unconverted(orders.unconverted, costs.unconverted),
    )


_FACTS = tuple(each.name for each in fields(Facts))


def _orders(bp: int) -> int | Fraction:
    """Orders out of basis points: whole when nothing is shared, which is nearly always and much faster."""
    return Fraction(bp, WHOLE_BP) if bp % WHOLE_BP else bp // WHOLE_BP


def _facts(counts: Mapping[str, int], *, clicks: bool, costs: bool) -> Facts:
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


def _unsplit(question: Question, totals: Mapping[str, int], costs: Costs) -> list[Unsplit]:
    found = []
    if knows_clicks(question) and not all(map(splits_clicks, question.group_by)):
        found += [Unsplit(name, totals.get(name, 0), "clicks have no code") for name in CLICK_COUNTS]
    if knows_costs(question):
        if not all(map(splits_costs, question.group_by)):
            found.append(
                Unsplit("cost_minor", costs.unsplit_minor, "costs belong to collaborations, not to links or codes")
            )
        elif costs.unsplit_minor:
            found.append(Unsplit("cost_minor", costs.unsplit_minor, "costs of whole campaigns"))
    return found


def _unconverted(orders: Mapping[str, Counter[str]], costs: Mapping[str, Counter[str]]) -> tuple[Unconverted, ...]:
    found = []
    for currency in sorted({*orders, *costs}):
        counts = _sum(orders.get(currency, Counter()), costs.get(currency, Counter()))
        conversions = _orders(counts["conversions_bp"])
        found.append(
            Unconverted(currency, conversions, counts["gross_minor"], counts["refunds_minor"], counts["cost_minor"])
        )
    return tuple(found)


def _in_order(question: Question, rows: list[Row]) -> list[Row]:
    """Sorted group by group: time ascending; entities by revenue, conversions, clicks (over all their rows) descending, unknown last."""
    ranks: list[Mapping[object, int] | None] = []
    for place, group in enumerate(question.group_by):
        ranks.append(_ranks(place, rows) if group in ENTITIES else None)

    def order(row: Row) -> tuple[object, ...]:
        return tuple(part if rank is None else rank[part] for part, rank in zip(row.key, ranks, strict=True))

    return sorted(rows, key=order)


def _ranks(place: int, rows: list[Row]) -> Mapping[object, int]:
    weights: dict[object, list[int | Fraction]] = {}
    for row in rows:
        weight = weights.setdefault(row.key[place], [0, 0, 0])
        for index, figure in enumerate((row.facts.net_minor, row.facts.conversions, row.facts.clicks)):
            if not isinstance(figure, Missing):
                weight[index] += figure
    ordered = sorted(weights, key=lambda part: (part is None, *(-each for each in weights[part]), str(part)))
    return {part: rank for rank, part in enumerate(ordered)}
