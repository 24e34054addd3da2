"""The worth of a WooCommerce order.

**Net**: the sum of `line_items[].total`, which is after coupons and always without tax, also where the shop's prices include it
(`prices_include_tax` changes what the shopper saw and nothing here). Added up exactly and rounded once. Before coupons it is `subtotal`.

Fees (`fee_lines`) are no goods, in either direction: a positive one is a surcharge for payment or packing, a negative one is mostly a wallet
or gift card, which is money in another form. Core knows no gift cards. Shipping is apart, before its own tax.
Refunds never lower these fields: WooCommerce keeps them as they were ordered.
"""

from collections.abc import Sequence
from decimal import Decimal

from app.domain.orders import LINES_MAX, OrderLine
from app.domain.strict_json import Unreadable
from app.platforms.kit.vendor_json import Goods, Json, objects, text_of
from app.platforms.woocommerce.fields import amount_of, minor_of, minors_of, unescape

QUANTITY_MAX = 1_000_000


def read_goods(order: Json, decimals: int | None, notes: list[str]) -> Goods:
    """The goods of an order. decimals: of its currency, None without one. Adds to `notes` what was left out. Unreadable for an invalid amount."""
    if decimals is None:
        return Goods()
    if order.get("fee_lines"):
        notes.append("fee_lines")
    lines = objects(order.get("line_items"), LINES_MAX, "line_items")
    totals = [amount_of(line, "total") for line in lines]
    stated = [total for total in totals if total is not None]
    if not isinstance(order.get("line_items"), list) or len(stated) < len(totals):
        return _goods_without_lines(order, decimals)
    net = minor_of(sum(stated, Decimal(0)), decimals, "line_items")
    if net < 0:
        raise Unreadable("invalid_amount", "line_items add up to less than nothing")
    subtotals = [amount_of(line, "subtotal") for line in lines]
    before = sum((b if b is not None else t for b, t in zip(subtotals, stated, strict=True)), Decimal(0))
    items = max(minor_of(before, decimals, "line_items"), net)
    taxes = sum((amount_of(line, "total_tax") or Decimal(0) for line in lines), Decimal(0))
    return Goods(
        items_minor=items,
        discount_minor=items - net,
        net_minor=net,
        tax_minor=max(minor_of(taxes, decimals, "line_items"), 0),
        lines=tuple(_lines(lines, stated, decimals)),
    )


def _lines(lines: Sequence[Json], totals: Sequence[Decimal], decimals: int) -> list[OrderLine]:
    """The lines, rounded so that they add up to the net exactly. One below zero (a trade-in, a discount as a product) stays below zero."""
    read = []
    for index, (line, net_minor) in enumerate(zip(lines, minors_of(totals, decimals, "line_items"), strict=True)):
        name = line.get("name")
        read.append(
            OrderLine(
                id=text_of(line.get("id")) or str(index + 1),
                quantity=_quantity(line.get("quantity")),
                net_minor=net_minor,
                sku=text_of(line.get("sku")),
                # Names come as they stand in pages: `Hoodie &ndash; Black`.
                name=text_of(unescape(name)) if isinstance(name, str) else None,
            )
        )
    return read


def _quantity(value: object) -> int:
    """A number of pieces; 1 for any other, because plugins sell half kilos and no amount depends on it."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= QUANTITY_MAX else 1


def _goods_without_lines(order: Json, decimals: int) -> Goods:
    """From the totals, where a filter has taken the lines out: fees cannot be recognised, so the amount is marked as estimated."""
    total, tax, shipping = (amount_of(order, name) for name in ("total", "total_tax", "shipping_total"))
    if total is None:
        return Goods()
    goods_tax = (tax or Decimal(0)) - (amount_of(order, "shipping_tax") or Decimal(0))
    net = minor_of(total - (tax or Decimal(0)) - (shipping or Decimal(0)), decimals, "total")
    return Goods(net_minor=max(net, 0), tax_minor=max(minor_of(goods_tax, decimals, "total_tax"), 0), estimated=True)
