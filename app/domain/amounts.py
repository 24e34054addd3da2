"""What each witness of an order says of its amount, beside the amount that is taken: `compare`. Pure, and blind to arrival.

One witness is trusted for the amount; the others confirm it or differ. A difference is only a difference on one base: a pixel that does not know tax
and shipping tells what was paid, and is compared with what was paid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from app.domain.orders import TRUST_SERVER, OrderReport

USED, CONFIRMED, DIFFERS, NONE = "used", "confirmed", "differs", "none"
SUPERSEDED, AFTER_LOCK = "superseded", "after_lock"
OTHER_CURRENCY, OTHER_BASE = "other_currency", "other_base"
AMOUNTS = (USED, CONFIRMED, DIFFERS, SUPERSEDED, AFTER_LOCK, OTHER_CURRENCY, OTHER_BASE, NONE)
"""What a witness's amount is to its order. superseded: the same place has said something newer since. other_base: it contains tax or shipping
that nobody tells apart."""

BP = 10_000


class Witness(msgspec.Struct, frozen=True, gc=False):
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

    @property
    def place(self) -> tuple[int, str, str]:
        """Where it speaks from: of two reports from one place the newer version replaces the older."""
        return self.trust, self.door, self.platform


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
    """A witness, what its amount is to the order (`AMOUNTS`), its own net, and by how much it says more than what is taken."""

    witness: Witness
    amounts: str
    net_minor: int | None = None
    difference_minor: int | None = None


def net_of(report: OrderReport) -> int | None:
    """After discount, before tax, shipping and refunds; from the parts when it is not said outright."""
    if report.net_minor is not None:
        return report.net_minor
    if report.items_minor is None:
        return None
    return report.items_minor - (report.discount_minor or 0)


def compare(
    ranked: Sequence[Witness],
    money: Witness | None,
    locked_at: datetime | None,
    paid_on_top: tuple[int | None, int | None],
    tolerance: Tolerance,
) -> tuple[tuple[AmountCheck, ...], set[str]]:
    """Every witness beside the one whose amount is taken, in the order given, and the flags of the order.

    `amount_disagreement`: two current amounts differ by more than the tolerance, whoever stated them. `currency_disagreement`: two
    authenticated ones are in two currencies.
    `conflicting_reports`: between two of one trust and version only the hash decided.
    """
    if len(ranked) == 1 and money is not None:
        return (AmountCheck(money, USED, net_of(money.report), 0),), set()
    accounts = []
    flags: set[str] = set()
    newest: dict[tuple[int, str, str], int] = {}
    for witness in ranked:
        newest[witness.place] = max(newest.get(witness.place, 0), witness.report.version)
    for witness in ranked:
        net_minor = net_of(witness.report)
        if money is None or net_minor is None:
            accounts.append(AmountCheck(witness, NONE))
            continue
        if witness is money:
            accounts.append(AmountCheck(witness, USED, net_minor, 0))
            continue
        difference = _difference(witness.report, money.report, paid_on_top)
        tied = witness.rank[:2] == money.rank[:2]
        other_currency = witness.report.currency != money.report.currency
        if not other_currency and difference is not None and tolerance.holds(difference, net_of(money.report) or 0):
            amounts = CONFIRMED
        elif locked_at is not None and witness.received_at > locked_at:
            amounts = AFTER_LOCK
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
        elif amounts == OTHER_CURRENCY and witness.trust >= TRUST_SERVER:
            # A pixel tells what the shopper saw, in the shopper's currency; that is no news of a shop that sells abroad.
            flags.add("currency_disagreement")
        accounts.append(AmountCheck(witness, amounts, net_minor, None if other_currency else difference))
    return tuple(accounts), flags


def _difference(report: OrderReport, taken: OrderReport, paid_on_top: tuple[int | None, int | None]) -> int | None:
    """By how much a report says more than the one that is taken, both on the base of what the vaguer one knows. None: that cannot be told."""
    told, held = _at_most(report, taken, paid_on_top), _at_most(taken, report, paid_on_top)
    return None if told is None or held is None else told - held


def _at_most(report: OrderReport, other: OrderReport, paid_on_top: tuple[int | None, int | None]) -> int | None:
    """A report's net with the tax and shipping that the other one could not leave out."""
    net_minor = net_of(report)
    assert net_minor is not None
    for name, folded in zip(("tax_minor", "shipping_minor"), paid_on_top, strict=True):
        if _contains(other, name) and not _contains(report, name):
            own: int | None = getattr(report, name)
            part = folded if own is None else own
            if part is None:
                return None
            net_minor += part
    return net_minor


def _contains(report: OrderReport, name: str) -> bool:
    """Whether an estimate still holds this part in its net, for not having been told it."""
    return report.estimated and getattr(report, name) is None
