"""Shopify: webhooks over the bodies of its own documentation."""

import base64
import hashlib
from datetime import datetime, timedelta
from typing import Any

from demo.simulator.carts import Cart, decimal
from demo.simulator.messages import Json, Message, document, hmac_sha256, post
from demo.simulator.orders import Evidence, ExpectedRefund, Order, Shop, Simulation, in_any_order


def sign(message: Message, secret: str, at: datetime) -> Message:
    """X-Shopify-Hmac-Sha256 over the raw body."""
    del at
    return message.with_headers({"X-Shopify-Hmac-Sha256": base64.b64encode(hmac_sha256(secret, message.body)).decode()})


def simulate(order: Order, evidence: Evidence) -> Simulation:
    """orders/create, perhaps an update, and what became of the order. The click is among the order's note attributes."""
    cart = order.cart

    def changed(topic: str, version: int, **fields: Any) -> Message:
        body = order_body(
            cart,
            created_at=order.at,
            updated_at=order.at + timedelta(seconds=version),
            status="paid" if version else "pending",
            code=evidence.code,
            click_id=evidence.click_id,
            test=order.test,
            **fields,
        )
        return message(topic, body, f"{cart.number}-{topic}-{version}")

    messages = [changed("orders/create", 0)]
    if order.updated:
        messages.append(changed("orders/updated", 1))
    refunds: list[ExpectedRefund] = []
    if order.outcome == "cancelled":
        messages.append(changed("orders/cancelled", 5, cancelled_at=order.returned_at[0]))
        refunds.append(ExpectedRefund(cart.net_minor(), order.returned_at[0]))
    elif order.outcome in ("line_returned", "lines_returned"):
        for index in order.returned_lines:
            refund_id, at = 900_000 + cart.number * 10 + index, order.returned_at[index]
            messages.append(message("refunds/create", refund_body(cart, refund_id, index, at), f"{refund_id}"))
            refunds.append(ExpectedRefund(cart.net_minor(index), at))
    return Simulation(f"#{cart.number}", in_any_order(*messages), tuple(refunds))


def sale(cart: Cart, at: datetime, code: str) -> Message:
    """orders/create of a paid order."""
    body = order_body(cart, created_at=at, updated_at=at, status="paid", code=code)
    return message("orders/create", body, f"{cart.number}-orders/create")


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
) -> Json:
    """The body of orders/create, orders/paid, orders/updated or orders/cancelled for this cart."""
    order = document("shopify_order_rest_2024-04.json")
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
        tax_lines=[_tax_line(totals["tax"], cart)],
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


def refund_body(cart: Cart, refund_id: int, index: int, at: datetime) -> Json:
    """The body of refunds/create that refunds one whole line with its VAT, without shipping."""
    refund = document("shopify_refund_rest_2024-04.json")
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
                "amount": decimal(returned),
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
    """The token by which a thank-you page and its webhook are recognised as one order."""
    return hashlib.md5(f"checkout {cart.number}".encode(), usedforsecurity=False).hexdigest()


def message(topic: str, body: Json, event_id: str) -> Message:
    """A webhook of this topic, unsigned."""
    headers = {
        "X-Shopify-Topic": topic,
        "X-Shopify-Shop-Domain": "launch-day.myshopify.com",
        "X-Shopify-API-Version": "2026-07",
        "X-Shopify-Webhook-Id": event_id,
        "X-Shopify-Event-Id": event_id,
    }
    return post(body, headers)


def _price(order: Json, cart: Cart) -> None:
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
        order[name] = decimal(minor)
        order[f"{name}_set"] = _set(minor, cart.currency)
    order["total_shipping_price_set"] = _set(cart.shipping_minor, cart.currency)


def _redeem(order: Json, cart: Cart, code: str) -> None:
    order["discount_codes"] = [{"code": code, "amount": decimal(cart.totals()["discount"]), "type": "percentage"}]
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


def _line(cart: Cart, index: int) -> Json:
    item = cart.items[index]
    line: Json = document("shopify_order_rest_2024-04.json")["line_items"][0]
    whole = item.price_minor * item.quantity
    off = whole - cart.paid_minor(index)
    line.update(
        id=cart.number * 100 + index,
        title=item.title,
        name=item.title,
        sku=item.sku,
        price=decimal(item.price_minor),
        price_set=_set(item.price_minor, cart.currency),
        quantity=item.quantity,
        current_quantity=item.quantity,
        properties=[],
        tax_lines=[_tax_line(cart.vat_minor(index), cart)],
        discount_allocations=[
            {"amount": decimal(off), "amount_set": _set(off, cart.currency), "discount_application_index": 0}
        ]
        if off
        else [],
    )
    return line


def _shipping_line(cart: Cart) -> Json:
    line: Json = document("shopify_order_rest_2024-04.json")["shipping_lines"][0]
    amount = {"price": decimal(cart.shipping_minor), "price_set": _set(cart.shipping_minor, cart.currency)}
    line.update(amount, discounted_price=amount["price"], discounted_price_set=amount["price_set"], tax_lines=[])
    return line


def _tax_line(minor: int, cart: Cart) -> Json:
    return {
        "title": "VAT",
        "rate": cart.vat_percent / 100,
        "price": decimal(minor),
        "price_set": _set(minor, cart.currency),
    }


def _set(minor: int, currency: str) -> Json:
    money = {"amount": decimal(minor), "currency_code": currency}
    return {"shop_money": money, "presentment_money": dict(money)}


SHOP = Shop(
    name="main",
    platform="shopify",
    secret="launch-day-shopify-secret",  # noqa: S106 a secret of the demo's own brand
    outcomes=("line_returned", "lines_returned", "cancelled"),
    simulate=simulate,
    sign=sign,
    unreadable=message("orders/create", {"id": 1, "name": "#1", "currency": "EUR", "line_items": "none"}, "unreadable"),
)
