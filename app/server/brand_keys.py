"""Brands and keys made, listed and revoked from the command line: the API demands a key, here it is enough to own the machine."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
from pydantic import BaseModel, TypeAdapter, ValidationError

from app import clock, random_ids
from app.api.auth import SCOPES
from app.api.currencies import Currency
from app.api.fields import Name, Word, Zone
from app.api.problems import describe
from app.api.routes.keys import REPORTING, insert_key, revoke
from app.api.rows import show
from app.api.shops import only_shop
from app.domain import ids
from app.domain.sites import MAIN
from app.errors import Conflict, Invalid, NotFound

MAKING_LOCK = 0x41524B45
"""Advisory lock of the transaction that makes a brand, so that two commands with one new name make one brand."""
FIRST_BRAND = "My brand"
DEFAULT_SCOPES = ("read", "write", "admin")
FIND_BRAND = "/* across brands: the operator knows its name only */ SELECT id, currency, time_zone FROM brand WHERE name = $1 AND archived_at IS NULL LIMIT 2"
ANY_BRAND = "/* across brands: the first start */ SELECT EXISTS (SELECT FROM brand)"
LISTED_MAX_ROWS = 10_000
BRANDS = """/* across brands: the operator looks at all of them */
SELECT id, name FROM brand WHERE $1::text IS NULL OR name = $1"""
FIND_KEY = "/* across brands: the operator knows its id only */ SELECT * FROM api_key WHERE id = $1"
KEYS_OF = """SELECT * FROM api_key WHERE brand_id = $1 AND (revoked_at IS NULL OR $2) ORDER BY id DESC LIMIT $3"""
PUBLISHABLE = """
SELECT hint FROM api_key WHERE brand_id = $1 AND kind = 'publishable' AND shop = $2 AND revoked_at IS NULL ORDER BY id LIMIT 1
"""
NAME_GIVEN = "command line"
"""Name of keys that are made here."""
NAME: TypeAdapter[str] = TypeAdapter(Name)
CURRENCY: TypeAdapter[str] = TypeAdapter(Currency)
ZONE: TypeAdapter[str] = TypeAdapter(Zone)
SHOP: TypeAdapter[str] = TypeAdapter(Word)


@dataclass(frozen=True, slots=True)
class Keys:
    """A brand's new secret key, which is shown only now, and its publishable key, which stays."""

    brand_id: str
    secret_key: str
    publishable_key: str


class StoredKey(BaseModel, frozen=True):
    """A key without its secret. hint: the whole key when it is publishable, else its last four characters."""

    id: str
    brand_id: str
    brand: str
    kind: str
    name: str
    scopes: tuple[str, ...]
    shop: str | None
    hint: str
    created_at: datetime
    revoked_at: datetime | None


async def issue_keys(
    connection: asyncpg.Connection,
    brand: str,
    scopes: tuple[str, ...] = DEFAULT_SCOPES,
    *,
    currency: str | None = None,
    time_zone: str | None = None,
    shop: str | None = None,
) -> Keys:
    """A new secret key for the brand named `brand`, which is made when it is new, in `currency` (EUR) and `time_zone` (UTC).

    shop: of what is reported with the keys; the brand's only one by default. Raises Invalid when a value is no name, scope, currency, zone or
    shop, or when a key that may report names no shop of several; Conflict when several brands have that name or the one there is has another
    currency or zone than was asked for.
    """
    name = _checked("brand", NAME, brand)
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise Invalid.field("scopes", f"{', '.join(unknown) or 'empty'}: choose among {', '.join(SCOPES)}")
    money = _checked("currency", CURRENCY, "EUR" if currency is None else currency)
    zone = _checked("time_zone", ZONE, "UTC" if time_zone is None else time_zone)
    shop = None if shop is None else _checked("shop", SHOP, shop)
    required = {"currency": currency and money, "time_zone": time_zone and zone}
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", MAKING_LOCK)
        found = await connection.fetch(FIND_BRAND, name)
        if len(found) > 1:
            raise Conflict(
                f"several brands are named {name!r}: make the key over the API, with an admin key of the one that is meant"
            )
        for field, wanted in required.items() if found else ():
            if wanted and found[0][field] != wanted:
                raise Conflict(
                    f"{field}: the brand {name!r} is there already, with {found[0][field]}; leave it out, or change it by PATCH /v1/brand"
                )
        brand_id = found[0]["id"] if found else await _make_brand(connection, name, money, zone)
        if shop is None and REPORTING & set(scopes):
            shop = await only_shop(connection, brand_id)
        return await _make_keys(connection, brand_id, scopes, shop or MAIN)


