"""The ground that every resource stands on: one route class that authenticates, reads the body strictly and ends the request's transaction.

A resource is a module with `router = resource("links")`. Its endpoints take a caller (`Reader`, `Writer`, … of app/api/auth.py), `Session` for
SQL and nothing else; commit and rollback happen here and nowhere else. Whatever they raise becomes a problem (app/api/problems.py).
"""

import logging
import re
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import clock, random_ids
from app.api import idempotency
from app.api.auth import SCHEME, authenticate
from app.api.body import StrictRequest, read_request
from app.api.problems import COMMON, NO_PARAMETER, WITH_BODY, render, responses, translate
from app.database.migrate import head, revision
from app.directory.rollout import wait_until_read
from app.domain import ids
from app.domain.likeness import hint
from app.errors import FAULTS_SHOWN_MAX, AppError, Conflict, FieldError, Invalid, NotFound, Unavailable
from app.settings import Settings as AllSettings

log = logging.getLogger("ariane.api")


class Unit(AsyncExitStack):
    """One request's transaction: begun at its first statement, committed when the answer is ready, rolled back on any error.

    changes_doors: what it changes must hold at the doors of every web worker before the request is answered.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__()
        self.changes_doors = False
        self._engine = engine
        self._connection: AsyncConnection | None = None

    async def connection(self) -> AsyncConnection:
        """The connection, inside the transaction."""
        if self._connection is None:
            self._connection = await self.enter_async_context(self._engine.begin())
        return self._connection


class Route(APIRoute):
    """A route of the API: authenticated, strictly read, in one transaction, idempotent on POST when a key is sent."""

    async def read(self, request: Request) -> StrictRequest:
        """The request with its body read."""
        return await read_request(request, request.app.state.settings.body_max_bytes)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        parameters = _query_parameters(self)

        async def checked(request: Request) -> Response:
            # Ignored, a misspelt filter would answer with every row.
            unknown = [] if parameters is None else sorted(set(request.query_params) - parameters)
            if unknown:
                names = sorted(parameters or ())
                reasons = [NO_PARAMETER + hint(name, names) for name in unknown[:FAULTS_SHOWN_MAX]]
                fields = tuple(
                    FieldError(name, why, "unknown_field") for name, why in zip(unknown, reasons, strict=False)
                )
                raise Invalid(f"{', '.join(unknown)[:200]}: {NO_PARAMETER}", fields=fields)
            return await handler(request)

        async def answer(request: Request) -> Response:
            try:
                return await self._answer(request, checked)
            except AppError:
                raise
            except Exception as error:
                problem = translate(error)
                if problem is None:
                    raise
                raise problem from error

        return answer

    async def _answer(self, plain: Request, handler: idempotency.Handler) -> Response:
        async with plain.app.state.pulse.watch():
            return await self._answer_in_time(plain, handler)

    async def _answer_in_time(self, plain: Request, handler: idempotency.Handler) -> Response:
        state = plain.app.state
        await state.gate.check()
        caller = plain.state.caller = await authenticate(plain, state.keys)
        request = await self.read(plain)
        key = idempotency.read_key(request) if request.method == "POST" else None
        async with Unit(state.engine) as unit:
            request.state.unit = unit
            if key is None:
                response = await handler(request)
            else:
                response = await idempotency.once(request, caller, await unit.connection(), key, handler)
        if unit.changes_doors:
            await wait_until_read(state.pool)
        return response


def _query_parameters(route: APIRoute) -> frozenset[str] | None:
    """Names of a route's query parameters; None when a pydantic model reads them, which refuses unknown ones itself."""
    names: set[str] = set()
    waiting = [route.dependant]
    while waiting:
        dependant = waiting.pop()
        waiting += dependant.dependencies
        for field in dependant.query_params:
            kind = field.field_info.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                return None
            names.add(field.alias)
    return frozenset(names)


def resource(name: str, *, prefix: str | None = None, route_class: type[Route] = Route) -> APIRouter:
    """The router of one resource: `/v1/<name>`, tagged with its name, every operation behind a secret key."""
    return APIRouter(
        prefix=f"/v1/{name}" if prefix is None else prefix,
        tags=[name],
        route_class=route_class,
        dependencies=[Security(SCHEME)],
        responses=COMMON,
    )


