"""Reports of orders and refunds, in one form for every door and platform.

Parsers make them from raw bytes and a `Context`; `fold` (folding.py) makes one order of all its reports. `None` always means: not stated.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec.structs import replace

from app.domain import ids
from app.domain.money import Decimals

TRUST_WEBHOOK = 30
"""A webhook whose signature was checked: the shop itself speaks."""
TRUST_SERVER = 20
"""A call with a secret key."""
TRUST_SIGNED_PIXEL = 15
"""A pixel that the shop's own server signed."""
TRUST_PIXEL = 10
"""A pixel or beacon: anybody who has seen the page can send one. It adds signals, it never overrides."""


def is_trusted(trust: int) -> bool:
    """Whether the one who reports has shown to be the shop: whatever is not trusted was sent by anybody."""
    return trust >= TRUST_SIGNED_PIXEL


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
NEVER_PAID = "ariane:unpaid"
"""The id of a cancellation for want of payment, as no sender names its own: it holds until a newer report from the same place says that the order is
paid."""


# The names under which reports are stored and shown, where the field's own word is another one today: a stored report keeps its hash.
_STORED_NAMES = {"is_gross": "of_total", "included_in": "part_of", "line_based": "by_lines"}


class RefundReport(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename=_STORED_NAMES):
    """A refund, cancellation or chargeback as somebody reported it.

    amount_minor: the amount given back, positive, on the base of `net_minor` (before tax and shipping); None with `full`: all that is left.
    is_gross: the amount is a part of the total paid, tax and shipping included; `effects` converts it to the base of `net_minor`.
    goods_first: of such an amount, the goods are paid back before the shipping, each with its own tax; otherwise it is an equal share of both.
    cumulative: the amount is the sum of all refunds so far, and `refund_id` names what was refunded (a charge). Each such sum is a lower bound,
    never an addition. included_in: the `refund_id` of the cumulative sums that contain this refund.
    line_based: the amount is what `lines` (ids and quantities, or amounts) are worth in the order.
    reverses: the `refund_id` that a reversal gives back; None: anything that was taken. A cancellation reported as 0 names itself here: such a
    report proves a cancellation, and when it arrives first it takes back the one that arrives within `OVERTAKEN_WITHIN` after it.

    When several reports name one (kind, refund_id), the greatest (trust, version) holds: an amount is all that was given back, never an increment.
    A refund that failed is reported as 0 with a greater version; a cancellation or chargeback reported as 0 has been undone.
    """

    refund_id: str
    kind: str = REFUND
    amount_minor: int | None = None
    full: bool = False
    currency: str | None = None
    occurred_at: datetime | None = None
    version: int = 0
    lines: tuple[OrderLine, ...] = ()
    is_gross: bool = False
    goods_first: bool = False
    cumulative: bool = False
    included_in: str | None = None
    line_based: bool = False
    reverses: str | None = None

    @property
    def stated_minor(self) -> int | None:
        """The amount that the report names; None when it gives back all that is left, or what its lines are worth."""
        return None if self.full or self.line_based else self.amount_minor or 0


UNPAID_KINDS = frozenset({"lead", "signup", "install"})
"""Kinds of conversion that nobody pays for: they redeem no code, and need no amount."""
WEAK = "weak:"
"""How the name begins that is made for an order whose sender gives it none."""
FIRST, RENEWAL, UNKNOWN_ORIGIN = "first", "renewal", "unknown"
ORIGINS = (FIRST, RENEWAL, UNKNOWN_ORIGIN)
"""Origins of an order: the first of a subscription, a later one, or not stated."""


