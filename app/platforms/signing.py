"""Is this message from the shop? Checked at the door, over the raw bytes; one scheme a platform (app/platforms/*/signature.py).

A source has a list of secrets, because they are rotated with both in force for a while; any one of them may match.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from app.platforms.generic import signature as generic
from app.platforms.kit.digests import MALFORMED, MISSING, PROOF, STALE, UNARMED, WRONG
from app.platforms.postback import signature as postback
from app.platforms.shopify import signature as shopify
from app.platforms.stripe import signature as stripe
from app.platforms.woocommerce import signature as woocommerce

UNKNOWN_PLATFORM = "unknown_platform"
SETUPS_MAX = 1_024
"""Sources whose settings are kept read; of more, the one used longest ago is read again."""


class Verify(Protocol):
    """How one platform signs. Header names in lower case, values stripped; secrets are not empty texts, but there may be none."""

    def __call__(
        self,
        body: bytes,
        headers: Mapping[str, str],
        secrets: Sequence[str],
        *,
        now_s: float,
        settings: Mapping[str, object],
    ) -> str | None:
        """None when one of the secrets signed exactly these bytes, else why not: a word of kit/digests.py. Never raises."""
        ...


def _no_headers(settings: Mapping[str, object]) -> frozenset[str]:
    del settings
    return frozenset()


@dataclass(frozen=True, slots=True)
class Scheme:
    """kept_headers (lower case): what a delivery must be kept with, so that it can be checked and read again later.

    by_query: it reports in the query too, by GET or POST; elsewhere a GET is somebody who opened the address in a browser, and the query says nothing.
    conceal: takes out of (query, headers, body) what must not be kept; `verify` takes the message before it and after.
    forget: takes a source's own secrets out of (query, body) where conceal has found none.
    named_headers: those that the settings of a source name beside kept_headers.
    is_ping: whether a message (its body and kept headers) only asks if somebody is there; None for platforms that never ask.
    """

    verify: Verify
    kept_headers: frozenset[str]
    by_query: bool = False
    conceal: Callable[[str, Mapping[str, str], bytes], tuple[str, dict[str, str], bytes]] | None = None
    forget: Callable[[str, bytes, Sequence[str]], tuple[str, bytes]] | None = None
    is_ping: Callable[[bytes, Mapping[str, str]], bool] | None = None
    named_headers: Callable[[Mapping[str, object]], frozenset[str]] = _no_headers


SCHEMES: Mapping[str, Scheme] = {
    "generic": Scheme(generic.verify, generic.KEPT_HEADERS, named_headers=generic.named_headers),
    "postback": Scheme(
        postback.verify, postback.KEPT_HEADERS, by_query=True, conceal=postback.conceal, forget=postback.forget
    ),
    "stripe": Scheme(stripe.verify, stripe.KEPT_HEADERS),
    "shopify": Scheme(shopify.verify, shopify.KEPT_HEADERS),
    "woocommerce": Scheme(woocommerce.verify, woocommerce.KEPT_HEADERS, is_ping=woocommerce.is_ping),
}


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
    scheme = SCHEMES.get(platform)
    if scheme is None:
        return UNKNOWN_PLATFORM
    given = {name.lower(): value.strip() for name, value in headers.items()}
    # An empty secret would let everybody sign.
    keys = [secret for secret in secrets if secret]
    if secrets and not keys:
        # A source that has secrets, none of which can be opened: not the same as one that has none.
        return UNARMED
    return scheme.verify(body, given, keys, now_s=now_s, settings=settings or {})


def is_ping(platform: str, *, body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether the message, with its kept headers, is the platform's ping: to be answered 200 and forgotten, though nobody signed it."""
    scheme = SCHEMES.get(platform)
    return scheme is not None and scheme.is_ping is not None and scheme.is_ping(body, headers)


def kept_headers(platform: str, settings: Mapping[str, object] | None = None) -> frozenset[str]:
    """The headers (lower case) that a delivery of such a source is kept with."""
    scheme = SCHEMES[platform if platform in SCHEMES else "generic"]
    return scheme.kept_headers | scheme.named_headers(settings or {})


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings of a source, read for its door."""

    settings: Mapping[str, object]
    kept_headers: frozenset[str]


@lru_cache(maxsize=SETUPS_MAX)
def set_up(platform: str, settings: str) -> Setup:
    """From settings as JSON text: read once, not for every message."""
    read = json.loads(settings)
    return Setup(read, kept_headers(platform, read))


def is_by_query(platform: str) -> bool:
    """Whether messages of this platform say something in their query."""
    return platform in SCHEMES and SCHEMES[platform].by_query


def conceal(platform: str, query: str, headers: Mapping[str, str], body: bytes) -> tuple[str, dict[str, str], bytes]:
    """Query (as latin-1), headers (lower case) and body as they may be kept: without a secret that the sender wrote into them."""
    scheme = SCHEMES.get(platform)
    if scheme is None or scheme.conceal is None:
        return query, dict(headers), body
    return scheme.conceal(query, headers, body)


def forget(
    platform: str, query: str, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]
) -> tuple[str, bytes]:
    """Query and body of a concealed message that was refused: without the source's own secrets, should they stand where none is looked for."""
    scheme = SCHEMES.get(platform)
    if scheme is None or scheme.forget is None or PROOF in headers:
        return query, body
    return scheme.forget(query, body, secrets)


KEPT = "the message is kept, to be replayed"
ADVICE: Mapping[str, str] = {
    UNARMED: f"this source has no secret yet: set its `secrets` to what the shop system shows; {KEPT} then",
    MISSING: f"no signature (of a postback: no token) came with it: set the source's secret in the sender, and check that no proxy removes its headers; {KEPT}",
    MALFORMED: f"the signature is not written as this platform writes it: check the source's platform and its encoding; {KEPT}",
    WRONG: f"the signature does not fit any secret of this source: copy the sender's secret again; {KEPT} once it is mended",
    STALE: f"rightly signed, but its time is too far from now: set the sender's clock, and send it again; {KEPT}",
}


def advise(word: str) -> str:
    """What is wrong with a signature and what to do next, for the person who reads the sender's log."""
    return ADVICE.get(word, f"the signature cannot be checked ({word}); {KEPT}")
