"""The health of a source, computed on request from its newest deliveries; the door keeps no counts of it.

Every subquery is about one source and one status: each is then a descent of `ix_delivery_source`, however many deliveries there are.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app import clock
from app.api.fields import Moment
from app.database.tables import DELIVERY_STATUSES
from app.domain import ids
from app.orders.pixels import MESSAGES_MAX, count_pixels
from app.platforms.sender_clock import clock_skew_ms

FAILURES_COUNTED_MAX = 1_000
"""Most failures counted for one source and status; a larger number would be no more useful."""
SKEW_DELIVERIES = 20
"""Newest deliveries of each status from which the clock skew is computed and the notes are taken."""
FAILED = ("unsigned", "rejected")

_LATEST = text("""
    SELECT listed.id AS source_id, wanted.status, latest.*
    FROM unnest(CAST(:ids AS uuid[])) AS listed (id)
    CROSS JOIN unnest(CAST(:statuses AS text[])) AS wanted (status)
    CROSS JOIN LATERAL (
        SELECT id, received_at, recorded_at, reason, detail, headers FROM delivery
        WHERE brand_id = CAST(:brand_id AS uuid) AND origin_id = listed.id AND status = wanted.status ORDER BY id DESC LIMIT :most
    ) AS latest""")
_FAILURES = text("""
    SELECT listed.id AS source_id, wanted.status, failed.reason, count(*) AS number
    FROM unnest(CAST(:ids AS uuid[])) AS listed (id)
    CROSS JOIN unnest(CAST(:statuses AS text[])) AS wanted (status)
    CROSS JOIN LATERAL (
        SELECT reason FROM delivery
        WHERE brand_id = CAST(:brand_id AS uuid) AND origin_id = listed.id AND status = wanted.status AND id >= CAST(:since AS uuid)
        ORDER BY id DESC LIMIT :most
    ) AS failed
    GROUP BY 1, 2, 3""")


class SourceFailures(BaseModel):
    """What was refused, by its reason."""

    unsigned: int = Field(
        default=0, description=f"Its signature was wrong; at most {FAILURES_COUNTED_MAX:,} are counted."
    )
    rejected: int = Field(
        default=0, description=f"It was not understood; at most {FAILURES_COUNTED_MAX:,} are counted."
    )
    reasons: dict[str, int] = Field(default={}, examples=[{"wrong_signature": 2}])


class LastSourceFailure(BaseModel):
    """The newest message that was refused."""

    at: Moment
    status: str = Field(description="`unsigned` or `rejected`.")
    reason: str | None
    delivery_id: str


class SourceHealth(BaseModel):
    """How a source is doing."""

    last_delivery_at: Moment | None = Field(
        description="When anything came, whatever became of it. Null: nothing has come yet."
    )
    last_recorded_at: Moment | None = Field(description="When something that came was last recorded.")
    failures_24h: SourceFailures
    last_failure: LastSourceFailure | None
    clock_skew_ms: int | None = Field(
        description="Sender's clock minus ours, the median of the newest messages that say when they were sent; null when none does. "
        "Beyond ±300,000 signed times are refused as `stale_timestamp`."
    )
    notes: list[str] = Field(
        description=f"What the newest {SKEW_DELIVERIES} recorded messages were noted for (`detail` of a delivery), each once, such as `webhook_api_v1`.",
        examples=[["webhook_api_v1"]],
    )


class PixelHealth(BaseModel):
    """What became of the unsigned pixels about the orders of a shop; each report is counted once, however often it came."""

    used: int = Field(description="May name the code, click or visitor of its order.")
    proven: int = Field(description="Of those used: carry a name of the order that strangers cannot guess.")
    outside_pixel_window: int = Field(
        description="Came too far from the time of the order that they name by its number. Many of them: somebody goes through order numbers, or the "
        "shop's own pixel comes late and should carry the proof."
    )
    too_many_claims: int = Field(
        description="Name a code, click or visitor that claims orders of too many customers in a day."
    )
    pixels_off: int = Field(description="The brand's `pixel_signals` leaves them out.")


class SourceHealthReport(BaseModel):
    """How a source is doing, and the pixels of its shop."""

    source_id: str
    shop: str
    health: SourceHealth
    pixels_24h: PixelHealth = Field(
        description=f"Of the last 24 hours; among the newest {MESSAGES_MAX:,} messages of pixels at most. docs/trust.md explains each."
    )


async def read_pixel_health(connection: asyncpg.Connection, brand_id: UUID, shop: str) -> PixelHealth:
    """What became of the pixels of this shop in the last 24 hours."""
    counted = await count_pixels(connection, brand_id, shop, clock.now() - timedelta(hours=24))
    return PixelHealth(**{name: counted.get(name, 0) for name in PixelHealth.model_fields})


async def read_health(
    connection: AsyncConnection, brand_id: UUID, sources: Sequence[Row[Any]]
) -> dict[UUID, SourceHealth]:
    """The health of each of these sources, by their ids, in two statements."""
    if not sources:
        return {}
    parameters = {"brand_id": brand_id, "ids": [source.id for source in sources]}
    newest = {**parameters, "statuses": list(DELIVERY_STATUSES), "most": SKEW_DELIVERIES}
    latest: dict[UUID, list[Row[Any]]] = defaultdict(list)
    for row in await connection.execute(_LATEST, newest):
        latest[row.source_id].append(row)
    failed = {
        **parameters,
        "statuses": list(FAILED),
        "since": ids.floor_at(clock.now() - timedelta(hours=24)),
        "most": FAILURES_COUNTED_MAX,
    }
    failures: dict[UUID, SourceFailures] = defaultdict(SourceFailures)
    for row in await connection.execute(_FAILURES, failed):
        counted = failures[row.source_id]
        setattr(counted, row.status, getattr(counted, row.status) + row.number)
        reason = row.reason or "unknown"
        counted.reasons = {**counted.reasons, reason: counted.reasons.get(reason, 0) + row.number}
    return {source.id: _health(source, latest[source.id], failures[source.id]) for source in sources}


def _health(source: Row[Any], rows: list[Row[Any]], failures: SourceFailures) -> SourceHealth:
    rows.sort(key=lambda row: row.id, reverse=True)
    refused = next((row for row in rows if row.status in FAILED), None)
    # A stale message was signed by the right sender, and the skew is what makes it stale. Other unsigned messages may hold any time.
    timed = [row for row in rows if row.status != "unsigned" or row.reason == "stale_timestamp"][:SKEW_DELIVERIES]
    return SourceHealth(
        last_delivery_at=rows[0].received_at if rows else None,
        last_recorded_at=max((row.recorded_at for row in rows if row.recorded_at is not None), default=None),
        failures_24h=failures,
        last_failure=None
        if refused is None
        else LastSourceFailure(
            at=refused.received_at,
            status=refused.status,
            reason=refused.reason,
            delivery_id=ids.show("delivery", refused.id),
        ),
        clock_skew_ms=clock_skew_ms(
            source.platform, [(row.headers, row.received_at) for row in timed], source.settings
        ),
        notes=list(
            dict.fromkeys(
                note for row in rows if row.status == "recorded" and row.detail for note in row.detail.split("; ")
            )
        ),
    )
