"""Claims: a code, click or visitor that unsigned reports name by number alone is withheld where it claims orders of too many customers in a day.

An order is claimed only where a trusted report of it exists. All claims of the day are withheld, not only those beyond the number: whoever goes
through order numbers must not keep the first twenty. So the order that crosses it brings the day's others to be decided again, and which of
them arrived first changes nothing. An order whose customer nobody knows is one of a customer of its own.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.domain.folding import Order
from app.domain.signals import claims_of
from app.orders.locks import Claim, Root
from app.orders.queue import enqueue

# For every claim that these orders make or made: whether it is one too many, which other orders are on the wrong side of that, and any other order.
COUNTED = """
WITH wanted AS (
    SELECT * FROM unnest($2::text[], $3::date[]) AS w(touch, day)
), claimed AS (
    SELECT touch, day, customer, NULL::uuid AS id, false AS withheld FROM unnest($4::text[], $5::date[], $6::text[]) AS o(touch, day, customer)
    UNION ALL
    SELECT w.touch, w.day, coalesce(c.customer_key, c.id::text), c.id, w.touch = ANY(c.claims_withheld)
    FROM wanted w JOIN conversion c ON c.brand_id = $1 AND c.claims <> '{}' AND c.claims @> ARRAY[w.touch]
        AND c.occurred_at >= w.day::timestamp AT TIME ZONE 'UTC' AND c.occurred_at < (w.day + 1)::timestamp AT TIME ZONE 'UTC'
    WHERE c.root_id = c.id AND c.id <> ALL($7::uuid[])
)
SELECT touch, day, over, CASE WHEN over THEN used ELSE withheld END AS wrong, other FROM (
    SELECT touch, day, count(DISTINCT customer) > $8 AS over, array_agg(id) FILTER (WHERE NOT withheld AND id IS NOT NULL) AS used,
        array_agg(id) FILTER (WHERE withheld) AS withheld, min(id::text)::uuid AS other
    FROM claimed GROUP BY touch, day
) AS counted
"""


class Claims(NamedTuple):
    """What claims these orders by number alone, and what of that claims too many orders; by the order's id, orders without any left out."""

    made: Mapping[UUID, tuple[str, ...]]
    withheld: Mapping[UUID, tuple[str, ...]]
    claimants: frozenset[UUID]
    """Other orders of the claims that these orders no longer make: their claim is to be counted once more."""


NO_CLAIMS = Claims({}, {}, frozenset())


async def count_claims(
    connection: asyncpg.Connection, brand_id: UUID, roots: Sequence[Root], orders: Mapping[UUID, Order], claims_max: int
) -> Claims:
    """The claims of these locked orders; other orders whose claims changed sides are enqueued. No statement where none of these is or was claimed."""
    found = {root.id: _claims(orders[root.id]) for root in roots if root.id in orders}
    made = {key: claims for key, claims in found.items() if claims}
    before = {root.id: {*root.claims} for root in roots if root.claims}
    if not made and not before:
        return NO_CLAIMS
    wanted = sorted(set().union(*made.values(), *before.values()))
    own = [(touch, day, orders[key].customer_key or str(key)) for key, claims in made.items() for touch, day in claims]
    rows = await connection.fetch(
        COUNTED,
        brand_id,
        *_columns(wanted, 2),
        *_columns(own, 3),
        [root.id for root in roots],
        claims_max,
    )
    over = {(row["touch"], row["day"]) for row in rows if row["over"]}
    await enqueue(connection, brand_id, {each for row in rows for each in row["wrong"] or ()}, at_once=True)
    lost = {claim for key, claims in before.items() for claim in claims.difference(made.get(key, ()))}
    return Claims(
        made={key: tuple(touch for touch, _ in claims) for key, claims in made.items()},
        withheld={
            key: tuple(claim[0] for claim in claims if claim in over)
            for key, claims in made.items()
            if not over.isdisjoint(claims)
        },
        claimants=frozenset(
            row["other"] for row in rows if row["other"] is not None and (row["touch"], row["day"]) in lost
        ),
    )


def _claims(order: Order) -> list[Claim]:
    if not order.is_confirmed or order.test:
        return []
    assert order.occurred_at is not None
    day = order.occurred_at.astimezone(UTC).date()
    return [(touch, day) for touch in claims_of(order.signals)]


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    return [[row[place] for row in rows] for place in range(width)]
