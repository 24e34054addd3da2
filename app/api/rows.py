"""Reading, writing, archiving and showing single rows of brand tables. Each statement names its brand."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from fastapi import Response
from pydantic import BaseModel
from sqlalchemy import ColumnElement, Row, Select, Table, false, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, random_ids
from app.api.problems import EXTERNAL, FieldErrors, no_such
from app.database.tables import campaign, collaboration, influencer
from app.directory.follower import CHANNEL
from app.domain import ids
from app.errors import Conflict, NotFound
from app.trial.fixtures import is_fixture

Shown = TypeVar("Shown", bound=BaseModel)

# ── Finding ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_id(kind: str, shown: str) -> UUID:
    """The id that the path calls `shown`. Raises NotFound when it is no id of this kind."""
    try:
        return ids.read(kind, shown)
    except ValueError:
        raise missing(kind, shown) from None


def kind_of(table: Table) -> str:
    """The name of a table's rows in ids, paths and error codes."""
    return "key" if table.name == "api_key" else table.name


def _is_called(column: ColumnElement[Any], table: Table, shown: str) -> ColumnElement[bool]:
    """The condition that `column` holds the id `shown`, or `table.external_id` the caller's own (`ext_…`). Never true for what is neither."""
    if shown.startswith(EXTERNAL) and "external_id" in table.c:
        return table.c.external_id == shown.removeprefix(EXTERNAL)
    try:
        return column == ids.read(kind_of(table), shown)
    except ValueError:
        return false()


async def read_row(
    connection: AsyncConnection, query: Select[Any], table: Table, brand_id: UUID, shown: str, *, lock: bool = False
) -> Row[Any]:
    """The row of `query` that the path calls `shown`. Raises NotFound; a row of another brand is not found either."""
    query = query.where(table.c.brand_id == brand_id, _is_called(table.c.id, table, shown))
    if lock:
        query = query.with_for_update(of=table)
    row: Row[Any] | None = (await connection.execute(query)).one_or_none()
    if row is None:
        raise missing(kind_of(table), shown)
    return row


def missing(kind: str, shown: str) -> NotFound:
    """The error for a row that this brand does not have."""
    return NotFound(no_such(kind, shown), code=f"{kind}_not_found")


@dataclass(frozen=True, slots=True)
class Referred:
    """A row that a body refers to."""

    id: UUID
    archived: bool


async def resolve(
    connection: AsyncConnection, table: Table, brand_id: UUID, shown: Iterable[str]
) -> dict[str, Referred]:
    """The rows called by these names, in one statement; names that lead nowhere are left out. No statement for no names."""
    names = sorted(set(shown))
    externals = [name.removeprefix(EXTERNAL) for name in names if name.startswith(EXTERNAL)]
    own: dict[str, UUID] = {}
    for name in names:
        try:
            own[name] = ids.read(table.name, name)
        except ValueError:
            continue
    if not own and not externals:
        return {}
    either: ColumnElement[bool] = table.c.id.in_(own.values())
    if externals:
        either = or_(either, table.c.external_id.in_(externals))
    query = select(table.c.id, table.c.external_id, table.c.archived_at).where(table.c.brand_id == brand_id, either)
    rows = (await connection.execute(query)).all()
    by_id = {row.id: Referred(row.id, row.archived_at is not None) for row in rows}
    found = {name: by_id[value] for name, value in own.items() if value in by_id}
    found |= {EXTERNAL + row.external_id: by_id[row.id] for row in rows if row.external_id in externals}
    return found


async def refer(connection: AsyncConnection, table: Table, brand_id: UUID, field: str, shown: str) -> UUID:
    """The row that a field of the body refers to. Raises NotFound naming the field, Conflict when it is archived."""
    found = (await resolve(connection, table, brand_id, [shown])).get(shown)
    if found is None:
        raise NotFound.field(field, no_such(table.name, shown), code=f"{table.name}_not_found")
    if found.archived:
        raise Conflict.field(field, is_archived(table.name, found.id), code=f"{table.name}_archived")
    return found.id


# ── Filters of lists ─────────────────────────────────────────────────────────────────────────────────────────────────


def matching(query: Select[Any], *conditions: ColumnElement[bool] | None) -> Select[Any]:
    """`query` under these conditions; None is a filter that was not sent."""
    return query.where(*(condition for condition in conditions if condition is not None))


def equals(column: ColumnElement[Any], value: object | None) -> ColumnElement[bool] | None:
    """The filter that a column has this value."""
    return None if value is None else column == value


def in_use(table: Table, include_archived: bool) -> ColumnElement[bool] | None:
    """The filter that leaves archived rows out."""
    return None if include_archived else table.c.archived_at.is_(None)


def points_to(
    column: ColumnElement[Any], table: Table, brand_id: UUID, shown: str | None
) -> ColumnElement[bool] | None:
    """The filter that a column refers to the row called `shown`; an unknown name means no rows.

    A report refuses one instead (app/api/routes/reports.py): its zeros would be taken for figures.
    """
    if shown is None or not shown.startswith(EXTERNAL):
        return None if shown is None else _is_called(column, table, shown)
    own = select(table.c.id).where(table.c.brand_id == brand_id, _is_called(table.c.id, table, shown))
    return column == own.scalar_subquery()


