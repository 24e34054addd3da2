"""Facts of orders: what was reported or decided, by whom, when. Each is added once and never changed, but for `received_at`: the earliest receipt.

A report is stored as one JSON document beside the columns of its receipt, a report of an order (witness) as well as one of a refund (adjustment).
So a new attribute of either needs no change here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from msgspec import structs

from app.database import uuids
from app.database.recordset import names, recordset
from app.domain.codes import normalise
from app.domain.naming import naming_of
from app.domain.orders import (
    Adjustment,
    OrderReport,
    Receipt,
    Witness,
    content_hash,
    encode_report,
    read_click,
    read_refund_report,
    read_report,
)
from app.domain.statuses import StatusChange

FACT = ("conversion_id", "content_hash", "id", "version", "report", *Receipt.__struct_fields__)
"""Columns that witness and adjustment share beside the brand's."""
CHANGED = ("id", *StatusChange.__dataclass_fields__)
"""Columns of status_change beside the brand's."""

# The previous release, which may run beside this one during an upgrade, reads and writes these columns of an adjustment instead of its report. They
# are written from the report, and a report that is missing is made from them, until a later migration drops them. A new attribute needs none.
PREVIOUS_NAMES = (
    "kind, refund_id, amount_minor, currency, occurred_at, lines, of_total, cumulative, part_of, by_lines, reverses"
)
PREVIOUS_VALUES = """coalesce(p.kind, 'refund'), p.refund_id,
        CASE WHEN r.report ? 'full' OR p.by_lines THEN NULL ELSE coalesce(p.amount_minor, 0) END, p.currency, p.occurred_at,
        coalesce(p.lines, '[]'), coalesce(p.of_total, false), coalesce(p.cumulative, false), p.part_of, coalesce(p.by_lines, false), p.reverses"""
PREVIOUS_REPORT = """jsonb_strip_nulls(to_jsonb(f))
        || CASE WHEN f.amount_minor IS NULL AND NOT f.by_lines THEN '{"full": true}' ELSE '{}' END::jsonb"""

ADD = f"""
WITH witnessed AS (
    INSERT INTO witness (brand_id, {names(FACT)})
    SELECT $1, {names(FACT, "r.")} FROM {recordset("witness", "$2")}
    ON CONFLICT (brand_id, conversion_id, content_hash) DO UPDATE SET received_at = EXCLUDED.received_at
    WHERE witness.received_at > EXCLUDED.received_at
    RETURNING conversion_id, content_hash, xmax = 0 AS added
), adjusted AS (
    INSERT INTO adjustment (brand_id, {names(FACT)}, refs, {PREVIOUS_NAMES})
    SELECT $1, {names(FACT, "r.")}, coalesce(r.refs, '{{}}'), {PREVIOUS_VALUES}
    FROM {recordset("adjustment", "$3")}, jsonb_populate_record(NULL::adjustment, r.report) AS p
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

CHANGE = f"INSERT INTO status_change (brand_id, {names(CHANGED)}) SELECT $1, {names(CHANGED, 'r.')} FROM {recordset('status_change', '$2')}"

# One statement, because the round trip costs more than the empty columns. The columns of a report come in the order of `Fact`.
FACTS = f"""
SELECT c.root_id, 'witness' AS fact, f.report, f.trust, f.content_hash, f.received_at, f.door, f.platform, f.delivery_id::text, f.origin_id::text
FROM conversion c JOIN witness f ON f.brand_id = $1 AND f.conversion_id = c.id
WHERE c.brand_id = $1 AND c.root_id = ANY($2::uuid[])
UNION ALL
SELECT c.root_id, 'adjustment', coalesce(f.report, {PREVIOUS_REPORT}), f.trust, f.content_hash, f.received_at, f.door, f.platform,
    f.delivery_id::text, f.origin_id::text
