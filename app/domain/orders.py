"""What a report of an order says, in one form for every door and platform.

Parsers make these from raw bytes; `fold` (further down) makes one order of all that its witnesses said. `None` always means: not said.
"""

from dataclasses import dataclass, field
from datetime import datetime

TRUST_WEBHOOK = 30
"""A webhook whose signature was checked: the shop itself speaks."""
TRUST_SERVER = 20
"""A call with a secret key."""
TRUST_PIXEL = 10
"""A pixel or beacon: anybody who has seen the page can send one. It adds signals, it never overrides."""


@dataclass(frozen=True, slots=True)
class Customer:
    """Who bought, as far as the shop says. `key` is a keyed hash of id or e-mail, made at the edge; neither is kept in clear."""

    key: str | None = None
    is_new: bool | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an order or refund. Amounts in minor units of the order's currency, after discount, before tax."""

    id: str
    quantity: int = 1
    net_minor: int | None = None
    sku: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class RefundReport:
    """A refund, cancellation or chargeback as somebody reported it.

    amount_minor: what was given back, on the base of `net_minor` (before tax and shipping), positive; None with `full`: all that is left.
    """

    refund_id: str
    kind: str = "refund"
    amount_minor: int | None = None
    full: bool = False
    currency: str | None = None
    occurred_at: datetime | None = None
    version: int = 0
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderReport:
    """One witness's words about one order.

    refs: every name of the order in this report, the surest first (`order_id`, number, checkout token); never empty. A report that knows
    only some of them is joined to the others once a third report names both.
    Amounts are minor units of `currency`; net = items − discount, before tax, shipping and refunds. `paid` false: ordered, not paid yet.
    estimated: net was computed from what was paid without knowing tax and shipping.
    """

    shop: str
    kind: str
    refs: tuple[str, ...]
    order_id: str | None = None
    occurred_at: datetime | None = None
    version: int = 0
    currency: str | None = None
    items_minor: int | None = None
    discount_minor: int | None = None
    tax_minor: int | None = None
    shipping_minor: int | None = None
    net_minor: int | None = None
    estimated: bool = False
    paid: bool | None = None
    codes: tuple[str, ...] = ()
    click_ids: tuple[str, ...] = ()
    visitor_id: str | None = None
    customer: Customer = Customer()
    lines: tuple[Line, ...] = ()
    refunds: tuple[RefundReport, ...] = ()
    test: bool = False
    # An order that only refunds name yet (a refund that arrived first) states nothing of itself.
    stub: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """How and when a report reached us: what gives it its weight."""

    trust: int
    door: str
    platform: str
    received_at: datetime
    origin_id: str | None = None
    delivery_id: str | None = None


@dataclass(frozen=True, slots=True)
class Landing:
    """The shop's first-party visitor met this click (the landing beacon)."""

    visitor_id: str
    click_id: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a platform's parser read from one delivery.

    Exactly one of these speaks: `reports`/`landings` (something to record), `ignored` (understood, nothing to do: a ping, an unknown topic),
    or `rejected` with `detail` (not understood, kept for a replay). `reason` words are stable.
    """

    topic: str = ""
    external_id: str = ""
    reports: tuple[OrderReport, ...] = ()
    landings: tuple[Landing, ...] = ()
    ignored: str | None = None
    rejected: str | None = None
    detail: str | None = None
    notes: tuple[str, ...] = field(default=())
