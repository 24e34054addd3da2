"""A client that falls silent in the middle of a body is told so and let go, over a real connection; nothing of it is kept."""

import asyncio
import json
from collections.abc import AsyncIterator

import asyncpg
import pytest
from uvicorn import Config, Server

from app.settings import read_settings
from tests.cast import Brand
from tests.served import free_port
from tests.whole_app import create_app

IMPORTS = "POST /v1/imports"
CSV = "text/csv"


@pytest.fixture(scope="module")
async def port(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[int]:
    """Doors and API on a port, over the shared database."""
    chosen = free_port()
    settings = read_settings({}, database_url=dsn, data=tmp_path_factory.mktemp("slow"), secret_key="s" * 43)
    server = Server(
        Config(create_app(settings), port=chosen, log_config=None, lifespan="on", access_log=False, ws="none")
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    yield chosen
    server.should_exit = True
    await serving


async def send(
    port: int,
    brand: Brand,
    line: str,
    parts: list[bytes],
    *,
    kind: str = "application/json",
    pause_s: float = 0,
    length: int = 100_000,
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to a request whose body comes in these parts. Whole when nothing is missing from `length`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{line} HTTP/1.1\r\nHost: go.test\r\nAuthorization: Bearer {brand.secret_key}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    writer.write(head.encode())
    answered = asyncio.create_task(read_answer(reader))
    for part in parts:
        if not answered.done():
            writer.write(part)
            await asyncio.sleep(pause_s)
    async with asyncio.timeout(10):
        answer = await answered
    writer.close()
    return answer


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    told = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in told[1:] if each)}
    body = await reader.readexactly(int(headers["content-length"]))
    if headers.get("connection") == "close":
        assert await reader.read() == b"", "the connection is closed"
    return int(told[0].split()[1]), headers, body


@pytest.mark.parametrize("line", ["POST /v1/campaigns", "PATCH /v1/brand", "POST /v1/conversions", IMPORTS])
async def test_half_a_body_is_not_waited_for_for_ever(
    port: int, alice: Brand, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr("app.tracking.responses.BODY_MAX_S", 0.2)
    monkeypatch.setattr("app.api.routes.uploads.PART_MAX_S", 0.2)
    half = b"order_id,net,currency\n" + b"1,49.90,EUR\n" * 30_000 if line == IMPORTS else b'{"name": "half of'
    kind = CSV if line == IMPORTS else "application/json"
    status, headers, body = await send(port, alice, line, [half], kind=kind, length=10 * len(half))
    problem = json.loads(body)
    assert (status, problem["code"], problem["retryable"]) == (408, "body_too_slow", True)
    assert (headers["connection"], headers["retry-after"]) == ("close", "1")
    assert await pool.fetchval("SELECT count(*) FROM job_piece WHERE brand_id = $1", alice.id) == 0


async def test_a_file_may_take_longer_than_a_body_as_long_as_it_comes(
    port: int, alice: Brand, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.tracking.responses.BODY_MAX_S", 0.2)
    monkeypatch.setattr("app.api.routes.uploads.PART_MAX_S", 0.3)
    parts = [b"order_id,net,currency\n", *(f"{number},49.90,EUR\n".encode() for number in range(9))]
    length = sum(map(len, parts))
    status, _, body = await send(port, alice, IMPORTS, parts, kind=CSV, pause_s=0.06, length=length)
    assert (status, json.loads(body)["progress"]["total"]) == (202, 9)
    monkeypatch.setattr("app.api.routes.uploads.UPLOAD_MAX_S", 0.2)
    status, _, body = await send(port, alice, IMPORTS, parts, kind=CSV, pause_s=0.06, length=length)
    assert (status, json.loads(body)["code"]) == (408, "body_too_slow")


async def test_a_body_that_comes_in_time_is_answered_and_the_connection_kept(
    port: int, alice: Brand, charlie: Brand
) -> None:
    whole = json.dumps({"name": "Launch", "objective": "sales", "external_id": "mine"}).encode()
    for brand in (alice, charlie):
        status, headers, _ = await send(
            port, brand, "POST /v1/campaigns", [whole[:10], whole[10:]], pause_s=0.02, length=len(whole)
        )
        assert (status, headers.get("connection")) == (201, None)
