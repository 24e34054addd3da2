"""The fast path of the redirect: a click on a known link is answered inside uvicorn's protocol, without an ASGI scope, task or message.

For speed alone; what it buys and costs, and the switch (ARIANE_FAST_REDIRECTS): docs/performance.md. Under plain ASGI more than half of a redirect's
processor time is uvicorn's task, its events and its header checks, for an answer whose every byte is known once the request's headers are. A
write to the spool per click costs as much as the rest of its recording, so the clicks that arrive together, over any number of connections,
are recorded by one write (`Batch`) and answered after it.

Any other request goes to uvicorn and so to the doors, as if this class were not there. Both ways call Doors.prepare and Doors.record.

Relies on internals of uvicorn TESTED_UVICORN (tests/tracking/test_protocol.py holds them; with any other version the fast path stays off):
- at `on_message_begin` HttpToolsProtocol sets `url`, `headers` (a list, names in lower case), `expect_100_continue` and the scope, which holds
  that very list; it fills them, and calls `on_headers_complete` before any body;
- while `cycle.response_complete` is False, one or several answers (`pipeline`) are still to come, and none may overtake them. `on_body` and
  `on_message_complete` assume that there is a cycle;
- `on_response_complete` counts the request, resumes reading (nothing pauses it before a redirect) and starts the keep-alive timer, which
  `data_received` stops: a fifth of a redirect's time, so one timer for the whole connection does it here;
- `flow.write_paused`: the client does not read; an ASGI answer would wait;
- `send_400_response` answers malformed requests, `shutdown` and `eof_received` end the connection: the batch is flushed before each;
- `server_state.default_headers` holds the date and, while the worker stops, `Connection: close`, appended in place by web_worker.py: its length
  is therefore compared too.
`limit_concurrency`, `root_path` and the access log are not supported here; web_worker.py sets none of them.
"""

import asyncio
import logging
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.tracking.doors import Doors
from app.tracking.head_limits import CLOSE_LINE, LimitedHeadProtocol, header_lines
from app.tracking.redirect import REDIRECT_HEADERS, PendingClick
from app.tracking.responses import Header

TESTED_UVICORN = "0.54"
BATCH_MAX_CLICKS = 256
METHODS = {b"GET": "GET", b"HEAD": "HEAD"}
AFTER_LOCATION = b"\r\n" + header_lines(REDIRECT_HEADERS)
"""The rest of the answer after the value of `Location`, without the empty line."""

log = logging.getLogger("ariane.doors")


