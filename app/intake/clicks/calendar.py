"""The local day of a brand, by which daily counts of clicks are kept."""

from datetime import UTC, date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app import clock
from app.database.transactions import Connection

CACHED_BRANDS = 10_000
CACHED_DAYS = 100_000
FRESH_S = 60.0
QUARTER_MS = 900_000
"""Every time zone in use is a multiple of 15 minutes away from UTC, so a quarter of an hour lies within one day everywhere."""


class Calendar:
    """Caches the time zones of brands for a minute, and the day of each quarter of an hour in each zone."""

    def __init__(self) -> None:
        self._zones: dict[str, tuple[str, float]] = {}
        self._days: dict[tuple[str, int], date] = {}

    async def zone(self, connection: Connection, brand_id: str) -> str:
        """The brand's time zone; UTC for a brand that does not exist.

        A changed zone applies within a minute to the clicks counted from then on; days already counted stay.
        """
        cached = self._zones.get(brand_id)
        if cached is not None and cached[1] > clock.monotonic_s():
            return cached[0]
        name = await connection.fetchval("SELECT time_zone FROM brand WHERE id = $1", UUID(brand_id)) or "UTC"
        if len(self._zones) >= CACHED_BRANDS:
            self._zones.clear()
        self._zones[brand_id] = (name, clock.monotonic_s() + FRESH_S)
        return str(name)

    def day(self, zone: str, at_ms: int) -> date:
        """The day at this millisecond in this zone; in UTC if the system does not know the zone."""
        quarter = at_ms // QUARTER_MS
        cached = self._days.get((zone, quarter))
        if cached is not None:
            return cached
        try:
            info = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            info = ZoneInfo("UTC")
        day = datetime.fromtimestamp(quarter * QUARTER_MS / 1000, UTC).astimezone(info).date()
        if len(self._days) >= CACHED_DAYS:
            self._days.clear()
        self._days[(zone, quarter)] = day
        return day
