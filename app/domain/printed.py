"""Reads an amount as shop templates print it: `1,234.50`, `1.234,50`, `1 234,50 €`, `CHF 1'234.50`, `-5`. Pure.

**The rule**, over the text without its currency sign. Point and comma are two marks, each of which may separate thousands or begin the decimals:

- Both marks: the one that comes last, and once, begins the decimals; the other separates thousands (`1,234.50`, `1.234,50`).
- One mark several times, or spaces or apostrophes: thousands (`1.234.567`, `1 234`, `1'234`). A point or comma after them begins the decimals.
- One mark once: it begins the decimals (`49,90`, `49.9`, `1234.567`), unless one to three digits stand before it and exactly three behind it. Then it
  depends on the currency: one with three decimals prints all of them (`5.120` KWD), one without any can only mean thousands (`1.234` JPY);
  **in any other `1,234` could be a thousand or a fraction, and is refused.** After a lone 0 it can only be a fraction (`0.125`).

Thousands are groups of exactly three digits, or the Indian way (`1,23,456.00`), behind a first one that does not begin with 0. Everything else is refused.
"""

import html
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType

AMOUNT_CHARS_MAX = 40
"""Longest amount that is read, in characters."""
AMOUNTS_CACHED = 16_384
"""Read amounts kept in memory: an order repeats its amounts many times, and shops repeat their prices."""

_DOLLARS = (
    "USD CAD AUD NZD HKD SGD TWD BBD BMD BND BSD BZD FJD GYD JMD KYD LRD NAD SBD SRD TTD XCD XCG ZWG ZWL"
    " MXN ARS CLP COP UYU DOP CUP CUC NIO BOB BRL CVE MOP TOP WST PTE"
)
_POUNDS = "GBP EGP FKP GIP GGP IMP JEP SHP LBP SDG SSP SYP CYP IEP TRL"
_RUPEES, _RIALS, _CROWNS = "INR PKR LKR NPR MUR SCR", "IRR OMR QAR SAR YER", "DKK NOK SEK ISK EEK"
_FRANCS = "CHF XAF XOF XPF BIF CDF DJF GNF KMF RWF BEF FRF LUF"
_ROUBLES, _DINARS = "RUB BYN BYR PRB", "RSD CSD BHD DZD IQD JOD KWD LYD TND"
SIGNS: Mapping[str, frozenset[str]] = MappingProxyType(
    {sign: frozenset(codes.split()) for sign, codes in {
        "$": _DOLLARS, "£": _POUNDS, "¥": "JPY CNY", "￥": "JPY CNY", "円": "JPY", "元": "CNY TWD HKD", "€": "EUR", "₹": "INR", "₩": "KRW KPW", "₽": "RUB",
        "₺": "TRY", "₪": "ILS", "₫": "VND", "₴": "UAH", "₦": "NGN", "₱": "PHP", "฿": "THB", "₡": "CRC SVC", "₲": "PYG", "₸": "KZT", "₮": "MNT",
        "₭": "LAK", "₼": "AZN", "₾": "GEL", "₵": "GHS", "৳": "BDT", "៛": "KHR", "֏": "AMD", "₨": _RUPEES, "﷼": _RIALS,
        "kr": _CROWNS, "kr.": _CROWNS, "zł": "PLN",
        "kč": "CZK", "ft": "HUF", "lei": "RON MDL", "лв": "BGN", "лв.": "BGN", "руб": _ROUBLES, "руб.": _ROUBLES, "р.": _ROUBLES,
        "грн": "UAH", "грн.": "UAH", "fr": _FRANCS, "fr.": _FRANCS, "rs": _RUPEES, "rs.": _RUPEES, "rp": "IDR", "rm": "MYR", "tl": "TRY", "r": "ZAR",
        "r$": "BRL", "us$": "USD", "a$": "AUD",
        "au$": "AUD", "c$": "CAD", "ca$": "CAD", "nz$": "NZD", "hk$": "HKD", "s$": "SGD", "nt$": "TWD", "mx$": "MXN", "s/": "PEN", "kn": "HRK",
        "din": _DINARS, "din.": _DINARS, "дин": _DINARS, "дин.": _DINARS, "ден": "MKD", "تومان": "IRT", "ریال": _RIALS, "د.إ": "AED", "ر.س": "SAR",
    }.items()}
)  # fmt: skip
"""Currencies that a sign stands for, in lower case."""

