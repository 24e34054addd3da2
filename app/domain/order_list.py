"""One line of the shop's own order list, as a `Listed` order. Pure; more lenient than an import, because nothing of it is recorded."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.domain import money
from app.domain.csv_files import NO, YES, Columns, Record, Refusal, Sheet, WrongRow, read_cell, read_row
from app.domain.orders import order_ref
from app.domain.reconciliation import Listed
from app.domain.refunds import goods_with_tax, net_paid_back
from app.domain.strict_json import Unreadable, read_text, read_time
from app.errors import Invalid

AMOUNTS = ("total", "net", "tax", "shipping", "refunded", "refunded_gross")
"""Columns in major units; each may be given in minor units instead, as `…_minor`."""
COLUMNS = Columns(
    ("order_id", "occurred_at", "currency", "status", "cancelled", *AMOUNTS, *(f"{name}_minor" for name in AMOUNTS)),
    required=(("order_id",), ("total", "total_minor", "net", "net_minor")),
    example="order_id,occurred_at,currency,total,tax,shipping,refunded,status",
)

CANCELLED = frozenset(
    {
        "cancelled", "canceled", "voided", "void", "refunded", "failed", "expired", "draft", "trash", "checkout-draft",
        "annulé", "annulée", "remboursé", "remboursée", "échoué", "échouée", "storniert",
    }
)  # fmt: skip
"""Statuses of an order that counts as nothing; with any other status it counts."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,15}")
_SPACED_OFFSET = re.compile(r" (?=[+-]\d\d:?\d\d$)", re.ASCII)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ListDefaults:
    """Defaults of a list that does not state them. currencies: those that the brand has declared. zone: the time zone of a day without a time."""

    currency: str
    zone: ZoneInfo
    currencies: money.Decimals = field(default_factory=dict)


def read_listed(record: Record, sheet: Sheet, brand: ListDefaults) -> Listed | Refusal | None:
    """The order that a record lists; None for a row without anything in it. Never raises."""
    row: Mapping[str, object] = {}
    try:
        found = read_row(record, sheet)
        row = _known_fields(found) if sheet.format == "ndjson" else found
        return _listed(record.number, row, brand) if row else None
    except Unreadable as error:
        return Refusal(error.reason, error.detail, "the line" if isinstance(error, WrongRow) else None)
    except Invalid as error:
        [wrong] = error.fields
        order_id = row.get("order_id")
        shown = None if order_id is None else str(order_id)[:200]
        return Refusal(wrong.code, f"{wrong.field} {wrong.reason}", wrong.field, shown)


def _known_fields(found: Mapping[str, object]) -> Mapping[str, object]:
    unknown = next((name for name in found if name not in COLUMNS.names), None)
    if unknown is not None:
        raise Invalid.field(unknown[:60], "is not a field of an order list", code="unknown_field")
    return {name: value for name, value in found.items() if value is not None}


def _listed(number: int, row: Mapping[str, object], brand: ListDefaults) -> Listed:
    if row.get("order_id") is None:
        raise Invalid.field("order_id", "is required", code="required")
    order_id = read_cell("order_id", row["order_id"], read_text, "required")
    currency = brand.currency
    if "currency" in row:

        def read(value: object) -> str:
            return money.read_currency(read_text(value), brand.currencies)

        currency = read_cell("currency", row["currency"], read, "unknown_currency")
    total, net, tax, shipping, refunded, gross = (_amount(row, name, currency, brand.currencies) for name in AMOUNTS)
    cancelled = _cancelled(row)
    if total is not None and net is not None:
        raise Invalid.field("net", "and total are both given; leave one of them out", code="contradiction")
    if total is None and net is None and not cancelled:
        raise Invalid.field("total", "is required, or net", code="required")
    if total is None:
        total = (net or 0) + (tax or 0) + (shipping or 0)
    if total - (tax or 0) - (shipping or 0) < 0:
        raise Invalid.field("total", "is less than tax and shipping together", code="out_of_range")
    if refunded is not None and gross is not None:
        raise Invalid.field(
            "refunded_gross", "and refunded are both given; leave one of them out", code="contradiction"
        )
    if gross is not None:
        goods = total - (tax or 0) - (shipping or 0)
        refunded = net_paid_back(abs(gross), goods, goods_with_tax(goods, tax, shipping, None))
    occurred_at, until = _times(row, brand.zone)
    return Listed(
        number=number,
        ref=order_ref(order_id),
        order_id=order_id,
        currency=currency,
        total_minor=total,
        tax_minor=tax,
        shipping_minor=shipping,
        refunded_minor=abs(refunded or 0),
        cancelled=cancelled,
        occurred_at=occurred_at,
        until=until,
    )


def _amount(row: Mapping[str, object], name: str, currency: str, declared: money.Decimals) -> int | None:
    major, minor = row.get(name), row.get(f"{name}_minor")
    field = name if major is not None else f"{name}_minor"
    try:
        if major is not None:
            found = money.read_amount(str(major), currency, declared)
        elif minor is None:
            return None
        elif not isinstance(minor, bool) and _WHOLE.fullmatch(str(minor)):
            found = int(str(minor))
        else:
            raise ValueError(f"{str(minor)[:40]!r} is not a whole number of minor units")
    except (ValueError, ArithmeticError) as error:
        raise Invalid.field(field, str(error), code="invalid_amount") from None
    if found < 0 and name not in ("refunded", "refunded_gross"):
        raise Invalid.field(field, "is negative", code="out_of_range")
    return found


def _cancelled(row: Mapping[str, object]) -> bool:
    text = str(row.get("cancelled", "")).strip().lower()
    # Exports write the time at which it was cancelled.
    if text in YES or _DAY.match(text):
        return True
    if text and text not in NO:
        raise Invalid.field("cancelled", f"{text[:40]!r} is neither true nor false nor a time", code="invalid")
    return str(row.get("status", "")).strip().lower() in CANCELLED


def _times(row: Mapping[str, object], zone: ZoneInfo) -> tuple[datetime | None, datetime | None]:
    """When the order was placed, and the first moment after that: the end of the day where only a day is given."""
    value = row.get("occurred_at")
    if value is None:
        return None, None
    text = str(value).strip()
    try:
        if _DAY.fullmatch(text):
            day = date.fromisoformat(text)
            read_time(f"{text}T00:00:00Z")
            return _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
        moment = read_time(_SPACED_OFFSET.sub("", text))
    except ValueError as error:
        raise Invalid.field("occurred_at", str(error), code="invalid_time") from None
    return moment, moment + _MICROSECOND


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone)