async def issue_first_keys(connection: asyncpg.Connection) -> Keys | None:
    """A first brand and its keys, when there is no brand at all; else None."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", MAKING_LOCK)
        if await connection.fetchval(ANY_BRAND):
            return None
        brand_id = await _make_brand(connection, FIRST_BRAND, "EUR", "UTC")
        return await _make_keys(connection, brand_id, DEFAULT_SCOPES, MAIN)


async def list_keys(
    connection: asyncpg.Connection, brand: str | None = None, *, revoked: bool = False
) -> list[StoredKey]:
    """The keys of every brand, or of those named `brand`; brands by name, the newest key first, `LISTED_MAX_ROWS` at most. `revoked`: these too.

    Raises NotFound when no brand has that name.
    """
    name = None if brand is None else _checked("brand", NAME, brand)
    brands = await connection.fetch(BRANDS, name)
    if name is not None and not brands:
        raise NotFound(f"no brand is named {name!r}: `ariane keys list` shows those that have keys")
    found: list[StoredKey] = []
    for each in sorted(brands, key=lambda row: (row["name"], row["id"])):
        left = LISTED_MAX_ROWS - len(found)
        found += [_shown(row, each["name"]) for row in await connection.fetch(KEYS_OF, each["id"], revoked, left)]
    return found


async def find_key(connection: asyncpg.Connection, shown: str) -> StoredKey:
    """The key with this id (`key_…`), also when it was revoked. Raises NotFound; a key itself, which others may be reading over a shoulder, is not repeated."""
    if shown.startswith(("sk_", "pk_")):
        raise NotFound("that is a key, and its id is asked for: key_…, as `ariane keys list` shows it")
    try:
        wanted = ids.read("key", shown)
    except ValueError as error:
        raise NotFound(f"{shown}: {error}, as `ariane keys list` shows it") from None
    row = await connection.fetchrow(FIND_KEY, wanted)
    if row is None:
        raise NotFound(f"there is no key {shown}: `ariane keys list` shows those there are")
    return _shown(row, await connection.fetchval("SELECT name FROM brand WHERE id = $1", row["brand_id"]))


async def revoke_key(connection: asyncpg.Connection, key: StoredKey) -> StoredKey:
    """`key`, revoked: it is refused within two seconds everywhere. One that was revoked before keeps its time."""
    async with connection.transaction():
        row = await revoke(connection, ids.read("brand", key.brand_id), ids.read("key", key.id))
        return await find_key(connection, key.id) if row is None else _shown(row, key.brand)


def _shown(row: asyncpg.Record, brand: str) -> StoredKey:
    return show(StoredKey, "key", row, brand=brand)


async def _make_brand(connection: asyncpg.Connection, name: str, currency: str, time_zone: str) -> UUID:
    brand_id = random_ids.new_id()
    await connection.execute(
        "INSERT INTO brand (id, name, currency, time_zone, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5)",
        brand_id,
        name,
        currency,
        time_zone,
        clock.now(),
    )
    return brand_id


async def _make_keys(connection: asyncpg.Connection, brand_id: UUID, scopes: tuple[str, ...], shop: str) -> Keys:
    reported = shop if REPORTING & set(scopes) else None
    secret, _ = await insert_key(connection, brand_id, kind="secret", name=NAME_GIVEN, scopes=scopes, shop=reported)
    public: str | None = await connection.fetchval(PUBLISHABLE, brand_id, shop)
    if public is None:
        public, _ = await insert_key(connection, brand_id, kind="publishable", name=NAME_GIVEN, scopes=(), shop=shop)
    return Keys(ids.show("brand", brand_id), secret, public)


def _checked(field: str, kind: TypeAdapter[str], value: str) -> str:
    """`value` as the API's own type takes it. Raises Invalid with the API's own reason."""
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        raise Invalid.field(field, describe(error.errors()[0], in_body=True)[1]) from None
