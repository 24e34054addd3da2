"""Postbacks of an order that never was, in the names of the source's preset: a GET for the order, one for its refund, marked `test=1`."""

from collections.abc import Mapping
from urllib.parse import urlencode

from app.domain import money
from app.platforms.kit.trial import TrialMessages, TrialOrder, TrialRequest
from app.platforms.postback.presets import DEFAULT, PRESETS


def trial_messages(plan: TrialOrder, secret: str, settings: Mapping[str, object]) -> TrialMessages:
    """`secret`: '' for a source that has none. No network has a parameter for refunds; `refund_id` is ours and understood beside all of theirs."""
    preset = PRESETS[str(settings.get("preset") or DEFAULT)]
    order_id = f"rehearsal-{plan.number}"

    def sent(said: Mapping[str, str | None]) -> TrialRequest:
        whole = {**said, "order_id": order_id, "currency": plan.currency, "test": "1" if plan.test else None}
        named = {preset.names[field][0]: value for field, value in whole.items() if value is not None}
        return TrialRequest(method="GET", query=urlencode({**named, **({preset.token: secret} if secret else {})}))

    return TrialMessages(
        order_id=order_id,
        order=(
            sent(
                {
                    "click_id": plan.click_id,
                    "amount": f"{money.to_decimal(plan.net_minor, plan.currency):f}",
                    "code": plan.code,
                    "customer": plan.customer_email,
                    "occurred_at": plan.ordered_at.isoformat(),
                }
            ),
        ),
        refund=(
            sent(
                {
                    "refund_id": f"{order_id}-refund",
                    "amount": f"{money.to_decimal(plan.refund_minor, plan.currency):f}",
                    "occurred_at": plan.refunded_at.isoformat(),
                }
            ),
        ),
    )
