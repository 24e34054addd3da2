"""Money is a whole number of minor units and an ISO 4217 code; never a float.

Exponents come from the ISO list itself (package iso4217). Locale libraries disagree with it: they say how a currency is written, not what its unit is.
"""

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cache, lru_cache

import iso4217

AMOUNT_MINOR_MAX = 10**15
"""Largest amount that is accepted, in minor units: ten thousand milliards of cents. Anything beyond is a mistake, not an order."""
AMOUNT_CHARS_MAX = 40
"""Longest amount that is read, in characters."""
AMOUNTS_CACHED = 16_384
"""Parsed amounts kept in memory: an order repeats its amounts many times, and shops repeat their prices."""

_AMOUNT = re.compile(r"[+-]?([0-9]+\.?|[0-9]*\.[0-9]+)")


@cache
def exponent(currency: str) -> int:
    """Decimals of a currency: EUR 2, JPY 0, KWD 3. ValueError for what ISO 4217 does not list or gives no unit (XXX, XAU)."""
    try:
        listed = iso4217.Currency(currency)
    except ValueError:
        raise ValueError(f"{currency!r} is not an ISO 4217 currency") from None
    if listed.exponent is None:
        raise ValueError(f"{currency!r} has no minor unit")
    return int(listed.exponent)


def read_currency(text: str) -> str:
    """The code in capitals. ValueError when it is not a currency that money can be counted in."""
    code = text.strip().upper()
    exponent(code)
    return code


@lru_cache(maxsize=AMOUNTS_CACHED)
def read_amount(text: str, currency: str) -> int:
    """Minor units of a decimal string as shops print it: "49.90" EUR → 4990, "500" JPY → 500.

    A single comma is read as the decimal point ("49,90"), as French and German templates print it; thousands separators are refused
    rather than guessed, and so is "1,234" or "1.234" unless the currency has three decimals: it is more often a thousand than a fraction.
    Otherwise more decimals than the currency has are rounded half up (Shopify prints "10.00" for yen).
    ValueError for anything else, for NaN and infinity, and beyond AMOUNT_MINOR_MAX.
    """
    number = text.strip().replace(",", ".")
    if not _AMOUNT.fullmatch(number) or len(number) > AMOUNT_CHARS_MAX:
        raise ValueError(f"{text!r} is not an amount such as 49.90")
    if len(number.partition(".")[2]) == 3 and exponent(currency) != 3:
        raise ValueError(f"{text!r} could be a thousand or a fraction; write it without separators, such as 1234.00")
    return from_decimal(Decimal(number), currency)


def from_decimal(value: Decimal, currency: str) -> int:
    """Minor units of a decimal number of major units, rounded half up. ValueError beyond AMOUNT_MINOR_MAX."""
    if not value.is_finite():
        raise ValueError("not a finite amount")
    minor = int(value.scaleb(exponent(currency)).to_integral_value(rounding=ROUND_HALF_UP))
    if abs(minor) > AMOUNT_MINOR_MAX:
        raise ValueError("the amount is absurdly large")
    return minor


def to_decimal(minor: int, currency: str) -> Decimal:
    """Major units, with exactly the currency's decimals: 4990 EUR → Decimal("49.90")."""
    return Decimal(minor).scaleb(-exponent(currency))


def split(total_minor: int, weights: Sequence[Fraction]) -> list[int]:
    """Parts of a total in proportion to the weights, summing to it exactly, by largest remainder (ties: the earlier part).

    A negative total is split as its absolute value, so that a refund splits exactly like the order it takes back.
    Weights are not negative; when all are zero the first part takes everything. [] for no weights, which only a zero total allows.
    """
    if not weights:
        if total_minor:
            raise ValueError("nothing to give the money to")
        return []
    if total_minor < 0:
        return [-part for part in split(-total_minor, weights)]
    # Before any fraction is added up: nearly every order has one share.
    if len(weights) == 1 or not any(weights):
        return [total_minor] + [0] * (len(weights) - 1)
    whole = sum(weights)
    exact = [total_minor * weight / whole for weight in weights]
    parts = [int(share) for share in exact]
    missing = total_minor - sum(parts)
    for index in sorted(range(len(parts)), key=lambda index: parts[index] - exact[index])[:missing]:
        parts[index] += 1
    return parts
