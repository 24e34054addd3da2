"""The fields in an order's and a refund's body: their table is order_fields.toml, their types are here. Three things follow from the table: what
bodies.py accepts, the OpenAPI schema, and the columns of an import. A body arrives by a call, a signed webhook or an import, and is read alike.

To add a field: a line in the table, and an attribute of the same name in the report (orders.py).
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from app.domain import money
from app.domain.likeness import meant
from app.domain.orders import ADJUSTMENT_KINDS, CODES_MAX, KIND, LINES_MAX, ORIGINS, UNKNOWN_ORIGIN
from app.domain.placeholders import UNFILLED, Unfilled, read_id
from app.domain.strict_json import TEXT_CHARACTERS_MAX, read_text, read_time
from app.errors import FAULTS_SHOWN_MAX, FieldError

Schema = dict[str, Any]

NOTHING: list[Schema] = [{"type": "null"}, {"type": "string", "pattern": r"^\s*$"}]
"""JSON schemas of the values that say nothing."""
UNKNOWN: Schema = {"anyOf": NOTHING}
"""JSON schema of a field that there is not: a form may send all its inputs, as long as those are empty."""

QUANTITY_MAX = 1_000_000
"""Largest quantity that is believed, in pieces."""
CONVERSION = "conversion"
"""The `type` of an order, where one and the same address takes refunds too."""
UNKNOWN_MAX = 20
"""Unknown fields of one object that are named in its refusal."""


class Field(NamedTuple):
    """One field of a body. documented: whether OpenAPI shows it; a field that it does not show is read all the same.

    mistaken_for: names that others give it, which are refused with a hint at this one.
    """

    name: str
    type: "Scalar | ObjectOf | ListOf"
    meaning: str = ""
    required: bool = False
    documented: bool = True
    mistaken_for: tuple[str, ...] = ()


def has_content(value: object) -> bool:
    """Whether a value says anything: null does not, and neither does the empty text of a hidden input that nobody filled in."""
    return value is not None and not (isinstance(value, str) and not value.strip())


def read_fields(
    fields: Iterable[Field], body: Mapping[str, object], errors: list[FieldError], prefix: str = ""
) -> dict[str, Any]:
    """The value of each field; None where it is missing, wrong, or null or an empty text, which mean the same as missing."""
    found: dict[str, Any] = {}
    for field in fields:
        name = field.name
        value = body.get(name)
        if has_content(value):
            found[name] = field.type.read(value, prefix + name, errors)
            continue
        found[name] = None
        if field.required:
            errors.append(FieldError(prefix + name, "is required", "required"))
    return found


def refuse_unknown(
    fields: Iterable[Field], body: Mapping[str, object], errors: list[FieldError], owner: str, prefix: str = ""
) -> None:
    """Names every field of a body that says something and is none of these, and which may be meant. owner: whose fields they are, such as "an order"."""
    fields = tuple(fields)
    known = {field.name for field in fields}
    unknown = (name for name, value in body.items() if name not in known and has_content(value))
    for name in islice(unknown, UNKNOWN_MAX):
        # Beyond those that an answer shows nobody reads a hint, and finding one takes longer than reading the field.
        hint = _hint(name, fields) if len(errors) < FAULTS_SHOWN_MAX else ""
        errors.append(FieldError((prefix + name)[:100], f"is not a field of {owner}{hint}", "unknown_field"))


def _hint(name: str, fields: Iterable[Field]) -> str:
    """The field whose name, or one it is mistaken for, is most like this one: `net_minor` for `Total`, `click_id` for `clickId`."""
    names = {each: field.name for field in fields for each in (field.name, *field.mistaken_for)}
    found = meant(name, names)
    return "" if found is None else f"; {names[found]} may be meant"


def properties(fields: Iterable[Field]) -> Schema:
    """The fields as the `properties` of a JSON schema; what is not required may say nothing."""
    found: Schema = {}
    for field in fields:
        if field.documented:
            schema = field.type.schema if field.required else {"anyOf": [field.type.schema, *NOTHING]}
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
        except Unfilled as error:
            errors.append(FieldError(path, str(error), UNFILLED))
            return None
        except ValueError as error:
            code = "out_of_range" if isinstance(error, _OutOfRange) else self.code
            errors.append(FieldError(path, str(error), code))
            return None


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """An object. In an import its fields are columns of their own, such as `customer_email`. owner: whose fields they are."""

    fields: tuple[Field, ...]
    owner: str

    @property
    def schema(self) -> Schema:
        """Its properties."""
        return {"type": "object", "properties": properties(self.fields), "additionalProperties": UNKNOWN}

    def read(self, value: object, path: str, errors: list[FieldError]) -> dict[str, Any] | None:
        """The values of its fields."""
        if isinstance(value, dict):
            found = read_fields(self.fields, value, errors, f"{path}.")
            refuse_unknown(self.fields, value, errors, self.owner, f"{path}.")
            return found
        errors.append(FieldError(path, "must be an object", "invalid"))
        return None


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of at most `most` items. Among objects a null is passed over, as None; among texts an empty one is left out."""

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
        if isinstance(self.item, Scalar):
            given = ((index, each) for index, each in enumerate(value) if each is None or has_content(each))
            return [self.item.read(each, f"{path}.{index}", errors) for index, each in given]
        return [
            None if each is None else self.item.read(each, f"{path}.{index}", errors)
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
    """The code alone: bodies.py, which knows the brand's own currencies, refuses one that is none."""
    return money.read_code(read_text(value, characters_max=10))


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


def _conversion(value: object) -> str:
    if read_text(value) != CONVERSION:
        raise ValueError(f"must be {CONVERSION}; what kind of conversion it is stands in kind")
    return CONVERSION


def read_origin(value: object) -> str | None:
    """One of `ORIGINS`; None for the one that says nothing. Raises ValueError for another word."""
    text = read_text(value).lower()
    if text not in ORIGINS:
        raise ValueError(f"must be one of {', '.join(ORIGINS)}")
    return None if text == UNKNOWN_ORIGIN else text


TEXT = Scalar(read_text, {"type": "string", "minLength": 1, "maxLength": TEXT_CHARACTERS_MAX})
ID = Scalar(read_id, TEXT.schema)
WORD = Scalar(_kind, {"type": "string", "pattern": f"^{KIND.pattern}$"})
ORDER_TYPE = Scalar(_conversion, {"type": "string", "enum": [CONVERSION]})
ADJUSTMENT = Scalar(_adjustment, {"type": "string", "enum": list(ADJUSTMENT_KINDS)})
ORIGIN = Scalar(read_origin, {"type": "string", "enum": list(ORIGINS)})
TIME = Scalar(
    read_time,
    {"type": "string", "format": "date-time", "description": "RFC 3339 with its offset."},
    "invalid_time",
)
CURRENCY = Scalar(_currency, {"type": "string", "minLength": 3, "maxLength": 10}, "unknown_currency")
AMOUNT = Scalar(
    _whole(money.AMOUNT_MINOR_MAX),
    {"type": "integer", "minimum": 0, "maximum": money.AMOUNT_MINOR_MAX},
    "invalid_amount",
)
QUANTITY = Scalar(_whole(QUANTITY_MAX), {"type": "integer", "minimum": 0, "maximum": QUANTITY_MAX})
FLAG = Scalar(_flag, {"type": "boolean"})
CODES = ListOf(ID, CODES_MAX)
TYPES: dict[str, Scalar | ObjectOf | ListOf] = {
    "text": TEXT,
    "id": ID,
    "word": WORD,
    "conversion": ORDER_TYPE,
    "adjustment": ADJUSTMENT,
    "origin": ORIGIN,
    "time": TIME,
    "currency": CURRENCY,
    "amount": AMOUNT,
    "quantity": QUANTITY,
    "flag": FLAG,
    "codes": CODES,
}
"""Types by their names in the table."""


# ── The table ────────────────────────────────────────────────────────────────────────────────────────────────────────

_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_bytes().decode())


def _fields(group: str) -> tuple[Field, ...]:
    return tuple(
        Field(
            name,
            **{
                **described,
                "type": TYPES[described["type"]],
                "mistaken_for": tuple(described.get("mistaken_for", ())),
            },
        )
        for name, described in _TABLE[group].items()
    )


TYPES["customer"] = ObjectOf(_fields("customer"), "a customer")
TYPES["order_lines"] = ListOf(ObjectOf(_fields("order_line"), "an order's line"), LINES_MAX)
TYPES["refund_lines"] = ListOf(ObjectOf(_fields("refund_line"), "a refund's line"), LINES_MAX)

ORDER_AMOUNTS, ORDER_DETAILS = _fields("order_amounts"), _fields("order_details")
REFUND_NAMES, REFUND_AMOUNTS, REFUND_DETAILS = map(_fields, ("refund_names", "refund_amounts", "refund_details"))
ORDER_FIELDS = (*ORDER_AMOUNTS, *ORDER_DETAILS)
REFUND_FIELDS = (*REFUND_NAMES, *REFUND_AMOUNTS, *REFUND_DETAILS)
