"""WooCommerce's messages about a made-up order: order.created, paid at once, and order.updated with a refund in it.

WooCommerce has no test orders: a trial marks its own in `meta_data`, which the parser reads.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime

from app.platforms.kit.trial import TrialMessages, TrialOrder, TrialRequest
from app.platforms.woocommerce.signature import decode_entities

ORDER_ID_FIRST = 5_000_000_000_000
"""Lowest order id of a trial. WordPress counts its posts from 1, so that no shop has such an order."""


def trial_messages(trial: TrialOrder, secret: str, settings: Mapping[str, object]) -> TrialMessages:
    """An order of one line with its code and click, and a refund of part of it. No tax and no shipping, so net is what was paid."""
    del settings
    order_id = ORDER_ID_FIRST + trial.number
    refund = {"id": order_id + 1, "reason": "", "total": trial.major(-trial.refund_minor)}
    return TrialMessages(
        order_id=str(order_id),
        order=(_request("created", _order(trial, order_id, trial.ordered_at, []), trial, secret),),
        refund=(_request("updated", _order(trial, order_id, trial.refunded_at, [refund]), trial, secret),),
    )


def _order(
    trial: TrialOrder, order_id: int, modified_at: datetime, refunds: list[dict[str, object]]
) -> dict[str, object]:
    paid, zero = trial.major(trial.net_minor), trial.major(0)
    amounts = {"subtotal": paid, "subtotal_tax": zero, "total": paid, "total_tax": zero}
    meta = {"_ariane": trial.click_id, "_ariane_test": "1" if trial.test else None}
    return {
        "id": order_id,
        "parent_id": 0,
        "number": str(order_id),
        "order_key": f"wc_order_rehearsal{trial.number}",
        "created_via": "checkout",
        "version": "10.0.0",
        "status": "processing",
        "currency": trial.currency,
        "date_created_gmt": _time(trial.ordered_at),
        "date_modified_gmt": _time(modified_at),
        "date_paid_gmt": _time(trial.ordered_at),
        "prices_include_tax": False,
        **dict.fromkeys(("discount_total", "shipping_total", "shipping_tax", "cart_tax", "total_tax"), zero),
        "total": paid,
        "customer_id": 0,
        "billing": {"email": trial.customer_email or ""},
        "meta_data": [{"id": n, "key": key, "value": value} for n, (key, value) in enumerate(meta.items(), 1) if value],
        "line_items": [{"id": 1, "name": "Rehearsal", "quantity": 1, **amounts}],
        "fee_lines": [],
        # The shop stores and sends codes in lower case, whatever the shopper typed.
        "coupon_lines": [{"id": 2, "code": trial.code.lower(), "discount": zero}] if trial.code else [],
        "refunds": refunds,
    }


def _request(event: str, order: Mapping[str, object], trial: TrialOrder, secret: str) -> TrialRequest:
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
            "X-WC-Webhook-Delivery-ID": hashlib.sha256(f"{trial.number} {event}".encode()).hexdigest()[:32],
        },
    )


def _time(moment: datetime) -> str:
    """UTC in whole seconds and without a Z, as WooCommerce writes its `_gmt` times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
