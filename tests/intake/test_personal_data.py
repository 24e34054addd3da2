"""Goal: a shopper's data is not kept: of every checkout's message, no canary is left in the database, and what is kept is read as what was received."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app import clock, metrics, random_ids
from app.intake.deliveries import recording, replaying
from app.intake.deliveries.recording import RecordingCounts, record_deliveries
from app.intake.deliveries.replaying import replay
from app.intake.drain import drain
from app.secret import seal
from app.settings import Settings
from app.spool.quarantine import put_back, quarantine
from app.spool.reader import sweep
from app.spool.records import HookLine, Line, PixelLine, encode
from app.spool.writer import Spool
from tests.cast import Brand, create_brand
from tests.checkouts.canaries import BIRDS, EMAIL, FOUND, HITS, Bird, shopify_order
from tests.checkouts.signing import SECRET as SIGNED_WITH
from tests.intake.test_deliveries import SECRET, Record, Shop, deliveries, hit, record, secret, shopify

__all__ = ["record", "secret", "shopify"]

REPORTS = "SELECT content_hash, report FROM {} WHERE brand_id = $1 ORDER BY content_hash"
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


async def facts(pool: asyncpg.Pool, brand: Brand) -> list[Any]:
    """Every report that is recorded, with its hash."""
    return [list(map(tuple, await pool.fetch(REPORTS.format(table), brand.id))) for table in ("witness", "adjustment")]


async def dump(pool: asyncpg.Pool, brand: Brand) -> bytes:
    """Everything that the database holds of a brand, as text."""
    found = []
    for (table,) in await pool.fetch(TABLES):
        columns = {
            row[0]
            for row in await pool.fetch(
                "SELECT column_name FROM information_schema.columns WHERE table_name = $1", table
            )
        }
        if "brand_id" not in columns:
            continue
        for row in await pool.fetch(f"SELECT * FROM {table} WHERE brand_id = $1", brand.id):
            found += [value if isinstance(value, bytes) else str(value).encode() for value in row.values()]
    return b"\n".join(found)


def left_in(directory: Path) -> bytes:
    """Everything in the files of a directory."""
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def canaries_in(content: bytes) -> list[bytes]:
    return [each for each in FOUND if each in content]


@dataclass
class Shops:
    """A source for every checkout that sends a canary."""

    pool: asyncpg.Pool
    brand: Brand
    secret: str

    async def send(self, bird: Bird) -> HookLine:
        now = clock.now()
        source_id = random_ids.new_id()
        await self.pool.execute(
            """INSERT INTO source (token, id, brand_id, platform, secrets, settings, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, $7)""",
            random_ids.new_token("in"), source_id, self.brand.id, bird.checkout.platform, [seal(self.secret, SIGNED_WITH)],
            json.dumps(dict(bird.checkout.settings)), now,
        )  # fmt: skip
        body = b"" if bird.document is None else json.dumps(bird.document).encode()
        sent = bird.checkout.sends(body, now, bird.headers, query=bird.query)
        return bird.checkout.spooled(
            sent, line_id=str(random_ids.new_id()), brand_id=str(self.brand.id), source_id=str(source_id), at=now
        )


def hits(brand: Brand) -> list[PixelLine]:
    return [hit(brand, content, door=door) for door, content in HITS]


async def test_no_canary_of_any_checkout_is_left_and_what_is_kept_is_read_as_what_was_received(
    pool: asyncpg.Pool, alice: Brand, record: Record, secret: str
) -> None:
    shops = Shops(pool, alice, secret)
    lines: list[HookLine | PixelLine] = [await shops.send(bird) for bird in BIRDS]
    lines += hits(alice)
    assert all(canaries_in(line.body + str(line).encode()) for line in lines), "every message holds some"
    counts = await record(*lines)
    assert (counts["recorded"] + counts["ignored"], counts["rejected"]) == (len(lines), 0)

    assert canaries_in(await dump(pool, alice)) == []
    rows = await deliveries(pool, alice.id)
    before = await facts(pool, alice)
    assert before[0]
    replayed = await replay(pool, alice.id, [row["id"] for row in rows], secret=secret)
    assert [each.result.status for each in replayed] == [row["status"] for row in rows]
    assert await facts(pool, alice) == before, "a replay of what is kept states exactly what the message stated"
    again = await deliveries(pool, alice.id)
    assert [row["body"] for row in again] == [row["body"] for row in rows], "blotting twice changes nothing"
    assert {row["blotted"] for row in again} == {True}


async def test_the_log_and_the_metrics_say_nothing_of_a_shopper_whose_order_cannot_be_recorded(
    pool: asyncpg.Pool,
    alice: Brand,
    shopify: Shop,
    record: Record,
    secret: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*given: Any) -> Any:
        raise asyncpg.DataError(f"Failing row contains ({EMAIL})")

    caplog.set_level(logging.DEBUG)
    with monkeypatch.context() as broken:
        broken.setattr(recording, "record", fail)
        broken.setattr(replaying, "record_messages", fail)
        assert await record(shopify.line(json.dumps(shopify_order()).encode(), {})) == RecordingCounts(rejected=1)
        [row] = await deliveries(pool, alice.id)
        await replay(pool, alice.id, [row["id"]], secret=secret)
    assert caplog.text.count("cannot be recorded: DataError at") == 2
    assert canaries_in(caplog.text.encode()) == []
    assert canaries_in(metrics.render(metrics.totals(tmp_path), {})) == []


async def test_the_drained_spool_holds_nothing_of_a_shopper(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, settings: Settings, secret: str, tmp_path: Path
) -> None:
    spool = Spool(tmp_path, kind="orders")
    spool.append(encode(shopify.line(json.dumps(shopify_order()).encode(), {"x-shopify-topic": "orders/create"})))
    await spool.synced()
    await spool.close()

    async def taken(lines: Any) -> RecordingCounts:
        return await recording.record_deliveries(pool, lines, secret=secret, settings=settings)

    await drain(tmp_path, "orders", taken)
    sweep(tmp_path)
    assert canaries_in(left_in(tmp_path)) == []
    assert canaries_in(await dump(pool, alice)) == []


async def test_the_hash_of_the_body_stays_that_of_the_bytes_received(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record
) -> None:
    line = shopify.order(email=EMAIL, event="e1")
    assert await record(line) == RecordingCounts(recorded=1)
    [kept] = await deliveries(pool, alice.id)
    assert EMAIL.encode() not in bytes(kept["body"])
    assert await record(line) == RecordingCounts(repeated=1), "the same bytes are recognised"


async def test_a_rejected_message_stays_whole_until_it_is_resolved(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.domain.strict_json import Unreadable
    from app.platforms.shopify import webhook

    def refuse(*given: Any) -> Any:
        raise Unreadable("not_an_order", "this release does not know better")

    line = shopify.line(json.dumps(shopify_order()).encode(), {"x-shopify-topic": "orders/create"})
    with monkeypatch.context() as older:
        older.setattr(webhook, "_read_order", refuse)
        assert await record(line) == RecordingCounts(rejected=1)
    [whole] = await deliveries(pool, alice.id)
    assert (whole["blotted"], bytes(whole["body"])) == (False, line.body)
    await replay(pool, alice.id, [whole["id"]], secret=secret)
    [resolved] = await deliveries(pool, alice.id)
    assert (resolved["status"], resolved["blotted"]) == ("recorded", True)
    assert resolved["body_hash"] == whole["body_hash"]
    assert canaries_in(await dump(pool, alice)) == []


async def test_an_unsigned_message_stays_whole_and_is_blotted_by_the_replay_that_verifies_it(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record, secret: str
) -> None:
    body = json.dumps(shopify_order()).encode()
    line = shopify.line(body, {"x-shopify-topic": "orders/create"}, wrong="wrong_signature", signed_with="another")
    assert await record(line) == RecordingCounts(unsigned=1)
    [whole] = await deliveries(pool, alice.id)
    assert (whole["blotted"], bytes(whole["body"]), whole["verified_at"]) == (False, body, None)
    await shopify.change_secrets(pool, secret, SECRET, "another")
    await replay(pool, alice.id, [whole["id"]], secret=secret)
    [verified] = await deliveries(pool, alice.id)
    assert (verified["status"], verified["blotted"]) == ("recorded", True)
    assert verified["verified_at"] is not None
    assert len(verified["verified_by"]) == 8
    assert canaries_in(await dump(pool, alice)) == []
    # The secret is taken away, and the bytes that it signed are gone: a replay asks for neither.
    await shopify.change_secrets(pool, secret, "a third")
    [again] = await replay(pool, alice.id, [whole["id"]], secret=secret)
    assert again.result.status == "recorded"


async def test_an_unsigned_message_that_comes_again_rightly_signed_is_blotted(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record
) -> None:
    body = json.dumps(shopify_order()).encode()
    headers = {"x-shopify-topic": "orders/create"}
    await record(shopify.line(body, headers, wrong="wrong_signature"))
    assert await record(shopify.line(body, headers)) == RecordingCounts(recorded=1)
    [kept] = await deliveries(pool, alice.id)
    assert (kept["status"], kept["blotted"]) == ("recorded", True)
    assert canaries_in(await dump(pool, alice)) == []


async def test_a_rival_with_the_same_customer_keeps_another_token(
    pool: asyncpg.Pool, alice: Brand, record: Record, secret: str
) -> None:
    kept: list[bytes] = []
    for brand in (alice, await create_brand(pool)):
        shop = Shop(brand, "shopify")
        await shop.connect(pool, secret, SECRET)
        await record(shop.order(email=EMAIL, contact_email=None, customer=None))
        [row] = await deliveries(pool, brand.id)
        kept.append(json.loads(bytes(row["body"]))["email"])
    assert len(set(kept)) == 2


async def test_what_waited_in_quarantine_is_blotted_when_it_is_put_back(
    pool: asyncpg.Pool, alice: Brand, settings: Settings, secret: str, tmp_path: Path
) -> None:
    shops = Shops(pool, alice, secret)
    lines = [encode(await shops.send(bird)) for bird in BIRDS] + [encode(line) for line in hits(alice)]
    quarantine(tmp_path, [(line, "the database was ill") for line in lines])
    assert canaries_in(left_in(tmp_path)) != []
    put_back(tmp_path, oldest=clock.now() - timedelta(days=1))

    async def take(batch: Sequence[Line]) -> None:
        await record_deliveries(pool, batch, secret=secret, settings=settings)

    assert await drain(tmp_path, "orders", take) == len(lines)
    assert len(await deliveries(pool, alice.id)) == len(lines)
    assert canaries_in(await dump(pool, alice)) == []
    sweep(tmp_path)
    assert canaries_in(left_in(tmp_path)) == []
