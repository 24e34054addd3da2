"""The kinds of columns, keys and tables that the schema (tables.py) is made of."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKeyConstraint,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
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


def uuid_column(name: str, *, nullable: bool = False) -> Column[Any]:
    """An id."""
    return Column(name, Uuid, nullable=nullable)


def timestamp_column(name: str, *, nullable: bool = False) -> Column[Any]:
    """A moment, always aware."""
    return Column(name, Timestamp, nullable=nullable)


def text_column(name: str, *, nullable: bool = False, default: str | None = None) -> Column[Any]:
    """A text of any length."""
    return Column(name, Text, nullable=nullable, server_default=default)


def counter_column(name: str) -> Column[Any]:
    """A whole number that starts at 0."""
    return Column(name, BigInteger, nullable=False, server_default="0")


def json_column(name: str, default: str | None = None) -> Column[Any]:
    """JSON; nullable unless it has a default."""
    return Column(
        name, JSONB, nullable=default is None, server_default=None if default is None else text(f"'{default}'::jsonb")
    )


def changed_xid() -> Column[Any]:
    """The transaction that changed the row last, for followers."""
    return Column("changed_xid", TransactionId, nullable=False, server_default=text("pg_current_xact_id()"))


def primary_key(*columns: str) -> PrimaryKeyConstraint:
    """The primary key."""
    return PrimaryKeyConstraint(*columns)


def brand_table(name: str, *parts: Any, **options: Any) -> Table:
    """A table whose rows belong to a brand."""
    return Table(name, metadata, uuid_column("brand_id"), *parts, **options)


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
        uuid_column("id"),
        text_column("external_id", nullable=True),
        *parts,
        json_column("metadata", "{}"),
        *lifetime(),
        primary_key("brand_id", "id"),
        UniqueConstraint("brand_id", "external_id"),
    )


def foreign_key(column: str, parent: str, *, before: bool = False) -> ForeignKeyConstraint:
    """Belongs to a row of the same brand. before: may be added before that row, in the same transaction."""
    later = "DEFERRED" if before else None
    return ForeignKeyConstraint(
        ["brand_id", column], [f"{parent}.brand_id", f"{parent}.id"], deferrable=before or None, initially=later
    )


def receipt() -> tuple[Column[Any], ...]:
    """The columns of a fact that say where a report came from, when, and how much weight that gives it."""
    return (
        # SHA-256 over door, origin and the stored report: an equal report from one place is one fact.
        Column("content_hash", LargeBinary, nullable=False),
        uuid_column("id"),
        # The higher one is believed: 30 signed webhook, 20 server call with a secret key, 10 pixel or beacon.
        Column("trust", SmallInteger, nullable=False),
        text_column("door"),
        text_column("platform"),
        uuid_column("origin_id", nullable=True),
        uuid_column("delivery_id", nullable=True),
        # The source's own version of the order (updated_at in microseconds); 0 when it has none.
        Column("version", BigInteger, nullable=False, server_default="0"),
        timestamp_column("received_at"),
    )


def brand_key() -> ForeignKeyConstraint:
    """Belongs to a brand."""
    return ForeignKeyConstraint(["brand_id"], ["brand.id"])
