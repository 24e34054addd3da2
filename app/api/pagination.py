"""Pages of a list: by keyset, newest first, with an opaque signed cursor. Rows that are added meanwhile never shift a page."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Row, Select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import Malformed

LIMIT_DEFAULT = 25
LIMIT_MAX = 100
SIGNATURE_BYTES = 16

Shown = TypeVar("Shown")
CursorValue = UUID | datetime | int | str


class Page(BaseModel, Generic[Shown]):
    """One page of a list: newest first, unless the list says otherwise."""

    data: list[Shown]
    next_cursor: str | None = Field(description="Send it back as `cursor` for the next page; null on the last one.")
    has_more: bool


class PageRequest:
    """The page that a request wants. A cursor is tied to its brand, list and filters."""

    def __init__(self, request: Request, response: Response, limit: int, cursor: str | None) -> None:
        self.limit = limit
        self._request = request
        self._response = response
        self._key: bytes = request.app.state.cursor_key
        filters = sorted(
            (name, value) for name, value in request.query_params.multi_items() if name not in ("cursor", "limit")
        )
        self._scope = f"{request.state.caller.brand_id}|{request.url.path}|{urlencode(filters)}"
        self.after: tuple[CursorValue, ...] | None = None
        if cursor is not None:
            self.after = open_cursor(self._key, self._scope, cursor)

    def close(self, last: Sequence[CursorValue] | None) -> str | None:
        """The cursor of the next page, also sent as `Link: rel="next"`; None on the last page."""
        if last is None:
            return None
        cursor = seal_cursor(self._key, self._scope, last)
        query = [(name, value) for name, value in self._request.query_params.multi_items() if name != "cursor"]
        address = f"{self._request.url.path}?{urlencode([*query, ('cursor', cursor)])}"
        self._response.headers["Link"] = f'<{address}>; rel="next"'
        return cursor


async def _page_request(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Rows of a page.")] = LIMIT_DEFAULT,
    cursor: Annotated[str | None, Query(max_length=1_000, description="`next_cursor` of the page before.")] = None,
) -> PageRequest:
    return PageRequest(request, response, limit, cursor)


Paging = Annotated[PageRequest, Depends(_page_request)]


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
    if page.after is not None:
        if len(page.after) != len(keys):
            raise _bad_cursor()
        one = len(keys) == 1
        here: Any = keys[0] if one else tuple_(*keys)
        there: Any = page.after[0] if one else tuple_(*page.after)
        query = query.where(here > there if ascending else here < there)
    query = query.order_by(*(key if ascending else key.desc() for key in keys)).limit(page.limit + 1)
    rows = (await connection.execute(query)).all()
    more = len(rows) > page.limit
    rows = rows[: page.limit]
    last = [rows[-1]._mapping[key] for key in keys] if more else None
    return Page(data=[shown(row) for row in rows], next_cursor=page.close(last), has_more=more)


# ── The cursor ───────────────────────────────────────────────────────────────────────────────────────────────────────


def seal_cursor(key: bytes, scope: str, values: Sequence[CursorValue]) -> str:
    """An opaque cursor that only `open_cursor` with the same key and scope reads back."""
    tagged = [_tagged(value) for value in values]
    payload = json.dumps(tagged, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_sign(key, scope, payload) + payload).rstrip(b"=").decode()


def open_cursor(key: bytes, scope: str, cursor: str) -> tuple[CursorValue, ...]:
    """The values in a cursor. Raises Malformed when it was made elsewhere, for another list, or tampered with."""
    try:
        sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise _bad_cursor() from None
    signature, payload = sealed[:SIGNATURE_BYTES], sealed[SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _sign(key, scope, payload)):
        raise _bad_cursor()
    return tuple(_untagged(tag, text) for tag, text in json.loads(payload))


def _sign(key: bytes, scope: str, payload: bytes) -> bytes:
    return hmac.new(key, scope.encode("utf-8", "replace") + b"\0" + payload, hashlib.sha256).digest()[:SIGNATURE_BYTES]


def _tagged(value: CursorValue) -> tuple[str, str]:
    if isinstance(value, UUID):
        return "u", value.hex
    if isinstance(value, datetime):
        return "t", value.isoformat()
    return ("i", str(value)) if isinstance(value, int) else ("s", value)


def _untagged(tag: str, text: str) -> CursorValue:
    if tag == "u":
        return UUID(text)
    if tag == "t":
        return datetime.fromisoformat(text)
    return int(text) if tag == "i" else text


def _bad_cursor() -> Malformed:
    reason = "is not a cursor of this list with these filters; start again without it"
    return Malformed.field("cursor", reason, code="bad_cursor")
