"""Goal: every message of a public door is kept once with what became of it, and what it says is recorded once. Against the real PostgreSQL."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app import clock, random_ids
from app.database.connections import connect_pool
from app.domain import ids
from app.domain.codes import normalise
from app.intake.deliveries import recording as deliveries_module
from app.intake.deliveries.recording import NOBODY, RecordingCounts, record_deliveries
from app.intake.deliveries.replaying import replay
from app.secret import load_secret, seal
from app.settings import Settings, read_settings
from app.spool.records import ClickLine, HookLine, PixelLine
from demo.simulator import DOCUMENTS
from tests.cast import Brand, create_code, create_collaboration

ORDER = json.loads((DOCUMENTS / "shopify_order_rest_2024-04.json").read_bytes())
SECRET = "the app's own secret"


class Shop:
    """A connected source of a brand, as its spool lines look."""

    def __init__(self, brand: Brand, platform: str) -> None:
        self.brand = brand
        self.platform = platform
        self.id = random_ids.new_id()

    async def connect(self, pool: asyncpg.Pool, secret_key: str, *secrets: str, settings: str = "{}") -> None:
        now = clock.now()
        await pool.execute(
            """INSERT INTO source (token, id, brand_id, platform, secrets, settings, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, $7)""",
            random_ids.new_token("in"),
            self.id,
            self.brand.id,
            self.platform,
            [seal(secret_key, secret) for secret in secrets],
            settings,
            now,
        )

    async def change_secrets(self, pool: asyncpg.Pool, secret_key: str, *secrets: str) -> None:
        sealed = [seal(secret_key, secret) for secret in secrets]
        await pool.execute("UPDATE source SET secrets = $2 WHERE id = $1", self.id, sealed)

    def order(self, *, wrong: str = "", event: str = "", topic: str = "orders/create", **changed: Any) -> HookLine:
        """An order from the vendor's documentation, with an id of its own; `wrong`: the reason its signature failed."""
        number = random_ids.random_number(50)
        body = json.dumps(
            {**ORDER, "id": number, "name": f"#{number}", "order_number": None, "checkout_token": None, **changed}
        )
        return self.line(body.encode(), {"x-shopify-topic": topic, "x-shopify-event-id": event}, wrong=wrong)

    def line(self, body: bytes, headers: dict[str, str], *, wrong: str = "", signed_with: str = SECRET) -> HookLine:
        digest = hmac.digest(signed_with.encode(), body, "sha256")
        name = "x-shopify-hmac-sha256" if self.platform == "shopify" else "x-ariane-signature"
        return HookLine(
            id=str(random_ids.new_id()),
            brand_id=str(self.brand.id),
            source_id=str(self.id),
            platform=self.platform,
            shop="main",
            signed=not wrong,
            reason=wrong,
            headers={name: base64.b64encode(digest).decode(), **headers},
            query="",
            body=body,
        )


def hit(brand: Brand | None, query: str, *, door: str = "pixel") -> PixelLine:
    return PixelLine(
        id=str(random_ids.new_id()),
        brand_id=None if brand is None else str(brand.id),
        key_id=None if brand is None else str(brand.publishable_id),
        shop="main",
        door=door,
        content_type="" if door == "pixel" else "text/plain;charset=UTF-8",
        body=query.encode(),
    )


@pytest.fixture
def secret(settings: Settings) -> str:
    return load_secret(settings)


Record = Callable[..., Awaitable[RecordingCounts]]


@pytest.fixture
def record(pool: asyncpg.Pool, settings: Settings, secret: str) -> Record:
    async def record(*lines: HookLine | PixelLine) -> RecordingCounts:
        return await record_deliveries(pool, lines, secret=secret, settings=settings)

    return record


@pytest.fixture
async def shopify(pool: asyncpg.Pool, alice: Brand, secret: str) -> Shop:
    shop = Shop(alice, "shopify")
    await shop.connect(pool, secret, SECRET)
    return shop


@pytest.fixture
async def generic(pool: asyncpg.Pool, alice: Brand, secret: str) -> Shop:
    shop = Shop(alice, "generic")
    await shop.connect(pool, secret, SECRET)
    return shop


