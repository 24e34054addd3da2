"""What may be set for a source, and which platforms read which setting."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, Strict

from app.api.fields import Given
from app.api.routes.sources.samples import MappingGiven, Signature
from app.errors import FieldError, Invalid
from app.platforms.registry import PLATFORMS, platform_of

if TYPE_CHECKING:
    PlatformName = str
else:
    PlatformName = Literal[tuple(PLATFORMS)]


def _description(name: str) -> str:
    readers = (each for each in PLATFORMS.values() if name in each.settings)
    return " ".join(f"{each.title}: {each.settings[name]}" for each in readers)


class SourceSettings(Given):
    """What may be set; each field says for which platforms."""

    taxes_included: Annotated[bool, Strict()] | None = Field(default=None, description=_description("taxes_included"))
    preset: Annotated[str, Strict(), Field(min_length=1, max_length=40)] | None = Field(
        default=None,
        description=_description("preset"),
        examples=[each.preset_example for each in PLATFORMS.values() if each.preset_example],
    )
    signature: Signature | None = Field(
        default=None,
        description=_description("signature"),
        examples=[{"header": "X-Signature", "encoding": "hex", "prefix": "sha256="}],
    )
    mapping: MappingGiven | None = Field(
        default=None,
        description=_description("mapping"),
        examples=[{"amounts": "major", "rules": [{"read": "order", "order_id": "/id", "total": "/total"}]}],
    )


def refuse_foreign(settings: SourceSettings, platform: str) -> None:
    """Raises Invalid naming every setting that this platform does not read."""
    foreign = [
        FieldError(f"settings.{name}", f"is not a setting of {platform}", "unknown_setting")
        for name in sorted(settings.model_fields_set - platform_of(platform).settings.keys())
    ]
    if foreign:
        raise Invalid("these settings are of another platform", fields=tuple(foreign))


def refuse_unguarded(platform: str, settings: Mapping[str, object], secrets_count: int) -> None:
    """Raises Invalid where nothing would tell the shop's messages from anybody's: a platform that signs, or a preset that demands its token,
    without a secret; and for a preset that does not exist."""
    found = platform_of(platform)
    reason = found.secret_reason(settings)
    if found.is_signed:
        reason = f"a source of {platform} needs the secret that signs its messages"
    if reason is not None and not secrets_count:
        raise Invalid.field("secrets", reason, code="required")
    refuse_unknown_preset(platform, settings)


def refuse_unknown_preset(platform: str, settings: Mapping[str, object]) -> None:
    """Raises Invalid for a preset that the platform does not have."""
    presets = platform_of(platform).presets
    preset = settings.get("preset")
    if preset is not None and preset not in presets:
        raise Invalid.field("settings.preset", f"is none of {', '.join(presets)}", code="unknown_preset")
