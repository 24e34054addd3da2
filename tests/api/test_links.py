"""Links over the API: slugs, destinations, routes, batches, QR codes."""

import asyncio
import re
import struct
from io import BytesIO
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import zxingcpp
from httpx2 import AsyncClient
from PIL import Image

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
        "links.0.slug": "slug_taken",
        "links.2.slug": "slug_taken",
        "links.3.campaign_id": "campaign_not_found",
        "links.4.host": "unknown_host",
    }
    assert await fields_at_fault(as_alice, "/v1/links/bulk", {"links": clashing[:2]}, status=409) == {
        "links.0.slug": "slug_taken"
    }
    assert await pool.fetchval("SELECT count(*) FROM link WHERE brand_id = $1", alice.id) == 1
    assert await pool.fetchval("SELECT count(*) FROM route WHERE brand_id = $1", alice.id) == 1


async def test_everything_that_is_wrong_with_a_batch_is_told_in_one_answer(
    as_alice: AsyncClient, as_charlie: AsyncClient, pool: asyncpg.Pool, alice: Brand
) -> None:
    pair = await make_pair(as_alice)
    good = {**pair, "destination_url": "https://shop.test/"}
    hers = (await make_link(as_alice, pair, external_id="spring"))["slug"]
    his = (await make_link(as_charlie, await make_pair(as_charlie)))["slug"]
    rows = [
        good,
        {**good, "destination_url": "javascript:1", "placment": "bio"},
        {**good, "influencer_id": "ext_nobody", "slug": hers},
        {**good, "slug": his},
        "not an object",
        {**good, "slug": "v1", "campaign_id": None},
        {**good, "slug": "fine-" + hers, "host": "other.test", "expires_at": "tomorrow"},
        {**good, "external_id": "spring", "placement": "story"},
        {**good, "utm": {"source": "x" * 300}},
        {**good, "destination_url": "https://go.test/x"},
    ]
    before = [
        await pool.fetchval(f"SELECT count(*) FROM {name} WHERE brand_id = $1", alice.id)
        for name in ("link", "route", "collaboration")
    ]
    assert await fields_at_fault(as_alice, "/v1/links/bulk", {"links": rows}) == {
        "links.1.destination_url": "invalid",
        "links.1.placment": "unknown_field",
        "links.2.influencer_id": "influencer_not_found",
        "links.2.slug": "slug_taken",
        "links.3.slug": "slug_taken",
        "links.4": "object_expected",
        "links.5.slug": "invalid",
        "links.5.campaign_id": "required",
        "links.6.expires_at": "invalid",
        "links.6.host": "unknown_host",
        "links.7.external_id": "external_id_taken",
        "links.8.utm.source": "string_too_long",
        "links.9.destination_url": "loop",
    }
    after = [
        await pool.fetchval(f"SELECT count(*) FROM {name} WHERE brand_id = $1", alice.id)
        for name in ("link", "route", "collaboration")
    ]
    assert before == after
    answer = await as_alice.post(
        "/v1/links/bulk", json={"links": [{**good, "slug": "v1"}] * 300 + [{**good, "slug": his}]}
    )
    problem = answer.json()
    assert (answer.status_code, len(problem["errors"]), problem["errors_left_out"]) == (422, 100, 201)


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


async def test_other_names_of_this_service_lead_back_to_us_too(as_alice: AsyncClient) -> None:
    body = await make_pair(as_alice)
    request_host = as_alice.base_url.host
    names = [
        "http://go.test/x",
        f"https://{request_host}/x",
        "http://localhost:8000/x",
        "http://127.0.0.1:8000/",
        "http://[::1]:8000/",
    ]
    for url in (*names, "http://[::ffff:127.0.0.1]:8000/", "http://0.0.0.0:8000/x", "https://GO.TEST.:443/x"):
        sent = {**body, "destination_url": url}
        assert await fields_at_fault(as_alice, "/v1/links", sent) == {"destination_url": "loop"}, url
    for url in ("http://127.0.0.1:8001/", "https://go.test:8443/shop", "https://not-go.test/"):
        await post(as_alice, "/v1/links", {**body, "destination_url": url})


