"""The amount that a Shopify refund takes back, on the base of an order's net.

`refund_line_items[].subtotal` is price × quantity − discount, again with tax where prices include it. `order_adjustments` say that more (negative)
or less (positive) was paid back than the parts of the refund come to; `tax_amount` is added to `amount`, and 0 where the shop took it for no tax.
Shipping, duties and fees are not about goods. Since API 2024-10 shipping stands in `refund_shipping_lines`, and adjustments have no `kind`; before,
it was an adjustment of kind `shipping_refund`. The REST resource, which orders hold, may have both.

A refund that names its parts is worth them: its lines of goods less the adjustments. One that names none is what its transactions paid back, less
the goods' share of tax; so is what an older message paid back beside the parts that are not about goods.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from app.domain import money
from app.domain.orders import LINES_MAX, NEVER_PAID, Context, OrderLine, OrderReport, RefundReport, version_at
from app.domain.strict_json import Unreadable
from app.platforms.kit.vendor_json import Goods, Json, moment_of, nested, objects, quantity_of, share, text_of
from app.platforms.shopify.fields import ShopifyAmountReader, currency_or_none, id_of, shop_currency
from app.platforms.shopify.goods import is_tip

REFUNDS_MAX = 500
ALONE, IN_ORDER, FAILED = 0, 1, 2
"""Versions of the reports of one refund: an order also holds its tax rule and totals, which refunds/create does not; a failed payment is final.
Not the order's `updated_at`: every update repeats its refunds, and an equal report must stay one fact."""
GIVEN_UP = ("voided", "expired")
"""Financial statuses of an order whose payment was given up before anything was paid."""
REFUND_FIELDS = frozenset({"refund_line_items", "transactions", "order_adjustments", "processed_at", "created_at"})
SHIPPING = "shipping_refund"
"""The kind of an adjustment that pays shipping back; before API 2024-10."""


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
    """The refunds in an order, and its cancellation, dated when it was cancelled (`stated_at` where that is missing). Without one an order whose
    payment was given up is cancelled as well."""
    for refund in objects(order.get("refunds"), REFUNDS_MAX, "refunds"):
        read = _read_refund(refund, amounts, included, goods, _exchange(order), IN_ORDER, notes)
        if read is not None:
            yield read
    cancelled_at = moment_of(order.get("cancelled_at"))
    if cancelled_at or topic == "orders/cancelled":
        dated = cancelled_at or stated_at
        yield RefundReport("cancelled", kind="cancellation", full=True, occurred_at=dated, version=IN_ORDER)
    elif order.get("financial_status") in GIVEN_UP:
        yield unpaid(stated_at)


def unpaid(stated_at: datetime | None) -> RefundReport:
    """The cancellation of an order that is never paid. It is dated from its receipt: every later update of the order says it again."""
    return RefundReport(NEVER_PAID, kind="cancellation", full=True, version=version_at(stated_at))


def read_refund_webhook(refund: Json, context: Context, notes: list[str]) -> OrderReport | None:
    """A refund on its own: an order that holds nothing else. None when no goods were refunded."""
    order_id = id_of(refund.get("order_id"))
    if not order_id or not id_of(refund.get("id")) or not REFUND_FIELDS & refund.keys():
        raise Unreadable("not_an_order", "it has no order_id and id of a refund")
    amounts = ShopifyAmountReader(_shop_currency(refund) or context.currency)
    included = _refund_included(refund, amounts, context)
    read = _read_refund(refund, amounts, included, Goods(), None, ALONE, notes)
    if read is None:
        return None
    return OrderReport(shop=context.shop, kind="sale", refs=(order_id,), refunds=(read,), system="shopify", stub=True)


