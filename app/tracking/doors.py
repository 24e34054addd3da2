"""The ASGI application of a web worker: it answers the public doors itself and passes everything else to the API.

Nothing imported here imports FastAPI or SQLAlchemy: the doors are open long before the API is loaded, and a FastAPI route alone costs four times
what a whole redirect costs.
"""

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any

from app import clock
from app.directory.lookup import Directory
from app.domain.own_clicks import OWN_CLICKS
from app.errors import AppError, Malformed, Unavailable
from app.metrics import API_SECONDS, CONTENT_TYPE, LOOP_SECONDS, UNAVAILABLE, Counts, Gauge, load_gauges, render, totals
from app.secret import derive, load_secret
from app.settings import Settings, read_place
from app.spool.reader import stalled
from app.spool.writer import QUARANTINE, Kind, Spool, measure
from app.tracking.hooks import Hooks
from app.tracking.lost_visitors import answer_lost
from app.tracking.own_clicks import OwnClicks
from app.tracking.pixel import Pixels, answer_script
from app.tracking.pixel_limits import PixelLimits
from app.tracking.redirect import REDIRECT_HEADERS, Redirects, has_one_host, host_name
from app.tracking.responses import (
    NO_STORE,
    Answer,
    Receive,
    Scope,
    Send,
    as_problem,
    json_answer,
    method_refused,
    page,
    problem,
)
from app.tracking.trusted_proxies import Proxies

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
Door = Callable[[Scope, Receive], Awaitable[Answer]]

API = frozenset({"v1", "docs", "openapi.json", "dashboard", "me"})
"""First path segments of what the API answers."""

DOCS = frozenset({"docs", "openapi.json"})
CLOSABLE = DOCS | {"metrics"}
"""First path segments that a setting closes or moves to the internal address, and that no brand's host has."""

READING = ("GET", "HEAD")
WHAT_IT_IS = (
    "Attribution for influencer marketing: links and codes out, clicks and orders in. It is spoken to over a REST API"
)
FRONT = page(200, "Ariane", f'{WHAT_IT_IS}, described at <a href="/docs">/docs</a>.')
"""The front page; it reveals no more than the public /docs."""
FRONT_WITHOUT_DOCS = page(200, "Ariane", f"{WHAT_IT_IS}.")

log = logging.getLogger("ariane.doors")


def _read_only(door: Door) -> Door:
    """The door for GET and HEAD; any other method is refused."""

    async def answer(scope: Scope, receive: Receive) -> Answer:
        return await door(scope, receive) if scope["method"] in READING else method_refused(scope, *READING)

    return answer


def _refuse_host(scope: Scope) -> Answer:
    """400 for a request that names several hosts, or none: whose links are meant would depend on who reads it (RFC 9112, 3.2)."""
    named = [name for name, _ in scope["headers"]].count(b"host")
    return problem(
        scope["path"], Malformed(f"the request has {named or 'no'} Host headers, and must have one", code="host_header")
    )


