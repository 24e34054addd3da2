"""Whatever a stranger sends beside the honest reports of a day takes nothing, and the order of arrival of all of it changes nothing.

Against the real database; tests/domain/test_trust.py has the same for the pure rooms.
"""

import json
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app import clock
from app.database.connections import connect_pool
from app.database.transactions import in_transaction
from app.domain import ids
from app.domain.codes import normalise
from app.domain.orders import (
    TRUST_PIXEL,
    TRUST_SERVER,
    TRUST_WEBHOOK,
    Customer,
    Landing,
    OrderReport,
    Receipt,
    RefundReport,
)
from app.domain.trust import PixelSignals
from app.intake.clicks.calendar import Calendar
from app.intake.clicks.recording import read_clicks, record_clicks
from app.orders.record import record, record_landings
from app.spool.records import ClickLine
from tests.cast import create_brand, create_code, create_collaboration, create_link
from tests.conftest import copy_template
from tests.intake.shop import Shop, empty_queue, state_of

EXAMPLES = settings.default.max_examples if settings.default else 100
"""A deeper profile makes these deeper."""
patient = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.explicit, Phase.reuse, Phase.generate),
}
NOON = clock.now().replace(microsecond=0) - timedelta(hours=30)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LEA, LEA_OLD, EVA, STRANGER = (ids.floor_at(NOON - hours * HOUR) for hours in (2, 20, 3, 1))
"""Clicks, each on the link of the one it is named after."""
OWNERS = {LEA: "Lea", LEA_OLD: "Lea", EVA: "Eva", STRANGER: "Max"}
Fact = tuple[OrderReport, Receipt] | Landing | ClickLine | UUID
"""What arrives: a report, a landing, or a click by its id."""


# ── The honest day ───────────────────────────────────────────────────────────────────────────────────────────────────


def receipt(trust: int, at: datetime) -> Receipt:
    door = {TRUST_WEBHOOK: "hook", TRUST_SERVER: "api", TRUST_PIXEL: "pixel"}[trust]
    return Receipt(trust, door, {"hook": "shopify"}.get(door, door), at)


def placed(number: int) -> datetime:
    return NOON + number * 10 * MINUTE


def webhook(number: int, version: int, **fields: Any) -> tuple[OrderReport, Receipt]:
    """The shop's message of an order. The later version knows that it was paid."""
    at = placed(number)
    report = OrderReport(
        "main", "sale", (f"73{number}", f"100{number}"), order_id=f"73{number}", occurred_at=at, version=version, currency="EUR",
        net_minor=10_000 + number, tax_minor=1_900, paid=version > 1, customer=Customer(f"customer {number}", is_new=True),
        proofs=(f"token {number}",), system="shopify", **fields,
    )  # fmt: skip
    return report, receipt(TRUST_WEBHOOK, at + version * MINUTE)


def pixel(number: int, minutes: int, **fields: Any) -> tuple[OrderReport, Receipt]:
    report = OrderReport("main", "sale", (f"100{number}",), order_id=f"100{number}", **fields)
    return report, receipt(TRUST_PIXEL, placed(number) + minutes * MINUTE)


def trusted() -> list[Fact]:
    """Two messages of each of ten orders, and what their shop's server and people add. Orders 0, 1 and 5 are credited by them."""
    coded = {0: ("LEA10",), 1: ("EVA5",)}
    found: list[Fact] = [
        webhook(number, version, codes=coded.get(number, ()), lists_codes=number in (0, 1, 2))
        for number in range(10)
        for version in (1, 2)
    ]
    server = OrderReport("main", "sale", ("1005",), order_id="1005", click_ids=(str(EVA),))
    refund = OrderReport("main", "sale", ("733",), system="shopify", stub=True,
                         refunds=(RefundReport("r", amount_minor=4_000, currency="EUR", occurred_at=placed(4)),))  # fmt: skip
    return [*found, (server, receipt(TRUST_SERVER, placed(5))), (refund, receipt(TRUST_WEBHOOK, placed(4)))]


