"""Stripe's refunds: one by one, as sums on charges, as credit notes, and as disputes.

Their amounts are parts of what was paid, tax and shipping included (`is_gross`); folding brings them to the base of net.
One refund is reported twice, by `refund.created` under its own id and by `charge.refunded` as the charge's new sum. The sum names the payment
(`cumulative`), the refund names the sum that it is part of (`included_in`), and folding counts the larger. `previous_attributes` is not read: a
difference computed from it would be added twice when an event comes twice.
A credit note on a paid invoice gives back by refunds, which are reported as such, to the customer's balance, or outside of Stripe: the note reports
what its refunds do not. What it took off before the payment is in the invoice.
"""

from app.domain.orders import Context, OrderReport, Parsed, RefundReport
from app.domain.strict_json import Unreadable
from app.platforms.kit.vendor_json import Json, nested, objects, share
from app.platforms.stripe.amounts import StripeAmountReader, amounts_of
from app.platforms.stripe.fields import id_of, names, seconds_of
from app.platforms.stripe.orders import Event, billed, captured_of, payment_names, released

REFUNDS_MAX = 500
MADE, UNDONE = 1, 2
"""Versions: the failure of a refund and a won dispute are final, whenever their messages arrive."""
FAILED = ("failed", "canceled")
DISPUTED = frozenset(
    {"needs_response", "under_review", "lost", "appeal_needs_response", "appeal_under_review", "charge_refunded"}
)
"""A dispute takes the money when it is opened, keeps it when lost; an appeal of a lost one may still win it back."""


def read_charge(event: Event, context: Context) -> Parsed:
    """`charge.refunded`: the sum of all refunds of a charge, and before API version 2022-11-15 the refunds themselves."""
    charge = event.thing
    refs = payment_names(charge)
    if charge.get("captured") is False:
        return Parsed(reports=(released(event, context, refs),))
    payment = _payment(charge.get("payment_intent"), charge.get("id"))
    amounts = amounts_of(charge)
    _, not_captured = captured_of(charge)
    so_far = (amounts.amount(charge, "amount_refunded") or 0) - not_captured
    listed = objects(nested(charge, "refunds", "data"), REFUNDS_MAX, "refunds")
    refunds = [
        report
        for refund in _without_release(listed, amounts, not_captured)
        for report in _refund({"charge": charge.get("id"), "payment_intent": charge.get("payment_intent"), **refund})
    ]
    if so_far > 0:
        refunds.append(
            RefundReport(
                refund_id=payment,
                amount_minor=so_far,
                currency=amounts.currency,
                occurred_at=event.created_at,
                version=so_far,
                is_gross=True,
                cumulative=True,
            )
        )
    return _given_back(context, refs, refunds)


def read_refund(event: Event, context: Context) -> Parsed:
    """`refund.created`, `refund.updated`, `refund.failed`, and `charge.refund.updated`, as it was called before."""
    refund = event.thing
    return _given_back(context, names(refund.get("payment_intent"), refund.get("charge")), _refund(refund))


def _without_release(refunds: list[Json], amounts: StripeAmountReader, not_captured: int) -> list[Json]:
    """The refunds of a charge without the one that stands for what was not captured: the first of that amount, as old as the capture."""
    of_that_amount = [each for each in refunds if not_captured and amounts.amount(each, "amount") == not_captured]
    release = min(of_that_amount, key=lambda each: (str(each.get("created")), str(each.get("id"))), default=None)
    return [each for each in refunds if each is not release]


