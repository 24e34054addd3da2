"""The way back from the archive, the same for everything that can be archived."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import httpx2
import pytest

from app import clock
from app.domain import ids
from app.domain.orders import TRUST_PIXEL, OrderReport, Receipt
from app.orders.record import record
from app.orders.redecide import redecide_orders
from tests.api.calls import Json, make_campaign, make_influencer, make_link, make_pair, post
from tests.cast import Brand
from tests.tracking.asking import ask, running_doors, settings_for

Client = httpx2.AsyncClient


async def make_collaboration(client: Client) -> Json:
    return await post(client, "/v1/collaborations", {**await make_pair(client), "external_id": "mine"})


async def make_a_link(client: Client) -> Json:
    return await make_link(client, await make_pair(client), external_id="mine")


async def make_a_code(client: Client) -> Json:
    return await post(client, "/v1/codes", {**await make_pair(client), "code": "LEA10", "external_id": "mine"})


async def make_cost(client: Client) -> Json:
    money = {"kind": "fee", "amount_minor": 5_000, "currency": "EUR", "incurred_on": "2026-11-01"}
    return await post(client, "/v1/costs", {**await make_pair(client), **money, "external_id": "mine"})


async def make_source(client: Client) -> Json:
    return await post(client, "/v1/sources", {"platform": "shopify", "secrets": ["shpss_0123456789abcdef"]})


async def make_host(client: Client) -> Json:
    brand = (await client.get("/v1/brand")).json()
    name = f"go.{brand['id'].rpartition('_')[2][-12:]}.test"
    return {**await post(client, "/v1/hosts", {"host": name}), "id": name}


MAKERS: dict[str, Callable[[Client], Awaitable[Json]]] = {
    "influencers": lambda client: make_influencer(client, external_id="mine"),
    "campaigns": lambda client: make_campaign(client, external_id="mine"),
    "collaborations": make_collaboration,
    "links": make_a_link,
    "codes": make_a_code,
    "costs": make_cost,
    "hosts": make_host,
    "sources": make_source,
}


async def unarchive(client: Client, path: str) -> Json:
    answer = await client.post(f"{path}/unarchive")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def in_the_way(client: Client, path: str) -> dict[str, str]:
    """The fields in the way of an unarchiving that is refused, with their codes."""
    answer = await client.post(f"{path}/unarchive")
    assert answer.status_code == 409, answer.text
    assert not any("pointer" in error for error in answer.json()["errors"])
    return {error["field"]: error["code"] for error in answer.json()["errors"]}


def lasting(row: Json, like: Json) -> Json:
    """What of a row must not change on the way to the archive and back."""
    return {name: value for name, value in row.items() if name in like and name not in {"updated_at", "health"}}


@pytest.mark.parametrize("resource", MAKERS)
async def test_what_was_archived_comes_back_as_it_was_and_for_nobody_else(
    as_alice: Client, as_charlie: Client, resource: str
) -> None:
    made = await MAKERS[resource](as_alice)
    path = f"/v1/{resource}/{made['id']}"
    assert (await as_alice.delete(path)).json()["archived_at"] is not None
    for name in (made["id"], "ext_mine"):
        assert (await as_charlie.post(f"/v1/{resource}/{name}/unarchive")).status_code == 404
    assert (await as_alice.get(f"/v1/{resource}")).json()["data"] == []
    back = await unarchive(as_alice, path)
    assert lasting(back, made) == lasting(made, back)
    [listed] = (await as_alice.get(f"/v1/{resource}")).json()["data"]
    assert lasting(listed, back) == lasting(back, listed)
    assert lasting(await unarchive(as_alice, path), back) == lasting(back, back), "twice is once"


@pytest.mark.parametrize("resource", ["influencers", "campaigns", "links", "codes", "costs"])
async def test_what_is_archived_keeps_its_external_id_and_says_how_it_comes_back(
    as_alice: Client, resource: str
) -> None:
    made = await MAKERS[resource](as_alice)
    await as_alice.delete(f"/v1/{resource}/{made['id']}")
    body = {
        "influencers": {"name": "Léa"},
        "campaigns": {"name": "Launch", "objective": "sales"},
        "links": {"collaboration_id": made.get("collaboration_id"), "destination_url": "https://shop.test/new"},
        "codes": {"collaboration_id": made.get("collaboration_id"), "code": "LEA10"},
        "costs": {
            "collaboration_id": made.get("collaboration_id"),
            "kind": "fee",
            "amount_minor": 5_000,
            "currency": "EUR",
            "incurred_on": "2026-11-01",
        },
    }[resource]
    answer = await as_alice.post(f"/v1/{resource}", json={**body, "external_id": "mine"})
    assert (answer.status_code, answer.json()["code"]) == (409, f"{resource[:-1]}_archived"), answer.text
    assert f"POST /v1/{resource}/{made['id']}/unarchive" in answer.json()["detail"]


async def test_nothing_comes_back_before_what_it_belongs_to(as_alice: Client) -> None:
    made = {name: await MAKERS[name](as_alice) for name in ("links", "codes", "costs", "collaborations")}
    for name, row in made.items():
        owners = ["campaigns", "influencers", *(["collaborations"] if name != "collaborations" else [])]
        of = {**row, "influencer_id": row.get("influencer_id") or await influencer_of(as_alice, row)}
        await as_alice.delete(f"/v1/{name}/{row['id']}")
        for owner in owners:
            assert (await as_alice.delete(f"/v1/{owner}/{of[f'{owner[:-1]}_id']}")).status_code == 200
        expected = {f"{owner[:-1]}_id": f"{owner[:-1]}_archived" for owner in owners}
        if name == "costs":
            del expected["influencer_id"]
        assert await in_the_way(as_alice, f"/v1/{name}/{row['id']}") == expected
        for owner in owners:
            await unarchive(as_alice, f"/v1/{owner}/{of[f'{owner[:-1]}_id']}")
        assert (await unarchive(as_alice, f"/v1/{name}/{row['id']}"))["archived_at"] is None


async def influencer_of(client: Client, row: Json) -> str:
    return str((await client.get(f"/v1/collaborations/{row['collaboration_id']}")).json()["influencer_id"])


async def test_a_link_waits_for_its_archived_host(as_alice: Client) -> None:
    host = (await make_host(as_alice))["id"]
    link = await make_link(as_alice, await make_pair(as_alice), host=host)
    await as_alice.delete(f"/v1/links/{link['id']}")
    await as_alice.delete(f"/v1/hosts/{host}")
    assert await in_the_way(as_alice, f"/v1/links/{link['id']}") == {"host": "host_archived"}
    await unarchive(as_alice, f"/v1/hosts/{host}")
    assert (await unarchive(as_alice, f"/v1/links/{link['id']}"))["status"] == "active"


async def test_the_doors_know_what_came_back(as_alice: Client, dsn: str, tmp_path: Path) -> None:
    pair = await make_pair(as_alice)
    link, off = await make_link(as_alice, pair), await make_link(as_alice, pair)
    source = await make_source(as_alice)
    await as_alice.post(f"/v1/links/{off['id']}/disable")
    async with running_doors(settings_for(dsn, tmp_path)) as doors:

        async def answered(status: int, method: str, path: str) -> None:
            async with asyncio.timeout(10):
                while (await ask(doors, method, path, body=b"{}")).status != status:  # noqa: ASYNC110  nobody announces it
                    await asyncio.sleep(0.01)

        for path in (f"/v1/links/{link['id']}", f"/v1/links/{off['id']}", f"/v1/sources/{source['id']}"):
            assert (await as_alice.delete(path)).status_code == 200
        await answered(410, "GET", f"/{link['slug']}")
        await answered(404, "POST", f"/in/{source['token']}")
        assert (await unarchive(as_alice, f"/v1/links/{off['id']}"))["status"] == "disabled"
        assert (await unarchive(as_alice, f"/v1/links/{link['id']}"))["status"] == "active"
        await unarchive(as_alice, f"/v1/sources/{source['id']}")
        await answered(302, "GET", f"/{link['slug']}")
        await answered(401, "POST", f"/in/{source['token']}")
        await answered(410, "GET", f"/{off['slug']}")


async def test_an_order_of_the_time_in_the_archive_is_credited_once_its_code_is_back(
    as_alice: Client, pool: asyncpg.Pool, alice: Brand
) -> None:
    code = await make_a_code(as_alice)

    async def order(order_id: str) -> str:
        body = {"order_id": order_id, "codes": ["LEA10"], "currency": "EUR", "net_minor": 1_000}
        return str((await post(as_alice, "/v1/conversions", body))["id"])

    async def decided() -> list[tuple[str, str]]:
        """Of every order, after all that is to be decided again: its verdict and reason."""
        async with pool.acquire() as connection, connection.transaction():
            waiting = await connection.fetch("SELECT conversion_id FROM redecide WHERE brand_id = $1", alice.id)
            await redecide_orders(connection, alice.id, [row["conversion_id"] for row in waiting])  # type: ignore[arg-type]
        told = [(await as_alice.get(f"/v1/conversions/{each}")).json()["attribution"] for each in made]
        return [(each["verdict"], each["candidates"][0]["reason"]) for each in told]

    made = [await order("before")]
    await as_alice.delete(f"/v1/codes/{code['id']}")
    assert (await as_alice.get("/v1/codes/check", params={"code": "LEA10"})).json()["reason"] == "unknown"
    made.append(await order("meanwhile"))
    assert await decided() == [("attributed", "code_owner"), ("unattributed", "code_inactive")]
    assert (await unarchive(as_alice, f"/v1/codes/{code['id']}"))["status"] == "active"
    assert (await as_alice.get("/v1/codes/check", params={"code": "LEA10"})).json()["valid"] is True
    made.append(await order("after"))
    assert await decided() == [("attributed", "code_owner")] * 3


async def test_what_a_pixel_told_while_a_source_was_archived_stays_beyond_doubt(
    as_alice: Client, pool: asyncpg.Pool, alice: Brand
) -> None:
    source = await make_source(as_alice)
    path = f"/v1/sources/{source['id']}"

    async def told(order_id: str, at: datetime) -> str:
        report = OrderReport("main", "sale", (order_id,), order_id=order_id, currency="EUR", net_minor=1_000)
        async with pool.acquire() as connection, connection.transaction():
            recorded = await record(connection, alice.id, [(report, Receipt(TRUST_PIXEL, "pixel", "pixel", at))])  # type: ignore[arg-type]
        return ids.show("conversion", recorded[0].state.conversion["id"])

    before = await told("before", clock.now())
    orders = [before]
    for name in ("first", "second"):
        await as_alice.delete(path)
        orders.append(await told(f"in the {name} pause", clock.now()))
        await unarchive(as_alice, path)
        orders.append(await told(f"after the {name} pause", clock.now()))
    orders.append(await told("long before the source", clock.now() - timedelta(days=1)))
    async with pool.acquire() as connection, connection.transaction():
        await redecide_orders(connection, alice.id, [ids.read("conversion", each) for each in orders])  # type: ignore[arg-type]
    statuses = [(await as_alice.get(f"/v1/conversions/{each}")).json()["status"] for each in orders]
    assert statuses == ["unverified", "pending", "unverified", "pending", "unverified", "pending"]


async def test_a_cost_counts_again(as_alice: Client) -> None:
    cost = await make_cost(as_alice)

    async def counted() -> int:
        month = {"from": "2026-11-01", "to": "2026-12-01"}
        return int((await as_alice.get("/v1/reports/summary", params=month)).json()["totals"]["cost_minor"])

    await as_alice.delete(f"/v1/costs/{cost['id']}")
    assert await counted() == 0
    await unarchive(as_alice, f"/v1/costs/{cost['id']}")
    assert await counted() == 5_000


async def test_a_source_is_not_brought_back_for_ever(as_alice: Client, pool: asyncpg.Pool, alice: Brand) -> None:
    source = await make_source(as_alice)
    await as_alice.delete(f"/v1/sources/{source['id']}")
    many = "UPDATE source SET pauses = array_fill(now(), ARRAY[200]) WHERE brand_id = $1"
    await pool.execute(many, alice.id)
    answer = await as_alice.post(f"/v1/sources/{source['id']}/unarchive")
    assert (answer.status_code, answer.json()["code"]) == (409, "fixed")
