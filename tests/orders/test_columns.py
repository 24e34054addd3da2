"""Statements are made from lists of columns: each names every column of its table that is written, with the type it has there."""

import pytest
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from app.database import tables
from app.database.recordset import Columns, columns_of
from app.domain.folding import OrderColumns
from app.orders.facts import CHANGED, FACT
from app.orders.store import CONVERSION, CREDIT, DECISION

PREVIOUS = {
    "kind", "refund_id", "amount_minor", "currency", "occurred_at", "lines", "of_total", "cumulative", "part_of", "by_lines", "reverses"
}  # fmt: skip


@pytest.mark.parametrize(
    ("table", "columns", "others"),
    [
        (tables.witness, FACT, set()),
        (tables.adjustment, FACT, PREVIOUS),
        (tables.status_change, CHANGED, set()),
        (tables.conversion, CONVERSION, {"root_id", "digest", "updated_at"}),
        (tables.decision, DECISION, {"conversion_id", "decided_at"}),
        (tables.credit, CREDIT, set()),
    ],
    ids=lambda value: value.name if isinstance(value, Table) else "",
)
def test_a_statement_writes_every_column_of_its_table_as_what_it_is(
    table: Table, columns: Columns, others: set[str]
) -> None:
    types = {column.name: column.type.compile(postgresql.dialect()).lower() for column in table.columns}
    short = {"timestamp with time zone": "timestamptz"}
    assert {name: short.get(kind, kind) for name, kind in types.items() if name not in others | {"brand_id"}} == dict(
        columns
    )


def test_an_attribute_of_a_folded_order_is_a_column_by_its_own_name() -> None:
    assert dict(columns_of(OrderColumns))["origin"] == "text"
    assert [name for name, _ in columns_of(OrderColumns)] == list(OrderColumns.__struct_fields__)
