"""The shop: carts with prices, and the Shopify webhooks about them, made from Shopify's own documented bodies and signed as Shopify signs."""

import base64
import copy
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

VAT_PERCENT = 20


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a cart; the price in minor units, with VAT when the cart's prices include it."""

    sku: str
    title: str
    price_minor: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Cart:
    """What is bought, in a currency of two decimals. The discount falls on all lines; VAT is 20 % of goods, shipping carries none."""

    number: int
    items: tuple[Item, ...]
    currency: str
    discount_percent: int
    vat_included: bool
    shipping_minor: int

    def paid_minor(self, index: int) -> int:
        """What a line costs after discount, with VAT only if the cart's prices include it."""
        item = self.items[index]
        whole = item.price_minor * item.quantity
        return whole - (whole * self.discount_percent + 50) // 100

    def vat_minor(self, index: int) -> int:
        """The VAT of a line, rounded half up by line, as the shop shows it."""
        paid = self.paid_minor(index)
        base = 100 + VAT_PERCENT if self.vat_included else 100
        return (2 * paid * VAT_PERCENT + base) // (2 * base)

    def net_minor(self, index: int | None = None) -> int:
        """After discount, before VAT and shipping: of one line, or of the cart."""
        if index is None:
            return sum(self.net_minor(each) for each in range(len(self.items)))
        return self.paid_minor(index) - (self.vat_minor(index) if self.vat_included else 0)

    def totals(self) -> dict[str, int]:
        """subtotal (after discount), tax, discount, lines, total – in minor units, as the shop adds them up."""
        lines = range(len(self.items))
        subtotal = sum(self.paid_minor(each) for each in lines)
        tax = sum(self.vat_minor(each) for each in lines)
        before = sum(item.price_minor * item.quantity for item in self.items)
        total = subtotal + self.shipping_minor + (0 if self.vat_included else tax)
        return {"lines": before, "discount": before - subtotal, "subtotal": subtotal, "tax": tax, "total": total}


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
    order = copy.deepcopy(_sample("shopify_order.json"))
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
    refund = copy.deepcopy(_sample("shopify_refund.json"))
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
                "amount": _text(returned),
                "currency": cart.currency,
                "test": False,
                "created_at": at.isoformat(timespec="seconds"),
            }
        ],
    )
    return refund


def sign(topic: str, body: dict[str, Any], secret: str, event_id: str) -> tuple[bytes, dict[str, str]]:
    """The raw bytes and headers of a delivery, signed over exactly these bytes."""
    raw = json.dumps(body, separators=(",", ":")).encode()
    digest = hmac.digest(secret.encode(), raw, "sha256")
    headers = {
        "Content-Type": "application/json",
        "X-Shopify-Topic": topic,
        "X-Shopify-Hmac-Sha256": base64.b64encode(digest).decode(),
        "X-Shopify-Shop-Domain": "launch-day.myshopify.com",
        "X-Shopify-API-Version": "2026-07",
        "X-Shopify-Webhook-Id": event_id,
        "X-Shopify-Event-Id": event_id,
    }
    return raw, headers


def order_key(cart: Cart) -> int:
    """Shopify's own id of the cart's order."""
    return 5_800_000_000_000 + cart.number


def checkout_token(cart: Cart) -> str:
    """What joins a thank-you page to its webhook."""
    return hashlib.md5(f"checkout {cart.number}".encode(), usedforsecurity=False).hexdigest()


@cache
def _sample(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(resources.files("app.demo").joinpath(name).read_text())
    return read


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
        order[name] = _text(minor)
        order[f"{name}_set"] = _set(minor, cart.currency)
    order["total_shipping_price_set"] = _set(cart.shipping_minor, cart.currency)


def _redeem(order: dict[str, Any], cart: Cart, code: str) -> None:
    order["discount_codes"] = [{"code": code, "amount": _text(cart.totals()["discount"]), "type": "percentage"}]
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
    line: dict[str, Any] = copy.deepcopy(_sample("shopify_order.json")["line_items"][0])
    whole = item.price_minor * item.quantity
    off = whole - cart.paid_minor(index)
    line.update(
        id=cart.number * 100 + index,
        title=item.title,
        name=item.title,
        sku=item.sku,
        price=_text(item.price_minor),
        price_set=_set(item.price_minor, cart.currency),
        quantity=item.quantity,
        current_quantity=item.quantity,
        properties=[],
        tax_lines=[_tax_line(cart.vat_minor(index), cart.currency)],
        discount_allocations=[
            {"amount": _text(off), "amount_set": _set(off, cart.currency), "discount_application_index": 0}
        ]
        if off
        else [],
    )
    return line


def _shipping_line(cart: Cart) -> dict[str, Any]:
    line: dict[str, Any] = copy.deepcopy(_sample("shopify_order.json")["shipping_lines"][0])
    amount = {"price": _text(cart.shipping_minor), "price_set": _set(cart.shipping_minor, cart.currency)}
    line.update(amount, discounted_price=amount["price"], discounted_price_set=amount["price_set"], tax_lines=[])
    return line


def _tax_line(minor: int, currency: str) -> dict[str, Any]:
    return {"title": "VAT", "rate": VAT_PERCENT / 100, "price": _text(minor), "price_set": _set(minor, currency)}


def _set(minor: int, currency: str) -> dict[str, Any]:
    money = {"amount": _text(minor), "currency_code": currency}
    return {"shop_money": money, "presentment_money": dict(money)}


def _text(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"
