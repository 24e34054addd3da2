"""Strict readers of JSON, texts, times and amounts that others wrote.

Nothing here trusts its input, and nothing raises anything but `Unreadable` (a body) or ValueError (a value in it).
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from app.domain import money
from app.domain.json_size import holds_more

TEXT_CHARACTERS_MAX = 200
"""Longest text of an order, in characters."""
DIGITS_MAX = 30
"""Digits of an amount on each side of the decimal point."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
"""Range of the times that are believed; beyond it stands a mistake (an empty epoch, milliseconds read as seconds)."""

VALUES_MAX = 250_000
"""Most values of a message that is read. A Shopify order of 1,000 lines has some 150,000 at most."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,12})?)?(?P<zone>[Zz]|[+-]\d\d:?\d\d)?", re.ASCII)
_UNKEPT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Unreadable(ValueError):
    """A body that cannot be read at all. reason: a stable word. detail: a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def read_json(body: bytes) -> object:
    """The JSON value of a body: fractions as Decimal, never float.

    Unreadable: `not_json` for anything that is not one UTF-8 JSON value (NaN and Infinity included), `duplicate_keys` for an object that
    has one name twice: which of the two counts would be a guess, `too_many_values` beyond VALUES_MAX, counted before anything is parsed.
    """
    if holds_more(body, VALUES_MAX):
        raise Unreadable("too_many_values", f"the body holds more than {VALUES_MAX} values")
    try:
        value = _decode(body)
        if not _is_complete(body, value):
            value = _read_slowly(body)
    except (ValueError, ArithmeticError, RecursionError):
        value = _read_slowly(body)
    if _awaited and _awaited[0] is body:
        _awaited[1:] = [value]
    return value


_awaited: list[object] = []


def remember(body: bytes) -> None:
    """Keep the value of this body when it is read, for `recall`: for speed alone, see docs/performance.md."""
    _awaited[:] = [body]


def recall(body: bytes) -> object:
    """The value of a body that was read since `remember`, else read now; it is the caller's to change. Raises Unreadable."""
    kept = _awaited[1:] if _awaited and _awaited[0] is body else []
    _awaited.clear()
    return kept[0] if kept else read_json(body)


# Twice as fast as json's decoder, which has to call back for every object to see a name twice. What this one refuses, or may have dropped, is
# read again by json's, whose verdict counts. `number`: a Decimal is written as it was read, not as a text.
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


def _is_complete(body: bytes, value: object) -> bool:
    """Whether the value certainly holds all of the body. False where it may have lost a pair whose name came again.

    Every pair has one colon outside of texts, and nothing else has; a lost pair takes at least that one with it. Colons inside of texts are the
    same before and after, unless they were escaped.
    """
    written = _encode(value)
    if written == body:
        return True
    # What most shop systems escape without need. Nothing else is written so, and removing these cannot create an escape that matters.
    if b"\\" in body and written == body.replace(b"\\/", b"/").replace(b"\\u0026", b"&"):
        return True
    return written.count(b":") == body.count(b":") and (b"\\" not in body or b"\\u003" not in body)


def _read_slowly(body: bytes) -> object:
    try:
        return load_json(body.decode("utf-8-sig"), parse_float=Decimal)
    except DuplicateName as error:
        raise Unreadable("duplicate_keys", f"{str(error)[:60]!r} stands twice in one object") from None
    except NotANumber as error:
        raise Unreadable("not_json", f"the body is not JSON: {error} is no number") from None
    except RecursionError:
        raise Unreadable("not_json", "the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Unreadable("not_json", f"the body is not JSON: {error.msg} at {where}") from None
    except (ValueError, ArithmeticError) as error:
        raise Unreadable("not_json", f"the body is not JSON: {error}"[:TEXT_CHARACTERS_MAX]) from None


class DuplicateName(ValueError):
    """An object has a name twice; the message is the name."""


class NotANumber(ValueError):
    """`NaN` or an infinity, which are not JSON; the message is the word."""


def load_json(text: str, *, parse_float: Callable[[str], object], parse_int: Callable[[str], object] = int) -> Any:
    """The value of a JSON text. Raises DuplicateName, NotANumber, JSONDecodeError, RecursionError, and what the two functions raise."""
    return json.loads(
        text, parse_float=parse_float, parse_int=parse_int, parse_constant=_refuse_constant, object_pairs_hook=_unique
    )


def _refuse_constant(name: str) -> object:
    raise NotANumber(name)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        raise DuplicateName(next(name for name, _ in pairs if name in seen or seen.add(name)))  # type: ignore[func-returns-value]
    return found


def read_text(value: object, *, characters_max: int = TEXT_CHARACTERS_MAX) -> str:
    """A text or whole number as a stripped text. ValueError says why not: another type, empty, too long, NUL and other control characters,
    lone surrogates (the last two could not be stored)."""
    text = value.strip() if type(value) is str else _read_number(value)
    if not text:
        raise ValueError("must not be empty")
    if len(text) > characters_max:
        raise ValueError(f"is longer than {characters_max} characters")
    # None of the refused characters is printable, but much that is not printable is kept: only such texts are searched.
    if not text.isprintable() and (unkept := _UNKEPT.search(text)) is not None:
        half = unkept[0] >= "\ud800"
        raise ValueError(
            "holds half a surrogate pair, which is not a character" if half else "holds control characters"
        )
    return text


def _read_number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("must be a text")
    try:
        return str(value).strip()
    except ValueError:
        raise ValueError("is too long a number") from None


def read_time(value: object) -> datetime:
    """An RFC 3339 time with its offset, as UTC. ValueError says why not; an offset is never guessed."""
    matched = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if matched is None:
        raise ValueError("must be a time such as 2026-11-21T18:00:00Z")
    if not matched["zone"]:
        raise ValueError("has no time zone; end it with Z or an offset such as +01:00")
    try:
        moment = datetime.fromisoformat(matched[0].upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is not a moment of the calendar") from None
    if not EARLIEST <= moment < LATEST:
        raise ValueError("must lie between the years 2000 and 2100")
    return moment


def read_major(value: object, currency: str, declared: money.Decimals = money.NONE_DECLARED) -> int:
    """An amount in major units, as a text ("49.90") or a JSON number, in minor units. ValueError for anything else, with a reason."""
    decimals = money.exponent(currency, declared)
    return money.minor_units(read_exact(value, currency, decimals), decimals)


def read_exact(value: object, currency: str, decimals: int) -> Decimal:
    """An amount as `read_major` reads it, in major units, with all its decimals."""
    if isinstance(value, str):
        return money.read_decimal(value, currency, decimals)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be an amount such as 49.90")
    try:
        exact = Decimal(value)
        # 1e999999 is eight characters long and a million digits wide: refused before it is written out.
        if not exact.is_finite() or (exact and not -DIGITS_MAX < exact.adjusted() < DIGITS_MAX):
            raise ValueError("the amount is absurd")
        return exact
    except ArithmeticError:
        raise ValueError("the amount is absurd") from None
