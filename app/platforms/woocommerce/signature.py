"""WooCommerce: `X-WC-Webhook-Signature: <base64>`, HMAC-SHA256 of the body; and its ping, which nobody signs.

The key is the secret after `wp_specialchars_decode(…, ENT_QUOTES)`: WordPress may have stored `<` as `&lt;`, and signs with `<` all the same. Our
list may hold either spelling, as it was typed into the shop or copied from its page or database, so both are tried. One pass, and only the
entities that WordPress decodes: a whole HTML decoder would make other secrets out of `&copy` and `&eacute;`.
"""

import re
from collections.abc import Mapping

from app.platforms.kit.digests import verifier

SIGNATURE = "x-wc-webhook-signature"
KEPT_HEADERS = frozenset(
    f"x-wc-webhook-{name}" for name in ("signature", "topic", "resource", "event", "source", "id", "delivery-id")
) | {"content-type"}

verify = verifier(SIGNATURE, spellings=lambda secret: dict.fromkeys((secret, decode_entities(secret))))

_PING = re.compile(rb"webhook_id=\d{1,20}")
_ENTITY = re.compile(
    r"&(?:(?P<amp>amp|#0*38|#[xX]0*26)|(?P<lt>lt|#0*60|#[xX]0*3[cC])|(?P<gt>gt|#0*62|#[xX]0*3[eE])"
    r"|(?P<double>quot|#0*34|#[xX]0*22)|(?P<single>#0*39|#[xX]0*27));"
)
_CHARACTERS = {"amp": "&", "lt": "<", "gt": ">", "double": '"', "single": "'"}


def is_ping(body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether this is what WooCommerce sends when a webhook is made or switched on: `webhook_id=42` and nothing else, without a signature."""
    return not headers.get(SIGNATURE) and _PING.fullmatch(body) is not None


def decode_entities(text: str) -> str:
    """The stored secret as WordPress decodes it before signing."""
    return _ENTITY.sub(lambda found: _CHARACTERS[str(found.lastgroup)], text)