def _shop_currency(refund: Json) -> str | None:
    """The shop's currency in a refund on its own. That of its transactions comes last: it may be the shopper's."""
    sets: list[tuple[Json, str]] = []
    for name, amount in (
        ("refund_line_items", "subtotal"),
        ("order_adjustments", "amount"),
        ("refund_shipping_lines", "subtotal_amount"),
        ("duties", "amount"),
        ("additional_fees", "price"),
    ):
        sets += [(each, amount) for each in objects(refund.get(name), LINES_MAX, name)]
    sets += [(refund, "total_duties"), (refund, "total_additional_fees")]
    stated = [shop_currency(thing, name) for thing, name in sets]
    stated += [currency_or_none(transaction.get("currency")) for transaction in _paid_back(refund)]
    return next(filter(None, stated), None)


def _read_refund(
    refund: Json,
    amounts: ShopifyAmountReader,
    included: bool | None,
    goods: Goods,
    exchange: _Exchange | None,
    version: int,
    notes: list[str],
) -> RefundReport | None:
    """One refund; None when no goods were refunded, but shipping, duties, fees, tips or gift cards alone. included None: only the order can tell.

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
    lines = _lines(refund, amounts, goods, included)
    if included is None:
        # Worth what the order says of these lines.
        report = RefundReport(refund_id, occurred_at=occurred_at, version=version, lines=tuple(lines), line_based=True)
        return report if lines else None
    beside, names_parts = _beside_goods(refund, amounts)
    adjusted, adjusted_tax = _adjusted(refund, amounts)
    if refund.get("refund_line_items"):
        amount, currency = sum(line.net_minor or 0 for line in lines) - (adjusted or 0), amounts.currency
    elif adjusted is not None and adjusted_tax is not None:
        amount, currency = -adjusted, amounts.currency
        paid = _paid_in(refund, amounts)
        if paid and adjusted_tax:
            # Should the amount hold its tax after all.
            amount = min(amount, paid - beside - adjusted_tax)
    elif names_parts:
        return None
    else:
        amount, currency = _by_transactions(refund, amounts, beside, included, goods, exchange, notes)
    if amount <= 0:
        return None
    return RefundReport(
        refund_id, amount_minor=amount, currency=currency, occurred_at=occurred_at, version=version, lines=tuple(lines)
    )


def _lines(refund: Json, amounts: ShopifyAmountReader, goods: Goods, included: bool | None) -> list[OrderLine]:
    """The goods that came back, without gift cards and tips; without amounts where only the order can tell whether prices include tax."""
    lines: list[OrderLine] = []
    for item in objects(refund.get("refund_line_items"), LINES_MAX, "refund_line_items"):
        inner = _line_of(item)
        line_id = _line_id(item)
        if inner.get("gift_card") is True or is_tip(inner) or line_id in goods.other_lines:
            continue
        net = None if included is None else amounts.amount(item, "subtotal") or 0
        if net and included:
            net = max(net - (amounts.amount(item, "total_tax") or 0), 0)
        quantity = quantity_of(item.get("quantity"), "refund_line_items.quantity")
        lines.append(OrderLine(line_id, quantity, net, text_of(inner.get("sku")), text_of(inner.get("name"))))
    return lines


def _line_of(item: Json) -> Json:
    inner = item.get("line_item")
    return inner if isinstance(inner, dict) else {}


def _line_id(item: Json) -> str:
    return id_of(item.get("line_item_id")) or id_of(_line_of(item).get("id")) or ""


def _adjusted(refund: Json, amounts: ShopifyAmountReader) -> tuple[int | None, int | None]:
    """By how much less the adjustments say was paid back than the parts come to, and the tax on that; None where none says it."""
    adjustments = [item for item in _adjustments(refund) if item.get("kind") != SHIPPING]
    stated = [minor for item in adjustments if (minor := amounts.amount(item, "amount", negative=True)) is not None]
    taxes = [minor for item in adjustments if (minor := amounts.amount(item, "tax_amount", negative=True)) is not None]
    return sum(stated) if stated else None, abs(sum(taxes)) if taxes else None


def _beside_goods(refund: Json, amounts: ShopifyAmountReader) -> tuple[int, bool]:
    """Shipping, duties and fees of a refund with their tax, and whether its message names all of its parts, so that nothing else was paid back."""
    listed = objects(refund.get("refund_shipping_lines"), LINES_MAX, "refund_shipping_lines")
    shipping = amounts.total(listed, "refund_shipping_lines", "subtotal_amount") + amounts.total(
        listed, "refund_shipping_lines", "tax_amount"
    )
    adjusted = [item for item in _adjustments(refund) if item.get("kind") == SHIPPING]
    by_kind = sum(abs(amounts.signed(item, name)) for item in adjusted for name in ("amount", "tax_amount"))
    others = _named(refund, amounts, "duties", "amount") + _named(refund, amounts, "additional_fees", "price")
    beside = max(shipping, by_kind) + others
    return beside, isinstance(refund.get("refund_shipping_lines"), list) and beside > 0


def _named(refund: Json, amounts: ShopifyAmountReader, name: str, amount: str) -> int:
    """The duties or fees of a refund: their sum, or their total where they are not listed."""
    listed = objects(refund.get(name), LINES_MAX, name)
    if not listed and shop_currency(refund, f"total_{name}") == amounts.currency:
        return amounts.amount(refund, f"total_{name}") or 0
    return amounts.total(listed, name, amount)


def _by_transactions(
    refund: Json,
    amounts: ShopifyAmountReader,
    beside: int,
    included: bool,
    goods: Goods,
    exchange: _Exchange | None,
    notes: list[str],
) -> tuple[int, str | None]:
    """Amount and currency of what the transactions paid back for goods, without the goods' share of tax. beside: what was not for goods."""
    paid, currency = -beside, amounts.currency
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
    paid = max(paid, 0)
    if goods.net_minor is None or goods.paid_minor is None or goods.tax_minor is None:
        notes.append("refund_tax_unknown")
        return paid, currency
    with_tax = goods.paid_minor + (0 if included else goods.tax_minor)
    return share(paid, goods.net_minor, with_tax), currency


