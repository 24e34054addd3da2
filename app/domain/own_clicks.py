"""Clicks of the brand's own people: known by the networks they work from, or by a cookie that they asked for on a signed page.

The cookie of a brand names the brand and nobody else: every browser of its people has the same one. Its value, which is also the token of the
page's address, is a keyed hash of the brand, so that neither can be made up.
"""

import hmac
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from uuid import UUID

from app.domain import ids
from app.domain.hostnames import strip_invisible

OWN_CLICKS = "own_clicks"
"""Purpose of the key, derived from the service's secret, that marks are made with."""

NETWORKS_MAX = 50
"""Largest number of own networks of a brand."""
PREFIX_MIN_BITS = {4: 16, 6: 32}
"""Shortest prefix of a network by version of IP: with a shorter one a brand would leave out whole countries by mistake."""
COOKIE = b"ariane_own_"
"""Beginning of the cookie's name; the brand's id without dashes follows."""
MARK_CHARS = 32

Network = IPv4Network | IPv6Network
Networks = tuple[Network, ...]


def check_network(text: str) -> str:
    """An address or a network (CIDR) in its one spelling. Raises ValueError with one sentence."""
    try:
        network = ip_network(strip_invisible(text), strict=False)
    except ValueError:
        raise ValueError("is neither an address such as 203.0.113.7 nor a network such as 203.0.113.0/24") from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None and network.prefixlen >= 96:
        network = ip_network((int(network.network_address.ipv4_mapped), network.prefixlen - 96))
    least = PREFIX_MIN_BITS[network.version]
    if network.prefixlen < least:
        raise ValueError(f"is too wide a network; at least /{least} is needed")
    return str(network)


@lru_cache(maxsize=256)
def read_networks(texts: tuple[str, ...]) -> Networks:
    """Networks that `check_network` has spelt."""
    return tuple(map(ip_network, texts))


@lru_cache(maxsize=4_096)
def is_among(address: str, networks: Networks) -> bool:
    """Whether an address is in one of the networks; never, when it is none."""
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address.strip().partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)


def own_mark(key: bytes, brand_id: str) -> str:
    """The value of the brand's cookie. key: derived for OWN_CLICKS. brand_id: 36 characters."""
    return hmac.digest(key, brand_id.encode(), "sha256").hex()[:MARK_CHARS]


def own_token(key: bytes, brand_id: UUID) -> str:
    """The last part of the address of the brand's page."""
    return f"{ids.show('brand', brand_id)}.{own_mark(key, str(brand_id))}"


def read_token(key: bytes, token: str) -> str | None:
    """The brand (36 characters) that a token was made for; None for any other text."""
    shown, _, mark = token.partition(".")
    try:
        brand_id = str(ids.read("brand", shown))
    except ValueError:
        return None
    return brand_id if hmac.compare_digest(mark.encode(errors="replace"), own_mark(key, brand_id).encode()) else None


def cookie_name(brand_id: str) -> bytes:
    """The name of the brand's cookie. brand_id: 36 characters."""
    return COOKIE + brand_id.replace("-", "").encode()


def has_cookie(header: bytes, name: bytes, mark: str) -> bool:
    """Whether a Cookie header holds this cookie with this value."""
    for part in header.split(b";"):
        found, _, value = part.strip().partition(b"=")
        if found == name and hmac.compare_digest(value.strip(b'"'), mark.encode()):
            return True
    return False
