"""The REST API: its routers, database connections and OpenAPI document.

FastAPI and SQLAlchemy are imported inside the functions: the doors answer redirects while the API is still being imported.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from app.secret import derive, load_secret
from app.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

API_POOL_SIZE = 4
"""asyncpg connections of a web worker beside SQLAlchemy's: for key look-ups, reports and one recorder."""


def create_api(settings: Settings) -> "FastAPI":
    """The API without the doors. Its lifespan opens the database connections (which connect on first use) and closes them."""
    from fastapi import FastAPI

    from app.api.docs.pages import add_docs
    from app.api.http import RequestMiddleware
    from app.api.openapi import add_openapi
    from app.api.problems import add_handlers
    from app.database.connections import connect_pool, create_engine
    from app.database.pulse import Pulse
    from app.domain.customers import PURPOSE
    from app.outgoing.host_proofs import PURPOSE as HOST_PROOF
    from app.outgoing.host_proofs import HostProofs

    @asynccontextmanager
    async def lifespan(api: "FastAPI") -> AsyncIterator[None]:
        from app.api.auth import KeyRing
        from app.api.http import SchemaGate
        from app.orders.batching import Recorder

        pulse = api.state.pulse = api.state.reports_pulse = Pulse(settings.database_url)
        watched = pulse.connection_class
        api.state.engine = api.state.reports_engine = create_engine(settings, connection_class=watched)
        if settings.reports_database_url:
            own = api.state.reports_pulse = Pulse(settings.reports_database_url)
            dsn = settings.reports_database_url
            api.state.reports_engine = create_engine(settings, dsn=dsn, connection_class=own.connection_class)
        api.state.pool = await connect_pool(
            settings.database_url, size=API_POOL_SIZE, name="api", connection_class=watched
        )
        api.state.keys = KeyRing(api.state.pool)
        api.state.gate = SchemaGate(api.state.pool)
        # One recorder per pool: a recorder that outlived its pool would answer 503 without end.
        api.state.recorder = Recorder(api.state.pool)
        pulses = {api.state.pulse, api.state.reports_pulse}
        for each in pulses:
            each.start()
        yield
        for each in pulses:
            await each.stop()
        await api.state.engine.dispose()
        await api.state.reports_engine.dispose()
        await api.state.pool.close()

    api = FastAPI(
        title="Ariane",
        version=version(),
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        lifespan=lifespan,
        redirect_slashes=False,
    )
    secret = load_secret(settings)
    api.state.settings = settings
    api.state.secret = secret
    api.state.cursor_key = derive(secret, "cursor")
    api.state.customer_secret = derive(secret, PURPOSE)
    api.state.trials = set()
    api.state.host_proofs = HostProofs(settings, derive(secret, HOST_PROOF))
    api_routers = routers()
    for router in api_routers:
        api.include_router(router)
    add_handlers(api, [*api.routes, *(route for router in api_routers for route in router.routes)])
    add_openapi(api, api_routers)
    add_docs(api)
    api.add_middleware(RequestMiddleware)
    _prepare_routes(api)
    return api


def _prepare_routes(api: "FastAPI") -> None:
    """Build now what FastAPI builds for every route when the first request is matched: half a second, in which no click would be answered."""
    nowhere = {"type": "http", "method": "GET", "path": "/v1/nowhere", "root_path": "", "headers": []}
    for route in api.router.routes:
        route.matches(nowhere)


def routers() -> "list[Any]":
    """The routers of every resource. Those that shops call for every order come first, because routes are tried in turn."""
    from app.api.routes import (
        brand,
        brand_deletion,
        campaigns,
        clicks,
        collaborations,
        conversions,
        costs,
        deliveries,
        host_pages,
        hosts,
        influencers,
        jobs,
        keys,
        privacy,
        refunds,
        reports,
        uploads,
    )
    from app.api.routes.codes import codes
    from app.api.routes.codes import sheets as code_sheets
    from app.api.routes.links import links
    from app.api.routes.links import sheets as link_sheets
    from app.api.routes.sources import mappings, sources

    setting_up = (brand, brand_deletion, hosts, host_pages, keys, mappings, sources)
    planning = (influencers, campaigns, collaborations, links, link_sheets, codes, code_sheets, costs)
    measuring = (conversions, refunds, deliveries, clicks, reports, jobs, privacy)
    return [
        *(module.router for module in measuring),
        uploads.imports,
        uploads.reconciliations,
        *(module.router for module in (*setting_up, *planning)),
        *(module.sheets for module in (influencers, link_sheets, code_sheets, costs)),
    ]


def version() -> str:
    """The version of this release."""
    from importlib.metadata import version as installed

    return installed("ariane")


def openapi_document() -> dict[str, Any]:
    """The OpenAPI 3.1 document, public doors included. Needs no database and leaves no file."""
    return dict(create_api(Settings(secret_key="openapi" * 8)).openapi())
