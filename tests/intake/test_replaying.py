"""Goal: any number of deliveries are read again in sets, once and for all, beside whatever else is recording."""

import asyncio
import json
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.domain.strict_json import Unreadable
from app.intake.deliveries import replaying
from app.intake.deliveries.recording import DeliveryResult, RecordingCounts, record_deliveries
from app.intake.deliveries.replaying import BATCH_ROWS, Replayed, add_up, replay
from app.platforms.shopify import webhook as platform
from app.spool.records import HookLine
from tests.cast import Brand
from tests.intake.test_deliveries import SECRET, Record, Shop, deliveries, orders, record, secret, shopify

__all__ = ["record", "secret", "shopify"]


def small(shop: Shop, number: int, *, wrong: str = "") -> HookLine:
    """A small order with a refund of its own."""
    body = {
        "id": 10_000 + number,
        "name": f"#{number}",
        "currency": "EUR",
        "financial_status": "paid",
        "processed_at": "2026-11-20T10:00:00Z",
        "line_items": [{"id": 1, "price": f"{number + 1}.00", "quantity": 1}],
        "refunds": [{"id": number + 1, "refund_line_items": [{"line_item_id": 1, "quantity": 1, "subtotal": "1.00"}]}],
    }
    return shop.line(json.dumps(body).encode(), {"x-shopify-topic": "orders/create"}, wrong=wrong)


class Blind:
    """A release that cannot read the orders whose number says so; the next one can."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self._patched = patched

    def to(self, *names: str) -> None:
        whole = platform._read_order

        def read(order: Any, *rest: Any) -> Any:
            if not names or order.get("name") in names:
                raise Unreadable("not_an_order", "this release does not know better")
            return whole(order, *rest)

        self._patched.setattr(platform, "_read_order", read)

    def no_more(self) -> None:
        self._patched.undo()


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> Blind:
    return Blind(monkeypatch)


async def facts(pool: asyncpg.Pool, brand: Brand) -> list[tuple[object, ...]]:
    """Everything that is known of a brand's orders, but for ids and times of arrival."""
    rows = await pool.fetch(
        """SELECT order_id, status, currency, net_minor, refunded_minor, codes, flags,
               (SELECT count(*) FROM witness w WHERE w.brand_id = $1 AND w.conversion_id = c.id),
               (SELECT count(*) FROM adjustment a WHERE a.brand_id = $1 AND a.conversion_id = c.id)
           FROM conversion c WHERE brand_id = $1 ORDER BY order_id""",
        brand.id,
    )
    return [tuple(row) for row in rows]


