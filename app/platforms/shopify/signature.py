"""Shopify: `X-Shopify-Hmac-Sha256: <base64>`, HMAC-SHA256 of the body, key = the app's secret as typed. Its newer events drop the `X-`."""

from collections.abc import Mapping

from app.platforms.kit.digests import verifier

verify = verifier("x-shopify-hmac-sha256", "shopify-hmac-sha256")
TIMESTAMPS = ("x-shopify-triggered-at", "shopify-triggered-at")
KEPT_HEADERS = frozenset(
    prefix + name
    for prefix in ("x-shopify-", "shopify-")
    for name in (
        "hmac-sha256", "topic", "shop-domain", "api-version", "webhook-id", "event-id", "triggered-at", "sub-topic", "name", "test",
    )
) | {"content-type"}  # fmt: skip


def timestamps(headers: Mapping[str, str], settings: Mapping[str, object]) -> list[str]:
    """The texts in which the headers say when the message was sent."""
    return [headers[name] for name in TIMESTAMPS if name in headers]
