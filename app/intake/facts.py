"""Facts of orders: what was said, by whom, when. Added once, never moved, never changed, but for `received_at`, which keeps the earliest receipt."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from app import mint
from app.domain.codes import normalise
from app.domain.folding import Adjustment, Witness
from app.domain.orders import OrderReport, Receipt, RefundReport, content_hash, encode_words, read_click

ADD = """
WITH witnessed AS (
    INSERT INTO witness (brand_id, conversion_id, content_hash, id, trust, door, platform, origin_id, delivery_id, version, received_at, report)
    SELECT $1, r.conversion_id, decode(r.content_hash, 'hex'), r.id, r.trust, r.door, r.platform, r.origin_id, r.delivery_id, r.version,
        r.received_at, r.report
    FROM jsonb_to_recordset($2::jsonb) AS r(conversion_id uuid, content_hash text, id uuid, trust smallint, door text, platform text,
        origin_id uuid, delivery_id uuid, version bigint, received_at timestamptz, report jsonb)
    ON CONFLICT (brand_id, conversion_id, content_hash) DO UPDATE SET received_at = EXCLUDED.received_at
    WHERE witness.received_at > EXCLUDED.received_at
    RETURNING conversion_id, content_hash, xmax = 0 AS added
), adjusted AS (
    INSERT INTO adjustment (brand_id, conversion_id, kind, refund_id, content_hash, id, amount_minor, currency, trust, door, platform,
        delivery_id, version, occurred_at, received_at, lines, of_total, cumulative, part_of)
    SELECT $1, r.conversion_id, r.kind, r.refund_id, decode(r.content_hash, 'hex'), r.id, r.amount_minor, r.currency, r.trust, r.door,
        r.platform, r.delivery_id, r.version, r.occurred_at, r.received_at, r.lines, r.of_total, r.cumulative, r.part_of
    FROM jsonb_to_recordset($3::jsonb) AS r(conversion_id uuid, kind text, refund_id text, content_hash text, id uuid, amount_minor bigint,
        currency text, trust smallint, door text, platform text, delivery_id uuid, version bigint, occurred_at timestamptz,
        received_at timestamptz, lines jsonb, of_total boolean, cumulative boolean, part_of text)
    ON CONFLICT (brand_id, conversion_id, kind, refund_id, content_hash) DO UPDATE SET received_at = EXCLUDED.received_at
    WHERE adjustment.received_at > EXCLUDED.received_at
    RETURNING conversion_id, content_hash, xmax = 0 AS added
), touched AS (
    INSERT INTO order_touch (brand_id, touch, conversion_id)
    SELECT $1, r.touch, r.conversion_id FROM unnest($4::text[], $5::uuid[]) AS r(touch, conversion_id)
    ON CONFLICT DO NOTHING
    RETURNING conversion_id
)
SELECT conversion_id, content_hash FROM witnessed WHERE added
UNION ALL SELECT conversion_id, content_hash FROM adjusted WHERE added
"""

Fact = tuple[UUID, bytes]
"""The conversion under which it was reported, and the hash of what was said."""


@dataclass(frozen=True, slots=True)
class Told:
    """Facts of one order, as `fold` takes them."""

    witnesses: list[Witness] = field(default_factory=list)
    adjustments: list[Adjustment] = field(default_factory=list)


async def add_facts(
    connection: asyncpg.Connection, brand_id: UUID, reports: Sequence[tuple[UUID, OrderReport, Receipt]]
) -> tuple[set[int], dict[UUID, Told]]:
    """Adds what these reports say of locked orders, in one statement.

    Answers which of them, by their place, said something new; and what they said, by the conversion under which it was reported.
    """
    witnesses: dict[Fact, dict[str, Any]] = {}
    adjustments: dict[Fact, dict[str, Any]] = {}
    told: dict[UUID, Told] = {}
    touches: set[tuple[str, UUID]] = set()
    first_said: dict[Fact, int] = {}
    for index, (conversion_id, report, receipt) in enumerate(reports):
        assert receipt.received_at.tzinfo is not None
        heard = told.setdefault(conversion_id, Told())
        if not report.stub:
            words = encode_words(report)
            fact = conversion_id, content_hash(receipt, words)
            first_said.setdefault(fact, index)
            _keep_earliest(witnesses, fact, _witness(fact, report, receipt, words))
            heard.witnesses.append(
                Witness(
                    report,
                    receipt.trust,
                    fact[1],
                    receipt.received_at,
                    receipt.door,
                    receipt.platform,
                    receipt.delivery_id,
                )
            )
            touches.update((touch, conversion_id) for touch in _touch_names(report))
        for refund in report.refunds:
            fact = conversion_id, content_hash(receipt, encode_words(refund))
            first_said.setdefault(fact, index)
            row = _adjustment(fact, refund, receipt)
            _keep_earliest(adjustments, fact, row)
            heard.adjustments.append(
                Adjustment(
                    refund.refund_id,
                    refund.kind,
                    row["amount_minor"],
                    refund.currency,
                    receipt.trust,
                    refund.version,
                    fact[1],
                    refund.occurred_at,
                    receipt.received_at,
                    refund.of_total,
                    refund.cumulative,
                    refund.part_of,
                )
            )
    named = sorted(touches)
    rows = await connection.fetch(
        ADD,
        brand_id,
        _json(witnesses),
        _json(adjustments),
        [touch for touch, _ in named],
        [conversion_id for _, conversion_id in named],
    )
    return {first_said[row["conversion_id"], row["content_hash"]] for row in rows}, told


def _keep_earliest(rows: dict[Fact, dict[str, Any]], fact: Fact, row: dict[str, Any]) -> None:
    known = rows.get(fact)
    if known is None or row["received_at"] < known["received_at"]:
        rows[fact] = row


def _touch_names(report: OrderReport) -> Iterable[str]:
    """What `order_touch` keeps: the orders that a later click, landing or change of a code concerns are found by it."""
    for code in report.codes:
        if folded := normalise(code):
            yield f"code:{folded}"
    for name in report.click_ids:
        if click_id := read_click(name):
            yield f"click:{click_id}"
    if report.visitor_id is not None:
        yield f"visitor:{report.visitor_id}"


def _witness(fact: Fact, report: OrderReport, receipt: Receipt, words: bytes) -> dict[str, Any]:
    return {
        "conversion_id": fact[0],
        "content_hash": fact[1].hex(),
        "id": mint.new_id(),
        "trust": receipt.trust,
        "door": receipt.door,
        "platform": receipt.platform,
        "origin_id": receipt.origin_id,
        "delivery_id": receipt.delivery_id,
        "version": report.version,
        "received_at": receipt.received_at,
        "report": msgspec.Raw(words),
    }


def _adjustment(fact: Fact, refund: RefundReport, receipt: Receipt) -> dict[str, Any]:
    return {
        "conversion_id": fact[0],
        "content_hash": fact[1].hex(),
        "kind": refund.kind,
        "refund_id": refund.refund_id,
        "id": mint.new_id(),
        "amount_minor": None if refund.full else refund.amount_minor or 0,
        "currency": refund.currency,
        "trust": receipt.trust,
        "door": receipt.door,
        "platform": receipt.platform,
        "delivery_id": receipt.delivery_id,
        "version": refund.version,
        "occurred_at": refund.occurred_at,
        "received_at": receipt.received_at,
        "lines": [msgspec.to_builtins(line) for line in refund.lines],
        "of_total": refund.of_total,
        "cumulative": refund.cumulative,
        "part_of": refund.part_of,
    }


def _json(rows: Mapping[Fact, Mapping[str, Any]]) -> str:
    return msgspec.json.encode(list(rows.values()), enc_hook=str).decode()
