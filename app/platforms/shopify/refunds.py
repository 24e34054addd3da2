"""The amount that a Shopify refund takes back, on the base of an order's net.

`refund_line_items[].subtotal` is price × quantity − discount, again with tax where prices include it. `order_adjustments` of kind
`refund_discrepancy` say that more (negative) or less (positive) than the lines was paid back; `shipping_refund` is not about goods. A refund
without lines is what its transactions paid back, less shipping and tax.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from app.domain import money
from app.domain.orders import LINES_MAX, Context, OrderLine, OrderReport, RefundReport
from app.domain.strict_json import Unreadable
from app.platforms.kit.vendor_json import Goods, Json, moment_of, nested, objects, quantity_of, share, text_of
from app.platforms.shopify.fields import ShopifyAmountReader, currency_or_none, id_of, shop_currency

REFUNDS_MAX = 500
ALONE, IN_ORDER, FAILED = 0, 1, 2
"""Versions of the reports of one refund: an order also holds its tax rule and totals, which refunds/create does not; a failed payment is final.
Not the order's `updated_at`: every update repeats its refunds, and an equal report must stay one fact."""
REFUND_FIELDS = frozenset({"refund_line_items", "transactions", "order_adjustments", "processed_at", "created_at"})


@dataclass(frozen=True, slots=True)
class _Exchange:
    """How an order's own totals relate what the shopper saw to what the shop got."""

    presentment: str
    shop_minor: int
    shown_minor: int


def refunds_of(
    order: Json,
    topic: str,
    amounts: ShopifyAmountReader,
    goods: Goods,
    included: bool,
    stated_at: datetime | None,
    notes: list[str],
) -> Iterator[RefundReport]:
    """The refunds in an order, and its cancellation, dated when it was cancelled (`stated_at` where that is missing)."""
    for refund in objects(order.get("refunds"), REFUNDS_MAX, "refunds"):
        read = _read_refund(refund, amounts, included, goods, _exchange(order), IN_ORDER, notes)
        if read is not None:
            yield read
    cancelled_at = moment_of(order.get("cancelled_at"))
    if cancelled_at or topic == "orders/cancelled":
        dated = cancelled_at or stated_at
        yield RefundReport("cancelled", kind="cancellation", full=True, occurred_at=dated, version=IN_ORDER)


def read_refund_webhook(refund: Json, context: Context, notes: list[str]) -> OrderReport | None:
    """A refund on its own: an order that holds nothing else. None when no goods were refunded."""
    order_id = id_of(refund.get("order_id"))
    if not order_id or not id_of(refund.get("id")) or not REFUND_FIELDS & refund.keys():
        raise Unreadable("not_an_order", "it has no order_id and id of a refund")
    items = objects(refund.get("refund_line_items"), LINES_MAX, "refund_line_items")
    stated = [shop_currency(item, "subtotal") for item in items] + [
        currency_or_none(transaction.get("currency")) for transaction in _paid_back(refund)
    ]
    currency = next(filter(None, stated), None)
    amounts = ShopifyAmountReader(currency or context.currency)
    read = _read_refund(refund, amounts, _refund_included(refund, amounts, context), Goods(), None, ALONE, notes)
    if read is None:
        return None
    return OrderReport(shop=context.shop, kind="sale", refs=(order_id,), refunds=(read,), system="shopify", stub=True)


def _read_refund(
    refund: Json,
    amounts: ShopifyAmountReader,
    included: bool,
    goods: Goods,
    exchange: _Exchange | None,
    version: int,
    notes: list[str],
) -> RefundReport | None:
    """One refund; None when no goods were refunded, but shipping, tips or gift cards alone.

    A payment still on its way counts. Should it fail later, the order reports that, and the refund becomes one of 0.
    """
    refund_id = id_of(refund.get("id"))
    if not refund_id:
        return None
    occurred_at = moment_of(refund.get("processed_at")) or moment_of(refund.get("created_at"))
    transactions = [item for item in _transactions(refund) if item.get("kind") == "refund"]
    if transactions and not _paid_back(refund):
        notes.append("refund_failed")
        return RefundReport(
            refund_id, amount_minor=0, currency=amounts.currency, occurred_at=occurred_at, version=FAILED
        )
    lines: list[OrderLine] = []
    items = objects(refund.get("refund_line_items"), LINES_MAX, "refund_line_items")
    for item in items:
        inner = item.get("line_item")
        inner = inner if isinstance(inner, dict) else {}
        line_id = id_of(item.get("line_item_id")) or id_of(inner.get("id")) or ""
        if inner.get("gift_card") is True or line_id in goods.gift_cards or isinstance(inner.get("tip"), dict):
            continue
        net = amounts.amount(item, "subtotal") or 0
        if included:
            net = max(net - (amounts.amount(item, "total_tax") or 0), 0)
        quantity = quantity_of(item.get("quantity"), "refund_line_items.quantity")
        lines.append(OrderLine(line_id, quantity, net, text_of(inner.get("sku")), text_of(inner.get("name"))))
    adjusted = sum(
        amounts.signed(item, "amount") for item in _adjustments(refund) if item.get("kind") == "refund_discrepancy"
    )
    if items:
        amount, currency = max(sum(line.net_minor or 0 for line in lines) - adjusted, 0), amounts.currency
    else:
        amount, currency = _without_lines(refund, amounts, included, goods, exchange, notes)
    if not amount:
        return None
    return RefundReport(
        refund_id, amount_minor=amount, currency=currency, occurred_at=occurred_at, version=version, lines=tuple(lines)
    )


