"""What a brand's own host answers where there is no link to follow: an address of the brand's, or our page in a language that the visitor reads."""

from typing import Literal

import msgspec

Language = Literal["en", "fr"]
Occasion = Literal["root", "unknown", "expired"]
"""The host without a slug; a slug that no link has; a link that has expired, is disabled or archived."""

LANGUAGES: tuple[Language, ...] = ("en", "fr")
"""Languages of our pages; the first is shown to whoever reads none of them."""
ACCEPTED_MAX_CHARS = 256
"""Longest part of Accept-Language that is read."""


class HostPages(msgspec.Struct, frozen=True, gc=False):
    """Addresses by occasion, '' for our own page; its language, '' for the visitor's."""

    root_url: str = ""
    unknown_url: str = ""
    expired_url: str = ""
    language: Language | Literal[""] = ""

    def url(self, occasion: Occasion) -> str:
        """Where the visitor is sent, '' for our own page."""
        return {"root": self.root_url, "unknown": self.unknown_url, "expired": self.expired_url}[occasion]


def choose_language(accepted: str) -> Language:
    """The language of ours that an Accept-Language header prefers, by its weights and then its order; the first where it names none."""
    best: tuple[float, Language] = (0.0, LANGUAGES[0])
    for part in accepted[:ACCEPTED_MAX_CHARS].lower().split(","):
        name, _, weight = part.partition(";")
        language = next((each for each in LANGUAGES if name.strip().partition("-")[0] == each), None)
        if language is not None and _weight(weight) > best[0]:
            best = _weight(weight), language
    return best[1]


def _weight(text: str) -> float:
    name, _, value = text.strip().partition("=")
    if not text.strip():
        return 1.0
    try:
        return min(float(value), 1.0) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0
