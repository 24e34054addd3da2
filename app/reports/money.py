"""Orders, refunds and costs by row, from `credit` and `cost`. Every figure is in one currency; other currencies are summed apart.

An order counts at its own date. A refund counts at its own, so that it never changes the net of the month before, or at that of its order.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    FromClause,
    Select,
    and_,
    bindparam,
    case,
    func,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.tables import collaboration, conversion, cost, credit
from app.domain.periods import first_day_from
from app.reports.question import Filters, Question, Tallies, key_of
from app.reports.statements import ROWS_MAX, fetch, is_one_of, narrowed

WHOLE_BP = 10_000
ORDER_KIND = "sale"
ORDER_COUNTS = ("conversions_bp", "orders_bp", "gross_minor", "order_gross_minor", "refunds_minor")
"""Sums of orders. `…_bp`: orders in basis points, because a shared order counts in each row by its share."""


@dataclass(frozen=True, slots=True)
class Orders:
    """ORDER_COUNTS of credited orders by row, of orders that nobody is credited with, and of both in other currencies by currency."""

    attributed: Tallies = field(default_factory=dict)
    unattributed: Counter[str] = field(default_factory=Counter)
    unconverted: dict[str, Counter[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Costs:
    """`cost_minor` by row, of whole campaigns that no row can take, and of both in other currencies by currency."""

    split: Tallies = field(default_factory=dict)
    unsplit_minor: int = 0
    unconverted: dict[str, Counter[str]] = field(default_factory=dict)


async def count_orders(connection: AsyncConnection, brand_id: UUID, question: Question) -> Orders:
    """Orders dated in the period, and refunds dated in it or of those orders, by `refunds_by`; test, rejected and unverified ones excluded."""
    found = Orders()
    places = question.places
    for row in await fetch(connection, _orders(brand_id, question)):
        counts = dict(zip(ORDER_COUNTS, map(int, row[-len(ORDER_COUNTS) :]), strict=True))
        if row.currency != question.currency:
            found.unconverted.setdefault(row.currency, Counter()).update(counts)
        elif row.attributed:
            found.attributed.setdefault(key_of(row, places), Counter()).update(counts)
        else:
            found.unattributed.update(counts)
    return found


def _credits(brand_id: UUID, question: Question) -> FromClause:
    """The brand's credits, each with the date it counts at as `occurred_at`."""
    if question.refunds_by == "event":
        return credit
    columns = [column for column in credit.c if column.name != "occurred_at"]
    placed = select(*columns, credit.c.occurred_at).where(credit.c.brand_id == brand_id, credit.c.position == 0)
    # Orders that were refunded are found by their own date; where everything was reversed there is nothing to move.
    refunded = (
        select(*columns, conversion.c.occurred_at)
        .join(conversion, and_(conversion.c.brand_id == brand_id, conversion.c.id == credit.c.conversion_id))
        .where(credit.c.brand_id == brand_id, credit.c.position > 0, conversion.c.refunded_minor != 0)
    )
    # PostgreSQL pushes conditions on the union into both parts, and so to their indexes.
    return union_all(placed, refunded).subquery("credits")


def _orders(brand_id: UUID, question: Question) -> Select[Any]:
    groups: list[ColumnElement[Any]] = []
    rows = _credits(brand_id, question)
    if question.unit:
        bounds = bindparam("bounds", question.bounds, ARRAY(DateTime(timezone=True)))
        groups.append((func.width_bucket(rows.c.occurred_at, bounds) - 1).label("bucket"))
    attributed = rows.c.collaboration_id.is_not(None)
    # Orders that nobody is credited with are one sum: a code without an owner must not split it.
    groups += [case((attributed, rows.c[f"{name}_id"])).label(name) for name in question.entities]
    groups += [attributed.label("attributed"), rows.c.currency]
    is_order = rows.c.position == 0
    is_sale = and_(is_order, rows.c.kind == ORDER_KIND)
    weight_bp = case((attributed, rows.c.weight_bp), else_=WHOLE_BP)
    sums = {
        "conversions_bp": func.sum(weight_bp).filter(is_order),
        "orders_bp": func.sum(weight_bp).filter(is_sale),
        "gross_minor": func.sum(rows.c.amount_minor).filter(is_order),
        "order_gross_minor": func.sum(rows.c.amount_minor).filter(is_sale),
        "refunds_minor": -func.sum(rows.c.amount_minor).filter(~is_order),
    }
    return (
        select(*groups, *(func.coalesce(sums[name], 0).label(name) for name in ORDER_COUNTS))
        .where(
            rows.c.brand_id == brand_id,
            rows.c.counted,
            rows.c.occurred_at >= question.period.start,
            rows.c.occurred_at < question.period.end,
            *_filters(brand_id, question.filters, rows),
        )
        .group_by(*groups)
        .limit(ROWS_MAX + 1)
    )


