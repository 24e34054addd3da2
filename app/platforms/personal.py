"""What is personal in a message of each platform: the fields in its `personal.toml`, and those that a source's settings name."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from msgspec import UNSET

from app.domain.personal_data import EACH, NO_FIELDS, Blotter, PersonalFields, load_fields
from app.platforms.generic import pointers
from app.platforms.generic.mapping import Mapping as Table
from app.platforms.generic.mapping import (
    RefundFields,
    all_places,
    given_fields,
    groups,
    places,
    read_mapping,
)
from app.platforms.generic.mapping import (
    fields_of as mapped_fields,
)
from app.platforms.generic.signature import NAMED
from app.platforms.presets import resolve
from app.platforms.registry import MAPPED, PLATFORMS, platform_of
from app.platforms.signing import set_up

BLOTTERS_MAX = 1_024
"""Sources whose blotter is kept; beyond it the least recently used is made again."""
CUSTOMER = {"customer_id": "ids", "customer_email": "emails"}
"""Fields of a mapping that name the customer, and what is done there."""


@dataclass(frozen=True, slots=True)
class Personal:
    """How the messages of one source are blotted. pointers: places that its mapping reads, beside the customer's."""

    blotter: Blotter
    pointers: tuple[str, ...] = ()

    def texts_at(self, document: object, headers: Mapping[str, str]) -> frozenset[str]:
        """The texts that the mapping reads in a message."""
        found: set[str] = set()
        for pointer in self.pointers:
            try:
                values = pointers.find(document, headers, pointer)
            except ValueError:
                continue
            found.update(str(value).strip() for value in values if not isinstance(value, dict | list))
        return frozenset(found)


def load() -> None:
    """Reads the fields of all platforms now. At first use they could already be those of another release, installed under a running process."""
    of_pixel()
    for name in PLATFORMS:
        fields_of(name)


@cache
def of_pixel() -> Personal:
    """How hits of the pixel and the beacon are blotted."""
    return Personal(Blotter(load_fields(_table(Path(__file__).with_name("pixel_personal.toml")))))


@lru_cache(maxsize=BLOTTERS_MAX)
def of_source(platform: str, settings: str) -> Personal:
    """How messages of a source of this platform are blotted; settings: as JSON text."""
    names = sorted(platform_of(platform).customer_names())
    if names:
        return Personal(Blotter(fields_of(platform), paths=[("customers", [name]) for name in names], folded=True))
    table = _mapping(settings) if platform == MAPPED.name else None
    if table is None:
        own = [("ids", ["customer", "id"]), ("emails", ["customer", "email"])] if platform == MAPPED.name else []
        return Personal(Blotter(fields_of(platform), paths=own))
    named = list(_pointers(table))
    read = tuple(dict.fromkeys(pointer for name, pointer in named if name not in CUSTOMER))
    paths = [(CUSTOMER[name], _steps(at)) for name, at in named if name in CUSTOMER and at not in read]
    return Personal(Blotter(fields_of(platform), paths=paths), read)


@cache
def fields_of(platform: str) -> PersonalFields:
    """The fields of a platform; none for one that this release does not know."""
    if platform not in PLATFORMS:
        return NO_FIELDS
    return load_fields(_table(Path(__file__).parent / platform / "personal.toml"))


def _table(path: Path) -> Mapping[str, object]:
    return tomllib.loads(path.read_text("utf-8"))


def _mapping(settings: str) -> Table | None:
    given = resolve(set_up(MAPPED.name, settings).settings).get("mapping")
    if given is None:
        return None
    try:
        return read_mapping(given)
    except ValueError:
        return None  # Its messages are rejected, and stay whole.


def _pointers(table: Table) -> Iterator[tuple[str, str]]:
    """Every place that a mapping reads, with the field's name; those within lines and refunds from the top of the body."""
    if table.topic is not UNSET:
        yield from (("topic", each) for each in all_places(table.topic))
    start = "" if table.each is UNSET else table.each
    for rule in table.rules:
        conditions = list(rule.when)
        if rule.origin is not UNSET:
            conditions += (each for _, several in given_fields(rule.origin) for each in several)
        named = [("when", "", each) for condition in conditions for each in places(condition)]
        named += [(name, "", each) for name, field in mapped_fields(rule) for each in all_places(field)]
        for _, group, at in groups(rule):
            if isinstance(group, RefundFields):
                named += [("when", at, each) for condition in group.when for each in places(condition)]
            named += [(name, at, each) for name, field in mapped_fields(group) for each in all_places(field)]
        for name, at, place in named:
            yield name, pointers.within(start, pointers.within(at, place)).removeprefix(pointers.TOP)


def _steps(pointer: str) -> list[str]:
    if pointer.startswith(NAMED):
        return [pointer.lower()]
    positions = (pointers.POSITION, pointers.CHOSEN)
    return [EACH if any(each.fullmatch(token) for each in positions) else token for token in pointers.tokens(pointer)]
