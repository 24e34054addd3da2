"""Whether a host belongs to a brand: who decides about a name can write its DNS, or a file where the name leads today.

The proof is derived from the service's key, the brand and the host, so nothing is stored or reserved while it is missing: a claim that nobody proves
binds nobody, and nothing of it is left to expire. A file proves only as long as the name leads to another web server: this service serves no file
under `/.well-known`, whatever a brand does.
"""

import asyncio
import hmac
from dataclasses import dataclass
from uuid import UUID

from app.outgoing.guard import FetchFailed, Guard
from app.outgoing.names import LookUpFailed, Names
from app.settings import Settings

PURPOSE = "host proof"
"""What the key is derived for (`secret.derive`)."""
LABEL = "_ariane"
FILES = ("https://{host}/.well-known/ariane-host.txt", "http://{host}/.well-known/ariane-host.txt")
AT_ONCE = 8
"""Proofs that one process looks up at a time: a name may be slow to look up."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What has to be found: `value` as a TXT record of `dns_name`, or as the content of one of `file_urls`."""

    value: str
    dns_name: str
    file_urls: tuple[str, ...]


class HostProofs:
    """Says what proves a host, and looks it up. key: derived for PURPOSE."""

    def __init__(self, settings: Settings, key: bytes) -> None:
        self._key = key
        self._names = Names(settings)
        self._guard = Guard(self._names, settings.outgoing_networks)
        self._looking = asyncio.Semaphore(AT_ONCE)

    def proof_of(self, brand_id: UUID, host: str) -> Proof:
        """What proves that this host is this brand's."""
        digest = hmac.digest(self._key, f"{brand_id}/{host}".encode(), "sha256").hex()[:40]
        return Proof(f"ariane-host={digest}", f"{LABEL}.{host}", tuple(file.format(host=host) for file in FILES))

    async def what_is_missing(self, proof: Proof) -> list[str]:
        """Why the proof is not there, a sentence for each place; empty when it was found in one."""
        async with self._looking:
            found = await asyncio.gather(self._in_dns(proof), *(self._in_file(proof, url) for url in proof.file_urls))
        reasons = [reason for reason in found if reason is not None]
        return [] if len(reasons) < len(found) else reasons

    async def _in_dns(self, proof: Proof) -> str | None:
        try:
            texts = await self._names.texts(proof.dns_name)
        except LookUpFailed as error:
            return str(error)
        if any(hmac.compare_digest(text.strip().encode(), proof.value.encode()) for text in texts):
            return None
        return f"no TXT record of {proof.dns_name} says {proof.value}"

    async def _in_file(self, proof: Proof, url: str) -> str | None:
        try:
            status, body = await self._guard.get(url)
        except FetchFailed as error:
            return str(error)
        if status == 200 and hmac.compare_digest(body.strip(), proof.value.encode()):
            return None
        return f"{url} answers {status}" if status != 200 else f"{url} says something else"
