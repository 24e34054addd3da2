"""Keys over the API, and what each scope may do."""

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from tests.api.calls import fields_at_fault, post
from tests.cast import Brand


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_a_secret_key_is_shown_once_and_stored_as_a_hash(
    as_alice: AsyncClient, api: AsyncClient, pool: asyncpg.Pool
) -> None:
    made = await post(as_alice, "/v1/keys", {"name": "shop server", "scopes": ["read"]})
    secret = made["secret_key"]
    assert secret.startswith("sk_")
    assert (made["hint"], made["scopes"], made["publishable_key"]) == (secret[-4:], ["read"], None)
    shown = (await as_alice.get(f"/v1/keys/{made['id']}")).json()
    assert secret not in str(shown)
    assert "secret_key" not in shown
    assert secret not in (await as_alice.get("/v1/keys")).text
    assert await pool.fetchval("SELECT count(*) FROM api_key WHERE hint = $1 OR name = $1", secret) == 0
    assert (await api.get("/v1/influencers", headers=bearer(secret))).status_code == 200


async def test_a_publishable_key_belongs_to_a_shop_and_opens_nothing_here(
    as_alice: AsyncClient, api: AsyncClient
) -> None:
    made = await post(as_alice, "/v1/keys", {"kind": "publishable", "shop": "fr"})
    assert (made["shop"], made["secret_key"], made["scopes"]) == ("fr", None, [])
    assert made["publishable_key"] == made["hint"]
    refused = await api.get("/v1/brand", headers=bearer(made["publishable_key"]))
    assert (refused.status_code, refused.json()["code"]) == (401, "key_publishable")
    assert await fields_at_fault(as_alice, "/v1/keys", {"kind": "publishable", "scopes": ["read"]}) == {
        "scopes": "not_for_publishable"
    }
    for scopes in ([], ["read"]):
        body = {"shop": "fr", "scopes": scopes}
        assert await fields_at_fault(as_alice, "/v1/keys", body) == {"shop": "not_for_secret"}
    assert set(await fields_at_fault(as_alice, "/v1/keys", {"scopes": ["root"]})) == {"scopes.0"}


async def test_a_revoked_key_is_refused_at_once_and_a_key_cannot_revoke_itself(
    as_alice: AsyncClient, api: AsyncClient
) -> None:
    made = await post(as_alice, "/v1/keys", {"scopes": ["admin"]})
    mine = bearer(made["secret_key"])
    assert (await api.get("/v1/brand", headers=mine)).status_code == 200
    assert (await api.delete(f"/v1/keys/{made['id']}", headers=mine)).json()["code"] == "key_in_use"
    assert (await as_alice.delete(f"/v1/keys/{made['id']}")).json()["revoked_at"] is not None
    refused = await api.get("/v1/brand", headers=mine)
    assert (refused.status_code, refused.json()["code"]) == (401, "key_unknown")
    assert made["id"] not in [row["id"] for row in (await as_alice.get("/v1/keys")).json()["data"]]


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer sk_unknown", "Bearer é\u00ff", "sk_x"]
)
async def test_without_a_good_key_the_answer_says_how_to_send_one(api: AsyncClient, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = await api.get("/v1/brand", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("read", {"list"}),
        ("conversions", {"report"}),
        ("write", {"list", "create", "report"}),
        ("admin", {"list", "create", "report", "keys", "sources", "brand"}),
    ],
)
async def test_a_scope_allows_what_it_says_and_nothing_else(
    as_alice: AsyncClient, api: AsyncClient, scope: str, allowed: set[str]
) -> None:
    key = await post(as_alice, "/v1/keys", {"scopes": [scope]})
    headers = bearer(key["secret_key"])
    attempts = {
        "list": await api.get("/v1/influencers", headers=headers),
        "create": await api.post("/v1/influencers", json={"name": "x"}, headers=headers),
        "report": await api.post("/v1/conversions", json={"order_id": f"{scope}-1"}, headers=headers),
        "keys": await api.get("/v1/keys", headers=headers),
        "sources": await api.post("/v1/sources", json={"platform": "generic", "secrets": ["s" * 20]}, headers=headers),
        "brand": await api.patch("/v1/brand", json={}, headers=headers),
    }
    assert {name for name, answer in attempts.items() if answer.is_success} == allowed
    for name in set(attempts) - allowed:
        assert attempts[name].status_code == 403, name
        assert 'error="insufficient_scope"' in attempts[name].headers["WWW-Authenticate"]


