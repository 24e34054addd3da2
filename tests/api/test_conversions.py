"""POST and GET /v1/conversions: one answer with the verdict, idempotent for ever, and nobody else's."""

import asyncio
import csv
import io
import json
from datetime import timedelta
from typing import Any

import asyncpg
import httpx2
import pytest

from app import clock, random_ids
from app.database.transactions import in_transaction
from app.domain import ids
from app.domain.click_classes import BOT, EMBEDDED, HUMAN, OWN
from app.domain.codes import normalise
from app.domain.orders import TRUST_WEBHOOK, OrderReport, Receipt
from app.orders.record import record
from tests.cast import Brand, Collaboration, create_code, create_collaboration, create_link

ORDER: dict[str, Any] = {"order_id": "1001", "net_minor": 4990, "currency": "EUR", "codes": ["lea-10"]}


@pytest.fixture
async def lea(pool: asyncpg.Pool, alice: Brand) -> Collaboration:
    """Lea's collaboration, with the code LEA10."""
    collaboration = await create_collaboration(pool, alice)
    await create_code(pool, alice, collaboration, normalise("LEA10"))
    return collaboration


async def click(
    pool: asyncpg.Pool, brand: Brand, collaboration: Collaboration, *, days_ago: float = 1, class_: int = HUMAN
) -> str:
    """A click on a link of this collaboration, as the order names it."""
    link_id = await create_link(pool, brand, collaboration, f"l{random_ids.new_id().hex[-12:]}")
    at = clock.now() - timedelta(days=days_ago)
    click_id = ids.floor_at(at)
    await pool.execute(
        "INSERT INTO click (brand_id, id, link_id, occurred_at, class) VALUES ($1, $2, $3, $4, $5)",
        brand.id,
        click_id,
        link_id,
        at,
        class_,
    )
    return ids.show("click", click_id)


async def test_an_order_with_a_code_is_answered_with_the_verdict(
    as_alice: httpx2.AsyncClient, lea: Collaboration
) -> None:
    answer = await as_alice.post("/v1/conversions", json=ORDER)
    assert answer.status_code == 201, answer.text
    answered = answer.json()
    assert answered["order_id"] == "1001"
    assert (answered["net_minor"], answered["refunded_minor"], answered["status"]) == (4990, 0, "pending")
    attribution = answered["attribution"]
    assert (attribution["verdict"], attribution["method"], attribution["reason"]) == (
        "attributed",
        "code",
        "code_owner",
    )
    [credit] = attribution["credits"]
    assert credit["collaboration_id"] == ids.show("collaboration", lea.id)
    assert credit["influencer_id"] == ids.show("influencer", lea.influencer_id)
    assert credit["campaign_id"] == ids.show("campaign", lea.campaign_id)
    assert (credit["weight_bp"], credit["net_minor"]) == (10_000, 4990)
    [candidate] = attribution["candidates"]
    assert (candidate["eligible"], candidate["reason"]) == (True, "code_owner")
    [witness] = answered["witnesses"]
    assert (witness["door"], witness["trust"]) == ("api", "authenticated")


@pytest.mark.parametrize(
    ("class_", "flags"), [(HUMAN, []), (BOT, []), (EMBEDDED, ["embedded_click"]), (OWN, ["own_click"])]
)
async def test_an_order_that_names_a_click_that_was_no_visit_is_flagged(
    as_alice: httpx2.AsyncClient, pool: asyncpg.Pool, alice: Brand, lea: Collaboration, class_: int, flags: list[str]
) -> None:
    click_id = await click(pool, alice, lea, class_=class_)
    answer = await as_alice.post("/v1/conversions", json=ORDER | {"codes": [], "click_id": click_id})
    assert (answer.json()["attribution"]["verdict"], answer.json()["flags"]) == ("attributed", flags)


