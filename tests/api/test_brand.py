"""The brand's own settings and hosts."""

import asyncpg
import pytest
from httpx2 import AsyncClient

from app import clock
from tests.api.calls import fields_at_fault, make_link, make_pair, post
from tests.cast import Brand


async def test_a_brand_reads_and_changes_itself(as_alice: AsyncClient, as_charlie: AsyncClient) -> None:
    shown = (await as_alice.get("/v1/brand")).json()
    assert (shown["name"], shown["currency"], shown["time_zone"], shown["consent"]) == (
        "Alice",
        "EUR",
        "Europe/Paris",
        "wait",
    )
    assert shown["policy"] == {
        "model": "last",
        "click_window_days": 30,
        "hold_days": 30,
        "precedence": ["code", "click", "visitor"],
        "self_referral": "flag",
        "archived_influencers": "earn",
        "bound_months": 12,
        "bound_orders": 0,
        "version": 0,
    }
    change = {
        "name": "Alice & Co",
        "time_zone": "America/New_York",
        "consent": "granted",
        "currency": "usd",
        "metadata": {"a": 1},
    }
    changed = (await as_alice.patch("/v1/brand", json=change)).json()
    assert (changed["name"], changed["time_zone"], changed["currency"], changed["metadata"]) == (
        "Alice & Co",
        "America/New_York",
        "USD",
        {"a": 1},
    )
    assert (await as_alice.get("/v1/brand")).json() == changed
    assert (await as_charlie.get("/v1/brand")).json()["name"] == "Charlie"


async def test_the_brands_policy_is_versioned_and_campaigns_lie_over_it(as_alice: AsyncClient) -> None:
    changed = (await as_alice.patch("/v1/brand", json={"policy": {"click_window_days": 60}})).json()["policy"]
    assert (changed["click_window_days"], changed["model"], changed["version"]) == (60, "last", 1)
    campaign = await post(as_alice, "/v1/campaigns", {"name": "x", "objective": "sales", "policy": {"model": "first"}})
    assert (campaign["policy"]["model"], campaign["policy"]["click_window_days"]) == ("first", 60)
    assert (await as_alice.patch("/v1/brand", json={"policy": None})).json()["policy"]["click_window_days"] == 30
    versions = (await as_alice.get("/v1/brand/policies")).json()
    assert [(version["version"], version["click_window_days"]) for version in versions] == [(2, 30), (1, 60)]
    assert all(version["effective_from"] is not None for version in versions)


async def test_the_time_zone_is_fixed_once_clicks_were_counted(
    as_alice: AsyncClient, alice: Brand, pool: asyncpg.Pool
) -> None:
    link = await make_link(as_alice, await make_pair(as_alice))
    link_id = await pool.fetchval("SELECT link_id FROM route WHERE slug = $1 AND host = '*'", link["slug"])
    await pool.execute(
        "INSERT INTO click_day (brand_id, day, link_id, clicks) VALUES ($1, $2, $3, 1)",
        alice.id,
        clock.now().date(),
        link_id,
    )
    answer = await as_alice.patch("/v1/brand", json={"time_zone": "UTC"})
    assert answer.status_code == 409
    assert "tz" in answer.json()["errors"][0]["detail"]
    assert (await as_alice.patch("/v1/brand", json={"time_zone": "Europe/Paris", "name": "A"})).status_code == 200


