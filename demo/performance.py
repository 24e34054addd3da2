"""One performance: the way to the service, the chance, the books, and what was made so far."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import httpx2
from rich.progress import Progress, TaskID

from demo.day import Partner
from demo.ledger import Deal, Ledger

CONCURRENCY = 16

Act = Callable[[], Awaitable[None]]


class DemoError(Exception):
    """The service answered something the demo cannot go on with; the text says what."""


@dataclass(slots=True)
class Performance:
    """What every act needs. people: the human clicks, as (whose link, the link, the click). doors, pixel_keys: by shop.

    unreadable: shops that sent a message nobody can read.
    """

    client: httpx2.AsyncClient
    base_url: str
    secret_key: str
    chance: random.Random
    ledger: Ledger
    now: datetime
    partners: list[Partner] = field(default_factory=list)
    people: list[tuple[Partner, str, str]] = field(default_factory=list)
    doors: dict[str, str] = field(default_factory=dict)
    pixel_keys: dict[str, str] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)

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
        """The brand's date."""
        return self.now.astimezone(self.ledger.zone).date()


def deal_of(partner: Partner) -> Deal:
    """The partner's place in the books."""
    return Deal(partner.influencer_id, partner.campaign_id, partner.collaboration_id)


async def in_parallel(acts: Sequence[Act], progress: Progress, task: TaskID) -> None:
    """Does all, begun in this order, CONCURRENCY at a time; the first failure ends the rest and is raised."""
    waiting = iter(acts)

    async def one_after_another() -> None:
        for act in waiting:
            await act()
            progress.advance(task)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENCY):
                group.create_task(one_after_another())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
