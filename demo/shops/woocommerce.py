"""WooCommerce: the order of its REST documentation, with our cart in it. Codes in lower case, times in GMT without a Z, refunds negative with their VAT.

Every second shop has a plugin that puts the whole refund into the order: there it has lines and a date. Elsewhere it is a sum of money that
came back on the day it was heard of, for goods first.
"""

import base64
import hashlib
import html
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from demo.carts import Cart, steps, text
from demo.day import Order
from demo.shops.letters import Back, Json, Letter, Names, Shop, Telling, hmac_sha256, letter, sample


def tell(order: Order, names: Names) -> Telling:
    """order.created, and order.updated for whatever changes: each is the whole order as it then is."""
    cart = order.cart

    def said(event: str, minute: int, status: str, refunds: list[Json] | None = None) -> Letter:
        body = _body(order, names) | {
            "status": status,
            "date_modified_gmt": _gmt(order.at + timedelta(minutes=minute)),
            "refunds": refunds or [],
        }
        return _letter(event, body)

    created = said("created", 0, "on-hold" if order.updated else "processing")
    letters: list[tuple[Letter, ...]] = [(created,)]
    if order.updated:
        letters.append((said("updated", 1, "processing"),))
    back: tuple[Back, ...] = ()
    heard_whole = (Back(cart.net_minor(), None),)
    match order.story:
        case "line_back" | "lines_back":
            refunds = [_refund(order, index) for index in order.lines_back]
            # The list comes newest first, and grows by one with each.
            letters += [(said("updated", 2 + n, "processing", refunds[n::-1]),) for n in range(len(refunds))]
            back = _returned(order)
        case "all_back":
            refund = {"id": 800_000 + cart.number * 10, "reason": "", "total": f"-{text(cart.totals()['total'])}"}
            letters.append((said("updated", 2, "refunded", [refund]),))
            back = heard_whole
        case "cancelled":
            letters.append((said("updated", 2, "cancelled"),))
            back = heard_whole
        case "restored":
            letters += [(said("updated", 2, "cancelled"),), (said("updated", 3, "processing"),)]
        case "trashed":
            letters.append((_letter("deleted", {"id": _id(cart)}),))
            back = heard_whole
        case "untrashed":
            # A deletion has no time of its own: only these two must come as they happened.
            letters.append((_letter("deleted", {"id": _id(cart)}), said("restored", 4, "processing")))
    return Telling(str(_id(cart)), tuple(letters), back)


def sign(unsigned: Letter, secret: str, at: datetime) -> Letter:
    """X-WC-Webhook-Signature over the raw body, under the secret as the shop's page shows it."""
    del at
    digest = hmac_sha256(html.unescape(secret), unsigned.body)
    return replace(unsigned, headers={**unsigned.headers, "X-WC-Webhook-Signature": base64.b64encode(digest).decode()})


def _id(cart: Cart) -> int:
    return 70_000 + cart.number


def _lists_refunds_whole(cart: Cart) -> bool:
    return cart.number % 2 == 0


def _returned(order: Order) -> tuple[Back, ...]:
    cart = order.cart
    if _lists_refunds_whole(cart):
        return tuple(Back(cart.net_minor(index), order.returns[index]) for index in order.lines_back)
    net, goods = cart.net_minor(), sum(cart.charged_minor(index) for index in cart.lines)
    parts = steps([cart.charged_minor(index) for index in order.lines_back], net, goods)
    return tuple(Back(part, None) for part in parts)


def _refund(order: Order, index: int) -> Json:
    cart = order.cart
    refund: Json = {
        "id": 800_000 + cart.number * 10 + index,
        "reason": "",
        "total": f"-{text(cart.charged_minor(index))}",
    }
    if _lists_refunds_whole(cart):
        refund["date_created_gmt"] = _gmt(order.returns[index])
        refund["line_items"] = [{"id": index + 1, "quantity": -1, "total": f"-{text(cart.net_minor(index))}"}]
    return refund


def _body(order: Order, names: Names) -> Json:
    cart, found = order.cart, sample("woocommerce_order_v3.json")
    totals, number = cart.totals(), str(_id(order.cart))
    lines = [_line(cart, index, found["line_items"][0]) for index in cart.lines]
    shipping = found["shipping_lines"][0] | {"total": text(cart.shipping_minor)}
    coupon = {"id": 9, "code": (names.code or "").lower(), "discount": text(sum(map(cart.net_off_minor, cart.lines)))}
    return found | {
        "id": _id(cart),
        "number": number,
        "order_key": f"wc_order_{hashlib.sha256(number.encode()).hexdigest()[:13]}",
        "created_via": "checkout",
        "version": "10.0.0",
        "currency": cart.currency,
        "date_created_gmt": _gmt(order.at),
        "date_paid_gmt": _gmt(order.at),
        "prices_include_tax": cart.vat_included,
        "discount_total": coupon["discount"],
        "shipping_total": text(cart.shipping_minor),
        "cart_tax": text(totals["tax"]),
        "total_tax": text(totals["tax"]),
        "total": text(totals["total"]),
        "billing": found["billing"] | {"email": f"customer{cart.number}@example.com"},
        "meta_data": [*found["meta_data"], *_meta(cart, names.click_id), *_test(order)],
        "line_items": lines,
        "shipping_lines": [shipping],
        "coupon_lines": [] if names.code is None else [coupon],
    }


def _meta(cart: Cart, click_id: str | None) -> list[Json]:
    """The click where the shop's page has put it, or in the landing page that WooCommerce remembers by itself."""
    if click_id is None:
        return []
    if cart.number % 2:
        return [{"id": 2, "key": "_ariane", "value": click_id}]
    landing = f"https://shop.example/products/launch?utm_source=instagram&ariane={click_id}"
    return [{"id": 2, "key": "_wc_order_attribution_session_entry", "value": landing}]


def _test(order: Order) -> list[Json]:
    return [{"id": 3, "key": "_ariane_test", "value": "1"}] if order.test else []


def _line(cart: Cart, index: int, found: Json) -> Json:
    item, net = cart.items[index], cart.net_minor(index)
    return found | {
        "id": index + 1,
        "name": item.title,
        "sku": item.sku,
        "quantity": item.quantity,
        "subtotal": text(net + cart.net_off_minor(index)),
        "total": text(net),
        "total_tax": text(cart.vat_minor(index)),
        "taxes": [],
    }


def _gmt(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _letter(event: str, body: Json) -> Letter:
    return letter(
        body,
        **{
            "User-Agent": "WooCommerce/10.0.0 Hookshot (WordPress/6.8)",
            "X-WC-Webhook-Source": "https://boutique.example/",
            "X-WC-Webhook-Topic": f"order.{event}",
            "X-WC-Webhook-Resource": "order",
            "X-WC-Webhook-Event": event,
            "X-WC-Webhook-ID": "42",
            "X-WC-Webhook-Delivery-ID": hashlib.sha256(repr(body).encode()).hexdigest()[:32],
        },
    )


SHOP = Shop(
    name="boutique",
    platform="woocommerce",
    secret="launch &lt;day&gt; &amp; boutique",  # noqa: S106 a secret of the demo's own brand, as WordPress shows it
    stories=("line_back", "lines_back", "all_back", "cancelled", "restored", "trashed", "untrashed"),
    tell=tell,
    sign=sign,
    unreadable=_letter("created", {"id": 1, "currency": "EUR", "line_items": [{"id": 1, "total": "twelve"}]}),
    ping=Letter(b"webhook_id=42", {"Content-Type": "application/x-www-form-urlencoded"}),
)