class OrderReport(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One report of one order. None means: not stated.

    refs: every name of the order in this report, the surest first (`order_id`, number, checkout token); never empty. A report that knows
    only some of them is joined to the others once a third report names both.
    Amounts are minor units of `currency`; net = items − discount, before tax, shipping and refunds. paid: False for ordered and not paid yet.
    estimated: net was computed from the total paid, without knowing tax and shipping. rounded: an amount was stated with more decimals than its
    currency has.
    code_ids: ids that the shop system has for codes it does not spell out (Stripe's `promo_…`); compared exactly, mapped by the brand.
    shipping_tax_minor: the part of `tax_minor` that is of shipping.
    total_minor: the total paid, tax and shipping included, in `total_currency` (None: in `currency`); refunds that are gross are parts of it.
    charged_minor: what of that total was charged in the end, in `currency`: of an authorised payment a part may be captured.
    refund_ids: every refund as of this version, where the shop lists them all: one that is missing from a newer list was deleted.
    origin: one of `ORIGINS`, but for the last, which is None here.
    proofs: names of the order that strangers cannot guess (its checkout token, its key): an unsigned report that carries one is about this order.
    system: the shop system that calls the order by its own id, `refs[0]`: two ids are two orders, whatever number they share. None: somebody else.
    lists_codes: `codes` and `code_ids` are all codes of the order as of this version, even where there are none.
    stub: alone it makes no order. It holds refunds (one may arrive first), or says what became of the payment of an order that others report.
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
    shipping_tax_minor: int | None = None
    shipping_minor: int | None = None
    net_minor: int | None = None
    total_minor: int | None = None
    total_currency: str | None = None
    charged_minor: int | None = None
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
    origin: str | None = None
    system: str | None = None
    proofs: tuple[str, ...] = ()
    lists_codes: bool = False
    stub: bool = False
    rounded: bool = False

    @property
    def is_witness(self) -> bool:
        """Whether it states anything of the order itself, and not of its refunds alone."""
        return not self.stub or self.paid is not None


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """How and when a report reached us: what gives it its weight."""

    trust: int
    door: str
    platform: str
    received_at: datetime
    origin_id: str | None = None
    delivery_id: str | None = None


Report = TypeVar("Report", OrderReport, RefundReport)


class Fact(msgspec.Struct, Generic[Report], frozen=True, gc=False):
    """A report with the weight its receipt gives it. received_at: the earliest receipt of an equal report."""

    report: Report
    trust: int
    content_hash: bytes
    received_at: datetime
    door: str = ""
    platform: str = ""
    delivery_id: str | None = None
    origin_id: str | None = None

    @property
    def rank(self) -> tuple[int, int, bytes]:
        """The greater one is believed: trust, then the source's own version, then the hash, which only makes the choice deterministic."""
        return self.trust, self.report.version, self.content_hash

    @property
    def place(self) -> tuple[int, str, str]:
        """Where it comes from: of two reports from one place the newer version replaces the older."""
        return self.trust, self.door, self.platform


class Witness(Fact[OrderReport], frozen=True, gc=False):
    """One report of an order."""


class Adjustment(Fact[RefundReport], frozen=True, gc=False):
    """One report of a refund, cancellation, chargeback or reversal."""


class Landing(msgspec.Struct, frozen=True, gc=False):
    """The shop's first-party visitor met this click (the landing beacon)."""

    visitor_id: str
    click_id: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Context:
    """What a body does not say itself: where it arrived, and how its brand does things.

    currency: the brand's, for amounts without one. currencies: those that it has declared, with their decimals.
    click_param: the brand's name for the click id in landing pages.
    customer_key: from (id, e-mail), either of them None, to the keyed hash that is kept instead of both.
    settings: of the source. pixel_secrets: of the publishable key, any of which may have signed a hit. is_verified: a hit was found to be rightly signed
    when it was first read; what is kept of it has not the signed bytes any more.
    """

    received_at: datetime
    currency: str
    customer_key: Callable[[str | None, str | None], str | None]
    shop: str = "main"
    click_param: str = "ariane"
    settings: Mapping[str, object] = field(default_factory=dict)
    pixel_secrets: tuple[str, ...] = ()
    is_verified: bool = False
    currencies: Decimals = field(default_factory=dict)


class DemandedOf(msgspec.Struct, frozen=True, omit_defaults=True):
    """About whom: customers by their keys, orders by their ids in the shop system, or everybody who bought in the shop."""

    customer_keys: tuple[str, ...] = ()
    order_ids: tuple[str, ...] = ()
    whole_shop: bool = False


class PrivacyDemand(msgspec.Struct, frozen=True):
    """A shop system demands that data of shoppers be handed out (`export`) or erased (`erase`)."""

    action: str
    of: DemandedOf


class Parsed(msgspec.Struct, frozen=True):
    """What a platform's parser read from one delivery.

    Exactly one of these speaks: `reports`/`landings`/`demand` (something to record or do), `ignored` (understood, nothing to do: a ping, an unknown topic),
    or `rejected` with `detail` (not understood, kept for a replay). `reason` words are stable.
    vouched: reports of a pixel that the shop's own server signed; what else the hit holds is in `reports`.
    """

    topic: str = ""
    external_id: str = ""
    reports: tuple[OrderReport, ...] = ()
    vouched: tuple[OrderReport, ...] = ()
    landings: tuple[Landing, ...] = ()
    demand: PrivacyDemand | None = None
    ignored: str | None = None
    rejected: str | None = None
    detail: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def all_reports(self) -> tuple[OrderReport, ...]:
        """Every report, whoever vouches for it."""
        return self.vouched + self.reports


def version_at(moment: datetime | None) -> int:
    """A time as a version: microseconds since the Unix epoch; 0 for none."""
    return 0 if moment is None else (moment - ids.EPOCH) // timedelta(microseconds=1)


def order_ref(order_id: str) -> str:
    """An order's name as it is compared: `#1001` is 1001, and Shopify's global id is the number at its end."""
    matched = _GLOBAL_ID.fullmatch(order_id)
    if matched:
        return matched[1]
    return order_id.removeprefix("#").strip() or order_id


# ── Reports as they are stored ───────────────────────────────────────────────────────────────────────────────────────


def _as_stored(report: OrderReport | RefundReport) -> OrderReport | RefundReport:
    """The report with times in UTC and without its refunds, each of which is a fact of its own.

    Defaults are the very objects of the class: only these does the encoder leave out, which keeps the hash of a report the same when a later
    release knows more fields.
    """
    changed: dict[str, object] = {}
    if isinstance(report, OrderReport):
        changed["refunds"] = ()
        if report.customer == UNKNOWN_CUSTOMER:
            changed["customer"] = UNKNOWN_CUSTOMER
    elif report.kind == REFUND:
        changed["kind"] = REFUND
    if report.occurred_at is not None:
        changed["occurred_at"] = report.occurred_at.astimezone(UTC)
    return replace(report, **changed)


def stated_fields(report: OrderReport | RefundReport) -> dict[str, object]:
    """What a report states, as it is shown: defaults are left out, times are UTC, refunds are left out."""
    stated: dict[str, object] = msgspec.to_builtins(_as_stored(report), builtin_types=(datetime,))
    return stated


def encode_report(report: OrderReport | RefundReport) -> bytes:
    """The stated fields as JSON: equal reports, equal bytes."""
    return _sorted(_as_stored(report))


_sorted = msgspec.json.Encoder(order="sorted").encode


read_report = msgspec.json.Decoder(OrderReport).decode
"""The OrderReport of stored JSON, without its refunds."""
read_refund_report = msgspec.json.Decoder(RefundReport).decode
"""The RefundReport of stored JSON."""


UNSIGNED_AGAIN_S = 60
"""Seconds within which an equal unsigned report is the same one: a page that is loaded again at once."""


def content_hash(receipt: Receipt, stored: bytes) -> bytes:
    """SHA-256 over where a report came from and its stored JSON: an equal report from one place is one fact.

    When an unsigned report came decides whether it is used, and an equal one that a stranger sent long before must not date it: so the minute of
    its receipt is hashed too.
    """
    source = "\n".join((receipt.door, receipt.platform, receipt.origin_id or "", str(receipt.trust), ""))
    if not is_trusted(receipt.trust):
        source += f"{int(receipt.received_at.timestamp()) // UNSIGNED_AGAIN_S}\n"
    return hashlib.sha256(source.encode() + stored).digest()


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
