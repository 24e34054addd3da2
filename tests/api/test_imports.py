"""Imports over the API: the first line is checked before anything is stored, and every line that is refused says why."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from app.api.job_queue import OPEN_MAX
from app.api.routes.uploads import PIECE_BYTES
from app.domain import ids
from app.domain.csv_files import LINES_MAX
from app.jobs.kinds import KINDS
from app.jobs.run import run_next
from app.orders.redecide import redecide
from app.secret import load_secret
from app.settings import Settings
from tests.api.calls import Json, make_pair, post
from tests.api.conftest import client
from tests.cast import Brand

CSV = {"Content-Type": "text/csv"}
NDJSON = {"Content-Type": "application/x-ndjson"}


async def upload(
    client: AsyncClient, content: Any, headers: dict[str, str] = CSV, query: str = "", status: int = 202
) -> Json:
    answer = await client.post(f"/v1/imports{query}", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


@pytest.fixture
async def finish(pool: asyncpg.Pool, settings: Settings) -> Any:
    """Runs what is queued, as the background process does, and answers a job as its brand sees it."""

    async def finish(client: AsyncClient, job: Json) -> Json:
        while await run_next(pool, settings, load_secret(settings), KINDS, asyncio.Event()):
            pass
        while await redecide(pool):
            pass
        shown = (await client.get(f"/v1/jobs/{job['id']}")).json()
        assert shown["state"] in ("succeeded", "failed"), shown
        return dict(shown)

    return finish


async def lines(client: AsyncClient, job: Json, query: str = "") -> list[Json]:
    return list((await client.get(f"/v1/jobs/{job['id']}/lines{query}")).json()["data"])


async def test_a_file_of_orders_is_recorded_attributed_and_counted(
    as_alice: AsyncClient, as_charlie: AsyncClient, finish: Any
) -> None:
    await post(as_alice, "/v1/codes", {**await make_pair(as_alice), "code": "LEA10"})
    job = await upload(
        as_alice,
        b"order_id,occurred_at,currency,net,codes,refund_id,amount\r\n"
        b"#1001,2026-11-20T18:00:00Z,EUR,49.90,lea10,,\r\n"
        b"1002,2026-11-20T18:00:00Z,EUR,12.00,,,\r\n"
        b"1001,,EUR,,,r-1,9.90\r\n"
        b"2001,,EUR,,,r-2,9.90\r\n",
    )
    assert job["progress"] == {"done": 0, "total": 4, "unit": "rows"}
    shown = await finish(as_alice, job)
    assert shown["progress"]["done"] == 4
    result = shown["result"]
    assert result["orders"] == {"new": 2, "added": 0, "known": 0}
    assert result["refunds"] == {"new": 1, "waiting": 1, "known": 0}
    assert (result["refused"], result["reasons"]) == (0, {})
    [order] = (await as_alice.get("/v1/conversions?order_id=1001")).json()["data"]
    assert (order["net_minor"], order["refunded_minor"], order["attribution"]["method"]) == (4990, 990, "code")
    assert order["status"] == "pending" or order["status"] == "approved"
    [witness] = (await as_alice.get(f"/v1/conversions/{order['id']}")).json()["witnesses"]
    assert (witness["door"], witness["trust"]) == ("import", "authenticated")
    assert (await as_charlie.get("/v1/conversions")).json()["data"] == []
    assert (await as_charlie.get(f"/v1/jobs/{job['id']}")).status_code == 404


async def test_the_same_file_again_changes_nothing_also_when_the_server_had_reported_it(
    as_alice: AsyncClient, alice: Brand, pool: asyncpg.Pool, finish: Any
) -> None:
    await post(as_alice, "/v1/conversions", {"order_id": "1", "net_minor": 500, "currency": "EUR"})
    file = (
        b'\xef\xbb\xbf{"order_id": "1", "net_minor": 500, "currency": "EUR"}\n'
        b'{"order_id": "2", "net_minor": 700}\n\n'
        b'{"order_id": "2", "net_minor": 700}\n'
        b'{"order_id": "2", "refund_id": "a", "full": true}'
    )
    facts = "SELECT (SELECT count(*) FROM witness WHERE brand_id = $1), (SELECT count(*) FROM adjustment WHERE brand_id = $1)"
    first = (await finish(as_alice, await upload(as_alice, file, NDJSON)))["result"]
    assert first["orders"] == {"new": 1, "added": 1, "known": 1}
    before = await pool.fetchrow(facts, alice.id)
    again = (await finish(as_alice, await upload(as_alice, file, NDJSON)))["result"]
    assert again["orders"] == {"new": 0, "added": 0, "known": 3}
    assert again["refunds"] == {"new": 0, "waiting": 0, "known": 1}
    assert await pool.fetchrow(facts, alice.id) == before
    assert await pool.fetchval("SELECT sum(amount_minor) FROM credit WHERE brand_id = $1", alice.id) == 500


async def test_every_refused_line_has_a_reason_and_the_others_are_recorded(as_alice: AsyncClient, finish: Any) -> None:
    job = await upload(
        as_alice,
        b"order_id;net;currency\n"
        b"1;10,00;EUR\n"
        b"2;zehn;EUR\n"
        b"3;1.234;EUR\n"
        b"caf\xe9;5;EUR\n"
        b"N\x00L;5;EUR\n"
        b'4;"5;EUR\n'
        b"5;5\n"
        b";;\n"
        b"6;" + b"9" * 100_000 + b";EUR\n"
        b"7;5;EUR\n"
        b"7;6;EUR\n",
    )
    shown = await finish(as_alice, job)
    assert shown["result"]["orders"] == {"new": 2, "added": 1, "known": 0}
    assert (shown["result"]["refused"], shown["result"]["blank"], shown["result"]["conflicting"]) == (7, 1, 2)
    refused = await lines(as_alice, job, "?status=refused")
    assert [(each["number"], each["reason"]) for each in refused] == [
        (3, "invalid_amount"), (4, "invalid_amount"), (5, "not_utf8"), (6, "invalid"), (7, "unclosed_quote"),
        (8, "wrong_cells"), (10, "line_too_long"),
    ]  # fmt: skip
    assert refused[0]["details"] == {"field": "net", "order_id": "2"}
    assert "'zehn' is not an amount" in refused[0]["detail"]
    assert shown["result"]["reasons"] == {
        "invalid": 1, "invalid_amount": 2, "line_too_long": 1, "not_utf8": 1, "unclosed_quote": 1, "wrong_cells": 1,
    }  # fmt: skip
    file = (await as_alice.get(f"/v1/jobs/{job['id']}/lines.csv?status=refused")).text
    rows = list(csv.DictReader(io.StringIO(file.removeprefix("\ufeff"))))
    assert [row["number"] for row in rows] == ["3", "4", "5", "6", "7", "8", "10"]


async def test_a_dry_run_reads_every_line_and_records_none(as_alice: AsyncClient, finish: Any) -> None:
    job = await upload(as_alice, b"order_id,net\n1,5.00\n2,x\n", query="?dry_run=true")
    result = (await finish(as_alice, job))["result"]
    assert (result["dry_run"], result["orders"], result["refused"]) == (True, {"readable": 1}, 1)
    assert (await as_alice.get("/v1/conversions")).json()["data"] == []


async def test_a_file_without_a_shop_is_of_the_shop_of_its_key(
    as_alice: AsyncClient, service: FastAPI, alice: Brand, finish: Any
) -> None:
    key = await post(as_alice, "/v1/keys", {"scopes": ["write"], "shop": "lyon"})
    async with client(service, replace(alice, secret_key=key["secret_key"])) as of_lyon:
        await finish(of_lyon, await upload(of_lyon, b"order_id,shop\n1,\n2,paris\n"))
    found = (await as_alice.get("/v1/conversions")).json()["data"]
    assert {each["order_id"]: each["shop"] for each in found} == {"1": "lyon", "2": "paris"}


async def test_shop_and_kind_may_be_given_once_for_the_file(as_alice: AsyncClient, finish: Any) -> None:
    await finish(as_alice, await upload(as_alice, b"order_id\n1\n", query="?shop=lyon&kind=lead"))
    [lead] = (await as_alice.get("/v1/conversions?shop=lyon&kind=lead")).json()["data"]
    assert lead["order_id"] == "1"


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"order,net\n1,5\n", CSV, 422, "wrong_header"),
        (b"1001,49.90\n", CSV, 422, "wrong_header"),
        (b"", CSV, 422, "empty_file"),
        (b"\n\n\n", NDJSON, 422, "empty_file"),
        (b"order_id,net\n", CSV, 422, "empty_file"),
        (b"order_id,net\n1,5\n", NDJSON, 422, "not_ndjson"),
        (b"[{}]", NDJSON, 422, "not_ndjson"),
        (b'PK\x03\x04\x14\x00"\n\x00', CSV, 422, "workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", NDJSON, 422, "workbook"),
        (b"\x00\x01\x02", CSV, 422, "wrong_header"),
        (b"x" * (10 << 20), CSV, 422, "wrong_header"),
        (b"order_id\n1\n", {"Content-Type": "application/json"}, 415, "unsupported_media_type"),
        (b"order_id\n1\n", {"Content-Type": "multipart/form-data"}, 415, "unsupported_media_type"),
        (b"order_id\n" + b"1\n" * 100_001, CSV, 413, "too_many_rows"),
        (b"order_id\n" + b"1" * (65 << 20), CSV, 413, "body_too_large"),
    ],
)  # fmt: skip
async def test_what_is_no_such_file_is_refused_with_the_form_and_leaves_nothing(
    as_alice: AsyncClient,
    alice: Brand,
    pool: asyncpg.Pool,
    content: bytes,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    answer = await as_alice.post("/v1/imports", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if code in ("wrong_header", "empty_file", "workbook") and headers is CSV:
        assert "order_id,occurred_at,currency,net,codes" in answer.json()["detail"]
    assert len(answer.content) < 2_000
    for table in ("job", "job_piece"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table} WHERE brand_id = $1", alice.id) == 0


async def test_an_upload_that_breaks_off_leaves_nothing(service: FastAPI, alice: Brand, pool: asyncpg.Pool) -> None:
    messages = iter(
        [
            {"type": "http.request", "body": b"order_id\n" + b"1000000\n" * 90_000, "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    headers = [(b"content-type", b"text/csv"), (b"authorization", alice.auth["Authorization"].encode())]
    scope = {
        "type": "http", "method": "POST", "path": "/v1/imports", "raw_path": b"/v1/imports", "query_string": b"",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("go.test", 80), "scheme": "http", "root_path": "",
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    await service(scope, receive, send)
    assert b"upload_broken_off" in sent[1]["body"]
    assert await pool.fetchval("SELECT count(*) FROM job_piece WHERE brand_id = $1", alice.id) == 0


@pytest.mark.parametrize("opening", [b"", b'"'])
async def test_a_file_of_millions_of_empty_lines_is_refused_and_leaves_nothing(
    as_alice: AsyncClient, pool: asyncpg.Pool, opening: bytes
) -> None:
    body = b"order_id,net\n1,2\n" + opening + b"\n" * (LINES_MAX + PIECE_BYTES)
    refused = await upload(as_alice, body, status=413)
    assert refused["code"] == "too_many_rows"
    assert f"more than {LINES_MAX} lines" in refused["detail"]
    assert await pool.fetchval("SELECT count(*) FROM job_piece") == 0


async def test_the_same_request_under_one_idempotency_key_is_one_job(
    as_alice: AsyncClient, alice: Brand, pool: asyncpg.Pool
) -> None:
    keyed = {**CSV, "Idempotency-Key": "import-1"}
    first = await upload(as_alice, b"order_id\n1\n", keyed)
    again = await as_alice.post("/v1/imports", content=b"order_id\n1\n", headers=keyed)
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (first["id"], "true")
    assert (await upload(as_alice, b"order_id\n2\n", keyed, status=422))["code"] == "idempotency_key_reused"
    pieces = await pool.fetch("SELECT job_id FROM job_piece WHERE brand_id = $1", alice.id)
    assert [ids.show("job", row["job_id"]) for row in pieces] == [first["id"]]


async def test_a_brand_has_so_many_jobs_waiting_and_no_more(as_alice: AsyncClient, as_charlie: AsyncClient) -> None:
    for number in range(OPEN_MAX):
        await upload(as_alice, b"order_id\n%d\n" % number, {**CSV, "Idempotency-Key": f"import-{number}"})
    refused = await as_alice.post("/v1/imports", content=b"order_id\n1\n", headers=CSV)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_jobs")
    assert refused.headers["retry-after"]
    again = await as_alice.post("/v1/imports", content=b"order_id\n3\n", headers={**CSV, "Idempotency-Key": "import-3"})
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    await upload(as_charlie, b"order_id\n1\n")


@pytest.mark.parametrize("path", ["/v1/imports", "/v1/reconciliations?from=2026-11-01&to=2026-11-02"])
async def test_a_file_that_no_job_could_take_is_not_read(as_alice: AsyncClient, path: str) -> None:
    read = 0

    async def file() -> AsyncIterator[bytes]:
        nonlocal read
        yield b"order_id,total\n"
        for number in range(1_000):
            read += 1
            yield b"%d,1.00\n" % number * 100

    for number in range(OPEN_MAX):
        await upload(as_alice, b"order_id\n%d\n" % number)
    for keyed in ({}, {"Idempotency-Key": "a new one"}):
        refused = await as_alice.post(path, content=file(), headers={**CSV, **keyed})
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_jobs")
    assert read == 0


async def test_a_key_that_may_not_write_uploads_nothing(
    as_alice: AsyncClient, alice: Brand, api: AsyncClient, pool: asyncpg.Pool
) -> None:
    key = (await post(as_alice, "/v1/keys", {"kind": "secret", "scopes": ["read"]}))["secret_key"]
    answer = await api.post("/v1/imports", content=b"order_id\n1\n", headers={**CSV, "Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
    assert await pool.fetchval("SELECT count(*) FROM job_piece WHERE brand_id = $1", alice.id) == 0


async def test_a_line_that_only_the_database_refuses_is_found_by_halving(
    as_alice: AsyncClient, finish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.jobs import imports

    plain = imports.record

    async def refuses_one(connection: Any, brand_id: Any, reports: Any) -> Any:
        if any(report.refs == ("13",) for report, _ in reports):
            raise asyncpg.DataError("no thirteen")
        return await plain(connection, brand_id, reports)

    monkeypatch.setattr(imports, "record", refuses_one)
    job = await upload(as_alice, b"order_id\n" + b"".join(b"%d\n" % number for number in range(40)))
    shown = await finish(as_alice, job)
    assert (shown["result"]["orders"]["new"], shown["result"]["reasons"]) == (39, {"cannot_be_recorded": 1})
    assert [(each["number"], each["details"]["order_id"]) for each in await lines(as_alice, job)] == [(15, "13")]
