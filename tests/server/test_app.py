"""Doors and API in one application: what the API writes, the doors answer by."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import asyncpg
import httpx2
import pytest
from msgspec import structs
from starlette.applications import Starlette

from app.api.problems import translate
from app.server.app import create_api
from app.settings import Settings
from tests.api.calls import make_link, make_pair, post
from tests.api.conftest import client
from tests.api.test_openapi import STORED
from tests.cast import Brand
from tests.whole_app import create_app


@pytest.fixture
async def front(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory, alice: Brand
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of doors and API together, with a data directory of its own."""
    app: Starlette = create_app(structs.replace(settings, data=tmp_path_factory.mktemp("front")))
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app):
        async with httpx2.AsyncClient(transport=transport, base_url="https://go.test", headers=alice.auth) as client:
            yield client


async def test_a_link_redirects_as_soon_as_it_was_answered_and_stops_when_disabled(front: httpx2.AsyncClient) -> None:
    made = await make_link(front, await make_pair(front), utm={"source": "instagram"})
    answer = await front.get(f"/{made['slug'].upper()}")
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("https://shop.test/new?utm_source=instagram&ariane=clk_")
    assert (await front.post(f"/v1/links/{made['id']}/disable")).json()["status"] == "disabled"
    assert await gone(front, made["slug"])
    assert (await front.get("/no-such-slug")).status_code == 404


async def gone(front: httpx2.AsyncClient, slug: str) -> bool:
    """Whether the link answers 410, given the moment that a notification takes to arrive."""
    for _ in range(100):
        if (await front.get(f"/{slug}")).status_code == 410:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_a_source_takes_webhooks_as_soon_as_it_was_answered(front: httpx2.AsyncClient) -> None:
    made = await post(front, "/v1/sources", {"platform": "generic", "secrets": ["s" * 20]})
    answer = await front.post(f"/in/{made['token']}", content=b"{}", headers={"Content-Type": "application/json"})
    assert answer.status_code == 401
    assert (await front.post("/in/hook_unknown", content=b"{}")).status_code == 404


async def test_what_no_door_knows_is_a_problem_of_the_api(front: httpx2.AsyncClient) -> None:
    answer = await front.get("/v1/nothing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert (await front.get("/openapi.json")).json() == json.loads(STORED.read_text())
    assert (await front.get("/docs")).status_code == 200


async def test_an_api_that_is_opened_a_second_time_records_over_the_new_way_to_the_database(
    settings: Settings, alice: Brand
) -> None:
    api = create_api(settings)
    for number in ("1001", "1002"):
        async with api.router.lifespan_context(api), client(api, alice) as opened:
            answer = await opened.post("/v1/conversions", json={"order_id": number, "net_minor": 100})
            assert answer.status_code == 201, answer.text


async def test_the_first_request_builds_nothing_that_clicks_would_have_to_wait_for(
    settings: Settings, alice: Brand
) -> None:
    api = create_api(settings)
    async with api.router.lifespan_context(api), client(api, alice) as opened:
        began_s = time.process_time()
        answer = await opened.get("/v1/nothing")
        took_s = time.process_time() - began_s
    assert answer.status_code == 404
    # Some ten milliseconds; building the routes takes half a second.
    assert took_s < 0.2


async def test_connections_that_the_server_has_ended_are_replaced_before_a_request_meets_them(
    settings: Settings, alice: Brand, pool: asyncpg.Pool
) -> None:
    api = create_api(settings)
    async with api.router.lifespan_context(api), client(api, alice) as opened:
        assert (await opened.get("/v1/campaigns")).status_code == 200
        ended = await pool.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'ariane-api' AND datname = current_database()"
        )
        assert ended
        await asyncio.sleep(0.05)
        assert (await opened.get("/v1/campaigns")).status_code == 200


@pytest.mark.parametrize(
    "error", [asyncpg.InternalClientError("cannot switch to state 15"), EOFError(), asyncpg.CannotConnectNowError("")]
)
def test_whatever_a_killed_database_leaves_behind_may_be_sent_again(error: Exception) -> None:
    """The first is what asyncpg says to whoever was writing just then."""
    told = translate(error)
    assert told is not None
    assert (told.status, told.code, told.retryable) == (503, "database_unavailable", True)
