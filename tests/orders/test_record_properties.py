"""Any permutation and repetition of clicks, witnesses, landings and refunds ends in the same state, to the minor unit.

In sequence with the queue emptied at any moment, in batches, by two workers at once, and statement by statement. Random concurrency alone is
too weak (the spike passed it without any settling at all), so the horizon and the row lock have tests of their own, with the interleaving
written out.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app.database.connections import connect_pool
from app.database.transactions import in_transaction
from app.orders.record import record
from app.orders.redecide import redecide
from tests.conftest import copy_template
from tests.intake.shop import Shop, Step, empty_queue, open_shop, state_of
from tests.intake.stepping import Stepped, interleave

EXAMPLES = settings.default.max_examples if settings.default else 100
"""100 by default; a deeper profile makes all of these deeper."""
FACTS = (
    "click lea", "click max", "click old", "landing max", "landing old", "pixel", "server", "webhook 1", "webhook 2", "refund by server",
    "cancellation", "reversal", "reversal again", "second order", "second pixel", "second refund",
    "third order", "third webhook", "third webhook, too late", "third order's names", "chargeback", "chargeback won", "one of line a",
    "cancelled", "live again", "rejected", "restored", "locked",
)  # fmt: skip
ORDERS = FACTS[5:-3]
patient = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    # Making a failure smaller would record thousands of orders; the names in it tell enough.
    "phases": (Phase.explicit, Phase.reuse, Phase.generate),
}

arrivals = st.tuples(
    st.permutations(FACTS),
    st.lists(st.sampled_from(FACTS), max_size=4),
    st.lists(st.booleans(), min_size=32, max_size=32),
).map(lambda drawn: list(zip([*drawn[0], *drawn[1]], drawn[2], strict=False)))
"""Every fact at least once, some again, each with whether the queue is emptied after it."""


@pytest.fixture(scope="module")
async def queue(server: str, template: str) -> AsyncIterator[asyncpg.Pool]:
    """A database of our own: settling looks at the queue of all brands."""
    pool = await connect_pool(await copy_template(server, template), size=6, name="properties")
    yield pool
    await pool.close()


@pytest.fixture(scope="module")
async def expected(queue: asyncpg.Pool) -> list[dict[str, Any]]:
    """The state after everything has happened in the order in which it is written down."""
    shop = await open_shop(queue)
    for name in FACTS:
        await perform(queue, shop.facts[name])
    await empty_queue(queue)
    return timeless(await state_of(queue, shop))


def timeless(state: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The state with times counted from the first order's: each shop opens at another moment."""
    start = min(each["occurred_at"] for each in state)
    times = ("occurred_at", "locks_at", "locked_at")
    return [
        each
        | {name: each[name] - start for name in times if each[name] is not None}
        | {
            "credit": [(*row[:5], row[5] - start, *row[6:]) for row in each["credit"]],
        }
        for each in state
    ]


async def perform(pool: asyncpg.Pool, act: Step) -> None:
    """Performs one act on a connection of its own; again when it lost a deadlock."""
    for _ in range(8):
        try:
            async with pool.acquire() as connection:
                await act(connection)
            return
        except asyncpg.DeadlockDetectedError:
            await asyncio.sleep(0.01 * random.random())
    raise AssertionError("lost eight deadlocks in a row")


def test_the_shop_s_day_is_worth_testing(expected: list[dict[str, Any]]) -> None:
    first, second, third = expected
    assert first["refs"] == ["1001", "555", "token-9"]
    assert (first["net_minor"], first["refunded_minor"], first["status"]) == (10_003, 9_003, "approved")
    assert [row[2:5] for row in first["credit"]] == [
        ("Lea", "click", 10_003),
        ("Lea", "click", -3_334),
        ("Lea", "click", -6_669),
        ("Lea", "click", 1_000),
    ]
    assert second["refs"] == ["777"]
    assert [row[2:5] for row in second["credit"]] == [("Max", "code", 5_000), ("Max", "code", -5_000)]
    # The first is credited by a click that a pixel alone names; the second's own code has it, whatever a pixel names.
    assert ("unsigned" in first["flags"], second["flags"]) == (True, ["over_cap"])
    assert third["refs"] == ["888", "wc-8"]
    assert (third["status"], third["status_reason"], third["locked_at"]) == ("locked", None, timedelta(minutes=90))
    assert third["flags"] == ["amount_disagreement", "changed_after_lock", "over_cap"]
    assert [row[4] for row in third["credit"]] == [8_000, -2_000, 2_000, -2_501]


