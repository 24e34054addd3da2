"""Template variables that nobody filled in, which are no ids: taken for one, `{{ order.id }}` makes one order of all orders. Pure."""

import re

from app.domain.strict_json import read_text

UNFILLED = "unresolved_macro"
"""The reason of a message in which such a variable stands for an id."""
SHOWN_CHARACTERS_MAX = 60

_NAME = r"[a-z_$][\w$.:>|\-]*"
# Within other text, too: nothing of this is ever part of an id.
_ANYWHERE = re.compile(
    rf"\{{\{{[^{{}}]*\}}\}}|\{{%.*?%\}}|[$#@]\{{[^{{}}]*\}}|\{{\s*{_NAME}\s*\}}"  # {{ x }}, {% x %}, ${x} or #{x}, {x}
    rf"|\[\[\s*{_NAME}\s*\]\]|%%\s*{_NAME}\s*%%|<[%?].*?[%?]>|\*\|[^|]+\|\*"  # [[x]], %%x%%, <%= x %> or <?= x ?>, *|x|*
    r"|\[object [a-z]+\]",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
# Only where it is all there is: an order may well be called [1001] or A{1}.
_WHOLE = re.compile(
    r"\$?\{[^{}]*\}|\[\[?\s*[a-z_][^\[\]]*\]?\]|%[a-z_]\w*%|<[a-z_][^<>]*>|#[a-z_]\w*#|__[a-z]\w*__|\(?(?:undefined|null)\)?",
    re.IGNORECASE | re.ASCII,
)
# As programs write them. In other spellings these are people's names: NAN may be a code.
_WORDS = frozenset({"NaN", "None"})


class Unfilled(ValueError):
    """A template variable stands where an id is expected; the message says which."""


def variable_in(text: str) -> str | None:
    """The variable that was left in a text (`{{ order.id }}`), or the word that a program writes for nothing (`undefined`); None for any other text."""
    plain = text.strip()
    if plain in _WORDS or _WHOLE.fullmatch(plain):
        return plain
    # A text of letters and digits, which nearly every id is, needs no search.
    found = None if plain.isalnum() else _ANYWHERE.search(plain)
    return None if found is None else found[0]


def read_id(value: object) -> str:
    """A text or whole number that names something, as `read_text`. Raises Unfilled, and ValueError as that does."""
    text = read_text(value)
    left = variable_in(text)
    if left is not None:
        raise Unfilled(unfilled(text, left))
    return text


def unfilled(text: str, variable: str) -> str:
    """What is wrong with a text in which this variable was left; a sentence about the field that it stands in."""
    shown = f"is {text[:SHOWN_CHARACTERS_MAX]!a}"
    if variable[0].isalpha():
        return f"{shown}: a program writes this word where a variable has no value"
    named = f" ({variable[:SHOWN_CHARACTERS_MAX]})" if variable != text.strip() else ""
    return f"{shown}: this template variable{named} was not filled in; write it as the sender's system names it"
