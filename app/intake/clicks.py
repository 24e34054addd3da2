"""From lines to clicks: stored once, counted once, and told to the orders that waited for them.

Whatever the number of drainers and however often a line is replayed: a count grows only by the rows that its own statement inserted.
Counts are locked in the order of (brand, day, link) by everybody who touches them. Unsorted, two drainers deadlock and fall to a
two-hundredth of the speed.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from app.domain.browsers import HUMAN, click_class, country, read_user_agent
from app.intake.calendar import Calendar
from app.intake.partitions import Connection
from app.spool import ClickLine, MissLine

NOBODY = UUID(int=0)
"""The brand of requests on the shared host that belong to nobody."""

MISSED_SLUGS_MAX = 1_000
"""Distinct unknown slugs counted per brand, host and day; a scanner's others are counted together as `(other)`."""
OTHER_SLUGS = "(other)"
SLUG_MAX_CHARS = 200

# The counts are fed by `stored` alone: by the rows that this very statement inserted.
INSERT_CLICKS = """
WITH line AS (
    SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::date[], $6::int2[], $7::bigint[], $8::text[], $9::text[], $10::text[],
                         $11::text[], $12::text[], $13::text[])
        AS line (id, link_id, at_ms, day, class, visitor, country, device, os, browser, in_app, referrer_host)
), stored AS (
    INSERT INTO click (brand_id, id, link_id, occurred_at, class, visitor, country, device, os, browser, in_app, referrer_host)
    SELECT $1, id, link_id, to_timestamp(at_ms / 1000.0), class, visitor, country, device, os, browser, in_app, referrer_host FROM line
    ON CONFLICT (brand_id, id) DO NOTHING
    RETURNING id
), counted AS (
    INSERT INTO click_day AS c (brand_id, day, link_id, clicks, bots, previews, prefetches, heads)
    SELECT $1, day, link_id, count(*) FILTER (WHERE class = 0), count(*) FILTER (WHERE class = 1), count(*) FILTER (WHERE class = 2),
           count(*) FILTER (WHERE class = 3), count(*) FILTER (WHERE class = 4)
    FROM stored JOIN line USING (id) GROUP BY day, link_id ORDER BY day, link_id
    ON CONFLICT (brand_id, day, link_id) DO UPDATE
    SET clicks = c.clicks + excluded.clicks, bots = c.bots + excluded.bots, previews = c.previews + excluded.previews,
        prefetches = c.prefetches + excluded.prefetches, heads = c.heads + excluded.heads
)
SELECT id FROM stored
"""

# Orders that named one of these clicks, or a visitor who landed with one of them, before it was here.
WAITING_ORDERS = """
SELECT conversion_id FROM order_touch WHERE brand_id = $1 AND touch = ANY($2::text[])
UNION
SELECT o.conversion_id FROM visitor_click v JOIN order_touch o ON o.brand_id = v.brand_id AND o.touch = 'visitor:' || v.visitor_id
WHERE v.brand_id = $1 AND o.brand_id = $1 AND v.click_id = ANY($3::uuid[])
"""

# `after` 0: nothing to wait for, the click is committed together with this row.
INSERT_REDECIDE = """
INSERT INTO redecide (brand_id, conversion_id, after) SELECT brand_id, conversion_id, '0'::xid8
FROM unnest($1::uuid[], $2::uuid[]) AS due (brand_id, conversion_id)
"""

INSERT_PENDING = "INSERT INTO unique_pending (brand_id, click_ids, link_ids, visitors) VALUES ($1, $2, $3, $4)"


@dataclass(slots=True)
class ReadClicks:
    """The clicks of one brand, one list a column, ready to be sent; all of equal length."""

    brand_id: str
    ids: list[str] = field(default_factory=list)
    link_ids: list[str] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)
    visitors: list[int | None] = field(default_factory=list)
    countries: list[str | None] = field(default_factory=list)
    devices: list[str | None] = field(default_factory=list)
    systems: list[str | None] = field(default_factory=list)
    browsers: list[str | None] = field(default_factory=list)
    apps: list[str | None] = field(default_factory=list)
    referrers: list[str | None] = field(default_factory=list)


def at_ms(line_id: str) -> int:
    """Milliseconds since the epoch in a UUIDv7 as 36 characters. ValueError when it is none."""
    return int(line_id[:8] + line_id[9:13], 16)


def read_clicks(lines: Iterable[ClickLine]) -> list[ReadClicks]:
    """Clicks by brand, brands in the order in which counts are locked. A click that is there twice is taken once. Raises ValueError."""
    brands: dict[str, ReadClicks] = {}
    seen: set[str] = set()
    for line in lines:
        if line.id in seen:
            continue
        seen.add(line.id)
        read = brands.get(line.brand_id)
        if read is None:
            read = brands[line.brand_id] = ReadClicks(line.brand_id)
        browser = read_user_agent(line.user_agent)
        read.ids.append(line.id)
        read.link_ids.append(line.link_id)
        read.times_ms.append(at_ms(line.id))
        read.classes.append(click_class(browser, line.hint))
        read.visitors.append(line.visitor)
        read.countries.append(country(line.address))
        read.devices.append(browser.device)
        read.systems.append(browser.os)
        read.browsers.append(browser.browser)
        read.apps.append(browser.in_app)
        read.referrers.append(line.referrer_host or None)
    return [brands[brand_id] for brand_id in sorted(brands)]


