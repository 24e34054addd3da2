"""From raw messages to facts: what the pixel, the beacon and the webhooks brought is read, recorded, and kept with what became of it.

One brand and one transaction a batch: which of the messages are new, what they say, `record()`, and the rows of `delivery` in their final
state. A message is known again by its origin, the sender's own id and the body's hash. Two processes that meet the same message at once both
record it, which changes nothing, and one of them keeps it.
"""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from msgspec.structs import replace

from app import clock
from app.database.errors import is_about_data
from app.database.transactions import Connection, in_transaction
from app.domain.customers import PURPOSE, customer_key
from app.domain.orders import Context, Landing, OrderReport, Parsed, Receipt
from app.domain.text import storable
from app.intake.deliveries.messages import Message, key_of, message_of, read_id
from app.orders.record import record, record_landings
from app.platforms.signing import set_up
from app.secret import derive
from app.settings import Settings
from app.spool.records import HookLine, Line, PixelLine

logger = logging.getLogger(__name__)

NOBODY = UUID(int=0)
"""The brand of hits whose publishable key is missing or unknown."""

TEXT_CHARACTERS_MAX = 500

BRAND = "SELECT currency, click_param FROM brand WHERE id = $1"
# A lookup table: never joined with a brand's tables.
SOURCES = "SELECT id, settings::text AS settings, secrets FROM source WHERE id = ANY($1::uuid[])"

# The door could not look the key up (PostgreSQL was away and the key not in memory): it is looked up here, as it stood when the hit came.
KEYS = """
SELECT key_hash, id, brand_id, shop, revoked_at FROM api_key WHERE key_hash = ANY($1::bytea[]) AND kind = 'publishable'
"""

# OFFSET 0 keeps each look-up apart: one descent of the index a message. Free to choose, a planner who has not met the table yet reads all of the
# brand's deliveries for every batch.
KNOWN = """
SELECT k.number::int AS number, d.id, d.status
FROM unnest($2::uuid[], $3::text[], $4::bytea[]) WITH ORDINALITY AS k(origin_id, external_id, body_hash, number)
CROSS JOIN LATERAL (
    SELECT id, status FROM delivery WHERE brand_id = $1 AND origin_id = k.origin_id AND external_id = k.external_id AND body_hash = k.body_hash
    OFFSET 0
) AS d
"""

KEPT = (
    "brand_id", "id", "origin_id", "platform", "shop", "topic", "external_id", "body_hash", "headers", "body", "status", "reason", "detail",
    "conversion_id", "received_at", "recorded_at", "attempts",
)  # fmt: skip
KEEP = f"""
INSERT INTO delivery ({", ".join(KEPT)}) VALUES ({", ".join(f"${number}" for number in range(1, len(KEPT) + 1))}) ON CONFLICT DO NOTHING
"""  # noqa: S608  names of columns

LOCK_KEPT = "SELECT id FROM delivery WHERE brand_id = $1 AND id = ANY($2::uuid[]) ORDER BY id FOR NO KEY UPDATE"
SETTLE = """
UPDATE delivery d
SET status = r.status, reason = r.reason, detail = r.detail, topic = r.topic, conversion_id = coalesce(r.conversion_id, d.conversion_id),
    recorded_at = r.recorded_at, headers = r.headers, attempts = d.attempts + 1
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[], $9::timestamptz[], $10::jsonb[])
    AS r(id, was, status, reason, detail, topic, conversion_id, recorded_at, headers)
WHERE d.brand_id = $1 AND d.id = r.id AND d.status = r.was
"""

# The newest stay: an owner who mends a secret today looks for the orders of today.
TRIM_UNSIGNED = """
DELETE FROM delivery WHERE brand_id = $1 AND status = 'unsigned' AND origin_id = $2 AND id <= (
    SELECT id FROM delivery WHERE brand_id = $1 AND status = 'unsigned' AND origin_id = $2 ORDER BY id DESC OFFSET $3 LIMIT 1)
"""
TRIM_NOBODY = """
DELETE FROM delivery WHERE brand_id = $1 AND id <= (SELECT id FROM delivery WHERE brand_id = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)
"""
BATCH_MAX = 250
"""Messages recorded in one transaction: its orders stay locked that long, and so long the process does nothing else while it reads them."""
BATCHES_AT_ONCE = 2
"""While the database works on one, the next is read."""


