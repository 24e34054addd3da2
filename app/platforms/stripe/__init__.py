"""Stripe: snapshot events of checkout sessions, invoices, payment intents, refunds and disputes."""

from app.platforms.kit.platform import Platform
from app.platforms.stripe import signature

PLATFORM = Platform(
    name="stripe",
    title="Stripe",
    verify=signature.verify,
    kept_headers=signature.KEPT_HEADERS,
    timestamps=signature.timestamps,
    code_ids="of Stripe the promotion code (`promo_…`), or the coupon of discounts without one",
)
