"""What a trial knows while it goes on, and what a step may find."""

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
from app.trial.fixtures import Cast, assemble

NET_MINOR, REFUND_MINOR = 4_990, 1_000
"""The test order's net amount, and how much of it is refunded."""
NUMBER_BITS = 31


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a step found. ok: None where it could not be tried, or cannot be told from here."""

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
class Tried:
    """A source as it stands in its row, with what a trial needs beside it."""

    brand_id: UUID
    token: str
    platform: str
    sealed: Sequence[str]
    source_settings: dict[str, Any]
    archived_at: datetime | None


@dataclass
class Trial:
    """One trial. What a step learns stays here for those after it."""

    settings: Settings
    secret: str
    pool: asyncpg.Pool
    source: Tried
    client: httpx2.AsyncClient
    number: int = field(default_factory=lambda: random_ids.random_number(NUMBER_BITS) + 1)
    opened: list[str] = field(default_factory=list)
    cast: Cast | None = None
    click_id: str | None = None
    messages: TrialMessages | None = None
    delivery_ids: list[UUID] = field(default_factory=list)
    conversion_id: UUID | None = None
    outcome: asyncpg.Record | None = None

    async def meet(self) -> Cast:
        """The cast of this brand's trials, assembled by the first step that needs it."""
        if self.cast is None:
            self.cast = await assemble(self.pool, self.source.brand_id, f"{self.settings.base_url}/")
        return self.cast


def own_address(settings: Settings) -> str:
    """Where this service listens, as it is reached from the same machine."""
    anywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 read, not bound
    host = anywhere.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
