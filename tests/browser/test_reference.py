"""`/docs` in a real browser: what is pressed as it stands works, in the order of the story of the examples."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from app.api.examples import read_story
from app.server.app import openapi_document
from tests.browser.conftest import PATIENCE_SECONDS, Running
from tests.cast import Brand, create_brand

if TYPE_CHECKING:
    from playwright.async_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

TAGS = {
    operation["operationId"]: operation["tags"][0]
    for item in openapi_document()["paths"].values()
    for operation in item.values()
}
NOT_HERE = {"follow_link", "probe_link", "receive_postback"}
"""Operations without the button: they lead away, or need what only a shop has."""
FINISHED_ALREADY = {"cancel_job": "409"}
"""A job may have ended before anybody can cancel it."""


@dataclass
class Reference:
    """The page, opened by somebody who has a secret key, and every address that it asked for."""

    page: "Page"
    brand: Brand
    asked: list[str] = field(default_factory=list)
    unfolded: str = ""

    async def authorize(self) -> None:
        """Hands the key over as a person does."""
        await self.page.click(".auth-wrapper .authorize")
        await self.page.fill(".modal-ux input", self.brand.secret_key)
        await self.page.click(".modal-ux button.authorize")
        await self.page.click(".modal-ux button.btn-done")

    async def unfold(self, tag: str) -> None:
        """Unfolds the operations of one tag, and folds those of the tag before: the page answers faster then."""
        if tag == self.unfolded:
            return
        for each in filter(None, (self.unfolded, tag)):
            await self.page.click(f"#operations-tag-{each} .expand-operation")
        self.unfolded = tag

    async def open(self, operation: str) -> "Locator":
        """The operation's part of the page, unfolded."""
        await self.unfold(TAGS[operation])
        block = self.page.locator(f"#operations-{TAGS[operation]}-{operation}")
        await block.locator(".opblock-summary-control").click()
        await block.locator(".responses-wrapper").first.wait_for()
        return block

    async def press(self, operation: str) -> str:
        """Unfolds, tries out and executes, with nothing typed; the status of the answer, "" where there is no button. Folded again."""
        block = await self.open(operation)
        status = ""
        if await block.locator(".try-out__btn").count():
            if not await block.locator(".try-out__btn.cancel").count():
                await block.locator(".try-out__btn").click()
            async with self.page.expect_response(lambda answer: "/docs" not in answer.url):
                await block.locator(".execute").click()
            shown = block.locator(".live-responses-table .response .response-col_status")
            await shown.first.wait_for()
            status = (await shown.first.inner_text()).split()[0]
            if not status.startswith("2") and FINISHED_ALREADY.get(operation) != status:
                raise AssertionError(f"{operation}: {await block.locator('.live-responses-table').inner_text()}")
        await block.locator(".opblock-summary-control").click()
        return status


@pytest.fixture
async def reference(chromium: "Browser", running: Running) -> AsyncIterator[Reference]:
    """The page in a browser of its own."""
    context = await chromium.new_context()
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    page = await context.new_page()
    opened = Reference(page, await create_brand(running.pool))
    page.on("request", lambda request: opened.asked.append(request.url))
    await page.goto(f"{running.wire.url}/docs")
    await opened.page.locator(".opblock-tag").first.wait_for()
    yield opened
    await context.close()
    assert [url for url in opened.asked if not url.startswith((running.wire.url, "data:", "blob:"))] == []


async def test_a_key_survives_a_reload_and_what_is_pressed_twice_is_done_twice(
    reference: Reference, running: Running
) -> None:
    await reference.authorize()
    assert await reference.press("create_influencer") == "201"
    # Away and back, because the address that names the unfolded operation would not be loaded anew.
    await reference.page.goto("about:blank")
    await reference.page.goto(f"{running.wire.url}/docs")
    reference.unfolded = ""
    assert await reference.press("read_influencer") == "200"
    block = await reference.open("create_key")
    assert await block.locator("tr[data-param-name=Idempotency-Key] input").input_value() == ""
    await block.locator(".opblock-summary-control").click()
    assert [await reference.press("create_key") for _ in range(2)] == ["201", "201"]
    assert await reference.press("read_key") == "200"
    shown = [
        sent.path
        for sent in running.wire.sent
        if sent.headers.get("authorization") == f"Bearer {reference.brand.secret_key}"
    ]
    newest = (await running.direct.get("/v1/keys", headers=reference.brand.auth)).json()["data"][0]["id"]
    assert shown[-1] == f"/v1/keys/{newest}"
    # In the tab alone: another one knows nothing of it.
    assert await reference.page.evaluate("JSON.stringify(localStorage)") == "{}"


@pytest.mark.skipif(
    os.environ.get("ARIANE_TESTS_LONG") != "1",
    reason="presses some hundred buttons, which takes three minutes: ARIANE_TESTS_LONG=1, as .ci/run sets it",
)
async def test_every_button_works_as_it_stands_in_the_order_of_the_story(
    reference: Reference, running: Running
) -> None:
    await reference.authorize()
    steps = list(dict.fromkeys(step.operation for step in read_story()))
    missing = TAGS.keys() - set(steps)
    pressed = {}
    for operation in [*steps, *sorted(missing)]:
        if operation in ("download_export", "list_job_lines", "download_job_lines", "list_deliveries"):
            await _everything_is_done(reference, running)
        pressed[operation] = await reference.press(operation)
    assert {operation for operation, status in pressed.items() if not status} == NOT_HERE


async def _everything_is_done(reference: Reference, running: Running) -> None:
    """Waits, as people would without noticing, until the background process has caught up."""

    async def listed(path: str) -> list[dict[str, str]]:
        return list((await running.direct.get(path, headers=reference.brand.auth)).json()["data"])

    while any(job["state"] in ("queued", "running") for job in await listed("/v1/jobs")) or not await listed(
        "/v1/deliveries"
    ):
        await reference.page.wait_for_timeout(50)
