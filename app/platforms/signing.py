"""Whether a message is from the shop: checked at the door, over the raw bytes, in the way of its platform (app/platforms/*/signature.py).

A source has a list of secrets, because the old and the new one are both in force during a rotation; any of them may match.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from app.platforms.kit.digests import MALFORMED, MISSING, PROOF, STALE, UNARMED, URL, WRONG
from app.platforms.kit.platform import Platform
from app.platforms.registry import platform_of

SECRET_ID_CHARACTERS = 8
SETUPS_MAX = 1_024
"""Sources whose settings are kept parsed; beyond it the least recently used is parsed again."""


def verify(
    platform: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    secrets: Sequence[str],
    now_s: float,
    settings: Mapping[str, object] | None = None,
) -> str | None:
    """None when one of the secrets signed exactly these bytes, else why not: a stable word.

    Header names in any case; the query among them as `QUERY`. `now_s`: the time of receipt in Unix seconds, also when the message is checked
    again later. `settings`: of the source. Never raises, whatever the headers hold.
    """
    given = {name.lower(): value.strip() for name, value in headers.items()}
    # An empty secret would let everybody sign.
    keys = [secret for secret in secrets if secret]
    if secrets and not keys:
        # A source that has secrets, none of which can be opened: not the same as one that has none.
        return UNARMED
    return platform_of(platform).verify(body, given, keys, now_s=now_s, settings=settings or {})


@lru_cache(maxsize=SETUPS_MAX)
def secret_id(sealed: str) -> str:
    """A name for one secret of a source: eight hex characters of the hash of its sealed form, which say nothing about the secret."""
    return hashlib.sha256(sealed.encode()).hexdigest()[:SECRET_ID_CHARACTERS]


def signer(
    platform: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    sealed: Sequence[str],
    secrets: Sequence[str],
    now_s: float,
    settings: Mapping[str, object] | None = None,
) -> str:
    """The `secret_id` of the secret that signed a message which `verify` accepted; '' where the source has none. sealed: each of `secrets` as it is stored."""
    if len(sealed) < 2:
        return secret_id(sealed[0]) if sealed else ""
    for each, secret in zip(sealed, secrets, strict=True):
        if verify(platform, body=body, headers=headers, secrets=[secret], now_s=now_s, settings=settings) is None:
            return secret_id(each)
    return ""


def kept_headers(platform: str, settings: Mapping[str, object] | None = None) -> frozenset[str]:
    """The headers (lower case) that a delivery of such a source is kept with."""
    found = platform_of(platform)
    return found.kept_headers | found.named_headers(settings or {})


@dataclass(frozen=True)
class Setup:
    """The platform and settings of a source, ready for its door."""

    platform: Platform
    settings: Mapping[str, object]
    kept_headers: Mapping[bytes, str]
    """The headers that are kept: from their names as they arrive, in lower-case bytes, to their names as text."""
    keeps_url: bool


@lru_cache(maxsize=SETUPS_MAX)
def set_up(platform: str, settings: str) -> Setup:
    """Settings as JSON text are parsed once, not for every message."""
    read = json.loads(settings)
    kept = kept_headers(platform, read)
    return Setup(platform_of(platform), read, {name.encode("latin-1", "replace"): name for name in kept}, URL in kept)


def forget(
    platform: str, query: str, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]
) -> tuple[str, bytes]:
    """Query and body of a concealed message that was refused, without the source's own secrets, should they stand where none is looked for."""
    # A message with a proof will be checked again, and its proof is over what it holds.
    return (query, body) if PROOF in headers else platform_of(platform).forget(query, body, secrets)


KEPT = "the message is kept, to be replayed"
ADVICE: Mapping[str, str] = {
    UNARMED: f"this source has no secret yet: set its `secrets` to what the shop system shows; {KEPT} then",
    MISSING: f"no signature (of a postback: no token) came with it: set the source's secret in the sender, and check that no proxy removes its headers; {KEPT}",
    MALFORMED: f"the signature is not written as this platform writes it: check the source's platform and its encoding; {KEPT}",
    WRONG: f"the signature does not fit any secret of this source: copy the sender's secret again; {KEPT} once it is mended",
    STALE: f"rightly signed, but its time is too far from now: set the sender's clock, and send it again; {KEPT}",
}


def advise(word: str) -> str:
    """What is wrong with a signature and what to do about it, for the person who reads the sender's log."""
    return ADVICE.get(word, f"the signature cannot be checked ({word}); {KEPT}")
