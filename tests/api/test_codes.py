"""Promo codes over the API: spelling, generation, ownership, checking."""

import asyncio
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient

from app.orders.redecide import redecide
from tests.api.calls import Json, fields_at_fault, make_campaign, make_influencer, make_pair, post
from tests.api.conftest import Statements
from tests.cast import Brand

TEN_PERCENT = {"type": "percent", "value_bp": 1_000}


async def make_code(client: AsyncClient, pair: Json, **fields: Any) -> Json:
    return await post(client, "/v1/codes", {**pair, **fields})


async def check(client: AsyncClient, code: str) -> Json:
    answer = await client.get("/v1/codes/check", params={"code": code})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_given_code_belongs_to_its_collaboration_since_ever(as_alice: AsyncClient) -> None:
    pair = await make_pair(as_alice)
    made = await make_code(as_alice, pair, code=" Léa-10 ", discount=TEN_PERCENT, max_redemptions=100, external_id="k")
    assert (made["code"], made["discount"], made["status"]) == ("Léa-10", TEN_PERCENT, "active")
    assert {name: made[name] for name in pair} == pair
    assert (await as_alice.get("/v1/codes/ext_k")).json() == made
    assignments = (await as_alice.get(f"/v1/codes/{made['id']}/assignments")).json()["data"]
    assert [(each["collaboration_id"], each["starts_at"]) for each in assignments] == [(made["collaboration_id"], None)]
    body = {**pair, "code": "Léa-10", "discount": TEN_PERCENT, "max_redemptions": 100, "external_id": "k"}
    assert await post(as_alice, "/v1/codes", body, status=200) == made
    assert await fields_at_fault(as_alice, "/v1/codes", {**body, "discount": None}, status=409) == {
        "external_id": "external_id_taken"
    }


@pytest.mark.parametrize("typed", ["LEA10", "lea 10", "léa_1o", "LEAI0", "ｌｅａ１０", "leal0"])
async def test_a_code_that_cannot_be_told_apart_from_another_is_refused(as_alice: AsyncClient, typed: str) -> None:
    pair = await make_pair(as_alice)
    await make_code(as_alice, pair, code="LEA-10")
    assert await fields_at_fault(as_alice, "/v1/codes", {**pair, "code": typed}, status=409) == {"code": "code_taken"}
    assert (await check(as_alice, typed))["valid"] is True


@pytest.mark.parametrize("typed", ["", "A1", "=LEA10", "<b>", "LEA/10", "x" * 41, "MERDE20", "Ж%"])
async def test_a_code_that_nobody_could_use_is_refused(as_alice: AsyncClient, typed: str) -> None:
    assert await fields_at_fault(as_alice, "/v1/codes", {"collaboration_id": "ext_x", "code": typed}) == {
        "code": "invalid"
    }


@pytest.mark.parametrize(
    ("made", "typed"),
    [("Лена-10", "лёна 1O"), ("lea&co 20%", "LEACO20"), ("李小龍10", "李小龍１０"), ("ليلى10", "لیلی۱۰")],
)
async def test_a_code_in_any_script_is_found_at_check_and_credited_as_it_is_typed(
    as_alice: AsyncClient, as_charlie: AsyncClient, made: str, typed: str
) -> None:
    pair = await make_pair(as_alice)
    code = await make_code(as_alice, pair, code=made)
    assert (await check(as_alice, typed))["id"] == code["id"]
    assert (await check(as_charlie, typed))["reason"] == "unknown"
    assert [each["id"] for each in (await as_alice.get("/v1/codes", params={"code": typed})).json()["data"]] == [
        code["id"]
    ]
    order = {"order_id": "1", "codes": [typed], "currency": "EUR", "net_minor": 100}
    decided = (await as_alice.post("/v1/conversions", json=order)).json()["attribution"]
    assert [credit["influencer_id"] for credit in decided["credits"]] == [pair["influencer_id"]]
    assert await fields_at_fault(as_alice, "/v1/codes", {**pair, "code": typed}, status=409) == {"code": "code_taken"}


