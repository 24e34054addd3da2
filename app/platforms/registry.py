"""All platforms, one line each. To add one: copy a folder, write its line here, add samples, a test file and a page under docs/connect/."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from app.platforms import generic, postback, shopify, stripe, woocommerce
from app.platforms.kit.platform import Platform, StoredSettings

if TYPE_CHECKING:
    from app.domain.orders import Context, Parsed
    from app.platforms.kit.trial import TrialMessages, TrialOrder

PLATFORMS: Mapping[str, Platform] = {
    each.name: each
    for each in (
        shopify.PLATFORM,
        woocommerce.PLATFORM,
        stripe.PLATFORM,
        generic.PLATFORM,
        postback.PLATFORM,
    )
}

EXAMPLE = shopify.PLATFORM
"""The platform in the API's examples."""
MAPPED = generic.PLATFORM
"""The platform whose sources may have a mapping and a signature of their own."""
SHOP_SYSTEMS = tuple(name for name, each in PLATFORMS.items() if each.is_shop_system({}))
"""Platforms that are always the system a shop runs on, also where a report of a release before does not say so."""
PARTIAL = tuple(name for name, each in PLATFORMS.items() if not each.reports_every_order)
"""Platforms that may leave out orders of the shop."""

UNKNOWN_PLATFORM = "unknown_platform"


def platform_of(name: str) -> Platform:
    """The platform of this name; for an unknown name, which a newer release may have stored, one that refuses every message."""
    return PLATFORMS.get(name) or UnknownPlatform(
        name, name, _refuse, MAPPED.kept_headers, named_headers=MAPPED.named_headers
    )


def load_platforms() -> None:
    """Imports the parsers, guides and trials of all platforms."""
    for each in PLATFORMS.values():
        each.load()


class UnknownPlatform(Platform):
    """Stands for a platform this release does not know. Its messages are kept, and can be replayed after an upgrade."""

    def identify(self, headers: Mapping[str, str]) -> tuple[str, str]:
        """Neither is known."""
        return "", ""

    def parse(self, body: bytes, headers: Mapping[str, str], context: "Context") -> "Parsed":
        """Always rejected."""
        from app.domain.orders import Parsed

        return Parsed(rejected=UNKNOWN_PLATFORM, detail=f"messages of {self.name[:40]!r} cannot be read yet")

    def trial_messages(self, order: "TrialOrder", secret: str, settings: StoredSettings) -> "TrialMessages | None":
        """There are none."""
        return None


def _refuse(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[str], *, now_s: float, settings: StoredSettings
) -> str | None:
    return UNKNOWN_PLATFORM