def with_proof() -> list[Fact]:
    """Ten pixels of five orders: the click, the visitor or a code that the shop's own messages do not know. One comes a day late."""
    named: list[dict[str, Any]] = [
        {"click_ids": (ids.show("click", LEA),)},
        {"click_ids": (str(LEA),), "codes": ("EVA5",)},
        {"click_ids": (str(LEA),)},
        {"codes": ("LEA10",)},
        {"visitor_id": "shopper"},
    ]
    return [
        pixel(number, minutes, proofs=(f"token {number}",), **fields)
        for number, fields in enumerate(named)
        for minutes in (1, 1_440)
    ]


def by_number() -> list[Fact]:
    """Five pixels of the other orders, whose snippet sends no proof."""
    return [pixel(number, 2, click_ids=(str(LEA),), codes=("EVA5",) if number == 6 else ()) for number in range(5, 10)]


HONEST: list[Fact] = [
    *trusted(), *with_proof(), *by_number(), LEA, LEA_OLD, EVA, STRANGER,
    Landing("shopper", str(LEA_OLD), NOON - 20 * HOUR), Landing("shopper", str(LEA), NOON - 2 * HOUR),
]  # fmt: skip
SURE = [f"=shopify:73{number}" for number in range(6)]
"""Orders that a trusted report or a proof credits."""


def of_three_customers(facts: Sequence[Fact]) -> list[Fact]:
    """The same day, on which three customers bought everything; the shop's server knows a device of one of them."""
    device = OrderReport("main", "sale", ("1000",), order_id="1000", visitor_id="telephone")
    found: list[Fact] = [
        (device, receipt(TRUST_SERVER, placed(1))),
        Landing("telephone", str(LEA_OLD), NOON - 20 * HOUR),
    ]
    for each in facts:
        if isinstance(each, tuple) and each[0].customer.key is not None:
            customer = Customer(f"returning {int(each[0].refs[0][2:]) % 3}", is_new=True)
            found.append((replace(each[0], customer=customer), each[1]))
        else:
            found.append(each)
    return found


RETURNING = of_three_customers(HONEST)
FOLLOWING = {
    "precedence": ["code", "click", "visitor", "customer", "bound"],
    "bound_orders": 2,
    "self_referral": "withhold",
}


# ── The stranger ─────────────────────────────────────────────────────────────────────────────────────────────────────

HITS = st.builds(
    lambda ref, at, hit: (replace(hit, refs=(ref,), order_id=ref), receipt(TRUST_PIXEL, at)),
    st.sampled_from([f"{head}{number}" for head in ("100", "73") for number in range(10)] + ["4711", "=shopify:731"]),
    st.builds(
        lambda number, shift: placed(number) + shift,
        st.integers(0, 9),
        st.sampled_from([-30 * DAY, -DAY, -HOUR, -MINUTE, 0 * HOUR, MINUTE, HOUR, DAY]),
    ),
    st.one_of(
        st.builds(
            OrderReport,
            shop=st.just("main"),
            kind=st.just("sale"),
            refs=st.just(("",)),
            occurred_at=st.sampled_from([None, datetime(2019, 1, 1, tzinfo=UTC), NOON]),
            net_minor=st.sampled_from([None, 1, 10_000, 10**9]),
            tax_minor=st.sampled_from([None, 7]),
            currency=st.sampled_from([None, "EUR", "USD"]),
            codes=st.sampled_from([(), ("MAX5",), ("LEA10", "MAX5")]),
            click_ids=st.sampled_from([(), (str(STRANGER),), (ids.show("click", ids.floor_at(NOON - HOUR)),)]),
            visitor_id=st.sampled_from([None, "stranger"]),
            customer=st.sampled_from([Customer(), Customer("stranger", is_new=False), Customer("returning 1")]),
            paid=st.sampled_from([None, True]),
            test=st.booleans(),
            proofs=st.sampled_from([(), ("guessed",), ("1001",)]),
        ),
        # What an honest page sends, but at another time.
        st.builds(lambda number: by_number()[number][0], st.integers(0, 4)),  # type: ignore[index]
    ),
)
STRANGER_LANDS = st.sampled_from([Landing("stranger", str(STRANGER), NOON - shift * HOUR) for shift in (0, 1, 500)])
ATTACK = st.lists(st.one_of(HITS, HITS, HITS, STRANGER_LANDS), max_size=20)


