"""Addresses that a brand gives: how they are checked, what is said of what was mended in them, and that none leads back to this service."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import urlsplit

from fastapi import Depends, Request
from pydantic import AfterValidator, BaseModel, Field, PrivateAttr, model_validator
from pydantic_core.core_schema import ValidatorFunctionWrapHandler
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.api.fields import Given
from app.api.http import Settings
from app.database.tables import host
from app.domain.destinations import DESTINATION_MAX_CHARS, check_destination, mend_destination
from app.domain.hostnames import find_host
from app.settings import Settings as AllSettings

LOOP = "leads back to this service; give the page the shopper shall see"
DEFAULT_PORTS = frozenset({80, 443})

DestinationUrl = Annotated[
    str,
    AfterValidator(check_destination),
    Field(
        description=f"http or https, with a host, without credentials; at most {DESTINATION_MAX_CHARS} characters. Click ids of others (`fbclid`, "
        "`gclid`, …) are taken out and `&amp;` between parameters is decoded: `notes` says so.",
        examples=["https://shop.example/new"],
    ),
]


class Note(BaseModel):
    """Something that was mended in what was sent."""

    field: str = Field(examples=["destination_url"])
    code: str = Field(examples=["click_ids_removed"])
    detail: str = Field(examples=["taken out, because every visitor would bring them: fbclid"])


class GivesAddresses(Given):
    """Base of bodies with addresses: keeps what was mended in them. ADDRESSES: names of their fields."""

    ADDRESSES: ClassVar[tuple[str, ...]] = ("destination_url",)
    _notes: list[Note] = PrivateAttr(default_factory=list)

    @model_validator(mode="wrap")
    @classmethod
    def _note(cls, data: Any, handler: ValidatorFunctionWrapHandler) -> Self:
        made: Self = handler(data)
        if isinstance(data, dict):
            made._notes = [
                note
                for name in cls.ADDRESSES
                if isinstance(data.get(name), str)
                for note in _notes_on(name, data[name])
            ]
        return made

    @property
    def notes(self) -> list[Note]:
        """What was mended in the body's addresses."""
        return self._notes


def _notes_on(field: str, url: str) -> list[Note]:
    mended = mend_destination(url)
    notes = []
    if mended.entities_decoded:
        detail = "&amp; between parameters was read as &, which it stands for in the source of a page"
        notes.append(Note(field=field, code="entities_decoded", detail=detail))
    if mended.removed:
        detail = f"taken out, because every visitor would bring them: {', '.join(mended.removed)}"
        notes.append(Note(field=field, code="click_ids_removed", detail=detail))
    return notes


@dataclass(frozen=True, slots=True)
class OwnPlaces:
    """Where this service answers, beside the hosts of its brands. listens_on: the port that it has on its own machine."""

    places: frozenset[tuple[str, int]]
    listens_on: int

    def has(self, place: tuple[str, int]) -> bool:
        """Whether an address at this host and port is one of this service."""
        name, port = place
        return place in self.places or (port == self.listens_on and _is_this_machine(name))


def own_places(settings: AllSettings, *names: str) -> OwnPlaces:
    """The places of the service by its settings, and under these further names (`go.example`, `go.example:8080`)."""
    further = [each.strip() for each in settings.other_names.split(",") if each.strip()]
    addresses = [settings.base_url, *(f"https://{name}" for name in (*names, *further) if name)]
    return OwnPlaces(frozenset(map(_place, addresses)), settings.port)


async def _own_places(request: Request, settings: Settings) -> OwnPlaces:
    # The name that this very request came by is one of ours, whatever the settings say.
    return own_places(settings, request.headers.get("host", ""))


Places = Annotated[OwnPlaces, Depends(_own_places)]


async def find_loops(connection: AsyncConnection, urls: Sequence[str], own: OwnPlaces) -> list[int]:
    """Indexes of addresses (checked ones) at this service itself, by any name of its own or on a host of any brand: a click would never arrive."""
    places = [_place(url) for url in urls]
    # Hosts of other brands too: this is a lookup table, and only names are read.
    query = select(host.c.host).where(host.c.host.in_({place[0] for place in places}), host.c.archived_at.is_(None))
    hosts = set((await connection.execute(query)).scalars())
    # A host of a brand answers on whatever port its proxy listens to; one of ours may have a shop beside it on another port.
    return [index for index, place in enumerate(places) if place[0] in hosts or own.has(place)]


def _place(url: str) -> tuple[str, int]:
    """Host and port of an address, however it is spelt; the ports of http and https are one, as the one leads to the other."""
    try:
        parts = urlsplit(url)
        name, port = find_host(parts.hostname or ""), parts.port or 443
    except ValueError:
        return "", 0
    return name, 443 if port in DEFAULT_PORTS else port


def _is_this_machine(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name.strip("[]"))
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified
