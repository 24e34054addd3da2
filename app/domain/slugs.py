"""Slugs: what may follow the host of a short link, and how one is generated."""

import re
from functools import cache

from hashids import Hashids

SLUG_CHARS_MIN = 3
SLUG_CHARS_MAX = 64

RESERVED = frozenset({
    "p.gif", "e", "a.js", "in", "healthz", "readyz", "metrics", "v1", "docs", "me", "openapi.json", "robots.txt", "favicon.ico",
    ".well-known", "dashboard",
})  # fmt: skip
"""First path segments of the service itself, present and planned."""

# Without 0 o 1 i l: people read slugs from a screen and type them.
ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?")


def check_slug(text: str) -> str:
    """The slug as it is stored and compared, in lower case. Raises ValueError with one sentence."""
    slug = text.strip().lower()
    if len(slug) < SLUG_CHARS_MIN:
        raise ValueError(f"must have at least {SLUG_CHARS_MIN} characters")
    if len(slug) > SLUG_CHARS_MAX:
        raise ValueError(f"must have at most {SLUG_CHARS_MAX} characters")
    if slug in RESERVED:
        raise ValueError("is a path of the service itself")
    if not _SLUG.fullmatch(slug):
        raise ValueError("may have letters a-z, digits, and - or _ between them")
    return slug


def is_slug(text: str) -> bool:
    """Whether a link could have this slug. text: already in lower case."""
    return SLUG_CHARS_MIN <= len(text) <= SLUG_CHARS_MAX and _SLUG.fullmatch(text) is not None


def make_slug(number: int) -> str:
    """The slug of a random number: short, lower case, without look-alikes; distinct numbers give distinct slugs.

    The number must be random: hashids can be decoded, so a serial number would reveal how many links there are.
    """
    return str(_hashids().encode(number))


@cache
def _hashids() -> Hashids:
    return Hashids(salt="ariane", min_length=SLUG_CHARS_MIN, alphabet=ALPHABET)
