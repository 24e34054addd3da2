"""Amounts as shop templates print them: read where they can mean one thing, refused where they can mean two."""

import re
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.domain.money import exponent, read_amount
from app.domain.printed import is_rounded, read_printed


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1,234.50", "EUR", 123_450),
        ("1.234,50", "EUR", 123_450),
        ("1 234,50", "EUR", 123_450),
        ("1\u00a0234,50", "EUR", 123_450),
        ("1\u202f234,50\u00a0€", "EUR", 123_450),
        ("1&nbsp;234,50&nbsp;&euro;", "EUR", 123_450),
        ("1'234.50", "CHF", 123_450),
        ("CHF 1’234.50", "CHF", 123_450),
        ("1,234,567.89", "USD", 123_456_789),
        ("1.234.567,89", "EUR", 123_456_789),
        ("1,234,567", "EUR", 123_456_700),
        ("1.234.567", "EUR", 123_456_700),
        ("1 234", "EUR", 123_400),
        ("₹1,23,456.50", "INR", 12_345_650),
        ("€49.90", "EUR", 4_990),
        ("49,90 €", "EUR", 4_990),
        ("49.90 EUR", "EUR", 4_990),
        ("EUR49.90", "EUR", 4_990),
        ("eur 49.90", "EUR", 4_990),
        ("$1,234.50", "CAD", 123_450),
        ("US$ 5", "USD", 500),
        ("$5.00", "MXN", 500),
        ("£5.00", "EGP", 500),
        ("Rs. 500", "PKR", 50_000),
        ("R$ 1.234,50", "BRL", 123_450),
        ("49,90 zł", "PLN", 4_990),
        ("1 234,50 Kč", "CZK", 123_450),
        ("kr. 1.234,50", "DKK", 123_450),
        ("49.-", "CHF", 4_900),
        ("49,– €", "EUR", 4_900),
        ("-€5.00", "EUR", -500),
        ("€ -5.00", "EUR", -500),
        ("−5,00 €", "EUR", -500),
        ("\u200e5.00", "EUR", 500),
        # Without decimals a mark before three digits can only separate thousands.
        ("1,234", "JPY", 1_234),
        ("1.234.567 ₫", "VND", 1_234_567),
        ("12.345", "CLP", 12_345),
        ("1,250,000 تومان", "IRT", 1_250_000),
        # A currency with three decimals prints them all.
        ("5,120", "KWD", 5_120),
        ("1,234.567", "KWD", 1_234_567),
        # No first group of thousands.
        ("1234.567", "EUR", 123_457),
        ("0.125", "EUR", 13),
        ("0,125", "EUR", 13),
    ],
)  # fmt: skip
def test_what_can_mean_one_amount_is_read(text: str, currency: str, minor: int) -> None:
    assert read_amount(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency", "reason"),
    [
        ("1,234", "EUR", "could be a thousand or a fraction"),
        ("1.234", "EUR", "could be a thousand or a fraction"),
        ("$1,234", "USD", "could be a thousand or a fraction"),
        (".234", "EUR", "could be a thousand or a fraction"),
        ("49.90 USD", "EUR", "is printed in another currency than EUR"),
        ("€49.90", "USD", "is printed in another currency than USD"),
        ("$49.90", "EUR", "is printed in another currency than EUR"),
        ("£49.90", "USD", "is printed in another currency than USD"),
        ("49,90 kr", "EUR", "is printed in another currency than EUR"),
        ("Rs. 500", "USD", "is printed in another currency than USD"),
        ("R$ 5,00", "EUR", "is printed in another currency than EUR"),
        ("5 HRK", "EUR", "is printed in another currency than EUR"),
        ("1,23,4.50", "EUR", "is not an amount"),
        ("12,34.50", "EUR", "is not an amount"),
        ("1.234,567,890", "EUR", "is not an amount"),
        ("1,234.567.890", "EUR", "is not an amount"),
        ("0,123,456", "EUR", "is not an amount"),
        ("1 23", "EUR", "is not an amount"),
        ("1 234 56", "EUR", "is not an amount"),
        ("1'234 567", "EUR", "is not an amount"),
        ("1.2.3", "EUR", "is not an amount"),
        ("5k", "EUR", "is not an amount"),
        ("12%", "EUR", "is not an amount"),
        ("1e3", "EUR", "is not an amount"),
        ("0x10", "EUR", "is not an amount"),
        ("€5€", "EUR", "is not an amount"),
        ("--5", "EUR", "is not an amount"),
        ("-€-5", "EUR", "is not an amount"),
        ("5-", "EUR", "is not an amount"),
        ("5 items", "EUR", "is not an amount"),
        ("€", "EUR", "is not an amount"),
        ("49.90 49.90", "EUR", "is not an amount"),
    ],
)
def test_what_can_mean_two_amounts_or_none_is_refused_with_its_reason(text: str, currency: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_amount(text, currency)


def test_more_decimals_than_a_currency_has_are_known_and_binary_fractions_are_none() -> None:
    assert [is_rounded(Decimal(text), 2) for text in ("49.905", "49.9049", "0.001")] == [True, True, True]
    assert [is_rounded(Decimal(text), 2) for text in ("49.90", "49.900", "49.900000000000006", "5")] == [False] * 4
    assert (is_rounded(Decimal("10.00"), 0), is_rounded(Decimal("10.5"), 0)) == (False, True)


STYLES = [
    (group, mark) for group in ("", ",", ".", " ", "\u00a0", "\u202f", "'", "’") for mark in ".," if group != mark
]
CURRENCIES = st.sampled_from(["EUR", "USD", "JPY", "KWD", "CHF", "IRT"])


def printed(minor: int, decimals: int, group: str, mark: str) -> str:
    whole, fraction = divmod(minor, 10**decimals)
    text = f"{whole:,}".replace(",", group)
    return f"{text}{mark}{fraction:0{decimals}}" if decimals else text


@given(
    st.integers(0, 10**12),
    CURRENCIES,
    st.sampled_from(STYLES),
    st.sampled_from(["{}", "{} {c}", "{c}{}", "-{}", "−{}"]),
)
def test_an_amount_printed_in_any_style_with_the_decimals_of_its_currency_is_that_amount(
    minor: int, currency: str, style: tuple[str, str], form: str
) -> None:
    text = form.format(printed(minor, exponent(currency), *style), c=currency)
    assert read_amount(text, currency) == (-minor if form[0] in "-−" else minor)


# What each of the two conventions allows, and how it reads it.
ENGLISH, GERMAN = (
    re.compile(rf"(?:[0-9]+|[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}})+)?(?:{mark}[0-9]*)?")
    for group, mark in ((",", r"\."), (r"\.", ","))
)


@given(st.text("0123456789.,", min_size=1, max_size=12))
def test_no_text_that_two_conventions_read_differently_is_read_in_a_currency_with_two_decimals(text: str) -> None:
    assume(any(each.isdigit() for each in text))
    readings = set()
    if ENGLISH.fullmatch(text):
        readings.add(Decimal(text.replace(",", "") or "0"))
    if GERMAN.fullmatch(text):
        readings.add(Decimal(text.replace(".", "").replace(",", ".") or "0"))
    try:
        found, sign = read_printed(text, 2)
    except ValueError:
        return
    assert sign == ""
    if len(readings) == 1:
        assert found in readings
    # "0.125" and "1234.567" have no first group of thousands in them: one of the two does not allow them.
    assert len(readings) < 2


@given(st.text(max_size=50), CURRENCIES)
def test_no_text_can_break_the_reading(text: str, currency: str) -> None:
    with suppress(ValueError):
        assert isinstance(read_amount(text, currency), int)
