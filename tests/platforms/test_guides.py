"""The guides of the platforms: complete, filled in with the brand's own values, and the same as their pages."""

import re
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from app.platforms.kit.guide import NO_KEY, Connection, Guide
from app.platforms.presets import PRESETS
from app.platforms.registry import PLATFORMS, platform_of

ROOT = Path(__file__).parents[2]
OWN = Connection(
    source_id="src_1",
    url="https://go.alice.example/in/hook_1",
    base_url="https://go.alice.example",
    shop="main",
    publishable_key="pk_alice",
    click_param="via",
)
PRINTED = Connection("src_…", "https://go.brand.com/in/hook_…", "https://go.brand.com")
"""As the pages print it."""
NAMED = [*sorted(PLATFORMS), *(f"generic {preset}" for preset in sorted(PRESETS))]
"""Platforms, and the presets of the generic one, which have guides of their own."""


def written(name: str, connection: Connection) -> Guide:
    """The guide of a platform, or of a preset."""
    platform, _, preset = name.partition(" ")
    found = platform_of(platform).guide(replace(connection, settings={"preset": preset} if preset else {}))
    assert found is not None
    return found


def texts(name: str, connection: Connection) -> list[str]:
    """Everything a guide says."""
    found = written(name, connection)
    pasted = [part for step in found["setup"] if step["paste"] for part in step["paste"].values()]
    said = [part for step in found["setup"] for part in (step["title"], step["text"])]
    return [*said, *pasted, *(snippet["code"] for snippet in found["snippets"])]


def test_every_platform_has_a_guide() -> None:
    assert all(each.guide(OWN) is not None for each in PLATFORMS.values())
    assert platform_of("magento").guide(OWN) is None


@pytest.mark.parametrize("name", NAMED)
def test_a_guide_names_the_address_the_trial_and_a_page_that_is_there(name: str) -> None:
    found = written(name, OWN)
    assert found["guide_page"].startswith("docs/connect/")
    assert (ROOT / found["guide_page"]).is_file()
    said = texts(name, OWN)
    assert any(OWN.url in text for text in said)
    assert any("/v1/sources/src_1/test" in text for text in said)
    assert len({step["title"] for step in found["setup"]}) == len(found["setup"]) >= 3
    assert all(each.strip() for each in said)


@pytest.mark.parametrize("name", NAMED)
def test_nothing_in_a_guide_has_to_be_replaced_by_hand(name: str) -> None:
    for text in texts(name, OWN):
        assert NO_KEY not in text
        assert "go.brand.com" not in text
        assert not re.search(r"\{\{\w+\}\}", text)


@pytest.mark.parametrize("name", NAMED)
def test_a_shop_without_a_publishable_key_is_told_to_make_one(name: str) -> None:
    bare = Connection("src_1", OWN.url, OWN.base_url, shop='the "other"')
    said = texts(name, bare)
    if any(NO_KEY in text for text in said):
        assert "POST /v1/keys" in said
        assert '{"kind": "publishable", "shop": "the \\"other\\""}' in said


@pytest.mark.parametrize("name", NAMED)
def test_the_page_shows_the_snippets_as_they_are_given(name: str) -> None:
    found = written(name, PRINTED)
    page = (ROOT / found["guide_page"]).read_text()
    blocks = re.findall(r"^( *)<!-- snippet: (.+?) -->\n\1```\w+\n(.*?)\1```", page, re.DOTALL | re.MULTILINE)
    shown = {title: dedent(code) for _, title, code in blocks}
    codes = {snippet["name"]: snippet["code"] for snippet in found["snippets"]}
    assert len({written(each, PRINTED)["guide_page"] for each in NAMED}) == len(NAMED)
    assert {name: codes.get(name) for name in shown} == shown
