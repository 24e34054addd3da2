"""Stripe's events about a made-up order: `checkout.session.completed` and `refund.created`, not in live mode."""

import hmac
import json
from collections.abc import Mapping
from datetime import datetime

from app.platforms.kit.trial import TrialMessages, TrialOrder, TrialRequest
from app.platforms.stripe.amounts import to_stripe


def trial_messages(trial: TrialOrder, secret: str, settings: Mapping[str, object]) -> TrialMessages:
    """A paid session with the click in `client_reference_id` and the code in its metadata, and a refund of part of it. No tax and no shipping."""
    del settings
    intent_id = f"pi_rehearsal{trial.number}"
    amount, currency = to_stripe(trial.net_minor, trial.currency), trial.currency.lower()
    session = {
        "id": f"cs_test_rehearsal{trial.number}",
        "object": "checkout.session",
        "mode": "payment",
        "status": "complete",
        "payment_status": "paid",
        "amount_subtotal": amount,
        "amount_total": amount,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "currency": currency,
        "client_reference_id": trial.click_id,
        "customer_details": {"email": trial.customer_email},
        "discounts": [],
        "metadata": {"code": trial.code} if trial.code else {},
        "payment_intent": intent_id,
        "livemode": not trial.test,
    }
    refund = {
        "id": f"re_rehearsal{trial.number}",
        "object": "refund",
        "amount": to_stripe(trial.refund_minor, trial.currency),
        "charge": f"ch_rehearsal{trial.number}",
        "created": int(trial.refunded_at.timestamp()),
        "currency": currency,
        "payment_intent": intent_id,
        "status": "succeeded",
    }
    return TrialMessages(
        # The one name that the session and its refund have in common.
        order_id=intent_id,
        order=(_request("checkout.session.completed", session, trial.ordered_at, trial, secret),),
        refund=(_request("refund.created", refund, trial.refunded_at, trial, secret),),
    )


def _request(kind: str, thing: Mapping[str, object], at: datetime, trial: TrialOrder, secret: str) -> TrialRequest:
    seconds = int(at.timestamp())
    event = {
        "id": f"evt_rehearsal{trial.number}{kind.replace('.', '')}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": seconds,
        "livemode": not trial.test,
        "type": kind,
        "data": {"object": thing},
    }
    body = json.dumps(event, separators=(",", ":")).encode()
    digest = hmac.digest(secret.encode(), f"{seconds}.".encode() + body, "sha256")
    return TrialRequest(
        body=body,
        headers={
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": f"t={seconds},v1={digest.hex()}",
        },
    )
