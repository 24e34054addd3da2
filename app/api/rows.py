"""Reading and writing single rows of brand tables, the same way in every resource. Each statement names its brand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import Response
from sqlalchemy import ColumnElement, Row, Select, Table, and_, false, func, null, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, random_ids
from app.api.problems import EXTERNAL, FieldErrors, no_such
from app.database.tables import campaign, collaboration, influencer
from app.domain import ids
from app.errors import Conflict, NotFound
from app.trial.fixtures import plays_in_trials


def addressed(table: Table, kind: str, shown: str) -> ColumnElement[bool]:
    """The condition that a row is the one called `shown`: our id, or `ext_` and the caller's own. Never true for what is neither."""
    if shown.startswith(EXTERNAL):
        return table.c.external_id == shown.removeprefix(EXTERNAL)
    try:
        return table.c.id == ids.read(kind, shown)
    except ValueError:
        return false()


def points_to(column: ColumnElement[Any], table: Table, kind: str, brand_id: UUID, shown: str) -> ColumnElement[bool]:
    """The condition that a column refers to the row called `shown`: for filters of lists, where an unknown name means no rows.

    A report refuses one instead (app/api/routes/reports/reports.py): its zeros would be taken for figures.
    """
    if shown.startswith(EXTERNAL):
        own = select(table.c.id).where(table.c.brand_id == brand_id, addressed(table, kind, shown))
        return column == own.scalar_subquery()
    try:
        return column == ids.read(kind, shown)
    except ValueError:
        return false()


def sql_values(table: Table, values: dict[str, Any]) -> dict[str, Any]:
    """The same values with None in jsonb columns as SQL's null, not JSON's."""
    return {
        name: null() if value is None and isinstance(table.c[name].type, JSONB) else value
        for name, value in values.items()
    }


async def read_row(
    connection: AsyncConnection,
    query: Select[Any],
    table: Table,
    kind: str,
    brand_id: UUID,
    shown: str,
    *,
    lock: bool = False,
) -> Row[Any]:
    """The row of `query` that the path calls `shown`. Raises NotFound; a row of another brand is not found either."""
    query = query.where(table.c.brand_id == brand_id, addressed(table, kind, shown))
    if lock:
        query = query.with_for_update(of=table)
    row: Row[Any] | None = (await connection.execute(query)).one_or_none()
    if row is None:
        raise missing(kind, shown)
    return row


def missing(kind: str, shown: str) -> NotFound:
    """No such row for this brand."""
    return NotFound(no_such(kind, shown), code=f"{kind}_not_found")


def refuse_archived(kind: str, row: Row[Any]) -> None:
    """Raises Conflict for a row that was archived: it is kept for the record and does not change any more."""
    if row.archived_at is not None:
        raise Conflict(is_archived(kind, row.id), code=f"{kind}_archived")


def is_archived(kind: str, row_id: UUID) -> str:
    """Why nothing can be done with a row, and what to do about it."""
    return f"this {kind} is archived; to bring it back: {way_back(kind, row_id)}"


def way_back(kind: str, row_id: UUID) -> str:
    """How a row is brought back from the archive, for whoever needs it."""
    return f"POST /v1/{kind}s/{ids.show(kind, row_id)}/unarchive"


@dataclass(frozen=True, slots=True)
class Referred:
    """A row that a body refers to."""

    id: UUID
    archived: bool


async def resolve(
    connection: AsyncConnection, table: Table, kind: str, brand_id: UUID, shown: Iterable[str]
) -> dict[str, Referred]:
    """The rows called by these names, in one statement; names that lead nowhere are left out. No statement for no names."""
    names = sorted(set(shown))
    externals = [name.removeprefix(EXTERNAL) for name in names if name.startswith(EXTERNAL)]
    own: dict[str, UUID] = {}
    for name in names:
        try:
            own[name] = ids.read(kind, name)
        except ValueError:
            continue
    if not own and not externals:
        return {}
    either = (
        or_(table.c.id.in_(own.values()), table.c.external_id.in_(externals))
        if externals
        else table.c.id.in_(own.values())
    )
    query = select(table.c.id, table.c.external_id, table.c.archived_at).where(
        and_(table.c.brand_id == brand_id, either)
    )
    rows = (await connection.execute(query)).all()
    by_id = {row.id: Referred(row.id, row.archived_at is not None) for row in rows}
    found = {name: by_id[value] for name, value in own.items() if value in by_id}
    found |= {EXTERNAL + row.external_id: by_id[row.id] for row in rows if row.external_id in externals}
    return found


