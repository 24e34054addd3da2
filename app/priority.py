"""Who goes first where processors are short: whoever waits for an answer.

At equal priority the drain beside the doors takes their p99 on two cores from 11 ms to 17; half of the drain is done by PostgreSQL's processes.
Linux only; elsewhere, and for a database that is not our own, nothing happens.
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


def give_way(pid: int = 0) -> None:
    """From now on the process (0: this one) lets others go first. Raises OSError when that may not be."""
    os.setpriority(os.PRIO_PROCESS, pid, max(os.getpriority(os.PRIO_PROCESS, pid), NICENESS))
    # Linux weighs sessions against each other before the processes in them; each child of `serve` has one of its own, and each of PostgreSQL's.
    with suppress(FileNotFoundError):
        Path(f"/proc/{pid or 'self'}/autogroup").write_text(str(NICENESS))


class Backends:
    """The processes of our own PostgreSQL that work for us, not for the doors or the API: they give way as we do."""

    def __init__(self) -> None:
        self._done: set[int] = set()

    async def give_way(self, pool: asyncpg.Pool) -> None:
        """Those that have come since the last call. Nothing for a PostgreSQL that another parent started, here or on another machine."""
        async with pool.acquire() as connection:
            if not _is_of_our_family(connection.get_server_pid()):
                return
            pids = {row["pid"] for row in await connection.fetch(NOBODY_WAITS)}
        self._done &= pids
        for pid in sorted(pids - self._done):
            try:
                if _is_of_our_family(pid):
                    give_way(pid)
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    continue  # in the next call
            self._done.add(pid)
            await asyncio.sleep(KERNEL_PAUSE_S)


def _is_of_our_family(pid: int) -> bool:
    """Whether our parent is its grandparent: a pid told by a server in another container is a number that means somebody else here."""
    parent = os.getppid()
    # The first process of a container (`ariane work`) has none, and neither has any number that is no process here.
    return parent > 0 and _parent(_parent(pid)) == parent


def _parent(pid: int) -> int:
    """0 for a process that is not (any more)."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
