"""Stripe's events about a made-up order: `checkout.session.completed`, `charge.captured` and `refund.created`, not in live mode."""

import hmac
from collections.abc import Mapping
from datetime import datetime

from app.platforms.kit.templates import fill
from app.platforms.kit.trial import TrialMessages, TrialOrder, TrialRequest, read_messages, write_json
from app.platforms.stripe.amounts import to_stripe

MESSAGES = read_messages(__file__)


def trial_messages(trial: TrialOrder, secret: str, settings: Mapping[str, object]) -> TrialMessages:
    """A session with the click in `client_reference_id` and the code in its metadata, whose payment was authorised; its capture, which is no second
    order; and a refund of part of it. No tax and no shipping.
    """
    values = {
        "number": trial.number,
        "currency": trial.currency.lower(),
        "paid": to_stripe(trial.net_minor, trial.currency),
        "refunded": to_stripe(trial.refund_minor, trial.currency),
        "click_id": trial.click_id,
        "email": trial.customer_email,
        "metadata": {"code": trial.code} if trial.code else {},
        "live": not trial.test,
    }

    def request(message: str, event_type: str, at: datetime) -> TrialRequest:
        seconds = int(at.timestamp())
        timed = {**values, "created": seconds, "type": event_type, "type_letters": event_type.replace(".", "")}
        body = write_json(fill(MESSAGES["event"], {**timed, "object": fill(MESSAGES[message], timed)}))
        digest = hmac.digest(secret.encode(), f"{seconds}.".encode() + body, "sha256")
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": f"t={seconds},v1={digest.hex()}",
        }
        return TrialRequest(body=body, headers=headers)

    return TrialMessages(
        # The one name that the session and its refund have in common.
        order_id=f"pi_rehearsal{trial.number}",
        order=(
            request("session", "checkout.session.completed", trial.ordered_at),
            request("charge", "charge.captured", trial.ordered_at),
        ),
        refund=(request("refund", "refund.created", trial.refunded_at),),
    )
