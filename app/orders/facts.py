"""Facts of orders: what was said, by whom, when. Added once, never moved, never changed, but for `received_at`, which keeps the earliest receipt."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from msgspec import structs

from app.database import uuids
from app.domain.amounts import Witness
from app.domain.codes import normalise
from app.domain.orders import (
    OrderLine,
    OrderReport,
    Receipt,
    RefundReport,
    content_hash,
    encode_words,
    read_click,
    read_report,
)
from app.domain.refunds import Adjustment
from app.domain.statuses import StatusChange

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
        delivery_id, version, occurred_at, received_at, lines, of_total, cumulative, part_of, by_lines, reverses)
    SELECT $1, r.conversion_id, r.kind, r.refund_id, decode(r.content_hash, 'hex'), r.id, r.amount_minor, r.currency, r.trust, r.door,
        r.platform, r.delivery_id, r.version, r.occurred_at, r.received_at, r.lines, r.of_total, r.cumulative, r.part_of,
        r.by_lines, r.reverses
    FROM jsonb_to_recordset($3::jsonb) AS r(conversion_id uuid, kind text, refund_id text, content_hash text, id uuid, amount_minor bigint,
        currency text, trust smallint, door text, platform text, delivery_id uuid, version bigint, occurred_at timestamptz,
        received_at timestamptz, lines jsonb, of_total boolean, cumulative boolean, part_of text, by_lines boolean, reverses text)
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

CHANGE = """
INSERT INTO status_change (brand_id, conversion_id, id, status, was, reason, note, key_id, changed_at)
SELECT $1, r.* FROM jsonb_to_recordset($2::jsonb) AS r(conversion_id uuid, id uuid, status text, was text, reason text, note text, key_id uuid,
    changed_at timestamptz)
"""

# One statement, because the round trip costs more than the empty columns.
FACTS = """
SELECT c.root_id, w.content_hash, w.trust, w.received_at, w.door, w.platform, w.delivery_id, w.report,
       0::bigint AS version, NULL::text AS refund_id, NULL::text AS kind, NULL::bigint AS amount_minor, NULL::text AS currency,
       NULL::timestamptz AS occurred_at, NULL::boolean AS of_total, NULL::boolean AS cumulative, NULL::text AS part_of,
       NULL::boolean AS by_lines, NULL::text AS reverses, NULL::jsonb AS lines,
       NULL::text AS status, NULL::text AS was, NULL::text AS reason, NULL::text AS note, NULL::uuid AS key_id
FROM conversion c JOIN witness w ON w.brand_id = $1 AND w.conversion_id = c.id
WHERE c.brand_id = $1 AND c.root_id = ANY($2::uuid[])
UNION ALL
SELECT c.root_id, a.content_hash, a.trust, a.received_at, a.door, a.platform, a.delivery_id, NULL,
       a.version, a.refund_id, a.kind, a.amount_minor, a.currency, a.occurred_at, a.of_total, a.cumulative, a.part_of,
       a.by_lines, a.reverses, CASE WHEN a.by_lines THEN a.lines END, NULL, NULL, NULL, NULL, NULL
