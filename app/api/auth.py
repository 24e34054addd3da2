"""Authentication: secret keys, their scopes, and the dependencies that demand one."""

import hashlib
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import asyncpg
from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from app import clock
from app.errors import MissingScope, Unauthorized

SCOPES = ("read", "write", "conversions", "admin")
"""read: every GET. write: changes, and read. conversions: reports orders and refunds, nothing else. admin: keys, sources, hosts, brand, and all else."""

INCLUDES = {
    "read": {"read"},
    "conversions": {"conversions"},
    "write": {"write", "read", "conversions"},
    "admin": {"admin", "write", "read", "conversions"},
}

KEY_CACHE_S = 2.0
"""Cache time to live of a key: a revoked key works this much longer in the other worker processes."""
KEY_CACHE_ROWS = 10_000

SCHEME = HTTPBearer(
    auto_error=False, scheme_name="secret_key", description="`Authorization: Bearer sk_…`", bearerFormat="sk_…"
)


@dataclass(frozen=True, slots=True)
class Caller:
    """The brand of a request, its key, and the scopes of the key. shop: of orders that the key reports without naming one; None: `main`."""

    brand_id: UUID
    key_id: UUID
    scopes: frozenset[str]
    shop: str | None = None


def key_hash(key: str) -> bytes:
    """The stored form of a key: SHA-256 of the whole key. It has 256 random bits, so it needs no slow hash."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


class KeyRing:
    """Looks secret keys up, and caches each answer, unknown keys included, for KEY_CACHE_S."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._cache: dict[bytes, tuple[Caller | None, float]] = {}

    async def find(self, key: str) -> Caller | None:
        """The caller behind a secret key; None when it is unknown or revoked."""
        digest = key_hash(key)
        cached = self._cache.get(digest)
        if cached is not None and cached[1] > clock.monotonic_s():
            return cached[0]
        row = await self._pool.fetchrow(
            "SELECT brand_id, id, scopes, shop FROM api_key WHERE key_hash = $1 AND kind = 'secret' AND revoked_at IS NULL",
            digest,
        )
        caller = None
        if row is not None:
            scopes = frozenset[str]().union(*(INCLUDES.get(scope, set()) for scope in row["scopes"]))
            caller = Caller(row["brand_id"], row["id"], scopes, row["shop"])
        if len(self._cache) >= KEY_CACHE_ROWS:
            self._cache.clear()
        self._cache[digest] = (caller, clock.monotonic_s() + KEY_CACHE_S)
        return caller

    def forget(self) -> None:
        """Clear the cache: a key was revoked through this process."""
        self._cache.clear()


async def authenticate(request: Request, keys: KeyRing) -> Caller:
    """The caller of a request. Raises Unauthorized."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    key = credentials.strip()
    if scheme.lower() != "bearer" or not key:
        raise Unauthorized("send a secret key: `Authorization: Bearer sk_…`", code="key_missing")
    if key.startswith("pk_"):
        raise Unauthorized(
            "this is a publishable key, good for the pixel only; send a secret key (sk_…)", code="key_publishable"
        )
    caller = await keys.find(key)
    if caller is None:
        raise Unauthorized("this key is unknown or revoked", code="key_unknown")
    return caller


class Scope:
    """Dependency: the caller, who must have one of these scopes."""

    def __init__(self, *scopes: str) -> None:
        assert set(scopes) <= set(SCOPES)
        self.scopes = scopes

    # Async, or FastAPI would run it in a thread.
    async def __call__(self, request: Request) -> Caller:
        caller: Caller = request.state.caller
        if caller.scopes.isdisjoint(self.scopes):
            raise MissingScope(self.scopes[0])
        return caller


Reader = Annotated[Caller, Depends(Scope("read"))]
Writer = Annotated[Caller, Depends(Scope("write"))]
Reporter = Annotated[Caller, Depends(Scope("conversions"))]
Checker = Annotated[Caller, Depends(Scope("read", "conversions"))]
"""For the check of codes, which a shop's server with the scope `conversions` alone needs too."""
Admin = Annotated[Caller, Depends(Scope("admin"))]
