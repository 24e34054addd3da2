"""SQL that makes, assigns and checks promo codes, for app/api/routes/codes/codes.py."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, Strict
from sqlalchemy import Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock, random_ids
from app.api.collaboration_ref import Pair
from app.api.fields import Given, Minor
from app.api.rows import insert_new
from app.database.tables import campaign, code, code_assignment, influencer
from app.database.transactions import driver_connection
from app.domain.codes import FALLBACKS, candidates, normalise
from app.domain.money import exponent
from app.errors import Conflict

RANDOM_BITS = FALLBACKS * 20
FULL_BP = 10_000


class PercentOff(Given):
    """A share of the price."""

    type: Literal["percent"]
    value_bp: Annotated[int, Strict(), Field(ge=0, le=FULL_BP, description="Basis points: 1,000 is 10 %.")]


class FixedOff(Given):
    """An amount, in the campaign's currency."""

    type: Literal["fixed"]
    amount_minor: Minor


Discount = Annotated[
    PercentOff | FixedOff, Field(discriminator="type", examples=[{"type": "percent", "value_bp": 1_000}])
]


@dataclass(frozen=True, slots=True)
class CodeWanted:
    """A code to be made, without its letters. values: the other columns."""

    values: dict[str, Any]
    pair: Pair
    discount: PercentOff | FixedOff | None


async def insert_code(connection: AsyncConnection, brand_id: UUID, wanted: CodeWanted, typed: str) -> Row[Any] | None:
    """The code as inserted; None when its letters or its external id are taken."""
    values = {**wanted.values, "brand_id": brand_id, "code": typed, "code_norm": normalise(typed)}
    return await insert_new(connection, code, values)


async def take(connection: AsyncConnection, brand_id: UUID, wanted: CodeWanted, typed: str) -> Row[Any]:
    """Insert the code as given. Raises Conflict when it cannot be told apart from another."""
    row = await insert_code(connection, brand_id, wanted, typed)
    if row is None:
        reason = f"{typed!r} is taken, or cannot be told apart from another code (0/O, 1/I/L, accents and dashes count for nothing)"
        raise Conflict.field("code", reason, code="code_taken")
    return row


async def generate(connection: AsyncConnection, brand_id: UUID, wanted: CodeWanted, pattern: str) -> Row[Any]:
    """Insert a readable, free code of the pattern. Raises Conflict when every fallback is taken, which only a broken pattern causes."""
    words = await _words(connection, brand_id, wanted)
    tried = list(candidates(pattern, words, random_ids.random_number(RANDOM_BITS)))
    norms = [normalise(candidate) for candidate in tried]
    query = select(code.c.code_norm).where(code.c.brand_id == brand_id, code.c.code_norm.in_(norms))
    taken = set((await connection.execute(query)).scalars())
    for candidate, norm in zip(tried, norms, strict=True):
        # Another request may have taken it meanwhile; the unique key decides.
        row = None if norm in taken else await insert_code(connection, brand_id, wanted, candidate)
        if row is not None:
            return row
    reason = "gives no code that is free and may be used; give a code or another pattern"
    raise Conflict.field("pattern", reason, code="pattern_exhausted")


async def _words(connection: AsyncConnection, brand_id: UUID, wanted: CodeWanted) -> dict[str, str]:
    """Values of the placeholders of a pattern."""
    query = (
        select(influencer.c.name, influencer.c.handles, campaign.c.name.label("campaign"), campaign.c.currency)
        .join_from(influencer, campaign, campaign.c.brand_id == influencer.c.brand_id)
        .where(
            influencer.c.brand_id == brand_id,
            campaign.c.brand_id == brand_id,
            influencer.c.id == wanted.pair.influencer_id,
            campaign.c.id == wanted.pair.campaign_id,
        )
    )
    row = (await connection.execute(query)).one()
    handle = row.handles[0]["handle"] if row.handles else row.name
    return {
        "HANDLE": handle,
        "NAME": row.name.split()[0],
        "CAMPAIGN": row.campaign,
        "DISCOUNT": _spoken(wanted.discount, row.currency),
        "YEAR": str(clock.now().year),
    }


def _spoken(discount: PercentOff | FixedOff | None, currency: str) -> str:
    """The discount as people say it: 10 for 10 % and for 10.00 EUR; whole numbers only."""
    if discount is None:
        return ""
    if isinstance(discount, PercentOff):
        return str(discount.value_bp // 100)
    return str(discount.amount_minor // 10 ** exponent(currency))


async def assign(
    connection: AsyncConnection,
    brand_id: UUID,
    code_id: UUID,
    collaboration_id: UUID,
    starts_at: datetime | None,
    ends_at: datetime | None,
) -> Row[Any]:
    """Append an interval of ownership. starts_at None: without a beginning."""
    made = insert(code_assignment).values(
        brand_id=brand_id,
        id=random_ids.new_id(),
        code_id=code_id,
        collaboration_id=collaboration_id,
        starts_at=starts_at,
        ends_at=ends_at,
        created_at=clock.now(),
    )
    row: Row[Any] = (await connection.execute(made.returning(code_assignment))).one()
    return row


# order_touch names every order that ever carried the code; the folded codes of the surviving order decide.
_REDEMPTIONS = """
SELECT count(DISTINCT root.id) FROM order_touch named
JOIN conversion o ON o.brand_id = $1 AND o.id = named.conversion_id
JOIN conversion root ON root.brand_id = $1 AND root.id = o.root_id
WHERE named.brand_id = $1 AND named.touch = $2 AND root.codes @> ARRAY[$3::text] AND NOT root.test
  AND root.status IN ('pending', 'approved', 'locked', 'paid')
"""

Refusal = Literal["unknown", "not_started", "expired", "disabled", "unassigned", "over_cap"]


async def check_redeemable(
    connection: AsyncConnection, brand_id: UUID, row: Row[Any], status: str
) -> tuple[int, Refusal | None]:
    """The number of orders that redeemed a code, and why it may not be redeemed now; None when it may."""
    driver = await driver_connection(connection)
    redemptions: int = await driver.fetchval(_REDEMPTIONS, brand_id, f"code:{row.code_norm}", row.code_norm)
    statuses: dict[str, Refusal] = {"not_started": "not_started", "expired": "expired", "disabled": "disabled"}
    if status in statuses:
        return redemptions, statuses[status]
    if row.collaboration_id is None:
        return redemptions, "unassigned"
    over = row.max_redemptions is not None and redemptions >= row.max_redemptions
    return redemptions, "over_cap" if over else None
