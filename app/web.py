"""A web worker: uvicorn on a socket that the parent holds. `python -m app.web FD`

The doors answer first; the API, whose import takes most of the start, follows in a thread. On TERM no request is lost: every answer says
`Connection: close`, what is just connecting is still accepted, open connections are let finish, and only then uvicorn shuts down. uvicorn's own
order, closing idle connections at once, loses the requests that are on their way over them.
"""

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
from contextlib import AsyncExitStack

from uvicorn.config import Config
from uvicorn.server import Server

from app.clock import monotonic_s
from app.main import create_api
from app.settings import Settings, read_settings
from app.tracking.doors import Doors, open_doors

BACKLOG = 2_048
KEEP_ALIVE_S = 65
"""Above the 60 s of the usual proxies, which would otherwise send a request over a connection that is being closed."""
DATE_S = 1.0
LATE_CONNECTIONS_S = 0.05
OPEN_CONNECTIONS_S = 1.0
RUNNING_REQUESTS_S = 5
LEAVE_S = 2.0
CLOSE = (b"connection", b"close")


class Worker:
    """The doors, and behind them the API, on one socket; from the first redirect to the last answer."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self.settings = settings
        self.listener = listener
        self.open = AsyncExitStack()

    async def run(self) -> None:
        """Serve until SIGTERM. Raises whatever the doors or the API raise at their start: the parent then tries again."""
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        doors = open_doors(self.settings)
        await doors.start()
        self.open.push_async_callback(doors.stop)
        server = await self._listen(doors)
        dating = asyncio.create_task(self._date(server))
        await self._open_api(doors)
        await stop.wait()
        doors.stopping = True
        await self._let_finish(server)
        dating.cancel()
        await server.shutdown(sockets=[self.listener])
        async with asyncio.timeout(LEAVE_S):
            await self.open.aclose()

    async def _listen(self, doors: Doors) -> Server:
        config = Config(
            doors,
            http="httptools",
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
        api = await asyncio.to_thread(create_api, self.settings)
        await self.open.enter_async_context(api.router.lifespan_context(api))
        doors.api = api
        # What is there now stays for ever: without this the first burst of requests waits 0.1 s for a full collection.
        gc.collect()
        gc.freeze()

    async def _let_finish(self, server: Server) -> None:
        """Take no new connection and wait until the open ones have been closed by their last answer, for a second at most."""
        server.config.encoded_headers.append(CLOSE)
        server.server_state.default_headers.append(CLOSE)  # in place: requests under way hold this very list
        self.listener.listen(0)
        await asyncio.sleep(LATE_CONNECTIONS_S)
        for listening in server.servers:
            listening.close()
        self.listener.close()
        deadline = monotonic_s() + OPEN_CONNECTIONS_S
        while server.server_state.connections and monotonic_s() < deadline:  # noqa: ASYNC110  uvicorn tells nobody when one ends
            await asyncio.sleep(0.01)


def main() -> None:
    """Serve on the inherited socket whose descriptor is the only argument."""
    settings = read_settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s web %(levelname)s %(name)s: %(message)s")
    # uvicorn reports every malformed request as a warning: anyone could fill the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = socket.socket(fileno=int(sys.argv[1]))
    with asyncio.Runner(loop_factory=Config(None, loop="auto").get_loop_factory()) as runner:
        runner.run(Worker(settings, listener).run())


if __name__ == "__main__":
    main()
