"""Reads a request body once and strictly: JSON that two readers could understand differently is refused, naming the field."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import isinf
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from fastapi import Request

from app.domain.json_size import JsonCount
from app.domain.strict_json import DuplicateName, NotANumber, load_json
from app.domain.text import storable
from app.errors import Malformed, TooLarge, UnsupportedType
from app.tracking.responses import read_body

FIELD_CHARACTERS_MAX = 200
"""Longest name of a field that a refusal repeats, in characters."""
DEPTH_MAX = 32
"""Most levels of nesting in a body; no request of ours has more than six."""
VALUES_MAX = 50_000
"""Most values in a body, counted before it is parsed: a thousand links, each with fifty."""
ESCAPES_MAX = 200_000
"""Most backslashes in a body: each costs as much as a value, but nobody writes a value with a thousand of them."""
TEXT_MAX_BYTES = 1 << 20
"""Longest text, number or space in a body, in bytes: a message of 1,000 lines, given as the sample of a mapping. A parser reads it at one go, and holds up
every click for some milliseconds a megabyte."""
NAMES_MAX = 500
"""Most names in one object of a body."""
PARAMETERS_MAX = 500
"""Most parameters in the query of an address."""
INLINE_BYTES = 16 << 10
"""Largest body that is parsed at once, in bytes: some milliseconds. A larger one is parsed in a thread, while clicks are answered."""

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")

# One thread: each more would keep the event loop waiting for another turn of 5 ms.
_parser = ThreadPoolExecutor(1, "bodies")


async def aside(work: Callable[[Argument], Answer], argument: Argument) -> Answer:
    """Do what takes some milliseconds of the processor in the one thread that large bodies are parsed in, while clicks are answered."""
    return await asyncio.get_running_loop().run_in_executor(_parser, work, argument)


class StrictRequest(Request):
    """A request whose body has been read and parsed already."""

    raw_body: bytes = b""
    parsed_body: Any = None

    async def body(self) -> bytes:
        """The raw bytes."""
        return self.raw_body

    async def json(self) -> Any:
        """The parsed body."""
        return self.parsed_body


async def read_request(request: Request, max_bytes: int) -> StrictRequest:
    """The request with its body read. Raises Malformed, TooLarge, TooSlow or UnsupportedType."""
    strict = StrictRequest(request.scope, request.receive)
    check_address(request)
    check = _Check()
    strict.raw_body = await read_body(request.scope, request.receive, max_bytes, check)
    if strict.raw_body:
        content_type = request.headers.get("content-type", "")
        kind = content_type.partition(";")[0].strip().lower()
        if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
            raise UnsupportedType(f"send application/json, not {kind or 'a body without a Content-Type'}")
        if len(strict.raw_body) <= INLINE_BYTES:
            strict.parsed_body = parse_json(strict.raw_body)
        else:
            strict.parsed_body = await aside(parse_json, strict.raw_body)
    return strict


class _Check:
    """Refuses a body that would cost too much to parse, as soon as that shows. Raises TooLarge."""

    def __init__(self) -> None:
        self._count = JsonCount()

    def __call__(self, part: bytes) -> None:
        self._count.feed(part)
        if self._count.values > VALUES_MAX:
            raise TooLarge(f"the body holds more than {VALUES_MAX} values; send it in parts", code="too_many_values")
        if self._count.escapes > ESCAPES_MAX:
            raise TooLarge(f"the body holds more than {ESCAPES_MAX} backslashes", code="too_many_values")
        if self._count.run_bytes > TEXT_MAX_BYTES:
            raise TooLarge(f"a text in the body is longer than {TEXT_MAX_BYTES} bytes", code="body_too_large")


def check_address(request: Request) -> None:
    """Refuses NUL in path and query, because PostgreSQL cannot store it, and more than PARAMETERS_MAX parameters."""
    raw_query = request.scope.get("query_string", b"")
    if raw_query.count(b"&") >= PARAMETERS_MAX:
        raise Malformed(f"the address has more than {PARAMETERS_MAX} parameters", code="too_many_parameters")
    if b"%00" in raw_query or b"\x00" in raw_query:
        for pair in raw_query.split(b"&"):
            if b"\x00" in unquote_to_bytes(pair):
                name = unquote_to_bytes(pair.partition(b"=")[0]).decode("utf-8", "replace").replace("\x00", "")
                raise _malformed(name, "contains a NUL character", "nul_character")
    if "\x00" in request.url.path or "\x00" in request.scope["path"]:
        raise Malformed("the path contains a NUL character", code="nul_character")


def parse_json(raw: bytes) -> Any:
    """The value of a JSON text. Raises Malformed for anything that is not exactly one: broken UTF-8, duplicate keys, NaN and infinity,
    numbers of absurd length, NUL characters, lone surrogates, nesting beyond DEPTH_MAX."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"the body is not UTF-8: byte {error.start} does not fit", code="not_utf8") from None
    try:
        value = load_json(text, parse_float=_finite, parse_int=_bounded)
    except DuplicateName as error:
        raise _malformed(str(error), "stands twice in one object", "duplicate_key") from None
    except NotANumber as error:
        raise Malformed(f"{error} is not JSON", code="not_json") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"the body is not JSON: {error.msg} at character {error.pos}", code="not_json") from None
    except RecursionError:
        raise Malformed(f"the body is nested deeper than {DEPTH_MAX} levels", code="too_deep") from None
    # In valid JSON a NUL or a surrogate can only come from an escape.
    _check(value, (), escapes="\\u" in text)
    return value


def _finite(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise Malformed(f"the number {text[:40]} is out of range", code="number_out_of_range")
    return value


def _bounded(text: str) -> int:
    if len(text) > 40:
        raise Malformed(f"the number {text[:40]}… is out of range", code="number_out_of_range")
    return int(text)


def _check(value: Any, path: tuple[str, ...], *, escapes: bool) -> None:
    if len(path) >= DEPTH_MAX and isinstance(value, dict | list):
        raise Malformed(f"the body is nested deeper than {DEPTH_MAX} levels", code="too_deep")
    if isinstance(value, dict):
        if len(value) > NAMES_MAX:
            where = f"{'.'.join(path)[:100]} has" if path else "the body has"
            raise Malformed(f"{where} more than {NAMES_MAX} fields", code="too_many_fields")
        for key, item in value.items():
            if escapes:
                _check_text(key, (*path, key))
            if not isinstance(item, int | float | None):
                _check(item, (*path, key), escapes=escapes)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if not isinstance(item, int | float | None):
                _check(item, (*path, str(index)), escapes=escapes)
    elif isinstance(value, str) and escapes:
        _check_text(value, path)


def _check_text(text: str, path: tuple[str, ...]) -> None:
    if "\x00" in text:
        raise _malformed(".".join(path), "contains a NUL character", "nul_character")
    try:
        # In C; looking at each character takes a hundred times as long.
        text.encode()
    except UnicodeEncodeError:
        raise _malformed(".".join(path), "contains half a character (a lone surrogate)", "lone_surrogate") from None


def _malformed(field: str, reason: str, code: str) -> Malformed:
    return Malformed.field(storable(field, FIELD_CHARACTERS_MAX), reason, code=code)
