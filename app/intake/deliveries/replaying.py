"""Kept deliveries once more: checked again, read again, recorded again; any number of them, a batch and a transaction at a time.

Nothing is locked while messages are read and recorded: recording is idempotent and does not mind the order, so a replay may run beside the
background process and beside other replays. Only at the end the rows are locked, in one order, and only those that still stand as they were read
get the new verdict: what somebody else has found out meanwhile is at least as young.
"""

import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg

from app.database.errors import is_about_data
from app.database.transactions import Connection, in_transaction
from app.domain import ids
from app.domain.ids import EPOCH
from app.domain.orders import Parsed
from app.intake.deliveries.messages import Message
from app.intake.deliveries.recording import (
    DeliveryResult,
    Origins,
    Reread,
    finish_deliveries,
    look_up,
    record_messages,
    refused,
    verdict_on,
)
from app.intake.deliveries.selection import BATCH_ROWS
from app.platforms import signing
from app.secret import UnsealError, unseal

logger = logging.getLogger(__name__)

STORED = """
SELECT id, platform, origin_id, shop, headers::text AS headers, body, received_at, status, reason FROM delivery
WHERE brand_id = $1 AND id = ANY($2::uuid[]) ORDER BY id
"""

REASONS_MAX = 50
"""Different reasons told apart in a summary."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a delivery that was read again; in a dry run, what would."""

    id: UUID
    verdict: DeliveryResult


Part = Callable[[asyncpg.Connection], Awaitable[list[Replayed]]]
Transact = Callable[[Sequence[UUID], Part], Awaitable[list[Replayed]]]
"""Runs one part about these deliveries in a transaction of its own, and commits."""


async def replay(
    pool: asyncpg.Pool, brand_id: UUID, delivery_ids: Sequence[UUID], *, secret: str, dry_run: bool = False
) -> list[Replayed]:
    """Reads kept deliveries of a brand once more and records what they say: after a secret was mended, or a newer release reads more.

    An unsigned one is checked against the source's present secrets, at its time of receipt, and stays unsigned when none of them signed
    it. What was recorded before is recorded again, which changes nothing. Ids of no delivery of this brand are left out.
    dry_run: only says what would be read.
    """

    async def transact(delivery_ids: Sequence[UUID], part: Part) -> list[Replayed]:
        return await in_transaction(pool, part)

    replayed: list[Replayed] = []
    for start in range(0, len(delivery_ids), BATCH_ROWS):
        batch = delivery_ids[start : start + BATCH_ROWS]
        replayed += await replay_batch(transact, brand_id, batch, secret=secret, dry_run=dry_run)
    return replayed


async def replay_batch(
    transact: Transact,
    brand_id: UUID,
    delivery_ids: Sequence[UUID],
    *,
    secret: str,
    dry_run: bool = False,
    through: tuple[type[Exception], ...] = (),
) -> list[Replayed]:
    """One batch, in one transaction when all goes well. A message that cannot be recorded is found by halving, and kept as `rejected`.

    through: what `transact` may raise that is not about a message; as what is wrong with the database, it ends the batch.
    """
    try:
        if dry_run:
            return await transact(delivery_ids, partial(_read_batch, brand_id, delivery_ids, secret))
        return await transact(delivery_ids, partial(_replay_batch, brand_id, delivery_ids, secret))
    except Exception as error:
        if isinstance(error, through) or not is_about_data(error):
            raise
        if len(delivery_ids) == 1:
            logger.exception("delivery %s cannot be recorded", delivery_ids[0])
            return await transact(delivery_ids, partial(_refuse_one, brand_id, delivery_ids[0], error))
    middle = len(delivery_ids) // 2
    replayed = []
    for half in (delivery_ids[:middle], delivery_ids[middle:]):
        replayed += await replay_batch(transact, brand_id, half, secret=secret, dry_run=dry_run, through=through)
    return replayed


async def _replay_batch(
    brand_id: UUID, delivery_ids: Sequence[UUID], secret: str, connection: asyncpg.Connection
) -> list[Replayed]:
    rows = await connection.fetch(STORED, brand_id, delivery_ids)
    messages = [stored_message(row) for row in rows]
    origins = await look_up(connection, brand_id, messages, secret)
    verdicts = _still_unsigned(messages, origins, secret)
    signed = [message for message in messages if message.id not in verdicts]
    verdicts |= await record_messages(connection, brand_id, signed, origins)
    settled = [
        Reread(message, verdicts[message.id], row["status"]) for message, row in zip(messages, rows, strict=True)
    ]
    await finish_deliveries(connection, brand_id, settled)
    return [Replayed(message.id, verdicts[message.id]) for message in messages]


async def _read_batch(
    brand_id: UUID, delivery_ids: Sequence[UUID], secret: str, connection: asyncpg.Connection
) -> list[Replayed]:
    messages = [stored_message(row) for row in await connection.fetch(STORED, brand_id, delivery_ids)]
    origins = await look_up(connection, brand_id, messages, secret)
    verdicts = _still_unsigned(messages, origins, secret)
    return [
        Replayed(message.id, verdicts.get(message.id) or verdict_on(origins.read(brand_id, message)))
        for message in messages
    ]


