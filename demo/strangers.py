"""A stranger beside the day: one of the influencers, who knows the publishable keys and all order numbers, sends pixels for other people's orders.

Nothing of it is in the books, and nothing of it may be in the reports.
"""

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlencode

from demo.run import DemoError, Run
from demo.scenario import Partner
from demo.simulator.orders import Order

ATTACKED = 0.3
"""Share of the orders for which forged pixels are sent."""
HITS_MAX = 3
WELL_OUTSIDE = timedelta(hours=3)
"""An order that is older than this is outside the time within which a pixel by number counts."""
CREDITED_BY_THE_SHOP = frozenset({"click", "code", "both", "foreign_currency"})
FALSE_FACTS = (
    {"amount": "0.01", "currency": "USD"},
    {"occurred_at": "2019-01-01T00:00:00Z"},
    {"test": "1"},
    {"customer": "stranger@example.com", "amount": "9999.00"},
)


def forged_hits(run: Run, order: Order, order_id: str, own: tuple[Partner, str]) -> Iterator[dict[str, str]]:
    """The fields of forged pixels for some of the orders. own: the stranger and a click that no order names.

    Codes and clicks are claimed where the shop or the time of the order speaks against them: an order that only its number and a pixel explain is
    anybody's, until its page sends a proof (docs/trust.md).
    """
    if not order_id or run.rng.random() >= ATTACKED:
        return
    partner, click_id = own
    claims = [{}, {"click_id": click_id}, {"code": partner.code or ""}]
    is_safe = order.attributed_by in CREDITED_BY_THE_SHOP or (
        order.attributed_by == "nobody" and run.now - order.at > WELL_OUTSIDE
    )
    for _ in range(run.rng.randint(1, HITS_MAX)):
        claim = run.rng.choice(claims) if is_safe else {}
        yield (
            {"k": run.pixel_keys[order.shop], "event": "sale", "order_id": order_id}
            | run.rng.choice(FALSE_FACTS)
            | claim
        )


async def send_forged(run: Run, fields: dict[str, str]) -> None:
    """Sends a forged pixel. The door takes it: whose it is shows only beside what the shop says."""
    answer = await run.client.get(f"{run.base_url}/p.gif?{urlencode(fields)}")
    if answer.status_code != 200:
        raise DemoError(f"a forged pixel was answered {answer.status_code}")
    run.forged_pixels += 1
