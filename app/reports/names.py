"""Names of the entities in a report's rows, archived ones included."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database.tables import campaign, code, collaboration, influencer, link
from app.reports.assembly import Row
from app.reports.question import Question
from app.reports.statements import is_one_of

UNKNOWN_NAME = "(unknown)"


@dataclass(frozen=True, slots=True)
class Named:
    """An influencer, campaign, collaboration, link or code in a row's key. `id` None: orders or clicks that have none."""

    id: UUID | None
    name: str
    external_id: str | None = None
    archived: bool = False


async def find_names(
    connection: AsyncConnection, brand_id: UUID, question: Question, rows: Sequence[Row]
) -> dict[str, Mapping[UUID | None, Named]]:
    """For each group that is not of time, the name of everything in the rows. An id without a row of its own keeps its id."""
    found: dict[str, Mapping[UUID | None, Named]] = {}
    for place, group in enumerate(question.group_by):
        if group not in question.entities:
            continue
        ids = {part for row in rows if isinstance(part := row.key[place], UUID)}
        names: dict[UUID | None, Named] = {each: Named(each, UNKNOWN_NAME) for each in ids}
        names[None] = Named(None, UNKNOWN_NAME)
        if ids:
            for row in await connection.execute(_named(group, brand_id, ids)):
                names[row.id] = Named(row.id, row.name, row.external_id, row.archived_at is not None)
        found[group] = names
    return found


def _named(group: str, brand_id: UUID, ids: set[UUID]) -> Any:
    """Ids and names: a link is named by its slug, a collaboration by both its sides."""
    name: ColumnElement[Any]
    source: FromClause
    if group == "collaboration":
        table = collaboration
        name = influencer.c.name + " × " + campaign.c.name
        source = collaboration.join(
            influencer, and_(influencer.c.brand_id == brand_id, influencer.c.id == collaboration.c.influencer_id)
        ).join(campaign, and_(campaign.c.brand_id == brand_id, campaign.c.id == collaboration.c.campaign_id))
    else:
        table = {"influencer": influencer, "campaign": campaign, "link": link, "code": code}[group]
        name = table.c[{"link": "slug", "code": "code"}.get(group, "name")]
        source = table
    return (
        select(table.c.id, name.label("name"), table.c.external_id, table.c.archived_at)
        .select_from(source)
        .where(table.c.brand_id == brand_id, is_one_of(table.c.id, ids))
    )
