"""What refunds, cancellations, chargebacks and their reversals take from an order and give back: `effects`. Pure, and independent of the order of arrival.

An adjustment stores what was reported (an amount, some lines, or all that is left), never a computed remainder; what it really moves follows from the
order and from the adjustments that took effect before it. Gross never changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import takewhile
from math import floor

import msgspec
from msgspec.structs import replace

from app.domain.money import split
from app.domain.orders import CANCELLATION, CHARGEBACK, REFUND, REVERSAL, Adjustment, OrderLine

OVER_ORDER = "refund_over_order"
LINE_UNKNOWN = "refund_line_unknown"
OTHER_CURRENCY = "currency_mismatch"
NO_REFUND = "reversal_without_refund"
CONFLICTING = "conflicting_reports"
OVERTAKEN_WITHIN = timedelta(minutes=1)
"""How much later than its own undoing a cancellation may arrive, where two messages are under way at once: as long as WooCommerce waits for an
answer."""


class Effect(msgspec.Struct, frozen=True, gc=False):
    """What an adjustment really took away (positive) or gave back (negative), never more than there was.

    flag: why it moved less than it states, or nothing at all; None when it moved what it states.
    """

    refund_id: str
    kind: str
    amount_minor: int
    occurred_at: datetime
    reverses: str | None = None
    flag: str | None = None


class Sold(msgspec.Struct, frozen=True):
    """The order that adjustments take from. lines: as the most trusted report with lines has them.

    totals: the total paid, tax and shipping included, by currency: the order's own, and the one the shopper paid in where that was another.
    goods_minor: what the goods cost with their tax; None where no tax is known.
    """

    net_minor: int | None
    currency: str | None
    occurred_at: datetime
    totals: Mapping[str | None, int] = {}
    lines: Sequence[OrderLine] = ()
    goods_minor: int | None = None


class RefundOutcome(msgspec.Struct, frozen=True):
    """The effects in the order in which they took effect, those that wait for something else to be known (`idle`), and flags for the order."""

    effects: tuple[Effect, ...] = ()
    idle: tuple[Effect, ...] = ()
    flags: frozenset[str] = frozenset()


NOTHING = RefundOutcome()


def effects(facts: Iterable[Adjustment], sold: Sold) -> RefundOutcome:
    """What each adjustment took, in the order (time, refund id), cancellations after the refunds: they take what the refunds have left.

    Of several reports of one adjustment, the highest rank holds. Reversals follow what they reverse and, when dated after the cancellation, the
    cancellation. A refund that failed is reported as 0 and stays, taking nothing; a cancellation or chargeback reported as 0 has been undone, as if
    it had never been. Nothing is taken twice or beyond the order, nothing given back that was not taken: the excess is cut and flagged.
    """
    reported = list(facts)
    if not reported:
        return NOTHING
    flags: set[str] = set()
    single = _by_name(reported)
    if any(_disagrees(each, reports[0]) for reports in single.values() for each in reports):
        flags.add(CONFLICTING)
    current = [_without_overtaken(reports) for reports in single.values()]
    standing = [_dated_at_first_receipt(reports) for reports in current if not _is_undone(reports[0])]
    standing += _beyond_known(reported)
    if not standing or sold.net_minor is None:
        return RefundOutcome(flags=frozenset(flags))
    known_ids = {each.report.refund_id for each in reported if each.report.kind != REVERSAL}
    state = _RefundState(sold)
    idle = []
    for each, at in _in_turn(standing, sold.occurred_at):
        reason = _why_idle(each, sold, known_ids)
        if reason is not None:
            idle.append(Effect(each.report.refund_id, each.report.kind, 0, at, each.report.reverses, reason))
        elif each.report.kind == REVERSAL:
            state.give_back(each, at)
        else:
            state.take(each, at)
    flags |= {effect.flag for effect in (*state.effects, *idle) if effect.flag is not None}
    return RefundOutcome(tuple(state.effects), tuple(idle), frozenset(flags))


class TakenBack(msgspec.Struct, frozen=True, gc=False):
    """What refunds name of an order's lines, units by line id, and whether the order is cancelled."""

    units: Mapping[str, int]
    is_cancelled: bool


