"""Shopify's messages about a made-up order: orders/paid and refunds/create, marked as Shopify marks test orders (`test: true`)."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime

from app.platforms.kit.trial import TrialMessages, TrialOrder, TrialRequest

ORDER_ID_FIRST = 9_000_000_000_000_000
"""Lowest order id of a trial. Shopify counts its orders through all shops and has come to 7 × 10^12, so that no shop has such an order."""


def trial_messages(trial: TrialOrder, secret: str, settings: Mapping[str, object]) -> TrialMessages:
    """A paid order of one line with its code and click, and a refund of part of that line. No tax and no shipping, so net is what was paid."""
    del settings
    order_id = ORDER_ID_FIRST + trial.number
    ordered_at, refunded_at = _time(trial.ordered_at), _time(trial.refunded_at)
    paid, zero = trial.major(trial.net_minor), trial.major(0)
    line = {
        "id": order_id,
        "title": "Rehearsal",
        "quantity": 1,
        "price": paid,
        "discount_allocations": [],
        "tax_lines": [],
    }
    order = {
        "id": order_id,
        "name": f"#T{trial.number}",
        "checkout_token": hashlib.sha256(f"checkout {trial.number}".encode()).hexdigest()[:32],
        "test": trial.test,
        "created_at": ordered_at,
        "processed_at": ordered_at,
        "updated_at": ordered_at,
        "cancelled_at": None,
        "currency": trial.currency,
        "financial_status": "paid",
        "taxes_included": False,
        "total_tax": zero,
        "subtotal_price": paid,
        "total_price": paid,
        "discount_codes": [{"code": trial.code, "amount": zero, "type": "percentage"}] if trial.code else [],
        "note_attributes": [{"name": "ariane", "value": trial.click_id}] if trial.click_id else [],
        "line_items": [line],
        "customer": {"email": trial.customer_email} if trial.customer_email else None,
        "refunds": [],
    }
    given_back = {"amount": trial.major(trial.refund_minor), "currency_code": trial.currency}
    refunded = {"line_item_id": order_id, "quantity": 1, "subtotal_set": {"shop_money": given_back}, "line_item": line}
    refund = {
        "id": order_id,
        "order_id": order_id,
        "created_at": refunded_at,
        "processed_at": refunded_at,
        "order_adjustments": [],
        "refund_line_items": [refunded],
        "transactions": [{"kind": "refund", "status": "success", "amount": given_back["amount"], "test": trial.test}],
    }
    return TrialMessages(
        order_id=str(order_id),
        order=(_request("orders/paid", order, ordered_at, trial, secret),),
        refund=(_request("refunds/create", refund, refunded_at, trial, secret),),
    )


def _request(topic: str, resource: Mapping[str, object], at: str, trial: TrialOrder, secret: str) -> TrialRequest:
    body = json.dumps(resource, separators=(",", ":")).encode()
    event_id = f"rehearsal-{trial.number}-{topic.replace('/', '-')}"
    return TrialRequest(
        body=body,
        headers={
            "Content-Type": "application/json",
            "X-Shopify-Topic": topic,
            "X-Shopify-Hmac-Sha256": base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode(),
            "X-Shopify-Shop-Domain": "rehearsal.myshopify.com",
            "X-Shopify-API-Version": "2026-07",
            "X-Shopify-Webhook-Id": event_id,
            "X-Shopify-Event-Id": event_id,
            "X-Shopify-Triggered-At": at,
        },
    )


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
