"""What a report of an order says, in one form for every door and platform.

Parsers make these from raw bytes and a `Context`; `fold` (folding.py) makes one order of all that its witnesses said. `None` always means: not said.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec.structs import fields, replace

from app.domain import ids

TRUST_WEBHOOK = 30
"""A webhook whose signature was checked: the shop itself speaks."""
TRUST_SERVER = 20
"""A call with a secret key."""
TRUST_PIXEL = 10
"""A pixel or beacon: anybody who has seen the page can send one. It adds signals, it never overrides."""
CODES_MAX = 20
LINES_MAX = 1_000
KIND = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
# The thank-you page says OrderIdentity on some shops, and means the same number.
_GLOBAL_ID = re.compile(r"gid://shopify/Order(?:Identity)?/(\d+)", re.ASCII)


class Customer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Who bought, as far as the shop says. `key` is a keyed hash of id or e-mail, made at the edge; neither is kept in clear."""

    key: str | None = None
    is_new: bool | None = None


UNKNOWN_CUSTOMER = Customer()


class OrderLine(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One line of an order or refund. Amounts in minor units of the order's currency, after discount, before tax."""

    id: str
    quantity: int = 1
    net_minor: int | None = None
    sku: str | None = None
    name: str | None = None


REFUND, CANCELLATION, CHARGEBACK, REVERSAL = "refund", "cancellation", "chargeback", "reversal"
ADJUSTMENT_KINDS = (REFUND, CANCELLATION, CHARGEBACK, REVERSAL)


class RefundReport(msgspec.Struct, frozen=True, gc=False):
    """A refund, cancellation or chargeback as somebody reported it.

    amount_minor: what was given back, on the base of `net_minor` (before tax and shipping), positive; None with `full`: all that is left.
    of_total: the amount is a part of what was paid in all, tax and shipping included; folding brings it to the base of `net_minor`.
    cumulative: the amount is the sum of all refunds so far, and `refund_id` names what they are refunds of (a charge). Each statement of it is a
    floor, never an addition. part_of: such a `refund_id`, whose sums contain this refund.
    Of several reports of one (kind, refund_id) the one with the greatest (trust, version) holds, so an amount is what was given back in all,
    never what was added. A refund that failed later is said as 0 with a greater version; a cancellation or chargeback said as 0 is taken back.
    by_lines: no amount but what `lines` (ids and quantities, or amounts) are worth in the order. reverses: of a reversal, the refund_id of what it
    gives back; None: anything that was taken. Of a cancellation that is told as 0, its own refund_id: only what was cancelled is told so, and where
    nothing was received of it before, it takes back what is received of it within `OVERTAKEN_WITHIN` after.
    """

    refund_id: str
    kind: str = REFUND
    amount_minor: int | None = None
    full: bool = False
    currency: str | None = None
    occurred_at: datetime | None = None
    version: int = 0
    lines: tuple[OrderLine, ...] = ()
    of_total: bool = False
    cumulative: bool = False
    part_of: str | None = None
    by_lines: bool = False
    reverses: str | None = None


class OrderReport(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One witness's words about one order.

    refs: every name of the order in this report, the surest first (`order_id`, number, checkout token); never empty. A report that knows
    only some of them is joined to the others once a third report names both.
    Amounts are minor units of `currency`; net = items − discount, before tax, shipping and refunds. `paid` false: ordered, not paid yet.
    estimated: net was computed from what was paid without knowing tax and shipping.
    code_ids: what the shop system calls codes where it does not say how they are typed (Stripe's `promo_…`); compared exactly, mapped by the brand.
    total_minor: what was paid in all, tax and shipping included, in `total_currency` (None: in `currency`): what refunds `of_total` are a part of.
    refund_ids: every refund there is as of this version, where the shop lists them all: one that is gone from a newer list was deleted.
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
    total_minor: int | None = None
    total_currency: str | None = None
    estimated: bool = False
    paid: bool | None = None
    codes: tuple[str, ...] = ()
    code_ids: tuple[str, ...] = ()
    click_ids: tuple[str, ...] = ()
    visitor_id: str | None = None
    customer: Customer = UNKNOWN_CUSTOMER
    lines: tuple[OrderLine, ...] = ()
    refunds: tuple[RefundReport, ...] = ()
    refund_ids: tuple[str, ...] | None = None
    test: bool = False
    # An order that only refunds name yet (a refund that arrived first) states nothing of itself.
    stub: bool = False


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """How and when a report reached us: what gives it its weight."""

    trust: int
    door: str
    platform: str
    received_at: datetime
    origin_id: str | None = None
    delivery_id: str | None = None


class Landing(msgspec.Struct, frozen=True, gc=False):
    """The shop's first-party visitor met this click (the landing beacon)."""

    visitor_id: str
    click_id: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Context:
    """What a body does not say itself: where it arrived, and how its brand does things.

    currency: the brand's, for amounts without one. click_param: the brand's name for the click id in landing pages.
    customer_key: from (id, e-mail), either of them None, to the keyed hash that is kept instead of both.
    settings: of the source.
    """

    received_at: datetime
    currency: str
    customer_key: Callable[[str | None, str | None], str | None]
    shop: str = "main"
    click_param: str = "ariane"
    settings: Mapping[str, object] = field(default_factory=dict)


class Parsed(msgspec.Struct, frozen=True):
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
    notes: tuple[str, ...] = ()


def version_at(moment: datetime | None) -> int:
    """A time as a version: microseconds since the Unix epoch; 0 for none."""
    return 0 if moment is None else (moment - ids.EPOCH) // timedelta(microseconds=1)


def order_ref(order_id: str) -> str:
    """An order's name as it is compared: `#1001` is 1001, and Shopify's global id is the number at its end."""
    matched = _GLOBAL_ID.fullmatch(order_id)
    if matched:
        return matched[1]
    return order_id.removeprefix("#").strip() or order_id


# ── Words, as they are kept ──────────────────────────────────────────────────────────────────────────────────────────


class _Form(NamedTuple):
    names: tuple[str, ...]
    unsaid: tuple[object, ...]
    values: Callable[[object], tuple[object, ...]]


def _form(kind: type[msgspec.Struct]) -> _Form:
    said = [each for each in fields(kind) if each.name != "refunds"]
    names = tuple(each.name for each in said)
    return _Form(names, tuple(None if each.required else each.default for each in said), attrgetter(*names))


_FORMS: dict[type, _Form] = {kind: _form(kind) for kind in (OrderReport, RefundReport, OrderLine, Customer)}
# Types of most values, which are written as they are.
_PLAIN = frozenset({str, int, bool, type(None)})


def words(fact: OrderReport | RefundReport | OrderLine | Customer) -> dict[str, object]:
    """What a report says and nothing else: fields that were not said are left out, times are UTC, refunds stand apart (each is a fact of its own).

    Leaving out what was not said keeps the hash of a report the same when a later release knows more fields.
    """
    names, unsaid, values = _FORMS[type(fact)]
    return {
        name: value if type(value) in _PLAIN else _plain(value)
        for name, none, value in zip(names, unsaid, values(fact), strict=True)
        if value is not none and value != none
    }


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value if value.tzinfo is UTC else value.astimezone(UTC)
    if isinstance(value, tuple):
        return [each if type(each) in _PLAIN else _plain(each) for each in value]
    if isinstance(value, (OrderLine, Customer)):
        return words(value)
    return value


def encode_words(fact: OrderReport | RefundReport) -> bytes:
    """The words as JSON: equal words, equal bytes."""
    if isinstance(fact, RefundReport):
        return _sorted(words(fact))
    # The same of an order, and in C (a test compares the two): its defaults are left out because they are the very objects that stand here.
    said = fact
    if said.refunds or (said.customer is not UNKNOWN_CUSTOMER and said.customer == UNKNOWN_CUSTOMER):
        customer = UNKNOWN_CUSTOMER if said.customer == UNKNOWN_CUSTOMER else said.customer
        said = replace(said, refunds=(), customer=customer)
    if said.occurred_at is not None and said.occurred_at.tzinfo is not UTC:
        said = replace(said, occurred_at=said.occurred_at.astimezone(UTC))
    return _sorted(said)


_sorted = msgspec.json.Encoder(order="sorted").encode


read_report = msgspec.json.Decoder(OrderReport).decode
"""From `encode_words` of an OrderReport back to it, without its refunds."""


def content_hash(receipt: Receipt, said: bytes) -> bytes:
    """SHA-256 over door, origin and words: the same words twice from one place are one witness."""
    whence = "\n".join((receipt.door, receipt.platform, receipt.origin_id or "", str(receipt.trust), ""))
    return hashlib.sha256(whence.encode() + said).digest()


@lru_cache(maxsize=4_096)
def read_click(text: str) -> UUID | None:
    """The click an order names: `clk_…`, its 26 characters alone, or a plain UUID. None for what cannot be one of our ids (all are UUIDv7)."""
    shown = text.strip()
    try:
        if len(shown) == ids.LENGTH:
            shown = f"{ids.PREFIXES['click']}_{shown}"
        found = UUID(shown) if "-" in shown else ids.read("click", shown)
    except ValueError:
        return None
    return found if found.version == 7 else None
