"""What refunds, cancellations, chargebacks and their reversals take from an order and give back: `effects`. Pure, and blind to arrival.

Each stores what was said (an amount, some lines, or all that is left), never a computed remainder; what it really moves follows from the order and
from those that took effect before it. Gross never changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import msgspec
from msgspec.structs import replace

from app.domain.orders import CANCELLATION, CHARGEBACK, REVERSAL, OrderLine

OVER_ORDER = "refund_over_order"
LINE_UNKNOWN = "refund_line_unknown"
OTHER_CURRENCY = "currency_mismatch"
NO_REFUND = "reversal_without_refund"
CONFLICTING = "conflicting_reports"
OVERTAKEN_WITHIN = timedelta(minutes=1)
"""How much later than its own taking back a cancellation may arrive, where two messages are under way at once: as long as WooCommerce waits for an
answer."""


class Adjustment(msgspec.Struct, frozen=True, gc=False):
    """One report of a refund, cancellation, chargeback or reversal. amount_minor: positive; None: all that is left, or the lines' amount.

    of_total, cumulative, part_of, by_lines, reverses: as of a RefundReport.
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
    by_lines: bool = False
    reverses: str | None = None
    lines: tuple[OrderLine, ...] = ()

    @property
    def rank(self) -> tuple[int, int, bytes]:
        """Greater is believed: trust, then the source's own version, then the hash, which only makes the choice the same everywhere."""
        return self.trust, self.version, self.content_hash

    @property
    def name(self) -> tuple[str, str]:
        """Reports of one name are of one thing."""
        return self.kind, self.refund_id

    @property
    def said(self) -> tuple[object, ...]:
        """What it says of money."""
        return self.amount_minor, self.currency, self.of_total, self.reverses, self.by_lines, self.lines


class Effect(msgspec.Struct, frozen=True, gc=False):
    """What an adjustment really took away (positive) or gave back (negative), never more than there was.

    flag: why it moved less than it said, or nothing at all; None when it moved what it said.
    """

    refund_id: str
    kind: str
    amount_minor: int
    occurred_at: datetime
    reverses: str | None = None
    flag: str | None = None


class Sold(msgspec.Struct, frozen=True):
    """The order that adjustments take from. lines: as the most trusted who names them says.

    totals: what was paid in all, tax and shipping included, by currency: in the order's own, and in what the shopper paid in where that was another.
    """

    net_minor: int | None
    currency: str | None
    occurred_at: datetime
    totals: Mapping[str | None, int] = {}
    lines: Sequence[OrderLine] = ()


class RefundOutcome(msgspec.Struct, frozen=True):
    """effects: in the order in which they took effect. idle: known, and without effect until something else is known. flags: of the order."""

    effects: tuple[Effect, ...] = ()
    idle: tuple[Effect, ...] = ()
    flags: frozenset[str] = frozenset()


NOTHING = RefundOutcome()


def effects(facts: Iterable[Adjustment], sold: Sold) -> RefundOutcome:
    """What each adjustment took, in the order (time, refund id), cancellations after the refunds: they take what those have left.

    Of several reports of one, the highest rank holds. Reversals follow what they reverse and, when dated after the cancellation, the
    cancellation. A refund that failed is told as 0 and stays, taking nothing; a cancellation or chargeback told as 0 has been taken back, as if
    it had never been. Nothing is taken twice or beyond the order, nothing given back that was not taken: the excess is cut and flagged.
    """
    told = list(facts)
    if not told:
        return NOTHING
    flags: set[str] = set()
    single: dict[tuple[str, str], list[Adjustment]] = {}
    for each in sorted((each for each in told if not each.cumulative), key=lambda each: each.rank, reverse=True):
        single.setdefault(each.name, []).append(each)
    if any(_disagrees(each, reports[0]) for reports in single.values() for each in reports):
        flags.add(CONFLICTING)
    held = [_without_overtaken(reports) for reports in single.values()]
    standing = [_as_first_heard(reports) for reports in held if not _taken_back(reports[0])]
    standing += _beyond_known(told)
    if not standing or sold.net_minor is None:
        return RefundOutcome(flags=frozenset(flags))
    known_ids = {each.refund_id for each in told if each.kind != REVERSAL}
    till = _RefundState(sold)
    idle = []
    for each, at in _in_turn(standing, sold.occurred_at):
        reason = _why_idle(each, sold, known_ids)
        if reason is not None:
            idle.append(Effect(each.refund_id, each.kind, 0, at, each.reverses, reason))
        elif each.kind == REVERSAL:
            till.give_back(each, at)
        else:
            till.take(each, at)
    flags |= {effect.flag for effect in (*till.effects, *idle) if effect.flag is not None}
    return RefundOutcome(tuple(till.effects), tuple(idle), frozenset(flags))


