"""Input that no careful client sends: each is refused with the field and the reason, as a problem, and nothing is half done."""

import asyncio
import json

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from msgspec import structs

from app import random_ids
from app.api.body import DEPTH_MAX, parse_json
from app.api.http import RECHECK_S
from app.database.migrate import migrate
from app.errors import Malformed
from app.server.app import create_api
from app.settings import Settings
from tests.api.calls import make_influencer
from tests.api.conftest import client
from tests.cast import Brand
from tests.conftest import database_dsn

JSON = {"Content-Type": "application/json"}


async def refused(
    as_alice: AsyncClient, body: bytes, status: int = 400, path: str = "/v1/influencers"
) -> dict[str, object]:
    answer = await as_alice.post(path, content=body, headers=JSON)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = dict(answer.json())
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["type"] == f"urn:ariane:problem:{problem['code']}"
    assert (await as_alice.get("/v1/influencers")).json()["data"] == []
    return problem


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b'{"name":"a","name":"b"}', "duplicate_key", "name"),
        (b'{"name":"a","metadata":{"x":1,"x":2}}', "duplicate_key", "x"),
        (b'{"name":"a\\u0000b"}', "nul_character", "name"),
        (b'{"name":"a","metadata":{"x":["\\u0000"]}}', "nul_character", "metadata.x.0"),
        (b'{"name":"a","tags":["ok","\\ud800"]}', "lone_surrogate", "tags.1"),
        (b'{"name":"\\udc00\\ud800"}', "lone_surrogate", "name"),
        (b'{"name":"a\xff"}', "not_utf8", None),
        (b'{"name":"\xed\xa0\x80"}', "not_utf8", None),
        (b'{"name":"a"', "not_json", None),
        (b'{"name":"a"} x', "not_json", None),
        (b'{"name":"a\x00"}', "not_json", None),
        (b"\xef\xbb\xbf{}", "not_json", None),
        (b'{"metadata":{"x":NaN}}', "not_json", None),
        (b'{"metadata":{"x":-Infinity}}', "not_json", None),
        (b'{"metadata":{"x":1e999}}', "number_out_of_range", None),
        (b'{"metadata":{"x":' + b"9" * 5_000 + b"}}", "number_out_of_range", None),
        (b'{"metadata":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, "too_deep", None),
        (b"[" * 40_000, "too_deep", None),
    ],
)
async def test_a_body_that_two_readers_could_read_differently_is_refused(
    as_alice: AsyncClient, body: bytes, code: str, field: str | None
) -> None:
    problem = await refused(as_alice, body)
    assert problem["code"] == code
    errors = problem["errors"]
    assert isinstance(errors, list)
    assert [error["field"] for error in errors] == ([] if field is None else [field])


async def test_a_surrogate_pair_is_one_character_and_welcome(as_alice: AsyncClient) -> None:
    answer = await as_alice.post("/v1/influencers", content=b'{"name":"\\ud83d\\ude00"}', headers=JSON)
    assert answer.json()["name"] == "😀"


@pytest.mark.parametrize(("body", "field"), [(b"[]", ""), (b'"x"', ""), (b"null", ""), (b"", ""), (b"{}", "name")])
async def test_a_body_that_is_no_object_or_missing_is_refused(as_alice: AsyncClient, body: bytes, field: str) -> None:
    problem = await refused(as_alice, body, 422)
    errors = problem["errors"]
    assert isinstance(errors, list)
    assert [error["field"] for error in errors] == [field]


async def test_all_fields_at_fault_are_named_in_one_answer(as_alice: AsyncClient) -> None:
    body = {
        "name": "",
        "email": "nobody",
        "handles": [{"network": "x", "handle": "a b"}, {"network": "x", "handle": "ok", "followers": -1}],
        "tags": ["ok", ""],
        "metadata": {"a": "x" * 20_000},
        "nmae": "x",
    }
    problem = await refused(as_alice, json.dumps(body).encode(), 422)
    errors = problem["errors"]
    assert isinstance(errors, list)
    assert {error["pointer"] for error in errors} == {
        "/name",
        "/email",
        "/handles/0/handle",
        "/handles/1/followers",
        "/tags/1",
        "/metadata",
        "/nmae",
    }
    assert all(error["detail"] and error["code"] for error in errors)