@settings(max_examples=EXAMPLES // 8, **patient)  # type: ignore[arg-type]
@given(arrivals)
async def test_in_sequence(
    queue: asyncpg.Pool, expected: list[dict[str, Any]], arrivals: list[tuple[str, bool]]
) -> None:
    shop = await open_shop(queue)
    for name, emptied in arrivals:
        await perform(queue, shop.facts[name])
        if emptied:
            await empty_queue(queue)
    await empty_queue(queue)
    assert timeless(await state_of(queue, shop)) == expected


@settings(max_examples=EXAMPLES // 10, **patient)  # type: ignore[arg-type]
@given(st.permutations([*ORDERS, *ORDERS[:4]]), st.lists(st.integers(1, 6), min_size=24, max_size=24))
async def test_in_batches(
    queue: asyncpg.Pool, expected: list[dict[str, Any]], names: list[str], sizes: list[int]
) -> None:
    shop = await open_shop(queue)
    rest = list(names)
    for size in sizes:
        batch, rest = rest[:size], rest[size:]
        reports = [shop.facts[name].report for name in batch]  # type: ignore[attr-defined]
        await in_transaction(queue, lambda connection, reports=reports: record(connection, shop.brand.id, reports))  # type: ignore[misc]
    for name in (*FACTS[:5], *FACTS[-3:]):
        await perform(queue, shop.facts[name])
    await empty_queue(queue)
    assert timeless(await state_of(queue, shop)) == expected


@settings(max_examples=EXAMPLES // 10, **patient)  # type: ignore[arg-type]
@given(arrivals, st.lists(st.booleans(), min_size=32, max_size=32))
async def test_by_two_workers_at_once(
    queue: asyncpg.Pool, expected: list[dict[str, Any]], arrivals: list[tuple[str, bool]], whose: list[bool]
) -> None:
    shop = await open_shop(queue)

    async def work(mine: bool) -> None:
        for (name, emptied), owner in zip(arrivals, whose, strict=False):
            if owner is mine:
                await perform(queue, shop.facts[name])
                if emptied:
                    await redecide(queue)

    await asyncio.gather(work(True), work(False))
    await empty_queue(queue)
    assert timeless(await state_of(queue, shop)) == expected


async def side_by_side(pool: asyncpg.Pool, acts: Sequence[Step], turns: Sequence[int]) -> None:
    """Runs two acts statement by statement; whichever lost a deadlock is done again, as those who record do."""
    lost = await interleave(pool, acts, turns)
    for act, error in zip(acts, lost, strict=True):
        if isinstance(error, asyncpg.DeadlockDetectedError):
            await perform(pool, act)
        elif isinstance(error, BaseException):
            raise error


PAIRS = [
    ("pixel", "click lea"), ("second order", "click max"), ("second pixel", "click max"), ("second order", "landing max"),
    ("landing max", "click max"), ("server", "webhook 1"), ("pixel", "webhook 1"), ("webhook 1", "webhook 2"), ("refund by server", "webhook 2"),
    ("cancellation", "webhook 1"), ("pixel", "server"), ("webhook 1", "second order"), ("third webhook", "rejected"),
    ("third order's names", "locked"), ("chargeback", "chargeback won"),
]  # fmt: skip


@settings(max_examples=EXAMPLES // 5, **patient)  # type: ignore[arg-type]
@given(
    st.sampled_from(PAIRS),
    st.permutations(FACTS),
    st.integers(0, len(FACTS)),
    st.lists(st.sampled_from([0, 0, 0, 1, 1, 1, 2]), min_size=6, max_size=40),
)
async def test_statement_by_statement(
    queue: asyncpg.Pool,
    expected: list[dict[str, Any]],
    pair: tuple[str, str],
    names: list[str],
    before: int,
    turns: list[int],
) -> None:
    shop = await open_shop(queue)
    others = [name for name in names if name not in pair]
    for name in others[:before]:
        await perform(queue, shop.facts[name])
    await empty_queue(queue)
    await side_by_side(queue, [shop.facts[name] for name in pair], turns)
    await empty_queue(queue)
    for name in others[before:]:
        await perform(queue, shop.facts[name])
    await empty_queue(queue)
    assert timeless(await state_of(queue, shop)) == expected


# ── Written out ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def verdict(pool: asyncpg.Pool, shop: Shop) -> str:
    """What the shop's only order has come to."""
    found: str = await pool.fetchval("SELECT verdict FROM decision WHERE brand_id = $1", shop.brand.id)
    return found


async def test_an_order_waits_in_the_queue_for_the_drain_that_ran_beside_it(queue: asyncpg.Pool) -> None:
    """The click is inserted but not committed; the drain has looked for orders and found none; then the order comes, and others after it."""
    shop = await open_shop(queue)
    async with queue.acquire() as connection, queue.acquire() as watcher:
        drain = Stepped(connection, watcher)  # type: ignore[arg-type]
        drain.start(shop.facts["click lea"])
        await until_it_looked_for_orders(drain, connection, watcher)
        await perform(queue, shop.facts["pixel"])
        # Later transactions come and go: the newest ended id is past the drain's, the oldest running one is not.
        for _ in range(3):
            await redecide(queue)
            await queue.execute(
                "INSERT INTO redecide (brand_id, conversion_id, after) SELECT $1, $1, '0' WHERE pg_current_xact_id() IS NULL",
                shop.brand.id,
            )
        assert await verdict(queue, shop) == "pending_click"
        assert (
            await queue.fetchval(
                "SELECT count(*) FROM redecide WHERE brand_id = $1 AND not_before IS NULL", shop.brand.id
            )
            == 1
        )
        await drain.finish()
    await empty_queue(queue)
    assert await verdict(queue, shop) == "attributed"


async def test_a_landing_waits_in_the_queue_for_the_drain_that_ran_beside_it(queue: asyncpg.Pool) -> None:
    """The drain has looked for orders before the landing came; the landing cannot see the click. Neither can tell the order alone."""
    shop = await open_shop(queue)
    await perform(queue, shop.facts["second pixel"])
    await perform(queue, shop.facts["second order"])
    await empty_queue(queue)
    async with queue.acquire() as connection, queue.acquire() as watcher:
        drain = Stepped(connection, watcher)  # type: ignore[arg-type]
        drain.start(shop.facts["click old"])
        await until_it_looked_for_orders(drain, connection, watcher)
        await perform(queue, shop.facts["landing old"])
        await redecide(queue)
        await drain.finish()
    await empty_queue(queue)
    [order] = await queue.fetch("SELECT candidates FROM decision WHERE brand_id = $1", shop.brand.id)
    assert '"method": "visitor"' in order["candidates"]


async def until_it_looked_for_orders(drain: Stepped, connection: Any, watcher: Any) -> None:
    """Steps a drain to just after its look-up of waiting orders."""
    looked = "SELECT query LIKE '%order_touch%' FROM pg_stat_activity WHERE pid = $1"
    for _ in range(12):
        await drain.step()
        if await watcher.fetchval(looked, connection.get_server_pid()):
            return
    pytest.fail("the drain never looked for orders")


async def test_two_reports_of_one_order_are_decided_together_when_the_second_commits(queue: asyncpg.Pool) -> None:
    """Asserted at the commit, with nothing settled: the row lock alone must do it."""
    shop = await open_shop(queue)
    await perform(queue, shop.facts["refund by server"])
    async with queue.acquire() as one, queue.acquire() as other, queue.acquire() as watcher:
        first, second = Stepped(one, watcher), Stepped(other, watcher)  # type: ignore[arg-type]
        first.start(shop.facts["server"])
        second.start(shop.facts["webhook 2"])
        await first.settled()
        await second.settled()
        blocked = False
        # The first one has said everything and not committed; the second one goes as far as it can.
        while not first.done and not await committing(watcher, one):
            await first.step()
        for _ in range(20):
            blocked = blocked or not await second.step()
            if blocked:
                break
        assert blocked, "the second report did not wait for the first one"
        await first.finish()
        await second.finish()
    [order] = await state_of(queue, shop)
    assert (order["net_minor"], order["refunded_minor"], order["codes"]) == (10_003, 3_334, ["UNHEARD0F"])


async def committing(watcher: Any, connection: Any) -> bool:
    """Whether a connection's last statement was the last of a recording: what must be decided again."""
    last: bool = await watcher.fetchval(
        "SELECT query LIKE '%INTO redecide%' FROM pg_stat_activity WHERE pid = $1",
        connection.get_server_pid(),
    )
    return last


async def test_a_hundred_equal_reports_at_once_are_one_order(queue: asyncpg.Pool) -> None:
    shop = await open_shop(queue)
    await asyncio.gather(*(perform(queue, shop.facts["webhook 2"]) for _ in range(100)))
    [order] = await state_of(queue, shop)
    assert [row[4] for row in order["credit"]] == [10_003, -3_334]
    assert await queue.fetchval("SELECT count(*) FROM conversion WHERE brand_id = $1", shop.brand.id) == 1
    assert await queue.fetchval("SELECT count(*) FROM witness WHERE brand_id = $1", shop.brand.id) == 1


async def test_the_wait_for_a_click_ends_after_seven_days(queue: asyncpg.Pool) -> None:
    shop = await open_shop(queue)
    await perform(queue, shop.facts["pixel"])
    await empty_queue(queue)
    assert await verdict(queue, shop) == "pending_click"
    # Time goes by: the order and the end of its wait move into the past.
    await queue.execute(
        "UPDATE witness SET received_at = received_at - interval '8 days' WHERE brand_id = $1", shop.brand.id
    )
    await queue.execute(
        "UPDATE redecide SET not_before = not_before - interval '8 days' WHERE brand_id = $1", shop.brand.id
    )
    await redecide(queue)
    assert await verdict(queue, shop) == "unattributed"
    assert await queue.fetchval("SELECT count(*) FROM redecide WHERE brand_id = $1", shop.brand.id) == 0
    await perform(queue, shop.facts["click lea"])
    await empty_queue(queue)
    assert await verdict(queue, shop) == "unattributed"
