"""Generic: any checkout that signs what it sends, read in the API's own words, through a preset or through a mapping of its own."""

from collections.abc import Mapping

from app.platforms.generic import signature
from app.platforms.kit.platform import Platform, StoredSettings
from app.platforms.presets import PRESETS, SHOP_SYSTEMS


def _guide_values(settings: StoredSettings) -> Mapping[str, str]:
    # Imported when a guide is asked for: the doors answer without what reads and writes messages.
    from app.platforms.generic.by_hand import guide_values

    return guide_values(settings)


PLATFORM = Platform(
    name="generic",
    title="Generic",
    verify=signature.verify,
    kept_headers=signature.KEPT_HEADERS,
    named_headers=signature.named_headers,
    conceal=signature.conceal,
    timestamps=signature.timestamps,
    is_shop_system=lambda settings: settings.get("preset") in SHOP_SYSTEMS,
    site_headers=(signature.SITE,),
    settings={
        "preset": f"whose signature and messages it has, one of {', '.join(sorted(PRESETS))}.",
        "signature": "how it signs. Without it, `X-Ariane-Signature` or Standard Webhooks.",
        "mapping": "where in its messages an order or a refund stands. Tried on `sample` before it is kept.",
    },
    presets=PRESETS,
    guide_values=_guide_values,
)
