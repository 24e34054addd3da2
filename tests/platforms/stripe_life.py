"""What the parser makes of the simulator's Stripe events, and the order that several of them come to."""

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
from demo.simulator.messages import Json

RECEIVED = datetime(2026, 11, 25, 12, tzinfo=UTC)
CONTEXT = Context(received_at=RECEIVED, currency="EUR", customer_key=lambda number, email: f"{number}/{email}")
PROMO = "promo_1Pgc79B7WZ01zgkWNy4mn5NX"
LINE = Receipt(TRUST_WEBHOOK, "hook", "stripe", RECEIVED)


def read(event: Json, context: Context = CONTEXT) -> Parsed:
    """What the parser reads."""
    return parse(json.dumps(event).encode(), {}, context)


def said(body: Json, context: Context = CONTEXT) -> OrderReport:
    """The one report of an event that has one."""
    parsed = read(body, context)
    assert parsed.rejected is None, parsed
    [report] = parsed.reports
    return report


def money(report: OrderReport) -> tuple[Any, ...]:
    return report.currency, report.net_minor, report.tax_minor, report.shipping_minor, report.total_minor


def folded(*events: Json) -> Order:
    """The order that these events make, all of which are of one order."""
    witnesses: list[Witness] = []
    adjustments: list[Adjustment] = []
    for event in events:
        for report in _reports(json.dumps(event)):
            if report.is_witness:
                digest = content_hash(LINE, encode_report(report))
                witnesses.append(Witness(report, TRUST_WEBHOOK, digest, RECEIVED, "hook", "stripe"))
            adjustments += [_adjustment(refund) for refund in report.refunds]
    return fold(witnesses, adjustments)


@lru_cache(maxsize=1_000)
def _reports(body: str) -> tuple[OrderReport, ...]:
    return parse(body.encode(), {}, CONTEXT).reports


def _adjustment(refund: RefundReport) -> Adjustment:
    return Adjustment(refund, TRUST_WEBHOOK, content_hash(LINE, encode_report(refund)), RECEIVED)
