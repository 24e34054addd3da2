"""What the statements of a report share: conditions of its filters, and the limit on its rows."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Executable, func, literal
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.periods import Period, first_day_from
from app.errors import Invalid
from app.reports.question import Filters

ROWS_MAX = 10_000
"""Most rows of one report."""


def is_one_of(field: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """The condition that a field has one of these values, sent as one array: thousands of ids would be as many parameters."""
    return field == func.any(literal(list(values), ARRAY(field.type)))


def narrowed(filters: Filters, **columns: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    """The conditions of those filters that are given, each on the column named like it."""
    return [is_one_of(column, values) for name, column in columns.items() if (values := getattr(filters, name))]


def in_days(day: ColumnElement[date], period: Period) -> tuple[ColumnElement[bool], ...]:
    """The conditions that a day begins in the period, in its zone."""
    return day >= first_day_from(period.start, period.zone), day < first_day_from(period.end, period.zone)


async def fetch(connection: AsyncConnection, statement: Executable) -> Sequence[Any]:
    """Every row of a grouped statement that was limited to ROWS_MAX + 1. Raises Invalid when it has more than a report may hold."""
    rows = (await connection.execute(statement)).fetchall()
    check_rows(len(rows))
    return rows


def check_rows(count: int) -> None:
    """Raises Invalid for a report of more than ROWS_MAX rows."""
    if count > ROWS_MAX:
        raise Invalid.field(
            "group_by",
            f"more than {ROWS_MAX:,} rows; ask for a shorter range, longer units of time, fewer groups, or filter",
            code="too_many_rows",
        )
