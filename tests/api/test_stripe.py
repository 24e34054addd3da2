"""A shop on Stripe, end to end: its source, its code with the id Stripe has for it, its signed events through the door, the order and its report."""

import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from app import clock
from app.intake.deliveries.recording import record_deliveries
from app.orders.redecide import redecide
from app.secret import load_secret
from app.settings import Settings
from demo.simulator.stripe import charge_refunded, dispute, event, invoice, refund, session
from tests.api.calls import fields_at_fault, make_pair, post
from tests.cast import Brand
from tests.tracking.asking import ask, running_doors, settings_for, spooled

WHSEC = "whsec_c2VjcmV0LW9mLWEtc2hvcA=="
PROMO = "promo_1Pgc79B7WZ01zgkWNy4mn5NX"
Json = dict[str, Any]


@dataclass
class Shop:
    """A connected shop: posts events as Stripe does and has them recorded as the background process does."""

    pool: asyncpg.Pool
    own: Settings
    path: str

    async def post(self, *events: Json, secret: str = WHSEC) -> list[int]:
        """The statuses that Stripe was answered with."""
        # Stripe's library is dear to import: a process that only collects this file does not pay for it.
        from stripe import WebhookSignature

        statuses = []
        async with running_doors(self.own) as doors:
            for each in events:
                body = json.dumps(each)
                signature = WebhookSignature.generate_signature_header(body, secret, int(clock.now().timestamp()))
                headers = [("Stripe-Signature", signature), ("Content-Type", "application/json; charset=utf-8")]
                statuses.append((await ask(doors, "POST", self.path, headers=headers, body=body.encode())).status)
            await doors.stop()
            lines = spooled(self.own, "orders")
        await record_deliveries(self.pool, lines, secret=load_secret(self.own), settings=self.own)
        return statuses


@pytest.fixture
async def shop(dsn: str, tmp_path: Path, pool: asyncpg.Pool, settings: Settings, as_alice: httpx2.AsyncClient) -> Shop:
    source = await post(as_alice, "/v1/sources", {"platform": "stripe", "secrets": [WHSEC]})
    return Shop(pool, settings_for(dsn, tmp_path), httpx2.URL(source["url"]).path)


@pytest.fixture
async def code(as_alice: httpx2.AsyncClient) -> Json:
    return await post(as_alice, "/v1/codes", {**await make_pair(as_alice), "code": "LEA10", "aliases": [PROMO]})


async def settled(pool: asyncpg.Pool) -> None:
    while await redecide(pool):
        pass


async def order_of(client: httpx2.AsyncClient, name: str) -> Json:
    [found] = (await client.get("/v1/conversions", params={"order_id": name})).json()["data"]
    return dict((await client.get(f"/v1/conversions/{found['id']}")).json())


# ── Orders through the door ──────────────────────────────────────────────────────────────────────────────────────────


async def test_an_order_that_names_a_promotion_code_s_id_is_credited_to_the_code_s_owner(
    shop: Shop, code: Json, as_alice: httpx2.AsyncClient, as_charlie: httpx2.AsyncClient
) -> None:
    refunded = (refund("re_1", 2000), charge_refunded(2000), charge_refunded(2000))
    assert (
        await shop.post(*refunded, session(), session(), dispute("needs_response", "created"), dispute("won"))
        == [200] * 7
    )
    order = await order_of(as_alice, "pi_123")
    assert (order["currency"], order["net_minor"], order["refunded_minor"], order["status"]) == (
        "EUR",
        4000,
        1600,
        "approved",
    )
    assert (order["tax_minor"], order["items_minor"], order["discount_minor"], order["flags"]) == (999, 5000, 1000, [])
    decided = order["attribution"]
    assert (decided["verdict"], decided["method"], decided["reason"]) == ("attributed", "code", "code_owner")
    [credit] = decided["credits"]
    assert (credit["code_id"], credit["collaboration_id"]) == (code["id"], code["collaboration_id"])
    [candidate] = decided["candidates"]
    assert (candidate["code"], candidate["code_alias"], candidate["eligible"]) == ("LEA10", PROMO, True)
    assert order["witnesses"][0]["said"]["code_ids"] == [PROMO]
    assert (await as_charlie.get("/v1/conversions", params={"order_id": "pi_123"})).json()["data"] == []
    found = (await as_alice.get("/v1/codes/check", params={"code": "LEA10"})).json()
    assert found["redemptions"] == 1