class Batch:
    """The clicks that one pass of the loop over a worker's connections brought: recorded by one write, then answered."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._clicks: list[PendingClick] = []
        self._connections: list[FastRedirectProtocol] = []

    def add(self, click: PendingClick, connection: "FastRedirectProtocol") -> None:
        """Record this click and redirect its connection once the loop has read all connections that are readable now."""
        if not self._clicks:
            connection.loop.call_soon(self.flush)
        self._clicks.append(click)
        self._connections.append(connection)
        if len(self._clicks) >= BATCH_MAX_CLICKS:
            self.flush()

    def flush(self) -> None:
        """Record and answer everything queued; does nothing when it was flushed before."""
        clicks, connections = self._clicks, self._connections
        if not clicks:
            return
        self._clicks, self._connections = [], []
        try:
            locations = self._doors.record(clicks)
        except Exception:
            log.exception("%d clicks failed", len(clicks))
            for connection in connections:
                connection.transport.close()
            return
        for connection, location in zip(connections, locations, strict=True):
            connection.redirect(location)


class FastRedirectProtocol(LimitedHeadProtocol):
    """One connection, made by uvicorn from the class that `protocol_class` returns."""

    doors: ClassVar[Doors]
    batch: ClassVar[Batch]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # The answer up to the value of `Location`, and the default headers that it was made from.
        self._before_location = b""
        self._default_headers: list[Header] = []
        self._default_count = -1
        self._stopping = False
        self._queued = False
        self._keep_alive = True
        self._idle_since_s = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        super().connection_lost(exc)

    def eof_received(self) -> None:
        self._flush_batch()  # the transport takes no answer after this

    def shutdown(self) -> None:
        self._flush_batch()
        super().shutdown()

    def send_400_response(self, msg: str) -> None:
        self._flush_batch()
        super().send_400_response(msg)

    def on_message_begin(self) -> None:
        """What uvicorn does, except for the ASGI scope: `on_headers_complete` makes it for a request that is not redirected here."""
        self._between = False
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Queue the click if no other answer is still to come; else let uvicorn go on."""
        self._end_head()
        self._flush_batch()
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            if self.transport.is_closing():
                return  # pipelined after the last request of this connection: not answered
            click = None if self.flow.write_paused else self._click()
            if click is not None:
                self._queued = True
                self._keep_alive = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"
                self.batch.add(click, self)
                return
            # Started by uvicorn after an answer in this same packet; the answer to this request may take longer.
            self._unset_keepalive_if_required()
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.cycle is not None:
            super().on_body(body)
        else:
            self._end_head()

    def on_message_complete(self) -> None:
        if self.cycle is not None:
            super().on_message_complete()
        else:
            self._between = True
            self._end_head()

    def _flush_batch(self) -> None:
        """Answer the click of this connection before anything else happens on it."""
        if self._queued:
            self.batch.flush()

    def _refuse_head(self) -> None:
        self._flush_batch()
        super()._refuse_head()

    def _click(self) -> PendingClick | None:
        """The request if it is a click on a known link, else None."""
        url = self.url
        # A single path segment without escapes. Encoded and absolute URLs and those with a fragment are left to uvicorn.
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
            # Any bytes decode as latin-1; no slug has characters beyond ASCII.
            return self.doors.prepare(method, path.decode("latin-1"), query, headers, self.headers, self.client)
        except Exception:
            # Raised into the parser it would become a 400; the doors answer it with a 500.
            log.exception("%s %r failed", method, path)
            return None

    def redirect(self, location: bytes) -> None:
        """Write the answer to the queued click, byte for byte as uvicorn would, and close or keep the connection as it would."""
        self._queued = False
        if self.transport.is_closing():
            return  # the visitor has gone away
        headers = self.server_state.default_headers
        if headers is not self._default_headers or len(headers) != self._default_count:
            self._default_headers, self._default_count = headers, len(headers)
            self._before_location = STATUS_LINE[302] + header_lines(headers) + b"location: "
            self._stopping = (b"connection", b"close") in headers
        self.server_state.total_requests += 1
        if self._keep_alive and not self._stopping:
            self.transport.write(self._before_location + location + AFTER_LOCATION + b"\r\n")
            self._idle_since_s = self.loop.time()
            if self._idle_timer is None:
                self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)
        else:
            close = b"" if self._stopping else CLOSE_LINE
            self.transport.write(self._before_location + location + AFTER_LOCATION + close + b"\r\n")
            self.transport.close()

    def _close_if_idle(self) -> None:
        """Close the connection if nothing has followed the last redirect for the keep-alive time; else check again when that could be so."""
        self._idle_timer = None
        if (
            self._queued
            or self.timeout_keep_alive_task is not None
            or self._head_timer is not None
            or not self._is_idle()
        ):
            return  # a later request is under way: the next redirect, uvicorn's timer or the head's timer takes over
        left_s = self._idle_since_s + self.timeout_keep_alive - self.loop.time()
        if left_s <= 0:
            self.transport.close()
        else:
            self._idle_timer = self.loop.call_later(left_s, self._close_if_idle)


def protocol_class(doors: Doors, *, fast: bool) -> type[LimitedHeadProtocol]:
    """The protocol of the worker with these doors, for uvicorn's `Config(http=…)`; uvicorn makes one of it for each connection.

    fast: ARIANE_FAST_REDIRECTS. Has no effect on a uvicorn whose internals were not tested; the log says so once.
    """
    if fast and not uvicorn.__version__.startswith(f"{TESTED_UVICORN}."):
        fast = False
        log.warning(
            "uvicorn %s is installed, the fast redirect is made for %s: redirects take the ordinary way, at about half the speed",
            uvicorn.__version__, TESTED_UVICORN,
        )  # fmt: skip
    if not fast:
        return LimitedHeadProtocol
    return type("DoorsProtocol", (FastRedirectProtocol,), {"doors": doors, "batch": Batch(doors)})
