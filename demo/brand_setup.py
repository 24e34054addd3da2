"""Sets the brand up before the first click: campaigns, influencers, links, codes and costs, and its shops, each connected to its own system."""

from functools import partial
from typing import Any

from rich.progress import Progress

from demo.ledger import BookedCost
from demo.run import Action, DemoError, Run, deal_of, in_parallel
from demo.scenario import DISCOUNT_PERCENT, INFLUENCERS, Partner, draw_partners
from demo.simulator.checkouts import SHOPS
from demo.simulator.orders import Shop

AGENCY_MINOR = 250_000
COUNTER = "counter"
"""The shop that has no system to connect: its server calls the API for orders and for refunds."""


async def set_up(run: Run, progress: Progress) -> None:
    """Creates everything that must exist before the first click."""
    run.partners = draw_partners(run.rng)
    await run.call("PATCH", "/v1/brand", {"currency": "EUR", "time_zone": run.ledger.zone.key})
    campaigns = sorted({partner.campaign for partner in run.partners})
    influencers = sorted({partner.influencer for partner in run.partners})
    codes = list(enumerate(run.partners[: len(INFLUENCERS)]))
    steps: list[list[Action]] = [
        [
            *(partial(_campaign, run, name) for name in campaigns),
            *(partial(_influencer, run, name) for name in influencers),
        ],
        [partial(_collaboration, run, partner) for partner in run.partners],
        [partial(_links, run), *(partial(_code, run, partner, number) for number, partner in codes)],
        [
            partial(_agency, run),
            *(partial(_connect, run, shop) for shop in SHOPS),
            partial(_make_pixel_key, run, COUNTER),
        ],
    ]
    task = progress.add_task("campaigns, links, codes, shops", total=sum(map(len, steps)))
    for step in steps:
        await in_parallel(step, progress, task)


async def map_late_promotions(run: Run) -> None:
    """Gives every second code its Stripe alias only now, after orders that carry the alias have arrived."""
    for number, partner in enumerate(run.partners):
        if partner.code_id is not None and number % 2:
            await run.call("PATCH", f"/v1/codes/{partner.code_id}", {"aliases": [partner.promotion_id]})


async def _campaign(run: Run, name: str) -> None:
    body = {"name": name, "objective": "sales", "type": "paid", "currency": "EUR"}
    made = await run.call("POST", "/v1/campaigns", body)
    for partner in run.partners:
        if partner.campaign == name:
            partner.campaign_id = made["id"]


async def _influencer(run: Run, name: str) -> None:
    body = {"name": name, "handles": [{"network": "instagram", "handle": name.split()[0]}]}
    made = await run.call("POST", "/v1/influencers", body)
    for partner in run.partners:
        if partner.influencer == name:
            partner.influencer_id = made["id"]


async def _collaboration(run: Run, partner: Partner) -> None:
    pair = {"campaign_id": partner.campaign_id, "influencer_id": partner.influencer_id}
    partner.collaboration_id = (await run.call("POST", "/v1/collaborations", pair))["id"]
    for kind, amount_minor in (("fee", partner.fee_minor), ("product", partner.product_minor)):
        await _cost(run, {"collaboration_id": partner.collaboration_id}, kind, amount_minor)
        run.ledger.costs.append(BookedCost(run.today, partner.campaign_id, deal_of(partner), amount_minor))


async def _agency(run: Run) -> None:
    campaign_id = run.partners[0].campaign_id
    await _cost(run, {"campaign_id": campaign_id}, "agency_fee", AGENCY_MINOR)
    run.ledger.costs.append(BookedCost(run.today, campaign_id, None, AGENCY_MINOR))


async def _connect(run: Run, shop: Shop) -> None:
    body: dict[str, Any] = {
        "platform": shop.platform,
        "shop": shop.name,
        "secrets": [shop.secret],
        "settings": shop.settings,
    }
    if shop.sample is not None:
        body["sample"] = shop.sample
    run.webhook_urls[shop.name] = (await run.call("POST", "/v1/sources", body))["url"]
    await _make_pixel_key(run, shop.name)
    if shop.ping is not None:
        answer = await run.client.post(
            run.webhook_urls[shop.name], content=shop.ping.body, headers=dict(shop.ping.headers)
        )
        if answer.status_code != 200:
            raise DemoError(f"the ping of {shop.platform} was answered {answer.status_code}")


async def _make_pixel_key(run: Run, shop: str) -> None:
    key = await run.call("POST", "/v1/keys", {"kind": "publishable", "shop": shop})
    run.pixel_keys[shop] = key["publishable_key"]


async def _cost(run: Run, whose: dict[str, str], kind: str, amount_minor: int) -> None:
    spent = {"kind": kind, "amount_minor": amount_minor, "currency": "EUR", "incurred_on": run.today.isoformat()}
    await run.call("POST", "/v1/costs", whose | spent)


async def _links(run: Run) -> None:
    wanted = [
        {
            "collaboration_id": partner.collaboration_id,
            "destination_url": "https://shop.example/products/launch?ref=social#buy",
            "placement": placement,
            "utm": {"source": "instagram", "medium": placement},
        }
        for partner in run.partners
        for placement in ("story", "bio")
    ]
    made = (await run.call("POST", "/v1/links/bulk", {"links": wanted}))["data"]
    for number, link in enumerate(made):
        run.partners[number // 2].links.append((link["id"], link["slug"]))


async def _code(run: Run, partner: Partner, number: int) -> None:
    partner.promotion_id = f"promo_1LaunchDay{number:02d}{run.rng.randrange(16**8):08X}"
    body = {
        "collaboration_id": partner.collaboration_id,
        "pattern": "{HANDLE}{DISCOUNT}",
        "discount": {"type": "percent", "value_bp": DISCOUNT_PERCENT * 100},
        "aliases": [] if number % 2 else [partner.promotion_id],
    }
    made = await run.call("POST", "/v1/codes", body)
    partner.code, partner.code_id = made["code"], made["id"]
