"""One order out of all reports of it and of its refunds, and all that people decided: `fold`. Pure, and independent of the order of arrival.

Every choice below is a maximum or a union over facts, never a comparison with what was known before. So any permutation and repetition of the
same facts ends in the same order (tests/orders/test_record_properties.py).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from app.domain.amounts import EXACT, AmountCheck, Tolerance, compare, net_of
from app.domain.codes import normalise
from app.domain.orders import REFUND, TRUST_SERVER, UNKNOWN_ORIGIN, Adjustment, Customer, OrderReport, Witness
from app.domain.refunds import Effect, Sold, effects
from app.domain.statuses import APPROVED, PENDING, STUB, UNVERIFIED, Standing, StatusChange, stand

FLAGS = (
    "amount_disagreement", "currency_disagreement", "conflicting_reports", "changed_after_lock", "amount_unknown", "net_estimated", "unsigned",
    "refund_over_order", "refund_line_unknown", "currency_mismatch", "reversal_without_refund", "over_cap", "late_click",
)  # fmt: skip
"""What may be odd about an order; docs/orders.md explains each."""
QUIET_BEFORE_LOCK = timedelta(days=1)
"""How long after the last new report an order that its payment approved stays unlocked: after an import or an outage more reports follow."""


PARTS = ("items_minor", "discount_minor", "tax_minor", "shipping_minor")
"""The amounts of an order beside its net."""


class OrderColumns(msgspec.Struct, frozen=True):
    """The attributes of an order that table `conversion` stores, each in the column of its name. Money in minor units of `currency`; None: not stated.

    occurred_at: None for a stub only, an order that only refunds name yet. codes: folded, in the order of the cart. flags: sorted.
    locked_at: when amounts, date and test mark were closed to later reports.
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
    customer_key: str | None = None
    customer_is_new: bool | None = None
    origin: str = UNKNOWN_ORIGIN
    test: bool = False
    flags: tuple[str, ...] = ()


class Order(OrderColumns, frozen=True):
    """The order that all its facts together make: what is stored of it, and what deciding and showing it need beside that.

    spellings: codes as they were typed, by their folded form. code_ids: codes as the shop system calls them. aliases: the code ids that stand for
    one of `codes`, with its folded form; only the brand's mapping knows them, and `code_named` adds them.
    unsigned_*: named by unsigned reports only, while a trusted one named others. amount_checks: the most trusted report first.
    effects: in the order in which they took effect; idle: adjustments without effect so far.
    lockable_at: the earliest moment an approved order may be locked once its hold has passed; None: it may not be.
    """

    click_ids: tuple[str, ...] = ()
    spellings: Mapping[str, str] = {}
    code_ids: tuple[str, ...] = ()
    aliases: Mapping[str, str] = {}
    unsigned_codes: tuple[str, ...] = ()
    unsigned_click_ids: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    idle: tuple[Effect, ...] = ()
    amount_checks: tuple[AmountCheck, ...] = ()
    lockable_at: datetime | None = None


