"""docs/proxies.md: each configuration that can be run here is run, in front of real doors; and a proxy that nobody trusts is noticed."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from app.settings import Settings
from app.spool.records import ClickLine
from tests.cast import Brand
from tests.served import free_port
from tests.tracking.asking import settings_for, spooled
from tests.tracking.rows import fresh_slug, write_host, write_route
from tests.tracking.test_protocol import Served, serving

PAGE = Path(__file__).parents[2] / "docs" / "proxies.md"
WITHOUT_TLS = [(r"listen 443 ssl;", "listen 127.0.0.1:PORT;"), (r"\n *ssl_certificate.*", "")]


def block(name: str) -> str:
    found = re.search(rf"<!-- proxy: {name} -->\n```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return found[1]


def nginx(place: Path, port: int, behind: int) -> list[str]:
    text = block("nginx").replace("127.0.0.1:8000", f"127.0.0.1:{behind}")
    for pattern, replacement in WITHOUT_TLS:
        text, count = re.subn(pattern, replacement, text)
        assert count
    paths = "".join(
        f"{each}_temp_path {place}/{each};\n" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    frame = (
        f"pid {place}/pid;\ndaemon off;\nmaster_process off;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{text}}}\n"
    )
    (place / "nginx.conf").write_text(frame.replace("PORT", str(port)))
    return [PROGRAMS["nginx"] or "", "-e", f"{place}/error.log", "-c", f"{place}/nginx.conf"]


def caddy(place: Path, port: int, behind: int) -> list[str]:
    text = block("caddy").replace("127.0.0.1:8000", f"127.0.0.1:{behind}")
    names = "go.example.com, go.brand.com {"
    assert names in text
    (place / "Caddyfile").write_text(
        "{\nadmin off\n}\n" + text.replace(names, f"http://127.0.0.1:{port}, http://go.brand.com:{port} {{")
    )
    return [PROGRAMS["caddy"] or "", "run", "--config", f"{place}/Caddyfile", "--adapter", "caddyfile"]


CONFIGURATIONS = {"nginx": nginx, "caddy": caddy}
PROGRAMS = {name: shutil.which(name) or shutil.which(name, path="/usr/sbin") for name in CONFIGURATIONS}


@asynccontextmanager
async def running(name: str, place: Path, served: Served) -> AsyncIterator[int]:
    """The port of this proxy in front of these doors."""
    port, behind = free_port(), served.server.servers[0].sockets[0].getsockname()[1]
    command = CONFIGURATIONS[name](place, port, behind)
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"HOME": str(place), "XDG_DATA_HOME": str(place)},
    )
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield port
    finally:
        process.terminate()
        await process.wait()


async def ask(
    port: int, target: str, *, host: str = "go.brand.com", client: str = "127.0.0.1", body: bytes | None = None
) -> tuple[int, bytes]:
    """Status and everything of the answer, asked from this address."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(client, 0))
    head = f"{'GET' if body is None else 'POST'} {target} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: Mozilla/5.0\r\nConnection: close\r\n"
    writer.write(
        head.encode() + (b"" if body is None else b"Content-Length: %d\r\n" % len(body)) + b"\r\n" + (body or b"")
    )
    async with asyncio.timeout(20):
        received = await reader.read()
    writer.close()
    return int(received.split(b" ", 2)[1]), received


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_a_documented_configuration_passes_on_what_ariane_needs(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path, name: str
) -> None:
    if PROGRAMS[name] is None:
        pytest.skip(f"{name} is not installed; .ci/install-servers does it")
    own = settings_for(dsn, tmp_path / "data", trusted_proxies="127.0.0.1/32")
    slug, host = fresh_slug(), "go.brand.com"
    await pool.execute("DELETE FROM host WHERE host = $1", host)
    await write_host(pool, alice, host)
    await write_route(pool, alice, slug, host=host)
    async with serving(own) as served, running(name, tmp_path, served) as port:
        for client in ("127.0.0.7", "127.0.0.8", "127.0.0.8"):
            status, received = await ask(port, f"/{slug}?q=%C3%A9", client=client)
            assert status == 302, received
        assert (await ask(port, f"/{slug}?q=é"))[0] == 302
        for closed in ("/metrics", "/readyz"):
            assert (await ask(port, closed))[0] == 404
        # The doors themselves say that there is no such address: the body came through, and is not too large for the proxy.
        status, received = await ask(port, "/in/nobody", body=b"{" + b" " * (3 << 20) + b"}")
        assert (status, b'"unknown_source"' in received or b"application/problem+json" in received) == (404, True), (
            received[-300:]
        )
    await pool.execute("DELETE FROM host WHERE host = $1", host)
    visitors = [line.visitor for line in spooled(own, "clicks") if isinstance(line, ClickLine)]
    assert len(visitors) == 4
    assert visitors[1] == visitors[2]
    assert len(set(visitors)) == 3


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_a_proxy_that_nobody_trusts_is_noticed_in_the_log_and_readyz_and_metrics(
    dsn: str, pool: asyncpg.Pool, alice: Brand, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    if PROGRAMS[name] is None:
        pytest.skip(f"{name} is not installed; .ci/install-servers does it")
    own: Settings = settings_for(dsn, tmp_path / "data")
    slug = fresh_slug()
    await write_route(pool, alice, slug)
    async with serving(own) as served, running(name, tmp_path, served) as port:
        behind = served.server.servers[0].sockets[0].getsockname()[1]

        async def said() -> tuple[str, bool, int]:
            ready = json.loads((await ask(behind, "/readyz"))[1].partition(b"\r\n\r\n")[2])["proxy"]
            metrics = (await ask(behind, "/metrics"))[1]
            return ready, b"ariane_untrusted_proxy 1.0" in metrics, caplog.text.count("ARIANE_TRUSTED_PROXIES")

        for n in range(30):
            assert await said() == ("ok", False, 0) if n == 5 else True
            assert (await ask(port, f"/{slug}", host="127.0.0.1", client=f"127.0.0.{n % 3 + 5}"))[0] == 302
        ready, in_metrics, logged = await said()
        assert (ready.startswith("not trusted"), in_metrics, logged) == (True, True, 1)
        assert (await ask(behind, f"/{slug}"))[0] == 302  # somebody comes by another way
        assert await said() == ("ok", False, 1)
