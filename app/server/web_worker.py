"""A web worker: uvicorn on a socket that the parent holds. `python -m app.server.web_worker FD`

The doors answer first; the API, whose import takes most of the start, follows in a thread. On TERM no request is lost: every answer says
`Connection: close`, what is just connecting is still accepted, open connections are let finish, and only then uvicorn shuts down. uvicorn's own
order, closing idle connections at once, loses the requests that are on their way over them.
"""

import asyncio
import ctypes
import errno
import gc
import logging
import os
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

from uvicorn.config import Config
from uvicorn.server import Server

from app.clock import monotonic_s
from app.server.app import create_api
from app.settings import Settings, read_settings
from app.tracking.doors import Doors, open_doors
from app.tracking.protocol import protocol_class

BACKLOG = 2_048
KEEP_ALIVE_S = 65
"""Above the 60 s of the usual proxies, which would otherwise send a request over a connection that is being closed."""
DATE_S = 1.0
LATE_HANDSHAKES_S = 0.2
"""A handshake under way ends within one round trip, and its connection is then in the queue."""
OPEN_CONNECTIONS_S = 1.0
POLL_S = 0.005
SWITCH_S = 0.001
"""How long another thread may keep the interpreter from the loop; redirects are answered while the API is being imported."""
RUNNING_REQUESTS_S = 5
LEAVE_S = 2.0
CLOSE = (b"connection", b"close")
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27  # <linux/socket.h>; the socket module does not name them
OUT_OF_MEANS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Why `accept` fails again and again with the same connection: asking once more would never end."""
# Classic BPF over the TCP header, as in <linux/filter.h>: load the flags, keep SYN and ACK, drop the packet if it is SYN alone.
DROP_SYN = (
    (0x30, 0, 0, 13),
    (0x54, 0, 0, 0x12),
    (0x15, 0, 1, 0x02),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 0xFFFF_FFFF),
)

log = logging.getLogger("ariane.web")


class WebWorker:
    """The doors, and behind them the API, on one socket; from the first redirect to the last answer."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self.settings = settings
        self.listener = listener
        self.open = AsyncExitStack()

    async def run(self) -> None:
        """Serve until SIGTERM. Raises whatever the doors raise at their start: the parent then tries again."""
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        doors = open_doors(self.settings)
        await doors.start()
        self.open.push_async_callback(doors.stop)
        server = await self._listen(doors)
        dating = asyncio.create_task(self._date(server))
        loading = asyncio.create_task(self._open_api(doors))
        await stop.wait()
        doors.stopping = True
        await self._let_finish(server)
        dating.cancel()
        await server.shutdown(sockets=[self.listener])
        async with asyncio.timeout(LEAVE_S):
            await self.open.aclose()
        if not loading.done():
            os._exit(0)  # an import cannot be interrupted, and Python would wait for it; all that matters is closed

    async def _listen(self, doors: Doors) -> Server:
        config = Config(
            doors,
            http=protocol_class(doors, fast=self.settings.fast_redirects == "on"),
            ws="none",
            lifespan="off",
            backlog=BACKLOG,
            access_log=False,
            log_config=None,
            proxy_headers=False,  # X-Forwarded-For is read by the doors, from ARIANE_TRUSTED_PROXIES only
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=RUNNING_REQUESTS_S,
        )
        config.load()
        _accept_handshakes(self.listener)
        server = Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.on_tick(0)
        await server.startup(sockets=[self.listener])
        return server

    async def _date(self, server: Server) -> None:
        """Keeps the Date header right. uvicorn's own loop does it too, and wakes ten times a second for nothing else that we use."""
        while True:
            await asyncio.sleep(DATE_S)
            await server.on_tick(0)

    async def _open_api(self, doors: Doors) -> None:
        gc.disable()  # nearly all that an import makes stays: looking through it again and again takes a fifth of the time
        try:
            api = await asyncio.to_thread(create_api, self.settings)
            await self.open.enter_async_context(api.router.lifespan_context(api))
            doors.api = api
        except Exception:
            # Redirects and webhooks do not need it: they go on, /v1 answers 503, and /readyz says that the API is missing.
            log.exception("the API cannot be loaded")
        # What is there now stays for ever: without this the first burst of requests waits 0.1 s for a full collection.
        gc.collect()
        gc.freeze()
        gc.enable()

    async def _let_finish(self, server: Server) -> None:
        """Take no new connection and wait until the open ones have been closed by their last answer, for a second at most."""
        server.config.encoded_headers.append(CLOSE)
        server.server_state.default_headers.append(CLOSE)  # in place: requests under way hold this very list
        _begin_no_handshake(self.listener)
        await asyncio.sleep(LATE_HANDSHAKES_S)
        # The loop closes its descriptor some turns later; ours is the last, and closed when the queue is empty.
        last = self.listener.dup()
        for listening in server.servers:
            listening.close()
        self.listener.close()
        last.setblocking(False)
        while (connection := _next_in_queue(last)) is not None:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: self._protocol(server), connection)
        last.close()
        await _until(lambda: not server.server_state.connections)
        # Those left are idle and closed next. A request that has arrived and was not read yet makes its connection not idle.
        await _until(lambda: not _any_readable(server))

    def _protocol(self, server: Server) -> asyncio.Protocol:
        """What uvicorn makes for a connection."""
        kind: Any = server.config.http_protocol_class
        made: asyncio.Protocol = kind(
            config=server.config, server_state=server.server_state, app_state=server.lifespan.state
        )
        return made