async def record_clicks(connection: Connection, brands: Sequence[ReadClicks], calendar: Calendar) -> int:
    """Store these clicks with everything that follows from them, in one durable transaction; returns how many were new.

    Raises what asyncpg raises; nothing is stored then.
    """
    stored = 0
    due_brands: list[str] = []
    due_orders: list[UUID] = []
    pending: list[tuple[Any, ...]] = []
    async with connection.transaction():
        # The segment is removed on the word of this commit.
        await connection.execute("SET LOCAL synchronous_commit = on")
        for read in brands:
            fresh = await _insert(connection, read, calendar)
            stored += len(fresh)
            if not fresh:
                continue
            touches = [f"click:{id_}" for id_ in fresh]
            for row in await connection.fetch(WAITING_ORDERS, read.brand_id, touches, fresh):
                due_brands.append(read.brand_id)
                due_orders.append(row[0])
            if visits := _visits(read, fresh):
                pending.append((read.brand_id, *visits))
        # Queues of the background process, apart from the statements on brand tables: on a cluster they live elsewhere.
        if pending:
            await connection.executemany(INSERT_PENDING, pending)
        if due_orders:
            await connection.execute(INSERT_REDECIDE, due_brands, due_orders)
    return stored


async def _insert(connection: Connection, read: ReadClicks, calendar: Calendar) -> list[str]:
    zone = await calendar.zone(connection, read.brand_id)
    days = [calendar.day(zone, ms) for ms in read.times_ms]
    rows = await connection.fetch(
        INSERT_CLICKS,
        read.brand_id,
        read.ids,
        read.link_ids,
        read.times_ms,
        days,
        read.classes,
        read.visitors,
        read.countries,
        read.devices,
        read.systems,
        read.browsers,
        read.apps,
        read.referrers,
    )
    return read.ids if len(rows) == len(read.ids) else [str(row[0]) for row in rows]


def _visits(read: ReadClicks, fresh: list[str]) -> tuple[list[str], list[str], list[int]] | None:
    """Three lists of equal length over the new human clicks that have a visitor; None when there is none."""
    wanted = None if len(fresh) == len(read.ids) else set(fresh)
    clicks, links, visitors = [], [], []
    for id_, link_id, class_, visitor in zip(read.ids, read.link_ids, read.classes, read.visitors, strict=True):
        if class_ == HUMAN and visitor is not None and (wanted is None or id_ in wanted):
            clicks.append(id_)
            links.append(link_id)
            visitors.append(visitor)
    return (clicks, links, visitors) if clicks else None


# ── Requests that led nowhere ────────────────────────────────────────────────────────────────────────────────────────

KNOWN_SLUGS = """
SELECT slug FROM missed_day WHERE brand_id = $1 AND day = $2 AND host = $3 AND reason = 'unknown_slug' LIMIT $4
"""
COUNT_MISSES = """
INSERT INTO missed_day AS m (brand_id, day, host, slug, reason, hits)
SELECT $1, day, host, slug, reason, hits FROM unnest($2::date[], $3::text[], $4::text[], $5::text[], $6::bigint[])
    AS miss (day, host, slug, reason, hits) ORDER BY day, host, slug, reason
ON CONFLICT (brand_id, day, host, slug, reason) DO UPDATE SET hits = m.hits + excluded.hits
"""

Miss = tuple[date, str, str, str]


async def record_misses(connection: Connection, lines: Sequence[MissLine], calendar: Calendar) -> None:
    """Count requests that led nowhere per day, host and slug, in one durable transaction.

    They are counts without rows of their own, so a process killed between this commit and the removal of the segment counts them twice.
    """
    brands: dict[str, Counter[Miss]] = {}
    for line in lines:
        brand_id = line.brand_id or str(NOBODY)
        zone = "UTC" if line.brand_id is None else await calendar.zone(connection, line.brand_id)
        miss = (calendar.day(zone, at_ms(line.id)), _plain(line.host), _plain(line.slug), line.reason)
        brands.setdefault(brand_id, Counter())[miss] += 1
    async with connection.transaction():
        await connection.execute("SET LOCAL synchronous_commit = on")
        for brand_id in sorted(brands):
            folded = await _fold_slugs(connection, brand_id, brands[brand_id])
            days, hosts, slugs, reasons = zip(*folded, strict=True)
            await connection.execute(COUNT_MISSES, brand_id, days, hosts, slugs, reasons, list(folded.values()))


async def _fold_slugs(connection: Connection, brand_id: str, misses: Counter[Miss]) -> Counter[Miss]:
    """The same counts, with unknown slugs past the limit of their host and day put together. Slugs of real links are never folded."""
    known: dict[tuple[date, str], set[str]] = {}
    folded: Counter[Miss] = Counter()
    for (day, host, slug, reason), hits in misses.items():
        kept = slug
        if reason == "unknown_slug":
            slugs = known.get((day, host))
            if slugs is None:
                rows = await connection.fetch(KNOWN_SLUGS, brand_id, day, host, MISSED_SLUGS_MAX)
                slugs = known[(day, host)] = {row[0] for row in rows}
            if slug not in slugs and len(slugs) >= MISSED_SLUGS_MAX:
                kept = OTHER_SLUGS
            else:
                slugs.add(slug)
        folded[(day, host, kept, reason)] += hits
    return folded


def _plain(text: str) -> str:
    return text[:SLUG_MAX_CHARS].replace("\x00", "")
