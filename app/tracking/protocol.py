"""uvicorn's HTTP protocol, answering a click on a known link by itself: no ASGI scope is handed on, no task made, no message sent.

Why: of a redirect's processor time under plain ASGI, more than half is uvicorn's task, its events and its header checks, for an answer whose
every byte is known as soon as the request's headers are. And a write to the spool for each click costs as much as the rest of its recording: the
clicks that arrive together, over however many connections, are recorded by one (`Batch`), and answered after it.

What is not plainly such a click is left to uvicorn, and so to the doors, as if this class were not there. Doors.take decides for both, and
Doors.record records for both, so that both do the same.

What of uvicorn 0.54 (pinned below 0.55: these are internals, tests/tracking/test_protocol.py holds them) is relied on:
- HttpToolsProtocol begins `url`, `headers` (a list, names in lower case), `expect_100_continue` and the scope, which holds that very list, at
  `on_message_begin`, fills them, and is called at `on_headers_complete`, before any body;
- `cycle` is the latest request that was handed on, None before the first; as long as its `response_complete` is False, an answer or several
  (`pipeline`) are still to come, and none may overtake them. `on_body` and `on_message_complete` take for granted that there is a cycle;
- `on_response_complete` counts the request, resumes reading (nothing pauses it before a redirect) and arms the keep-alive timer, which
  `data_received` disarms: a fifth of a redirect's time, and so done here by one timer for as long as the connection is open;
- between two of `on_headers_complete`, `on_body` and `on_message_complete`, what it was given is a head, or what a chunked body has beside its chunks;
- `flow.write_paused`: the peer does not read; an ASGI answer would wait;
- `send_400_response` writes the answer to what is no HTTP, `shutdown` and `eof_received` end the connection: nothing may wait in the batch then;
- `server_state.default_headers` holds the date and, while the worker stops, `Connection: close`: appended in place by app/server/web_worker.py, which is why
  its length is looked at too.
`limit_concurrency`, `root_path` and the access log are not heeded here; app/server/web_worker.py sets none of them.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.errors import AppError
from app.tracking.doors import Doors
from app.tracking.redirect import REDIRECT_HEADERS, PendingClick
from app.tracking.responses import Header, problem_response

BATCH_MAX_CLICKS = 256
METHODS = {b"GET": "GET", b"HEAD": "HEAD"}
CLOSE = b"connection: close\r\n"
HEAD_MAX_BYTES = 128 << 10
"""Of a request before its body (twice the largest report that a pixel makes of a query), and of what stands between and behind a body's chunks.
Neither parser nor uvicorn has an end to it: 100 MB of headers over one connection took a gigabyte of memory."""
PATH_SHOWN_CHARS = 200
HEAD_MAX_S = 65.0
"""From the connection, or from a request's first bytes, to the end of its headers; as long as an idle connection is kept (app/server/web_worker.py)."""


def _written(headers: Sequence[Header]) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


BEHIND = b"\r\n" + _written(REDIRECT_HEADERS)
"""From the end of the `Location` on, without the empty line."""

log = logging.getLogger("ariane.doors")


class HeadTooLarge(AppError):
    """The request line and the headers are over the named limit."""

    status = 431
    code = "head_too_large"


