"""What Stripe's checkout sessions, invoices and payment intents say of an order.

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

from app.domain.money import split
from app.domain.orders import Context, Customer, OrderReport, Parsed, RefundReport
from app.domain.strict_json import Unreadable
from app.platforms.kit.vendor_json import Json, nested, objects, share, text_of
from app.platforms.stripe.amounts import StripeAmountReader, purse_of
from app.platforms.stripe.fields import clicks_of, codes_of, id_of, metadata_of, names, order_of, seconds_of, visitor_of

INTENT, OPEN_SESSION, INVOICE, PAID_SESSION, SETTLED_SESSION = range(5)
"""Versions: how much what is said of one order counts, whenever it was said. An intent knows no tax; a session that was not paid yet knows less of
paying than the invoice, one that was knows all; the outcome of a delayed payment (SEPA, bank transfer) is the last word."""

PAID = {"paid": True, "no_payment_required": True, "unpaid": False}
PAYMENTS_MAX = 100
TAXES_MAX = 500


@dataclass(frozen=True, slots=True)
class Event:
    """An event of Stripe's: what happened when, and the object as it was then. test: not in live mode."""

    type: str
    created_at: datetime | None
    thing: Json
    test: bool


class Money(msgspec.Struct, frozen=True):
    """What an order comes to, in ISO minor units; the fields of an OrderReport."""

    currency: str | None = None
    items_minor: int | None = None
    discount_minor: int | None = None
    tax_minor: int | None = None
    shipping_minor: int | None = None
    net_minor: int | None = None
    total_minor: int | None = None
    total_currency: str | None = None
    estimated: bool = False

    def stated(self) -> dict[str, object]:
        """By the names of an OrderReport's fields."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


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
    notes: list[str] = []
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
        visitor_id=visitor_of(metadata),
        customer=_customer(
            context,
            session.get("customer"),
            nested(session, "customer_details", "email"),
            session.get("customer_email"),
        ),
        refunds=(_cancelled(event),) if failed else (),
        test=event.test,
    )
    return Parsed(reports=(_with_money(report, _session_money(session, notes)),), notes=tuple(notes))


def _cancelled(event: Event) -> RefundReport:
    return RefundReport("payment_failed", kind="cancellation", full=True, occurred_at=event.created_at)


def _session_money(session: Json, notes: list[str]) -> Money:
    purse = purse_of(session)
    total = purse.amount(session, "amount_total")
    details = session.get("total_details")
    known = isinstance(details, dict)
    details = details if isinstance(details, dict) else {}
    tax, shipping = purse.amount(details, "amount_tax") or 0, purse.amount(details, "amount_shipping") or 0
    shipping -= _tax_within(session.get("shipping_cost"), shipping, purse)
    money = _money(purse, total, tax if known else None, shipping if known else None)
    subtotal, discount = purse.amount(session, "amount_subtotal"), purse.amount(details, "amount_discount")
    if money.net_minor is not None and subtotal is not None and discount is not None:
        # Where prices include tax so does the discount: without its share, items − discount = net.
        discount = share(discount, money.net_minor, subtotal - discount)
        money = replace(money, items_minor=money.net_minor + discount, discount_minor=discount)
    shown = session.get("presentment_details")
    if isinstance(shown, dict):
        notes.append(
            f"presentment {text_of(shown.get('presentment_currency'))} {text_of(shown.get('presentment_amount'))}"
        )
    return _converted(session, money, subtotal, notes)


def _money(purse: StripeAmountReader, total: int | None, tax: int | None, shipping: int | None) -> Money:
    """tax None: nobody says, so net is an estimate."""
    if total is None or purse.currency is None:
        return Money()
    return Money(
        currency=purse.currency,
        tax_minor=tax,
        shipping_minor=shipping,
        net_minor=max(total - (tax or 0) - (shipping or 0), 0),
        total_minor=total,
        estimated=tax is None,
    )


def _tax_within(cost: object, shipping: int, purse: StripeAmountReader) -> int:
    """The tax within what shipping cost, when it is within: then the price with tax is the price itself, which the total of shipping repeats."""
    if not isinstance(cost, dict) or purse.signed(cost, "amount_total") != shipping:
        return 0
    return min(purse.signed(cost, "amount_tax") or 0, shipping)


def _converted(session: Json, money: Money, subtotal: int | None, notes: list[str]) -> Money:
    """The money of a session that was made in one currency and paid in another, in the one it was made in."""
    conversion = session.get("currency_conversion")
    if not isinstance(conversion, dict) or money.net_minor is None:
        return money
    source = purse_of(conversion, "source_currency")
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
    """A paid invoice: one period of a subscription, or an invoice sent by hand. What was paid from the customer's balance is paid too."""
    invoice = event.thing
    invoice_id = _id_of(invoice, "invoice")
    purse = purse_of(invoice)
    total = purse.signed(invoice, "total")
    if total is not None and total < 0:
        return Parsed(ignored="credit_invoice")
    subscribed = nested(invoice, "parent", "subscription_details", "metadata")
    own = metadata_of(invoice.get("metadata"))
    # A subscription hands its metadata to every invoice: its clicks and codes, never a number of one order.
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
        visitor_id=visitor_of(metadata),
        customer=_customer(context, invoice.get("customer"), invoice.get("customer_email")),
        test=event.test,
    )
    reason = text_of(invoice.get("billing_reason"))
    shipping = purse.amount(invoice, "amount_shipping") or 0
    shipping -= _tax_within(invoice.get("shipping_cost"), shipping, purse)
    money = _money(purse, total, _invoice_tax(invoice, purse, total), shipping)
    return Parsed(reports=(_with_money(report, money),), notes=(reason,) if reason else ())


