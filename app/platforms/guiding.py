"""How each platform is connected. To add one: a guide.py in its folder, its line here, its page under docs/connect/."""

from collections.abc import Callable, Mapping

from app.platforms.generic import guide as generic
from app.platforms.kit.guide import Connection, Guide
from app.platforms.postback import guide as postback
from app.platforms.shopify import guide as shopify
from app.platforms.stripe import guide as stripe
from app.platforms.woocommerce import guide as woocommerce

GUIDES: Mapping[str, Callable[[Connection], Guide]] = {
    "generic": generic.guide,
    "postback": postback.guide,
    "shopify": shopify.guide,
    "stripe": stripe.guide,
    "woocommerce": woocommerce.guide,
}


def guide(platform: str, connection: Connection) -> Guide | None:
    """The guide of a platform with the brand's own values in it; None where nobody has written one."""
    found = GUIDES.get(platform)
    return None if found is None else found(connection)
