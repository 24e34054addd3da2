"""The redirect within uvicorn's protocol: over a real socket, the same bytes as by ASGI, in the order of the requests, and nothing lost."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from uvicorn import Config, Server

from app.domain import ids
from app.server.web_worker import CLOSE
from app.settings import Settings
from app.spool.records import ClickLine, MissLine, PixelLine
from app.spool.writer import SpoolFull
from app.tracking.doors import Doors
from app.tracking.head_limits import HEAD_MAX_BYTES, LimitedHeadProtocol
from app.tracking.protocol import FastRedirectProtocol, protocol_class
from app.tracking.responses import Receive, Scope, Send
from tests.cast import Brand
from tests.tracking.asking import CHROME, FAST, running_doors, settings_for, spooled
from tests.tracking.rows import fresh_slug, write_host, write_route, write_source

HEAD = re.compile(
    r"HTTP/1\.1 302 Found\r\ndate: [^\r]+ GMT\r\nlocation: (\S+)\r\ncache-control: private, no-store\r\n"
    r"referrer-policy: strict-origin-when-cross-origin\r\nx-robots-tag: noindex\r\ncontent-length: 0\r\n(connection: close\r\n)?\r\n"
)
WITH_ID = re.compile(r"https://shop\.test/p\?size=m&ariane=clk_[0-9a-hjkmnp-tv-z]{26}#top")
ID = re.compile(rb"clk_[0-9a-hjkmnp-tv-z]{26}")
DATE = re.compile(rb"date: [^\r]+")


fast_only = pytest.mark.skipif(not FAST, reason="the fast redirect is off")


class Served:
    """A worker's doors under a real uvicorn. handed_on: the paths of the requests that came to the doors as ASGI scopes."""

    def __init__(self, doors: Doors, server: Server) -> None:
        self.doors = doors
        self.server = server
        self.handed_on: list[str] = []

    def check_handed_on(self, *paths: str) -> None:
        """Exactly these requests came to the doors as ASGI scopes; without the fast redirect the others did too."""
        assert self.handed_on == list(paths) if FAST else set(self.handed_on) >= set(paths)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.server.servers[0].sockets[0].getsockname()[1])

    async def exchange(self, sent: bytes) -> bytes:
        """All that comes back on a connection of its own; the last request must say `Connection: close`."""
        reader, writer = await self.connect()
        writer.write(sent)
        async with asyncio.timeout(10):
            received = await reader.read()
        writer.close()
        return received

    async def wait_for_none(self) -> None:
        """Until no connection is open."""
        async with asyncio.timeout(10):
            while self.server.server_state.connections:  # noqa: ASYNC110  nobody announces it
                await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Served]:
    """As app/server/web_worker.py serves."""
    async with running_doors(settings) as doors:

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            served.handed_on.append(scope["path"])
            await doors(scope, receive, send)

        http: Any = protocol_class(doors, fast=settings.fast_redirects == "on")
        config = Config(app, host="127.0.0.1", port=0, http=http, ws="none", lifespan="off", log_config=None)
        config.server_header = config.access_log = False
        config.load()
        served = Served(doors, Server(config))
        served.server.lifespan = config.lifespan_class(config)
        await served.server.on_tick(0)
        await served.server.startup()
        try:
            yield served
        finally:
            if served.server.server_state.connections:
                await served.server.shutdown()
            else:
                # What uvicorn's own stop comes to where nobody is connected, without the tenth of a second that it waits all the same.
                for listening in served.server.servers:
                    listening.close()