async def refer(connection: AsyncConnection, table: Table, kind: str, brand_id: UUID, field: str, shown: str) -> UUID:
    """The row that a field of the body refers to. Raises NotFound naming the field, Conflict when it is archived."""
    found = (await resolve(connection, table, kind, brand_id, [shown])).get(shown)
    if found is None:
        raise NotFound.field(field, no_such(kind, shown), code=f"{kind}_not_found")
    if found.archived:
        raise Conflict.field(field, is_archived(kind, found.id), code=f"{kind}_archived")
    return found.id


async def create_or_find(
    connection: AsyncConnection, table: Table, brand_id: UUID, values: dict[str, Any]
) -> tuple[Row[Any], bool]:
    """Inserts a row, or finds the one that has the same `external_id` and the same content: (row, made).

    Raises Conflict when the external id stands for another content or an archived row, or another unique key is taken.
    """
    now = clock.now()
    values = {"brand_id": brand_id, **values}
    made = insert(table).values(id=random_ids.new_id(), created_at=now, updated_at=now, **sql_values(table, values))
    row = (await connection.execute(made.on_conflict_do_nothing().returning(table))).one_or_none()
    if row is not None:
        return row, True
    same = await _of_external_id(connection, table, brand_id, values.get("external_id"))
    if same is None:
        raise Conflict(f"this {table.name} exists already", code=f"{table.name}_exists")
    refuse_different(same, values)
    refuse_to_find(table.name, same)
    return same, False


def refuse_to_find(kind: str, row: Row[Any]) -> None:
    """Raises Conflict when the row that an external id stands for is archived: answering with it would say that it is in use."""
    if row.archived_at is not None:
        raise Conflict.field("external_id", stands_archived(kind, row.id), code=f"{kind}_archived")


def stands_archived(kind: str, row_id: UUID) -> str:
    """Why an external id cannot be had again."""
    return f"stands for an archived {kind}: {way_back(kind, row_id)}, or give the new one another external id"


async def _of_external_id(
    connection: AsyncConnection, table: Table, brand_id: UUID, external_id: str | None
) -> Row[Any] | None:
    if external_id is None:
        return None
    query = select(table).where(table.c.brand_id == brand_id, table.c.external_id == external_id)
    return (await connection.execute(query)).one_or_none()


def refuse_different(row: Row[Any], values: dict[str, Any], *, by: str = "external_id") -> None:
    """Raises Conflict naming the fields in which a row found by one of them differs from what was asked for."""
    differing = [name for name, value in values.items() if row._mapping[name] != value]
    if differing:
        reason = f"stands for another content already; it differs in {', '.join(sorted(differing))}"
        raise Conflict.field(by, reason, code=f"{by}_taken")


async def change(
    connection: AsyncConnection, table: Table, brand_id: UUID, row_id: UUID, values: dict[str, Any]
) -> Row[Any]:
    """Writes these columns of one row and returns it whole. Nothing to write: `updated_at` stays."""
    if not values:
        query = select(table).where(table.c.brand_id == brand_id, table.c.id == row_id)
        same: Row[Any] = (await connection.execute(query)).one()
        return same
    write = update(table).where(table.c.brand_id == brand_id, table.c.id == row_id)
    written = write.values(updated_at=clock.now(), **sql_values(table, values)).returning(table)
    changed: Row[Any] = (await connection.execute(written)).one()
    return changed


def answer_found(response: Response, made: bool) -> None:
    """201 for a row that was made, 200 for one that existed."""
    if not made:
        response.status_code = 200


def only(row: Row[Any], columns: Sequence[str]) -> dict[str, Any]:
    """Some columns of a row."""
    return {name: row._mapping[name] for name in columns}


# ── The archive ──────────────────────────────────────────────────────────────────────────────────────────────────────

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


# ── News for the doors ───────────────────────────────────────────────────────────────────────────────────────────────

CHANNEL = "directory"


async def announce(connection: AsyncConnection) -> None:
    """Tell the doors of every web worker, when this transaction commits, that a route, key, source or host has changed."""
    await connection.execute(select(func.pg_notify(CHANNEL, "")))
