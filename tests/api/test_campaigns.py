"""Campaigns and collaborations over the API."""

import asyncio
from typing import Any

import pytest
from httpx2 import AsyncClient

from app.api.policies import MethodName, ModelName
from app.domain.policies import MODELS, Method
from tests.api.calls import fields_at_fault, make_campaign, make_influencer, make_pair, post
from tests.api.conftest import Statements


async def test_a_campaign_takes_the_brands_currency_and_shows_its_policy(as_alice: AsyncClient) -> None:
    made = await make_campaign(
        as_alice,
        type="paid",
        starts_at="2026-11-20T00:00:00+01:00",
        ends_at="2026-12-01T00:00:00Z",
        budget_minor=500_000,
        targets=[{"metric": "conversions", "value": 100}],
        policy={"model": "linear", "click_window_days": 7},
    )
    assert made["currency"] == "EUR"
    assert made["starts_at"] == "2026-11-19T23:00:00.000Z"
    assert made["policy"] == {
        "model": "linear",
        "click_window_days": 7,
        "hold_days": 30,
        "precedence": ["code", "click", "visitor"],
        "self_referral": "flag",
        "archived_influencers": "earn",
        "bound_months": 12,
        "bound_orders": 0,
        "version": 1,
    }
    assert (await as_alice.get(f"/v1/campaigns/{made['id']}")).json() == made
    assert (await as_alice.get("/v1/campaigns")).json()["data"] == [made]


async def test_a_policy_change_appends_a_version_in_force_from_now_on(as_alice: AsyncClient) -> None:
    made = await make_campaign(as_alice, policy={"model": "first"})
    path = f"/v1/campaigns/{made['id']}"
    changed = (await as_alice.patch(path, json={"policy": {"click_window_days": 3}})).json()["policy"]
    assert (changed["model"], changed["click_window_days"], changed["version"]) == ("first", 3, 2)
    assert (await as_alice.patch(path, json={"policy": {"click_window_days": 3}})).json()["policy"]["version"] == 2
    versions = (await as_alice.get(f"{path}/policies")).json()
    assert [version["version"] for version in versions] == [2, 1]
    assert versions[1]["effective_from"] is None
    assert versions[0]["effective_from"] == versions[0]["created_at"]
    assert (await as_alice.patch(path, json={"policy": None})).json()["policy"] is None
    assert len((await as_alice.get(f"{path}/policies")).json()) == 3


def test_the_models_and_methods_offered_are_those_that_attribution_knows() -> None:
    assert set(ModelName.__args__) == set(MODELS)  # type: ignore[attr-defined]
    assert set(MethodName.__args__) == {method.value for method in Method}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"starts_at": "2026-01-02T00:00:00Z", "ends_at": "2026-01-02T00:00:00Z"}, "ends_at"),
        ({"starts_at": "2026-01-02T00:00:00"}, "starts_at"),
        ({"starts_at": 1_700_000_000}, "starts_at"),
        ({"starts_at": "1000-01-02T00:00:00Z"}, "starts_at"),
        ({"currency": "XXX"}, "currency"),
        ({"currency": "EURO"}, "currency"),
        ({"budget_minor": -1}, "budget_minor"),
        ({"budget_minor": 10**16}, "budget_minor"),
        ({"budget_minor": 10.5}, "budget_minor"),
        ({"budget_minor": "10"}, "budget_minor"),
        ({"policy": {"model": "magic"}}, "policy.model"),
        ({"policy": {"click_window_days": 366}}, "policy.click_window_days"),
        ({"policy": {"hold_days": -1}}, "policy.hold_days"),
        ({"policy": {"self_referral": "ignore"}}, "policy.self_referral"),
        ({"policy": {"archived_influencers": True}}, "policy.archived_influencers"),
        ({"policy": {"precedence": ["code", "code"]}}, "policy.precedence"),
        ({"policy": {"precedence": []}}, "policy.precedence"),
        ({"name": " "}, "name"),
        ({"name": "a\u0007b"}, "name"),
        ({"targets": [{"metric": "sales", "value": -1}]}, "targets.0.value"),
        ({"nam": "x"}, "nam"),
    ],
)
async def test_a_wrong_field_is_named(as_alice: AsyncClient, fields: dict[str, object], field: str) -> None:
    body = {"name": "x", "objective": "sales", **fields}
    assert set(await fields_at_fault(as_alice, "/v1/campaigns", body)) == {field}