async def deliveries(pool: asyncpg.Pool, brand_id: UUID) -> list[asyncpg.Record]:
    return await pool.fetch("SELECT * FROM delivery WHERE brand_id = $1 ORDER BY id", brand_id)


async def orders(pool: asyncpg.Pool, brand: Brand) -> list[asyncpg.Record]:
    return await pool.fetch(
        "SELECT * FROM conversion WHERE brand_id = $1 AND id = root_id AND status <> 'stub' ORDER BY id", brand.id
    )


# ── Once ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_signed_order_is_kept_and_recorded(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record
) -> None:
    collaboration = await create_collaboration(pool, alice)
    await create_code(pool, alice, collaboration, normalise("TENOFF"))
    line = shopify.order(event="e1")
    assert await record(line) == RecordingCounts(recorded=1)
    [delivery] = await deliveries(pool, alice.id)
    assert (delivery["status"], delivery["topic"], delivery["external_id"]) == (
        "recorded",
        "orders/create",
        "orders/create:e1",
    )
    assert json.loads(bytes(delivery["body"]))["id"] == json.loads(line.body)["id"]
    assert bytes(delivery["body_hash"]) == hashlib.sha256(line.body).digest()
    assert bytes(delivery["body_hash"]) == hashlib.sha256(line.body).digest()
    assert json.loads(delivery["headers"]) == line.headers
    assert delivery["id"] == UUID(line.id)
    [order] = await orders(pool, alice)
    assert delivery["conversion_id"] == order["id"]
    assert (order["currency"], order["net_minor"], order["codes"]) == ("USD", 58_700, [normalise("TENOFF")])
    decision = await pool.fetchrow(
        "SELECT verdict, method FROM decision WHERE brand_id = $1 AND conversion_id = $2", alice.id, order["id"]
    )
    assert decision is not None
    assert tuple(decision) == ("attributed", "code")


async def test_one_delivery_a_hundred_times_is_one_row_and_one_order(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record
) -> None:
    line = shopify.order(event="same")
    # Fifty in one batch with line ids of their own (the shop sent it again), and fifty beside them from other processes.
    again = [
        HookLine(**{**{name: getattr(line, name) for name in line.__struct_fields__}, "id": str(random_ids.new_id())})
        for _ in range(99)
    ]
    outcomes = await asyncio.gather(
        record(line, *again[:49]), *(record(*again[start : start + 10]) for start in range(49, 99, 10))
    )
    assert len(await deliveries(pool, alice.id)) == 1
    assert len(await orders(pool, alice)) == 1
    assert sum(outcome["recorded"] + outcome["repeated"] for outcome in outcomes) == 100
    witnesses = await pool.fetchval("SELECT count(*) FROM witness WHERE brand_id = $1", alice.id)
    assert witnesses == 1


