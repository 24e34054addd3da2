"""How each connected shop does things, where its messages do not say: the settings of sources, and which platform knows which."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, Strict

from app.api.fields import Given
from app.errors import FieldError, Invalid

Platform = Literal["shopify", "generic"]


class SourceSettings(Given):
    """What may be set; each field says for which platforms."""

    taxes_included: Annotated[bool, Strict()] | None = Field(
        default=None, description="Shopify: prices contain tax. It says so on orders, not on all refunds."
    )


KNOWN_TO: Mapping[str, frozenset[str]] = {
    "taxes_included": frozenset({"shopify"}),
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