async def test_a_parameter_at_fault_is_named(as_alice: AsyncClient) -> None:
    for params in ({"limit": 0}, {"limit": 101}, {"limit": "x"}):
        answer = await as_alice.get("/v1/influencers", params=params)
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "limit")
    nul = await as_alice.get("/v1/influencers?q=a%00b")
    assert (nul.status_code, nul.json()["errors"][0]["parameter"]) == (400, "q")
    for path in ("/v1/influencers/%00", "/v1/influencers/ext_%00", "/v1/influencers/ext_%ed%a0%80"):
        assert (await as_alice.get(path)).status_code in (400, 404)
    for name in ("inf_", "cam_01kb2v0q4n8t6s3d5f7h9j1m2p", "inf_" + "z" * 26, "ext_", "%F0%9F%92%A9"):
        assert (await as_alice.get(f"/v1/influencers/{name}")).status_code == 404


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "nonsense", ""]
)
async def test_a_body_that_does_not_say_it_is_json_is_refused(as_alice: AsyncClient, content_type: str) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await as_alice.post("/v1/influencers", content=b'{"name":"a"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    good = await as_alice.post(
        "/v1/influencers",
        content=b'{"name":"a"}',
        headers={"Content-Type": "application/merge-patch+json; charset=utf-8"},
    )
    assert good.status_code == 201


async def test_ten_megabytes_are_refused_declared_or_streamed(as_alice: AsyncClient, settings: Settings) -> None:
    huge = b'{"name":"' + b"a" * (10 << 20) + b'"}'
    assert len(huge) > settings.body_max_bytes
    problem = await refused(as_alice, huge, 413)
    assert problem["code"] == "body_too_large"

    async def stream() -> object:
        for _ in range(11):
            yield b" " * (1 << 20)

    answer = await as_alice.post("/v1/influencers", content=stream(), headers=JSON)  # type: ignore[arg-type]
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "no_such_path"),
        ("GET", "/nothing/at/all", 404, "no_such_path"),
        ("PUT", "/v1/influencers", 405, "method_not_allowed"),
        ("POST", "/v1/influencers/inf_x", 405, "method_not_allowed"),
    ],
)
async def test_the_frameworks_own_errors_are_problems_too(
    as_alice: AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await as_alice.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    if status == 405:
        assert answer.headers["Allow"]


async def test_a_fault_of_ours_is_a_problem_without_its_details(
    service: FastAPI, alice: Brand, caplog: pytest.LogCaptureFixture, pool: asyncpg.Pool
) -> None:
    async with client(service, alice) as caller:
        made = await make_influencer(caller)
        # What no code of ours writes: the answer cannot be made of it.
        await pool.execute("UPDATE influencer SET handles = '[{\"secret\": 1}]' WHERE brand_id = $1", alice.id)
        answer = await caller.get(f"/v1/influencers/{made['id']}")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert answer.json()["request_id"] in caplog.text


async def test_a_request_keeps_the_id_it_came_with_when_that_is_sane(as_alice: AsyncClient) -> None:
    assert (await as_alice.get("/v1/brand", headers={"X-Request-Id": "abc-1"})).headers["X-Request-Id"] == "abc-1"
    for odd in ("a b", "x" * 65, "é"):
        answer = await as_alice.get("/v1/brand", headers={"X-Request-Id": odd.encode("latin-1")})  # type: ignore[dict-item]
        assert answer.headers["X-Request-Id"].startswith("req_")


async def test_the_api_answers_503_until_the_schema_matches(settings: Settings, server: str, alice: Brand) -> None:
    name = f"empty_{random_ids.new_id().hex}"
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    dsn = database_dsn(server, name)
    api = create_api(structs.replace(settings, database_url=dsn))
    async with api.router.lifespan_context(api), client(api, alice) as caller:
        answer = await caller.get("/v1/brand")
        assert (answer.status_code, answer.json()["code"]) == (503, "schema_not_ready")
        assert (answer.json()["retryable"], answer.headers["Retry-After"]) == (True, "1")
        await asyncio.to_thread(migrate, dsn)
        await asyncio.sleep(RECHECK_S)
        assert (await caller.get("/v1/brand")).status_code == 401


async def test_a_database_that_cannot_be_reached_is_a_503_that_says_so(settings: Settings, alice: Brand) -> None:
    api = create_api(structs.replace(settings, database_url="postgresql://ariane@127.0.0.1:1/ariane"))
    async with api.router.lifespan_context(api), client(api, alice) as caller:
        answer = await caller.get("/v1/brand")
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert answer.json()["retryable"] is True


def test_nesting_is_read_to_its_limit() -> None:
    assert parse_json(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)
    with pytest.raises(Malformed, match="deeper"):
        parse_json(b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1))


