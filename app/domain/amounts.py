"""The amount that each witness of an order states, beside the amount that is taken: `compare`. Pure, and independent of the order of arrival.

One witness is trusted for the amount; the others confirm it or differ. Amounts are compared on one base: a pixel that does not know tax and
shipping states what was paid, and is compared with what was paid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

import msgspec

from app.domain.money import split
from app.domain.orders import OrderReport, Witness, is_trusted

USED, CONFIRMED, DIFFERS, NONE = "used", "confirmed", "differs", "none"
SUPERSEDED, AFTER_LOCK, AFTER_REFUNDS = "superseded", "after_lock", "after_refunds"
OTHER_CURRENCY, OTHER_BASE = "other_currency", "other_base"
AMOUNTS = (USED, CONFIRMED, DIFFERS, SUPERSEDED, AFTER_LOCK, AFTER_REFUNDS, OTHER_CURRENCY, OTHER_BASE, NONE)
"""How a witness's amount relates to its order's. superseded: a newer report came from the same place. after_refunds: it
is what refunds or a cancellation have left. other_base: it contains tax or shipping
that no report states separately."""

BP = 10_000


@dataclass(frozen=True, slots=True)
class Tolerance:
    """By how much two amounts of one order may differ before somebody should look: the greater of a share of the amount and a fixed amount."""

    bp: int = 0
    minor: int = 0

    def holds(self, difference_minor: int, amount_minor: int) -> bool:
        """Whether a difference is too small to mention."""
        return abs(difference_minor) <= max(self.minor, abs(amount_minor) * self.bp // BP)


EXACT = Tolerance()


class AmountCheck(msgspec.Struct, frozen=True, gc=False):
    """A witness, how its amount relates to the order's (`AMOUNTS`), its own net, and by how much it exceeds the amount taken."""

    witness: Witness
    amounts: str
    net_minor: int | None = None
    difference_minor: int | None = None


def net_of(report: OrderReport) -> int | None:
    """The net of a report: after discount, before tax, shipping and refunds; computed from the parts when it is not stated."""
    if report.net_minor is not None:
        return report.net_minor
    if report.items_minor is None:
        return None
    return report.items_minor - (report.discount_minor or 0)


def charged_part(charged_minor: int, total_minor: int, parts: Sequence[int | None]) -> tuple[int | None, ...]:
    """Net, tax and shipping (None: not stated) where only a part of the total was charged: each in its proportion, and together with what else the
    total holds exactly what was charged.
    """
    stated = [max(part or 0, 0) for part in parts]
    shares = split(charged_minor, [Fraction(each) for each in (*stated, max(total_minor - sum(stated), 0))])
    return tuple(None if part is None else share for part, share in zip(parts, shares, strict=False))


def compare(
    ranked: Sequence[Witness],
    money: Witness | None,
    locked_at: datetime | None,
    parts: Mapping[str, int | None],
    tolerance: Tolerance,
) -> tuple[tuple[AmountCheck, ...], set[str]]:
    """Every witness beside the one whose amount is taken, in the order given, and the flags of the order. parts: tax and shipping of the order.

    `amount_disagreement`: two current amounts differ by more than the tolerance, whoever stated them. `currency_disagreement`: two
    authenticated ones are in two currencies.
    `conflicting_reports`: between two of one trust and version only the hash decided.
    """
    checks = []
    flags: set[str] = set()
    newest: dict[tuple[int, str, str], int] = {}
    for witness in ranked:
        newest[witness.place] = max(newest.get(witness.place, 0), witness.report.version)
    for witness in ranked:
        net_minor = net_of(witness.report)
        if money is None or net_minor is None:
            checks.append(AmountCheck(witness, NONE))
            continue
        if witness is money:
            checks.append(AmountCheck(witness, USED, net_minor, 0))
            continue
        difference = _difference(witness.report, money.report, parts)
        tied = witness.rank[:2] == money.rank[:2]
        other_currency = witness.report.currency != money.report.currency
        if not other_currency and difference is not None and tolerance.holds(difference, net_of(money.report) or 0):
            amounts = CONFIRMED
        elif locked_at is not None and witness.received_at > locked_at:
            amounts = AFTER_LOCK
        elif witness.place == money.place and witness.report.version > money.report.version:
            amounts = AFTER_REFUNDS
        elif witness.report.version < newest[witness.place]:
            amounts = SUPERSEDED
        elif other_currency:
            amounts = OTHER_CURRENCY
        else:
            amounts = OTHER_BASE if difference is None else DIFFERS
        if tied and (difference != 0 or other_currency):
            flags.add("conflicting_reports")
        elif amounts == DIFFERS:
            flags.add("amount_disagreement")
        elif amounts == OTHER_CURRENCY and is_trusted(witness.trust):
            # A pixel states what the shopper saw, in the shopper's currency: ordinary for a shop that sells abroad.
            flags.add("currency_disagreement")
        checks.append(AmountCheck(witness, amounts, net_minor, None if other_currency else difference))
    return tuple(checks), flags


def _difference(report: OrderReport, taken: OrderReport, parts: Mapping[str, int | None]) -> int | None:
    """By how much a report exceeds the one that is taken, both on the base of the vaguer one. None: that cannot be computed."""
    stated, expected = _at_most(report, taken, parts), _at_most(taken, report, parts)
    return None if stated is None or expected is None else stated - expected


def _at_most(report: OrderReport, other: OrderReport, parts: Mapping[str, int | None]) -> int | None:
    """A report's net with the tax and shipping that the other one could not leave out."""
    net_minor = net_of(report)
    assert net_minor is not None
    for name in ("tax_minor", "shipping_minor"):
        if _contains(other, name) and not _contains(report, name):
            own: int | None = getattr(report, name)
            part = parts[name] if own is None else own
            if part is None:
                return None
            net_minor += part
    return net_minor


def _contains(report: OrderReport, name: str) -> bool:
    """Whether an estimated net still contains this part, because the report does not state it."""
    return report.estimated and getattr(report, name) is None
