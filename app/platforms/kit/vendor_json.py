"""Reading the fields of a message; of a vendor's resource, everything may be missing or null and may change its shape."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec

from app.domain import money
from app.domain.orders import CODES_MAX, Context, Customer, OrderLine
from app.domain.placeholders import UNFILLED, Unfilled, unfilled, variable_in
from app.domain.printed import is_rounded
from app.domain.strict_json import TEXT_CHARACTERS_MAX, Unreadable, read_exact, read_json, read_text, read_time

Json = Mapping[str, object]
T = TypeVar("T")

CLICK_NAMES = frozenset({"ariane", "click_id", "clickid", "ariane_click_id"})
VISITOR_NAMES = frozenset({"visitor_id", "ariane_visitor", "ariane_visitor_id"})
"""Names that a shop's page may give click and visitor among an order's attributes, as `named` compares them. The brand's own parameter is added."""
QUERY_FIELDS_MAX = 200
ROUNDED = "amount_rounded"
"""How the note begins that an amount was rounded; the order's flag is called the same."""
NAMES_CACHED = 1_024
"""Names of attributes in the cache of `_plain_name`."""


class Goods(msgspec.Struct, frozen=True):
    """Worth of the goods of an order in minor units; None where the order does not state it.

    tax_minor: of the goods alone. paid_minor: the goods with their tax, where prices include it. other_lines: ids of lines that are no goods.
    """

    items_minor: int | None = None
    discount_minor: int | None = None
    net_minor: int | None = None
    tax_minor: int | None = None
    paid_minor: int | None = None
    estimated: bool = False
    lines: tuple[OrderLine, ...] = ()
    other_lines: frozenset[str] = frozenset()


def read_object(body: bytes, reason: str) -> dict[str, object]:
    """The JSON object of a body. Unreadable: this reason where it is JSON but no object."""
    found = read_json(body)
    if not isinstance(found, dict):
        raise Unreadable(reason, "the body is not a JSON object")
    return found


def read_field(name: str, value: object, read: Callable[[Any], T], reason: str) -> T:
    """The value as `read` understands it. Unreadable with the field's name where it raises ValueError: with this reason, or that of an id in which a
    template variable was left."""
    try:
        return read(value)
    except Unfilled as error:
        raise Unreadable(UNFILLED, f"{name} {error}") from None
    except ValueError as error:
        raise Unreadable(reason, f"{name} {error}") from None


def amount_in(
    name: str,
    value: object,
    currency: str,
    *,
    negative: str,
    notes: list[str],
    declared: money.Decimals = money.NONE_DECLARED,
) -> int:
    """An amount in major units, in minor ones. Unreadable for anything else; `negative` says why it is refused below zero.
    Adds to `notes` where it has more decimals than its currency (`ROUNDED`)."""
    try:
        decimals = money.exponent(currency, declared)
        exact = read_exact(value, currency, decimals)
        minor = money.minor_units(exact, decimals)
    except ValueError as error:
        raise Unreadable("invalid_amount", f"{name}: {str(error)[:120]}") from None
    if minor < 0:
        raise Unreadable("invalid_amount", f"{name} must {negative}")
    if is_rounded(exact, decimals):
        notes.append(f"{ROUNDED}: {name} has more decimals than {currency}")
    return minor


def has_rounded(notes: Iterable[str]) -> bool:
    """Whether an amount was rounded that was stated with more decimals than its currency has."""
    return any(note.startswith(ROUNDED) for note in notes)


def nested(thing: object, *names: str) -> object:
    """The value at the end of a path of names; None where the path breaks off."""
    for name in names:
        thing = thing.get(name) if isinstance(thing, dict) else None
    return thing


def objects(value: object, most: int, name: str) -> list[Json]:
    """The objects of a list; [] for null. What is no object is left out. Unreadable beyond the limit."""
    if not isinstance(value, list) or not value:
        return []
    if len(value) > most:
        raise Unreadable("too_many", f"{name} holds more than {most}")
    return [item for item in value if isinstance(item, dict)]


def text_of(value: object) -> str | None:
    """A text that can be kept; None for anything else, so that a shopper's odd note never costs an order."""
    # Nearly every text is one of these two, and an order has dozens of them.
    if value is None:
        return None
    if type(value) is str:
        text = value.strip()
        if 0 < len(text) <= TEXT_CHARACTERS_MAX and text.isprintable():
            return text
    try:
        return read_text(value)
    except ValueError:
        return None


