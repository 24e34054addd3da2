"""Imports and reconciliations: a file of orders and refunds to record, and the shop's own list of orders against ours.

Whether a job could take a file is checked before anything is read, and the first line before anything is stored. It is stored piece by piece, in
bounded memory, before the job is put into the queue. Every piece is committed by itself: a transaction as long as an upload over a slow line would
hold back all redeciding (app/orders/redecide.py). An upload that breaks off leaves pieces without a job, which housekeeping removes.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Query, Request, Response
from starlette.requests import ClientDisconnect

from app import random_ids
from app.api.auth import Caller, Reader, Writer
from app.api.body import StrictRequest, check_address
from app.api.fields import Moment, Word
from app.api.http import BODY, Route, Session, resource
from app.api.idempotency import is_answered, read_key
from app.api.job_queue import Job, enqueue, refuse_when_full
from app.api.problems import responses
from app.clock import monotonic_s
from app.database.errors import DRIVER_ERRORS
from app.domain import order_file, order_list
from app.domain.csv_files import LINES_MAX, ROWS_MAX, Columns, Cutter, Format, Record, Sheet, read_header, read_row
from app.domain.strict_json import Unreadable
from app.errors import Invalid, Malformed, MissingScope, TooLarge, TooMany, TooSlow, UnsupportedType

PIECE_BYTES = 256 << 10
"""Size of a stored piece, in bytes."""
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of .xlsx and .ods, and of .xls."""

PART_MAX_S = 60.0
"""Longest wait for the next part of a file, in seconds: a large file over a slow line may take long, but must not stand still."""
UPLOAD_MAX_S = 6 * 3_600.0
"""Longest time for a whole file, in seconds: a byte a minute is no upload either."""

FORMATS: dict[str, Format] = {"text/csv": "csv", "application/x-ndjson": "ndjson"}

STORE = "INSERT INTO job_piece (brand_id, job_id, number, content) VALUES ($1, $2, $3, $4)"
DELETE_ORPHANS = """
DELETE FROM job_piece p WHERE p.brand_id = $1 AND p.job_id = $2
    AND NOT EXISTS (SELECT 1 FROM job j WHERE j.brand_id = p.brand_id AND j.id = p.job_id)
"""


@dataclass(frozen=True, slots=True)
class Upload:
    """A stored file. job_id: the job that its pieces are stored for. rows: its records, without header and blank lines.

    arguments: what its job is told about it.
    """

    job_id: UUID
    sheet: Sheet
    rows: int
    arguments: dict[str, Any]


class UploadRoute(Route):
    """A POST whose body is a file: `text/csv` or `application/x-ndjson`. The endpoint finds it as `request.state.upload`."""

    columns: ClassVar[Columns]
    scope: ClassVar[str] = "write"

    async def read(self, request: Request) -> StrictRequest:
        """Stores the body; the endpoint gets a request whose body is the file's hash."""
        caller: Caller = request.state.caller
        if self.scope not in caller.scopes:
            raise MissingScope(self.scope)
        check_address(request)
        # Before a file is read that no job could take; a repeated request gets its first answer instead.
        key = read_key(request)
        async with request.app.state.engine.connect() as connection:
            if key is None or not await is_answered(connection, caller, key):
                await refuse_when_full(connection, caller.brand_id, final=False)
        request.state.upload = upload = await _receive(request, caller.brand_id, self.columns)
        strict = StrictRequest(request.scope, request.receive)
        strict.raw_body = upload.arguments["sha256"].encode()
        return strict

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def tidy(request: Request) -> Response:
            try:
                return await answer(request)
            finally:
                # No job has taken the upload when it was refused, or answered before under the same Idempotency-Key.
                job_id = getattr(request.state, "uploading", None)
                if job_id is not None:
                    with suppress(*DRIVER_ERRORS):
                        await request.app.state.pool.execute(DELETE_ORPHANS, request.state.caller.brand_id, job_id)

        return tidy


async def _receive(request: Request, brand_id: UUID, columns: Columns) -> Upload:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = FORMATS.get(kind)
    if form is None:
        raise UnsupportedType(
            f"send text/csv or application/x-ndjson, not {kind[:60] or 'a body without a Content-Type'}"
        )
    pool: asyncpg.Pool = request.app.state.pool
    job_id = random_ids.new_id()
    reader = _UploadReader(form, columns)
    number = 0
    async for piece in _pieces(request, request.app.state.settings.upload_max_bytes):
        reader.add(piece)
        request.state.uploading = job_id
        await pool.execute(STORE, brand_id, job_id, number, piece)
        number += 1
    sheet = reader.close()
    arguments = {**asdict(sheet), "bytes": reader.bytes_total, "sha256": reader.hash.hexdigest()}
    return Upload(job_id, sheet, reader.rows, arguments)


