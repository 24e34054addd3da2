"""What a report is asked: which period, cut how, of whom, in which currency."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Executable, func, literal
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.periods import TIME_UNITS, Bucket, Period, TimeUnit, buckets
from app.errors import Invalid

ENTITIES = ("influencer", "campaign", "collaboration", "link", "code")
GROUPS = (*ENTITIES, *TIME_UNITS)
GROUPS_MAX = 2
ROWS_MAX = 10_000
"""Most rows of one report."""

Key = tuple[UUID | int | None, ...]
"""A row's place: one element per group, in the order asked: an entity's id (None: unknown), or the number of a day, week or month."""

Tallies = dict[Key, Counter[str]]
"""What was counted, by row and by name of the count."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Of whom: each list that is not empty narrows the report to its members. Lists are alternatives, and each of them must hold."""

    influencer_id: tuple[UUID, ...] = ()
    campaign_id: tuple[UUID, ...] = ()
    collaboration_id: tuple[UUID, ...] = ()
    link_id: tuple[UUID, ...] = ()
    code_id: tuple[UUID, ...] = ()
    shop: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """One report. `group_by` holds at most two different groups, at most one of them of time; `currency` is ISO 4217.

    refunds_by: the date a refund counts at: its own (`event`), or that of its order (`order`), so that what is left of each day's orders shows.
    """

    period: Period
    currency: str
    group_by: tuple[str, ...] = ()
    filters: Filters = field(default_factory=Filters)
    refunds_by: Literal["event", "order"] = "event"

    @property
    def entities(self) -> tuple[str, ...]:
        """The groups that are not of time, in the order asked."""
        return tuple(group for group in self.group_by if group in ENTITIES)

    @property
    def unit(self) -> TimeUnit | None:
        """The group of time, if there is one."""
        return next((unit for unit in TIME_UNITS if unit in self.group_by), None)

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """The days, weeks or months asked for; one that is the whole period when none was. Invalid when there are too many."""
        if self.unit is None:
            return (Bucket("", self.period.start, self.period.end),)
        try:
            return buckets(self.period, self.unit)
        except ValueError as error:
            raise Invalid.field("group_by", str(error), code="too_many_rows") from None

    @property
    def bounds(self) -> list[datetime]:
        """Where each bucket begins, ascending."""
        return [bucket.start for bucket in self.buckets]

    @property
    def places(self) -> tuple[int, ...]:
        """Where the groups stand among the first columns of a found row, which are the bucket's number when there is a unit, then the entities.

        A report reads thousands of rows: ask once, then `place_of`.
        """
        columns = (self.unit, *self.entities) if self.unit else self.entities
        return tuple(columns.index(group) for group in self.group_by)


def place_of(found: Sequence[Any], places: Sequence[int]) -> Key:
    """The row of the report that a found row belongs to. places: of the question."""
    return tuple([found[place] for place in places])


def is_one_of(field: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """The condition that a field has one of these values, sent as one array: thousands of ids would be as many parameters."""
    return field == func.any(literal(list(values), ARRAY(field.type)))


async def fetch(connection: AsyncConnection, statement: Executable) -> Sequence[Any]:
    """Every row of a grouped statement that was limited to ROWS_MAX + 1; Invalid when it has more than a report may hold."""
    rows = (await connection.execute(statement)).fetchall()
    check_rows(len(rows))
    return rows


def check_rows(count: int) -> None:
    """Refuses a report of more than ROWS_MAX rows."""
    if count > ROWS_MAX:
        raise Invalid.field(
            "group_by",
            f"more than {ROWS_MAX:,} rows; ask for a shorter range, longer units of time, fewer groups, or filter",
            code="too_many_rows",
        )