# ── Playing a day ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
async def queue(server: str, template: str) -> AsyncIterator[asyncpg.Pool]:
    """A database of our own: working the queue off looks at all brands."""
    pool = await connect_pool(await copy_template(server, template), size=4, name="trust properties")
    yield pool
    await pool.close()


async def play(
    pool: asyncpg.Pool,
    facts: Sequence[Fact],
    signals: PixelSignals,
    rng: random.Random,
    rules: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The state of a new brand after these have arrived in this order, in batches of any size. rules: of its policy, under which Eva is customer 0."""
    brand = await create_brand(pool)
    people = {name: await create_collaboration(pool, brand, name) for name in ("Lea", "Eva", "Max")}
    links = {name: await create_link(pool, brand, who, f"{name}{brand.id.hex[-12:]}") for name, who in people.items()}
    for name, text in (("Lea", "LEA10"), ("Eva", "EVA5"), ("Max", "MAX5")):
        await create_code(pool, brand, people[name], normalise(text))
    if rules is not None:
        await pool.execute(
            "INSERT INTO policy (brand_id, scope_id, version, rules, created_at) VALUES ($1, $1, 1, $2, now())",
            brand.id, json.dumps(rules),
        )  # fmt: skip
        await pool.execute(
            "UPDATE influencer SET customer_keys = '{returning 0}' WHERE brand_id = $1 AND id = $2",
            brand.id, people["Eva"].influencer_id,
        )  # fmt: skip
    await pool.execute("UPDATE brand SET pixel_signals = $2 WHERE id = $1", brand.id, signals)

    async def arrive(connection: asyncpg.Connection, batch: Sequence[Fact]) -> None:
        await record(connection, brand.id, [each for each in batch if isinstance(each, tuple)])
        await record_landings(connection, brand.id, [each for each in batch if isinstance(each, Landing)])

    rest = list(facts)
    while rest:
        size = rng.choice((1, 3, 20))
        batch, rest = rest[:size], rest[size:]
        await in_transaction(pool, lambda connection, batch=batch: arrive(connection, batch))  # type: ignore[misc]
        lines = [
            ClickLine(str(each), str(brand.id), str(links[OWNERS[each]]), None, "", "Mozilla/5.0", "", "")
            for each in batch
            if isinstance(each, UUID)
        ]
        async with pool.acquire() as connection:
            await record_clicks(connection, read_clicks(lines), Calendar())
    await empty_queue(pool)
    return await state_of(pool, Shop(brand, {}, {who.id: name for name, who in people.items()}))


def shuffled(facts: Sequence[Fact], rng: random.Random) -> list[Fact]:
    return rng.sample(facts, len(facts))


FACTS = (
    "order_id", "occurred_at", "status", "status_reason", "locked_at", "locks_at", "currency", "items_minor", "discount_minor", "tax_minor",
    "shipping_minor", "net_minor", "refunded_minor", "customer_key", "customer_is_new", "origin", "test",
)  # fmt: skip
OWNED = ("method", "verdict", "credit")


def of_the_shop(
    state: Sequence[dict[str, Any]], names: Sequence[str], whose: Sequence[str] | None = None
) -> dict[str, Any]:
    """These columns of the orders that the shop reported, or of some of them, by their names."""
    return {
        each["primary_ref"]: {name: each[name] for name in names}
        for each in state
        if (each["primary_ref"] or "?")[0] == "=" and (whose is None or each["primary_ref"] in whose)
    }


def unsigned(state: Sequence[dict[str, Any]], whose: Sequence[str] | None) -> set[str]:
    """The names of those of the shop's orders, or of some of them, that are flagged `unsigned`."""
    return {name for name, each in of_the_shop(state, ("flags",), whose).items() if "unsigned" in each["flags"]}


@pytest.fixture(scope="module", params=[PixelSignals.NORMAL, PixelSignals.SIGNED_ONLY])
async def honest(queue: asyncpg.Pool, request: pytest.FixtureRequest) -> tuple[PixelSignals, list[dict[str, Any]]]:
    """How far pixels count, and the state after the honest day alone."""
    return request.param, await play(queue, HONEST, request.param, random.Random(1))


def test_the_day_is_worth_attacking(honest: tuple[PixelSignals, list[dict[str, Any]]]) -> None:
    signals, state = honest
    owners = {each["primary_ref"]: [row[2:4] for row in each["credit"]][:1] for each in state}
    assert [each["net_minor"] for each in state] == [10_000 + number for number in range(10)]
    assert {each["status"] for each in state} == {"approved"}
    credited = {0: ("Lea", "code"), 1: ("Eva", "code"), 5: ("Eva", "click")}
    if signals is PixelSignals.NORMAL:
        credited |= dict.fromkeys((2, 7, 8, 9), ("Lea", "click"))
        credited |= {3: ("Lea", "code"), 4: ("Lea", "visitor"), 6: ("Eva", "code")}
    assert owners == {f"=shopify:73{number}": [credited.get(number, (None, None))] for number in range(10)}
    by_pixels = {*range(2, 10)} - {5} if signals is PixelSignals.NORMAL else set()
    assert unsigned(state, None) == {f"=shopify:73{number}" for number in by_pixels}


@settings(max_examples=max(4, EXAMPLES // 8), **patient)  # type: ignore[arg-type]
@given(ATTACK, st.randoms(use_true_random=False))
async def test_a_stranger_takes_nothing_whenever_the_hits_arrive(
    queue: asyncpg.Pool,
    honest: tuple[PixelSignals, list[dict[str, Any]]],
    attack: list[Fact],
    rng: random.Random,
) -> None:
    signals, alone = honest
    attacked = await play(queue, shuffled([*HONEST, *attack], rng), signals, rng)
    assert of_the_shop(attacked, FACTS) == of_the_shop(alone, FACTS)
    whose = SURE if signals is PixelSignals.NORMAL else None
    assert of_the_shop(attacked, OWNED, whose) == of_the_shop(alone, OWNED, whose)
    assert unsigned(attacked, whose) == unsigned(alone, whose)


@settings(max_examples=max(3, EXAMPLES // 10), **patient)  # type: ignore[arg-type]
@given(ATTACK, st.randoms(use_true_random=False))
async def test_the_order_of_arrival_changes_nothing(
    queue: asyncpg.Pool, attack: list[Fact], rng: random.Random
) -> None:
    facts = [*HONEST, *attack]
    once = await play(queue, facts, PixelSignals.NORMAL, rng)
    again = await play(queue, shuffled([*facts, *rng.sample(facts, 5)], rng), PixelSignals.NORMAL, rng)
    assert again == once


async def test_the_day_of_returning_customers_is_worth_attacking(queue: asyncpg.Pool) -> None:
    state = await play(queue, RETURNING, PixelSignals.NORMAL, random.Random(1), FOLLOWING)
    owners = {each["primary_ref"][-1]: [row[2:4] for row in each["credit"]][:1] for each in state}
    assert {owner[1] for [owner] in owners.values()} >= {"code", "click", "customer", "bound"}


@settings(max_examples=max(3, EXAMPLES // 10), **patient)  # type: ignore[arg-type]
@given(ATTACK, st.randoms(use_true_random=False))
async def test_with_policies_that_follow_customers_a_stranger_takes_nothing_and_the_order_of_arrival_changes_nothing(
    queue: asyncpg.Pool, attack: list[Fact], rng: random.Random
) -> None:
    alone = await play(queue, RETURNING, PixelSignals.NORMAL, rng, FOLLOWING)
    facts = [*RETURNING, *attack]
    attacked = await play(queue, shuffled(facts, rng), PixelSignals.NORMAL, rng, FOLLOWING)
    again = await play(queue, shuffled([*facts, *rng.sample(facts, 5)], rng), PixelSignals.NORMAL, rng, FOLLOWING)
    assert again == attacked
    assert of_the_shop(attacked, FACTS) == of_the_shop(alone, FACTS)
    followed = [each["primary_ref"] for each in alone if each["method"] in ("customer", "bound")]
    assert of_the_shop(attacked, OWNED, [*SURE, *followed]) == of_the_shop(alone, OWNED, [*SURE, *followed])
