"""Lists and reports as files: CSV for a spreadsheet, NDJSON for a program."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from app import clock
from app.api.currencies import read_declared_of
from app.api.pagination import Listing, fetch_all
from app.domain.csv_files import CsvStyle, csv_header, csv_line

CSV = "text/csv; charset=utf-8"
NDJSON = "application/x-ndjson"
CSV_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "UTF-8 with a byte order mark, as spreadsheets want it.",
        "content": {"text/csv": {"schema": {"type": "string"}}},
    }
}
NDJSON_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "One JSON object a line.", "content": {NDJSON: {"schema": {"type": "string"}}}}
}
"""`responses=` of operations that answer a file."""

Shown = TypeVar("Shown", bound=BaseModel)

Separator = Annotated[
    Literal[",", ";"],
    Query(description="Between the cells. `;` is what a spreadsheet expects where decimals have a comma."),
]
DecimalMark = Annotated[
    Literal[".", ","], Query(description="Before the decimals of numbers; `,` goes with `separator=;`.")
]
Amounts = Annotated[
    Literal["minor", "major"],
    Query(
        description="`major`: amounts as exact decimals of the row's currency (`49.90` EUR, `500` JPY), in columns without `_minor`. "
        "`minor`: whole minor units."
    ),
]


async def money_style(
    request: Request, separator: Separator = ",", decimal: DecimalMark = ".", amounts: Amounts = "minor"
) -> CsvStyle:
    """How a CSV with amounts is asked for. Raises Invalid for a decimal comma between commas."""
    if amounts == "minor":
        return CsvStyle(separator, decimal)
    return CsvStyle(separator, decimal, major=await read_declared_of(request))


async def _style(separator: Separator = ",") -> CsvStyle:
    return CsvStyle(separator)


MoneyStyle = Annotated[CsvStyle, Depends(money_style)]
Style = Annotated[CsvStyle, Depends(_style)]
"""How a CSV without numbers is asked for."""


async def send_csv(
    request: Request,
    name: str,
    listing: Listing[Shown],
    columns: Sequence[str],
    row: Callable[[Shown], Mapping[str, object]],
    style: CsvStyle,
) -> StreamingResponse:
    """A whole list as a file `<name>_<today>.csv`, written as it is read. What fails before the first rows is still answered as a problem."""

    def write(batch: Iterable[Shown]) -> bytes:
        return b"".join(csv_line(row(each), columns, style) for each in batch)

    return await _send(request, name, "csv", CSV, listing, write, csv_header(columns, style))


async def send_ndjson(request: Request, name: str, listing: Listing[Shown]) -> StreamingResponse:
    """A whole list as a file `<name>_<today>.ndjson`: every row on a line of its own, as the list shows it."""

    def write(batch: Iterable[Shown]) -> bytes:
        return b"".join(each.model_dump_json(by_alias=True).encode() + b"\n" for each in batch)

    return await _send(request, name, "ndjson", NDJSON, listing, write, b"")


async def _send(
    request: Request,
    name: str,
    ending: str,
    media_type: str,
    listing: Listing[Shown],
    write: Callable[[Iterable[Shown]], bytes],
    head: bytes,
) -> StreamingResponse:
    batches = fetch_all(request.app.state.engine, listing)
    first = head + write(await anext(batches))

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for batch in batches:
            yield write(batch)

    headers = {"Content-Disposition": f'attachment; filename="{name}_{clock.now():%Y-%m-%d}.{ending}"'}
    return StreamingResponse(rest(), media_type=media_type, headers=headers)
