"""What most resources do alike with the rows of their table: list, find, create, change, archive and bring back."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Generic
from uuid import UUID

from fastapi import APIRouter, Response
from sqlalchemy import ColumnElement, Row, Select, Table, case, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.api import rows
from app.api.auth import Reader, Writer
from app.api.http import CHANGES, FOUND, Session
from app.api.pagination import Listing, Page, PageRequest, fetch_page
from app.api.rows import Shown
from app.errors import Conflict

FILE_BATCH_ROWS = 500
"""Rows that are read at once for a file."""


class Collection(Generic[Shown]):
    """The rows of one table, as one resource offers them.

    query: the rows of a brand with what answers show beside the table's columns. show: the answer for a row of `query`. after_write: what else
    changes with the table's row, in the same transaction.
    """

    def __init__(
        self,
        table: Table,
        model: type[Shown],
        *,
        query: Callable[[UUID], Select[Any]] | None = None,
        show: Callable[[Row[Any]], Shown] | None = None,
        after_write: Callable[[AsyncConnection, Row[Any]], Awaitable[None]] | None = None,
    ) -> None:
        self.table = table
        self.model = model
        self.query = query or (lambda brand_id: select(table).where(table.c.brand_id == brand_id))
        self.show: Callable[[Row[Any]], Shown] = show or partial(rows.show, model, table.name)
        self._after_write = after_write

    # ── For endpoints ────────────────────────────────────────────────────────────────────────────────────────────────

    async def page(
        self,
        session: AsyncConnection,
        brand_id: UUID,
        paging: PageRequest,
        include_archived: bool,
        *filters: ColumnElement[bool] | None,
    ) -> Page[Shown]:
        """One page of the brand's rows, newest first; a filter that is None was not sent."""
        query = rows.matching(self.query(brand_id), *filters, rows.in_use(self.table, include_archived))
        return await fetch_page(session, query, paging, [self.table.c.id], self.show)

    def listing(self, brand_id: UUID, include_archived: bool) -> Listing[Shown]:
        """The brand's rows for a file, newest first."""

        async def shown(_: AsyncConnection, found: Sequence[Row[Any]]) -> list[Shown]:
            return list(map(self.show, found))

        query = rows.matching(self.query(brand_id), rows.in_use(self.table, include_archived))
        return Listing(query, [self.table.c.id], shown, FILE_BATCH_ROWS)

    async def create(
        self, session: AsyncConnection, brand_id: UUID, values: dict[str, Any], response: Response
    ) -> tuple[Row[Any], bool]:
        """The table's row, and whether it was made: one that has the same `external_id` and the same content is answered 200.

        Raises Conflict when the external id stands for another content or an archived row, or another unique key is taken.
        """
        table, values = self.table, {"brand_id": brand_id, **values}
        row = await rows.insert_new(session, table, values)
        if row is not None:
            return row, True
        if values.get("external_id") is not None:
            query = select(table).where(table.c.brand_id == brand_id, table.c.external_id == values["external_id"])
            row = (await session.execute(query)).one_or_none()
        if row is None:
            raise Conflict(f"this {table.name} exists already", code=f"{table.name}_exists")
        rows.refuse_different(row, values)
        rows.refuse_to_find(table.name, row)
        rows.answer_found(response, made=False)
        return row, False

    async def find(self, session: AsyncConnection, brand_id: UUID, shown: str, *, lock: bool = False) -> Row[Any]:
        """The row that the path calls `shown`, also when archived. Raises NotFound."""
        return await rows.read_row(session, self.query(brand_id), self.table, brand_id, shown, lock=lock)

    async def lock(self, session: AsyncConnection, brand_id: UUID, shown: str) -> Row[Any]:
        """The row that is to be changed, locked. Raises NotFound, and Conflict when it is archived."""
        row = await self.find(session, brand_id, shown, lock=True)
        rows.refuse_archived(self.table.name, row)
        return row

    async def read(self, session: AsyncConnection, brand_id: UUID, row_id: UUID) -> Row[Any]:
        """A row that is known to exist."""
        row: Row[Any] = (await session.execute(self.query(brand_id).where(self.table.c.id == row_id))).one()
        return row

    async def write(self, session: AsyncConnection, row: Row[Any], values: dict[str, Any]) -> Row[Any]:
        """Writes these columns of a locked row, and what changes with them; the row as it is then."""
        changed = await rows.change(session, self.table, row.brand_id, row.id, values)
        if self._after_write is not None:
            await self._after_write(session, changed)
        return await self.read(session, row.brand_id, row.id)

    async def archive(self, session: AsyncConnection, brand_id: UUID, shown: str) -> Row[Any]:
        """Archives a row; the first time counts, so that doing it again changes nothing. Raises NotFound."""
        row = await self.find(session, brand_id, shown, lock=True)
        return row if row.archived_at is not None else await self.write(session, row, {"archived_at": clock.now()})

    async def unarchive(self, session: AsyncConnection, brand_id: UUID, shown: str) -> Row[Any]:
        """Brings a row back; one that is not archived stays as it is. Raises NotFound, and Conflict as `refuse_to_return` does."""
        row = await self.find(session, brand_id, shown, lock=True)
        if row.archived_at is None:
            return row
        await rows.refuse_to_return(session, self.table.name, row)
        return await self.write(session, row, {"archived_at": None})

    # ── Endpoints ────────────────────────────────────────────────────────────────────────────────────────────────────

    def offer_read(self, router: APIRouter) -> None:
        """Adds `GET /{id}`."""
        name, text = f"read_{self.table.name}", f"One {self.table.name}, also when archived."

        @router.get("/{id}", name=name, description=text, response_model=self.model, responses=FOUND)
        async def read(id: str, caller: Reader, session: Session) -> Any:
            return self.show(await self.find(session, caller.brand_id, id))

    def offer_archive(self, router: APIRouter, *, archive: str, unarchive: str) -> None:
        """Adds `DELETE /{id}` and `POST /{id}/unarchive`, with these descriptions."""
        away, back = f"archive_{self.table.name}", f"unarchive_{self.table.name}"

        @router.delete("/{id}", name=away, description=archive, response_model=self.model, responses=FOUND)
        async def put_away(id: str, caller: Writer, session: Session) -> Any:
            return self.show(await self.archive(session, caller.brand_id, id))

        @router.post("/{id}/unarchive", name=back, description=unarchive, response_model=self.model, responses=CHANGES)
        async def bring_back(id: str, caller: Writer, session: Session) -> Any:
            return self.show(await self.unarchive(session, caller.brand_id, id))


def phase(
    table: Table, *, ends_at: ColumnElement[Any], starts_at: ColumnElement[Any] | None = None
) -> ColumnElement[str]:
    """What a row that is not archived is now: `disabled`, `expired`, `not_started` or `active`."""
    now = clock.now()
    cases = [(table.c.disabled_at.is_not(None), "disabled"), (ends_at <= now, "expired")]
    if starts_at is not None:
        cases.append((starts_at > now, "not_started"))
    return case(*cases, else_="active")


def status_column(table: Table, phase: ColumnElement[str]) -> ColumnElement[str]:
    """The column `status` of a query: the phase of a row, or `archived`."""
    return case((table.c.archived_at.is_not(None), "archived"), else_=phase).label("status")
