"""Links over the API: slugs, destinations, routes, batches, QR codes."""

import asyncio
import re
import struct
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from httpx2 import AsyncClient

from app.domain import ids
from tests.api.calls import fields_at_fault, make_influencer, make_link, make_pair, post
from tests.api.conftest import Statements
from tests.cast import Brand


async def route(pool: asyncpg.Pool, slug: str, host: str = "*") -> dict[str, Any]:
    return dict(await pool.fetchrow("SELECT * FROM route WHERE host = $1 AND slug = $2", host, slug))


async def test_a_link_is_made_with_its_route_and_its_collaboration(
    as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand
) -> None:
    pair = await make_pair(as_alice)
    made = await make_link(as_alice, pair, placement="story", utm={"source": "instagram", "utm_medium": "story"})
    assert re.fullmatch(r"[2-9a-hj-km-np-z]{3,12}", made["slug"])
    assert made["short_url"] == f"https://go.test/{made['slug']}"
    assert made["status"] == "active"
    assert made["utm"] == {"source": "instagram", "medium": "story"}
    assert {name: made[name] for name in pair} == pair
    row = await route(pool, made["slug"])
    assert row["destination_url"] == "https://shop.test/new?utm_source=instagram&utm_medium=story"
    assert (row["brand_id"], row["link_id"]) == (alice.id, ids.read("link", made["id"]))
    assert (row["click_param"], row["disabled"]) == ("ariane", False)

    again = await make_link(as_alice, pair)
    assert again["collaboration_id"] == made["collaboration_id"]
    third = await make_link(as_alice, {"collaboration_id": made["collaboration_id"]})
    assert third["campaign_id"] == pair["campaign_id"]
    assert len((await as_alice.get("/v1/collaborations")).json()["data"]) == 1


async def test_a_given_slug_is_folded_and_can_be_taken_once(as_alice: AsyncClient, as_charlie: AsyncClient) -> None:
    slug = f"Lea-{ids.show('link', UUID(int=1))[-3:]}-{id(as_alice) % 10_000}"
    pair = await make_pair(as_alice)
    assert (await make_link(as_alice, pair, slug=slug))["slug"] == slug.lower()
    body = {"destination_url": "https://shop.test/", "slug": slug.upper()}
    assert await fields_at_fault(as_alice, "/v1/links", {**body, **pair}, status=409) == {"slug": "slug_taken"}
    rival = await make_pair(as_charlie)
    assert await fields_at_fault(as_charlie, "/v1/links", {**body, **rival}, status=409) == {"slug": "slug_taken"}


@pytest.mark.parametrize(
    "slug",
    [
        "p.gif",
        "V1",
        "docs",
        "me",
        "openapi.json",
        ".well-known",
        "dashboard",
        "e",
        "ab",
        "a b",
        "a/b",
        "-ab",
        "é" * 5,
        "x" * 65,
    ],
)
async def test_a_slug_of_ours_or_one_that_is_hard_to_type_is_refused(as_alice: AsyncClient, slug: str) -> None:
    body = {"collaboration_id": "ext_x", "destination_url": "https://shop.test/", "slug": slug}
    assert await fields_at_fault(as_alice, "/v1/links", body) == {"slug": "invalid"}


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "https://",
        "//shop.test",
        "https://user:pw@shop.test/",
        "https://shop.test/\nx",
        "ftp://shop.test",
        "data:text/html,x",
        "",
        "https://shop.test/" + "a" * 3_000,
    ],
)
async def test_a_destination_that_could_harm_is_refused(as_alice: AsyncClient, url: str) -> None:
    body = {"collaboration_id": "ext_x", "destination_url": url}
    assert await fields_at_fault(as_alice, "/v1/links", body) == {"destination_url": "invalid"}


async def test_whose_link_it_is_must_be_said_exactly_once(as_alice: AsyncClient) -> None:
    pair = await make_pair(as_alice)
    url = {"destination_url": "https://shop.test/"}
    assert await fields_at_fault(as_alice, "/v1/links", url) == {"collaboration_id": "required"}
    half = {**url, "campaign_id": pair["campaign_id"]}
    assert await fields_at_fault(as_alice, "/v1/links", half) == {"influencer_id": "required"}
    both = {**url, **pair, "collaboration_id": "ext_x"}
    assert await fields_at_fault(as_alice, "/v1/links", both) == {"collaboration_id": "ambiguous"}


