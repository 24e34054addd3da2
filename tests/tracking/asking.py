"""A request to an ASGI application without a server between, and a running set of doors.

The tests run with the fast redirect, or without it where the environment says ARIANE_FAST_REDIRECTS=off (.ci/run does both).
"""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.settings import Settings, read_settings
from app.spool.reader import claim
from app.spool.records import Line, decode
from app.spool.writer import Kind
from app.tracking.doors import Doors

FAST = os.environ.get("ARIANE_FAST_REDIRECTS", "on") == "on"
"""Whether clicks on known links are answered inside uvicorn's protocol in this run."""
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/147.0.0.0 Safari/537.36"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


async def ask(
    app: Any,
    method: str,
    target: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes | Sequence[bytes] = b"",
    client: str = "203.0.113.7",
    port: int = 8000,
) -> Answer:
    """One request. `body` as several parts arrives in several messages; header names are lower-cased as a server would."""
    path, _, query = target.partition("?")
    parts = [body] if isinstance(body, bytes) else list(body)
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode("latin-1"),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in own_host(headers)],
        "client": (client, 50_000),
        "server": ("127.0.0.1", port),
        "scheme": "http",
        "http_version": "1.1",
        "state": {},
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *rest = sent
    found = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    assert len(found) == len(start["headers"]), "a header was sent twice"
    return Answer(start["status"], found, b"".join(message.get("body", b"") for message in rest))


def own_host(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """These headers, with a host where they name none."""
    named = any(name.lower() == "host" for name, _ in headers)
    return [*headers] if named else [("Host", "go.test"), *headers]


def settings_for(dsn: str, data: Path, **overrides: object) -> Settings:
    """Settings of a worker with a data directory of its own."""
    fast = "on" if FAST else "off"
    return read_settings({}, database_url=dsn, data=data, secret_key="s" * 43, **{"fast_redirects": fast, **overrides})


@asynccontextmanager
async def running_doors(settings: Settings, *, ready: bool = True) -> AsyncIterator[Doors]:
    """Doors that follow the database; `ready`: wait until they do."""
    import asyncio

    doors = Doors(settings)
    await doors.start()
    try:
        async with asyncio.timeout(10):
            while ready and not (doors.directory.ready and doors.directory.fresh):  # noqa: ASYNC110  nobody announces it
                await asyncio.sleep(0.005)
        yield doors
    finally:
        await doors.stop()


def spooled(settings: Settings, kind: Kind) -> list[Line]:
    """Every line of the segments that have been handed over (the doors must be stopped); takes them out."""
    lines: list[Line] = []
    for segment in claim(settings.data / "spool", kind, bytes_max=1 << 30):
        lines += [decode(line) for line in segment.lines()]
        segment.discard()
    return lines
