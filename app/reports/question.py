"""The question that a report answers: which period, grouped how, filtered by what, in which currency."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from app.domain.periods import TIME_UNITS, Bucket, Period, TimeUnit, buckets
from app.errors import Invalid

ENTITIES = ("influencer", "campaign", "collaboration", "link", "code")
GROUPS = (*ENTITIES, *TIME_UNITS)
GROUPS_MAX = 2
Key = tuple[UUID | int | None, ...]
"""Key of a row, one element per group: an entity's id (None: unknown), or the number of a day, week or month."""

Tallies = dict[Key, Counter[str]]
"""Counts by row and by the count's name."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Narrows a report: a row must match one value of every list that is not empty."""

    influencer_id: tuple[UUID, ...] = ()
    campaign_id: tuple[UUID, ...] = ()
    collaboration_id: tuple[UUID, ...] = ()
    link_id: tuple[UUID, ...] = ()
    code_id: tuple[UUID, ...] = ()
    shop: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """One report. `group_by` holds at most two different groups, at most one of them of time; `currency` is ISO 4217.

    refunds_by: whether a refund counts at its own date (`event`) or at that of its order (`order`), which shows what is left of each day's orders.
    """

    period: Period
    currency: str
    group_by: tuple[str, ...] = ()
    filters: Filters = field(default_factory=Filters)
    refunds_by: Literal["event", "order"] = "event"

    @property
    def entities(self) -> tuple[str, ...]:
        """The groups that are not of time, in the order of `group_by`."""
        return tuple(group for group in self.group_by if group in ENTITIES)

    @property
    def unit(self) -> TimeUnit | None:
        """The group of time, if there is one."""
        return next((unit for unit in TIME_UNITS if unit in self.group_by), None)

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """The days, weeks or months of the period; without a unit of time, one bucket for all of it. Raises Invalid when there are too many."""
        if self.unit is None:
            return (Bucket("", self.period.start, self.period.end),)
        try:
            return buckets(self.period, self.unit)
        except ValueError as error:
            raise Invalid.field("group_by", str(error), code="too_many_rows") from None

    @property
    def splits_clicks(self) -> bool:
        """Whether the groups can tell clicks apart: a click knows its link and its time, and no code."""
        return "code" not in self.group_by

    @property
    def splits_costs(self) -> bool:
        """Whether the groups can tell costs apart: they belong to collaborations and campaigns, not to links or codes."""
        return not {"link", "code"} & set(self.group_by)

    @property
    def knows_clicks(self) -> bool:
        """Whether clicks can answer the filters: they have neither code nor shop nor origin."""
        return not (self.filters.code_id or self.filters.shop or self.filters.origin)

    @property
    def knows_costs(self) -> bool:
        """Whether costs can answer the filters: they have no link, code, shop or origin."""
        return self.knows_clicks and not self.filters.link_id

    @property
    def places(self) -> tuple[int, ...]:
        """Positions of the groups among the first columns of a counted row: the bucket's number when there is a unit, then the entities.

        A report reads thousands of rows: read this once, and give it to `key_of`.
        """
        columns = (self.unit, *self.entities) if self.unit else self.entities
        return tuple(columns.index(group) for group in self.group_by)


def key_of(counted: Sequence[Any], places: Sequence[int]) -> Key:
    """The row of the report that a counted row belongs to. places: the question's."""
    return tuple([counted[place] for place in places])
