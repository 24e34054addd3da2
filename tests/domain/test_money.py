"""Money: amounts as shops print them, and splits that lose nothing."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.money import read_amount, read_currency, split, to_decimal


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("49.90", "EUR", 4990),
        ("49,90", "EUR", 4990),
        ("500", "JPY", 500),
        ("10.00", "JPY", 10),
        ("5.120", "KWD", 5120),
        ("-10.00", "EUR", -1000),
        ("49.900000000000006", "EUR", 4990),
    ],
)
def test_an_amount_is_read_as_shops_print_it(text: str, currency: str, minor: int) -> None:
    assert read_amount(text, currency) == minor


@pytest.mark.parametrize(
    "text", ["1,234", "1.234", "1,234.00", "1 234", "1e3", "", "NaN", "Infinity", "49.90 EUR", "9" * 30]
)
def test_what_could_be_read_two_ways_or_not_at_all_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"amount|thousand|large"):
        read_amount(text, "EUR")


def test_a_currency_is_one_that_money_can_be_counted_in() -> None:
    assert read_currency(" eur ") == "EUR"
    for wrong in ("ABC", "XXX", "EURO", ""):
        with pytest.raises(ValueError, match=r"currency|unit"):
            read_currency(wrong)


@given(st.integers(-(10**12), 10**12), st.lists(st.fractions(0, 10), min_size=1, max_size=12))
def test_parts_sum_to_the_whole_and_a_refund_splits_like_its_order(total: int, weights: list[Fraction]) -> None:
    parts = split(total, weights)
    assert sum(parts) == total
    assert split(-total, weights) == [-part for part in parts]
    assert str(to_decimal(total, "EUR")).partition(".")[2].isdigit()