async def _pieces(request: Request, bytes_max: int) -> AsyncIterator[bytes]:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > bytes_max:
        raise TooLarge(f"the file has {declared} bytes, {bytes_max} are read at most", code="body_too_large")
    piece = bytearray()
    total = 0
    try:
        async for part in _parts(request):
            total += len(part)
            if total > bytes_max:
                raise TooLarge(f"the file has more than {bytes_max} bytes", code="body_too_large")
            piece += part
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
    except ClientDisconnect:
        raise Malformed("the upload broke off; nothing of it was kept", code="upload_broken_off") from None
    if piece:
        yield bytes(piece)


async def _parts(request: Request) -> AsyncIterator[bytes]:
    """The parts of the body as they arrive. The time that storing them takes does not count against the sender. Raises TooSlow."""
    parts = aiter(request.stream())
    deadline_s = monotonic_s() + UPLOAD_MAX_S
    while True:
        try:
            async with asyncio.timeout(min(PART_MAX_S, deadline_s - monotonic_s())):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise TooSlow(
                f"nothing of the file came for {PART_MAX_S:.0f} s, or it took longer than {UPLOAD_MAX_S / 3_600:.0f} h; "
                "nothing of it was kept, send it again"
            ) from None
        yield part


class _UploadReader:
    """Reads a file as it arrives: its first line, its number of rows, its hash."""

    def __init__(self, form: Format, columns: Columns) -> None:
        self.form = form
        self.columns = columns
        self.sheet: Sheet | None = None
        self.rows = 0
        self.bytes_total = 0
        self.hash = hashlib.sha256()
        self._cutter = Cutter(form)

    def add(self, piece: bytes) -> None:
        """Reads the next piece. Raises Invalid for a workbook or a wrong first line, TooLarge for too many rows or lines."""
        if not self.bytes_total and piece.startswith(WORKBOOKS):
            what = "a workbook (.xlsx, .ods, .xls): save the sheet as CSV UTF-8"
            raise Invalid(f"the file is {what}; expected is {self._expected()}", code="workbook")
        self.hash.update(piece)
        self.bytes_total += len(piece)
        for record in self._cutter.feed(piece):
            self._count(record)
        if self._cutter.lines > LINES_MAX:
            raise TooLarge(f"the file has more than {LINES_MAX} lines; send it in parts", code="too_many_rows")

    def close(self) -> Sheet:
        """How the file is written. Raises what `add` raises, and Invalid for a file without a row."""
        for record in self._cutter.close():
            self._count(record)
        if self.sheet is None or self.rows == 0:
            what = "nothing but a header" if self.sheet is not None else "no line at all"
            raise Invalid(f"the file holds {what}; expected is {self._expected()}", code="empty_file")
        return self.sheet

    def _count(self, record: Record) -> None:
        if self.sheet is None and self.form == "csv":
            self.sheet = read_header(record, self.columns)
            return
        if self.sheet is None:
            self._check_object(record)
            self.sheet = Sheet("ndjson")
        self.rows += 1
        if self.rows > ROWS_MAX:
            raise TooLarge(f"the file has more than {ROWS_MAX} rows; send it in parts", code="too_many_rows")

    def _check_object(self, first: Record) -> None:
        try:
            read_row(first, Sheet("ndjson"))
        except Unreadable:
            shown = first.content[:100].decode("utf-8", "replace").replace("\0", "␀")
            raise Invalid(
                f"the first line reads {shown!r}: it is not a JSON object. Expected is {self._expected()}",
                code="not_ndjson",
            ) from None

    def _expected(self) -> str:
        if self.form == "csv":
            return f"a header such as {self.columns.example!r} and rows under it"
        return 'an object a line, such as {"order_id": "1001", "net_minor": 4990, "currency": "EUR"}'


# ── What files are uploaded for ──────────────────────────────────────────────────────────────────────────────────────

ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {"description": "It is in the queue."},
    **BODY,
    **responses(TooMany),
}
KIND = "^[a-z][a-z0-9_]{0,39}$"


def _file_body(csv_example: str, ndjson_example: str) -> dict[str, Any]:
    """OpenAPI's requestBody of an upload."""
    schema = {"type": "string"}
    return {
        "required": True,
        "content": {
            "text/csv": {"schema": schema, "example": csv_example},
            "application/x-ndjson": {"schema": schema, "example": ndjson_example},
        },
    }


