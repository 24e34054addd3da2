"""The machines that drain into one database, as `drain_state` knows them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from app import clock
from app.database.transactions import Connection
from app.errors import NotFound
from app.intake.drain import NOTE_PROGRESS, drained_until, spool_name

SILENT_AFTER = timedelta(seconds=60)
"""A running host is heard every second."""

HOSTS = "SELECT host AS name, drained_until, updated_at, left_at FROM drain_state ORDER BY drained_until"
FORGET = "DELETE FROM drain_state WHERE host = $1"


@dataclass(frozen=True, slots=True)
class DrainingHost:
    """A machine with a spool. left_at: when it last stopped in order."""

    name: str
    drained_until: datetime
    updated_at: datetime
    left_at: datetime | None

    @property
    def has_left(self) -> bool:
        """Whether it stopped in order, with nothing left to drain. The release before runs without taking that back."""
        return self.left_at is not None and self.left_at >= self.updated_at

    def state(self, now: datetime) -> str:
        """`running`, `stopped` (in order: nothing of it is missing) or `silent`."""
        if self.has_left:
            return "stopped"
        return "running" if now - self.updated_at < SILENT_AFTER else "silent"


async def list_hosts(connection: Connection) -> list[DrainingHost]:
    """Every host, the one that lags most first."""
    return [DrainingHost(**row) for row in await connection.fetch(HOSTS)]


async def find_host(connection: Connection, name: str) -> DrainingHost:
    """The host of this name. Raises NotFound."""
    for host in await list_hosts(connection):
        if host.name == name:
            return host
    raise NotFound(f"no host is named {name}: `ariane hosts list` shows them")


async def forget(connection: Connection, name: str) -> None:
    """Let this host hold back no report any more; one that drains again is known again."""
    await connection.execute(FORGET, name)


async def note_waiting(connection: Connection, spool: Path) -> None:
    """Store until when the spool of this machine is drained, whether or not a background process runs."""
    now = clock.now()
    await connection.execute(NOTE_PROGRESS, spool_name(spool), drained_until(spool, now), now)
