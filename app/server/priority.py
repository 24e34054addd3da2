"""Lower priority for the background process and its PostgreSQL backends, so that the doors go first: for speed alone (docs/performance.md).

At equal priority the drain raises the doors' p99 on two cores from 11 ms to 17; half of the drain is done by PostgreSQL's processes. Linux only.
Applies to the embedded database only. `serve` tells its child that the database is embedded, because the process tree does not: if init started
both `ariane work` and a system's PostgreSQL, the latter's processes would look like siblings.
"""

import asyncio
import errno
import os
from contextlib import suppress
from pathlib import Path

import asyncpg

NICENESS = 5
"""Nice value. A higher one could starve the background process on a busy machine."""
KERNEL_PAUSE_S = 0.11
"""Pause between two changes: Linux allows anybody but root one change of a session's priority per 0.1 s, and says EAGAIN before."""

# Backends that serve the background process, and PostgreSQL's own processes, which have no user.
BACKGROUND_BACKENDS = (
    "SELECT pid FROM pg_stat_activity WHERE usesysid IS NULL OR application_name = current_setting('application_name')"
)


def lower_priority(pid: int = 0) -> None:
    """Lower the priority of a process (0: this one). Raises OSError when that is not permitted."""
    os.setpriority(os.PRIO_PROCESS, pid, max(os.getpriority(os.PRIO_PROCESS, pid), NICENESS))
    # Linux schedules sessions before the processes in them. Each child of `serve` and each process of PostgreSQL has a session of its own.
    with suppress(FileNotFoundError):
        Path(f"/proc/{pid or 'self'}/autogroup").write_text(str(NICENESS))


class Backends:
    """The processes of the embedded PostgreSQL that work for the background process, not for the doors or the API."""

    def __init__(self) -> None:
        self._done: set[int] = set()

    async def lower_priority(self, pool: asyncpg.Pool) -> None:
        """Lower the priority of processes that are new since the last call."""
        async with pool.acquire() as connection:
            pids = {row["pid"] for row in await connection.fetch(BACKGROUND_BACKENDS)}
        self._done &= pids
        for pid in sorted(pids - self._done):
            try:
                # The process may have ended and its pid been reused.
                if _parent(_parent(pid)) == os.getppid():
                    lower_priority(pid)
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    continue  # retried by the next call
            self._done.add(pid)
            await asyncio.sleep(KERNEL_PAUSE_S)


def _parent(pid: int) -> int:
    """The parent's pid; 0 when the process does not exist."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
