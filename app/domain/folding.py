"""One order out of all that its witnesses and refunds said: `fold`. Pure, and blind to the order in which they arrived.

Every choice below is a maximum or a union over facts, never a comparison with what was known before: that is what makes any permutation and
repetition of the same facts end in the same order (tests/intake/test_recording_properties.py).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from app.domain.codes import normalise
from app.domain.orders import TRUST_SERVER, OrderReport

Value = TypeVar("Value")

PENDING, APPROVED, UNVERIFIED, STUB = "pending", "approved", "unverified", "stub"
COUNTED = ("pending", "approved", "locked", "paid")
"""Statuses whose money counts in reports and commissions."""


@dataclass(frozen=True, slots=True)
class Witness:
    """One report and its weight. received_at: the earliest receipt of the same words."""

    report: OrderReport
    trust: int
    content_hash: bytes
    received_at: datetime
    door: str = ""
    platform: str = ""
    delivery_id: str | None = None

    @property
    def rank(self) -> tuple[int, int, bytes]:
        """Greater is believed: trust, then the source's own version, then the hash, which only makes the choice the same everywhere."""
        return self.trust, self.report.version, self.content_hash


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One report of a refund, cancellation, chargeback or reversal. amount_minor: positive; None: all that is left."""

    refund_id: str
    kind: str
    amount_minor: int | None
    currency: str | None
    trust: int
    version: int
    content_hash: bytes
    occurred_at: datetime | None
    received_at: datetime

    @property
    def rank(self) -> tuple[int, int, bytes]:
        """As of a witness."""
        return self.trust, self.version, self.content_hash


@dataclass(frozen=True, slots=True)
class Effect:
    """What an adjustment really took away (positive) or gave back (negative), never more than there was."""

    refund_id: str
    kind: str
    amount_minor: int
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Order:
    """The order as all its witnesses together tell it. Money in minor units of `currency`; None: nobody said.

    occurred_at is None for a stub only: an order that nothing but refunds speak of yet.
    codes: folded, in the order of the cart; spellings: as they were typed, by their folded form.
    doubted_*: named by unsigned witnesses only, while an authenticated one named others.
    effects: in the order in which they took effect. flags: sorted.
    """

    status: str = STUB
    order_id: str | None = None
    occurred_at: datetime | None = None
    currency: str | None = None
    items_minor: int | None = None
    discount_minor: int | None = None
    tax_minor: int | None = None
    shipping_minor: int | None = None
    net_minor: int | None = None
    refunded_minor: int = 0
    codes: tuple[str, ...] = ()
    click_ids: tuple[str, ...] = ()
    visitor_id: str | None = None
    spellings: Mapping[str, str] = field(default_factory=dict)
    doubted_codes: tuple[str, ...] = ()
    doubted_click_ids: tuple[str, ...] = ()
    customer_key: str | None = None
    customer_is_new: bool | None = None
    test: bool = False
    flags: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()


def fold(
    witnesses: Iterable[Witness],
    adjustments: Iterable[Adjustment],
    signed: Sequence[tuple[datetime, datetime | None]] = (),
) -> Order:
    """The order that these facts make, whatever their order and however often each is repeated.

    Each field comes from the most trusted witness that states it. Codes and clicks are the union over the authenticated witnesses, so an empty
    list erases nothing; an unsigned witness (pixel, beacon) only speaks where no authenticated one did, and the order is flagged `unsigned`.
    signed: when the shop had a signed source, as half-open intervals. An order first heard of in one of them, and from unsigned witnesses
    alone, is `unverified`: outside revenue until a signed one confirms it.
    No witness at all: a stub, with its refunds kept and none in effect.
    """
    ranked = sorted(_once(witnesses), key=lambda witness: witness.rank, reverse=True)
    if not ranked:
        return Order()
    believed = [witness for witness in ranked if witness.trust >= TRUST_SERVER]
    unsigned = [witness for witness in ranked if witness.trust < TRUST_SERVER]
    money = _first(ranked, lambda witness: witness if _net(witness.report) is not None else None)
    currency = money.report.currency if money else _first(ranked, lambda witness: witness.report.currency)
    parts = [witness.report for witness in ranked if witness.report.currency in (None, currency)]
    occurred_at = _occurred_at(ranked)
    net_minor = _net(money.report) if money else None
    flags: set[str] = set()
    codes, doubted_codes = _named(believed, unsigned, lambda report: tuple(filter(None, map(normalise, report.codes))))
    # The least trusted first, so that the most trusted spelling stays.
    spellings = {normalise(code): code for witness in reversed(ranked) for code in reversed(witness.report.codes)}
    click_ids, doubted_click_ids = _named(believed, unsigned, lambda report: report.click_ids)
    visitor_id = _first(believed, lambda witness: witness.report.visitor_id)
    if visitor_id is None:
        visitor_id = _first(unsigned, lambda witness: witness.report.visitor_id)
    if _leans_on(unsigned, believed, money, codes, click_ids, visitor_id):
        flags.add("unsigned")
    if money is None:
        flags.add("amount_unknown")
    elif money.report.estimated:
        flags.add("net_estimated")
    if money and _contradicted(money, ranked):
        flags.add("conflicting_reports")
    effects = _effects(adjustments, net_minor, currency, occurred_at, flags)
    told_test = believed or unsigned
    return Order(
        status=_status(believed, unsigned, signed),
        order_id=_first(ranked, lambda witness: witness.report.order_id) or ranked[0].report.refs[0],
        occurred_at=occurred_at,
        currency=currency,
        items_minor=_first_part(parts, "items_minor"),
        discount_minor=_first_part(parts, "discount_minor"),
        tax_minor=_first_part(parts, "tax_minor"),
        shipping_minor=_first_part(parts, "shipping_minor"),
        net_minor=net_minor,
        refunded_minor=sum(effect.amount_minor for effect in effects),
        codes=codes,
        click_ids=click_ids,
        visitor_id=visitor_id,
        spellings=spellings,
        doubted_codes=doubted_codes,
        doubted_click_ids=doubted_click_ids,
        customer_key=_first(ranked, lambda witness: witness.report.customer.key),
        customer_is_new=_first(ranked, lambda witness: witness.report.customer.is_new),
        test=any(witness.report.test for witness in told_test),
        flags=tuple(sorted(flags)),
        effects=effects,
    )


Fact = TypeVar("Fact", Witness, Adjustment)


def _once(facts: Iterable[Fact]) -> list[Fact]:
    """Each fact once, at its earliest receipt: after a merge the same words may stand under two of the order's ids."""
    earliest: dict[bytes, Fact] = {}
    for fact in facts:
        known = earliest.get(fact.content_hash)
        if known is None or fact.received_at < known.received_at:
            earliest[fact.content_hash] = fact
    return list(earliest.values())


