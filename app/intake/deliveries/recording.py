"""Records what the pixel, the beacon and the webhooks brought: reads each message, records its facts, and keeps it with the result.

A batch is one brand and one transaction: find the messages that are new, read them, `record()`, write the rows of `delivery` in their final
state. Two messages are the same when origin, the sender's own id and the body's hash are. Two processes that meet the same message at once
both record it, which changes nothing, and one of them keeps it.
"""

import asyncio
import dataclasses
import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import asyncpg
import msgspec
from msgspec.structs import replace

from app import clock
from app.database.errors import is_about_data, place_of
from app.database.transactions import Connection, in_transaction
from app.domain.customers import PURPOSE, customer_key
from app.domain.money import read_declared
from app.domain.orders import Context, Landing, OrderReport, Parsed, Receipt
from app.domain.personal_data import CustomerKey
from app.domain.strict_json import remember
from app.domain.text import storable
from app.intake.deliveries.binding import Sources, bind_sources, foreign_site, read_sources
from app.intake.deliveries.demands import answer, carry_out
from app.intake.deliveries.keeping import Kept, blot, keep
from app.intake.deliveries.messages import Message, key_of, message_of, read_id
from app.intake.deliveries.pixel_secrets import PixelSecrets, read_pixel_secrets
from app.orders.record import record, record_landings
from app.platforms.signing import set_up
from app.secret import derive
from app.settings import Settings
from app.spool.records import HookLine, Line, PixelLine

logger = logging.getLogger(__name__)

NOBODY = UUID(int=0)
"""Brand of hits whose publishable key is missing or unknown."""

TEXT_CHARACTERS_MAX = 500
"""Longest `detail` of a delivery, in characters."""

BRAND = "SELECT currency, click_param, currencies FROM brand WHERE id = $1"

# For hits whose key the door could not look up, because PostgreSQL was away: the key counts as it stood when the hit came.
KEYS = """
SELECT key_hash, id, brand_id, shop, revoked_at FROM api_key WHERE key_hash = ANY($1::bytea[]) AND kind = 'publishable'
"""

# OFFSET 0 makes it one look-up in the index per message. Without it, the planner of a table that was never analyzed reads all of the brand's
# deliveries for every batch.
STORED_ALREADY = """
SELECT k.number::int AS number, d.id, d.status
FROM unnest($2::uuid[], $3::text[], $4::bytea[]) WITH ORDINALITY AS k(origin_id, external_id, body_hash, number)
CROSS JOIN LATERAL (
    SELECT id, status FROM delivery WHERE brand_id = $1 AND origin_id = k.origin_id AND external_id = k.external_id AND body_hash = k.body_hash
    OFFSET 0
) AS d
"""

COLUMNS = (
    "brand_id", "id", "origin_id", "platform", "shop", "topic", "external_id", "body_hash", "headers", "body", "blotted", "status", "reason", "detail",
    "conversion_id", "received_at", "recorded_at", "attempts", "verified_at", "verified_by",
)  # fmt: skip
INSERT = f"""
INSERT INTO delivery ({", ".join(COLUMNS)}) VALUES ({", ".join(f"${number}" for number in range(1, len(COLUMNS) + 1))}) ON CONFLICT DO NOTHING
"""  # noqa: S608  names of columns

LOCK = "SELECT id FROM delivery WHERE brand_id = $1 AND id = ANY($2::uuid[]) ORDER BY id FOR NO KEY UPDATE"
FINISH = """
UPDATE delivery d
SET status = r.status, reason = r.reason, detail = r.detail, topic = r.topic, conversion_id = coalesce(r.conversion_id, d.conversion_id),
    recorded_at = r.recorded_at, headers = r.headers, attempts = d.attempts + 1,
    body = coalesce(r.body, d.body), blotted = d.blotted OR r.body IS NOT NULL,
    verified_at = coalesce(d.verified_at, r.verified_at), verified_by = coalesce(d.verified_by, r.verified_by)
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[], $9::timestamptz[], $10::jsonb[],
            $11::bytea[], $12::timestamptz[], $13::text[])
    AS r(id, was, status, reason, detail, topic, conversion_id, recorded_at, headers, body, verified_at, verified_by)
WHERE d.brand_id = $1 AND d.id = r.id AND d.status = r.was AND d.erased_at IS NULL
"""

# The newest stay: an owner who corrects a secret today looks for the orders of today.
TRIM_UNSIGNED = """
DELETE FROM delivery WHERE brand_id = $1 AND status = 'unsigned' AND origin_id = $2 AND id <= (
    SELECT id FROM delivery WHERE brand_id = $1 AND status = 'unsigned' AND origin_id = $2 ORDER BY id DESC OFFSET $3 LIMIT 1)
"""
TRIM_NOBODY = """
DELETE FROM delivery WHERE brand_id = $1 AND id <= (SELECT id FROM delivery WHERE brand_id = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)
"""
OTHER_SITE = (
    "this source is bound to {bound}, and the message comes from {foreign}: connect that shop with a source of its own,"
    " or bind this source to it by PATCH of its `site`, and replay"
)
BATCH_MAX = 250
"""Messages recorded in one transaction. It bounds how long their orders stay locked, and how long reading them holds up this process."""
BATCHES_AT_ONCE = 2
"""Batches of a brand under way at once: while the database works on one, the next is read."""


RecordingCounts = Counter[str]
"""Numbers of lines of one call by result: recorded, ignored, rejected, unsigned, repeated. They add up to the lines."""


class DeliveryResult(msgspec.Struct, frozen=True, gc=False):
    """The final state of one delivery: a status of tables.DELIVERY_STATUSES, and why."""

    status: str
    reason: str | None = None
    detail: str | None = None
    topic: str = ""
    conversion_id: UUID | None = None
    # What is kept of the message; None: all of it, until somebody has resolved what is wrong with it.
    kept: Kept | None = None
    # The shop's server signed it, as its signing secret showed.
    vouched: bool = False


@dataclass(frozen=True, slots=True)
class Origins:
    """The brand and sources that messages are read with. brand: None when it does not exist."""

    brand: asyncpg.Record | None
    sources: Sources
    customer_secret: bytes
    pixel_secrets: PixelSecrets

    async def bound(self, connection: asyncpg.Connection, brand_id: UUID, messages: Sequence[Message]) -> "Origins":
        """These origins, with every source bound to the site that its first message names."""
        sources = await bind_sources(connection, brand_id, self.sources, messages)
        return self if sources is self.sources else dataclasses.replace(self, sources=sources)

    def placed(self, message: Message) -> Message:
        """The message under the shop of its source, which may have turned out to be another since the door wrote it down."""
        source = self.sources.get(message.origin_id) if message.origin_id else None
        return message if source is None or source["shop"] == message.shop else replace(message, shop=source["shop"])

    def read(self, brand_id: UUID, message: Message) -> Parsed:
        """The message as its platform's parser reads it. Never raises."""
        if self.brand is None:
            return Parsed(rejected="unknown_brand", detail="the brand does not exist")
        source = self.sources.get(message.origin_id) if message.origin_id else None
        if source is not None and (foreign := foreign_site(message, source)):
            detail = OTHER_SITE.format(bound=source["site"], foreign=foreign)
            return Parsed(rejected="other_site", detail=detail, topic=message.identity[0])
        settings = self._settings(message)
        return message.read(
            Context(
                received_at=message.received_at,
                currency=self.brand["currency"],
                customer_key=self._customer_key(brand_id),
                shop=message.shop,
                click_param=self.brand["click_param"],
                currencies=read_declared(self.brand["currencies"]),
                is_verified=message.is_pixel and message.verified_at is not None,
                pixel_secrets=self.pixel_secrets.get(message.origin_id, ()) if message.origin_id else (),
                settings={} if settings is None else set_up(message.platform, settings).settings,
            )
        )

    def read_and_keep(self, brand_id: UUID, message: Message) -> tuple[Parsed, Kept | None]:
        """As `read`, and what is kept of the message (`keep`)."""
        remember(message.body)
        parsed = self.read(brand_id, message)
        return parsed, keep(message, parsed, self._settings(message) or "{}", self._customer_key(brand_id))

    def blot(self, brand_id: UUID, message: Message) -> Kept:
        """The message without data of the shopper, also where this release or its source's present settings cannot read it."""
        remember(message.body)
        parsed = self.read(brand_id, message)
        return blot(message, parsed, self._settings(message) or "{}", self._customer_key(brand_id))

    def _customer_key(self, brand_id: UUID) -> CustomerKey:
        return partial(customer_key, self.customer_secret, brand_id)

    def _settings(self, message: Message) -> str | None:
        """The settings of its source, as JSON text; None without one."""
        source = self.sources.get(message.origin_id) if message.origin_id else None
        return None if source is None else source["settings"]


