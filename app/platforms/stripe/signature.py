"""Stripe: `Stripe-Signature: t=<unix seconds>,v1=<hex>[,v1=<hex> …]`, HMAC-SHA256 of `t.body`, key = the signing secret with its `whsec_`, as text.

While a secret is rolled Stripe signs with the old one and the new one: any `v1` may match. Other schemes (`v0` of test events) prove nothing.
A time more than 300 s ahead is refused like one as old. Stripe's own libraries let the future pass: with a clock set wrong for an hour, what was
signed then could be repeated for an hour.
"""

from collections.abc import Mapping, Sequence

from app.platforms.kit.digests import (
    MALFORMED,
    MISSING,
    SIGNATURES_MAX,
    STALE,
    TOLERANCE_S,
    UNARMED,
    WRONG,
    encoded,
    read_hex,
    read_timestamp,
    signed,
    values_named,
)

SIGNATURE = "stripe-signature"
SCHEME = "v1"
KEPT_HEADERS = frozenset({"content-type", SIGNATURE})


def verify(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, now_s: float, settings: Mapping[str, object]
) -> str | None:
    """See `Verify`."""
    if not secrets:
        return UNARMED
    given = headers.get(SIGNATURE, "")
    if not given:
        return MISSING
    items = [tuple(item.split("=")[:2]) for item in given.split(",")]
    if any(item in (("t",), (SCHEME,)) for item in items):
        return MALFORMED
    sent_s = read_timestamp(next((item[1] for item in items if item[0] == "t"), ""))
    texts = [item[1] for item in items if item[0] == SCHEME]
    # Lower-case alone: one signature has one spelling, as it has for Stripe's own libraries.
    signatures = [digest for text in texts[:SIGNATURES_MAX] if text == text.lower() and (digest := read_hex(text))]
    if sent_s is None or not signatures:
        return MALFORMED
    if not signed(map(encoded, secrets), str(sent_s).encode() + b"." + body, signatures):
        return WRONG
    # Last, so that `stale_timestamp` always means: the right sender, the wrong time.
    return STALE if abs(now_s - sent_s) > TOLERANCE_S else None


def timestamps(headers: Mapping[str, str], settings: Mapping[str, object]) -> list[str]:
    """The texts in which the headers say when the message was sent."""
    return values_named(headers.get(SIGNATURE, ""), "t", ",")
