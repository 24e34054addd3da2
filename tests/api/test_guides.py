"""The pages of docs/ as the service serves them."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from httpx2 import AsyncClient

from app.api.docs import guides
from app.api.docs.guides import ADDRESS, pages, render_guide


def test_every_link_of_every_page_leads_to_a_page_and_a_heading_that_are_there() -> None:
    assert len(pages()) > 40
    rendered = {f"{ADDRESS}/{name}".rstrip("/"): render_guide(name) or "" for name in pages()}
    anchors = {address: set(re.findall(r' id="([^"]+)"', page)) for address, page in rendered.items()}
    lost = []
    for address, page in rendered.items():
        for found in re.findall(r'<a href="([^"]*)"', page):
            target = urlsplit(found)
            path = target.path or address
            if target.netloc or path in ("/docs", "/openapi.json"):
                continue
            if path not in rendered or (target.fragment and unquote(target.fragment) not in anchors[path]):
                lost.append((address, found))
    assert lost == []


async def test_the_guides_need_no_key_and_ask_no_other_host_for_anything(api: AsyncClient) -> None:
    front = await api.get("/docs/guides")
    assert (front.status_code, front.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert '<a href="/docs/guides/connect/shopify">' in front.text
    loaded = re.findall(r'(?:src|<link[^>]+href)="([^"]+)"', front.text)
    assert loaded
    for address in loaded:
        assert address.startswith("/docs/")
        assert (await api.get(address)).status_code == 200


@pytest.mark.parametrize(
    "name", ["nothing", "../pyproject.toml", "%2e%2e/CONTRIBUTING", "connect", "connect/../../LICENSE"]
)
async def test_only_pages_are_guides(api: AsyncClient, name: str) -> None:
    assert (await api.get(f"/docs/guides/{name}")).status_code == 404


def test_markup_in_a_page_is_shown_and_never_obeyed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text(
        "# A <b>\n<script>alert(1)</script>\n\n[x](javascript:alert(1)) <img src=x onerror=y> <!-- run: z -->\n"
    )
    monkeypatch.setattr(guides, "ROOT", tmp_path)
    monkeypatch.setattr(guides, "pages", lambda: {"evil": page})
    html = guides.render_guide("evil")
    assert html is not None
    body = html.partition("<main>")[2]
    assert not re.search(r"<(script|img|b)\b|href|run: z", body)
    assert "&lt;script&gt;" in body
