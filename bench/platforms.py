"""The webhook door once for every platform, at a rate that leaves air: what verifying costs beside storing. All of it is recorded afterwards."""

from urllib.parse import urlsplit

from bench import orders, steady
from bench.effort import Effort
from bench.figures import times
from bench.hooks import await_arrival
from bench.servers import Service, ariane
from demo.simulator.checkouts import CHECKOUTS

PER_SECOND = 200
PLATFORMS = {
    "Shopify": "shopify",
    "WooCommerce": "woocommerce",
    "Stripe": "stripe",
    "postback (GET)": "postback",
    "generic, own words": "generic",
    "generic, mapping (Paddle)": "paddle",
}
"""By the name that is printed: the simulated checkout."""


def scene(effort: Effort) -> list[str]:
    """A line a platform."""
    with ariane() as service:
        service.call("POST", "/v1/codes", service.make_pair("Orders") | {"code": "BENCH10"})
        return [_line(service, name, place, effort) for place, name in enumerate(PLATFORMS)]


def _line(service: Service, name: str, place: int, effort: Effort) -> str:
    checkout = CHECKOUTS[PLATFORMS[name]]
    wanted = {
        "platform": checkout.platform,
        "shop": "main",
        "secrets": [orders.SECRET],
        "settings": dict(checkout.settings),
    }
    source = service.call("POST", "/v1/sources", wanted)
    first = (place + 1) * 1_000_000
    messages = [orders.first_report(checkout.name, first + each) for each in range(PER_SECOND * effort.door_s)]
    with service.share() as share:
        seen = steady.stream(service.url, urlsplit(source["url"]).path, messages, per_second=PER_SECOND)
    arrived = await_arrival(service, len(messages) - seen.failed)
    size_bytes = len(messages[0].body) or len(messages[0].query)
    web_us = share.seconds["web"] / len(messages) * 1e6
    return (
        f"{name:<26} {PER_SECOND}/s of {size_bytes / 1000:.1f} kB  {times(seen.latencies_ms)}  web {web_us:5.0f} us cpu each"
        f"  not answered 200: {seen.failed}  {arrived.partition(' acknowledged, ')[2]}"
    )
