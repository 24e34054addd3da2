"""Money: amounts as shops print them, and splits that lose nothing."""

import re
from decimal import Decimal
from fractions import Fraction

import iso4217
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.money import (
    AMOUNT_MINOR_MAX,
    RETIRED,
    UNLISTED,
    check_declared,
    exponent,
    from_decimal,
    read_amount,
    read_currency,
    split,
    to_decimal,
)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("49.90", "EUR", 4990),
        ("49,90", "EUR", 4990),
        (" 49,9 ", "EUR", 4990),
        ("500", "JPY", 500),
        ("10.00", "JPY", 10),
        ("5.120", "KWD", 5120),
        ("5,120", "KWD", 5120),
        ("-10.00", "EUR", -1000),
        ("+1234567890.00", "EUR", 123_456_789_000),
        ("5.", "EUR", 500),
        (".5", "EUR", 50),
        ("49.900000000000006", "EUR", 4990),
        ("0.005", "KWD", 5),
        ("0" * 36 + "1.00", "EUR", 100),
    ],
)
def test_an_amount_is_read_as_shops_print_it(text: str, currency: str, minor: int) -> None:
    assert read_amount(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1,234", "could be a thousand"),
        ("1.234", "could be a thousand"),
        (".234", "could be a thousand"),
        ("1e3", "is not an amount"),
        ("", "is not an amount"),
        (".", "is not an amount"),
        ("-", "is not an amount"),
        ("NaN", "is not an amount"),
        ("Infinity", "is not an amount"),
        ("٤٩", "is not an amount"),
        ("0" * 37 + "1.00", "is not an amount"),
        ("9" * 30, "absurdly large"),
    ],
)
def test_what_could_be_read_two_ways_or_not_at_all_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_amount(text, "EUR")


def test_a_decimal_number_is_rounded_half_up_and_believed_up_to_the_limit() -> None:
    assert [from_decimal(Decimal(text), "EUR") for text in ("0.005", "0.015", "-0.005", "0.0049")] == [1, 2, -1, 0]
    assert AMOUNT_MINOR_MAX == 1_000_000_000_000_000
    assert from_decimal(Decimal("-1e13"), "EUR") == -AMOUNT_MINOR_MAX
    for beyond in ("10000000000000.01", "-1e14"):
        with pytest.raises(ValueError, match="absurdly large"):
            from_decimal(Decimal(beyond), "EUR")
    for endless in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises(ValueError, match="not a finite amount"):
            from_decimal(Decimal(endless), "EUR")


def test_a_currency_is_one_that_money_can_be_counted_in() -> None:
    assert read_currency(" eur ") == "EUR"
    assert [exponent(code) for code in ("EUR", "JPY", "KWD")] == [2, 0, 3]
    for wrong, reason in (
        ("ABC", "'ABC' is not an ISO 4217 currency"),
        ("EURO", "'EURO' is not an ISO"),
        ("", "'' is not an ISO"),
        ("XXX", "'XXX' has no minor unit"),
    ):
        with pytest.raises(ValueError, match=re.escape(reason)):
            read_currency(wrong)


def test_retired_currencies_and_those_of_shops_alone_are_known_with_their_decimals() -> None:
    known = ("HRK", "BGN", "LTL", "BYR", "IRT", "JEP")
    assert [exponent(code) for code in known] == [2, 2, 2, 0, 0, 2]
    assert read_amount("1250000", "IRT") == 1_250_000
    # If the list of ISO takes one in again, its word counts.
    assert not {each.code for each in iso4217.Currency} & {*RETIRED, *UNLISTED}


def test_a_brand_s_own_currency_has_the_decimals_that_it_declares() -> None:
    own, others = {"USDT": 6, "GOLD": 0}, {"USDT": 2}
    assert read_currency(" usdt ", own) == "USDT"
    assert [read_amount("1.5", "USDT", declared) for declared in (own, others)] == [1_500_000, 150]
    assert str(to_decimal(1_500_000, "USDT", own)) == "1.500000"
    assert from_decimal(Decimal("0.5"), "GOLD", own) == 1
    assert exponent("EUR", own) == 2
    with pytest.raises(ValueError, match="'USDT' is not an ISO 4217 currency"):
        read_currency("USDT")


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"EUR": 3}, "EUR is known and has 2 decimals"),
        ({"IRT": 2}, "IRT is known and has 0 decimals"),
        ({"usdt": 2}, "is written in capitals"),
        ({"US": 2}, "is not a currency's code"),
        ({"ELEVENCHARS": 2}, "is not a currency's code"),
        ({"USDT": 9}, "must have from 0 to 8 decimals"),
        ({"USDT": -1}, "must have from 0 to 8 decimals"),
        ({f"A{number:02}": 0 for number in range(51)}, "holds more than 50"),
    ],
)
def test_a_declaration_that_contradicts_or_cannot_be_meant_is_refused(declared: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_declared(declared)


def test_what_is_known_already_may_be_declared_as_it_is() -> None:
    check_declared({"IRT": 0, "HRK": 2, "EUR": 2, "USDT": 8, **{f"A{number:02}": 0 for number in range(46)}})


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (100, "1/3 1/3 1/3", [34, 33, 33]),
        (-100, "1/3 1/3 1/3", [-34, -33, -33]),
        # The missing unit goes to the largest remainder: 3.75 before 1.25.
        (5, "1/4 3/4", [1, 4]),
        (5, "3/4 1/4", [4, 1]),
        (10, "1 2 4", [1, 3, 6]),
        (7, "1/2 0 1/2", [4, 0, 3]),
        (7, "0 0 0", [7, 0, 0]),
        (7, "0", [7]),
        (7, "1/9", [7]),
        (0, "1 2", [0, 0]),
        (0, "", []),
    ],
)
def test_a_total_is_split_by_largest_remainder_as_worked_out_by_hand(
    total: int, weights: str, parts: list[int]
) -> None:
    assert split(total, [Fraction(weight) for weight in weights.split()]) == parts


@pytest.mark.parametrize("total", [1, -1])
def test_money_with_nobody_to_take_it_is_refused(total: int) -> None:
    with pytest.raises(ValueError, match="nothing to give the money to"):
        split(total, [])


@given(st.integers(-(10**12), 10**12), st.lists(st.fractions(0, 10), min_size=1, max_size=12))
def test_parts_sum_to_the_whole_and_a_refund_splits_like_its_order(total: int, weights: list[Fraction]) -> None:
    parts = split(total, weights)
    assert sum(parts) == total
    assert split(-total, weights) == [-part for part in parts]
    assert str(to_decimal(total, "EUR")).partition(".")[2].isdigit()


@given(st.integers(0, 10**6), st.lists(st.fractions(Fraction(1, 100), 10), min_size=1, max_size=6))
def test_no_part_is_a_whole_unit_away_from_its_exact_share(total: int, weights: list[Fraction]) -> None:
    for part, weight in zip(split(total, weights), weights, strict=True):
        assert abs(part - total * weight / sum(weights)) < 1
