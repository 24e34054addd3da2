"""Shopify's messages of an order that never was: orders/paid and refunds/create, marked as test orders are (`test: true`)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime

from app.domain import money
from app.platforms.kit.trial import TrialMessages, TrialOrder, TrialRequest

ORDER_ID_FIRST = 9_000_000_000_000_000
"""Shopify counts its orders through all shops and has come to 7 × 10^12: none of them is ever called like one of ours."""


def trial_messages(plan: TrialOrder, secret: str, settings: Mapping[str, object]) -> TrialMessages:
    """An order of one line with its code and click, paid, and a refund of part of that line. No tax and no shipping, so net is what was paid."""
    del settings
    order_id = ORDER_ID_FIRST + plan.number
    order = {
        "id": order_id,
        "name": f"#T{plan.number}",
        "checkout_token": checkout_token(plan.number),
        "test": plan.test,
        "created_at": _time(plan.ordered_at),
        "processed_at": _time(plan.ordered_at),
        "updated_at": _time(plan.ordered_at),
        "cancelled_at": None,
        "currency": plan.currency,
        "presentment_currency": plan.currency,
        "financial_status": "paid",
        "taxes_included": False,
        "total_tax": _amount(0, plan),
        "subtotal_price": _amount(plan.net_minor, plan),
        "total_price": _amount(plan.net_minor, plan),
        "discount_codes": []
        if plan.code is None
        else [{"code": plan.code, "amount": _amount(0, plan), "type": "percentage"}],
        "note_attributes": [] if plan.click_id is None else [{"name": "ariane", "value": plan.click_id}],
        "line_items": [_line(plan)],
        "customer": None if plan.customer_email is None else {"email": plan.customer_email},
        "refunds": [],
    }
    refund = {
        "id": order_id,
        "order_id": order_id,
        "created_at": _time(plan.refunded_at),
        "processed_at": _time(plan.refunded_at),
        "order_adjustments": [],
        "refund_line_items": [
            {
                "line_item_id": order_id,
                "quantity": 1,
                "subtotal_set": _set(plan.refund_minor, plan),
                "total_tax_set": _set(0, plan),
                "line_item": _line(plan),
            }
        ],
        "transactions": [
            {
                "kind": "refund",
                "status": "success",
                "amount": _amount(plan.refund_minor, plan),
                "currency": plan.currency,
                "test": plan.test,
            }
        ],
    }
    return TrialMessages(
        order_id=str(order_id),
        order=(_sent("orders/paid", order, plan.ordered_at, plan, secret),),
        refund=(_sent("refunds/create", refund, plan.refunded_at, plan, secret),),
    )


def checkout_token(number: int) -> str:
    """What the thank-you page of the rehearsed order would know it by."""
    return hashlib.sha256(f"checkout {number}".encode()).hexdigest()[:32]


def _sent(topic: str, resource: Mapping[str, object], at: datetime, plan: TrialOrder, secret: str) -> TrialRequest:
    body = json.dumps(resource, separators=(",", ":")).encode()
    digest = hmac.digest(secret.encode(), body, "sha256")
    event_id = f"rehearsal-{plan.number}-{topic.replace('/', '-')}"
    return TrialRequest(
        body=body,
        headers={
            "Content-Type": "application/json",
            "X-Shopify-Topic": topic,
            "X-Shopify-Hmac-Sha256": base64.b64encode(digest).decode(),
            "X-Shopify-Shop-Domain": "rehearsal.myshopify.com",
            "X-Shopify-API-Version": "2026-07",
            "X-Shopify-Webhook-Id": event_id,
            "X-Shopify-Event-Id": event_id,
            "X-Shopify-Triggered-At": _time(at),
        },
    )


def _line(plan: TrialOrder) -> dict[str, object]:
    return {
        "id": ORDER_ID_FIRST + plan.number,
        "title": "Rehearsal",
        "quantity": 1,
        "price": _amount(plan.net_minor, plan),
        "price_set": _set(plan.net_minor, plan),
        "discount_allocations": [],
        "tax_lines": [],
    }


def _set(minor: int, plan: TrialOrder) -> dict[str, object]:
    shown = {"amount": _amount(minor, plan), "currency_code": plan.currency}
    return {"shop_money": shown, "presentment_money": shown}


def _amount(minor: int, plan: TrialOrder) -> str:
    return f"{money.to_decimal(minor, plan.currency):f}"


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