async def test_the_currency_is_fixed_once_orders_came_in(as_alice: AsyncClient) -> None:
    await as_alice.post("/v1/conversions", json={"order_id": "1", "net_minor": 100, "currency": "EUR"})
    answer = await as_alice.patch("/v1/brand", json={"currency": "USD"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (409, "currency")


async def test_every_route_learns_a_new_click_parameter(as_alice: AsyncClient, pool: asyncpg.Pool) -> None:
    link = await make_link(as_alice, await make_pair(as_alice))
    assert (await as_alice.patch("/v1/brand", json={"click_param": "dub_id"})).status_code == 200
    assert await pool.fetchval("SELECT click_param FROM route WHERE slug = $1 AND host = '*'", link["slug"]) == "dub_id"
    later = await make_link(as_alice, {"collaboration_id": link["collaboration_id"]})
    assert (
        await pool.fetchval("SELECT click_param FROM route WHERE slug = $1 AND host = '*'", later["slug"]) == "dub_id"
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"currency": "XAU"}, "currency"),
        ({"click_param": "a b"}, "click_param"),
        ({"consent": "maybe"}, "consent"),
        ({"id": "x"}, "id"),
        ({"name": None}, "name"),
    ],
)
async def test_a_wrong_setting_is_named(as_alice: AsyncClient, body: dict[str, object], field: str) -> None:
    answer = await as_alice.patch("/v1/brand", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_a_host_is_added_archived_and_never_given_to_another_brand(
    as_alice: AsyncClient, as_charlie: AsyncClient, alice: Brand
) -> None:
    name = f"go.{alice.id.hex[-12:]}.test"
    made = await post(as_alice, "/v1/hosts", {"host": f"{name.upper()}."})
    assert made["host"] == name
    assert await post(as_alice, "/v1/hosts", {"host": name}, status=200) == made
    assert await fields_at_fault(as_charlie, "/v1/hosts", {"host": name}, status=409) == {"host": "host_taken"}
    assert (await as_charlie.delete(f"/v1/hosts/{name}")).status_code == 404
    assert (await as_charlie.get("/v1/hosts", params={"include_archived": True})).json()["data"] == []
    assert (await as_alice.get("/v1/hosts")).json()["data"] == [made]
    assert (await as_alice.delete(f"/v1/hosts/{name}")).json()["archived_at"] is not None
    assert (await as_alice.get("/v1/hosts")).json()["data"] == []
    assert await fields_at_fault(as_charlie, "/v1/hosts", {"host": name}, status=409) == {"host": "host_taken"}
    assert (await post(as_alice, "/v1/hosts", {"host": name}, status=200))["archived_at"] is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "localhost",
        "https://go.test",
        "go.test/x",
        "go.test:80",
        "10.0.0.1",
        "-a.test",
        "a..test",
        "a_b.test",
        "é\u200b.x",
    ],
)
async def test_what_is_no_host_name_is_refused(as_alice: AsyncClient, name: str) -> None:
    assert await fields_at_fault(as_alice, "/v1/hosts", {"host": name}) == {"host": "invalid"}


async def test_the_shared_host_belongs_to_no_brand(as_alice: AsyncClient) -> None:
    answer = await as_alice.post("/v1/hosts", json={"host": "GO.test"})
    assert (answer.status_code, answer.json()["code"]) == (409, "host_taken")


async def test_what_the_doors_have_to_know_of_a_brand_is_copied_to_them(
    as_alice: AsyncClient, as_charlie: AsyncClient, pool: asyncpg.Pool, alice: Brand, charlie: Brand
) -> None:
    found = (await as_alice.get("/v1/brand")).json()
    assert (found["forward_query"], found["own_networks"]) == ("link_wins", [])
    sent = {"forward_query": "incoming_wins", "own_networks": ["203.0.113.7", "2001:DB8:12::5/48", "::ffff:192.0.2.1"]}
    changed = (await as_alice.patch("/v1/brand", json=sent)).json()
    networks = ["203.0.113.7/32", "2001:db8:12::/48", "192.0.2.1/32"]
    assert (changed["forward_query"], changed["own_networks"]) == ("incoming_wins", networks)
    for brand, rule in ((alice, [("incoming_wins", networks)]), (charlie, [])):
        rows = await pool.fetch("SELECT forward_query, own_networks FROM door_rule WHERE brand_id = $1", brand.id)
        assert [tuple(row) for row in rows] == rule
    await as_alice.patch("/v1/brand", json={"own_networks": []})
    assert await pool.fetchval("SELECT own_networks FROM door_rule WHERE brand_id = $1", alice.id) == []
    for wrong in ("everyone", "0.0.0.0/0", "10.0.0.0/8", "2001::/16", "203.0.113.7-9"):
        answer = await as_alice.patch("/v1/brand", json={"own_networks": ["192.0.2.1", wrong]})
        assert answer.json()["errors"][0]["field"].startswith("own_networks"), wrong
    assert found["gpc"] == "respect"
    assert (await as_alice.patch("/v1/brand", json={"gpc": "click_id_only"})).json()["gpc"] == "click_id_only"
    assert await pool.fetchval("SELECT gpc FROM door_rule WHERE brand_id = $1", alice.id) == "click_id_only"
    assert (await as_charlie.get("/v1/brand")).json()["gpc"] == "respect"
    assert (await as_alice.patch("/v1/brand", json={"gpc": "ignore"})).json()["errors"][0]["field"] == "gpc"
    pages = [(await each.get("/v1/brand/own-clicks")).json() for each in (as_alice, as_charlie)]
    assert pages[0]["url"].startswith(f"https://go.test/us/{found['id']}.")
    assert pages[0]["url"] in pages[0]["urls"]
    assert pages[0]["url"] != pages[1]["url"]
