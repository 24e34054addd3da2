"""One shop's eventful day as separate facts in the service's own form, each recordable at any time and any number of times, and the final state.

Three orders, two influencers. The pixel reports the first order as 1001, the server as 555, and only the webhook has both ids. Its click and that
of the second order may be drained before or after it. The third is rejected, restored and locked by people; its chargeback is reversed, its
cancellation undone, one line of it refunded, and its shop sends another amount after the lock. The facts may come in any order.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from msgspec.structs import replace

from app import clock
from app.domain import ids
from app.domain.codes import normalise
from app.domain.orders import (
    TRUST_PIXEL,
    TRUST_SERVER,
    TRUST_WEBHOOK,
    Landing,
    OrderLine,
    OrderReport,
    Receipt,
    RefundReport,
)
from app.domain.statuses import StatusChange
from app.intake.clicks.calendar import Calendar
from app.intake.clicks.recording import read_clicks, record_clicks
from app.orders.facts import add_changes
from app.orders.record import record, record_landings
from app.orders.redecide import redecide, redecide_orders
from app.spool.records import ClickLine
from tests.cast import Brand, create_brand, create_code, create_collaboration, create_link

Step = Callable[[Any], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Shop:
    """A brand with two influencers, and everything that happens to it. facts: by name. names: of the influencers, by collaboration."""

    brand: Brand
    facts: dict[str, Step]
    names: dict[UUID, str]


async def open_shop(pool: asyncpg.Pool) -> Shop:
    """A fresh brand to which nothing has happened yet."""
    brand = await create_brand(pool)
    lea, max_ = await create_collaboration(pool, brand, "Lea"), await create_collaboration(pool, brand, "Max")
    await create_code(pool, brand, max_, normalise("MAX5"))
    await pool.execute(
        "UPDATE code SET credit_policy = 'if_involved', max_redemptions = 1 WHERE brand_id = $1", brand.id
    )
    links = {
        name: await create_link(pool, brand, each, f"{name}{brand.id.hex[-12:]}")
        for name, each in (("lea", lea), ("max", max_))
    }
    noon = clock.now().replace(microsecond=0) - timedelta(hours=5)
    clicks = {name: ids.floor_at(noon - timedelta(hours=hours)) for name, hours in (("lea", 2), ("max", 1), ("old", 3))}
    on_link = {"lea": "lea", "max": "max", "old": "lea"}
    facts: dict[str, Step] = {
        f"click {name}": _drain(brand, click_id, links[on_link[name]]) for name, click_id in clicks.items()
    }
    facts |= {f"landing {name}": _land(brand, "v1", clicks[name], noon) for name in ("max", "old")}
    for name, report, receipt in _reports(noon, clicks):
        facts[name] = _record(brand, report, receipt)
    for name, report, receipt in _third_order(noon):
        facts[name] = _record(brand, report, receipt)
    for name, ref, change in _decisions(noon):
        facts[name] = _decide(brand, ref, change)
    return Shop(brand, facts, {lea.id: "Lea", max_.id: "Max"})


def _reports(noon: datetime, clicks: dict[str, UUID]) -> list[tuple[str, OrderReport, Receipt]]:
    def at(minutes: int) -> datetime:
        return noon + timedelta(minutes=minutes)

    first = OrderReport("main", "sale", ("555",), order_id="555")
    second = OrderReport("main", "sale", ("777",), order_id="777", visitor_id="v1")
    webhook = replace(
        first,
        refs=("555", "1001", "token-9"),
        currency="EUR",
        net_minor=10_001,
        codes=("max-5",),
        occurred_at=at(0),
        version=1,
    )
    refund = RefundReport("r1", amount_minor=3_334, currency="EUR", occurred_at=at(30))
    cancel = RefundReport("c1", "cancellation", full=True, occurred_at=at(20))
    reversal = RefundReport("v1", "reversal", 1_000, currency="EUR")
    stub = replace(first, stub=True, order_id=None)
    hook = Receipt(TRUST_WEBHOOK, "hook", "shopify", at(2))
    server = Receipt(TRUST_SERVER, "api", "api", at(1))
    pixel = Receipt(TRUST_PIXEL, "pixel", "pixel", at(0))
    return [
        ("pixel", OrderReport("main", "sale", ("1001",), order_id="1001", currency="EUR", net_minor=12_000, estimated=True,
                              click_ids=(ids.show("click", clicks["lea"]),), codes=("FAKE",)), pixel),
        ("server", replace(first, codes=("unheard of",), visitor_id="v9"), server),
        ("webhook 1", webhook, hook),
        ("webhook 2", replace(webhook, codes=(), net_minor=10_003, paid=True, version=2, refunds=(refund,)), replace(hook, received_at=at(9))),
        ("refund by server", replace(stub, refunds=(refund,)), replace(server, received_at=at(40))),
        ("cancellation", replace(stub, refs=("1001",), refunds=(cancel,)), replace(hook, received_at=at(45))),
        ("reversal", replace(stub, refunds=(reversal,)), replace(server, received_at=at(210))),
        # The same report received again later: it is dated by the first receipt.
        ("reversal again", replace(stub, refunds=(reversal,)), replace(server, received_at=at(290))),
        ("second order", replace(second, currency="EUR", net_minor=5_000, occurred_at=at(5), codes=("MAX5",)), replace(server, received_at=at(6))),
        ("second pixel", replace(second, click_ids=(str(clicks["max"]),)), replace(pixel, received_at=at(7))),
        ("second refund", replace(second, stub=True, refunds=(replace(refund, amount_minor=None, full=True),)), replace(hook, received_at=at(50))),
    ]  # fmt: skip


def _third_order(noon: datetime) -> list[tuple[str, OrderReport, Receipt]]:
    """Reports of the third order, which has two ids."""

    def at(minutes: int) -> datetime:
        return noon + timedelta(minutes=minutes)

    def hook(minutes: int) -> Receipt:
        return Receipt(TRUST_WEBHOOK, "hook", "woocommerce", at(minutes))

    order = OrderReport("main", "sale", ("888",), order_id="888")
    stub = OrderReport("main", "sale", ("wc-8",), stub=True)
    bought = (OrderLine("a", 2, 5_001), OrderLine("b", 1, 2_999))
    webhook = replace(
        stub, stub=False, currency="EUR", net_minor=8_000, paid=True, lines=bought, occurred_at=at(60), version=1
    )
    lost = RefundReport("cb", "chargeback", 2_000, currency="EUR", occurred_at=at(110))
    won = RefundReport("won", "reversal", full=True, reverses="cb", occurred_at=at(105))
    line = RefundReport("line", currency="EUR", lines=(OrderLine("a", 1),), line_based=True, occurred_at=at(115))
    cancelled = RefundReport("x", "cancellation", full=True, version=1, occurred_at=at(120))
    live = RefundReport("x", "cancellation", 0, version=2, occurred_at=at(130))
    return [
        ("third order", replace(order, currency="EUR", net_minor=8_100, codes=("MAX5",)), Receipt(TRUST_SERVER, "api", "api", at(61))),
        ("third webhook", webhook, hook(62)),
        ("third webhook, too late", replace(webhook, net_minor=7_000, version=2), hook(200)),
        ("third order's names", replace(stub, refs=("wc-8", "888")), hook(63)),
        ("chargeback", replace(stub, refunds=(lost,)), hook(111)),
        ("chargeback won", replace(stub, refunds=(won,)), hook(112)),
        ("one of line a", replace(stub, refs=("888",), refunds=(line,)), hook(116)),
        ("cancelled", replace(stub, refunds=(cancelled,)), hook(121)),
        ("live again", replace(stub, refunds=(live,)), hook(131)),
    ]  # fmt: skip


def _decisions(noon: datetime) -> list[tuple[str, str, StatusChange]]:
    """People's decisions about the third order, by the id that each of them uses."""

    def at(minutes: int) -> datetime:
        return noon + timedelta(minutes=minutes)

    return [
        ("rejected", "wc-8", StatusChange("rejected", at(70), "approved", "fraud", "looked odd")),
        ("restored", "888", StatusChange("pending", at(80), "rejected")),
        ("locked", "wc-8", StatusChange("locked", at(90), "approved")),
    ]