_SPACES = " \u00a0\u2007\u2009\u202f"
# Marks of the direction of writing, which Arabic and Hebrew templates print.
_UNSEEN = dict.fromkeys(map(ord, "\u200e\u200f\u061c\u2066\u2067\u2068\u2069"))
_PARTS = re.compile(
    rf"(?P<minus>[-−+]?)(?P<before>[^\d{_SPACES}.,'’+−-][^\d{_SPACES}'’+−-]*)?[{_SPACES}]*(?P<inner>[-−+]?)"
    rf"(?P<number>[.,]?[0-9](?:[0-9.,'’{_SPACES}]*[0-9])?[.,]?)(?P<dash>[.,][-–—])?[{_SPACES}]*(?P<after>[^\d{_SPACES}.,+−–—-][^\d{_SPACES}+−–—-]*)?"
)
_WHOLE = re.compile(r"[0-9]+")
_SPACED = re.compile(rf"([1-9][0-9]{{0,2}}(?:([{_SPACES}'’])[0-9]{{3}})(?:\2[0-9]{{3}})*)(?:[.,]([0-9]+))?")
_GROUPED = re.compile(r"([1-9][0-9]{0,2}(?:([.,])[0-9]{3})(?:\2[0-9]{3})*)(?!\2)[.,]([0-9]+)")
_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}([.,])[0-9]{3}(?:\1[0-9]{3})+")
_INDIAN = re.compile(r"([1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3})(?:\.([0-9]+))?")
_ONE_MARK = re.compile(r"([0-9]*)[.,]([0-9]*)")
_FIRST_GROUP = re.compile(r"(?:[1-9][0-9]{0,2})?")
_NOISE = Decimal("0.001")
"""Parts of a minor unit below which a figure is what a program's binary fractions leave (49.900000000000006), and no decimals."""


@lru_cache(maxsize=AMOUNTS_CACHED)
def read_printed(text: str, decimals: int) -> tuple[Decimal, str]:
    """The number of major units, and the sign or code that stands beside it ("" without one), in lower case. decimals: of the currency.

    ValueError where it can be read in two ways or not at all.
    """
    plain = (html.unescape(text) if "&" in text else text).translate(_UNSEEN).strip()
    found = _PARTS.fullmatch(plain) if len(plain) <= AMOUNT_CHARS_MAX else None
    if found is None or (found["before"] and found["after"]) or (found["minus"] and found["inner"]):
        raise _not_an_amount(text)
    number = _number(found["number"], decimals, text)
    sign = (found["before"] or found["after"] or "").casefold()
    return (-number if "-" in (minus := found["minus"] + found["inner"]) or "−" in minus else number), sign


def check_sign(text: str, sign: str, currency: str, *, is_code: bool) -> None:
    """Raises ValueError where the sign or code beside an amount is not of its currency. is_code: it is the code of some currency."""
    if not sign or sign == currency.casefold():
        return
    stands_for = SIGNS.get(sign)
    if stands_for is None and not is_code:
        raise _not_an_amount(text)
    if stands_for is None or currency not in stands_for:
        raise ValueError(f"{text[:AMOUNT_CHARS_MAX]!r} is printed in another currency than {currency}")


def is_rounded(value: Decimal, decimals: int) -> bool:
    """Whether a number of major units has more decimals than its currency, so that minor units can only be near it."""
    exact = value.scaleb(decimals)
    return abs(exact - exact.to_integral_value()) >= _NOISE


def _number(number: str, decimals: int, text: str) -> Decimal:
    if _WHOLE.fullmatch(number):
        return Decimal(number)
    for form, whole, fraction in ((_SPACED, 1, 3), (_GROUPED, 1, 3), (_THOUSANDS, 0, None), (_INDIAN, 1, 2)):
        found = form.fullmatch(number)
        if found is not None:
            return _decimal(found[whole], "" if fraction is None else found[fraction] or "")
    found = _ONE_MARK.fullmatch(number)
    if found is None:
        raise _not_an_amount(text)
    if len(found[2]) == 3 and decimals != 3 and _FIRST_GROUP.fullmatch(found[1]):
        if decimals or not found[1]:
            raise ValueError(
                f"{text!r} could be a thousand or a fraction; write it without separators, such as 1234.00"
            )
        return _decimal(found[1] + found[2], "")
    return _decimal(found[1], found[2])


def _decimal(whole: str, fraction: str) -> Decimal:
    return Decimal(f"{''.join(filter(str.isdecimal, whole)) or '0'}.{fraction or '0'}")


def _not_an_amount(text: str) -> ValueError:
    return ValueError(f"{text!r} is not an amount such as 49.90")
