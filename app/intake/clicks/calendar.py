"""Which day it is for a brand: what the daily counts of clicks are kept by."""

from datetime import UTC, date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app import clock
from app.database.transactions import Connection

REMEMBERED_BRANDS = 10_000
REMEMBERED_DAYS = 100_000
FRESH_S = 60.0
QUARTER_MS = 900_000
"""Every time zone in use is a multiple of 15 minutes away from UTC, so a quarter of an hour lies within one day everywhere."""


class Calendar:
    """Remembers the time zones of brands for a minute, and the day of each quarter of an hour in each zone."""

    def __init__(self) -> None:
        self._zones: dict[str, tuple[str, float]] = {}
        self._days: dict[tuple[str, int], date] = {}

    async def zone(self, connection: Connection, brand_id: str) -> str:
        """The brand's time zone; UTC for a brand that does not exist.

        A changed zone is used within a minute, for the clicks counted from then on; days already counted stay.
        """
        known = self._zones.get(brand_id)
        if known is not None and known[1] > clock.monotonic_s():
            return known[0]
        name = await connection.fetchval("SELECT time_zone FROM brand WHERE id = $1", UUID(brand_id)) or "UTC"
        if len(self._zones) >= REMEMBERED_BRANDS:
            self._zones.clear()
        self._zones[brand_id] = (name, clock.monotonic_s() + FRESH_S)
        return str(name)

    def day(self, zone: str, at_ms: int) -> date:
        """The day at this millisecond in this zone; in UTC when the zone is not known here."""
        quarter = at_ms // QUARTER_MS
        known = self._days.get((zone, quarter))
        if known is not None:
            return known
        try:
            info = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            info = ZoneInfo("UTC")
        day = datetime.fromtimestamp(quarter * QUARTER_MS / 1000, UTC).astimezone(info).date()
        if len(self._days) >= REMEMBERED_DAYS:
            self._days.clear()
        self._days[(zone, quarter)] = day
        return day
