"""One order out of all that its witnesses and refunds said: `fold`. Pure, and blind to the order in which they arrived.

Every choice below is a maximum or a union over facts, never a comparison with what was known before: that is what makes any permutation and
repetition of the same facts end in the same order (tests/intake/test_recording_properties.py).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from app.domain.codes import normalise
from app.domain.orders import TRUST_SERVER, Customer, OrderReport

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
    """One report of a refund, cancellation, chargeback or reversal. amount_minor: positive; None: all that is left.

    of_total, cumulative, part_of: as of a RefundReport.
    """

    refund_id: str
    kind: str
    amount_minor: int | None
    currency: str | None
    trust: int
    version: int
    content_hash: bytes
    occurred_at: datetime | None
    received_at: datetime
    of_total: bool = False
    cumulative: bool = False
    part_of: str | None = None

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
    ranked = _once(witnesses)
    if not ranked:
        return Order()
    ranked.sort(key=_rank, reverse=True)
    believed = [witness.report for witness in ranked if witness.trust >= TRUST_SERVER]
    unsigned = [witness.report for witness in ranked if witness.trust < TRUST_SERVER]
    reports = [*believed, *unsigned]
    money = next((witness for witness in ranked if _net(witness.report) is not None), None)
    currency = money.report.currency if money else _said(reports, "currency")
    parts = [report for report in reports if report.currency is None or report.currency == currency]
    occurred_at = _occurred_at(ranked)
    net_minor = _net(money.report) if money else None
    flags: set[str] = set()
    codes, doubted_codes, codes_signed = _named(believed, unsigned, _folded_codes)
    click_ids, doubted_click_ids, clicks_signed = _named(believed, unsigned, _click_ids)
    visitor_id = _said(believed, "visitor_id")
    visitor_signed = visitor_id is not None
    if visitor_id is None:
        visitor_id = _said(unsigned, "visitor_id")
    if money is None:
        flags.add("amount_unknown")
    elif money.report.estimated:
        flags.add("net_estimated")
    if unsigned and (
        not believed
        or (money is not None and money.trust < TRUST_SERVER)
        or not (codes_signed and clicks_signed and (visitor_signed or visitor_id is None))
    ):
        flags.add("unsigned")
    if money and _contradicted(money, ranked):
        flags.add("conflicting_reports")
    totals = _totals(reports, parts, net_minor, currency)
    effects = _effects(adjustments, net_minor, currency, totals, occurred_at, flags)
    return Order(
        status=_status(ranked, believed, unsigned, signed),
        order_id=_said(reports, "order_id") or reports[0].refs[0],
        occurred_at=occurred_at,
        currency=currency,
        items_minor=_said(parts, "items_minor"),
        discount_minor=_said(parts, "discount_minor"),
        tax_minor=_said(parts, "tax_minor"),
        shipping_minor=_said(parts, "shipping_minor"),
        net_minor=net_minor,
        refunded_minor=sum(effect.amount_minor for effect in effects),
        codes=codes,
        click_ids=click_ids,
        visitor_id=visitor_id,
        spellings=_spellings(reports),
        doubted_codes=doubted_codes,
        doubted_click_ids=doubted_click_ids,
        customer_key=_said([report.customer for report in reports], "key"),
        customer_is_new=_said([report.customer for report in reports], "is_new"),
        test=any(report.test for report in believed or unsigned),
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


def _rank(fact: Fact) -> tuple[int, int, bytes]:
    return fact.rank


def _said(said: Iterable[OrderReport | Customer], name: str) -> Any:
    """What the first of these that speaks of it says; None when nobody does."""
    for each in said:
        value = getattr(each, name)
        if value is not None:
            return value
    return None


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
    believed: Sequence[OrderReport],
    unsigned: Sequence[OrderReport],
    names: Callable[[OrderReport], Iterable[str]],
) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """What the order names, what only unsigned witnesses name beside it, and whether what it names does not rest on their word."""
    sure = dict.fromkeys(name for report in believed for name in names(report))
    doubted = dict.fromkeys(name for report in unsigned for name in names(report))
    if not sure:
        return tuple(doubted), (), not doubted
    return tuple(sure), tuple(name for name in doubted if name not in sure), True


def _folded_codes(report: OrderReport) -> Iterable[str]:
    return filter(None, map(normalise, report.codes))


def _click_ids(report: OrderReport) -> Iterable[str]:
    return report.click_ids


def _spellings(reports: Sequence[OrderReport]) -> dict[str, str]:
    # The least trusted first, so that the most trusted spelling stays.
    return {normalise(code): code for report in reversed(reports) for code in reversed(report.codes)}


def _occurred_at(ranked: Sequence[Witness]) -> datetime:
    """When the order took place: as the most trusted witness says, but no later than the first receipt from anyone trusted as much.

    Nobody says: the first receipt. (A pixel's receipt does not cap what a signed witness says: anybody can send one early.)
    """
    stating = next((witness for witness in ranked if witness.report.occurred_at is not None), None)
    if stating is None or stating.report.occurred_at is None:
        return min(witness.received_at for witness in ranked).astimezone(UTC)
    received = min(witness.received_at for witness in ranked if witness.trust >= stating.trust)
    return min(stating.report.occurred_at, received).astimezone(UTC)


def _status(
    ranked: Sequence[Witness],
    believed: Sequence[OrderReport],
    unsigned: Sequence[OrderReport],
    signed: Sequence[tuple[datetime, datetime | None]],
) -> str:
    if not believed and signed:
        first_heard = min(witness.received_at for witness in ranked)
        if any(start <= first_heard and (end is None or first_heard < end) for start, end in signed):
            return UNVERIFIED
    return APPROVED if _said(believed or unsigned, "paid") else PENDING


# ── Refunds ──────────────────────────────────────────────────────────────────────────────────────────────────────────

CANCELLATION, CHARGEBACK, REVERSAL = "cancellation", "chargeback", "reversal"


def _effects(
    adjustments: Iterable[Adjustment],
    net_minor: int | None,
    currency: str | None,
    totals: Mapping[str | None, int],
    occurred_at: datetime,
    flags: set[str],
) -> tuple[Effect, ...]:
    """What each adjustment took, in the order (time, refund id), cancellations after the refunds: they take what those have left.

    Reversals dated after the cancellation follow it. A refund that failed is told as 0 and stays, taking nothing; a cancellation or chargeback
    told as 0 has been taken back, as if it had never been. Nothing is taken twice or beyond the order: the excess is cut and flagged.
    """
    chosen: dict[tuple[str, str], Adjustment] = {}
    told = _once(adjustments)
    facts = [each for each in told if not each.cumulative]
    for each in facts:
        known = chosen.get((each.kind, each.refund_id))
        if known is None or each.rank > known.rank:
            chosen[each.kind, each.refund_id] = each
    if any(_disagrees(each, chosen[each.kind, each.refund_id]) for each in facts):
        flags.add("conflicting_reports")
    standing = [each for each in chosen.values() if not _taken_back(each)]
    standing += _beyond_known(told)
    if not standing or net_minor is None:
        return ()
    dated = [(each, _effective_at(each, occurred_at)) for each in standing]
    cancelled_at = min((at for each, at in dated if each.kind == CANCELLATION), default=None)

    effects: list[Effect] = []
    whole = max(net_minor, 0)
    taken = 0
    given: dict[str | None, int] = {}
    for each, at in sorted(dated, key=lambda item: _turn(item[0], item[1], cancelled_at)):
        paid_in = each.currency or currency
        if each.amount_minor is not None and paid_in != currency and not (each.of_total and paid_in in totals):
            flags.add("currency_mismatch")
            continue
        room = taken if each.kind == REVERSAL else whole - taken
        asked = room if each.amount_minor is None else each.amount_minor
        if each.of_total and each.amount_minor is not None and paid_in in totals:
            before = given.get(paid_in, 0)
            given[paid_in] = before + (-asked if each.kind == REVERSAL else asked)
            asked = abs(_of_net(given[paid_in], whole, totals[paid_in]) - _of_net(before, whole, totals[paid_in]))
        if asked > room:
            flags.add("refund_over_order")
        moved = min(asked, room)
        amount = -moved if each.kind == REVERSAL else moved
        taken += amount
        effects.append(Effect(each.refund_id, each.kind, amount, at))
    return tuple(effects)


def _totals(
    reports: Sequence[OrderReport], parts: Sequence[OrderReport], net_minor: int | None, currency: str | None
) -> dict[str | None, int]:
    """What was paid in all, tax and shipping included, by currency: in the order's own, and in what the shopper paid in where that was another."""
    if net_minor is None:
        return {}
    stating = next((report for report in reports if report.total_minor is not None), None)
    totals = {currency: net_minor + (_said(parts, "tax_minor") or 0) + (_said(parts, "shipping_minor") or 0)}
    if stating is not None and stating.total_minor is not None:
        totals[stating.total_currency or stating.currency or currency] = stating.total_minor
    return totals


def _of_net(given: int, net: int, total: int) -> int:
    """The part of the net in so much of the total given back, rounded half up: all of it in all. Of running sums, so that parts add up exactly."""
    return given if total <= 0 else (2 * given * net + total) // (2 * total)


def _beyond_known(facts: Sequence[Adjustment]) -> list[Adjustment]:
    """What cumulative sums say beyond the refunds that are known one by one, each as a refund of its own.

    From the least to the greatest, a sum adds what the refunds that are part of it and the lesser sums leave of it. Times have no say in it:
    clocks differ, and a refund must not count twice for a second. A refund that failed stays a part of the sums: they had counted it.
    """
    known: dict[tuple[str | None, str | None], dict[str, int]] = {}
    for each in facts:
        if each.part_of is not None and each.amount_minor:
            amounts = known.setdefault((each.part_of, each.currency), {})
            amounts[each.refund_id] = max(amounts.get(each.refund_id, 0), each.amount_minor)
    covered = {key: sum(amounts.values()) for key, amounts in known.items()}
    beyond = []
    sums = [(each.amount_minor, each) for each in facts if each.cumulative and each.amount_minor is not None]
    for amount, each in sorted(
        sums, key=lambda item: (item[0], item[1].occurred_at or item[1].received_at, item[1].rank)
    ):
        key = each.refund_id, each.currency
        rest = amount - covered.get(key, 0)
        if rest > 0:
            covered[key] = amount
            beyond.append(replace(each, amount_minor=rest))
    return beyond


def _taken_back(each: Adjustment) -> bool:
    """Whether a cancellation or chargeback has been undone: the order is live again, the dispute was won. It is told as the amount 0."""
    return each.kind in (CANCELLATION, CHARGEBACK) and each.amount_minor == 0


def _disagrees(each: Adjustment, chosen: Adjustment) -> bool:
    """Whether only the hash decided between two amounts of one refund."""
    return each.rank[:2] == chosen.rank[:2] and (each.amount_minor, each.currency, each.of_total) != (
        chosen.amount_minor,
        chosen.currency,
        chosen.of_total,
    )


def _turn(each: Adjustment, at: datetime, cancelled_at: datetime | None) -> tuple[int, datetime, str, str]:
    """Where an adjustment stands in the order of effects: refunds (0), the cancellation (1), reversals that came after it (2)."""
    reopened = each.kind == REVERSAL and cancelled_at is not None and at >= cancelled_at
    phase = 1 if each.kind == CANCELLATION else 2 if reopened else 0
    return phase, at, each.refund_id, each.kind


def _effective_at(adjustment: Adjustment, ordered_at: datetime) -> datetime:
    """A refund takes effect no later than we heard of it, and no earlier than its order."""
    said = adjustment.occurred_at or adjustment.received_at
    return max(min(said, adjustment.received_at), ordered_at).astimezone(UTC)
