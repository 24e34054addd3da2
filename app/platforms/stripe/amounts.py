"""Stripe's amounts are whole numbers of its own smallest units, which are not always those of ISO 4217.

A table of its own, from docs.stripe.com/currencies: currencies without decimals come as whole units (also MGA, which ISO gives two decimals); ISK
and UGX have none any more, in ISO and in life, but stay two-decimal in the API (500 is 5 krónur); five have three. HUF and TWD are whole numbers for
payouts only, and payouts are no orders.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain import money
from app.domain.strict_json import Unreadable
from app.platforms.kit.vendor_json import Json, currency_in

ZERO_DECIMAL = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"}
)
THREE_DECIMAL = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


def stripe_exponent(currency: str) -> int:
    """Decimals of Stripe's smallest unit."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


def to_iso(amount: int, currency: str) -> int:
    """Stripe's units as ISO 4217's. Exact for every amount Stripe can charge; a fraction of a króna (in the tax on an invoice) is rounded half up."""
    return _shift(amount, money.exponent(currency) - stripe_exponent(currency))


def to_stripe(minor: int, currency: str) -> int:
    """ISO 4217's units as Stripe's, for messages of a trial; an amount that Stripe has no unit for (0.50 MGA) is rounded half up."""
    return _shift(minor, stripe_exponent(currency) - money.exponent(currency))


def _shift(amount: int, decimals: int) -> int:
    if decimals >= 0:
        return int(amount * 10**decimals)
    unit = int(10**-decimals)
    return (2 * amount + unit) // (2 * unit)


@dataclass(frozen=True, slots=True)
class StripeAmountReader:
    """Reads amounts of one currency. Without a currency (an object may leave it out) there are no amounts."""

    currency: str | None

    def amount(self, thing: Mapping[str, object], name: str) -> int | None:
        """An amount in ISO minor units; None when it is missing. Unreadable for what is negative or no amount."""
        value = self.signed(thing, name)
        if value is not None and value < 0:
            raise Unreadable("invalid_amount", f"{name} is negative")
        return value

    def signed(self, thing: Mapping[str, object], name: str) -> int | None:
        """An amount that may be negative: such an invoice is a credit."""
        value = thing.get(name)
        if value is None or self.currency is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            minor = to_iso(value, self.currency)
            if abs(minor) <= money.AMOUNT_MINOR_MAX:
                return minor
        raise Unreadable("invalid_amount", f"{name}: {ascii(value)[:60]} is not an amount of Stripe's")


def amounts_of(thing: Json, name: str = "currency") -> StripeAmountReader:
    """A reader for the currency of an object. Unreadable when that is no currency."""
    return StripeAmountReader(currency_in(thing.get(name), name))
