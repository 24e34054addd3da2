"""What only the database knows, measured by the background process every few seconds for `/metrics`: how far each host has drained, how long the
queues are, and whether the database is there."""

import asyncpg

from app import clock
from app.database.transactions import Connection
from app.intake.hosts import list_hosts
from app.metrics import Gauge

UP = "1 when the background process reached the database at its last look."
LOOKED_AT = "When the background process last looked at the database, in seconds since the epoch."
LAG = "How far back the oldest line lies that a host has not drained; hosts that stopped in order are left out."
SILENT = "How long ago a host was last heard."
HORIZON = (
    "For how long one writing transaction somewhere on the server has held back what waits for all that ran beside it."
)
ORDERS = "Orders that wait to be decided again and are due."
VISITORS = "Chunks of clicks whose visitors are not counted yet."
DELIVERIES = "Messages of shops that are stored and not read yet."
JOBS = "Jobs that are kept, by state."
DELIVERIES_MAX = 10_000
"""Where counting waiting messages stops."""
JOB_STATES = ("queued", "running", "failed")

SNAPSHOT = (
    "SELECT pg_snapshot_xmin(s)::text AS oldest, pg_snapshot_xmax(s)::text AS next FROM pg_current_snapshot() AS s"
)
QUEUED_ORDERS = (
    "/* across brands: the queue */ SELECT count(*) FROM redecide WHERE not_before IS NULL OR not_before <= $1"
)
QUEUED_VISITORS = "/* across brands: the queue */ SELECT count(*) FROM unique_pending"
QUEUED_DELIVERIES = """/* across brands: what waits for the background process */
SELECT count(*) FROM (SELECT FROM delivery WHERE status = 'received' LIMIT $1) AS waiting"""
QUEUED_JOBS = "/* across brands: the queue */ SELECT state, count(*) FROM job WHERE state = ANY($1) GROUP BY state"


class Measures:
    """Takes the measurements. It remembers since when one transaction is the oldest that runs: no right to see other sessions is needed for that."""

    def __init__(self) -> None:
        self._oldest = ""
        self._since_s = 0.0

    async def take(self, pool: asyncpg.Pool) -> list[Gauge]:
        """All of them. Raises the driver's errors."""
        async with pool.acquire() as connection:
            now = clock.now()
            gauges = [
                Gauge(name="ariane_database_up", help=UP, value=1),
                Gauge(name="ariane_database_looked_at_seconds", help=LOOKED_AT, value=now.timestamp()),
                Gauge(name="ariane_horizon_age_seconds", help=HORIZON, value=await self._horizon_age_s(connection)),
            ]
            for host in await list_hosts(connection):
                if not host.has_left:
                    label = {"host": host.name}
                    lag_s, silent_s = ((now - at).total_seconds() for at in (host.drained_until, host.updated_at))
                    gauges.append(Gauge(name="ariane_drain_lag_seconds", help=LAG, value=max(0.0, lag_s), labels=label))
                    gauges.append(
                        Gauge(name="ariane_host_silent_seconds", help=SILENT, value=max(0.0, silent_s), labels=label)
                    )
            for name, text, statement, arguments in (
                ("ariane_queued_orders", ORDERS, QUEUED_ORDERS, (now,)),
                ("ariane_queued_visitor_chunks", VISITORS, QUEUED_VISITORS, ()),
                ("ariane_queued_deliveries", DELIVERIES, QUEUED_DELIVERIES, (DELIVERIES_MAX,)),
            ):
                gauges.append(Gauge(name=name, help=text, value=await connection.fetchval(statement, *arguments)))
            states: dict[str, int] = {
                row["state"]: row["count"] for row in await connection.fetch(QUEUED_JOBS, JOB_STATES)
            }
            gauges += [
                Gauge(name="ariane_jobs", help=JOBS, value=states.get(state, 0), labels={"state": state})
                for state in JOB_STATES
            ]
        return gauges

    def away(self) -> list[Gauge]:
        """What is known while the database cannot be reached."""
        return [
            Gauge(name="ariane_database_up", help=UP, value=0),
            Gauge(name="ariane_database_looked_at_seconds", help=LOOKED_AT, value=clock.now().timestamp()),
        ]

    async def _horizon_age_s(self, connection: Connection) -> float:
        found = await connection.fetchrow(SNAPSHOT)
        assert found is not None
        now_s = clock.monotonic_s()
        # The oldest running transaction; when none after it has ended, nothing is held back yet.
        if found["oldest"] != self._oldest or found["oldest"] == found["next"]:
            self._oldest, self._since_s = found["oldest"], now_s
        return now_s - self._since_s