async def test_what_was_mended_in_a_destination_is_said_once(as_alice: AsyncClient) -> None:
    pair = await make_pair(as_alice)
    pasted = "\ufeffhttps://i❤️.ws/p?a=1&amp;b=2&fbclid=IwAR0&igsh=x\u200b"
    made = await make_link(as_alice, pair, destination_url=pasted, external_id="pasted")
    assert made["destination_url"] == "https://xn--i-7iq.ws/p?a=1&b=2"
    assert [(note["field"], note["code"]) for note in made["notes"]] == [
        ("destination_url", "entities_decoded"),
        ("destination_url", "click_ids_removed"),
    ]
    assert made["notes"][1]["detail"].endswith(": fbclid, igsh")
    path = f"/v1/links/{made['id']}"
    assert (await as_alice.get(path)).json()["notes"] == []
    again = {**pair, "destination_url": "https://XN--I-7IQ.ws/p?a=1&b=2&gclid=z", "external_id": "pasted"}
    assert (await post(as_alice, "/v1/links", again, status=200))["notes"][0]["code"] == "click_ids_removed"
    changed = (await as_alice.patch(path, json={"destination_url": "https://shop.test/?gclid=1"})).json()
    assert (changed["destination_url"], len(changed["notes"])) == ("https://shop.test/", 1)
    bulk = {
        "links": [{**pair, "destination_url": url} for url in ("https://shop.test/", "https://shop.test/?ttclid=1")]
    }
    found = (await post(as_alice, "/v1/links/bulk", bulk))["data"]
    assert [len(each["notes"]) for each in found] == [0, 1]


async def test_a_link_that_an_older_release_stored_with_a_click_id_is_still_found(
    as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand
) -> None:
    pair = await make_pair(as_alice)
    body = {**pair, "destination_url": "https://shop.test/?fbclid=1", "external_id": "old"}
    made = await post(as_alice, "/v1/links", body)
    await pool.execute(
        "UPDATE link SET destination_url = $2 WHERE brand_id = $1 AND external_id = 'old'",
        alice.id,
        body["destination_url"],
    )
    assert (await post(as_alice, "/v1/links", body, status=200))["id"] == made["id"]


async def test_a_link_says_what_is_forwarded_or_leaves_it_to_its_brand(
    as_alice: AsyncClient, pool: asyncpg.Pool
) -> None:
    pair = await make_pair(as_alice)
    made = await make_link(as_alice, pair, forward_query="nothing")
    assert made["forward_query"] == (await route(pool, made["slug"]))["forward_query"] == "nothing"
    path = f"/v1/links/{made['id']}"
    assert (await as_alice.patch(path, json={"forward_query": None})).json()["forward_query"] is None
    assert (await route(pool, made["slug"]))["forward_query"] is None
    wrong = {**pair, "destination_url": "https://shop.test/", "forward_query": "both"}
    assert list(await fields_at_fault(as_alice, "/v1/links", wrong)) == ["forward_query"]


async def test_a_host_is_the_same_in_every_spelling(as_alice: AsyncClient, as_charlie: AsyncClient) -> None:
    pair = await make_pair(as_alice)
    plain = f"go-é-{pair['campaign_id'][-10:]}.test"
    stored = (await post(as_alice, "/v1/hosts", {"host": plain.upper() + "."}))["host"]
    assert stored.startswith("xn--go-")
    assert (await post(as_alice, "/v1/hosts", {"host": stored}, status=200))["host"] == stored
    for spelling in (plain, stored.upper() + ".", f" {plain.upper()}\u200b"):
        made = await make_link(as_alice, pair, host=spelling)
        assert made["host"] == stored
    for spelling in (plain.upper() + ".", stored.upper()):
        assert len((await as_alice.get("/v1/links", params={"host": spelling})).json()["data"]) == 3
        assert (await as_alice.get(f"/v1/hosts/{spelling}/pages")).json()["host"] == stored
        assert (await as_charlie.get(f"/v1/hosts/{spelling}/pages")).status_code == 404
        assert (await as_alice.delete(f"/v1/hosts/{spelling}")).json()["host"] == stored
        assert (await as_alice.post(f"/v1/hosts/{spelling}/unarchive")).json()["archived_at"] is None
    body = {**pair, "destination_url": f"https://{plain.upper()}./x"}
    assert await fields_at_fault(as_alice, "/v1/links", body) == {"destination_url": "loop"}


