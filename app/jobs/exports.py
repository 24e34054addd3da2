"""The job `privacy_export`: everything that is kept of a person, as one JSON file: orders with all reports, messages, clicks, landings.

The file is written piece by piece, each with its checkpoint in one transaction, and kept as long as the job. One record stands on one line.
"""

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from app import clock
from app.domain import ids
from app.jobs.erasures import FIRST, add_to_receipt, receipt_of
from app.jobs.run import JobFailed, Run
from app.jobs.subjects import Subject, find_orders, find_visitors, next_messages, subject_of, visitors_of_orders
from app.orders.erasure import MEMBERS, Erased

BATCH_ORDERS = 50
"""Orders read and written in one part."""
EXPORT_BYTES_MAX = 256 << 20
"""Largest file, in bytes. A person with more is asked for order by order."""
END = b"\n]}\n"
SHOWN = {
    f"{kind}_id": kind
    for kind in ("conversion", "delivery", "click", "link", "collaboration", "campaign", "influencer", "code", "key")
}
"""Columns that hold an id of ours, and the kind of it."""

ORDERS = """
SELECT c.id, to_jsonb(c) - '{brand_id,id,root_id,digest}'::text[] AS row,
    (SELECT jsonb_agg(o.ref ORDER BY o.ref) FROM order_ref o JOIN conversion n ON n.brand_id = $1 AND n.id = o.conversion_id
     WHERE o.brand_id = $1 AND n.root_id = c.id) AS names,
    (SELECT jsonb_agg(to_jsonb(w) - '{brand_id,content_hash,id}'::text[] ORDER BY w.received_at) FROM witness w
     JOIN conversion n ON n.brand_id = $1 AND n.id = w.conversion_id WHERE w.brand_id = $1 AND n.root_id = c.id) AS reports,
    (SELECT jsonb_agg(to_jsonb(a) - '{brand_id,content_hash,id}'::text[] ORDER BY a.received_at) FROM adjustment a
     JOIN conversion n ON n.brand_id = $1 AND n.id = a.conversion_id WHERE a.brand_id = $1 AND n.root_id = c.id) AS refunds,
    (SELECT jsonb_agg(to_jsonb(s) - '{brand_id,id,decided}'::text[] ORDER BY s.changed_at) FROM status_change s
     JOIN conversion n ON n.brand_id = $1 AND n.id = s.conversion_id WHERE s.brand_id = $1 AND n.root_id = c.id) AS status_changes,
    (SELECT to_jsonb(d) - '{brand_id}'::text[] FROM decision d WHERE d.brand_id = $1 AND d.conversion_id = c.id) AS decision,
    (SELECT jsonb_agg(to_jsonb(r) - '{brand_id}'::text[] ORDER BY r.position, r.share) FROM credit r
     WHERE r.brand_id = $1 AND r.conversion_id = c.id) AS credits
FROM conversion c WHERE c.brand_id = $1 AND c.id = ANY($2::uuid[]) ORDER BY c.id
"""
LANDINGS = """
SELECT visitor_id, click_id, seen_at FROM visitor_click WHERE brand_id = $1 AND (visitor_id = ANY($2::text[]) OR click_id = ANY($3::uuid[]))
ORDER BY visitor_id, click_id
"""
CLICKS_OF = """
SELECT DISTINCT substr(t.touch, 7)::uuid AS click_id FROM order_touch t JOIN conversion c ON c.brand_id = $1 AND c.id = t.conversion_id
WHERE t.brand_id = $1 AND c.root_id = ANY($2::uuid[]) AND t.touch LIKE 'click:%'
"""
CLICKS = """
SELECT id, to_jsonb(k) - '{brand_id,id}'::text[] AS row FROM click k
WHERE brand_id = $1 AND id = ANY($2::uuid[]) AND id BETWEEN $3 AND $4 ORDER BY id
"""