def _filters(brand_id: UUID, filters: Filters, rows: FromClause) -> list[ColumnElement[bool]]:
    named = ("influencer_id", "campaign_id", "collaboration_id", "link_id", "code_id", "kind")
    conditions = narrowed(filters, **{name: rows.c[name] for name in named})
    if filters.shop:
        of_shop = select(conversion.c.id).where(
            conversion.c.brand_id == brand_id, is_one_of(conversion.c.shop, filters.shop)
        )
        conditions.append(rows.c.conversion_id.in_(of_shop))
    return conditions


async def count_costs(connection: AsyncConnection, brand_id: UUID, question: Question) -> Costs:
    """Costs incurred on a day that begins in the period (in its zone), archived ones excluded.

    The question may not filter by what a cost does not have (link, code, shop). Groups that it does not have leave the whole cost unsplit.
    """
    split: Tallies = {}
    unsplit_minor = 0
    unconverted: dict[str, Counter[str]] = {}
    places = question.places
    splits = all(map(splits_costs, question.group_by))
    below_campaign = bool({"influencer", "collaboration"} & set(question.entities))
    for row in await fetch(connection, _costs(brand_id, question)):
        if row.currency != question.currency:
            unconverted.setdefault(row.currency, Counter())["cost_minor"] += int(row.cost_minor)
        elif splits and not (row.of_campaign and below_campaign):
            split.setdefault(key_of(row, places), Counter())["cost_minor"] += int(row.cost_minor)
        else:
            unsplit_minor += int(row.cost_minor)
    return Costs(split, unsplit_minor, unconverted)


def splits_costs(group: str) -> bool:
    """Whether costs can be told apart by this group at all: they belong to collaborations and campaigns, not to links or codes."""
    return group not in ("link", "code")


_OF_ENTITY: Mapping[str, ColumnElement[Any]] = {
    "influencer": collaboration.c.influencer_id,
    "campaign": cost.c.campaign_id,
    "collaboration": cost.c.collaboration_id,
}


def _costs(brand_id: UUID, question: Question) -> Select[Any]:
    first = first_day_from(question.period.start, question.period.zone)
    after = first_day_from(question.period.end, question.period.zone)
    groups: list[ColumnElement[Any]] = []
    if all(map(splits_costs, question.group_by)):
        if question.unit:
            groups.append((func.width_bucket(cost.c.incurred_on, _day_bounds(question)) - 1).label("bucket"))
        groups += [_OF_ENTITY[name].label(name) for name in question.entities]
    groups += [cost.c.collaboration_id.is_(None).label("of_campaign"), cost.c.currency]
    source: FromClause = cost.outerjoin(
        collaboration, and_(collaboration.c.brand_id == brand_id, collaboration.c.id == cost.c.collaboration_id)
    )
    columns = {f"{name}_id": column for name, column in _OF_ENTITY.items()}
    return (
        select(*groups, func.sum(cost.c.amount_minor).label("cost_minor"))
        .select_from(source)
        .where(
            cost.c.brand_id == brand_id,
            cost.c.archived_at.is_(None),
            cost.c.incurred_on >= first,
            cost.c.incurred_on < after,
            *narrowed(question.filters, **columns),
        )
        .group_by(*groups)
        .limit(ROWS_MAX + 1)
    )


def _day_bounds(question: Question) -> ColumnElement[Any]:
    """The first whole day of each bucket. Where one holds none, the next has the same bound and takes the day: width_bucket counts bounds passed."""
    days = [first_day_from(start, question.period.zone) for start in question.bounds]
    return bindparam("day_bounds", days, type_=ARRAY(Date))
