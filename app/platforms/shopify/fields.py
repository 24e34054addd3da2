"""Reading the fields of Shopify's resources, of which any may be missing: amounts, currencies, ids, headers."""

from collections.abc import Mapping

from app.domain import money
from app.domain.orders import LINES_MAX
from app.domain.strict_json import Unreadable, read_major
from app.platforms.kit.vendor_json import Json, currency_in, nested, text_of

ID_MAX = 1 << 64


# The most frequent names, so that they are not concatenated and hashed for every line of every order.
_SETS = {name: f"{name}_set" for name in ("price", "amount", "total_discount", "total_tax", "subtotal_price")}


class ShopifyAmountReader:
    """Reads amounts of one currency. Without a currency (a subscription may leave it out) there are no amounts."""

    def __init__(self, currency: str | None) -> None:
        self.currency = currency

    def amount(self, thing: Json, name: str, *, negative: bool = False) -> int | None:
        """`<name>_set.shop_money`, else `<name>`; None when both are missing. Unreadable for what is no amount, or negative where it may not be."""
        currency = self.currency
        if currency is None:
            return None
        value = stated = None
        money_set = thing.get(_SETS.get(name) or f"{name}_set")
        shop = money_set.get("shop_money") if isinstance(money_set, dict) else None
        if isinstance(shop, dict):
            value, stated = shop.get("amount"), shop.get("currency_code")
        if value is None:
            value = thing.get(name)
            if value is None:
                return None
        if stated != currency and isinstance(stated, str) and stated.upper() != currency:
            raise Unreadable("currency_mismatch", f"{name} is in {stated[:10]!r}, the order in {currency}")
        try:
            minor = money.read_amount(value, currency) if type(value) is str else read_major(value, currency)
        except ValueError:
            raise Unreadable("invalid_amount", f"{name}: {ascii(value)[:60]} is not an amount") from None
        if minor < 0 and not negative:
            raise Unreadable("invalid_amount", f"{name} is negative")
        return minor

    def total(self, things: object, where: str, name: str) -> int:
        """The sum of an amount over the objects of a list; 0 for no list."""
        if not things or not isinstance(things, list):
            return 0
        if len(things) > LINES_MAX:
            raise Unreadable("too_many", f"{where} holds more than {LINES_MAX}")
        total = 0
        for each in things:
            if isinstance(each, dict):
                total += self.amount(each, name) or 0
        return total

    def signed(self, thing: Json, name: str) -> int:
        """An amount that may be negative; 0 when it is missing."""
        return self.amount(thing, name, negative=True) or 0


def currency_of(order: Json, *names: str) -> str | None:
    """The shop's currency: the order's field, else that of the first of these money sets. Unreadable when it is no currency."""
    stated = currency_in(order.get("currency"))
    return stated or next(filter(None, (shop_currency(order, name) for name in names)), None)


def shop_currency(thing: Json, name: str) -> str | None:
    """The shop's currency in the money set `<name>_set`; None when there is none."""
    return currency_or_none(nested(thing, f"{name}_set", "shop_money", "currency_code"))


def currency_or_none(value: object) -> str | None:
    """The currency; None for what is none. That of a payment may be the shopper's and not the shop's."""
    try:
        return currency_in(value)
    except Unreadable:
        return None


def id_of(value: object) -> str | None:
    """An id as a text: Shopify writes them as numbers of 64 bits."""
    if type(value) is int and 0 <= value < ID_MAX:
        return str(value)
    return text_of(value)


def header(headers: Mapping[str, str], name: str) -> str:
    """One of Shopify's headers under its old or its new name; '' when it is missing."""
    return text_of(headers.get("x-shopify-" + name) or headers.get("shopify-" + name)) or ""
