"""What every shop of the brand has in common: it tells of orders in messages of its own form, and signs them as its system does."""

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

from demo.day import Order

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Letter:
    """One message before it is signed. query: of postbacks, which have no body."""

    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    query: str = ""


@dataclass(frozen=True, slots=True)
class Names:
    """What an order names: the code as the shopper typed it, the id of it in Stripe, the click. None: not named."""

    code: str | None = None
    promotion_id: str | None = None
    click_id: str | None = None


@dataclass(frozen=True, slots=True)
class Back:
    """Money that goes back (negative: comes again), before VAT and shipping, worked out from the cart. at None: on the day it is heard of."""

    net_minor: int
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Telling:
    """All that a shop says of one order.

    name: what its thank-you page and its server call the order. letters: each list in its own order, the lists in any. back: what they must come to.
    """

    name: str
    letters: tuple[tuple[Letter, ...], ...]
    back: tuple[Back, ...] = ()


Sign = Callable[[Letter, str, datetime], Letter]


@dataclass(frozen=True, slots=True)
class Shop:
    """One shop of the brand: how it is connected, what it says, and how it signs.

    stories: what may become of its orders. unreadable: a message nobody can read, which must be kept as rejected and count for nothing.
    ping: what it sends once it is connected, unsigned. by_image: the parameter by which its thank-you page knows the order is the shop's own id.
    """

    name: str
    platform: str
    secret: str
    stories: tuple[str, ...]
    tell: Callable[[Order, Names], Telling]
    sign: Sign
    unreadable: Letter
    settings: Mapping[str, Any] = field(default_factory=dict)
    sample: Mapping[str, Any] | None = None
    ping: Letter | None = None


@cache
def _text(name: str) -> str:
    return resources.files("demo.simulator").joinpath("documents", name).read_text()


def sample(name: str) -> Json:
    """A vendor's documented message, to be changed at will."""
    read: Json = json.loads(_text(name))
    return read


def letter(body: Json, **headers: str) -> Letter:
    """A message of JSON."""
    return Letter(json.dumps(body, separators=(",", ":")).encode(), {"Content-Type": "application/json", **headers})


def hmac_sha256(secret: str, message: bytes) -> bytes:
    """What all of them sign with."""
    return hmac.digest(secret.encode(), message, "sha256")


def one_by_one(*letters: Letter) -> tuple[tuple[Letter, ...], ...]:
    """Messages that may come in any order."""
    return tuple((each,) for each in letters)
