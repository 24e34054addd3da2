"""Clicks by row. Whole days of the brand's own zone come from `click_day`; what is left at the edges comes from the single clicks.

So a report in the brand's zone never reads single clicks, a report in another zone reads at most two days of them per row of time, and
both ways give the same figures.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Date,
    FromClause,
    Integer,
    Select,
    Subquery,
    TableValuedAlias,
    Uuid,
    bindparam,
    column,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.ids import floor_ms
from app.domain.periods import Days, Stretch, cover
from app.errors import Invalid
from app.reports.question import ROWS_MAX, Filters, Question, Tallies, fetch
from app.tables import CLICK_CLASSES, click, click_day, collaboration, link, visit

CLICK_COUNTS = ("clicks", "unique_clicks", "bots", "previews", "prefetches", "heads")
_CLASS_COUNTS = {"human": "clicks", "bot": "bots", "preview": "previews", "prefetch": "prefetches", "head": "heads"}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

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
    for part in _parts(brand_id, question.filters, days, stretches, by_link=bool(question.entities)):
        for row in await fetch(connection, _by_row(part, brand_id, question)):
            counts = {name: int(value) for name, value in row._mapping.items() if name in CLICK_COUNTS}
            tallies.setdefault(question.key(row), Counter()).update(counts)
    return tallies


def _parts(
    brand_id: UUID, filters: Filters, days: Sequence[Days], stretches: Sequence[Stretch], *, by_link: bool
) -> list[Subquery]:
    """What to add up, as relations of bucket, link_id (if `by_link`) and counts."""
    parts = []
    if days:
        parts.append(_part(_day_spans(days), _counted_days(brand_id, filters), by_link=by_link))
    if stretches:
        spans = _id_spans(stretches)
        parts.append(_part(spans, _counted_clicks(brand_id, filters), by_link=by_link))
        parts.append(_part(spans, _counted_visits(brand_id, filters), by_link=by_link))
    return parts


def _part(spans: TableValuedAlias, counted: Select[Any], *, by_link: bool) -> Subquery:
    """The counts within each span. LATERAL, so that each span is one range of the primary key whatever the planner believes."""
    table = counted.get_final_froms()[0]
    inner = counted.add_columns(table.c.link_id).group_by(table.c.link_id) if by_link else counted
    found = inner.lateral("found")
    return select(spans.c.bucket, *found.c).select_from(spans.join(found, true())).subquery("part")


def _by_row(part: Subquery, brand_id: UUID, question: Question) -> Select[Any]:
    """A part added up by the question's groups: bucket (when there is a unit), entities, then the counts that the part has."""
    source: FromClause = part
    if question.entities:
        source = part.outerjoin(link, (link.c.brand_id == brand_id) & (link.c.id == part.c.link_id)).outerjoin(
            collaboration, (collaboration.c.brand_id == brand_id) & (collaboration.c.id == link.c.collaboration_id)
        )
    groups: list[ColumnElement[Any]] = [part.c.bucket] if question.unit else []
    groups += [part.c.link_id if name == "link" else _OF_ENTITY[name] for name in question.entities]
    sums = [func.coalesce(func.sum(part.c[name]), 0).label(name) for name in CLICK_COUNTS if name in part.c]
    return select(*groups, *sums).select_from(source).group_by(*groups).limit(ROWS_MAX + 1)


def _counted_days(brand_id: UUID, filters: Filters) -> Select[Any]:
    sums: list[ColumnElement[Any]] = [func.sum(click_day.c[name]).label(name) for name in CLICK_COUNTS]
    first, after = column("first", Date), column("after", Date)
    return select(*sums).where(
        click_day.c.brand_id == brand_id,
        click_day.c.day >= first,
        click_day.c.day < after,
        *_of_chosen_links(click_day.c.link_id, brand_id, filters),
    )


def _counted_clicks(brand_id: UUID, filters: Filters) -> Select[Any]:
    counts: list[ColumnElement[Any]] = [
        func.count().filter(click.c["class"] == number).label(_CLASS_COUNTS[name])
        for number, name in enumerate(CLICK_CLASSES)
    ]
    low, high = column("low", Uuid), column("high", Uuid)
    return select(*counts).where(
        click.c.brand_id == brand_id,
        click.c.id >= low,
        click.c.id < high,
        *_of_chosen_links(click.c.link_id, brand_id, filters),
    )


def _counted_visits(brand_id: UUID, filters: Filters) -> Select[Any]:
    """Visits are dated by their first click; the UTC day is only the way into the key."""
    low, high = column("low", Uuid), column("high", Uuid)
    return select(func.count().label("unique_clicks")).where(
        visit.c.brand_id == brand_id,
        visit.c.day >= column("first", Date),
        visit.c.day < column("after", Date),
        visit.c.first_click_id >= low,
        visit.c.first_click_id < high,
        *_of_chosen_links(visit.c.link_id, brand_id, filters),
    )


def _of_chosen_links(link_id: ColumnElement[Any], brand_id: UUID, filters: Filters) -> list[ColumnElement[bool]]:
    """The condition that a row's link is among those asked for; [] when all are."""
    wanted = [
        (collaboration.c.influencer_id, filters.influencer_id),
        (collaboration.c.campaign_id, filters.campaign_id),
        (link.c.collaboration_id, filters.collaboration_id),
        (link.c.id, filters.link_id),
    ]
    conditions = [field.in_(ids) for field, ids in wanted if ids]
    if not conditions:
        return []
    of_brand = (collaboration.c.brand_id == link.c.brand_id) & (collaboration.c.id == link.c.collaboration_id)
    chosen = select(link.c.id).join(collaboration, of_brand).where(link.c.brand_id == brand_id, *conditions)
    return [link_id.in_(chosen.correlate(None))]


def _day_spans(days: Sequence[Days]) -> TableValuedAlias:
    return (
        func.unnest(
            bindparam("span_first", [span.first for span in days], ARRAY(Date)),
            bindparam("span_after", [span.after for span in days], ARRAY(Date)),
            bindparam("span_bucket", [span.bucket for span in days], ARRAY(Integer)),
        )
        .table_valued(column("first", Date), column("after", Date), column("bucket", Integer), name="span")
        .render_derived()
    )


def _id_spans(stretches: Sequence[Stretch]) -> TableValuedAlias:
    """Stretches as ranges of click ids, which carry their millisecond, and the UTC days they touch."""
    lows = [floor_ms(_ms(stretch.start)) for stretch in stretches]
    highs = [floor_ms(_ms(stretch.end)) for stretch in stretches]
    firsts = [stretch.start.date() for stretch in stretches]
    afters = [stretch.end.date() + timedelta(days=1) for stretch in stretches]
    return (
        func.unnest(
            bindparam("span_low", lows, ARRAY(Uuid)),
            bindparam("span_high", highs, ARRAY(Uuid)),
            bindparam("span_first", firsts, ARRAY(Date)),
            bindparam("span_after", afters, ARRAY(Date)),
            bindparam("span_bucket", [stretch.bucket for stretch in stretches], ARRAY(Integer)),
        )
        .table_valued(
            column("low", Uuid),
            column("high", Uuid),
            column("first", Date),
            column("after", Date),
            column("bucket", Integer),
            name="span",
        )
        .render_derived()
    )


def _ms(moment: datetime) -> int:
    """The first whole millisecond at or after an instant."""
    return -((_EPOCH - moment) // timedelta(milliseconds=1))
