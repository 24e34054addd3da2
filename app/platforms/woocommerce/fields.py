"""Reading the fields of WooCommerce's orders: amounts with a point and as many decimals as the shop likes, times without an offset, texts as they
stand in pages.
"""

import html
import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from app.domain import money
from app.domain.orders import FIRST, RENEWAL
from app.domain.strict_json import DIGITS_MAX, Unreadable
from app.platforms.kit.vendor_json import Json, moment_of

META_ENTRIES_MAX = 500

_AMOUNT = re.compile(rf"-?\d{{1,{DIGITS_MAX}}}(\.\d{{0,{DIGITS_MAX}}})?", re.ASCII)
_OFFSET = re.compile(r"([Zz]|[+-]\d\d:?\d\d)$")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});", re.ASCII)


def amount_of(thing: Json, name: str) -> Decimal | None:
    """An amount in major units, None when it is missing. Unreadable for anything else.

    Not `read_amount`: that one reads what people and templates write, and so refuses "12.345". WooCommerce always writes a point and no
    thousands separators, with as many decimals as the shop has set for its prices.
    """
    value = thing.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and _AMOUNT.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        exact = Decimal(value) if abs(value) < 10**DIGITS_MAX else Decimal("Infinity")
        if exact.is_finite() and (not exact or exact.adjusted() > -DIGITS_MAX):
            return exact
    raise Unreadable("invalid_amount", f"{name}: {ascii(value)[:60]} is not an amount")


def minor_of(amount: Decimal, decimals: int, name: str) -> int:
    """Minor units, rounded half up. Unreadable for an absurd amount."""
    try:
        return money.minor_units(amount, decimals)
    except (ValueError, ArithmeticError):
        raise Unreadable("invalid_amount", f"{name} is an absurdly large amount") from None


def minors_of(amounts: Iterable[Decimal], decimals: int, name: str) -> list[int]:
    """Minor units that together are the rounded sum exactly: each is what the rounded sum grows by."""
    parts, so_far, exact = [], 0, Decimal(0)
    for amount in amounts:
        exact += amount
        upto = minor_of(exact, decimals, name)
        parts.append(upto - so_far)
        so_far = upto
    return parts


def gmt_of(thing: Json, name: str) -> datetime | None:
    """The time `<name>_gmt`, which is UTC although it has no Z; None when it is missing or no time.

    `<name>` without `_gmt` is local time of the shop, in a zone that the message does not hold: it is never read.
    """
    value = thing.get(f"{name}_gmt")
    if not isinstance(value, str):
        return None
    return moment_of(value if _OFFSET.search(value) else f"{value.strip()}Z")


def origin_of(order: Json, meta: list[tuple[object, object]]) -> str | None:
    """Whether an order began a subscription or is a later one of it, as WooCommerce Subscriptions marks its orders; None where it does not."""
    keys = {key for key, value in meta if isinstance(key, str) and value}
    if keys & {"_subscription_renewal", "_subscription_switch"} or order.get("created_via") == "subscription":
        return RENEWAL
    return FIRST if "_subscription_resubscribe" in keys else None


def meta_of(thing: Json) -> list[tuple[object, object]]:
    """The (key, value) pairs of `meta_data`, where plugins and the shop's own snippets keep their data. A value may be any JSON."""
    entries = thing.get("meta_data")
    found = entries[:META_ENTRIES_MAX] if isinstance(entries, list) else []
    return [(entry.get("key"), entry.get("value")) for entry in found if isinstance(entry, dict)]


def unescape(text: str) -> str:
    """The text that its author typed: WordPress stores `&` as `&amp;`. One pass, and only what ends in a semicolon: `lea&copy10` is no ©."""
    return _ENTITY.sub(lambda found: html.unescape(found[0]), text)