def _decide(brand: Brand, ref: str, change: StatusChange) -> Step:
    """Adds a decision about an order that may not have been reported yet, and decides the order again."""
    stub = OrderReport("main", "sale", (ref,), stub=True), Receipt(TRUST_SERVER, "api", "api", change.changed_at)

    async def step(connection: Any) -> None:
        async with connection.transaction():
            [recorded] = await record(connection, brand.id, [stub])
            await add_changes(connection, brand.id, [(recorded.conversion_id, change)])
            await redecide_orders(connection, brand.id, [recorded.conversion_id])

    return step


def _drain(brand: Brand, click_id: UUID, link_id: UUID) -> Step:
    line = ClickLine(str(click_id), str(brand.id), str(link_id), None, "", "Mozilla/5.0", "", "")

    async def step(connection: Any) -> object:
        return await record_clicks(connection, read_clicks([line]), Calendar())

    return step


def _land(brand: Brand, visitor_id: str, click_id: UUID, seen_at: datetime) -> Step:
    async def step(connection: Any) -> None:
        async with connection.transaction():
            await record_landings(connection, brand.id, [Landing(visitor_id, str(click_id), seen_at)])

    return step


def _record(brand: Brand, report: OrderReport, receipt: Receipt) -> Step:
    async def step(connection: Any) -> object:
        async with connection.transaction():
            return await record(connection, brand.id, [(report, receipt)])

    step.report = report, receipt  # type: ignore[attr-defined]
    return step


