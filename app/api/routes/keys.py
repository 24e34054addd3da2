"""API keys: secret ones for servers, publishable ones that stand in the pages of a shop."""

from collections.abc import Collection
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, model_validator
from sqlalchemy import Row, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, random_ids
from app.api.auth import INCLUDES, SCOPES, Admin, KeyRing, key_hash
from app.api.fields import Flag, Given, Moment, Name, Word, blame
from app.api.http import BODY, CHANGES, FOUND, Session, resource
from app.api.pagination import Page, Paging, fetch_page
from app.api.rows import Shown, read_row, show
from app.api.shops import only_shop
from app.database.tables import api_key
from app.database.transactions import driver_connection
from app.directory.follower import CHANNEL
from app.errors import Conflict, Invalid
from app.secret import seal

router: APIRouter = resource("keys")

ScopeName = Literal["read", "write", "conversions", "admin"]
REPORTING = frozenset(scope for scope in SCOPES if "conversions" in INCLUDES[scope])
"""Scopes of keys that may report orders."""


class NewKey(Given):
    """What makes a key."""

    kind: Literal["secret", "publishable"] = "secret"
    name: Name = Field(default_factory=str, validate_default=False, examples=["shop server"])
    scopes: Annotated[list[ScopeName], Field(max_length=len(SCOPES))] = Field(
        default=[],
        description="What a secret key may do. `write` includes `read` and `conversions`; `admin` includes all. Default: read, write.",
    )
    shop: Word | None = Field(
        default=None,
        description="Where the orders of a publishable key come from; for a secret key that may report (any but `read` alone), the shop of the orders "
        "and refunds that it reports without naming another. Default: the brand's only shop; where there are several it is required.",
    )
    reports_every_order: Flag | None = Field(
        default=None,
        description="The shop's server reports every order with this secret key. From then on an order of this shop that only pixels report "
        "is `unverified`. True by default where `conversions` is its only scope.",
    )

    @model_validator(mode="after")
    def _fits_kind(self) -> "NewKey":
        if self.kind == "publishable" and self.scopes:
            raise blame(
                "scopes", "not_for_publishable", "a publishable key has no scopes: it is good for the pixel only"
            )
        if self.kind == "secret" and self.shop is not None and not REPORTING & set(self.scopes):
            raise blame(
                "shop",
                "not_for_secret",
                "only a publishable key, or a secret one that reports orders, belongs to a shop",
            )
        if self.reports_every_order and (self.kind == "publishable" or self.shop is None):
            raise blame("reports_every_order", "only_for_shop", "only a secret key of a shop reports every order of it")
        return self

    @property
    def is_every_order(self) -> bool:
        """Whether the shop's server will report every order with this key."""
        if self.reports_every_order is None:
            return self.kind == "secret" and self.shop is not None and self.scopes == ["conversions"]
        return self.reports_every_order


class KeyChange(Given):
    """What may change of a secret key of a shop."""

    reports_every_order: Flag = Field(
        description="False: from now on orders that only pixels report count again; those that are `unverified` stay so until they are approved."
    )


class ApiKey(BaseModel):
    """A key, without its secret."""

    id: str
    kind: str
    name: str
    scopes: list[str]
    shop: str | None
    reports_every_order: bool = Field(
        description="The shop's server reports every order with this key, so an order of this shop that only pixels report is `unverified`."
    )
    signing_secrets_count: int = Field(
        description="Secrets with which the shop's server may sign pixels that carry this publishable key."
    )
    hint: str = Field(description="The whole key when it is publishable, else its last four characters.")
    created_at: Moment
    revoked_at: Moment | None


class CreatedKey(ApiKey):
    """A key as it is shown once, at its making."""

    secret_key: str | None = Field(description="The secret key; it cannot be shown again. Null for a publishable key.")
    publishable_key: str | None


def _show(model: type[Shown], row: Any, **other: Any) -> Shown:
    record = isinstance(row, asyncpg.Record)
    edges = row["every_order_edges"] if record else row.every_order_edges
    secrets = row["signing_secrets"] if record else row.signing_secrets
    return show(model, "key", row, reports_every_order=len(edges) % 2 == 1, signing_secrets_count=len(secrets), **other)