class Doors:
    """One worker's doors: `start`, then call it as an ASGI application. `api` is set once the API has been imported.

    Raises SettingsError when the secret key cannot be read or created.
    stopping: set when the worker begins to stop, so that `/readyz` reports it while requests are still answered.
    """

    def __init__(self, settings: Settings) -> None:
        self.api: ASGIApp | None = None
        self.stopping = False
        self.directory = Directory(settings)
        open_spool = partial(
            Spool,
            settings.data / "spool",
            sync_ms=settings.spool_sync_ms,
            segment_bytes=settings.spool_segment_bytes,
            cap_bytes=settings.spool_cap_bytes,
        )
        self.clicks, self.orders = open_spool(kind="clicks", sync=settings.spool_sync), open_spool(kind="orders")
        self._counts = Counts(settings.data / "metrics")
        secret = load_secret(settings)
        self._proxies = proxies = Proxies(settings.trusted_proxies)
        visitor_key, own_key = derive(secret, "visitor"), derive(secret, OWN_CLICKS)
        self._redirects = Redirects(self.directory, self.clicks, self._counts, proxies, visitor_key, own_key)
        # Also called by the fast path (protocol.py).
        self.prepare, self.record = self._redirects.prepare, self._redirects.record
        self._limits = PixelLimits(settings, self.orders, proxies)
        pixels = Pixels(self.directory, self.orders, self._counts, settings.pixel_max_bytes, proxies, self._limits)
        hooks = Hooks(self.directory, self.orders, self._counts, settings, secret)
        # By the first path segment. These names are reserved: no slug may be one of them (app/domain/slugs.py).
        self._doors: dict[str, Door] = {
            "": _read_only(self._front),
            "healthz": _read_only(self._health),
            "readyz": _read_only(self._readiness),
            "metrics": _read_only(self._metrics),
            "p.gif": pixels.answer_pixel,
            "e": pixels.answer_beacon,
            "a.js": answer_script,
            "in": hooks.answer,
            "us": OwnClicks(own_key).answer,
            **dict.fromkeys(API, self._starting),
            "robots.txt": _read_only(self._not_found),
            "favicon.ico": _read_only(self._not_found),
            ".well-known": _read_only(self._not_found),
        }
        self._open = (
            CLOSABLE
            - (DOCS if settings.docs == "off" else set())
            - ({"metrics"} if settings.metrics == "off" else set())
        )
        self._internal_port = (
            read_place("internal_address", settings.internal_address)[1] if settings.internal_address else 0
        )
        self._warm_up: asyncio.Task[object] | None = None

    async def start(self) -> None:
        """Load the directory's snapshot and begin to follow the database."""
        self._counts.open()
        await self.directory.start()
        # Imported now: otherwise the first webhook, and whatever runs beside it, would wait for the import of the cipher.
        cipher = "cryptography.hazmat.primitives.ciphers.aead"
        self._warm_up = asyncio.create_task(asyncio.to_thread(importlib.import_module, cipher))

    async def stop(self) -> None:
        """Flush and hand over the spool, disconnect from the database. No request may be under way."""
        self._limits.tell()
        await self.clicks.close()
        await self.orders.close()
        await self.directory.stop()
        if self._warm_up is not None:
            await asyncio.wait([self._warm_up])
        self._counts.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not spoken here")
        try:
            header_list = scope["headers"]
            headers = dict(header_list)
            # Finds only links that were clicked before, so none of the reserved paths.
            click = self.prepare(
                scope["method"], scope["path"], scope["query_string"], headers, header_list, scope["client"]
            )
            if click is not None:
                (location,) = self.record([click])
                redirect_headers = [(b"location", location), *REDIRECT_HEADERS]
                await send({"type": "http.response.start", "status": 302, "headers": redirect_headers})
                await send({"type": "http.response.body"})
                return
            # HTTP/1.0 needs no host.
            if not has_one_host(headers, header_list) and (b"host" in headers or scope["http_version"] != "1.0"):
                await _refuse_host(scope).send(send)
                return
            # Slugs are matched in any case, and so are the reserved names: /P.GIF must not be taken for a slug.
            path = scope["path"][1:].lower()
            slug = path.partition("/")[0]
            if slug in CLOSABLE and not self._is_open(scope, slug):
                pages = self.directory.cache.pages(host_name(headers.get(b"host", b"")))
                await as_problem(scope, answer_lost("unknown", pages, headers)).send(send)
                return
            if slug in API and self.api is not None:
                await self._ask_api(self.api, scope, receive, send)
                return
            answer = await self._answer(scope, receive, slug, path)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            answer = problem(scope["path"], AppError("something went wrong on our side; the log has the details"))
        if answer is not None:
            await (as_problem(scope, answer) if answer.status >= 400 else answer).send(send)

    def _is_open(self, scope: Scope, slug: str) -> bool:
        """Whether a path of CLOSABLE is served to this request."""
        if slug not in self._open:
            return False
        if self._internal_port:
            server = scope.get("server")
            return server is not None and server[1] == self._internal_port
        return host_name(dict(scope["headers"]).get(b"host", b"")) not in self.directory.cache.host_brands

    async def _ask_api(self, api: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the API answer, and count how long it took and whether it could."""

        async def watched(message: Any) -> None:
            if message.get("status") == HTTPStatus.SERVICE_UNAVAILABLE:
                self._counts.slots[UNAVAILABLE] += 1
            await send(message)

        began_s = clock.monotonic_s()
        try:
            await api(scope, receive, watched)
        finally:
            self._counts.observe(API_SECONDS, clock.monotonic_s() - began_s)

    def note_delay(self, seconds: float) -> None:
        """Count by how much the event loop was late."""
        self._counts.observe(LOOP_SECONDS, seconds)

    async def _answer(self, scope: Scope, receive: Receive, slug: str, path: str) -> Answer | None:
        """The answer of the door in charge of the first segment, `slug`, of `path`; None when the sender has hung up."""
        door = self._doors.get(slug) if slug or not path else None
        try:
            if door is not None:
                return await door(scope, receive)
            return await self._redirects.answer(scope, path)
        except ConnectionError:
            return None
        except AppError as error:
            return problem(scope["path"], error)

    # ── The doors that have no file of their own ─────────────────────────────────────────────────────────────────────

    async def _starting(self, scope: Scope, receive: Receive) -> Answer:
        raise Unavailable("the API is still starting", code="starting")

    async def _front(self, scope: Scope, receive: Receive) -> Answer:
        """The front page for the operator. On a brand's own host, whose visitors are followers of an influencer, it is what the brand chose, or a 404.

        Until the directory is loaded any host may be a brand's, so it is a 404 then too.
        """
        headers = dict(scope["headers"])
        host = host_name(headers.get(b"host", b""))
        shared_host = self.directory.ready and self.directory.brand_of(host) is None
        front = scope["path"] == "/" and scope["method"] in ("GET", "HEAD")
        shown = FRONT if self._is_open(scope, "docs") else FRONT_WITHOUT_DOCS
        return shown if shared_host and front else answer_lost("root", self.directory.cache.pages(host), headers)

    async def _not_found(self, scope: Scope, receive: Receive) -> Answer:
        return answer_lost("unknown", None, dict(scope["headers"]))

    async def _health(self, scope: Scope, receive: Receive) -> Answer:
        """200 while the process answers, even if it is not ready: a restart helps with nothing that `/readyz` reports."""
        return json_answer(200, {"status": "ok"})

    async def _readiness(self, scope: Scope, receive: Receive) -> Answer:
        """Whether requests of every kind should be sent here, the API's too.

        A database outage after the first load does not matter: redirects and webhooks go on.
        """
        spool = self.clicks.writable and self.orders.writable
        ready = self.directory.ready and spool and self.api is not None and not self.stopping
        stopped = await asyncio.to_thread(self._stalled)
        content = {
            "ready": ready,
            "directory": "loaded" if self.directory.ready else "loading",
            "spool": "writable" if spool else "refused",
            "database": "up" if self.directory.fresh else "down",
            "schema": self.directory.schema,
            "api": "loaded" if self.api is not None else "loading",
            "drain": f"does not go on: {', '.join(stopped)}" if stopped else "goes on",
            "proxy": "not trusted: all visitors count as one; the log says which it is"
            if self._proxies.untrusted.peer
            else "ok",
            "stopping": self.stopping,
        }
        return json_answer(200 if ready else 503, content)

    async def _metrics(self, scope: Scope, receive: Receive) -> Answer:
        """The counters of all processes of this data directory, in Prometheus' text format."""
        writable = self.clicks.writable and self.orders.writable
        routes = len(self.directory.cache.rows["route"])
        fresh = "1 when this worker's last question to the database was answered."
        untrusted = (
            "1 when every click comes from one address that forwards others and is not in ARIANE_TRUSTED_PROXIES."
        )
        gauges = [
            Gauge(name="ariane_spool_writable", help="1 when clicks and orders can be recorded.", value=writable),
            Gauge(name="ariane_directory_routes", help="Links that this worker knows.", value=routes),
            Gauge(name="ariane_directory_fresh", help=fresh, value=self.directory.fresh),
            Gauge(name="ariane_untrusted_proxy", help=untrusted, value=bool(self._proxies.untrusted.peer)),
        ]
        body = await asyncio.to_thread(self._render, gauges)
        return Answer(200, body, [(b"content-type", CONTENT_TYPE), NO_STORE])

    def _stalled(self) -> list[Kind]:
        """Runs in a thread, because it reads directories."""
        try:
            return stalled(self.clicks.directory)
        except OSError:
            return []  # `spool` says it

    def _render(self, gauges: list[Gauge]) -> bytes:
        """Runs in a thread, because it reads directories."""
        with suppress(OSError):
            spool = self.clicks.directory
            bytes_total, segments = measure(spool)
            held = measure(spool / QUARANTINE)[0] if (spool / QUARANTINE).exists() else 0
            total = "Bytes in the spool of all processes, quarantine included."
            waiting = "Segments that are written or wait to be drained."
            aside = "Bytes in quarantine: lines that the database refused (`ariane quarantine list`)."
            gauges += [
                Gauge(name="ariane_spool_bytes", help=total, value=bytes_total),
                Gauge(name="ariane_spool_segments", help=waiting, value=segments),
                Gauge(name="ariane_quarantine_bytes", help=aside, value=held),
            ]
        gauges += load_gauges(self._counts.directory)
        try:
            counts = totals(self._counts.directory)
        except OSError:
            counts = list(self._counts.slots)
        return render(counts, gauges)
