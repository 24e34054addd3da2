"""Shopify's messages about a made-up order: orders/paid and refunds/create, marked as Shopify marks test orders (`test: true`)."""

import base64
import hashlib
import hmac
from collections.abc import Mapping

from app.platforms.kit.templates import fill
from app.platforms.kit.trial import TrialMessages, TrialOrder, TrialRequest, read_messages, write_json

MESSAGES = read_messages(__file__)
ORDER_ID_FIRST = 9_000_000_000_000_000
"""Lowest order id of a trial. Shopify counts its orders through all shops and has come to 7 × 10^12, so that no shop has such an order."""


def trial_messages(trial: TrialOrder, secret: str, settings: Mapping[str, object]) -> TrialMessages:
    """A paid order of one line, with its code and click, and a refund of part of that line. The shipping beside it, which is paid back too, is no part
    of net, and there is no tax."""
    zero = trial.major(0)
    shipping_minor = trial.net_minor // 10
    values = {
        "order_id": ORDER_ID_FIRST + trial.number,
        "number": trial.number,
        "checkout_token": hashlib.sha256(f"checkout {trial.number}".encode()).hexdigest()[:32],
        "test": trial.test,
        "currency": trial.currency,
        "ordered_at": trial.ordered_at.isoformat(timespec="microseconds"),
        "refunded_at": trial.refunded_at.isoformat(timespec="microseconds"),
        "zero": zero,
        "paid": trial.major(trial.net_minor),
        "refunded": trial.major(trial.refund_minor),
        "shipping": trial.major(shipping_minor),
        "total": trial.major(trial.net_minor + shipping_minor),
        "paid_back": trial.major(trial.refund_minor + shipping_minor),
        "discount_codes": [{"code": trial.code, "amount": zero, "type": "percentage"}] if trial.code else [],
        "note_attributes": [{"name": "ariane", "value": trial.click_id}] if trial.click_id else [],
        "customer": {"email": trial.customer_email} if trial.customer_email else None,
    }

    def request(message: str, topic: str, at: object) -> TrialRequest:
        body = write_json(fill(MESSAGES[message], values))
        signature = base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
        event_id = f"rehearsal-{trial.number}-{topic.replace('/', '-')}"
        stated = {"topic": topic, "signature": signature, "event_id": event_id, "at": at}
        return TrialRequest(body=body, headers=fill(MESSAGES["headers"], stated))

    return TrialMessages(
        order_id=str(values["order_id"]),
        order=(request("order", "orders/paid", values["ordered_at"]),),
        refund=(request("refund", "refunds/create", values["refunded_at"]),),
    )