async def test_a_code_is_generated_in_the_script_of_its_influencer(as_alice: AsyncClient) -> None:
    influencer = await make_influencer(
        as_alice, name="Лёна Иванова", handles=[{"network": "vk", "handle": "@лёна.ест"}]
    )
    pair = {"influencer_id": influencer["id"], "campaign_id": (await make_campaign(as_alice))["id"]}
    made = [(await make_code(as_alice, pair, discount=TEN_PERCENT))["code"] for _ in range(2)]
    assert made == ["ЛЕНАЕСТ10", "ЛЕНАЕСТ10-2"]
    assert (await check(as_alice, "лёна-ест 10"))["valid"] is True


async def test_a_generated_code_reads_like_its_influencer_and_falls_back_when_taken(as_alice: AsyncClient) -> None:
    influencer = await make_influencer(
        as_alice, name="Léa Martin", handles=[{"network": "instagram", "handle": "@léa.cooks"}]
    )
    campaign = await make_campaign(as_alice, name="Noël")
    pair = {"influencer_id": influencer["id"], "campaign_id": campaign["id"]}
    made = [(await make_code(as_alice, pair, discount=TEN_PERCENT))["code"] for _ in range(11)]
    assert made[:3] == ["LEACOOKS10", "LEACOOKS10-2", "LEACOOKS10-3"]
    assert all(code.startswith("LEACOOKS10") for code in made)
    assert len(set(made)) == 11
    named = await make_code(
        as_alice, pair, pattern="{NAME}-{CAMPAIGN}{DISCOUNT}", discount={"type": "fixed", "amount_minor": 500}
    )
    assert named["code"] == "LEA-NOEL5"
    wrong = {**pair, "pattern": "{HANDLE}{SHOE}"}
    assert await fields_at_fault(as_alice, "/v1/codes", wrong) == {"pattern": "invalid"}
    assert await fields_at_fault(as_alice, "/v1/codes", {**wrong, "pattern": "{NAME}", "code": "ABC"}) == {
        "pattern": "ambiguous"
    }


async def test_codes_generated_at_once_are_all_different(as_alice: AsyncClient) -> None:
    pair = await make_pair(as_alice)
    answers = await asyncio.gather(*(as_alice.post("/v1/codes", json=pair) for _ in range(12)))
    assert [answer.status_code for answer in answers] == [201] * 12
    assert len({answer.json()["code"] for answer in answers}) == 12


async def test_ownership_is_appended_and_the_last_started_owns(as_alice: AsyncClient) -> None:
    first, second = await make_pair(as_alice), await make_pair(as_alice)
    made = await make_code(as_alice, first, code="SUMMER")
    path = f"/v1/codes/{made['id']}/assignments"
    await post(as_alice, path, {**second, "starts_at": "2099-01-01T00:00:00Z"})
    assert (await check(as_alice, "summer"))["influencer_id"] == first["influencer_id"]
    given = await post(as_alice, path, second)
    shown = (await as_alice.get(f"/v1/codes/{made['id']}")).json()
    assert (shown["influencer_id"], shown["collaboration_id"]) == (second["influencer_id"], given["collaboration_id"])
    over = await post(as_alice, path, {**first, "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-02-01T00:00:00Z"})
    assert over["ends_at"] == "2026-02-01T00:00:00.000Z"
    assert (await check(as_alice, "summer"))["influencer_id"] == second["influencer_id"]
    page = (await as_alice.get(path, params={"limit": 3})).json()
    assert len(page["data"]) == 3
    rest = (await as_alice.get(path, params={"limit": 3, "cursor": page["next_cursor"]})).json()
    assert [each["starts_at"] for each in rest["data"]] == [None]
    past = {**first, "ends_at": "2020-01-01T00:00:00Z"}
    assert await fields_at_fault(as_alice, path, past) == {"ends_at": "invalid"}


async def test_a_code_whose_assignment_ended_belongs_to_nobody(as_alice: AsyncClient) -> None:
    pair = await make_pair(as_alice)
    made = await make_code(as_alice, pair, code="OVER")
    ended = {**pair, "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-01-02T00:00:00Z"}
    await post(as_alice, f"/v1/codes/{made['id']}/assignments", ended)
    assert (await as_alice.get(f"/v1/codes/{made['id']}")).json()["collaboration_id"] is None
    assert (await check(as_alice, "OVER"))["reason"] == "unassigned"


