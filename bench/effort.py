"""How much of everything: for figures, or only to see that every scene runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """Counts and times of all scenes; whole ones by default."""

    rounds: int = 3
    load_s: int = 5
    """Length of one run of the load."""
    links: int = 1_000
    clicks: int = 200_000
    """Drained in one round."""
    waiting_orders: int = 10_000
    deliveries: int = 3_000
    """Recorded in one round."""
    door_s: int = 5
    """Length of one round at the webhook door, 1,000 a second."""
    disk_s: int = 2
    """Length of the plain loop that shows the disk's own share."""
    outage_s: int = 60
    """How long PostgreSQL stands still; the rounds are spread over it."""
    import_rows: int = 100_000
    report_clicks: int = 300_000
    report_orders: int = 9_000
    """In 30 days."""
    reports: int = 40
    """Asked of each kind."""
    starts: int = 5
    spool_rounds: int = 7
    spool_clicks: int = 50_000
    spool_records: int = 500


QUICK = Effort(
    rounds=2,
    load_s=1,
    links=50,
    clicks=20_000,
    waiting_orders=1_000,
    deliveries=200,
    door_s=1,
    disk_s=1,
    outage_s=5,
    import_rows=2_000,
    report_clicks=20_000,
    report_orders=500,
    reports=5,
    starts=2,
    spool_rounds=1,
    spool_clicks=5_000,
    spool_records=50,
)
"""To see that it runs. Its figures mean nothing."""