@dataclass(frozen=True, slots=True)
class RecordingCounts:
    """What became of the lines of one call; the figures add up to their number."""

    recorded: int = 0
    ignored: int = 0
    rejected: int = 0
    unsigned: int = 0
    repeated: int = 0

    def __add__(self, other: "RecordingCounts") -> "RecordingCounts":
        return RecordingCounts(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


class DeliveryResult(msgspec.Struct, frozen=True, gc=False):
    """The final state of one delivery: a status of tables.DELIVERY_STATUSES, and why."""

    status: str
    reason: str | None = None
    detail: str | None = None
    topic: str = ""
    conversion_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Origins:
    """What a brand's messages are read with. brand: None when it does not exist."""

    brand: asyncpg.Record | None
    sources: Mapping[UUID, asyncpg.Record]
    customer_secret: bytes

    def context(self, brand_id: UUID, message: Message) -> Context:
        """What a parser needs to know beside the message."""
        assert self.brand is not None
        source = self.sources.get(message.origin_id) if message.origin_id else None
        return Context(
            received_at=message.received_at,
            currency=self.brand["currency"],
            customer_key=partial(customer_key, self.customer_secret, brand_id),
            shop=message.shop,
            click_param=self.brand["click_param"],
            settings={} if source is None else set_up(message.platform, source["settings"]).settings,
        )

    def read(self, brand_id: UUID, message: Message) -> Parsed:
        """What a message says. Never raises."""
        if self.brand is None:
            return Parsed(rejected="unknown_brand", detail="the brand does not exist")
        return message.read(self.context(brand_id, message))


@dataclass(frozen=True, slots=True)
class Reread:
    """What has become of a message that is kept already. was: the status it had when it was read."""

    message: Message
    verdict: DeliveryResult
    was: str


async def record_deliveries(
    pool: asyncpg.Pool, lines: Sequence[Line], *, secret: str, settings: Settings
) -> RecordingCounts:
    """Records lines of the spool's orders, wholly: afterwards every one of them is a row of `delivery`, or was one before.

    A message that cannot be recorded is found by halving its batch and kept as `rejected`, so that it never holds up another. Raises what
    the database raises when the fault is its own, and ValueError for a line that is no message at all (its ids are none); either way the
    same lines may be given again.
    """
    brands: dict[UUID, list[Message]] = {}
    for line in lines:
        if not isinstance(line, HookLine | PixelLine):
            raise ValueError("a line that belongs among the clicks")
        brand_id = NOBODY if line.brand_id is None else read_id(line.brand_id)
        brands.setdefault(brand_id, []).append(message_of(line))
    for brand_id, message in await _find_brands(pool, brands.pop(NOBODY, [])):
        brands.setdefault(brand_id, []).append(message)
    outcome = RecordingCounts()

    async def take_turns(turn: int) -> None:
        nonlocal outcome
        for brand_id, messages in brands.items():
            ours = _turns(messages)[turn]
            for start in range(0, len(ours), BATCH_MAX):
                done = await _record_or_halve(pool, brand_id, ours[start : start + BATCH_MAX], secret, settings)
                outcome += done

    # Both may meet in an order: its lock makes one wait, and any sequence is the same.
    told = await asyncio.gather(*map(take_turns, range(BATCHES_AT_ONCE)), return_exceptions=True)
    for error in told:
        if error is not None:
            raise error
    return outcome


def _turns(messages: list[Message]) -> list[list[Message]]:
    """The messages by who takes them. Copies of one go the same way, one after the other: side by side, a wrongly signed copy and the right one
    would both look new, and whichever came second would not be kept."""
    turns: list[list[Message]] = [[] for _ in range(BATCHES_AT_ONCE)]
    if len(messages) <= BATCH_MAX:
        turns[0] = messages
    else:
        for message in messages:
            turns[message.body_hash[0] % BATCHES_AT_ONCE].append(message)
    return turns


async def _find_brands(pool: asyncpg.Pool, messages: Sequence[Message]) -> list[tuple[UUID, Message]]:
    """The brands of hits that the door could not place, by the publishable key they name; NOBODY where there is none in force."""
    hashes = [hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest() for key in map(key_of, messages)]
    rows = {bytes(row["key_hash"]): row for row in await pool.fetch(KEYS, hashes)} if messages else {}
    found = []
    for key_hash, message in zip(hashes, messages, strict=True):
        row = rows.get(key_hash)
        if row is None or (row["revoked_at"] is not None and row["revoked_at"] <= message.received_at):
            found.append((NOBODY, message))
        else:
            found.append((row["brand_id"], replace(message, origin_id=row["id"], shop=row["shop"] or "main")))
    return found


async def _record_or_halve(
    pool: asyncpg.Pool, brand_id: UUID, messages: Sequence[Message], secret: str, settings: Settings
) -> RecordingCounts:
    try:
        return await in_transaction(pool, partial(_record_batch, brand_id, messages, secret, settings))
    except Exception as error:
        if not is_about_data(error):
            raise
        if len(messages) == 1:
            return await _set_aside(pool, brand_id, messages[0], error)
    middle = len(messages) // 2
    return await _record_or_halve(pool, brand_id, messages[:middle], secret, settings) + await _record_or_halve(
        pool, brand_id, messages[middle:], secret, settings
    )


async def _set_aside(pool: asyncpg.Pool, brand_id: UUID, message: Message, error: Exception) -> RecordingCounts:
    logger.error("delivery %s cannot be recorded", message.id, exc_info=error)
    async with pool.acquire() as connection:
        await _keep(connection, brand_id, [(message, refused(message, error))])
    return RecordingCounts(rejected=1)


def refused(message: Message, error: Exception) -> DeliveryResult:
    """The verdict on a message whose words could not be recorded."""
    return DeliveryResult("rejected", "not_recordable", _short(f"{type(error).__name__}: {error}"), message.identity[0])


# ── One batch ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _record_batch(
    brand_id: UUID, messages: Sequence[Message], secret: str, settings: Settings, connection: asyncpg.Connection
) -> RecordingCounts:
    if brand_id == NOBODY:
        unknown = DeliveryResult("rejected", "unknown_key", "k is missing, or no publishable key in force")
        await _keep(connection, NOBODY, [(message, unknown) for message in messages])
        await connection.execute(TRIM_NOBODY, NOBODY, settings.unsigned_cap_rows)
        return RecordingCounts(rejected=len(messages))
    fresh, mended = await _new_ones(connection, brand_id, messages)
    signed = [message for message in (*fresh, *mended) if message.unsigned is None]
    origins = await look_up(connection, brand_id, signed, secret)
    verdicts = await record_messages(connection, brand_id, signed, origins)
    for message in fresh:
        if message.unsigned is not None:
            verdicts[message.id] = DeliveryResult("unsigned", message.unsigned, None, message.identity[0])
    await _keep(connection, brand_id, [(message, verdicts[message.id]) for message in fresh])
    await finish_deliveries(
        connection, brand_id, [Reread(message, verdicts[message.id], "unsigned") for message in mended]
    )
    for origin_id in {message.origin_id for message in fresh if message.unsigned is not None}:
        await connection.execute(TRIM_UNSIGNED, brand_id, origin_id, settings.unsigned_cap_rows)
    counts = Counter(verdict.status for verdict in verdicts.values())
    return RecordingCounts(repeated=len(messages) - len(verdicts), **counts)


