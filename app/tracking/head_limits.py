"""uvicorn's HTTP protocol with an end to a request's head: at most HEAD_MAX_BYTES long, complete within HEAD_MAX_S; and with addresses in raw UTF-8.

Neither the parser nor uvicorn limits either: 100 MB of headers over one connection took a gigabyte of memory. The limits hold with and without
the fast redirect (protocol.py), on every uvicorn that pyproject.toml allows. What of its internals is relied on has not changed in years:
- HttpToolsProtocol is called at `on_message_begin`, `on_headers_complete`, `on_body` and `on_message_complete`. Between two of the last three, the
  bytes received belong to a head, or stand around the chunks of a body;
- `cycle` is the latest request given to the application, None before the first; `response_complete` says whether its answer was sent.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.errors import AppError
from app.tracking.responses import Header, problem

HEAD_MAX_BYTES = 128 << 10
"""Largest request line with headers, and largest framing around a body's chunks: twice the largest report of a pixel, which is a query."""
HEAD_MAX_S = 65.0
"""Longest wait for complete headers, from the connection or a request's first bytes; as long as an idle connection is kept (web_worker.py)."""
RAW = re.compile(rb"[\x80-\xff]")
"""What programs and some old browsers put into a request line without escaping it; the parser would refuse the request."""
CLOSE_LINE = b"connection: close\r\n"
PATH_SHOWN_CHARS = 200


class HeadTooLarge(AppError, status=431, code="head_too_large"):
    """The request line and the headers are over the named limit."""


def header_lines(headers: Sequence[Header]) -> bytes:
    """Headers as they are sent."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


class LimitedHeadProtocol(HttpToolsProtocol):
    """One connection, made by uvicorn."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.url = b""
        # Bytes received since the parser last completed anything.
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        # Whether the next bytes begin a request, and whether those received so far end within a request line.
        self._between = True
        self._in_line = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # uvicorn would wait for the first request without end.
        self._head_timer = self.loop.call_later(HEAD_MAX_S, self._on_head_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        if self._between or self._in_line:
            data = self._escape_line(data)
        super().data_received(data)
        if self._head_bytes and not self.transport.is_closing():
            if self._head_bytes > HEAD_MAX_BYTES:
                self._refuse_head()
            elif self._head_timer is None and self._is_idle():
                self._head_timer = self.loop.call_later(HEAD_MAX_S, self._on_head_timeout)

    def on_message_begin(self) -> None:
        self._between = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._end_head()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._between = True
        self._end_head()
        super().on_message_complete()

    def _escape_line(self, data: bytes) -> bytes:
        """The data with the raw bytes of the request line that it begins or goes on with percent-encoded. Not of a later request in the same packet: nobody
        who pipelines sends any.
        """
        end = data.find(b"\n")
        self._in_line = end < 0
        line, rest = (data, b"") if end < 0 else (data[:end], data[end:])
        if line.isascii():
            return data
        return RAW.sub(lambda found: b"%%%02X" % found[0][0], line) + rest

    def _end_head(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _is_idle(self) -> bool:
        """Whether no answer is under way. The reader of a body has a timeout of its own, and a pipelined request waits for the answer before it."""
        return self.cycle is None or self.cycle.response_complete

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        if self._is_idle():
            self.transport.close()

    def _refuse_head(self) -> None:
        """Answer 431 where it cannot be taken for the answer to another request, and close. A client that is still sending may not read it."""
        if self._is_idle():
            path = self.url.partition(b"?")[0].decode("latin-1")[:PATH_SHOWN_CHARS]
            error = HeadTooLarge(f"the request line and the headers are larger than {HEAD_MAX_BYTES} bytes")
            answer = problem(path, error)
            # A worker that stops has `Connection: close` among its default headers.
            headers = [each for each in self.server_state.default_headers if each[0] != b"connection"]
            head = STATUS_LINE[answer.status] + header_lines([*headers, *answer.all_headers()]) + CLOSE_LINE
            self.transport.write(head + b"\r\n" + answer.body)
        self.transport.close()
