"""Stripe's events, as reports.

The order of events is not promised, retries go on for three days, and one change may come as two events: reports of an order are ranked by what they
are (versions in `orders` and `refunds`), never by when they came or by the event's own id.
"""

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from app.domain.orders import Context, Parsed
from app.domain.strict_json import Unreadable
from app.platforms.kit.vendor_json import read_object, text_of
from app.platforms.stripe.fields import seconds_of
from app.platforms.stripe.orders import (
    Event,
    read_capture,
    read_intent,
    read_invoice,
    read_invoice_payment,
    read_release,
    read_session,
)
from app.platforms.stripe.refunds import read_charge, read_credit_note, read_dispute, read_refund

READERS: Mapping[str, Callable[[Event, Context], Parsed]] = {
    "checkout.session.completed": read_session,
    "checkout.session.async_payment_succeeded": read_session,
    "checkout.session.async_payment_failed": read_session,
    "checkout.session.expired": read_session,
    "invoice.paid": read_invoice,
    "invoice.payment_succeeded": read_invoice,
    "invoice_payment.paid": read_invoice_payment,
    "payment_intent.succeeded": read_intent,
    "payment_intent.canceled": read_release,
    "charge.captured": read_capture,
    "charge.expired": read_release,
    "credit_note.created": read_credit_note,
    "credit_note.voided": read_credit_note,
    "charge.refunded": read_charge,
    "charge.refund.updated": read_refund,
    "refund.created": read_refund,
    "refund.updated": read_refund,
    "refund.failed": read_refund,
    "charge.dispute.created": read_dispute,
    "charge.dispute.updated": read_dispute,
    "charge.dispute.funds_withdrawn": read_dispute,
    "charge.dispute.funds_reinstated": read_dispute,
    "charge.dispute.closed": read_dispute,
}


def parse(body: bytes, headers: Mapping[str, str], context: Context) -> Parsed:
    """Reports from one event's raw bytes. Never raises: what cannot be read is `rejected` with a reason."""
    topic = external_id = ""
    try:
        event = read_object(body, "not_an_event")
        topic, external_id = text_of(event.get("type")) or "", text_of(event.get("id")) or ""
        parsed = _read(event, topic, context)
    except Unreadable as error:
        return Parsed(topic=topic, external_id=external_id, rejected=error.reason, detail=error.detail)
    return replace(parsed, topic=topic, external_id=external_id)


def _read(event: dict[str, object], topic: str, context: Context) -> Parsed:
    if str(event.get("object")).startswith("v2."):
        raise Unreadable(
            "thin_event", "it says that something happened and not what: choose snapshot payloads for this destination"
        )
    if event.get("object") != "event" or not topic:
        raise Unreadable("not_an_event", "it is not an event of Stripe's, with object, type and data.object")
    read = READERS.get(topic)
    if read is None:
        return Parsed(ignored="unknown_topic")
    inner = event.get("data")
    thing = inner.get("object") if isinstance(inner, dict) else None
    if not isinstance(thing, dict):
        raise Unreadable("not_an_event", "it has no data.object")
    live = event.get("livemode", thing.get("livemode"))
    return read(Event(topic, seconds_of(event.get("created")), thing, live is False), context)