_shown = partial(_show, ApiKey)


@router.post("", status_code=201, responses=BODY)
async def create_key(caller: Admin, session: Session, body: NewKey) -> CreatedKey:
    """Makes a key. A secret key is in this answer and nowhere else."""
    secret = body.kind == "secret"
    scopes = (body.scopes or ["read", "write"]) if secret else []
    connection = await driver_connection(session)
    shop = body.shop
    if shop is None and (not secret or REPORTING & set(scopes)):
        shop = await only_shop(connection, caller.brand_id)
    key, row = await insert_key(
        connection,
        caller.brand_id,
        kind=body.kind,
        name=body.name,
        scopes=scopes,
        shop=shop,
        is_every_order=body.is_every_order,
    )
    return _show(CreatedKey, row, secret_key=key if secret else None, publishable_key=None if secret else key)


@router.get("")
async def list_keys(caller: Admin, session: Session, paging: Paging, include_revoked: bool = False) -> Page[ApiKey]:
    """The brand's keys, newest first."""
    query = select(api_key).where(api_key.c.brand_id == caller.brand_id)
    if not include_revoked:
        query = query.where(api_key.c.revoked_at.is_(None))
    return await fetch_page(session, query, paging, [api_key.c.id], _shown)


@router.get("/{id}", responses=FOUND)
async def read_key(id: str, caller: Admin, session: Session) -> ApiKey:
    """One key, also when revoked."""
    return _shown(await read_row(session, select(api_key), api_key, caller.brand_id, id))


@router.patch("/{id}", responses=CHANGES)
async def change_key(id: str, caller: Admin, session: Session, body: KeyChange) -> ApiKey:
    """Says from when on the server of the key's shop reports every order, or no longer does. What is so already stays as it is."""
    row = await read_row(session, select(api_key), api_key, caller.brand_id, id, lock=True)
    if row.kind != "secret" or row.shop is None:
        raise Invalid.field(
            "reports_every_order", "only a secret key of a shop reports every order of it", code="only_for_shop"
        )
    if row.revoked_at is not None:
        raise Conflict("this key is revoked, and changes no more", code="key_revoked")
    if (len(row.every_order_edges) % 2 == 1) is not body.reports_every_order:
        edges = func.array_append(api_key.c.every_order_edges, clock.now())
        changed = update(api_key).where(api_key.c.brand_id == caller.brand_id, api_key.c.id == row.id)
        row = (await session.execute(changed.values(every_order_edges=edges).returning(api_key))).one()
    return _shown(row)


@router.delete("/{id}", responses=CHANGES)
async def revoke_key(id: str, caller: Admin, session: Session, request: Request) -> ApiKey:
    """Revokes a key for good; it is refused within two seconds everywhere. The key in use cannot revoke itself."""
    row = await read_row(session, select(api_key), api_key, caller.brand_id, id, lock=True)
    if row.id == caller.key_id:
        raise Conflict("a key cannot revoke itself; use another key with the scope admin", code="key_in_use")
    if row.revoked_at is not None:
        return _shown(row)
    revoked = await revoke(await driver_connection(session), caller.brand_id, row.id)
    keys: KeyRing = request.app.state.keys
    keys.forget()
    return _shown(revoked)


# ── Signing secrets, for pixels that the shop's server signs ─────────────────────────────────────────────────────────

SIGNING_SECRETS_MAX = 3
"""Signing secrets of one publishable key: a rotation needs two."""


class CreatedSigningSecret(ApiKey):
    """A publishable key with a signing secret of it as it is shown once, at its making."""

    signing_secret: str = Field(
        description="Belongs on the shop's server, never into a page. It cannot be shown again."
    )


