"""SQL that writes many rows of one table from one JSON parameter, made from one list of columns.

A statement names its columns up to four times (in INSERT, SELECT, SET and the record's type). Written by hand, each new column is a chance to
forget one of them. `jsonb_to_recordset` with a list of types costs the same as `jsonb_populate_recordset` within the noise of a row (154 and 179 µs).
"""

import types
import typing
from collections.abc import Sequence
from datetime import datetime

import msgspec

Columns = Sequence[tuple[str, str]]
"""Names of columns with their PostgreSQL types."""

_TYPES: dict[object, str] = {
    str: "text",
    int: "bigint",
    bool: "boolean",
    datetime: "timestamptz",
    tuple[str, ...]: "text[]",
}


def columns_of(struct: type[msgspec.Struct]) -> Columns:
    """A column for each field of a struct, by the name of the field. KeyError for a type that no column is known for."""
    return tuple((name, _TYPES[_stated(hint)]) for name, hint in typing.get_type_hints(struct).items())


def _stated(hint: object) -> object:
    """The type in `T | None`; any other type itself."""
    if isinstance(hint, types.UnionType):
        return next(each for each in typing.get_args(hint) if each is not types.NoneType)
    return hint


def names(columns: Columns, prefix: str = "") -> str:
    """`id, shop, …`, or with the prefix "r." `r.id, r.shop, …`."""
    return ", ".join(f"{prefix}{name}" for name, _ in columns)


def recordset(parameter: str, columns: Columns) -> str:
    """`jsonb_to_recordset($2::jsonb) AS r(id uuid, shop text, …)`."""
    return f"jsonb_to_recordset({parameter}::jsonb) AS r({', '.join(f'{name} {kind}' for name, kind in columns)})"


def assignments(columns: Columns, source: str) -> str:
    """`shop = r.shop, kind = r.kind, …` for the source "r."."""
    return ", ".join(f"{name} = {source}{name}" for name, _ in columns)
