"""SQL that writes many rows of one table from one JSON parameter, made from one list of the names of columns.

A statement names its columns up to four times (in INSERT, SELECT and SET). Written by hand, each new column is a chance to forget one of them.
"""

from collections.abc import Sequence


def names(columns: Sequence[str], prefix: str = "") -> str:
    """`id, shop, …`, or with the prefix "r." `r.id, r.shop, …`."""
    return ", ".join(f"{prefix}{name}" for name in columns)


def recordset(table: str, parameter: str) -> str:
    """Rows `r` of the table's type. A row of 24 columns takes 15 µs; with `jsonb_to_recordset` and a list of types it takes 20."""
    return f"json_populate_recordset(NULL::{table}, {parameter}::json) AS r"


def assignments(columns: Sequence[str], source: str) -> str:
    """`shop = r.shop, kind = r.kind, …` for the source "r."."""
    return ", ".join(f"{name} = {source}{name}" for name in columns)