async def test_check_says_why_a_code_is_not_good(as_alice: AsyncClient, as_charlie: AsyncClient) -> None:
    pair = await make_pair(as_alice)
    await make_code(as_alice, pair, code="EARLY", starts_at="2099-01-01T00:00:00Z")
    await make_code(as_alice, pair, code="LATE", ends_at="2020-01-01T00:00:00Z")
    off = await make_code(as_alice, pair, code="SWITCHED")
    assert (await as_alice.post(f"/v1/codes/{off['id']}/disable")).json()["status"] == "disabled"
    good = await make_code(as_alice, pair, code="GOOD", discount=TEN_PERCENT)
    reasons = {code: (await check(as_alice, code))["reason"] for code in ("EARLY", "LATE", "SWITCHED", "NONE", "GOOD")}
    assert reasons == {
        "EARLY": "not_started",
        "LATE": "expired",
        "SWITCHED": "disabled",
        "NONE": "unknown",
        "GOOD": None,
    }
    found = await check(as_alice, "g-o-o-d")
    assert (found["valid"], found["id"], found["discount"], found["redemptions"]) == (True, good["id"], TEN_PERCENT, 0)
    assert (await check(as_charlie, "GOOD"))["reason"] == "unknown"
    assert (await as_alice.post(f"/v1/codes/{off['id']}/enable")).json()["status"] == "active"
    assert (await check(as_alice, "SWITCHED"))["valid"] is True
    await as_alice.delete(f"/v1/codes/{off['id']}")
    assert (await check(as_alice, "SWITCHED"))["reason"] == "unknown"


async def test_redemptions_count_orders_and_reach_the_cap(as_alice: AsyncClient) -> None:
    pair = await make_pair(as_alice)
    await make_code(as_alice, pair, code="CAPPED", max_redemptions=2)
    await as_alice.post("/v1/conversions", json={"kind": "lead", "order_id": "1", "codes": ["capped"]})
    for order_id, test in (("1", False), ("1", False), ("2", True)):
        order = {"order_id": order_id, "codes": ["capped"], "currency": "EUR", "net_minor": 100, "test": test}
        assert (await as_alice.post("/v1/conversions", json=order)).status_code in (200, 201)
    found = await check(as_alice, "CAPPED")
    assert (found["redemptions"], found["valid"]) == (1, True)
    await as_alice.post(
        "/v1/conversions", json={"order_id": "3", "codes": ["CAPPED"], "currency": "EUR", "net_minor": 1}
    )
    found = await check(as_alice, "CAPPED")
    assert (found["redemptions"], found["valid"], found["reason"]) == (2, False, "over_cap")


async def test_an_order_that_came_before_its_code_is_put_up_for_a_new_decision(
    as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand
) -> None:
    pair = await make_pair(as_alice)
    await as_alice.post(
        "/v1/conversions", json={"order_id": "7", "codes": ["TOOSOON"], "currency": "EUR", "net_minor": 1}
    )
    before = await pool.fetchval("SELECT count(*) FROM redecide WHERE brand_id = $1 AND after = '0'", alice.id)
    await make_code(as_alice, pair, code="TooSoon")
    after = await pool.fetchval("SELECT count(*) FROM redecide WHERE brand_id = $1 AND after = '0'", alice.id)
    assert after == before + 1


async def test_a_change_that_is_refused_puts_no_order_up_for_a_new_decision(
    as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand
) -> None:
    pair = await make_pair(as_alice)
    await make_code(as_alice, pair, code="LEA10", external_id="taken")
    other = await make_code(as_alice, pair, code="MAX10")
    await pool.execute("INSERT INTO order_touch VALUES ($1, 'alias:promo_1', $1)", alice.id)
    refused = {"aliases": ["promo_1"], "external_id": "taken"}
    waiting = "SELECT count(*) FROM redecide WHERE brand_id = $1 AND conversion_id = $1"
    answer = await as_alice.patch(f"/v1/codes/{other['id']}", json=refused)
    assert (answer.status_code, await pool.fetchval(waiting, alice.id)) == (409, 0)
    answer = await as_alice.patch(f"/v1/codes/{other['id']}", json={"aliases": ["promo_1"]})
    assert (answer.status_code, await pool.fetchval(waiting, alice.id)) == (200, 1)
    await pool.execute("DELETE FROM redecide WHERE brand_id = $1", alice.id)


async def test_a_key_that_may_only_report_may_check_codes(as_alice: AsyncClient, api: AsyncClient) -> None:
    key = await post(as_alice, "/v1/keys", {"scopes": ["conversions"]})
    headers = {"Authorization": f"Bearer {key['secret_key']}"}
    assert (await api.get("/v1/codes/check", params={"code": "X"}, headers=headers)).status_code == 200
    assert (await api.get("/v1/codes", headers=headers)).status_code == 403