class ImportRoute(UploadRoute):
    """Reads the columns of orders and refunds."""

    columns = order_file.COLUMNS


class ReconciliationRoute(UploadRoute):
    """Reads the columns of an order list."""

    columns = order_list.COLUMNS
    scope = "read"


imports: APIRouter = resource("imports", route_class=ImportRoute)
reconciliations: APIRouter = resource("reconciliations", route_class=ReconciliationRoute)

IMPORT_FILE = _file_body(
    "order_id,occurred_at,currency,net,codes\n1001,2026-11-21T18:00:00Z,EUR,49.90,LEA10|VIP\n",
    '{"order_id": "1001", "net_minor": 4990, "currency": "EUR", "codes": ["LEA10"]}\n'
    '{"order_id": "1001", "refund_id": "r-1", "amount_minor": 1500, "currency": "EUR"}\n',
)
ORDER_LIST = _file_body(
    "order_id,occurred_at,currency,total,tax,shipping,refunded,status\n"
    "1001,2026-11-21T18:00:00Z,EUR,64.88,9.98,5.00,0,completed\n",
    '{"order_id": "1001", "occurred_at": "2026-11-21T18:00:00Z", "currency": "EUR", "total": "64.88", "tax": "9.98"}\n',
)


@imports.post("", status_code=202, responses=ANSWERS, openapi_extra={"requestBody": IMPORT_FILE})
async def import_orders(
    caller: Writer,
    session: Session,
    request: Request,
    response: Response,
    shop: Annotated[
        Word | None, Query(description="The shop of lines that name none; by default the key's, else `main`.")
    ] = None,
    kind: Annotated[
        str | None, Query(pattern=KIND, description="The kind of lines that name none; `sale` by default.")
    ] = None,
    dry_run: Annotated[bool, Query(description="Read every line and record none.")] = False,
) -> Job:
    """Takes a file of up to 100,000 orders and refunds and records them in a job; every line that is refused is among the job's lines.

    NDJSON: a body of `POST /v1/conversions` or `POST /v1/refunds` a line. CSV: the same fields as columns (docs/import.md). The first line is
    checked before anything is stored. The same file again changes nothing.
    """
    upload: Upload = request.state.upload
    arguments = {**upload.arguments, "shop": shop or caller.shop, "kind": kind, "dry_run": dry_run}
    total, job_id = upload.rows, upload.job_id
    return await enqueue(session, response, caller.brand_id, "import", arguments, total=total, job_id=job_id)


@reconciliations.post("", status_code=202, responses=ANSWERS, openapi_extra={"requestBody": ORDER_LIST})
async def reconcile_orders(
    caller: Reader,
    session: Session,
    request: Request,
    response: Response,
    shop: Annotated[
        Word | None, Query(description="Whose orders the list has; by default the key's, else `main`.")
    ] = None,
    kind: Annotated[str | None, Query(pattern=KIND, description="`sale` by default.")] = None,
    from_: Annotated[
        Moment | None, Query(alias="from", description="The list has every order placed since; by default its first.")
    ] = None,
    to: Annotated[
        Moment | None, Query(description="The list has every order placed before; by default just after its last.")
    ] = None,
) -> Job:
    """Takes the shop's own order list and compares it, in a job, with what was recorded; it records nothing.

    Every order becomes a line of the job: `matched`, `different` (tax, shipping, discount, refund, currency …), `missing_here` (never received,
    refused and by which delivery, a test …) or `missing_there`. The result is a waterfall per currency from the shop's total to what is
    attributed, exact to the minor unit (docs/reconcile.md).
    """
    upload: Upload = request.state.upload
    if from_ is not None and to is not None and from_ >= to:
        raise Invalid.field("to", "is not after from")
    dated = "occurred_at" in upload.sheet.columns or upload.sheet.format == "ndjson"
    if not dated and (from_ is None or to is None):
        raise Invalid.field("from", "say from and to, or give the list a column occurred_at", code="required")
    span = {"from": None if from_ is None else from_.isoformat(), "to": None if to is None else to.isoformat()}
    arguments = {**upload.arguments, "rows": upload.rows, "shop": shop or caller.shop, "kind": kind, **span}
    total, job_id = upload.rows, upload.job_id
    return await enqueue(session, response, caller.brand_id, "reconciliation", arguments, total=total, job_id=job_id)
