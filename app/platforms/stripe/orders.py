"""Orders from Stripe's checkout sessions, invoices and payment intents.

**Net** = total − tax − shipping. Tax within prices is in `amount_tax` as well; tax within the price of shipping stands in both, and is taken off once.
**Names of one order**: session, payment intent, invoice, charge, and the shop's own number where its metadata has one; never the subscription,
which has many orders. So a subscription's first invoice is the order of its session, and each later one an order of its own.
**Adaptive Pricing**: sessions since 2025-03-31 are in the shop's currency, and what the shopper saw is noted; older ones (`currency_conversion`)
are brought back to it, tax and shipping in their proportion, so that the parts add up to Stripe's own total in that currency.
"""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

import msgspec
from msgspec.structs import replace

from app.domain.amounts import charged_part
from app.domain.money import split
from app.domain.orders import FIRST, NEVER_PAID, RENEWAL, Context, OrderReport, Parsed, RefundReport
from app.domain.strict_json import Unreadable
from app.platforms.kit.vendor_json import Json, customer_of, nested, objects, share, text_of, visitor_in
from app.platforms.stripe.amounts import StripeAmountReader, amounts_of
from app.platforms.stripe.fields import (
    clicks_of,
    codes_of,
    id_of,
    metadata_of,
    names,
    order_of,
    seconds_of,
    unfilled_of,
)

INTENT, OPEN_SESSION, INVOICE, PAID_SESSION, SETTLED_SESSION = range(5)
"""Versions of the reports of one order, by what they are and not by when they came. An intent has no tax; a session that is not paid yet is worth less
than the invoice, a paid one more; the outcome of a delayed payment (SEPA, bank transfer) or of an authorised one is final."""

PAID = {"paid": True, "no_payment_required": True, "unpaid": False}
ORIGIN = {
    "subscription_create": FIRST,
    **dict.fromkeys(("subscription_cycle", "subscription_update", "subscription_threshold"), RENEWAL),
}
"""Origin of an invoice's order by its `billing_reason`. Others (`manual`, the bare `subscription` of before 2018) do not tell."""
PAYMENTS_MAX = 100
TAXES_MAX = 500


@dataclass(frozen=True, slots=True)
class Event:
    """One event: what happened when, and the object as it was then. test: not in live mode."""

    type: str
    created_at: datetime | None
    thing: Json
    test: bool


class Money(msgspec.Struct, frozen=True):
    """The amounts of an order in ISO minor units, named as the fields of an OrderReport."""

    currency: str | None = None
    items_minor: int | None = None
    discount_minor: int | None = None
    tax_minor: int | None = None
    shipping_minor: int | None = None
    net_minor: int | None = None
    total_minor: int | None = None
    total_currency: str | None = None
    estimated: bool = False


# ── Checkout sessions ────────────────────────────────────────────────────────────────────────────────────────────────


def read_session(event: Event, context: Context) -> Parsed:
    """A checkout session: an order, pending until it is paid; cancelled when a delayed payment fails in the end."""
    session = event.thing
    if session.get("mode") == "setup":
        return Parsed(ignored="setup_mode")
    if event.type == "checkout.session.expired":
        return Parsed(ignored="checkout_abandoned")
    session_id = _id_of(session, "session")
    failed = event.type == "checkout.session.async_payment_failed"
    delayed = failed or event.type == "checkout.session.async_payment_succeeded"
    paid = False if failed else PAID.get(str(session.get("payment_status")))
    metadata = metadata_of(session.get("metadata"))
    codes, code_ids = codes_of(session, metadata)
    own = order_of(metadata)
    emails = (nested(session, "customer_details", "email"), session.get("customer_email"))
    notes = unfilled_of(metadata, context)
    report = OrderReport(
        shop=context.shop,
        kind="sale",
        refs=names(session_id, session.get("payment_intent"), session.get("invoice"), own),
        order_id=own or session_id,
        # The outcome of a delayed payment comes days after the order, which was placed when the session was completed.
        occurred_at=None if delayed else event.created_at,
        version=SETTLED_SESSION if delayed else PAID_SESSION if paid else OPEN_SESSION,
        paid=paid,
        codes=codes,
        code_ids=code_ids,
        click_ids=clicks_of(metadata, context, session.get("client_reference_id")),
        visitor_id=visitor_in(metadata),
        customer=customer_of(context, id_of(session.get("customer")), *emails),
        refunds=(_cancelled(event),) if failed else (),
        test=event.test,
        proofs=(session_id,),
        lists_codes=isinstance(session.get("discounts"), list),
        origin=FIRST if session.get("mode") == "subscription" else None,
    )
    return Parsed(reports=(_with_money(report, _session_money(session, notes)),), notes=tuple(notes))