def _first(ranked: Iterable[Witness], said: Callable[[Witness], Value | None]) -> Value | None:
    return next((value for witness in ranked if (value := said(witness)) is not None), None)


def _first_part(reports: Iterable[OrderReport], name: str) -> int | None:
    return next((value for report in reports if (value := getattr(report, name)) is not None), None)


def _net(report: OrderReport) -> int | None:
    """After discount, before tax, shipping and refunds; from the parts when it is not said outright."""
    if report.net_minor is not None:
        return report.net_minor
    if report.items_minor is None:
        return None
    return report.items_minor - (report.discount_minor or 0)


def _contradicted(money: Witness, ranked: Sequence[Witness]) -> bool:
    """Whether a witness of equal trust and version states another amount, so that only the hash decided between them."""
    said = (_net(money.report), money.report.currency)
    return any(
        witness.rank[:2] == money.rank[:2]
        and _net(witness.report) is not None
        and (_net(witness.report), witness.report.currency) != said
        for witness in ranked
    )


def _named(
    believed: Sequence[Witness], unsigned: Sequence[Witness], names: Callable[[OrderReport], tuple[str, ...]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    sure = dict.fromkeys(name for witness in believed for name in names(witness.report))
    doubted = dict.fromkeys(name for witness in unsigned for name in names(witness.report))
    if not sure:
        return tuple(doubted), ()
    return tuple(sure), tuple(name for name in doubted if name not in sure)


def _leans_on(
    unsigned: Sequence[Witness],
    believed: Sequence[Witness],
    money: Witness | None,
    codes: tuple[str, ...],
    click_ids: tuple[str, ...],
    visitor_id: str | None,
) -> bool:
    """Whether anything of the order rests on a pixel's word alone."""
    if not unsigned:
        return False
    sure_codes = any(witness.report.codes for witness in believed)
    sure_clicks = any(witness.report.click_ids for witness in believed)
    sure_visitor = any(witness.report.visitor_id for witness in believed)
    return (
        not believed
        or (money is not None and money.trust < TRUST_SERVER)
        or (bool(codes) and not sure_codes)
        or (bool(click_ids) and not sure_clicks)
        or (visitor_id is not None and not sure_visitor)
    )


def _occurred_at(ranked: Sequence[Witness]) -> datetime:
    """When the order took place: as the most trusted witness says, but no later than the first receipt from anyone trusted as much.

    Nobody says: the first receipt. (A pixel's receipt does not cap what a signed witness says: anybody can send one early.)
    """
    stating = _first(ranked, lambda witness: witness if witness.report.occurred_at is not None else None)
    if stating is None or stating.report.occurred_at is None:
        return min(witness.received_at for witness in ranked)
    received = min(witness.received_at for witness in ranked if witness.trust >= stating.trust)
    return min(stating.report.occurred_at, received)


def _status(
    believed: Sequence[Witness], unsigned: Sequence[Witness], signed: Sequence[tuple[datetime, datetime | None]]
) -> str:
    if not believed:
        first_heard = min(witness.received_at for witness in unsigned)
        if any(start <= first_heard and (end is None or first_heard < end) for start, end in signed):
            return UNVERIFIED
    paid = _first(believed or unsigned, lambda witness: witness.report.paid)
    return APPROVED if paid else PENDING


# ── Refunds ──────────────────────────────────────────────────────────────────────────────────────────────────────────

CANCELLATION, REVERSAL = "cancellation", "reversal"


def _effects(
    adjustments: Iterable[Adjustment],
    net_minor: int | None,
    currency: str | None,
    occurred_at: datetime,
    flags: set[str],
) -> tuple[Effect, ...]:
    """What each adjustment took, in the order (time, refund id), cancellations after the refunds: they take what those have left.

    Reversals dated after the cancellation follow it. Nothing is taken twice or beyond the order: the excess is cut and flagged.
    """
    chosen: dict[tuple[str, str], Adjustment] = {}
    facts = _once(adjustments)
    for each in facts:
        known = chosen.get((each.kind, each.refund_id))
        if known is None or each.rank > known.rank:
            chosen[each.kind, each.refund_id] = each
    if any(_disagrees(each, chosen[each.kind, each.refund_id]) for each in facts):
        flags.add("conflicting_reports")
    if not chosen or net_minor is None:
        return ()
    dated = [(each, _effective_at(each, occurred_at)) for each in chosen.values()]
    cancelled_at = min((at for each, at in dated if each.kind == CANCELLATION), default=None)

    effects: list[Effect] = []
    whole = max(net_minor, 0)
    taken = 0
    for each, at in sorted(dated, key=lambda item: _turn(item[0], item[1], cancelled_at)):
        if each.amount_minor is not None and each.currency not in (None, currency):
            flags.add("currency_mismatch")
            continue
        room = taken if each.kind == REVERSAL else whole - taken
        asked = room if each.amount_minor is None else each.amount_minor
        if asked > room:
            flags.add("refund_over_order")
        moved = min(asked, room)
        amount = -moved if each.kind == REVERSAL else moved
        taken += amount
        effects.append(Effect(each.refund_id, each.kind, amount, at))
    return tuple(effects)


def _disagrees(each: Adjustment, chosen: Adjustment) -> bool:
    """Whether only the hash decided between two amounts of one refund."""
    return each.rank[:2] == chosen.rank[:2] and (each.amount_minor, each.currency) != (
        chosen.amount_minor,
        chosen.currency,
    )


def _turn(each: Adjustment, at: datetime, cancelled_at: datetime | None) -> tuple[int, datetime, str, str]:
    """Where an adjustment stands in the order of effects: refunds (0), the cancellation (1), reversals that came after it (2)."""
    reopened = each.kind == REVERSAL and cancelled_at is not None and at >= cancelled_at
    phase = 1 if each.kind == CANCELLATION else 2 if reopened else 0
    return phase, at, each.refund_id, each.kind


def _effective_at(adjustment: Adjustment, ordered_at: datetime) -> datetime:
    """A refund takes effect no later than we heard of it, and no earlier than its order."""
    said = adjustment.occurred_at or adjustment.received_at
    return max(min(said, adjustment.received_at), ordered_at)
