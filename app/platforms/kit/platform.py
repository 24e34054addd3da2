"""What the service has to know about one platform: the type of the registry's entries."""

import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from app.platforms.kit.guide import Connection, Guide, fill_guide, read_guides

if TYPE_CHECKING:
    from app.domain.orders import Context, Parsed
    from app.platforms.kit.trial import TrialMessages, TrialOrder

StoredSettings = Mapping[str, object]
"""The settings of one source, as its row holds them."""


class Verify(Protocol):
    """Checks a signature. Header names in lower case, values stripped; no secret is an empty text, but there may be none."""

    def __call__(
        self, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, now_s: float, settings: StoredSettings
    ) -> str | None:
        """None when one of the secrets signed exactly these bytes, else why not: a word of kit/digests.py. Never raises."""
        ...


@dataclass(frozen=True)
class Platform:
    """One platform: how its messages are checked and kept at the door, what they are worth, and what a source of it may set.

    The folder `app/platforms/<name>/` holds the rest in modules that are not imported with this entry: `webhook` (`parse`, and `identify` where
    headers say what a message is) and `trial` (`trial_messages`), and its `guide.toml`. The doors check signatures and need none of them; with all of
    them `import app.tracking.doors` takes 310 ms of processor time instead of 190, and a web worker answers its first redirect after that import.
    A process that reads messages calls `load`.

    kept_headers, named_headers: headers (lower case) a delivery is kept with, so that it can be checked and read again later; the second are those
    that the settings of a source name.
    by_query: it reports in the query too, by GET or POST. Elsewhere a GET is somebody who opened the address in a browser.
    body_max_bytes: largest body that is read, where it is less than the service's own limit: what `conceal` has to search costs time before anybody
    has shown who they are.
    conceal: removes from (query, headers, body) what must not be kept, by the source's settings; `verify` accepts the message before and after.
    forget: removes a source's own secrets from (query, body) where `conceal` found none.
    is_ping: whether a message (body and kept headers) only asks if somebody is there.
    timestamps: the texts in which a message's headers say when it was sent.
    is_signed: a signature binds every byte to the shop. Where it is False a token is sent along: a password that travels in addresses, and so in
    the logs of everybody on the way, and is worth no more than a secret key of the API.
    reports_every_order: whether an order of the shop that it does not report is suspicious.
    is_shop_system: whether a source of these settings is the system that a shop runs on: each has a shop of its own (docs/connect/README.md).
    site_headers: headers (lower case) in which such a system names the shop's domain or address.
    customer_names: names of fields, compared in any case, that name the customer, beside those of its `personal.toml`.
    settings: descriptions of the settings that it reads, by their names in the API.
    presets: names that the setting `preset` may have. secret_reason: where messages are not signed, why a source of these settings needs a secret
    all the same; None when it does not.
    guide_values: what its guide has to fill in beside the values of a `Connection`.
    code_ids: what it sends in place of the code that the shopper typed, as a phrase for the API's description; "" where it sends the code.
    """

    name: str
    title: str
    verify: Verify
    kept_headers: frozenset[str]
    named_headers: Callable[[StoredSettings], frozenset[str]] = lambda settings: frozenset()
    by_query: bool = False
    body_max_bytes: int = sys.maxsize
    conceal: Callable[[str, Mapping[str, str], bytes, StoredSettings], tuple[str, dict[str, str], bytes]] = (
        lambda query, headers, body, settings: (query, dict(headers), body)
    )
    forget: Callable[[str, bytes, Sequence[str]], tuple[str, bytes]] = lambda query, body, secrets: (query, body)
    is_ping: Callable[[bytes, Mapping[str, str]], bool] = lambda body, headers: False
    timestamps: Callable[[Mapping[str, str], StoredSettings], Iterable[str]] = lambda headers, settings: ()
    is_signed: bool = True
    reports_every_order: bool = True
    is_shop_system: Callable[[StoredSettings], bool] = lambda settings: False
    site_headers: tuple[str, ...] = ()
    customer_names: Callable[[], Collection[str]] = tuple
    settings: Mapping[str, str] = field(default_factory=dict)
    presets: Collection[str] = ()
    preset_example: str = ""
    secret_reason: Callable[[StoredSettings], str | None] = lambda settings: None
    guide_values: Callable[[StoredSettings], Mapping[str, str]] = lambda settings: {}
    code_ids: str = ""

    def load(self) -> None:
        """Imports the rest now. At first use it could already be that of another release, installed under a running process."""
        for part in ("webhook", "trial"):
            _module(self.name, part)
        read_guides()

    def identify(self, headers: Mapping[str, str]) -> tuple[str, str]:
        """Topic and the sender's own id of a message from its headers (names in lower case); '' where unknown."""
        identify = getattr(_module(self.name, "webhook"), "identify", lambda headers: ("", ""))
        identity: tuple[str, str] = identify(headers)
        return identity

    def parse(self, body: bytes, headers: Mapping[str, str], context: "Context") -> "Parsed":
        """What a message reports. Never raises."""
        parsed: Parsed = _module(self.name, "webhook").parse(body, headers, context)
        return parsed

    def guide(self, connection: Connection) -> Guide | None:
        """How a shop is connected by its preset or on this platform, with the brand's own values; None where there is no guide."""
        values = self.guide_values(connection.settings)
        preset = str(connection.settings.get("preset"))
        of_preset = fill_guide(preset, connection, **values) if preset in self.presets else None
        return of_preset or fill_guide(self.name, connection, **values)

    def trial_messages(self, order: "TrialOrder", secret: str, settings: StoredSettings) -> "TrialMessages | None":
        """The messages of a made-up order and its refund, signed as the platform signs; None where it cannot be tried. Raises Invalid
        where these settings leave no way to write them."""
        messages: TrialMessages = _module(self.name, "trial").trial_messages(order, secret, settings)
        return messages


@cache
def _module(platform: str, name: str) -> ModuleType:
    return import_module(f"app.platforms.{platform}.{name}")
