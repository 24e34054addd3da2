"""A thread that flushes files to the disk for a loop that must not block.

An executor does the same with seven times the instructions (120,000 a call against 16,000): an eighth of a whole webhook (docs/performance.md).
"""

import asyncio
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

Request = tuple[asyncio.AbstractEventLoop, asyncio.Future[None], Sequence[int], Path | None]


class Flusher:
    """One such thread, started by the first call. Calls are handled one after the other; await each before `close`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._requests: SimpleQueue[Request | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def sync(self, descriptors: Sequence[int], directory: Path | None) -> asyncio.Future[None]:
        """Flush these files, then the directory's entries. The future fails with the first OSError."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._requests.put((loop, done, descriptors, directory))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        return done

    def close(self) -> None:
        """End the thread after the requests before this call."""
        self._requests.put(None)

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            loop, done, descriptors, directory = request
            error: Exception | None = None
            try:
                sync(descriptors, directory)
            except Exception as caught:
                error = caught
            with suppress(RuntimeError):  # the loop is closed, so nobody waits
                loop.call_soon_threadsafe(resolve, done, error)


def resolve(waiter: asyncio.Future[None], error: Exception | None) -> None:
    """Wake who waits, unless they have gone away."""
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)


def sync(descriptors: Sequence[int], directory: Path | None = None) -> None:
    """Flush these files, then the directory's entries, and block until they are on the disk. Raises OSError."""
    for descriptor in descriptors:
        getattr(os, "fdatasync", os.fsync)(descriptor)  # macOS has none
    if directory is not None:
        sync_directory(directory)


def sync_directory(directory: Path) -> None:
    """Make created, renamed and removed entries of a directory survive a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