def moment_of(value: object) -> datetime | None:
    """A time, or None when it is missing or no time."""
    if value is None:
        return None
    try:
        return read_time(value)
    except ValueError:
        return None


def currency_in(value: object, name: str = "currency", declared: money.Decimals = money.NONE_DECLARED) -> str | None:
    """A currency, None when it is missing. Unreadable naming the field when it is no currency."""

    def read(value: object) -> str:
        return money.read_currency(read_text(value, characters_max=10), declared)

    return None if value is None else read_field(name, value, read, "unknown_currency")


def quantity_of(value: object, name: str, index: int | None = None) -> int:
    """A number of pieces, 1 when it is missing. Unreadable for anything but 0 to a million, naming the field by `name` and `index`."""
    if value is None:
        return 1
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1_000_000:
        where = name if index is None else f"{name}.{index}.quantity"
        raise Unreadable("invalid_amount", f"{where} is not a quantity")
    return value


def share(amount: int, part: int, total: int) -> int:
    """amount × part ÷ total, rounded half up; the amount itself when the total is nothing."""
    return amount if total <= 0 else (2 * amount * part + total) // (2 * total)


def named(pairs: Iterable[tuple[object, object]], names: frozenset[str]) -> Iterator[str]:
    """The values of (name, value) pairs that carry one of these names: case, dashes, spaces and leading underscores do not matter.

    A template variable that nobody filled in is no value (`note_unfilled`): the order is the shop system's own, and counts without it.
    """
    for _, text in _named(pairs, names):
        if variable_in(text) is None:
            yield text


def _named(pairs: Iterable[tuple[object, object]], names: frozenset[str]) -> Iterator[tuple[str, str]]:
    for name, value in pairs:
        plain = _plain_name(name) if type(name) is str else ""
        if plain in names and (text := text_of(value)):
            yield plain, text


@lru_cache(maxsize=NAMES_CACHED)
def _plain_name(name: str) -> str:
    # A leading underscore hides an attribute from the shopper.
    return (text_of(name) or "").casefold().lstrip("_").replace("-", "_").replace(" ", "_")


def note_unfilled(
    pairs: Iterable[tuple[object, object]], context: Context, notes: list[str], more: frozenset[str] = frozenset()
) -> None:
    """Notes the clicks, visitors and attributes called one of `more` in whose place a template variable was left."""
    for name, text in _named(pairs, CLICK_NAMES | VISITOR_NAMES | {context.click_param.casefold()} | more):
        left = variable_in(text)
        if left is not None:
            notes.append(f"{name} {unfilled(text, left)}")


def clicks_in_page(page: object, click_param: str) -> list[str]:
    """The click ids in the query of the page a shopper landed on; [] for anything else, such as a path or plain junk."""
    if not isinstance(page, str) or "?" not in page:
        return []
    own = {click_param.casefold(), "ariane"}
    if "%" not in page and "+" not in page:
        # Nothing in it is escaped, so a name of ours could be found as it is.
        folded = page.casefold()
        if not any(name in folded for name in own):
            return []
    try:
        pairs = parse_qsl(urlsplit(page).query, max_num_fields=QUERY_FIELDS_MAX)
    except ValueError:
        return []
    found = (text_of(value) for name, value in pairs if name.casefold() in own)
    return [text for text in found if text and variable_in(text) is None]


def distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    """The texts, each once, at most CODES_MAX."""
    return tuple(dict.fromkeys(value for value in values if value is not None))[:CODES_MAX]


def click_ids_in(pairs: Iterable[tuple[object, object]], pages: Iterable[object], context: Context) -> tuple[str, ...]:
    """The click ids of an order: from its attributes, where the shop's page puts them, then from the pages the shopper landed on."""
    found = list(named(pairs, CLICK_NAMES | {context.click_param.casefold()}))
    for page in pages:
        found += clicks_in_page(page, context.click_param)
    return distinct(found)


def visitor_in(pairs: Iterable[tuple[object, object]]) -> str | None:
    """The first-party visitor among an order's attributes."""
    return next(named(pairs, VISITOR_NAMES), None)


def customer_of(context: Context, customer_id: str | None, *emails: object) -> Customer:
    """The customer by id, and by the first e-mail that is one."""
    return Customer(key=context.customer_key(customer_id, next(filter(None, map(text_of, emails)), None)))