def _cancelled(event: Event) -> RefundReport:
    return RefundReport(NEVER_PAID, kind="cancellation", full=True, occurred_at=event.created_at)


def _session_money(session: Json, notes: list[str]) -> Money:
    amounts = amounts_of(session)
    total = amounts.amount(session, "amount_total")
    details = session.get("total_details")
    stated = isinstance(details, dict)
    details = _object(details)
    tax, shipping = amounts.amount(details, "amount_tax") or 0, amounts.amount(details, "amount_shipping") or 0
    shipping -= _tax_within(session.get("shipping_cost"), shipping, amounts)
    money = _money(amounts, total, tax if stated else None, shipping if stated else None)
    subtotal, discount = amounts.amount(session, "amount_subtotal"), amounts.amount(details, "amount_discount")
    if money.net_minor is not None and subtotal is not None and discount is not None:
        # Where prices include tax so does the discount: without its share, items − discount = net.
        discount = share(discount, money.net_minor, subtotal - discount)
        money = replace(money, items_minor=money.net_minor + discount, discount_minor=discount)
    shown = session.get("presentment_details")
    if isinstance(shown, dict):
        currency, amount = (text_of(shown.get(f"presentment_{name}")) for name in ("currency", "amount"))
        notes.append(f"presentment {currency} {amount}")
    return _converted(session, money, subtotal, notes)


def _money(amounts: StripeAmountReader, total: int | None, tax: int | None, shipping: int | None) -> Money:
    """tax: None where it is not stated, which makes net an estimate."""
    if total is None or amounts.currency is None:
        return Money()
    return Money(
        currency=amounts.currency,
        tax_minor=tax,
        shipping_minor=shipping,
        net_minor=max(total - (tax or 0) - (shipping or 0), 0),
        total_minor=total,
        estimated=tax is None,
    )


def _tax_within(cost: object, shipping: int, amounts: StripeAmountReader) -> int:
    """The tax within the price of shipping; 0 where it is added to it. It is within when the price with tax equals `shipping`, the price itself."""
    if not isinstance(cost, dict) or amounts.signed(cost, "amount_total") != shipping:
        return 0
    return min(amounts.signed(cost, "amount_tax") or 0, shipping)


def _converted(session: Json, money: Money, subtotal: int | None, notes: list[str]) -> Money:
    """The amounts of a session that was made in one currency and paid in another, in the first of them."""
    conversion = session.get("currency_conversion")
    if not isinstance(conversion, dict) or money.net_minor is None:
        return money
    source = amounts_of(conversion, "source_currency")
    total = source.amount(conversion, "amount_total")
    if total is None or source.currency == money.currency:
        return money
    notes.append(f"converted from {money.currency} at {text_of(str(conversion.get('fx_rate')))}")
    parts = (money.net_minor, money.tax_minor or 0, money.shipping_minor or 0)
    net, tax, shipping = split(total, [Fraction(part) for part in parts])
    items = source.amount(conversion, "amount_subtotal")
    if items is not None and money.items_minor is not None and subtotal:
        items = max(share(items, money.items_minor, subtotal), net)
    return Money(
        currency=source.currency,
        items_minor=items,
        discount_minor=None if items is None else items - net,
        tax_minor=tax,
        shipping_minor=shipping,
        net_minor=net,
        total_minor=money.total_minor,
        total_currency=money.currency,
        estimated=money.estimated,
    )