async def test_what_another_process_keeps_in_between_does_not_cost_the_others_of_its_batch(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were looked up and new, and one of them no longer is when the batch is written: its row stays as it was, the others are kept."""
    lines = [shopify.order() for _ in range(5)]
    record_messages = deliveries_module.record_messages

    async def overtaken(*arguments: Any) -> Any:
        monkeypatch.setattr(deliveries_module, "record_messages", record_messages)
        assert await record(lines[2]) == RecordingCounts(recorded=1)
        return await record_messages(*arguments)

    monkeypatch.setattr(deliveries_module, "record_messages", overtaken)
    assert await record(*lines) == RecordingCounts(recorded=5)
    assert sorted(str(row["id"]) for row in await deliveries(pool, alice.id)) == sorted(line.id for line in lines)
    assert len(await orders(pool, alice)) == 5
    assert await pool.fetchval("SELECT count(*) FROM witness WHERE brand_id = $1", alice.id) == 5


async def test_the_same_spool_line_twice_changes_nothing(pool: asyncpg.Pool, alice: Brand, record: Record) -> None:
    line = hit(alice, "event=sale&order_id=1&amount=10.00&currency=EUR")
    assert await record(line) == RecordingCounts(recorded=1)
    assert await record(line) == RecordingCounts(repeated=1)
    assert len(await deliveries(pool, alice.id)) == 1


async def test_two_hits_with_the_same_words_are_two_deliveries_and_one_order(
    pool: asyncpg.Pool, alice: Brand, record: Record
) -> None:
    query = "event=sale&order_id=7&amount=10.00&currency=EUR"
    assert await record(hit(alice, query), hit(alice, query)) == RecordingCounts(recorded=2)
    assert len(await deliveries(pool, alice.id)) == 2
    [order] = await orders(pool, alice)
    assert (order["net_minor"], order["order_id"]) == (1_000, "7")


async def test_several_topics_of_one_event_are_several_deliveries(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record
) -> None:
    created = shopify.order(event="one")
    paid = shopify.line(created.body, {"x-shopify-topic": "orders/paid", "x-shopify-event-id": "one"})
    assert await record(created, paid) == RecordingCounts(recorded=2)
    assert len(await orders(pool, alice)) == 1


# ── What cannot be used ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not_json"),
        (b"[1, 2]", "not_an_order"),
        (b'{"hello": "world"}', "not_an_order"),
        (b'{"order_id": "1", "order_id": "2"}', "duplicate_keys"),
        (b'{"order_id": "1", "currency": "ZZZ"}', "invalid_fields"),
        (b'{"order_id": "1", "occurred_at": "2026-11-21T18:00:00"}', "invalid_fields"),
        (b'{"order_id": "a\\u0000b"}', "invalid_fields"),
        (b'{"order_id": "\\ud800"}', "invalid_fields"),
        (b'{"order_id": "1", "net_minor": -1, "currency": "EUR"}', "invalid_fields"),
    ],
)
async def test_a_body_that_is_no_order_is_kept_as_rejected_beside_one_that_is(
    pool: asyncpg.Pool, alice: Brand, generic: Shop, record: Record, body: bytes, reason: str
) -> None:
    good = generic.line(b'{"order_id":"good","codes":["LEA10"]}', {})
    assert await record(generic.line(body, {}), good) == RecordingCounts(recorded=1, rejected=1)
    kept = {bytes(row["body"]): row for row in await deliveries(pool, alice.id)}
    assert (kept[body]["status"], kept[body]["reason"]) == ("rejected", reason)
    assert kept[body]["detail"]
    assert kept[good.body]["status"] == "recorded"


async def test_an_unknown_topic_is_ignored_and_kept(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record
) -> None:
    assert await record(shopify.line(b"{}", {"x-shopify-topic": "products/update"})) == RecordingCounts(ignored=1)
    [delivery] = await deliveries(pool, alice.id)
    assert (delivery["status"], delivery["reason"]) == ("ignored", "unknown_topic")


async def test_a_hit_without_a_key_in_force_is_kept_under_nobody(pool: asyncpg.Pool, record: Record) -> None:
    line = hit(None, "event=sale&order_id=1")
    assert await record(line) == RecordingCounts(rejected=1)
    assert await record(line) == RecordingCounts(rejected=1)
    rows = await pool.fetch("SELECT * FROM delivery WHERE brand_id = $1 AND id = $2", NOBODY, UUID(line.id))
    assert [(row["status"], row["reason"]) for row in rows] == [("rejected", "unknown_key")]


async def test_messages_nobody_can_attribute_are_bounded(fresh_dsn: Callable[[], Awaitable[str]], secret: str) -> None:
    pool = await connect_pool(await fresh_dsn(), size=2, name="bounded")
    try:
        settings = read_settings({}, secret_key=secret, unsigned_cap_rows=5)
        for _ in range(3):
            await record_deliveries(pool, [hit(None, "event=sale") for _ in range(4)], secret=secret, settings=settings)
        assert await pool.fetchval("SELECT count(*) FROM delivery WHERE brand_id = $1", NOBODY) == 5
    finally:
        await pool.close()


async def test_a_message_that_cannot_be_recorded_is_set_aside_alone(
    pool: asyncpg.Pool, alice: Brand, generic: Shop, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parser lets no such thing through, so one is made: a currency column cannot hold a NUL."""
    from app.platforms.generic import webhook as platform

    plain = platform.read_order

    def careless(body: Any, context: Any) -> Any:
        report = plain(body, context)
        if report.order_id != "poison":
            return report
        import dataclasses

        return dataclasses.replace(report, visitor_id="a\0b")

    monkeypatch.setattr(platform, "read_order", careless)
    lines = [generic.line(json.dumps({"order_id": name}).encode(), {}) for name in ("a", "b", "poison", "c", "d")]
    assert await record(*lines) == RecordingCounts(recorded=4, rejected=1)
    rows = await deliveries(pool, alice.id)
    [bad] = [row for row in rows if row["status"] == "rejected"]
    assert (bad["reason"], bytes(bad["body"])) == ("not_recordable", b'{"order_id": "poison"}')
    assert sorted(row["order_id"] for row in await orders(pool, alice)) == ["a", "b", "c", "d"]

    monkeypatch.undo()
    [mended] = await replay(pool, alice.id, [bad["id"]], secret="s" * 43)
    assert mended.result.status == "recorded"
    assert len(await orders(pool, alice)) == 5


async def test_a_database_that_is_away_refuses_no_message(settings: Settings, secret: str, alice: Brand) -> None:
    nowhere = await connect_pool("postgresql://ariane@/ariane?host=/nonexistent", size=1, name="nowhere")
    try:
        with pytest.raises(OSError):  # noqa: PT011 (any failure to connect)
            await record_deliveries(nowhere, [hit(alice, "event=sale&order_id=1")], secret=secret, settings=settings)
    finally:
        await nowhere.close()


async def test_a_click_is_no_delivery(pool: asyncpg.Pool, settings: Settings, secret: str) -> None:
    click = ClickLine(str(random_ids.new_id()), str(NOBODY), str(NOBODY), None, "", "", "", "")
    with pytest.raises(ValueError, match="belongs among the clicks"):
        await record_deliveries(pool, [click], secret=secret, settings=settings)


# ── A wrong signature ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_wrong_signature_is_kept_and_replayed_once_the_secret_is_mended(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record, secret: str
) -> None:
    await shopify.change_secrets(pool, secret, "mistyped")
    assert await record(shopify.order(wrong="wrong_signature")) == RecordingCounts(unsigned=1)
    [delivery] = await deliveries(pool, alice.id)
    assert (delivery["status"], delivery["reason"], delivery["conversion_id"]) == ("unsigned", "wrong_signature", None)
    assert await orders(pool, alice) == []

    [still_wrong] = await replay(pool, alice.id, [delivery["id"]], secret=secret)
    assert (still_wrong.result.status, still_wrong.result.reason) == ("unsigned", "wrong_signature")
    assert await orders(pool, alice) == []

    await shopify.change_secrets(pool, secret, "mistyped", SECRET)
    [replayed] = await replay(pool, alice.id, [delivery["id"]], secret=secret)
    [order] = await orders(pool, alice)
    assert (replayed.result.status, replayed.result.conversion_id) == ("recorded", order["id"])
    [delivery] = await deliveries(pool, alice.id)
    assert (delivery["status"], delivery["attempts"]) == ("recorded", 3)

    await replay(pool, alice.id, [delivery["id"]], secret=secret)
    assert len(await orders(pool, alice)) == 1
    assert await pool.fetchval("SELECT count(*) FROM witness WHERE brand_id = $1", alice.id) == 1


