"""The front: what is whose, what is ready when, what is counted, and the exact bytes of a redirect on a real socket."""

import asyncio
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from uvicorn import Config, Server

from app.domain.slugs import RESERVED
from app.metrics import COUNTERS, HOOKS_STORED, LAYOUT, REDIRECTS, Counts, totals
from app.settings import SettingsError, read_settings
from app.tracking.doors import Doors
from app.tracking.pixel import SCRIPT
from tests.cast import Brand
from tests.tracking.asking import CHROME, ask, running_doors, settings_for
from tests.tracking.relay import Relay
from tests.tracking.rows import fresh_slug, write_host, write_route


def test_the_doors_are_open_without_the_api_and_without_the_database_driver() -> None:
    heavy = (
        "fastapi",
        "starlette",
        "sqlalchemy",
        "pydantic",
        "alembic",
        "asyncpg",
        "cryptography",
        "prometheus_client",
        "idna",
    )
    code = f"import sys, app.tracking.doors; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_every_name_of_ours_is_reserved_and_never_taken_for_a_slug(dsn: str, tmp_path: Path) -> None:
    async with running_doors(settings_for(dsn, tmp_path)) as doors:
        assert set(doors._doors) == RESERVED | {""}
        before = (await ask(doors, "GET", "/metrics")).body
        for name in RESERVED - {"p.gif", "e"}:
            await ask(doors, "GET", f"/{name.upper()}")
            await ask(doors, "GET", f"/{name}/deeper")
        await ask(doors, "GET", "/")
        assert (await ask(doors, "GET", "/metrics")).body.split(b"ariane_hooks")[0] == before.split(b"ariane_hooks")[0]


async def test_who_opens_the_address_in_a_browser_is_shown_the_docs_and_a_follower_is_not(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, dsn: str, tmp_path: Path
) -> None:
    hers, his = f"{fresh_slug()}.example", f"{fresh_slug()}.example"
    relay = Relay(dsn, tmp_path)
    async with running_doors(settings_for(relay.dsn, tmp_path / "data"), ready=False) as doors:
        # Whose host it is cannot be told yet.
        assert (await ask(doors, "GET", "/")).status == 404
        await write_host(pool, alice, hers)
        await write_host(pool, charlie, his)
        await relay.open()
        doors.api = doors
        await ready_body(doors)
        doors.api = None
        front = await ask(doors, "GET", "/")
        unknown = await ask(doors, "GET", f"/{fresh_slug()}")
        assert (front.status, unknown.status) == (200, 404)
        assert b'<a href="/docs">' in front.body
        assert front.headers["x-robots-tag"] == "noindex"
        assert (await ask(doors, "HEAD", "/")).status == 200
        for host in (hers, his, f"{hers.upper()}:8443"):
            follower = await ask(doors, "GET", "/", headers=[("Host", host)])
            assert (follower.status, follower.body) == (404, unknown.body), host
        for target in ("//", "//docs"):
            assert (await ask(doors, "GET", target)).status == 404, target
        await relay.cut()


async def test_every_door_refuses_what_it_does_not_offer_and_says_what_it_does(dsn: str, tmp_path: Path) -> None:
    reading = "GET, HEAD"
    offered = {
        **dict.fromkeys(("", "healthz", "readyz", "metrics", "p.gif", "a.js", "robots.txt", "favicon.ico"), reading)
    }
    offered |= {"e": "POST, OPTIONS", fresh_slug(): reading}
    async with running_doors(settings_for(dsn, tmp_path)) as doors:
        for name, allow in offered.items():
            for method in ("TRACE", "PUT"):
                answer = await ask(doors, method, f"/{name}")
                assert (answer.status, answer.headers["allow"]) == (405, allow), (method, name)
        for method in ("TRACE", "PUT"):
            assert (await ask(doors, method, "/in/nowhere")).status in (404, 405)


