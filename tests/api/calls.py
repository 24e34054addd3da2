"""The shortest way to a campaign, an influencer, a link … over the API."""

from typing import Any

from httpx2 import AsyncClient

Json = dict[str, Any]


async def post(client: AsyncClient, path: str, body: Any, *, status: int = 201) -> Json:
    """The answer to a POST that must succeed."""
    answer = await client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def make_influencer(client: AsyncClient, **fields: Any) -> Json:
    return await post(client, "/v1/influencers", {"name": "Léa", **fields})


async def make_campaign(client: AsyncClient, **fields: Any) -> Json:
    return await post(client, "/v1/campaigns", {"name": "Launch", "objective": "sales", **fields})


async def make_pair(client: AsyncClient) -> Json:
    """The pair as bodies name it: {campaign_id, influencer_id}."""
    influencer, campaign = await make_influencer(client), await make_campaign(client)
    return {"campaign_id": campaign["id"], "influencer_id": influencer["id"]}


async def make_link(client: AsyncClient, pair: Json, **fields: Any) -> Json:
    return await post(client, "/v1/links", {"destination_url": "https://shop.test/new", **pair, **fields})


async def fields_at_fault(client: AsyncClient, path: str, body: Any, *, status: int = 422) -> dict[str, str]:
    """Which fields a refused POST names, with their codes."""
    answer = await client.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return {error["field"]: error["code"] for error in answer.json()["errors"]}