async def test_the_same_report_again_is_answered_200_with_the_same_body(
    as_alice: httpx2.AsyncClient, lea: Collaboration
) -> None:
    first = await as_alice.post("/v1/conversions", json=ORDER)
    again = await as_alice.post("/v1/conversions", json=ORDER)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()


async def test_a_hundred_equal_reports_in_parallel_are_one_conversion(
    pool: asyncpg.Pool, as_alice: httpx2.AsyncClient, alice: Brand, lea: Collaboration
) -> None:
    answers = await asyncio.gather(*(as_alice.post("/v1/conversions", json=ORDER) for _ in range(100)))
    assert sorted(answer.status_code for answer in answers) == [200] * 99 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await pool.fetchval("SELECT count(*) FROM conversion WHERE brand_id = $1", alice.id) == 1
    assert await pool.fetchval("SELECT sum(amount_minor) FROM credit WHERE brand_id = $1", alice.id) == 4990


async def test_order_id_and_codes_are_enough_and_the_amount_may_come_later(
    as_alice: httpx2.AsyncClient, lea: Collaboration
) -> None:
    first = (await as_alice.post("/v1/conversions", json={"order_id": "7", "codes": ["LEA10"]})).json()
    assert (first["net_minor"], first["flags"]) == (None, ["amount_unknown"])
    assert first["attribution"]["verdict"] == "attributed"
    later = (
        await as_alice.post("/v1/conversions", json={"order_id": "7", "items_minor": 6000, "discount_minor": 600})
    ).json()
    assert later["id"] == first["id"]
    assert (later["net_minor"], later["currency"], later["flags"]) == (5400, "EUR", [])
    assert later["attribution"]["credits"][0]["net_minor"] == 5400


async def test_the_losing_candidate_is_shown_with_its_reason(
    pool: asyncpg.Pool, as_alice: httpx2.AsyncClient, alice: Brand, lea: Collaboration
) -> None:
    rival = await create_collaboration(pool, alice, "Max")
    fresh, old = await click(pool, alice, rival), await click(pool, alice, rival, days_ago=31)
    body = {**ORDER, "codes": ["NOBODYS", "LEA10"], "click_id": fresh}
    attribution = (await as_alice.post("/v1/conversions", json=body)).json()["attribution"]
    reasons = {
        each["code"] or each["click_id"]: (each["eligible"], each["reason"]) for each in attribution["candidates"]
    }
    assert reasons == {
        "NOBODYS": (False, "unknown_code"),
        "1EA10": (True, "code_owner"),
        fresh: (True, "outranked"),
    }
    expired = {"order_id": "2", "net_minor": 1, "click_id": old}
    attribution = (await as_alice.post("/v1/conversions", json=expired)).json()["attribution"]
    assert (attribution["verdict"], attribution["reason"], attribution["credits"]) == (
        "unattributed",
        "expired_window",
        [],
    )


