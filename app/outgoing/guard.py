"""Fetches addresses that users name, from public addresses alone.

Whoever may name an address could otherwise have the service ask the machines beside it: a cloud's metadata, a database without a password, a router
(server-side request forgery). A check before the request is not enough, as a name may lead elsewhere a moment later: the address is looked up once,
checked, and that very address is connected to. Redirects are not followed, and the environment's proxies not used.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import httpcore2

from app.outgoing.names import LookUpFailed, Names

FETCH_MAX_S = 5.0
BODY_MAX_BYTES = 64 << 10
_NAT64 = IPv6Network("64:ff9b::/96")

Address = IPv4Address | IPv6Address


class FetchFailed(Exception):
    """Nothing was fetched; the text says why, for whoever named the address."""


class Guard:
    """Fetches over public addresses. allowed: networks (CIDR, comma separated) that may be asked although they are not public."""

    def __init__(self, names: Names, allowed: str = "") -> None:
        self._names = names
        self._allowed = tuple(ip_network(part.strip()) for part in allowed.split(",") if part.strip())

    def may_ask(self, address: Address) -> bool:
        """Whether a connection to this address is allowed."""
        return is_public(address) or any(address.version == each.version and address in each for each in self._allowed)

    async def addresses(self, host: str) -> list[str]:
        """The addresses of a host, all of them checked. Raises FetchFailed, also if only one of them is not public."""
        try:
            found = [ip_address(host.strip("[]"))]
        except ValueError:
            try:
                found = list(map(ip_address, await self._names.addresses(host)))
            except LookUpFailed as error:
                raise FetchFailed(str(error)) from None
        for address in found:
            if not self.may_ask(address):
                raise FetchFailed(f"{host} leads to {address}, which is no public address")
        return list(map(str, found))

    async def get(self, url: str) -> tuple[int, bytes]:
        """Status and the first BODY_MAX_BYTES of a body. Raises FetchFailed; at the latest after FETCH_MAX_S."""
        try:
            async with (
                asyncio.timeout(FETCH_MAX_S),
                httpcore2.AsyncConnectionPool(network_backend=_Checked(self)) as pool,
            ):
                async with pool.stream("GET", url, headers={"Accept": "*/*", "User-Agent": "Ariane"}) as answer:
                    body = b""
                    async for part in answer.aiter_stream():
                        body += part
                        if len(body) >= BODY_MAX_BYTES:
                            break
                    return answer.status, body[:BODY_MAX_BYTES]
        except TimeoutError:
            raise FetchFailed(f"{url} did not answer within {FETCH_MAX_S:.0f} s") from None
        except (
            OSError,
            ssl.SSLError,
            httpcore2.NetworkError,
            httpcore2.ProtocolError,
            httpcore2.UnsupportedProtocol,
        ) as error:
            raise FetchFailed(f"{url} cannot be reached: {error or type(error).__name__}") from None


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, also one that carries an IPv4 address within."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


class _Checked(httpcore2.AsyncNetworkBackend):
    """Connects to the addresses that were checked, and to no name."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._plain = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failed: Exception | None = None
        for address in await self._guard.addresses(host):
            try:
                return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (OSError, httpcore2.ConnectError, socket.gaierror) as error:
                failed = error
        raise FetchFailed(f"{host} takes no connection on port {port}: {failed}")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
