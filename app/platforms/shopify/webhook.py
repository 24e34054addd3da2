"""Shopify's order and refund webhooks, as reports.

The body is the REST resource itself (not wrapped), and a subscription with `include_fields` may leave out any field of it, so everything
but the id may be missing or null. Amounts are those of the shop's currency (`shop_money`); what the shopper saw (`presentment_money`) is noted.

How net is counted: `goods`; how a refund is: `refunds`.

**Names of one order**: its id; its name without `#`; its number, where the name is that number with something around it; its checkout token,
which is what a web pixel knows (one checkout becomes at most one order). Not `cart_token`: two tabs may turn one cart into two orders.
Not `number`: it is the order number minus 1000 and would meet another order's. Not `confirmation_number`: Shopify does not promise it is unique.
"""

from collections.abc import Mapping
from datetime import datetime

from app.domain.orders import (
    LINES_MAX,
    Context,
    DemandedOf,
    OrderReport,
    Parsed,
    PrivacyDemand,
    order_ref,
    version_at,
)
from app.domain.strict_json import Unreadable
from app.platforms.kit.vendor_json import (
    Json,
    click_ids_in,
    customer_of,
    distinct,
    moment_of,
    nested,
    note_unfilled,
    objects,
    read_object,
    text_of,
    visitor_in,
)
from app.platforms.shopify.fields import ShopifyAmountReader, currency_of, header, id_of
from app.platforms.shopify.goods import read_goods, shipping_of, taxes_included
from app.platforms.shopify.refunds import read_refund_webhook, refunds_of, unpaid

ORDER_TOPICS = frozenset({"orders/create", "orders/paid", "orders/updated", "orders/cancelled"})
REFUND_TOPIC, DELETION_TOPIC = "refunds/create", "orders/delete"
# Messages that an app gets beside orders.
IGNORED = {
    "app/uninstalled": (
        "app_uninstalled",
        "from now on Shopify sends nothing: archive this source, or connect the shop again",
    ),
}
DEMANDS = {"customers/data_request": "export", "customers/redact": "erase", "shop/redact": "erase"}
"""What Shopify demands of every app about shoppers' data (shopify.dev, Privacy law compliance)."""
TOPICS = frozenset({*ORDER_TOPICS, REFUND_TOPIC, DELETION_TOPIC, *DEMANDS})
DEMANDED_ORDERS_MAX = 10_000
"""Orders of one demand."""
NOTE_ATTRIBUTES_MAX = 100

ORDER_FIELDS = frozenset(
    {
        "cancelled_at", "checkout_token", "confirmation_number", "confirmed", "current_total_price", "discount_codes", "financial_status",
        "fulfillment_status", "landing_site", "note_attributes", "order_number", "order_status_url", "processed_at", "subtotal_price",
        "total_price",
    }
)  # fmt: skip
"""Fields of which an order has at least one; products, customers and carts have none."""
PAID = {
    **dict.fromkeys(("paid", "partially_refunded", "refunded"), True),
    **dict.fromkeys(("pending", "authorized", "partially_paid", "voided", "expired"), False),
}


def identify(headers: Mapping[str, str]) -> tuple[str, str]:
    """Topic and the sender's own id of a delivery, '' where they are missing; from its headers alone."""
    topic = header(headers, "topic")
    sender_id = header(headers, "event-id") or header(headers, "webhook-id")
    # One event id is shared by deliveries of several topics that one action of the merchant caused.
    return topic, f"{topic}:{sender_id}" if sender_id else ""


def parse(body: bytes, headers: Mapping[str, str], context: Context) -> Parsed:
    """Reports from one delivery's raw bytes; `headers` with lower-case names. Never raises: what cannot be read is `rejected` with a reason."""
    topic, external_id = identify(headers)
    if topic in IGNORED:
        reason, detail = IGNORED[topic]
        return Parsed(topic=topic, external_id=external_id, ignored=reason, detail=detail)
    if topic and topic not in TOPICS:
        return Parsed(topic=topic, external_id=external_id, ignored="unknown_topic")
    try:
        if topic in DEMANDS:
            demand = _read_demand(read_object(body, "not_a_demand"), topic, context)
            return Parsed(topic=topic, external_id=external_id, demand=demand)
        found = read_object(body, "not_an_order")
        # A proxy may have lost the topic; a refund names its order.
        is_refund = topic == REFUND_TOPIC or (not topic and "order_id" in found)
        notes: list[str] = []
        triggered_at = moment_of(header(headers, "triggered-at"))
        report: OrderReport | None
        if is_refund:
            report = read_refund_webhook(found, context, notes)
        elif topic == DELETION_TOPIC:
            report = _read_deletion(found, triggered_at, context)
        else:
            report = _read_order(found, topic, triggered_at, context, notes)
    except Unreadable as error:
        return Parsed(topic=topic, external_id=external_id, rejected=error.reason, detail=error.detail)
    if report is None:
        return Parsed(topic=topic, external_id=external_id, ignored="nothing_refunded", notes=tuple(notes))
    return Parsed(topic=topic, external_id=external_id, reports=(report,), notes=tuple(dict.fromkeys(notes)))


# ── A demand about shoppers' data ────────────────────────────────────────────────────────────────────────────────────


