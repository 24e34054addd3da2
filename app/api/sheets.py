"""Resources as a table: the rows of a CSV are made, or found as they are, and written out again in the same columns.

All rows of a file are made, or none: everything that is wrong with any of them is told in one answer, by the line and the column that an editor shows. A
row that exists with the same content is found, so the same file again changes nothing, and a file that was written out can be sent in again.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from fastapi import Query, Request
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.api.body import StrictRequest, aside, check_address
from app.api.http import Route
from app.api.problems import FieldErrors, UnreadableRow, translate
from app.domain.csv_files import FORMULA, Columns, Cutter, Record, Sheet, read_header, read_row
from app.domain.strict_json import Unreadable
from app.errors import AppError, Invalid, TooLarge, UnsupportedType
from app.tracking.responses import read_body

ROWS_MAX = 1_000
LINES = "lines"
"""What stands before the number of a line in the name of a field: `lines.17.slug`."""

Body = TypeVar("Body", bound=BaseModel)
Shown = TypeVar("Shown", bound=BaseModel)
Cells = Mapping[str, str]
Line = tuple[int, Cells | Unreadable]


@dataclass(frozen=True, slots=True)
class Column:
    """A column. path: where its value stands in a body and an answer. read, write: between a cell and that value; `read` raises ValueError.

    write None: it is read and not written; read None: it is written, and nobody reads it. fields: within its value that a fault may be about.
    """

    name: str
    path: tuple[str, ...]
    read: Callable[[str, Cells], Any] | None
    write: Callable[[Any], Any] | None = str
    fields: tuple[str, ...] = ()


def text(name: str, *path: str) -> Column:
    """A column of texts as they are. path: without one, its name."""
    return Column(name, path or (name,), lambda cell, _: cell)


def read_list(cell: str, _: Cells) -> list[str]:
    """`a|b` as a list."""
    return [part.strip() for part in cell.split("|") if part.strip()]


def read_whole(cell: str, _: Cells) -> int:
    """A whole number. Raises ValueError."""
    if not cell.isascii() or not cell.isdigit() or len(cell) > 18:
        raise ValueError(f"{cell[:40]!r} is not a whole number")
    return int(cell)


def read_json_object(cell: str, _: Cells) -> dict[str, Any]:
    """A JSON object. Raises ValueError."""
    try:
        found = json.loads(cell)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError('should be a JSON object such as {"tier": "gold"}')
    return found


def whole(name: str) -> Column:
    """A column of whole numbers."""
    return Column(name, (name,), read_whole)


def texts(name: str) -> Column:
    """A column of lists, `a|b`."""
    return Column(name, (name,), read_list, "|".join)


ID = Column("id", ("id",), None)
"""Our id: a row that has one is found by it, and never made."""
METADATA = Column(
    "metadata", ("metadata",), read_json_object, lambda found: json.dumps(found, ensure_ascii=False) if found else None
)


class SheetAnswer(BaseModel):
    """What became of the rows of a file."""

    dry_run: bool = Field(description="Nothing was made: this is what would have been.")
    new: int = Field(description="Rows that were made.")
    known: int = Field(description="Rows that were there, with the same content.")


@dataclass(frozen=True, slots=True)
class SheetRow(Generic[Body]):
    """A line of a file that could be read. number: as an editor counts. cells: what its body has no place for is in there."""

    number: int
    body: Body
    cells: Cells


@dataclass(frozen=True)
class Form(Generic[Body]):
    """The columns of a resource. model: of its bodies. keys: of these columns a row needs one, by which it is found when the file is sent again.

    stand_ins: for fields without which there is no body (`UnreadableRow.read_rest`).
    """

    model: type[Body]
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    stand_ins: Mapping[str, Any]

    def read_all(self, lines: Sequence[Line], faults: FieldErrors) -> list[SheetRow[Body]]:
        """The lines that can be read, as far as they can; notes what is wrong with any."""
        found = []
        for number, cells in lines:
            body = self.read(number, cells, faults)
            if body is not None and not isinstance(cells, Unreadable):
                found.append(SheetRow(number, body, cells))
        return found

    def read(self, number: int, cells: Cells | Unreadable, faults: FieldErrors) -> Body | None:
        """The body of a line, as far as it can be read; notes what is wrong with it. None where nothing is left of it."""
        if isinstance(cells, Unreadable):
            faults.invalid(number, "", cells.reason, cells.detail)
            return None
        if not any(key in cells for key in self.keys):
            reason = f"is required{''.join(f', or {key}' for key in self.keys[1:])}: by it the row is found when the file is sent again"
            faults.invalid(number, self.keys[0], "required", reason)
        body: dict[str, Any] = {}
        for column in self.columns:
            if column.read is None or column.name not in cells:
                continue
            try:
                value = column.read(_unescaped(cells[column.name]), cells)
            except ValueError as error:
                faults.invalid(number, column.name, "invalid", str(error))
                value = self.stand_ins.get(column.name)
            if value is not None:
                _place(body, column, value, number, faults)
        try:
            return self.model.model_validate(body)
        except ValidationError as error:
            row = UnreadableRow(error, body)
            rest = row.read_rest(self.model, self.stand_ins)
            faults.unreadable(row, number, self.column_of)
            return rest

    def column_of(self, field: str) -> str:
        """The name of the column of a field of the body."""
        return next((each.name for each in self.columns if field in (".".join(each.path), *each.fields)), field)

    def written(self, shown: BaseModel) -> dict[str, object]:
        """The cells of an answer."""
        known = shown.model_dump(mode="json")
        cells = {}
        for column in self.columns:
            value: Any = known
            for step in column.path:
                value = None if value is None else value.get(step)
            if column.write is not None:
                cells[column.name] = None if value is None else column.write(value)
        return cells

    @property
    def header(self) -> list[str]:
        """The columns that are written."""
        return [column.name for column in self.columns if column.write is not None]


def _place(body: dict[str, Any], column: Column, value: Any, number: int, faults: FieldErrors) -> None:
    *above, last = column.path
    for step in above:
        body = body.setdefault(step, {})
    if last in body:
        faults.invalid(number, column.name, "ambiguous", "says the same as another column: leave one of them empty")
    body[last] = value


def _unescaped(cell: str) -> str:
    """The text of a cell that was written with an apostrophe, so that no spreadsheet runs it as a formula."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell


def file_body(columns: Columns, row: str) -> dict[str, Any]:
    """OpenAPI's requestBody of a file with these columns. row: an example under the header."""
    example = f"{columns.example}\n{row}\n"
    return {
        "requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}, "example": example}}}
    }


DryRun = Annotated[bool, Query(description="Look at every row and make none.")]


def columns_of(form: Form[Any], example: str) -> Columns:
    """The columns that a file may have. example: its first line."""
    return Columns(
        tuple(column.name for column in form.columns),
        required=(form.keys,) if len(form.keys) == 1 else (),
        example=example,
    )


class SheetRoute(Route):
    """A POST whose body is a CSV; the endpoint finds its lines as `request.state.lines`."""

    columns: ClassVar[Columns]

    async def read(self, request: Request) -> StrictRequest:
        """Reads the file. Raises Invalid for a first line that is none, TooLarge, or UnsupportedType."""
        check_address(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "text/csv":
            raise UnsupportedType(f"send text/csv, not {kind[:60] or 'a body without a Content-Type'}")
        strict = StrictRequest(request.scope, request.receive)
        strict.raw_body = await read_body(request.scope, request.receive, request.app.state.settings.body_max_bytes)
        request.state.lines = await aside(partial(_read_lines, columns=self.columns), strict.raw_body)
        return strict


def _read_lines(content: bytes, columns: Columns) -> list[Line]:
    cutter = Cutter("csv")
    records = iter([*cutter.feed(content), *cutter.close()])
    first = next(records, None)
    if first is None:
        raise Invalid(
            f"the file holds no line at all; expected is a header such as {columns.example!r} and rows under it",
            code="empty_file",
        )
    sheet = read_header(first, columns)
    lines = [(record.number, _cells(record, sheet)) for record in records]
    if len(lines) > ROWS_MAX:
        raise TooLarge(f"the file has more than {ROWS_MAX} rows; send it in parts", code="too_many_rows")
    return [(number, cells) for number, cells in lines if cells]


def _cells(record: Record, sheet: Sheet) -> Cells | Unreadable:
    try:
        return read_row(record, sheet)
    except Unreadable as error:
        return error


async def take(
    session: AsyncConnection,
    lines: Sequence[Line],
    form: Form[Body],
    make: Callable[[Sequence[SheetRow[Body]], FieldErrors], Awaitable[int]],
    *,
    dry_run: bool,
) -> SheetAnswer:
    """Make every row, or none. make: makes these rows, notes what is wrong with them, and says how many are new.

    Raises Invalid or Conflict naming all faults of all lines, those of the database among them.
    """
    faults = FieldErrors(LINES)
    whole = await session.begin_nested()
    rows = await aside(partial(form.read_all, lines), faults)
    new = await make(rows, faults)
    faults.refuse()
    if dry_run:
        await whole.rollback()
    else:
        await whole.commit()
    return SheetAnswer(dry_run=dry_run, new=new, known=len(rows) - new)


async def make_each(
    session: AsyncConnection,
    form: Form[Body],
    rows: Sequence[SheetRow[Body]],
    faults: FieldErrors,
    make: Callable[[Body, Cells], Awaitable[bool]],
) -> int:
    """Make one row after the other, each under a savepoint, so that those after one that fails are tried as well. make: says whether a row is new."""
    new = 0
    for row in rows:
        try:
            async with session.begin_nested():
                new += await make(row.body, row.cells)
        except AppError as error:
            faults.failed(row.number, error, form.column_of)
        except DBAPIError as error:
            told = translate(error)
            if told is None or told.retryable:
                raise
            faults.failed(row.number, told, form.column_of)
    return new