async def test_a_dead_link_is_a_page_for_a_browser_and_a_problem_for_who_asks_for_json(
    pool: asyncpg.Pool, alice: Brand, dsn: str, tmp_path: Path
) -> None:
    gone = fresh_slug()
    await write_route(pool, alice, gone, disabled=True)
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"
    async with running_doors(settings_for(dsn, tmp_path)) as doors:
        for path, status in (
            (f"/{fresh_slug()}", 404),
            ("/nothing/at/all", 404),
            ("/.well-known/x", 404),
            (f"/{gone}", 410),
        ):
            for accept in ("application/json", "application/problem+json, application/json;q=0.9"):
                told = await ask(doors, "GET", path, headers=[("Accept", accept)])
                assert (told.status, told.headers["content-type"]) == (status, "application/problem+json"), path
                assert json.loads(told.body)["status"] == status
            for accept in (browser, "*/*", "text/html, application/json"):
                page = await ask(doors, "GET", path, headers=[("Accept", accept)])
                assert (page.status, page.headers["content-type"]) == (status, "text/html; charset=utf-8"), path


CLOSABLE = ("/metrics", "/METRICS/", "/docs", "/docs/guides/links", "/openapi.json")


async def statuses(doors: Doors, *, host: str = "go.test", port: int = 8000) -> dict[str, int]:
    answers = {path: await ask(doors, "GET", path, headers=[("Host", host)], port=port) for path in CLOSABLE}
    return {path: answer.status for path, answer in answers.items()}


