"""Answers of the doors: problems like the API's, small pages for people, and plain bodies."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import msgspec

from app import random_ids
from app.domain import ids
from app.errors import (
    FAULTS_SHOWN_MAX,
    AppError,
    Gone,
    MethodRefused,
    NotFound,
    TooLarge,
    TooSlow,
    Unauthorized,
    Unavailable,
)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

BODY_MAX_S = 60.0
"""Longest wait for a whole body, at the doors and the API: the connection of a silent sender may never break."""
NOSNIFF: Header = (b"x-content-type-options", b"nosniff")
NO_STORE: Header = (b"cache-control", b"no-store")
NOINDEX: Header = (b"x-robots-tag", b"noindex")
PAGE = Template((Path(__file__).parent / "page.html").read_text())


class Answer(NamedTuple):
    """A whole answer. headers: without Content-Length."""

    status: int
    body: bytes = b""
    headers: Sequence[Header] = ()

    def all_headers(self) -> list[Header]:
        """The headers with Content-Length."""
        length = () if self.status == 204 else ((b"content-length", str(len(self.body)).encode()),)
        return [*self.headers, *length]

    async def send(self, send: Send) -> None:
        """Send it over ASGI."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.all_headers()})
        await send({"type": "http.response.body", "body": self.body})


def json_answer(status: int, content: object) -> Answer:
    """A JSON answer with `Cache-Control: no-store`."""
    return Answer(status, msgspec.json.encode(content), [(b"content-type", b"application/json"), NO_STORE])


def problem(path: str, error: AppError, *more: Header) -> Answer:
    """An RFC 9457 problem with the same fields as the API's problems."""
    request_id = ids.show("request", random_ids.new_id())
    errors = [
        {"field": field.field, "detail": field.reason, "code": field.code} for field in error.fields[:FAULTS_SHOWN_MAX]
    ]
    content = error.problem(path, request_id, errors, max(0, len(error.fields) - FAULTS_SHOWN_MAX))
    headers = [
        (b"content-type", b"application/problem+json"),
        NO_STORE,
        NOSNIFF,
        (b"x-request-id", request_id.encode()),
    ]
    if isinstance(error, TooSlow):
        headers.append((b"connection", b"close"))
    if error.retryable:
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    if isinstance(error, Unauthorized):
        # RFC 9110 requires a challenge with every 401; signatures have no registered scheme.
        headers.append((b"www-authenticate", b'Signature realm="ariane"'))
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Answer(error.status, body, [*headers, *more])


def method_refused(scope: Scope, *allowed: str) -> Answer:
    """A 405 with the allowed methods."""
    methods = ", ".join(allowed)
    error = MethodRefused(f"{scope['method']} is not offered here, only {methods}")
    return problem(scope["path"], error, (b"allow", methods.encode()))


def page(status: int, title: str, text: str, *more: Header, language: str = "en") -> Answer:
    """A small self-contained page, mostly for visitors of dead links. title: plain text; text: trusted HTML."""
    body = PAGE.substitute(title=title, text=text, language=language).encode()
    security = (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
    headers = [(b"content-type", b"text/html; charset=utf-8"), NO_STORE, NOINDEX, NOSNIFF, security, *more]
    headers.append((b"content-language", language.encode()))
    return Answer(status, body, headers)


PROBLEMS: dict[int, AppError] = {
    404: NotFound("no link of this name is here", code="no_such_path"),
    410: Gone("this link is no longer active"),
    503: Unavailable("it cannot be looked up at the moment", code="unavailable"),
}
"""What the pages for people say, by their status, in the words of the API."""


def as_problem(scope: Scope, answer: Answer) -> Answer:
    """The answer, or the problem in place of a page for people where the request asks for JSON: a browser always names HTML, too."""
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"").lower()
    error = PROBLEMS.get(answer.status)
    if error is None or b"json" not in accept or b"text/html" in accept or not _is_page(answer):
        return answer
    return problem(scope["path"], error, NOINDEX)


def _is_page(answer: Answer) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/html") for name, value in answer.headers)


async def read_body(
    scope: Scope, receive: Receive, limit_bytes: int, check: Callable[[bytes], None] | None = None
) -> bytes:
    """The whole body. check: called with each part as it arrives; what it raises ends the reading.

    Raises TooLarge (before reading if Content-Length exceeds the limit), TooSlow, or ConnectionError when the sender hangs up.
    """
    content_length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    if content_length.isdigit() and int(content_length) > limit_bytes:
        raise _too_large(limit_bytes)
    parts: list[bytes] = []
    size_bytes = 0
    # asyncio.timeout does the same at three times the cost, a fiftieth of a whole webhook.
    task = asyncio.current_task()
    late = False

    def give_up() -> None:
        nonlocal late
        late = task is not None and task.cancel()

    timer = asyncio.get_running_loop().call_later(BODY_MAX_S, give_up)
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("the sender hung up")
            part = message.get("body", b"")
            size_bytes += len(part)
            if size_bytes > limit_bytes:
                raise _too_large(limit_bytes)
            if check is not None:
                check(part)
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)
    except asyncio.CancelledError:
        # Cancelled by the timer alone, not also by a worker that stops.
        if late and task is not None and not task.uncancel():
            raise TooSlow(f"the body did not come in within {BODY_MAX_S:.0f} s; send it again") from None
        raise
    finally:
        timer.cancel()


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the body is larger than {limit_bytes} bytes", code="body_too_large")
