"""A host belongs to whoever proves it, as soon as a service has more than one brand: by the DNS, or by a file on another web server."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI

from app.outgoing import host_proofs
from app.server.app import create_api
from app.settings import Settings, read_settings
from tests.api.conftest import client
from tests.cast import Brand, create_brand
from tests.outgoing.outside import Outside, outside
from tests.tracking.rows import fresh_slug

Answer = httpx2.Response


def settings_of(dsn: str, data: Path, there: Outside, proof: str = "auto") -> Settings:
    return read_settings(
        {}, database_url=dsn, data=data, secret_key="s" * 43, public_url="https://go.test", other_names="old.test, older.test:8443",
        dns_server=there.dns_server, outgoing_networks="127.0.0.0/8", proof_of_hosts=proof,
    )  # fmt: skip


@pytest.fixture
async def there(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Outside]:
    async with outside() as there:
        monkeypatch.setattr(host_proofs, "FILES", (f"http://{{host}}:{there.port}/.well-known/ariane-host.txt",))
        yield there


@pytest.fixture
async def strict(dsn: str, tmp_path: Path, there: Outside) -> AsyncIterator[FastAPI]:
    """A service that shares the database with the others, so it has several brands."""
    api = create_api(settings_of(dsn, tmp_path, there))
    async with api.router.lifespan_context(api):
        yield api


async def add(service: FastAPI, brand: Brand, name: str) -> Answer:
    async with client(service, brand) as caller:
        return await caller.post("/v1/hosts", json={"host": name})


async def proof(service: FastAPI, brand: Brand, name: str) -> dict[str, Any]:
    async with client(service, brand) as caller:
        answer = await caller.get("/v1/hosts/proof", params={"host": name})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def fresh_host() -> str:
    return f"go.{fresh_slug()}.example"


async def test_an_unproven_host_is_refused_with_what_to_do_and_reserves_nothing(
    strict: FastAPI, alice: Brand, charlie: Brand, pool: asyncpg.Pool, there: Outside
) -> None:
    name = fresh_host()
    refused = await add(strict, alice, name)
    wanted = await proof(strict, alice, name)
    problem = refused.json()
    assert (refused.status_code, problem["code"], wanted["needed"]) == (409, "host_unproven", True)
    assert wanted["value"] in problem["errors"][0]["detail"]
    assert wanted["dns_name"] == f"_ariane.{name}"
    assert f"_ariane.{name} has no TXT record" in problem["detail"]
    assert await pool.fetchval("SELECT count(*) FROM host WHERE host = $1", name) == 0
    theirs = await proof(strict, charlie, name)
    assert theirs["value"] != wanted["value"]
    there.texts[f"_ariane.{name}"] = [theirs["value"]]
    assert (await add(strict, alice, name)).status_code == 409  # the proof of somebody else
    assert (await add(strict, charlie, name)).status_code == 201
    assert (await add(strict, alice, name)).json()["code"] == "host_taken"


async def test_a_txt_record_proves_a_host_once_and_for_good(strict: FastAPI, alice: Brand, there: Outside) -> None:
    name = fresh_host()
    wanted = await proof(strict, alice, name.upper())
    there.texts[f"_ariane.{name}"] = ["something else", f" {wanted['value']} "]
    assert (await add(strict, alice, f"{name}.")).status_code == 201
    there.texts.clear()
    assert (await proof(strict, alice, name))["needed"] is False
    async with client(strict, alice) as caller:
        assert (await caller.delete(f"/v1/hosts/{name}")).status_code == 200
    assert (await add(strict, alice, name)).status_code == 200


@pytest.mark.parametrize(
    ("content", "status"), [("VALUE", 201), ("VALUE\n", 201), ("another", 409), ("->http://127.0.0.1/", 409)]
)
async def test_a_file_on_the_web_server_of_today_proves_a_host(
    strict: FastAPI, alice: Brand, there: Outside, content: str, status: int
) -> None:
    name = fresh_host()
    wanted = await proof(strict, alice, name)
    there.addresses[name] = [["127.0.0.1"]]
    there.files[name, "/.well-known/ariane-host.txt"] = content.replace("VALUE", wanted["value"]).encode()
    assert (await add(strict, alice, name)).status_code == status


async def test_a_file_inside_our_own_network_is_not_asked_for(
    dsn: str, tmp_path: Path, alice: Brand, there: Outside
) -> None:
    inside = settings_of(dsn, tmp_path, there)
    api = create_api(
        read_settings({}, database_url=dsn, data=tmp_path, secret_key="s" * 43, dns_server=inside.dns_server)
    )
    async with api.router.lifespan_context(api):
        name = fresh_host()
        there.addresses[name] = [["127.0.0.1"]]
        wanted = await proof(api, alice, name)
        there.files[name, "/.well-known/ariane-host.txt"] = wanted["value"].encode()
        refused = await add(api, alice, name)
    assert refused.status_code == 409
    assert "no public address" in refused.text
    assert there.asked == []


@pytest.mark.parametrize("name", ["go.test", "GO.test.", "old.test", "older.test"])
async def test_no_name_of_the_service_itself_is_given_to_a_brand(
    strict: FastAPI, alice: Brand, there: Outside, name: str
) -> None:
    there.texts[f"_ariane.{name.lower().strip('.')}"] = [(await proof(strict, alice, name))["value"]]
    refused = await add(strict, alice, name)
    assert (refused.status_code, refused.json()["code"]) == (409, "host_taken")


@pytest.mark.parametrize("name", ["co.uk", "github.io", "myshopify.com", "xn--p1ai.", "公司.cn"])
async def test_a_public_suffix_is_refused(strict: FastAPI, alice: Brand, name: str) -> None:
    refused = await add(strict, alice, name)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "host")


async def test_the_only_brand_of_a_service_is_trusted_and_what_it_had_stays(
    fresh_dsn: Any, tmp_path: Path, there: Outside
) -> None:
    dsn = await fresh_dsn()
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as own:
        first = await create_brand(own, "First")
        api = create_api(settings_of(dsn, tmp_path, there))
        async with api.router.lifespan_context(api):
            assert (await proof(api, first, "go.first.example"))["needed"] is False
            assert (await add(api, first, "go.first.example")).status_code == 201
            second = await create_brand(own, "Second")
            assert (await add(api, first, "go.first.example")).status_code == 200
            assert (await add(api, first, "more.first.example")).json()["code"] == "host_unproven"
            assert (await add(api, second, "go.second.example")).json()["code"] == "host_unproven"
    for rule, status in (("off", 201), ("always", 409)):
        api = create_api(settings_of(dsn, tmp_path, there, rule))
        async with api.router.lifespan_context(api):
            assert (await add(api, second, f"{rule}.second.example")).status_code == status
