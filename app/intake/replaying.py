"""A kept delivery once more: checked again, read again, recorded again."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg

from app.domain import signing
from app.domain.bodies import EPOCH
from app.domain.orders import Parsed
from app.intake.deliveries import (
    Known,
    Verdict,
    is_about_a_message,
    look_up,
    record_messages,
    refused,
    settle_delivery,
)
from app.intake.messages import Message
from app.intake.partitions import Connection
from app.intake.recording import in_transaction
from app.secret import UnsealError, unseal

logger = logging.getLogger(__name__)

STORED = """
SELECT id, platform, origin_id, shop, headers::text AS headers, body, received_at, status, reason FROM delivery
WHERE brand_id = $1 AND id = $2
"""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a delivery that was read again."""

    id: UUID
    verdict: Verdict


async def replay(pool: asyncpg.Pool, brand_id: UUID, delivery_ids: Sequence[UUID], *, secret: str) -> list[Replayed]:
    """Reads kept deliveries of a brand once more and records what they say: after a secret was mended, or a newer release reads more.

    An unsigned one is checked against the source's present secrets, at its time of receipt, and stays unsigned when none of them signed
    it. What was recorded before is recorded again, which changes nothing. Ids of no delivery of this brand are left out.
    """
    replayed: list[Replayed] = []
    for delivery_id in delivery_ids:
        try:
            verdict = await in_transaction(pool, partial(_replay_one, brand_id, delivery_id, secret))
        except Exception as error:
            if not is_about_a_message(error):
                raise
            logger.exception("delivery %s cannot be recorded", delivery_id)
            verdict = await in_transaction(pool, partial(_refuse_one, brand_id, delivery_id, error))
        if verdict is not None:
            replayed.append(Replayed(delivery_id, verdict))
    return replayed


async def _replay_one(brand_id: UUID, delivery_id: UUID, secret: str, connection: asyncpg.Connection) -> Verdict | None:
    row = await connection.fetchrow(f"{STORED} FOR UPDATE", brand_id, delivery_id)
    if row is None:
        return None
    message = stored_message(row)
    known = await look_up(connection, brand_id, [message], secret)
    if row["status"] == "unsigned":
        wrong = _check(message, known, secret)
        if wrong is not None:
            verdict = Verdict("unsigned", wrong, None, message.identify()[0])
            await settle_delivery(connection, brand_id, message, verdict)
            return verdict
    verdict = (await record_messages(connection, brand_id, [message], secret))[message.id]
    await settle_delivery(connection, brand_id, message, verdict)
    return verdict


async def _refuse_one(
    brand_id: UUID, delivery_id: UUID, error: Exception, connection: asyncpg.Connection
) -> Verdict | None:
    row = await connection.fetchrow(f"{STORED} FOR UPDATE", brand_id, delivery_id)
    if row is None:
        return None
    message = stored_message(row)
    verdict = refused(message, error)
    await settle_delivery(connection, brand_id, message, verdict)
    return verdict


def _check(message: Message, known: Known, secret: str) -> str | None:
    source = known.sources.get(message.origin_id) if message.origin_id else None
    if source is None:
        return "unknown_source"
    try:
        secrets = [unseal(secret, sealed) for sealed in source["secrets"]]
    except UnsealError:
        return "unreadable_secret"
    return signing.verify(
        message.platform,
        body=message.body,
        headers=message.headers,
        secrets=secrets,
        now_s=(message.received_at - EPOCH).total_seconds(),
        settings=json.loads(source["settings"]),
    )


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
    known = await look_up(connection, brand_id, [message], secret)
    if known.brand is None:
        return Parsed(rejected="unknown_brand")
    return message.read(known.context(brand_id, message))