FROM conversion c JOIN adjustment f ON f.brand_id = $1 AND f.conversion_id = c.id
WHERE c.brand_id = $1 AND c.root_id = ANY($2::uuid[])
UNION ALL
SELECT c.root_id, 'change', to_jsonb(f), NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM conversion c JOIN status_change f ON f.brand_id = $1 AND f.conversion_id = c.id
WHERE c.brand_id = $1 AND c.root_id = ANY($2::uuid[])
"""

read_change = msgspec.json.Decoder(StatusChange).decode

AnyFact = TypeVar("AnyFact", Witness, Adjustment)
FactKey = tuple[UUID, bytes]
"""The conversion under which something was reported, and the hash of the report."""


class OrderFacts(msgspec.Struct, frozen=True):
    """The facts of one order, as `fold` takes them."""

    witnesses: list[Witness] = []
    adjustments: list[Adjustment] = []
    changes: list[StatusChange] = []


async def read_facts(
    connection: asyncpg.Connection, brand_id: UUID, root_ids: Sequence[UUID]
) -> dict[UUID, OrderFacts]:
    """All facts of these orders, under whichever id they arrived; empty facts for an order without any. No statement for no orders."""
    found = {root_id: OrderFacts() for root_id in root_ids}
    for row in await connection.fetch(FACTS, brand_id, list(found)) if found else ():
        root_id, fact, report, *weight = row
        if fact == "witness":
            found[root_id].witnesses.append(Witness(read_report(report), *weight))
        elif fact == "adjustment":
            found[root_id].adjustments.append(Adjustment(read_refund_report(report), *weight))
        else:
            found[root_id].changes.append(read_change(report))
    return found


async def add_changes(
    connection: asyncpg.Connection, brand_id: UUID, changes: Sequence[tuple[UUID, StatusChange]]
) -> None:
    """Adds decisions about locked orders, in one statement. The caller knows whether an order may change so."""
    rows = [{**asdict(change), "conversion_id": each, "id": uuids.new_id()} for each, change in changes]
    await connection.execute(CHANGE, brand_id, msgspec.json.encode(rows, enc_hook=str).decode())


async def add_facts(
    connection: asyncpg.Connection, brand_id: UUID, reports: Sequence[tuple[UUID, OrderReport, Receipt]]
) -> tuple[set[int], dict[UUID, OrderFacts]]:
    """Adds what these reports state about locked orders, in one statement.

    Returns the places of the reports that stated something new; and the facts of all of them, by the conversion under which each was reported.
    """
    rows: dict[type, dict[FactKey, dict[str, Any]]] = {Witness: {}, Adjustment: {}}
    reported: dict[UUID, OrderFacts] = {}
    touches: set[tuple[str, UUID]] = set()
    first_at: dict[FactKey, int] = {}

    def fact_of(index: int, kind: type[AnyFact], report: Any) -> AnyFact:
        conversion_id, order, receipt = reports[index]
        stored = encode_report(report)
        hashed = content_hash(receipt, stored)
        key = conversion_id, hashed
        first_at.setdefault(key, index)
        other = rows[kind].get(key)
        if other is None or receipt.received_at < other["received_at"]:
            rows[kind][key] = {
                "conversion_id": conversion_id,
                # PostgreSQL reads bytes in JSON as hexadecimal digits; msgspec would write them in base64.
                "content_hash": f"\\x{hashed.hex()}",
                "id": uuids.new_id(),
                "version": report.version,
                "report": msgspec.Raw(stored),
                **structs.asdict(receipt),
            }
            if kind is Adjustment:
                rows[kind][key]["refs"] = naming_of(order).names
        weight = receipt.received_at, receipt.door, receipt.platform, receipt.delivery_id, receipt.origin_id
        return kind(report, receipt.trust, hashed, *weight)

    for index, (conversion_id, report, receipt) in enumerate(reports):
        assert receipt.received_at.tzinfo is not None
        facts = reported.setdefault(conversion_id, OrderFacts())
        if report.is_witness:
            facts.witnesses.append(fact_of(index, Witness, report))
            touches.update((touch, conversion_id) for touch in _touch_names(report))
        facts.adjustments.extend(fact_of(index, Adjustment, refund) for refund in report.refunds)
    named = sorted(touches)
    added = await connection.fetch(
        ADD,
        brand_id,
        *(msgspec.json.encode(list(rows[kind].values()), enc_hook=str).decode() for kind in (Witness, Adjustment)),
        [touch for touch, _ in named],
        [conversion_id for _, conversion_id in named],
    )
    return {first_at[row["conversion_id"], row["content_hash"]] for row in added}, reported


def _touch_names(report: OrderReport) -> Iterable[str]:
    """The names in `order_touch` by which a later click, landing or change of a code finds the orders it concerns."""
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
