"""WooCommerce: the order of its REST documentation with our cart in it. Codes in lower case, times in GMT without a Z, refunds negative with VAT.

A shop whose webhooks are of several versions of the API: one order in three is told by v1 first, one by v2, and their updates by v3.
Every second shop has a plugin that puts the whole refund into the order, with lines and a date. Elsewhere a refund is only an amount: it counts on
the day of its receipt, and for goods first.
"""

import base64
import hashlib
import html
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from demo.simulator.carts import Cart, cumulative_shares, decimal
from demo.simulator.messages import Json, Message, document, hmac_sha256, post
from demo.simulator.orders import Evidence, ExpectedRefund, Order, Shop, Simulation


def sign(message: Message, secret: str, at: datetime) -> Message:
    """X-WC-Webhook-Signature over the raw body, under the secret as the shop's page shows it."""
    del at
    digest = hmac_sha256(html.unescape(secret), message.body)
    return message.with_headers({"X-WC-Webhook-Signature": base64.b64encode(digest).decode()})


def simulate(order: Order, evidence: Evidence) -> Simulation:
    """order.created, and order.updated for whatever changes: each is the whole order as it then is."""
    cart = order.cart

    updated = order.updated and order.outcome != "trashed"

    def changed(event: str, minute: int, status: str, refunds: Sequence[Json] = ()) -> Message:
        body = order_body(
            cart,
            created_at=order.at,
            modified_at=order.at + timedelta(minutes=minute),
            status=status,
            code=evidence.code,
            click_id=evidence.click_id,
            refunds=refunds,
            test=order.test,
        )
        # Only v3 brings the click, and only what is updated is told by it.
        version = 3 if event != "created" or not updated else 1 + cart.number % 3
        return message(event, in_version(body, version))

    # A deletion is dated by its receipt: the update of an order that was placed just now would be dated after it, and undo it.
    created = changed("created", 0, "on-hold" if updated else "processing")
    messages: list[tuple[Message, ...]] = [(created,)]
    if updated:
        messages.append((changed("updated", 1, "processing"),))
    expected: tuple[ExpectedRefund, ...] = ()
    all_on_receipt = (ExpectedRefund(cart.net_minor(), None),)
    match order.outcome:
        case "line_returned" | "lines_returned":
            refunds = [_refund(order, index) for index in order.returned_lines]
            # The list comes newest first, and each message has one refund more.
            messages += [(changed("updated", 2 + n, "processing", refunds[n::-1]),) for n in range(len(refunds))]
            expected = _returned(order)
        case "all_returned":
            refund = {"id": 800_000 + cart.number * 10, "reason": "", "total": f"-{decimal(cart.totals()['total'])}"}
            messages.append((changed("updated", 2, "refunded", [refund]),))
            expected = all_on_receipt
        case "cancelled":
            messages.append((changed("updated", 2, "cancelled"),))
            expected = all_on_receipt
        case "restored":
            messages += [(changed("updated", 2, "cancelled"),), (changed("updated", 3, "processing"),)]
        case "trashed":
            messages.append((deleted(_id(cart)),))
            expected = all_on_receipt
        case "untrashed":
            # A deletion carries no time: only these two must arrive in their order.
            messages.append((deleted(_id(cart)), changed("restored", 4, "processing")))
    return Simulation(str(_id(cart)), tuple(messages), expected)


def sale(cart: Cart, at: datetime, code: str) -> Message:
    """order.created of a paid order."""
    return message("created", order_body(cart, created_at=at, modified_at=at, code=code))


def deleted(order_id: int, delivery_id: str | None = None) -> Message:
    """order.deleted, which carries nothing but the id."""
    return message("deleted", {"id": order_id}, delivery_id)


def order_body(
    cart: Cart,
    *,
    created_at: datetime,
    modified_at: datetime,
    status: str = "processing",
    code: str | None = None,
    click_id: str | None = None,
    refunds: Sequence[Json] = (),
    test: bool = False,
) -> Json:
    """The order as WooCommerce sends it whenever it changes."""
    found = document("woocommerce_order_v3.json")
    totals, number = cart.totals(), str(_id(cart))
    coupon = {"id": 9, "code": (code or "").lower(), "discount": decimal(sum(map(cart.net_off_minor, cart.lines)))}
    return found | {
        "id": _id(cart),
        "number": number,
        "status": status,
        "order_key": f"wc_order_{hashlib.sha256(number.encode()).hexdigest()[:13]}",
        "created_via": "checkout",
        "version": "10.0.0",
        "currency": cart.currency,
        "date_created_gmt": gmt(created_at),
        "date_modified_gmt": gmt(modified_at),
        "date_paid_gmt": gmt(created_at),
        "prices_include_tax": cart.vat_included,
        "discount_total": coupon["discount"],
        "shipping_total": decimal(cart.shipping_minor),
        "cart_tax": decimal(totals["tax"]),
        "total_tax": decimal(totals["tax"]),
        "total": decimal(totals["total"]),
        "billing": found["billing"] | {"email": f"customer{cart.number}@example.com"},
        "meta_data": [*found["meta_data"], *_meta(cart, click_id, test)],
        "line_items": [_line(cart, index, found["line_items"][0]) for index in cart.lines],
        "shipping_lines": [found["shipping_lines"][0] | {"total": decimal(cart.shipping_minor)}],
        "coupon_lines": [] if code is None else [coupon],
        "refunds": list(refunds),
    }


