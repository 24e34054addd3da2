"""An order that the influencer bought, and what an archived influencer goes on earning: flagged, credited or withheld as the policy says."""

import json
from typing import Any

import asyncpg
import httpx2
import pytest

from app.domain.customers import PURPOSE, customer_key
from app.jobs.influencer_keys import fill_influencer_keys
from app.orders.redecide import redecide_orders
from app.secret import derive
from tests.api.calls import Json, make_pair, post
from tests.cast import Brand

Client = httpx2.AsyncClient
SECRET = "s" * 43
"""The secret key of the test settings."""
LEA = {"email": "Lea@Mail.test ", "customer_id": "4711"}


async def with_code(client: Client, **influencer: str) -> Json:
    """A pair whose influencer has a code and is known by these."""
    pair = await make_pair(client)
    await post(client, "/v1/codes", {**pair, "code": "LEA10"})
    if influencer:
        await changed(client, pair["influencer_id"], influencer)
    return pair


async def changed(client: Client, influencer_id: str, change: Json) -> Json:
    answer = await client.patch(f"/v1/influencers/{influencer_id}", json=change)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def set_policy(client: Client, **rules: str) -> None:
    assert (await client.patch("/v1/brand", json={"policy": rules})).status_code == 200


async def bought(client: Client, order_id: str, **customer: str) -> Json:
    body: dict[str, Any] = {"order_id": order_id, "codes": ["LEA10"], "currency": "EUR", "net_minor": 1_000}
    return await post(client, "/v1/conversions", {**body, "customer": customer})


def outcome(order: Json) -> tuple[bool, str, str]:
    attribution = order["attribution"]
    return "self_referral" in order["flags"], attribution["verdict"], attribution["candidates"][0]["reason"]


async def outcomes(client: Client, pool: asyncpg.Pool, brand: Brand, *orders: Json) -> list[tuple[bool, str, str]]:
    """The outcome of each of these orders, after all that is to be decided again."""
    async with pool.acquire() as connection, connection.transaction():
        waiting = await connection.fetch("SELECT conversion_id FROM redecide WHERE brand_id = $1", brand.id)
        await redecide_orders(connection, brand.id, [row["conversion_id"] for row in waiting])  # type: ignore[arg-type]
    return [outcome((await client.get(f"/v1/conversions/{each['id']}")).json()) for each in orders]


CREDITED, FLAGGED = (False, "attributed", "code_owner"), (True, "attributed", "code_owner")
WITHHELD = (True, "unattributed", "self_referral")


@pytest.mark.parametrize(
    ("customer", "expected"),
    [
        ({"email": "lea@mail.test"}, FLAGGED),
        ({"id": "4711"}, FLAGGED),
        ({"id": "4711", "email": "shopper@mail.test"}, CREDITED),
        ({"email": "shopper@mail.test"}, CREDITED),
    ],
)
async def test_an_order_that_the_influencer_bought_is_flagged_and_another_brand_s_is_not(
    as_alice: Client, as_charlie: Client, customer: dict[str, str], expected: tuple[bool, str, str]
) -> None:
    await with_code(as_alice, **LEA)
    await with_code(as_charlie)
    assert outcome(await bought(as_alice, "1", **customer)) == expected
    assert outcome(await bought(as_charlie, "1", **customer)) == CREDITED


async def test_a_policy_withholds_what_the_influencer_bought(as_alice: Client) -> None:
    await with_code(as_alice, **LEA)
    await set_policy(as_alice, self_referral="withhold")
    order = await bought(as_alice, "1", email="lea@mail.test")
    assert (outcome(order), order["attribution"]["credits"]) == (WITHHELD, [])
    assert outcome(await bought(as_alice, "2", email="shopper@mail.test")) == CREDITED


async def test_an_e_mail_that_is_set_later_tells_of_earlier_orders_too(
    as_alice: Client, as_charlie: Client, pool: asyncpg.Pool, alice: Brand
) -> None:
    pair = await with_code(as_alice)
    order = await bought(as_alice, "1", email="lea@mail.test")
    assert outcome(order) == CREDITED
    shown = await changed(as_alice, pair["influencer_id"], LEA)
    assert (shown["email"], shown["customer_id"]) == ("Lea@Mail.test", "4711")
    assert "customer_keys" not in shown
    assert await outcomes(as_alice, pool, alice, order) == [FLAGGED]
    assert (await as_charlie.patch(f"/v1/influencers/{pair['influencer_id']}", json=LEA)).status_code == 404
    await changed(as_alice, pair["influencer_id"], {"email": None})
    assert await outcomes(as_alice, pool, alice, order) == [CREDITED]


async def test_influencers_stored_by_a_release_before_get_their_keys_and_no_shopper_s_e_mail_is_stored(
    as_alice: Client, pool: asyncpg.Pool, alice: Brand
) -> None:
    pair = await with_code(as_alice, **LEA)
    await pool.execute("UPDATE influencer SET customer_keys = NULL WHERE brand_id = $1", alice.id)
    assert outcome(await bought(as_alice, "1", email="lea@mail.test")) == CREDITED
    while await fill_influencer_keys(pool, SECRET):
        pass
    assert outcome(await bought(as_alice, "2", email="lea@mail.test")) == FLAGGED
    keys = await pool.fetchval("SELECT customer_keys FROM influencer WHERE brand_id = $1", alice.id)
    secret = derive(SECRET, PURPOSE)
    named = ((None, "lea@mail.test"), ("4711", None))
    assert set(keys) == {customer_key(secret, alice.id, *each) for each in named}
    stored = await pool.fetch(
        "SELECT c, d FROM conversion c JOIN decision d ON d.conversion_id = c.id AND d.brand_id = $1 WHERE c.brand_id = $1",
        alice.id,
    )
    assert "lea@mail.test" not in json.dumps([str(row) for row in stored])
    assert pair["influencer_id"] in (await as_alice.get("/v1/influencers")).text


async def test_an_archived_influencer_goes_on_earning_unless_the_policy_says_stop_and_coming_back_is_as_if_never_gone(
    as_alice: Client, as_charlie: Client, pool: asyncpg.Pool, alice: Brand
) -> None:
    pair = await with_code(as_alice)
    theirs = await with_code(as_charlie)
    before = await bought(as_alice, "1")
    path = f"/v1/influencers/{pair['influencer_id']}"
    await as_charlie.delete(f"/v1/influencers/{theirs['influencer_id']}")
    await as_alice.delete(path)
    by_default = await bought(as_alice, "2")
    assert outcome(by_default) == CREDITED
    await set_policy(as_alice, archived_influencers="stop")
    stopped = await bought(as_alice, "3")
    assert outcome(stopped) == (False, "unattributed", "influencer_archived")
    assert outcome(await bought(as_charlie, "3")) == CREDITED
    assert await outcomes(as_alice, pool, alice, before, by_default) == [CREDITED, CREDITED]
    await as_alice.post(f"{path}/unarchive")
    assert await outcomes(as_alice, pool, alice, before, by_default, stopped) == [CREDITED] * 3
