"""Shopify: webhooks made from its own documented bodies."""

import base64
import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from demo.carts import VAT_PERCENT, Cart, text
from demo.day import Order
from demo.shops.letters import Back, Letter, Names, Shop, Telling, hmac_sha256, letter, sample


def tell(order: Order, names: Names) -> Telling:
    """orders/create, perhaps an update, and what became of it. The click stands among the order's attributes."""
    cart = order.cart

    def said(topic: str, version: int, **fields: Any) -> Letter:
        body = order_body(
            cart,
            created_at=order.at,
            updated_at=order.at + timedelta(seconds=version),
            status="paid" if version else "pending",
            code=names.code,
            click_id=names.click_id,
            test=order.test,
            **fields,
        )
        return _letter(topic, body, f"{cart.number}-{topic}-{version}")

    letters = [said("orders/create", 0)]
    if order.updated:
        letters.append(said("orders/updated", 1))
    back: list[Back] = []
    if order.story == "cancelled":
        letters.append(said("orders/cancelled", 5, cancelled_at=order.returns[0]))
        back.append(Back(cart.net_minor(), order.returns[0]))
    elif order.story in ("line_back", "lines_back"):
        for index in order.lines_back:
            refund_id, at = 900_000 + cart.number * 10 + index, order.returns[index]
            letters.append(_letter("refunds/create", refund_body(cart, refund_id, index, at), f"{refund_id}"))
            back.append(Back(cart.net_minor(index), at))
    return Telling(f"#{cart.number}", tuple((each,) for each in letters), tuple(back))


def sign(unsigned: Letter, secret: str, at: datetime) -> Letter:
    """X-Shopify-Hmac-Sha256 over the raw body."""
    del at
    digest = base64.b64encode(hmac_sha256(secret, unsigned.body)).decode()
    return replace(unsigned, headers={**unsigned.headers, "X-Shopify-Hmac-Sha256": digest})


def order_body(
    cart: Cart,
    *,
    created_at: datetime,
    updated_at: datetime,
    status: str,
    code: str | None = None,
    click_id: str | None = None,
    cancelled_at: datetime | None = None,
    test: bool = False,
) -> dict[str, Any]:
    """The body of orders/create, orders/paid, orders/updated or orders/cancelled for this cart."""
    order = sample("shopify_order_rest_2024-04.json")
    totals = cart.totals()
    order.update(
        id=order_key(cart),
        admin_graphql_api_id=f"gid://shopify/Order/{order_key(cart)}",
        name=f"#{cart.number}",
        number=cart.number - 1000,
        order_number=cart.number,
        checkout_token=checkout_token(cart),
        cart_token=hashlib.md5(f"cart {cart.number}".encode(), usedforsecurity=False).hexdigest(),
        token=hashlib.md5(f"order {cart.number}".encode(), usedforsecurity=False).hexdigest(),
        created_at=created_at.isoformat(timespec="seconds"),
        processed_at=created_at.isoformat(timespec="seconds"),
        updated_at=updated_at.isoformat(timespec="seconds"),
        cancelled_at=None if cancelled_at is None else cancelled_at.isoformat(timespec="seconds"),
        cancel_reason=None if cancelled_at is None else "customer",
        financial_status=status,
        currency=cart.currency,
        presentment_currency=cart.currency,
        taxes_included=cart.vat_included,
        test=test,
        landing_site="/products/launch",
        landing_site_ref=None,
        referring_site="https://l.instagram.com/",
        note_attributes=[] if click_id is None else [{"name": "ariane", "value": click_id}],
        discount_codes=[],
        discount_applications=[],
        refunds=[],
        fulfillments=[],
        tax_lines=[_tax_line(totals["tax"], cart.currency)],
        line_items=[_line(cart, index) for index in range(len(cart.items))],
        shipping_lines=[_shipping_line(cart)],
        customer={"id": 207_000_000 + cart.number, "email": f"customer{cart.number}@example.com"},
        email=f"customer{cart.number}@example.com",
        contact_email=f"customer{cart.number}@example.com",
    )
    _price(order, cart)
    if code is not None:
        _redeem(order, cart, code)
    return order


