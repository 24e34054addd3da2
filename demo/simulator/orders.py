"""An order with what becomes of it, what a shop sends about it, and the shops and checkouts that send."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from demo.simulator.carts import Cart
from demo.simulator.messages import Message, Sign


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

    def line_refunds(self) -> "tuple[ExpectedRefund, ...]":
        """What the returned lines come to, each at its own moment."""
        return tuple(ExpectedRefund(self.cart.net_minor(line), self.returned_at[line]) for line in self.returned_lines)


@dataclass(frozen=True, slots=True)
class ExpectedRefund:
    """Money that goes back (negative: is won back), before VAT and shipping, worked out from the cart. at None: the day of its receipt."""

    net_minor: int
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Simulation:
    """Everything a shop sends about one order.

    order_id: the name that its thank-you page and its server use. messages: each inner tuple is sent in its order, the tuples in any order.
    refunds: what the messages must come to. net_minor: what the order itself must come to where that is not its cart: of an authorised payment
    only a part was captured. never_paid: the shop gave the order up before it was paid, so it counts nowhere.
    """

    order_id: str
    messages: tuple[tuple[Message, ...], ...]
    refunds: tuple[ExpectedRefund, ...] = ()
    net_minor: int | None = None
    never_paid: bool = False


def in_any_order(*messages: Message) -> tuple[tuple[Message, ...], ...]:
    """Messages of which none has to wait for another."""
    return tuple((each,) for each in messages)


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
