"""One order out of all that its witnesses and refunds said and people decided: `fold`. Pure, and blind to the order in which they arrived.

Every choice below is a maximum or a union over facts, never a comparison with what was known before: that is what makes any permutation and
repetition of the same facts end in the same order (tests/orders/test_record_properties.py).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from app.domain.amounts import EXACT, AmountCheck, Tolerance, Witness, compare, net_of
from app.domain.codes import normalise
from app.domain.orders import REFUND, TRUST_SERVER, Customer, OrderReport
from app.domain.refunds import Adjustment, Effect, Sold, effects
from app.domain.statuses import APPROVED, PENDING, STUB, UNVERIFIED, Standing, StatusChange, stand

FLAGS = (
    "amount_disagreement", "currency_disagreement", "conflicting_reports", "changed_after_lock", "amount_unknown", "net_estimated", "unsigned",
    "refund_over_order", "refund_line_unknown", "currency_mismatch", "reversal_without_refund", "over_cap", "late_click",
)  # fmt: skip
"""What may be odd about an order; docs/orders.md explains each."""
QUIET_BEFORE_LOCK = timedelta(days=1)
"""An order that its payment approved is not locked within a day of the last new report of it: after an import or an outage the others follow."""


class Order(msgspec.Struct, frozen=True):
    """The order as all its witnesses together tell it. Money in minor units of `currency`; None: nobody said.

    occurred_at is None for a stub only: an order that nothing but refunds speak of yet.
    codes: folded, in the order of the cart; spellings: as they were typed, by their folded form.
    code_ids: codes as the shop system calls them. aliases: those that stand for one of `codes`, with its folded form: the brand's mapping says so,
    which no witness knows, and `code_named` adds it.
    doubted_*: named by unsigned witnesses only, while an authenticated one named others.
    effects: in the order in which they took effect; idle: those that have none yet. accounts: the most trusted first. flags: sorted.
    locked_at: since when amounts, date and test mark stand still. lockable_at: from when on an approved order may be locked once its hold
    has passed; None: it may not.
    """

    status: str = STUB
    status_reason: str | None = None
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
    spellings: Mapping[str, str] = {}
    code_ids: tuple[str, ...] = ()
    aliases: Mapping[str, str] = {}
    doubted_codes: tuple[str, ...] = ()
    doubted_click_ids: tuple[str, ...] = ()
    customer_key: str | None = None
    customer_is_new: bool | None = None
    test: bool = False
    flags: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    idle: tuple[Effect, ...] = ()
    accounts: tuple[AmountCheck, ...] = ()
    locked_at: datetime | None = None
    lockable_at: datetime | None = None


def fold(
    witnesses: Iterable[Witness],
    adjustments: Iterable[Adjustment],
    signed: Sequence[tuple[datetime, datetime | None]] = (),
    changes: Iterable[StatusChange] = (),
    tolerance: Tolerance = EXACT,
) -> Order:
    """The order that these facts make, whatever their order and however often each is repeated.

    Each field comes from the most trusted witness that states it. Codes and clicks are the union over the authenticated witnesses, so an empty
    list erases nothing; an unsigned witness (pixel, beacon) only speaks where no authenticated one did, and the order is flagged `unsigned`.
    signed: when the shop had a signed source, as half-open intervals. An order first heard of in one of them, and from unsigned witnesses
    alone, is `unverified`: outside revenue until a signed one confirms it.
    changes: what people decided of it. Once locked, its amounts, date and test mark are what had been received by then; what later witnesses
    would change is flagged `changed_after_lock`, and only refunds move money. tolerance: by how much two witnesses may differ unflagged.
    No witness at all: a stub, with its refunds kept and none in effect.
    """
    ranked = _once(witnesses)
    if not ranked:
        return Order()
    if len(ranked) > 1:
        ranked.sort(key=_rank, reverse=True)
    standing = stand(changes)
    closed = _closed(ranked, standing.locked_at)
    believed, unsigned = _split(ranked)
    reports = [*believed, *unsigned]
    books = _books(closed, believed, unsigned) if closed is ranked else _books(closed, *_split(closed))
    flags: set[str] = set(books.flags)
    if closed is not ranked and not books.same_as(_books(ranked, believed, unsigned)):
        flags.add("changed_after_lock")
    accounts, differing = compare(ranked, books.money, standing.locked_at, books.paid_on_top, tolerance)
    deleted = _deleted_refunds(ranked)
    kept = [each for each in _once(adjustments) if each.kind != REFUND or each.refund_id not in deleted]
    outcome = effects(kept, books.sold)
    named = _signals(believed, unsigned)
    if unsigned and not (believed and named.signed and (books.money is None or books.money.trust >= TRUST_SERVER)):
        flags.add("unsigned")
    status = standing.status or _reported_status(ranked, believed, unsigned, signed)
    return Order(
        status=status,
        status_reason=standing.reason,
        order_id=_said(reports, "order_id") or reports[0].refs[0],
        occurred_at=books.sold.occurred_at,
        currency=books.sold.currency,
        items_minor=books.items_minor,
        discount_minor=books.discount_minor,
        tax_minor=books.tax_minor,
        shipping_minor=books.shipping_minor,
        net_minor=books.sold.net_minor,
        refunded_minor=sum(effect.amount_minor for effect in outcome.effects),
        codes=named.codes,
        click_ids=named.click_ids,
        visitor_id=named.visitor_id,
        spellings=_spellings(reports),
        code_ids=tuple(dict.fromkeys(code_id for report in believed for code_id in report.code_ids)),
        doubted_codes=named.doubted_codes,
        doubted_click_ids=named.doubted_click_ids,
        customer_key=_said([report.customer for report in reports], "key"),
        customer_is_new=_said([report.customer for report in reports], "is_new"),
        test=books.test,
        flags=tuple(sorted(flags | differing | outcome.flags)),
        effects=outcome.effects,
        idle=outcome.idle,
        accounts=accounts,
        locked_at=standing.locked_at,
        lockable_at=_lockable_at(ranked, standing) if status == APPROVED and not books.test else None,
    )


def _deleted_refunds(ranked: Sequence[Witness]) -> frozenset[str]:
    """Refunds that a shop has listed once and lists no more. Lists of one version are one: what stands in any of them is there."""
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
    """The reports of authenticated witnesses, and those of the others."""
    believed = [witness.report for witness in ranked if witness.trust >= TRUST_SERVER]
    return believed, [witness.report for witness in ranked[len(believed) :]]


# ── Money, date and test mark: what a lock closes ────────────────────────────────────────────────────────────────────


class _Books(msgspec.Struct, frozen=True):
    """What the witnesses come to in money. money: the one whose amount is taken, if any states one."""

    money: Witness | None
    sold: Sold
    items_minor: int | None
    discount_minor: int | None
    tax_minor: int | None
    shipping_minor: int | None
    test: bool
    flags: tuple[str, ...]

    @property
    def paid_on_top(self) -> tuple[int | None, int | None]:
        """Tax and shipping: what was paid beyond net."""
        return self.tax_minor, self.shipping_minor

    def same_as(self, other: "_Books") -> bool:
        """Whether both come to the same amounts, date and test mark."""
        return self._closing() == other._closing()

    def _closing(self) -> tuple[object, ...]:
        parts = (self.items_minor, self.discount_minor, self.tax_minor, self.shipping_minor)
        return self.sold.net_minor, self.sold.currency, self.sold.occurred_at, self.test, parts


def _closed(ranked: list[Witness], locked_at: datetime | None) -> list[Witness]:
    """The witnesses that had been heard when the order was locked; all of them while it is not."""
    if locked_at is None or all(witness.received_at <= locked_at for witness in ranked):
        return ranked
    # Orders merged after the lock may leave nobody who was heard in time: then whoever there is.
    return [witness for witness in ranked if witness.received_at <= locked_at] or ranked


def _books(ranked: Sequence[Witness], believed: Sequence[OrderReport], unsigned: Sequence[OrderReport]) -> _Books:
    reports = [*believed, *unsigned]
    money = next((witness for witness in ranked if net_of(witness.report) is not None), None)
    currency = money.report.currency if money else _said(reports, "currency")
    parts = [report for report in reports if report.currency is None or report.currency == currency]
    flags = () if money and not money.report.estimated else ("net_estimated" if money else "amount_unknown",)
    return _Books(
        money=money,
        sold=Sold(
            net_minor=net_of(money.report) if money else None,
            currency=currency,
            occurred_at=_occurred_at(ranked),
            totals=_totals(reports, parts, net_of(money.report) if money else None, currency),
            lines=next((report.lines for report in parts if report.lines), ()),
        ),
        items_minor=_said(parts, "items_minor"),
        discount_minor=_said(parts, "discount_minor"),
        tax_minor=_said(parts, "tax_minor"),
        shipping_minor=_said(parts, "shipping_minor"),
        test=any(report.test for report in believed or unsigned),
        flags=flags,
    )


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


# ── Signals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Signals(msgspec.Struct, frozen=True):
    """What the order names, what only unsigned witnesses name beside it, and whether nothing it names rests on their word alone."""

    codes: tuple[str, ...]
    doubted_codes: tuple[str, ...]
    click_ids: tuple[str, ...]
    doubted_click_ids: tuple[str, ...]
    visitor_id: str | None
    signed: bool


def _signals(believed: Sequence[OrderReport], unsigned: Sequence[OrderReport]) -> _Signals:
    codes, doubted_codes, codes_signed = _named(believed, unsigned, _folded_codes)
    click_ids, doubted_click_ids, clicks_signed = _named(believed, unsigned, _click_ids)
    visitor_id = _said(believed, "visitor_id")
    visitor_signed = visitor_id is not None
    if visitor_id is None:
        visitor_id = _said(unsigned, "visitor_id")
    signed = codes_signed and clicks_signed and (visitor_signed or visitor_id is None)
    return _Signals(codes, doubted_codes, click_ids, doubted_click_ids, visitor_id, signed)


def code_named(order: Order, known: Mapping[str, str]) -> Order:
    """The order with the codes that its `code_ids` stand for among its codes, last; known: the folded code of each id that the brand has mapped."""
    aliases = {code_id: known[code_id] for code_id in order.code_ids if code_id in known}
    codes = tuple(dict.fromkeys((*order.codes, *aliases.values())))
    unsigned_only = tuple(code for code in order.doubted_codes if code not in codes)
    return replace(order, codes=codes, doubted_codes=unsigned_only, aliases=aliases)


Fact = TypeVar("Fact", Witness, Adjustment)


def _once(facts: Iterable[Fact]) -> list[Fact]:
    """Each fact once, at its earliest receipt: after a merge the same words may stand under two of the order's ids."""
    told = list(facts)
    if len(told) < 2:
        return told
    earliest: dict[bytes, Fact] = {}
    for fact in told:
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


def _named(
    believed: Sequence[OrderReport],
    unsigned: Sequence[OrderReport],
    names: Callable[[OrderReport], Iterable[str]],
) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """What the order names, what only unsigned witnesses name beside it, and whether what it names does not rest on their word."""
    sure = dict.fromkeys([name for report in believed for name in names(report)])
    if not unsigned:
        return tuple(sure), (), True
    unsigned_only = dict.fromkeys(name for report in unsigned for name in names(report))
    if not sure:
        return tuple(unsigned_only), (), not unsigned_only
    return tuple(sure), tuple(name for name in unsigned_only if name not in sure), True


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


def _reported_status(
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