async def test_dates_are_compared_with_those_that_stay(as_alice: AsyncClient) -> None:
    made = await make_campaign(as_alice, starts_at="2026-01-01T00:00:00Z", ends_at="2026-02-01T00:00:00Z")
    path = f"/v1/campaigns/{made['id']}"
    refused = await as_alice.patch(path, json={"ends_at": "2025-12-01T00:00:00Z"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "ends_at"
    assert (await as_alice.patch(path, json={"ends_at": None})).json()["ends_at"] is None


async def test_a_list_of_campaigns_costs_one_statement_with_their_policies(
    as_alice: AsyncClient, statements: Statements
) -> None:
    for number in range(4):
        await make_campaign(as_alice, name=f"c{number}", policy={"click_window_days": number})
    del statements.texts[:]
    rows = (await as_alice.get("/v1/campaigns")).json()["data"]
    assert [row["policy"]["click_window_days"] for row in rows] == [3, 2, 1, 0]
    assert len(statements) == 1


async def test_a_pair_has_one_collaboration_however_often_and_at_once_it_is_asked_for(as_alice: AsyncClient) -> None:
    pair = await make_pair(as_alice)
    answers = await asyncio.gather(*(as_alice.post("/v1/collaborations", json=pair) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_a_collaboration_is_made_changed_and_archived(as_alice: AsyncClient) -> None:
    pair = await make_pair(as_alice)
    body = {**pair, "commission": {"type": "percent", "rate_bp": 1_000}, "external_id": "c1"}
    made = await post(as_alice, "/v1/collaborations", body)
    assert made["commission"] == {"type": "percent", "rate_bp": 1_000}
    assert await post(as_alice, "/v1/collaborations", body, status=200) == made
    assert await post(as_alice, "/v1/collaborations", pair, status=200) == made
    other = {**body, "commission": {"type": "fixed", "amount_minor": 500}}
    assert (await as_alice.post("/v1/collaborations", json=other)).status_code == 409
    changed = (
        await as_alice.patch("/v1/collaborations/ext_c1", json={"commission": {"type": "fixed", "amount_minor": 500}})
    ).json()
    assert changed["commission"] == {"type": "fixed", "amount_minor": 500}
    assert (await as_alice.patch("/v1/collaborations/ext_c1", json={"commission": None})).json()["commission"] is None
    assert (await as_alice.delete("/v1/collaborations/ext_c1")).status_code == 200
    assert (await as_alice.post("/v1/collaborations", json=pair)).json()["code"] == "collaboration_archived"
    link = {"destination_url": "https://shop.test/", **pair}
    assert await fields_at_fault(as_alice, "/v1/links", link, status=409) == {"campaign_id": "collaboration_archived"}


@pytest.mark.parametrize("kind", ["campaign", "influencer"])
async def test_nothing_new_belongs_to_an_archived_campaign_or_influencer_whichever_way_it_is_named(
    as_alice: AsyncClient, kind: str
) -> None:
    pair = await make_pair(as_alice)
    joined = (await post(as_alice, "/v1/collaborations", pair))["id"]
    assert (await as_alice.delete(f"/v1/{kind}s/{pair[f'{kind}_id']}")).status_code == 200
    wanted: dict[str, Any] = {
        "/v1/links": {"destination_url": "https://shop.test/"},
        "/v1/codes": {"code": "LEA10"},
        "/v1/costs": {"kind": "fee", "amount_minor": 100, "currency": "EUR", "incurred_on": "2026-03-01"},
    }
    for path, body in wanted.items():
        by_id = await fields_at_fault(as_alice, path, {**body, "collaboration_id": joined}, status=409)
        assert by_id == {"collaboration_id": f"{kind}_archived"}
        by_pair = await fields_at_fault(as_alice, path, {**body, **pair}, status=409)
        assert by_pair == {f"{kind}_id": f"{kind}_archived"}


@pytest.mark.parametrize(
    ("commission", "field"),
    [
        ({"type": "percent", "rate_bp": 10_001}, "commission.rate_bp"),
        ({"type": "fixed"}, "commission.amount_minor"),
        ({"type": "barter"}, "commission.type"),
        ({"type": "fixed", "amount_minor": 1, "rate_bp": 2}, "commission.rate_bp"),
    ],
)
async def test_a_wrong_commission_is_named(as_alice: AsyncClient, commission: dict[str, object], field: str) -> None:
    body = {"campaign_id": "ext_c", "influencer_id": "ext_i", "commission": commission}
    assert set(await fields_at_fault(as_alice, "/v1/collaborations", body)) == {field}


async def test_collaborations_are_listed_by_campaign_and_influencer(as_alice: AsyncClient) -> None:
    one, two = await make_pair(as_alice), await make_pair(as_alice)
    for pair in (one, two):
        await post(as_alice, "/v1/collaborations", pair)
    rows = (await as_alice.get("/v1/collaborations", params={"campaign_id": one["campaign_id"]})).json()["data"]
    assert [row["influencer_id"] for row in rows] == [one["influencer_id"]]
    rows = (await as_alice.get("/v1/collaborations", params={"influencer_id": two["influencer_id"]})).json()["data"]
    assert [row["campaign_id"] for row in rows] == [two["campaign_id"]]


async def test_charlie_gets_404_for_campaigns_and_collaborations(
    as_alice: AsyncClient, as_charlie: AsyncClient
) -> None:
    campaign = await make_campaign(as_alice, external_id="c")
    influencer = await make_influencer(as_alice)
    pair = {"campaign_id": campaign["id"], "influencer_id": influencer["id"]}
    made = await post(as_alice, "/v1/collaborations", pair)
    for path in (f"/v1/campaigns/{campaign['id']}", "/v1/campaigns/ext_c", f"/v1/collaborations/{made['id']}"):
        assert (await as_charlie.get(path)).status_code == 404
        assert (await as_charlie.patch(path, json={"metadata": {}})).status_code == 404
        assert (await as_charlie.delete(path)).status_code == 404
    assert (await as_charlie.get(f"/v1/campaigns/{campaign['id']}/policies")).status_code == 404
    assert await fields_at_fault(as_charlie, "/v1/collaborations", pair, status=404) == {
        "campaign_id": "campaign_not_found"
    }
    for path in ("/v1/campaigns", "/v1/collaborations"):
        assert (await as_charlie.get(path, params={"include_archived": True})).json()["data"] == []