async def _new_ones(
    connection: asyncpg.Connection, brand_id: UUID, messages: Sequence[Message]
) -> tuple[list[Message], list[Message]]:
    """The messages nobody has kept yet; and those kept as unsigned that have now come with a right signature, under their kept id.

    The latter because a shop tries again after our 401: what it sends then must not count as known.
    """
    distinct: dict[tuple[UUID | None, str, bytes], Message] = {}
    for message in messages:
        key = (message.origin_id, message.identity[1], message.body_hash)
        if key not in distinct or (distinct[key].unsigned is not None and message.unsigned is None):
            distinct[key] = message
    origins, externals, hashes = zip(*distinct, strict=True)
    rows = await connection.fetch(KNOWN, brand_id, origins, externals, hashes)
    known = {row["number"] - 1: row for row in rows}
    fresh, mended = [], []
    for index, message in enumerate(distinct.values()):
        if index not in known:
            fresh.append(message)
        elif known[index]["status"] == "unsigned" and message.unsigned is None:
            mended.append(replace(message, id=known[index]["id"]))
    return fresh, mended


async def record_messages(
    connection: asyncpg.Connection, brand_id: UUID, messages: Sequence[Message], origins: Origins
) -> dict[UUID, DeliveryResult]:
    """Reads these messages and records what they say: what became of each, by its id."""
    parsed = [(message, origins.read(brand_id, message)) for message in messages]
    reports: list[tuple[OrderReport, Receipt]] = []
    landings: list[Landing] = []
    first_report: dict[UUID, int] = {}
    for message, said in parsed:
        if said.reports:
            first_report[message.id] = len(reports)
        reports += [(report, message.receipt()) for report in said.reports]
        landings += said.landings
    recorded = await record(connection, brand_id, reports)
    await record_landings(connection, brand_id, landings)
    return {
        message.id: verdict_on(
            said, recorded[first_report[message.id]].conversion_id if message.id in first_report else None
        )
        for message, said in parsed
    }


