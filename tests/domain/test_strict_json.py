"""Goal: what others wrote is read one way or refused with a reason, whatever the bytes."""

import contextlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.strict_json import Unreadable, read_json, read_major, read_text, read_time

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
    "value", [True, None, [], "1e5", "1 000", Decimal("1E+999999"), Decimal("1E-999999"), Decimal("NaN")]
)
def test_what_is_no_amount_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_major(value, "EUR")
