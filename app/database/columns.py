"""The kinds of columns, keys and tables that the schema (tables.py) is made of."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import UserDefinedType

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMES)


class Timestamp(TypeDecorator[datetime]):
    """`timestamptz` that refuses naive times: asyncpg would silently read them as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True
    python_type = datetime

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("times must be aware")
        return value

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC)


class TransactionId(UserDefinedType[int]):
    """PostgreSQL's `xid8`: compared with the snapshot horizon to find what changed since, without missing late commits."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


uuid_column = partial(Column, type_=Uuid, nullable=False)
text_column = partial(Column, type_=Text, nullable=False)
timestamp_column = partial(Column, type_=Timestamp, nullable=False)
counter_column = partial(Column, type_=BigInteger, nullable=False, server_default="0")
flag_column = partial(Column, type_=Boolean, nullable=False, server_default=text("false"))


def json_column(name: str, default: str | None = None) -> Column[Any]:
    """JSON; nullable unless it has a default."""
    return Column(
        name,
        JSONB(none_as_null=True),
        nullable=default is None,
        server_default=None if default is None else text(f"'{default}'::jsonb"),
    )


def choice_column(name: str, *choices: str, **options: Any) -> tuple[SchemaItem, ...]:
    """A text that is one of the choices, as the database checks. options: of the column."""
    allowed = ", ".join(f"'{choice}'" for choice in choices)
    return text_column(name, **options), CheckConstraint(f"{name} IN ({allowed})", name=name)


def brand_table(name: str, *parts: Any, **options: Any) -> Table:
    """A table whose rows belong to a brand, which comes first in their key."""
    return Table(name, metadata, uuid_column("brand_id", primary_key=True), *parts, **options)


def lookup_table(name: str, *parts: Any) -> Table:
    """A table of what is found before the brand is known. Followers learn what is new by the transaction that changed a row last."""
    changed = Column("changed_xid", TransactionId, nullable=False, server_default=text("pg_current_xact_id()"))
    return Table(name, metadata, uuid_column("brand_id"), *parts, changed, Index(None, "changed_xid"))


def queue_table(name: str, *parts: Any) -> Table:
    """A table whose rows wait in the order in which they were added."""
    number = Column("id", BigInteger, Identity(always=True), primary_key=True)
    return Table(name, metadata, number, uuid_column("brand_id"), *parts)


def lifetime() -> tuple[Column[Any], ...]:
    """When a row was created, changed, and archived if it is."""
    return (
        timestamp_column("created_at"),
        timestamp_column("updated_at"),
        timestamp_column("archived_at", nullable=True),
    )


def entity(name: str, *parts: Any) -> Table:
    """A brand table of things that a brand names itself, annotates and archives."""
    return brand_table(
        name,
        uuid_column("id", primary_key=True),
        text_column("external_id", nullable=True),
        *parts,
        json_column("metadata", "{}"),
        *lifetime(),
        UniqueConstraint("brand_id", "external_id"),
    )


def reference(parent: str, *, indexed: bool = False, before: bool = False, **options: Any) -> tuple[SchemaItem, ...]:
    """The id of a row of the same brand, as `<parent>_id`. before: may be added before that row, in the same transaction. options: of the column."""
    column = f"{parent}_id"
    key = ForeignKeyConstraint(
        ["brand_id", column],
        [f"{parent}.brand_id", f"{parent}.id"],
        deferrable=before or None,
        initially="DEFERRED" if before else None,
    )
    index = [Index(None, "brand_id", column)] if indexed else []
    return uuid_column(column, **options), key, *index


def receipt() -> tuple[Column[Any], ...]:
    """The columns of a fact that say where a report came from, when, and how much weight that gives it."""
    return (
        # SHA-256 over door, origin and the stored report: an equal report from one place is one fact.
        Column("content_hash", LargeBinary, primary_key=True),
        uuid_column("id"),
        # The higher one is believed: 30 signed webhook, 20 server call with a secret key, 10 pixel or beacon.
        Column("trust", SmallInteger, nullable=False),
        text_column("door"),
        text_column("platform"),
        uuid_column("origin_id", nullable=True),
        uuid_column("delivery_id", nullable=True),
        # The source's own version of the order (updated_at in microseconds); 0 when it has none.
        counter_column("version"),
        timestamp_column("received_at"),
    )


def brand_key() -> ForeignKeyConstraint:
    """Belongs to a brand."""
    return ForeignKeyConstraint(["brand_id"], ["brand.id"])
