"""One line of an imported file as a report: an order or a refund, read as POST /v1/conversions and POST /v1/refunds would read it. Pure."""

import re
from collections.abc import Mapping

from app.domain import money
from app.domain.bodies import read_order, read_refund
from app.domain.csv_files import NO, YES, Columns, Record, Refusal, Sheet, read_cell, read_row
from app.domain.order_fields import (
    AMOUNT,
    CODES,
    CONVERSION,
    FLAG,
    ORDER_FIELDS,
    REFUND_FIELDS,
    ObjectOf,
    Scalar,
    has_content,
)
from app.domain.orders import ADJUSTMENT_KINDS, Context, OrderReport
from app.domain.printed import is_rounded
from app.domain.strict_json import Unreadable
from app.errors import Invalid

TYPES = (CONVERSION, *ADJUSTMENT_KINDS)
"""Values of the column `type`; a line without one is an order, or a refund where it has a `refund_id`."""


# The columns of a CSV, in the order in which they are read: of a row with several faults the first is reported.
_TYPES = {field.name: field.type for field in (*ORDER_FIELDS, *REFUND_FIELDS)}
TEXTS = [name for name, kind in _TYPES.items() if isinstance(kind, Scalar) and kind not in (AMOUNT, FLAG)]
AMOUNTS = sorted((name for name, kind in _TYPES.items() if kind == AMOUNT), key=lambda name: name != "net_minor")
"""Columns in whole minor units; each may be given in major units instead, `49.90`, under its name without `_minor`."""
FLAGS = [name for name, kind in _TYPES.items() if kind == FLAG]
LISTS = [name for name, kind in _TYPES.items() if kind == CODES]
OBJECTS = {
    name: {f"{name}_{field.name}": field for field in kind.fields}
    for name, kind in _TYPES.items()
    if isinstance(kind, ObjectOf)
}
"""The columns of each object, such as `customer_email`."""

_NAMES = (
    *TEXTS,
    *(name.removesuffix("_minor") for name in AMOUNTS),
    *AMOUNTS,
    *FLAGS,
    *LISTS,
    *(column for columns in OBJECTS.values() for column in columns),
)
COLUMNS = Columns(_NAMES, required=(("order_id",),), example="order_id,occurred_at,currency,net,codes")

_SEPARATORS = re.compile(r"[|;]")
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)


def read_line(record: Record, sheet: Sheet, context: Context, kind: str | None = None) -> OrderReport | Refusal | None:
    """What a record reports; None for a row without anything in it (spreadsheets leave them at the end). Never raises.

    context: its shop is the shop of lines that name none, as `kind` is their kind; amounts without a currency are in the brand's.
    """
    body: Mapping[str, object] | None = None
    try:
        body = read_row(record, sheet)
        if sheet.format == "csv":
            if not body:
                return None
            body = _body_of(body, context)
        return _read_body(body, context, kind)
    except Unreadable as error:
        return Refusal(error.reason, error.detail)
    except Invalid as error:
        first = error.fields[0] if error.fields else None
        field = None if first is None else first.field
        return Refusal(error.code if first is None else first.code, error.message, field, _order_id(body))


def _read_body(given: Mapping[str, object], context: Context, kind: str | None) -> OrderReport:
    # A column of refunds is empty in the row of an order.
    body = {name: value for name, value in given.items() if has_content(value)}
    named = body.get("type")
    if named is not None and named not in TYPES:
        raise Invalid.field("type", f"is none of {', '.join(TYPES)}", code="unknown_type")
    refund = named != CONVERSION if named is not None else "refund_id" in body
    if kind is not None and "kind" not in body:
        body["kind"] = kind
    return read_refund(body, context) if refund else read_order(body, context)


def _body_of(row: Mapping[str, str], context: Context) -> dict[str, object]:
    """The body with the content of a row of CSV."""
    currency, declared = context.currency, context.currencies
    if "currency" in row:
        currency = read_cell(
            "currency", row["currency"], lambda text: money.read_currency(text, declared), "unknown_currency"
        )
    decimals = money.exponent(currency, declared)
    body: dict[str, object] = {name: row[name] for name in TEXTS if name in row}
    for name in AMOUNTS:
        major = name.removesuffix("_minor")
        if major in row:
            body[name] = read_cell(major, row[major], lambda text: _minor(text, currency, decimals), "invalid_amount")
        elif name in row:
            body[name] = read_cell(name, row[name], _whole, "invalid_amount")
    body |= {name: read_cell(name, row[name], _flag) for name in FLAGS if name in row}
    body |= {name: _list(row[name]) for name in LISTS if name in row}
    for name, columns in OBJECTS.items():
        inner = {
            field.name: read_cell(column, row[column], _flag) if field.type == FLAG else row[column]
            for column, field in columns.items()
            if column in row
        }
        if inner:
            body[name] = inner
    return body


def _minor(text: str, currency: str, decimals: int) -> int:
    """Minor units of a printed amount. Refused with more decimals than its currency has: a line has nowhere to note that it was rounded."""
    exact = money.read_decimal(text, currency, decimals)
    if is_rounded(exact, decimals):
        raise ValueError(f"{text[:40]!r} has more decimals than {currency}")
    return money.minor_units(exact, decimals)


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a whole number of minor units")
    return int(text)


def _flag(text: str) -> bool:
    if text.lower() not in YES | NO:
        raise ValueError(f"{text[:40]!r} is neither true nor false")
    return text.lower() in YES


def _list(text: str) -> list[str]:
    return [each.strip() for each in _SEPARATORS.split(text) if each.strip()]


def _order_id(body: Mapping[str, object] | None) -> str | None:
    found = None if body is None else body.get("order_id")
    return str(found)[:200] if isinstance(found, str | int) and not isinstance(found, bool) else None
