"""Replays stored deliveries: selects, checks, reads and records them again, any number of them, a batch and a transaction at a time.

Nothing is locked while messages are read and recorded: recording is idempotent in any order, so a replay may run beside the background process
and beside other replays. Only at the end the rows are locked, sorted, and only those whose status is still as it was read get the new result:
any other was changed meanwhile, by a result at least as recent.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from app import clock
from app.database.errors import is_about_data, place_of
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
    load_origins,
    record_messages,
    rejection,
    result_of,
)
from app.platforms import signing
from app.secret import UnsealError, unseal

logger = logging.getLogger(__name__)

STORED = """
SELECT id, platform, origin_id, shop, headers::text AS headers, body, received_at, status, reason, topic, erased_at, verified_at FROM delivery
WHERE brand_id = $1 AND id = ANY($2::uuid[]) ORDER BY id
"""

ERASED_DETAIL = "its content was erased because a person asked for it; it says nothing any more"
REASONS_MAX = 50
"""Most different reasons in a summary."""
NOTHING: Mapping[str, Any] = {}
BATCH_ROWS = 200
BATCH_BYTES = 8 << 20
"""Most rows and bytes of bodies in one batch: one transaction, which locks its orders for a few tenths of a second."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A filter of deliveries. since: the least id. until: the first id after the last. ids: only these."""

    until: UUID
    since: UUID | None = None
    status: str | None = None
    reason: str | None = None
    platform: str | None = None
    topic: str | None = None
    shop: str | None = None
    origin_id: UUID | None = None
    ids: tuple[UUID, ...] | None = None

    def after(self, last: UUID) -> "Selection":
        """The part of the selection after the id `last`."""
        return replace(self, since=UUID(int=last.int + 1))

    def where(self, brand_id: UUID) -> tuple[str, list[object]]:
        """The condition and its arguments. It names only the fields that are set, so that an index can serve it."""
        conditions = ["brand_id = $1", "id < $2"]
        values: list[object] = [brand_id, self.until]
        for name in ("status", "reason", "platform", "topic", "shop", "origin_id"):
            if getattr(self, name) is not None:
                values.append(getattr(self, name))
                conditions.append(f"{name} = ${len(values)}")
        if self.since is not None:
            values.append(self.since)
            conditions.append(f"id >= ${len(values)}")
        if self.ids is not None:
            values.append(self.ids)
            conditions.append(f"id = ANY(${len(values)}::uuid[])")
        return " AND ".join(conditions), values


async def measure_selected(connection: Connection, brand_id: UUID, selection: Selection, most: int) -> tuple[int, int]:
    """The number of selected deliveries and the bytes of their bodies, counted for at most `most` + 1 of them."""
    where, values = selection.where(brand_id)
    limited = f"SELECT octet_length(body) AS bytes FROM delivery WHERE {where} LIMIT {most + 1:d}"  # noqa: S608  words of `where` alone
    counting = f"SELECT count(*), coalesce(sum(bytes), 0)::bigint FROM ({limited}) AS found"  # noqa: S608
    row = await connection.fetchrow(counting, *values)
    assert row is not None
    return row[0], row[1]


async def next_selected(connection: Connection, brand_id: UUID, selection: Selection) -> list[UUID]:
    """The first ids of a selection, oldest first: one batch, whose bodies fit into memory. [] when there is none."""
    where, values = selection.where(brand_id)
    query = f"SELECT id, octet_length(body) AS bytes FROM delivery WHERE {where} ORDER BY id LIMIT {BATCH_ROWS:d}"  # noqa: S608  words of `where` alone
    chosen: list[UUID] = []
    total_bytes = 0
    for row in await connection.fetch(query, *values):
        total_bytes += row["bytes"]
        if chosen and total_bytes > BATCH_BYTES:
            break
        chosen.append(row["id"])
    return chosen


# ── Replaying ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Replayed:
    """The result of a delivery that was read again; in a dry run, the result that it would have."""

    id: UUID
    result: DeliveryResult


Part = Callable[[asyncpg.Connection], Awaitable[list[Replayed]]]
Transact = Callable[[Sequence[UUID], Part], Awaitable[list[Replayed]]]
"""Runs one part, which is about these deliveries, in a transaction of its own and commits."""