@router.post("/{id}/signing_secrets", status_code=201, responses=CHANGES)
async def create_signing_secret(id: str, caller: Admin, session: Session, request: Request) -> CreatedSigningSecret:
    """Makes a secret with which the shop's server signs its pixels: what a signature covers is trusted. Earlier ones stay in force."""
    row = await _publishable(session, caller.brand_id, id)
    if len(row.signing_secrets) >= SIGNING_SECRETS_MAX:
        reason = f"this key has {SIGNING_SECRETS_MAX} signing secrets; remove the earlier ones with DELETE"
        raise Conflict(reason, code="too_many_secrets")
    signing_secret = random_ids.new_token("sig")
    sealed = [*row.signing_secrets, seal(request.app.state.secret, signing_secret)]
    row = await _write_signing_secrets(session, row, sealed)
    return _show(CreatedSigningSecret, row, signing_secret=signing_secret)


@router.delete("/{id}/signing_secrets", responses=CHANGES)
async def remove_signing_secrets(id: str, caller: Admin, session: Session) -> ApiKey:
    """Removes all signing secrets but the newest: the end of a rotation. What the removed ones signed before stays recorded as it is."""
    row = await _publishable(session, caller.brand_id, id)
    return _shown(await _write_signing_secrets(session, row, row.signing_secrets[-1:]))


async def _publishable(session: AsyncConnection, brand_id: UUID, id: str) -> Row[Any]:
    row = await read_row(session, select(api_key), api_key, brand_id, id, lock=True)
    if row.kind != "publishable":
        raise Conflict("only a publishable key has signing secrets", code="not_publishable")
    if row.revoked_at is not None:
        raise Conflict("this key is revoked, and changes no more", code="key_revoked")
    return row


async def _write_signing_secrets(session: AsyncConnection, row: Row[Any], sealed: list[str]) -> Row[Any]:
    changed = update(api_key).where(api_key.c.brand_id == row.brand_id, api_key.c.id == row.id)
    written: Row[Any] = (await session.execute(changed.values(signing_secrets=sealed).returning(api_key))).one()
    return written


# ── In the database, for the API and for the command line ────────────────────────────────────────────────────────────

# Columns by name: a cached plan of RETURNING * fails when a migration of the next release adds one.
RETURNED = "id, brand_id, kind, name, scopes, shop, hint, created_at, revoked_at, every_order_edges, signing_secrets"
INSERT = f"""
INSERT INTO api_key (brand_id, id, kind, key_hash, hint, name, scopes, shop, created_at, every_order_edges)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN $10 THEN ARRAY[$9::timestamptz] ELSE '{{}}' END) RETURNING {RETURNED}
"""  # noqa: S608  names of columns
REVOKE = f"""
UPDATE api_key SET revoked_at = $3, changed_xid = pg_current_xact_id()
WHERE brand_id = $1 AND id = $2 AND revoked_at IS NULL RETURNING {RETURNED}
"""  # noqa: S608  names of columns
ANNOUNCE = f"SELECT pg_notify('{CHANNEL}', '')"


async def insert_key(
    connection: asyncpg.Connection,
    brand_id: UUID,
    *,
    kind: Literal["secret", "publishable"],
    name: str,
    scopes: Collection[str],
    shop: str | None,
    is_every_order: bool = False,
) -> tuple[str, asyncpg.Record]:
    """A new key of the brand, and its row. is_every_order: from now on the shop's server reports every order with it."""
    secret = kind == "secret"
    key = random_ids.new_token("sk" if secret else "pk")
    hint = key[-4:] if secret else key
    ordered = [scope for scope in SCOPES if scope in scopes]
    values = (
        brand_id,
        random_ids.new_id(),
        kind,
        key_hash(key),
        hint,
        name,
        ordered,
        shop,
        clock.now(),
        is_every_order,
    )
    row = await connection.fetchrow(INSERT, *values)
    await connection.execute(ANNOUNCE)
    assert row is not None
    return key, row


async def revoke(connection: asyncpg.Connection, brand_id: UUID, key_id: UUID) -> asyncpg.Record | None:
    """The key's row once it is revoked; None when it was before."""
    row = await connection.fetchrow(REVOKE, brand_id, key_id, clock.now())
    await connection.execute(ANNOUNCE)
    return row