def get(path: str, *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    told = "".join(f"{line}\r\n" for line in ("Host: go.test", f"User-Agent: {CHROME}", *lines))
    return f"{method} {path} HTTP/{version}\r\n{told}\r\n".encode()


async def one(served: Served, sent: bytes) -> tuple[str, bool]:
    """The `Location` of the only answer, and whether it says that the connection ends."""
    found = HEAD.fullmatch((await served.exchange(sent)).decode())
    assert found
    return found[1], found[2] is not None


@pytest.fixture
async def slug(pool: asyncpg.Pool, alice: Brand) -> str:
    slug = fresh_slug()
    await write_route(pool, alice, slug)
    return slug


async def warm(served: Served, slug: str) -> None:
    """The first click takes the route apart, by the ordinary way."""
    await one(served, get(f"/{slug}", "Connection: close"))
    assert served.handed_on == [f"/{slug}"]
    served.handed_on.clear()


def clicks(own: Settings) -> list[ClickLine]:
    return [line for line in spooled(own, "clicks") if isinstance(line, ClickLine)]


REQUESTS = {
    "closed by the visitor": get("/{}", "Connection: close"),
    "HEAD": get("/{}", "Connection: close", method="HEAD"),
    "a query": get("/{}?utm_source=a&x=%0d%0aSet-Cookie:%20b?c", "Connection: close"),
    "an empty query": get("/{}?", "Connection: close"),
    "HTTP/1.0": get("/{}", version="1.0"),
    "HTTP/1.0 that asks to be kept": get("/{}", "Connection: keep-alive", version="1.0"),
    "Sec-GPC": get("/{}", "Sec-GPC: 1", "Connection: close"),
    "a prefetch": get("/{}", "Sec-Purpose: prefetch", "Connection: close"),
    "kept, then closed": get("/{}") + get("/{}", "Connection: close"),
}


@fast_only
@pytest.mark.parametrize("request_bytes", REQUESTS.values(), ids=REQUESTS.keys())
async def test_the_answer_and_the_record_are_those_of_the_asgi_path(
    dsn: str, slug: str, tmp_path: Path, request_bytes: bytes
) -> None:
    sent = request_bytes.replace(b"{}", slug.encode())
    seen = []
    for fast in ("on", "off"):
        own = settings_for(dsn, tmp_path / fast, fast_redirects=fast)
        async with serving(own) as served:
            await warm(served, slug)
            received = await served.exchange(sent)
            assert bool(served.handed_on) is (fast == "off")
            requests_total = served.server.server_state.total_requests
        lines = [(line.link_id, line.visitor, line.address, line.user_agent, line.hint) for line in clicks(own)]
        seen.append((DATE.sub(b"date", ID.sub(b"clk", received)), lines, requests_total))
    assert seen[0] == seen[1]
    assert b"302 Found" in seen[0][0]
    assert seen[0][0].endswith(b"connection: close\r\n\r\n")


@pytest.mark.parametrize(
    ("version", "fast"), [("0.54.0", True), ("0.54.9", True), ("0.55.0", False), ("0.39.0", False)]
)
async def test_on_another_uvicorn_than_the_tested_the_fast_redirect_is_off_and_the_log_says_so(
    doors: Doors, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, version: str, fast: bool
) -> None:
    monkeypatch.setattr("uvicorn.__version__", version)
    assert issubclass(protocol_class(doors, fast=True), FastRedirectProtocol) is fast
    assert (f"uvicorn {version} is installed" in caplog.text) is not fast
    caplog.clear()
    assert protocol_class(doors, fast=False) is LimitedHeadProtocol
    assert not caplog.text


async def test_each_click_is_recorded_under_the_id_it_shows_on_a_connection_that_is_kept(
    own: Settings, slug: str
) -> None:
    locations = []
    async with serving(own) as served:
        await warm(served, slug)
        reader, writer = await served.connect()
        for _ in range(3):
            writer.write(get(f"/{slug}"))
            found = HEAD.fullmatch((await reader.readuntil(b"\r\n\r\n")).decode())
            assert found
            assert not found[2]
            locations.append(found[1])
        writer.close()
        served.check_handed_on()
    assert all(WITH_ID.fullmatch(location) for location in locations)
    assert len(set(locations)) == 3
    assert len(clicks(own)) == 4


async def test_an_idle_connection_is_closed_after_a_redirect_as_uvicorn_does(own: Settings, slug: str) -> None:
    async with serving(own) as served:
        await warm(served, slug)
        served.server.config.timeout_keep_alive = 0.05  # type: ignore[assignment]
        reader, writer = await served.connect()
        writer.write(get(f"/{slug}") * 3)
        async with asyncio.timeout(5):
            received = await reader.read()
        writer.close()
        assert received.count(b"302 Found") == 3
        assert b"connection: close" not in received


@pytest.mark.parametrize("path", ["", "/healthz"], ids=["redirect", "handed on"])
async def test_an_idle_connection_is_kept_from_its_last_answer_on(own: Settings, slug: str, path: str) -> None:
    keep_s = 0.4
    async with serving(own) as served:
        await warm(served, slug)
        served.server.config.timeout_keep_alive = keep_s  # type: ignore[assignment]
        async with asyncio.timeout(60):
            while True:
                reader, writer = await served.connect()
                writer.write(get(f"/{slug}"))
                await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(keep_s / 2)
                asked_s = asyncio.get_running_loop().time()
                writer.write(get(path or f"/{slug}"))
                received = await reader.read()
                kept_s = asyncio.get_running_loop().time() - asked_s
                writer.close()
                if b"HTTP/1.1" in received:  # else we were held up for so long that it had been closed before
                    break
    assert kept_s >= keep_s - 0.01


async def exchange_together(served: Served, sent: Sequence[bytes]) -> bytes:
    """All that comes back when this is sent together, over a connection each."""
    ends = [await served.connect() for _ in sent]
    for (_, writer), wire in zip(ends, sent, strict=True):
        writer.write(wire)
    received = b"".join([await reader.read() for reader, _ in ends])
    for _, writer in ends:
        writer.close()
    return received


@fast_only
@pytest.mark.parametrize("most", [256, 3])
async def test_clicks_that_arrive_together_are_recorded_by_one_write_each_under_its_own_id(
    own: Settings, slug: str, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("app.tracking.protocol.BATCH_MAX_CLICKS", most)
    async with serving(own) as served:
        await warm(served, slug)
        written: list[bytes] = []
        append = served.doors.clicks.append
        monkeypatch.setattr(served.doors.clicks, "append", lambda record: [append(record), written.append(record)])
        received = await exchange_together(served, [get(f"/{slug}", "Connection: close")] * 40)
        served.check_handed_on()
        assert served.server.server_state.total_requests == 41
    shown = {ids.read("click", found.decode()) for found in ID.findall(received)}
    assert len(shown) == 40
    assert shown < {UUID(click.id) for click in clicks(own)}
    together = [record.count(b"\n") + 1 for record in written]
    assert sum(together) == 40
    assert 1 < max(together) <= most


async def test_clicks_that_arrive_together_arrive_without_ids_where_none_can_be_recorded(
    own: Settings, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(record: bytes) -> None:
        raise SpoolFull("no room")

    async with serving(own) as served:
        await warm(served, slug)
        monkeypatch.setattr(served.doors.clicks, "append", refuse)
        asked = [get(f"/{slug}?n={each}", "Connection: close") for each in range(9)]
        received = await exchange_together(served, asked)
        assert not ID.search(received)
        assert set(re.findall(rb"location: (\S+)", received)) == {
            b"https://shop.test/p?size=m&n=%d#top" % each for each in range(9)
        }
        counted = await served.exchange(get("/metrics", "Connection: close"))
        assert b'ariane_redirects_total{recorded="no"} 9.0\n' in counted
    assert len(clicks(own)) == 1


# uvicorn's own answers 400 alone, whatever came before on the connection.
@pytest.mark.parametrize(
    "ended", [True, pytest.param(False, marks=fast_only)], ids=["hangs up its half", "goes on with nonsense"]
)
async def test_a_click_is_answered_before_its_connection_ends(own: Settings, slug: str, ended: bool) -> None:
    async with serving(own) as served:
        await warm(served, slug)
        reader, writer = await served.connect()
        writer.write(get(f"/{slug}") + (b"" if ended else b"no request at all\r\n\r\n"))
        if ended:
            writer.write_eof()
        async with asyncio.timeout(10):
            received = await reader.read()
        writer.close()
    head, _, rest = received.partition(b"\r\n\r\n")
    assert HEAD.fullmatch((head + b"\r\n\r\n").decode())
    assert rest.startswith(b"" if ended else b"HTTP/1.1 400 ")
    assert bool(rest) is not ended
    assert len(clicks(own)) == 2


async def test_requests_in_one_packet_are_answered_in_their_order(own: Settings, slug: str) -> None:
    async with serving(own) as served:
        await warm(served, slug)
        last = get(f"/{slug}?n=4", "Connection: close")
        sent = get(f"/{slug}?n=1") + get("/healthz") + get(f"/{slug}?n=3") + get("/readyz") + last
        received = (await served.exchange(sent)).decode()
        # What follows an answer that is still to come has to wait for it, so that only the first is answered at once.
        served.check_handed_on("/healthz", f"/{slug}", "/readyz", f"/{slug}")
        assert served.server.server_state.total_requests == 6
    order = re.findall(r"&n=\d|\"status\":\"ok\"|\"ready\":false", received)
    assert order == ["&n=1", '"status":"ok"', "&n=3", '"ready":false', "&n=4"]
    assert len(clicks(own)) == 4


async def test_a_connection_whose_first_request_is_handed_on_redirects_later(own: Settings, slug: str) -> None:
    async with serving(own) as served:
        await warm(served, slug)
        reader, writer = await served.connect()
        writer.write(get("/healthz"))
        await reader.readuntil(b'"ok"}')
        writer.write(get(f"/{slug}", "Connection: close"))
        assert HEAD.fullmatch((await reader.read()).decode())
        writer.close()
        served.check_handed_on("/healthz")


async def test_what_is_sent_behind_the_last_request_is_neither_answered_nor_recorded(own: Settings, slug: str) -> None:
    async with serving(own) as served:
        await warm(served, slug)
        post = b"POST /e HTTP/1.1\r\nHost: go.test\r\nContent-Length: 3\r\n\r\nabc"
        sent = get(f"/{slug}", "Connection: close") + get(f"/{slug}") + post + get("/healthz")
        await one(served, sent)
        await served.wait_for_none()
        served.check_handed_on()
    assert len(clicks(own)) == 2


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /{} HTTP/1.1\r\nHost: go.test\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc", 405),
        (b"GET /{} HTTP/1.1\r\nHost: go.test\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc", 302),
        (
            b"GET /{} HTTP/1.1\r\nHost: go.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            302,
        ),
        (get("/{}/", "Connection: close"), 302),
        (get("/{}/more", "Connection: close"), 404),
        (get("/%74{}", "Connection: close"), 404),
        (get("http://go.test/{}", "Connection: close"), 302),
        (get("/no-{}", "Connection: close"), 404),
        (get("/{}", "Connection: upgrade, close", "Upgrade: h2c"), 302),
    ],
)
async def test_what_is_no_plain_click_on_a_known_link_is_handed_on(
    own: Settings, slug: str, sent: bytes, status: int
) -> None:
    async with serving(own) as served:
        await warm(served, slug)
        received = await served.exchange(sent.replace(b"{}", slug.encode()))
        assert received.startswith(b"HTTP/1.1 %d " % status)
        assert received.count(b"HTTP/1.1 ") == 1
        assert len(served.handed_on) == 1


async def test_an_unknown_slug_is_counted_as_a_miss(own: Settings, slug: str) -> None:
    unknown = fresh_slug()
    async with serving(own) as served:
        await warm(served, slug)
        assert (await served.exchange(get(f"/{unknown}", "Connection: close"))).startswith(b"HTTP/1.1 404 ")
    assert [line.slug for line in spooled(own, "clicks") if isinstance(line, MissLine)] == [unknown]


async def test_a_brands_own_host_leads_to_its_own_link_only(
    own: Settings, pool: asyncpg.Pool, alice: Brand, charlie: Brand
) -> None:
    slug, hers, his = fresh_slug(), f"{fresh_slug()}.example", f"{fresh_slug()}.example"
    await write_host(pool, alice, hers)
    await write_host(pool, charlie, his)
    await write_route(pool, alice, slug, host=hers)
    await write_route(pool, charlie, slug, host=his, destination="https://rival.test/")
    async with serving(own) as served:
        for host, shop in ((hers, "https://shop.test/"), (his, "https://rival.test/")) * 2:
            location, _ = await one(
                served, f"GET /{slug} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            )
            assert location.startswith(shop)
        served.check_handed_on(f"/{slug}", f"/{slug}")


async def test_a_visitor_who_asks_not_to_be_followed_gets_no_id(own: Settings, slug: str) -> None:
    async with serving(own) as served:
        await warm(served, slug)
        location, _ = await one(served, get(f"/{slug}", "Sec-GPC: 1", "Connection: close"))
        assert location == "https://shop.test/p?size=m#top"
        served.check_handed_on()
    assert [(line.visitor, line.address) for line in clicks(own)][1:] == [(None, "")]


async def test_when_the_spool_is_full_the_visitor_arrives_without_an_id(dsn: str, slug: str, tmp_path: Path) -> None:
    own = settings_for(dsn, tmp_path, spool_cap_bytes=1 << 20)
    given = 0
    async with serving(own) as served:
        await warm(served, slug)
        reader, writer = await served.connect()
        while True:
            writer.write(get(f"/{slug}", f"User-Agent: {'x' * 500}"))
            found = HEAD.fullmatch((await reader.readuntil(b"\r\n\r\n")).decode())
            assert found
            if not WITH_ID.fullmatch(found[1]):
                break
            given += 1
        writer.close()
        assert found[1] == "https://shop.test/p?size=m#top"
        served.check_handed_on()
    assert len(clicks(own)) == given + 1


async def test_a_worker_that_stops_answers_and_ends_the_connection(own: Settings, slug: str) -> None:
    async with serving(own) as served:
        await warm(served, slug)
        reader, writer = await served.connect()
        writer.write(get(f"/{slug}"))
        assert b"connection: close" not in await reader.readuntil(b"\r\n\r\n")
        # As app/server/web_worker.py says it to all connections, while the list is already in use.
        served.server.server_state.default_headers.append(CLOSE)
        writer.write(get(f"/{slug}"))
        async with asyncio.timeout(5):
            received = await reader.read()
        writer.close()
        assert received.startswith(b"HTTP/1.1 302 ")
        assert received.count(b"connection: close\r\n") == 1
        assert WITH_ID.search(received.decode())
        served.check_handed_on()
        await served.wait_for_none()
    assert len(clicks(own)) == 3


async def test_a_peer_that_reads_nothing_is_waited_for(own: Settings, slug: str) -> None:
    count = 20_000
    async with serving(own) as served:
        await warm(served, slug)
        reader, writer = await served.connect()
        writer.write(get(f"/{slug}") * count + get(f"/{slug}", "Connection: close"))
        async with asyncio.timeout(30 if FAST else 120):
            await asyncio.sleep(0.3)
            [connection] = served.server.server_state.connections
            assert connection.transport.get_write_buffer_size() < 4 << 20  # type: ignore[union-attr]
            received = await reader.read()
        writer.close()
        assert received.count(b"HTTP/1.1 302 ") == count + 1
    assert len(clicks(own)) == count + 2


async def test_a_failure_is_a_problem_and_not_a_bad_request(
    own: Settings, slug: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(own) as served:
        await warm(served, slug)
        # A row that no version of ours writes: what cannot be foreseen must not be told to be the visitor's fault.
        known = served.doors.directory.cache.routes[slug]
        known.prefix = None  # type: ignore[assignment]
        received = await served.exchange(get(f"/{slug}", "Connection: close"))
        assert received.startswith(b"HTTP/1.1 500 ")
        assert "failed" in caplog.text


ENDLESS = {
    "many headers": b"GET /{} HTTP/1.1\r\n" + b"a: b\r\n" * 64,
    "one header": b"GET /{} HTTP/1.1\r\nHost: go.test\r\nX: ",
    "an address": b"GET /{}?",
    "empty lines": b"\r\n",
}


@pytest.mark.parametrize("begun", ENDLESS.values(), ids=ENDLESS)
async def test_a_head_without_an_end_is_refused_before_it_fills_the_memory(
    own: Settings, slug: str, begun: bytes
) -> None:
    more = b"a: b\r\n" if begun.endswith(b"b\r\n") else b"\r\n" * 3 if begun == b"\r\n" else b"xxxxxx"
    async with serving(own) as served:
        await warm(served, slug)
        reader, writer = await served.connect()
        writer.write(begun.replace(b"{}", slug.encode()))
        sent = 0
        with suppress(ConnectionError):
            while not reader.at_eof() and sent < 10 * HEAD_MAX_BYTES:
                writer.write(more * 1_000)
                await writer.drain()
                sent += 6_000
                await asyncio.sleep(0.001)
            async with asyncio.timeout(5):
                received = await reader.read()
            assert received.startswith(b"HTTP/1.1 431 ")
            assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == "head_too_large"
        assert sent < 3 * HEAD_MAX_BYTES
        writer.close()
        await served.wait_for_none()
    assert len(clicks(own)) == 1


async def test_a_head_that_is_too_long_is_told_so(own: Settings, slug: str) -> None:
    async with serving(own) as served:
        await warm(served, slug)
        reader, writer = await served.connect()
        begun = f"GET /{slug} HTTP/1.1\r\nHost: go.test\r\nX: ".encode()
        for part in (begun, b"x" * (HEAD_MAX_BYTES - len(begun)), b"x"):
            writer.write(part)
            await writer.drain()
            # All of it is read before the last byte comes: closed over unread bytes, a connection is reset and its answer lost.
            await asyncio.sleep(0.2)
        async with asyncio.timeout(5):
            received = await reader.read()
        writer.close()
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert b"connection: close" in head
    problem = json.loads(body)
    assert (problem["code"], problem["instance"]) == ("head_too_large", f"/{slug}")


@pytest.mark.parametrize("begun", ["5\r\nk=abc\r\n0\r\n", "5;"])
async def test_what_stands_around_the_chunks_of_a_body_has_an_end_too(own: Settings, slug: str, begun: str) -> None:
    async with serving(own) as served:
        reader, writer = await served.connect()
        writer.write(f"POST /e HTTP/1.1\r\nHost: go.test\r\nTransfer-Encoding: chunked\r\n\r\n{begun}".encode())
        sent = 0
        with suppress(ConnectionError):
            while not reader.at_eof() and sent < 10 * HEAD_MAX_BYTES:
                writer.write((b"xxxxxx" if begun == "5;" else b"a: b\r\n") * 1_000)
                await writer.drain()
                sent += 6_000
                await asyncio.sleep(0.001)
            # Nobody knows what would be answered to the half of it.
            assert await reader.read() == b""
        assert sent < 3 * HEAD_MAX_BYTES
        writer.close()
        await served.wait_for_none()


@pytest.mark.parametrize("sent", [b"", b"GET /", b"GET /{} HTTP/1.1\r\nHost: go.test\r\n\r\nGET /"])
async def test_a_connection_that_asks_for_nothing_whole_is_not_kept_for_ever(
    own: Settings, slug: str, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.tracking.head_limits.HEAD_MAX_S", 0.2)
    async with serving(own) as served:
        await warm(served, slug)
        reader, writer = await served.connect()
        for part in (sent[:-1].replace(b"{}", slug.encode()), sent[-1:]):
            writer.write(part)
            await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            received = await reader.read()
        writer.close()
        assert received.count(b"302 Found") == sent.count(b"\r\n\r\n")


async def test_a_request_that_takes_its_time_within_the_limit_is_answered(
    own: Settings, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.tracking.head_limits.HEAD_MAX_S", 0.5)
    async with serving(own) as served:
        await warm(served, slug)
        reader, writer = await served.connect()
        for _ in range(3):
            asked = get(f"/{slug}")
            for part in (asked[:20], asked[20:]):
                writer.write(part)
                await asyncio.sleep(0.2)
            async with asyncio.timeout(5):
                assert HEAD.fullmatch((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.close()


async def test_a_message_that_stops_in_the_middle_is_not_waited_for_for_ever(
    pool: asyncpg.Pool, alice: Brand, own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.tracking.responses.BODY_MAX_S", 0.2)
    token, _ = await write_source(pool, alice, "generic", "a-long-random-secret")
    async with serving(own) as served:
        for door in ("e", f"in/{token}"):
            asked = f"POST /{door} HTTP/1.1\r\nHost: go.test\r\nContent-Length: 100\r\n\r\nhalf of it"
            received = await served.exchange(asked.encode())
            assert received.startswith(b"HTTP/1.1 408 ")
            problem = json.loads(received.partition(b"\r\n\r\n")[2])
            assert (problem["code"], problem["retryable"]) == ("body_too_slow", True)
        await served.wait_for_none()
    assert spooled(own, "orders") == []


RAW_TARGETS = {
    "in the query": (
        "/{}?utm_content=été&x=%C3%A9",
        "https://shop.test/p?size=m&ariane=ID&utm_content=%C3%A9t%C3%A9&x=%C3%A9#top",
    ),
    "in the path": ("/{}…", "https://shop.test/p?size=m&ariane=ID#top"),
    "with an accent": ("/{}?q=Léa", "https://shop.test/p?size=m&ariane=ID&q=L%C3%A9a#top"),
}


@pytest.mark.parametrize("cut", [None, 1, 20])
@pytest.mark.parametrize(("target", "location"), RAW_TARGETS.values(), ids=RAW_TARGETS.keys())
async def test_an_address_in_raw_utf_8_is_redirected_and_recorded_however_it_is_cut(
    own: Settings, slug: str, target: str, location: str, cut: int | None
) -> None:
    sent = get(target.replace("{}", slug), "Connection: close")
    assert not sent.isascii()
    async with serving(own) as served:
        await warm(served, slug)
        reader, writer = await served.connect()
        writer.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in [sent[at : at + cut] for at in range(0, len(sent), cut)] if cut else [sent]:
            writer.write(part)
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            found = HEAD.fullmatch((await reader.read()).decode())
        writer.close()
    assert found
    assert ID.sub(b"ID", found[1].encode()).decode() == location
    assert len(clicks(own)) == 2


async def test_bytes_beyond_ascii_in_headers_and_bodies_are_left_alone(own: Settings, slug: str) -> None:
    async with serving(own) as served:
        await warm(served, slug)
        reader, writer = await served.connect()
        for _ in range(2):  # two requests on one connection
            writer.write(get(f"/{slug}", "X-Name: Léa") + get(f"/{slug}", "X-Name: Léa"))
            for _ in range(2):
                assert HEAD.fullmatch((await reader.readuntil(b"\r\n\r\n")).decode())
        body = '{"event": "lead", "codes": ["Été"]}'.encode()
        head = f"POST /e HTTP/1.1\r\nHost: go.test\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        for part in (head, body[:28], body[28:]):
            writer.write(part)
            await asyncio.sleep(0.02)
        await reader.read()
        writer.close()
    (pixel,) = [line for line in spooled(own, "orders") if isinstance(line, PixelLine)]
    assert pixel.body == body
    assert {line.user_agent for line in clicks(own)} == {CHROME}


@pytest.mark.parametrize("path", ["{}", "never-seen", "readyz", "v1/brand"])
@pytest.mark.parametrize(
    ("hosts", "status"),
    [((), 400), (("go.test", "rival.test"), 400), (("go.test", "go.test"), 400), (("go.test",), 0)],
)
async def test_a_request_with_two_hosts_or_none_is_refused_wherever_it_goes(
    own: Settings, slug: str, path: str, hosts: Sequence[str], status: int
) -> None:
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    sent = f"GET /{path.replace('{}', slug)} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode()
    async with serving(own) as served:
        await warm(served, slug)
        received = await served.exchange(sent)
    if status:
        assert received.startswith(b"HTTP/1.1 400 ")
        assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == "host_header"
        assert len(clicks(own)) == 1
    else:
        assert not received.startswith(b"HTTP/1.1 400 ")


async def test_http_1_0_needs_no_host(own: Settings, slug: str) -> None:
    async with serving(own) as served:
        await warm(served, slug)
        assert (await served.exchange(f"GET /{slug} HTTP/1.0\r\n\r\n".encode())).startswith(b"HTTP/1.1 302 ")
        two = f"GET /{slug} HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"
        assert (await served.exchange(two.encode())).startswith(b"HTTP/1.1 400 ")
