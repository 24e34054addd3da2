"""Orders that their shop shrinks as it takes goods back, told by calls: what came back is taken off once, and the order says so."""

from typing import Any

from httpx2 import AsyncClient

Json = dict[str, Any]


def told(order_id: str, hour: int, *units: int) -> Json:
    """The order as of this hour: units of a shirt and of trousers, each for 10.00."""
    lines = [
        {"id": name, "quantity": count, "net_minor": 1_000 * count}
        for name, count in zip(("shirt", "trousers"), units, strict=False)
        if count
    ]
    return {
        "order_id": order_id,
        "currency": "EUR",
        "net_minor": 1_000 * sum(units),
        "lines": lines,
        "updated_at": f"2026-11-20T{hour:02}:00:00Z",
    }


async def post(client: AsyncClient, path: str, body: Json) -> None:
    answer = await client.post(path, json=body)
    assert answer.status_code in (200, 201), answer.text


async def shown(client: AsyncClient, order_id: str) -> Json:
    [found] = (await client.get("/v1/conversions", params={"order_id": order_id})).json()["data"]
    return dict((await client.get(f"/v1/conversions/{found['id']}")).json())


def amounts(order: Json) -> tuple[Any, ...]:
    words = {each["amounts"] for each in order["witnesses"]}
    return order["net_minor"], order["refunded_minor"], order["flags"], words


async def test_a_cancellation_that_empties_the_order_takes_what_it_held_before(
    as_alice: AsyncClient, as_charlie: AsyncClient
) -> None:
    for client in (as_alice, as_charlie):
        await post(client, "/v1/conversions", told("1001", 10, 2, 1))
    await post(as_alice, "/v1/conversions", told("1001", 11))
    await post(as_alice, "/v1/refunds", {"order_id": "1001", "type": "cancellation", "refund_id": "c", "full": True})
    assert amounts(await shown(as_alice, "1001")) == (3_000, 3_000, [], {"used", "after_refunds"})
    assert amounts(await shown(as_charlie, "1001")) == (3_000, 0, [], {"used"})


async def test_a_line_that_is_cut_and_refunded_is_taken_off_once(
    as_alice: AsyncClient, as_charlie: AsyncClient
) -> None:
    for client in (as_alice, as_charlie):
        await post(client, "/v1/conversions", told("1002", 10, 2, 1))
        await post(client, "/v1/conversions", told("1002", 11, 1, 1))
    back = {"order_id": "1002", "refund_id": "r", "lines": [{"id": "shirt", "quantity": 1}]}
    await post(as_alice, "/v1/refunds", back)
    assert amounts(await shown(as_alice, "1002")) == (3_000, 1_000, [], {"used", "after_refunds"})
    # Cut and not refunded: never sold.
    assert amounts(await shown(as_charlie, "1002")) == (2_000, 0, [], {"used", "superseded"})
