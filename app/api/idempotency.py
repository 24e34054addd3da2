"""`Idempotency-Key`: a request that is repeated under its key is done once, and answered with the first answer for 24 hours.

The answer is written in the transaction of the work itself, so neither exists without the other. While the first request runs it holds an
advisory lock, which ends with its connection: a crash leaves no half-done key. On several database nodes, which do not share such locks, the
primary key still lets only one of two transactions commit.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from fastapi import Request, Response
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.api.auth import Caller
from app.api.body import StrictRequest
from app.database.tables import idempotency
from app.errors import Conflict, FieldError, Invalid, Malformed

HEADER = "Idempotency-Key"
KEY_MAX = 255
KEPT = timedelta(hours=24)

SECRETS = frozenset({"secret_key", "signing_secret"})
"""Fields that are shown only once, and are null in the stored answer."""

Handler = Callable[[Request], Awaitable[Response]]


def read_key(request: Request) -> str | None:
    """The key of a request, bare (`abc`) or as the draft's structured string (`"abc"`); None without one. Raises Malformed."""
    given = request.headers.get(HEADER)
    if given is None:
        return None
    key = given.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not key or len(key) > KEY_MAX or not key.isascii() or not key.isprintable():
        reason = f"is 1 to {KEY_MAX} printable ASCII characters, bare or in double quotes"
        raise Malformed.field(HEADER, reason, code="bad_idempotency_key")
    return key


async def once(
    request: StrictRequest, caller: Caller, connection: AsyncConnection, key: str, handler: Handler
) -> Response:
    """Run `handler`, or give the stored answer when this key has one.

    Raises Conflict while the first request is running, Invalid when the key was used for another request, and what `handler` raises: a request that
    failed has done nothing, and is not remembered, so that the key serves for the corrected one.
    """
    lock = int.from_bytes(
        hashlib.sha256(b"%b%b%b" % (caller.brand_id.bytes, caller.key_id.bytes, key.encode())).digest()[:8],
        "big",
        signed=True,
    )
    if not await connection.scalar(select(func.pg_try_advisory_xact_lock(lock))):
        raise _running()
    # Only a statement that begins after the lock was taken sees what its last holder committed.
    stored = await _stored(connection, caller, key)
    fingerprint = _fingerprint(request)
    if stored is not None:
        if stored.fingerprint != fingerprint:
            raise Invalid(
                f"{HEADER}: was used for another request", code="idempotency_key_reused",
                fields=(FieldError(HEADER, "was used for another request; take a new key", "idempotency_key_reused"),),
            )  # fmt: skip
        headers = {**stored.body, "Idempotent-Replayed": "true"}
        return Response(headers.pop("text").encode(), status_code=stored.status, headers=headers)
    response = await handler(request)
    await _store(connection, caller, key, fingerprint, response)
    return response


async def is_answered(connection: AsyncConnection, caller: Caller, key: str) -> bool:
    """Whether any request under this key has a stored answer."""
    return await _stored(connection, caller, key) is not None


async def _stored(connection: AsyncConnection, caller: Caller, key: str) -> Any:
    query = select(idempotency.c.fingerprint, idempotency.c.status, idempotency.c.body).where(
        idempotency.c.brand_id == caller.brand_id,
        idempotency.c.key_id == caller.key_id,
        idempotency.c.key == key,
        idempotency.c.created_at > clock.now() - KEPT,
    )
    return (await connection.execute(query)).one_or_none()


async def _store(connection: AsyncConnection, caller: Caller, key: str, fingerprint: bytes, response: Response) -> None:
    now = clock.now()
    values = {"fingerprint": fingerprint, "status": response.status_code, "body": _kept(response), "created_at": now}
    write = insert(idempotency).values(brand_id=caller.brand_id, key_id=caller.key_id, key=key, **values)
    write = write.on_conflict_do_update(
        index_elements=["brand_id", "key_id", "key"], set_=values, where=idempotency.c.created_at <= now - KEPT
    )
    if (await connection.execute(write.returning(idempotency.c.key))).one_or_none() is None:
        raise _running()


def _kept(response: Response) -> dict[str, str]:
    """The answer for the store: as text, because jsonb would reorder its fields, and without secrets."""
    text = bytes(response.body).decode()
    if any(f'"{secret}"' in text for secret in SECRETS):
        content = json.loads(text)
        text = json.dumps(
            {name: None if name in SECRETS else value for name, value in content.items()}, ensure_ascii=False
        )
    headers = {name: response.headers[name] for name in ("content-type", "location") if name in response.headers}
    return {"text": text, **headers}


def _fingerprint(request: StrictRequest) -> bytes:
    query = request.scope.get("query_string", b"")
    head = f"{request.method} {request.url.path}?".encode("utf-8", "replace") + query + b"\n"
    return hashlib.sha256(head + hashlib.sha256(request.raw_body).digest()).digest()


def _running() -> Conflict:
    return Conflict(
        "the first request with this key is still running",
        code="idempotency_key_in_use",
        fields=(FieldError(HEADER, "is in use by a request that is still running", "idempotency_key_in_use"),),
    )