def refund_body(cart: Cart, refund_id: int, index: int, at: datetime) -> dict[str, Any]:
    """The body of refunds/create that gives one whole line back, with its VAT and without shipping."""
    refund = sample("shopify_refund_rest_2024-04.json")
    paid, vat = cart.paid_minor(index), cart.vat_minor(index)
    returned = paid + (0 if cart.vat_included else vat)
    line = _line(cart, index)
    refund.update(
        id=refund_id,
        admin_graphql_api_id=f"gid://shopify/Refund/{refund_id}",
        order_id=order_key(cart),
        created_at=at.isoformat(timespec="seconds"),
        processed_at=at.isoformat(timespec="seconds"),
        order_adjustments=[],
        refund_line_items=[
            {
                "id": refund_id * 10 + index,
                "quantity": cart.items[index].quantity,
                "line_item_id": line["id"],
                "restock_type": "return",
                "subtotal": paid / 100,
                "total_tax": vat / 100,
                "subtotal_set": _set(paid, cart.currency),
                "total_tax_set": _set(vat, cart.currency),
                "line_item": line,
            }
        ],
        transactions=[
            {
                "id": refund_id * 10 + 9,
                "order_id": order_key(cart),
                "kind": "refund",
                "status": "success",
                "gateway": "bogus",
                "amount": text(returned),
                "currency": cart.currency,
                "test": False,
                "created_at": at.isoformat(timespec="seconds"),
            }
        ],
    )
    return refund


def order_key(cart: Cart) -> int:
    """Shopify's own id of the cart's order."""
    return 5_800_000_000_000 + cart.number


def checkout_token(cart: Cart) -> str:
    """What joins a thank-you page to its webhook."""
    return hashlib.md5(f"checkout {cart.number}".encode(), usedforsecurity=False).hexdigest()


def _letter(topic: str, body: dict[str, Any], event_id: str) -> Letter:
    headers = {
        "X-Shopify-Topic": topic,
        "X-Shopify-Shop-Domain": "launch-day.myshopify.com",
        "X-Shopify-API-Version": "2026-07",
        "X-Shopify-Webhook-Id": event_id,
        "X-Shopify-Event-Id": event_id,
    }
    return letter(body, **headers)


def _price(order: dict[str, Any], cart: Cart) -> None:
    totals = cart.totals()
    for name, minor in (
        ("total_line_items_price", totals["lines"]),
        ("total_discounts", totals["discount"]),
        ("current_total_discounts", totals["discount"]),
        ("subtotal_price", totals["subtotal"]),
        ("current_subtotal_price", totals["subtotal"]),
        ("total_tax", totals["tax"]),
        ("current_total_tax", totals["tax"]),
        ("total_price", totals["total"]),
        ("current_total_price", totals["total"]),
    ):
        order[name] = text(minor)
        order[f"{name}_set"] = _set(minor, cart.currency)
    order["total_shipping_price_set"] = _set(cart.shipping_minor, cart.currency)


def _redeem(order: dict[str, Any], cart: Cart, code: str) -> None:
    order["discount_codes"] = [{"code": code, "amount": text(cart.totals()["discount"]), "type": "percentage"}]
    order["discount_applications"] = [
        {
            "target_type": "line_item",
            "type": "discount_code",
            "value": f"{cart.discount_percent}.0",
            "value_type": "percentage",
            "allocation_method": "across",
            "target_selection": "all",
            "code": code,
        }
    ]


def _line(cart: Cart, index: int) -> dict[str, Any]:
    item = cart.items[index]
    line: dict[str, Any] = sample("shopify_order_rest_2024-04.json")["line_items"][0]
    whole = item.price_minor * item.quantity
    off = whole - cart.paid_minor(index)
    line.update(
        id=cart.number * 100 + index,
        title=item.title,
        name=item.title,
        sku=item.sku,
        price=text(item.price_minor),
        price_set=_set(item.price_minor, cart.currency),
        quantity=item.quantity,
        current_quantity=item.quantity,
        properties=[],
        tax_lines=[_tax_line(cart.vat_minor(index), cart.currency)],
        discount_allocations=[
            {"amount": text(off), "amount_set": _set(off, cart.currency), "discount_application_index": 0}
        ]
        if off
        else [],
    )
    return line


def _shipping_line(cart: Cart) -> dict[str, Any]:
    line: dict[str, Any] = sample("shopify_order_rest_2024-04.json")["shipping_lines"][0]
    amount = {"price": text(cart.shipping_minor), "price_set": _set(cart.shipping_minor, cart.currency)}
    line.update(amount, discounted_price=amount["price"], discounted_price_set=amount["price_set"], tax_lines=[])
    return line


def _tax_line(minor: int, currency: str) -> dict[str, Any]:
    return {"title": "VAT", "rate": VAT_PERCENT / 100, "price": text(minor), "price_set": _set(minor, currency)}


def _set(minor: int, currency: str) -> dict[str, Any]:
    money = {"amount": text(minor), "currency_code": currency}
    return {"shop_money": money, "presentment_money": dict(money)}


SHOP = Shop(
    name="main",
    platform="shopify",
    secret="launch-day-shopify-secret",  # noqa: S106 a secret of the demo's own brand
    stories=("line_back", "lines_back", "cancelled"),
    tell=tell,
    sign=sign,
    unreadable=_letter("orders/create", {"id": 1, "name": "#1", "currency": "EUR", "line_items": "none"}, "unreadable"),
)
