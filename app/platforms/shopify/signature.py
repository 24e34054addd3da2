"""Shopify: `X-Shopify-Hmac-Sha256: <base64>`, HMAC-SHA256 of the body, key = the app's secret as typed. Its newer events drop the `X-`."""

from collections.abc import Mapping, Sequence

from app.platforms.kit.digests import check_base64, encoded

SIGNATURES = ("x-shopify-hmac-sha256", "shopify-hmac-sha256")
TIMESTAMPS = ("x-shopify-triggered-at", "shopify-triggered-at")
KEPT_HEADERS = frozenset(
    prefix + name
    for prefix in ("x-shopify-", "shopify-")
    for name in (
        "hmac-sha256", "topic", "shop-domain", "api-version", "webhook-id", "event-id", "triggered-at", "sub-topic", "name", "test",
    )
) | {"content-type"}  # fmt: skip


def verify(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, now_s: float, settings: Mapping[str, object]
) -> str | None:
    """See `Verify`."""
    del now_s, settings
    given = next((headers[name] for name in SIGNATURES if headers.get(name)), "")
    return check_base64(body, given, list(map(encoded, secrets)))


def timestamps(headers: Mapping[str, str], settings: Mapping[str, object]) -> list[str]:
    """The texts in which the headers say when the message was sent."""
    del settings
    return [headers[name] for name in TIMESTAMPS if name in headers]