class Batch:
    """The clicks that one look at a worker's connections brought: recorded by one write, and only then answered."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._taps: list[PendingClick] = []
        self._waiting: list[FastRedirectProtocol] = []

    def add(self, tap: PendingClick, waiting: "FastRedirectProtocol") -> None:
        """Have this click recorded and its connection redirected, when the loop has read what there is to read."""
        if not self._taps:
            waiting.loop.call_soon(self.flush)
        self._taps.append(tap)
        self._waiting.append(waiting)
        if len(self._taps) >= BATCH_MAX_CLICKS:
            self.flush()

    def flush(self) -> None:
        """Now."""
        taps, waiting = self._taps, self._waiting
        if not taps:
            return  # somebody could not wait
        self._taps, self._waiting = [], []
        try:
            locations = self._doors.record(taps)
        except Exception:
            log.exception("%d clicks failed", len(taps))
            for each in waiting:
                each.transport.close()
            return
        for each, location in zip(waiting, locations, strict=True):
            each.redirect(location)


class FastRedirectProtocol(HttpToolsProtocol):
    """One connection. Made by uvicorn, from the class that `answering` returns."""

    doors: ClassVar[Doors]
    batch: ClassVar[Batch]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # What stands before the `Location`, and what it was made of.
        self._default_headers: list[Header] = []
        self._default_count = -1
        self._before = b""
        self._closes = False
        # Received since the parser last told of anything that ends: of a head that is still coming in.
        self._unread_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        # A click of ours is in the batch; whether the connection goes on after its answer.
        self._waits = False
        self._keeps = True
        # When the last redirect was sent, and what looks whether anything has followed.
        self._rests_since_s = 0.0
        self._rest: asyncio.TimerHandle | None = None
        self.url = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn, which would wait for a first request for ever."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_MAX_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn."""
        self._heard()
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """As uvicorn, after our answer: the transport takes none any more."""
        self._answer_queued()

    def shutdown(self) -> None:
        """As uvicorn, after our answer."""
        self._answer_queued()
        super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """As uvicorn, after our answer to what came before."""
        self._answer_queued()
        super().send_400_response(msg)

    def data_received(self, data: bytes) -> None:
        """As uvicorn; a head that never ends is refused, one that takes its time is waited for no longer than HEAD_MAX_S."""
        self._unread_bytes += len(data)
        super().data_received(data)
        if self._unread_bytes and not self.transport.is_closing():
            if self._unread_bytes > HEAD_MAX_BYTES:
                self._refuse()
            elif self._deadline is None and self._is_idle():
                self._deadline = self.loop.call_later(HEAD_MAX_S, self._give_up)

    def on_message_begin(self) -> None:
        """As uvicorn, but for the ASGI scope: it is made when a request is handed on."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Redirect at once if it can be done and no other answer is still to come; else let uvicorn go on."""
        self._heard()
        self._answer_queued()
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            if self.transport.is_closing():
                return  # what was sent behind the last request of a connection is not answered
            tap = None if self.flow.write_paused else self._take()
            if tap is not None:
                self._waits = True
                self._keeps = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"
                self.batch.add(tap, self)
                return
            # A redirect in the same packet has armed it, and this answer may take longer.
            self._unset_keepalive_if_required()
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """As uvicorn; there is no cycle when nothing was handed on yet."""
        self._heard()
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """As uvicorn, likewise."""
        self._heard()
        if self.cycle is not None:
            super().on_message_complete()

    def _answer_queued(self) -> None:
        """Whatever comes next on this connection comes after the answer that waits."""
        if self._waits:
            self.batch.flush()

    def _heard(self) -> None:
        self._unread_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _is_idle(self) -> bool:
        """No answer is to come: a body is waited for by whoever reads it, and what is asked behind it waits for the answer."""
        return self.cycle is None or self.cycle.response_complete

    def _give_up(self) -> None:
        self._deadline = None
        if self._is_idle():
            self.transport.close()

    def _refuse(self) -> None:
        """Say so where that would not be taken for the answer to another request; the sender goes on sending and may not read it."""
        self._answer_queued()
        if self._is_idle():
            path = self.url.partition(b"?")[0].decode("latin-1")[:PATH_SHOWN_CHARS]
            error = HeadTooLarge(f"the request line and the headers are larger than {HEAD_MAX_BYTES} bytes")
            body, told = problem_response(path, error)
            lines = [*self.server_state.default_headers, *told, (b"content-length", b"%d" % len(body))]
            # The worker may have said it already, because it stops.
            lines = [line for line in lines if line[0] != b"connection"]
            self.transport.write(STATUS_LINE[error.status] + _written(lines) + CLOSE + b"\r\n" + body)
        self.transport.close()

    def _take(self) -> PendingClick | None:
        """The request if it is a click on a known link; None when it is anything else."""
        url = self.url
        # One segment, as it stands: what is encoded, absolute or has a fragment is uvicorn's to take apart.
        path, _, query = url.partition(b"?")
        if path.rfind(b"/") != 0 or b"%" in path or b"#" in url:
            return None
        method = METHODS.get(self.parser.get_method())
        if method is None or self.parser.should_upgrade():
            return None
        headers = dict(self.headers)
        if b"content-length" in headers or b"transfer-encoding" in headers:
            return None
        try:
            # As latin-1 any bytes are text; no slug has such characters.
            return self.doors.take(method, path.decode("latin-1"), query, headers, self.headers, self.client)
        except Exception:
            # Raised into the parser it would become a 400. The doors have an answer for it.
            log.exception("%s %r failed", method, path)
            return None

    def redirect(self, location: bytes) -> None:
        """Write the whole answer to the click that waits, the same bytes as uvicorn would, and close or keep the connection as it would."""
        self._waits = False
        if self.transport.is_closing():
            return  # the visitor did not wait for it
        headers = self.server_state.default_headers
        if headers is not self._default_headers or len(headers) != self._default_count:
            self._default_headers, self._default_count = headers, len(headers)
            self._before = STATUS_LINE[302] + _written(headers) + b"location: "
            self._closes = (b"connection", b"close") in headers
        self.server_state.total_requests += 1
        if self._keeps and not self._closes:
            self.transport.write(self._before + location + BEHIND + b"\r\n")
            self._rests_since_s = self.loop.time()
            if self._rest is None:
                self._rest = self.loop.call_later(self.timeout_keep_alive, self._look_at_rest)
        else:
            self.transport.write(self._before + location + BEHIND + (b"\r\n" if self._closes else CLOSE + b"\r\n"))
            self.transport.close()

    def _look_at_rest(self) -> None:
        """Close the connection if nothing has come in for so long since the last redirect; else look again when that could be."""
        self._rest = None
        if self._waits or self.timeout_keep_alive_task is not None or self._deadline is not None or not self._is_idle():
            return  # another answer or half a request came last: the next redirect, uvicorn's timer or ours for heads goes on from there
        rest_s = self._rests_since_s + self.timeout_keep_alive - self.loop.time()
        if rest_s <= 0:
            self.transport.close()
        else:
            self._rest = self.loop.call_later(rest_s, self._look_at_rest)


def answering(doors: Doors) -> type[FastRedirectProtocol]:
    """The protocol of the worker with these doors, for uvicorn's `Config(http=…)`: uvicorn makes each connection's from a class."""
    return type("DoorsProtocol", (FastRedirectProtocol,), {"doors": doors, "batch": Batch(doors)})