async def test_a_key_made_for_a_shop_s_server_reports_every_order_of_it_and_says_so(
    as_alice: AsyncClient, api: AsyncClient
) -> None:
    made = await post(as_alice, "/v1/keys", {"shop": "fr", "scopes": ["conversions"]})
    assert (made["shop"], made["reports_every_order"]) == ("fr", True)
    assert (await as_alice.get(f"/v1/keys/{made['id']}")).json()["reports_every_order"] is True
    headers = bearer(made["secret_key"])
    answers = [
        await api.post("/v1/conversions", json=body, headers=headers)
        for body in ({"order_id": "1"}, {"order_id": "1", "shop": "de"})
    ]
    assert [answer.json()["shop"] for answer in answers] == ["fr", "de"]
    for body in (
        {"scopes": ["conversions"]},
        {"shop": "fr", "scopes": ["conversions", "read"]},
        {"kind": "publishable"},
    ):
        assert (await post(as_alice, "/v1/keys", body))["reports_every_order"] is False
    for body in ({"shop": "fr", "scopes": ["write"]}, {"shop": "fr", "scopes": ["conversions"]}):
        for given in (True, False):
            other = await post(as_alice, "/v1/keys", {**body, "reports_every_order": given})
            assert other["reports_every_order"] is given
    for body in ({"scopes": ["conversions"]}, {"kind": "publishable", "shop": "fr"}):
        assert await fields_at_fault(as_alice, "/v1/keys", {**body, "reports_every_order": True}) == {
            "reports_every_order": "only_for_shop"
        }


async def test_that_a_server_reports_every_order_is_turned_on_and_off_from_now_on(
    as_alice: AsyncClient, as_charlie: AsyncClient, pool: asyncpg.Pool
) -> None:
    made = await post(as_alice, "/v1/keys", {"shop": "fr", "scopes": ["conversions"]})
    path = f"/v1/keys/{made['id']}"

    async def edges() -> int:
        found: int = await pool.fetchval(
            "SELECT cardinality(every_order_edges) FROM api_key WHERE hint = $1 AND shop = 'fr'", made["hint"]
        )
        return found

    for given, count in ((True, 1), (False, 2), (False, 2), (True, 3)):
        changed = await as_alice.patch(path, json={"reports_every_order": given})
        assert (changed.json()["reports_every_order"], await edges()) == (given, count)
    assert (await as_charlie.patch(path, json={"reports_every_order": False})).status_code == 404
    shopless = await post(as_alice, "/v1/keys", {"scopes": ["read"]})
    refused = await as_alice.patch(f"/v1/keys/{shopless['id']}", json={"reports_every_order": True})
    assert [(each["field"], each["code"]) for each in refused.json()["errors"]] == [
        ("reports_every_order", "only_for_shop")
    ]
    await as_alice.delete(path)
    assert (await as_alice.patch(path, json={"reports_every_order": False})).json()["code"] == "key_revoked"


async def test_charlie_gets_404_for_keys(as_alice: AsyncClient, as_charlie: AsyncClient, charlie: Brand) -> None:
    made = await post(as_alice, "/v1/keys", {})
    assert (await as_charlie.get(f"/v1/keys/{made['id']}")).status_code == 404
    assert (await as_charlie.delete(f"/v1/keys/{made['id']}")).status_code == 404
    assert len((await as_charlie.get("/v1/keys", params={"include_revoked": True})).json()["data"]) == 2


def test_every_operation_demands_a_scope(service: FastAPI) -> None:
    paths = service.openapi()["paths"]
    without = [
        f"{method} {path}"
        for path, operations in paths.items()
        for method, operation in operations.items()
        if path.startswith("/v1/") and not operation.get("x-scopes")
    ]
    assert without == []


async def test_a_signing_secret_is_shown_once_and_kept_encrypted(
    as_alice: AsyncClient, as_charlie: AsyncClient, alice: Brand, pool: asyncpg.Pool
) -> None:
    made = await post(as_alice, "/v1/keys", {"kind": "publishable"})
    path = f"/v1/keys/{made['id']}/signing_secrets"
    first = await post(as_alice, path, {})
    assert first["signing_secret"].startswith("sig_")
    assert (first["signing_secrets_count"], first["shop"]) == (1, "main")
    assert first["signing_secret"] not in (await as_alice.get("/v1/keys")).text
    stored = await pool.fetchval("SELECT signing_secrets FROM api_key WHERE hint = $1", made["publishable_key"])
    assert len(stored) == 1
    assert first["signing_secret"] not in stored[0]
    assert (await as_charlie.post(path, json={})).status_code == 404
    assert (await as_charlie.delete(path)).status_code == 404


async def test_signing_secrets_are_rotated_and_belong_to_publishable_keys_in_force(as_alice: AsyncClient) -> None:
    made = await post(as_alice, "/v1/keys", {"kind": "publishable"})
    path = f"/v1/keys/{made['id']}/signing_secrets"
    counts = [(await post(as_alice, path, {}))["signing_secrets_count"] for _ in range(3)]
    assert counts == [1, 2, 3]
    refused = await as_alice.post(path, json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_secrets")
    assert (await as_alice.delete(path)).json()["signing_secrets_count"] == 1
    assert (await as_alice.delete(path)).json()["signing_secrets_count"] == 1
    await as_alice.delete(f"/v1/keys/{made['id']}")
    assert (await as_alice.post(path, json={})).json()["code"] == "key_revoked"
    secret = await post(as_alice, "/v1/keys", {"scopes": ["read"]})
    refused = await as_alice.post(f"/v1/keys/{secret['id']}/signing_secrets", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_publishable")