@dataclass(frozen=True, slots=True)
class Reread:
    """The new result of a stored message. was: the status it had when it was read."""

    message: Message
    result: DeliveryResult
    was: str


async def record_deliveries(
    pool: asyncpg.Pool, lines: Sequence[Line], *, secret: str, settings: Settings
) -> RecordingCounts:
    """Record lines of the spool's orders, all of them: afterwards each is a row of `delivery`, or was one before.

    A message that cannot be recorded is found by halving its batch and kept as `rejected`, so that it never holds up another. Raises the
    database's error when the fault is the database's, and ValueError for a line that is no message (its ids are invalid). The same lines may be
    given again after either.
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

    # Two batches may touch one order: its lock makes one of them wait, and their sequence does not matter.
    errors = await asyncio.gather(*map(take_turns, range(BATCHES_AT_ONCE)), return_exceptions=True)
    for error in errors:
        if error is not None:
            raise error
    return outcome


def _turns(messages: list[Message]) -> list[list[Message]]:
    """The messages, divided among the batches under way at once.

    Copies of one message stay together: side by side, a wrongly signed copy and the right one would both look new, and the second would not be
    kept.
    """
    turns: list[list[Message]] = [[] for _ in range(BATCHES_AT_ONCE)]
    if len(messages) <= BATCH_MAX:
        turns[0] = messages
    else:
        for message in messages:
            turns[message.body_hash[0] % BATCHES_AT_ONCE].append(message)
    return turns


async def _find_brands(pool: asyncpg.Pool, messages: Sequence[Message]) -> list[tuple[UUID, Message]]:
    """The brands of hits by the publishable key that they name, where the door could not look it up; NOBODY where no such key is in force."""
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
            [message] = messages
            logger.error("delivery %s cannot be recorded: %s", message.id, place_of(error))
            async with pool.acquire() as connection:
                await _store(connection, brand_id, [(message, rejection(message, error))])
            return RecordingCounts(rejected=1)
    middle = len(messages) // 2
    return await _record_or_halve(pool, brand_id, messages[:middle], secret, settings) + await _record_or_halve(
        pool, brand_id, messages[middle:], secret, settings
    )


def rejection(message: Message, error: Exception) -> DeliveryResult:
    """The result of a message that could not be recorded."""
    return DeliveryResult("rejected", "not_recordable", _short(f"{type(error).__name__}: {error}"), message.identity[0])


# ── One batch ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _record_batch(
    brand_id: UUID, messages: Sequence[Message], secret: str, settings: Settings, connection: asyncpg.Connection
) -> RecordingCounts:
    if brand_id == NOBODY:
        unknown = DeliveryResult("rejected", "unknown_key", "k is missing, or no publishable key in force")
        return await _keep_as_nobodys(connection, messages, unknown, settings)
    fresh, resent = await _new_ones(connection, brand_id, messages)
    signed = [message for message in (*fresh, *resent) if message.unsigned is None]
    origins = await load_origins(connection, brand_id, signed, secret)
    if origins.brand is None:
        # It was deleted while a machine that was down held these: under its id they would stay for ever.
        gone = DeliveryResult("rejected", "unknown_brand", "the brand does not exist")
        return await _keep_as_nobodys(connection, messages, gone, settings)
    origins = await origins.bound(connection, brand_id, signed)
    fresh, signed = [origins.placed(each) for each in fresh], [origins.placed(each) for each in signed]
    results = await record_messages(connection, brand_id, signed, origins)
    for message in fresh:
        if message.unsigned is not None:
            results[message.id] = DeliveryResult("unsigned", message.unsigned, None, message.identity[0])
    await _store(connection, brand_id, [(message, results[message.id]) for message in fresh])
    await finish_deliveries(
        connection, brand_id, [Reread(message, results[message.id], "unsigned") for message in resent]
    )
    for origin_id in {message.origin_id for message in fresh if message.unsigned is not None}:
        await connection.execute(TRIM_UNSIGNED, brand_id, origin_id, settings.unsigned_cap_rows)
    counts = RecordingCounts(result.status for result in results.values())
    counts["repeated"] = len(messages) - len(results)
    return counts


async def _keep_as_nobodys(
    connection: asyncpg.Connection, messages: Sequence[Message], why: DeliveryResult, settings: Settings
) -> RecordingCounts:
    await _store(connection, NOBODY, [(message, why) for message in messages])
    await connection.execute(TRIM_NOBODY, NOBODY, settings.unsigned_cap_rows)
    return RecordingCounts(rejected=len(messages))


async def _new_ones(
    connection: asyncpg.Connection, brand_id: UUID, messages: Sequence[Message]
) -> tuple[list[Message], list[Message]]:
    """The messages that are not stored yet; and those stored as unsigned that have now come with a right signature, under their stored id.

    The second kind exists because a shop tries again after our 401, and that message must not count as a repetition.
    """
    distinct: dict[tuple[UUID | None, str, bytes], Message] = {}
    for message in messages:
        key = (message.origin_id, message.identity[1], message.body_hash)
        if key not in distinct or (distinct[key].unsigned is not None and message.unsigned is None):
            distinct[key] = message
    origins, externals, hashes = zip(*distinct, strict=True)
    rows = await connection.fetch(STORED_ALREADY, brand_id, origins, externals, hashes)
    stored = {row["number"] - 1: row for row in rows}
    fresh, resent = [], []
    for index, message in enumerate(distinct.values()):
        if index not in stored:
            fresh.append(message)
        elif stored[index]["status"] == "unsigned" and message.unsigned is None:
            resent.append(replace(message, id=stored[index]["id"]))
    return fresh, resent


async def record_messages(
    connection: asyncpg.Connection, brand_id: UUID, messages: Sequence[Message], origins: Origins
) -> dict[UUID, DeliveryResult]:
    """Read these messages and record what they say: the result of each, by its id."""
    parsed = [(message, *origins.read_and_keep(brand_id, message)) for message in messages]
    reports: list[tuple[OrderReport, Receipt]] = []
    landings: list[Landing] = []
    first_report: dict[UUID, int] = {}
    for message, content, _ in parsed:
        if content.all_reports:
            first_report[message.id] = len(reports)
        reports += [(report, message.receipt(vouched=True)) for report in content.vouched]
        reports += [(report, message.receipt()) for report in content.reports]
        landings += content.landings
    recorded = await record(connection, brand_id, reports)
    await record_landings(connection, brand_id, landings)
    results = {
        message.id: result_of(
            content, recorded[first_report[message.id]].conversion_id if message.id in first_report else None, kept
        )
        for message, content, kept in parsed
    }
    demands = [(message, content.demand) for message, content, _ in parsed if content.demand is not None]
    await carry_out(connection, brand_id, demands)
    for message, demand in demands:
        results[message.id] = replace(results[message.id], detail=answer(message, demand))
    return results


def result_of(parsed: Parsed, conversion_id: UUID | None = None, kept: Kept | None = None) -> DeliveryResult:
    """The result of a message that was read like this, once its reports are recorded."""
    notes = _short("; ".join(parsed.notes)) or None
    if parsed.rejected is not None:
        return DeliveryResult("rejected", parsed.rejected, _short(parsed.detail or "") or notes, parsed.topic)
    if parsed.ignored is not None:
        return DeliveryResult("ignored", parsed.ignored, _short(parsed.detail or "") or notes, parsed.topic, kept=kept)
    return DeliveryResult("recorded", None, notes, parsed.topic, conversion_id, kept, bool(parsed.vouched))


async def load_origins(connection: Connection, brand_id: UUID, messages: Sequence[Message], secret: str) -> Origins:
    """The brand and the sources that these messages of one brand are read with."""
    brand = await connection.fetchrow(BRAND, brand_id)
    origins = sorted({message.origin_id for message in messages if message.origin_id and not message.is_pixel})
    pixel_secrets = await read_pixel_secrets(connection, brand_id, messages, secret)
    return Origins(brand, await read_sources(connection, origins), derive(secret, PURPOSE), pixel_secrets)


async def _store(connection: Connection, brand_id: UUID, new: Sequence[tuple[Message, DeliveryResult]]) -> None:
    """Add the rows of new messages, always sorted, so that two processes with the same messages cannot deadlock."""
    now = clock.now()
    rows = [
        (
            brand_id,
            message.id,
            message.origin_id,
            message.platform,
            message.shop,
            result.topic,
            message.identity[1],
            message.body_hash,
            written_headers(message.headers if result.kept is None else result.kept.headers),
            message.body if result.kept is None else result.kept.body,
            result.kept is not None,
            result.status,
            result.reason,
            result.detail,
            result.conversion_id,
            message.received_at,
            now if result.status == "recorded" else None,
            1,
            verified_at(message, result),
            message.verified_by,
        )
        for message, result in new
    ]
    rows.sort(key=lambda row: (row[2] or NOBODY, row[6], row[7]))
    if not rows:
        return
    try:
        # COPY takes a third less time per row. It is all or nothing, but nearly always all rows are new: they were looked up just now.
        async with connection.transaction():
            await connection.copy_records_to_table("delivery", records=rows, columns=COLUMNS)
    except asyncpg.UniqueViolationError:
        await connection.executemany(INSERT, rows)


async def finish_deliveries(connection: Connection, brand_id: UUID, reread: Sequence[Reread]) -> None:
    """Write new results of stored messages, to the rows that still have the status that they were read with."""
    if not reread:
        return
    now = clock.now()
    rows = [
        (
            each.message.id,
            each.was,
            each.result.status,
            each.result.reason,
            each.result.detail,
            each.result.topic,
            each.result.conversion_id,
            now if each.result.status == "recorded" else None,
            written_headers(each.message.headers if each.result.kept is None else each.result.kept.headers),
            None if each.result.kept is None else each.result.kept.body,
            verified_at(each.message, each.result),
            each.message.verified_by,
        )
        for each in reread
    ]
    # Sorted, and after the orders' rows, as everywhere: or two processes could deadlock.
    await connection.fetch(LOCK, brand_id, [row[0] for row in rows])
    await connection.execute(FINISH, brand_id, *zip(*rows, strict=True))


def written_headers(headers: Mapping[str, str]) -> str:
    """Headers as the JSON text that is stored."""
    # jsonb has no NUL, and a header never needs one.
    return msgspec.json.encode({name: value.replace("\0", "") for name, value in headers.items()}).decode()


def verified_at(message: Message, result: DeliveryResult) -> datetime | None:
    """When the message was found to be rightly signed: by the door, or for a pixel as it was recorded."""
    return message.received_at if result.vouched and message.verified_at is None else message.verified_at


def _short(text: str) -> str:
    # An exception may quote anything.
    return storable(text, TEXT_CHARACTERS_MAX, nul="")
