"""The fields of the bodies: their types at the edges, and the schema that is published of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.domain.order_fields import (
    ADJUSTMENT,
    AMOUNT,
    CODES,
    CURRENCY,
    FLAG,
    ORDER_FIELDS,
    QUANTITY,
    REFUND_FIELDS,
    TEXT,
    TIME,
    TYPES,
    WORD,
    Field,
    ListOf,
    ObjectOf,
    Scalar,
    properties,
    read_fields,
)
from app.errors import FieldError

OPENAPI = json.loads((Path(__file__).resolve().parents[2] / "openapi" / "openapi.json").read_text())


@pytest.mark.parametrize(("path", "fields"), [("/v1/conversions", ORDER_FIELDS), ("/v1/refunds", REFUND_FIELDS)])
def test_the_schema_of_a_body_is_the_published_one(path: str, fields: tuple[Field, ...]) -> None:
    schema = OPENAPI["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert properties(fields) == schema["properties"]
    assert [field.name for field in fields if field.required] == schema["required"]


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        (TEXT, " a ", "a"),
        (TEXT, 7, "7"),
        (WORD, "lead_2", "lead_2"),
        (ADJUSTMENT, "reversal", "reversal"),
        (CURRENCY, " eur ", "EUR"),
        (AMOUNT, 0, 0),
        (AMOUNT, 10**15, 10**15),
        (QUANTITY, 0, 0),
        (QUANTITY, 10**6, 10**6),
        (FLAG, True, True),
        (FLAG, False, False),
        (CODES, [], []),
        (CODES, ["x"] * 20, ["x"] * 20),
        (ListOf(ObjectOf((Field("a", AMOUNT),), "a thing"), 2), [None, {"a": 1}], [None, {"a": 1}]),
    ],
)
def test_a_value_is_read_up_to_the_limits(kind: Scalar | ListOf, value: object, read: object) -> None:
    errors: list[FieldError] = []
    assert kind.read(value, "field", errors) == read
    assert errors == []


@pytest.mark.parametrize(
    ("kind", "value", "path", "code", "reason"),
    [
        (TEXT, True, "f", "invalid", "must be a text"),
        (WORD, "Sale", "f", "invalid", "must be a word such as sale, lead or signup: a-z, 0-9 and _, at most 40"),
        (ADJUSTMENT, "sale", "f", "invalid", "must be one of refund, cancellation, chargeback, reversal"),
        (TIME, "noon", "f", "invalid_time", "must be a time such as 2026-11-21T18:00:00Z"),
        (CURRENCY, "€", "f", "unknown_currency", "'€' is not a currency's code, such as EUR"),
        (CURRENCY, "EURO EURO E", "f", "unknown_currency", "is longer than 10 characters"),
        (AMOUNT, 1.0, "f", "invalid_amount", "must be a whole number"),
        (AMOUNT, True, "f", "invalid_amount", "must be a whole number"),
        (AMOUNT, -1, "f", "out_of_range", "must be from 0 to 1000000000000000"),
        (AMOUNT, 10**15 + 1, "f", "out_of_range", "must be from 0 to 1000000000000000"),
        (QUANTITY, "1", "f", "invalid", "must be a whole number"),
        (QUANTITY, 10**6 + 1, "f", "out_of_range", "must be from 0 to 1000000"),
        (FLAG, 1, "f", "invalid", "must be true or false"),
        (CODES, "x", "f", "invalid", "must be a list"),
        (CODES, ["x"] * 21, "f", "too_many", "holds more than 20"),
        (CODES, ["x", None], "f.1", "invalid", "must be a text"),
        (TYPES["customer"], [], "f", "invalid", "must be an object"),
        (TYPES["customer"], {"is_new": "yes"}, "f.is_new", "invalid", "must be true or false"),
        (TYPES["refund_lines"], [{}, {"quantity": -1}], "f.1.quantity", "out_of_range", "must be from 0 to 1000000"),
        (TYPES["order_lines"], [[]], "f.0", "invalid", "must be an object"),
        (TYPES["order_lines"], [{}] * 1_001, "f", "too_many", "holds more than 1000"),
    ],
)
def test_a_wrong_value_is_named_with_its_place_a_code_and_a_reason(
    kind: Any, value: object, path: str, code: str, reason: str
) -> None:
    errors: list[FieldError] = []
    kind.read(value, "f", errors)
    assert errors == [FieldError(path, reason, code)]


def test_what_is_wrong_is_read_as_nothing() -> None:
    errors: list[FieldError] = []
    assert TEXT.read(None, "f", errors) is None
    assert CODES.read(["x"] * 21, "f", errors) == CODES.read("x", "f", errors) == []
    assert CODES.read(["x", 1.5], "f", errors) == ["x", None]
    assert TYPES["customer"].read("x", "f", errors) is None
    assert TYPES["customer"].read({"id": 5, "is_new": 1}, "f", errors) == {"id": "5", "email": None, "is_new": None}


def test_a_field_is_required_or_may_be_missing_null_or_empty() -> None:
    fields = (Field("a", TEXT, required=True), Field("b", TEXT), Field("c", AMOUNT, "Cents."))
    errors: list[FieldError] = []
    assert read_fields(fields, {"b": None, "d": 1}, errors, "x.") == {"a": None, "b": None, "c": None}
    assert errors == [FieldError("x.a", "is required", "required")]
    assert read_fields(fields, {"a": "", "c": 5}, errors) == {"a": None, "b": None, "c": 5}
    assert errors[1:] == [FieldError("a", "is required", "required")]


def test_a_schema_shows_what_is_documented_and_nothing_for_what_is_not_required() -> None:
    text = {"type": "string", "minLength": 1, "maxLength": 200}
    fields = (
        Field("a", TEXT, "Name.", required=True), Field("b", TEXT, required=True), Field("c", TEXT, "Also."), Field("d", TEXT),
        Field("e", TEXT, documented=False),
    )  # fmt: skip
    nullable = {"anyOf": [text, {"type": "null"}, {"type": "string", "pattern": r"^\s*$"}]}
    assert properties(fields) == {
        "a": {**text, "description": "Name."}, "b": text, "c": {**nullable, "description": "Also."}, "d": nullable,
    }  # fmt: skip
    assert Field("a", TEXT) == ("a", TEXT, "", False, True, ())