async def export(run: Run) -> Mapping[str, Any]:
    """Writes the file about the person of its arguments; returns the receipt, and the file's bytes and address."""
    subject = subject_of(run.arguments)
    exporting = _Exporting(run, subject)
    run.result = lambda: receipt_of(run.checkpoint)
    if not run.checkpoint:
        await exporting.begin()
    while await exporting.some_orders():
        pass
    if not run.checkpoint.get("traced"):
        await exporting.traces()
    while await exporting.some_messages():
        pass
    if not run.checkpoint.get("ended"):
        await exporting.end()
    address = f"/v1/privacy/exports/{ids.show('job', run.id)}"
    return {**receipt_of(run.checkpoint), "bytes": run.checkpoint["bytes"], "download": address}


class _Exporting:
    """One export, from where its checkpoint stands."""

    def __init__(self, run: Run, subject: Subject) -> None:
        self.run = run
        self.subject = subject

    async def begin(self) -> None:
        """Finds the orders, and writes what the file is about."""

        async def work(connection: asyncpg.Connection) -> Mapping[str, Any]:
            brand_id = self.run.brand_id
            visitors = await find_visitors(connection, brand_id, self.subject)
            orders = await find_orders(connection, brand_id, self.subject, visitors)
            visitors = sorted({*visitors, *await visitors_of_orders(connection, brand_id, orders)})
            about = {"asked_for": self.run.arguments, "exported_at": clock.now().isoformat()}
            head = json.dumps(about, ensure_ascii=False)[:-1].encode() + b', "records": ['
            await self.run.add_piece(connection, 0, head)
            found = {"orders": [str(each) for each in orders], "visitors": visitors}
            return {**found, "pieces": 1, "bytes": len(head), "records": 0}

        await self.run.commit(work, done=0)

    async def some_orders(self) -> bool:
        """Writes the next orders; False when none are left."""
        after = UUID(self.run.checkpoint.get("after_order", str(FIRST)))
        batch = [each for each in map(UUID, self.run.checkpoint["orders"]) if each > after][:BATCH_ORDERS]
        if not batch:
            return False

        async def work(connection: asyncpg.Connection) -> Mapping[str, Any]:
            rows = await connection.fetch(ORDERS, self.run.brand_id, batch)
            lists = ("names", "reports", "refunds", "status_changes", "credits")
            records = [
                {
                    "record": "order",
                    "id": ids.show("conversion", row["id"]),
                    **_public(json.loads(row["row"])),
                    **{name: _public(json.loads(row[name] or "[]")) for name in lists},
                    "decision": _public(json.loads(row["decision"] or "null")),
                }
                for row in rows
            ]
            found = Erased(
                conversions=[row["id"] for row in rows],
                witnesses=sum(len(record["reports"]) for record in records),
                adjustments=sum(len(record["refunds"]) for record in records),
            )
            return await self._write(connection, records, found, after_order=str(batch[-1]))

        await self.run.commit(work, done=self.run.done + len(batch))
        return True

    async def traces(self) -> None:
        """Writes the person's landings and clicks."""

        async def work(connection: asyncpg.Connection) -> Mapping[str, Any]:
            brand_id, checkpoint = self.run.brand_id, self.run.checkpoint
            orders = [UUID(each) for each in checkpoint["orders"]]
            named = {row["click_id"] for row in await connection.fetch(CLICKS_OF, brand_id, orders)}
            clicked = sorted({*named, *self.subject.clicks})
            landings = await connection.fetch(LANDINGS, brand_id, checkpoint["visitors"], clicked)
            wanted = sorted({*clicked, *(row["click_id"] for row in landings)})
            clicks = await connection.fetch(CLICKS, brand_id, wanted, wanted[0], wanted[-1]) if wanted else []
            records = [{"record": "landing", **_public(dict(row))} for row in landings] + [
                {"record": "click", "id": ids.show("click", row["id"]), **_public(json.loads(row["row"]))}
                for row in clicks
            ]
            found = Erased(clicks=[row["id"] for row in clicks], landings=len(landings), touches=len(named))
            return await self._write(connection, records, found, traced=True)

        await self.run.commit(work, done=self.run.done)

    async def some_messages(self) -> bool:
        """Looks through the next messages and writes those about the person; False when none are left."""
        checkpoint = self.run.checkpoint
        after = UUID(checkpoint.get("after_message", str(FIRST)))
        async with self.run.pool.acquire() as connection:
            members = await connection.fetch(MEMBERS, self.run.brand_id, checkpoint["orders"])
            roots = {row["id"] for row in members}
            batch = await next_messages(self.run, connection, self.subject, checkpoint["visitors"], roots, after)
        if batch is None:
            return False

        async def work(connection: asyncpg.Connection) -> Mapping[str, Any]:
            records = [_message(each.row) for each in batch.matches]
            found = Erased(deliveries=[each.row["id"] for each in batch.matches])
            return await self._write(connection, records, found, after_message=str(batch.last))

        await self.run.commit(work, done=self.run.done + 1)
        return True

    async def end(self) -> None:
        """Closes the file."""

        async def work(connection: asyncpg.Connection) -> Mapping[str, Any]:
            checkpoint = self.run.checkpoint
            await self.run.add_piece(connection, checkpoint["pieces"], END)
            return {**checkpoint, "bytes": checkpoint["bytes"] + len(END), "ended": True}

        await self.run.commit(work, done=self.run.done)

    async def _write(
        self, connection: asyncpg.Connection, records: Sequence[Mapping[str, Any]], found: Erased, **reached: object
    ) -> Mapping[str, Any]:
        """Writes these records as the next piece, with a line for each thing in them; the checkpoint after it. Raises JobFailed over EXPORT_BYTES_MAX."""
        checkpoint, lines = add_to_receipt(self.run.checkpoint, found, "exported")
        await self.run.add_lines(connection, lines)
        if not records:
            return {**checkpoint, **reached}
        text = ",\n".join(json.dumps(each, ensure_ascii=False, default=str) for each in records)
        content = ((",\n" if checkpoint["records"] else "\n") + text).encode("utf-8", "replace")
        size_bytes = checkpoint["bytes"] + len(content)
        if size_bytes > EXPORT_BYTES_MAX:
            raise JobFailed(f"the file would be larger than {EXPORT_BYTES_MAX >> 20} MB; ask for single orders instead")
        await self.run.add_piece(connection, checkpoint["pieces"], content)
        written = {"pieces": checkpoint["pieces"] + 1, "bytes": size_bytes}
        return {**checkpoint, **written, "records": checkpoint["records"] + len(records), **reached}


def _message(row: asyncpg.Record) -> dict[str, Any]:
    """A stored message as it stands in the file."""
    columns = ("origin_id", "platform", "shop", "topic", "status", "reason", "received_at", "conversion_id")
    try:
        body = {"body": bytes(row["body"]).decode()}
    except UnicodeDecodeError:
        body = {"body_base64": base64.b64encode(row["body"]).decode()}
    shown = _public({name: row[name] for name in columns})
    headers = json.loads(row["headers"])
    return {"record": "delivery", "id": ids.show("delivery", row["id"]), **shown, "headers": headers, **body}


def _public(value: Any) -> Any:
    """Rows with ids as clients know them."""
    if isinstance(value, Mapping):
        return {name: _shown_id(name, each) for name, each in value.items()}
    if isinstance(value, Collection) and not isinstance(value, str | bytes):
        return [_public(each) for each in value]
    return value


def _shown_id(name: str, value: Any) -> Any:
    if name in SHOWN and value:
        try:
            return ids.show(SHOWN[name], value if isinstance(value, UUID) else UUID(value))
        except (ValueError, AttributeError):
            return value
    return _public(value)
