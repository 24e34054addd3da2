"""Where in a body a value stands: JSON pointers (RFC 6901), which may also go through lists.

`*` for a position means every element, `[name=value]` those elements whose `name` is `value`: neither is a position, so that nothing that RFC 6901
defines changes its meaning, and an object's member of that very name is still found. `[name=a|b]` are the elements with either. `header:Name` is a
header of the message; in a line or refund, `body:/data/id` begins at the whole body and not at the element.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from app.platforms.generic.signature import HEADER_CHARACTERS_MAX, NAMED

POINTER_CHARACTERS_MAX = 300
TOKENS_MAX = 16
FOUND_MAX = 1_000
"""Most values that one pointer may find, and elements among which it may choose: an order has no more lines."""
TOP = "body:"
"""Prefix of a place that begins at the whole body, wherever it is read."""
NAMES_SHOWN_MAX = 12
SHOWN_CHARACTERS_MAX = 60

POSITION = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
CHOSEN = re.compile(r"\[([^=\]]+)=([^\]]*)\]")
_TILDE = re.compile(r"~(?![01])")


class TooManyMatches(ValueError):
    """A pointer finds more than FOUND_MAX values, or looks for them in longer lists."""


@lru_cache(maxsize=4_096)
def tokens(place: str) -> tuple[str, ...]:
    """The steps of a pointer. ValueError says what a place must look like."""
    if len(place) > POINTER_CHARACTERS_MAX:
        raise ValueError(f"is longer than {POINTER_CHARACTERS_MAX} characters")
    place = place.removeprefix(TOP)
    if place and not place.startswith("/"):
        raise ValueError(
            "must be a JSON pointer such as /data/id or body:/data/id, or a header such as header:X-Event-Name"
        )
    if _TILDE.search(place):
        raise ValueError("holds a ~ that is neither ~0 (a ~ itself) nor ~1 (a /)")
    found = tuple(each.replace("~1", "/").replace("~0", "~") for each in place.split("/")[1:])
    if len(found) > TOKENS_MAX:
        raise ValueError(f"goes deeper than {TOKENS_MAX} levels")
    return found


def check(place: str) -> None:
    """Raises ValueError for what is neither a pointer nor a header."""
    if not place.startswith(NAMED):
        tokens(place)
    elif not 0 < len(place) - len(NAMED) <= HEADER_CHARACTERS_MAX:
        raise ValueError("must name a header, such as header:X-Event-Name")


def find(document: object, headers: Mapping[str, str], place: str) -> list[object]:
    """The values at a place, without nulls. ValueError for an invalid place, TooManyMatches beyond FOUND_MAX values, found or looked through: a
    mapping has room for a thousand places, and each would go through all of a body."""
    if place.startswith(NAMED):
        text = headers.get(place.removeprefix(NAMED).lower())
        return [] if text is None else [text]
    found = [document]
    for token in tokens(place):
        if CHOSEN.fullmatch(token) and sum(len(each) for each in found if isinstance(each, list)) > FOUND_MAX:
            raise TooManyMatches(f"{place} looks through more than {FOUND_MAX} values")
        found = [value for each in found for value in _step(each, token)]
        if len(found) > FOUND_MAX:
            raise TooManyMatches(f"{place} finds more than {FOUND_MAX} values")
    return [value for value in found if value is not None]


def _step(value: object, token: str) -> Iterator[object]:
    if isinstance(value, dict):
        if token in value:
            yield value[token]
    elif isinstance(value, list):
        if token == "*":  # noqa: S105  a step, no password
            yield from value
        elif POSITION.fullmatch(token):
            yield from value[int(token) : int(token) + 1]
        elif chosen := CHOSEN.fullmatch(token):
            name, wanted = chosen[1], (chosen[2], *chosen[2].split("|"))
            yield from (
                each for each in value if isinstance(each, dict) and any(same(each.get(name), word) for word in wanted)
            )


def within(each: str, place: str) -> str:
    """The place, from the top of the body, of what a place means within the elements that `each` finds."""
    return place if place.startswith((NAMED, TOP)) else each + place


def same(value: object, wanted: object) -> bool:
    """Whether a value of a body equals one in a mapping: 7 and "7" do, true and 1 do not."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return shown(value).strip('"') == shown(wanted).strip('"')
    if value is None or isinstance(value, dict | list):
        return False
    try:
        return str(value) == str(wanted)
    except ValueError:
        return False  # A number of thousands of digits.


def gap(document: object, place: str) -> str:
    """Why there is no value at a place, for the author of the mapping: where the path ends, and what is there instead."""
    if place.startswith(NAMED):
        return f"the message has no header {place.removeprefix(NAMED)}"
    found: list[object] = [document]
    path = ""
    for token in tokens(place):
        after = [value for each in found for value in _step(each, token)][:FOUND_MAX]
        if not after:
            return f"nothing stands at {place}: {path or 'the body'} is {shown(found[0])}"
        found, path = after, f"{path}/{token.replace('~', '~0').replace('/', '~1')}"
    return f"{place} is {shown(found[0])}"


def shown(value: object) -> str:
    """A value as it is shown to a person, cut short."""
    if isinstance(value, dict):
        names = ", ".join(str(name)[:40] for name in list(value)[:NAMES_SHOWN_MAX])
        more = ", …" if len(value) > NAMES_SHOWN_MAX else ""
        return f"an object with {names}{more}" if value else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        cut = value if len(value) <= SHOWN_CHARACTERS_MAX else value[:SHOWN_CHARACTERS_MAX] + "…"
        return f'"{cut}"' if cut else "an empty text"
    try:
        return str(value)[:SHOWN_CHARACTERS_MAX]
    except ValueError:
        return "a number too long to show"
