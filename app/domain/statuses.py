"""The status of an order: the one its reports give it, unless people decided otherwise. A fold over facts, like everything else.

    stub ─ only refunds name it            unverified ─ only a pixel reported it, where that is not enough
    pending ──▶ approved ──▶ locked ──▶ paid
       │           │
       └───────────┴──▶ rejected(reason) ──▶ pending, until it is locked; locked ──▶ approved(note), until it is paid

An order is approved by its payment, or by people. `paid` is final, and so is `locked` until somebody lifts the lock, whatever else was decided and in
whatever order it arrived. Until then the latest decision of people holds; without one the reports give the status.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

STUB, UNVERIFIED, PENDING, APPROVED = "stub", "unverified", "pending", "approved"
REJECTED, LOCKED, PAID = "rejected", "locked", "paid"
STATUSES = (STUB, UNVERIFIED, PENDING, APPROVED, REJECTED, LOCKED, PAID)
COUNTED = (PENDING, APPROVED, LOCKED, PAID)
"""Statuses whose money counts in reports and commissions."""
FINAL = (LOCKED, PAID)

CANCELLED = "cancelled"
REASONS = (
    CANCELLED, "returned", "failed_payment", "breach_of_terms", "duplicate", "out_of_stock", "self_referral", "fraud", "other",
)  # fmt: skip
"""Reasons why an order was rejected."""

NEXT: Mapping[str, tuple[str, ...]] = {
    STUB: (),
    UNVERIFIED: (APPROVED, REJECTED),
    PENDING: (APPROVED, REJECTED),
    APPROVED: (LOCKED, REJECTED),
    REJECTED: (PENDING, REJECTED),
    LOCKED: (PAID, APPROVED),
    PAID: (),
}
"""Statuses that people may set, by the current one. From `rejected`: `pending` takes the rejection back, `rejected` gives another reason.
From `locked`: `approved` lifts the lock, and needs a note that says why."""


@dataclass(frozen=True, slots=True)
class StatusChange:
    """One decision about an order. was: the status before it, for the record. key_id None: the service locked the order after its hold.

    decided: of a final status, who gets the order as of then (JSON); None where a release before did not keep it.
    conversion_id: the order it was decided about, which may have been merged into another since; None before it is stored.
    """

    status: str
    changed_at: datetime
    was: str
    reason: str | None = None
    note: str | None = None
    key_id: UUID | None = None
    decided: str | None = None
    conversion_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """The outcome of people's decisions about an order. status None: none of them holds. approved_at: when people approved it, if they did.

    decided: who gets the order as of its lock. lifted_at: when a lock was lifted, after which the hold begins anew.
    """

    status: str | None = None
    reason: str | None = None
    approved_at: datetime | None = None
    locked_at: datetime | None = None
    decided: str | None = None
    lifted_at: datetime | None = None


UNDECIDED = Standing()


def in_time(changes: Iterable[StatusChange]) -> tuple[StatusChange, ...]:
    """Changes from the oldest to the newest, without duplicates."""
    return tuple(sorted(set(changes), key=_turn))


def stand(changes: Iterable[StatusChange]) -> Standing:
    """The outcome of these changes, whatever their order and however often each is repeated.

    Two orders may turn out to be one, each with a history: a final status wins then too, and otherwise the latest decision. The lifting of a lock ends
    the lock of the order it was decided about, and no other's.
    """
    ordered = in_time(changes)
    paid = any(change.status == PAID for change in ordered)
    lifted = [place for place, change in enumerate(ordered) if change.status == APPROVED and change.was == LOCKED]
    ended = {} if paid else {ordered[place].conversion_id: place for place in lifted}
    final = [
        change
        for place, change in enumerate(ordered)
        if change.status in FINAL and place > ended.get(change.conversion_id, -1)
    ]
    if final:
        return Standing(PAID if paid else LOCKED, locked_at=final[0].changed_at, decided=final[0].decided)
    if not ordered:
        return UNDECIDED
    last = ordered[-1]
    if last.status == REJECTED:
        return Standing(REJECTED, reason=last.reason)
    lifted_at = ordered[lifted[-1]].changed_at if lifted else None
    if last.status == APPROVED:
        return Standing(APPROVED, approved_at=last.changed_at, lifted_at=lifted_at)
    return Standing(lifted_at=lifted_at) if lifted_at else UNDECIDED


def _turn(change: StatusChange) -> tuple[datetime, int, str, str]:
    # At one moment the strongest status is the last. The texts only make the order the same everywhere.
    return change.changed_at, STATUSES.index(change.status), str(change.reason), repr(change)
