"""Carts with prices: what an order and a refund must be worth, computed from the cart alone and never from a message."""

from dataclasses import dataclass
from fractions import Fraction

VAT_PERCENT = 20
"""The default rate, in percent."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a cart; the price in minor units, with VAT when the cart's prices include it."""

    sku: str
    title: str
    price_minor: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Cart:
    """What is bought, in a currency of two decimals. The discount applies to all lines; goods carry VAT, shipping does not."""

    number: int
    items: tuple[Item, ...]
    currency: str
    discount_percent: int
    vat_included: bool
    shipping_minor: int
    vat_percent: int = VAT_PERCENT

    @property
    def lines(self) -> range:
        """The numbers of its lines."""
        return range(len(self.items))

    def paid_minor(self, index: int) -> int:
        """What a line costs after discount, with VAT only if the cart's prices include it."""
        item = self.items[index]
        whole = item.price_minor * item.quantity
        return whole - (whole * self.discount_percent + 50) // 100

    def vat_minor(self, index: int) -> int:
        """The VAT of a line, rounded half up by line, as the shop shows it."""
        paid = self.paid_minor(index)
        base = 100 + self.vat_percent if self.vat_included else 100
        return (2 * paid * self.vat_percent + base) // (2 * base)

    def net_minor(self, index: int | None = None) -> int:
        """After discount, before VAT and shipping: of one line, or of the cart."""
        if index is None:
            return sum(self.net_minor(each) for each in self.lines)
        return self.paid_minor(index) - (self.vat_minor(index) if self.vat_included else 0)

    def net_off_minor(self, index: int) -> int:
        """The discount of a line without VAT: the price before discount is net_minor plus this."""
        item = self.items[index]
        off = item.price_minor * item.quantity - self.paid_minor(index)
        return share(off, 100, 100 + self.vat_percent) if self.vat_included else off

    def charged_minor(self, index: int) -> int:
        """What the shopper pays for a line, VAT included."""
        return self.net_minor(index) + self.vat_minor(index)

    def totals(self) -> dict[str, int]:
        """subtotal (after discount), tax, discount, lines, total – in minor units, as the shop adds them up."""
        subtotal = sum(self.paid_minor(each) for each in self.lines)
        tax = sum(self.vat_minor(each) for each in self.lines)
        before = sum(item.price_minor * item.quantity for item in self.items)
        total = subtotal + self.shipping_minor + (0 if self.vat_included else tax)
        return {"lines": before, "discount": before - subtotal, "subtotal": subtotal, "tax": tax, "total": total}


def share(amount: int, part: int, whole: int) -> int:
    """amount × part ÷ whole, rounded half up."""
    return int(Fraction(amount * part, whole) + Fraction(1, 2))


def cumulative_shares(amounts: list[int], part: int, whole: int) -> list[int]:
    """Each amount's share, such that the shares of the first n amounts add up to the rounded share of their sum."""
    found, total, before = [], 0, 0
    for amount in amounts:
        total = min(total + amount, whole)
        after = share(total, part, whole)
        found.append(after - before)
        before = after
    return found


def first_part(amount: int, weights: tuple[int, ...]) -> int:
    """The first part of an amount that is divided by these weights to the last minor unit: the largest remainders are rounded up."""
    whole = sum(weights)
    missing = amount - sum(amount * weight // whole for weight in weights)
    by_remainder = sorted(range(len(weights)), key=lambda index: (-(amount * weights[index] % whole), index))
    return amount * weights[0] // whole + (1 if 0 in by_remainder[:missing] else 0)


def decimal(minor: int, decimals: int = 2) -> str:
    """Minor units as shops write amounts: 4990 is 49.90, or with more decimals 49.900000."""
    return f"{minor // 100}.{minor % 100:02d}{'0' * (decimals - 2)}"


def single_item(
    number: int, price_minor: int, *, discount_percent: int = 0, shipping_minor: int = 0, vat_percent: int = 0
) -> Cart:
    """A cart of one item, priced in euros before VAT."""
    item = Item("SERUM-30", "Serum 30 ml", price_minor, 1)
    return Cart(number, (item,), "EUR", discount_percent, False, shipping_minor, vat_percent)