def message(event: str, body: Json, delivery_id: str | None = None) -> Message:
    """The webhook order.<event>, unsigned."""
    headers = {
        "User-Agent": "WooCommerce/10.0.0 Hookshot (WordPress/6.8)",
        "X-WC-Webhook-Source": "https://boutique.example/",
        "X-WC-Webhook-Topic": f"order.{event}",
        "X-WC-Webhook-Resource": "order",
        "X-WC-Webhook-Event": event,
        "X-WC-Webhook-ID": "42",
        "X-WC-Webhook-Delivery-ID": delivery_id or hashlib.sha256(repr(body).encode()).hexdigest()[:32],
    }
    return post(body, headers)


def in_version(body: Json, version: int) -> Json:
    """The order as version 1 or 2 of the REST API shows it: v1 has no meta data, and of its times only those in UTC under their plain names."""
    self_link = {"href": f"https://boutique.example/wp-json/wc/v{version}/orders/{body['id']}"}
    shown = body | {"_links": body.get("_links", {}) | {"self": [self_link]}}
    if version == 1:
        shown |= {name: body[f"{name}_gmt"] for name in ("date_created", "date_modified")}
        shown["line_items"] = [
            {name: value for name, value in line.items() if name != "meta_data"} | {"meta": []}
            for line in body["line_items"]
        ]
        shown["refunds"] = [
            {"id": each["id"], "refund": each.get("reason", ""), "total": each["total"]} for each in body["refunds"]
        ]
        shown = {name: value for name, value in shown.items() if name != "meta_data" and not name.endswith("_gmt")}
    return shown


def gmt(moment: datetime) -> str:
    """A time as WooCommerce writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _id(cart: Cart) -> int:
    return 70_000 + cart.number


def _lists_refunds_whole(cart: Cart) -> bool:
    return cart.number % 2 == 0


def _returned(order: Order) -> tuple[ExpectedRefund, ...]:
    cart = order.cart
    if _lists_refunds_whole(cart):
        return order.line_refunds()
    net, goods = cart.net_minor(), sum(cart.charged_minor(index) for index in cart.lines)
    parts = cumulative_shares([cart.charged_minor(index) for index in order.returned_lines], net, goods)
    return tuple(ExpectedRefund(part, None) for part in parts)


def _refund(order: Order, index: int) -> Json:
    cart = order.cart
    refund: Json = {
        "id": 800_000 + cart.number * 10 + index,
        "reason": "",
        "total": f"-{decimal(cart.charged_minor(index))}",
    }
    if _lists_refunds_whole(cart):
        refund["date_created_gmt"] = gmt(order.returned_at[index])
        refund["line_items"] = [{"id": index + 1, "quantity": -1, "total": f"-{decimal(cart.net_minor(index))}"}]
    return refund


def _meta(cart: Cart, click_id: str | None, test: bool) -> list[Json]:
    """The click where our snippet puts it, or in the landing page that WooCommerce stores by itself; and whether it is a test."""
    found: list[Json] = []
    if click_id is not None and cart.number % 2:
        found.append({"id": 2, "key": "_ariane", "value": click_id})
    elif click_id is not None:
        landing = f"https://shop.example/products/launch?utm_source=instagram&ariane={click_id}"
        found.append({"id": 2, "key": "_wc_order_attribution_session_entry", "value": landing})
    return [*found, {"id": 3, "key": "_ariane_test", "value": "1"}] if test else found


def _line(cart: Cart, index: int, found: Json) -> Json:
    item, net = cart.items[index], cart.net_minor(index)
    return found | {
        "id": index + 1,
        "name": item.title,
        "sku": item.sku,
        "quantity": item.quantity,
        "subtotal": decimal(net + cart.net_off_minor(index)),
        "total": decimal(net),
        "total_tax": decimal(cart.vat_minor(index)),
        "taxes": [],
    }


SHOP = Shop(
    name="boutique",
    platform="woocommerce",
    secret="launch &lt;day&gt; &amp; boutique",  # noqa: S106 a secret of the demo's own brand, as WordPress shows it
    outcomes=("line_returned", "lines_returned", "all_returned", "cancelled", "restored", "trashed", "untrashed"),
    simulate=simulate,
    sign=sign,
    unreadable=message("created", {"id": 1, "currency": "EUR", "line_items": [{"id": 1, "total": "twelve"}]}),
    ping=Message(b"webhook_id=42", {"Content-Type": "application/x-www-form-urlencoded"}),
)