def _paid_in(refund: Json, amounts: ShopifyAmountReader) -> int:
    """What the transactions paid back; 0 where one of them is in another currency."""
    paid = _paid_back(refund)
    if any(currency_or_none(each.get("currency")) not in (None, amounts.currency) for each in paid):
        return 0
    return sum(amounts.amount(each, "amount") or 0 for each in paid)


def _refund_included(refund: Json, amounts: ShopifyAmountReader, context: Context) -> bool | None:
    """Whether prices include tax, which refunds/create does not state; None where only the order can tell.

    A line's rate shows from which of the two its tax was computed, and the payment whether the tax was added. Else the source's setting counts.
    """
    items = objects(refund.get("refund_line_items"), LINES_MAX, "refund_line_items")
    subtotals = taxes = 0
    rated = False
    for item in items:
        rates = objects(_line_of(item).get("tax_lines"), LINES_MAX, "tax_lines")
        rate = sum((Decimal(r) for each in rates if isinstance(r := each.get("rate"), Decimal | int)), Decimal(0))
        subtotal, tax = amounts.amount(item, "subtotal") or 0, amounts.amount(item, "total_tax") or 0
        subtotals, taxes, rated = subtotals + subtotal, taxes + tax, rated or rate > 0
        if not (0 < rate < 1 and subtotal and tax):
            continue
        on_top, within = abs(subtotal * rate - tax), abs(subtotal * rate / (1 + rate) - tax)
        if min(on_top, within) <= 1 < max(on_top, within):
            return within < on_top
    adjusted, adjusted_tax = _adjusted(refund, amounts)
    beside, _ = _beside_goods(refund, amounts)
    goods_paid = _paid_in(refund, amounts) - beside + (adjusted or 0) - (adjusted_tax or 0)
    if taxes and goods_paid in (subtotals, subtotals + taxes):
        return goods_paid == subtotals
    stated = context.settings.get("taxes_included")
    if taxes and not (rated or adjusted or isinstance(stated, bool)) and all(map(_line_id, items)):
        return None
    return stated is True


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
