"""The way to PostgreSQL: SQLAlchemy's engine for the API, plain asyncpg for what is set-based and hot.

Two ways into one database on purpose: a statement through SQLAlchemy costs two to three times the driver's own time
(docs/decisions), which resources can afford and the recording of clicks and orders cannot.
"""

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import asyncpg

from app.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

CONNECT_TIMEOUT_S = 5
COMMAND_TIMEOUT_S = 60


def whereabouts(dsn: str) -> str:
    """Which database that is, for people: name, host and port, or where its socket is. Never a user's name or password."""
    parts = urlsplit(dsn)
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    name = unquote(parts.path[1:]) or asked.get("dbname") or unquote(parts.username or "")
    host = parts.hostname or asked.get("host") or "this machine"
    if host.startswith("/"):
        return f"{name!r} on the socket in {host}"
    port = parts.port or asked.get("port") or 5432
    return f"{name!r} at {f'[{host}]' if ':' in host else host}, port {port}"


def create_engine(settings: Settings, *, size: int | None = None) -> "AsyncEngine":
    """An engine over `settings.database_url`; connects on first use. `size`: connections, else `settings.database_pool`."""
    # Here, because the background process never needs it and would pay a second of processor time at every start.
    from sqlalchemy.ext.asyncio import create_async_engine

    parts = urlsplit(settings.database_url)
    return create_async_engine(
        urlunsplit(parts._replace(scheme="postgresql+asyncpg")),
        pool_size=size or settings.database_pool,
        max_overflow=0,
        pool_pre_ping=False,
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": COMMAND_TIMEOUT_S,
            "server_settings": {"application_name": "ariane-api", "timezone": "UTC"},
        },
    )


async def connect_pool(dsn: str, *, size: int, name: str) -> asyncpg.Pool:
    """A pool of plain asyncpg connections, none opened yet. `name` is shown in pg_stat_activity as `ariane-<name>`."""
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        reset=_tidy,
        server_settings={"application_name": f"ariane-{name}", "timezone": "UTC"},
    )


async def _tidy(connection: asyncpg.Connection) -> None:
    """Ends a transaction that was left open. asyncpg would send RESET ALL at every release: a round trip, for session state nobody here sets."""
    if connection.is_in_transaction():
        await connection.reset()
