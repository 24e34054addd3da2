"""All checkouts that are simulated: those of the demo's shops, and every way of connecting a shop that a test or the bench wants."""

from collections.abc import Mapping
from functools import partial

from demo.simulator import (
    generic,
    lemonsqueezy,
    medusa,
    paddle,
    polar,
    postback,
    prestashop,
    saleor,
    shopify,
    shopware,
    stripe,
    vendure,
    woocommerce,
)
from demo.simulator.orders import Checkout, Shop

SHOPS: tuple[Shop, ...] = (
    shopify.SHOP,
    woocommerce.SHOP,
    stripe.SHOP,
    paddle.SHOP,
    prestashop.SHOP,
    generic.SHOP,
    *postback.SHOPS,
)


def _postback(network: str, settings: Mapping[str, str]) -> Checkout:
    return Checkout(network, "postback", partial(postback.sign, network), partial(postback.sale, network), settings)


CHECKOUTS: Mapping[str, Checkout] = {
    each.name: each
    for each in (
        Checkout("shopify", "shopify", shopify.sign, shopify.sale),
        Checkout("woocommerce", "woocommerce", woocommerce.sign, woocommerce.sale),
        Checkout("stripe", "stripe", stripe.sign, stripe.sale),
        Checkout("generic", "generic", generic.sign, generic.sale),
        Checkout("standard", "generic", generic.sign_standard, generic.sale),
        Checkout("lemonsqueezy", "generic", lemonsqueezy.sign, lemonsqueezy.sale, {"preset": "lemonsqueezy"}),
        Checkout("paddle", "generic", paddle.sign, paddle.sale, {"preset": "paddle"}),
        Checkout("polar", "generic", polar.sign, polar.sale, {"preset": "polar"}),
        Checkout("prestashop", "generic", prestashop.sign, prestashop.sale, {"preset": "prestashop"}),
        Checkout("saleor", "generic", saleor.sign, saleor.sale, {"preset": "saleor"}),
        Checkout("shopware", "generic", shopware.sign, shopware.sale, {"preset": "shopware"}),
        Checkout("medusa", "generic", medusa.sign, medusa.sale, {"preset": "medusa"}),
        Checkout("vendure", "generic", vendure.sign, vendure.sale, {"preset": "vendure"}),
        _postback("postback", {}),
        _postback("awin", {"preset": "awin"}),
        _postback("everflow", {"preset": "everflow"}),
    )
}
"""By name. `generic` and `standard` send the same bodies under different signatures."""
