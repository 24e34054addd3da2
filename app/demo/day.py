"""What happens on the launch day, drawn from a seed: who is hired, who clicks, who buys, what goes wrong on the way."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.demo.shop import Cart, Item

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
ORDER_KINDS = (
    ("shopify_click", 34),
    ("shopify_code", 24),
    ("shopify_both", 10),
    ("pixel_and_shopify", 12),
    ("server_code", 7),
    ("signed_code", 5),
    ("nobody", 5),
    ("foreign_currency", 2),
    ("pixel_only", 1),
)
"""How orders reach the service, and how many of a hundred do it this way."""


@dataclass(slots=True)
class Partner:
    """One collaboration: an influencer in a campaign, and what the service answered when it was made."""

    influencer: str
    campaign: str
    fee_minor: int
    product_minor: int
    collaboration_id: str = ""
    influencer_id: str = ""
    campaign_id: str = ""
    code: str | None = None
    code_id: str | None = None
    links: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Refund:
    """Money given back: one line of the cart, or all of it when the order is cancelled."""

    refund_id: int
    line: int | None
    at: datetime
    before_its_order: bool


@dataclass(frozen=True, slots=True)
class Order:
    """One order: its cart, how it is reported, and who must get it (indexes into the partners and clicks)."""

    kind: str
    cart: Cart
    at: datetime
    code_owner: int | None
    click: int | None
    repeats: int
    updates: int
    refund: Refund | None
    test: bool = False


def draw_partners(chance: random.Random) -> list[Partner]:
    """Every influencer in one campaign, some in a second one; fees of 100 to 1,500 in whole euros, and a product each."""
    partners = [_partner(chance, name, CAMPAIGNS[index % len(CAMPAIGNS)]) for index, name in enumerate(INFLUENCERS)]
    partners += [
        _partner(chance, name, CAMPAIGNS[(index + 1) % len(CAMPAIGNS)])
        for index, name in enumerate(INFLUENCERS)
        if index % SECOND_CAMPAIGN_EVERY == 0
    ]
    return partners


def draw_order(chance: random.Random, number: int, now: datetime, coded: list[int], clicks: int) -> Order:
    """One order. `coded`: the partners who have a code; `clicks`: how many human clicks there are to choose from.

    Orders that name a click happen now, since the click has only just happened; the others are spread over the last twenty hours.
    """
    kinds, weights = zip(*ORDER_KINDS, strict=True)
    kind = chance.choices(kinds, weights)[0]
    with_click = kind in ("shopify_click", "shopify_both", "pixel_and_shopify", "pixel_only")
    with_code = kind in ("shopify_code", "shopify_both", "server_code", "signed_code", "foreign_currency")
    at = now if with_click else now - timedelta(seconds=chance.randrange(20 * 3600))
    cart = Cart(
        number=number,
        items=tuple(_item(chance) for _ in range(chance.randint(1, 3))),
        currency="USD" if kind == "foreign_currency" else "EUR",
        discount_percent=DISCOUNT_PERCENT if with_code else 0,
        vat_included=chance.random() < 0.5,
        shipping_minor=chance.choice((0, 590)),
    )
    refundable = kind.startswith("shopify") or kind == "pixel_and_shopify"
    return Order(
        kind=kind,
        cart=cart,
        at=at,
        code_owner=chance.choice(coded) if with_code else None,
        click=chance.randrange(clicks) if with_click else None,
        repeats=chance.choice((1, 1, 1, 2, 3)),
        updates=chance.choice((0, 0, 1)),
        refund=_refund(chance, number, cart, now) if refundable and chance.random() < 0.15 else None,
        test=kind == "shopify_code" and chance.random() < 0.03,
    )


def _partner(chance: random.Random, influencer: str, campaign: str) -> Partner:
    return Partner(influencer, campaign, chance.randint(1, 15) * 10_000, chance.choice(PRODUCTS)[2] // 3)


def _item(chance: random.Random) -> Item:
    sku, title, price_minor = chance.choice(PRODUCTS)
    return Item(sku, title, price_minor, chance.choice((1, 1, 1, 2)))


def _refund(chance: random.Random, number: int, cart: Cart, now: datetime) -> Refund:
    whole = chance.random() < 0.25
    line = None if whole else chance.randrange(len(cart.items))
    return Refund(900_000 + number, line, now, before_its_order=not whole and chance.random() < 0.4)
