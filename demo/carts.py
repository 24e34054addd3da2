"""Carts with prices: what an order and a refund must be worth, worked out from what was put into the cart and from nothing that is sent."""

from dataclasses import dataclass
from fractions import Fraction

VAT_PERCENT = 20


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a cart; the price in minor units, with VAT when the cart's prices include it."""

    sku: str
    title: str
    price_minor: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Cart:
    """What is bought, in a currency of two decimals. The discount falls on all lines; VAT is 20 % of goods, shipping carries none."""

    number: int
    items: tuple[Item, ...]
    currency: str
    discount_percent: int
    vat_included: bool
    shipping_minor: int

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
        base = 100 + VAT_PERCENT if self.vat_included else 100
        return (2 * paid * VAT_PERCENT + base) // (2 * base)

    def net_minor(self, index: int | None = None) -> int:
        """After discount, before VAT and shipping: of one line, or of the cart."""
        if index is None:
            return sum(self.net_minor(each) for each in self.lines)
        return self.paid_minor(index) - (self.vat_minor(index) if self.vat_included else 0)

    def net_off_minor(self, index: int) -> int:
        """The discount of a line without VAT, so that before discount is net and this."""
        item = self.items[index]
        off = item.price_minor * item.quantity - self.paid_minor(index)
        return share(off, 100, 100 + VAT_PERCENT) if self.vat_included else off

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


def steps(amounts: list[int], part: int, whole: int) -> list[int]:
    """The shares of amounts given one after another: what the rounded share of their sum grows by with each, so that all of them are all of it."""
    found, given, before = [], 0, 0
    for amount in amounts:
        given = min(given + amount, whole)
        after = share(given, part, whole)
        found.append(after - before)
        before = after
    return found


def text(minor: int, decimals: int = 2) -> str:
    """Minor units as shops write amounts: 4990 is 49.90, or with more decimals 49.900000."""
    return f"{minor // 100}.{minor % 100:02d}{'0' * (decimals - 2)}"
