"""The worth of a Shopify order.

**Net**: the amount that reports and commissions use: the sum over the goods of price × quantity − discount allocated to the line − (only where
`taxes_included`) the line's tax. Goods are all lines but gift cards (money in another form: they are revenue when they are spent) and tips.
Formula: a line's `discount_allocations` hold its share of order-level discounts as well, while shipping discounts are allocated to
`shipping_lines` and never lower it (shopify.dev, REST Order, LineItem); `total_discounts` mixes the two, so it is not used. `subtotal_price`
("after discounts, before shipping, duties, taxes and tips", but with tax where prices include it) serves only where the lines were left out.
The `current_*` fields already contain refunds, so gross never comes from them.
"""

from collections.abc import Sequence
from fractions import Fraction

from app.domain import money
from app.domain.orders import LINES_MAX, Context, OrderLine
from app.domain.strict_json import Unreadable
from app.platforms.kit.vendor_json import Goods, Json, objects, quantity_of, share, text_of
from app.platforms.shopify.fields import ShopifyAmountReader, id_of


def read_goods(order: Json, amounts: ShopifyAmountReader, included: bool, notes: list[str]) -> Goods:
    """The goods of an order. included: prices contain tax. Adds to `notes` which kinds of line were left out. Unreadable for an invalid amount."""
    lines = objects(order.get("line_items"), LINES_MAX, "line_items")
    prices = [amounts.amount(line, "price") for line in lines]
    if not lines or any(price is None for price in prices):
        return _goods_without_lines(order, amounts, included)
    kept: list[tuple[Json, int, int, int]] = []
    other_lines: set[str] = set()
    for index, (line, price) in enumerate(zip(lines, prices, strict=True)):
        if line.get("gift_card") is True or is_tip(line):
            other_lines.update(filter(None, [id_of(line.get("id"))]))
            notes.append("tip_lines" if is_tip(line) else "gift_card_lines")
        else:
            assert price is not None
            quantity = quantity_of(line.get("quantity"), "line_items", index)
            before = price * quantity
            kept.append((line, quantity, before, min(_line_discount(line, amounts), before)))
    taxes = _line_taxes(order, amounts, [(line, before - discount) for line, _, before, discount in kept])
    read: list[OrderLine] = []
    items = discounts = 0
    for index, ((line, quantity, before, discount), tax) in enumerate(zip(kept, taxes, strict=True)):
        net = before - discount
        if included and tax:
            net = max(net - tax, 0)
            # The discount without its tax, so that items − discount = net and discount ÷ items is the rate the shop gave.
            discount = share(discount, net, before - discount)
        items, discounts = items + net + discount, discounts + discount
        read.append(
            OrderLine(
                id=id_of(line.get("id")) or str(index + 1),
                quantity=quantity,
                net_minor=net,
                sku=text_of(line.get("sku")),
                name=text_of(line.get("name")) or text_of(line.get("title")),
            )
        )
    if items > money.AMOUNT_MINOR_MAX:
        raise Unreadable("invalid_amount", "line_items add up to an absurdly large amount")
    return Goods(
        items_minor=items,
        discount_minor=discounts,
        net_minor=items - discounts,
        paid_minor=sum(before - discount for _, _, before, discount in kept),
        tax_minor=sum(taxes),
        lines=tuple(read),
        other_lines=frozenset(other_lines),
    )


def is_tip(line: Json) -> bool:
    """Whether a line is a tip: it names the gateway or method that paid it, if only as null; before, it had an object `tip`."""
    return "tip_payment_gateway" in line or "tip_payment_method" in line or isinstance(line.get("tip"), dict)


def _goods_without_lines(order: Json, amounts: ShopifyAmountReader, included: bool) -> Goods:
    """From the totals: gift cards cannot be recognised, so the amount is marked as estimated."""
    tax, subtotal = amounts.amount(order, "total_tax"), amounts.amount(order, "subtotal_price")
    if subtotal is None:
        return Goods()
    goods_tax = max((tax or 0) - _shipping_tax(order, amounts), 0)
    net = max(subtotal - goods_tax, 0) if included else subtotal
    return Goods(net_minor=net, paid_minor=subtotal, tax_minor=goods_tax, estimated=True)


def _line_discount(line: Json, amounts: ShopifyAmountReader) -> int:
    allocations = line.get("discount_allocations")
    if isinstance(allocations, list):
        return amounts.total(allocations, "discount_allocations", "amount")
    return amounts.amount(line, "total_discount") or 0


def _line_taxes(order: Json, amounts: ShopifyAmountReader, lines: Sequence[tuple[Json, int]]) -> list[int]:
    """Each line's tax; where lines do not state it, their part of the order's tax."""
    if all(isinstance(line.get("tax_lines"), list) for line, _ in lines):
        return [_tax(line, amounts) for line, _ in lines]
    total = max((amounts.amount(order, "total_tax") or 0) - _shipping_tax(order, amounts), 0)
    return money.split(total, [Fraction(paid) for _, paid in lines]) if lines else []


def _tax(thing: Json, amounts: ShopifyAmountReader) -> int:
    return amounts.total(thing.get("tax_lines"), "tax_lines", "price")


def _shipping_tax(order: Json, amounts: ShopifyAmountReader) -> int:
    return sum(_tax(line, amounts) for line in _shipping_lines(order))


def shipping_of(order: Json, amounts: ShopifyAmountReader, included: bool) -> int | None:
    """Shipping after its discounts and without its tax; None when it is missing."""
    lines = _shipping_lines(order)
    if not lines:
        return amounts.amount(order, "total_shipping_price")
    total = 0
    for line in lines:
        price = amounts.amount(line, "discounted_price")
        total += (amounts.amount(line, "price") or 0) if price is None else price
    return max(total - _shipping_tax(order, amounts), 0) if included else total


def _shipping_lines(order: Json) -> list[Json]:
    lines = objects(order.get("shipping_lines"), LINES_MAX, "shipping_lines")
    return [line for line in lines if line.get("is_removed") is not True]


def taxes_included(order: Json, context: Context) -> bool:
    """Whether prices contain tax: by the order, else by the source's setting `taxes_included`, else no."""
    stated = order.get("taxes_included")
    return stated if isinstance(stated, bool) else context.settings.get("taxes_included") is True
