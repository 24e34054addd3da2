"""Ids of codes in shop systems that do not report how a code is typed, such as Stripe's `promo_…`. Unique per brand, compared exactly."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field
from sqlalchemy import ColumnElement, Text, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.database.tables import code, code_alias
from app.database.transactions import driver_connection
from app.domain.strict_json import read_text
from app.errors import Conflict
from app.orders.redecide import redecide_for_aliases
from app.platforms.registry import PLATFORMS

ALIASES_MAX = 50
"""Most ids of one code: a shop has one per promotion code and mode (live, test)."""

Alias = Annotated[str, AfterValidator(read_text)]
Aliases = Annotated[
    list[Alias],
    Field(
        max_length=ALIASES_MAX,
        description="Ids under which shop systems report the code, capitals and all: "
        f"{'; '.join(each.code_ids for each in PLATFORMS.values() if each.code_ids)}. "
        "An id belongs to one code of a brand. Orders that named it are decided again.",
        examples=[["promo_1Pgc79B7WZ01zgkWNy4mn5NX"]],
    ),
    AfterValidator(lambda given: sorted(set(given))),
]


def aliases_of(brand_id: UUID) -> ColumnElement[Sequence[str]]:
    """The column `aliases` of a query over codes, sorted."""
    listed = (
        select(code_alias.c.alias)
        .where(code_alias.c.brand_id == brand_id, code_alias.c.code_id == code.c.id)
        .order_by(code_alias.c.alias)
        .correlate(code)
    )
    return func.array(listed.scalar_subquery(), type_=ARRAY(Text)).label("aliases")


def code_of(brand_id: UUID, alias: str) -> ColumnElement[Any]:
    """A scalar subquery for the id of the code with this id in a shop system."""
    found = select(code_alias.c.code_id).where(code_alias.c.brand_id == brand_id, code_alias.c.alias == alias)
    return found.scalar_subquery()


async def set_aliases(
    connection: AsyncConnection, brand_id: UUID, code_id: UUID, before: Sequence[str], wanted: Sequence[str]
) -> None:
    """Replace the ids of a locked code, and queue the orders that name an added or removed one. Raises Conflict for an id of another code."""
    gone, new = sorted(set(before) - set(wanted)), sorted(set(wanted) - set(before))
    of_code = (code_alias.c.brand_id == brand_id, code_alias.c.code_id == code_id)
    if gone:
        await connection.execute(delete(code_alias).where(*of_code, code_alias.c.alias.in_(gone)))
    if new:
        now = clock.now()
        rows: list[dict[str, Any]] = [
            {"brand_id": brand_id, "alias": alias, "code_id": code_id, "created_at": now} for alias in new
        ]
        made = insert(code_alias).values(rows).on_conflict_do_nothing().returning(code_alias.c.alias)
        taken = sorted(set(new) - set((await connection.execute(made)).scalars()))
        if taken:
            raise Conflict.field("aliases", f"{taken[0]!r} is the id of another code already", code="alias_taken")
    await redecide_for_aliases(await driver_connection(connection), brand_id, [*gone, *new])
