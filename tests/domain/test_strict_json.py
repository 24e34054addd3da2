"""Goal: what others wrote is read one way or refused with a reason, whatever the bytes."""

import contextlib
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import strict_json
from app.domain.strict_json import (
    DuplicateName,
    NotANumber,
    Unreadable,
    load_json,
    read_json,
    read_major,
    read_text,
    read_time,
)

# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a": 1, "b": {"c": 1, "c": 1}}', "duplicate_keys"),
        (b'{"a": Infinity}', "not_json"),
        (b"{} {}", "not_json"),
        (b'"\xff"', "not_json"),
        (b"[" * 200_000, "not_json"),
        (b"1" * 5_000, "not_json"),
    ],
)
def test_json_that_can_be_read_two_ways_or_none_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_json(body)
    assert caught.value.reason == reason


def test_fractions_are_exact_and_a_byte_order_mark_is_forgiven() -> None:
    assert read_json(b'\xef\xbb\xbf{"a": 0.1}') == {"a": Decimal("0.1")}


@given(st.binary(max_size=40))
def test_no_bytes_raise_anything_but_unreadable(body: bytes) -> None:
    with contextlib.suppress(Unreadable):
        read_json(body)


# ── Texts, times, amounts ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21T18:00:27.877041743Z", datetime(2026, 11, 21, 18, 0, 27, 877041, UTC)),
        ("2008-01-10T11:00:00-05:00", datetime(2008, 1, 10, 16, 0, tzinfo=UTC)),
        ("2026-11-21 18:00Z", datetime(2026, 11, 21, 18, 0, tzinfo=UTC)),
        ("2026-11-21t18:00:00z", datetime(2026, 11, 21, 18, 0, tzinfo=UTC)),
        ("2026-03-29T02:30:00+0200", datetime(2026, 3, 29, 0, 30, tzinfo=UTC)),
    ],
)
def test_times_are_read_with_their_offset(text: str, moment: datetime) -> None:
    assert read_time(text) == moment


@pytest.mark.parametrize(
    "text",
    ["2026-11-21T18:00:00", "2026-11-21", "20261121T180000Z", "2026-W47-6T18:00:00Z", "2026-02-30T18:00:00Z", "2026-11-21T18:00:60Z",
     "1970-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "٢٠٢٦-11-21T18:00:00Z", "", None, 5],
)  # fmt: skip
def test_what_is_no_moment_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_time(text)


@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_a_text_that_is_read_can_be_stored(text: str) -> None:
    try:
        kept = read_text(text)
    except ValueError:
        return
    kept.encode()
    assert "\0" not in json.loads(json.dumps(kept))
    assert kept == kept.strip() != ""


@pytest.mark.parametrize(
    ("value", "currency", "minor"),
    [
        ("49.90", "EUR", 4_990),
        ("49,90", "EUR", 4_990),
        (Decimal("0.1"), "EUR", 10),
        (500, "JPY", 500),
        (Decimal("1.005"), "KWD", 1_005),
    ],
)
def test_amounts_in_major_units_are_read_exactly(value: Any, currency: str, minor: int) -> None:
    assert read_major(value, currency) == minor


@pytest.mark.parametrize(
    "value", [True, None, [], "1e5", "1 00", Decimal("1E+999999"), Decimal("1E-999999"), Decimal("NaN")]
)
def test_what_is_no_amount_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_major(value, "EUR")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "must be a text"),
        (True, "must be a text"),
        (1.5, "must be a text"),
        (["a"], "must be a text"),
        (" ", "must not be empty"),
        ("x" * 201, "is longer than 200 characters"),
        (10**200, "is longer than 200 characters"),
        ("a\x00", "holds control characters"),
        ("a\x1fb", "holds control characters"),
        ("a\x7fb", "holds control characters"),
        ("a\x9fb", "holds control characters"),
        ("half \ud800", "holds half a surrogate pair, which is not a character"),
        ("a\udfff", "holds half a surrogate pair, which is not a character"),
    ],
)
def test_a_text_is_refused_with_its_reason(value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        read_text(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(" a ", "a"), (1001, "1001"), (-5, "-5"), (0, "0"), ("x" * 200, "x" * 200), ("a\u00a0b\u2028c\ue000", "a\u00a0b\u2028c\ue000"), ("é 👍", "é 👍")],
)  # fmt: skip
def test_a_text_or_a_whole_number_is_read_as_a_text_without_outer_spaces(value: object, text: str) -> None:
    assert read_text(value) == text


