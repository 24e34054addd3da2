"""Files that people open in a spreadsheet: what goes out as CSV."""

import csv
import io
from collections.abc import Iterable
from decimal import Decimal

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Without it Excel reads UTF-8 as its own code page."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a text begins that a spreadsheet would run. The wide ones, because some make the usual ones of them first."""


def csv_row(values: Iterable[object]) -> bytes:
    """One row of RFC 4180, CRLF included. None is empty; a text that a spreadsheet would run as a formula begins with an apostrophe."""
    file = io.StringIO()
    csv.writer(file).writerow([_cell(value) for value in values])
    return file.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return "" if value is None else value
