"""The local day of a brand, by which daily counts of clicks are kept."""

from datetime import UTC, date, datetime
from functools import lru_cache
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
    """Caches the time zones of brands for a minute."""

    def __init__(self) -> None:
        self._zones: dict[str, tuple[str, float]] = {}

    async def zone(self, connection: Connection, brand_id: str) -> str:
        """The brand's time zone; UTC for a brand that does not exist.

        A changed zone applies within a minute to the clicks counted from then on; days already counted stay.
        """
        return await self._look_up(connection, brand_id) or "UTC"

    async def knows(self, connection: Connection, brand_id: str) -> bool:
        """Whether the brand exists; one that was deleted may be known for a minute more."""
        return bool(await self._look_up(connection, brand_id))

    async def _look_up(self, connection: Connection, brand_id: str) -> str:
        cached = self._zones.get(brand_id)
        if cached is not None and cached[1] > clock.monotonic_s():
            return cached[0]
        name = await connection.fetchval("SELECT time_zone FROM brand WHERE id = $1", UUID(brand_id)) or ""
        if len(self._zones) >= CACHED_BRANDS:
            self._zones.clear()
        self._zones[brand_id] = (name, clock.monotonic_s() + FRESH_S)
        return str(name)


def local_day(zone: str, at_ms: int) -> date:
    """The day at this millisecond in this zone; in UTC if the system does not know the zone."""
    return _day_of_quarter(zone, at_ms // QUARTER_MS)


@lru_cache(CACHED_DAYS)
def _day_of_quarter(zone: str, quarter: int) -> date:
    try:
        info = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        info = ZoneInfo("UTC")
    return datetime.fromtimestamp(quarter * QUARTER_MS / 1000, UTC).astimezone(info).date()
