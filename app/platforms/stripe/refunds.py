"""What Stripe says was given back: refunds one by one, sums of refunds on charges, disputes.

All of it is a part of what was paid, tax and shipping included (`is_gross`); folding brings it to the base of net.
One refund is told twice, by `refund.created` under its own id and by `charge.refunded` as the charge's new sum. The sum names the payment
(`cumulative`), the refund says that it is a part of that sum (`included_in`), and folding counts whichever says more. `previous_attributes` is not
read: the difference it allows would be added twice when an event is.
"""

from app.domain.orders import Context, OrderReport, Parsed, RefundReport
from app.domain.strict_json import Unreadable
from app.platforms.kit.vendor_json import Json, nested, objects
from app.platforms.stripe.amounts import purse_of
from app.platforms.stripe.fields import id_of, names, seconds_of
from app.platforms.stripe.orders import Event

REFUNDS_MAX = 500
MADE, UNDONE = 1, 2
"""Versions: a refund that failed and a dispute that was won are the last word, whenever they are heard."""
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
    purse = purse_of(charge)
    so_far = purse.amount(charge, "amount_refunded")
    refunds = [
        said
        for refund in objects(nested(charge, "refunds", "data"), REFUNDS_MAX, "refunds")
        for said in _refund({"charge": charge.get("id"), "payment_intent": charge.get("payment_intent"), **refund})
    ]
    if so_far:
        refunds.append(
            RefundReport(
                refund_id=payment,
                amount_minor=so_far,
                currency=purse.currency,
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
    """A chargeback, from the day it is opened; as if it had never been once it is won. An inquiry (`warning_…`) moves no money."""
    dispute = event.thing
    status = str(dispute.get("status"))
    if status.startswith("warning_") or status == "prevented":
        return Parsed(ignored="dispute_inquiry")
    if status not in DISPUTED and status != "won":
        raise Unreadable("unknown_status", f"a dispute of status {status[:40]!r}")
    refs = names(dispute.get("payment_intent"), dispute.get("charge"))
    dispute_id, purse = id_of(dispute.get("id")), purse_of(dispute)
    amount = purse.amount(dispute, "amount")
    if dispute_id is None or amount is None:
        raise Unreadable("not_an_order", "the dispute has no id or no amount")
    won = status == "won"
    chargeback = RefundReport(
        refund_id=dispute_id,
        kind="chargeback",
        amount_minor=0 if won else amount,
        currency=purse.currency,
        occurred_at=seconds_of(dispute.get("created")) or event.created_at,
        version=UNDONE if won else MADE,
        is_gross=True,
    )
    return _given_back(context, refs, [chargeback])


def _refund(refund: Json) -> list[RefundReport]:
    """One still on its way counts. One that failed is told as it was made and as it failed, so that both are known when only the failure is heard."""
    refund_id, purse = id_of(refund.get("id")), purse_of(refund)
    amount = purse.amount(refund, "amount")
    if refund_id is None or amount is None:
        raise Unreadable("not_an_order", "the refund has no id or no amount")
    statements = [(amount, MADE), (0, UNDONE)] if refund.get("status") in FAILED else [(amount, MADE)]
    return [
        RefundReport(
            refund_id=refund_id,
            amount_minor=minor,
            currency=purse.currency,
            occurred_at=seconds_of(refund.get("created")),
            version=version,
            is_gross=True,
            included_in=_payment(refund.get("payment_intent"), refund.get("charge")),
        )
        for minor, version in statements
    ]


def _payment(intent: object, charge: object) -> str:
    """What sums and the refunds in them call the payment: a payment intent succeeds with one charge, so either name would do, but always the same."""
    found = id_of(intent) or id_of(charge)
    if found is None:
        raise Unreadable("not_an_order", "it names neither a payment_intent nor a charge")
    return found


def _given_back(context: Context, refs: tuple[str, ...], refunds: list[RefundReport]) -> Parsed:
    """An order that says nothing but this."""
    if not refunds:
        return Parsed(ignored="nothing_refunded")
    if not refs:
        raise Unreadable("not_an_order", "it names neither a payment_intent nor a charge")
    return Parsed(reports=(OrderReport(shop=context.shop, kind="sale", refs=refs, refunds=tuple(refunds), stub=True),))
