"""Notices a database that hangs, and lets nobody wait for it.

A database that is down refuses at once, and one that is slow answers in the end. One that hangs (a stopped virtual machine, a dead network disk, a
firewall that drops packets) does neither: the kernel goes on taking bytes for it, and a statement would wait for COMMAND_TIMEOUT_S, a queue of
requests for as long as all of them together. A deadline for every request would cut long reports off as well, so the database is asked for a sign of
life instead. When that does not come, the connections are cut, which ends whatever waits for an answer, and so is the wait of those that have none.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakSet

import asyncpg

from app.errors import Unavailable

BEAT_EVERY_S = 0.5
BEAT_WAIT_S = 1.5
"""Waited twice, so that a process that was itself stopped does not take its own absence for the database's."""


class Pulse:
    """The sign of life of one database, for one event loop.

    beating: False while it hangs. It stays True while the database is down: that is told by whoever asks it, at once.
    connection_class: of the connections that are to be cut when it hangs; for asyncpg's `connection_class`.
    """

    def __init__(self, dsn: str) -> None:
        self.beating = True
        connections = self._connections = WeakSet[asyncpg.Connection]()

        class Watched(asyncpg.Connection):
            def __init__(self, *arguments: Any, **named: Any) -> None:
                super().__init__(*arguments, **named)
                connections.add(self)

        self.connection_class: type[asyncpg.Connection] = Watched
        self._dsn = dsn
        self._waiting: set[asyncio.Timeout] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask for a sign of life."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End. Of a database that hangs nobody takes leave: an orderly goodbye would wait for its answer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if not self.beating:
            self._cut()

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Run the block as long as the database lives. Raises Unavailable at once while it hangs, and as soon as it does so within the block."""
        if not self.beating:
            raise _hangs()
        try:
            async with asyncio.timeout(None) as ending:
                self._waiting.add(ending)
                try:
                    yield
                finally:
                    self._waiting.discard(ending)
        except TimeoutError:
            if ending.expired():
                raise _hangs() from None
            raise

    async def _run(self) -> None:
        connection: asyncpg.Connection | None = None
        try:
            while True:
                asked = asyncio.create_task(self._ask(connection))
                try:
                    answered = await _in_time(asked)
                finally:
                    asked.cancel()
                if answered:
                    # An error is an answer, whatever it is: whoever asks the database next is told the same.
                    connection = None if asked.exception() else asked.result()
                    self.beating = True
                else:
                    self.beating = False
                    if connection is not None:
                        connection.terminate()
                        connection = None
                    self._cut()
                await asyncio.sleep(BEAT_EVERY_S)
        finally:
            if connection is not None:
                connection.terminate()

    async def _ask(self, connection: asyncpg.Connection | None) -> asyncpg.Connection:
        if connection is None:
            settings = {"application_name": "ariane-pulse"}
            connection = await asyncpg.connect(self._dsn, timeout=4 * BEAT_WAIT_S, server_settings=settings)
        try:
            await connection.execute("SELECT 1")
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _cut(self) -> None:
        for connection in list(self._connections):
            connection.terminate()
        now_s = asyncio.get_running_loop().time()
        for ending in list(self._waiting):
            ending.reschedule(now_s)


async def _in_time(asked: asyncio.Task[asyncpg.Connection]) -> bool:
    """Whether the question was answered, be it by an error, within two waits."""
    for _ in range(2):
        done, _pending = await asyncio.wait([asked], timeout=BEAT_WAIT_S)
        if done:
            return True
    return False


def _hangs() -> Unavailable:
    return Unavailable("the database does not answer at the moment", code="database_unavailable")
