"""Which of the names that there are may be meant by one that there is not."""

from collections.abc import Collection
from difflib import get_close_matches
from functools import lru_cache

LIKENESS_MIN = 0.75
"""Least likeness of two names, as a share, at which one may be meant by the other."""
NAME_CHARACTERS_MAX = 60
"""Longest name that is compared, in characters; a longer one is compared by its beginning."""
ANSWERS_CACHED = 1_024
"""Answers that are kept: a thousand rows of one body have the same mistake."""


@lru_cache(maxsize=ANSWERS_CACHED)
def _meant(name: str, names: tuple[str, ...]) -> str | None:
    folded = {_folded(each): each for each in reversed(names)}
    return next((folded[like] for like in get_close_matches(_folded(name), folded, n=1, cutoff=LIKENESS_MIN)), None)


def meant(name: str, names: Collection[str]) -> str | None:
    """The name most like this one, whatever the case, dashes and underscores of both: `click_id` for `clickId`; None where none is alike."""
    return _meant(name[:NAME_CHARACTERS_MAX], tuple(names))


def hint(name: str, names: Collection[str]) -> str:
    """`; slug may be meant`, to follow a sentence that refuses a name; '' where no name is alike."""
    found = meant(name, names)
    return "" if found is None else f"; {found} may be meant"


def _folded(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")