def _any_readable(server: Server) -> bool:
    """Whether something waits to be read on any connection."""
    waiting = select.poll()
    for connection in server.server_state.connections:
        transport: Any = connection.transport
        if not transport.is_closing():
            waiting.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(waiting.poll(0))


async def _until(done: Callable[[], bool]) -> None:
    """Wait for something that uvicorn and the kernel tell nobody about, for a second at most."""
    deadline = monotonic_s() + OPEN_CONNECTIONS_S
    while not done() and monotonic_s() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)


def _accept_handshakes(listener: socket.socket) -> None:
    """Undo `_begin_no_handshake`: the socket is the parent's, and a worker ended by hand leaves it to its successor as it was."""
    with suppress(OSError):  # there was nothing to undo
        listener.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


def _begin_no_handshake(listener: socket.socket) -> None:
    """From now on the kernel drops the first packet (SYN) of every new connection, while handshakes under way and open connections go on.

    A connection that completes between the last accept and the close would be reset, and the request on it lost: the client has seen it open.
    One whose first packet is dropped asks again a second later, and finds the service that followed us, or is refused, having sent nothing.
    (Shrinking the backlog instead drops the *last* packet of a handshake, after which the client believes itself connected.)
    """
    packed = b"".join(struct.pack("HBBI", *instruction) for instruction in DROP_SYN)
    program = ctypes.create_string_buffer(packed)
    try:
        listener.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(DROP_SYN), ctypes.addressof(program))
        )
    except OSError as error:
        log.warning("a connection made in the very moment of stopping may be reset: %s", error)


def _next_in_queue(listener: socket.socket) -> socket.socket | None:
    """The next connection that waits to be accepted; None when there is none."""
    while True:
        try:
            return listener.accept()[0]
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in OUT_OF_MEANS:
                log.error("connections that wait to be accepted are reset: %s", error)
                return None
            continue  # it has gone away meanwhile


def main() -> None:
    """Serve on the inherited socket whose descriptor is the only argument."""
    settings = read_settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # uvicorn reports every malformed request as a warning: anyone could fill the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    # The trial of a source asks our own doors; the client would log their addresses, and with them the tokens of postbacks.
    for client in ("httpx2", "httpcore2"):
        logging.getLogger(client).setLevel(logging.WARNING)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sys.setswitchinterval(SWITCH_S)
    listener = socket.socket(fileno=int(sys.argv[1]))
    with asyncio.Runner(loop_factory=Config("", log_config=None).get_loop_factory()) as runner:
        try:
            runner.run(WebWorker(settings, listener).run())
        except Exception:
            log.exception("the worker cannot go on")
            os._exit(1)  # at once: an orderly end would wait for connections that nobody answers any more


if __name__ == "__main__":
    main()
