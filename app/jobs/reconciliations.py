"""The job `reconciliation`: the shop's own list of orders against ours, every order a line, and a waterfall per currency.

Two passes over the file, in bounded memory: the first finds which orders it lists and from when to when, the second compares them, a batch at a
time, and what is left of our own orders in that span follows. A job that is taken up again begins anew.

The comparison reads all in one snapshot, on purpose: an order that arrived between two batches would be `never_received` in one and `not_listed`
in the other, and the sums would be those of no moment. It holds back what vacuum may remove while it is read (100,000 lines: half a minute), and
nothing else: a transaction that only reads has no id for settling to wait for. What only hints at a reason is read before.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from app.database.transactions import Connection
from app.domain import ids
from app.domain.csv_files import Refusal
from app.domain.order_list import ListDefaults, read_listed
from app.domain.reconciliation import (
    NEVER_RECEIVED,
    REASONS,
    STATUSES,
    Compared,
    Listed,
    Ours,
    Reconciliation,
    Waterfall,
)
from app.domain.statuses import COUNTED
from app.jobs.files import BRAND, records, sheet_of
from app.jobs.naming import Naming, named_by
from app.jobs.run import JobFailed, JobLine, Run

BATCH_ROWS = 500
READ_ROWS = 2_000
"""Lines of the first pass between two signs of how far it is."""
SHOPS_MAX = 100
"""Shops and kinds of a brand in which an order is looked for that its own does not have."""

SNAPSHOT_AT = "SELECT now()"

NAMED = """
SELECT a.ref, c.root_id FROM unnest($2::text[]) AS a(ref)
JOIN order_ref o ON o.brand_id = $1 AND o.shop = $3 AND o.kind = $4 AND o.ref = a.ref
JOIN conversion c ON c.brand_id = $1 AND c.id = o.conversion_id
"""
SHOPS = """
SELECT DISTINCT shop, kind FROM conversion WHERE brand_id = $1 AND (shop, kind) <> ($2, $3) ORDER BY shop, kind LIMIT $4
"""
# Plain lists rather than a join: the key of order_ref is then read once for each shop and kind, whatever the number of names.
ELSEWHERE = """
SELECT DISTINCT ON (ref) ref, shop, kind FROM order_ref
WHERE brand_id = $1 AND shop = ANY($3::text[]) AND kind = ANY($4::text[]) AND ref = ANY($2::text[]) ORDER BY ref, shop, kind
"""
ORDERS = """
SELECT c.id, c.order_id, c.status, c.test, c.occurred_at, coalesce(m.currency, c.currency) AS currency, c.net_minor, c.tax_minor, c.shipping_minor,
    c.discount_minor, c.refunded_minor, c.flags, coalesce(m.attributed_minor, 0)::bigint AS attributed_minor
FROM conversion c LEFT JOIN LATERAL (
    SELECT min(r.currency) AS currency, sum(r.amount_minor) FILTER (WHERE r.counted AND r.collaboration_id IS NOT NULL) AS attributed_minor
    FROM credit r WHERE r.brand_id = $1 AND r.conversion_id = c.id
) m ON true
WHERE c.brand_id = $1
"""
OF_IDS = f"{ORDERS} AND c.id = ANY($2::uuid[])"
OF_SPAN = f"""{ORDERS} AND c.root_id = c.id AND c.shop = $2 AND c.kind = $3 AND c.status = ANY($4::text[]) AND NOT c.test
    AND c.occurred_at >= $5 AND c.occurred_at < $6 AND (c.occurred_at, c.id) > ($7, $8)
ORDER BY c.occurred_at, c.id LIMIT $9"""
COUNT_OF_SPAN = """
SELECT count(*) FROM conversion c WHERE c.brand_id = $1 AND c.root_id = c.id AND c.shop = $2 AND c.kind = $3 AND c.status = ANY($4::text[])
    AND NOT c.test AND c.occurred_at >= $5 AND c.occurred_at < $6
