"""What the steps of a trial know from each other, and what a step reports."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import httpx2

from app import random_ids
from app.platforms.kit.trial import TrialMessages
from app.settings import Settings
from app.trial.fixtures import Fixtures, make_fixtures

NET_MINOR, REFUND_MINOR = 4_990, 1_000
"""Net amount of the test order, and how much of it is refunded, in minor units."""
NUMBER_BITS = 31


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a step found. ok: None where it could not be tried, or cannot be seen from here."""

    ok: bool | None
    expected: str
    found: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class TrialStep(CheckResult):
    """One line of the report."""

    step: str = ""
    took_ms: int = 0


@dataclass(frozen=True, slots=True)
class TrialSource:
    """A source as its row holds it, with the fields that a trial needs."""

    brand_id: UUID
    token: str
    platform: str
    sealed: Sequence[str]
    source_settings: dict[str, Any]
    archived_at: datetime | None


@dataclass
class Trial:
    """One trial. What a step finds out stays here for the steps after it."""

    settings: Settings
    secret: str
    pool: asyncpg.Pool
    source: TrialSource
    client: httpx2.AsyncClient
    number: int = field(default_factory=lambda: random_ids.random_number(NUMBER_BITS) + 1)
    opened: list[str] = field(default_factory=list)
    click_id: str | None = None
    messages: TrialMessages | None = None
    delivery_ids: list[UUID] = field(default_factory=list)
    conversion_id: UUID | None = None
    outcome: asyncpg.Record | None = None
    _fixtures: Fixtures | None = None

    async def fixtures(self) -> Fixtures:
        """The fixtures of this brand's trials, made by the first step that needs them."""
        if self._fixtures is None:
            self._fixtures = await make_fixtures(self.pool, self.source.brand_id, f"{self.settings.base_url}/")
        return self._fixtures


def own_address(settings: Settings) -> str:
    """Where this service listens, as it is reached from the same machine."""
    anywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 read, not bound
    host = anywhere.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