async def test_a_range_is_read_again_in_few_transactions_and_ends_as_if_it_had_been_read_at_once(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, shopify: Shop, record: Record, secret: str, blind: Blind,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    lines = [small(shopify, number) for number in range(BATCH_ROWS + 5)]
    his = Shop(charlie, "shopify")
    await his.connect(pool, secret, SECRET)
    await record(*[small(his, number) for number in range(BATCH_ROWS + 5)])
    blind.to()
    assert await record(*lines) == RecordingCounts(rejected=len(lines))
    blind.no_more()

    batches: list[int] = []
    whole = replaying.record_messages

    async def counted(connection: Any, brand_id: UUID, messages: Any, known: Any) -> Any:
        batches.append(len(messages))
        return await whole(connection, brand_id, messages, known)

    monkeypatch.setattr(replaying, "record_messages", counted)
    replayed = await replay(pool, alice.id, [UUID(line.id) for line in lines], secret=secret)
    assert batches == [BATCH_ROWS, 5]
    assert [each.id for each in replayed] == [UUID(line.id) for line in lines]
    assert {each.result.status for each in replayed} == {"recorded"}
    kept = await deliveries(pool, alice.id)
    assert {(row["status"], row["reason"], row["attempts"]) for row in kept} == {("recorded", None, 2)}
    known = await facts(pool, alice)
    assert known == await facts(pool, charlie)
    assert len(known) == len(lines)

    again = await replay(pool, alice.id, [UUID(line.id) for line in lines], secret=secret)
    assert [each.result for each in again] == [each.result for each in replayed]
    assert await facts(pool, alice) == known


async def test_one_that_cannot_be_recorded_is_found_and_refused_alone(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [small(shopify, number) for number in range(9)]
    await record(*lines)
    import dataclasses

    whole = platform._read_order

    def careless(order: Any, *rest: Any) -> Any:
        report = whole(order, *rest)
        return dataclasses.replace(report, visitor_id="a\0b") if order["name"] == "#4" else report

    monkeypatch.setattr(platform, "_read_order", careless)
    replayed = await replay(pool, alice.id, [UUID(line.id) for line in lines], secret=secret)
    assert [each.result.reason for each in replayed] == [None] * 4 + ["not_recordable"] + [None] * 4
    assert [row["status"] for row in await deliveries(pool, alice.id)] == ["recorded"] * 4 + ["rejected"] + [
        "recorded"
    ] * 4


async def test_a_dry_run_says_what_would_be_read_and_changes_nothing(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record, secret: str, blind: Blind
) -> None:
    lines = [small(shopify, 1), small(shopify, 2), small(shopify, 3, wrong="wrong_signature")]
    blind.to()
    await record(*lines)
    blind.no_more()
    blind.to("#2")
    before = await deliveries(pool, alice.id)
    dry = await replay(pool, alice.id, [UUID(line.id) for line in lines], secret=secret, dry_run=True)
    # The third is signed with the source's present secret.
    assert [(each.result.status, each.result.reason) for each in dry] == [
        ("recorded", None),
        ("rejected", "not_an_order"),
        ("recorded", None),
    ]
    assert await deliveries(pool, alice.id) == before
    assert await orders(pool, alice) == []
    wet = await replay(pool, alice.id, [UUID(line.id) for line in lines], secret=secret)
    assert [each.result.status for each in wet] == [each.result.status for each in dry]


async def test_signed_and_unsigned_ones_stand_in_one_range(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record, secret: str
) -> None:
    """Half of them signed with a secret that the source never had."""
    right = [small(shopify, number, wrong="no_secret") for number in range(3)]
    forged = [
        HookLine(**{**{name: getattr(line, name) for name in line.__struct_fields__},
                    "headers": {**line.headers, "x-shopify-hmac-sha256": "A" * 43 + "="}})
        for line in (small(shopify, number, wrong="wrong_signature") for number in range(3, 6))
    ]  # fmt: skip
    await record(*right, *forged)
    lines = [*right, *forged]
    replayed = await replay(pool, alice.id, [UUID(line.id) for line in lines], secret=secret)
    assert [each.result.status for each in replayed] == ["recorded"] * 3 + ["unsigned"] * 3
    assert len(await orders(pool, alice)) == 3


async def test_replays_beside_each_other_and_beside_the_worker_end_in_one_state(
    pool: asyncpg.Pool, alice: Brand, charlie: Brand, shopify: Shop, record: Record, secret: str
) -> None:
    """The shop sends everything again, rightly signed now, while two people replay the same range, in two orders."""
    his = Shop(charlie, "shopify")
    await his.connect(pool, secret, SECRET)
    await record(*[small(his, number) for number in range(40)])
    lines = [small(shopify, number, wrong="wrong_signature") for number in range(40)]
    await record(*lines)
    wanted = [UUID(line.id) for line in lines]
    retried = [small(shopify, number) for number in range(40)]
    await asyncio.gather(
        replay(pool, alice.id, wanted, secret=secret),
        replay(pool, alice.id, wanted[::-1], secret=secret),
        *(record(*retried[start : start + 10]) for start in range(0, 40, 10)),
        replay(pool, alice.id, wanted[10:30], secret=secret),
    )
    assert await facts(pool, alice) == await facts(pool, charlie)
    rows = await deliveries(pool, alice.id)
    assert [row["status"] for row in rows] == ["recorded"] * 40
    assert [row["id"] for row in rows] == wanted


async def test_a_verdict_found_meanwhile_by_somebody_else_stands(
    pool: asyncpg.Pool, alice: Brand, shopify: Shop, record: Record, secret: str, settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The replay finds it still unsigned; before it says so, the shop's own retry is recorded."""
    await shopify.change_secrets(pool, secret, "mistyped")
    line = small(shopify, 1, wrong="wrong_signature")
    await record(line)
    whole = replaying.finish_deliveries

    async def late(connection: Any, brand_id: UUID, settled: Any) -> None:
        await record_deliveries(pool, [small(shopify, 1)], secret=secret, settings=settings)
        await whole(connection, brand_id, settled)

    monkeypatch.setattr(replaying, "finish_deliveries", late)
    [replayed] = await replay(pool, alice.id, [UUID(line.id)], secret=secret)
    assert replayed.result.status == "unsigned"
    [row] = await deliveries(pool, alice.id)
    assert (row["id"], row["status"]) == (UUID(line.id), "recorded")


def test_a_tally_adds_up_and_survives_being_written_down() -> None:
    some = [
        Replayed(UUID(int=1), DeliveryResult("recorded")),
        Replayed(UUID(int=2), DeliveryResult("rejected", "not_json", "first")),
        Replayed(UUID(int=3), DeliveryResult("rejected", "not_json", "second")),
        Replayed(UUID(int=4), DeliveryResult("unsigned", "wrong_signature")),
        Replayed(UUID(int=5), DeliveryResult("ignored", "unknown_topic")),
    ]
    begun = add_up(some[:2])
    told = add_up(some[2:], json.loads(json.dumps(begun)))
    assert begun == add_up(some[:2])
    assert add_up((), told) == told
    assert (told["recorded"], told["ignored"], told["rejected"], told["unsigned"]) == (1, 1, 2, 1)
    assert [(each["reason"], each["count"], each["detail"]) for each in told["reasons"]] == [
        ("not_json", 2, "first"),
        ("unknown_topic", 1, None),
        ("wrong_signature", 1, None),
    ]


def test_a_tally_tells_no_more_than_so_many_reasons_apart() -> None:
    many = [Replayed(UUID(int=n), DeliveryResult("rejected", f"reason_{n}")) for n in range(replaying.REASONS_MAX + 10)]
    told = add_up(many)
    assert told["rejected"] == len(many)
    assert len(told["reasons"]) == replaying.REASONS_MAX
