"""Generic: any checkout that signs what it sends, read in the API's own words, through a preset or through a mapping of its own."""

from app.platforms.generic import signature
from app.platforms.kit.platform import Platform
from app.platforms.presets import PRESETS, SHOP_SYSTEMS

PLATFORM = Platform(
    name="generic",
    title="Generic",
    verify=signature.verify,
    kept_headers=signature.KEPT_HEADERS,
    named_headers=signature.named_headers,
    timestamps=signature.timestamps,
    is_shop_system=lambda settings: settings.get("preset") in SHOP_SYSTEMS,
    site_headers=(signature.SITE,),
    settings={
        "preset": f"whose signature and messages it has, one of {', '.join(sorted(PRESETS))}.",
        "signature": "how it signs. Without it, `X-Ariane-Signature` or Standard Webhooks.",
        "mapping": "where in its messages an order or a refund stands. Tried on `sample` before it is kept.",
    },
    presets=PRESETS,
)