async def test_an_unknown_click_is_waited_for(as_alice: httpx2.AsyncClient) -> None:
    body = {"order_id": "3", "net_minor": 100, "click_id": ids.show("click", random_ids.new_id())}
    attribution = (await as_alice.post("/v1/conversions", json=body)).json()["attribution"]
    assert (attribution["verdict"], attribution["reason"]) == ("pending_click", "waiting_for_click")
    body = {"order_id": "4", "net_minor": 100, "click_id": "utter nonsense"}
    attribution = (await as_alice.post("/v1/conversions", json=body)).json()["attribution"]
    assert (attribution["verdict"], attribution["reason"]) == ("unattributed", "unknown_click")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"order_id": ""}, "order_id"),
        ({"order_id": None}, "order_id"),
        ({"net_minor": 49.9}, "net_minor"),
        ({"net_minor": "4990"}, "net_minor"),
        ({"net_minor": -1}, "net_minor"),
        ({"net_minor": 10**15 + 1}, "net_minor"),
        ({"currency": "EURO"}, "currency"),
        ({"currency": "XXX"}, "currency"),
        ({"occurred_at": "2026-11-22T09:30:00"}, "occurred_at"),
        ({"occurred_at": 1_700_000_000}, "occurred_at"),
        ({"codes": "LEA10"}, "codes"),
        ({"codes": [7.5]}, "codes.0"),
        ({"kind": "Sale!"}, "kind"),
        ({"customer": {"is_new": "yes"}}, "customer.is_new"),
        ({"net_minor": None, "items_minor": 100, "discount_minor": 200}, "discount_minor"),
        ({"items_minor": 100}, "net_minor"),
        ({"net_amount": 1}, "net_amount"),
        ({"lines": [{"quantity": -1}]}, "lines.0.quantity"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_kept(
    pool: asyncpg.Pool, as_alice: httpx2.AsyncClient, alice: Brand, wrong: dict[str, Any], field: str
) -> None:
    answer = await as_alice.post("/v1/conversions", json={**ORDER, **wrong})
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert await pool.fetchval("SELECT count(*) FROM conversion WHERE brand_id = $1", alice.id) == 0


async def test_every_field_at_fault_is_named_at_once(as_alice: httpx2.AsyncClient) -> None:
    body = {"order_id": "", "net_minor": -5, "currency": "ABC", "occurred_at": "yesterday", "nett": 1}
    answer = await as_alice.post("/v1/conversions", json=body)
    assert {error["field"] for error in answer.json()["errors"]} == {
        "order_id",
        "net_minor",
        "currency",
        "occurred_at",
        "nett",
    }


@pytest.mark.parametrize(
    "raw",
    [
        b'{"order_id": "a\\u0000b"}',
        b'{"order_id": "\\ud800"}',
        b'{"order_id": "1", "order_id": "2"}',
        b"[]",
        b'"x"',
        b"{",
    ],
)
async def test_bodies_that_cannot_be_read_are_refused(as_alice: httpx2.AsyncClient, raw: bytes) -> None:
    answer = await as_alice.post("/v1/conversions", content=raw, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("currency", ["JPY", "EUR", "KWD"])
async def test_minor_units_of_every_currency_are_taken_as_they_are(as_alice: httpx2.AsyncClient, currency: str) -> None:
    answered = (
        await as_alice.post(
            "/v1/conversions", json={"order_id": currency, "net_minor": 12_345, "currency": currency.lower()}
        )
    ).json()
    assert (answered["net_minor"], answered["currency"]) == (12_345, currency)


async def test_no_customer_is_kept_in_clear(pool: asyncpg.Pool, as_alice: httpx2.AsyncClient, alice: Brand) -> None:
    body = {"order_id": "5", "net_minor": 1, "customer": {"email": "Jane@Example.com", "id": "c-77"}}
    answered = await as_alice.post("/v1/conversions", json=body)
    kept = await pool.fetchval("SELECT report::text FROM witness WHERE brand_id = $1", alice.id)
    for text in (answered.text, kept):
        assert "jane" not in text.lower()
        assert "c-77" not in text
    assert await pool.fetchval("SELECT customer_key FROM conversion WHERE brand_id = $1", alice.id) is not None


async def test_an_order_is_read_by_its_id_and_found_by_any_filter(
    as_alice: httpx2.AsyncClient, lea: Collaboration
) -> None:
    made = (await as_alice.post("/v1/conversions", json={**ORDER, "occurred_at": "2026-01-02T03:04:05+01:00"})).json()
    await as_alice.post("/v1/conversions", json={"order_id": "2", "net_minor": 1})
    assert made["occurred_at"] == "2026-01-02T02:04:05.000Z"
    assert (await as_alice.get(f"/v1/conversions/{made['id']}")).json() == made
    for query in (
        {"order_id": "1001"},
        {"order_id": "#1001"},
        {"influencer_id": ids.show("influencer", lea.influencer_id)},
        {"campaign_id": ids.show("campaign", lea.campaign_id)},
        {"from": "2026-01-02T00:00:00Z", "to": "2026-01-03T00:00:00Z"},
    ):
        found = (await as_alice.get("/v1/conversions", params=query)).json()
        assert [each["id"] for each in found["data"]] == [made["id"]], query
    for query in ({"order_id": "nope"}, {"status": "rejected"}, {"from": "2126-01-01T00:00:00Z"}):
        assert (await as_alice.get("/v1/conversions", params=query)).json()["data"] == []


async def test_pages_hold_every_order_once(as_alice: httpx2.AsyncClient) -> None:
    for number in range(5):
        await as_alice.post("/v1/conversions", json={"order_id": str(number), "net_minor": number})
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await as_alice.get("/v1/conversions", params=params)).json()
        seen += [each["order_id"] for each in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == ["0", "1", "2", "3", "4"]


async def test_a_rival_sees_nothing_and_owns_the_same_order_id(
    as_alice: httpx2.AsyncClient, as_charlie: httpx2.AsyncClient, lea: Collaboration
) -> None:
    made = (await as_alice.post("/v1/conversions", json=ORDER)).json()
    assert (await as_charlie.get(f"/v1/conversions/{made['id']}")).status_code == 404
    assert (await as_charlie.get("/v1/conversions")).json()["data"] == []
    theirs = await as_charlie.post("/v1/conversions", json=ORDER)
    assert theirs.status_code == 201
    assert theirs.json()["id"] != made["id"]
    assert theirs.json()["attribution"]["reason"] == "unknown_code"


async def test_a_key_that_may_only_report_reports_and_reads_nothing(
    pool: asyncpg.Pool, api: httpx2.AsyncClient, alice: Brand
) -> None:
    await pool.execute("UPDATE api_key SET scopes = '{conversions}' WHERE brand_id = $1 AND kind = 'secret'", alice.id)
    assert (await api.post("/v1/conversions", json=ORDER, headers=alice.auth)).status_code == 201
    assert (await api.get("/v1/conversions", headers=alice.auth)).status_code == 403
    assert (await api.post("/v1/conversions", json=ORDER)).status_code == 401


async def test_a_number_that_several_orders_have_finds_them_all(
    as_alice: httpx2.AsyncClient, as_charlie: httpx2.AsyncClient, pool: asyncpg.Pool, alice: Brand
) -> None:
    receipt = Receipt(TRUST_WEBHOOK, "hook", "shopify", clock.now())
    for order_id in ("731001", "732001", "733001"):
        report = OrderReport("main", "sale", (order_id, "2001"), order_id=order_id, net_minor=1, system="shopify")
        await in_transaction(pool, lambda connection, report=report: record(connection, alice.id, [(report, receipt)]))  # type: ignore[misc]
    await as_alice.post("/v1/conversions", json={**ORDER, "order_id": "2001"})
    found = (await as_alice.get("/v1/conversions", params={"order_id": "#2001"})).json()["data"]
    assert sorted(each["order_id"] for each in found) == ["2001", "731001", "732001", "733001"]
    assert (await as_charlie.get("/v1/conversions", params={"order_id": "2001"})).json()["data"] == []


@pytest.mark.parametrize(
    "left", ["{{ order.id }}", "{order_id}", "[[id]]", "%%ORDER_ID%%", "undefined", "null", "NaN", "[object Object]"]
)
async def test_an_order_with_an_unfilled_id_is_refused_by_the_name_of_its_field(
    as_alice: httpx2.AsyncClient, left: str
) -> None:
    for pointer, body in (
        ("/order_id", {"order_id": left}),
        ("/click_id", {"order_id": "1", "click_id": left}),
        ("/codes/0", {"order_id": "1", "codes": [left]}),
        ("/customer/id", {"order_id": "1", "customer": {"id": left}}),
    ):
        answer = await as_alice.post("/v1/conversions", json=body)
        assert answer.status_code == 422, answer.text
        [error] = answer.json()["errors"]
        assert (error["pointer"], error["code"]) == (pointer, "unresolved_macro")
        assert left in error["detail"]
    answer = await as_alice.post("/v1/refunds", json={"order_id": "1", "refund_id": left, "amount_minor": 5})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/refund_id")
    assert (await as_alice.get("/v1/conversions")).json()["data"] == []


async def test_orders_are_listed_by_whether_they_began_a_subscription(
    as_alice: httpx2.AsyncClient, as_charlie: httpx2.AsyncClient, lea: Collaboration
) -> None:
    for order_id, origin in (("1", "first"), ("2", "renewal"), ("3", "unknown"), ("4", None)):
        answer = await as_alice.post("/v1/conversions", json={**ORDER, "order_id": order_id, "origin": origin})
        assert (answer.status_code, answer.json()["origin"]) == (201, origin or "unknown")
    for origin, wanted in (("first", ["1"]), ("renewal", ["2"]), ("unknown", ["4", "3"])):
        listed = (await as_alice.get("/v1/conversions", params={"origin": origin})).json()["data"]
        assert sorted(order["order_id"] for order in listed) == sorted(wanted)
        assert (await as_charlie.get("/v1/conversions", params={"origin": origin})).json()["data"] == []
        summary = await as_alice.get("/v1/reports/summary", params={"origin": origin})
        assert summary.json()["all_orders"]["conversions"] == len(wanted)
    for path in ("/v1/conversions", "/v1/reports/summary"):
        wrong = await as_alice.get(path, params={"origin": "again"})
        assert (wrong.status_code, wrong.json()["errors"][0]["parameter"]) == (422, "origin")


async def test_orders_are_files_with_exact_amounts_and_nothing_of_a_rivals(
    as_alice: httpx2.AsyncClient, as_charlie: httpx2.AsyncClient, lea: Collaboration, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = {"currencies": {"PTS": 4}}
    assert (await as_alice.patch("/v1/brand", json=declared)).status_code == 200
    monkeypatch.setattr("app.api.routes.conversions.BATCH_ROWS", 2)
    amounts = {"JPY": (500, "500"), "KWD": (1234, "1,234"), "EUR": (4990, "49,90"), "PTS": (7, "0,0007")}
    for currency, (minor, _) in amounts.items():
        body = {"order_id": f"=o-{currency}", "net_minor": minor, "currency": currency, "codes": ["lea-10"]}
        assert (await as_alice.post("/v1/conversions", json=body)).status_code == 201
    french = {"separator": ";", "decimal": ",", "amounts": "major"}
    answer = await as_alice.get("/v1/conversions.csv", params=french)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    lines = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""), delimiter=";"))
    assert {line["currency"]: line["net"] for line in lines} == {name: shown for name, (_, shown) in amounts.items()}
    assert {line["order_id"] for line in lines} == {f"'=o-{currency}" for currency in amounts}
    assert {line["collaboration_id"] for line in lines} == {ids.show("collaboration", lea.id)}
    assert {(line["verdict"], line["weight_bp"]) for line in lines} == {("attributed", "10000")}

    listed = (await as_alice.get("/v1/conversions")).json()["data"]
    objects = [json.loads(line) for line in (await as_alice.get("/v1/conversions.ndjson")).text.splitlines()]
    assert objects == listed
    for query, count in (({"kind": "sale"}, 4), ({"kind": "lead"}, 0), ({"order_id": listed[0]["id"]}, 0)):
        part = await as_alice.get("/v1/conversions.csv", params=query)
        assert len(part.text.splitlines()) == 1 + count, query
    assert (await as_charlie.get("/v1/conversions.ndjson")).text == ""
    assert len((await as_charlie.get("/v1/conversions.csv")).text.splitlines()) == 1
    wrong = await as_alice.get("/v1/conversions.csv", params={"decimal": ","})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "decimal")
