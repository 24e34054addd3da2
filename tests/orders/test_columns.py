"""Statements are made from lists of columns: each names every column of its table that is written."""

from collections.abc import Sequence

import pytest
from sqlalchemy import Table

from app.database import tables
from app.orders.facts import CHANGED, FACT
from app.orders.state import CONVERSION, DECISION
from app.orders.store import CREDIT

PREVIOUS = {
    "kind", "refund_id", "amount_minor", "currency", "occurred_at", "lines", "of_total", "cumulative", "part_of", "by_lines", "reverses"
}  # fmt: skip


@pytest.mark.parametrize(
    ("table", "columns", "others"),
    [
        (tables.witness, FACT, set()),
        (tables.adjustment, FACT, {*PREVIOUS, "refs"}),
        (tables.status_change, CHANGED, set()),
        (tables.conversion, CONVERSION, {"root_id", "digest", "taken_apart", "updated_at"}),
        (tables.decision, DECISION, {"decided_at"}),
        (tables.credit, CREDIT.split(", "), set()),
    ],
    ids=lambda value: value.name if isinstance(value, Table) else "",
)
def test_a_statement_writes_every_column_of_its_table(table: Table, columns: Sequence[str], others: set[str]) -> None:
    assert {column.name for column in table.columns} - others - {"brand_id"} == set(columns)