async def test_connections_that_died_cost_one_503_and_no_more(
    service: FastAPI, alice: Brand, pool: asyncpg.Pool
) -> None:
    async with client(service, alice) as caller:
        assert (await caller.get("/v1/influencers")).status_code == 200
        await pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ariane-api' AND datname = current_database()"
        )
        first = await caller.post("/v1/influencers", json={"name": "Léa"})
        assert first.status_code in (201, 503), first.text
        if first.status_code == 503:
            assert first.json()["code"] == "database_unavailable"
        second = await caller.post("/v1/influencers", json={"name": "Zoé"})
        assert second.status_code == 201
        names = [row["name"] for row in (await caller.get("/v1/influencers")).json()["data"]]
    assert names == (["Zoé"] if first.status_code == 503 else ["Zoé", "Léa"])


async def test_a_query_parameter_that_is_not_known_is_named_and_not_let_be(as_alice: AsyncClient) -> None:
    for path in ("/v1/influencers?nmae=Lea", "/v1/links?colaboration_id=x", "/v1/reports/summary?form=2026-01-01"):
        answer = await as_alice.get(path)
        assert answer.status_code == 422, path
        [error] = answer.json()["errors"]
        assert error["parameter"] == path.partition("?")[2].partition("=")[0]
        assert error["code"] == "unknown_field"
        assert error["detail"].startswith("is not a parameter of this request")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("2026-11-22", "write 2026-11-22T00:00:00Z"),
        ("2026-11-22T09:30:00", "has no time zone"),
        ("2026-11-22T09:30:00+01:00", "a + in an address must be sent as %2B"),
        ("2026-11-22Z", "is no time such as 2026-11-22T09:30:00Z"),
        ("yesterday", "is no time such as 2026-11-22T09:30:00Z"),
        ("22/11/2026", "is no time such as 2026-11-22T09:30:00Z"),
    ],
)
async def test_a_time_that_cannot_be_read_is_answered_with_one_that_can(
    as_alice: AsyncClient, value: str, said: str
) -> None:
    answer = await as_alice.get(f"/v1/conversions?from={value}")
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert (error["parameter"], error["code"]) == ("from", "invalid")
    assert said in error["detail"]


async def test_a_value_at_fault_in_a_list_of_filters_is_named_by_its_parameter(as_alice: AsyncClient) -> None:
    answer = await as_alice.get("/v1/reports/summary?group_by=day&group_by=moon")
    assert answer.status_code == 422
    assert {error["parameter"] for error in answer.json()["errors"]} == {"group_by"}


@pytest.mark.parametrize("external_id", ["crm/17", "a,b"])
async def test_an_external_id_that_could_not_be_addressed_is_refused(as_alice: AsyncClient, external_id: str) -> None:
    answer = await as_alice.post("/v1/influencers", json={"name": "Léa", "external_id": external_id})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["external_id"]


async def test_an_external_id_of_an_archived_row_says_so_rather_than_answer_with_it(as_alice: AsyncClient) -> None:
    made = await make_influencer(as_alice, external_id="crm-17")
    assert (await as_alice.delete(f"/v1/influencers/{made['id']}")).status_code == 200
    answer = await as_alice.post("/v1/influencers", json={"name": "Léa", "external_id": "crm-17"})
    assert (answer.status_code, answer.json()["code"]) == (409, "influencer_archived")
    assert [error["field"] for error in answer.json()["errors"]] == ["external_id"]
