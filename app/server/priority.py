"""Who goes first where processors are short: whoever waits for an answer.

At equal priority the drain beside the doors takes their p99 on two cores from 11 ms to 17; half of the drain is done by PostgreSQL's processes.
Linux only; elsewhere nothing happens. A database that is not our own is left alone: where init has started both, it and `ariane work`, its processes
look like siblings of ours, so `serve` tells its child whose it is.
"""

import asyncio
import errno
import os
from contextlib import suppress
from pathlib import Path

import asyncpg

NICENESS = 5
"""By no more, lest a busy machine starve what gives way."""
KERNEL_PAUSE_S = 0.11
"""Linux lets anybody but root change one session's priority in 0.1 s; sooner is EAGAIN."""

# Those of the connections that serve the background process, and PostgreSQL's own, which show no user.
NOBODY_WAITS = (
    "SELECT pid FROM pg_stat_activity WHERE usesysid IS NULL OR application_name = current_setting('application_name')"
)


def lower_priority(pid: int = 0) -> None:
    """From now on the process (0: this one) lets others go first. Raises OSError when that may not be."""
    os.setpriority(os.PRIO_PROCESS, pid, max(os.getpriority(os.PRIO_PROCESS, pid), NICENESS))
    # Linux weighs sessions against each other before the processes in them; each child of `serve` has one of its own, and each of PostgreSQL's.
    with suppress(FileNotFoundError):
        Path(f"/proc/{pid or 'self'}/autogroup").write_text(str(NICENESS))


class Backends:
    """The processes of the embedded PostgreSQL that work for us, not for the doors or the API: they give way as we do."""

    def __init__(self) -> None:
        self._done: set[int] = set()

    async def lower_priority(self, pool: asyncpg.Pool) -> None:
        """Those that have come since the last call."""
        async with pool.acquire() as connection:
            pids = {row["pid"] for row in await connection.fetch(NOBODY_WAITS)}
        self._done &= pids
        for pid in sorted(pids - self._done):
            try:
                # The number of one that has ended since may be anybody's by now.
                if _parent(_parent(pid)) == os.getppid():
                    lower_priority(pid)
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    continue  # in the next call
            self._done.add(pid)
            await asyncio.sleep(KERNEL_PAUSE_S)


def _parent(pid: int) -> int:
    """0 for a process that is not (any more)."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
