"""Slugs: what may follow the host of a short link, how one is generated, and what people make of it on the way."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

from hashids import Hashids

SLUG_CHARS_MIN = 3
SLUG_CHARS_MAX = 64

RESERVED = frozenset({
    "p.gif", "e", "a.js", "in", "us", "healthz", "readyz", "metrics", "v1", "docs", "me", "openapi.json", "robots.txt", "favicon.ico",
    ".well-known", "dashboard",
})  # fmt: skip
"""First path segments of the service itself, present and planned."""

# Without 0 o 1 i l: people read slugs from a screen and type them.
ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?")
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_"
_AFTER_SLUG = re.compile("[&?#]")
_AROUND_SLUG = re.compile(r"^[^a-z0-9]+|[^a-z0-9]+$")
_MINUS = "\u2212"
MENDED_CHARS_MAX = 256
"""Longest path that is read as a slug with something around it."""


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


def mend_slug(path: str) -> str | None:
    """The slug that a path which is none was probably copied from; None when it holds no other slug than itself.

    Punctuation, brackets, quotes and slashes around it are dropped, also a query that was joined on by `&`; invisible characters are dropped
    anywhere; dashes become `-`, letters lose their accents. path: percent-decoded, without its first slash.
    """
    if len(path) > MENDED_CHARS_MAX:
        return None
    text = _AFTER_SLUG.split(path, maxsplit=1)[0]
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        text = "".join(map(_plain, text))
    slug = _AROUND_SLUG.sub("", text.lower())
    return slug if slug != path and slug not in RESERVED and is_slug(slug) else None


def _plain(character: str) -> str:
    """A character of a decomposed text: a dash as `-`, nothing for an accent or what is invisible."""
    category = unicodedata.category(character)
    if category == "Pd" or character == _MINUS:
        return "-"
    return "" if category in ("Mn", "Cf") else character


def near_slugs(text: str) -> Iterator[str]:
    """The slugs that differ from `text`, in lower case, by one character more, less or other, or by two neighbours in each other's place."""
    slug = mend_slug(text) or text
    if not SLUG_CHARS_MIN - 1 <= len(slug) <= SLUG_CHARS_MAX + 1:
        return
    near = {slug[:at] + slug[at + 1 :] for at in range(len(slug))}
    near |= {slug[:at] + slug[at + 1] + slug[at] + slug[at + 2 :] for at in range(len(slug) - 1)}
    near |= {slug[:at] + each + slug[at + 1 :] for at in range(len(slug)) for each in _CHARACTERS}
    near |= {slug[:at] + each + slug[at:] for at in range(len(slug) + 1) for each in _CHARACTERS}
    near.discard(slug)
    yield from filter(is_slug, near)


def make_slug(number: int) -> str:
    """The slug of a random number: short, lower case, without look-alikes; distinct numbers give distinct slugs.

    The number must be random: hashids can be decoded, so a serial number would reveal how many links there are.
    """
    return str(_hashids().encode(number))


@cache
def _hashids() -> Hashids:
    return Hashids(salt="ariane", min_length=SLUG_CHARS_MIN, alphabet=ALPHABET)