"""
NO_ID = UUID(int=0)


@dataclass(slots=True)
class Contents:
    """What the first pass found: the orders listed, by name, with the line of each; the first and last moment of them."""

    lines: dict[str, int] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None

    def take(self, listed: Listed) -> None:
        """An order of the list; of two lines about one order the first counts."""
        self.lines.setdefault(listed.ref, listed.number)
        if listed.occurred_at is not None and listed.until is not None:
            self.since = min(filter(None, (self.since, listed.occurred_at)))
            self.until = max(filter(None, (self.until, listed.until)))


async def run_reconciliation(run: Run) -> Mapping[str, Any]:
    """Compares the list with what was recorded; answers the waterfalls and how many orders came to what."""
    row = await run.pool.fetchrow(BRAND, run.brand_id)
    if row is None:
        raise JobFailed("the brand does not exist any more")
    brand = ListDefaults(row["currency"], ZoneInfo(row["time_zone"]))
    await run.commit(run.forget_lines, done=0)
    contents = Contents()
    async for _, said in _lines(run, brand):
        if isinstance(said, Listed):
            contents.take(said)
    span = _span(run.arguments, contents)
    deliveries = await named_by(run.pool, run.brand_id, contents.lines.keys(), span)
    async with run.pool.acquire() as held, held.transaction(isolation="repeatable_read", readonly=True):
        books = Books(run, held, span, contents, deliveries, brand)
        await books.prepare()
        await books.compare_listed(_lines(run, brand))
        await books.add_unlisted()
        return books.result()


async def _lines(run: Run, brand: ListDefaults) -> AsyncIterator[tuple[int, Listed | Refusal | None]]:
    """What each record of the file says, with its number."""
    sheet = sheet_of(run.arguments)
    count = 0
    async for record in records(run, sheet):
        yield record.number, read_listed(record, sheet, brand)
        count += 1
        if count % READ_ROWS == 0:
            await run.commit(done=run.done)
        elif count % 100 == 0:
            await asyncio.sleep(0)


def _span(arguments: Mapping[str, Any], contents: Contents) -> tuple[datetime, datetime]:
    """What was asked for, else from the first order of the list to its last."""
    asked = [None if arguments[name] is None else datetime.fromisoformat(arguments[name]) for name in ("from", "to")]
    since, until = asked[0] or contents.since, asked[1] or contents.until
    if since is None or until is None:
        raise JobFailed(
            "no line of the list says when its order was placed; say `from` and `to`, or fill in occurred_at"
        )
    if since >= until:
        raise JobFailed("`from` is not before `to`, or the list has no order between them")
    return since, until


class Books:
    """A list and our orders under comparison."""

    def __init__(
        self,
        run: Run,
        connection: Connection,
        span: tuple[datetime, datetime],
        contents: Contents,
        deliveries: Mapping[str, Naming],
        brand: ListDefaults,
    ) -> None:
        self.run = run
        self.connection = connection
        self.span = span
        self.contents = contents
        self.deliveries = deliveries
        self.brand = brand
        self.shop: str = run.arguments["shop"] or "main"
        self.kind: str = run.arguments["kind"] or "sale"
        self.sums = Reconciliation()
        self.refused: Counter[str] = Counter()
        self.seen: set[UUID] = set()
        self.number = max(contents.lines.values(), default=1)

    async def prepare(self) -> None:
        """Reads what all batches need."""
        asked = (self.run.brand_id, self.shop, self.kind)
        self.as_of = await self.connection.fetchval(SNAPSHOT_AT)
        self.shops = await self.connection.fetch(SHOPS, *asked, SHOPS_MAX)
        self.ours_count = await self.connection.fetchval(COUNT_OF_SPAN, *asked, list(COUNTED), *self.span)

    async def compare_listed(self, lines: AsyncIterator[tuple[int, Listed | Refusal | None]]) -> None:
        """The second pass: every line of the list is a line of the answer."""
        batch: list[tuple[int, Listed | Refusal]] = []
        async for number, said in lines:
            self.number = max(self.number, number)
            if said is not None:
                batch.append((number, said))
            if len(batch) == BATCH_ROWS:
                await self._compare(batch)
                batch = []
        await self._compare(batch)

    async def _compare(self, batch: Sequence[tuple[int, Listed | Refusal]]) -> None:
        listed = [said for _, said in batch if isinstance(said, Listed)]
        ours = await self._find_ours([each.ref for each in listed])
        missing = [each.ref for each in listed if each.ref not in ours]
        elsewhere = await self._elsewhere([ref for ref in missing if ref not in self.deliveries])
        told: list[JobLine] = []
        for number, said in batch:
            if isinstance(said, Refusal):
                told.append(self._refuse(number, said))
            elif (again := self._listed_before(said, ours.get(said.ref))) is not None:
                told.append(self._refuse(number, again))
            else:
                told.append(self._tell(said, ours.get(said.ref), elsewhere.get(said.ref)))
        await self._commit(told, len(batch))

    def _listed_before(self, listed: Listed, ours: Ours | None) -> Refusal | None:
        first = self.contents.lines[listed.ref]
        if first != listed.number:
            return Refusal("listed_twice", f"line {first} lists this order already", "order_id", listed.order_id)
        if ours is not None and ours.id in self.seen:
            detail = "another line lists this order under another of its names"
            return Refusal("listed_twice", detail, "order_id", listed.order_id)
        return None

    def _tell(self, listed: Listed, ours: Ours | None, other: tuple[str, str] | None) -> JobLine:
        details: dict[str, str | int | bool | None] = {}
        absence = NEVER_RECEIVED
        delivery = self.deliveries.get(listed.ref)
        if ours is None and delivery is not None:
            absence = f"{delivery.status}_delivery"
            details = {"delivery_id": ids.show("delivery", delivery.id), "delivery_reason": delivery.reason}
        elif ours is None and other is not None:
            absence = "other_shop"
            details = {"other_shop": other[0], "other_kind": other[1]}
        line = self.sums.compare(listed, ours, absence)
        if ours is not None:
            self.seen.add(ours.id)
        return _job_line(listed.number, line, details)

    def _refuse(self, number: int, refusal: Refusal) -> JobLine:
        self.refused[refusal.reason] += 1
        details = {"field": refusal.field, "order_id": refusal.order_id}
        return JobLine(number, "refused", refusal.reason, refusal.detail, details)

    async def add_unlisted(self) -> None:
        """Our orders of the span that the list does not have, numbered after its last line."""
        after, after_id = self.span[0], NO_ID
        while True:
            rows = await self.connection.fetch(
                OF_SPAN, self.run.brand_id, self.shop, self.kind, list(COUNTED), *self.span, after, after_id, BATCH_ROWS
            )
            if not rows:
                return
            told = []
            for row in rows:
                order = self._order(row)
                if order.id not in self.seen:
                    self.number += 1
                    told.append(_job_line(self.number, self.sums.add_unlisted(order), {}))
            await self._commit(told, len(rows))
            after, after_id = rows[-1]["occurred_at"], rows[-1]["id"]

    async def _find_ours(self, refs: Sequence[str]) -> dict[str, Ours]:
        named = await self.connection.fetch(NAMED, self.run.brand_id, refs, self.shop, self.kind)
        root_ids = sorted({row["root_id"] for row in named})
        rows = await self.connection.fetch(OF_IDS, self.run.brand_id, root_ids)
        orders = {row["id"]: self._order(row) for row in rows}
        return {row["ref"]: orders[row["root_id"]] for row in named}

    async def _elsewhere(self, refs: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Shop and kind under which these, which our own does not have, were reported instead."""
        if not refs or not self.shops:
            return {}
        shops, kinds = ({row[name] for row in self.shops} for name in ("shop", "kind"))
        rows = await self.connection.fetch(ELSEWHERE, self.run.brand_id, refs, list(shops), list(kinds))
        return {row["ref"]: (row["shop"], row["kind"]) for row in rows}

    def _order(self, row: asyncpg.Record) -> Ours:
        return Ours(
            id=row["id"],
            order_id=row["order_id"],
            status=row["status"],
            test=row["test"],
            currency=row["currency"] or self.brand.currency,
            net_minor=row["net_minor"],
            refunded_minor=row["refunded_minor"],
            attributed_minor=row["attributed_minor"],
            tax_minor=row["tax_minor"],
            shipping_minor=row["shipping_minor"],
            discount_minor=row["discount_minor"],
            occurred_at=row["occurred_at"],
            flags=tuple(row["flags"]),
        )

    async def _commit(self, told: Sequence[JobLine], done: int) -> None:
        async def work(connection: asyncpg.Connection) -> None:
            await self.run.add_lines(connection, told)

        total = self.run.arguments["rows"] + self.ours_count
        await self.run.commit(work, done=min(self.run.done + done, total), total=total)

    def result(self) -> dict[str, Any]:
        """The sums."""
        reasons: dict[str, dict[str, int]] = {status: {} for status in (*STATUSES, "refused")}
        for (status, reason), count in sorted(self.sums.reasons.items()):
            reasons[status][reason] = count
        reasons["refused"] = dict(sorted(self.refused.items()))
        return {
            "from": self.span[0].isoformat(),
            "to": self.span[1].isoformat(),
            "shop": self.shop,
            "kind": self.kind,
            "as_of": self.as_of.isoformat(),
            "orders": {status: sum(each.values()) for status, each in reasons.items()},
            "reasons": reasons,
            "waterfalls": [_waterfall(each) for _, each in sorted(self.sums.waterfalls.items())],
        }


