"""Costs over the API."""

import pytest
from httpx2 import AsyncClient

from tests.api.calls import fields_at_fault, make_campaign, make_pair, post
from tests.api.conftest import Statements

FEE = {"kind": "fee", "amount_minor": 50_000, "currency": "EUR", "incurred_on": "2026-11-22"}


async def test_a_cost_belongs_to_a_collaboration_or_to_its_whole_campaign(as_alice: AsyncClient) -> None:
    pair = await make_pair(as_alice)
    collaboration = await post(as_alice, "/v1/collaborations", pair)
    made = await post(as_alice, "/v1/costs", {**FEE, "collaboration_id": collaboration["id"], "note": "two\nlines"})
    assert (made["campaign_id"], made["collaboration_id"]) == (pair["campaign_id"], collaboration["id"])
    assert (made["amount_minor"], made["incurred_on"], made["note"]) == (50_000, "2026-11-22", "two\nlines")
    whole = await post(
        as_alice, "/v1/costs", {**FEE, "campaign_id": pair["campaign_id"], "kind": "agency_fee", "currency": "jpy"}
    )
    assert (whole["collaboration_id"], whole["currency"]) == (None, "JPY")
    of_pair = await post(as_alice, "/v1/costs", {**FEE, **pair, "kind": "product"})
    assert (of_pair["campaign_id"], of_pair["collaboration_id"]) == (pair["campaign_id"], collaboration["id"])

    path = f"/v1/costs/{made['id']}"
    assert (await as_alice.get(path)).json() == made
    changed = (await as_alice.patch(path, json={"amount_minor": 45_000, "note": None})).json()
    assert (changed["amount_minor"], changed["note"], changed["kind"]) == (45_000, None, "fee")
    assert (await as_alice.delete(path)).json()["archived_at"] is not None
    assert [row["id"] for row in (await as_alice.get("/v1/costs")).json()["data"]] == [of_pair["id"], whole["id"]]


async def test_a_cost_is_made_once_under_its_external_id(as_alice: AsyncClient) -> None:
    campaign = await make_campaign(as_alice, external_id="c")
    body = {**FEE, "campaign_id": "ext_c", "external_id": "invoice-1"}
    made = await post(as_alice, "/v1/costs", body)
    assert made["campaign_id"] == campaign["id"]
    assert await post(as_alice, "/v1/costs", body, status=200) == made
    assert await fields_at_fault(as_alice, "/v1/costs", {**body, "amount_minor": 1}, status=409) == {
        "external_id": "external_id_taken"
    }


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"amount_minor": -1}, "amount_minor"),
        ({"amount_minor": 10**15 + 1}, "amount_minor"),
        ({"amount_minor": 1.5}, "amount_minor"),
        ({"amount_minor": True}, "amount_minor"),
        ({"currency": "ABC"}, "currency"),
        ({"currency": None}, "currency"),
        ({"kind": "bribe"}, "kind"),
        ({"incurred_on": "2026-02-30"}, "incurred_on"),
        ({"incurred_on": "22/11/2026"}, "incurred_on"),
        ({"incurred_on": 20_261_122}, "incurred_on"),
        ({"incurred_on": "0001-01-01"}, "incurred_on"),
        ({"note": "a\u0007"}, "note"),
        ({"collaboration_id": "ext_k"}, "campaign_id"),
        ({"campaign_id": None}, "collaboration_id"),
        ({"campaign_id": None, "influencer_id": "ext_z"}, "campaign_id"),
        ({"campaign_id": None, "influencer_id": "ext_z", "collaboration_id": "ext_k"}, "influencer_id"),
    ],
)
async def test_a_wrong_field_is_named(as_alice: AsyncClient, fields: dict[str, object], field: str) -> None:
    assert set(await fields_at_fault(as_alice, "/v1/costs", {**FEE, "campaign_id": "ext_c", **fields})) == {field}


async def test_costs_are_filtered_and_a_page_costs_one_statement(as_alice: AsyncClient, statements: Statements) -> None:
    one, two = await make_campaign(as_alice), await make_campaign(as_alice)
    first = await post(as_alice, "/v1/costs", {**FEE, "campaign_id": one["id"]})
    second = await post(
        as_alice, "/v1/costs", {**FEE, "campaign_id": two["id"], "kind": "gift", "incurred_on": "2026-12-01"}
    )

    async def found(**params: str) -> list[str]:
        return [row["id"] for row in (await as_alice.get("/v1/costs", params=params)).json()["data"]]

    del statements.texts[:]
    assert await found() == [second["id"], first["id"]]
    assert len(statements) == 1
    assert await found(campaign_id=one["id"]) == [first["id"]]
    assert await found(kind="gift") == [second["id"]]
    assert await found(**{"from": "2026-11-22", "to": "2026-12-01"}) == [first["id"]]


async def test_charlie_gets_404_for_costs(as_alice: AsyncClient, as_charlie: AsyncClient) -> None:
    campaign = await make_campaign(as_alice)
    made = await post(as_alice, "/v1/costs", {**FEE, "campaign_id": campaign["id"], "external_id": "x"})
    for path in (f"/v1/costs/{made['id']}", "/v1/costs/ext_x"):
        assert (await as_charlie.get(path)).status_code == 404
        assert (await as_charlie.patch(path, json={"amount_minor": 1})).status_code == 404
        assert (await as_charlie.delete(path)).status_code == 404
    assert await fields_at_fault(as_charlie, "/v1/costs", {**FEE, "campaign_id": campaign["id"]}, status=404) == {
        "campaign_id": "campaign_not_found"
    }
    assert (await as_charlie.get("/v1/costs")).json()["data"] == []


async def test_a_name_that_is_no_id_is_answered_with_how_ids_begin(as_alice: AsyncClient) -> None:
    forgotten = await as_alice.get("/v1/campaigns/serum")
    assert forgotten.json()["detail"] == "no campaign 'serum': ids begin with cam_, your own with ext_"
    assert (await as_alice.get("/v1/campaigns/ext_serum")).json()["detail"] == "no campaign 'ext_serum'"
    refused = await as_alice.post("/v1/costs", json={**FEE, "campaign_id": "serum"})
    assert refused.json()["errors"][0]["detail"] == "no campaign 'serum': ids begin with cam_, your own with ext_"
