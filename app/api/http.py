"""What every resource stands on: one route class that authenticates, reads the body strictly, opens and ends the request's transaction.

A resource is a module with `router = resource("links")`. Its endpoints take a caller (`Reader`, `Writer`, … of app/api/auth.py), `Session` for
SQL and nothing else; commit and rollback happen here and nowhere else. Whatever they raise becomes a problem (app/api/problems.py).
"""

from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncTransaction

from app.api import idempotency
from app.api.auth import SCHEME, authenticate
from app.api.body import StrictRequest, read_request
from app.api.problems import COMMON, WITH_BODY, Problem, responses, translate
from app.api.validation_messages import NO_PARAMETER
from app.errors import AppError, Conflict, FieldError, Invalid, NotFound
from app.settings import Settings as AllSettings


class Unit:
    """One request's transaction: begun at its first statement, committed when the answer is ready, rolled back on any error."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._connection: AsyncConnection | None = None
        self._transaction: AsyncTransaction | None = None

    async def connection(self) -> AsyncConnection:
        """The connection, inside the transaction."""
        if self._connection is None:
            self._connection = await self._engine.connect()
            self._transaction = await self._connection.begin()
        return self._connection

    async def __aenter__(self) -> "Unit":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is None or self._transaction is None:
            return
        try:
            if error is None:
                await self._transaction.commit()
            elif self._transaction.is_active:
                await self._transaction.rollback()
        finally:
            await self._connection.close()


class Route(APIRoute):
    """A route of the API: authenticated, strictly read, in one transaction, idempotent on POST when a key is sent."""

    async def read(self, request: Request) -> StrictRequest:
        """The request with its body read."""
        return await read_request(request, request.app.state.settings.body_max_bytes)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        parameters = _query_parameters(self)

        async def checked(request: Request) -> Response:
            if parameters is not None:
                _refuse_unknown(request, parameters)
            return await handler(request)

        async def answer(request: Request) -> Response:
            try:
                return await _answer(request, self.read, checked)
            except AppError:
                raise
            except Exception as error:
                told = translate(error)
                if told is None:
                    raise
                raise told from error

        return answer


def _query_parameters(route: APIRoute) -> frozenset[str] | None:
    """The names of a route's query parameters; None when a model of its own reads them, and refuses the others."""
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


def _refuse_unknown(request: Request, parameters: frozenset[str]) -> None:
    """A misspelt filter that is let be answers with everything, which looks like an answer."""
    unknown = sorted(set(request.query_params) - parameters)
    if unknown:
        fields = tuple(FieldError(name, NO_PARAMETER, "unknown_field") for name in unknown)
        raise Invalid(f"{', '.join(unknown)[:200]}: {NO_PARAMETER}", fields=fields)


async def _answer(
    plain: Request,
    read: Callable[[Request], Awaitable[StrictRequest]],
    handler: Callable[[Request], Coroutine[Any, Any, Response]],
) -> Response:
    state = plain.app.state
    await state.gate.check()
    caller = plain.state.caller = await authenticate(plain, state.keys)
    request = await read(plain)
    key = idempotency.read_key(request) if request.method == "POST" else None
    async with Unit(state.engine) as unit:
        request.state.unit = unit
        if key is None:
            return await handler(request)
        return await idempotency.once(request, caller, await unit.connection(), key, handler)


def resource(name: str, *, prefix: str | None = None, route_class: type[Route] = Route) -> APIRouter:
    """The router of one resource: `/v1/<name>`, tagged with its name, every operation behind a secret key."""
    return APIRouter(
        prefix=f"/v1/{name}" if prefix is None else prefix,
        tags=[name],
        route_class=route_class,
        dependencies=[Security(SCHEME)],
        responses=COMMON,
    )


# `responses=` of operations: COMMON stands on the router, these are added where they can happen.
BODY = WITH_BODY
FOUND = responses(NotFound)
CREATES: dict[int | str, dict[str, Any]] = {
    200: {"description": "It existed already, with the same content."},
    **WITH_BODY,
    **responses(Conflict),
}
CHANGES = {**WITH_BODY, **responses(NotFound, Conflict)}

__all__ = ["BODY", "CHANGES", "CREATES", "FOUND", "Pool", "Problem", "Route", "Session", "Settings", "Unit", "resource"]


# ── Dependencies ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def _session(request: Request) -> AsyncConnection:
    unit: Unit = request.state.unit
    return await unit.connection()


async def _settings(request: Request) -> AllSettings:
    settings: AllSettings = request.app.state.settings
    return settings


async def _pool(request: Request) -> asyncpg.Pool:
    pool: asyncpg.Pool = request.app.state.pool
    return pool


Session = Annotated[AsyncConnection, Depends(_session)]
"""The request's connection, in its transaction; never commit it."""
Settings = Annotated[AllSettings, Depends(_settings)]
Pool = Annotated[asyncpg.Pool, Depends(_pool)]
"""Plain asyncpg connections, for what commits on its own (recording) or reads in sets (reports)."""
