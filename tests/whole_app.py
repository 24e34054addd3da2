"""Doors in front, API behind, in one ASGI application. `ariane serve` puts them together in app/server/web_worker.py, doors first."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Mount

from app.server.app import create_api
from app.settings import Settings
from app.tracking.doors import Doors


def create_app(settings: Settings) -> Starlette:
    """The application, whose lifespan opens and closes both."""
    doors = Doors(settings)
    api = create_api(settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await doors.start()
        async with api.router.lifespan_context(api):
            doors.api = api
            yield
        await doors.stop()

    return Starlette(routes=[Mount("", app=doors)], lifespan=lifespan)
