"""WooCommerce's messages about a made-up order: order.created, paid at once, and order.updated with a refund in it.

WooCommerce has no test orders: a trial marks its own in `meta_data`, which the parser reads.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

from app.platforms.kit.templates import fill
from app.platforms.kit.trial import TrialMessages, TrialOrder, TrialRequest, read_messages, write_json
from app.platforms.woocommerce.signature import decode_entities

MESSAGES = read_messages(__file__)
ORDER_ID_FIRST = 5_000_000_000_000
"""Lowest order id of a trial. WordPress counts its posts from 1, so that no shop has such an order."""


def trial_messages(trial: TrialOrder, secret: str, settings: Mapping[str, object]) -> TrialMessages:
    """An order of one line with its code and click, and a refund of part of it. No tax and no shipping, so net is what was paid."""
    order_id, zero = ORDER_ID_FIRST + trial.number, trial.major(0)
    meta = {"_ariane": trial.click_id, "_ariane_test": "1" if trial.test else None}
    values = {
        "order_id": order_id,
        "order_id_text": str(order_id),
        "number": trial.number,
        "currency": trial.currency,
        "ordered_at": _time(trial.ordered_at),
        "zero": zero,
        "paid": trial.major(trial.net_minor),
        "email": trial.customer_email or "",
        "meta_data": [{"id": n, "key": key, "value": value} for n, (key, value) in enumerate(meta.items(), 1) if value],
        # The shop stores and sends codes in lower case, whatever the shopper typed.
        "coupon_lines": [{"id": 2, "code": trial.code.lower(), "discount": zero}] if trial.code else [],
    }

    def request(event: str, modified_at: datetime, refunds: list[dict[str, object]]) -> TrialRequest:
        order = fill(MESSAGES["order"], {**values, "modified_at": _time(modified_at), "refunds": refunds})
        # As wp_json_encode writes: ASCII with \u escapes, and slashes escaped too.
        body = write_json(order).replace(b"/", b"\\/")
        digest = hmac.digest(decode_entities(secret).encode(), body, "sha256")
        delivery_id = hashlib.sha256(f"{trial.number} {event}".encode()).hexdigest()[:32]
        stated = {"event": event, "signature": base64.b64encode(digest).decode(), "delivery_id": delivery_id}
        return TrialRequest(body=body, headers=fill(MESSAGES["headers"], stated))

    refund: dict[str, object] = {"id": order_id + 1, "reason": "", "total": trial.major(-trial.refund_minor)}
    return TrialMessages(
        order_id=str(order_id),
        order=(request("created", trial.ordered_at, []),),
        refund=(request("updated", trial.refunded_at, [refund]),),
    )


def _time(moment: datetime) -> str:
    """UTC in whole seconds and without a Z, as WooCommerce writes its `_gmt` times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