async def test_a_secret_sealed_with_a_key_that_is_gone_does_not_hide_the_one_beside_it(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record, secret: str
) -> None:
    await record(shopify.order(wrong="no_secret"))
    [delivery] = await deliveries(pool, alice.id)
    gone, present = seal("the key that was here before it " * 2, SECRET), seal(secret, SECRET)
    for sealed, verdict in (([gone], ("unsigned", "unreadable_secret")), ([gone, present], ("recorded", None))):
        await pool.execute("UPDATE source SET secrets = $2 WHERE id = $1", shopify.id, sealed)
        [replayed] = await replay(pool, alice.id, [delivery["id"]], secret=secret)
        assert (replayed.result.status, replayed.result.reason) == verdict


async def test_the_shop_tries_again_after_the_secret_is_mended(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record
) -> None:
    refused = shopify.order(wrong="wrong_signature", event="retried")
    await record(refused)
    accepted = shopify.line(refused.body, {"x-shopify-topic": "orders/create", "x-shopify-event-id": "retried"})
    assert await record(accepted) == RecordingCounts(recorded=1)
    [delivery] = await deliveries(pool, alice.id)
    assert (delivery["id"], delivery["status"]) == (UUID(refused.id), "recorded")
    assert len(await orders(pool, alice)) == 1


