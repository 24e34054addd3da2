"""What all simulated checkouts share: the message, the vendors' documented bodies, HMAC, and an order with what becomes of it."""

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any

from demo.simulator import DOCUMENTS
from demo.simulator.carts import Cart

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One request to a webhook address. query: without the question mark."""

    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    query: str = ""

    def with_headers(self, headers: Mapping[str, str]) -> "Message":
        """This message with more headers."""
        return replace(self, headers={**self.headers, **headers})


Sign = Callable[[Message, str, datetime], Message]
"""Proves a message under a secret at a time, as the vendor documents it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an order can be attributed by: the code as the shopper typed it, Stripe's id of that code, the click. None: not in the message."""

    code: str | None = None
    promotion_id: str | None = None
    click_id: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One order: its cart, what it is attributed by, who reports it and what becomes of it.

    attributed_by: one of scenario.ATTRIBUTED_BY. code_owner, click: indexes into the partners and the clicks. repeats: how often each message is
    sent. updated: the shop sends a second message. outcome: `kept`, or one of the shop's. returned_at: moments at which something may happen to the
    order, ascending; returned_lines: the lines that are returned, each at the moment of its index. by_pixel, by_server: the thank-you page and the
    shop's server report it too. forged: messages of an order that does not exist are sent as well.
    """

    shop: str
    attributed_by: str
    cart: Cart
    at: datetime
    code_owner: int | None
    click: int | None
    repeats: int
    updated: bool
    outcome: str
    returned_at: tuple[datetime, ...]
    returned_lines: tuple[int, ...]
    by_pixel: bool
    by_server: bool
    forged: bool
    test: bool

    @property
    def number(self) -> int:
        """Its number, which no other order of the brand has."""
        return self.cart.number


@dataclass(frozen=True, slots=True)
class ExpectedRefund:
    """Money that goes back (negative: is won back), before VAT and shipping, worked out from the cart. at None: the day of its receipt."""

    net_minor: int
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Simulation:
    """Everything a shop sends about one order.

    order_id: the name that its thank-you page and its server use. messages: each inner tuple is sent in its order, the tuples in any order.
    refunds: what the messages must come to.
    """

    order_id: str
    messages: tuple[tuple[Message, ...], ...]
    refunds: tuple[ExpectedRefund, ...] = ()


@dataclass(frozen=True, slots=True)
class Shop:
    """One shop of the demo's brand: how it is connected, what it sends, and how it signs.

    outcomes: what may become of its orders. unreadable: a message that no parser can read, which must be kept as rejected and count for nothing.
    ping: what it sends once it is connected, unsigned.
    """

    name: str
    platform: str
    secret: str
    outcomes: tuple[str, ...]
    simulate: Callable[[Order, Evidence], Simulation]
    sign: Sign
    unreadable: Message
    settings: Mapping[str, Any] = field(default_factory=dict)
    sample: Mapping[str, Any] | None = None
    ping: Message | None = None


@dataclass(frozen=True, slots=True)
class Checkout:
    """One way of connecting a shop. sale: the unsigned message of a paid order, with the code that was redeemed."""

    name: str
    platform: str
    sign: Sign
    sale: Callable[[Cart, datetime, str], Message]
    settings: Mapping[str, Any] = field(default_factory=dict)


@cache
def _read(name: str) -> str:
    return (DOCUMENTS / name).read_text()


def document(name: str) -> Json:
    """A fresh copy of a vendor's documented message."""
    found: Json = json.loads(_read(name))
    return found


def post(body: object, headers: Mapping[str, str] | None = None) -> Message:
    """An unsigned message of JSON, in UTF-8 and without spaces."""
    encoded = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return Message(encoded, {"Content-Type": "application/json", **(headers or {})})


def hmac_sha256(secret: str | bytes, message: bytes) -> bytes:
    """The digest that every vendor signs with."""
    return hmac.digest(secret.encode() if isinstance(secret, str) else secret, message, "sha256")


def unix_s(moment: datetime) -> int:
    """Whole seconds since 1970."""
    return int(moment.timestamp())


def in_any_order(*messages: Message) -> tuple[tuple[Message, ...], ...]:
    """Messages of which none has to wait for another."""
    return tuple((each,) for each in messages)
