"""The job `reconciliation`: compares the shop's own list of orders with ours; a line for every order, and a waterfall per currency.

It reads the file twice, in bounded memory. The first pass finds which orders it lists and from when to when. The second compares them, a batch at
a time; then come our own orders of that span that are left. A job that is taken over starts again.

The comparison deliberately reads everything in one snapshot: an order that arrived between two batches would be `never_received` in one and
`not_listed` in the other, and the sums would belong to no moment. The snapshot holds back vacuum while it is open (100,000 lines: half a minute) and
nothing else: a transaction that only reads has no id that redeciding would wait for. The messages that only hint at a reason are read before it.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from app.database.transactions import Connection
from app.domain import ids
from app.domain.csv_files import Refusal
from app.domain.money import read_declared
from app.domain.order_list import ListDefaults, read_listed
from app.domain.reconciliation import NEVER_RECEIVED, REASONS, STATUSES, Compared, Listed, Ours, Reconciliation
from app.domain.statuses import COUNTED
from app.jobs.files import in_batches, read_brand, read_lines, refused_line
from app.jobs.run import JobFailed, JobLine, Run

BATCH_ROWS = 500
"""Lines compared and committed together."""
READ_ROWS = 2_000
"""Lines of the first pass between two commits of progress."""
SHOPS_MAX = 100
"""Other shops and kinds of the brand in which a missing order is looked for."""
DELIVERIES_MAX = 5_000
"""Messages searched, the newest first."""
DELIVERIES_ROWS = 100
"""Messages read at once."""
BODY_BYTES_MAX = 64 << 10
"""Searched part of a body, in bytes: on every platform the order's id stands near the beginning."""
NAME_CHARACTERS_MIN = 4
"""Shortest order id that is searched for: a shorter one stands in half of all messages as a quantity or a price."""
LATE = timedelta(days=7)
"""Time after the span in which a shop may still report its orders."""

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
# Its columns are the fields of `Ours`.
ORDERS = """
SELECT c.id, c.order_id, c.status, c.test, c.occurred_at, coalesce(m.currency, c.currency, $2) AS currency, c.net_minor, c.tax_minor,
    c.shipping_minor, c.discount_minor, c.refunded_minor, c.flags, coalesce(m.attributed_minor, 0)::bigint AS attributed_minor
FROM conversion c LEFT JOIN LATERAL (
    SELECT min(r.currency) AS currency, sum(r.amount_minor) FILTER (WHERE r.counted AND r.collaboration_id IS NOT NULL) AS attributed_minor
    FROM credit r WHERE r.brand_id = $1 AND r.conversion_id = c.id
) m ON true
WHERE c.brand_id = $1
"""
OF_IDS = f"{ORDERS} AND c.id = ANY($3::uuid[])"
OF_SPAN = f"""{ORDERS} AND c.root_id = c.id AND c.shop = $3 AND c.kind = $4 AND c.status = ANY($5::text[]) AND NOT c.test
    AND c.occurred_at >= $6 AND c.occurred_at < $7 AND (c.occurred_at, c.id) > ($8, $9)
ORDER BY c.occurred_at, c.id LIMIT $10"""
COUNT_OF_SPAN = """
SELECT count(*) FROM conversion c WHERE c.brand_id = $1 AND c.root_id = c.id AND c.shop = $2 AND c.kind = $3 AND c.status = ANY($4::text[])
    AND NOT c.test AND c.occurred_at >= $5 AND c.occurred_at < $6
"""
REFUSED = """
SELECT id, status, reason, headers::text AS headers, substring(body FOR $4) AS body FROM delivery
WHERE brand_id = $1 AND status = ANY($6::text[]) AND id >= $2 AND id < $3 ORDER BY id DESC LIMIT $5
"""
NO_ID = UUID(int=0)
_BETWEEN = re.compile(r"[\s\"',;:{}\[\]()<>&=?#\\]+")


Details = dict[str, str | int | bool | None]
ReadLine = tuple[int, Listed | Refusal | None]
"""A record's number and what it says."""


@dataclass(slots=True)
class Contents:
    """Result of the first pass: the orders listed, by name, each with its line; the first and last moment of them."""

    lines: dict[str, int] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None

    def add(self, listed: Listed) -> None:
        """Adds an order of the list; of two lines about one order the first counts."""
        self.lines.setdefault(listed.ref, listed.number)
        if listed.occurred_at is not None and listed.until is not None:
            self.since = min(filter(None, (self.since, listed.occurred_at)))
            self.until = max(filter(None, (self.until, listed.until)))


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """A message that was not used. status: `rejected` or `unsigned`."""

    id: UUID
    status: str
    reason: str | None


