"""A real Chromium, a real `ariane serve`, and the wire between them.

Nothing is downloaded here: `.ci/install-chromium` puts a Chromium on the machine. Without one these tests skip and say so, unless
ARIANE_TESTS_REQUIRE_BROWSER=1, which `.ci/run` sets.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg
import httpx2
import pytest

from app import clock
from app.database.connections import connect_pool
from app.domain import ids
from tests.browser.shop import Shop, Thanks
from tests.browser.wire import Sent, Wire
from tests.cast import Brand, Collaboration, create_brand, create_collaboration
from tests.conftest import copy_template
from tests.served import serve

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Root has no sandbox of its own; the rest keeps a browser that only knows 127.0.0.1 from asking its maker for anything.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Headless Chromium calls itself HeadlessChrome, which is a bot to Ariane, as it should be; a shopper has a telephone.
TELEPHONE = "Mozilla/5.0 (Linux; Android 15; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/147.0.0.0 Mobile Safari/537.36"
PATIENCE_SECONDS = 8.0

Told = dict[str, Any]
"""What the API answered."""


def find_chromium() -> str | None:
    """The browser to drive: ARIANE_TESTS_CHROMIUM, else what is on PATH."""
    named = os.environ.get("ARIANE_TESTS_CHROMIUM")
    return named or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


@pytest.fixture(scope="session")
def chromium_program() -> str:
    """The browser's path. Everything here asks for it first: without a browser there is nothing to start."""
    program = find_chromium()
    if program is None:
        reason = "no Chromium found on PATH or in ARIANE_TESTS_CHROMIUM; .ci/install-chromium installs one"
        if os.environ.get("ARIANE_TESTS_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return program


@pytest.fixture(scope="session")
async def chromium(chromium_program: str) -> "AsyncIterator[Browser]":
    """One browser for all tests; each has a context, and so cookies and storage, of its own."""
    # Dear to import: only the process that drives the browser pays for it, not every one that collects these tests.
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_program, args=CHROMIUM_FLAGS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def wire(
    chromium_program: str, server: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Wire, str]]:
    """`ariane serve` behind a wire that is its public address; with the DSN of its database, which is all its own."""
    dsn = asyncio.run(copy_template(server, template))
    wire = Wire()
    directory = tmp_path_factory.mktemp("browser")
    with serve(
        directory,
        DATABASE_URL=dsn,
        ARIANE_PUBLIC_URL=wire.url,
        ARIANE_DRAIN_INTERVAL_MS="50",
        ARIANE_PROOF_OF_HOSTS="off",
    ) as served:
        wire.upstream = urlsplit(served.url).netloc
        yield wire, dsn
    wire.close()


@dataclass(frozen=True, slots=True)
class Running:
    """What tests hold of the running service: `wire` sees what browsers send, `direct` asks the API behind it."""

    wire: Wire
    pool: asyncpg.Pool
    direct: httpx2.AsyncClient


@pytest.fixture(scope="session")
async def running(wire: tuple[Wire, str]) -> AsyncIterator[Running]:
    """The running service with a client for its API and connections to its database."""
    before, dsn = wire
    pool = await connect_pool(dsn, size=2, name="browser tests")
    async with httpx2.AsyncClient(base_url=f"http://{before.upstream}", timeout=10) as direct:
        yield Running(before, pool, direct)
    await pool.close()


def credited(order: Told) -> bool:
    """Whether an order's decision credits somebody."""
    return bool(order["attribution"]["verdict"] == "attributed")


