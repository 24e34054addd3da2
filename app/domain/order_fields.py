"""The table of the fields in an order's and a refund's body. Three things follow from it: what bodies.py accepts, the OpenAPI schema, and the
columns of an import.

To add a field: a line in the table, and an attribute of the same name in the report (orders.py). Faults are reported in the order of the table.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.domain import money
from app.domain.orders import ADJUSTMENT_KINDS, CODES_MAX, KIND, LINES_MAX
from app.domain.strict_json import TEXT_CHARACTERS_MAX, read_text, read_time
from app.errors import FieldError

Schema = dict[str, Any]

QUANTITY_MAX = 1_000_000
"""Largest quantity that is believed, in pieces."""


class Field(NamedTuple):
    """One field of a body. documented: whether OpenAPI shows it; a field that it does not show is read all the same."""

    name: str
    type: "Scalar | ObjectOf | ListOf"
    meaning: str = ""
    required: bool = False
    documented: bool = True


def read_fields(
    fields: Iterable[Field], body: Mapping[str, object], errors: list[FieldError], prefix: str = ""
) -> dict[str, Any]:
    """The value of each field; None where it is missing, null (which means the same) or wrong."""
    found: dict[str, Any] = {}
    for field in fields:
        name = field.name
        value = body.get(name)
        if value is not None:
            value = field.type.read(value, prefix + name, errors)
        elif field.required:
            errors.append(FieldError(prefix + name, "is required", "required"))
        found[name] = value
    return found


def properties(fields: Iterable[Field]) -> Schema:
    """The fields as the `properties` of a JSON schema; what is not required may be null."""
    found: Schema = {}
    for field in fields:
        if field.documented:
            schema = field.type.schema if field.required else {"anyOf": [field.type.schema, {"type": "null"}]}
            found[field.name] = {**schema, "description": field.meaning} if field.meaning else schema
    return found


# ── Types ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class _OutOfRange(ValueError): ...


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. convert: raises ValueError with the reason. code: of that fault."""

    convert: Callable[[object], Any]
    schema: Schema
    code: str = "invalid"

    def read(self, value: object, path: str, errors: list[FieldError]) -> Any:
        """The value as `convert` gives it."""
        try:
            return self.convert(value)
        except ValueError as error:
            code = "out_of_range" if isinstance(error, _OutOfRange) else self.code
            errors.append(FieldError(path, str(error), code))
            return None


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """An object. In an import its fields are columns of their own, such as `customer_email`."""

    fields: tuple[Field, ...]

    @property
    def schema(self) -> Schema:
        """Its properties."""
        return {"type": "object", "properties": properties(self.fields)}

    def read(self, value: object, path: str, errors: list[FieldError]) -> dict[str, Any] | None:
        """The values of its fields."""
        if isinstance(value, dict):
            return read_fields(self.fields, value, errors, f"{path}.")
        errors.append(FieldError(path, "must be an object", "invalid"))
        return None


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of at most `most` items. A null among objects is passed over, as None."""

    item: Scalar | ObjectOf
    most: int

    @property
    def schema(self) -> Schema:
        """Its items."""
        return {"type": "array", "items": self.item.schema, "maxItems": self.most}

    def read(self, value: object, path: str, errors: list[FieldError]) -> list[Any]:
        """The value of each item, [] where it is no list of this length."""
        if not isinstance(value, list):
            errors.append(FieldError(path, "must be a list", "invalid"))
            return []
        if len(value) > self.most:
            errors.append(FieldError(path, f"holds more than {self.most}", "too_many"))
            return []
        return [
            None
            if each is None and isinstance(self.item, ObjectOf)
            else self.item.read(each, f"{path}.{index}", errors)
            for index, each in enumerate(value)
        ]


def _whole(most: int) -> Callable[[object], int]:
    def convert(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("must be a whole number")
        if not 0 <= value <= most:
            raise _OutOfRange(f"must be from 0 to {most}")
        return value

    return convert


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _currency(value: object) -> str:
    return money.read_currency(read_text(value, characters_max=10))


def _kind(value: object) -> str:
    text = read_text(value)
    if not KIND.fullmatch(text):
        raise ValueError("must be a word such as sale, lead or signup: a-z, 0-9 and _, at most 40")
    return text


def _adjustment(value: object) -> str:
    text = read_text(value)
    if text not in ADJUSTMENT_KINDS:
        raise ValueError(f"must be one of {', '.join(ADJUSTMENT_KINDS)}")
    return text


TEXT = Scalar(read_text, {"type": "string", "minLength": 1, "maxLength": TEXT_CHARACTERS_MAX})
WORD = Scalar(_kind, {"type": "string", "pattern": f"^{KIND.pattern}$"})
ADJUSTMENT = Scalar(_adjustment, {"type": "string", "enum": list(ADJUSTMENT_KINDS)})
TIME = Scalar(
    read_time,
    {"type": "string", "format": "date-time", "description": "RFC 3339 with its offset."},
    "invalid_time",
)
CURRENCY = Scalar(_currency, {"type": "string", "minLength": 3, "maxLength": 3}, "unknown_currency")
AMOUNT = Scalar(
    _whole(money.AMOUNT_MINOR_MAX),
    {"type": "integer", "minimum": 0, "maximum": money.AMOUNT_MINOR_MAX},
    "invalid_amount",
)
QUANTITY = Scalar(_whole(QUANTITY_MAX), {"type": "integer", "minimum": 0, "maximum": QUANTITY_MAX})
FLAG = Scalar(_flag, {"type": "boolean"})
CODES = ListOf(TEXT, CODES_MAX)


# ── The table ────────────────────────────────────────────────────────────────────────────────────────────────────────

SHOP = Field("shop", TEXT, "`main` by default.")
BRANDS_CURRENCY = Field("currency", CURRENCY, "ISO 4217; the brand's by default.")
OCCURRED_AT = Field("occurred_at", TIME, "The time of receipt by default, and at most.")

CUSTOMER = ObjectOf((Field("id", TEXT), Field("email", TEXT), Field("is_new", FLAG)))
ORDER_LINE = ObjectOf(
    (
        Field("quantity", QUANTITY),
        Field("id", TEXT),
        Field("net_minor", AMOUNT),
        Field("sku", TEXT),
        Field("name", TEXT),
    )
)
REFUND_LINE = ObjectOf(
    (
        Field("quantity", QUANTITY, "1 by default."),
        Field("id", TEXT, "Of the order's line."),
        Field("net_minor", AMOUNT, "The units' part of the order's line by default."),
        Field("sku", TEXT, documented=False),
        Field("name", TEXT, documented=False),
    )
)

ORDER_AMOUNTS = (
    Field("order_id", TEXT, "The shop's own id of the order; `#1001` and `1001` are one.", required=True),
    BRANDS_CURRENCY,
    Field("items_minor", AMOUNT, "Before discount."),
    Field("discount_minor", AMOUNT),
    Field(
        "net_minor",
        AMOUNT,
        "After discount, before tax, shipping and refunds. Or give items_minor and discount_minor.",
    ),
    Field("tax_minor", AMOUNT),
    Field("shipping_minor", AMOUNT),
)
ORDER_DETAILS = (
    Field("click_id", TEXT, "As the shop's landing page received it."),
    SHOP,
    Field("kind", WORD, "`sale` by default; `lead`, `signup`, `install` …"),
    OCCURRED_AT,
    Field(
        "updated_at",
        TIME,
        "Which of two differing reports of one order is newer. Without it a fixed rule decides, and the order is flagged.",
    ),
    Field("codes", CODES, "Redeemed codes, in the order of the cart."),
    Field("visitor_id", TEXT, "The first-party id that /a.js keeps."),
    Field("customer", CUSTOMER, "Neither id nor e-mail is kept: only a keyed hash."),
    Field("lines", ListOf(ORDER_LINE, LINES_MAX)),
    Field("test", FLAG, "Recorded and decided, never counted."),
)
ORDER_FIELDS = (*ORDER_AMOUNTS, *ORDER_DETAILS)

REFUND_NAMES = (
    Field("order_id", TEXT, "The order it takes from; it need not be known yet.", required=True),
    Field("refund_id", TEXT, "The shop's own id of the refund, unique within its order.", required=True),
    Field(
        "type",
        ADJUSTMENT,
        "`refund` by default. A `cancellation` takes what the refunds leave; a `chargeback` is taken by the bank; a `reversal` gives back.",
    ),
    Field(
        "reverses",
        TEXT,
        "Of a reversal: the `refund_id` of what it undoes. It gives back at most what that one took, and waits while that one is unknown.",
    ),
)
REFUND_AMOUNTS = (
    Field(
        "amount_minor",
        AMOUNT,
        "Positive, on the base of the order's `net_minor`: before tax and shipping. Or `full: true`, or `lines` alone. "
        "0, with a newer `updated_at`, says that it came to nothing: the refund failed, the cancellation or chargeback was taken back.",
    ),
    Field(
        "full",
        FLAG,
        "All that is left of the order; of a reversal all that was taken. A cancellation or reversal without an amount is meant so.",
    ),
    Field(
        "lines",
        ListOf(REFUND_LINE, LINES_MAX),
        "What came back. Without an amount the refund is worth what these lines are worth in the order; a line that the order does not have is "
        "worth 0, and flagged.",
    ),
)
REFUND_DETAILS = (
    BRANDS_CURRENCY,
    OCCURRED_AT,
    Field("updated_at", TIME, "Which of two differing reports of one refund is newer."),
    SHOP,
    Field("kind", WORD, "Of the order: `sale` by default."),
)
REFUND_FIELDS = (*REFUND_NAMES, *REFUND_AMOUNTS, *REFUND_DETAILS)
