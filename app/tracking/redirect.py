"""`GET|HEAD /{slug}`: look the slug up in memory, append one line to the spool, answer 302. The database is not involved.

The line is completely written before the click id leaves the process, so every id given out belongs to a recorded click. If the line cannot be
written, the visitor is redirected without an id.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b

import msgspec

from app import clock, random_ids
from app.directory.cache import SHARED_HOST, CachedRoute, route_key
from app.directory.lookup import Directory
from app.domain.destinations import address
from app.domain.hostnames import fold_host
from app.domain.own_clicks import COOKIE, cookie_name, has_cookie, is_among, own_mark
from app.domain.slugs import is_slug, mend_slug
from app.domain.visitors import DAY_MS, referrer_host, split_address, visitor_of, visitors_of_day
from app.errors import Unavailable
from app.metrics import (
    MISSES_DISABLED,
    MISSES_EXPIRED,
    MISSES_UNKNOWN,
    REDIRECTS,
    REDIRECTS_UNRECORDED,
    UNAVAILABLE,
    Counts,
)
from app.spool.records import ClickLine, MissLine, encode
from app.spool.writer import Spool, SpoolFull
from app.tracking.click_ids import ClickIds
from app.tracking.lost_visitors import answer_lost, try_again
from app.tracking.responses import NOINDEX, Answer, Header, Scope, method_refused
from app.tracking.trusted_proxies import Proxies

REDIRECTED = ("GET", "HEAD")
USER_AGENT_MAX_BYTES = 512
REFERRER_MAX_BYTES = 2_048
SLUG_MAX_CHARS = 128
"""Longest stored prefix of an unknown slug, in characters."""

# Every click has to reach us: browsers cache a 301, and proxies may cache a 302 without this header.
CACHE: Header = (b"cache-control", b"private, no-store")
# The shop learns the site the visitor came from, never the page, whatever the policy of that page.
REFERRER: Header = (b"referrer-policy", b"strict-origin-when-cross-origin")
HEADERS = (CACHE, REFERRER, NOINDEX)
REDIRECT_HEADERS = (*HEADERS, (b"content-length", b"0"))
"""Headers of a redirect after `Location`, in this order."""

MISSES = {"unknown_slug": MISSES_UNKNOWN, "expired": MISSES_EXPIRED, "disabled": MISSES_DISABLED}


class PendingClick(msgspec.Struct, gc=False):
    """A click that is not recorded yet: its spool line, and the `Location` to answer with once it is."""

    route: CachedRoute
    query: bytes
    line: bytes
    location: bytes


class Redirects:
    """The redirect of one worker."""

    def __init__(
        self, directory: Directory, spool: Spool, counts: Counts, proxies: Proxies, visitor_key: bytes, own_key: bytes
    ) -> None:
        self._directory = directory
        self._spool = spool
        self._sync_first = spool.sync == "always"
        self._counts = counts
        self._proxies = proxies if proxies else None
        self._untrusted = proxies.untrusted
        self._click_ids = ClickIds()
        self._visitor_key = visitor_key
        self._own_key = own_key
        # The part of the visitor hash that a brand's visitors of one day share; emptied at the end of the day.
        self._visitors: dict[str, blake2b] = {}
        self._visitors_until_ms = 0

    def prepare(
        self,
        method: str,
        path: str,
        query: bytes,
        headers: dict[bytes, bytes],
        header_list: Sequence[Header],
        client: tuple[str, int] | None,
    ) -> PendingClick | None:
        """The click on a link that was clicked before, to be passed to `record`; None, without any effect, for every other request.

        path: percent-decoded. headers: the last of each name, in lower case; header_list: all of them. client: address and port of the peer.
        """
        if (len(headers) != len(header_list) or b"host" not in headers) and not has_one_host(headers, header_list):
            return None
        cache = self._directory.cache
        if cache.host_brands:
            host = host_name(headers.get(b"host", b""))
            route = cache.routes.get(route_key(host, path[1:]) if host in cache.host_brands else path[1:])
        else:
            route = cache.routes.get(path[1:])
        if route is None or route.disabled or route.expires_ms or self._sync_first or method not in REDIRECTED:
            return None
        return self._pending(route, method, query, headers, header_list, client)

    def record(self, clicks: Sequence[PendingClick]) -> list[bytes]:
        """Record these clicks by one write, all or none, and return the `Location` of each: without its click id if they could not be recorded."""
        try:
            self._spool.append(b"\n".join([click.line for click in clicks]))
        except SpoolFull:
            return self._count(clicks, recorded=False)
        return self._count(clicks, recorded=True)

    def _count(self, clicks: Sequence[PendingClick], *, recorded: bool) -> list[bytes]:
        if not recorded:
            self._counts.slots[REDIRECTS_UNRECORDED] += len(clicks)
            return [address(click.route.destination, b"", click.query) for click in clicks]
        self._counts.slots[REDIRECTS] += len(clicks)
        return [click.location for click in clicks]

    async def answer(self, scope: Scope, path: str) -> Answer:
        """Answer a request for `path` (lower case, without its first slash) that `prepare` did not take."""
        if scope["method"] not in REDIRECTED:
            return method_refused(scope, *REDIRECTED)
        headers = dict(scope["headers"])
        route = await self._find(headers, path)
        if isinstance(route, Answer):
            return route
        query = scope["query_string"]
        click = self._pending(route, scope["method"], query, headers, scope["headers"], scope["client"])
        recorded = True
        try:
            self._spool.append(click.line)
            if self._sync_first:
                await self._spool.synced()
        except SpoolFull:
            recorded = False
        (location,) = self._count([click], recorded=recorded)
        return Answer(302, headers=[(b"location", location), *HEADERS])

    def _pending(
        self,
        route: CachedRoute,
        method: str,
        query: bytes,
        headers: dict[bytes, bytes],
        header_list: Sequence[Header],
        client: tuple[str, int] | None,
    ) -> PendingClick:
        """One long function on purpose: every call that it saves is 1 to 5 % of a redirect (docs/performance.md)."""
        click_id, at_ms, shown = self._click_ids.fresh()
        user_agent = headers.get(b"user-agent", b"")[:USER_AGENT_MAX_BYTES].decode("latin-1")
        visitor, network = None, ""
        if b"sec-gpc" in headers and headers[b"sec-gpc"].strip() == b"1":
            if not route.gpc_click_id:
                shown = b""
        else:
            peer = client[0] if client else ""
            network, owner = split_address(peer if self._proxies is None else self._proxies.client(peer, header_list))
            if b"x-forwarded-for" in headers:
                if self._proxies is None or not self._proxies.trusts(peer):
                    self._untrusted.forwarded(peer, headers[b"x-forwarded-for"])
            elif self._untrusted.in_a_row:
                self._untrusted.direct()
            if at_ms >= self._visitors_until_ms:
                self._visitors_until_ms, self._visitors = (at_ms // DAY_MS + 1) * DAY_MS, {}
            day = self._visitors.get(route.brand_id)
            if day is None:
                day = self._visitors[route.brand_id] = visitors_of_day(self._visitor_key, route.brand_id, at_ms)
            visitor = visitor_of(day, owner, user_agent)
        hint = ""
        if method == "HEAD":
            hint = "head"
        elif b"sec-purpose" in headers or b"purpose" in headers or b"x-purpose" in headers or b"x-moz" in headers:
            hint = "prefetch" if _is_prefetch(headers) else ""
        if not hint and b"sec-fetch-dest" in headers and headers[b"sec-fetch-dest"].strip().lower() != b"document":
            hint = "embedded"
        if (route.own_networks or b"cookie" in headers) and self._is_own(route, headers, header_list, client):
            hint = "own"
        referrer = _referrer(headers[b"referer"]) if b"referer" in headers else ""
        line = ClickLine(click_id, route.brand_id, route.link_id, visitor, network, user_agent, referrer, hint)
        simple = shown and not query
        location = route.prefix + shown + route.suffix if simple else address(route.destination, shown, query)
        return PendingClick(route, query, encode(line), location)

    def _is_own(
        self,
        route: CachedRoute,
        headers: dict[bytes, bytes],
        header_list: Sequence[Header],
        client: tuple[str, int] | None,
    ) -> bool:
        """Whether one of the brand's own people clicks. The address is compared and not kept, also with Sec-GPC."""
        cookie = headers.get(b"cookie", b"")
        if COOKIE in cookie:
            mark = own_mark(self._own_key, route.brand_id)
            if has_cookie(cookie, cookie_name(route.brand_id), mark):
                return True
        if not route.own_networks:
            return False
        peer = client[0] if client else ""
        address = peer if self._proxies is None else self._proxies.client(peer, header_list)
        return is_among(address, route.own_networks)

    async def _find(self, headers: dict[bytes, bytes], path: str) -> CachedRoute | Answer:
        """The route of a slug that is not in memory, or may have expired; else where the visitor goes instead."""
        host = host_name(headers.get(b"host", b""))
        slug = path.removesuffix("/")
        mended = None
        try:
            # Scanners request `wp-login.php`: the database is not queried for what cannot be a slug.
            if is_slug(slug):
                route, brand_id = await self._directory.find_route(host, slug)
            else:
                route, brand_id = None, self._directory.brand_of(host)
            if route is None and (mended := mend_slug(slug)) is not None:
                route, brand_id = await self._directory.find_route(host, mended)
        except Unavailable:
            self._counts.slots[UNAVAILABLE] += 1
            return try_again(headers)
        pages = self._directory.cache.pages(host)
        if route is None:
            reason = "unknown_slug"
            if "/" in slug and mended is None:
                return answer_lost("unknown", pages, headers)  # somebody is trying paths: no slug was meant
        elif route.disabled:
            reason, brand_id = "disabled", route.brand_id
        elif route.expires_ms and route.expires_ms <= clock.now_ms():
            reason, brand_id = "expired", route.brand_id
        else:
            return route
        own_host = brand_id and host in self._directory.cache.host_brands
        # Text that PostgreSQL cannot hold would be quarantined later.
        clean = slug[:SLUG_MAX_CHARS] if slug.isprintable() else "(unprintable)"
        line = MissLine(str(random_ids.new_id()), brand_id, host if own_host else SHARED_HOST, clean, reason)
        self._counts.slots[MISSES[reason]] += 1
        with suppress(SpoolFull):  # counted all the same; the visitor of a dead link loses nothing
            self._spool.append(encode(line))
        return answer_lost("unknown" if route is None else "expired", pages, headers)


