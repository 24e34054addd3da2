"""A web worker: uvicorn on sockets that the parent holds. `python -m app.server.web_worker FD [FD of the internal address]`

The doors answer first; the API, whose import takes most of the start, is loaded in a thread. On TERM no request is lost: every answer says
`Connection: close`, handshakes under way are still accepted, open connections may finish, and only then uvicorn shuts down. uvicorn's own order,
closing idle connections first, loses the requests that are on their way over them.
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
from app.tracking.doors import Doors
from app.tracking.protocol import protocol_class

BACKLOG = 2_048
KEEP_ALIVE_S = 65
"""Longer than the 60 s of the usual proxies, which would otherwise send a request over a connection that is being closed."""
DATE_S = 1.0
LATE_HANDSHAKES_S = 0.2
"""Wait for handshakes under way: each ends within one round trip and is then in the accept queue."""
OPEN_CONNECTIONS_S = 1.0
POLL_S = 0.005
SWITCH_S = 0.001
"""Longest time another thread may keep the interpreter lock: redirects are answered while the API is being imported."""
RUNNING_REQUESTS_S = 5
LEAVE_S = 2.0
CLOSE = (b"connection", b"close")
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27  # <linux/socket.h>; the socket module does not name them
OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors with which `accept` fails again and again for the same connection: a retry would never end."""
# Classic BPF over the TCP header, as in <linux/filter.h>: load the flags, mask SYN and ACK, drop the packet if only SYN is set.
DROP_SYN = (
    (0x30, 0, 0, 13),
    (0x54, 0, 0, 0x12),
    (0x15, 0, 1, 0x02),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 0xFFFF_FFFF),
)

log = logging.getLogger("ariane.web")


class WebWorker:
    """The doors and the API on one socket, from the first redirect to the last answer."""

    def __init__(self, settings: Settings, listener: socket.socket, internal: list[socket.socket]) -> None:
        self.settings = settings
        self.listener = listener
        self.internal = internal
        self.open = AsyncExitStack()

    async def run(self) -> None:
        """Serve until SIGTERM. Raises what the doors raise at their start; the parent then restarts the worker."""
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        doors = Doors(self.settings)
        await doors.start()
        self.open.push_async_callback(doors.stop)
        server = await self._listen(doors)
        dates = asyncio.create_task(self._update_date(server, doors))
        loading = asyncio.create_task(self._open_api(doors))
        await stop.wait()
        doors.stopping = True
        await self._let_finish(server)
        dates.cancel()
        await server.shutdown(sockets=[self.listener, *self.internal])
        async with asyncio.timeout(LEAVE_S):
            await self.open.aclose()
        if not loading.done():
            os._exit(0)  # Python would wait for the import in the thread; everything that matters is closed

    async def _listen(self, doors: Doors) -> Server:
        config = Config(
            doors,
            http=protocol_class(doors, fast=self.settings.fast_redirects == "on"),
            ws="none",
            lifespan="off",
            backlog=BACKLOG,
            access_log=False,
            log_config=None,
            proxy_headers=False,  # the doors read X-Forwarded-For, from ARIANE_TRUSTED_PROXIES only
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=RUNNING_REQUESTS_S,
        )
        config.load()
        # The socket is the parent's, and a worker stopped by hand leaves the filter of `_drop_new_connections` to its successor.
        with suppress(OSError):  # there was no filter
            self.listener.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        server = Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.on_tick(0)
        await server.startup(sockets=[self.listener, *self.internal])
        return server

    async def _update_date(self, server: Server, doors: Doors) -> None:
        """Keep the Date header current, and note how late the loop is. uvicorn's main loop would wake ten times a second for this."""
        while True:
            began_s = monotonic_s()
            await asyncio.sleep(DATE_S)
            doors.note_delay(monotonic_s() - began_s - DATE_S)
            await server.on_tick(0)

    async def _open_api(self, doors: Doors) -> None:
        gc.disable()  # nearly all objects of an import stay: collecting takes a fifth of its time (docs/performance.md)
        try:
            api = await asyncio.to_thread(create_api, self.settings)
            await self.open.enter_async_context(api.router.lifespan_context(api))
            doors.api = api
        except Exception:
            # Redirects and webhooks go on without the API, /v1 answers 503, and /readyz reports that it is missing.
            log.exception("the API cannot be loaded")
        # These objects stay: without the freeze the first burst of requests waits 0.1 s for a full collection.
        gc.collect()
        gc.freeze()
        gc.enable()

    async def _let_finish(self, server: Server) -> None:
        """Accept no new connection, and wait up to a second for open ones to be closed by their last answer."""
        server.config.encoded_headers.append(CLOSE)
        server.server_state.default_headers.append(CLOSE)  # in place: requests under way hold this list
        _drop_new_connections(self.listener)
        await asyncio.sleep(LATE_HANDSHAKES_S)
        # The loop closes its descriptor some passes later; the duplicate keeps the accept queue until it is empty.
        last = self.listener.dup()
        for listening in server.servers:
            listening.close()
        self.listener.close()
        last.setblocking(False)
        while (connection := _next_in_queue(last)) is not None:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: self._protocol(server), connection)
        last.close()
        await _until(lambda: not server.server_state.connections)
        # Idle connections are closed next. One with an unread request is not idle.
        await _until(lambda: not _any_readable(server))

    def _protocol(self, server: Server) -> asyncio.Protocol:
        """The protocol of a connection, as uvicorn creates it."""
        create: Any = server.config.http_protocol_class
        protocol: asyncio.Protocol = create(
            config=server.config, server_state=server.server_state, app_state=server.lifespan.state
        )
        return protocol


