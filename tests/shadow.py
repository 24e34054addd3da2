"""The shadow schema: every brand table hash-partitioned by brand, so that PostgreSQL itself says whether a statement stays within one brand.

A cluster distributed by brand asks the same of every key and statement (docs/decisions). PostgreSQL refuses a unique key without the partition
column, and EXPLAIN shows which buckets a statement scans: one, or it would have to visit every machine.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from asyncpg.connection import LoggedQuery
from sqlalchemy import Engine, MetaData, Table, event
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from app.database.tables import LOCALS, LOOKUPS, metadata
from app.domain.ids import floor_ms

BUCKETS = 4
SCHEMA = "shadow"


def distribution_column(table: Any) -> str:
    """The column that names the brand: `brand_id`, and `id` in the table of brands itself."""
    return "id" if table.name == "brand" else "brand_id"


def statements() -> Iterator[str]:
    """The DDL of the shadow schema."""
    yield f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"
    yield f"CREATE SCHEMA {SCHEMA}"
    yield f"SET search_path = {SCHEMA}"
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    copy = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.tables.values():
        shadow = table.to_metadata(copy)
        if table in LOOKUPS or table in LOCALS:
            yield str(CreateTable(shadow).compile(dialect=dialect))
        else:
            yield from _partitioned(table, shadow, dialect)
        for index in shadow.indexes:
            yield str(CreateIndex(index).compile(dialect=dialect))


def _partitioned(table: Table, shadow: Table, dialect: Any) -> Iterator[str]:
    column = distribution_column(table)
    if table.name == "click":
        yield str(CreateTable(shadow).compile(dialect=dialect))
        low, high = floor_ms(0), floor_ms(2**47)
        yield (
            f"CREATE TABLE click_m PARTITION OF click FOR VALUES FROM ('{low}') TO ('{high}') PARTITION BY HASH (brand_id)"
        )
        parent = "click_m"
    else:
        # A partitioned table takes no storage parameters.
        shadow.dialect_options["postgresql"]["with"] = {}
        shadow.dialect_options["postgresql"]["partition_by"] = f"HASH ({column})"
        yield str(CreateTable(shadow).compile(dialect=dialect))
        parent = table.name
    for bucket in range(BUCKETS):
        yield (
            f"CREATE TABLE {table.name}_h{bucket} PARTITION OF {parent} FOR VALUES WITH (MODULUS {BUCKETS}, REMAINDER {bucket})"
        )


async def build(connection: asyncpg.Connection) -> None:
    """Builds the shadow schema in this database and leaves the connection's search path on it."""
    for statement in statements():
        await connection.execute(statement)


@dataclass(frozen=True, slots=True)
class Crossing:
    """A statement that would visit more than one brand's bucket of a table."""

    statement: str
    table: str
    buckets: tuple[str, ...]


async def crossings(connection: asyncpg.Connection, statement: str, arguments: Sequence[Any]) -> list[Crossing]:
    """Which brand tables this statement would scan in more than one bucket; [] when it stays within one brand."""
    async with connection.transaction():
        plan = await connection.fetchval(f"EXPLAIN (COSTS OFF, FORMAT JSON) {statement}", *arguments)
    scanned: dict[str, set[str]] = {}
    for relation in _relations(json.loads(plan)):
        match = re.fullmatch(r"(\w+)_h(\d)", relation)
        if match:
            scanned.setdefault(match[1], set()).add(relation)
    return [
        Crossing(statement, table, tuple(sorted(buckets))) for table, buckets in scanned.items() if len(buckets) > 1
    ]


def _relations(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _relations(item)
    elif isinstance(node, dict):
        if node.get("Node Type", "").endswith("Scan") and "Relation Name" in node:
            yield node["Relation Name"]
        for value in node.values():
            yield from _relations(value)


ACROSS_BRANDS = "/* across brands"
"""How a statement says that it is meant to look at every brand (housekeeping, the directory's polls), with its reason."""

RECORDED_MAX = 5_000


@dataclass(slots=True)
class Recorder:
    """Keeps one example of every statement that this process sends, by either way into the database."""

    statements: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def start(self) -> None:
        """From here on every asyncpg connection and every SQLAlchemy engine is listened to."""
        plain_init = asyncpg.Connection.__init__

        def listened_init(connection: asyncpg.Connection, *arguments: Any, **options: Any) -> None:
            plain_init(connection, *arguments, **options)
            connection.add_query_logger(self._hear_asyncpg)

        asyncpg.Connection.__init__ = listened_init
        event.listen(Engine, "before_cursor_execute", self._hear_sqlalchemy)

    def _hear_asyncpg(self, query: LoggedQuery) -> None:
        if query.exception is None:
            arguments = tuple(query.args or ())
            # executemany is told with a list of rows.
            rows = bool(arguments) and all(isinstance(each, tuple | list) for each in arguments)
            asked = [int(number) for number in re.findall(r"\$(\d+)", query.query)]
            if rows and len(arguments) != max(asked, default=0):
                arguments = tuple(arguments[0])
            self._keep(query.query, arguments)

    def _hear_sqlalchemy(self, _c: Any, _k: Any, statement: str, parameters: Any, _x: Any, many: bool) -> None:
        self._keep(statement, tuple((parameters[0] if many else parameters) or ()))

    def _keep(self, statement: str, arguments: tuple[Any, ...]) -> None:
        words = statement.split(maxsplit=1)
        if (
            words
            and words[0].upper() in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "/*")
            and len(self.statements) < RECORDED_MAX
        ):
            self.statements.setdefault(statement, arguments)

    def about_brands(self) -> dict[str, tuple[Any, ...]]:
        """The recorded statements that name a brand table and do not say that they look across brands."""
        brand_tables = {table.name for table in set(metadata.tables.values()) - LOOKUPS - LOCALS}
        return {
            statement: arguments
            for statement, arguments in self.statements.items()
            if not statement.startswith(ACROSS_BRANDS)
            and brand_tables & set(re.findall(r"\w+", statement))
            and "pg_" not in statement.split("FROM")[0]
        }
