"""Is this message from the shop? Signatures over the raw bytes, checked at the door; standard library only.

- Shopify: `X-Shopify-Hmac-Sha256: <base64>`, HMAC-SHA256 of the body, key = the app's secret as typed. Its newer events drop the `X-`.
- generic, plain: `X-Ariane-Signature: sha256=<hex or base64>` (the `sha256=` may be missing), HMAC-SHA256 of the body, key = the secret as typed.
- generic, Standard Webhooks: `webhook-id`, `webhook-timestamp` (±300 s), `webhook-signature: v1,<base64> …` over `id.timestamp.body`;
  key = the base64 behind `whsec_`, or the secret as typed when it has no such prefix.

A source has a list of secrets, because they are rotated with both in force for a while; any one of them may match.
"""

import base64
import binascii
import hmac
from collections.abc import Iterator, Mapping, Sequence

UNARMED = "no_secret"
MISSING = "missing_signature"
MALFORMED = "malformed_signature"
WRONG = "wrong_signature"
STALE = "stale_timestamp"
UNKNOWN_PLATFORM = "unknown_platform"

TOLERANCE_S = 300
SIGNATURES_MAX = 16
"""Signatures read from one `webhook-signature` header; a rotation needs two."""
DIGEST_BYTES = 32
STANDARD_PREFIX = "whsec_"

SHOPIFY_SIGNATURES = ("x-shopify-hmac-sha256", "shopify-hmac-sha256")
GENERIC_SIGNATURE = "x-ariane-signature"
STANDARD_ID, STANDARD_TIMESTAMP, STANDARD_SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"

KEPT_HEADERS: Mapping[str, frozenset[str]] = {
    "shopify": frozenset(
        prefix + name
        for prefix in ("x-shopify-", "shopify-")
        for name in (
            "hmac-sha256",
            "topic",
            "shop-domain",
            "api-version",
            "webhook-id",
            "event-id",
            "triggered-at",
            "sub-topic",
            "name",
            "test",
        )
    )
    | {"content-type"},
    "generic": frozenset(
        {
            "content-type",
            GENERIC_SIGNATURE,
            "x-ariane-type",
            "x-ariane-delivery",
            STANDARD_ID,
            STANDARD_TIMESTAMP,
            STANDARD_SIGNATURE,
        }
    ),
}
"""The headers (lower case) a delivery must be kept with, so that it can be checked and read again later."""


def verify(
    platform: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    secrets: Sequence[str],
    now_s: float,
    settings: Mapping[str, object] | None = None,
) -> str | None:
    """None when one of the secrets signed exactly these bytes, else why not: one of the words above.

    Header names in any case. `now_s`: the time of receipt in Unix seconds, also when the message is checked again later.
    Never raises, whatever the headers hold. `settings` is the source's; no platform needs it yet.
    """
    del settings
    given = {name.lower(): value.strip() for name, value in headers.items()}
    keys = [secret for secret in secrets if secret]
    # An empty secret would let everybody sign.
    if platform == "shopify":
        return verify_shopify(body, given, keys)
    if platform == "generic":
        return verify_generic(body, given, keys, now_s=now_s)
    return UNKNOWN_PLATFORM


def verify_shopify(body: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> str | None:
    """Shopify's rule; header names in lower case. See `verify`."""
    if not secrets:
        return UNARMED
    given = next((headers[name] for name in SHOPIFY_SIGNATURES if headers.get(name)), "")
    if not given:
        return MISSING
    signature = _read_base64(given)
    if signature is None:
        return MALFORMED
    return None if _signed(map(_encoded, secrets), body, [signature]) else WRONG


def verify_generic(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, now_s: float) -> str | None:
    """Our own header where it is given, else Standard Webhooks; header names in lower case. See `verify`."""
    if not secrets:
        return UNARMED
    plain = headers.get(GENERIC_SIGNATURE, "")
    if plain:
        signature = _read_digest(plain.removeprefix("sha256="))
        if signature is None:
            return MALFORMED
        return None if _signed(map(_encoded, secrets), body, [signature]) else WRONG
    return _verify_standard(body, headers, secrets, now_s=now_s)


def _verify_standard(body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, now_s: float) -> str | None:
    identity, timestamp, given = (
        headers.get(name, "") for name in (STANDARD_ID, STANDARD_TIMESTAMP, STANDARD_SIGNATURE)
    )
    if not (identity and timestamp and given):
        return MISSING
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return MALFORMED
    signatures = [
        signature
        for version, _, text in (part.partition(",") for part in given.split(" ")[:SIGNATURES_MAX])
        if version == "v1" and (signature := _read_base64(text)) is not None
    ]
    if not signatures:
        return MALFORMED
    message = b".".join((_encoded(identity), timestamp.encode(), body))
    if not _signed(_standard_keys(secrets), message, signatures):
        return WRONG
    # Last, so that `stale_timestamp` always means: the right sender, the wrong time.
    return STALE if abs(now_s - int(timestamp)) > TOLERANCE_S else None


def _standard_keys(secrets: Sequence[str]) -> Iterator[bytes]:
    for secret in secrets:
        if not secret.startswith(STANDARD_PREFIX):
            yield _encoded(secret)
            continue
        text = secret.removeprefix(STANDARD_PREFIX).rstrip("=")
        key = _decode(text + "=" * (-len(text) % 4))
        if key:
            yield key


def _signed(keys: Iterator[bytes], message: bytes, signatures: Sequence[bytes]) -> bool:
    """Whether any key made any of the signatures; every pair is compared, so that the time taken tells nothing."""
    found = False
    for key in keys:
        digest = hmac.digest(key, message, "sha256")
        for signature in signatures:
            found |= hmac.compare_digest(digest, signature)
    return found


def _read_digest(text: str) -> bytes | None:
    """A SHA-256 digest in hex (any case) or base64; None for anything else."""
    if len(text) == 2 * DIGEST_BYTES:
        try:
            return bytes.fromhex(text) if not any(character.isspace() for character in text) else None
        except ValueError:
            return None
    return _read_base64(text)


def _read_base64(text: str) -> bytes | None:
    """A SHA-256 digest in standard base64, padding included; None for anything else."""
    digest = _decode(text)
    # Written back and compared: base64 has spare bits, and one signature must have one spelling.
    if digest is None or len(digest) != DIGEST_BYTES or base64.b64encode(digest).decode() != text:
        return None
    return digest


def _decode(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _encoded(text: str) -> bytes:
    # Lone surrogates come from header bytes that were not UTF-8; they must make a wrong signature, not an exception.
    return text.encode("utf-8", "surrogatepass")