@dataclass(slots=True)
class _RefundState:
    """What has been taken so far, of the order, by each adjustment, and of each line."""

    sold: Sold
    effects: list[Effect] = field(default_factory=list)
    taken: int = 0
    # By currency: what has been given back of what was paid in all.
    given: dict[str | None, int] = field(default_factory=dict)
    # By refund id: what it has taken and nobody has given back yet.
    held: dict[str, int] = field(default_factory=dict)
    # By line id: how many units have come back; and by refund id, which of them it brought.
    units: dict[str, int] = field(default_factory=dict)
    brought: dict[str, dict[str, int]] = field(default_factory=dict)

    def take(self, each: Adjustment, at: datetime) -> None:
        """Takes an amount, the lines' amount or all that is left."""
        room = max(self.sold.net_minor or 0, 0) - self.taken
        flag = None
        if each.by_lines:
            asked, flag = self._of_lines(each)
        else:
            asked = self._asked(each, room)
        if asked > room:
            flag = OVER_ORDER
        moved = min(asked, room)
        self.held[each.refund_id] = self.held.get(each.refund_id, 0) + moved
        self._move(each, moved, at, flag)

    def give_back(self, each: Adjustment, at: datetime) -> None:
        """Gives back at most what is taken, and of one that it names at most what that one took."""
        room = self.taken
        if each.reverses is not None:
            room = min(room, self.held.get(each.reverses, 0))
        asked = self._asked(each, room)
        moved = min(asked, room)
        if each.reverses is not None:
            self.held[each.reverses] = self.held.get(each.reverses, 0) - moved
            if not self.held[each.reverses]:
                # Wholly reversed: its units are with the customer again, and may come back once more.
                for line_id, units in self.brought.pop(each.reverses, {}).items():
                    self.units[line_id] -= units
        self._move(each, -moved, at, OVER_ORDER if asked > room else None)

    def _move(self, each: Adjustment, amount_minor: int, at: datetime, flag: str | None) -> None:
        self.taken += amount_minor
        self.effects.append(Effect(each.refund_id, each.kind, amount_minor, at, each.reverses, flag))

    def _asked(self, each: Adjustment, room: int) -> int:
        """The amount it names, on the base of net; all there is room for when it names none."""
        if each.amount_minor is None:
            return room
        paid_in = each.currency or self.sold.currency
        if not each.of_total or paid_in not in self.sold.totals:
            return each.amount_minor
        before = self.given.get(paid_in, 0)
        after = self.given[paid_in] = before + (-each.amount_minor if each.kind == REVERSAL else each.amount_minor)
        whole, total = max(self.sold.net_minor or 0, 0), self.sold.totals[paid_in]
        return abs(_of_net(after, whole, total) - _of_net(before, whole, total))

    def _of_lines(self, each: Adjustment) -> tuple[int, str | None]:
        """What these lines are worth in the order; a line without its own amount takes its units' part, so that all units take all of it."""
        sold = {line.id: line for line in self.sold.lines}
        total, flag = 0, None
        brought = self.brought.setdefault(each.refund_id, {})
        for line in each.lines:
            if line.net_minor is not None:
                total += line.net_minor
                continue
            known = sold.get(line.id)
            if known is None or known.net_minor is None or known.quantity < 1:
                flag = flag or LINE_UNKNOWN
                continue
            before = self.units.get(line.id, 0)
            after = min(before + line.quantity, known.quantity)
            if after < before + line.quantity:
                flag = OVER_ORDER
            total += _part(known.net_minor, after, known.quantity) - _part(known.net_minor, before, known.quantity)
            self.units[line.id] = after
            brought[line.id] = brought.get(line.id, 0) + after - before
        return total, flag


