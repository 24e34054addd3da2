"""What Stripe sends, over its own fixtures: events by name, with the fields a test is about put in."""

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from app.domain.folding import Order, fold
from app.domain.orders import (
    TRUST_WEBHOOK,
    Adjustment,
    Context,
    OrderReport,
    Parsed,
    Receipt,
    RefundReport,
    Witness,
    content_hash,
    encode_report,
)
from app.platforms.stripe.webhook import parse
from demo.simulator import DOCUMENTS

RECEIVED = datetime(2026, 11, 25, 12, tzinfo=UTC)
NOON_S = 1_795_305_134
"""When the sample's session was completed."""
CONTEXT = Context(received_at=RECEIVED, currency="EUR", customer_key=lambda number, email: f"{number}/{email}")
PROMO = "promo_1Pgc79B7WZ01zgkWNy4mn5NX"
LINE = Receipt(TRUST_WEBHOOK, "hook", "stripe", RECEIVED)
Json = dict[str, Any]


def sample(name: str) -> Json:
    """A fixture or event of Stripe's, to be changed at will."""
    found: Json = json.loads((DOCUMENTS / f"stripe_{name}.json").read_text())
    return found


def event(kind: str, thing: Json, *, at_s: int = NOON_S, **fields: Any) -> Json:
    """An event of this object."""
    return {
        "id": f"evt_{kind}",
        "object": "event",
        "created": at_s,
        "livemode": True,
        "type": kind,
        "data": {"object": thing},
        **fields,
    }


def session(kind: str = "completed", **fields: Any) -> Json:
    """checkout.session.<kind>: 49.99 EUR, of which 9.99 tax; 10.00 off by a promotion code."""
    thing = sample("event_checkout_session_completed")["data"]["object"] | {"metadata": {}, "client_reference_id": None}
    return event(f"checkout.session.{kind}", thing | fields)


def totals(discount: int = 0, tax: int = 0, shipping: int | None = 0) -> Json:
    """total_details of a session."""
    return {"amount_discount": discount, "amount_tax": tax, "amount_shipping": shipping}


def invoice(**fields: Any) -> Json:
    """invoice.paid of Stripe's fixture: 10.00 USD, no tax."""
    thing = sample("fixture_invoice") | {"status": "paid", "amount_paid": 1000, "amount_remaining": 0}
    return event("invoice.paid", thing | fields)


def intent(**fields: Any) -> Json:
    """payment_intent.succeeded of Stripe's fixture: 10.99 USD."""
    thing = sample("fixture_payment_intent") | {"status": "succeeded", "amount_received": 1099}
    return event("payment_intent.succeeded", thing | fields)


def charge_refunded(so_far: int, *, at_s: int = NOON_S + 900, **fields: Any) -> Json:
    """charge.refunded with this sum of all refunds so far."""
    found = sample("event_charge_refunded_partial")
    found["data"]["object"] |= {"amount_refunded": so_far, **fields}
    return found | {"created": at_s, "livemode": True}


def refund(
    refund_id: str, amount: int, kind: str = "refund.created", *, at_s: int = NOON_S + 900, **fields: Any
) -> Json:
    """A refund of the sample's charge."""
    thing = sample("fixture_refund") | {
        "id": refund_id, "amount": amount, "currency": "eur", "payment_intent": "pi_123", "created": at_s,
    }  # fmt: skip
    return event(kind, thing | fields, at_s=at_s)


def dispute(status: str, kind: str = "closed", amount: int = 4999, *, at_s: int = NOON_S + 9000, **fields: Any) -> Json:
    """charge.dispute.<kind> of the sample's charge."""
    thing = {
        "id": "dp_1", "object": "dispute", "amount": amount, "currency": "eur", "charge": "ch_1PgafuB7WZ01zgkWXYmPNZs8",
        "payment_intent": "pi_123", "status": status, "reason": "fraudulent", "created": NOON_S + 8000, "livemode": True,
    }  # fmt: skip
    return event(f"charge.dispute.{kind}", thing | fields, at_s=at_s)


def read(said: Json, context: Context = CONTEXT) -> Parsed:
    """What the parser reads."""
    return parse(json.dumps(said).encode(), {}, context)


def folded(*events: Json) -> Order:
    """The order that these events make, all of which are of one order."""
    witnesses: list[Witness] = []
    adjustments: list[Adjustment] = []
    for said in events:
        for report in _reports(json.dumps(said)):
            if not report.stub:
                digest = content_hash(LINE, encode_report(report))
                witnesses.append(Witness(report, TRUST_WEBHOOK, digest, RECEIVED, "hook", "stripe"))
            adjustments += [_adjustment(back) for back in report.refunds]
    return fold(witnesses, adjustments)


@lru_cache(maxsize=1_000)
def _reports(body: str) -> tuple[OrderReport, ...]:
    return parse(body.encode(), {}, CONTEXT).reports


def _adjustment(back: RefundReport) -> Adjustment:
    return Adjustment(back, TRUST_WEBHOOK, content_hash(LINE, encode_report(back)), RECEIVED)
