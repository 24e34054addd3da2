"""Records clicks: stored once, counted once, and reported to the orders that waited for them.

With any number of drainers and replays a count grows only by the rows that its own transaction inserted. Nearly always all clicks of a chunk are
new, so they are copied in, all or none; a chunk with clicks that were stored before is inserted row by row. All processes lock counts in the order
of (brand, day, link): unsorted, two drainers deadlock and fall to a two-hundredth of the speed.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from itertools import compress
from uuid import UUID

import asyncpg

from app.database.transactions import Connection
from app.domain.attribution import VISITOR_CLICKS_MAX
from app.domain.browsers import click_class, countries, read_user_agent
from app.domain.click_classes import HUMAN
from app.intake.clicks.binary_copy import COLUMNS, encode_clicks
from app.intake.clicks.calendar import Calendar, local_day
from app.orders.queue import NAMING_VISITORS, enqueue
from app.spool.records import ClickLine

SEPARATOR = "\x1f"
"""Separator of a column's values, which are sent as one text: asyncpg takes five times as long for an array. '' is null. A value that contains
the separator makes its column longer than the ids, and the row without an id fails the chunk."""

COUNT_CLICKS = """
INSERT INTO click_day AS c (brand_id, day, link_id, clicks, bots, previews, prefetches, heads)
SELECT $1, n.* FROM unnest($2::date[], $3::uuid[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int8[])
    AS n (day, link_id, clicks, bots, previews, prefetches, heads) ORDER BY day, link_id
ON CONFLICT (brand_id, day, link_id) DO UPDATE
SET clicks = c.clicks + excluded.clicks, bots = c.bots + excluded.bots, previews = c.previews + excluded.previews,
    prefetches = c.prefetches + excluded.prefetches, heads = c.heads + excluded.heads
"""
COUNTED_CLASSES = 5
"""Number of leading CLICK_CLASSES (domain/click_classes.py) that have a column in COUNT_CLICKS; the others are not counted."""

INSERT_CLICKS = """
INSERT INTO click (brand_id, id, link_id, occurred_at, class, visitor, country, device, os, browser, in_app, referrer_host)
SELECT $1, id, link_id, to_timestamp(at_ms / 1000.0), class, visitor, country, device, os, browser, in_app, referrer_host
FROM unnest(
    string_to_array($2, E'\\x1f', '')::uuid[], string_to_array($3, E'\\x1f', '')::uuid[], string_to_array($4, E'\\x1f', '')::int8[],
    string_to_array($5, E'\\x1f', '')::int2[], string_to_array($6, E'\\x1f', '')::int8[],
    string_to_array($7, E'\\x1f', ''), string_to_array($8, E'\\x1f', ''), string_to_array($9, E'\\x1f', ''),
    string_to_array($10, E'\\x1f', ''), string_to_array($11, E'\\x1f', ''), string_to_array($12, E'\\x1f', '')
) AS line (id, link_id, at_ms, class, visitor, country, device, os, browser, in_app, referrer_host)
ON CONFLICT (brand_id, id) DO NOTHING
RETURNING id::text
"""

# Orders that named a click of the chunk's time span, or a visitor who landed with one, before it was recorded: hardly ever more than a few rows. Ids
# sort by time, as text too; $2 and $3 are the chunk's first and last.
FIND_REFERENCES = """
WITH named AS (
    SELECT substr(touch, 7)::uuid AS click_id, conversion_id FROM order_touch
    WHERE brand_id = $1 AND touch BETWEEN 'click:' || $2::uuid AND 'click:' || $3::uuid ORDER BY touch LIMIT $4
), landed AS (
    SELECT click_id, visitor_id FROM visitor_click WHERE brand_id = $1 AND click_id BETWEEN $2 AND $3 ORDER BY click_id LIMIT $4
)
SELECT click_id, conversion_id, NULL AS visitor_id FROM named
UNION ALL SELECT click_id, NULL, visitor_id FROM landed
"""
REFERENCES_MAX = 1_000
"""Largest number of rows of either kind. A chunk whose clicks are months apart has more in its span: its clicks are then looked up one by one."""

# OFFSET 0 keeps the look-ups separate: one index descent per click. Otherwise the planner reads all orders of a brand with up to 170,000.
WAITING_ORDERS = """
WITH fresh AS (SELECT id FROM unnest(string_to_array($2, E'\\x1f')) AS id)
SELECT named.conversion_id FROM fresh CROSS JOIN LATERAL (
    SELECT conversion_id FROM order_touch WHERE brand_id = $1 AND touch = 'click:' || fresh.id OFFSET 0
) AS named
UNION
SELECT named.conversion_id FROM fresh CROSS JOIN LATERAL (
    SELECT visitor_id FROM visitor_click WHERE brand_id = $1 AND click_id = fresh.id::uuid OFFSET 0
) AS landed CROSS JOIN LATERAL (
    SELECT conversion_id FROM order_touch WHERE brand_id = $1 AND touch = 'visitor:' || landed.visitor_id OFFSET 0
) AS named
UNION
SELECT named.conversion_id FROM fresh CROSS JOIN LATERAL (
    SELECT visitor_id FROM visitor_click WHERE brand_id = $1 AND click_id = fresh.id::uuid OFFSET 0
) AS landed CROSS JOIN LATERAL (
    SELECT click_id FROM visitor_click WHERE brand_id = $1 AND visitor_id = landed.visitor_id ORDER BY click_id DESC LIMIT $3
) AS other CROSS JOIN LATERAL (
    SELECT conversion_id FROM order_touch WHERE brand_id = $1 AND touch = 'click:' || other.click_id OFFSET 0
) AS named
"""

INSERT_PENDING = """
INSERT INTO unique_pending (brand_id, click_ids, link_ids, visitors)
VALUES ($1, string_to_array($2, E'\\x1f')::uuid[], string_to_array($3, E'\\x1f')::uuid[], string_to_array($4, E'\\x1f')::int8[])
"""


@dataclass(frozen=True, slots=True)
class ReadClicks:
    """Parsed clicks of one brand, one list per column, all of equal length; '' for null."""

    brand_id: str
    ids: list[str]
    link_ids: list[str]
    times_ms: list[int]
    classes: list[int]
    visitors: list[int | None]
    # Country, device, system, browser, app, referrer's host.
    words: tuple[list[str], ...]


Add = Callable[[Connection, ReadClicks], Awaitable[list[str]]]
"""Stores a brand's clicks and returns the ids of the new ones."""


def at_ms(line_id: str) -> int:
    """Unix milliseconds of a UUIDv7 of 36 characters. Raises ValueError for another text."""
    return int(line_id[:8] + line_id[9:13], 16)


def read_clicks(lines: Iterable[ClickLine]) -> list[ReadClicks]:
    """Parse clicks, grouped by brand in the order in which counts are locked, without duplicates. Raises ValueError."""
    brands: dict[str, dict[str, ClickLine]] = {}
    for line in lines:
        brands.setdefault(line.brand_id, {})[line.id] = line
    return [_read_brand(brand_id, list(brands[brand_id].values())) for brand_id in sorted(brands)]


def _read_brand(brand_id: str, lines: list[ClickLine]) -> ReadClicks:
    browsers = [read_user_agent(line.user_agent) for line in lines]
    return ReadClicks(
        brand_id=brand_id,
        ids=[line.id for line in lines],
        link_ids=[line.link_id for line in lines],
        times_ms=[at_ms(line.id) for line in lines],
        classes=[click_class(browser, line.hint) for line, browser in zip(lines, browsers, strict=True)],
        visitors=[line.visitor for line in lines],
        words=(
            [code or "" for code in countries([line.address for line in lines])],
            [browser.device or "" for browser in browsers],
            [browser.os or "" for browser in browsers],
            [browser.browser or "" for browser in browsers],
            [browser.in_app or "" for browser in browsers],
            [line.referrer_host for line in lines],
        ),
    )


async def record_clicks(connection: Connection, brands: Sequence[ReadClicks], calendar: Calendar) -> int:
    """Store these clicks and their counts and queue entries in one durable transaction; returns how many were new.

    Raises asyncpg's errors; nothing is stored then.
    """
    try:
        return await _record(connection, brands, calendar, _copy)
    except asyncpg.UniqueViolationError:
        # A replay: a process was killed between the commit and the removal of the segment.
        return await _record(connection, brands, calendar, _insert)


async def _record(connection: Connection, brands: Sequence[ReadClicks], calendar: Calendar, add: Add) -> int:
    stored = 0
    due: list[tuple[UUID, list[UUID]]] = []
    pending: list[tuple[str, ...]] = []
    async with connection.transaction():
        # The segment is removed after this commit.
        await connection.execute("SET LOCAL synchronous_commit = on")
        for read in brands:
            if not await calendar.knows(connection, read.brand_id):
                # It was deleted whole while a machine that was down held its clicks.
                continue
            fresh = await add(connection, read)
            stored += len(fresh)
            if not fresh:
                continue
            await _count(connection, read, fresh, calendar)
            # A separate statement after the write: orders committed before its snapshot are found here, later ones see the click.
            due.append((UUID(read.brand_id), await _find_waiting(connection, read.brand_id, fresh)))
            if visits := _visits(read, fresh):
                pending.append((read.brand_id, *visits))
        # Queues of the background process, separate from statements on brand tables, which a cluster keeps elsewhere.
        if pending:
            await connection.executemany(INSERT_PENDING, pending)
        for brand_id, waiting in due:
            # At once: there is nothing to wait for, the click is committed together with this row.
            await enqueue(connection, brand_id, waiting, at_once=True)
    return stored


async def _find_waiting(connection: Connection, brand_id: str, fresh: list[str]) -> list[UUID]:
    """The orders that one of these new clicks may concern."""
    references = await connection.fetch(FIND_REFERENCES, brand_id, min(fresh), max(fresh), REFERENCES_MAX)
    if len(references) >= REFERENCES_MAX:
        rows = await connection.fetch(WAITING_ORDERS, brand_id, SEPARATOR.join(fresh), VISITOR_CLICKS_MAX)
        return [row[0] for row in rows]
    if not references:
        return []
    new = set(map(UUID, fresh))
    found = {row["conversion_id"] for row in references if row["conversion_id"] and row["click_id"] in new}
    visitors = sorted(
        {row["visitor_id"] for row in references if row["visitor_id"] is not None and row["click_id"] in new}
    )
    if visitors:
        touches = [f"visitor:{visitor}" for visitor in visitors]
        rows = await connection.fetch(NAMING_VISITORS, brand_id, touches, visitors, VISITOR_CLICKS_MAX)
        found.update(row[0] for row in rows)
    return sorted(found)


async def _copy(connection: Connection, read: ReadClicks) -> list[str]:
    """Copy all clicks in; raises if one of them is not new."""
    words = zip(*read.words, strict=True)
    columns = zip(read.ids, read.link_ids, read.times_ms, read.classes, read.visitors, words, strict=True)
    content = encode_clicks(read.brand_id, columns)
    await connection.copy_to_table("click", source=BytesIO(content), columns=COLUMNS, format="binary")
    return read.ids


async def _insert(connection: Connection, read: ReadClicks) -> list[str]:
    """Insert the clicks that are new, and return their ids."""
    rows = await connection.fetch(
        INSERT_CLICKS,
        read.brand_id,
        SEPARATOR.join(read.ids),
        SEPARATOR.join(read.link_ids),
        SEPARATOR.join(map(str, read.times_ms)),
        SEPARATOR.join(map(str, read.classes)),
        SEPARATOR.join("" if visitor is None else str(visitor) for visitor in read.visitors),
        *map(SEPARATOR.join, read.words),
    )
    return [row[0] for row in rows]


async def _count(connection: Connection, read: ReadClicks, fresh: list[str], calendar: Calendar) -> None:
    """Add the new clicks to the counts of their links and days."""
    zone = await calendar.zone(connection, read.brand_id)
    first, last = (local_day(zone, ms) for ms in (min(read.times_ms), max(read.times_ms)))
    days = [first] * len(read.ids) if first == last else [local_day(zone, ms) for ms in read.times_ms]
    counted: Iterable[tuple[date, str, int]] = zip(days, read.link_ids, read.classes, strict=True)
    if len(fresh) < len(read.ids):
        ours = set(fresh)
        counted = compress(counted, [id_ in ours for id_ in read.ids])
    counts: dict[tuple[date, str], list[int]] = {}
    for (day, link_id, class_), count in Counter(counted).items():
        if class_ < COUNTED_CLASSES:
            counts.setdefault((day, link_id), [0] * COUNTED_CLASSES)[class_] = count
    if counts:
        days_and_links, classes = zip(*counts, strict=True), zip(*counts.values(), strict=True)
        await connection.execute(COUNT_CLICKS, read.brand_id, *days_and_links, *classes)


def _visits(read: ReadClicks, fresh: list[str]) -> tuple[str, str, str] | None:
    """Ids, links and visitors of the new human clicks with a visitor, one text per column; None when there are none."""
    wanted = None if len(fresh) == len(read.ids) else set(fresh)
    visits = [
        (id_, link_id, str(visitor))
        for id_, link_id, class_, visitor in zip(read.ids, read.link_ids, read.classes, read.visitors, strict=True)
        if class_ == HUMAN and visitor is not None and (wanted is None or id_ in wanted)
    ]
    if not visits:
        return None
    ids, links, visitors = (SEPARATOR.join(column) for column in zip(*visits, strict=True))
    return ids, links, visitors