def _part(net_minor: int, units: int, of: int) -> int:
    """The worth of the first units of a line, rounded half up."""
    return (2 * net_minor * units + of) // (2 * of)


def _of_net(given: int, net: int, total: int) -> int:
    """The part of the net in so much of the total given back, rounded half up: all of it in all. Of running sums, so that parts add up exactly."""
    return given if total <= 0 else (2 * given * net + total) // (2 * total)


def _why_idle(each: Adjustment, sold: Sold, known_ids: set[str]) -> str | None:
    """Why an adjustment has no effect yet: its amount is in another currency, or what it reverses is not known."""
    told_in = each.currency or sold.currency
    named = each.amount_minor is not None or any(line.net_minor is not None for line in each.lines if each.by_lines)
    if named and told_in != sold.currency and not (each.of_total and told_in in sold.totals):
        return OTHER_CURRENCY
    if each.reverses is not None and each.reverses not in known_ids:
        return NO_REFUND
    return None


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


def _as_first_heard(reports: Sequence[Adjustment]) -> Adjustment:
    """The first of these reports of one refund, best first, as received when what still holds was heard first.

    A shop that repeats its refunds in every update of their order, each time under a newer version, must not move them through the calendar.
    """
    best = reports[0]
    still = takewhile(lambda each: (each.trust, each.said) == (best.trust, best.said), reports)
    return replace(best, received_at=min(each.received_at for each in still))


def _without_overtaken(reports: list[Adjustment]) -> list[Adjustment]:
    """These reports of one adjustment, best first, without cancellations whose taking back was faster than they were."""
    if not any(each.reverses is not None and each.kind == CANCELLATION for each in reports):
        return reports
    left: list[Adjustment] = []
    unanswered, proof = False, None
    for each in reversed(reports):
        if _taken_back(each):
            # Only one that proves a cancellation answers it: another may say at the same moment that the order is live.
            if each.reverses is not None:
                proof = None if unanswered else each
                unanswered = False
        elif proof is not None and each.received_at - proof.received_at <= OVERTAKEN_WITHIN:
            proof = None
            continue
        else:
            unanswered = True
        left.append(each)
    return left[::-1]


def _taken_back(each: Adjustment) -> bool:
    """Whether a cancellation or chargeback has been undone: the order is live again, the dispute was won. It is told as the amount 0."""
    return each.kind in (CANCELLATION, CHARGEBACK) and each.amount_minor == 0


def _disagrees(each: Adjustment, chosen: Adjustment) -> bool:
    """Whether only the hash decided between two reports of one refund."""
    return each.rank[:2] == chosen.rank[:2] and each.said != chosen.said


def _in_turn(standing: Sequence[Adjustment], ordered_at: datetime) -> list[tuple[Adjustment, datetime]]:
    """Adjustments and their times in the order of effects: refunds, the cancellation, reversals that came after it. Ties by id."""
    dated = [(each, _effective_at(each, ordered_at)) for each in standing]
    reversible = [(each, at) for each, at in dated if each.kind != REVERSAL]
    cancelled_at = min((at for each, at in reversible if each.kind == CANCELLATION), default=None)

    def turn(item: tuple[Adjustment, datetime]) -> tuple[int, datetime, bool, str, str, bytes]:
        each, at = item
        phase = 1 if each.kind == CANCELLATION else 0
        if each.kind == REVERSAL:
            # It follows what it names, also when its own clock is behind.
            at = max([at, *(when for other, when in reversible if other.refund_id == each.reverses)])
            phase = 2 if cancelled_at is not None and at >= cancelled_at else 0
        return phase, at, each.kind == REVERSAL, each.refund_id, each.kind, each.content_hash

    return [(item[0], turn(item)[1]) for item in sorted(dated, key=turn)]


def _effective_at(adjustment: Adjustment, ordered_at: datetime) -> datetime:
    """A refund takes effect no later than we heard of it, and no earlier than its order."""
    said = adjustment.occurred_at or adjustment.received_at
    return max(min(said, adjustment.received_at), ordered_at).astimezone(UTC)
