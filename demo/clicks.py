"""The clicks of the day: real redirects, by people, bots, previews, prefetches and HEADs."""

from functools import partial
from urllib.parse import parse_qs, urlsplit

from rich.progress import Progress

from app.domain import ids
from demo.browsers import Visit, draw_visit
from demo.day import Partner
from demo.ledger import Clicked
from demo.performance import DemoError, Performance, deal_of, in_parallel


async def send_clicks(show: Performance, count: int, progress: Progress) -> None:
    """So many real redirects; one in ten is the same person again."""
    task = progress.add_task("clicks", total=count)
    returning: list[tuple[Partner, str, str, Visit]] = []
    visits = []
    for _ in range(count):
        if returning and show.chance.random() < 0.1:
            visits.append(show.chance.choice(returning))
            continue
        partner = show.chance.choice(show.partners)
        link_id, slug = show.chance.choice(partner.links)
        visit = draw_visit(show.chance)
        visits.append((partner, link_id, slug, visit))
        if visit.counted_as == "human":
            returning.append(visits[-1])
    await in_parallel([partial(_click, show, *visit) for visit in visits], progress, task)


async def _click(show: Performance, partner: Partner, link_id: str, slug: str, visit: Visit) -> None:
    headers = {"User-Agent": visit.user_agent, "Referer": "https://l.instagram.com/", "Accept-Language": "fr-FR"}
    if visit.prefetch:
        headers["Sec-Purpose"] = "prefetch"
    answer = await show.client.request(visit.method, f"{show.base_url}/{slug}", headers=headers)
    if answer.status_code != 302:
        raise DemoError(f"/{slug} answered {answer.status_code}")
    click_id = parse_qs(urlsplit(answer.headers["location"]).query)["ariane"][0]
    at = ids.minted_at(ids.read("click", click_id))
    show.ledger.clicks.append(Clicked(deal_of(partner), link_id, visit.counted_as, visit.user_agent, at))
    if visit.counted_as == "human":
        show.people.append((partner, link_id, click_id))