def taken_back(facts: Iterable[Adjustment]) -> TakenBack:
    """What these adjustments say about lines and the whole order, before what it takes of its amount is known."""
    back: list[OrderLine] = []
    is_cancelled = False
    for reports in map(_without_overtaken, _by_name(facts).values()):
        report = reports[0].report
        if report.kind == CANCELLATION:
            is_cancelled = is_cancelled or not _is_undone(reports[0])
        elif report.kind == REFUND and report.stated_minor != 0:
            back += report.lines
    return TakenBack(units_of(back), is_cancelled)


def units_of(lines: Iterable[OrderLine]) -> dict[str, int]:
    """Units by line id. Several lines may have one id, which a shop without ids of lines makes of the article's number."""
    units: dict[str, int] = {}
    for line in lines:
        units[line.id] = units.get(line.id, 0) + line.quantity
    return units


def _by_name(facts: Iterable[Adjustment]) -> dict[tuple[str, str], list[Adjustment]]:
    """The reports of each adjustment that is told one by one, the best first."""
    single: dict[tuple[str, str], list[Adjustment]] = {}
    for each in sorted(
        (each for each in facts if not each.report.cumulative), key=lambda each: each.rank, reverse=True
    ):
        single.setdefault((each.report.kind, each.report.refund_id), []).append(each)
    return single


