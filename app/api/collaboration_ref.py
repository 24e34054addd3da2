"""References to a collaboration: a body names it, or the campaign and influencer whose collaboration is found or created."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import model_validator
from sqlalchemy import Table, case, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, random_ids
from app.api.fields import Given, Reference, blame
from app.api.problems import FieldErrors
from app.api.rows import is_archived, resolve
from app.database.tables import campaign, collaboration, influencer


class Paired(Given):
    """Base of bodies that belong to a collaboration."""

    collaboration_id: Reference | None = None
    campaign_id: Reference | None = None
    influencer_id: Reference | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "Paired":
        pair = (self.campaign_id, self.influencer_id)
        if self.collaboration_id is not None:
            if pair != (None, None):
                raise blame("collaboration_id", "ambiguous", "stands alone: leave out campaign_id and influencer_id")
        elif pair == (None, None):
            raise blame("collaboration_id", "required", "is required, or campaign_id and influencer_id together")
        elif None in pair:
            missing = "campaign_id" if self.campaign_id is None else "influencer_id"
            raise blame(missing, "required", "is required: campaign_id and influencer_id go together")
        return self


@dataclass(frozen=True, slots=True)
class Pair:
    """A collaboration: its id, campaign and influencer."""

    id: UUID
    campaign_id: UUID
    influencer_id: UUID


# Campaign and influencer are looked up, and refused where archived, before these run. They are two statements, because one statement with both
# would not return a row that another transaction has just inserted.
_CREATE = text("""
    INSERT INTO collaboration (brand_id, id, campaign_id, influencer_id, created_at, updated_at)
    SELECT CAST(:brand_id AS uuid), wanted.id, wanted.campaign_id, wanted.influencer_id, :now, :now
    FROM unnest(CAST(:ids AS uuid[]), CAST(:campaign_ids AS uuid[]), CAST(:influencer_ids AS uuid[]))
         AS wanted (id, campaign_id, influencer_id)
    ON CONFLICT (brand_id, campaign_id, influencer_id) DO NOTHING""")
_FIND = text("""
    SELECT id, campaign_id, influencer_id, CASE WHEN archived_at IS NOT NULL THEN 'collaboration' END AS archived FROM collaboration
    WHERE brand_id = CAST(:brand_id AS uuid)
      AND (campaign_id, influencer_id) IN (SELECT * FROM unnest(CAST(:campaign_ids AS uuid[]), CAST(:influencer_ids AS uuid[])))""")


async def pair_up(
    connection: AsyncConnection, brand_id: UUID, wanted: Sequence[Paired], faults: FieldErrors
) -> list[Pair | None]:
    """The collaboration of each body, in order; None where a fault was noted. At most five statements for any number of bodies."""
    by_id = await _of_collaborations(
        connection, brand_id, [body.collaboration_id for body in wanted if body.collaboration_id]
    )
    campaigns = await _find(connection, brand_id, campaign, [body.campaign_id for body in wanted], faults)
    influencers = await _find(connection, brand_id, influencer, [body.influencer_id for body in wanted], faults)
    keys = [
        None if campaign_id is None or influencer_id is None else (campaign_id, influencer_id)
        for campaign_id, influencer_id in zip(campaigns, influencers, strict=True)
    ]
    by_pair = await _find_or_create(connection, brand_id, {key for key in keys if key is not None})
    found: list[Pair | None] = []
    for index, (body, key) in enumerate(zip(wanted, keys, strict=True)):
        row = by_pair.get(key) if key else by_id.get(body.collaboration_id or "")
        if row is None and body.collaboration_id is not None:
            faults.missing(index, "collaboration_id", "collaboration", body.collaboration_id)
        elif row is not None and row.archived is not None:
            field = "campaign_id" if body.collaboration_id is None else "collaboration_id"
            gone = row.id if row.archived == "collaboration" else row._mapping[f"{row.archived}_id"]
            faults.conflict(index, field, f"{row.archived}_archived", is_archived(row.archived, gone))
            row = None
        found.append(None if row is None else Pair(row.id, row.campaign_id, row.influencer_id))
    return found


async def join(connection: AsyncConnection, brand_id: UUID, wanted: Paired) -> Pair:
    """The collaboration of one body. Raises NotFound or Conflict naming the field at fault."""
    faults = FieldErrors()
    [pair] = await pair_up(connection, brand_id, [wanted], faults)
    faults.refuse()
    assert pair is not None
    return pair


async def _find(
    connection: AsyncConnection, brand_id: UUID, table: Table, shown: Sequence[str | None], faults: FieldErrors
) -> list[UUID | None]:
    """The rows that bodies refer to; notes which are missing or archived."""
    kind = table.name
    rows = await resolve(connection, table, brand_id, [name for name in shown if name is not None])
    found: list[UUID | None] = []
    for index, name in enumerate(shown):
        row = None if name is None else rows.get(name)
        if name is not None and row is None:
            faults.missing(index, f"{kind}_id", kind, name)
        elif row is not None and row.archived:
            faults.conflict(index, f"{kind}_id", f"{kind}_archived", is_archived(kind, row.id))
            row = None
        found.append(None if row is None else row.id)
    return found


async def _of_collaborations(connection: AsyncConnection, brand_id: UUID, shown: Sequence[str]) -> dict[str, Any]:
    referred = await resolve(connection, collaboration, brand_id, shown)
    if not referred:
        return {}
    ids = {row.id for row in referred.values()}
    tables = (collaboration, campaign, influencer)
    archived = case(*((table.c.archived_at.is_not(None), table.name) for table in tables)).label("archived")
    query = (
        select(collaboration.c.id, collaboration.c.campaign_id, collaboration.c.influencer_id, archived)
        .join(campaign, (campaign.c.brand_id == brand_id) & (campaign.c.id == collaboration.c.campaign_id))
        .join(influencer, (influencer.c.brand_id == brand_id) & (influencer.c.id == collaboration.c.influencer_id))
        .where(collaboration.c.brand_id == brand_id, collaboration.c.id.in_(ids))
    )
    rows = {row.id: row for row in await connection.execute(query)}
    return {name: rows[row.id] for name, row in referred.items()}


async def _find_or_create(
    connection: AsyncConnection, brand_id: UUID, keys: set[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], Any]:
    if not keys:
        return {}
    ordered = sorted(keys)  # two batches that create the same pairs take their locks in the same order
    campaign_ids, influencer_ids = [key[0] for key in ordered], [key[1] for key in ordered]
    parameters = {"brand_id": brand_id, "campaign_ids": campaign_ids, "influencer_ids": influencer_ids}
    rows = (await connection.execute(_FIND, parameters)).all()
    if len(rows) < len(ordered):
        ids = [random_ids.new_id() for _ in ordered]
        await connection.execute(_CREATE, {**parameters, "ids": ids, "now": clock.now()})
        rows = (await connection.execute(_FIND, parameters)).all()
    return {(row.campaign_id, row.influencer_id): row for row in rows}