async def stub(scope: dict[str, object], receive: object, send: Any) -> None:
    """In the API's place: whether a request came through to it is what counts here."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


async def test_metrics_and_docs_are_not_on_the_host_of_a_brand(
    pool: asyncpg.Pool, alice: Brand, dsn: str, tmp_path: Path
) -> None:
    hers = f"{fresh_slug()}.example"
    await write_host(pool, alice, hers)
    async with running_doors(settings_for(dsn, tmp_path)) as doors:
        doors.api = stub
        await ready_body(doors)
        assert set((await statuses(doors)).values()) == {200}
        for host in (hers, f"{hers.upper()}.:443"):
            assert set((await statuses(doors, host=host)).values()) == {404}, host
        hidden = await ask(doors, "GET", "/metrics", headers=[("Host", hers), ("Accept", "application/json")])
        assert json.loads(hidden.body)["code"] == "no_such_path"


@pytest.mark.parametrize(
    ("closed", "there"),
    [({"metrics": "off"}, CLOSABLE[2:]), ({"docs": "off"}, CLOSABLE[:2]), ({"docs": "off", "metrics": "off"}, ())],
)
async def test_metrics_and_docs_can_be_closed(
    dsn: str, tmp_path: Path, closed: dict[str, str], there: tuple[str, ...]
) -> None:
    async with running_doors(settings_for(dsn, tmp_path, **closed)) as doors:
        doors.api = stub
        await ready_body(doors)
        assert {path for path, status in (await statuses(doors)).items() if status == 200} == set(there)
        front = (await ask(doors, "GET", "/")).body
        assert (b"/docs" in front) is ("docs" not in closed)


async def test_metrics_and_docs_can_be_moved_to_an_address_of_their_own(dsn: str, tmp_path: Path) -> None:
    async with running_doors(settings_for(dsn, tmp_path, internal_address="127.0.0.1:9090")) as doors:
        doors.api = stub
        await ready_body(doors)
        assert set((await statuses(doors)).values()) == {404}
        assert set((await statuses(doors, host="go.test:9090")).values()) == {404}  # anybody can say so
        assert set((await statuses(doors, port=9090)).values()) == {200}
        assert b"/docs" not in (await ask(doors, "GET", "/")).body


@pytest.mark.parametrize(
    "address", ["9090", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:http", "http://127.0.0.1:9090", "127.0.0.1:8000"]
)
def test_an_internal_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="ARIANE_INTERNAL_ADDRESS"):
        read_settings({}, internal_address=address)


async def test_a_slash_at_the_end_leads_to_the_same_door(
    pool: asyncpg.Pool, alice: Brand, dsn: str, tmp_path: Path
) -> None:
    slug = fresh_slug()
    await write_route(pool, alice, slug)
    async with running_doors(settings_for(dsn, tmp_path)) as doors:
        for name, status in ((slug, 302), ("healthz", 200), ("p.gif", 200), ("a.js", 200), ("metrics", 200)):
            assert (await ask(doors, "GET", f"/{name}/")).status == status, name


async def test_what_is_the_apis_waits_for_it_and_then_reaches_it_untouched(dsn: str, tmp_path: Path) -> None:
    async with running_doors(settings_for(dsn, tmp_path)) as doors:
        answer = await ask(doors, "GET", "/v1/links/LNK")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert json.loads(answer.body)["code"] == "starting"
        asked: list[tuple[str, str]] = []

        async def api(scope: dict[str, object], receive: object, send: object) -> None:
            asked.append((str(scope["method"]), str(scope["path"])))
            await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]

        doors.api = api
        for path in ("/v1/links/LNK", "/docs", "/docs/static/x.js", "/openapi.json", "/V1/Links"):
            await ask(doors, "PATCH", path)
        assert [path for _, path in asked] == [
            "/v1/links/LNK",
            "/docs",
            "/docs/static/x.js",
            "/openapi.json",
            "/V1/Links",
        ]


async def test_a_fault_of_ours_is_a_500_problem_without_its_detail(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_doors(settings_for(dsn, tmp_path)) as doors:

        def break_down(slug: str) -> None:
            raise ZeroDivisionError("private detail")

        monkeypatch.setattr(doors.directory.cache, "route", break_down)
        answer = await ask(doors, "GET", "/lea-marie")
    assert answer.status == 500
    assert json.loads(answer.body)["code"] == "internal"
    assert b"private" not in answer.body
    assert "private detail" in caplog.text


async def test_ready_means_loaded_and_writable_and_not_stopping(dsn: str, tmp_path: Path) -> None:
    relay = Relay(dsn, tmp_path)
    data = tmp_path / "data"
    doors_at = settings_for(relay.dsn, data)
    async with running_doors(doors_at, ready=False) as doors:
        first = await ask(doors, "GET", "/readyz")
        assert first.status == 503
        told = json.loads(first.body)
        assert (told["ready"], told["directory"], told["database"], told["schema"]) == (
            False,
            "loading",
            "down",
            "unknown",
        )
        await relay.open()
        async with asyncio.timeout(5):
            while not doors.directory.ready:  # noqa: ASYNC110  nobody announces it
                await asyncio.sleep(0.005)
        # A balancer that sends redirects here sends requests of the API, too.
        assert (await ask(doors, "GET", "/readyz")).status == 503
        doors.api = doors
        told = await ready_body(doors)
        assert told == {
            "ready": True,
            "directory": "loaded",
            "spool": "writable",
            "database": "up",
            "schema": "ready",
            "api": "loaded",
            "drain": "goes on",
            "proxy": "ok",
            "stopping": False,
        }
        await relay.cut()
        async with asyncio.timeout(5):
            while doors.directory.fresh:  # noqa: ASYNC110  nobody announces it
                await asyncio.sleep(0.005)
        outage = await ask(doors, "GET", "/readyz")
        told = json.loads(outage.body)
        assert (outage.status, told["database"], told["schema"]) == (200, "down", "ready")
        doors.stopping = True
        stopping = await ask(doors, "GET", "/readyz")
        assert (stopping.status, json.loads(stopping.body)["stopping"]) == (503, True)
        assert (await ask(doors, "GET", "/healthz")).status == 200


async def ready_body(doors: Doors) -> dict[str, object]:
    async with asyncio.timeout(5):
        while True:
            answer = await ask(doors, "GET", "/readyz")
            if answer.status == 200:
                return dict(json.loads(answer.body))
            await asyncio.sleep(0.01)


async def test_a_spool_that_cannot_be_written_is_not_ready(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where the directory should be")
    async with running_doors(settings_for(dsn, tmp_path)) as doors:
        answer = await ask(doors, "GET", "/readyz")
        assert (answer.status, json.loads(answer.body)["spool"]) == (503, "refused")


async def test_the_script_is_served_plain_or_compressed_and_not_again(dsn: str, tmp_path: Path) -> None:
    async with running_doors(settings_for(dsn, tmp_path)) as doors:
        plain = await ask(doors, "GET", "/a.js")
        assert (plain.status, plain.body) == (200, SCRIPT)
        assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
        assert plain.headers["cache-control"] == "public, max-age=3600"
        assert plain.headers["cross-origin-resource-policy"] == "cross-origin"
        assert plain.headers["x-content-type-options"] == "nosniff"
        small = await ask(doors, "GET", "/a.js", headers=[("Accept-Encoding", "gzip, br")])
        assert small.headers["content-encoding"] == "gzip"
        assert gzip.decompress(small.body) == SCRIPT
        assert small.headers["etag"] != plain.headers["etag"]
        for encoding, etag in (("", plain.headers["etag"]), ("gzip", "W/" + small.headers["etag"])):
            again = await ask(doors, "GET", "/a.js", headers=[("Accept-Encoding", encoding), ("If-None-Match", etag)])
            assert (again.status, again.body) == (304, b"")
        assert (await ask(doors, "POST", "/a.js")).status == 405


def test_counters_add_up_over_processes_and_never_go_back(tmp_path: Path) -> None:
    assert len(COUNTERS) == len(set(COUNTERS))
    one, two = Counts(tmp_path), Counts(tmp_path)
    one.slots[REDIRECTS] += 2
    one.open()
    two.open()
    one.slots[REDIRECTS] += 5
    two.slots[REDIRECTS] += 30
    two.slots[HOOKS_STORED] += 1
    assert (totals(tmp_path)[REDIRECTS], totals(tmp_path)[HOOKS_STORED]) == (37, 1)
    one.close()
    one.slots[REDIRECTS] += 1
    assert totals(tmp_path)[REDIRECTS] == 37
    assert len(list(tmp_path.glob(f"{LAYOUT}-*.counts"))) == 1
    code = f"""
