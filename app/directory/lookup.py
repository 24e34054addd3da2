"""The doors' lookups: the route of a slug, the owner of a publishable key, the source of a token.

    cache.py       the in-memory rows that answer
    follower.py    keeps the cache in step with the database, and queries it for rows that are not cached
    rollout.py     waits until all followers have read a change
    snapshot.py    the cache on disk, so that a process answers before, and without, PostgreSQL

A row is only reported as unknown after the database was asked. If it cannot be asked, Unavailable is raised and the door answers 503.
"""

import asyncio
import hashlib
import logging

from app import clock
from app.directory.cache import (
    SHARED_HOST,
    TABLES,
    Cache,
    CachedRoute,
    CachedSource,
    PixelKey,
    read_host,
    read_key,
    read_source,
    route_key,
)
from app.directory.follower import Follower
from app.directory.snapshot import UNUSABLE, Head, read_snapshot, write_snapshot
from app.errors import Unavailable
from app.settings import Settings

KNOWN_WAIT_S = 0.1
"""Longest wait of a message for what the database says of a source that is known, in a process that does not follow the database."""
KNOWN_PAUSE_S = 10.0
"""Pause after such a wait was in vain. Without it every webhook of an outage would wait: the door would be as slow as the database."""
SAVE_EVERY_S = 3.0
SAVE_SHARE = 20
"""Pause until the next snapshot, as a multiple of the time that writing the last one took."""

log = logging.getLogger("ariane.directory")


class Directory:
    """The lookups of one process, empty until `start` has loaded the snapshot. For one event loop only."""

    def __init__(self, settings: Settings) -> None:
        self.cache = Cache(unknown_rows=settings.directory_cache_rows)
        self._follower = Follower(self.cache, settings.database_url, poll_ms=settings.directory_poll_ms)
        self._snapshot = settings.data / "directory.snapshot"
        self._saved: tuple[int, str | None] | None = None
        self._save_at_s = 0.0
        self._ask_again_at_s = 0.0

    async def start(self) -> None:
        """Load the snapshot if it is usable (a million routes in about 2 s, in pages), then follow the database."""
        await self._load()
        self._follower.start()

    async def stop(self) -> None:
        """Disconnect from the database."""
        await self._follower.stop()

    @property
    def ready(self) -> bool:
        """Whether all rows have been loaded once, from the snapshot or the database."""
        return self._follower.loaded

    @property
    def fresh(self) -> bool:
        """Whether the last query to the database succeeded; if not, later changes are missing here."""
        return self._follower.fresh

    @property
    def schema(self) -> str:
        """The last known state of the schema: `ready`, `outdated` (or newer than this release, or empty), or `unknown`."""
        if self._follower.schema_wanted is None or not (self._follower.fresh or self._follower.schema):
            return "unknown"
        return "ready" if self._follower.schema == self._follower.schema_wanted else "outdated"

    # ── Lookups ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def brand_of(self, host: str) -> str | None:
        """The brand that owns this host, from the cache; None for the shared host."""
        return self.cache.host_brands.get(host)

    async def find_route(self, host: str, slug: str) -> tuple[CachedRoute | None, str | None]:
        """The route of this slug on this host, and the brand that owns the host. Both arguments in lower case.

        Raises Unavailable when the route is not cached and the database cannot be asked.
        """
        brand_id = self.cache.host_brands.get(host)
        key = route_key(SHARED_HOST if brand_id is None else host, slug)
        route = self.cache.route(key)
        if route is not None:
            return route, brand_id
        # A brand may have registered the host a moment ago.
        packed = await self._find("host", host) if brand_id is None else None
        if packed is not None:
            brand_id = read_host(packed).brand_id
            key = route_key(host, slug)
        packed = await self._find("route", key)
        return None if packed is None else self.cache.route(key) or self.cache.unpack(packed), brand_id

    async def find_key(self, key: str) -> PixelKey | None:
        """The publishable key, unless it is unknown or revoked. Raises Unavailable."""
        packed = await self._find("api_key", hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest())
        return None if packed is None else read_key(packed)

    async def find_source(self, token: str) -> CachedSource | None:
        """The source with this token, unless it is archived; as last known while the database cannot be asked. Raises Unavailable.

        Whoever changed its settings was answered without waiting for a process that does not follow the database: this one asks again.
        """
        known = self.cache.rows["source"].get(token)
        packed = (
            await self._find("source", token) if known is None or self.fresh else await self._ask_again(token, known)
        )
        return None if packed is None else read_source(packed)

    async def _ask_again(self, token: str, known: bytes) -> bytes | None:
        if clock.monotonic_s() < self._ask_again_at_s:
            return known
        try:
            async with asyncio.timeout(KNOWN_WAIT_S):
                return await self._follower.look_up("source", token)
        except (Unavailable, TimeoutError):
            self._ask_again_at_s = clock.monotonic_s() + KNOWN_PAUSE_S
            return known

    async def _find(self, table: str, key: str) -> bytes | None:
        packed = self.cache.rows[table].get(key)
        if packed is None and not self.cache.is_unknown(table, key):
            packed = await self._follower.look_up(table, key)
        return packed

    # ── On disk ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def save_snapshot(self, *, now: bool = False) -> bool:
        """Write the snapshot if anything changed and the last one is old enough (now: regardless of its age). True when it was written.

        For the background process only: two writers could replace newer states by older ones. Raises OSError.
        """
        state = (self.cache.generation, self._follower.identity)
        if not self._follower.fresh or not self._follower.loaded or state == self._saved:
            return False
        began_s = clock.monotonic_s()
        if began_s < self._save_at_s and not now:
            return False
        tables = {table: dict(rows) for table, rows in self.cache.rows.items()}
        counts = {table: len(rows) for table, rows in tables.items()}
        head = Head(self._follower.identity, self._follower.horizon, counts)
        await asyncio.to_thread(write_snapshot, self._snapshot, head, tables)
        self._saved = state
        ended_s = clock.monotonic_s()
        self._save_at_s = ended_s + max(SAVE_EVERY_S, SAVE_SHARE * (ended_s - began_s))
        return True

    async def _load(self) -> None:
        tables: dict[str, dict[str, bytes]] = {table: {} for table in TABLES}
        try:
            head, pages = read_snapshot(self._snapshot)
            for page in pages:
                tables.setdefault(page.table, {}).update(page.rows)
                await asyncio.sleep(0)
        except UNUSABLE as error:
            log.log(logging.WARNING if self._snapshot.exists() else logging.DEBUG, "no snapshot: %s", error)
            return
        self.cache.replace(tables)
        self._follower.identity, self._follower.horizon, self._follower.loaded = head.identity, head.horizon, True