def _without_lines(
    refund: Json,
    amounts: ShopifyAmountReader,
    included: bool,
    goods: Goods,
    exchange: _Exchange | None,
    notes: list[str],
) -> tuple[int, str | None]:
    """Amount and currency of what the transactions paid back, less shipping and the goods' share of tax."""
    paid, currency = 0, amounts.currency
    for transaction in _paid_back(refund):
        other = currency_or_none(transaction.get("currency"))
        if other is None or other == amounts.currency:
            paid += amounts.amount(transaction, "amount") or 0
        elif exchange is not None and exchange.presentment == other:
            paid += share(
                ShopifyAmountReader(other).amount(transaction, "amount") or 0, exchange.shop_minor, exchange.shown_minor
            )
            notes.append("refund_converted")
        else:
            # The order's own totals convert it once the order holds this refund; until then it is the amount that was paid.
            paid, currency = paid + (ShopifyAmountReader(other).amount(transaction, "amount") or 0), other
    tax = 0
    for item in _adjustments(refund):
        if item.get("kind") == "shipping_refund":
            paid -= abs(amounts.signed(item, "amount")) + abs(amounts.signed(item, "tax_amount"))
        else:
            tax += abs(amounts.signed(item, "tax_amount"))
    paid = max(paid, 0)
    if tax:
        return max(paid - tax, 0), currency
    if goods.net_minor is None or goods.paid_minor is None or goods.tax_minor is None:
        notes.append("refund_tax_unknown")
        return paid, currency
    with_tax = goods.paid_minor + (0 if included else goods.tax_minor)
    return share(paid, goods.net_minor, with_tax), currency


def _refund_included(refund: Json, amounts: ShopifyAmountReader, context: Context) -> bool:
    """Whether prices include tax, which refunds/create does not state: the line's rate shows from which of the two its tax was computed."""
    for item in objects(refund.get("refund_line_items"), LINES_MAX, "refund_line_items"):
        inner = item.get("line_item")
        taxes = objects(inner.get("tax_lines"), LINES_MAX, "tax_lines") if isinstance(inner, dict) else []
        rate = sum((Decimal(r) for tax in taxes if isinstance(r := tax.get("rate"), Decimal | int)), Decimal(0))
        subtotal, tax = amounts.amount(item, "subtotal") or 0, amounts.amount(item, "total_tax") or 0
        if not (0 < rate < 1 and subtotal and tax):
            continue
        on_top, within = abs(subtotal * rate - tax), abs(subtotal * rate / (1 + rate) - tax)
        if min(on_top, within) <= 1 < max(on_top, within):
            return within < on_top
    return context.settings.get("taxes_included") is True


def _exchange(order: Json) -> _Exchange | None:
    shop = nested(order, "total_price_set", "shop_money")
    shown = nested(order, "total_price_set", "presentment_money")
    if not isinstance(shop, dict) or not isinstance(shown, dict):
        return None
    try:
        codes = [money.read_currency(str(side.get("currency_code"))) for side in (shop, shown)]
    except ValueError:
        return None
    shop_minor, shown_minor = (
        ShopifyAmountReader(code).amount(side, "amount") for code, side in zip(codes, (shop, shown), strict=True)
    )
    return _Exchange(codes[1], shop_minor, shown_minor) if shop_minor and shown_minor else None


def _transactions(refund: Json) -> list[Json]:
    return objects(refund.get("transactions"), LINES_MAX, "transactions")


def _paid_back(refund: Json) -> list[Json]:
    return [
        item
        for item in _transactions(refund)
        if item.get("kind") == "refund" and item.get("status") in ("success", "pending")
    ]


def _adjustments(refund: Json) -> list[Json]:
    return objects(refund.get("order_adjustments"), LINES_MAX, "order_adjustments")
