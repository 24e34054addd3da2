"""Pages of a list: by keyset, newest first, with an opaque signed cursor. Rows that are added meanwhile never shift a page."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

import msgspec
from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, FromClause, Row, Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.errors import Malformed

LIMIT_DEFAULT = 25
LIMIT_MAX = 100
SIGNATURE_BYTES = 16

Shown = TypeVar("Shown")


class Page(BaseModel, Generic[Shown]):
    """One page of a list: newest first, unless the list says otherwise."""

    data: list[Shown]
    next_cursor: str | None = Field(description="Send it back as `cursor` for the next page; null on the last one.")
    has_more: bool

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """`CampaignPage` for `Page[Campaign]`: generated clients name their classes after it."""
        return f"{params[0].__name__}Page"


class PageRequest:
    """The page that a request wants. A cursor is signed, and tied to its brand, list and filters."""

    def __init__(self, request: Request, response: Response, limit: int, cursor: str | None) -> None:
        self.limit = limit
        self._request = request
        self._response = response
        self._key: bytes = request.app.state.cursor_key
        filters = sorted(
            (name, value) for name, value in request.query_params.multi_items() if name not in ("cursor", "limit")
        )
        self._scope = f"{request.state.caller.brand_id}|{request.url.path}|{urlencode(filters)}"
        self.after = None if cursor is None else self._open(cursor)
        """The keys of the last row of the page before, in JSON."""

    def close(self, last: Sequence[Any]) -> str:
        """The cursor of the page after a row with these keys, also sent as `Link: rel="next"`."""
        payload = msgspec.json.encode(last)
        cursor = base64.urlsafe_b64encode(self._sign(payload) + payload).rstrip(b"=").decode()
        query = [(name, value) for name, value in self._request.query_params.multi_items() if name != "cursor"]
        address = f"{self._request.url.path}?{urlencode([*query, ('cursor', cursor)])}"
        self._response.headers["Link"] = f'<{address}>; rel="next"'
        return cursor

    def _open(self, cursor: str) -> bytes:
        """The payload of a cursor. Raises Malformed when it was made elsewhere, for another list, or tampered with."""
        try:
            sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raise _bad_cursor() from None
        signature, payload = sealed[:SIGNATURE_BYTES], sealed[SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(payload)):
            raise _bad_cursor()
        return payload

    def _sign(self, payload: bytes) -> bytes:
        signed = self._scope.encode("utf-8", "replace") + b"\0" + payload
        return hmac.new(self._key, signed, hashlib.sha256).digest()[:SIGNATURE_BYTES]


def _bad_cursor() -> Malformed:
    reason = "is not a cursor of this list with these filters; start again without it"
    return Malformed.field("cursor", reason, code="bad_cursor")


async def _page_request(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Rows of a page.")] = LIMIT_DEFAULT,
    cursor: Annotated[str | None, Query(max_length=1_000, description="`next_cursor` of the page before.")] = None,
) -> PageRequest:
    return PageRequest(request, response, limit, cursor)


Paging = Annotated[PageRequest, Depends(_page_request)]


@dataclass(frozen=True, slots=True)
class Sieve:
    """Conditions that no index answers, on a list that may be of any length: one statement looks through `rows_max` rows of it and no more.

    So a page may hold fewer rows than asked for, or none, and still say that more follow.
    """

    conditions: Callable[[FromClause], Sequence[ColumnElement[bool]]]
    rows_max: int


@dataclass(frozen=True, slots=True)
class Listing(Generic[Shown]):
    """A list as somebody asks for it. keys: among the columns of `query`, the greatest first; the last of them is unique.

    show: makes what is shown of rows, asking the database for what belongs to them. batch_rows: read at once for a file.
    """

    query: Select[Any]
    keys: Sequence[ColumnElement[Any]]
    show: Callable[[AsyncConnection, Sequence[Row[Any]]], Awaitable[list[Shown]]]
    batch_rows: int
    sieve: Sieve | None = None


async def fetch_listed(connection: AsyncConnection, listing: Listing[Shown], page: PageRequest) -> Page[Shown]:
    """One page of a list."""
    after = _read_after(page, listing.keys)
    rows, rest = await _fetch_after(connection, listing.query, listing.keys, after, page.limit, sieve=listing.sieve)
    data = await listing.show(connection, rows)
    return Page(data=data, next_cursor=page.close(rest) if rest else None, has_more=rest is not None)


async def fetch_all(engine: AsyncEngine, listing: Listing[Shown]) -> AsyncIterator[list[Shown]]:
    """A whole list, batch by batch, each in a transaction of its own: memory and connections do not grow with it."""
    after: Sequence[Any] | None = None
    while True:
        async with engine.connect() as connection:
            rows, after = await _fetch_after(
                connection, listing.query, listing.keys, after, listing.batch_rows, sieve=listing.sieve
            )
            shown = await listing.show(connection, rows)
        yield shown
        if after is None:
            return


async def fetch_page(
    connection: AsyncConnection,
    query: Select[Any],
    page: PageRequest,
    keys: Sequence[ColumnElement[Any]],
    shown: Callable[[Row[Any]], Shown],
    *,
    ascending: bool = False,
) -> Page[Shown]:
    """One page of `query` in one statement, the greatest `keys` first, or the least if `ascending`.

    `keys` are among the selected columns, and the last of them is unique.
    """
    after = _read_after(page, keys)
    rows, rest = await _fetch_after(connection, query, keys, after, page.limit, ascending=ascending)
    cursor = page.close(rest) if rest else None
    return Page(data=[shown(row) for row in rows], next_cursor=cursor, has_more=rest is not None)


def _read_after(page: PageRequest, keys: Sequence[ColumnElement[Any]]) -> Sequence[Any] | None:
    if page.after is None:
        return None
    kinds: Any = tuple(key.type.python_type for key in keys)
    try:
        after: Sequence[Any] = msgspec.json.decode(page.after, type=tuple[kinds])
    except msgspec.ValidationError:
        raise _bad_cursor() from None  # it was made by another release
    return after


async def _fetch_after(
    connection: AsyncConnection,
    query: Select[Any],
    keys: Sequence[ColumnElement[Any]],
    after: Sequence[Any] | None,
    limit: int,
    *,
    ascending: bool = False,
    sieve: Sieve | None = None,
) -> tuple[Sequence[Row[Any]], Sequence[Any] | None]:
    """The rows that follow the keys `after`, and the keys to go on after; None when nothing is left."""
    if after is not None:
        here: Any = tuple_(*keys)
        query = query.where(here > after if ascending else here < after)
    query = query.order_by(*(key if ascending else key.desc() for key in keys))
    sifted = query
    if sieve is not None:
        part = query.limit(sieve.rows_max).subquery()
        sifted = select(part).where(*sieve.conditions(part)).order_by(*(part.c[str(key.key)].desc() for key in keys))
    rows = (await connection.execute(sifted.limit(limit + 1))).all()
    if len(rows) > limit:
        return rows[:limit], [rows[limit - 1]._mapping[key.key] for key in keys]
    if sieve is None:
        return rows, None
    last = query.with_only_columns(*keys).offset(sieve.rows_max - 1).limit(1)
    ended = (await connection.execute(last)).one_or_none()
    return rows, None if ended is None else list(ended)
