"""Orders, refunds and costs by row, from `credit` and `cost`. Every figure is in one currency; other currencies are summed apart.

An order counts at its own date. A refund counts at its own, so that it never changes the net of the month before, or at that of its order.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    FromClause,
    and_,
    bindparam,
    case,
    false,
    func,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.tables import collaboration, conversion, cost, credit
from app.domain.periods import first_day_from
from app.reports.question import Filters, Question, Tallies, key_of
from app.reports.statements import ROWS_MAX, fetch, in_days, narrowed

WHOLE_BP = 10_000
ORDER_KIND = "sale"


@dataclass(frozen=True, slots=True)
class Sums:
    """Counts by row, of the rest that no row takes, and of both in other currencies by currency."""

    rows: Tallies = field(default_factory=dict)
    rest: Counter[str] = field(default_factory=Counter)
    unconverted: dict[str, Counter[str]] = field(default_factory=dict)


async def _add_up(
    connection: AsyncConnection,
    question: Question,
    rows: FromClause,
    groups: Sequence[ColumnElement[Any]],
    in_row: ColumnElement[bool],
    sums: Mapping[str, ColumnElement[Any]],
    *conditions: ColumnElement[bool],
) -> Sums:
    """Sums by groups and currency. in_row: whether a row of the report takes them, by nothing but the groups and whether there is a collaboration."""
    counted = (func.coalesce(each, 0) for each in sums.values())
    statement = (
        select(*groups, in_row.label("in_row"), rows.c.currency, *counted)
        .where(*conditions)
        .group_by(*groups, rows.c.collaboration_id.is_not(None), rows.c.currency)
        .limit(ROWS_MAX + 1)
    )
    found = Sums()
    places = question.places
    for row in await fetch(connection, statement):
        counts = dict(zip(sums, map(int, row[-len(sums) :]), strict=True))
        if row.currency != question.currency:
            found.unconverted.setdefault(row.currency, Counter()).update(counts)
        elif row.in_row:
            found.rows.setdefault(key_of(row, places), Counter()).update(counts)
        else:
            found.rest.update(counts)
    return found


async def count_orders(connection: AsyncConnection, brand_id: UUID, question: Question) -> Sums:
    """Sums of orders dated in the period, and of refunds dated in it or of those orders, by `refunds_by`.

    The rest are orders that nobody is credited with. Test, rejected and unverified orders are excluded. `…_bp`: orders in basis points, because a
    shared order counts in each row by its share. `unsigned_…`: of those that somebody gets on the word of unsigned reports; refunds are taken off.
    """
    groups: list[ColumnElement[Any]] = []
    rows = _credits(brand_id, question)
    if question.unit:
        bounds = bindparam("bounds", [bucket.start for bucket in question.buckets], ARRAY(DateTime(timezone=True)))
        groups.append((func.width_bucket(rows.c.occurred_at, bounds) - 1).label("bucket"))
    attributed = rows.c.collaboration_id.is_not(None)
    # Orders that nobody is credited with are one sum: a code without an owner must not split it.
    groups += [case((attributed, rows.c[f"{name}_id"])).label(name) for name in question.entities]
    is_order = rows.c.position == 0
    is_sale = and_(is_order, rows.c.kind == ORDER_KIND)
    weight_bp = case((attributed, rows.c.weight_bp), else_=WHOLE_BP)
    sums = {
        "conversions_bp": func.sum(weight_bp).filter(is_order),
        "orders_bp": func.sum(weight_bp).filter(is_sale),
        "gross_minor": func.sum(rows.c.amount_minor).filter(is_order),
        "order_gross_minor": func.sum(rows.c.amount_minor).filter(is_sale),
        "refunds_minor": -func.sum(rows.c.amount_minor).filter(~is_order),
        "unsigned_bp": func.sum(rows.c.weight_bp).filter(is_order, attributed, rows.c.unsigned),
        "unsigned_minor": func.sum(rows.c.amount_minor).filter(attributed, rows.c.unsigned),
    }
    conditions = (
        rows.c.brand_id == brand_id,
        rows.c.counted,
        rows.c.occurred_at >= question.period.start,
        rows.c.occurred_at < question.period.end,
        *_filters(brand_id, question.filters, rows),
    )
    return await _add_up(connection, question, rows, groups, attributed, sums, *conditions)


def _credits(brand_id: UUID, question: Question) -> FromClause:
    """The brand's credits, each with the date it counts at as `occurred_at`."""
    if question.refunds_by == "event":
        return credit
    columns = [column for column in credit.c if column.name != "occurred_at"]
    placed = select(*columns, credit.c.occurred_at).where(credit.c.brand_id == brand_id, credit.c.position == 0)
    # Orders that were refunded are found by their own date; where everything was reversed there is nothing to move.
    refunded = (
        select(*columns, conversion.c.occurred_at)
        .join(conversion)
        .where(credit.c.brand_id == brand_id, credit.c.position > 0, conversion.c.refunded_minor != 0)
    )
    # PostgreSQL pushes conditions on the union into both parts, and so to their indexes.
    return union_all(placed, refunded).subquery("credits")


def _filters(brand_id: UUID, filters: Filters, rows: FromClause) -> list[ColumnElement[bool]]:
    named = ("influencer_id", "campaign_id", "collaboration_id", "link_id", "code_id", "kind")
    conditions = narrowed(filters, **{name: rows.c[name] for name in named})
    of_order = narrowed(filters, shop=conversion.c.shop, origin=conversion.c.origin)
    if of_order:
        orders = select(conversion.c.id).where(conversion.c.brand_id == brand_id, *of_order)
        conditions.append(rows.c.conversion_id.in_(orders))
    return conditions


async def count_costs(connection: AsyncConnection, brand_id: UUID, question: Question) -> Sums:
    """`cost_minor` of costs incurred on a day that begins in the period (in its zone), archived ones excluded.

    The question may not filter by what a cost does not have (link, code, shop, origin). The rest are costs of whole campaigns where the groups go below a
    campaign, and every cost where a group is one that costs do not have.
    """
    rows = (
        select(cost, collaboration.c.influencer_id)
        .select_from(cost.outerjoin(collaboration))
        .where(cost.c.brand_id == brand_id, cost.c.archived_at.is_(None))
        .subquery("costs")
    )
    columns = {name: rows.c[name] for name in ("influencer_id", "campaign_id", "collaboration_id")}
    groups: list[ColumnElement[Any]] = []
    if question.splits_costs:
        if question.unit:
            # Where a bucket holds no whole day, the next has the same bound and takes the day: width_bucket counts bounds passed.
            days = [first_day_from(bucket.start, question.period.zone) for bucket in question.buckets]
            bounds = bindparam("day_bounds", days, type_=ARRAY(Date))
            groups.append((func.width_bucket(rows.c.incurred_on, bounds) - 1).label("bucket"))
        groups += [columns[f"{name}_id"] for name in question.entities]
    in_row: ColumnElement[bool] = true() if question.splits_costs else false()
    if question.splits_costs and {"influencer", "collaboration"} & set(question.entities):
        in_row = rows.c.collaboration_id.is_not(None)  # a cost of the whole campaign is none of its collaborations'
    conditions = (*in_days(rows.c.incurred_on, question.period), *narrowed(question.filters, **columns))
    sums = {"cost_minor": func.sum(rows.c.amount_minor)}
    return await _add_up(connection, question, rows, groups, in_row, sums, *conditions)
