"""What the guide of a platform is made of: steps for a person, and code to paste, with the brand's own values filled in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

NO_KEY = "pk_your_key"
"""Stands where the shop's publishable key would, until it has one."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What a guide fills in. url: where the shop posts to. publishable_key: of the source's shop; None while it has none.

    consent: how pages begin, as `data-consent` of the script says it.
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
        """The publishable key, or what stands in its place."""
        return self.publishable_key or NO_KEY


@dataclass(frozen=True, slots=True)
class GuidePaste:
    """where: the field's name as the shop system shows it. what: exactly what belongs there."""

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
    """Code to paste. where: the page or dialog it belongs into."""

    name: str
    language: str
    where: str
    code: str


@dataclass(frozen=True, slots=True)
class Guide:
    """How a platform is connected. page: the same at length, in the repository."""

    page: str
    steps: tuple[GuideStep, ...]
    snippets: tuple[GuideSnippet, ...] = ()


# ── What several platforms have in common ────────────────────────────────────────────────────────────────────────────

STUB = "<script>window.ariane=window.ariane||function(){(ariane.q=ariane.q||[]).push(arguments)}</script>"


def script(connection: Connection) -> str:
    """The tag for every page of a shop: it remembers, with consent, which click the visitor landed with."""
    param = "" if connection.click_param == "ariane" else f' data-param="{escape(connection.click_param)}"'
    said = f'data-key="{connection.key}" data-consent="{connection.consent}"{param}'
    return f'{STUB}\n<script async src="{connection.base_url}/a.js" {said}></script>\n'


def key_step(connection: Connection) -> tuple[GuideStep, ...]:
    """What to do first where the code needs a publishable key and the shop has none; nothing when it has one."""
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