def _read_demand(found: Json, topic: str, context: Context) -> PrivacyDemand:
    """By the customer's id and e-mail, each of which may be the one that is known, and by the orders it lists; or the whole shop."""
    if topic == "shop/redact":
        return PrivacyDemand(DEMANDS[topic], DemandedOf(whole_shop=True))
    listed = found.get("orders_requested") if DEMANDS[topic] == "export" else found.get("orders_to_redact")
    orders = listed if isinstance(listed, list) else []
    if len(orders) > DEMANDED_ORDERS_MAX:
        raise Unreadable("too_many", f"it lists more than {DEMANDED_ORDERS_MAX} orders")
    customer_id, email = id_of(nested(found, "customer", "id")), text_of(nested(found, "customer", "email"))
    keys = (
        context.customer_key(customer_id, None) if customer_id else None,
        context.customer_key(None, email) if email else None,
    )
    of = DemandedOf(distinct(keys), distinct(map(id_of, orders)))
    if not of.customer_keys and not of.order_ids:
        raise Unreadable("not_a_demand", "it names neither a customer nor orders")
    return PrivacyDemand(DEMANDS[topic], of)


# ── An order ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_order(
    order: Json, topic: str, triggered_at: datetime | None, context: Context, notes: list[str]
) -> OrderReport:
    order_id = id_of(order.get("id"))
    if not order_id or not ORDER_FIELDS & order.keys():
        raise Unreadable("not_an_order", "it has no id, or no field of an order")
    amounts = ShopifyAmountReader(currency_of(order, "total_price", "subtotal_price", "current_total_price"))
    updated_at = moment_of(order.get("updated_at"))
    attributes = _attributes(order)
    note_unfilled(attributes, context, notes)
    emails = (nested(order, "customer", "email"), order.get("email"), order.get("contact_email"))
    included = taxes_included(order, context)
    goods = read_goods(order, amounts, included, notes)
    tax, shipping = amounts.amount(order, "total_tax"), shipping_of(order, amounts, included)
    _note_presentment(order, notes)
    return OrderReport(
        shop=context.shop,
        kind="sale",
        refs=_refs(order, order_id),
        order_id=order_id,
        occurred_at=moment_of(order.get("processed_at")) or moment_of(order.get("created_at")),
        version=version_at(updated_at or triggered_at),
        currency=amounts.currency,
        items_minor=goods.items_minor,
        discount_minor=goods.discount_minor,
        tax_minor=tax,
        shipping_minor=shipping,
        net_minor=goods.net_minor,
        estimated=goods.estimated,
        paid=True if topic == "orders/paid" else PAID.get(str(order.get("financial_status"))),
        codes=_codes(order),
        click_ids=click_ids_in(attributes, [order.get("landing_site")], context),
        visitor_id=visitor_in(attributes),
        # New or returning is not read: `orders_count` is missing from current payloads, and the first order is recorded anyway.
        customer=customer_of(context, id_of(nested(order, "customer", "id")), *emails),
        lines=goods.lines,
        refunds=tuple(refunds_of(order, topic, amounts, goods, included, updated_at or triggered_at, notes)),
        test=order.get("test") is True,
        system="shopify",
        proofs=distinct((text_of(order.get("checkout_token")),)),
        lists_codes=isinstance(order.get("discount_codes"), list),
    )


def _read_deletion(found: Json, triggered_at: datetime | None, context: Context) -> OrderReport:
    """An order that was deleted: the message holds nothing but its id."""
    order_id = id_of(found.get("id"))
    if not order_id:
        raise Unreadable("not_an_order", "a deletion without the id of the order")
    refund = unpaid(triggered_at or context.received_at)
    return OrderReport(shop=context.shop, kind="sale", refs=(order_id,), refunds=(refund,), system="shopify", stub=True)


def _refs(order: Json, order_id: str) -> tuple[str, ...]:
    name = text_of(order.get("name"))
    number = id_of(order.get("order_number"))
    name = order_ref(name) if name else None
    if number and name and "".join(filter(str.isdigit, name)) != number:
        # An imported order keeps its old name and gets a number of its own: the name "1005" beside number 1002 says that numbers here are
        # names of other orders.
        number = None
    return distinct((order_id, name, number, text_of(order.get("checkout_token"))))


# ── Who and how ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _codes(order: Json) -> tuple[str, ...]:
    """Every code the shopper typed, also one that gave 0.00 off."""
    used = [item.get("code") for item in objects(order.get("discount_codes"), LINES_MAX, "discount_codes")]
    applied = objects(order.get("discount_applications"), LINES_MAX, "discount_applications")
    used += [item.get("code") for item in applied if item.get("type") == "discount_code"]
    return distinct(map(text_of, used))


def _attributes(order: Json) -> list[tuple[object, object]]:
    attributes = objects(order.get("note_attributes"), LINES_MAX, "note_attributes")[:NOTE_ATTRIBUTES_MAX]
    return [(attribute.get("name"), attribute.get("value")) for attribute in attributes]


def _note_presentment(order: Json, notes: list[str]) -> None:
    shown = order.get("presentment_currency")
    if isinstance(shown, str) and shown != order.get("currency"):
        amount = nested(order, "total_price_set", "presentment_money", "amount")
        notes.append(f"presentment {text_of(shown)} {text_of(amount) or ''}".strip())