def test_a_text_may_have_another_limit_and_a_number_has_the_one_of_python() -> None:
    assert read_text("abc", characters_max=3) == "abc"
    with pytest.raises(ValueError, match=r"^is longer than 3 characters$"):
        read_text("abcd", characters_max=3)
    with pytest.raises(ValueError, match=r"^is too long a number$"):
        read_text(10**5_000)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("noon", "must be a time such as 2026-11-21T18:00:00Z"),
        (20261121, "must be a time such as 2026-11-21T18:00:00Z"),
        ("2026-11-21T18:00:00", "has no time zone; end it with Z or an offset such as +01:00"),
        ("2026-02-30T18:00:00Z", "is not a moment of the calendar"),
        ("0001-01-01T00:00:00+14:00", "is not a moment of the calendar"),
        ("1999-12-31T23:59:59.999999Z", "must lie between the years 2000 and 2100"),
        ("2100-01-01T00:00:00Z", "must lie between the years 2000 and 2100"),
    ],
)
def test_a_time_is_refused_with_its_reason(value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        read_time(value)


def test_the_first_and_the_last_moment_of_a_century_are_believed() -> None:
    assert read_time(" 2000-01-01T00:00:00Z ") == datetime(2000, 1, 1, tzinfo=UTC)
    assert read_time("2099-12-31T23:59:59.999999999999Z") == datetime(2099, 12, 31, 23, 59, 59, 999_999, UTC)
    assert read_time("2026-11-21T18:00:00+01:00").tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (True, "must be an amount such as 49.90"),
        (1.5, "must be an amount such as 49.90"),
        (Decimal("NaN"), "the amount is absurd"),
        (Decimal("Infinity"), "the amount is absurd"),
        (Decimal("1E+30"), "the amount is absurd"),
        (Decimal("1E-30"), "the amount is absurd"),
        (Decimal("1E+29"), "the amount is absurdly large"),
        (10**14, "the amount is absurdly large"),
        ("x", "'x' is not an amount such as 49.90"),
    ],
)
def test_an_amount_is_refused_with_its_reason(value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        read_major(value, "EUR")


def test_tiny_and_large_numbers_are_amounts_and_zero_is_one_however_it_is_written() -> None:
    assert read_major(Decimal("1E-29"), "EUR") == 0
    assert read_major(Decimal("0E-99"), "EUR") == 0
    assert read_major(10**13, "EUR") == 10**15
    assert read_major(Decimal("-12.50"), "EUR") == -1_250


def test_a_body_that_cannot_be_read_has_a_reason_and_a_sentence() -> None:
    error = Unreadable("not_json", "the body")
    assert (error.reason, error.detail, str(error)) == ("not_json", "the body", "not_json: the body")
    for body, detail in (
        (b"{", "the body is not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        (b"\n[NaN]", "the body is not JSON: NaN is no number"),
        (b"[-Infinity]", "the body is not JSON: -Infinity is no number"),
        (b'{"%s": 1, "%s": 2}' % (b"n" * 70, b"n" * 70), f"'{'n' * 60}' stands twice in one object"),
        (b'{"a": 1, "b": 2, "b": 3, "a": 4}', "'b' stands twice in one object"),
        (b"[" * 200_000, "the body is nested too deeply"),
    ):
        with pytest.raises(Unreadable) as caught:
            read_json(body)
        assert caught.value.detail == detail
    with pytest.raises(Unreadable, match="Exceeds the limit") as caught:
        read_json(b"1" * 5_000)
    assert len(caught.value.detail) <= 200


def test_json_is_loaded_with_whole_numbers_unless_another_reader_is_given() -> None:
    assert load_json('[1, 2.5, {"a": null}]', parse_float=str) == [1, "2.5", {"a": None}]
    assert load_json("[1, 2.5]", parse_float=str, parse_int=lambda text: f"int {text}") == ["int 1", "2.5"]
    with pytest.raises(DuplicateName, match=r"^a$"):
        load_json('{"a": 1, "a": 1}', parse_float=str)
    with pytest.raises(NotANumber, match=r"^Infinity$"):
        load_json("[Infinity]", parse_float=str)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1.50,"b":":"}',
        b'{ "a": 1, "b": "x:y" }',
        rb'{"a":"\/","b":"\\u003c"}',
        rb'{"a":"\u0026","b":"\\u003c"}',
        rb'{"a": "\u00e9"}',
    ],
)
def test_an_ordinary_body_is_read_once(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = json.loads(body, parse_float=Decimal)
    monkeypatch.setattr(strict_json, "_read_slowly", None)
    assert read_json(body) == judged
