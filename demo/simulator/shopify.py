"""Shopify: webhooks over the bodies of its own documentation."""

import base64
import hashlib
from collections.abc import Iterator, Sequence
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
    """orders/create, perhaps an update, and what became of the order. The click is among the order's note attributes.

    Every second order is refunded in the form of API 2024-10, the others as before; every third one repeats its refunds in an update.
    """
    cart = order.cart

    def changed(topic: str, version: int, status: str = "paid", **fields: Any) -> Message:
        body = order_body(
            cart,
            created_at=order.at,
            updated_at=order.at + timedelta(seconds=version),
            status=status,
            code=evidence.code,
            click_id=evidence.click_id,
            test=order.test,
            **fields,
        )
        return message(topic, body, f"{cart.number}-{topic}-{version}")

    messages = [changed("orders/create", 0, "pending")]
    if order.updated:
        messages.append(changed("orders/updated", 1))
    refunds: list[ExpectedRefund] = []
    if order.outcome == "cancelled":
        messages.append(changed("orders/cancelled", 5, cancelled_at=order.returned_at[0]))
        refunds.append(ExpectedRefund(cart.net_minor(), order.returned_at[0]))
    elif order.outcome in ("voided", "paid_after_all"):
        messages.append(changed("orders/updated", 3, "voided"))
        if order.outcome == "paid_after_all":
            messages.append(changed("orders/paid", 4))
        else:
            refunds.append(ExpectedRefund(cart.net_minor(), None))
    elif order.outcome == "deleted":
        triggered = {"X-Shopify-Triggered-At": (order.at + timedelta(seconds=5)).isoformat()}
        deletion = message("orders/delete", {"id": order_key(cart)}, f"{cart.number}-deleted")
        messages.append(deletion.with_headers(triggered))
        refunds.append(ExpectedRefund(cart.net_minor(), None))
    paid_back = [_in_form(cart, body) for body in _refunds(order, refunds)]
    messages += [message("refunds/create", body, f"{body['id']}") for body in paid_back]
    if paid_back and cart.number % 3 == 0:
        messages.append(changed("orders/updated", 6, "partially_refunded", refunds=paid_back))
    never_paid = order.outcome == "voided" or (order.outcome == "deleted" and not order.updated)
    return Simulation(f"#{cart.number}", in_any_order(*messages), tuple(refunds), never_paid=never_paid)


def _refunds(order: Order, expected: list[ExpectedRefund]) -> Iterator[Json]:
    """The refunds of an order in the form of API 2024-10; adds to `expected` what they take."""
    cart, at = order.cart, order.returned_at[0]
    refund_id = 900_000 + cart.number * 10
    if order.outcome in ("line_returned", "lines_returned"):
        for index in order.returned_lines:
            expected.append(ExpectedRefund(cart.net_minor(index), order.returned_at[index]))
            yield refund_body(cart, refund_id + index, index, order.returned_at[index])
    elif order.outcome == "restocked":
        # A tenth of the line is kept for putting it back on the shelf.
        kept = cart.net_minor(0) // 10
        expected.append(ExpectedRefund(cart.net_minor(0) - kept, at))
        returned = refund_body(cart, refund_id, 0, at)
        back = cart.charged_minor(0) - kept
        yield returned | {
            "order_adjustments": [_adjustment(kept, cart)],
            "transactions": [_paid_back(cart, returned, back)],
        }
    elif order.outcome == "goodwill":
        # An amount for the trouble, of which the shop takes none for tax; and the shipping.
        amount = cart.net_minor() // 10
        expected.append(ExpectedRefund(amount, at))
        yield _amount_refund(cart, refund_id, at, amount, cart.shipping_minor, 0)
    elif order.outcome == "duties_returned":
        yield _amount_refund(cart, refund_id, at, 0, cart.shipping_minor, 1_200)


def _amount_refund(cart: Cart, refund_id: int, at: datetime, amount: int, shipping: int, duties: int) -> Json:
    """A refund without lines: an amount, shipping, duties."""
    refund = refund_body(cart, refund_id, 0, at) | {"refund_line_items": []}
    if shipping:
        line = _shipping_line(cart)
        refund["refund_shipping_lines"] = [
            {"id": refund_id, "shipping_line_id": line["id"], "subtotal_amount_set": _set(shipping, cart.currency)}
        ]
    if duties:
        refund["duties"] = [{"duty_id": 1, "amount_set": _set(duties, cart.currency)}]
        refund["total_duties_set"] = _set(duties, cart.currency)
    return refund | {
        "order_adjustments": [_adjustment(-amount, cart)] if amount else [],
        "transactions": [_paid_back(cart, refund, amount + shipping + duties)],
    }


def _adjustment(minor: int, cart: Cart) -> Json:
    sign = "-" if minor < 0 else ""
    money = {"amount": f"{sign}{decimal(abs(minor))}", "currency_code": cart.currency}
    return {
        "id": 1,
        "amount": money["amount"],
        "tax_amount": "0.00",
        "reason": "damage" if minor < 0 else "restock",
        "amount_set": {"shop_money": money, "presentment_money": dict(money)},
        "tax_amount_set": _set(0, cart.currency),
    }


def _paid_back(cart: Cart, refund: Json, minor: int) -> Json:
    paid: Json = refund["transactions"][0]
    return paid | {"amount": decimal(minor)}


def _in_form(cart: Cart, refund: Json) -> Json:
    """The refund as it is sent since API 2024-10 or, for every second order, as it was before."""
    if cart.number % 2 == 0:
        return refund
    shipping = [
        {
            "kind": "shipping_refund",
            "amount": f"-{each['subtotal_amount_set']['shop_money']['amount']}",
            "tax_amount": "0.00",
        }
        for each in refund["refund_shipping_lines"]
    ]
    adjusted = [each | {"kind": "refund_discrepancy"} for each in refund["order_adjustments"]]
    older = {name: value for name, value in refund.items() if name != "refund_shipping_lines"}
    return older | {"order_adjustments": [*adjusted, *shipping]}


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
    refunds: Sequence[Json] = (),
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
        refunds=list(refunds),
        fulfillments=[],
        tax_lines=[_tax_line(totals["tax"], cart)],
        line_items=[*(_line(cart, index) for index in range(len(cart.items))), *_tip(cart)],
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
        refund_shipping_lines=[],
        total_duties_set=_set(0, cart.currency),
        total_additional_fees_set=_set(0, cart.currency),
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


def _tip(cart: Cart) -> list[Json]:
    """A tip in every fifth order, paid in cash in every tenth."""
    if cart.number % 5:
        return []
    paid_by = (
        {"tip_payment_gateway": None, "tip_payment_method": None}
        if cart.number % 10
        else {"tip_payment_gateway": "shopify_payments", "tip_payment_method": "visa"}
    )
    price = {"price": "7.50", "price_set": _set(750, cart.currency)}
    tip = {"id": cart.number * 100 + 99, "title": "Tip", "name": "Tip", "quantity": 1, "gift_card": False}
    return [tip | price | paid_by | {"discount_allocations": [], "tax_lines": [], "taxable": False}]


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
    outcomes=(
        "line_returned",
        "lines_returned",
        "cancelled",
        "restocked",
        "goodwill",
        "duties_returned",
        "voided",
        "paid_after_all",
        "deleted",
    ),
    simulate=simulate,
    sign=sign,
    unreadable=message("orders/create", {"id": 1, "name": "#1", "currency": "EUR", "line_items": "none"}, "unreadable"),
)
