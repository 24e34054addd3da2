"""The wire between browser and service: passes every request on, and remembers it as it was sent.

Browsers do not show their preflights to the page, nor to a test that drives them; what arrives here is what was really sent.
"""

import json
import sys
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as the browser sent it; header names in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, object]:
        """What a beacon or pixel said: its JSON body, else its query."""
        return dict(json.loads(self.body)) if self.body else dict(parse_qsl(self.query))


class Wire:
    """A proxy on a free port of 127.0.0.1. Set `upstream` ("host:port") before anybody calls."""

    def __init__(self) -> None:
        self.upstream = ""
        self.sent: list[Sent] = []
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                address = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                wire.sent.append(Sent(self.command, address.path, address.query, headers, body))
                connection = HTTPConnection(wire.upstream, timeout=10)
                try:
                    connection.request(self.command, self.path, body, headers)
                    answer = connection.getresponse()
                    payload = answer.read()
                finally:
                    connection.close()
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                        self.send_header(name, value)
                if answer.status != 204:
                    self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = do_OPTIONS = pass_on  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Nothing on the terminal: `sent` is the record."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()


class Quiet(ThreadingHTTPServer):
    """A server that takes a browser's hanging up for what it is: a page that is gone."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Called within the except block; only a closed connection is expected here."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]
