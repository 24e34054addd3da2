"""Reading the fields of Shopify's resources: money sets, ids, texts, where everything may be missing."""

from collections.abc import Mapping

from app.domain import money
from app.domain.orders import LINES_MAX
from app.domain.strict_json import Unreadable, read_major, read_text
from app.platforms.kit.vendor_json import Json, nested, text_of

ID_MAX = 1 << 64


# The names asked for most, so that they are not put together, and hashed, for every line of every order.
_SETS = {
    name: f"{name}_set" for name in ("price", "amount", "total_discount", "total_tax", "subtotal_price", "total_price")
}


class ShopifyAmountReader:
    """Reads amounts of one currency. With no currency (a subscription left it out) there are no amounts."""

    def __init__(self, currency: str | None) -> None:
        self.currency = currency

    def amount(self, thing: Json, name: str, *, negative: bool = False) -> int | None:
        """`<name>_set.shop_money`, else `<name>`; None when neither is said. Unreadable for no amount at all, and for less than nothing."""
        currency = self.currency
        if currency is None:
            return None
        value = stated = None
        said = thing.get(_SETS.get(name) or f"{name}_set")
        shop = said.get("shop_money") if isinstance(said, dict) else None
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
        """The same where a sign means something; 0 when it is not said."""
        return self.amount(thing, name, negative=True) or 0


def currency_of(order: Json, *names: str) -> str | None:
    """The shop's currency: the order's field, else that of the first of these money sets. Unreadable when it is no currency."""
    said = order.get("currency")
    if said is None:
        said = next(filter(None, (shop_currency(order, name) for name in names)), None)
    if said is None:
        return None
    try:
        return money.read_currency(read_text(said, characters_max=10))
    except ValueError as error:
        raise Unreadable("unknown_currency", f"currency {error}") from None


def shop_currency(thing: Json, name: str) -> str | None:
    """The shop's currency in the money set `<name>_set`; None when there is none."""
    try:
        return money.read_currency(str(nested(thing, f"{name}_set", "shop_money", "currency_code")))
    except ValueError:
        return None


def transaction_currency(transaction: Json) -> str | None:
    """What a payment was made in, which may be what the shopper saw and not the shop's; None when it is not said."""
    try:
        return money.read_currency(str(transaction.get("currency")))
    except ValueError:
        return None


def id_of(value: object) -> str | None:
    """An id as a text: Shopify writes them as numbers of 64 bits."""
    if type(value) is int and 0 <= value < ID_MAX:
        return str(value)
    return text_of(value)


def header(headers: Mapping[str, str], name: str) -> str:
    """A header of Shopify's under its old or its new name; '' when it is missing."""
    return text_of(headers.get("x-shopify-" + name) or headers.get("shopify-" + name)) or ""
