"""WooCommerce's order webhooks, as reports.

The body is the order of its REST API (api_versions.py), or `{"id": N}` alone for a deletion. It is built when it
is sent, so a message of an earlier event may already hold a later state, and one state may come several times: the order's own
`date_modified_gmt` is what puts messages in order, and the sender's delivery id, which messages of one second share, is not trusted for more
than telling repetitions apart.

**Names of one order**: its id; its `order_key`, which is in the address of the thank-you page; its `number` where that cannot be an id. Shops
with a plugin for numbering call order 5031 « 5020 », while another order has the id 5020: numbers of digits alone would join the two for ever.
"""

from collections.abc import Mapping

from app.domain.money import exponent
from app.domain.orders import LINES_MAX, Context, Customer, OrderReport, Parsed, RefundReport, order_ref, version_at
from app.domain.strict_json import Unreadable
from app.platforms.kit.vendor_json import (
    Json,
    click_ids_in,
    currency_in,
    customer_of,
    distinct,
    named,
    nested,
    note_unfilled,
    objects,
    read_object,
    text_of,
    visitor_in,
)
from app.platforms.woocommerce.api_versions import as_v3, is_legacy
from app.platforms.woocommerce.fields import amount_of, gmt_of, meta_of, minor_of, origin_of, unescape
from app.platforms.woocommerce.goods import read_goods
from app.platforms.woocommerce.refunds import cancellation, refund_ids_of, refunds_of

CREATED, UPDATED, DELETED, RESTORED = "order.created", "order.updated", "order.deleted", "order.restored"
TOPICS = frozenset({CREATED, UPDATED, DELETED, RESTORED})
TEST_NAMES = frozenset({"ariane_test"})
"""WooCommerce has no test orders; a trial of the connection marks its own in `meta_data`."""
LANDING_KEY = "_wc_order_attribution_session_entry"
"""Where WooCommerce's own order attribution keeps the page on which the shopper's visit began."""

ORDER_FIELDS = frozenset({"order_key", "line_items", "coupon_lines", "shipping_lines", "payment_method", "cart_tax"})
"""Fields of which an order has at least one; products, coupons and customers have none."""
DRAFTS = frozenset({"checkout-draft", "auto-draft", "draft", "new"})
"""Statuses of an order that is not placed yet: the block checkout makes one as soon as it is opened."""
PAID = {
    **dict.fromkeys(("pending", "failed", "on-hold"), False),
    **dict.fromkeys(("processing", "completed", "refunded"), True),
}
LIFE = ("pending", "failed", "on-hold", "processing", "completed", "cancelled", "refunded", "trash")
"""Statuses in the order in which they follow each other within one second, the resolution of `date_modified_gmt`."""
OTHER_STATUS = LIFE.index("completed")
TRASH = "trash"


def identify(headers: Mapping[str, str]) -> tuple[str, str]:
    """Topic and the sender's own id of a delivery, '' where they are missing; from its headers alone."""
    return _header(headers, "topic"), _header(headers, "delivery-id")


def parse(body: bytes, headers: Mapping[str, str], context: Context) -> Parsed:
    """Reports from one delivery's raw bytes; `headers` with lower-case names. Never raises: what cannot be read is `rejected` with a reason."""
    topic, external_id = identify(headers)
    if topic and topic not in TOPICS:
        return Parsed(topic=topic, external_id=external_id, ignored="unknown_topic")
    notes: list[str] = []
    try:
        found = read_object(body, "not_an_order")
        if topic != DELETED and _status(found) in DRAFTS:
            return Parsed(topic=topic, external_id=external_id, ignored="checkout_draft")
        report = _read_deletion(found, context) if topic == DELETED else _read_order(found, topic, context, notes)
    except Unreadable as error:
        return Parsed(topic=topic, external_id=external_id, rejected=error.reason, detail=error.detail)
    return Parsed(topic=topic, external_id=external_id, reports=(report,), notes=tuple(dict.fromkeys(notes)))


def _read_order(order: Json, topic: str, context: Context, notes: list[str]) -> OrderReport:
    order_id = text_of(order.get("id"))
    if not order_id or not ORDER_FIELDS & order.keys():
        raise _no_order(order)
    order = as_v3(order, notes)
    status = _status(order)
    version = _version(order, status)
    currency = currency_in(order.get("currency"), declared=context.currencies)
    decimals = None if currency is None else exponent(currency, context.currencies)
    meta = meta_of(order)
    note_unfilled(meta, context, notes)
    goods = read_goods(order, decimals, notes)
    refunds = refunds_of(order, currency, decimals, goods, version, notes)
    refunds += cancellation(status, version, is_new=topic == CREATED)
    if topic != CREATED and status != TRASH:
        refunds += _existence(order, topic, context)
    return OrderReport(
        shop=context.shop,
        kind="sale",
        refs=_refs(order, order_id),
        order_id=order_id,
        occurred_at=gmt_of(order, "date_created"),
        version=version,
        currency=currency,
        items_minor=goods.items_minor,
        discount_minor=goods.discount_minor,
        tax_minor=_total(order, "total_tax", decimals),
        shipping_minor=_total(order, "shipping_total", decimals),
        net_minor=goods.net_minor,
        estimated=goods.estimated,
        paid=_paid(order, status),
        codes=_codes(order),
        click_ids=click_ids_in(meta, [value for key, value in meta if key == LANDING_KEY], context),
        visitor_id=visitor_in(meta),
        customer=_customer(order, context),
        lines=goods.lines,
        refunds=tuple(refunds),
        refund_ids=refund_ids_of(order),
        system="woocommerce",
        proofs=distinct((text_of(order.get("order_key")),)),
        lists_codes=isinstance(order.get("coupon_lines"), list),
        origin=origin_of(order, meta),
        test=next(named(meta, TEST_NAMES), "").casefold() in {"1", "yes", "true"},
    )


