"""The doors' in-memory rows: routes, hosts, publishable keys and sources.

Rows are kept packed (about 200 bytes a route), and a route is unpacked when it is first looked up: unpacking a million routes at once would block
the loop for a minute and take five times the memory.
"""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from app import clock
from app.domain.destinations import Destination, take_apart

SHARED_HOST = "*"
"""Value of `route.host` for all host names that no brand owns."""
UNKNOWN_FOR_S = 10.0
"""Negative-cache time to live, in seconds; a notification of a change ends it earlier."""
ROUTES_MAX = 20_000
"""Largest number of unpacked routes, about 1 kB each; beyond it the oldest is dropped, and unpacked again when it is looked up."""
TABLES = ("host", "route", "api_key", "source")


class RouteRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A packed route. expires_ms: since the epoch, 0 for never."""

    brand_id: str
    link_id: str
    destination_url: str
    click_param: str
    expires_ms: int
    disabled: bool


class PixelKey(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A publishable key that is not revoked."""

    id: str
    brand_id: str
    shop: str


class CachedSource(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A connected shop system. secrets: encrypted, as in the database. settings: JSON text."""

    id: str
    brand_id: str
    platform: str
    shop: str
    secrets: tuple[str, ...]
    settings: str


class CachedRoute:
    """An unpacked route; `packed` is the row it was made from."""

    __slots__ = ("brand_id", "destination", "disabled", "expires_ms", "link_id", "packed", "prefix", "suffix")

    def __init__(self, packed: bytes) -> None:
        row = _read_route(packed)
        self.packed = packed
        self.brand_id = row.brand_id
        self.link_id = row.link_id
        self.expires_ms = row.expires_ms
        self.disabled = row.disabled
        self.destination: Destination = take_apart(row.destination_url, row.click_param)
        # Copied from the destination, because every redirect reads them.
        self.prefix = self.destination.prefix
        self.suffix = self.destination.suffix


pack = msgspec.msgpack.Encoder().encode
_read_route = msgspec.msgpack.Decoder(RouteRow).decode
read_key = msgspec.msgpack.Decoder(PixelKey).decode
read_source = msgspec.msgpack.Decoder(CachedSource).decode
read_host = msgspec.msgpack.Decoder(str).decode


def route_key(host: str, slug: str) -> str:
    """The cache key of a route; neither a host name nor a slug contains a slash."""
    return slug if host == SHARED_HOST else f"{host}/{slug}"


def key_digest(key: str) -> str:
    """The cache key of a publishable key: SHA-256 in hex."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class Cache:
    """The cached rows, for one event loop.

    generation: grows with every change, so that a row read from the database meanwhile does not replace a newer one.
    """

    def __init__(self, *, unknown_rows: int) -> None:
        self.rows: dict[str, dict[str, bytes]] = {table: {} for table in TABLES}
        # Unpacked routes, and host name → brand: read by every redirect.
        self.routes: dict[str, CachedRoute] = {}
        self.host_brands: dict[str, str] = {}
        self.generation = 0
        self._unknown: dict[tuple[str, str], float] = {}
        self._unknown_rows = unknown_rows

    def route(self, key: str) -> CachedRoute | None:
        """The route under this `route_key`, or None if it is not cached: the database may still have it."""
        found = self.routes.get(key)
        if found is None:
            packed = self.rows["route"].get(key)
            if packed is not None:
                if len(self.routes) >= ROUTES_MAX:
                    del self.routes[next(iter(self.routes))]
                found = self.routes[key] = CachedRoute(packed)
        return found

    def pixel_key(self, digest: str) -> PixelKey | None:
        """The publishable key with this digest, or None if it is not cached."""
        packed = self.rows["api_key"].get(digest)
        return None if packed is None else read_key(packed)

    def source(self, token: str) -> CachedSource | None:
        """The source with this token, or None if it is not cached."""
        packed = self.rows["source"].get(token)
        return None if packed is None else read_source(packed)

    def apply(self, table: str, changes: Iterable[tuple[str, bytes | None]]) -> None:
        """Store rows; None removes one (revoked, archived)."""
        rows = self.rows[table]
        for key, packed in changes:
            if rows.get(key) == packed:
                continue
            self.generation += 1
            self._unknown.pop((table, key), None)
            if packed is None:
                rows.pop(key, None)
            else:
                rows[key] = packed
            if table == "route":
                self.routes.pop(key, None)
            elif table == "host":
                self._note_host(key, packed)

    def replace(self, tables: Mapping[str, dict[str, bytes]]) -> None:
        """Replace all rows."""
        self.generation += 1
        self.rows = {table: tables.get(table, {}) for table in TABLES}
        self.routes = {}
        self._unknown = {}
        self.host_brands = {}
        for host, packed in self.rows["host"].items():
            self._note_host(host, packed)

    def put_unknown(self, table: str, key: str) -> None:
        """Remember for UNKNOWN_FOR_S that the database has no such row; when too many are remembered, the oldest is dropped."""
        if len(self._unknown) >= self._unknown_rows:
            del self._unknown[next(iter(self._unknown))]
        self._unknown[(table, key)] = clock.monotonic_s() + UNKNOWN_FOR_S

    def is_unknown(self, table: str, key: str) -> bool:
        """Whether the database was recently asked for this row and has none."""
        until = self._unknown.get((table, key))
        if until is None:
            return False
        if until < clock.monotonic_s():
            del self._unknown[(table, key)]
            return False
        return True

    def _note_host(self, host: str, packed: bytes | None) -> None:
        if packed is None:
            self.host_brands.pop(host, None)
        else:
            self.host_brands[host] = read_host(packed)