async def run_reconciliation(run: Run) -> Mapping[str, Any]:
    """Compares the list with what was recorded; returns the waterfalls and the number of orders by status and reason."""
    row = await read_brand(run)
    brand = ListDefaults(row["currency"], ZoneInfo(row["time_zone"]), read_declared(row["currencies"]))
    await run.commit(run.delete_lines, done=0)
    read = partial(read_listed, brand=brand)
    contents = Contents()
    async for batch in in_batches(read_lines(run, read), READ_ROWS):
        for _, listed in batch:
            if isinstance(listed, Listed):
                contents.add(listed)
        await run.commit(done=0)
    span = _span(run.arguments, contents)
    messages = await _messages_naming(run.pool, run.brand_id, contents.lines.keys(), span)
    async with run.pool.acquire() as held, held.transaction(isolation="repeatable_read", readonly=True):
        comparison = Comparison(run, held, span, contents, messages, brand.currency)
        await comparison.prepare()
        await comparison.compare_listed(read_lines(run, read))
        await comparison.add_unlisted()
        return comparison.result()


def _span(arguments: Mapping[str, Any], contents: Contents) -> tuple[datetime, datetime]:
    """The span given in the request, else from the first order of the list to its last."""
    given = [None if arguments[name] is None else datetime.fromisoformat(arguments[name]) for name in ("from", "to")]
    since, until = given[0] or contents.since, given[1] or contents.until
    if since is None or until is None:
        raise JobFailed(
            "no line of the list says when its order was placed; say `from` and `to`, or fill in occurred_at"
        )
    if since >= until:
        raise JobFailed("`from` is not before `to`, or the list has no order between them")
    return since, until


@dataclass
class Comparison:
    """The comparison of one list with our orders, batch by batch. currency: of our orders that name none."""

    run: Run
    connection: Connection
    span: tuple[datetime, datetime]
    contents: Contents
    messages: Mapping[str, RefusedMessage]
    currency: str
    sums: Reconciliation = field(default_factory=Reconciliation)
    refused: Counter[str] = field(default_factory=Counter)
    seen: set[UUID] = field(default_factory=set)

    async def prepare(self) -> None:
        """Reads what all batches need."""
        self.shop: str = self.run.arguments["shop"] or "main"
        self.kind: str = self.run.arguments["kind"] or "sale"
        self.last_number = max(self.contents.lines.values(), default=1)
        scope = (self.run.brand_id, self.shop, self.kind)
        self.as_of = await self.connection.fetchval("SELECT now()")
        self.shops = await self.connection.fetch(SHOPS, *scope, SHOPS_MAX)
        self.ours_count = await self.connection.fetchval(COUNT_OF_SPAN, *scope, list(COUNTED), *self.span)

    async def compare_listed(self, lines: AsyncIterator[ReadLine]) -> None:
        """The second pass: every line of the list becomes a line of the job."""
        async for batch in in_batches(lines, BATCH_ROWS):
            self.last_number = max(self.last_number, batch[-1][0])
            await self._compare([(number, listed) for number, listed in batch if listed is not None])

    async def _compare(self, batch: Sequence[tuple[int, Listed | Refusal]]) -> None:
        refs = [each.ref for _, each in batch if isinstance(each, Listed)]
        ours = await self._find_ours(refs)
        elsewhere = await self._elsewhere([ref for ref in refs if ref not in ours and ref not in self.messages])
        lines = []
        for number, each in batch:
            if isinstance(each, Listed):
                lines.append(self._line(each, ours.get(each.ref), elsewhere.get(each.ref)))
            else:
                lines.append(self._refuse(number, each))
        await self._commit(lines, len(batch))

    def _line(self, listed: Listed, ours: Ours | None, other: tuple[str, str] | None) -> JobLine:
        first = self.contents.lines[listed.ref]
        if first != listed.number:
            return self._refuse_again(listed, f"line {first} lists this order already")
        if ours is not None and ours.id in self.seen:
            return self._refuse_again(listed, "another line lists this order under another of its names")
        details: Details = {}
        absence = NEVER_RECEIVED
        message = self.messages.get(listed.ref)
        if ours is not None:
            self.seen.add(ours.id)
        elif message is not None:
            absence = f"{message.status}_delivery"
            details = {"delivery_id": ids.show("delivery", message.id), "delivery_reason": message.reason}
        elif other is not None:
            absence = "other_shop"
            details = {"other_shop": other[0], "other_kind": other[1]}
        return _job_line(listed.number, self.sums.compare(listed, ours, absence), details)

    def _refuse_again(self, listed: Listed, detail: str) -> JobLine:
        return self._refuse(listed.number, Refusal("listed_twice", detail, "order_id", listed.order_id))

    def _refuse(self, number: int, refusal: Refusal) -> JobLine:
        self.refused[refusal.reason] += 1
        return refused_line(number, refusal)

    async def add_unlisted(self) -> None:
        """Adds our orders of the span that the list does not have, numbered after its last line."""
        scope = (self.run.brand_id, self.currency, self.shop, self.kind, list(COUNTED), *self.span)
        after, after_id = self.span[0], NO_ID
        while rows := await self.connection.fetch(OF_SPAN, *scope, after, after_id, BATCH_ROWS):
            lines = []
            for order in map(_ours, rows):
                if order.id not in self.seen:
                    self.last_number += 1
                    lines.append(_job_line(self.last_number, self.sums.add_unlisted(order), {}))
            await self._commit(lines, len(rows))
            after, after_id = rows[-1]["occurred_at"], rows[-1]["id"]

    async def _find_ours(self, refs: Sequence[str]) -> dict[str, Ours]:
        named = await self.connection.fetch(NAMED, self.run.brand_id, refs, self.shop, self.kind)
        root_ids = sorted({row["root_id"] for row in named})
        rows = await self.connection.fetch(OF_IDS, self.run.brand_id, self.currency, root_ids)
        orders = {row["id"]: _ours(row) for row in rows}
        return {row["ref"]: orders[row["root_id"]] for row in named}

    async def _elsewhere(self, refs: Sequence[str]) -> dict[str, tuple[str, str]]:
        """The other shop and kind under which each of these orders was reported."""
        if not refs or not self.shops:
            return {}
        shops, kinds = ({row[name] for row in self.shops} for name in ("shop", "kind"))
        rows = await self.connection.fetch(ELSEWHERE, self.run.brand_id, refs, list(shops), list(kinds))
        return {row["ref"]: (row["shop"], row["kind"]) for row in rows}

    async def _commit(self, lines: Sequence[JobLine], done: int) -> None:
        async def work(connection: asyncpg.Connection) -> None:
            await self.run.add_lines(connection, lines)

        total = self.run.arguments["rows"] + self.ours_count
        await self.run.commit(work, done=min(self.run.done + done, total), total=total)

    def result(self) -> dict[str, Any]:
        """The result of the job."""
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
            "waterfalls": [each.figures() for _, each in sorted(self.sums.waterfalls.items())],
        }


