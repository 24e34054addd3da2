"""Goal: what identifies a person is handed out whole or erased for good, and no figure moves by it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from app import clock, random_ids
from app.database.connections import connect_pool
from app.domain import ids
from app.domain.codes import normalise
from app.domain.customers import PURPOSE, customer_key
from app.domain.statuses import StatusChange
from app.intake.clicks.calendar import Calendar
from app.intake.clicks.recording import read_clicks, record_clicks
from app.intake.deliveries.recording import record_deliveries
from app.intake.deliveries.replaying import replay
from app.jobs import erasures, exports
from app.jobs.kinds import KINDS
from app.jobs.run import PIECE, run_next
from app.orders.facts import add_changes
from app.orders.locks import lock_orders
from app.orders.redecide import redecide, redecide_orders
from app.secret import derive
from app.settings import Settings, read_settings
from app.spool.records import ClickLine, HookLine
from tests.cast import Brand, create_brand, create_code, create_collaboration, create_link
from tests.intake.test_deliveries import SECRET, Shop, hit

KEY = "s" * 43
JANE, JANES_ID, VISITOR = "jane.canary@example.org", "191167042", "v-canary-8842"


class Life:
    """Two brands of one kind: Jane's two orders (one by her visitor, one by a code), an order of somebody else on her device, and a stranger's."""

    def __init__(self, pool: asyncpg.Pool, settings: Settings) -> None:
        self.pool = pool
        self.settings = settings
        self.stopping = asyncio.Event()
        self.clicks: dict[UUID, UUID] = {}

    async def begin(self) -> None:
        self.alice = await create_brand(self.pool, "Alice")
        self.charlie = await create_brand(self.pool, "Charlie")
        self.shops = {}
        for brand in (self.alice, self.charlie):
            shop = self.shops[brand.id] = Shop(brand, "shopify")
            await shop.connect(self.pool, KEY, SECRET)
            lea = await create_collaboration(self.pool, brand)
            link_id = await create_link(self.pool, brand, lea, f"lea-{brand.id.hex[-6:]}")
            await create_code(self.pool, brand, lea, normalise("LEA10"))
            click_id = self.clicks[brand.id] = random_ids.new_id()
            line = ClickLine(
                str(click_id), str(brand.id), str(link_id), 77, "203.0.113.9", "Mozilla/5.0 (iPhone)", "ig.test", ""
            )
            async with self.pool.acquire() as connection:
                await record_clicks(connection, read_clicks([line]), Calendar())
            landed = f"k={brand.publishable_key}&event=land&click_id={ids.show('click', click_id)}&visitor_id={VISITOR}"
            await self.receive(hit(brand, landed, door="beacon"))
            await self.receive(
                self.order(
                    brand, 1, JANE, note_attributes=[{"name": "ariane_visitor", "value": VISITOR}], refund="5.00"
                ),
                self.order(brand, 2, JANE, discount_codes=[{"code": "LEA10", "amount": "1.00"}]),
                self.order(
                    brand, 3, "family@example.org", note_attributes=[{"name": "ariane_visitor", "value": VISITOR}]
                ),
                self.order(brand, 4, "stranger@example.org"),
            )
        await self.decide()

    def order(self, brand: Brand, number: int, email: str, *, refund: str = "", **changed: Any) -> HookLine:
        body = {
            "id": 7_000 + number,
            "name": f"#{number}",
            "currency": "EUR",
            "financial_status": "paid",
            "created_at": clock.now().isoformat(),
            "email": email,
            "customer": {"id": int(JANES_ID) if email == JANE else number, "email": email, "phone": "+33555canary"},
            "billing_address": {"address1": "1 Canary Street"},
            "line_items": [{"id": 1, "price": f"{number}0.00", "quantity": 1}],
            "discount_codes": [],
            **changed,
        }
        if refund:
            body["refunds"] = [
                {
                    "id": 9,
                    "refund_line_items": [{"line_item_id": 1, "quantity": 1, "subtotal": refund}],
                    "created_at": clock.now().isoformat(),
                }
            ]
        return self.shops[brand.id].line(json.dumps(body).encode(), {"x-shopify-topic": "orders/create"})

    async def receive(self, *lines: Any) -> Any:
        return await record_deliveries(self.pool, lines, secret=KEY, settings=self.settings)

    async def decide(self) -> None:
        for _ in range(5):
            await redecide(self.pool)

    async def put(self, kind: str, **arguments: object) -> UUID:
        job_id = random_ids.new_id()
        await self.pool.execute(
            "INSERT INTO job (brand_id, id, kind, arguments, created_at) VALUES ($1, $2, $3, $4, $5)",
            self.alice.id, job_id, kind, json.dumps(arguments), clock.now() + timedelta(seconds=1),
        )  # fmt: skip
        return job_id

    async def run(self, kind: str, **arguments: object) -> dict[str, Any]:
        job_id = await self.put(kind, **arguments)
        assert await run_next(self.pool, self.settings, KEY, KINDS, self.stopping) == 1
        job = await self.pool.fetchrow("SELECT * FROM job WHERE id = $1", job_id)
        assert job is not None
        assert job["state"] == "succeeded", job["error"]
        return {"id": job_id, **json.loads(job["result"])}

    async def file(self, job_id: UUID) -> str:
        """The file that an export made."""
        found, number = b"", 0
        while (piece := await self.pool.fetchval(PIECE, self.alice.id, job_id, number)) is not None:
            found, number = found + bytes(piece), number + 1
        return found.decode()

    def keys(self, email: str | None = JANE, customer_id: str | None = None) -> list[str]:
        found = {customer_key(derive(KEY, PURPOSE), self.alice.id, None, email)}
        found.add(customer_key(derive(KEY, PURPOSE), self.alice.id, customer_id, None))
        return sorted(each for each in found if each)

    async def figures(self, brand: Brand) -> dict[str, Any]:
        """Everything that reports and people read of orders, but for whom they are about."""
        rows = await self.pool.fetch(
            """SELECT c.order_id, c.status, c.net_minor, c.refunded_minor, c.codes, c.flags, c.occurred_at, c.customer_is_new, d.verdict, d.method,
                   d.reason, d.credits, d.candidates FROM conversion c JOIN decision d ON d.brand_id = $1 AND d.conversion_id = c.id
               WHERE c.brand_id = $1 ORDER BY c.order_id""",
            brand.id,
        )
        credit = await self.pool.fetch(
            "SELECT * FROM credit WHERE brand_id = $1 ORDER BY conversion_id, position, share", brand.id
        )
        clicks = await self.pool.fetch("SELECT * FROM click_day WHERE brand_id = $1 ORDER BY day, link_id", brand.id)
        return {
            "orders": list(map(tuple, rows)),
            "credit": list(map(tuple, credit)),
            "clicks": list(map(tuple, clicks)),
        }

    async def everything(self, brand: Brand, but: str = "") -> str:
        """All rows of a brand as text, bytes readable."""
        found = []
        for (table,) in await self.pool.fetch(
            """SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'brand_id'
               AND table_name NOT LIKE 'click_2%'"""
        ):
            if table == but:
                continue
            rows = await self.pool.fetch(f"SELECT * FROM {table} WHERE brand_id = $1", brand.id)
            for row in rows:
                found += [
                    bytes(each).decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in row
                ]
        return "\n".join(found)


@pytest.fixture
async def life(fresh_dsn: Callable[[], Awaitable[str]], tmp_path: Path) -> AsyncIterator[Life]:
    pool = await connect_pool(await fresh_dsn(), size=8, name="tests")
    made = Life(pool, msgspec.structs.replace(read_settings({}, data=tmp_path, secret_key=KEY), job_silent_s=2))
    await made.begin()
    yield made
    await pool.close()


async def test_erasing_a_customer_leaves_nothing_of_her_and_every_figure(life: Life) -> None:
    before, rival = await life.figures(life.alice), await life.everything(life.charlie)
    assert [row[9] for row in before["orders"]] == ["visitor", "code", "visitor", None]
    receipt = await life.run("privacy_erase", customer_keys=life.keys(customer_id=JANES_ID))
    # Her two orders, the beacon of her visitor, and the order that somebody else made on her device.
    assert receipt["found"] == {
        "conversions": 2, "deliveries": 4, "clicks": 1, "witnesses": 2, "adjustments": 1, "landings": 1, "touches": 2,
    }  # fmt: skip
    assert await life.figures(life.alice) == before
    kept = await life.everything(life.alice)
    assert [canary for canary in (JANE, JANES_ID, VISITOR) if canary in kept] == []
    assert not await life.pool.fetchval(
        "SELECT count(*) FROM witness WHERE brand_id = $1 AND report::text LIKE '%' || $2 || '%'",
        life.alice.id,
        life.keys()[0],
    )
    click = await life.pool.fetchrow("SELECT * FROM click WHERE brand_id = $1", life.alice.id)
    assert click is not None
    assert [click[name] for name in ("visitor", "country", "device", "os", "browser", "referrer_host")] == [None] * 6
    assert click["link_id"] is not None
    keys = await life.pool.fetch(
        "SELECT order_id, customer_key FROM conversion WHERE brand_id = $1 ORDER BY order_id", life.alice.id
    )
    assert [row["customer_key"] is None for row in keys] == [True, True, False, False]
    assert await life.everything(life.charlie) == rival


async def test_what_was_erased_does_not_come_back_by_a_replay_or_by_the_same_message(life: Life) -> None:
    again = life.order(life.alice, 5, JANE)
    await life.receive(again)
    await life.run("privacy_erase", customer_keys=life.keys())
    before = await life.figures(life.alice)
    rows = await life.pool.fetch(
        "SELECT id, erased_at, status FROM delivery WHERE brand_id = $1 ORDER BY id", life.alice.id
    )
    replayed = await replay(life.pool, life.alice.id, [row["id"] for row in rows], secret=KEY)
    reasons = [each.result.reason for each in sorted(replayed, key=lambda each: each.id)]
    assert reasons == ["erased" if row["erased_at"] else None for row in rows]
    assert {row["status"] for row in rows} == {"recorded"}
    await life.receive(msgspec.structs.replace(again, id=str(random_ids.new_id())))
    await life.decide()
    assert await life.figures(life.alice) == before
    assert JANE not in await life.everything(life.alice)


async def test_erased_twice_changes_nothing_and_finds_nothing(life: Life) -> None:
    await life.run("privacy_erase", customer_keys=life.keys())
    before = await life.figures(life.alice)
    receipt = await life.run("privacy_erase", customer_keys=life.keys())
    assert set(receipt["found"].values()) == {0}
    assert await life.figures(life.alice) == before


async def test_an_erased_order_is_worked_out_anew_to_the_same_money_and_owner_locked_or_not(life: Life) -> None:
    rows = await life.pool.fetch(
        "SELECT id, order_id FROM conversion WHERE brand_id = $1 ORDER BY order_id", life.alice.id
    )
    async with life.pool.acquire() as connection, connection.transaction():
        change = StatusChange("locked", clock.now(), "approved")
        await lock_orders(connection, life.alice.id, [rows[0]["id"]])
        await add_changes(connection, life.alice.id, [(rows[0]["id"], change)])
        await redecide_orders(connection, life.alice.id, [rows[0]["id"]])
    before = await life.figures(life.alice)
    await life.run("privacy_erase", customer_keys=life.keys())
    await life.pool.execute("UPDATE conversion SET digest = '' WHERE brand_id = $1", life.alice.id)
    async with life.pool.acquire() as connection, connection.transaction():
        await redecide_orders(connection, life.alice.id, [row["id"] for row in rows])
    assert await life.figures(life.alice) == before


async def test_an_order_is_erased_alone(life: Life) -> None:
    rows = await life.pool.fetch("SELECT id FROM conversion WHERE brand_id = $1 ORDER BY order_id", life.alice.id)
    before = await life.figures(life.alice)
    receipt = await life.run("privacy_erase", conversion_id=ids.show("conversion", rows[1]["id"]))
    assert receipt["ids"]["conversions"] == [ids.show("conversion", rows[1]["id"])]
    keys = await life.pool.fetch(
        "SELECT customer_key FROM conversion WHERE brand_id = $1 ORDER BY order_id", life.alice.id
    )
    assert [row["customer_key"] is None for row in keys] == [False, True, False, False]
    assert await life.figures(life.alice) == before


async def test_a_click_is_erased_with_whoever_landed_with_it(life: Life) -> None:
    before = await life.figures(life.alice)
    receipt = await life.run("privacy_erase", click_id=ids.show("click", life.clicks[life.alice.id]))
    assert (receipt["found"]["conversions"], receipt["found"]["clicks"], receipt["found"]["landings"]) == (2, 1, 1)
    assert VISITOR not in await life.everything(life.alice)
    assert await life.figures(life.alice) == before


async def test_the_landings_of_a_visitor_who_bought_nothing_go(life: Life) -> None:
    click_id = ids.show("click", life.clicks[life.alice.id])
    idle = f"k={life.alice.publishable_key}&event=land&click_id={click_id}&visitor_id=idle-canary"
    await life.receive(hit(life.alice, idle, door="beacon"))
    await life.run("privacy_erase", click_id=click_id)
    assert "idle-canary" not in await life.everything(life.alice)
    assert await life.pool.fetchval("SELECT count(*) FROM visitor_click WHERE brand_id = $1", life.alice.id) == 1


async def test_whoever_landed_with_the_click_that_an_order_names_is_erased_with_the_order(life: Life) -> None:
    shown = ids.show("click", life.clicks[life.alice.id])
    await life.receive(
        life.order(life.alice, 6, "clicker@example.org", note_attributes=[{"name": "ariane", "value": shown}])
    )
    await life.decide()
    before = await life.figures(life.alice)
    assert before["orders"][-1][9] == "click"
    receipt = await life.run("privacy_export", customer_keys=life.keys("clicker@example.org"))
    records = json.loads(await life.file(receipt["id"]))["records"]
    assert [each["visitor_id"] for each in records if each["record"] == "landing"] == [VISITOR]
    await life.run("privacy_erase", customer_keys=life.keys("clicker@example.org"))
    kept = await life.pool.fetch("SELECT visitor_id FROM visitor_click WHERE brand_id = $1", life.alice.id)
    assert [row["visitor_id"].startswith("erased-") for row in kept] == [True]
    assert VISITOR not in await life.everything(life.alice)
    await life.decide()
    assert await life.figures(life.alice) == before


async def test_orders_that_a_pixel_claimed_for_one_customer_stay_those_of_one_customer(life: Life) -> None:
    """Claims are counted by customers: each order without one would be of another."""
    await life.pool.execute("UPDATE brand SET pixel_claims_max = 1 WHERE id = $1", life.alice.id)
    shown = ids.show("click", life.clicks[life.alice.id])
    for number in (6, 7):
        await life.receive(life.order(life.alice, number, "dealer@example.org"))
        claim = f"k={life.alice.publishable_key}&order_id={7_000 + number}&click_id={shown}"
        await life.receive(hit(life.alice, claim))
    await life.decide()
    before = await life.figures(life.alice)
    assert [row[9] for row in before["orders"][-2:]] == ["click", "click"]
    await life.run("privacy_erase", customer_keys=life.keys("dealer@example.org"))
    await life.pool.execute("UPDATE conversion SET digest = '' WHERE brand_id = $1", life.alice.id)
    rows = await life.pool.fetch(
        "SELECT id, customer_key FROM conversion WHERE brand_id = $1 ORDER BY order_id", life.alice.id
    )
    async with life.pool.acquire() as connection, connection.transaction():
        await redecide_orders(connection, life.alice.id, [row["id"] for row in rows])
    assert await life.figures(life.alice) == before
    assert life.keys("dealer@example.org")[0] not in await life.everything(life.alice, but="job")
    assert len({row["customer_key"] for row in rows[-2:]}) == 1


async def test_a_message_that_nobody_could_read_is_found_by_its_email(life: Life) -> None:
    shop = life.shops[life.alice.id]
    await life.receive(
        shop.line(b'{"weird": "Jane.Canary@Example.org"', {"x-shopify-topic": "orders/create"}),
        shop.line(b"email=jane.canary%40example.org", {"x-shopify-topic": "orders/create"}, wrong="wrong_signature"),
        shop.line(b'{"weird": "other@example.org"', {"x-shopify-topic": "orders/create"}),
    )
    await life.run("privacy_erase", customer_keys=life.keys())
    rows = await life.pool.fetch(
        "SELECT status, body FROM delivery WHERE brand_id = $1 AND status <> 'recorded'", life.alice.id
    )
    assert sorted((row["status"], bytes(row["body"])) for row in rows) == [
        ("rejected", b""), ("rejected", b'{"weird": "other@example.org"'), ("unsigned", b""),
    ]  # fmt: skip


async def test_an_erasure_that_is_broken_off_goes_on_where_it_was(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasures, "BATCH_ORDERS", 1)
    before = await life.figures(life.alice)
    job_id = await life.put("privacy_erase", customer_keys=life.keys())
    whole, calls = erasures.erase_orders, 0

    async def stopping(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        life.stopping.set()
        return await whole(*given)

    monkeypatch.setattr(erasures, "erase_orders", stopping)
    for _ in range(10):
        life.stopping.clear()
        await run_next(life.pool, life.settings, KEY, KINDS, life.stopping)
    job = await life.pool.fetchrow("SELECT * FROM job WHERE id = $1", job_id)
    assert job is not None
    assert (job["state"], job["checkpoint"]) == ("succeeded", None)
    assert json.loads(job["result"])["found"]["conversions"] == 2
    assert calls == 2
    assert await life.figures(life.alice) == before
    assert VISITOR not in await life.everything(life.alice)


async def test_an_export_holds_everything_about_the_person_and_nothing_of_others(life: Life) -> None:
    receipt = await life.run("privacy_export", customer_keys=life.keys())
    file = await life.file(receipt["id"])
    about = json.loads(file)
    assert [each["record"] for each in about["records"]].count("order") == 2
    assert len(file.encode()) == receipt["bytes"]
    first = next(each for each in about["records"] if each.get("order_id") == "7001")
    assert (first["net_minor"], first["refunded_minor"], first["reports"][0]["report"]["visitor_id"]) == (
        1000,
        500,
        VISITOR,
    )
    assert first["decision"]["method"] == "visitor"
    bodies = [each["body"] for each in about["records"] if each["record"] == "delivery"]
    assert sum("7001" in body for body in bodies) == 1
    assert any(f"visitor_id={VISITOR}" in body for body in bodies)
    [landing] = [each for each in about["records"] if each["record"] == "landing"]
    [click] = [each for each in about["records"] if each["record"] == "click"]
    assert landing["click_id"] == click["id"] == ids.show("click", life.clicks[life.alice.id])
    assert "stranger@example.org" not in file
    assert receipt["found"]["conversions"] == 2


async def test_an_erasure_takes_the_files_of_earlier_exports_along(life: Life) -> None:
    export = await life.run("privacy_export", customer_keys=life.keys())
    other = await life.run("privacy_export", customer_keys=life.keys("stranger@example.org"))
    await life.run("privacy_erase", customer_keys=life.keys())
    assert await life.file(export["id"]) == ""
    assert json.loads(await life.file(other["id"]))["records"] != []


async def test_an_export_over_its_limit_fails_with_the_reason(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "EXPORT_BYTES_MAX", 300)
    job_id = await life.put("privacy_export", customer_keys=life.keys())
    await run_next(life.pool, life.settings, KEY, KINDS, life.stopping)
    job = await life.pool.fetchrow("SELECT * FROM job WHERE id = $1", job_id)
    assert job is not None
    assert job["state"] == "failed"
    assert "larger than" in job["error"]
    assert await life.file(job_id) == ""


# ── What a shop system demands ───────────────────────────────────────────────────────────────────────────────────────


def demand(life: Life, topic: str, **body: object) -> HookLine:
    whole = {"shop_id": 954889, "shop_domain": "shop.myshopify.com", **body}
    return life.shops[life.alice.id].line(json.dumps(whole).encode(), {"x-shopify-topic": topic})


async def work_off(life: Life) -> dict[str, Any]:
    """The only job there is, once it has ended."""
    assert await run_next(life.pool, life.settings, KEY, KINDS, life.stopping) == 1
    [job] = await life.pool.fetch("SELECT * FROM job")
    assert job["state"] == "succeeded", job["error"]
    return {"id": job["id"], "kind": job["kind"], "arguments": job["arguments"], **json.loads(job["result"])}


CUSTOMER = {"id": int(JANES_ID), "email": JANE, "phone": "+33555canary"}


async def test_customers_redact_is_carried_out_once_and_the_delivery_says_so(life: Life) -> None:
    before = await life.figures(life.alice)
    line = demand(life, "customers/redact", customer=CUSTOMER, orders_to_redact=[7001])
    await life.receive(line)
    row = await life.pool.fetchrow(
        "SELECT * FROM delivery WHERE brand_id = $1 AND id = $2", life.alice.id, UUID(line.id)
    )
    assert row is not None
    assert (row["status"], row["topic"]) == ("recorded", "customers/redact")
    assert ids.show("job", UUID(line.id)) in row["detail"]
    await replay(life.pool, life.alice.id, [UUID(line.id)], secret=KEY)
    receipt = await work_off(life)
    assert JANE not in receipt["arguments"]
    assert receipt["found"]["conversions"] == 2
    assert await life.figures(life.alice) == before
    kept = await life.everything(life.alice)
    assert [canary for canary in (JANE, JANES_ID, VISITOR, "canary") if canary in kept] == []


async def test_customers_redact_finds_the_orders_it_lists_of_somebody_unknown(life: Life) -> None:
    await life.receive(demand(life, "customers/redact", customer={"id": 1, "email": None}, orders_to_redact=[7004]))
    receipt = await work_off(life)
    assert receipt["found"]["conversions"] == 1
    keys = await life.pool.fetch(
        "SELECT customer_key FROM conversion WHERE brand_id = $1 ORDER BY order_id", life.alice.id
    )
    assert [row["customer_key"] is None for row in keys] == [False, False, False, True]


async def test_a_data_request_leaves_a_file_for_the_brand_to_fetch(life: Life) -> None:
    line = demand(life, "customers/data_request", customer=CUSTOMER, orders_requested=[7001], data_request={"id": 9999})
    await life.receive(line)
    receipt = await work_off(life)
    detail = await life.pool.fetchval(
        "SELECT detail FROM delivery WHERE brand_id = $1 AND id = $2", life.alice.id, UUID(line.id)
    )
    assert receipt["download"] in detail
    records = json.loads(await life.file(receipt["id"]))["records"]
    assert sorted(each["order_id"] for each in records if each["record"] == "order") == ["7001", "7002"]


async def test_shop_redact_takes_every_shopper_of_the_shop_and_no_figure(life: Life) -> None:
    click_id = ids.show("click", life.clicks[life.alice.id])
    idle = f"k={life.alice.publishable_key}&event=land&click_id={click_id}&visitor_id=idle-canary"
    await life.receive(hit(life.alice, idle, door="beacon"))
    before, rival = await life.figures(life.alice), await life.everything(life.charlie)
    await life.receive(demand(life, "shop/redact"))
    receipt = await work_off(life)
    assert receipt["found"]["conversions"] == 4
    assert await life.figures(life.alice) == before
    kept = await life.everything(life.alice)
    assert [canary for canary in (JANE, JANES_ID, VISITOR, "canary", "family", "stranger") if canary in kept] == []
    assert (
        await life.pool.fetchval("SELECT count(*) FROM delivery WHERE brand_id = $1 AND body <> ''", life.alice.id) == 0
    )
    assert (
        await life.pool.fetchval("SELECT count(customer_key) FROM conversion WHERE brand_id = $1", life.alice.id) == 0
    )
    assert await life.everything(life.charlie) == rival


async def test_an_unsigned_demand_does_nothing(life: Life) -> None:
    shop = life.shops[life.alice.id]
    body = json.dumps({"customer": CUSTOMER, "orders_to_redact": []}).encode()
    await life.receive(shop.line(body, {"x-shopify-topic": "customers/redact"}, wrong="wrong_signature"))
    assert await life.pool.fetchval("SELECT count(*) FROM job") == 0