def _invoice_tax(invoice: Json, purse: StripeAmountReader, total: int | None) -> int | None:
    """In whichever way its API version says it."""
    before = purse.amount(invoice, "total_excluding_tax")
    if before is not None and total is not None:
        return max(total - before, 0)
    for name in ("total_taxes", "total_tax_amounts"):
        if isinstance(invoice.get(name), list):
            return sum(purse.amount(tax, "amount") or 0 for tax in objects(invoice.get(name), TAXES_MAX, name))
    return purse.amount(invoice, "tax")


def _payments(invoice: Json) -> list[object]:
    """The payment intents of an invoice: one of its fields before 2025, a list since, which a webhook may leave out."""
    payments = objects(nested(invoice, "payments", "data"), PAYMENTS_MAX, "payments")
    return [invoice.get("payment_intent"), *(nested(payment, "payment", "payment_intent") for payment in payments)]


def read_invoice_payment(event: Event, context: Context) -> Parsed:
    """Which payment intent (or charge) paid an invoice: since 2025 neither names the other, so this joins a refund to its invoice."""
    payment = event.thing.get("payment")
    payment = payment if isinstance(payment, dict) else {}
    refs = names(event.thing.get("invoice"), payment.get("payment_intent"), payment.get("charge"))
    if len(refs) < 2:
        return Parsed(ignored="nothing_to_join")
    return Parsed(reports=(OrderReport(shop=context.shop, kind="sale", refs=refs, stub=True),))


# ── Payment intents ──────────────────────────────────────────────────────────────────────────────────────────────────


def read_intent(event: Event, context: Context) -> Parsed:
    """A payment of a checkout of the shop's own, when its metadata names a click, visitor or code; else the session or invoice tells of the order."""
    intent = event.thing
    intent_id = _id_of(intent, "payment intent")
    metadata = metadata_of(intent.get("metadata"))
    codes, _ = codes_of({}, metadata)
    clicks, visitor = clicks_of(metadata, context), visitor_of(metadata)
    if not (codes or clicks or visitor):
        return Parsed(ignored="no_code_or_click")
    purse = purse_of(intent)
    total = purse.amount(intent, "amount_received")
    total = purse.amount(intent, "amount") if total is None else total
    details = intent.get("amount_details")
    details = details if isinstance(details, dict) else {}
    tax = purse.amount(_object(details.get("tax")), "total_tax_amount")
    shipping = purse.amount(_object(details.get("shipping")), "amount")
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
        customer=_customer(context, intent.get("customer"), intent.get("receipt_email")),
        test=event.test,
    )
    return Parsed(reports=(_with_money(report, _money(purse, total, tax, shipping)),))


# ── What they have in common ─────────────────────────────────────────────────────────────────────────────────────────


def _id_of(thing: Json, what: str) -> str:
    found = id_of(thing.get("id"))
    if found is None:
        raise Unreadable("not_an_order", f"the {what} has no id")
    return found


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _customer(context: Context, customer: object, *emails: object) -> Customer:
    return Customer(key=context.customer_key(id_of(customer), next(filter(None, map(text_of, emails)), None)))


def _with_money(report: OrderReport, money: Money) -> OrderReport:
    return replace(report, **money.stated())