def has_one_host(headers: dict[bytes, bytes], header_list: Sequence[Header]) -> bool:
    """Whether a request names one host. headers: the last of each name, in lower case; header_list: all of them."""
    if len(headers) == len(header_list):
        return b"host" in headers
    return [name for name, _ in header_list].count(b"host") == 1


@lru_cache(maxsize=1_024)
def host_name(header: bytes) -> str:
    """The host of a Host header, lower case, without its port and a final dot; '' when there is none."""
    host = header.decode("latin-1").strip()
    if host.startswith("["):
        return host.partition("]")[0][1:].lower()
    return fold_host(host.partition(":")[0])


@lru_cache(maxsize=4_096)
def _referrer(header: bytes) -> str:
    return referrer_host(header[:REFERRER_MAX_BYTES].decode("latin-1"))


def _is_prefetch(headers: dict[bytes, bytes]) -> bool:
    """Whether the browser fetches ahead of a click. `Sec-Purpose: prefetch;prerender` counts too."""
    if headers.get(b"sec-purpose", b"").lstrip().lower().startswith(b"prefetch"):
        return True
    older = headers.get(b"purpose") or headers.get(b"x-purpose") or headers.get(b"x-moz")
    return older is not None and older.strip().lower() in (b"prefetch", b"preview")