@dataclass(slots=True)
class _RefundState:
    """What has been taken so far, of the order, by each adjustment, and of each line."""

    sold: Sold
    effects: list[Effect] = field(default_factory=list)
    taken: int = 0
    # Given back of the total paid, by currency.
    given: dict[str | None, int] = field(default_factory=dict)
    # Taken by each refund id and not given back yet.
    held: dict[str, int] = field(default_factory=dict)
    # Units that have come back of each line id; and which of them each refund id brought.
    units: dict[str, int] = field(default_factory=dict)
    brought: dict[str, dict[str, int]] = field(default_factory=dict)
    # Paid back of the total of the order, tax and shipping included: goods first. In all, and by each refund id.
    paid_back: Fraction = Fraction(0)
    paid_back_by: dict[str, Fraction] = field(default_factory=dict)

    def take(self, each: Adjustment, at: datetime) -> None:
        """Takes an amount, the lines' amount or all that is left."""
        room = max(self.sold.net_minor or 0, 0) - self.taken
        flag = None
        if each.report.line_based:
            asked, flag = self._of_lines(each)
        elif each.report.goods_first and each.report.stated_minor is not None:
            asked, flag = self._of_goods(each)
        else:
            asked = self._asked(each, room)
        if asked > room:
            flag = OVER_ORDER
        moved = min(asked, room)
        if not each.report.goods_first or each.report.stated_minor is None:
            self._pay_back(each.report.refund_id, moved * self._tax_factor())
        self.held[each.report.refund_id] = self.held.get(each.report.refund_id, 0) + moved
        self._move(each, moved, at, flag)

    def give_back(self, each: Adjustment, at: datetime) -> None:
        """Gives back at most what is taken, and of one that it names at most what that one took."""
        room = self.taken
        if each.report.reverses is not None:
            room = min(room, self.held.get(each.report.reverses, 0))
        goods_first = each.report.goods_first and each.report.stated_minor is not None
        asked = self._of_goods(each)[0] if goods_first else self._asked(each, room)
        moved = min(asked, room)
        if not goods_first:
            self._pay_back(each.report.reverses, -moved * self._tax_factor())
        if each.report.reverses is not None:
            self.held[each.report.reverses] = self.held.get(each.report.reverses, 0) - moved
            if not self.held[each.report.reverses]:
                # Wholly reversed: the units are with the customer again, and may come back once more.
                for line_id, units in self.brought.pop(each.report.reverses, {}).items():
                    self.units[line_id] -= units
                # With it goes the shipping that it paid back.
                self.paid_back -= self.paid_back_by.pop(each.report.reverses, Fraction(0))
        self._move(each, -moved, at, OVER_ORDER if asked > room else None)

    def _move(self, each: Adjustment, amount_minor: int, at: datetime, flag: str | None) -> None:
        self.taken += amount_minor
        self.effects.append(
            Effect(each.report.refund_id, each.report.kind, amount_minor, at, each.report.reverses, flag)
        )

    def _asked(self, each: Adjustment, room: int) -> int:
        """The stated amount on the base of net; all there is room for when none is stated."""
        if each.report.stated_minor is None:
            return room
        paid_in = each.report.currency or self.sold.currency
        if not each.report.is_gross or paid_in not in self.sold.totals:
            return each.report.stated_minor
        before = self.given.get(paid_in, 0)
        after = self.given[paid_in] = before + (
            -each.report.stated_minor if each.report.kind == REVERSAL else each.report.stated_minor
        )
        whole, total = max(self.sold.net_minor or 0, 0), self.sold.totals[paid_in]
        return abs(_of_net(after, whole, total) - _of_net(before, whole, total))

    def _of_goods(self, each: Adjustment) -> tuple[int, str | None]:
        """What a gross amount moves: the goods with their tax go first, so that shipping is paid back by what is beyond them.

        The amount continues where the others stopped, and is the difference of two rounded sums: so the parts add up to the whole exactly.
        """
        assert each.report.stated_minor is not None
        total = max(self.sold.totals.get(self.sold.currency, 0), self._goods())
        paid_in = each.report.currency or self.sold.currency
        # In the other currency that the shopper paid in, the same share of the total.
        rate = Fraction(total, self.sold.totals.get(paid_in) or total or 1) if paid_in != self.sold.currency else 1
        amount = each.report.stated_minor * Fraction(rate)
        if each.report.kind == REVERSAL:
            after = max(self.paid_back - amount, Fraction(0))
            self._pay_back(each.report.reverses, after - self.paid_back)
            return max(self.taken - self._net_of(after), 0), None
        after = self.paid_back + amount
        flag = OVER_ORDER if after > total else None
        self._pay_back(each.report.refund_id, min(after, max(self.paid_back, Fraction(total))) - self.paid_back)
        return max(self._net_of(after) - self.taken, 0), flag

    def _net_of(self, paid_back: Fraction) -> int:
        """The part of net in what was paid back, rounded half up."""
        return net_paid_back(paid_back, max(self.sold.net_minor or 0, 0), self._goods())

    def _pay_back(self, refund_id: str | None, amount: Fraction) -> None:
        self.paid_back += amount
        if refund_id is not None:
            self.paid_back_by[refund_id] = self.paid_back_by.get(refund_id, Fraction(0)) + amount

    def _goods(self) -> int:
        """The goods with their tax, never less than without."""
        net = max(self.sold.net_minor or 0, 0)
        return max(self.sold.goods_minor or 0, net)

    def _tax_factor(self) -> Fraction:
        net = self.sold.net_minor or 0
        return Fraction(self._goods(), net) if net > 0 else Fraction(1)

    def _of_lines(self, each: Adjustment) -> tuple[int, str | None]:
        """What these lines are worth in the order; a line without its own amount takes its units' part, so that all units take all of it."""
        worth = _worth_of(self.sold.lines)
        total, flag = 0, None
        brought = self.brought.setdefault(each.report.refund_id, {})
        for line in each.report.lines:
            if line.net_minor is not None:
                total += line.net_minor
                continue
            net_minor, sold = worth.get(line.id, (None, 0))
            if net_minor is None or sold < 1:
                flag = flag or LINE_UNKNOWN
                continue
            before = self.units.get(line.id, 0)
            after = min(before + line.quantity, sold)
            if after < before + line.quantity:
                flag = OVER_ORDER
            total += _part(net_minor, after, sold) - _part(net_minor, before, sold)
            self.units[line.id] = after
            brought[line.id] = brought.get(line.id, 0) + after - before
        return total, flag


