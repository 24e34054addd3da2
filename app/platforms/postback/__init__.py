"""Postbacks: an affiliate network, a click tracker or a shop's own template calls one address per sale, with the order in its parameters."""

from collections.abc import Mapping

from app.platforms.kit.platform import Platform, StoredSettings
from app.platforms.postback import signature


def _presets() -> "Mapping[str, object]":
    # Imported when the API asks: the tables of the networks are not needed at the door.
    from app.platforms.postback.presets import PRESETS

    return PRESETS


def _secret_reason(settings: StoredSettings) -> str | None:
    from app.platforms.postback.presets import preset_of

    preset = preset_of(settings)
    if preset is None or not preset.demands_token:
        return None
    return f"{preset.title} postbacks need the {preset.token} that they carry"


def _guide_values(settings: StoredSettings) -> Mapping[str, str]:
    from app.platforms.postback.presets import preset_of

    preset = preset_of(settings)
    return {"template": "" if preset is None else preset.template}


PLATFORM = Platform(
    name="postback",
    title="Postback",
    verify=signature.verify,
    kept_headers=signature.KEPT_HEADERS,
    by_query=True,
    conceal=signature.conceal,
    forget=signature.forget,
    is_signed=False,
    # Networks report only the orders that are theirs.
    reports_every_order=False,
    settings={"preset": "whose parameter names it uses; `ariane` by default."},
    preset_example="awin",
    presets=_presets,
    secret_reason=_secret_reason,
    guide_values=_guide_values,
)
