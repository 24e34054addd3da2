"""The client address of a request: the peer's, or the one a trusted proxy forwards. Other peers' X-Forwarded-For is ignored."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

FORWARDED_MAX = 32
"""Largest number of X-Forwarded-For entries read, from the right."""


class Proxies:
    """The networks of ARIANE_TRUSTED_PROXIES (CIDR, comma separated); none by default."""

    def __init__(self, trusted: str) -> None:
        self._networks = tuple(ip_network(part.strip()) for part in trusted.split(",") if part.strip())
        self._trusts = lru_cache(maxsize=4_096)(self._look_up)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def client(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The first address from the right that is not a trusted proxy, beginning with `peer`.

        Visitors can send any leftmost entry: it counts only if every hop to its right is trusted. An entry that is not an address ends the
        walk at the proxy that forwarded it.
        """
        if not self._trusts(peer):
            return peer
        forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for").decode("latin-1")
        client = peer
        for entry in reversed(forwarded.split(",")[-FORWARDED_MAX:]):
            address = _read(entry)
            if address is None:
                break
            client = str(address)
            if not self._trusts(client):
                break
        return client

    def _look_up(self, address: str) -> bool:
        parsed = _read(address)
        return parsed is not None and any(
            parsed.version == network.version and parsed in network for network in self._networks
        )


def _read(entry: str) -> IPv4Address | IPv6Address | None:
    """`203.0.113.7`, `203.0.113.7:5678`, `2001:db8::1` or `[2001:db8::1]:5678`; an IPv4 address written as IPv6 is an IPv4 address."""
    text = entry.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