async def _refuse_one(
    brand_id: UUID, delivery_id: UUID, error: Exception, connection: asyncpg.Connection
) -> list[Replayed]:
    row = await connection.fetchrow(STORED, brand_id, [delivery_id])
    if row is None:
        return []
    message = stored_message(row)
    verdict = refused(message, error)
    await finish_deliveries(connection, brand_id, [Reread(message, verdict, row["status"])])
    return [Replayed(delivery_id, verdict)]


# ── The signature, once more ─────────────────────────────────────────────────────────────────────────────────────────


def _still_unsigned(messages: Sequence[Message], origins: Origins, secret: str) -> dict[UUID, DeliveryResult]:
    """Of those kept as unsigned, the ones that none of their source's present secrets signed either."""
    opened: dict[UUID | None, list[str] | str] = {}
    verdicts: dict[UUID, DeliveryResult] = {}
    for message in messages:
        if message.unsigned is None:
            continue
        if message.origin_id not in opened:
            opened[message.origin_id] = _open(origins, message.origin_id, secret)
        wrong = _check(message, origins, opened[message.origin_id])
        if wrong is not None:
            verdicts[message.id] = DeliveryResult("unsigned", wrong, None, message.identity[0])
    return verdicts


def _open(origins: Origins, source_id: UUID | None, secret: str) -> list[str] | str:
    """The source's secrets, or the word why there are none to be had."""
    source = origins.sources.get(source_id) if source_id else None
    if source is None:
        return "unknown_source"
    opened = []
    for sealed in source["secrets"]:
        # As at the door: one that cannot be opened does not hide the others.
        with suppress(UnsealError):
            opened.append(unseal(secret, sealed))
    return opened if opened or not source["secrets"] else "unreadable_secret"


def _check(message: Message, origins: Origins, secrets: list[str] | str) -> str | None:
    if isinstance(secrets, str):
        return secrets
    assert message.origin_id is not None
    return signing.verify(
        message.platform,
        body=message.body,
        headers=message.headers,
        secrets=secrets,
        now_s=(message.received_at - EPOCH).total_seconds(),
        settings=json.loads(origins.sources[message.origin_id]["settings"]),
    )


# ── One message ──────────────────────────────────────────────────────────────────────────────────────────────────────


def stored_message(row: Mapping[str, Any] | asyncpg.Record) -> Message:
    """The message of a row of `delivery` (headers as JSON text)."""
    return Message(
        id=row["id"],
        platform=row["platform"],
        origin_id=row["origin_id"],
        shop=row["shop"],
        headers=json.loads(row["headers"]),
        body=bytes(row["body"]),
        received_at=row["received_at"],
        unsigned=(row["reason"] or "wrong_signature") if row["status"] == "unsigned" else None,
    )


async def read_again(connection: Connection, brand_id: UUID, message: Message, *, secret: str) -> Parsed:
    """What a kept message says, as the present release reads it; nothing is recorded."""
    origins = await look_up(connection, brand_id, [message], secret)
    return origins.read(brand_id, message)


# ── What came of many ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Tally:
    """What became of many deliveries: how many of each status, and why, each reason with the first delivery that had it."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: dict[tuple[str, str], tuple[int, str, str | None]] = field(default_factory=dict)

    def add(self, replayed: Sequence[Replayed]) -> "Tally":
        """A tally with these as well; this one stays as it is, because a transaction may have to begin again."""
        after = Tally(self.counts.copy(), dict(self.reasons))
        for each in replayed:
            verdict = each.verdict
            after.counts[verdict.status] += 1
            key = (verdict.status, verdict.reason or "")
            if verdict.reason and (key in after.reasons or len(after.reasons) < REASONS_MAX):
                shown = ids.show("delivery", each.id)
                count, example, detail = after.reasons.get(key, (0, shown, verdict.detail))
                after.reasons[key] = (count + 1, example, detail)
        return after

    def words(self) -> dict[str, Any]:
        """As JSON: figures by status, and `reasons`, the most frequent first."""
        ordered = sorted(self.reasons.items(), key=lambda item: (-item[1][0], item[0]))
        return {
            **{status: self.counts[status] for status in ("recorded", "ignored", "rejected", "unsigned")},
            "reasons": [
                {"status": status, "reason": reason, "count": count, "example_id": example, "detail": detail}
                for (status, reason), (count, example, detail) in ordered
            ],
        }

    @staticmethod
    def of(words: Mapping[str, Any]) -> "Tally":
        """The tally that said these words; an empty one for none."""
        return Tally(
            Counter({name: count for name, count in words.items() if name != "reasons"}),
            {
                (each["status"], each["reason"]): (each["count"], each["example_id"], each["detail"])
                for each in words.get("reasons", [])
            },
        )
