"""What every signature scheme needs: words for what is wrong, reading digests, comparing in constant time. Standard library only."""

import base64
import binascii
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.platforms.kit.platform import Verify

UNARMED = "no_secret"
MISSING = "missing_signature"
MALFORMED = "malformed_signature"
WRONG = "wrong_signature"
STALE = "stale_timestamp"

QUERY = ":query"
"""Name under which the query string of a message stands among its headers; no header can have it."""
URL = ":url"
"""Name, among the headers, of the address that a message came to, as the API shows it: some checkouts sign it with the body."""
BY_TOKEN = ":by-token"  # noqa: S105  a name, no password
"""Mark, among the headers, of a message that a password vouches for and no signature: it binds none of the bytes."""
PROOF = ":token"
"""Name, among the headers, of the proof by which a message with a concealed secret is checked (`conceal` of its platform); kept while it is unsigned."""

TOLERANCE_S = 300
"""Largest distance of a signed time from the time of receipt, in seconds, on both sides."""
SIGNATURES_MAX = 16
"""Signatures read from one header; a rotation needs two."""
DIGEST_BYTES = 32
TIMESTAMP_DIGITS_MAX = 12


def signed(keys: Iterable[bytes], message: bytes, signatures: Sequence[bytes]) -> bool:
    """Whether any key made any of the signatures (HMAC-SHA256). Every pair is compared, so that the time taken reveals nothing."""
    found = False
    for key in keys:
        digest = hmac.digest(key, message, "sha256")
        for signature in signatures:
            found |= hmac.compare_digest(digest, signature)
    return found


def verifier(*names: str, spellings: Callable[[str], Iterable[str]] = lambda secret: (secret,)) -> "Verify":
    """Checks a base64 signature of the body, in the first of these headers that is there. spellings: of a secret, any of which may be the key."""

    def verify(
        body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, now_s: float, settings: Mapping[str, object]
    ) -> str | None:
        if not secrets:
            return UNARMED
        given = next((headers[name] for name in names if headers.get(name)), "")
        if not given:
            return MISSING
        signature = read_base64(given)
        if signature is None:
            return MALFORMED
        keys = [encoded(spelling) for secret in secrets for spelling in spellings(secret)]
        return None if signed(keys, body, [signature]) else WRONG

    return verify


def read_digest(text: str) -> bytes | None:
    """A SHA-256 digest in hex (any case) or base64; None for anything else."""
    return read_hex(text) if len(text) == 2 * DIGEST_BYTES else read_base64(text)


def read_hex(text: str) -> bytes | None:
    """A SHA-256 digest in hex, any case; None for anything else."""
    if len(text) != 2 * DIGEST_BYTES or any(character.isspace() for character in text):
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def read_base64(text: str) -> bytes | None:
    """A SHA-256 digest in standard base64, padding included; None for anything else."""
    digest = decode(text)
    # Written back and compared: base64 has spare bits, and one signature must have one spelling.
    if digest is None or len(digest) != DIGEST_BYTES or base64.b64encode(digest).decode() != text:
        return None
    return digest


def read_timestamp(text: str) -> int | None:
    """Unix seconds of digits alone; None for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= TIMESTAMP_DIGITS_MAX):
        return None
    return int(text)


def values_named(text: str, name: str, separator: str) -> list[str]:
    """The values of this name among `name=value` pairs."""
    pairs = (each.strip().partition("=") for each in text.split(separator))
    return [value for key, _, value in pairs if key == name]


def decode(text: str) -> bytes | None:
    """Standard base64 of any length; None for anything else."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def encoded(text: str) -> bytes:
    """A header or secret as bytes. Lone surrogates come from header bytes that were not UTF-8; they make a wrong signature, not an exception."""
    return text.encode("utf-8", "surrogatepass")
