"""What an answer to a wrong body says: which name may be meant, and of many faults the first hundred and how many more there are."""

from typing import Any

import pytest
from httpx2 import AsyncClient

from app.api.fields import UNKNOWN_MAX
from app.errors import FAULTS_SHOWN_MAX

ANSWER_BYTES_MAX = 64 << 10


@pytest.mark.parametrize(
    ("path", "body", "meant"),
    [
        ("/v1/influencers", {"name": "Léa", "externalId": "lea"}, "external_id"),
        ("/v1/campaigns", {"nmae": "Launch", "objective": "sales"}, "name"),
        ("/v1/links", {"campaign": "cam_1", "destination": "https://shop.example/"}, "campaign_id"),
        ("/v1/sources", {"platfrom": "shopify"}, "platform"),
        ("/v1/conversions", {"order_id": "1", "clickId": "clk_1"}, "click_id"),
    ],
)
async def test_an_unknown_field_is_told_with_the_name_that_may_be_meant(
    as_alice: AsyncClient, path: str, body: dict[str, Any], meant: str
) -> None:
    answer = await as_alice.post(path, json=body)
    assert answer.status_code == 422
    [told] = [each for each in answer.json()["errors"] if each["code"] == "unknown_field"][:1]
    assert told["detail"].endswith(f"; {meant} may be meant")


async def test_a_name_that_is_like_none_is_told_without_a_guess_and_a_filter_with_one(as_alice: AsyncClient) -> None:
    answer = await as_alice.post("/v1/influencers", json={"name": "Léa", "xyzzy": 1})
    [told] = answer.json()["errors"]
    assert told["detail"] == "is not a field of this request"
    asked = await as_alice.get("/v1/links", params={"campain_id": "cam_1"})
    [told] = asked.json()["errors"]
    assert told["detail"].endswith("; campaign_id may be meant")


async def test_of_many_faults_the_first_hundred_are_told_and_the_others_counted(as_alice: AsyncClient) -> None:
    rows = [{"destination_url": 5, "campaign_id": "x" * 400, "influencer_id": None, "slug": []}] * 1_000
    answer = await as_alice.post("/v1/links/bulk", json={"links": rows})
    problem = answer.json()
    assert answer.status_code == 422
    assert 0 < len(problem["errors"]) <= FAULTS_SHOWN_MAX
    assert problem["errors_left_out"] > 900
    assert len(answer.content) <= ANSWER_BYTES_MAX


async def test_of_a_hundred_thousand_unknown_fields_some_are_named(as_alice: AsyncClient) -> None:
    answer = await as_alice.post(
        "/v1/influencers", json={"name": "Léa", **{f"x{number}": 1 for number in range(100_000)}}
    )
    assert answer.status_code in {413, 422}
    assert len(answer.json()["errors"]) <= UNKNOWN_MAX
    assert len(answer.content) <= ANSWER_BYTES_MAX