def _waterfall(fall: Waterfall) -> dict[str, Any]:
    assert sum(minor for _, minor in fall.steps()) == fall.all_orders_net_minor
    return {
        "currency": fall.currency,
        "shop_total_minor": fall.shop_total_minor,
        "tax_minor": fall.tax_minor,
        "shipping_minor": fall.shipping_minor,
        "refunds_minor": fall.refunds_minor,
        "missing_here_minor": fall.missing_here.total(),
        "missing_there_minor": fall.missing_there.total(),
        "differences_minor": fall.differences.total(),
        "all_orders_net_minor": fall.all_orders_net_minor,
        "unattributed_minor": fall.all_orders_net_minor - fall.attributed_minor,
        "attributed_minor": fall.attributed_minor,
        "steps": [{"step": step, "minor": minor} for step, minor in fall.steps()],
    }


def _job_line(number: int, line: Compared, details: Mapping[str, str | int | bool | None]) -> JobLine:
    listed, ours = line.listed, line.ours
    said: dict[str, str | int | bool | None] = {"order_id": _either(listed, ours), "currency": None}
    if listed is not None:
        said |= {"currency": listed.currency, "shop_minor": listed.left_minor, "shop_total_minor": listed.total_minor}
    if ours is not None:
        said |= {
            "conversion_id": ids.show("conversion", ours.id),
            "here_minor": ours.left_minor,
            "here_status": ours.status,
            "occurred_at": None if ours.occurred_at is None else ours.occurred_at.isoformat(),
        }
        said["currency"] = said["currency"] or ours.currency
        if listed is not None and ours.currency != listed.currency:
            said["here_currency"] = ours.currency
    said |= {f"{cause}_minor": minor for cause, minor in line.parts.items()}
    return JobLine(number, line.status, line.reason, REASONS[line.reason], {**said, **details})


def _either(listed: Listed | None, ours: Ours | None) -> str | None:
    if listed is not None:
        return listed.order_id
    return None if ours is None else ours.order_id
