"""Amounts that WooCommerce's refunds and statuses take back, on the base of an order's net.

The order lists its refunds as `{id, reason, total: "-48.00"}`: money that went back, with tax, perhaps with shipping, and no date.
**The rule: money goes back for goods first.** Refunds are added up in the order of their ids; of the sum, what the goods cost with their tax is
for goods (beyond it: shipping and fees), and net ÷ (net + goods' tax) of that is without tax. Each refund is what the rounded sum grows by, so
the parts of a fully refunded order are exactly its net. Nothing else in the order tells what a refund was for: lines, shipping and totals stay as
they were ordered. A refund with lines of its own (the full resource, which a filter may put in) does: then it is the sum of the totals of its `line_items`
(one of them may be above zero: it gives back an order's line below zero), and without any, the amount less its shipping and fees. Its `amount` is what
went back all the same: where its lines cost more with their tax, it takes that share of them.

A status that ends an order is a cancellation, taken back when a later version of the order is live again. A refund that was listed
once and is not any more has been deleted (`OrderReport.refund_ids`).
"""

from collections.abc import Sequence
from decimal import Decimal

from app.domain.orders import LINES_MAX, OrderLine, RefundReport
from app.domain.strict_json import Unreadable
from app.platforms.kit.vendor_json import Goods, Json, objects, share, text_of
from app.platforms.woocommerce.fields import amount_of, gmt_of, minor_of, minors_of

REFUNDS_MAX = 500
ENDED = frozenset({"cancelled", "failed", "refunded", "trash"})
"""Statuses in which nothing of the order is left: `refunded` means fully refunded, whatever the refunds add up to."""


def refunds_of(
    order: Json, currency: str | None, decimals: int | None, goods: Goods, version: int, notes: list[str]
) -> list[RefundReport]:
    """The refunds in an order. decimals: of its currency. Unreadable for an invalid amount."""
    found: list[RefundReport] = []
    given = Decimal(0)
    so_far = 0
    for refund_id, refund in _listed(order):
        lines = _lines(refund, decimals)
        if decimals is not None and lines:
            amount = _of_lines(refund, lines, decimals)
        elif decimals is None:
            notes.append("refund_currency_unknown")
            continue
        else:
            given += max(abs(_money(refund)) - _beside_goods(refund), Decimal(0))
            upto = _of_goods(minor_of(given, decimals, "refunds"), goods, notes)
            amount, so_far = upto - so_far, upto
        if not amount:
            notes.append("refund_beyond_goods")
        at = gmt_of(refund, "date_created")
        report = RefundReport(
            refund_id, amount_minor=amount, currency=currency, occurred_at=at, version=version, lines=lines
        )
        found.append(report)
    return found


def refund_ids_of(order: Json) -> tuple[str, ...] | None:
    """The ids of all refunds; None when the order does not list them."""
    return tuple(refund_id for refund_id, _ in _listed(order)) if isinstance(order.get("refunds"), list) else None


def cancellation(status: str, version: int, *, is_new: bool) -> list[RefundReport]:
    """The cancellation that the status means, or its end. A new order was never cancelled, so there is nothing to take back."""
    if status in ENDED:
        return [RefundReport("cancelled", kind="cancellation", full=True, version=version)]
    return [] if is_new else [RefundReport("cancelled", kind="cancellation", amount_minor=0, version=version)]


def _listed(order: Json) -> list[tuple[str, Json]]:
    """The refunds by their ascending ids, oldest first: the list itself is newest first."""
    refunds = objects(order.get("refunds"), REFUNDS_MAX, "refunds")
    named = {refund_id: refund for refund in refunds if (refund_id := text_of(refund.get("id")))}
    return sorted(named.items(), key=lambda item: (len(item[0]), item[0]))


def _stated_money(refund: Json) -> Decimal | None:
    """The amount paid back: `total`, negative, in an order's list; `amount`, positive, in the resource itself."""
    money = amount_of(refund, "total")
    return amount_of(refund, "amount") if money is None else money


def _money(refund: Json) -> Decimal:
    money = _stated_money(refund)
    if money is None:
        raise Unreadable("invalid_amount", "a refund without total")
    return money


def _beside_goods(refund: Json) -> Decimal:
    """Shipping and fees that were paid back, with their tax, by a full refund resource."""
    lines = [each for name in ("shipping_lines", "fee_lines") for each in objects(refund.get(name), LINES_MAX, name)]
    return abs(
        sum((amount_of(each, name) or Decimal(0) for each in lines for name in ("total", "total_tax")), Decimal(0))
    )


def _of_goods(given_minor: int, goods: Goods, notes: list[str]) -> int:
    if goods.net_minor is None:
        notes.append("refund_tax_unknown")
        return given_minor
    paid = goods.net_minor + (goods.tax_minor or 0)
    return share(min(given_minor, paid), goods.net_minor, paid)


def _lines(refund: Json, decimals: int | None) -> tuple[OrderLine, ...]:
    """The goods of a full refund resource: totals are negative there. () where only an amount went back."""
    if decimals is None:
        return ()
    listed: Sequence[Json] = objects(refund.get("line_items"), LINES_MAX, "refunds.line_items")
    lines = [(index, line, total) for index, line in enumerate(listed, 1) if (total := amount_of(line, "total"))]
    # Together they are below zero, or a plugin has turned the signs.
    sign = -1 if sum(total for _, _, total in lines) < 0 else 1
    parts = minors_of((sign * total for _, _, total in lines), decimals, "refunds.line_items")
    return tuple(
        OrderLine(id=text_of(line.get("id")) or str(index), net_minor=part, sku=text_of(line.get("sku")))
        for (index, line, _), part in zip(lines, parts, strict=True)
    )


def _of_lines(refund: Json, lines: Sequence[OrderLine], decimals: int) -> int:
    """The net of a refund's lines, of which its own amount may pay back a part only."""
    net, money = sum(line.net_minor or 0 for line in lines), _stated_money(refund)
    if money is None:
        return net
    tax = sum(
        (amount_of(line, "total_tax") or Decimal(0) for line in objects(refund["line_items"], LINES_MAX, "")),
        Decimal(0),
    )
    paid = net + abs(minor_of(tax, decimals, "refunds.line_items"))
    return share(min(minor_of(abs(money), decimals, "refunds"), paid), net, paid)
