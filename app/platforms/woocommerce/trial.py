"""WooCommerce's messages of an order that never was: order.created, paid at once, and order.updated with a refund in it.

WooCommerce has no test orders: a trial says so in `meta_data`, which the parser reads.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime

from app.domain import money
from app.platforms.kit.trial import TrialMessages, TrialOrder, TrialRequest
from app.platforms.woocommerce.signature import decode_entities

ORDER_ID_FIRST = 5_000_000_000_000
"""WordPress counts its posts from 1; beginning here keeps ours apart from any shop's orders."""


def trial_messages(plan: TrialOrder, secret: str, settings: Mapping[str, object]) -> TrialMessages:
    """An order of one line with its code and click, and a refund of part of it. No tax and no shipping, so net is what was paid."""
    del settings
    order_id = ORDER_ID_FIRST + plan.number
    order = _order(plan, order_id, plan.ordered_at)
    refunded = _order(plan, order_id, plan.refunded_at) | {
        "refunds": [{"id": order_id + 1, "reason": "", "total": _amount(-plan.refund_minor, plan)}]
    }
    return TrialMessages(
        order_id=str(order_id),
        order=(_sent("created", order, plan, secret),),
        refund=(_sent("updated", refunded, plan, secret),),
    )


def _order(plan: TrialOrder, order_id: int, modified_at: datetime) -> dict[str, object]:
    paid = _amount(plan.net_minor, plan)
    meta = {"_ariane": plan.click_id, "_ariane_test": "1" if plan.test else None}
    return {
        "id": order_id,
        "parent_id": 0,
        "number": str(order_id),
        "order_key": f"wc_order_rehearsal{plan.number}",
        "created_via": "checkout",
        "version": "10.0.0",
        "status": "processing",
        "currency": plan.currency,
        "date_created_gmt": _time(plan.ordered_at),
        "date_modified_gmt": _time(modified_at),
        "date_paid_gmt": _time(plan.ordered_at),
        "prices_include_tax": False,
        "discount_total": _amount(0, plan),
        "shipping_total": _amount(0, plan),
        "shipping_tax": _amount(0, plan),
        "cart_tax": _amount(0, plan),
        "total": paid,
        "total_tax": _amount(0, plan),
        "customer_id": 0,
        "billing": {"email": plan.customer_email or ""},
        "meta_data": [{"id": n, "key": key, "value": value} for n, (key, value) in enumerate(meta.items(), 1) if value],
        "line_items": [
            {
                "id": 1,
                "name": "Rehearsal",
                "quantity": 1,
                "subtotal": paid,
                "subtotal_tax": _amount(0, plan),
                "total": paid,
                "total_tax": _amount(0, plan),
            }
        ],
        "fee_lines": [],
        # The shop stores and sends codes in lower case, whatever the shopper typed.
        "coupon_lines": []
        if plan.code is None
        else [{"id": 2, "code": plan.code.lower(), "discount": _amount(0, plan)}],
        "refunds": [],
    }


def _sent(event: str, order: Mapping[str, object], plan: TrialOrder, secret: str) -> TrialRequest:
    # As wp_json_encode writes: ASCII with \u escapes, and slashes escaped too.
    body = json.dumps(order, separators=(",", ":")).replace("/", "\\/").encode()
    digest = hmac.digest(decode_entities(secret).encode(), body, "sha256")
    return TrialRequest(
        body=body,
        headers={
            "Content-Type": "application/json",
            "User-Agent": "WooCommerce/10.0.0 Hookshot (WordPress/6.8)",
            "X-WC-Webhook-Source": "https://rehearsal.example/",
            "X-WC-Webhook-Topic": f"order.{event}",
            "X-WC-Webhook-Resource": "order",
            "X-WC-Webhook-Event": event,
            "X-WC-Webhook-Signature": base64.b64encode(digest).decode(),
            "X-WC-Webhook-ID": "1",
            "X-WC-Webhook-Delivery-ID": hashlib.sha256(f"{plan.number} {event}".encode()).hexdigest()[:32],
        },
    )


def _amount(minor: int, plan: TrialOrder) -> str:
    return f"{money.to_decimal(minor, plan.currency):f}"


def _time(moment: datetime) -> str:
    """UTC in whole seconds and without a Z, as WooCommerce writes its `_gmt` times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