def fold(
    witnesses: Iterable[Witness],
    adjustments: Iterable[Adjustment],
    signed: Sequence[tuple[datetime, datetime | None]] = (),
    changes: Iterable[StatusChange] = (),
    tolerance: Tolerance = EXACT,
) -> Order:
    """The order that these facts make, whatever their order and however often each is repeated.

    Each field comes from the most trusted witness that states it. Codes and clicks are the union over the trusted witnesses, so an empty list
    erases nothing; an unsigned witness (pixel, beacon) counts only where no trusted one states anything, and the order is flagged `unsigned`.
    signed: when the shop had a signed source, as half-open intervals. An order first reported in one of them, and by unsigned witnesses
    alone, is `unverified`: outside revenue until a signed one confirms it.
    changes: what people decided. Once locked, its amounts, date and test mark are what had been received by then; what later witnesses
    would change is flagged `changed_after_lock`, and only refunds move money. tolerance: by how much two witnesses may differ without a flag.
    Without any witness it is a stub: its refunds are stored and have no effect yet.
    """
    ranked = sorted(_once(witnesses), key=lambda witness: witness.rank, reverse=True)
    if not ranked:
        return Order()
    standing = stand(changes)
    closed = _closed(ranked, standing.locked_at)
    believed, unsigned = _split(ranked)
    reports = [*believed, *unsigned]
    books = _books(closed, *_split(closed))
    flags: set[str] = set()
    if books.money is None:
        flags.add("amount_unknown")
    elif books.money.report.estimated:
        flags.add("net_estimated")
    if closed is not ranked and not books.same_as(_books(ranked, believed, unsigned)):
        flags.add("changed_after_lock")
    amount_checks, differing = compare(ranked, books.money, standing.locked_at, books.parts, tolerance)
    deleted = _deleted_refunds(ranked)
    kept = [each for each in _once(adjustments) if each.report.kind != REFUND or each.report.refund_id not in deleted]
    outcome = effects(kept, books.sold)
    signals, signed_signals = _signals(believed, unsigned)
    if unsigned and not (believed and signed_signals and (books.money is None or books.money.trust >= TRUST_SERVER)):
        flags.add("unsigned")
    status = standing.status or _reported_status(ranked, believed, unsigned, signed)
    customers = [report.customer for report in reports]
    return Order(
        **books.parts,
        **signals,
        status=status,
        status_reason=standing.reason,
        order_id=_first_stated(reports, "order_id") or reports[0].refs[0],
        occurred_at=books.sold.occurred_at,
        currency=books.sold.currency,
        net_minor=books.sold.net_minor,
        refunded_minor=sum(effect.amount_minor for effect in outcome.effects),
        # The least trusted first, so that the most trusted spelling stays.
        spellings={normalise(code): code for report in reversed(reports) for code in reversed(report.codes)},
        code_ids=tuple(dict.fromkeys(code_id for report in believed for code_id in report.code_ids)),
        customer_key=_first_stated(customers, "key"),
        customer_is_new=_first_stated(customers, "is_new"),
        origin=_first_stated(reports, "origin") or UNKNOWN_ORIGIN,
        test=books.test,
        flags=tuple(sorted(flags | differing | outcome.flags)),
        effects=outcome.effects,
        idle=outcome.idle,
        amount_checks=amount_checks,
        locked_at=standing.locked_at,
        lockable_at=_lockable_at(ranked, standing) if status == APPROVED and not books.test else None,
    )


def _deleted_refunds(ranked: Sequence[Witness]) -> frozenset[str]:
    """Refunds that a shop has listed and lists no longer. Lists of one version are one list: a refund in any of them exists."""
    stating = [witness for witness in ranked if witness.report.refund_ids is not None]
    if not stating:
        return frozenset()
    stated = [(witness.rank[:2], set(witness.report.refund_ids or ())) for witness in stating]
    there = set().union(*(refund_ids for rank, refund_ids in stated if rank == stated[0][0]))
    return frozenset().union(*(refund_ids for _, refund_ids in stated)) - there


def _lockable_at(ranked: Sequence[Witness], standing: Standing) -> datetime:
    if standing.approved_at is not None:
        return standing.approved_at
    return max(witness.received_at for witness in ranked) + QUIET_BEFORE_LOCK


def _split(ranked: Sequence[Witness]) -> tuple[list[OrderReport], list[OrderReport]]:
    """The reports of trusted witnesses, and those of unsigned ones."""
    believed = [witness.report for witness in ranked if witness.trust >= TRUST_SERVER]
    return believed, [witness.report for witness in ranked[len(believed) :]]


# ── Money, date and test mark: what a lock closes ────────────────────────────────────────────────────────────────────


