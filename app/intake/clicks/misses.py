"""Counts misses: requests for slugs that lead nowhere, per day, host and slug, so that a brand sees which of its links are misspelled.

On the shared host an unknown slug has no brand. It is told to every brand of which a slug is nearly the same; what is near nobody's, or near the slugs
of more than NEAR_BRANDS_MAX brands, is counted for NOBODY.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from uuid import UUID

from app.database.transactions import Connection
from app.directory.cache import SHARED_HOST
from app.domain.slugs import near_slugs
from app.domain.text import storable
from app.intake.clicks.calendar import Calendar, local_day
from app.intake.clicks.recording import at_ms
from app.spool.records import MissLine

NOBODY = UUID(int=0)
"""Stands for the brand of requests on the shared host for slugs that no brand has."""
MISSED_SLUGS_MAX = 1_000
"""Largest number of distinct unknown slugs per brand, host and day; further ones, from scanners, are counted together as `(other)`."""
OTHER_SLUGS = "(other)"
SLUG_MAX_CHARS = 200
NEAR_LOOKUPS_MAX = 20
"""Largest number of unknown slugs of one batch that are compared with the slugs of links, about 1 ms each; further ones, from scanners, are nobody's."""
NEAR_BRANDS_MAX = 5
"""A slug that is near those of more brands is told to none: it says nothing about any of them."""

FIND_NEAR = """/* across brands: whose link was meant */
SELECT DISTINCT brand_id::text FROM route WHERE host = $1 AND slug = ANY($2::text[]) AND brand_id <> $3 LIMIT $4
"""
FIND_SLUGS = """
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
    """Count misses per day, host and slug, in one durable transaction.

    A miss has no row of its own, so a process killed between this commit and the removal of the segment counts it twice.
    """
    brands: dict[str, Counter[Miss]] = {}
    nearest = await _find_near(connection, lines)
    for line in lines:
        host, slug = (storable(text, SLUG_MAX_CHARS, nul="") for text in (line.host, line.slug))
        owners = nearest.get(line.slug, [str(NOBODY)]) if line.brand_id is None else [line.brand_id]
        for brand_id in owners:
            zone = "UTC" if brand_id == str(NOBODY) else await calendar.zone(connection, brand_id)
            brands.setdefault(brand_id, Counter())[local_day(zone, at_ms(line.id)), host, slug, line.reason] += 1
    async with connection.transaction():
        await connection.execute("SET LOCAL synchronous_commit = on")
        for brand_id in sorted(brands):
            folded = await _fold_slugs(connection, brand_id, brands[brand_id])
            days, hosts, slugs, reasons = zip(*folded, strict=True)
            await connection.execute(COUNT_MISSES, brand_id, days, hosts, slugs, reasons, list(folded.values()))


async def _find_near(connection: Connection, lines: Sequence[MissLine]) -> dict[str, list[str]]:
    """The brands of which a slug on the shared host is nearly this one, by slug; without the slugs that are near nobody's."""
    asked = dict.fromkeys(line.slug for line in lines if line.brand_id is None and line.reason == "unknown_slug")
    found: dict[str, list[str]] = {}
    for slug in asked:
        if not (near := list(near_slugs(slug))):
            continue
        if len(found) >= NEAR_LOOKUPS_MAX:
            break
        rows = await connection.fetch(FIND_NEAR, SHARED_HOST, near, NOBODY, NEAR_BRANDS_MAX + 1)
        found[slug] = [row[0] for row in rows] if len(rows) <= NEAR_BRANDS_MAX else []
    return {slug: brands for slug, brands in found.items() if brands}


async def _fold_slugs(connection: Connection, brand_id: str, misses: Counter[Miss]) -> Counter[Miss]:
    """The counts, with unknown slugs beyond the limit of their host and day counted together. Slugs of links are never folded."""
    counted: dict[tuple[date, str], set[str]] = {}
    folded: Counter[Miss] = Counter()
    for (day, host, slug, reason), hits in misses.items():
        kept = slug
        if reason == "unknown_slug":
            slugs = counted.get((day, host))
            if slugs is None:
                rows = await connection.fetch(FIND_SLUGS, brand_id, day, host, MISSED_SLUGS_MAX)
                slugs = counted[(day, host)] = {row[0] for row in rows}
            if slug not in slugs and len(slugs) >= MISSED_SLUGS_MAX:
                kept = OTHER_SLUGS
            else:
                slugs.add(slug)
        folded[(day, host, kept, reason)] += hits
    return folded
