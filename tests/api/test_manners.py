"""What HTTP itself asks: the right methods in Allow, HEAD where there is GET, OPTIONS without a key, no TRACE, and a slash too many."""

import re

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from tests.api.calls import make_influencer
from tests.api.story import operations

PLACE = "/v1/influencers/inf_01kb2v0q4n8t6s3d5f7h9j1m2p"


async def test_every_path_of_the_document_names_its_methods_in_allow(service: FastAPI, api: AsyncClient) -> None:
    documented = [each for each in operations(service.openapi()).values() if each.path.startswith("/v1/")]
    for place in {re.sub(r"\{\w+\}", "x", each.path) for each in documented}:
        # `/v1/links/bulk` is also where a link of that id would be.
        offered = {each.method for each in documented if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each.path), place)}
        offered |= {"OPTIONS"} | ({"HEAD"} if "GET" in offered else set())
        for method in {"GET", "POST", "PUT", "TRACE"} - offered:
            answer = await api.request(method, place)
            assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed"), (method, place)
            assert answer.headers["Allow"] == ", ".join(sorted(offered)), place


async def test_options_needs_no_key_and_names_the_methods(api: AsyncClient) -> None:
    answer = await api.options(PLACE)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
    assert (await api.options("/v1/nothing")).status_code == 404


async def test_head_is_get_without_its_body(as_alice: AsyncClient, as_charlie: AsyncClient, api: AsyncClient) -> None:
    made = await make_influencer(as_alice)
    place = f"/v1/influencers/{made['id']}"
    head, got = await as_alice.head(place), await as_alice.get(place)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"] != "0"
    assert (await as_charlie.head(place)).status_code == 404
    assert (await api.head(place)).status_code == 401


async def test_a_slash_at_the_end_finds_its_way_with_method_body_and_key(as_alice: AsyncClient) -> None:
    made = await as_alice.post("/v1/influencers/", json={"name": "Léa"})
    assert made.status_code == 201, made.text
    assert (await as_alice.get(f"/v1/influencers/{made.json()['id']}/")).json() == made.json()
    assert (await as_alice.get("/v1/influencers/?limit=1")).json()["data"] == [made.json()]
    assert (await as_alice.get("/v1/nothing/")).status_code == 404


@pytest.mark.parametrize("path", ["/docs/", "/openapi.json/"])
async def test_a_slash_at_the_end_finds_its_way_to_the_reference(api: AsyncClient, path: str) -> None:
    assert (await api.get(path)).status_code == 200