async def test_a_rival_s_code_with_the_same_id_has_nothing_to_do_with_it(
    shop: Shop, as_alice: httpx2.AsyncClient, as_charlie: httpx2.AsyncClient
) -> None:
    await post(as_charlie, "/v1/codes", {**await make_pair(as_charlie), "code": "LEA10", "aliases": [PROMO]})
    await shop.post(session())
    decided = (await order_of(as_alice, "pi_123"))["attribution"]
    assert decided["verdict"] == "unattributed"
    [candidate] = decided["candidates"]
    assert (candidate["code"], candidate["code_alias"], candidate["reason"]) == (PROMO, PROMO, "unknown_code")
    assert (await as_charlie.get("/v1/conversions")).json()["data"] == []


async def test_a_subscription_s_first_invoice_is_its_session_s_order_and_its_refund_finds_it(
    shop: Shop, as_alice: httpx2.AsyncClient
) -> None:
    bought = session(mode="subscription", payment_intent=None, invoice="in_1", discounts=[])
    first = invoice(id="in_1", currency="eur", total=4999, total_excluding_tax=4000)
    paid_by = event("invoice_payment.paid", {"invoice": "in_1", "payment": {"payment_intent": "pi_123"}})
    renewal = invoice(id="in_2", currency="eur", total=4999, total_excluding_tax=4000)
    # The refund knows the payment alone; nobody but invoice_payment.paid says whose it is.
    await shop.post(refund("re_1", 4999), first, paid_by)
    await shop.post(renewal, bought)
    order = await order_of(as_alice, "in_1")
    assert (order["order_id"], order["net_minor"], order["refunded_minor"]) == (
        bought["data"]["object"]["id"],
        4000,
        4000,
    )
    assert (await order_of(as_alice, "pi_123"))["id"] == order["id"]
    again = await order_of(as_alice, "in_2")
    assert (again["id"] != order["id"], again["refunded_minor"]) == (True, 0)


# ── Credit notes and payments that are authorised first ──────────────────────────────────────────────────────────────

CASES = Path(__file__).parents[1] / "samples" / "cases"
TAKEN = ("status", "net_minor", "refunded_minor")
RIGHT = {
    # Of 120.00 with tax 36.00 are credited before payment: 84.00, of which 70.00 net.
    "43-stripe-prepayment-credit-note": ("approved", 7_000, 0),
    "44-stripe-credit-note-to-balance": ("approved", 10_000, 5_000),
    # Cancelled before anything was paid: nothing was sold, and nothing is left.
    "45-stripe-manual-capture-cancelled": ("rejected", 5_000, 5_000),
    "46-stripe-manual-capture-captured": ("approved", 5_000, 0),
    "47-stripe-partial-capture": ("approved", 3_000, 0),
}


@pytest.mark.parametrize("case", RIGHT)
async def test_what_stripe_says_of_a_payment_comes_to_the_same_in_any_order(
    case: str, shop: Shop, code: Json, as_alice: httpx2.AsyncClient, as_charlie: httpx2.AsyncClient
) -> None:
    said = json.loads((CASES / f"{case}.json").read_text())
    for turn, events in enumerate(itertools.permutations(said)):
        # Each order of arrival is another shopper's order.
        told = json.loads(json.dumps(events).replace(f"_{case[:2]}", f"_{case[:2]}_{turn}"))
        for each in told:
            assert await shop.post(event(each["type"], each["object"], id=f"evt_{turn}_{each['type']}")) == [200]
    orders = (await as_alice.get("/v1/conversions")).json()["data"]
    assert {tuple(order[name] for name in TAKEN) for order in orders} == {RIGHT[case]}
    assert len(orders) == math.factorial(len(said))
    for order in orders:
        shown = (await as_alice.get(f"/v1/conversions/{order['id']}")).json()
        assert shown["attribution"]["credits"][0]["code_id"] == code["id"]
    assert (await as_charlie.get("/v1/conversions")).json()["data"] == []
    kept = (await as_alice.get("/v1/deliveries", params={"limit": 100})).json()["data"]
    assert {(each["status"], each["reason"]) for each in kept} == {("recorded", None)}