async def test_dates_and_cap_change_and_can_be_cleared(as_alice: AsyncClient) -> None:
    made = await make_code(
        as_alice, await make_pair(as_alice), code="DATES", starts_at="2026-01-01T00:00:00Z", max_redemptions=5
    )
    path = f"/v1/codes/{made['id']}"
    changed = (await as_alice.patch(path, json={"ends_at": "2027-01-01T00:00:00Z", "max_redemptions": None})).json()
    assert (changed["ends_at"], changed["max_redemptions"]) == ("2027-01-01T00:00:00.000Z", None)
    refused = await as_alice.patch(path, json={"ends_at": "2025-01-01T00:00:00Z"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "ends_at")
    changed = (
        await as_alice.patch(
            path, json={"credit_policy": "if_winner", "discount": {"type": "fixed", "amount_minor": 5}}
        )
    ).json()
    assert (changed["credit_policy"], changed["discount"]) == ("if_winner", {"type": "fixed", "amount_minor": 5})
    for wrong in (
        {"credit_policy": "maybe"},
        {"max_redemptions": 0},
        {"discount": {"type": "percent", "value_bp": 10_001}},
    ):
        assert (await as_alice.patch(path, json=wrong)).status_code == 422


async def test_codes_are_listed_with_their_owners_in_one_statement(
    as_alice: AsyncClient, statements: Statements
) -> None:
    one, two = await make_pair(as_alice), await make_pair(as_alice)
    first = await make_code(as_alice, one, code="ONE-1")
    second = await make_code(as_alice, two, code="TWO-2")
    await as_alice.post(f"/v1/codes/{second['id']}/disable")
    del statements.texts[:]
    rows = (await as_alice.get("/v1/codes")).json()["data"]
    assert len(statements) == 1
    assert [row["influencer_id"] for row in rows] == [two["influencer_id"], one["influencer_id"]]

    async def found(**params: str) -> list[str]:
        return [row["id"] for row in (await as_alice.get("/v1/codes", params=params)).json()["data"]]

    assert await found(influencer_id=one["influencer_id"]) == [first["id"]]
    assert await found(campaign_id=two["campaign_id"]) == [second["id"]]
    assert await found(collaboration_id=first["collaboration_id"]) == [first["id"]]
    assert await found(code="0ne 1") == [first["id"]]
    assert await found(status="disabled") == [second["id"]]
    assert await found(status="active") == [first["id"]]


async def test_charlie_gets_404_for_codes_and_may_use_the_same_letters(
    as_alice: AsyncClient, as_charlie: AsyncClient
) -> None:
    pair = await make_pair(as_alice)
    made = await make_code(as_alice, pair, code="MINE", external_id="m")
    for path in (f"/v1/codes/{made['id']}", "/v1/codes/ext_m"):
        assert (await as_charlie.get(path)).status_code == 404
        assert (await as_charlie.patch(path, json={"disabled": True})).status_code == 404
        assert (await as_charlie.delete(path)).status_code == 404
        assert (await as_charlie.post(f"{path}/disable")).status_code == 404
        assert (await as_charlie.get(f"{path}/assignments")).status_code == 404
        assert (await as_charlie.post(f"{path}/assignments", json=await make_pair(as_charlie))).status_code == 404
    theirs = {**pair, "code": "OTHER"}
    assert set(await fields_at_fault(as_charlie, "/v1/codes", theirs, status=404)) == {"campaign_id", "influencer_id"}
    assert (await make_code(as_charlie, await make_pair(as_charlie), code="MINE"))["id"] != made["id"]
    assert len((await as_charlie.get("/v1/codes")).json()["data"]) == 1


# ── Aliases ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def order_with(client: AsyncClient, order_id: str, *codes: str) -> Json:
    order = {"order_id": order_id, "codes": codes, "currency": "EUR", "net_minor": 100}
    answer = await client.post("/v1/conversions", json=order)
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())


async def owners(client: AsyncClient, order_id: str) -> list[str]:
    [found] = (await client.get("/v1/conversions", params={"order_id": order_id})).json()["data"]
    shown = (await client.get(f"/v1/conversions/{found['id']}")).json()
    return [credit["influencer_id"] for credit in shown["attribution"]["credits"]]


