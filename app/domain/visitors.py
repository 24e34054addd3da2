"""Visitors without their identity: the parts of an address, a browser and a referrer that the redirect keeps.

Pure, and quick to import for the public doors. User agents are interpreted later, from the spool (browsers.py).
"""

import hashlib
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from struct import Struct
from urllib.parse import urlsplit

IPV4_KEPT_BITS = 24
IPV6_KEPT_BITS = 48
IPV6_OWN_BITS = 64
"""Leading bits of an IPv6 address that a line or a phone has to itself."""
DAY_MS = 86_400_000
_unpack = Struct(">Q").unpack
HOST_MAX_CHARS = 253


@lru_cache(maxsize=8_192)
def split_address(address: str) -> tuple[str, str]:
    """What is kept of an address, and what tells its owner from others for the length of a request: `("203.0.113.0", "203.0.113.7")`.

    The network is kept: IPv4 /24, IPv6 /48. The owner has the whole of an IPv4 address, or the /64 of an IPv6 one: a line at home or a phone has a /64
    of its own, within which it changes its address by the hour. ('', '') for a text that is no address. An IPv4 address written as IPv6
    (`::ffff:203.0.113.7`) is an IPv4 address; a zone (`%eth0`) is dropped.
    """
    try:
        parsed = ip_address(address.strip().partition("%")[0])
    except ValueError:
        return "", ""
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    kept, own = (IPV4_KEPT_BITS, 32) if parsed.version == 4 else (IPV6_KEPT_BITS, IPV6_OWN_BITS)
    network, owner = (str(ip_network((parsed, bits), strict=False).network_address) for bits in (kept, own))
    return network, owner


def truncate_address(address: str) -> str:
    """The network of an address, as `split_address` gives it."""
    return split_address(address)[0]


def visitors_of_day(key: bytes, brand_id: str, at_ms: int) -> hashlib.blake2b:
    """The part of a visitor's hash that a brand's clicks of a UTC day have in common: more than half of its cost. key: at most 64 bytes.

    The day is part of it so that nobody can be followed from one day to the next, the brand so that nobody can be followed from one brand
    to another; unique clicks are counted per UTC day, so nothing is lost by it.
    """
    return hashlib.blake2b(f"{brand_id}\n{at_ms // DAY_MS}\n".encode(), digest_size=8, key=key)


def visitor_of(day: hashlib.blake2b, owner: str, user_agent: str) -> int:
    """A positive 63-bit number: the same for one browser at one address on that day of the brand, and meaningless without the key.

    owner: of the address, as `split_address` gives it.
    """
    hashed = day.copy()
    hashed.update(owner.encode() + b"\n" + _digest(user_agent))
    number: int = _unpack(hashed.digest())[0]
    return number >> 1


@lru_cache(maxsize=4_096)
def _digest(user_agent: str) -> bytes:
    # Most clicks come from a few hundred browsers, and their names are long: each is hashed once.
    # `surrogatepass`: a header may hold any bytes, and a lone surrogate must not cost the click.
    return hashlib.blake2b(user_agent.encode(errors="surrogatepass"), digest_size=16).digest()


@lru_cache(maxsize=4_096)
def referrer_host(referrer: str) -> str:
    """The host of a Referer header in lower case, without `www.`; an Android app's package for `android-app://…`. '' when there is none.

    Only the host is kept: a path may name a person.
    """
    if not referrer.startswith(("http://", "https://", "android-app://")):
        return ""
    try:
        host = urlsplit(referrer).hostname or ""
    except ValueError:
        return ""
    host = host.removeprefix("www.")
    # Anything that is no host name is noise, and may hold characters that PostgreSQL refuses.
    if len(host) > HOST_MAX_CHARS or not all(character.isalnum() or character in ".-_:" for character in host):
        return ""
    return host