def _any_readable(server: Server) -> bool:
    """Whether any connection has unread data."""
    waiting = select.poll()
    for connection in server.server_state.connections:
        transport: Any = connection.transport
        if not transport.is_closing():
            waiting.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(waiting.poll(0))


async def _until(done: Callable[[], bool]) -> None:
    """Poll for a condition that neither uvicorn nor the kernel signals, for at most a second."""
    deadline = monotonic_s() + OPEN_CONNECTIONS_S
    while not done() and monotonic_s() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)


def _drop_new_connections(listener: socket.socket) -> None:
    """Make the kernel drop the first packet (SYN) of new connections; handshakes under way and open connections continue.

    A connection completed between the last accept and the close would be reset, and its request, perhaps a webhook that is sent once, lost.
    A client whose SYN is dropped retries a second later, and reaches the next service or is refused, having sent nothing. (Shrinking the backlog
    drops the *last* packet of a handshake instead, after which the client believes that it is connected.)
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
    """The next connection in the accept queue, or None."""
    while True:
        try:
            return listener.accept()[0]
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in OUT_OF_RESOURCES:
                log.error("connections that wait to be accepted are reset: %s", error)
                return None
            continue  # the client has gone away


def main() -> None:
    """Serve on the inherited sockets whose descriptors are the arguments."""
    settings = read_settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # uvicorn reports every malformed request as a warning: anyone could fill the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    # The trial of a source calls our own doors; its HTTP client would log their URLs, which contain the tokens of postbacks.
    for client in ("httpx2", "httpcore2"):
        logging.getLogger(client).setLevel(logging.WARNING)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sys.setswitchinterval(SWITCH_S)
    listener, *internal = (socket.socket(fileno=int(descriptor)) for descriptor in sys.argv[1:])
    with asyncio.Runner(loop_factory=Config("", log_config=None).get_loop_factory()) as runner:
        try:
            runner.run(WebWorker(settings, listener, internal).run())
        except Exception:
            log.exception("the worker cannot go on")
            os._exit(1)  # an orderly end would wait for connections that nobody answers


if __name__ == "__main__":
    main()