# ── Invoices ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_invoice(event: Event, context: Context) -> Parsed:
    """A paid invoice: one period of a subscription, or an invoice sent by hand. Payment from the customer's balance counts too."""
    invoice = event.thing
    invoice_id, reason = _id_of(invoice, "invoice"), text_of(invoice.get("billing_reason"))
    amounts = amounts_of(invoice)
    total = amounts.signed(invoice, "total")
    if total is not None and total < 0:
        return Parsed(ignored="credit_invoice")
    subscribed = nested(invoice, "parent", "subscription_details", "metadata")
    own = metadata_of(invoice.get("metadata"))
    # A subscription passes its metadata on to every invoice: clicks and codes are taken from it, an order number is not.
    metadata = [*own, *metadata_of(subscribed, nested(invoice, "subscription_details", "metadata"))]
    codes, code_ids = codes_of(invoice, metadata)
    paid_at = seconds_of(nested(invoice, "status_transitions", "paid_at"))
    report = OrderReport(
        shop=context.shop,
        kind="sale",
        refs=names(invoice_id, *_payments(invoice), invoice.get("charge"), order_of(own)),
        order_id=order_of(own) or invoice_id,
        occurred_at=paid_at or event.created_at,
        version=INVOICE,
        paid=True,
        codes=codes,
        code_ids=code_ids,
        click_ids=clicks_of(metadata, context),
        visitor_id=visitor_in(metadata),
        customer=customer_of(context, id_of(invoice.get("customer")), invoice.get("customer_email")),
        test=event.test,
        origin=ORIGIN.get(reason or ""),
    )
    credited = amounts.amount(invoice, "pre_payment_credit_notes_amount") or 0
    money = _less_credited(billed(invoice, amounts, total), credited)
    notes = ([reason] if reason else []) + unfilled_of(metadata, context)
    return Parsed(reports=(_with_money(report, money),), notes=tuple(notes))


def billed(invoice: Json, amounts: StripeAmountReader, total: int | None) -> Money:
    """The amounts of an invoice or credit note."""
    shipping = amounts.amount(invoice, "amount_shipping") or 0
    shipping -= _tax_within(invoice.get("shipping_cost"), shipping, amounts)
    return _money(amounts, total, _invoice_tax(invoice, amounts, total), shipping)


def _less_credited(money: Money, credited: int) -> Money:
    """What is left of an invoice after credit notes that came before its payment: they lower what is due, and leave its `total` as it was."""
    if not credited or not money.total_minor:
        return money
    left = max(money.total_minor - credited, 0)
    net, tax, shipping = charged_part(left, money.total_minor, (money.net_minor, money.tax_minor, money.shipping_minor))
    return replace(money, net_minor=net, tax_minor=tax, shipping_minor=shipping, total_minor=left)


def _invoice_tax(invoice: Json, amounts: StripeAmountReader, total: int | None) -> int | None:
    """The tax of an invoice or credit note, in whichever field its API version has it; None where there is none."""
    before = amounts.amount(invoice, "total_excluding_tax")
    if before is not None and total is not None:
        return max(total - before, 0)
    for name in ("total_taxes", "total_tax_amounts", "tax_amounts"):
        if isinstance(invoice.get(name), list):
            return sum(amounts.amount(tax, "amount") or 0 for tax in objects(invoice.get(name), TAXES_MAX, name))
    return amounts.amount(invoice, "tax")


def _payments(invoice: Json) -> list[object]:
    """The payment intents of an invoice: one of its fields before 2025, a list since, which a webhook may leave out."""
    payments = objects(nested(invoice, "payments", "data"), PAYMENTS_MAX, "payments")
    return [invoice.get("payment_intent"), *(nested(payment, "payment", "payment_intent") for payment in payments)]


def read_invoice_payment(event: Event, context: Context) -> Parsed:
    """The payment intent (or charge) that paid an invoice: since 2025 neither names the other, and this joins a refund to its invoice."""
    payment = _object(event.thing.get("payment"))
    refs = names(event.thing.get("invoice"), payment.get("payment_intent"), payment.get("charge"))
    if len(refs) < 2:
        return Parsed(ignored="nothing_to_join")
    return Parsed(reports=(OrderReport(shop=context.shop, kind="sale", refs=refs, stub=True),))


# ── Payment intents ──────────────────────────────────────────────────────────────────────────────────────────────────


