"""Clicks by row. Whole days of the brand's own zone come from `click_day`, what is left at the edges from the single clicks.

So a report in the brand's zone reads no single clicks, a report in another zone at most two days of them per row of time, and both give the
same figures.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Subquery,
    and_,
    func,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.tables import click, click_day, collaboration, link, visit
from app.domain.click_classes import CLICK_CLASSES
from app.domain.ids import floor_at
from app.domain.periods import Days, Stretch, cover
from app.errors import Invalid
from app.reports.question import Filters, Question, Tallies, key_of
from app.reports.statements import ROWS_MAX, fetch, narrowed

CLICK_COUNTS = ("clicks", "unique_clicks", "bots", "previews", "prefetches", "heads")
_CLASS_COUNTS = {"human": "clicks", "bot": "bots", "preview": "previews", "prefetch": "prefetches", "head": "heads"}
"""Count of each class, in the order of CLICK_CLASSES; those that come after them are in no count."""

Edge = TypeVar("Edge", date, datetime, UUID)

_OF_ENTITY: dict[str, ColumnElement[Any]] = {
    "influencer": collaboration.c.influencer_id,
    "campaign": collaboration.c.campaign_id,
    "collaboration": link.c.collaboration_id,
}


async def count_clicks(
    connection: AsyncConnection, brand_id: UUID, zone: ZoneInfo, question: Question, kept_from: datetime
) -> Tallies:
    """CLICK_COUNTS by row. `zone` is the brand's; no single click before `kept_from` is kept any more.

    The question may not group or filter by what a click does not have (code, shop). Invalid when single clicks are needed that are gone.
    """
    days, stretches = cover([(bucket.start, bucket.end) for bucket in question.buckets], zone)
    if any(stretch.start < kept_from for stretch in stretches):
        raise Invalid.field(
            "from",
            f"single clicks before {kept_from:%Y-%m-%d} are gone, only daily counts are left: ask for whole days in tz={zone.key}",
            code="clicks_expired",
        )
    tallies: Tallies = {}
    groups, columns = len(question.group_by), question.places
    for part, buckets in _parts(brand_id, question.filters, days, stretches, by_link=bool(question.entities)):
        counted = [name for name in CLICK_COUNTS if name in part.c]
        for row in await fetch(connection, _by_row(part, brand_id, question)):
            found = (buckets[row[0] - 1], *row[1:]) if question.unit else row
            counts = dict(zip(counted, map(int, row[groups:]), strict=True))
            tallies.setdefault(key_of(found, columns), Counter()).update(counts)
    return tallies


def _place_of(field: ColumnElement[Any], spans: Sequence[tuple[Any, Any, int]]) -> tuple[ColumnElement[int], list[int]]:
    """The place of a row, from 1, in one ascending list of bounds, which a binary search finds; and the bucket of each place."""
    bounds: list[Any] = []
    buckets: list[int] = []
    for start, end, bucket in sorted(spans):
        if bounds and bounds[-1] == start:
            buckets[-1] = bucket
        else:
            bounds.append(start)
            buckets.append(bucket)
        # Nothing between an end and the next start passes the conditions.
        bounds.append(end)
        buckets.append(-1)
    if {*buckets} == {spans[0][2], -1}:
        return literal(1, Integer), [spans[0][2]]
    return func.width_bucket(field, literal(bounds, ARRAY(field.type))), buckets


def _parts(
    brand_id: UUID, filters: Filters, days: Sequence[Days], stretches: Sequence[Stretch], *, by_link: bool
) -> list[tuple[Subquery, list[int]]]:
    """What to add up, as relations of place, link_id (if `by_link`) and counts; each with the buckets of its places."""
    parts = []

    def add(
        field: Column[Any],
        spans: Sequence[tuple[Any, Any, int]],
        counts: Sequence[ColumnElement[Any]],
        *conditions: ColumnElement[bool],
    ) -> None:
        table = field.table
        place, buckets = _place_of(field, spans)
        groups = [place.label("place"), *([table.c.link_id] if by_link else [])]
        chosen = _of_chosen_links(table.c.link_id, brand_id, filters)
        # By number: naming a place of many bounds twice would send the bounds twice.
        numbers: list[ColumnElement[Any]] = [literal_column(str(number)) for number in range(1, len(groups) + 1)]
        query = select(*groups, *counts).where(table.c.brand_id == brand_id, *conditions, *chosen).group_by(*numbers)
        parts.append((query.subquery("part"), buckets))

    if days:
        spans = [(span.first, span.after, span.bucket) for span in days]
        sums = [func.sum(click_day.c[name]).label(name) for name in CLICK_COUNTS]
        on_days = [and_(click_day.c.day >= first, click_day.c.day < after) for first, after in _runs(spans)]
        add(click_day.c.day, spans, sums, or_(*on_days))
    if stretches:
        ranges = [(floor_at(span.start), floor_at(span.end), span.bucket) for span in stretches]
        classes = [
            func.count().filter(click.c["class"] == number).label(_CLASS_COUNTS[name])
            for number, name in enumerate(CLICK_CLASSES)
            if name in _CLASS_COUNTS
        ]
        in_ranges = [and_(click.c.id >= low, click.c.id < high) for low, high in _runs(ranges)]
        add(click.c.id, ranges, classes, click.c["class"] < len(_CLASS_COUNTS), or_(*in_ranges))
        # Visits are dated by their first click; the UTC day is only the way into the key.
        first = visit.c.first_click_id
        met = [
            and_(visit.c.day.between(start.date(), end.date()), first >= floor_at(start), first < floor_at(end))
            for start, end in _runs([(span.start, span.end, span.bucket) for span in stretches])
        ]
        add(first, ranges, [func.count().label("unique_clicks")], or_(*met))
    return parts


def _runs(spans: Sequence[tuple[Edge, Edge, int]]) -> list[tuple[Edge, Edge]]:
    """Spans joined where one begins at the end of another: the fewest ranges that the database must look up."""
    runs: list[tuple[Edge, Edge]] = []
    for start, end, _ in sorted(spans):
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return runs


def _by_row(part: Subquery, brand_id: UUID, question: Question) -> Select[Any]:
    """A part added up by the question's groups: place (when there is a unit), entities, then the counts that the part has."""
    source: FromClause = part
    if question.entities:
        source = part.outerjoin(link, (link.c.brand_id == brand_id) & (link.c.id == part.c.link_id)).outerjoin(
            collaboration, (collaboration.c.brand_id == brand_id) & (collaboration.c.id == link.c.collaboration_id)
        )
    groups: list[ColumnElement[Any]] = [part.c.place] if question.unit else []
    groups += [part.c.link_id if name == "link" else _OF_ENTITY[name] for name in question.entities]
    sums = [func.coalesce(func.sum(part.c[name]), 0).label(name) for name in CLICK_COUNTS if name in part.c]
    return select(*groups, *sums).select_from(source).group_by(*groups).limit(ROWS_MAX + 1)


def _of_chosen_links(link_id: ColumnElement[Any], brand_id: UUID, filters: Filters) -> list[ColumnElement[bool]]:
    """The condition that a row's link passes the filters; [] when every link does."""
    columns = {f"{name}_id": column for name, column in _OF_ENTITY.items()}
    conditions = narrowed(filters, **columns, link_id=link.c.id)
    if not conditions:
        return []
    chosen = select(link.c.id).join(collaboration).where(link.c.brand_id == brand_id, *conditions)
    return [link_id.in_(chosen.correlate(None))]