async def test_a_link_in_a_rivals_collaboration_is_not_found(as_alice: AsyncClient, as_charlie: AsyncClient) -> None:
    pair = await make_pair(as_alice)
    made = await make_link(as_alice, pair, external_id="spring")
    url = {"destination_url": "https://shop.test/"}
    theirs = {**url, "collaboration_id": made["collaboration_id"]}
    assert await fields_at_fault(as_charlie, "/v1/links", theirs, status=404) == {
        "collaboration_id": "collaboration_not_found"
    }
    assert await fields_at_fault(as_charlie, "/v1/links", {**url, **pair}, status=404) == {
        "campaign_id": "campaign_not_found",
        "influencer_id": "influencer_not_found",
    }
    for name in (made["id"], "ext_spring"):
        path = f"/v1/links/{name}"
        assert (await as_charlie.get(path)).status_code == 404
        assert (await as_charlie.patch(path, json={"disabled": True})).status_code == 404
        assert (await as_charlie.post(f"{path}/disable")).status_code == 404
        assert (await as_charlie.post(f"{path}/enable")).status_code == 404
        assert (await as_charlie.get(f"{path}/qr.svg")).status_code == 404
        assert (await as_charlie.get(f"{path}/qr.png")).status_code == 404
        assert (await as_charlie.delete(path)).status_code == 404
    assert (await as_charlie.get("/v1/links")).json()["data"] == []
    assert (await as_charlie.get("/v1/links", params={"collaboration_id": made["collaboration_id"]})).json()[
        "data"
    ] == []


async def test_the_route_follows_every_change_of_its_link(as_alice: AsyncClient, pool: asyncpg.Pool) -> None:
    made = await make_link(as_alice, await make_pair(as_alice), utm={"source": "ig", "medium": "story"})
    path = f"/v1/links/{made['id']}"
    change = {
        "destination_url": "https://shop.test/b?x=1",
        "utm": {"medium": None, "term": "t"},
        "expires_at": "2031-01-01T00:00:00+02:00",
    }
    changed = (await as_alice.patch(path, json=change)).json()
    assert changed["utm"] == {"source": "ig", "term": "t"}
    assert changed["expires_at"] == "2030-12-31T22:00:00.000Z"
    row = await route(pool, made["slug"])
    assert row["destination_url"] == "https://shop.test/b?x=1&utm_source=ig&utm_term=t"
    assert row["expires_at"].isoformat() == "2030-12-31T22:00:00+00:00"

    assert (await as_alice.post(f"{path}/disable")).json()["status"] == "disabled"
    assert (await route(pool, made["slug"]))["disabled"] is True
    assert (await as_alice.post(f"{path}/enable")).json()["status"] == "active"
    assert (await route(pool, made["slug"]))["disabled"] is False
    assert (await as_alice.patch(path, json={"expires_at": "2020-01-01T00:00:00Z"})).json()["status"] == "expired"
    assert (await as_alice.delete(path)).json()["status"] == "archived"
    assert (await route(pool, made["slug"]))["disabled"] is True
    assert (await as_alice.post(f"{path}/enable")).json()["code"] == "link_archived"
    again = {
        "destination_url": "https://shop.test/",
        "collaboration_id": made["collaboration_id"],
        "slug": made["slug"],
    }
    assert await fields_at_fault(as_alice, "/v1/links", again, status=409) == {"slug": "slug_taken"}


async def test_the_doors_are_told_when_a_link_is_made(as_alice: AsyncClient, dsn: str) -> None:
    heard: list[str] = []
    pair = await make_pair(as_alice)
    connection = await asyncpg.connect(dsn)
    await connection.add_listener("directory", lambda *_: heard.append("changed"))
    await make_link(as_alice, pair)
    await connection.fetchval("SELECT 1")  # what was committed before is delivered before this answer
    await asyncio.sleep(0)
    assert heard == ["changed"]
    await connection.close()


