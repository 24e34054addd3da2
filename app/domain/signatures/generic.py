"""Any checkout that signs: our own header where it is given, else Standard Webhooks.

- plain: `X-Ariane-Signature: sha256=<hex or base64>` (the `sha256=` may be missing), HMAC-SHA256 of the body, key = the secret as typed.
- Standard Webhooks: `webhook-id`, `webhook-timestamp` (±300 s), `webhook-signature: v1,<base64> …` over `id.timestamp.body`;
  key = the base64 behind `whsec_`, or the secret as typed when it has no such prefix.
"""

from collections.abc import Iterator, Mapping, Sequence

from app.domain.signatures.digests import (
    MALFORMED,
    MISSING,
    SIGNATURES_MAX,
    STALE,
    TOLERANCE_S,
    UNARMED,
    WRONG,
    decode,
    encoded,
    read_base64,
    read_digest,
    read_timestamp,
    signed,
)

SIGNATURE = "x-ariane-signature"
STANDARD_ID, STANDARD_TIMESTAMP, STANDARD_SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
STANDARD_PREFIX = "whsec_"
KEPT_HEADERS = frozenset(
    {
        "content-type",
        SIGNATURE,
        "x-ariane-type",
        "x-ariane-delivery",
        STANDARD_ID,
        STANDARD_TIMESTAMP,
        STANDARD_SIGNATURE,
    }
)


def verify(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, now_s: float, settings: Mapping[str, object]
) -> str | None:
    """See `signing.verify`; header names in lower case."""
    del settings
    if not secrets:
        return UNARMED
    plain = headers.get(SIGNATURE, "")
    if plain:
        signature = read_digest(plain.removeprefix("sha256="))
        if signature is None:
            return MALFORMED
        return None if signed(map(encoded, secrets), body, [signature]) else WRONG
    return _verify_standard(body, headers, secrets, now_s=now_s)


def _verify_standard(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, now_s: float) -> str | None:
    identity, timestamp, given = (
        headers.get(name, "") for name in (STANDARD_ID, STANDARD_TIMESTAMP, STANDARD_SIGNATURE)
    )
    if not (identity and timestamp and given):
        return MISSING
    sent_s = read_timestamp(timestamp)
    if sent_s is None:
        return MALFORMED
    signatures = [
        signature
        for version, _, text in (part.partition(",") for part in given.split(" ")[:SIGNATURES_MAX])
        if version == "v1" and (signature := read_base64(text)) is not None
    ]
    if not signatures:
        return MALFORMED
    message = b".".join((encoded(identity), timestamp.encode(), body))
    if not signed(_standard_keys(secrets), message, signatures):
        return WRONG
    # Last, so that `stale_timestamp` always means: the right sender, the wrong time.
    return STALE if abs(now_s - sent_s) > TOLERANCE_S else None


def _standard_keys(secrets: Sequence[str]) -> Iterator[bytes]:
    for secret in secrets:
        if not secret.startswith(STANDARD_PREFIX):
            yield encoded(secret)
            continue
        text = secret.removeprefix(STANDARD_PREFIX).rstrip("=")
        key = decode(text + "=" * (-len(text) % 4))
        if key:
            yield key
