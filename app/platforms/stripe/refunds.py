"""Stripe's refunds: one by one, as sums on charges, and as disputes.

Their amounts are parts of what was paid, tax and shipping included (`is_gross`); folding brings them to the base of net.
One refund is reported twice, by `refund.created` under its own id and by `charge.refunded` as the charge's new sum. The sum names the payment
(`cumulative`), the refund names the sum that it is part of (`included_in`), and folding counts the larger. `previous_attributes` is not read: a
difference computed from it would be added twice when an event comes twice.
"""

from app.domain.orders import Context, OrderReport, Parsed, RefundReport
from app.domain.strict_json import Unreadable
from app.platforms.kit.vendor_json import Json, nested, objects
from app.platforms.stripe.amounts import amounts_of
from app.platforms.stripe.fields import id_of, names, seconds_of
from app.platforms.stripe.orders import Event

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
    refs = names(charge.get("payment_intent"), charge.get("id"), charge.get("invoice"))
    payment = _payment(charge.get("payment_intent"), charge.get("id"))
    amounts = amounts_of(charge)
    so_far = amounts.amount(charge, "amount_refunded")
    refunds = [
        report
        for refund in objects(nested(charge, "refunds", "data"), REFUNDS_MAX, "refunds")
        for report in _refund({"charge": charge.get("id"), "payment_intent": charge.get("payment_intent"), **refund})
    ]
    if so_far:
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