# ── Showing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def show(model: type[Shown], kind: str, row: Any, **other: Any) -> Shown:
    """A row as `model` shows it: `id` and fields such as `campaign_id` with their prefixes, else as stored; `other` as given."""
    fields = dict(other)
    for name in model.model_fields.keys() - other.keys():
        value = row[name] if isinstance(row, asyncpg.Record) else getattr(row, name)
        if isinstance(value, UUID):
            value = ids.show(kind if name == "id" else name.removesuffix("_id"), value)
        fields[name] = value
    return model(**fields)


def answer_found(response: Response, made: bool) -> None:
    """201 for a row that was made, 200 for one that existed."""
    if not made:
        response.status_code = 200


# ── Writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def insert_new(connection: AsyncConnection, table: Table, values: dict[str, Any]) -> Row[Any] | None:
    """The row as inserted, under a new id; None when one of its unique keys is taken."""
    now = clock.now()
    made = insert(table).values(id=random_ids.new_id(), created_at=now, updated_at=now, **values)
    row: Row[Any] | None = (await connection.execute(made.on_conflict_do_nothing().returning(table))).one_or_none()
    return row


def refuse_different(row: Row[Any], values: dict[str, Any], *, by: str = "external_id") -> None:
    """Raises Conflict naming the fields in which a row found by the field `by` differs from what was sent."""
    differing = [name for name, value in values.items() if row._mapping[name] != value]
    if differing:
        reason = f"stands for another content already; it differs in {', '.join(sorted(differing))}"
        raise Conflict.field(by, reason, code=f"{by}_taken")


async def change(
    connection: AsyncConnection, table: Table, brand_id: UUID, row_id: UUID, values: dict[str, Any]
) -> Row[Any]:
    """Writes these columns of one row and returns it whole. Nothing to write: `updated_at` stays."""
    its = (table.c.brand_id == brand_id, table.c.id == row_id)
    if values:
        write: Any = update(table).where(*its).values(updated_at=clock.now(), **values)
        write = write.returning(table)
    else:
        write = select(table).where(*its)
    changed: Row[Any] = (await connection.execute(write)).one()
    return changed


# ── The archive ──────────────────────────────────────────────────────────────────────────────────────────────────────
# While it is archived a row keeps whatever is unique about it (its external id, slug, letters, pair), so nobody can take any of it. It can always
# be brought back, unless what it belongs to is archived itself.

OWNERS = {"campaign_id": campaign, "influencer_id": influencer, "collaboration_id": collaboration}
"""Fields that name what a row belongs to."""


def refuse_archived(kind: str, row: Row[Any]) -> None:
    """Raises Conflict for an archived row: it is kept for the record and does not change any more."""
    if row.archived_at is not None:
        raise Conflict(is_archived(kind, row.id), code=f"{kind}_archived")


def refuse_to_find(kind: str, row: Row[Any]) -> None:
    """Raises Conflict when the row found by its external id is archived: answering with it would say that it is in use."""
    if row.archived_at is not None:
        raise Conflict.field("external_id", stands_archived(kind, row.id), code=f"{kind}_archived")


def is_archived(kind: str, row_id: UUID) -> str:
    """Why nothing can be done with a row, and what to do about it."""
    return f"this {kind} is archived; to bring it back: {_way_back(kind, row_id)}"


def stands_archived(kind: str, row_id: UUID) -> str:
    """Why an external id cannot be used again."""
    return f"stands for an archived {kind}: {_way_back(kind, row_id)}, or give the new one another external id"


def _way_back(kind: str, row_id: UUID) -> str:
    return f"POST /v1/{kind}s/{ids.show(kind, row_id)}/unarchive"


async def refuse_to_return(connection: AsyncConnection, kind: str, row: Row[Any]) -> None:
    """Raises Conflict naming every owner of an archived row that is archived itself, or when the row is one of the trial's, which are never in use.

    An owner that is archived at this very moment is not waited for: its links and codes go on working then too.
    """
    if is_fixture(row.brand_id, row.id):
        raise Conflict(f"this {kind} belongs to the trial of sources and stays archived", code="fixed")
    faults = FieldErrors()
    for field, table in OWNERS.items():
        # Among the fields: SQLAlchemy would take `campaign_id` for the `id` of a row of `campaign`.
        owner_id = row._mapping[field] if field in row._fields else None
        query = select(table.c.archived_at).where(table.c.brand_id == row.brand_id, table.c.id == owner_id)
        if owner_id is not None and await connection.scalar(query) is not None:
            reason = f"this {table.name} is archived itself; first: {_way_back(table.name, owner_id)}"
            faults.conflict(0, field, f"{table.name}_archived", reason)
    faults.refuse()


# ── News for the doors ───────────────────────────────────────────────────────────────────────────────────────────────


async def announce(connection: AsyncConnection) -> None:
    """Tell the doors of every web worker, when this transaction commits, that a route, key, source or host has changed."""
    await connection.execute(select(func.pg_notify(CHANNEL, "")))
