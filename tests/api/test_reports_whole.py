"""From the link and the code to the figures, through the real drain and the real recording: both ways of counting agree."""

from datetime import datetime, timedelta
from typing import Any

import asyncpg
import httpx2
from fastapi import FastAPI

from app import clock, random_ids
from app.domain import ids
from app.intake.clicks.calendar import Calendar
from app.intake.clicks.recording import read_clicks, record_clicks
from app.intake.clicks.uniques import count_uniques
from app.spool.records import ClickLine
from tests.api.calls import Json, make_link, make_pair, post
from tests.api.conftest import client
from tests.cast import Brand, create_brand

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


async def follow(pool: asyncpg.Pool, brand: Brand, link: Json, ats: list[datetime]) -> list[str]:
    """A click at each of these times by one visitor, and a bot's; the click ids as a shop would send them."""
    link_id = str(ids.read("link", link["id"]))
    lines, shown = [], []
    for at in ats:
        for agent in (CHROME, GOOGLEBOT):
            click_id = ids.floor_at(at)
            click_id = type(click_id)(int=click_id.int + random_ids.random_number(32))
            lines.append(ClickLine(str(click_id), str(brand.id), link_id, 77, "90.12.3.0", agent, "", ""))
            if agent == CHROME:
                shown.append(ids.show("click", click_id))
    calendar = Calendar()
    async with pool.acquire() as connection:
        await record_clicks(connection, read_clicks(lines), calendar)
    while await count_uniques(pool, calendar):
        pass
    return shown


async def summary(client: httpx2.AsyncClient, **params: Any) -> Json:
    answer = await client.get("/v1/reports/summary", params=params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_launch_is_reported_from_the_first_click_to_the_last_refund(
    service: FastAPI, pool: asyncpg.Pool
) -> None:
    brand = await create_brand(pool, "Alice", time_zone="Asia/Kathmandu")
    now = clock.now().replace(microsecond=0)
    async with client(service, brand) as alice:
        pair = await make_pair(alice)
        link = await make_link(alice, pair)
        await post(alice, "/v1/codes", {**pair, "code": "LEA10"})
        day = (now - timedelta(days=1)).date().isoformat()
        cost = {"kind": "fee", "amount_minor": 5_000, "currency": "EUR", "incurred_on": day}
        await post(alice, "/v1/costs", {"campaign_id": pair["campaign_id"], **cost})
        await post(alice, "/v1/costs", {"collaboration_id": link["collaboration_id"], **cost, "amount_minor": 1_000})

        # Three clicks of one visitor, two of them on the same UTC day, and a bot's beside each.
        noon = (now - timedelta(days=2)).replace(hour=12, minute=0, second=0)
        clicks = await follow(pool, brand, link, [noon, noon + timedelta(hours=3), noon - timedelta(days=1)])

        order: Json = {"currency": "EUR", "occurred_at": (noon + timedelta(hours=5)).isoformat()}
        await post(alice, "/v1/conversions", {**order, "order_id": "1", "net_minor": 10_000, "click_id": clicks[0]})
        await post(alice, "/v1/conversions", {**order, "order_id": "2", "net_minor": 3_333, "codes": ["lea10"]})
        await post(alice, "/v1/conversions", {**order, "order_id": "3", "net_minor": 777})
        await post(alice, "/v1/conversions", {**order, "order_id": "4", "net_minor": 1, "test": True})
        refund = {"refund_id": "r1", "amount_minor": 4_000, "currency": "EUR"}
        await post(
            alice, "/v1/refunds", {"order_id": "1", **refund, "occurred_at": (now - timedelta(hours=1)).isoformat()}
        )

        whole = await summary(alice, group_by="influencer")
        [row] = whole["rows"]
        assert row["key"]["influencer"]["id"] == pair["influencer_id"]
        wanted = {
            "clicks": 3,
            "bots": 3,
            "unique_clicks": 2,
            "conversions": 2,
            "gross_minor": 13_333,
            "refunds_minor": 4_000,
            "net_minor": 9_333,
            "cost_minor": 1_000,
        }
        assert {name: row[name] for name in wanted} == wanted
        assert whole["totals"]["cost_minor"] == 6_000
        assert whole["totals"]["roi"] == round((9_333 - 6_000) / 6_000, 6)
        assert (whole["unattributed"]["conversions"], whole["all_orders"]["gross_minor"]) == (1, 14_110)

        # By its own date the refund is of yesterday or today, by its order's of two days ago; the totals are the same.
        def refunded(report: Json) -> dict[str, int]:
            return {row["key"]["day"]: row["refunds_minor"] for row in report["rows"] if row["refunds_minor"]}

        by_order = await summary(alice, group_by="day", tz="UTC", refunds_by="order")
        assert refunded(by_order) == {noon.date().isoformat(): 4_000}
        by_event = await summary(alice, group_by="day", tz="UTC")
        assert refunded(by_event) == {(now - timedelta(hours=1)).date().isoformat(): 4_000}
        assert (by_event["refunds_by"], by_order["refunds_by"]) == ("event", "order")
        assert by_order["totals"] == by_event["totals"]

        # Single clicks, cut at another zone's midnights, say what the daily counts say.
        names = ("clicks", "bots", "unique_clicks", "conversions", "gross_minor", "refunds_minor", "net_minor")
        for zone in ("America/New_York", "UTC"):
            daily = await summary(alice, group_by="day", tz=zone)
            assert {name: sum(each[name] for each in daily["rows"]) for name in names} == {
                name: whole["totals"][name] for name in names
            }
        by_code = {
            row["key"]["code"]["name"]: row["gross_minor"] for row in (await summary(alice, group_by="code"))["rows"]
        }
        assert by_code == {"LEA10": 3_333, "(unknown)": 10_000}