class _Books(msgspec.Struct, frozen=True):
    """Money, date and test mark by these witnesses. money: the witness whose amount is taken, None when none states one. parts: `PARTS`, as stated."""

    money: Witness | None
    sold: Sold
    parts: dict[str, Any]
    test: bool

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


def _books(ranked: Sequence[Witness], believed: Sequence[OrderReport], unsigned: Sequence[OrderReport]) -> _Books:
    reports = [*believed, *unsigned]
    money = next((witness for witness in ranked if net_of(witness.report) is not None), None)
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
    lines = next((report.lines for report in in_currency if report.lines), ())
    sold = Sold(net_minor, currency, _occurred_at(ranked), totals, lines)
    return _Books(money, sold, parts, any(report.test for report in believed or unsigned))


# ── Signals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _signals(believed: Sequence[OrderReport], unsigned: Sequence[OrderReport]) -> tuple[dict[str, Any], bool]:
    """Codes, clicks and visitor as attributes of the order, and whether trusted reports name all of them but the `unsigned_*`."""
    codes, unsigned_codes, codes_signed = _named(
        believed, unsigned, lambda report: filter(None, map(normalise, report.codes))
    )
    click_ids, unsigned_click_ids, clicks_signed = _named(believed, unsigned, lambda report: report.click_ids)
    visitor_id = _first_stated([*believed, *unsigned], "visitor_id")
    named = {
        "codes": codes,
        "unsigned_codes": unsigned_codes,
        "click_ids": click_ids,
        "unsigned_click_ids": unsigned_click_ids,
        "visitor_id": visitor_id,
    }
    return named, codes_signed and clicks_signed and visitor_id == _first_stated(believed, "visitor_id")


def code_named(order: Order, mapped: Mapping[str, str]) -> Order:
    """The order with the codes that its `code_ids` stand for added to its codes. mapped: the folded code of each id that the brand has mapped."""
    aliases = {code_id: mapped[code_id] for code_id in order.code_ids if code_id in mapped}
    codes = tuple(dict.fromkeys((*order.codes, *aliases.values())))
    unsigned_codes = tuple(code for code in order.unsigned_codes if code not in codes)
    return replace(order, codes=codes, unsigned_codes=unsigned_codes, aliases=aliases)


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


def _named(
    believed: Sequence[OrderReport],
    unsigned: Sequence[OrderReport],
    names: Callable[[OrderReport], Iterable[str]],
) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """The names that count, those that only unsigned reports give beside them, and whether trusted reports give the ones that count."""
    trusted = dict.fromkeys(name for report in believed for name in names(report))
    unsigned_only = dict.fromkeys(name for report in unsigned for name in names(report))
    if not trusted:
        return tuple(unsigned_only), (), not unsigned_only
    return tuple(trusted), tuple(name for name in unsigned_only if name not in trusted), True


def _occurred_at(ranked: Sequence[Witness]) -> datetime:
    """When the order took place: as the most trusted witness states it, but no later than the first receipt from one trusted as much.

    Where none states it, the first receipt. (A pixel's receipt does not cap what a signed witness states: anybody can send one early.)
    """
    stating = next((witness for witness in ranked if witness.report.occurred_at is not None), None)
    if stating is None or stating.report.occurred_at is None:
        return min(witness.received_at for witness in ranked).astimezone(UTC)
    received = min(witness.received_at for witness in ranked if witness.trust >= stating.trust)
    return min(stating.report.occurred_at, received).astimezone(UTC)


def _reported_status(
    ranked: Sequence[Witness],
    believed: Sequence[OrderReport],
    unsigned: Sequence[OrderReport],
    signed: Sequence[tuple[datetime, datetime | None]],
) -> str:
    if not believed and signed:
        first_received = min(witness.received_at for witness in ranked)
        if any(start <= first_received and (end is None or first_received < end) for start, end in signed):
            return UNVERIFIED
    return APPROVED if _first_stated(believed or unsigned, "paid") else PENDING
