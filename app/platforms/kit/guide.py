"""The parts of a guide: steps for a person and code to paste, with the brand's own values filled in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

NO_KEY = "pk_your_key"
"""Placeholder for the publishable key of a shop that has none yet."""


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

    @property
    def key(self) -> str:
        """The publishable key, or its placeholder."""
        return self.publishable_key or NO_KEY


@dataclass(frozen=True, slots=True)
class GuidePaste:
    """A value to paste. where: the field's name as the shop system shows it. what: exactly what belongs there."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class GuideStep:
    """One thing to do, in the words that the shop system's own pages use."""

    title: str
    text: str
    paste: GuidePaste | None = None


@dataclass(frozen=True, slots=True)
class GuideSnippet:
    """Code to paste. where: the page or dialog that it belongs in."""

    name: str
    language: str
    where: str
    code: str


@dataclass(frozen=True, slots=True)
class Guide:
    """How a platform is connected. page: the longer version, in the repository."""

    page: str
    steps: tuple[GuideStep, ...]
    snippets: tuple[GuideSnippet, ...] = ()


# ── What several platforms have in common ────────────────────────────────────────────────────────────────────────────

STUB = "<script>window.ariane=window.ariane||function(){(ariane.q=ariane.q||[]).push(arguments)}</script>"


def script(connection: Connection) -> str:
    """The tag for every page of a shop: it remembers, with consent, which click the visitor landed with."""
    param = "" if connection.click_param == "ariane" else f' data-param="{escape(connection.click_param)}"'
    attributes = f'data-key="{connection.key}" data-consent="{connection.consent}"{param}'
    return f'{STUB}\n<script async src="{connection.base_url}/a.js" {attributes}></script>\n'


def key_step(connection: Connection) -> tuple[GuideStep, ...]:
    """The step of making a publishable key, for code that needs one; nothing when the shop has one."""
    if connection.publishable_key is not None:
        return ()
    body = json.dumps({"kind": "publishable", "shop": connection.shop}, ensure_ascii=False)
    return (
        GuideStep(
            "Make a publishable key",
            f"The code below reports with it and holds {NO_KEY} until the shop has one: send this, then read the source again.",
            GuidePaste("POST /v1/keys", body),
        ),
    )


def trial_step(connection: Connection) -> GuideStep:
    """The last step of every guide."""
    return GuideStep(
        "Test the connection",
        "Plays a click, an order with a code, and a refund in test mode, and says line by line what arrived.",
        GuidePaste("with an admin key", f"POST {connection.base_url}/v1/sources/{connection.source_id}/test"),
    )
