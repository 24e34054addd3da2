"""How each connected shop does things, where its messages do not say: the settings of sources, and which platform knows which."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, Strict

from app.api.fields import Given
from app.api.routes.sources.samples import MappingGiven, Signature
from app.errors import FieldError, Invalid
from app.platforms.postback.presets import DEFAULT, PRESETS
from app.platforms.presets import PRESETS as CHECKOUTS

Platform = Literal["shopify", "woocommerce", "stripe", "generic", "postback"]


class SourceSettings(Given):
    """What may be set; each field says for which platforms."""

    taxes_included: Annotated[bool, Strict()] | None = Field(
        default=None, description="Shopify: prices contain tax. It says so on orders, not on all refunds."
    )
    preset: Annotated[str, Strict(), Field(min_length=1, max_length=40)] | None = Field(
        default=None,
        description="Postback: whose parameter names it uses; `ariane` by default. Generic: whose signature and messages it has, "
        f"one of {', '.join(sorted(CHECKOUTS))}.",
        examples=["awin"],
    )
    signature: Signature | None = Field(
        default=None,
        description="Generic: how it signs. Without it, `X-Ariane-Signature` or Standard Webhooks.",
        examples=[{"header": "X-Signature", "encoding": "hex", "prefix": "sha256="}],
    )
    mapping: MappingGiven | None = Field(
        default=None,
        description="Generic: where in its messages an order or a refund stands. Tried on `sample` before it is kept.",
        examples=[{"amounts": "major", "rules": [{"read": "order", "order_id": "/id", "total": "/total"}]}],
    )


KNOWN_TO: Mapping[str, frozenset[str]] = {
    "taxes_included": frozenset({"shopify"}),
    "preset": frozenset({"generic", "postback"}),
    "signature": frozenset({"generic"}),
    "mapping": frozenset({"generic"}),
}
"""The platforms that read a setting."""


def refuse_foreign(settings: SourceSettings, platform: str) -> None:
    """Raises Invalid naming every setting that this platform does not read."""
    foreign = [
        FieldError(f"settings.{name}", f"is not a setting of {platform}", "unknown_setting")
        for name in sorted(settings.model_fields_set)
        if platform not in KNOWN_TO[name]
    ]
    if foreign:
        raise Invalid("these settings are of another platform", fields=tuple(foreign))


def refuse_unguarded(platform: str, settings: Mapping[str, object], secrets_count: int) -> None:
    """Raises Invalid where nothing would tell the shop's messages from anybody's: a platform that signs, or a preset that demands its token,
    without a secret; and for a preset that does not exist."""
    if platform != "postback":
        if not secrets_count:
            raise Invalid.field(
                "secrets", f"a source of {platform} needs the secret that signs its messages", code="required"
            )
        refuse_unknown_preset(settings)
        return
    preset = PRESETS.get(str(settings.get("preset") or DEFAULT))
    if preset is None:
        raise Invalid.field("settings.preset", f"is none of {', '.join(PRESETS)}", code="unknown_preset")
    if preset.demands_token and not secrets_count:
        raise Invalid.field(
            "secrets", f"{preset.title} postbacks need the {preset.token} that they carry", code="required"
        )


def refuse_unknown_preset(settings: Mapping[str, object]) -> None:
    """Raises Invalid for a preset that no checkout of the generic platform has."""
    preset = settings.get("preset")
    if preset is not None and preset not in CHECKOUTS:
        raise Invalid.field("settings.preset", f"is none of {', '.join(CHECKOUTS)}", code="unknown_preset")
