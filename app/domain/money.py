"""Money is a whole number of minor units and a currency's code; never a float.

Exponents come from the ISO 4217 list itself (package iso4217). Locale libraries disagree with it: they say how a currency is written, not what its unit
is. Beside it stand the currencies that ISO has retired, those that shops know and ISO does not, and those that a brand has declared: whoever reads
a currency or an amount hands these in.
"""

import json
import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cache, lru_cache
from types import MappingProxyType

import iso4217

from app.domain.printed import check_sign, read_printed

AMOUNT_MINOR_MAX = 10**15
"""Largest amount that is accepted, in minor units: ten thousand milliards of cents. Anything beyond is a mistake, not an order."""
Decimals = Mapping[str, int]
"""Decimals of currencies, by their codes."""
NONE_DECLARED: Decimals = MappingProxyType({})
DECLARED_MAX = 50
"""Currencies that a brand may declare."""
DECIMALS_MAX = 8
"""Decimals of a currency that a brand declares: as many as a bitcoin has."""
BRANDS_CACHED = 1_024
"""Sets of declared currencies kept in memory."""

UNLISTED: Decimals = MappingProxyType({"GGP": 2, "IMP": 2, "IRT": 0, "JEP": 2, "PRB": 2})
"""Currencies that shop systems offer and ISO 4217 never listed: pounds of islands, the Iranian toman, the Transnistrian rouble."""
RETIRED: Decimals = MappingProxyType(
    {
        "ANG": 2, "ATS": 2, "AZM": 2, "BEF": 0, "BGN": 2, "BYR": 0, "CSD": 2, "CUC": 2, "CYP": 2, "DEM": 2, "EEK": 2, "ESP": 0, "FIM": 2,
        "FRF": 2, "GHC": 2, "GRD": 0, "HRK": 2, "IEP": 2, "ITL": 0, "LTL": 2, "LUF": 0, "LVL": 2, "MRO": 2, "MTL": 2, "MZM": 2, "NLG": 2,
        "PTE": 0, "ROL": 2, "SDD": 2, "SIT": 2, "SKK": 2, "SLL": 2, "STD": 2, "TMM": 2, "TRL": 0, "VEB": 2, "VEF": 2, "ZMK": 2, "ZWL": 2, "ZWR": 2,
    }
)  # fmt: skip
"""Currencies that ISO 4217 does not list any more: old orders are in them."""

_CODE = re.compile(r"[A-Z][A-Z0-9]{2,9}")


@cache
def _listed(currency: str) -> int:
    known = UNLISTED.get(currency, RETIRED.get(currency))
    if known is not None:
        return known
    try:
        listed = iso4217.Currency(currency)
    except ValueError:
        raise ValueError(f"{currency!r} is not an ISO 4217 currency") from None
    if listed.exponent is None:
        raise ValueError(f"{currency!r} has no minor unit")
    return int(listed.exponent)


def exponent(currency: str, declared: Decimals = NONE_DECLARED) -> int:
    """Decimals of a currency: EUR 2, JPY 0, KWD 3. declared: the brand's own. ValueError for any other, and for one without a unit (XXX, XAU)."""
    own = declared.get(currency) if declared else None
    return _listed(currency) if own is None else own


def is_listed(currency: str) -> bool:
    """Whether it is known without being declared."""
    try:
        _listed(currency)
    except ValueError:
        return False
    return True


def read_code(text: str) -> str:
    """What may be a currency's code, in capitals. ValueError when it cannot be one."""
    code = text.strip().upper()
    if not _CODE.fullmatch(code):
        raise ValueError(f"{text[:20]!r} is not a currency's code, such as EUR")
    return code


def read_currency(text: str, declared: Decimals = NONE_DECLARED) -> str:
    """The code in capitals. ValueError when it is not a currency that money can be counted in."""
    code = text.strip().upper()
    exponent(code, declared)
    return code


def check_declared(declared: Mapping[str, int]) -> None:
    """Raises ValueError unless a brand may declare these: nobody counts a listed currency otherwise than it is counted."""
    if len(declared) > DECLARED_MAX:
        raise ValueError(f"holds more than {DECLARED_MAX}")
    for code, decimals in declared.items():
        if read_code(code) != code:
            raise ValueError(f"{code[:20]!r} is written in capitals")
        if not 0 <= decimals <= DECIMALS_MAX:
            raise ValueError(f"{code} must have from 0 to {DECIMALS_MAX} decimals")
        if is_listed(code) and _listed(code) != decimals:
            raise ValueError(f"{code} is known and has {_listed(code)} decimals")


@lru_cache(maxsize=BRANDS_CACHED)
def read_declared(stored: str) -> Decimals:
    """The declared currencies of a brand as its row holds them, as JSON."""
    return MappingProxyType(json.loads(stored))


def read_amount(text: str, currency: str, declared: Decimals = NONE_DECLARED) -> int:
    """Minor units of an amount as shops print it, in this currency: `printed.py` has the rule. Rounded half up."""
    decimals = exponent(currency, declared)
    return minor_units(read_decimal(text, currency, decimals), decimals)


def read_decimal(text: str, currency: str, decimals: int) -> Decimal:
    """Major units of an amount as shops print it. ValueError where it could be read in two ways, not at all, or is in another currency."""
    number, sign = read_printed(text, decimals)
    if sign:
        check_sign(text, sign, currency, is_code=is_listed(sign.upper()))
    return number


def from_decimal(value: Decimal, currency: str, declared: Decimals = NONE_DECLARED) -> int:
    """Minor units of a decimal number of major units of a currency: `minor_units` with its decimals."""
    return minor_units(value, exponent(currency, declared))


def minor_units(value: Decimal, decimals: int) -> int:
    """Minor units of a decimal number of major units, rounded half up. ValueError beyond AMOUNT_MINOR_MAX."""
    if not value.is_finite():
        raise ValueError("not a finite amount")
    minor = int(value.scaleb(decimals).to_integral_value(rounding=ROUND_HALF_UP))
    if abs(minor) > AMOUNT_MINOR_MAX:
        raise ValueError("the amount is absurdly large")
    return minor


def to_decimal(minor: int, currency: str, declared: Decimals = NONE_DECLARED) -> Decimal:
    """Major units, with exactly the currency's decimals: 4990 EUR → Decimal("49.90")."""
    return Decimal(minor).scaleb(-exponent(currency, declared))


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