async def test_the_same_external_id_finds_the_link_or_is_refused(as_alice: AsyncClient) -> None:
    pair = await make_pair(as_alice)
    made = await make_link(as_alice, pair, external_id="e1")
    body = {"destination_url": "https://shop.test/new", **pair, "external_id": "e1"}
    assert await post(as_alice, "/v1/links", body, status=200) == made
    other = {**body, "destination_url": "https://shop.test/other"}
    assert await fields_at_fault(as_alice, "/v1/links", other, status=409) == {"external_id": "external_id_taken"}


async def test_a_thousand_links_are_made_in_a_handful_of_statements(
    as_alice: AsyncClient, statements: Statements
) -> None:
    influencers = [await make_influencer(as_alice, external_id=f"i{number}") for number in range(3)]
    pair = await make_pair(as_alice)
    links = [
        {
            "campaign_id": pair["campaign_id"],
            "influencer_id": "ext_i1" if number == 7 else influencers[number % 3]["id"],
            "destination_url": f"https://shop.test/{number}",
            "external_id": f"l{number}",
        }
        for number in range(1_000)
    ]
    del statements.texts[:]
    made = (await post(as_alice, "/v1/links/bulk", {"links": links}))["data"]
    through_the_driver = 3  # the brand's parameter, the routes, the links
    assert len(statements) + through_the_driver <= 13
    assert [link["destination_url"] for link in made] == [link["destination_url"] for link in links]
    assert len({link["slug"] for link in made}) == 1_000
    assert made[7]["influencer_id"] == influencers[1]["id"]
    assert len({link["collaboration_id"] for link in made}) == 3
    again = (await post(as_alice, "/v1/links/bulk", {"links": links}, status=200))["data"]
    assert [link["id"] for link in again] == [link["id"] for link in made]


async def test_a_batch_is_made_whole_or_not_at_all_and_every_fault_has_its_index(
    as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand
) -> None:
    pair = await make_pair(as_alice)
    good = {**pair, "destination_url": "https://shop.test/"}
    wrong = [good, {**good, "slug": "v1"}, {**good, "destination_url": "javascript:1"}, {**good, "slugg": "x"}]
    assert await fields_at_fault(as_alice, "/v1/links/bulk", {"links": wrong}) == {
        "links.1.slug": "invalid",
        "links.2.destination_url": "invalid",
        "links.3.slugg": "unknown_field",
    }
    taken = (await make_link(as_alice, pair))["slug"]
    clashing = [
        {**good, "slug": taken},
        {**good, "slug": "twice-" + taken},
        {**good, "slug": "Twice-" + taken},
        {**good, "campaign_id": "ext_none"},
        {**good, "host": "other.test"},
    ]
    assert await fields_at_fault(as_alice, "/v1/links/bulk", {"links": clashing}) == {
        "links.2.slug": "slug_taken",
        "links.3.campaign_id": "campaign_not_found",
        "links.4.host": "unknown_host",
    }
    assert await fields_at_fault(as_alice, "/v1/links/bulk", {"links": clashing[:2]}, status=409) == {
        "links.0.slug": "slug_taken"
    }
    assert await pool.fetchval("SELECT count(*) FROM link WHERE brand_id = $1", alice.id) == 1
    assert await pool.fetchval("SELECT count(*) FROM route WHERE brand_id = $1", alice.id) == 1


async def test_a_batch_has_at_most_a_thousand_links(as_alice: AsyncClient) -> None:
    link = {"collaboration_id": "ext_x", "destination_url": "https://shop.test/"}
    assert await fields_at_fault(as_alice, "/v1/links/bulk", {"links": [link] * 1_001}) == {"links": "too_long"}
    assert await fields_at_fault(as_alice, "/v1/links/bulk", {"links": []}) == {"links": "too_short"}


