"""The client address of a request: the peer's, or the one a trusted proxy forwards. Other peers' X-Forwarded-For is ignored, and noticed."""

import logging
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

FORWARDED_MAX = 32
"""Largest number of X-Forwarded-For entries read, from the right."""


NOTICED_AFTER_CLICKS = 20
"""Clicks in a row through one peer, for several clients, after which it is taken for a proxy."""

log = logging.getLogger("ariane.doors")


class UntrustedProxy:
    """Notices that the service stands behind a proxy that it was not told of: all visitors would be one, from one address, in one country.

    peer: the proxy's address, '' as long as nothing speaks for one. A visitor can forge the header, but not that everybody comes from one address.
    """

    def __init__(self) -> None:
        self.peer = ""
        self.in_a_row = 0
        self._last = self._first = ""
        self._clients_differ = False
        self._logged = False

    def forwarded(self, peer: str, client: bytes) -> None:
        """A click by this peer, which is not trusted, with this X-Forwarded-For."""
        shown = client.decode("latin-1")
        if peer != self._last or not self.in_a_row:
            self.direct()
            self._last, self._first, self._clients_differ = peer, shown, False
        self.in_a_row += 1
        self._clients_differ = self._clients_differ or shown != self._first
        if self.in_a_row >= NOTICED_AFTER_CLICKS and self._clients_differ and not self.peer:
            self.peer = peer
            if not self._logged:
                self._logged = True
                log.warning(
                    "every click comes from %s, with an X-Forwarded-For that is ignored: all visitors count as one. If it is your proxy, add it to"
                    " ARIANE_TRUSTED_PROXIES and start again (docs/proxies.md)",
                    peer,
                )

    def direct(self) -> None:
        """A click that is another's, or forwards nobody: what was noticed no longer holds."""
        self.in_a_row, self.peer = 0, ""


class Proxies:
    """The networks of ARIANE_TRUSTED_PROXIES (CIDR, comma separated); none by default."""

    def __init__(self, trusted: str) -> None:
        self.untrusted = UntrustedProxy()
        self._networks = tuple(ip_network(part.strip()) for part in trusted.split(",") if part.strip())
        self.trusts = lru_cache(maxsize=4_096)(self._look_up)
        """Whether an address is a trusted proxy's."""

    def __bool__(self) -> bool:
        return bool(self._networks)

    def client(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The first address from the right that is not a trusted proxy, beginning with `peer`.

        Visitors can send any leftmost entry: it counts only if every hop to its right is trusted. An entry that is not an address ends the
        walk at the proxy that forwarded it.
        """
        if not self.trusts(peer):
            return peer
        forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for").decode("latin-1")
        client = peer
        for entry in reversed(forwarded.split(",")[-FORWARDED_MAX:]):
            address = _read(entry)
            if address is None:
                break
            client = str(address)
            if not self.trusts(client):
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