def read_intent(event: Event, context: Context) -> Parsed:
    """A payment of the shop's own checkout, if its metadata names a click, visitor or code; others are reported by their session or invoice.

    One that was authorised first also says, of whichever order it is, what of it was captured.
    """
    intent = event.thing
    intent_id = _id_of(intent, "payment intent")
    metadata = metadata_of(intent.get("metadata"))
    codes, _ = codes_of({}, metadata)
    clicks, visitor = clicks_of(metadata, context), visitor_in(metadata)
    amounts = amounts_of(intent)
    total, received = amounts.amount(intent, "amount"), amounts.amount(intent, "amount_received")
    total = received if total is None else total
    captured = (
        [_captured(context, names(intent_id, intent.get("latest_charge")), amounts.currency, received)]
        if received is not None and (received != total or _is_captured_by_hand(intent))
        else []
    )
    if not (codes or clicks or visitor):
        return Parsed(reports=tuple(captured), ignored=None if captured else "no_code_or_click")
    details = _object(intent.get("amount_details"))
    tax = amounts.amount(_object(details.get("tax")), "total_tax_amount")
    shipping = amounts.amount(_object(details.get("shipping")), "amount")
    report = OrderReport(
        shop=context.shop,
        kind="sale",
        refs=names(intent_id, intent.get("latest_charge"), intent.get("invoice"), order_of(metadata)),
        order_id=order_of(metadata) or intent_id,
        occurred_at=event.created_at,
        version=INTENT,
        paid=True,
        codes=codes,
        click_ids=clicks,
        visitor_id=visitor,
        customer=customer_of(context, id_of(intent.get("customer")), intent.get("receipt_email")),
        test=event.test,
    )
    notes = tuple(unfilled_of(metadata, context))
    return Parsed(reports=(_with_money(report, _money(amounts, total, tax, shipping)), *captured), notes=notes)


# ── Payments that were authorised first ──────────────────────────────────────────────────────────────────────────────


def read_capture(event: Event, context: Context) -> Parsed:
    """`charge.captured`: the payment of an order was authorised and is made now, in whole or in part."""
    charge = event.thing
    currency = amounts_of(charge).currency
    captured, _ = captured_of(charge)
    return Parsed(reports=(_captured(context, payment_names(charge), currency, captured),))


def read_release(event: Event, context: Context) -> Parsed:
    """`payment_intent.canceled`, and `charge.expired`: what was authorised is never charged, so nothing is left of the order.

    Others are cancelled for other reasons: those of an invoice that was paid otherwise, those of carts.
    """
    thing = event.thing
    is_charge = event.type == "charge.expired"
    if not is_charge and not _is_captured_by_hand(thing):
        return Parsed(ignored="not_authorised")
    refs = payment_names(thing) if is_charge else names(thing.get("id"), thing.get("latest_charge"))
    return Parsed(reports=(released(event, context, refs),))


def released(event: Event, context: Context, refs: tuple[str, ...]) -> OrderReport:
    """The cancellation of an order whose payment was given up before anything was charged."""
    if not refs:
        raise Unreadable("not_an_order", "the payment has no id")
    cancelled = RefundReport(NEVER_PAID, kind="cancellation", full=True, occurred_at=event.created_at)
    return OrderReport(shop=context.shop, kind="sale", refs=refs, refunds=(cancelled,), stub=True)


def captured_of(charge: Json) -> tuple[int | None, int]:
    """What was captured of a charge (None: not stated), and what was released of it, which Stripe counts among `amount_refunded`.

    Before `amount_captured` there was only that sum, which right after a capture is what was released.
    """
    amounts = amounts_of(charge)
    whole, captured = amounts.amount(charge, "amount"), amounts.amount(charge, "amount_captured")
    if whole is None:
        return captured, 0
    if captured is None:
        return whole - (amounts.amount(charge, "amount_refunded") or 0), 0
    return captured, max(whole - captured, 0)


def _captured(context: Context, refs: tuple[str, ...], currency: str | None, charged_minor: int | None) -> OrderReport:
    """What became of an authorised payment. Whose order it is, its session or its intent's metadata say: alone it makes none."""
    return OrderReport(
        shop=context.shop,
        kind="sale",
        refs=refs,
        version=SETTLED_SESSION,
        currency=currency,
        charged_minor=charged_minor,
        paid=True,
        stub=True,
    )


def _is_captured_by_hand(intent: Json) -> bool:
    """Whether the payment was authorised first: by its own setting, or by that of a payment method."""
    options = _object(intent.get("payment_method_options")).values()
    return "manual" in (intent.get("capture_method"), *(_object(each).get("capture_method") for each in options))


def payment_names(charge: Json) -> tuple[str, ...]:
    """The names that a charge gives its order."""
    return names(charge.get("payment_intent"), charge.get("id"), charge.get("invoice"))


# ── What they have in common ─────────────────────────────────────────────────────────────────────────────────────────


def _id_of(thing: Json, what: str) -> str:
    found = id_of(thing.get("id"))
    if found is None:
        raise Unreadable("not_an_order", f"the {what} has no id")
    return found


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _with_money(report: OrderReport, money: Money) -> OrderReport:
    return replace(report, **msgspec.structs.asdict(money))