def _read_deletion(found: Json, context: Context) -> OrderReport:
    """An order moved to the trash: the message holds nothing but its id, so all of it is cancelled until it is restored."""
    order_id = text_of(found.get("id"))
    if not order_id:
        raise Unreadable("not_an_order", "a deletion without the id of the order")
    refund = RefundReport("deleted", kind="cancellation", full=True, version=version_at(context.received_at))
    return OrderReport(
        shop=context.shop, kind="sale", refs=(order_id,), refunds=(refund,), system="woocommerce", stub=True
    )


def _existence(order: Json, topic: str, context: Context) -> list[RefundReport]:
    """Takes back a deletion that is older than this message about an order outside the trash. A deletion holds no time: it dates from its receipt.

    A restoration proves that there was a deletion, which may still be under way (`RefundReport.reverses`). Any other change is newer than what
    was received before the change **and** before its message: so the shop's clock, which may be minutes off, never outweighs a later deletion,
    and an order whose restoration was lost is alive again. WooCommerce sends nothing twice, and no change of an order that is in the trash.
    """
    modified = gmt_of(order, "date_modified")
    received = version_at(context.received_at)
    restored = topic == RESTORED
    if not restored and modified is None:
        return []
    version = received if restored else min(version_at(modified), received)
    proof = "deleted" if restored else None
    return [RefundReport("deleted", kind="cancellation", amount_minor=0, version=version, reverses=proof)]


def _status(order: Json) -> str:
    """The status, without the prefix that it has in the shop's database."""
    return (text_of(order.get("status")) or "").removeprefix("wc-")


def _version(order: Json, status: str) -> int:
    """`date_modified_gmt`, which has whole seconds, and within one of them the place of the status in an order's life."""
    modified = version_at(gmt_of(order, "date_modified"))
    return modified + (LIFE.index(status) if status in LIFE else OTHER_STATUS) if modified else 0


def _refs(order: Json, order_id: str) -> tuple[str, ...]:
    number = text_of(order.get("number"))
    number = order_ref(number) if number else None
    if number is not None and number.isdecimal():
        number = None
    return distinct((order_id, number, text_of(order.get("order_key"))))


def _paid(order: Json, status: str) -> bool | None:
    """Whether it is paid, by the status; by the date of payment where the status leaves it open (cancelled, trash, a plugin's own)."""
    if status in PAID:
        return PAID[status]
    if gmt_of(order, "date_paid") is not None:
        return True
    return False if status in LIFE and "date_paid_gmt" in order else None


def _total(order: Json, name: str, decimals: int | None) -> int | None:
    amount = amount_of(order, name)
    return None if amount is None or decimals is None else minor_of(amount, decimals, name)


def _codes(order: Json) -> tuple[str, ...]:
    """Every coupon, in the shop's lower case, also one without effect. WordPress stores `lea&co` as `lea&amp;co`."""
    coupons = objects(order.get("coupon_lines"), LINES_MAX, "coupon_lines")
    return distinct(text_of(unescape(text_of(item.get("code")) or "")) for item in coupons)


def _customer(order: Json, context: Context) -> Customer:
    """The customer's key. The customer_id of every guest is 0."""
    customer_id = text_of(order.get("customer_id"))
    return customer_of(context, None if customer_id == "0" else customer_id, nested(order.get("billing"), "email"))


def _no_order(found: Json) -> Unreadable:
    """Why this is no order. WooCommerce posts its own API's error where the webhook's user may not see the order, or the order has gone."""
    if is_legacy(found):
        return Unreadable(
            "legacy_api", "the webhook's API version is Legacy API v3: set it to WP REST API Integration v3"
        )
    message = text_of(found.get("message"))
    if message and text_of(found.get("code")):
        said = f"instead of the order WooCommerce sent an error of its own: {message[:100]}"
        return Unreadable("not_an_order", said)
    return Unreadable("not_an_order", "it has no id, or no field of an order")


def _header(headers: Mapping[str, str], name: str) -> str:
    return text_of(headers.get(f"x-wc-webhook-{name}")) or ""