async def test_a_payment_that_nobody_ordered_here_is_no_order(shop: Shop, as_alice: httpx2.AsyncClient) -> None:
    _, *payment = json.loads((CASES / "47-stripe-partial-capture.json").read_text())
    await shop.post(*(event(each["type"], each["object"], id=f"evt_{each['type']}") for each in payment))
    assert (await as_alice.get("/v1/conversions")).json()["data"] == []


async def test_a_receipt_is_joined_to_its_paid_session_whichever_message_says_so(
    shop: Shop, as_alice: httpx2.AsyncClient
) -> None:
    # Stripe makes the receipt after the payment: its session does not name it, nor does it name its payment since 2025-03-31.
    bought = session(invoice=None, metadata={"code": "LEA10"}, discounts=[])
    receipt = invoice(
        id="in_9", billing_reason="manual", currency="eur", total=4999, total_excluding_tax=4000, payments=None
    )
    paid_by = event("invoice_payment.paid", {"invoice": "in_9", "payment": {"payment_intent": "pi_123"}})
    await shop.post(receipt, bought, paid_by)
    [order] = (await as_alice.get("/v1/conversions")).json()["data"]
    assert (order["order_id"], order["net_minor"]) == (bought["data"]["object"]["id"], 4000)


async def test_a_wrong_secret_is_told_and_nothing_is_recorded(shop: Shop, as_alice: httpx2.AsyncClient) -> None:
    assert await shop.post(session(), secret="whsec_another") == [401]
    assert (await as_alice.get("/v1/conversions")).json()["data"] == []
    [kept] = (await as_alice.get("/v1/deliveries", params={"status": "unsigned"})).json()["data"]
    assert kept["reason"] == "wrong_signature"


async def test_what_is_no_order_is_kept_with_its_reason(shop: Shop, as_alice: httpx2.AsyncClient) -> None:
    assert await shop.post(event("plan.created", {"object": "plan"}), session("expired")) == [200, 200]
    kept = (await as_alice.get("/v1/deliveries")).json()["data"]
    assert {(row["topic"], row["status"], row["reason"]) for row in kept} == {
        ("plan.created", "ignored", "unknown_topic"),
        ("checkout.session.expired", "ignored", "checkout_abandoned"),
    }


# ── Ids of codes ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_id_given_to_a_code_later_credits_the_orders_that_named_it_and_takes_it_back_when_it_goes(
    shop: Shop, as_alice: httpx2.AsyncClient, pool: asyncpg.Pool
) -> None:
    await shop.post(session())
    code = await post(as_alice, "/v1/codes", {**await make_pair(as_alice), "code": "LEA10", "max_redemptions": 1})
    await settled(pool)
    assert (await order_of(as_alice, "pi_123"))["attribution"]["verdict"] == "unattributed"
    for aliases, verdict, redemptions in (([PROMO], "attributed", 1), ([], "unattributed", 0)):
        changed = await as_alice.patch(f"/v1/codes/{code['id']}", json={"aliases": aliases})
        assert changed.json()["aliases"] == aliases
        await settled(pool)
        assert (await order_of(as_alice, "pi_123"))["attribution"]["verdict"] == verdict
        assert (await as_alice.get("/v1/codes/check", params={"code": "LEA10"})).json()["redemptions"] == redemptions


async def test_a_change_of_the_code_reaches_orders_that_know_it_by_its_id_alone(
    shop: Shop, code: Json, as_alice: httpx2.AsyncClient, pool: asyncpg.Pool
) -> None:
    await shop.post(session())
    await settled(pool)
    await as_alice.patch(f"/v1/codes/{code['id']}", json={"credit_policy": "never"})
    await settled(pool)
    [candidate] = (await order_of(as_alice, "pi_123"))["attribution"]["candidates"]
    assert candidate["reason"] == "never_credited"


