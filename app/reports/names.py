"""Names of the entities in a report's rows, archived ones included."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.tables import campaign, code, collaboration, influencer, link
from app.reports.question import Key, Question
from app.reports.statements import is_one_of

_NAMES: dict[str, tuple[Table, ColumnElement[Any]]] = {
    "influencer": (influencer, influencer.c.name),
    "campaign": (campaign, campaign.c.name),
    "collaboration": (collaboration, influencer.c.name + " × " + campaign.c.name),
    "link": (link, link.c.slug),
    "code": (code, code.c.code),
}
"""Each entity's table, and the name of one of its rows."""


@dataclass(frozen=True, slots=True)
class Named:
    """An influencer, campaign, collaboration, link or code in a row's key. `id` None: orders or clicks that have none."""

    id: UUID | None
    name: str = "(unknown)"
    external_id: str | None = None
    archived: bool = False


async def find_names(
    connection: AsyncConnection, brand_id: UUID, question: Question, keys: Collection[Key]
) -> dict[str, Mapping[UUID | None, Named]]:
    """For each group that is not of time, the name of everything in the keys. An id without a row of its own keeps its id."""
    found: dict[str, Mapping[UUID | None, Named]] = {}
    for group in question.entities:
        place = question.group_by.index(group)
        ids = {part for key in keys if isinstance(part := key[place], UUID)}
        names: dict[UUID | None, Named] = {each: Named(each) for each in (*ids, None)}
        table, name = _NAMES[group]
        source: FromClause = table
        if table is collaboration:
            source = collaboration.join(influencer).join(campaign)
        query = (
            select(table.c.id, name, table.c.external_id, table.c.archived_at.is_not(None))
            .select_from(source)
            .where(table.c.brand_id == brand_id, is_one_of(table.c.id, ids))
        )
        if ids:
            names |= {row[0]: Named(*row) for row in await connection.execute(query)}
        found[group] = names
    return found
