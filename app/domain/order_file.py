"""One line of an imported file as the report it is: an order or a refund, as POST /v1/conversions and POST /v1/refunds would read it. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.domain import money
from app.domain.bodies import read_order, read_refund
from app.domain.orders import ADJUSTMENT_KINDS, Context, OrderReport
from app.domain.strict_json import Unreadable, read_json
from app.domain.upload_file import Record, Sheet, cells
from app.errors import Invalid

ORDER_FIELDS = frozenset(
    {
        "order_id", "kind", "shop", "occurred_at", "updated_at", "currency", "net_minor", "items_minor", "discount_minor",
        "tax_minor", "shipping_minor", "codes", "click_id", "visitor_id", "customer", "lines", "test",
    }
)  # fmt: skip
REFUND_FIELDS = frozenset(
    {
        "order_id",
        "refund_id",
        "type",
        "reverses",
        "shop",
        "kind",
        "amount_minor",
        "full",
        "currency",
        "occurred_at",
        "updated_at",
        "lines",
    }
)
"""What the two bodies of the API know (a test compares); a line of NDJSON is one of them."""

ORDER = "conversion"
TYPES = (ORDER, *ADJUSTMENT_KINDS)
"""What a line may call itself; without a word it is an order, or a refund where it has a `refund_id`."""

AMOUNTS = ("net", "items", "discount", "tax", "shipping", "amount")
"""Columns in major units, `49.90`; each also as `…_minor`, in whole minor units."""
TEXTS = (
    "order_id",
    "refund_id",
    "kind",
    "shop",
    "occurred_at",
    "updated_at",
    "currency",
    "click_id",
    "visitor_id",
    "type",
    "reverses",
)
CUSTOMER = {"customer_id": "id", "customer_email": "email", "customer_is_new": "is_new"}
FLAGS = ("test", "full", "customer_is_new")

COLUMNS = (*TEXTS, *AMOUNTS, *(f"{name}_minor" for name in AMOUNTS), "codes", "test", "full", *CUSTOMER)
REQUIRED = (("order_id",),)
EXAMPLE = "order_id,occurred_at,currency,net,codes"

YES = frozenset({"true", "1", "yes", "y", "oui", "vrai"})
NO = frozenset({"false", "0", "no", "n", "non", "faux"})

_CODES = re.compile(r"[|;]")
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a line cannot be imported. reason: a stable word. detail: a sentence. field: the first at fault. order_id: where it can be read."""

    reason: str
    detail: str
    field: str | None = None
    order_id: str | None = None


class _Refused(Exception):
    """The line cannot be read at all."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


def read_line(record: Record, sheet: Sheet, context: Context, kind: str | None = None) -> OrderReport | Refusal | None:
    """What a record reports; None for a row without anything in it (spreadsheets leave them at the end). Never raises.

    context: its shop is that of lines which name none, likewise `kind`; amounts without a currency are in the brand's.
    """
    if record.wrong is not None:
        return Refusal(*record.wrong)
    body: Mapping[str, object] | None = None
    try:
        if sheet.format == "csv":
            body = row = _row(record.content, sheet)
            if not row:
                return None
            body = _body_of(row, context)
        else:
            body = _read_object(record.content)
        return _read_body(body, context, kind)
    except _Refused as refused:
        return refused.refusal
    except Unreadable as error:
        return Refusal(error.reason, error.detail, order_id=_order_id(body))
    except Invalid as error:
        first = error.fields[0] if error.fields else None
        field = None if first is None else first.field
        return Refusal(error.code if first is None else first.code, error.message, field, _order_id(body))


def _read_body(given: Mapping[str, object], context: Context, kind: str | None) -> OrderReport:
    body = dict(given)
    said = body.get("type")
    if said is not None and said not in TYPES:
        raise Invalid.field("type", f"is none of {', '.join(TYPES)}", code="unknown_type")
    refund = said != ORDER if said is not None else body.get("refund_id") is not None
    if not refund:
        body.pop("type", None)
    known = REFUND_FIELDS if refund else ORDER_FIELDS
    for name, value in body.items():
        if name not in known and value is not None:
            raise Invalid.field(
                name[:60], f"is not a field of {'a refund' if refund else 'an order'}", code="unknown_field"
            )
    if kind is not None and body.get("kind") is None:
        body["kind"] = kind
    return read_refund(body, context) if refund else read_order(body, context)


def _read_object(content: bytes) -> Mapping[str, object]:
    found = read_json(content)
    if not isinstance(found, dict):
        raise _Refused(Refusal("not_an_object", "the line is not a JSON object"))
    return found


def _row(content: bytes, sheet: Sheet) -> Mapping[str, str]:
    try:
        return cells(content.decode("utf-8"), sheet)
    except UnicodeDecodeError:
        raise _Refused(Refusal("not_utf8", "the line is not UTF-8; save the file as CSV UTF-8")) from None
    except ValueError as error:
        raise _Refused(Refusal("wrong_cells", f"the line {error}")) from None


def _body_of(row: Mapping[str, str], context: Context) -> dict[str, object]:
    """The body that a row of CSV stands for."""
    currency = _currency(row, context)
    body: dict[str, object] = {name: row[name] for name in TEXTS if name in row}
    for name in AMOUNTS:
        if name in row:
            body[f"{name}_minor"] = _amount(row[name], currency, name)
        elif f"{name}_minor" in row:
            body[f"{name}_minor"] = _whole(row[f"{name}_minor"], f"{name}_minor")
    body |= {name: _flag(row[name], name) for name in ("test", "full") if name in row}
    if "codes" in row:
        body["codes"] = [code.strip() for code in _CODES.split(row["codes"]) if code.strip()]
    customer = {
        key: _flag(row[name], name) if name in FLAGS else row[name] for name, key in CUSTOMER.items() if name in row
    }
    return {**body, "customer": customer} if customer else body


def _currency(row: Mapping[str, str], context: Context) -> str:
    try:
        return money.read_currency(row["currency"]) if "currency" in row else context.currency
    except ValueError as error:
        raise Invalid.field("currency", str(error), code="unknown_currency") from None


def _amount(text: str, currency: str, name: str) -> int:
    try:
        return money.read_amount(text, currency)
    except ValueError as error:
        raise Invalid.field(name, str(error), code="invalid_amount") from None


def _whole(text: str, name: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise Invalid.field(name, f"{text[:40]!r} is not a whole number of minor units", code="invalid_amount")
    return int(text)


def _flag(text: str, name: str) -> bool:
    said = text.lower()
    if said not in YES | NO:
        raise Invalid.field(name, f"{text[:40]!r} is neither true nor false")
    return said in YES


def _order_id(body: Mapping[str, object] | None) -> str | None:
    found = None if body is None else body.get("order_id")
    return str(found)[:200] if isinstance(found, str | int) and not isinstance(found, bool) else None
