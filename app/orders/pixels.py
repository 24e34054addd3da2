"""How a shop's unsigned pixels do: how many of the newest are used, and why others are not. Worked out from the facts whenever somebody asks."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import asyncpg

from app.domain import ids
from app.domain.orders import is_trusted
from app.domain.signals import claims_of, signals_of
from app.domain.trust import Rank, Ranked, Withheld, rank_reports
from app.orders.facts import read_facts
from app.orders.recompute import read_rules

MESSAGES_MAX = 1_000
"""Newest messages of a shop's pixels that are counted; a larger number would be no more useful."""

# Earlier orders too: whoever goes through the numbers of last month names those.
NAMED = """
SELECT DISTINCT r.id, r.claims_withheld FROM (
    SELECT conversion_id FROM delivery
    WHERE brand_id = $1 AND shop = $2 AND platform = 'pixel' AND id >= $3 AND conversion_id IS NOT NULL ORDER BY id DESC LIMIT $4
) AS d JOIN conversion c ON c.brand_id = $1 AND c.id = d.conversion_id JOIN conversion r ON r.brand_id = $1 AND r.id = c.root_id
"""


async def count_pixels(connection: asyncpg.Connection, brand_id: UUID, shop: str, since: datetime) -> Mapping[str, int]:
    """How many different unsigned reports came since then: `used`, of these `proven`, and the others by why they are not used (`Withheld`)."""
    rows = await connection.fetch(NAMED, brand_id, shop, ids.floor_at(since), MESSAGES_MAX)
    overclaimed = {row["id"]: frozenset(row["claims_withheld"]) for row in rows}
    facts = await read_facts(connection, brand_id, list(overclaimed))
    rules = await read_rules(connection, brand_id, facts.values())
    found: Counter[str] = Counter()
    for root_id, each in facts.items():
        for ranked in rank_reports(each.witnesses, rules):
            if ranked.witness.received_at >= since and not is_trusted(ranked.witness.trust):
                withheld = _withheld(ranked, overclaimed[root_id])
                found[withheld or "used"] += 1
                found["proven"] += withheld is None and ranked.rank is Rank.PROOF
    return found


def _withheld(ranked: Ranked, overclaimed: frozenset[str]) -> Withheld | None:
    if ranked.withheld is not None or overclaimed.isdisjoint(claims_of(signals_of([ranked]))):
        return ranked.withheld
    return Withheld.TOO_MANY_CLAIMS
