"""How each platform is connected. To add one: a guide under app/domain/guides/, its line here, its page under docs/connect/."""

from collections.abc import Callable, Mapping

from app.domain.guides import generic, postback, shopify, stripe, woocommerce
from app.domain.guides.parts import Connection, Guide

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