FROM conversion c JOIN adjustment a ON a.brand_id = $1 AND a.conversion_id = c.id
WHERE c.brand_id = $1 AND c.root_id = ANY($2::uuid[])
UNION ALL
SELECT c.root_id, NULL, NULL, s.changed_at, NULL, NULL, NULL, NULL,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, s.status, s.was, s.reason, s.note, s.key_id
FROM conversion c JOIN status_change s ON s.brand_id = $1 AND s.conversion_id = c.id
WHERE c.brand_id = $1 AND c.root_id = ANY($2::uuid[])
"""

_lines = msgspec.json.Decoder(tuple[OrderLine, ...]).decode

Fact = tuple[UUID, bytes]
"""The conversion under which it was reported, and the hash of what was said."""


class OrderFacts(msgspec.Struct, frozen=True):
    """Facts of one order, as `fold` takes them."""

    witnesses: list[Witness] = []
    adjustments: list[Adjustment] = []
    changes: list[StatusChange] = []


async def read_facts(
    connection: asyncpg.Connection, brand_id: UUID, root_ids: Sequence[UUID]
) -> dict[UUID, OrderFacts]:
    """All facts of these orders, under whichever id they arrived; nothing told for an order without any. No statement for no orders."""
    told = {root_id: OrderFacts() for root_id in root_ids}
    for row in await connection.fetch(FACTS, brand_id, list(told)) if told else ():
        facts = told[row["root_id"]]
        if row["report"] is not None:
            facts.witnesses.append(_read_witness(row))
        elif row["status"] is not None:
            facts.changes.append(
                StatusChange(row["status"], row["received_at"], row["was"], row["reason"], row["note"], row["key_id"])
            )
        else:
            facts.adjustments.append(_read_adjustment(row))
    return told


def _read_witness(row: asyncpg.Record) -> Witness:
    delivery_id = row["delivery_id"]
    return Witness(
        report=read_report(row["report"]),
        trust=row["trust"],
        content_hash=row["content_hash"],
        received_at=row["received_at"],
        door=row["door"],
        platform=row["platform"],
        delivery_id=None if delivery_id is None else str(delivery_id),
    )


def _read_adjustment(row: asyncpg.Record) -> Adjustment:
    return Adjustment(
        refund_id=row["refund_id"],
        kind=row["kind"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        trust=row["trust"],
        version=row["version"],
        content_hash=row["content_hash"],
        occurred_at=row["occurred_at"],
        received_at=row["received_at"],
        of_total=row["of_total"],
        cumulative=row["cumulative"],
        part_of=row["part_of"],
        by_lines=row["by_lines"],
        reverses=row["reverses"],
        lines=() if row["lines"] is None else _lines(row["lines"]),
    )


async def add_changes(
    connection: asyncpg.Connection, brand_id: UUID, changes: Sequence[tuple[UUID, StatusChange]]
) -> None:
    """Adds what was decided of locked orders, in one statement. Whether an order may change so is the caller's to know."""
    rows = [{"conversion_id": each, "id": uuids.new_id(), **asdict(change)} for each, change in changes]
    await connection.execute(CHANGE, brand_id, msgspec.json.encode(rows, enc_hook=str).decode())


async def add_facts(
    connection: asyncpg.Connection, brand_id: UUID, reports: Sequence[tuple[UUID, OrderReport, Receipt]]
) -> tuple[set[int], dict[UUID, OrderFacts]]:
    """Adds what these reports say of locked orders, in one statement.

    Answers which of them, by their place, said something new; and what they said, by the conversion under which it was reported.
    """
    witnesses: dict[Fact, dict[str, Any]] = {}
    adjustments: dict[Fact, dict[str, Any]] = {}
    told: dict[UUID, OrderFacts] = {}
    touches: set[tuple[str, UUID]] = set()
    first_said: dict[Fact, int] = {}
    for index, (conversion_id, report, receipt) in enumerate(reports):
        assert receipt.received_at.tzinfo is not None
        heard = told.setdefault(conversion_id, OrderFacts())
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
                    refund.by_lines,
                    refund.reverses,
                    refund.lines,
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
    for code_id in report.code_ids:
        yield f"alias:{code_id}"
    for name in report.click_ids:
        if click_id := read_click(name):
            yield f"click:{click_id}"
    if report.visitor_id is not None:
        yield f"visitor:{report.visitor_id}"


def _witness(fact: Fact, report: OrderReport, receipt: Receipt, words: bytes) -> dict[str, Any]:
    return {
        "conversion_id": fact[0],
        "content_hash": fact[1].hex(),
        "id": uuids.new_id(),
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
        "id": uuids.new_id(),
        "amount_minor": None if refund.full or refund.by_lines else refund.amount_minor or 0,
        "currency": refund.currency,
        "trust": receipt.trust,
        "door": receipt.door,
        "platform": receipt.platform,
        "delivery_id": receipt.delivery_id,
        "version": refund.version,
        "occurred_at": refund.occurred_at,
        "received_at": receipt.received_at,
        "lines": [structs.asdict(line) for line in refund.lines],
        "of_total": refund.of_total,
        "cumulative": refund.cumulative,
        "part_of": refund.part_of,
        "by_lines": refund.by_lines,
        "reverses": refund.reverses,
    }


def _json(rows: Mapping[Fact, Mapping[str, Any]]) -> str:
    return msgspec.json.encode(list(rows.values()), enc_hook=str).decode()