async def test_an_alias_in_the_place_of_a_code_redeems_it_for_orders_before_and_after_it_was_given(
    as_alice: AsyncClient, as_charlie: AsyncClient, pool: asyncpg.Pool
) -> None:
    pair = await make_pair(as_alice)
    made = await make_code(as_alice, pair, code="LEA10", max_redemptions=2)
    assert (await order_with(as_alice, "1", "dsc_01hv6scyf7"))["attribution"]["reason"] == "unknown_code"
    aliases = ["Summer sale with Léa", "dsc_01hv6scyf7"]
    assert (await as_alice.patch(f"/v1/codes/{made['id']}", json={"aliases": aliases})).json()["aliases"] == aliases
    while await redecide(pool):
        pass
    assert await owners(as_alice, "1") == [pair["influencer_id"]]
    decided = (await order_with(as_alice, "2", "SUMMER SALE WITH LEA", "NOBODYS"))["attribution"]
    assert [(each["code"], each["code_alias"], each["reason"]) for each in decided["candidates"]] == [
        ("LEA10", "SUMMER SALE WITH LEA", "code_owner"),
        ("NOBODYS", None, "unknown_code"),
    ]
    assert (await check(as_alice, "lea10"))["redemptions"] == 2
    assert "over_cap" in (await order_with(as_alice, "3", "LEA10"))["flags"]
    await make_code(as_charlie, await make_pair(as_charlie), code="LEA10", aliases=["dsc_other"])
    assert (await order_with(as_charlie, "1", "dsc_01hv6scyf7"))["attribution"]["credits"] == []
    await as_alice.patch(f"/v1/codes/{made['id']}", json={"aliases": aliases[:1]})
    while await redecide(pool):
        pass
    assert (await owners(as_alice, "1"), await owners(as_alice, "2")) == ([], [pair["influencer_id"]])


@pytest.mark.parametrize(
    ("alias", "reason"),
    [
        ("% & -", "has no letter or digit, so it could never match"),
        ("{{ code }}", "this template variable was not filled in"),
        ("undefined", "a program writes this word where a variable has no value"),
    ],
)
async def test_an_alias_that_can_never_match_is_refused_when_it_is_set(
    as_alice: AsyncClient, alias: str, reason: str
) -> None:
    made = await make_code(as_alice, await make_pair(as_alice), code="LEA10")
    answer = await as_alice.patch(f"/v1/codes/{made['id']}", json={"aliases": [alias]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/aliases/0"
    assert reason in answer.json()["errors"][0]["detail"]


async def test_no_alias_takes_the_orders_of_another_by_spelling_it_otherwise(
    as_alice: AsyncClient, as_charlie: AsyncClient
) -> None:
    pair = await make_pair(as_alice)
    await make_code(as_alice, pair, code="LEA10", aliases=["Summer sale"])
    other = await make_code(as_alice, pair, code="MAX10")
    answer = await as_alice.patch(f"/v1/codes/{other['id']}", json={"aliases": ["SUMMER-SALE!"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "alias_taken")
    assert "'SUMMER-SALE!' is a spelling of 'Summer sale', an alias of another code" in answer.json()["detail"]
    assert (await order_with(as_alice, "1", "summer sale"))["attribution"]["credits"] != []
    await make_code(as_charlie, await make_pair(as_charlie), code="MAX10", aliases=["SUMMER-SALE!"])


async def test_no_alias_is_a_spelling_of_another_code_and_no_code_of_an_alias(
    as_alice: AsyncClient, as_charlie: AsyncClient
) -> None:
    pair = await make_pair(as_alice)
    await make_code(as_alice, pair, code="MAX 10")
    made = await make_code(as_alice, pair, code="LEA10", aliases=["Summer sale", "lea-10"])
    answer = await as_alice.patch(f"/v1/codes/{made['id']}", json={"aliases": ["max-1O"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "alias_taken")
    assert "'max-1O' is a spelling of the code 'MAX 10', which goes first" in answer.json()["detail"]
    faults = await fields_at_fault(as_alice, "/v1/codes", {**pair, "code": "SUMMER-SALE"}, status=409)
    assert faults == {"code": "code_taken"}
    assert (await make_code(as_alice, pair, pattern="SUMMERSALE"))["code"] == "SUMMERSALE2"
    await make_code(as_charlie, await make_pair(as_charlie), code="SUMMER-SALE")
