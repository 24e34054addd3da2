"""Connections to PostgreSQL: SQLAlchemy's engine for the API, plain asyncpg for what is set-based and hot.

A statement through SQLAlchemy costs two to three times the driver's own time (docs/decisions), which resources can afford and the recording of
clicks and orders cannot.
"""

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import asyncpg

from app.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

CONNECT_TIMEOUT_S = 5
COMMAND_TIMEOUT_S = 60


def whereabouts(dsn: str) -> str:
    """The database of a DSN in words: name, host and port, or its socket. Never a user's name or password."""
    parts = urlsplit(dsn)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    name = unquote(parts.path[1:]) or options.get("dbname") or unquote(parts.username or "")
    host = parts.hostname or options.get("host") or "this machine"
    if host.startswith("/"):
        return f"{name!r} on the socket in {host}"
    port = parts.port or options.get("port") or 5432
    return f"{name!r} at {f'[{host}]' if ':' in host else host}, port {port}"


def create_engine(
    settings: Settings,
    *,
    dsn: str = "",
    size: int | None = None,
    connection_class: type[asyncpg.Connection] = asyncpg.Connection,
) -> "AsyncEngine":
    """An engine over `dsn`, else `settings.database_url`; connects on first use. `size`: connections, else `settings.database_pool`."""
    # Imported here: the background process never needs it, and it takes a second of processor time.
    from sqlalchemy import event
    from sqlalchemy.exc import DisconnectionError
    from sqlalchemy.ext.asyncio import create_async_engine

    def refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
        """Let the pool connect anew instead of handing out what the server, or the pulse of it, has cut: as asyncpg's own pool does."""
        if connection.driver_connection.is_closed():
            raise DisconnectionError

    parts = urlsplit(dsn or settings.database_url)
    engine = create_async_engine(
        urlunsplit(parts._replace(scheme="postgresql+asyncpg")),
        pool_size=size or settings.database_pool,
        max_overflow=0,
        pool_pre_ping=False,
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": COMMAND_TIMEOUT_S,
            "connection_class": connection_class,
            "server_settings": {"application_name": "ariane-api", "timezone": "UTC"},
        },
    )
    event.listen(engine.sync_engine, "checkout", refuse_closed)
    return engine


async def connect_pool(
    dsn: str, *, size: int, name: str, connection_class: type[asyncpg.Connection] = asyncpg.Connection
) -> asyncpg.Pool:
    """A pool of plain asyncpg connections, none opened yet. `name` is shown in pg_stat_activity as `ariane-<name>`."""
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        reset=_tidy,
        connection_class=connection_class,
        server_settings={"application_name": f"ariane-{name}", "timezone": "UTC"},
    )


async def _tidy(connection: asyncpg.Connection) -> None:
    """End a transaction that was left open. asyncpg's own way is RESET ALL at every release: a round trip, for session state that is never set here."""
    if connection.is_in_transaction():
        await connection.reset()
