"""The status of an order: what its reports come to, and over it what people decided. A fold over facts, like everything else.

    stub ─ only refunds name it            unverified ─ only a pixel reported it, though the shop has a signed source
    pending ──▶ approved ──▶ locked ──▶ paid
       │           │
       └───────────┴──▶ rejected(reason) ──▶ pending, until it is locked

An order is approved by its payment, or by people. `locked` and `paid` are final, whatever else was said and in whatever order it arrived; before
that the last word of people holds; without one the reports do.
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

REASONS = (
    "cancelled", "returned", "failed_payment", "breach_of_terms", "duplicate", "out_of_stock", "self_referral", "fraud", "other",
)  # fmt: skip
"""Why an order was rejected."""

NEXT: Mapping[str, tuple[str, ...]] = {
    STUB: (),
    UNVERIFIED: (APPROVED, REJECTED),
    PENDING: (APPROVED, REJECTED),
    APPROVED: (LOCKED, REJECTED),
    REJECTED: (PENDING, REJECTED),
    LOCKED: (PAID,),
    PAID: (),
}
"""What people may make of an order in each status. From `rejected`: `pending` takes the rejection back, `rejected` gives another reason."""


@dataclass(frozen=True, slots=True)
class StatusChange:
    """One decision about an order. was: the status it found, for the record. key_id None: its hold had passed, and the service locked it."""

    status: str
    changed_at: datetime
    was: str
    reason: str | None = None
    note: str | None = None
    key_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where people left an order. status None: nothing they decided holds. approved_at: when they approved it, if they did."""

    status: str | None = None
    reason: str | None = None
    approved_at: datetime | None = None
    locked_at: datetime | None = None


UNDECIDED = Standing()


def in_time(changes: Iterable[StatusChange]) -> tuple[StatusChange, ...]:
    """Changes in the order of time, equal ones once."""
    once = set(changes)
    return tuple(sorted(once, key=_turn)) if once else ()


def stand(changes: Iterable[StatusChange]) -> Standing:
    """What these changes come to, whatever their order and however often each is repeated.

    Two orders may turn out to be one with a history each: then too what is final wins, and else the last word.
    """
    told = in_time(changes)
    if not told:
        return UNDECIDED
    final = [change for change in told if change.status in FINAL]
    if final:
        paid = any(change.status == PAID for change in final)
        return Standing(PAID if paid else LOCKED, locked_at=final[0].changed_at)
    last = told[-1]
    if last.status == REJECTED:
        return Standing(REJECTED, reason=last.reason)
    if last.status == APPROVED:
        return Standing(APPROVED, approved_at=last.changed_at)
    return UNDECIDED


def _turn(change: StatusChange) -> tuple[datetime, int, str, str, str, str]:
    # At one moment the strongest is the last; the rest only makes the order the same everywhere.
    return (
        change.changed_at,
        STATUSES.index(change.status),
        change.reason or "",
        change.was,
        change.note or "",
        str(change.key_id),
    )
