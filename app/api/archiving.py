"""Out of use and back: what a row needs to be brought back from the archive, the same in every resource.

While it is archived a row keeps whatever is unique about it (its external id, slug, letters, pair), so nobody can have taken any of it meanwhile. In
its way stands only what could not hold a new row either: what it belongs to is archived itself.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.api.faults import FieldErrors
from app.api.rows import change, read_row, way_back
from app.database.tables import campaign, collaboration, influencer
from app.errors import Conflict
from app.trial.fixtures import plays_in_trials

OWNERS = {"campaign_id": campaign, "influencer_id": influencer, "collaboration_id": collaboration}
"""Fields that say what a row belongs to."""


async def archive(connection: AsyncConnection, table: Table, kind: str, brand_id: UUID, shown: str) -> Row[Any]:
    """Archives a row; the first time counts, so that doing it again changes nothing. Raises NotFound."""
    row = await read_row(connection, select(table), table, kind, brand_id, shown, lock=True)
    if row.archived_at is not None:
        return row
    return await change(connection, table, brand_id, row.id, {"archived_at": clock.now()})


async def unarchive(
    connection: AsyncConnection, table: Table, brand_id: UUID, shown: str, *, owners: tuple[str, ...] = ()
) -> Row[Any]:
    """Brings a row back; one that is not archived stays as it is. owners: its fields that say what it belongs to.

    Raises NotFound, and Conflict as `refuse_to_return` does.
    """
    kind = table.name
    row = await read_row(connection, select(table), table, kind, brand_id, shown, lock=True)
    if row.archived_at is None:
        return row
    await refuse_to_return(connection, kind, row, {field: row._mapping[field] for field in owners})
    return await change(connection, table, brand_id, row.id, {"archived_at": None})


async def refuse_to_return(
    connection: AsyncConnection, kind: str, row: Row[Any], owners: Mapping[str, UUID | None]
) -> None:
    """Raises Conflict naming every owner that is archived itself, or when the row is one of the trial's, which are never in use.

    An owner that is archived in this very moment is not waited for: its links and codes go on working then too.
    """
    if plays_in_trials(row.brand_id, row.id):
        raise Conflict(f"this {kind} belongs to the trial of sources and stays archived", code="fixed")
    faults = FieldErrors()
    for field, owner_id in owners.items():
        table = OWNERS[field]
        query = select(table.c.archived_at).where(table.c.brand_id == row.brand_id, table.c.id == owner_id)
        if owner_id is not None and await connection.scalar(query) is not None:
            reason = f"this {table.name} is archived itself; first: {way_back(table.name, owner_id)}"
            faults.conflict(0, field, f"{table.name}_archived", reason)
    faults.refuse()
