"""The flag `unsigned`: it says that something rests on a report that nobody signed, and not that there is one."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from httpx2 import AsyncClient

from app import clock, random_ids
from app.domain import ids
from app.intake.deliveries.recording import record_deliveries
from app.secret import load_secret
from app.settings import Settings
from app.spool.records import PixelLine
from tests.api.calls import make_link, make_pair, post
from tests.cast import Brand

CODE, MONEY = {"codes": ["LEA10"]}, {"currency": "EUR", "net_minor": 9_000}


@pytest.fixture
async def click(as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand) -> UUID:
    """A click of an influencer who also owns the code LEA10."""
    pair = await make_pair(as_alice)
    await post(as_alice, "/v1/codes", {**pair, "code": "LEA10"})
    link = await make_link(as_alice, pair)
    at = clock.now() - timedelta(hours=1)
    click_id = ids.floor_at(at)
    await pool.execute(
        "INSERT INTO click (brand_id, id, link_id, occurred_at, class) VALUES ($1, $2, $3, $4, 0)",
        alice.id, click_id, ids.read("link", link["id"]), at,
    )  # fmt: skip
    return click_id


@pytest.mark.parametrize(
    ("said", "hit", "expected"),
    [
        ({**CODE, **MONEY}, "visitor_id=v1", False),
        ({**CODE, **MONEY}, "code=NOBODY5", False),
        ({**CODE, **MONEY}, "click_id={click}", False),
        ({**CODE, **MONEY}, "amount=50.00&tax=0&shipping=0&currency=EUR", False),
        (MONEY, "visitor_id=v1", False),
        (MONEY, "code=NOBODY5", False),
        (MONEY, "click_id={click}", True),
        (MONEY, "code=LEA10", True),
        (CODE, "amount=50.00&tax=0&shipping=0&currency=EUR", True),
        (None, "amount=50.00&tax=0&shipping=0&currency=EUR", True),
        (None, "visitor_id=v1", True),
    ],
)
async def test_an_order_is_flagged_where_it_its_amount_or_its_credit_rests_on_a_pixel_and_nowhere_else(
    as_alice: AsyncClient, as_charlie: AsyncClient, pool: asyncpg.Pool, settings: Settings, alice: Brand, click: UUID,
    said: dict[str, Any] | None, hit: str, expected: bool,
) -> None:  # fmt: skip
    if said is not None:
        await post(as_alice, "/v1/conversions", {"order_id": "1", **said})
        await post(as_charlie, "/v1/conversions", {"order_id": "1", **said})
    query = f"k={alice.publishable_key}&event=sale&order_id=1&{hit.format(click=ids.show('click', click))}"
    line = PixelLine(
        str(random_ids.new_id()), str(alice.id), str(alice.publishable_id), "main", "pixel", "", query.encode()
    )
    await record_deliveries(pool, [line], secret=load_secret(settings), settings=settings)
    [listed] = (await as_alice.get("/v1/conversions")).json()["data"]
    shown = (await as_alice.get(f"/v1/conversions/{listed['id']}")).json()
    assert len(shown["witnesses"]) == 1 + (said is not None)
    found = (await as_alice.get("/v1/conversions", params={"flag": "unsigned"})).json()["data"]
    assert ("unsigned" in shown["flags"], len(found)) == (expected, int(expected))
    assert (await as_charlie.get("/v1/conversions", params={"flag": "unsigned"})).json()["data"] == []