def within(whole_minor: int, lines: Sequence[OrderLine]) -> Sequence[OrderLine]:
    """These lines of an order of this net. Where they come to more, its discount or a part of its payment is not in them: each has its share then."""
    stated = [line.net_minor or 0 for line in lines]
    if not sum(stated) > whole_minor >= 0 or min(stated) < 0:
        return lines
    shares = zip(lines, split(whole_minor, list(map(Fraction, stated))), strict=True)
    return [line if line.net_minor is None else replace(line, net_minor=share) for line, share in shares]


def _worth_of(lines: Sequence[OrderLine]) -> dict[str, tuple[int | None, int]]:
    """Net and units by line id; None as the net where one of the lines of an id states none."""
    net: dict[str, int | None] = {}
    for line in lines:
        before = net.get(line.id, 0)
        net[line.id] = None if before is None or line.net_minor is None else before + line.net_minor
    return {line_id: (net[line_id], units) for line_id, units in units_of(lines).items()}


def _part(net_minor: int, units: int, of: int) -> int:
    """The worth of the first units of a line, rounded half up."""
    return (2 * net_minor * units + of) // (2 * of)


def goods_with_tax(
    net_minor: int, tax_minor: int | None, shipping_minor: int | None, shipping_tax_minor: int | None
) -> int:
    """What the goods cost with their tax. Where nobody says what the tax of shipping is, it is at the rate of the goods."""
    tax, whole = tax_minor or 0, net_minor + (shipping_minor or 0)
    if shipping_tax_minor is not None:
        return net_minor + max(tax - shipping_tax_minor, 0)
    return net_minor + (_of_net(tax, net_minor, whole) if net_minor > 0 else 0)


def net_paid_back(paid_back: Fraction | int, net_minor: int, goods_minor: int) -> int:
    """What of net is in what was paid back with tax, goods first, rounded half up. goods_minor: the goods with their tax."""
    share = Fraction(net_minor, goods_minor) if goods_minor > 0 else 0
    return floor(min(paid_back, goods_minor) * share + Fraction(1, 2))


def _of_net(given: int, net: int, total: int) -> int:
    """The share of `net` in `given` of `total`, rounded half up. It is asked of running sums, so that the parts add up to the whole exactly."""
    return given if total <= 0 else (2 * given * net + total) // (2 * total)


def _why_idle(each: Adjustment, sold: Sold, known_ids: set[str]) -> str | None:
    """Why an adjustment has no effect yet: its amount is in another currency, or what it reverses is not known."""
    stated_in = each.report.currency or sold.currency
    named = each.report.stated_minor is not None or any(
        line.net_minor is not None for line in each.report.lines if each.report.line_based
    )
    if named and stated_in != sold.currency and not (each.report.is_gross and stated_in in sold.totals):
        return OTHER_CURRENCY
    if each.report.reverses is not None and each.report.reverses not in known_ids:
        return NO_REFUND
    return None


def _beyond_known(facts: Sequence[Adjustment]) -> list[Adjustment]:
    """What cumulative sums contain beyond the refunds that are known one by one, each as a refund of its own.

    From the least to the greatest, a sum adds what the refunds included in it and the lesser sums leave of it. Times play no part: clocks
    differ, and a refund must not count twice for a second. A refund that failed stays included in the sums: they had counted it.
    """
    known: dict[tuple[str | None, str | None], dict[str, int]] = {}
    for each in facts:
        if each.report.included_in is not None and each.report.stated_minor:
            amounts = known.setdefault((each.report.included_in, each.report.currency), {})
            amounts[each.report.refund_id] = max(amounts.get(each.report.refund_id, 0), each.report.stated_minor)
    covered = {key: sum(amounts.values()) for key, amounts in known.items()}
    beyond = []
    sums = [
        (each.report.stated_minor, each)
        for each in facts
        if each.report.cumulative and each.report.stated_minor is not None
    ]
    for amount, each in sorted(
        sums, key=lambda item: (item[0], item[1].report.occurred_at or item[1].received_at, item[1].rank)
    ):
        key = each.report.refund_id, each.report.currency
        rest = amount - covered.get(key, 0)
        if rest > 0:
            covered[key] = amount
            beyond.append(replace(each, report=replace(each.report, amount_minor=rest)))
    return beyond