async def empty_queue(pool: asyncpg.Pool) -> None:
    """Works the queue off, except for what waits for a later day."""
    for _ in range(30):
        await redecide(pool)
        if not await pool.fetchval("SELECT count(*) FROM redecide WHERE not_before IS NULL"):
            return
    raise AssertionError("the queue does not empty")


async def state_of(pool: asyncpg.Pool, shop: Shop) -> list[dict[str, Any]]:
    """Everything stored about the shop's orders, without the ids that depend on the order of arrival."""
    rows = await pool.fetch(
        """SELECT c.*, d.verdict, d.method, d.model, d.reason, d.credits, d.candidates,
               ARRAY(SELECT ref FROM order_ref o JOIN conversion n ON n.brand_id = $1 AND n.id = o.conversion_id
                     WHERE o.brand_id = $1 AND n.root_id = c.id ORDER BY ref) AS refs
           FROM conversion c LEFT JOIN decision d ON d.brand_id = $1 AND d.conversion_id = c.id
           WHERE c.brand_id = $1 AND c.root_id = c.id""",
        shop.brand.id,
    )
    found = []
    for row in rows:
        shown = {name: value for name, value in row.items() if name not in LEFT_OUT}
        credits_of = await pool.fetch(
            "SELECT * FROM credit WHERE brand_id = $1 AND conversion_id = $2 ORDER BY position, share",
            shop.brand.id,
            row["id"],
        )
        shown["credit"] = [
            (each["position"], each["share"], shop.names.get(each["collaboration_id"]), each["method"], each["amount_minor"],
             each["occurred_at"], each["counted"], each["weight_bp"], each["currency"])
            for each in credits_of
        ]  # fmt: skip
        # A click has another id in every shop.
        shown["claims"] = sorted(touch.partition(":")[0] for touch in shown["claims"])
        found.append(shown)
    owned = await pool.fetchval(
        """SELECT count(*) FROM credit r JOIN conversion c ON c.brand_id = $1 AND c.id = r.conversion_id
           WHERE r.brand_id = $1 AND c.root_id <> c.id""",
        shop.brand.id,
    )
    assert owned == 0, "an order that was merged away still has credits"
    return sorted(found, key=lambda each: each["refs"])


LEFT_OUT = {"brand_id", "id", "root_id", "digest", "created_at", "updated_at", "credits", "candidates"}