async def test_ids_of_codes_are_shown_found_and_kept_apart_by_their_capitals(as_alice: httpx2.AsyncClient) -> None:
    pair = await make_pair(as_alice)
    lea = await post(as_alice, "/v1/codes", {**pair, "code": "LEA10", "aliases": ["promo_B", "promo_a", "promo_a"]})
    assert lea["aliases"] == ["promo_B", "promo_a"]
    max_ = await post(as_alice, "/v1/codes", {**pair, "code": "MAX10", "aliases": ["promo_c"]})
    for alias, code in (("promo_B", lea), ("promo_c", max_)):
        [found] = (await as_alice.get("/v1/codes", params={"alias": alias})).json()["data"]
        assert found["id"] == code["id"]
    for other in ("promo_A", "promo_b", "promo_C"):
        assert (await as_alice.get("/v1/codes", params={"alias": other})).json()["data"] == []


async def test_an_id_belongs_to_one_code_of_a_brand(
    as_alice: httpx2.AsyncClient, as_charlie: httpx2.AsyncClient
) -> None:
    pair = await make_pair(as_alice)
    lea = await post(as_alice, "/v1/codes", {**pair, "code": "LEA10", "aliases": [PROMO]})
    faults = await fields_at_fault(as_alice, "/v1/codes", {**pair, "code": "MAX10", "aliases": [PROMO]}, status=409)
    assert faults == {"aliases": "alias_taken"}
    assert (await as_alice.get("/v1/codes", params={"code": "MAX10"})).json()["data"] == [], "half of it was made"
    await as_alice.patch(f"/v1/codes/{lea['id']}", json={"aliases": []})
    await post(as_alice, "/v1/codes", {**pair, "code": "MAX10", "aliases": [PROMO]})
    # Another brand's ids are no business of ours, nor ours of theirs.
    await post(as_charlie, "/v1/codes", {**await make_pair(as_charlie), "code": "MAX10", "aliases": [PROMO]})
    assert (await as_charlie.patch(f"/v1/codes/{lea['id']}", json={"aliases": ["promo_x"]})).status_code == 404


async def test_a_code_is_found_by_its_external_id_only_with_the_same_ids(as_alice: httpx2.AsyncClient) -> None:
    body = {**await make_pair(as_alice), "code": "LEA10", "external_id": "7", "aliases": ["promo_b", "promo_a"]}
    made = await post(as_alice, "/v1/codes", body)
    assert (await post(as_alice, "/v1/codes", body | {"aliases": ["promo_a", "promo_b"]}, status=200))["id"] == made[
        "id"
    ]
    assert (await as_alice.post("/v1/codes", json=body | {"aliases": []})).status_code == 409


@pytest.mark.parametrize("aliases", [[""], ["a\u0000"], [5], ["x" * 201], [f"promo_{n}" for n in range(51)], None])
async def test_what_cannot_be_an_id_is_refused_by_name(as_alice: httpx2.AsyncClient, aliases: Any) -> None:
    answer = await as_alice.post("/v1/codes", json={**await make_pair(as_alice), "code": "LEA10", "aliases": aliases})
    assert answer.status_code in (400, 422)
    if answer.status_code == 422:
        assert answer.json()["errors"][0]["pointer"].startswith("/aliases")


async def test_an_event_that_is_sent_a_hundred_times_is_one_order(
    shop: Shop, as_alice: httpx2.AsyncClient, alice: Brand, pool: asyncpg.Pool
) -> None:
    retried = [session() | {"pending_webhooks": count % 3} for count in range(100)]
    assert set(await shop.post(*retried)) == {200}
    assert await pool.fetchval("SELECT count(*) FROM delivery WHERE brand_id = $1", alice.id) == 3
    assert await pool.fetchval("SELECT count(*) FROM witness WHERE brand_id = $1", alice.id) == 1
    assert (await order_of(as_alice, "pi_123"))["net_minor"] == 4000