async def test_one_slug_asked_for_ten_times_at_once_is_given_once(as_alice: AsyncClient) -> None:
    pair = await make_pair(as_alice)
    slug = f"race-{pair['campaign_id'][-12:]}"
    body = {"destination_url": "https://shop.test/", **pair, "slug": slug}
    answers = await asyncio.gather(*(as_alice.post("/v1/links", json=body) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9


async def test_a_link_stands_on_a_host_of_ones_own(
    as_alice: AsyncClient, as_charlie: AsyncClient, pool: asyncpg.Pool
) -> None:
    pair = await make_pair(as_alice)
    name = f"go.{pair['campaign_id'][-12:]}.test"
    await post(as_alice, "/v1/hosts", {"host": name.upper()})
    shared = await make_link(as_alice, pair, slug=f"on-{pair['campaign_id'][-12:]}")
    own = await make_link(as_alice, pair, slug=shared["slug"], host=name)
    assert (own["host"], own["short_url"]) == (name, f"https://{name}/{own['slug']}")
    assert (await route(pool, own["slug"], name))["link_id"] == ids.read("link", own["id"])
    rival = {**await make_pair(as_charlie), "destination_url": "https://shop.test/", "host": name}
    assert await fields_at_fault(as_charlie, "/v1/links", rival) == {"host": "unknown_host"}


async def test_lists_are_filtered_and_cost_one_statement(as_alice: AsyncClient, statements: Statements) -> None:
    one, two = await make_pair(as_alice), await make_pair(as_alice)
    first = await make_link(as_alice, one, placement="bio")
    second = await make_link(as_alice, two)
    await as_alice.post(f"/v1/links/{second['id']}/disable")

    async def found(**params: str) -> list[str]:
        return [row["id"] for row in (await as_alice.get("/v1/links", params=params)).json()["data"]]

    del statements.texts[:]
    assert await found() == [second["id"], first["id"]]
    assert len(statements) == 1
    assert await found(campaign_id=one["campaign_id"]) == [first["id"]]
    assert await found(influencer_id=two["influencer_id"]) == [second["id"]]
    assert await found(status="disabled") == [second["id"]]
    assert await found(status="active", placement="bio") == [first["id"]]
    assert await found(slug=first["slug"].upper()) == [first["id"]]
    assert await found(campaign_id="nonsense") == []
    assert await found(campaign_id="ext_nobody") == []


async def test_a_qr_code_is_drawn_in_the_size_asked_for(as_alice: AsyncClient) -> None:
    made = await make_link(as_alice, await make_pair(as_alice))
    png = await as_alice.get(f"/v1/links/{made['id']}/qr.png", params={"size": 300})
    assert png.headers["content-type"] == "image/png"
    width, height = struct.unpack(">II", png.content[16:24])
    assert 200 < width == height <= 300
    svg = await as_alice.get(f"/v1/links/{made['id']}/qr.svg", params={"dark": "112233"})
    assert svg.headers["content-type"].startswith("image/svg+xml")
    assert "#112233" in svg.text or "#123" in svg.text
    for params in ({"size": 100_000}, {"dark": "red"}, {"level": "z"}):
        assert (await as_alice.get(f"/v1/links/{made['id']}/qr.svg", params=params)).status_code == 422
    tight = await as_alice.get(f"/v1/links/{made['id']}/qr.png", params={"size": 64, "border": 20, "level": "h"})
    assert tight.json()["errors"][0]["parameter"] == "size"


async def test_a_destination_that_leads_back_to_us_is_refused_made_changed_or_in_bulk(
    as_alice: AsyncClient, as_charlie: AsyncClient
) -> None:
    pair = await make_pair(as_alice)
    await post(as_charlie, "/v1/hosts", {"host": "go.charlie-loops.test"})
    made = await make_link(as_alice, pair)
    spelt = made["short_url"].replace("go.test", "GO.test.:443")
    looping = [made["short_url"], "https://go.charlie-loops.test/spring", "https://go.charlie-loops.test:8443/", spelt]
    for destination in looping:
        body = {**pair, "destination_url": destination}
        assert await fields_at_fault(as_alice, "/v1/links", body) == {"destination_url": "loop"}
        changed = await as_alice.patch(f"/v1/links/{made['id']}", json={"destination_url": destination})
        assert (changed.status_code, changed.json()["errors"][0]["code"]) == (422, "loop")
    bulk = {"links": [{**pair, "destination_url": "https://shop.test/"}, {**pair, "destination_url": looping[1]}]}
    assert await fields_at_fault(as_alice, "/v1/links/bulk", bulk) == {"links.1.destination_url": "loop"}
