"""Guides: steps for a person and code to paste, from the `guide.toml` of a platform or preset, with the brand's own values put in."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from app.platforms.kit.templates import fill

NO_KEY = "pk_your_key"
"""Placeholder for the publishable key of a shop that has none yet."""
STUB = "<script>window.ariane=window.ariane||function(){(ariane.q=ariane.q||[]).push(arguments)}</script>"
STEPS = tomllib.loads(Path(__file__).with_name("steps.toml").read_text("utf-8"))
KEY_STEP = {"shared": "publishable_key"}

Guide = dict[str, Any]
"""`setup`, `snippets` and `guide_page`, in the form in which the API shows them."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The values that a guide fills in. url: where the shop posts to. publishable_key: of the source's shop; None while it has none.

    consent: the initial consent of pages, as in `data-consent` of the script.
    """

    source_id: str
    url: str
    base_url: str
    shop: str = "main"
    publishable_key: str | None = None
    click_param: str = "ariane"
    consent: str = "wait"
    settings: Mapping[str, object] = field(default_factory=dict)


@cache
def read_guides() -> Mapping[str, Guide]:
    """The guides by the names of their folders, with nothing filled in yet; of a snippet in a file of its own (`file`) the code."""
    guides = {}
    for path in Path(__file__).parents[1].rglob("guide.toml"):
        guide = tomllib.loads(path.read_text("utf-8"))
        for snippet in guide.setdefault("snippets", []):
            if "file" in snippet:
                snippet["code"] = path.with_name(snippet.pop("file")).read_text("utf-8")
        guides[path.parent.name] = guide
    return guides


def fill_guide(name: str, connection: Connection, **values: str) -> Guide | None:
    """The guide of this platform or preset, with values in place of each `{{name}}` in it; None where there is none."""
    guide = read_guides().get(name)
    if guide is None:
        return None
    key = connection.publishable_key or NO_KEY
    values |= {
        "source_id": connection.source_id,
        "url": connection.url,
        "base_url": connection.base_url,
        "shop": json.dumps(connection.shop, ensure_ascii=False),
        "key": key,
        "param": connection.click_param,
        "script": _script(connection, key),
    }
    key_steps = [STEPS["publishable_key"]] if connection.publishable_key is None else []
    steps = [each for step in guide["setup"] for each in (key_steps if step == KEY_STEP else [step])]
    setup = [{"paste": None, **step} for step in (*steps, STEPS["trial"])]
    filled: Guide = fill({**guide, "setup": setup}, values)
    return filled


def _script(connection: Connection, key: str) -> str:
    """The tags for every page of a shop: they remember, with consent, which click the visitor landed with."""
    param = "" if connection.click_param == "ariane" else f' data-param="{escape(connection.click_param)}"'
    attributes = f'data-key="{key}" data-consent="{connection.consent}"{param}'
    return f'{STUB}\n<script async src="{connection.base_url}/a.js" {attributes}></script>'