async def replay(
    pool: asyncpg.Pool, brand_id: UUID, delivery_ids: Sequence[UUID], *, secret: str, dry_run: bool = False
) -> list[Replayed]:
    """Read stored deliveries of a brand once more and record what they say: after a secret was corrected, or when a new release reads more.

    An unsigned one is checked against the source's present secrets, at its time of receipt, and stays unsigned when none of them signed it. One
    that was recorded before changes nothing. Ids that are no delivery of this brand are left out. dry_run: record nothing.
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
    """Replay one batch, in one transaction when all goes well. A message that cannot be recorded is found by halving, and kept as `rejected`.

    through: errors of `transact` that are not about a message; like the database's own errors, they end the batch.
    """
    try:
        return await transact(delivery_ids, partial(_replay_batch, brand_id, delivery_ids, secret, dry_run))
    except Exception as error:
        if isinstance(error, through) or not is_about_data(error):
            raise
        if len(delivery_ids) == 1:
            logger.error("delivery %s cannot be recorded: %s", delivery_ids[0], place_of(error))
            return await transact(delivery_ids, partial(_refuse_one, brand_id, delivery_ids[0], error))
    middle = len(delivery_ids) // 2
    replayed = []
    for half in (delivery_ids[:middle], delivery_ids[middle:]):
        replayed += await replay_batch(transact, brand_id, half, secret=secret, dry_run=dry_run, through=through)
    return replayed


async def _replay_batch(
    brand_id: UUID, delivery_ids: Sequence[UUID], secret: str, dry_run: bool, connection: asyncpg.Connection
) -> list[Replayed]:
    stored = await connection.fetch(STORED, brand_id, delivery_ids)
    rows = [row for row in stored if row["erased_at"] is None]
    erased = [
        Replayed(row["id"], DeliveryResult("ignored", "erased", ERASED_DETAIL, row["topic"]))
        for row in stored
        if row["erased_at"]
    ]
    messages = [stored_message(row) for row in rows]
    origins = await load_origins(connection, brand_id, messages, secret)
    messages, results = _check_again(messages, origins, secret)
    signed = [origins.placed(message) for message in messages if message.id not in results]
    if dry_run:
        results |= {message.id: result_of(origins.read(brand_id, message)) for message in signed}
    else:
        origins = await origins.bound(connection, brand_id, signed)
        signed = [origins.placed(message) for message in signed]
        results |= await record_messages(connection, brand_id, signed, origins)
        was = {row["id"]: row["status"] for row in rows}
        reread = [Reread(message, results[message.id], was[message.id]) for message in messages]
        await finish_deliveries(connection, brand_id, reread)
    return erased + [Replayed(message.id, results[message.id]) for message in messages]


async def _refuse_one(
    brand_id: UUID, delivery_id: UUID, error: Exception, connection: asyncpg.Connection
) -> list[Replayed]:
    row = await connection.fetchrow(STORED, brand_id, [delivery_id])
    if row is None:
        return []
    message = stored_message(row)
    result = rejection(message, error)
    await finish_deliveries(connection, brand_id, [Reread(message, result, row["status"])])
    return [Replayed(delivery_id, result)]


# ── Checking signatures again ────────────────────────────────────────────────────────────────────────────────────────


def _check_again(
    messages: Sequence[Message], origins: Origins, secret: str
) -> tuple[list[Message], dict[UUID, DeliveryResult]]:
    """The messages, those that a present secret of their source signed with this secret; and the results of those that none signed, by id.

    Only unsigned ones are checked. The others were once, and what is kept of them has not the signed bytes any more.
    """
    opened: dict[UUID | None, dict[str, str] | str] = {}
    results: dict[UUID, DeliveryResult] = {}
    checked: list[Message] = []
    for message in messages:
        checked.append(message)
        if message.unsigned is None:
            continue
        if message.origin_id not in opened:
            opened[message.origin_id] = _open(origins, message.origin_id, secret)
        secrets = opened[message.origin_id]
        wrong = secrets if isinstance(secrets, str) else _check(message, origins, list(secrets.values()))
        if wrong is not None:
            results[message.id] = DeliveryResult("unsigned", wrong, None, message.identity[0])
        elif isinstance(secrets, dict):
            by = next((sealed for sealed, each in secrets.items() if _check(message, origins, [each]) is None), None)
            checked[-1] = msgspec.structs.replace(
                message, verified_at=clock.now(), verified_by=None if by is None else signing.secret_id(by)
            )
    return checked, results


def _open(origins: Origins, source_id: UUID | None, secret: str) -> dict[str, str] | str:
    """The source's secrets by their sealed form, or the reason why there are none."""
    source = origins.sources.get(source_id) if source_id else None
    if source is None:
        return "unknown_source"
    opened = {}
    for sealed in source["secrets"]:
        # As at the door, a secret that cannot be decrypted does not hide the others.
        with suppress(UnsealError):
            opened[sealed] = unseal(secret, sealed)
    return opened if opened or not source["secrets"] else "unreadable_secret"


def _check(message: Message, origins: Origins, secrets: Sequence[str]) -> str | None:
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
        verified_at=row["verified_at"],
    )


async def read_again(connection: Connection, brand_id: UUID, message: Message, *, secret: str) -> Parsed:
    """A stored message as the present release reads it; nothing is recorded."""
    origins = await load_origins(connection, brand_id, [message], secret)
    return origins.read(brand_id, origins.placed(message))


# ── Results of many ──────────────────────────────────────────────────────────────────────────────────────────────────


def add_up(replayed: Sequence[Replayed], before: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
    """Numbers of results by status, and `reasons` with the first delivery of each, the most frequent first. before: what was added up so far."""
    counts = {status: before.get(status, 0) for status in ("recorded", "ignored", "rejected", "unsigned")}
    reasons = {(each["status"], each["reason"]): dict(each) for each in before.get("reasons", ())}
    for each in replayed:
        result = each.result
        counts[result.status] += 1
        key = (result.status, result.reason or "")
        if result.reason and (key in reasons or len(reasons) < REASONS_MAX):
            shown = {"status": result.status, "reason": result.reason, "count": 0}
            shown |= {"example_id": ids.show("delivery", each.id), "detail": result.detail}
            reasons.setdefault(key, shown)["count"] += 1
    ordered = sorted(reasons.values(), key=lambda each: (-each["count"], each["status"], each["reason"]))
    return {**counts, "reasons": ordered}