def _ours(row: asyncpg.Record) -> Ours:
    return Ours(**{**row, "flags": tuple(row["flags"])})


def _job_line(number: int, line: Compared, more: Details) -> JobLine:
    listed, ours = line.listed, line.ours
    details: Details = {"order_id": None, "currency": None}
    if ours is not None:
        details |= {
            "order_id": ours.order_id,
            "currency": ours.currency,
            "conversion_id": ids.show("conversion", ours.id),
            "here_minor": ours.left_minor,
            "here_status": ours.status,
            "occurred_at": None if ours.occurred_at is None else ours.occurred_at.isoformat(),
        }
    if listed is not None:
        details |= {"order_id": listed.order_id, "currency": listed.currency}
        details |= {"shop_minor": listed.left_minor, "shop_total_minor": listed.total_minor}
        if ours is not None and ours.currency != listed.currency:
            details["here_currency"] = ours.currency
    details |= {f"{cause}_minor": minor for cause, minor in line.parts.items()}
    return JobLine(number, line.status, line.reason, REASONS[line.reason], {**details, **more})


# ── “Never sent” or “sent, and refused” ──────────────────────────────────────────────────────────────────────────────


async def _messages_naming(
    pool: asyncpg.Pool, brand_id: UUID, refs: Collection[str], span: tuple[datetime, datetime]
) -> dict[str, RefusedMessage]:
    """For each of these orders the newest refused message of the span that names it.

    A message names an order that stands in it as a whole word, so the answer is a hint and not a proof.
    """
    wanted = {ref for ref in refs if len(ref) >= NAME_CHARACTERS_MIN}
    found: dict[str, RefusedMessage] = {}
    first, before = ids.floor_at(span[0]), ids.floor_at(span[1] + LATE)
    for _ in range(DELIVERIES_MAX // DELIVERIES_ROWS if wanted else 0):
        rows = await pool.fetch(
            REFUSED, brand_id, first, before, BODY_BYTES_MAX, DELIVERIES_ROWS, ["rejected", "unsigned"]
        )
        for row in rows:
            for ref in wanted & _words(bytes(row["body"]), row["headers"]):
                found[ref] = RefusedMessage(row["id"], row["status"], row["reason"])
            wanted -= found.keys()
            # A long body takes milliseconds, and the drain waits for its turn on this event loop.
            await asyncio.sleep(0)
        if len(rows) < DELIVERIES_ROWS or not wanted:
            break
        before = rows[-1]["id"]
    return found


def _words(body: bytes, headers: str) -> set[str]:
    text = f"{body.decode('utf-8', 'replace')} {headers}"
    return set(_BETWEEN.split(text)) | set(_BETWEEN.split(unquote_plus(text)))