async def test_a_wrongly_signed_copy_never_hides_the_right_one(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record
) -> None:
    """Somebody who knows the address sends a shop's body first, or in the same batch."""
    right = shopify.order(event="x")
    forged = shopify.line(
        right.body, {"x-shopify-topic": "orders/create", "x-shopify-event-id": "x"}, wrong="wrong_signature"
    )
    assert await record(forged, right) == RecordingCounts(recorded=1, repeated=1)
    assert [row["status"] for row in await deliveries(pool, alice.id)] == ["recorded"]


async def test_nor_does_it_when_it_fell_into_the_batch_before(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches are recorded side by side: copies of one message must not be, each of them would look new."""
    monkeypatch.setattr("app.intake.deliveries.recording.BATCH_MAX", 1)
    lines = []
    for number in range(10):
        right = shopify.order(event=f"x-{number}")
        headers = {"x-shopify-topic": "orders/create", "x-shopify-event-id": f"x-{number}"}
        lines += [shopify.line(right.body, headers, wrong="wrong_signature"), right]
    assert await record(*lines) == RecordingCounts(recorded=10, unsigned=10)
    assert {row["status"] for row in await deliveries(pool, alice.id)} == {"recorded"}
    assert len(await orders(pool, alice)) == 10


async def test_unsigned_messages_are_bounded_per_source(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, generic: Shop, secret: str
) -> None:
    settings = read_settings({}, secret_key=secret, unsigned_cap_rows=3)
    await record_deliveries(pool, [generic.line(b"{}", {}, wrong="wrong_signature")], secret=secret, settings=settings)
    lines = [shopify.order(wrong="wrong_signature") for _ in range(8)]
    for start in (0, 4):
        await record_deliveries(pool, lines[start : start + 4], secret=secret, settings=settings)
    kept = await pool.fetch(
        "SELECT id FROM delivery WHERE brand_id = $1 AND origin_id = $2 ORDER BY id", alice.id, shopify.id
    )
    assert [row["id"] for row in kept] == [UUID(line.id) for line in lines[-3:]]
    assert len(await deliveries(pool, alice.id)) == 4


async def test_a_rival_cannot_replay_a_delivery(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, shopify: Shop, record: Record, secret: str
) -> None:
    line = shopify.order()
    await record(line)
    assert await replay(pool, charlie.id, [UUID(line.id)], secret=secret) == []


# ── Landings and refunds ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_landing_is_remembered_once(pool: asyncpg.Pool, alice: Brand, record: Record) -> None:
    click_id = random_ids.new_id()
    query = f"event=land&click_id={ids.show('click', click_id)}&visitor_id=v1"
    assert await record(hit(alice, query), hit(alice, query)) == RecordingCounts(recorded=2)
    rows = await pool.fetch("SELECT visitor_id, click_id FROM visitor_click WHERE brand_id = $1", alice.id)
    assert [tuple(row) for row in rows] == [("v1", click_id)]


async def test_a_refund_that_comes_first_waits_for_its_order(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record
) -> None:
    order = shopify.order(refunds=[], updated_at="2026-11-20T10:00:00Z")
    order_id = json.loads(order.body)["id"]
    refund = json.loads((DOCUMENTS / "shopify_refund_rest_2024-04.json").read_bytes()) | {"order_id": order_id}
    body = json.dumps(refund).encode()
    assert await record(shopify.line(body, {"x-shopify-topic": "refunds/create"})) == RecordingCounts(recorded=1)
    assert await orders(pool, alice) == []
    await record(order)
    [known] = await orders(pool, alice)
    assert (known["net_minor"], known["refunded_minor"]) == (58_700, 39_133)


@pytest.mark.parametrize("order_first", [True, False])
async def test_a_refund_told_twice_in_two_ways_counts_once(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record, order_first: bool
) -> None:
    """orders/updated repeats the refund that refunds/create told of; the order knows better whether prices include tax."""
    refund = {
        "id": 900,
        "processed_at": "2026-11-21T10:00:00Z",
        "refund_line_items": [{"line_item_id": 1, "quantity": 1, "subtotal": "48.00", "total_tax": "8.00"}],
        "transactions": [{"kind": "refund", "status": "success", "amount": "48.00", "currency": "EUR"}],
    }
    lines = [
        {
            "id": 1,
            "price": "120.00",
            "quantity": 1,
            "discount_allocations": [{"amount": "12.00"}],
            "tax_lines": [{"price": "18.00"}],
        }
    ]
    order_id = 4_242
    order = {
        "id": order_id,
        "name": "#42",
        "currency": "EUR",
        "taxes_included": True,
        "financial_status": "paid",
        "line_items": lines,
    }
    updated = shopify.line(
        json.dumps({**order, "processed_at": "2026-11-20T10:00:00Z", "refunds": [refund]}).encode(),
        {"x-shopify-topic": "orders/updated"},
    )
    body = json.dumps({**refund, "order_id": order_id}).encode()
    told = shopify.line(body, {"x-shopify-topic": "refunds/create"})
    for line in (updated, told) if order_first else (told, updated):
        assert await record(line) == RecordingCounts(recorded=1)
    [known] = await orders(pool, alice)
    assert (known["net_minor"], known["refunded_minor"]) == (9_000, 4_000)


# ── A key the door could not look up ─────────────────────────────────────────────────────────────────────────────────


async def test_a_hit_that_the_door_could_not_place_finds_its_brand_by_its_key(
    pool: asyncpg.Pool, alice: Brand, record: Record
) -> None:
    """PostgreSQL was away and the key not in the door's memory; browsers do not try again."""
    fields = {"k": alice.publishable_key, "event": "sale", "order_id": "late", "amount": "5.00", "currency": "EUR"}
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    assert await record(hit(None, query), hit(None, json.dumps(fields), door="beacon")) == RecordingCounts(recorded=2)
    assert {(row["origin_id"], row["shop"]) for row in await deliveries(pool, alice.id)} == {
        (alice.publishable_id, "main")
    }
    [order] = await orders(pool, alice)
    assert order["order_id"] == "late"


async def test_a_key_that_was_revoked_before_the_hit_is_nobodys(
    pool: asyncpg.Pool, alice: Brand, record: Record
) -> None:
    await pool.execute(
        "UPDATE api_key SET revoked_at = $2 WHERE id = $1", alice.publishable_id, clock.now() - timedelta(minutes=1)
    )
    assert await record(hit(None, f"k={alice.publishable_key}&event=sale&order_id=1")) == RecordingCounts(rejected=1)
    assert await deliveries(pool, alice.id) == []


async def test_a_query_over_the_limit_is_kept_as_too_large(pool: asyncpg.Pool, alice: Brand, record: Record) -> None:
    assert await record(hit(alice, "too_large=70000")) == RecordingCounts(rejected=1)
    [delivery] = await deliveries(pool, alice.id)
    assert (delivery["reason"], delivery["detail"]) == ("too_large", "the query had 70000 bytes")


async def test_a_hit_whose_template_nobody_filled_in_is_kept_as_rejected_and_says_which_variable_was_left(
    pool: asyncpg.Pool, alice: Brand, record: Record, secret: str
) -> None:
    lines = [hit(alice, f"event=sale&order_id={left}&amount=9.00") for left in ("{{ order.id }}", "%%ORDER_ID%%")]
    lines.append(hit(alice, json.dumps({"order_id": "1", "click_id": "undefined"}), door="beacon"))
    assert await record(*lines) == RecordingCounts(rejected=3)
    assert await orders(pool, alice) == []
    kept = await deliveries(pool, alice.id)
    assert {(each["status"], each["reason"]) for each in kept} == {("rejected", "unresolved_macro")}
    details = [each["detail"] for each in kept]
    assert "order_id is '{{ order.id }}'" in details[0]
    assert "order_id is '%%ORDER_ID%%'" in details[1]
    assert "click_id is 'undefined'" in details[2]
    [again] = await replay(pool, alice.id, [UUID(lines[0].id)], secret=secret)
    assert (again.result.status, again.result.reason) == ("rejected", "unresolved_macro")