import os, pathlib, app.metrics as m
counts = m.Counts(pathlib.Path({str(tmp_path)!r})); counts.open(); counts.slots[m.REDIRECTS] += 100; os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -9
    assert totals(tmp_path)[REDIRECTS] == 137
    assert totals(tmp_path)[REDIRECTS] == 137
    two.close()
    assert [path.name for path in tmp_path.iterdir()] == [f"{LAYOUT}-ended"]


def test_where_no_file_can_be_made_a_process_counts_for_itself(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("a file where the directory should be")
    counts = Counts(tmp_path / "metrics")
    counts.open()
    counts.slots[REDIRECTS] += 1
    assert counts.slots[REDIRECTS] == 1
    counts.close()


async def test_the_bytes_of_a_redirect_on_a_real_socket(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path
) -> None:
    slug = fresh_slug()
    await write_route(pool, alice, slug)
    async with running_doors(settings_for(dsn, tmp_path)) as doors:
        config = Config(doors, host="127.0.0.1", port=0, http="httptools", ws="none", lifespan="off", log_config=None)
        config.server_header = config.date_header = False
        server = Server(config)
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        port = server.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for method, path in (("GET", f"/{slug.upper()}"), ("HEAD", f"/%{ord(slug[0]):02x}{slug[1:]}")):
            writer.write(f"{method} {path} HTTP/1.1\r\nHost: go.test\r\nUser-Agent: {CHROME}\r\n\r\n".encode())
            answer = (await reader.readuntil(b"\r\n\r\n")).decode()
            status, location, *rest = answer.split("\r\n")
            assert status == "HTTP/1.1 302 Found"
            assert location.startswith("location: https://shop.test/p?size=m&ariane=clk_")
            assert rest == [
                "cache-control: private, no-store",
                "referrer-policy: strict-origin-when-cross-origin",
                "x-robots-tag: noindex",
                "content-length: 0",
                "",
                "",
            ]
        # The connection is kept, and a long body that was refused does not spoil the next request on it.
        body = b"x" * 200_000
        writer.write(b"POST /e HTTP/1.1\r\nHost: go.test\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413 ")
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: go.test\r\n\r\n")
        assert b'{"status":"ok"}' in await reader.readuntil(b'"ok"}')
        writer.close()
        await server.shutdown()
