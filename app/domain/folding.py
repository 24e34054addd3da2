"""One order out of all reports of it and of its refunds, and all that people decided: `fold`. Pure, and independent of the order of arrival.

Every choice below is a maximum or a union over facts, never a comparison with what was known before. So any permutation and repetition of the
same facts ends in the same order (tests/orders/test_record_properties.py).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from math import floor
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from app.domain import attribution
from app.domain.amounts import EXACT, AmountCheck, Tolerance, charged_part, compare, net_of
from app.domain.codes import normalise
from app.domain.orders import (
    CANCELLATION,
    NEVER_PAID,
    REFUND,
    UNKNOWN_ORIGIN,
    UNPAID_KINDS,
    WEAK,
    Adjustment,
    Customer,
    OrderLine,
    OrderReport,
    Witness,
    is_trusted,
)
from app.domain.refunds import Effect, Sold, TakenBack, effects, goods_with_tax, taken_back, units_of, within
from app.domain.signals import NO_SIGNALS, TRUSTED, Signals, Support, counting, signals_of, surer
from app.domain.statuses import APPROVED, CANCELLED, PENDING, REJECTED, STUB, UNVERIFIED, Standing, StatusChange, stand
from app.domain.trust import DEFAULT_RULES, Rank, Ranked, TrustRules, Withheld, ordered_at, rank_reports

TOO_MANY_CLAIMS, OVER_PIXEL_MAX, AMBIGUOUS_NUMBER, DIFFERS_AFTER_LOCK, WEAK_ORDER_ID = (
    "too_many_claims",
    "over_pixel_max",
    "ambiguous_number",
    "differs_after_lock",
    "weak_order_id",
)
AMOUNT_ROUNDED = "amount_rounded"
UNSIGNED = "unsigned"
"""The flag of an order that rests on unsigned reports: itself, its amount, or (as the decision tells, orders/state.py) its credit."""

FLAGS = (
    "amount_disagreement", "currency_disagreement", "conflicting_reports", "changed_after_lock", "amount_unknown", "net_estimated", UNSIGNED,
    OVER_PIXEL_MAX, TOO_MANY_CLAIMS, AMBIGUOUS_NUMBER, DIFFERS_AFTER_LOCK, WEAK_ORDER_ID,
    "refund_over_order", "refund_line_unknown", "currency_mismatch", "reversal_without_refund", "over_cap", *attribution.FLAGS, AMOUNT_ROUNDED,
)  # fmt: skip
"""What may be odd about an order; docs/orders.md explains each."""
QUIET_BEFORE_LOCK = timedelta(days=1)
"""How long after the last new report an order that its payment approved stays unlocked: after an import or an outage more reports follow."""


PARTS = ("items_minor", "discount_minor", "tax_minor", "shipping_minor")
"""The amounts of an order beside its net."""


class OrderColumns(msgspec.Struct, frozen=True):
    """The attributes of an order that table `conversion` stores, each in the column of its name. Money in minor units of `currency`; None: not stated.

    occurred_at: None for a stub only, an order that only refunds name yet. codes: folded, in the order of the cart. flags: sorted.
    locked_at: when amounts, date and test mark were closed to later reports. claims: what claims it by number alone (signals.py), and of these
    claims_withheld: what claims too many orders; only the brand's other orders know that (orders/claims.py).
    """

    order_id: str | None = None
    occurred_at: datetime | None = None
    status: str = STUB
    status_reason: str | None = None
    locked_at: datetime | None = None
    currency: str | None = None
    items_minor: int | None = None
    discount_minor: int | None = None
    tax_minor: int | None = None
    shipping_minor: int | None = None
    net_minor: int | None = None
    refunded_minor: int = 0
    codes: tuple[str, ...] = ()
    visitor_id: str | None = None
    claims: tuple[str, ...] = ()
    claims_withheld: tuple[str, ...] = ()
    customer_key: str | None = None
    customer_is_new: bool | None = None
    origin: str = UNKNOWN_ORIGIN
    test: bool = False
    flags: tuple[str, ...] = ()


class Order(OrderColumns, frozen=True):
    """The order that all its facts together make: what is stored of it, and what deciding and showing it need beside that.

    signals: all that may explain the order; `codes` and `visitor_id` are those of the highest rank. is_confirmed: a trusted report of it exists.
    spellings: codes as they were typed, by their folded form. aliases: what stands in an order for one of the codes, an id of the shop system or a text
    in the place of a code, with its folded form; only the brand's mapping knows them, and `code_named` adds them. amount_checks: the most trusted report first.
    effects: in the order in which they took effect; idle: adjustments without effect so far.
    held_since: when the hold of the order began. lockable_at: the earliest moment an approved order may be locked once its hold has passed; None: it
    may not be. decided: who got the order when it was locked (JSON), which no later fact changes.
    """

    signals: Signals = NO_SIGNALS
    is_confirmed: bool = False
    spellings: Mapping[str, str] = {}
    aliases: Mapping[str, str] = {}
    effects: tuple[Effect, ...] = ()
    idle: tuple[Effect, ...] = ()
    amount_checks: tuple[AmountCheck, ...] = ()
    held_since: datetime | None = None
    lockable_at: datetime | None = None
    decided: str | None = None


def fold(
    witnesses: Iterable[Witness],
    adjustments: Iterable[Adjustment],
    signed: Sequence[tuple[datetime, datetime | None]] = (),
    changes: Iterable[StatusChange] = (),
    tolerance: Tolerance = EXACT,
    rules: TrustRules = DEFAULT_RULES,
    overclaimed: Collection[str] = (),
) -> Order:
    """The order that these facts make, whatever their order and however often each is repeated.

    Each field comes from the most trusted witness that states it. Where there is a trusted witness, an unsigned one (pixel, beacon) only adds
    signals, and an amount where no trusted one states any. rules: how far those are believed.
    overclaimed: what claims too many orders by number alone, and is withheld.
    signed: when every order of the shop came by a trusted report too, as half-open intervals. An order first reported in one of them, and by
    unsigned witnesses alone, is `unverified`: outside revenue until a trusted one confirms it. So is one of an amount that pixels are not believed for.
    changes: what people decided. Once locked, its amounts, date and test mark are what had been received by then; what later witnesses
    would change is flagged `changed_after_lock`, and only refunds move money. tolerance: by how much two witnesses may differ without a flag.
    Without a witness that makes an order it is a stub: its refunds, and what became of its payment, are stored and have no effect yet.
    """
    once = sorted(_once(witnesses), key=lambda witness: witness.rank, reverse=True)
    if all(witness.report.stub for witness in once):
        return Order()
    standing = stand(changes)
    ranked = rank_reports(once, rules)
    witnessed = [each.witness for each in ranked if each.rank is Rank.TRUSTED] or once
    kept = _standing(_once(adjustments), witnessed)
    closed = _closed(once, standing.locked_at)
    books = _books(ranked if (sold := _as_sold(closed, kept)) is once else rank_reports(sold, rules), rules)
    is_late = closed is not once and not books.same_as(_books(rank_reports(_as_sold(once, kept), rules), rules))
    flags = books.flags | ({"changed_after_lock"} if is_late else set())
    if books.money is not None and books.money.report.rounded:
        flags.add(AMOUNT_ROUNDED)
    amount_checks, differing = compare(once, books.money, standing.locked_at, books.parts, tolerance)
    outcome = effects(kept, books.sold)
    signals = signals_of(ranked, overclaimed)
    flags |= _trust_flags(ranked, books, signals)
    if all(ref.startswith(WEAK) for witness in once for ref in witness.report.refs):
        flags.add(WEAK_ORDER_ID)
    status, reason = _status(standing, ranked, signed, kept, too_much=books.too_much)
    reports = [witness.report for witness in witnessed]
    customers = [report.customer for report in reports]
    return Order(
        **books.parts,
        status=status,
        status_reason=reason,
        order_id=_first_stated(reports, "order_id") or reports[0].refs[0],
        occurred_at=books.sold.occurred_at,
        currency=books.sold.currency,
        net_minor=books.sold.net_minor,
        refunded_minor=sum(effect.amount_minor for effect in outcome.effects),
        codes=counting(signals.codes),
        visitor_id=None if signals.visitor.withheld else signals.visitor_id,
        signals=signals,
        is_confirmed=ranked[0].rank is Rank.TRUSTED,
        # The least trusted first, so that the most trusted spelling stays.
        spellings={normalise(code): code for each in reversed(once) for code in reversed(each.report.codes)},
        customer_key=_first_stated(customers, "key"),
        customer_is_new=_first_stated(customers, "is_new"),
        origin=_first_stated(reports, "origin") or UNKNOWN_ORIGIN,
        test=books.test,
        flags=tuple(sorted(flags | differing | outcome.flags)),
        effects=outcome.effects,
        idle=outcome.idle,
        amount_checks=amount_checks,
        locked_at=standing.locked_at,
        held_since=_held_since(books.sold.occurred_at, witnessed, standing),
        decided=standing.decided,
        lockable_at=_lockable_at(witnessed, standing) if status == APPROVED and not books.test else None,
    )


def _standing(adjustments: Iterable[Adjustment], witnessed: Sequence[Witness]) -> list[Adjustment]:
    """The adjustments without refunds that were deleted, and without cancellations for want of a payment that has been made since."""
    reported = list(adjustments)
    if not reported:
        return reported
    deleted = _deleted_refunds(witnessed)
    paid = {each.place: each.report.version for each in reversed(witnessed) if each.report.paid}

    def stands(each: Adjustment) -> bool:
        report = each.report
        if report.kind == REFUND:
            return report.refund_id not in deleted
        return not _is_for_want_of_payment(each) or report.version > paid.get(each.place, -1)

    return list(filter(stands, reported))


def _is_for_want_of_payment(each: Adjustment) -> bool:
    return (each.report.kind, each.report.refund_id) == (CANCELLATION, NEVER_PAID)


def _deleted_refunds(ranked: Sequence[Witness]) -> frozenset[str]:
    """Refunds that a shop has listed and lists no longer. Lists of one version are one list: a refund in any of them exists."""
    stating = [witness for witness in ranked if witness.report.refund_ids is not None]
    stated = [(witness.rank[:2], set(witness.report.refund_ids or ())) for witness in stating]
    there = set().union(*(refund_ids for rank, refund_ids in stated if rank == stated[0][0]))
    return frozenset().union(*(refund_ids for _, refund_ids in stated)) - there


def _lockable_at(witnessed: Sequence[Witness], standing: Standing) -> datetime:
    if standing.approved_at is not None:
        return standing.approved_at
    return max(witness.received_at for witness in witnessed) + QUIET_BEFORE_LOCK


def _held_since(occurred_at: datetime, witnessed: Sequence[Witness], standing: Standing) -> datetime:
    first_received = min(witness.received_at for witness in witnessed)
    return max(occurred_at, first_received, standing.lifted_at or occurred_at)


def _trust_flags(ranked: Sequence[Ranked], books: "_Books", signals: Signals) -> set[str]:
    # The least sure report comes last: where it is trusted, all are.
    if ranked[-1].rank is Rank.TRUSTED:
        return set()
    supports = (*signals.codes.values(), *signals.click_ids.values(), signals.visitor)
    odd = {TOO_MANY_CLAIMS} if any(each.withheld is Withheld.TOO_MANY_CLAIMS for each in supports) else set()
    is_amount = books.money is not None and not is_trusted(books.money.trust)
    return odd | {UNSIGNED} if is_amount or ranked[0].rank is not Rank.TRUSTED else odd


# ── Money, date and test mark: what a lock closes ────────────────────────────────────────────────────────────────────


class _Books(msgspec.Struct, frozen=True):
    """Money, date and test mark by these witnesses. money: the witness whose amount is taken, None when none states one. parts: `PARTS`, as stated.
    too_much: a pixel stated more than pixels are believed for. unpaid: it is a lead, or of another kind that nobody pays for.
    """

    money: Witness | None
    sold: Sold
    parts: dict[str, Any]
    test: bool
    too_much: bool
    unpaid: bool

    @property
    def flags(self) -> set[str]:
        """What is odd about the amount itself."""
        odd = {OVER_PIXEL_MAX} if self.too_much else set()
        if self.money is None and not self.unpaid:
            odd.add("amount_unknown")
        elif self.money is not None and self.money.report.estimated:
            odd.add("net_estimated")
        return odd

    def same_as(self, other: "_Books") -> bool:
        """Whether both come to the same amounts, date and test mark."""
        return self._closing() == other._closing()

    def _closing(self) -> tuple[object, ...]:
        return self.sold.net_minor, self.sold.currency, self.sold.occurred_at, self.test, self.parts


def _closed(ranked: list[Witness], locked_at: datetime | None) -> list[Witness]:
    """The witnesses received before the order was locked; all of them while it is not locked."""
    if locked_at is None or all(witness.received_at <= locked_at for witness in ranked):
        return ranked
    # Orders merged after the lock may leave no witness received in time: then all of them.
    return [witness for witness in ranked if witness.received_at <= locked_at] or ranked


def _as_sold(ranked: list[Witness], adjustments: Sequence[Adjustment]) -> list[Witness]:
    """The witnesses without the newest versions of the order that state what its cancellation or its refunds have left, and not what was sold.

    Where a cancelled order is worth nothing any more, the version before that holds. Where a version lacks units of lines, and refunds name as many or
    more of each, those came back: the oldest version that has just them in addition holds.
    """
    newest = next((each for each in ranked if is_trusted(each.trust) and net_of(each.report) is not None), None)
    if newest is None or not adjustments:
        return ranked
    back = taken_back(adjustments)
    older = [
        each
        for each in ranked
        if each.place == newest.place and each.report.version < newest.report.version and net_of(each.report)
    ]
    sold = newest
    if back.is_cancelled and net_of(newest.report) == 0 and older:
        sold = older[0]
    sold = next((each for each in reversed(older) if _is_left_of(sold.report, each.report, back)), sold)
    if sold is newest:
        return ranked
    return [each for each in ranked if each.place != sold.place or each.report.version <= sold.report.version]


def _is_left_of(newer: OrderReport, older: OrderReport, back: TakenBack) -> bool:
    """Whether a version is an older one without units that came back, and has no others."""
    if not older.lines or not (newer.lines or net_of(newer) == 0):
        return False
    left = units_of(newer.lines)
    lost = {each: units - left.pop(each, 0) for each, units in units_of(older.lines).items()}
    return not left and any(lost.values()) and all(0 <= lost[each] <= back.units.get(each, 0) for each in lost)


def _books(ranked: Sequence[Ranked], rules: TrustRules) -> _Books:
    trusted = [each.witness for each in ranked if each.rank is Rank.TRUSTED]
    witnesses = trusted or [each.witness for each in ranked]
    money = next((witness for witness in witnesses if net_of(witness.report) is not None), None)
    too_much = not trusted and money is not None and rules.is_too_much(net_of(money.report), money.report.currency)
    reports = [witness.report for witness in witnesses]
    if trusted and money is None:
        money, too_much = _pixel_amount(ranked, _first_stated(reports, "currency"), rules)
        reports += [money.report] if money else []
    net_minor = net_of(money.report) if money else None
    currency = money.report.currency if money else _first_stated(reports, "currency")
    in_currency = [report for report in reports if report.currency is None or report.currency == currency]
    parts = {name: _first_stated(in_currency, name) for name in PARTS}
    totals: dict[str | None, int] = {}
    if net_minor is not None:
        totals[currency] = net_minor + (parts["tax_minor"] or 0) + (parts["shipping_minor"] or 0)
        paid = next((report for report in reports if report.total_minor is not None), None)
        if paid is not None and paid.total_minor is not None:
            totals[paid.total_currency or paid.currency or currency] = paid.total_minor
        charged = _charged(reports, currency, totals)
        if charged is not None:
            net_minor, parts, totals = _of_charge(charged, net_minor, parts, totals, currency)
    lines: Sequence[OrderLine] = next((report.lines for report in in_currency if report.lines), ())
    # Lines of another report may be of an order that was changed since.
    if lines and money is not None and net_minor is not None and lines == money.report.lines:
        lines = within(net_minor, lines)
    unpaid = reports[0].kind in UNPAID_KINDS
    goods_minor = None
    if net_minor is not None:
        shipping_tax = _first_stated(in_currency, "shipping_tax_minor")
        goods_minor = goods_with_tax(net_minor, parts["tax_minor"], parts["shipping_minor"], shipping_tax)
    sold = Sold(net_minor, currency, ordered_at(witnesses), totals, lines, goods_minor)
    return _Books(money, sold, parts, any(witness.report.test for witness in witnesses), too_much, unpaid)


def _charged(reports: Sequence[OrderReport], currency: str | None, totals: Mapping[str | None, int]) -> Fraction | None:
    """The share of the total that was charged in the end, the largest that is stated; None: all of it."""
    stated = [
        Fraction(report.charged_minor, total)
        for report in reports
        if report.charged_minor is not None and (total := totals.get(report.currency or currency, 0)) > 0
    ]
    share = max(stated, default=None)
    return None if share == 1 else share


def _of_charge(
    share: Fraction, net_minor: int, parts: Mapping[str, Any], totals: Mapping[str | None, int], currency: str | None
) -> tuple[int, dict[str, Any], dict[str | None, int]]:
    """Net, parts and totals of an order of which only this share was charged."""
    left = {each: floor(total * share + Fraction(1, 2)) for each, total in totals.items()}
    stated = (net_minor, parts["tax_minor"], parts["shipping_minor"])
    net, tax, shipping = charged_part(left[currency], totals[currency], stated)
    assert net is not None
    items = None if parts["items_minor"] is None else max(floor(parts["items_minor"] * share + Fraction(1, 2)), net)
    discount = None if items is None or parts["discount_minor"] is None else items - net
    return net, dict(zip(PARTS, (items, discount, tax, shipping), strict=True)), left


def _pixel_amount(ranked: Sequence[Ranked], currency: str | None, rules: TrustRules) -> tuple[Witness | None, bool]:
    """The report that gives the amount of an order of which no trusted report states any: the first heard of the highest rank; and whether all
    were left out because they state too much. currency: in which trusted reports state the order, if they do.
    """
    joined = [
        each
        for each in ranked
        if each.rank in (Rank.PROOF, Rank.NUMBER)
        and each.withheld is None
        and net_of(each.witness.report) is not None
        and currency in (None, each.witness.report.currency)
    ]
    believed = [
        each for each in joined if not rules.is_too_much(net_of(each.witness.report), each.witness.report.currency)
    ]
    first = min(
        believed, key=lambda each: (-each.rank, each.witness.received_at, each.witness.content_hash), default=None
    )
    return (None, bool(joined)) if first is None else (first.witness, False)


# ── Signals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def code_named(order: Order, by_id: Mapping[str, str], by_text: Mapping[str, str]) -> Order:
    """The order with the codes that its aliases stand for: in the place of codes, and behind them those of its code ids.

    by_id: the folded code of each id that the brand has mapped. by_text: that of each alias, folded, that may stand in the place of a code.
    """
    aliases: dict[str, str] = {}
    codes: dict[str, Support] = {}
    for text, support in order.signals.codes.items():
        code = by_text.get(text, text)
        if code != text:
            aliases[order.spellings[text]] = code
        codes[code] = surer(codes.get(code, support), support)
    aliases |= {code_id: by_id[code_id] for code_id in order.signals.code_ids if code_id in by_id}
    codes |= {code: TRUSTED for code_id, code in aliases.items() if code_id in order.signals.code_ids}
    return replace(order, codes=counting(codes), signals=replace(order.signals, codes=codes), aliases=aliases)


AnyFact = TypeVar("AnyFact", Witness, Adjustment)


def _once(facts: Iterable[AnyFact]) -> list[AnyFact]:
    """Each fact once, at its earliest receipt: after a merge the same report may stand under two of the order's ids."""
    earliest: dict[bytes, AnyFact] = {}
    for fact in facts:
        other = earliest.get(fact.content_hash)
        if other is None or fact.received_at < other.received_at:
            earliest[fact.content_hash] = fact
    return list(earliest.values())


def _first_stated(reports: Iterable[OrderReport | Customer], name: str) -> Any:
    """The attribute in the first of these that states it; None when none does."""
    for each in reports:
        value = getattr(each, name)
        if value is not None:
            return value
    return None


def _status(
    standing: Standing,
    ranked: Sequence[Ranked],
    signed: Sequence[tuple[datetime, datetime | None]],
    adjustments: Sequence[Adjustment],
    *,
    too_much: bool,
) -> tuple[str, str | None]:
    """The status of an order, and the reason of a rejection: as people decided it, else by its reports. What was never paid was never sold."""
    if standing.status is not None:
        return standing.status, standing.reason
    trusted = [each.witness for each in ranked if each.rank is Rank.TRUSTED]
    if not trusted:
        first_received = min(each.witness.received_at for each in ranked)
        if too_much or any(start <= first_received and (end is None or first_received < end) for start, end in signed):
            return UNVERIFIED, None
    reports = [witness.report for witness in trusted or (each.witness for each in ranked)]
    if _first_stated(reports, "paid"):
        return APPROVED, None
    return (REJECTED, CANCELLED) if any(map(_is_for_want_of_payment, adjustments)) else (PENDING, None)
