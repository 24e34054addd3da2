"""Reads a request body once and strictly: JSON that two readers could understand differently is refused, naming the field."""

import json
from math import isinf
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import Request

from app.domain.strict_json import DuplicateName, NotANumber, load_json
from app.domain.text import storable
from app.errors import Malformed, UnsupportedType
from app.tracking.responses import read_body

DEPTH_MAX = 32
"""Most levels of nesting in a body; no request of ours has more than six."""


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
    strict.raw_body = await read_body(request.scope, request.receive, max_bytes)
    if strict.raw_body:
        content_type = request.headers.get("content-type", "")
        kind = content_type.partition(";")[0].strip().lower()
        if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
            raise UnsupportedType(f"send application/json, not {kind or 'a body without a Content-Type'}")
        strict.parsed_body = parse_json(strict.raw_body)
    return strict


def check_address(request: Request) -> None:
    """Refuses NUL in path and query: no text of ours has one, and PostgreSQL cannot store it."""
    raw_query = request.scope.get("query_string", b"")
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
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise _malformed(".".join(path), "contains half a character (a lone surrogate)", "lone_surrogate")


def _malformed(field: str, reason: str, code: str) -> Malformed:
    return Malformed.field(storable(field), reason, code=code)
