"""The stage is set: the brand, its campaigns, influencers, links, codes and costs, and its shops, each connected to its own system."""

from functools import partial
from typing import Any

from rich.progress import Progress

from demo.day import DISCOUNT_PERCENT, INFLUENCERS, Partner, draw_partners
from demo.ledger import Spent
from demo.performance import Act, DemoError, Performance, deal_of, in_parallel
from demo.shops import atelier, paddle, postback, prestashop, shopify, stripe, woocommerce
from demo.shops.letters import Shop

AGENCY_MINOR = 250_000
COUNTER = "counter"
"""A shop without a system to connect: its server calls the API, for orders and for refunds."""
SHOPS: tuple[Shop, ...] = (
    shopify.SHOP,
    woocommerce.SHOP,
    stripe.SHOP,
    paddle.SHOP,
    prestashop.SHOP,
    atelier.SHOP,
    *postback.SHOPS,
)


async def set_up(show: Performance, progress: Progress) -> None:
    """Everything that is there before the first click."""
    show.partners = draw_partners(show.chance)
    await show.call("PATCH", "/v1/brand", {"currency": "EUR", "time_zone": show.ledger.zone.key})
    campaigns = sorted({partner.campaign for partner in show.partners})
    influencers = sorted({partner.influencer for partner in show.partners})
    codes = list(enumerate(show.partners[: len(INFLUENCERS)]))
    acts: list[list[Act]] = [
        [
            *(partial(_campaign, show, name) for name in campaigns),
            *(partial(_influencer, show, name) for name in influencers),
        ],
        [partial(_collaboration, show, partner) for partner in show.partners],
        [partial(_links, show), *(partial(_code, show, partner, number) for number, partner in codes)],
        [
            partial(_agency, show),
            *(partial(_connect, show, shop) for shop in SHOPS),
            partial(_make_pixel_key, show, COUNTER),
        ],
    ]
    task = progress.add_task("campaigns, links, codes, shops", total=sum(map(len, acts)))
    for act in acts:
        await in_parallel(act, progress, task)


async def map_late_promotions(show: Performance) -> None:
    """Every second code is told only now what Stripe calls it: orders that named the id are already there."""
    for number, partner in enumerate(show.partners):
        if partner.code_id is not None and number % 2:
            await show.call("PATCH", f"/v1/codes/{partner.code_id}", {"aliases": [partner.promotion_id]})


async def _campaign(show: Performance, name: str) -> None:
    body = {"name": name, "objective": "sales", "type": "paid", "currency": "EUR"}
    made = await show.call("POST", "/v1/campaigns", body)
    for partner in show.partners:
        if partner.campaign == name:
            partner.campaign_id = made["id"]


async def _influencer(show: Performance, name: str) -> None:
    body = {"name": name, "handles": [{"network": "instagram", "handle": name.split()[0]}]}
    made = await show.call("POST", "/v1/influencers", body)
    for partner in show.partners:
        if partner.influencer == name:
            partner.influencer_id = made["id"]


async def _collaboration(show: Performance, partner: Partner) -> None:
    pair = {"campaign_id": partner.campaign_id, "influencer_id": partner.influencer_id}
    partner.collaboration_id = (await show.call("POST", "/v1/collaborations", pair))["id"]
    for kind, amount_minor in (("fee", partner.fee_minor), ("product", partner.product_minor)):
        await _cost(show, {"collaboration_id": partner.collaboration_id}, kind, amount_minor)
        show.ledger.costs.append(Spent(deal_of(partner), partner.campaign_id, amount_minor, show.today))


async def _agency(show: Performance) -> None:
    campaign_id = show.partners[0].campaign_id
    await _cost(show, {"campaign_id": campaign_id}, "agency_fee", AGENCY_MINOR)
    show.ledger.costs.append(Spent(None, campaign_id, AGENCY_MINOR, show.today))


async def _connect(show: Performance, shop: Shop) -> None:
    body: dict[str, Any] = {
        "platform": shop.platform,
        "shop": shop.name,
        "secrets": [shop.secret],
        "settings": shop.settings,
    }
    if shop.sample is not None:
        body["sample"] = shop.sample
    show.doors[shop.name] = (await show.call("POST", "/v1/sources", body))["url"]
    await _make_pixel_key(show, shop.name)
    if shop.ping is not None:
        answer = await show.client.post(show.doors[shop.name], content=shop.ping.body, headers=dict(shop.ping.headers))
        if answer.status_code != 200:
            raise DemoError(f"the ping of {shop.platform} was answered {answer.status_code}")


async def _make_pixel_key(show: Performance, shop: str) -> None:
    key = await show.call("POST", "/v1/keys", {"kind": "publishable", "shop": shop})
    show.pixel_keys[shop] = key["publishable_key"]


async def _cost(show: Performance, whose: dict[str, str], kind: str, amount_minor: int) -> None:
    spent = {"kind": kind, "amount_minor": amount_minor, "currency": "EUR", "incurred_on": show.today.isoformat()}
    await show.call("POST", "/v1/costs", whose | spent)


async def _links(show: Performance) -> None:
    wanted = [
        {
            "collaboration_id": partner.collaboration_id,
            "destination_url": "https://shop.example/products/launch?ref=social#buy",
            "placement": placement,
            "utm": {"source": "instagram", "medium": placement},
        }
        for partner in show.partners
        for placement in ("story", "bio")
    ]
    made = (await show.call("POST", "/v1/links/bulk", {"links": wanted}))["data"]
    for number, link in enumerate(made):
        show.partners[number // 2].links.append((link["id"], link["slug"]))


async def _code(show: Performance, partner: Partner, number: int) -> None:
    partner.promotion_id = f"promo_1LaunchDay{number:02d}{show.chance.randrange(16**8):08X}"
    body = {
        "collaboration_id": partner.collaboration_id,
        "pattern": "{HANDLE}{DISCOUNT}",
        "discount": {"type": "percent", "value_bp": DISCOUNT_PERCENT * 100},
        "aliases": [] if number % 2 else [partner.promotion_id],
    }
    made = await show.call("POST", "/v1/codes", body)
    partner.code, partner.code_id = made["code"], made["id"]
