"""Looks up names of the outside: addresses and TXT records, by the system's DNS servers or the one in `dns_server`."""

from typing import TYPE_CHECKING

from app.settings import Settings, read_place

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

LOOK_UP_MAX_S = 3.0
TEXTS_MAX = 50
"""Largest number of TXT records of a name that are looked at."""


class LookUpFailed(Exception):
    """A name could not be looked up; the text says why."""


class Names:
    """Looks names up; nothing is kept."""

    def __init__(self, settings: Settings) -> None:
        self._server = settings.dns_server

    async def addresses(self, name: str) -> list[str]:
        """The IPv4 and IPv6 addresses of a name, at least one. Raises LookUpFailed."""
        from dns.exception import DNSException

        try:
            found = list((await self._resolver().resolve_name(name, lifetime=LOOK_UP_MAX_S)).addresses())
        except (DNSException, OSError) as error:
            raise LookUpFailed(f"{name} has no address: {_reason(error)}") from None
        if not found:
            raise LookUpFailed(f"{name} has no address")
        return found

    async def texts(self, name: str) -> list[str]:
        """The TXT records of a name, at least one. Raises LookUpFailed."""
        from dns.exception import DNSException

        try:
            answer = await self._resolver().resolve(name, "TXT", lifetime=LOOK_UP_MAX_S, search=False)
        except (DNSException, OSError) as error:
            raise LookUpFailed(f"{name} has no TXT record: {_reason(error)}") from None
        return [b"".join(record.strings).decode("utf-8", "replace") for record in list(answer)[:TEXTS_MAX]]

    def _resolver(self) -> "Resolver":
        from dns.asyncresolver import Resolver

        if not self._server:
            return Resolver()
        host, port = read_place("dns_server", self._server)
        resolver = Resolver(configure=False)
        resolver.nameservers = [host]
        resolver.port = port
        return resolver


def _reason(error: Exception) -> str:
    """The first sentence of an error of the DNS, which may be long."""
    return (str(error) or type(error).__name__).partition(":")[0][:200]
