"""Stripe's events of an order that never was: `checkout.session.completed` and `refund.created`, not in live mode."""

import hmac
import json
from collections.abc import Mapping
from datetime import datetime

from app.platforms.kit.trial import TrialMessages, TrialOrder, TrialRequest
from app.platforms.stripe.amounts import to_stripe


def trial_messages(plan: TrialOrder, secret: str, settings: Mapping[str, object]) -> TrialMessages:
    """A paid session with the click in `client_reference_id` and the code in its metadata, and a refund of part of it. No tax and no shipping."""
    del settings
    session_id, intent_id = f"cs_test_rehearsal{plan.number}", f"pi_rehearsal{plan.number}"
    amount = to_stripe(plan.net_minor, plan.currency)
    session = {
        "id": session_id,
        "object": "checkout.session",
        "mode": "payment",
        "status": "complete",
        "payment_status": "paid",
        "amount_subtotal": amount,
        "amount_total": amount,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "currency": plan.currency.lower(),
        "client_reference_id": plan.click_id,
        "customer_details": {"email": plan.customer_email},
        "discounts": [],
        "metadata": {} if plan.code is None else {"code": plan.code},
        "payment_intent": intent_id,
        "livemode": not plan.test,
    }
    refund = {
        "id": f"re_rehearsal{plan.number}",
        "object": "refund",
        "amount": to_stripe(plan.refund_minor, plan.currency),
        "charge": f"ch_rehearsal{plan.number}",
        "created": _seconds(plan.refunded_at),
        "currency": plan.currency.lower(),
        "payment_intent": intent_id,
        "status": "succeeded",
    }
    return TrialMessages(
        # The one name that the session and its refund have in common.
        order_id=intent_id,
        order=(_sent("checkout.session.completed", session, plan.ordered_at, plan, secret),),
        refund=(_sent("refund.created", refund, plan.refunded_at, plan, secret),),
    )


def _sent(kind: str, thing: Mapping[str, object], at: datetime, plan: TrialOrder, secret: str) -> TrialRequest:
    event = {
        "id": f"evt_rehearsal{plan.number}{kind.replace('.', '')}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": _seconds(at),
        "livemode": not plan.test,
        "type": kind,
        "data": {"object": thing},
    }
    body = json.dumps(event, separators=(",", ":")).encode()
    digest = hmac.digest(secret.encode(), f"{_seconds(at)}.".encode() + body, "sha256")
    return TrialRequest(
        body=body,
        headers={
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": f"t={_seconds(at)},v1={digest.hex()}",
        },
    )


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
