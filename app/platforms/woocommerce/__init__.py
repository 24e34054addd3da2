"""WooCommerce: order webhooks, signed with the secret that was typed into each of them."""

from app.platforms.kit.platform import Platform
from app.platforms.woocommerce import signature

PLATFORM = Platform(
    name="woocommerce",
    title="WooCommerce",
    verify=signature.verify,
    kept_headers=signature.KEPT_HEADERS,
    is_ping=signature.is_ping,
    is_shop_system=lambda settings: True,
    site_headers=("x-wc-webhook-source",),
)