# `responses=` of operations, beside COMMON, which stands on the router.
BODY = WITH_BODY
FOUND = responses(NotFound)
CREATES: dict[int | str, dict[str, Any]] = {
    200: {"description": "It existed already, with the same content."},
    **WITH_BODY,
    **responses(Conflict),
}
CHANGES = {**WITH_BODY, **responses(NotFound, Conflict)}


# ── Dependencies ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def _session(request: Request) -> AsyncConnection:
    unit: Unit = request.state.unit
    return await unit.connection()


async def _reports_session(request: Request) -> AsyncConnection:
    unit: Unit = request.state.unit
    state = request.app.state
    if state.reports_engine is state.engine:
        return await unit.connection()
    await unit.enter_async_context(state.reports_pulse.watch())
    connection: AsyncConnection = await unit.enter_async_context(state.reports_engine.begin())
    return connection


async def _settings(request: Request) -> AllSettings:
    settings: AllSettings = request.app.state.settings
    return settings


async def _pool(request: Request) -> asyncpg.Pool:
    pool: asyncpg.Pool = request.app.state.pool
    return pool


Session = Annotated[AsyncConnection, Depends(_session)]
"""The request's connection, in its transaction; never commit it."""
ReportsSession = Annotated[AsyncConnection, Depends(_reports_session)]
"""As `Session`, for what only reads: of the standby in REPORTS_DATABASE_URL, where there is one."""
Settings = Annotated[AllSettings, Depends(_settings)]
Pool = Annotated[asyncpg.Pool, Depends(_pool)]
"""Plain asyncpg connections, for what commits on its own (recording) or reads in sets (reports)."""


# ── Around every request ─────────────────────────────────────────────────────────────────────────────────────────────

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
RECHECK_S = 0.2
"""Least seconds between two looks at the database's schema while it is not this release's."""


SECURITY = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""Headers of every answer that does not say otherwise itself, as the pages of /docs do (OWASP's cheat sheet for REST). Strict-Transport-Security is the
business of whoever ends TLS."""


class RequestMiddleware:
    """Outermost ASGI layer: takes or makes `X-Request-Id`, adds what browsers have to know, and logs an exception that nobody caught and answers it as
    `internal`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started, head = False, scope["method"] == "HEAD"
        scope = _as_routed(scope)

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
                named = {name for name, _ in headers}
                if b"etag" in named:  # a file of Swagger UI, which is asked for again with it
                    named.add(b"cache-control")
                message["headers"] = [*headers, *(header for header in SECURITY if header[0] not in named)]
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            log.exception("request %s failed: %s %s", request_id, scope["method"], scope["path"])
            if started:
                raise
            response = render(
                Request(scope),
                AppError("something went wrong on our side; the log has the details under this request id"),
            )
            await response(scope, receive, send_with_id)


def _as_routed(scope: Scope) -> Scope:
    """The request as the routes know it: HEAD as the GET that it stands for, and without a slash at the end of its path.

    A redirect would do for neither: clients follow one without their body, their method or their key.
    """
    path: str = scope["path"]
    if scope["method"] != "HEAD" and not path.endswith("/"):
        return scope
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    plain = {"path": path.rstrip("/") or "/", "raw_path": (scope.get("raw_path") or b"").rstrip(b"/") or b"/"}
    return {**scope, "method": method, **plain}


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value.decode("latin-1")):
            return str(value.decode("latin-1"))
    return ids.show("request", random_ids.new_id())


class SchemaGate:
    """Answers 503 until the database has this release's schema: a new release may be up before its migration is done.

    Once open it stays open: schemas only move forward while a release runs.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._open = False
        self._checked_s = float("-inf")

    async def check(self) -> None:
        """Raises Unavailable until the schema matches; asks the database at most every RECHECK_S."""
        if self._open:
            return
        if clock.monotonic_s() - self._checked_s >= RECHECK_S:
            async with self._pool.acquire() as connection:
                # Newer is fine: migrations only add, and the release before keeps running during an upgrade.
                at = await revision(connection)
                self._open = at is not None and at >= head()
            self._checked_s = clock.monotonic_s()
        if not self._open:
            raise Unavailable("the database is being brought to this release's schema", code="schema_not_ready")
