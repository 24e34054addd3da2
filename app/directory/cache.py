"""The doors' in-memory rows: routes, hosts, publishable keys and sources.

Rows are kept packed (about 200 bytes a route), and a route is unpacked when it is first looked up: unpacking a million routes at once would block
the loop for a minute and take five times the memory.
"""

from collections.abc import Iterable, Mapping

import msgspec

from app import clock
from app.domain.destinations import Destination, Forwarding, take_apart
from app.domain.gpc import GpcRule
from app.domain.host_pages import HostPages
from app.domain.own_clicks import Networks, read_networks

SHARED_HOST = "*"
"""Value of `route.host` for all host names that no brand owns."""
UNKNOWN_FOR_S = 10.0
"""Negative-cache time to live, in seconds; a notification of a change ends it earlier."""
ROUTES_MAX = 20_000
"""Largest number of unpacked routes, about 1 kB each; beyond it the oldest is dropped, and unpacked again when it is looked up."""
TABLES = ("host", "door_rule", "route", "api_key", "source")


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


class CachedHost(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A brand's own host name. pages: JSON text of HostPages."""

    brand_id: str
    pages: str


class DoorRule(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the doors know of a brand beside its links."""

    forward_query: Forwarding = "link_wins"
    own_networks: tuple[str, ...] = ()
    gpc: GpcRule = "respect"


class CachedRoute:
    """An unpacked route, together with its brand's rule. expires_ms: since the epoch, 0 for never. own_networks: empty for most brands.

    gpc_click_id: whether a browser with Sec-GPC gets a click id.
    """

    __slots__ = (
        "brand_id",
        "destination",
        "disabled",
        "expires_ms",
        "gpc_click_id",
        "link_id",
        "own_networks",
        "prefix",
        "suffix",
    )

    def __init__(self, packed: bytes, rules: Mapping[str, bytes]) -> None:
        self.brand_id, self.link_id, url, click_param, self.expires_ms, self.disabled, forwarding = _read_route(packed)
        rule = read_rule(rules[self.brand_id]) if self.brand_id in rules else DoorRule()
        self.gpc_click_id = rule.gpc == "click_id_only"
        self.own_networks: Networks = read_networks(rule.own_networks)
        self.destination: Destination = take_apart(url, click_param, forwarding or rule.forward_query)
        # Copied from the destination, because every redirect reads them.
        self.prefix = self.destination.prefix
        self.suffix = self.destination.suffix


pack = msgspec.msgpack.Encoder().encode
_read_route = msgspec.msgpack.Decoder(tuple[str, str, str, str, int, bool, Forwarding | None]).decode
read_key = msgspec.msgpack.Decoder(PixelKey).decode
read_source = msgspec.msgpack.Decoder(CachedSource).decode
read_host = msgspec.msgpack.Decoder(CachedHost).decode
read_rule = msgspec.msgpack.Decoder(DoorRule).decode
_read_pages = msgspec.json.Decoder(HostPages).decode


def route_key(host: str, slug: str) -> str:
    """The cache key of a route; neither a host name nor a slug contains a slash."""
    return slug if host == SHARED_HOST else f"{host}/{slug}"


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
                found = self.routes[key] = self.unpack(packed)
        return found

    def unpack(self, packed: bytes) -> CachedRoute:
        """A route under the rule of its brand."""
        return CachedRoute(packed, self.rows["door_rule"])

    def pages(self, host: str) -> HostPages | None:
        """Where this host sends its lost visitors; None for one that no brand owns."""
        packed = self.rows["host"].get(host)
        return None if packed is None else _read_pages(read_host(packed).pages)

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
            elif table == "door_rule":
                # Rare, and as cheap as finding those of one brand among them.
                self.routes = {}
            elif table == "host" and packed is None:
                self.host_brands.pop(key, None)
            elif table == "host" and packed is not None:
                self.host_brands[key] = read_host(packed).brand_id

    def replace(self, tables: Mapping[str, dict[str, bytes]]) -> None:
        """Replace all rows."""
        self.generation += 1
        self.rows = {table: tables.get(table, {}) for table in TABLES}
        self.routes = {}
        self._unknown = {}
        self.host_brands = {host: read_host(packed).brand_id for host, packed in self.rows["host"].items()}

    def put_unknown(self, table: str, key: str) -> None:
        """Remember for UNKNOWN_FOR_S that the database has no such row; when too many are remembered, the oldest is dropped."""
        self._unknown.pop((table, key), None)
        if len(self._unknown) >= self._unknown_rows:
            del self._unknown[next(iter(self._unknown))]
        self._unknown[(table, key)] = clock.monotonic_s() + UNKNOWN_FOR_S

    def is_unknown(self, table: str, key: str) -> bool:
        """Whether the database was recently asked for this row and has none."""
        return self._unknown.get((table, key), 0.0) >= clock.monotonic_s()