def verdict_on(said: Parsed, conversion_id: UUID | None = None) -> DeliveryResult:
    """What becomes of a message that says this; `recorded` once it is."""
    notes = _short("; ".join(said.notes)) or None
    if said.rejected is not None:
        return DeliveryResult("rejected", said.rejected, _short(said.detail or "") or notes, said.topic)
    if said.ignored is not None:
        return DeliveryResult("ignored", said.ignored, _short(said.detail or "") or notes, said.topic)
    return DeliveryResult("recorded", None, notes, said.topic, conversion_id)


async def look_up(connection: Connection, brand_id: UUID, messages: Sequence[Message], secret: str) -> Origins:
    """What these messages of one brand are read with."""
    brand = await connection.fetchrow(BRAND, brand_id)
    origins = sorted({message.origin_id for message in messages if message.origin_id and not message.is_pixel})
    rows = await connection.fetch(SOURCES, origins) if origins else []
    return Origins(brand, {row["id"]: row for row in rows}, derive(secret, PURPOSE))


async def _keep(connection: Connection, brand_id: UUID, kept: Sequence[tuple[Message, DeliveryResult]]) -> None:
    """Adds the rows of new messages, in one order for everybody, so that two processes with the same messages cannot lock each other out."""
    rows = sorted(_rows(brand_id, kept), key=lambda row: (row[2] or NOBODY, row[6], row[7]))
    if not rows:
        return
    try:
        # All or none: they were looked up just now, so nearly always all of them are new, and a row takes PostgreSQL and us a third less.
        async with connection.transaction():
            await connection.copy_records_to_table("delivery", records=rows, columns=KEPT)
    except asyncpg.UniqueViolationError:
        await connection.executemany(KEEP, rows)


def _rows(brand_id: UUID, kept: Sequence[tuple[Message, DeliveryResult]]) -> Iterator[tuple[Any, ...]]:
    now = clock.now()
    for message, verdict in kept:
        yield (
            brand_id,
            message.id,
            message.origin_id,
            message.platform,
            message.shop,
            verdict.topic,
            message.identity[1],
            message.body_hash,
            _headers(message),
            message.body,
            verdict.status,
            verdict.reason,
            verdict.detail,
            verdict.conversion_id,
            message.received_at,
            now if verdict.status == "recorded" else None,
            1,
        )


async def finish_deliveries(connection: Connection, brand_id: UUID, settled: Sequence[Reread]) -> None:
    """Writes what has become of kept messages, to the rows that still have the status they were read with."""
    if not settled:
        return
    now = clock.now()
    rows = [
        (
            each.message.id,
            each.was,
            each.verdict.status,
            each.verdict.reason,
            each.verdict.detail,
            each.verdict.topic,
            each.verdict.conversion_id,
            now if each.verdict.status == "recorded" else None,
            _headers(each.message),
        )
        for each in settled
    ]
    # In one order for everybody, and after the orders' rows, as everywhere.
    await connection.fetch(LOCK_KEPT, brand_id, [row[0] for row in rows])
    await connection.execute(SETTLE, brand_id, *zip(*rows, strict=True))


def _headers(message: Message) -> str:
    # jsonb has no NUL, and a header never needs one.
    return msgspec.json.encode({name: value.replace("\0", "") for name, value in message.headers.items()}).decode()


def _short(text: str) -> str:
    # An exception may quote anything.
    return storable(text, TEXT_CHARACTERS_MAX, nul="")