def read_credit_note(event: Event, context: Context) -> Parsed:
    """`credit_note.created` and `credit_note.voided`: what it gives back of a paid invoice beside its refunds."""
    note = event.thing
    note_id, amounts = id_of(note.get("id")), amounts_of(note)
    total = amounts.amount(note, "total")
    total = amounts.amount(note, "amount") if total is None else total
    refs = names(note.get("invoice"))
    if note_id is None or total is None or not refs:
        raise Unreadable("not_an_order", "the credit note has no id, no invoice or no amount")
    after = amounts.amount(note, "post_payment_amount")
    if after is None:
        # Before it was stated a note was one or the other.
        after = 0 if note.get("type") == "pre_payment" else total
    left = after - _refunded_by(note, amounts, after)
    money = billed(note, amounts, total)
    is_void = note.get("status") == "void"
    given_back = RefundReport(
        refund_id=note_id,
        amount_minor=0 if is_void else left if money.net_minor is None else share(left, money.net_minor, total),
        currency=amounts.currency,
        occurred_at=seconds_of(note.get("created")) or event.created_at,
        version=UNDONE if is_void else MADE,
        is_gross=money.estimated,
    )
    return _given_back(context, refs, [given_back] if left > 0 else [])


def _refunded_by(note: Json, amounts: StripeAmountReader, after: int) -> int:
    """What a credit note gives back by refunds of Stripe's, which are messages of their own."""
    if isinstance(note.get("refunds"), list):
        refunds = objects(note.get("refunds"), REFUNDS_MAX, "refunds")
        return sum(amounts.amount(each, "amount_refunded") or 0 for each in refunds if each.get("refund") is not None)
    # Before 2025-03-31 it named one refund without its amount; what went elsewhere beside it is known only outside of Stripe.
    if note.get("refund") is None:
        return 0
    return after - (amounts.amount(note, "out_of_band_amount") or 0)


def read_dispute(event: Event, context: Context) -> Parsed:
    """A chargeback from the day it is opened; 0 once the dispute is won. An inquiry (`warning_…`) moves no money."""
    dispute = event.thing
    status = str(dispute.get("status"))
    if status.startswith("warning_") or status == "prevented":
        return Parsed(ignored="dispute_inquiry")
    if status not in DISPUTED and status != "won":
        raise Unreadable("unknown_status", f"a dispute of status {status[:40]!r}")
    refs = names(dispute.get("payment_intent"), dispute.get("charge"))
    dispute_id, amounts = id_of(dispute.get("id")), amounts_of(dispute)
    amount = amounts.amount(dispute, "amount")
    if dispute_id is None or amount is None:
        raise Unreadable("not_an_order", "the dispute has no id or no amount")
    won = status == "won"
    chargeback = RefundReport(
        refund_id=dispute_id,
        kind="chargeback",
        amount_minor=0 if won else amount,
        currency=amounts.currency,
        occurred_at=seconds_of(dispute.get("created")) or event.created_at,
        version=UNDONE if won else MADE,
        is_gross=True,
    )
    return _given_back(context, refs, [chargeback])


def _refund(refund: Json) -> list[RefundReport]:
    """A refund still on its way counts. A failed one is reported as made and as failed, so that both are recorded when only the failure arrives."""
    refund_id, amounts = id_of(refund.get("id")), amounts_of(refund)
    amount = amounts.amount(refund, "amount")
    if refund_id is None or amount is None:
        raise Unreadable("not_an_order", "the refund has no id or no amount")
    versions = [(amount, MADE), (0, UNDONE)] if refund.get("status") in FAILED else [(amount, MADE)]
    return [
        RefundReport(
            refund_id=refund_id,
            amount_minor=minor,
            currency=amounts.currency,
            occurred_at=seconds_of(refund.get("created")),
            version=version,
            is_gross=True,
            included_in=_payment(refund.get("payment_intent"), refund.get("charge")),
        )
        for minor, version in versions
    ]


def _payment(intent: object, charge: object) -> str:
    """The name of a payment, the same in sums and in their refunds. A payment intent succeeds with one charge, so that either would do."""
    found = id_of(intent) or id_of(charge)
    if found is None:
        raise Unreadable("not_an_order", "it names neither a payment_intent nor a charge")
    return found


def _given_back(context: Context, refs: tuple[str, ...], refunds: list[RefundReport]) -> Parsed:
    """A report that holds nothing but these refunds."""
    if not refunds:
        return Parsed(ignored="nothing_refunded")
    if not refs:
        raise Unreadable("not_an_order", "it names neither a payment_intent nor a charge")
    return Parsed(reports=(OrderReport(shop=context.shop, kind="sale", refs=refs, refunds=tuple(refunds), stub=True),))
