"""Two transactions, statement by statement: which of them sends its next one is decided by the test, and a wait for a lock is noticed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any

import asyncpg

from app.orders.redecide import redecide

BLOCKED = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1"
LOOK_EVERY_S = 0.002
STEP_MAX_S = 10.0


class Stepped:
    """A connection that holds back each statement, begin and commit included, until `step` lets it through."""

    def __init__(self, connection: asyncpg.Connection, watcher: asyncpg.Connection) -> None:
        self._connection = connection
        self._watcher = watcher
        self._permit = asyncio.Semaphore(0)
        self._idle = asyncio.Event()
        self._task: asyncio.Task[Any] | None = None

    def start(self, work: Callable[[Any], Awaitable[Any]]) -> None:
        """Begins `work(connection)`; it stops before its first statement."""
        self._task = asyncio.create_task(self._run(work))

    async def _run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        try:
            return await work(self)
        finally:
            self._idle.set()

    @property
    def done(self) -> bool:
        """Whether the work has ended, or failed."""
        assert self._task is not None
        return self._task.done()

    async def step(self) -> bool:
        """Lets one statement through. True: it has been answered, or the work is over. False: it waits for a lock (it goes on by itself)."""
        if not self.done:
            self._idle.clear()
            self._permit.release()
        return await self.settled()

    async def settled(self) -> bool:
        """Waits until the statement under way is answered (True) or waits for a lock (False)."""
        async with asyncio.timeout(STEP_MAX_S):
            while not self._idle.is_set():
                pid = self._connection.get_server_pid()
                if not self.done and await self._watcher.fetchval(BLOCKED, pid):
                    return False
                try:
                    await asyncio.wait_for(self._idle.wait(), LOOK_EVERY_S)
                except TimeoutError:
                    continue
        return True

    async def finish(self) -> Any:
        """Lets everything through that is left; what the work answered or raised."""
        assert self._task is not None
        for _ in range(1_000):
            self._permit.release()
        return await self._task

    async def _let(self, call: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> Any:
        self._idle.set()
        await self._permit.acquire()
        self._idle.clear()
        return await call(*arguments, **options)

    async def execute(self, *arguments: Any) -> Any:
        return await self._let(self._connection.execute, *arguments)

    async def executemany(self, *arguments: Any) -> Any:
        return await self._let(self._connection.executemany, *arguments)

    async def fetch(self, *arguments: Any) -> Any:
        return await self._let(self._connection.fetch, *arguments)

    async def fetchrow(self, *arguments: Any) -> Any:
        return await self._let(self._connection.fetchrow, *arguments)

    async def fetchval(self, *arguments: Any) -> Any:
        return await self._let(self._connection.fetchval, *arguments)

    async def copy_to_table(self, *arguments: Any, **options: Any) -> Any:
        return await self._let(self._connection.copy_to_table, *arguments, **options)

    async def copy_records_to_table(self, *arguments: Any, **options: Any) -> Any:
        return await self._let(self._connection.copy_records_to_table, *arguments, **options)

    def transaction(self, **options: Any) -> "_Transaction":
        return _Transaction(self, self._connection.transaction(**options))


class _Transaction:
    def __init__(self, stepped: Stepped, inner: Any) -> None:
        self._stepped = stepped
        self._inner = inner

    async def __aenter__(self) -> None:
        await self._stepped._let(self._inner.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        if kind is None:
            await self._stepped._let(self._inner.commit)
        else:
            await self._inner.rollback()


async def interleave(
    pool: asyncpg.Pool, acts: Sequence[Callable[[Any], Awaitable[object]]], turns: Sequence[int]
) -> list[BaseException | None]:
    """Runs two acts statement by statement: 0 and 1 say whose turn it is, 2 that the queue is looked at meanwhile. What each of the two raised.

    Raises what looking at the queue raised.
    """
    async with pool.acquire() as one, pool.acquire() as other, pool.acquire() as watcher:
        stepped = [Stepped(connection, watcher) for connection in (one, other)]  # type: ignore[arg-type]
        for each, act in zip(stepped, acts, strict=True):
            each.start(act)
            await each.settled()
        looking: list[asyncio.Task[int]] = []
        waits = [False, False]
        for turn in turns:
            if turn == 2:
                # It may have to wait for a row that one of the two holds.
                looking.append(asyncio.create_task(redecide(pool)))
                await asyncio.wait(looking[-1:], timeout=0.02)
            elif waits[turn]:
                waits[turn] = not await stepped[turn].settled()
            else:
                waits[turn] = not await stepped[turn].step()
        told = await asyncio.gather(*(each.finish() for each in stepped), return_exceptions=True)
        await asyncio.gather(*looking)
    return [each if isinstance(each, BaseException) else None for each in told]
