"""What happens on the launch day, drawn from a seed: who is hired, who clicks, who buys, and what goes wrong."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from demo.simulator.carts import Cart, Item
from demo.simulator.orders import Order

CAMPAIGNS = ("Serum launch", "Summer look", "Back to work", "Advent calendar")
INFLUENCERS = (
    "Léa Martin", "Hugo Bernard", "Chloé Petit", "Nathan Robert", "Inès Durand", "Lucas Moreau", "Manon Simon",
    "Adam Laurent", "Jade Lefebvre", "Louis Michel", "Lina Garcia", "Gabriel David", "Rose Bertrand", "Jules Roux",
    "Anna Vincent", "Sacha Fournier", "Mila Morel", "Noé Girard", "Zoé André", "Tom Lambert",
)  # fmt: skip
PRODUCTS = (
    ("SERUM-30", "Serum 30 ml", 3_990),
    ("CREAM-50", "Cream 50 ml", 2_450),
    ("SET-3", "Gift set", 8_999),
    ("OIL-15", "Oil 15 ml", 1_795),
)
DISCOUNT_PERCENT = 10
SECOND_CAMPAIGN_EVERY = 4
MOMENTS = 4
"""Moments at which something may happen to an order: more than a cart has lines."""
ATTRIBUTED_BY = (
    ("click", 34),
    ("code", 29),
    ("both", 10),
    ("pixel_click", 15),
    ("nobody", 7),
    ("foreign_currency", 3),
    ("pixel_only", 2),
)
"""What orders are attributed by, and how many of a hundred. pixel_click: the shop sends neither, its thank-you page sends the click."""
ALSO_BY_PIXEL, ALSO_BY_SERVER, FORGED, TEST, RETURNED = 0.15, 0.15, 0.04, 0.03, 0.35


@dataclass(slots=True)
class Partner:
    """One collaboration: an influencer in a campaign, and the ids the service gave it. promotion_id: of the code, in Stripe."""

    influencer: str
    campaign: str
    fee_minor: int
    product_minor: int
    collaboration_id: str = ""
    influencer_id: str = ""
    campaign_id: str = ""
    code: str | None = None
    code_id: str | None = None
    promotion_id: str = ""
    links: list[tuple[str, str]] = field(default_factory=list)


def draw_partners(rng: random.Random) -> list[Partner]:
    """Every influencer in one campaign, some in a second one; fees of 100 to 1,500 in whole euros, and a product each."""
    partners = [_partner(rng, name, CAMPAIGNS[index % len(CAMPAIGNS)]) for index, name in enumerate(INFLUENCERS)]
    partners += [
        _partner(rng, name, CAMPAIGNS[(index + 1) % len(CAMPAIGNS)])
        for index, name in enumerate(INFLUENCERS)
        if index % SECOND_CAMPAIGN_EVERY == 0
    ]
    return partners


def draw_order(
    rng: random.Random,
    number: int,
    now: datetime,
    shop: str,
    outcomes: tuple[str, ...],
    coded: list[int],
    clicks: int,
) -> Order:
    """One order of a shop. `coded`: the partners who have a code; `clicks`: how many human clicks there are to choose from.

    Orders that name a click happen now, since the click has only just happened; the others are spread over the last twenty hours.
    """
    names, weights = zip(*ATTRIBUTED_BY, strict=True)
    attributed_by = rng.choices(names, weights)[0]
    with_click = attributed_by in ("click", "both", "pixel_click", "pixel_only")
    with_code = attributed_by in ("code", "both", "foreign_currency")
    at = now if with_click else now - timedelta(seconds=rng.randrange(20 * 3600))
    cart = Cart(
        number=number,
        items=tuple(_item(rng) for _ in range(rng.randint(1, 3))),
        currency="USD" if attributed_by == "foreign_currency" else "EUR",
        discount_percent=DISCOUNT_PERCENT if with_code else 0,
        vat_included=rng.random() < 0.5,
        shipping_minor=rng.choice((0, 590)),
    )
    outcome = rng.choice(outcomes) if attributed_by != "pixel_only" and rng.random() < RETURNED else "kept"
    return Order(
        shop=shop,
        attributed_by=attributed_by,
        cart=cart,
        at=at,
        code_owner=rng.choice(coded) if with_code else None,
        click=rng.randrange(clicks) if with_click else None,
        repeats=rng.choice((1, 1, 1, 2, 3)),
        updated=rng.random() < 0.33,
        outcome=outcome,
        returned_at=tuple(sorted(at + (now - at) * rng.random() for _ in range(MOMENTS))),
        returned_lines=_returned_lines(rng, outcome, cart),
        by_pixel=attributed_by in ("pixel_click", "pixel_only") or rng.random() < ALSO_BY_PIXEL,
        by_server=attributed_by != "pixel_only" and rng.random() < ALSO_BY_SERVER,
        forged=rng.random() < FORGED,
        test=attributed_by == "code" and rng.random() < TEST,
    )


def _returned_lines(rng: random.Random, outcome: str, cart: Cart) -> tuple[int, ...]:
    return tuple(cart.lines) if outcome == "lines_returned" else (rng.randrange(len(cart.items)),)


def _partner(rng: random.Random, influencer: str, campaign: str) -> Partner:
    return Partner(influencer, campaign, rng.randint(1, 15) * 10_000, rng.choice(PRODUCTS)[2] // 3)


def _item(rng: random.Random) -> Item:
    sku, title, price_minor = rng.choice(PRODUCTS)
    return Item(sku, title, price_minor, rng.choice((1, 1, 1, 2)))