def _dated_at_first_receipt(reports: Sequence[Adjustment]) -> Adjustment:
    """The best of these reports of one refund (best first), with the earliest receipt of an equal statement.

    A shop that repeats its refunds in every update of their order, each time under a newer version, must not move them through the calendar.
    """
    best = reports[0]
    still = takewhile(lambda each: (each.trust, _statement(each)) == (best.trust, _statement(best)), reports)
    return replace(best, received_at=min(each.received_at for each in still))


def _without_overtaken(reports: list[Adjustment]) -> list[Adjustment]:
    """These reports of one adjustment, best first, without the cancellations that arrived after their own undoing."""
    if not any(each.report.reverses is not None and each.report.kind == CANCELLATION for each in reports):
        return reports
    left: list[Adjustment] = []
    unanswered, proof = False, None
    for each in reversed(reports):
        if _is_undone(each):
            # Only a report that proves a cancellation undoes it: another may state at the same moment that the order is live.
            if each.report.reverses is not None:
                proof = None if unanswered else each
                unanswered = False
        elif proof is not None and each.received_at - proof.received_at <= OVERTAKEN_WITHIN:
            proof = None
            continue
        else:
            unanswered = True
        left.append(each)
    return left[::-1]


def _is_undone(each: Adjustment) -> bool:
    """Whether a cancellation or chargeback has been undone: the order is live again, the dispute was won. It is reported as the amount 0."""
    return each.report.kind in (CANCELLATION, CHARGEBACK) and each.report.stated_minor == 0


def _statement(each: Adjustment) -> tuple[object, ...]:
    """What a report states of money; equal statements are no conflict."""
    report = each.report
    lines = report.lines if report.line_based else ()
    return (
        report.stated_minor,
        report.currency,
        report.is_gross,
        report.goods_first,
        report.reverses,
        report.line_based,
        lines,
    )


def _disagrees(each: Adjustment, chosen: Adjustment) -> bool:
    """Whether only the hash decided between two reports of one refund."""
    return each.rank[:2] == chosen.rank[:2] and _statement(each) != _statement(chosen)


def _in_turn(standing: Sequence[Adjustment], ordered_at: datetime) -> list[tuple[Adjustment, datetime]]:
    """Adjustments and their times in the order of effects: refunds, the cancellation, reversals that came after it. Ties by id."""
    dated = [(each, _effective_at(each, ordered_at)) for each in standing]
    reversible = [(each, at) for each, at in dated if each.report.kind != REVERSAL]
    cancelled_at = min((at for each, at in reversible if each.report.kind == CANCELLATION), default=None)

    def turn(item: tuple[Adjustment, datetime]) -> tuple[int, datetime, bool, str, str, bytes]:
        each, at = item
        phase = 1 if each.report.kind == CANCELLATION else 0
        if each.report.kind == REVERSAL:
            # A reversal follows what it names, also when its own clock is behind.
            at = max([at, *(when for other, when in reversible if other.report.refund_id == each.report.reverses)])
            phase = 2 if cancelled_at is not None and at >= cancelled_at else 0
        return phase, at, each.report.kind == REVERSAL, each.report.refund_id, each.report.kind, each.content_hash

    return [(item[0], turn(item)[1]) for item in sorted(dated, key=turn)]


def _effective_at(adjustment: Adjustment, ordered_at: datetime) -> datetime:
    """A refund takes effect no later than its receipt, and no earlier than its order."""
    stated = adjustment.report.occurred_at or adjustment.received_at
    return max(min(stated, adjustment.received_at), ordered_at).astimezone(UTC)
