"""Postbacks: an affiliate network, a click tracker or a shop's own template calls one address per sale, with the order in its parameters."""

from app.platforms.kit.platform import Platform, StoredSettings
from app.platforms.postback import signature
from app.platforms.postback.presets import PRESETS, preset_of


def _secret_reason(settings: StoredSettings) -> str | None:
    preset = preset_of(settings)
    if preset is None or not preset.demands_token:
        return None
    return f"{preset.title} postbacks need the {preset.token} that they carry"


PLATFORM = Platform(
    name="postback",
    title="Postback",
    verify=signature.verify,
    kept_headers=signature.KEPT_HEADERS,
    by_query=True,
    body_max_bytes=signature.BODY_MAX_BYTES,
    conceal=lambda query, headers, body, settings: signature.conceal(query, headers, body),
    forget=signature.forget,
    is_signed=False,
    # Networks report only the orders that are theirs.
    reports_every_order=False,
    settings={"preset": "whose parameter names it uses; `ariane` by default."},
    preset_example="awin",
    presets=PRESETS,
    customer_names=lambda: {name for preset in PRESETS.values() for name in preset.names.get("customer", ())},
    secret_reason=_secret_reason,
    guide_values=lambda settings: {"template": preset.template if (preset := preset_of(settings)) else ""},
)
