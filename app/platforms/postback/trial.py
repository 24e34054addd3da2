"""Postbacks about a made-up order in the names of the source's preset: one GET for the order, one for its refund, marked `test=1`."""

from collections.abc import Mapping
from urllib.parse import urlencode

from app.platforms.kit.trial import TrialMessages, TrialOrder, TrialRequest
from app.platforms.postback.presets import DEFAULT, PRESETS


def trial_messages(trial: TrialOrder, secret: str, settings: Mapping[str, object]) -> TrialMessages:
    """`secret`: '' for a source that has none. No network has a parameter for refunds; `refund_id` is ours and understood beside all of theirs."""
    preset = PRESETS[str(settings.get("preset") or DEFAULT)]
    order_id = f"rehearsal-{trial.number}"
    both = {"order_id": order_id, "currency": trial.currency, "test": "1" if trial.test else None}
    order = {
        "click_id": trial.click_id,
        "amount": trial.major(trial.net_minor),
        "code": trial.code,
        "customer": trial.customer_email,
        "occurred_at": trial.ordered_at.isoformat(),
    }
    refund = {
        "refund_id": f"{order_id}-refund",
        "amount": trial.major(trial.refund_minor),
        "occurred_at": trial.refunded_at.isoformat(),
    }

    def request(fields: Mapping[str, str | None]) -> TrialRequest:
        parameters = {preset.names[name][0]: value for name, value in fields.items() if value is not None}
        if secret:
            parameters[preset.token] = secret
        return TrialRequest(method="GET", query=urlencode(parameters))

    return TrialMessages(order_id, order=(request(order | both),), refund=(request(refund | both),))
