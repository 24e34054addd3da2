"""What happens on the launch day, drawn from a seed: who is hired, who clicks, who buys, what goes wrong on the way."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from demo.carts import Cart, Item

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
RETURNS = 4
"""Moments at which something may happen to an order: more than a cart has lines."""
WAYS = (
    ("click", 34),
    ("code", 29),
    ("both", 10),
    ("pixel_click", 15),
    ("nobody", 7),
    ("foreign_currency", 3),
    ("pixel_only", 2),
)
"""What orders name, and how many of a hundred do it this way. pixel_click: the shop names nothing, its thank-you page the click."""
ALSO_BY_PIXEL, ALSO_BY_SERVER, SPOILED, TEST, RETURNED = 0.15, 0.15, 0.04, 0.03, 0.35


@dataclass(slots=True)
class Partner:
    """One collaboration: an influencer in a campaign, and what the service answered when it was made. promotion_id: of the code, in Stripe."""

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


@dataclass(frozen=True, slots=True)
class Order:
    """One order: its cart, what it names, who tells of it and what becomes of it.

    code_owner, click: indexes into the partners and the clicks. repeats: how often each message comes. updated: the shop tells a second time.
    story: `kept`, or one of its shop's. returns: when something happens to it, ever later; lines_back: the lines that come back, each at its own time.
    by_pixel, by_server: the thank-you page and the shop's server report it too. spoiled: others forge messages about an order that never was.
    """

    shop: str
    way: str
    cart: Cart
    at: datetime
    code_owner: int | None
    click: int | None
    repeats: int
    updated: bool
    story: str
    returns: tuple[datetime, ...]
    lines_back: tuple[int, ...]
    by_pixel: bool
    by_server: bool
    spoiled: bool
    test: bool

    @property
    def number(self) -> int:
        """Its number, which no other order of the brand has."""
        return self.cart.number


def draw_partners(chance: random.Random) -> list[Partner]:
    """Every influencer in one campaign, some in a second one; fees of 100 to 1,500 in whole euros, and a product each."""
    partners = [_partner(chance, name, CAMPAIGNS[index % len(CAMPAIGNS)]) for index, name in enumerate(INFLUENCERS)]
    partners += [
        _partner(chance, name, CAMPAIGNS[(index + 1) % len(CAMPAIGNS)])
        for index, name in enumerate(INFLUENCERS)
        if index % SECOND_CAMPAIGN_EVERY == 0
    ]
    return partners


def draw_order(
    chance: random.Random,
    number: int,
    now: datetime,
    shop: str,
    stories: tuple[str, ...],
    coded: list[int],
    clicks: int,
) -> Order:
    """One order of a shop. `coded`: the partners who have a code; `clicks`: how many human clicks there are to choose from.

    Orders that name a click happen now, since the click has only just happened; the others are spread over the last twenty hours.
    """
    names, weights = zip(*WAYS, strict=True)
    way = chance.choices(names, weights)[0]
    with_click = way in ("click", "both", "pixel_click", "pixel_only")
    with_code = way in ("code", "both", "foreign_currency")
    at = now if with_click else now - timedelta(seconds=chance.randrange(20 * 3600))
    cart = Cart(
        number=number,
        items=tuple(_item(chance) for _ in range(chance.randint(1, 3))),
        currency="USD" if way == "foreign_currency" else "EUR",
        discount_percent=DISCOUNT_PERCENT if with_code else 0,
        vat_included=chance.random() < 0.5,
        shipping_minor=chance.choice((0, 590)),
    )
    story = chance.choice(stories) if way != "pixel_only" and chance.random() < RETURNED else "kept"
    return Order(
        shop=shop,
        way=way,
        cart=cart,
        at=at,
        code_owner=chance.choice(coded) if with_code else None,
        click=chance.randrange(clicks) if with_click else None,
        repeats=chance.choice((1, 1, 1, 2, 3)),
        updated=chance.random() < 0.33,
        story=story,
        returns=tuple(sorted(at + (now - at) * chance.random() for _ in range(RETURNS))),
        lines_back=_lines_back(chance, story, cart),
        by_pixel=way in ("pixel_click", "pixel_only") or chance.random() < ALSO_BY_PIXEL,
        by_server=way != "pixel_only" and chance.random() < ALSO_BY_SERVER,
        spoiled=chance.random() < SPOILED,
        test=way == "code" and chance.random() < TEST,
    )


def _lines_back(chance: random.Random, story: str, cart: Cart) -> tuple[int, ...]:
    return tuple(cart.lines) if story == "lines_back" else (chance.randrange(len(cart.items)),)


def _partner(chance: random.Random, influencer: str, campaign: str) -> Partner:
    return Partner(influencer, campaign, chance.randint(1, 15) * 10_000, chance.choice(PRODUCTS)[2] // 3)


def _item(chance: random.Random) -> Item:
    sku, title, price_minor = chance.choice(PRODUCTS)
    return Item(sku, title, price_minor, chance.choice((1, 1, 1, 2)))
