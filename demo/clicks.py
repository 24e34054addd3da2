"""The clicks of the day: real redirects, by people, bots, previews, prefetches and HEADs."""

from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import parse_qs, urlsplit

from rich.progress import Progress

from demo.browsers import Visit, draw_visit
from demo.ledger import BookedClick
from demo.run import DemoError, Run, deal_of, in_parallel
from demo.scenario import Partner

BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's alphabet, in which the service shows its ids."""


def time_of(click_id: str) -> datetime:
    """The time in `clk_…`: the first 48 bits of a UUIDv7 are milliseconds since 1970."""
    number = 0
    for character in click_id.removeprefix("clk_"):
        number = number << 5 | BASE32.index(character)
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=number >> 80)


async def send_clicks(run: Run, count: int, progress: Progress) -> None:
    """Requests this many redirects; one in ten is a repeat of an earlier person's click."""
    task = progress.add_task("clicks", total=count)
    returning: list[tuple[Partner, str, str, Visit]] = []
    visits = []
    for _ in range(count):
        if returning and run.rng.random() < 0.1:
            visits.append(run.rng.choice(returning))
            continue
        partner = run.rng.choice(run.partners)
        link_id, slug = run.rng.choice(partner.links)
        visit = draw_visit(run.rng)
        visits.append((partner, link_id, slug, visit))
        if visit.counted_as == "human":
            returning.append(visits[-1])
    await in_parallel([partial(_click, run, *visit) for visit in visits], progress, task)


async def _click(run: Run, partner: Partner, link_id: str, slug: str, visit: Visit) -> None:
    headers = {"User-Agent": visit.user_agent, "Referer": "https://l.instagram.com/", "Accept-Language": "fr-FR"}
    if visit.prefetch:
        headers["Sec-Purpose"] = "prefetch"
    answer = await run.client.request(visit.method, f"{run.base_url}/{slug}", headers=headers)
    if answer.status_code != 302:
        raise DemoError(f"/{slug} answered {answer.status_code}")
    click_id = parse_qs(urlsplit(answer.headers["location"]).query)["ariane"][0]
    run.ledger.clicks.append(
        BookedClick(time_of(click_id), deal_of(partner), link_id, visit.counted_as, visit.user_agent)
    )
    if visit.counted_as == "human":
        run.human_clicks.append((partner, link_id, click_id))
