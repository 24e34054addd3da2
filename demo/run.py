"""One run of the demo: the connection to the service, the random generator, the books, and what was created so far."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import httpx2
from rich.progress import Progress, TaskID

from demo.ledger import Deal, Ledger
from demo.scenario import Partner

CONCURRENCY = 16

Action = Callable[[], Awaitable[None]]


class DemoError(Exception):
    """The demo cannot go on: there is no service, or it answered something unexpected; the text says what."""


@dataclass(slots=True)
class Run:
    """What every action needs. human_clicks: as (partner, link id, click id). webhook_urls, pixel_keys: by shop.

    unreadable: shops that sent a message which no parser can read. forged_pixels: how many a stranger has sent.
    """

    client: httpx2.AsyncClient
    base_url: str
    secret_key: str
    rng: random.Random
    ledger: Ledger
    now: datetime
    partners: list[Partner] = field(default_factory=list)
    human_clicks: list[tuple[Partner, str, str]] = field(default_factory=list)
    webhook_urls: dict[str, str] = field(default_factory=dict)
    pixel_keys: dict[str, str] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    forged_pixels: int = 0

    async def call(self, method: str, path: str, body: Any = None, *, expect: Sequence[int] = (200, 201)) -> Any:
        """One call of the REST API; DemoError when the status is not expected."""
        answer = await self.client.request(
            method, f"{self.base_url}{path}", json=body, headers={"Authorization": f"Bearer {self.secret_key}"}
        )
        if answer.status_code not in expect:
            raise DemoError(f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
        return answer.json() if answer.content else None

    @property
    def today(self) -> date:
        """Today in the brand's time zone."""
        return self.now.astimezone(self.ledger.zone).date()


def deal_of(partner: Partner) -> Deal:
    """The partner as the books name it."""
    return Deal(partner.influencer_id, partner.campaign_id, partner.collaboration_id)


async def in_parallel(actions: Sequence[Action], progress: Progress, task: TaskID) -> None:
    """Runs all actions, started in this order, CONCURRENCY at a time; the first failure ends the rest and is raised."""
    waiting = iter(actions)

    async def one_after_another() -> None:
        for action in waiting:
            await action()
            progress.advance(task)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENCY):
                group.create_task(one_after_another())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
