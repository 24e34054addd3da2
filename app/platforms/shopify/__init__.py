"""Shopify: order and refund webhooks, signed with the shop's or app's secret."""

from app.platforms.kit.platform import Platform
from app.platforms.shopify import signature

PLATFORM = Platform(
    name="shopify",
    title="Shopify",
    verify=signature.verify,
    kept_headers=signature.KEPT_HEADERS,
    timestamps=signature.timestamps,
    is_shop_system=lambda settings: True,
    site_headers=("x-shopify-shop-domain", "shopify-shop-domain"),
    settings={"taxes_included": "prices contain tax. It says so on orders, not on all refunds."},
)