@dataclass
class Story:
    """One test: a brand with an influencer, and a shopper with a browser of their own."""

    running: Running
    brand: Brand
    lea: Collaboration
    context: "BrowserContext"
    page: "Page"
    open_shop: Callable[..., Shop]

    @property
    def wire(self) -> Wire:
        """What browsers sent, in this test and before."""
        return self.running.wire

    def shop(self, *, consent: str = "granted", thanks: Thanks | None = None) -> Shop:
        """A shop with this brand's publishable key in its pages."""
        return self.open_shop(self.wire.url, self.brand.publishable_key, consent=consent, thanks=thanks)

    async def link(self, shop: Shop, slug: str | None = None) -> Told:
        """A short link to the shop for Lea, made through the API."""
        body = {
            "collaboration_id": ids.show("collaboration", self.lea.id),
            "destination_url": f"{shop.url}/",
            "slug": slug,
        }
        return await self._post("/v1/links", {name: value for name, value in body.items() if value})

    async def code(self, code: str) -> Told:
        """A promo code for Lea, made through the API."""
        return await self._post("/v1/codes", {"collaboration_id": ids.show("collaboration", self.lea.id), "code": code})

    async def signing_secret(self) -> str:
        """A secret with which the shop's server signs pixels, made through the API."""
        made = await self._post(f"/v1/keys/{ids.show('key', self.brand.publishable_id)}/signing_secrets", {})
        return str(made["signing_secret"])

    async def _post(self, path: str, body: dict[str, str]) -> Told:
        answer = await self.running.direct.post(path, json=body, headers=self.brand.auth)
        assert answer.status_code == 201, answer.text
        made: Told = answer.json()
        return made

    async def buy(self, shop: Shop, *, code: str = "") -> str:
        """From the product page to the thank-you page, by clicks; the id of the order."""
        await self.page.click("#cart")
        await self.page.fill("[name=code]", code)
        await self.page.click("#buy")
        await self.page.wait_for_url("**/thanks?*")
        return list(shop.orders)[-1]

    async def thanked(self, shop: Shop, *, code: str = "") -> str:
        """The same in one step: the order is in the shop's books, its thank-you page is opened; the id of the order."""
        order_id = shop.buy(code)
        await self.page.goto(f"{shop.url}/thanks?order={order_id}")
        return order_id

    async def stored(self) -> tuple[str | None, list[Any]]:
        """What the shop's site keeps in this browser: the script's entry in localStorage, and every cookie."""
        local: str | None = await self.page.evaluate("localStorage.getItem('ariane')")
        return local, list(await self.context.cookies())

    async def eventually(self, path: str, settled: Callable[[Told], bool], **query: str) -> Told:
        """The API's answer once `settled` holds for it; fails with the last answer when it does not within a few seconds."""
        deadline = monotonic() + PATIENCE_SECONDS
        while True:
            answer = await self.running.direct.get(path, params=query, headers=self.brand.auth)
            assert answer.status_code == 200, answer.text
            told: Told = answer.json()
            if settled(told):
                return told
            assert monotonic() < deadline, f"{path} {query} still says {told}"
            await asyncio.sleep(0.1)

    async def order(self, order_id: str, *, settled: Callable[[Told], bool] = bool) -> Told:
        """The recorded order, as GET /v1/conversions tells it."""
        found = await self.eventually(
            "/v1/conversions", lambda told: bool(told["data"]) and settled(told["data"][0]), order_id=order_id
        )
        assert len(found["data"]) == 1
        order: Told = found["data"][0]
        return order

    async def clicks(self, link: Told, settled: Callable[[Told], bool]) -> Told:
        """The link's row of the report, once `settled` holds for it. Visitors are counted a moment after clicks."""
        today = clock.now().date()
        near = {"from": str(today - timedelta(days=1)), "to": str(today + timedelta(days=2)), "group_by": "link"}

        def row(report: Told) -> Told | None:
            return next((row for row in report["rows"] if row["key"]["link"]["id"] == link["id"]), None)

        def is_settled(report: Told) -> bool:
            found = row(report)
            return found is not None and settled(found)

        found = row(await self.eventually("/v1/reports/summary", is_settled, **near))
        assert found is not None
        return found

    async def arrived(self, path: str, count: int) -> list[Sent]:
        """The requests for a path, once there are `count` of them."""
        return await self._until(lambda: [sent for sent in list(self.wire.sent) if sent.path == path], count)

    async def beacons(self, event: str, count: int = 1) -> list[Sent]:
        """What this brand's pages sent about an event, once there are `count` of them."""
        return await self._until(lambda: self.sent(event), count)

    async def _until(self, look: Callable[[], list[Sent]], count: int) -> list[Sent]:
        deadline = monotonic() + PATIENCE_SECONDS
        while len(found := look()) < count:
            assert monotonic() < deadline, f"only {len(found)} of {count} arrived: {found}"
            await asyncio.sleep(0.02)
        return found

    def sent(self, event: str) -> list[Sent]:
        """What this brand's pages sent about an event so far."""
        hits = [sent for sent in list(self.wire.sent) if sent.path in ("/e", "/p.gif") and sent.method != "OPTIONS"]
        told = [(sent, sent.fields) for sent in hits]
        return [
            sent for sent, fields in told if fields.get("k") == self.brand.publishable_key and fields["event"] == event
        ]


@pytest.fixture
def open_shop() -> Iterator[Callable[..., Shop]]:
    """Opens shops that close with the test."""
    shops: list[Shop] = []

    def open_one(tracker: str, key: str, **options: object) -> Shop:
        shops.append(Shop(tracker, key, **options))  # type: ignore[arg-type]
        return shops[-1]

    yield open_one
    for shop in shops:
        shop.close()


@pytest.fixture
async def story(chromium: "Browser", running: Running, open_shop: Callable[..., Shop]) -> AsyncIterator[Story]:
    """A brand, a shopper's browser, and the promise that is part of every story: no preflight reached the service."""
    brand = await create_brand(running.pool)
    lea = await create_collaboration(running.pool, brand)
    context = await chromium.new_context(user_agent=TELEPHONE)
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    page = await context.new_page()
    told = len(running.wire.sent)
    yield Story(running, brand, lea, context, page, open_shop)
    await context.close()
    assert "OPTIONS" not in [sent.method for sent in running.wire.sent[told:]]
