"""The guides of the platforms: complete, filled in with the brand's own values, and the same as their pages."""

import re
from pathlib import Path

import pytest

from app.domain.guides.parts import NO_KEY, Connection
from app.domain.guiding import GUIDES, guide
from app.domain.signing import SCHEMES

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


def texts(platform: str, connection: Connection) -> list[str]:
    """Everything a guide says."""
    found = guide(platform, connection)
    assert found is not None
    pasted = [part for step in found.steps if step.paste for part in (step.paste.where, step.paste.what)]
    said = [part for step in found.steps for part in (step.title, step.text)]
    return [*said, *pasted, *(snippet.code for snippet in found.snippets)]


def test_every_platform_has_a_guide() -> None:
    assert set(GUIDES) == set(SCHEMES)
    assert guide("magento", OWN) is None


@pytest.mark.parametrize("platform", sorted(GUIDES))
def test_a_guide_names_the_address_the_trial_and_a_page_that_is_there(platform: str) -> None:
    found = guide(platform, OWN)
    assert found is not None
    assert found.page.startswith("docs/connect/")
    assert (ROOT / found.page).is_file()
    said = texts(platform, OWN)
    assert any(OWN.url in text for text in said)
    assert any("/v1/sources/src_1/test" in text for text in said)
    assert len({step.title for step in found.steps}) == len(found.steps) >= 3
    assert all(each.strip() for each in said)


@pytest.mark.parametrize("platform", sorted(GUIDES))
def test_nothing_in_a_guide_has_to_be_replaced_by_hand(platform: str) -> None:
    for text in texts(platform, OWN):
        assert NO_KEY not in text
        assert "go.brand.com" not in text
        assert not re.search(r"<(base_url|key|param|url)>", text)


@pytest.mark.parametrize("platform", sorted(GUIDES))
def test_a_shop_without_a_publishable_key_is_told_to_make_one(platform: str) -> None:
    bare = Connection("src_1", OWN.url, OWN.base_url, shop='the "other"')
    said = texts(platform, bare)
    if any(NO_KEY in text for text in said):
        assert "POST /v1/keys" in said
        assert '{"kind": "publishable", "shop": "the \\"other\\""}' in said


@pytest.mark.parametrize("platform", sorted(GUIDES))
def test_the_page_shows_the_snippets_as_they_are_given(platform: str) -> None:
    found = guide(platform, PRINTED)
    assert found is not None
    page = (ROOT / found.page).read_text()
    shown = dict(re.findall(r"<!-- snippet: (.+?) -->\n```\w+\n(.*?)```", page, re.DOTALL))
    codes = {snippet.name: snippet.code for snippet in found.snippets}
    assert {name: codes.get(name) for name in shown} == shown
