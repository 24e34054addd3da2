"""Policies that follow customers, set over the API; and whether the customer of an order was new."""

import httpx2

from tests.api.calls import Json, make_pair, post

Client = httpx2.AsyncClient


async def bought(client: Client, order_id: str, occurred_at: str | None = None, **fields: object) -> Json:
    body = {
        "order_id": order_id,
        "currency": "EUR",
        "net_minor": 1_000,
        "occurred_at": occurred_at,
        "customer": {"email": "ann@mail.test"},
    }
    return await post(client, "/v1/conversions", {**body, **fields})


async def test_a_brand_binds_its_customers_for_so_many_orders_and_another_brand_does_not(
    as_alice: Client, as_charlie: Client
) -> None:
    pair = await make_pair(as_alice)
    await post(as_alice, "/v1/codes", {**pair, "code": "LEA10"})
    rules = {"precedence": ["code", "click", "visitor", "bound"], "bound_orders": 1}
    # From the first day on: a policy that is changed later leaves the orders before it alone.
    first = await bought(as_alice, "1", codes=["LEA10"])
    shown = (await as_alice.patch("/v1/brand", json={"policy": rules})).json()["policy"]
    assert (shown["precedence"], shown["bound_orders"], shown["bound_months"]) == (rules["precedence"], 1, 12)
    orders = [await bought(as_alice, number) for number in ("2", "3")]
    assert [each["attribution"]["method"] for each in orders] == ["bound", None]
    [credit] = orders[0]["attribution"]["credits"]
    assert (credit["influencer_id"], credit["link_id"], credit["code_id"]) == (pair["influencer_id"], None, None)
    [candidate] = orders[1]["attribution"]["candidates"]
    assert (candidate["reason"], candidate["bound_by"]) == ("binding_ended", first["id"])
    assert (await bought(as_charlie, "2"))["attribution"]["method"] is None
    for precedence in (["bound", "code"], ["luck"]):
        refused = await as_alice.patch("/v1/brand", json={"policy": {"precedence": precedence}})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"].startswith("policy.precedence")


async def test_an_order_says_whether_its_customer_was_new_and_knows_no_other_brand_s_orders(
    as_alice: Client, as_charlie: Client
) -> None:
    await bought(as_charlie, "0", "2026-11-01T00:00:00Z")
    second = await bought(as_alice, "2", "2026-11-02T00:00:00Z")
    assert second["customer_is_new"] is None, "it is not worked out while the order is recorded"

    async def shown() -> dict[str, bool | None]:
        listed = (await as_alice.get("/v1/conversions")).json()["data"]
        for each in listed:
            one = (await as_alice.get(f"/v1/conversions/{each['id']}")).json()
            assert one["customer_is_new"] == each["customer_is_new"]
        return {each["order_id"]: each["customer_is_new"] for each in listed}

    assert await shown() == {"2": True}
    await bought(as_alice, "1", "2026-11-01T00:00:00Z")
    stated = await bought(as_alice, "3", "2026-11-03T00:00:00Z", customer={"email": "ann@mail.test", "is_new": True})
    await bought(as_alice, "4", "2026-11-03T00:00:00Z", customer={})
    assert stated["customer_is_new"] is True
    assert await shown() == {"1": True, "2": False, "3": True, "4": None}
