"""What each network calls our fields: a table each in `presets.toml`. To add a network, add a table: nothing else tells the networks apart.

tests/platforms/test_postback_presets.py checks that every table is complete and that no name in it has two meanings.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

FIELDS = (
    "click_id", "order_id", "amount", "total", "parts", "currency", "code", "event", "status", "visitor_id", "customer", "acquisition", "origin",
    "tax", "shipping", "refund_id", "occurred_at", "updated_at", "test",
)  # fmt: skip
"""The fields of a postback (docs/connect/postback.md). amount: before tax and shipping, after discount. total: what was paid.
parts: `GROUP:12.00|GROUP2:3.00`. acquisition: whether the customer is new. origin: `first` or `renewal`."""

APPROVED, PENDING, REJECTED = "approved", "pending", "rejected"


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One network.

    names: parameter names (lower case; names are compared in any case) of each field; where a message has several of one field, the first counts.
    template: what to paste, in the network's names; braces hold our words for what the sender puts there (`token` is a secret of the source).
    demands_token: without a token its own documentation calls such a postback open to everybody, so a source without a secret is refused.
    weak_order_id: it counts by click and event where a message has no order id, and so do we; else such a message is rejected.
    """

    title: str
    names: Mapping[str, tuple[str, ...]]
    template: str
    demands_token: bool = False
    weak_order_id: bool = False

    @property
    def token(self) -> str:
        """The parameter in which its senders put the token."""
        return next(part.removesuffix("={token}") for part in self.template.split("&") if part.endswith("={token}"))


STATUSES: Mapping[str, str] = {
    **dict.fromkeys(("approved", "accepted", "confirmed"), APPROVED),
    **dict.fromkeys(("pending", "hold", "on_hold"), PENDING),
    **dict.fromkeys(("rejected", "declined", "denied", "cancelled", "canceled"), REJECTED),
}
"""What networks call the three states of an order."""

EVENTS: Mapping[str, str] = dict.fromkeys(("purchase", "conversion", "0"), "sale")
"""Words and numbers for "the conversion itself", as opposed to a further event of the same click."""

DEFAULT = "ariane"
_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_OURS = _TABLES.pop("ours")
PRESETS: Mapping[str, Preset] = {
    name: msgspec.convert({**table, "names": _OURS | table["names"]}, Preset) for name, table in _TABLES.items()
}


def preset_of(settings: Mapping[str, object]) -> Preset | None:
    """The preset that a source's settings name, Ariane's own by default; None for a name not listed."""
    return PRESETS.get(str(settings.get("preset") or DEFAULT))
