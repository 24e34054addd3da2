"""Unique clicks: the first human click per link, visitor and UTC day, counted after the drain.

Counting them in the drain costs two thirds of its speed. Clicks arrive in any order (an orphaned segment, a host that was down), so the first click
recorded may be replaced by an earlier one; if that is on another day in the brand's zone, the count moves with it.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from uuid import UUID

import asyncpg

from app.database.transactions import Connection
from app.domain.ids import unix_ms
from app.intake.clicks.calendar import Calendar, local_day

ADVISORY_LOCK = 0x6172_0002
"""First half of the lock of a brand; the second is a hash of its id."""
CHUNKS_PER_PASS = 50

OLDEST_PENDING = "SELECT id, brand_id FROM unique_pending WHERE brand_id <> ALL ($2::uuid[]) ORDER BY id LIMIT $1"
# Two brands whose hashes are equal share a lock, which only makes one wait for the other.
LOCK_BRAND = "SELECT pg_try_advisory_xact_lock($1, hashtext($2::uuid::text))"
TAKE_PENDING = """
DELETE FROM unique_pending WHERE id = ANY ($1::bigint[]) AND brand_id = ANY ($2::uuid[]) RETURNING brand_id, click_ids, link_ids, visitors
"""
FIND_VISITS = """
SELECT v.day, v.link_id, v.visitor, v.first_click_id FROM unnest($2::date[], $3::uuid[], $4::int8[]) AS k (day, link_id, visitor)
JOIN visit v ON v.brand_id = $1 AND v.day = k.day AND v.link_id = k.link_id AND v.visitor = k.visitor WHERE v.brand_id = $1
"""
SAVE_VISITS = """
INSERT INTO visit (brand_id, day, link_id, visitor, first_click_id)
SELECT $1, day, link_id, visitor, first_click_id FROM unnest($2::date[], $3::uuid[], $4::int8[], $5::uuid[])
    AS v (day, link_id, visitor, first_click_id) ORDER BY day, link_id, visitor
ON CONFLICT (brand_id, day, link_id, visitor) DO UPDATE SET first_click_id = excluded.first_click_id
"""
COUNT_UNIQUES = """
INSERT INTO click_day AS c (brand_id, day, link_id, unique_clicks)
SELECT $1, day, link_id, change FROM unnest($2::date[], $3::uuid[], $4::int8[]) AS n (day, link_id, change) ORDER BY day, link_id
ON CONFLICT (brand_id, day, link_id) DO UPDATE SET unique_clicks = c.unique_clicks + excluded.unique_clicks
"""

Visit = tuple[date, UUID, int]
"""A visit: UTC day, link, visitor. Its first click counts."""


Counts = Counter[tuple[date, UUID]]
"""Unique clicks by local day and link."""


def count_change(
    clicks: Mapping[Visit, UUID], stored: Mapping[Visit, UUID], day_of: Mapping[UUID, date]
) -> tuple[dict[Visit, UUID], Counts]:
    """Compute the effect of a batch of clicks, without effects: the first clicks to store, and the change of each count.

    clicks: the earliest click of each visit in the batch; stored: the first clicks stored of these visits. day_of: the day of every click in
    either, in the brand's zone.
    """
    firsts: dict[Visit, UUID] = {}
    counts = Counts()
    for visit, click in clicks.items():
        before = stored.get(visit)
        if before is not None and before <= click:
            continue
        firsts[visit] = click
        counts[(day_of[click], visit[1])] += 1
        if before is not None:
            counts[(day_of[before], visit[1])] -= 1
    return firsts, Counts({key: change for key, change in counts.items() if change})


async def count_uniques(pool: asyncpg.Pool, calendar: Calendar) -> int:
    """Count the visits of up to 50 drained chunks; returns how many chunks, 0 when there are none or other processes are counting their brands.

    A lock allows one process per brand: two that store the same visit would both count it.
    """
    async with pool.acquire() as connection, connection.transaction():
        rows = await _take_chunks(connection)
        brands: dict[UUID, dict[Visit, UUID]] = {}
        for row in rows:
            firsts = brands.setdefault(row["brand_id"], {})
            for click, link_id, visitor in zip(row["click_ids"], row["link_ids"], row["visitors"], strict=True):
                visit = (datetime.fromtimestamp(unix_ms(click) / 1000, UTC).date(), link_id, visitor)
                firsts[visit] = min(click, firsts.get(visit, click))
        # In the order of brands, in which all processes lock the counts.
        for brand_id in sorted(brands):
            await _count_brand(connection, brand_id, brands[brand_id], calendar)
        return len(rows)


async def _take_chunks(connection: Connection) -> list[asyncpg.Record]:
    """The oldest chunks of brands that no other process is counting, which are locked for this transaction."""
    busy: list[UUID] = []
    while waiting := await connection.fetch(OLDEST_PENDING, CHUNKS_PER_PASS, busy):
        locked: list[UUID] = []
        chunks = 0
        for brand_id, count in Counter(row["brand_id"] for row in waiting).items():
            if await connection.fetchval(LOCK_BRAND, ADVISORY_LOCK, brand_id):
                locked.append(brand_id)
                chunks += count
            # Enough for a pass: the next busy brand is left to another process.
            if chunks >= CHUNKS_PER_PASS // 2:
                break
        if locked:
            # Another process may have taken some of them before the lock was had: only what is deleted here is ours.
            return list(await connection.fetch(TAKE_PENDING, [row["id"] for row in waiting], locked))
        busy += {row["brand_id"] for row in waiting}
    return []


async def _count_brand(connection: Connection, brand_id: UUID, clicks: dict[Visit, UUID], calendar: Calendar) -> None:
    rows = await connection.fetch(FIND_VISITS, brand_id, *zip(*clicks, strict=True))
    stored = {(row[0], row[1], row[2]): row[3] for row in rows}
    zone = await calendar.zone(connection, str(brand_id))
    day_of = {click: local_day(zone, unix_ms(click)) for click in (*clicks.values(), *stored.values())}
    firsts, counts = count_change(clicks, stored, day_of)
    if not firsts:
        return
    await connection.execute(SAVE_VISITS, brand_id, *zip(*firsts, strict=True), list(firsts.values()))
    if counts:
        await connection.execute(COUNT_UNIQUES, brand_id, *zip(*counts, strict=True), list(counts.values()))