async def test_the_pages_of_a_host_are_addresses_as_good_as_a_links(
    as_alice: AsyncClient, as_charlie: AsyncClient
) -> None:
    pair = await make_pair(as_alice)
    name = f"pages-{pair['campaign_id'][-10:]}.test"
    await post(as_alice, "/v1/hosts", {"host": name})
    path = f"/v1/hosts/{name}/pages"
    empty = {"host": name, "root_url": None, "unknown_url": None, "expired_url": None, "language": None, "notes": []}
    assert (await as_alice.get(path)).json() == empty
    sent = {"root_url": "https://Brand.test?gclid=1", "unknown_url": "https://brand.test/404", "language": "fr"}
    changed = (await as_alice.patch(path, json=sent)).json()
    assert (changed["root_url"], changed["language"]) == ("https://brand.test/", "fr")
    assert [(note["field"], note["code"]) for note in changed["notes"]] == [("root_url", "click_ids_removed")]
    kept = (await as_alice.patch(path, json={"unknown_url": None})).json()
    assert (kept["root_url"], kept["unknown_url"], kept["notes"]) == ("https://brand.test/", None, [])
    for url, code in ((f"https://{name}/x", "loop"), ("https://a:1:2/", "invalid"), ("javascript:1", "invalid")):
        answer = await as_alice.patch(path, json={"expired_url": url})
        assert [(each["field"], each["code"]) for each in answer.json()["errors"]] == [("expired_url", code)]
    assert (await as_charlie.patch(path, json=sent)).status_code == 404


@pytest.mark.parametrize("level", ["l", "h"])
@pytest.mark.parametrize("colours", [{}, {"dark": "808080"}, {"dark": "000000", "light": "777777"}])
async def test_a_qr_code_of_the_least_size_is_read_by_a_real_reader(
    as_alice: AsyncClient, level: str, colours: dict[str, str]
) -> None:
    made = await make_link(as_alice, await make_pair(as_alice))
    path = f"/v1/links/{made['id']}/qr.png"
    params = {"level": level, **colours}
    small = await as_alice.get(path, params={"size": 64, **params})
    if colours.get("dark") == "808080":
        assert (await as_alice.get(path, params=params)).json()["errors"][0]["code"] == "low_contrast"
        params["dark"] = "757575"
        small = await as_alice.get(path, params={"size": 64, **params})
    [fault] = small.json()["errors"]
    assert (fault["parameter"], fault["code"]) == ("size", "too_small")
    least = re.search(r"at least (\d+)", fault["detail"])
    assert least
    drawn = await as_alice.get(path, params={"size": least[1], **params})
    assert drawn.status_code == 200
    [read] = zxingcpp.read_barcodes(Image.open(BytesIO(drawn.content)).convert("L"))
    assert read.text.lower() == made["short_url"]


async def test_light_on_dark_is_refused_for_a_qr_code(as_alice: AsyncClient) -> None:
    made = await make_link(as_alice, await make_pair(as_alice))
    for colours in ({"dark": "ffffff", "light": "000000"}, {"dark": "ffff00"}):
        answer = await as_alice.get(f"/v1/links/{made['id']}/qr.svg", params=colours)
        assert answer.json()["errors"][0]["parameter"] == "dark"
