"""GET /v1/clicks and its files."""

import csv
import io
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from httpx2 import AsyncClient

from app import clock
from app.api.routes import clicks as resource
from app.domain import ids
from app.domain.click_classes import CLICK_CLASSES
from tests.api.calls import Json, make_campaign, make_influencer, make_link, make_pair
from tests.cast import Brand

NOW = clock.now().replace(microsecond=0)
VISITOR = -0x0FD3B2E584CA1A98


async def click(pool: asyncpg.Pool, brand: Brand, link: Json, at: datetime, **fields: Any) -> str:
    """One recorded click, as the drain writes it; its id."""
    place = fields.pop("place", 1)
    row = {
        "class": 0,
        "visitor": None,
        "country": "FR",
        "device": "iPhone",
        "os": "iOS",
        "browser": "Safari",
        "in_app": None,
    }
    row |= {"referrer_host": None, **fields}
    click_id = UUID(int=ids.floor_at(at).int + place)
    names = ", ".join(row)
    places = ", ".join(f"${each}" for each in range(5, 5 + len(row)))
    await pool.execute(
        f"INSERT INTO click (brand_id, id, link_id, occurred_at, {names}) VALUES ($1, $2, $3, $4, {places})",
        brand.id,
        click_id,
        ids.read("link", link["id"]),
        at,
        *row.values(),
    )
    return ids.show("click", click_id)


async def listed(client: AsyncClient, **query: Any) -> list[Json]:
    answer = await client.get("/v1/clicks", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


def seen(clicks: list[Json]) -> list[str]:
    return [each["id"] for each in clicks]


async def test_a_click_says_what_was_recorded_and_whose_it_is(
    as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand
) -> None:
    pair = await make_pair(as_alice)
    link = await make_link(as_alice, pair)
    made = await click(pool, alice, link, NOW, visitor=VISITOR, in_app="instagram", referrer_host="l.instagram.com")
    [shown] = await listed(as_alice)
    assert shown == {
        "id": made,
        "occurred_at": f"{NOW:%Y-%m-%dT%H:%M:%S}.000Z",
        "class": "human",
        "link_id": link["id"],
        "host": "*",
        "slug": link["slug"],
        "collaboration_id": link["collaboration_id"],
        **pair,
        "visitor": f"{VISITOR % 2**64:016x}",
        "country": "FR",
        "device": "iPhone",
        "os": "iOS",
        "browser": "Safari",
        "in_app": "instagram",
        "referrer_host": "l.instagram.com",
    }


async def test_each_filter_leaves_its_own_clicks_and_a_rival_finds_none(
    as_alice: AsyncClient, as_charlie: AsyncClient, pool: asyncpg.Pool, alice: Brand
) -> None:
    influencer = await make_influencer(as_alice, external_id="lea")
    pair = {"campaign_id": (await make_campaign(as_alice))["id"], "influencer_id": influencer["id"]}
    first, second = await make_link(as_alice, pair), await make_link(as_alice, await make_pair(as_alice))
    day = timedelta(days=1)
    old = await click(
        pool, alice, second, NOW - 2 * day, visitor=VISITOR, in_app="tiktok", os="Android", device="Pixel"
    )
    bot = await click(
        pool, alice, second, NOW - day, **{"class": 1}, country="US", browser="curl", referrer_host="x.com"
    )
    new = await click(pool, alice, first, NOW)
    await pool.execute(
        "INSERT INTO visitor_click (brand_id, visitor_id, click_id, seen_at) VALUES ($1, 'v1', $2, $3)",
        alice.id,
        ids.read("click", old),
        NOW,
    )
    assert seen(await listed(as_alice)) == [new, bot, old]
    for query, expected in (
        ({"link_id": first["id"]}, [new]),
        ({"influencer_id": "ext_lea"}, [new]),
        ({"influencer_id": influencer["id"]}, [new]),
        ({"influencer_id": "ext_nobody"}, []),
        ({"campaign_id": pair["campaign_id"]}, [new]),
        ({"collaboration_id": second["collaboration_id"]}, [bot, old]),
        ({"collaboration_id": second["collaboration_id"], "class": "human"}, [old]),
        ({"class": "bot"}, [bot]),
        ({"country": "us"}, [bot]),
        ({"device": "Pixel"}, [old]),
        ({"os": "Android"}, [old]),
        ({"browser": "curl"}, [bot]),
        ({"in_app": "tiktok"}, [old]),
        ({"referrer_host": "x.com"}, [bot]),
        ({"visitor": f"{VISITOR % 2**64:016X}"}, [old]),
        ({"visitor_id": "v1"}, [old]),
        ({"visitor_id": "v2"}, []),
        ({"id": bot}, [bot]),
        ({"id": "clk_nonsense"}, []),
        ({"from": (NOW - day).isoformat()}, [new, bot]),
        ({"to": (NOW - day).isoformat()}, [old]),
    ):
        assert seen(await listed(as_alice, **query)) == expected, query
        assert await listed(as_charlie, **query) == [], query
    assert (await as_charlie.get("/v1/clicks.ndjson")).text == ""


async def test_pages_follow_each_other_also_where_a_filter_leaves_little(
    as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = await make_link(as_alice, await make_pair(as_alice))
    made = [
        await click(pool, alice, link, NOW - timedelta(seconds=each), country="FR" if each in (2, 11) else "DE")
        for each in range(13)
    ]
    monkeypatch.setattr(resource, "SCANNED_ROWS_MAX", 4)
    for query, expected in (({}, made), ({"country": "FR"}, [made[2], made[11]]), ({"country": "ES"}, [])):
        for limit in (1, 3, 100):
            found: list[str] = []
            cursor: dict[str, str] = {}
            for _ in range(20):
                page = (await as_alice.get("/v1/clicks", params={**query, "limit": limit, **cursor})).json()
                found += seen(page["data"])
                if not page["has_more"]:
                    break
                cursor = {"cursor": page["next_cursor"]}
            assert (found, page["next_cursor"]) == (expected, None), (query, limit)
        lines = (await as_alice.get("/v1/clicks.ndjson", params=query)).text.splitlines()
        assert [json.loads(line)["id"] for line in lines] == expected


async def test_a_page_reads_the_key_of_the_months_asked_for_and_sorts_nothing(
    as_alice: AsyncClient, pool: asyncpg.Pool, statements: Any
) -> None:
    since = NOW.replace(day=1, hour=0, minute=0, second=0)
    query = {"from": since.isoformat(), "to": (since + timedelta(days=27)).isoformat()}
    assert await listed(as_alice, **query, country="FR") == []
    scan, end = [text for text in statements.texts if "FROM click" in text]
    brand, low, high = UUID(int=1), ids.floor_at(since), ids.floor_at(since + timedelta(days=27))
    async with pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("SET LOCAL enable_seqscan = off")
            for text, values in ((scan, (brand, low, high, 20_000, "FR", 26)), (end, (brand, low, high, 1, 19_999))):
                plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {text}", *values))
                assert plan.count("Scan Backward using click_") == plan.count(" on click_") == 1, plan
                assert "Sort" not in plan, plan


async def test_a_file_holds_everything_and_runs_nothing(
    as_alice: AsyncClient, pool: asyncpg.Pool, alice: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "BATCH_ROWS", 2)
    link = await make_link(as_alice, await make_pair(as_alice))
    evil = ('=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "plain; and , all")
    for place, name in enumerate(evil):
        await click(pool, alice, link, NOW, place=place, browser=name)
    for separator in (",", ";"):
        answer = await as_alice.get("/v1/clicks.csv", params={"separator": separator})
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"] == f'attachment; filename="clicks_{clock.now():%Y-%m-%d}.csv"'
        text = answer.content.decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
        assert [row["browser"] for row in reversed(rows)] == [*(f"'{name}" for name in evil[:4]), evil[4]]
        assert set(rows[0]) == set((await listed(as_alice))[0])


async def test_what_cannot_be_asked_is_refused_by_name(as_alice: AsyncClient) -> None:
    for path, query, field in (
        ("", {"class": "people"}, "class"),
        ("", {"visitor": "12"}, "visitor"),
        ("", {"country": "FRA"}, "country"),
        ("", {"from": "2026-11-01"}, "from"),
        ("", {"slug": "x"}, "slug"),
        (".csv", {"separator": "|"}, "separator"),
        (".csv", {"amounts": "major"}, "amounts"),
        (".ndjson", {"limit": "3"}, "limit"),
    ):
        answer = await as_alice.get(f"/v1/clicks{path}", params=query)
        assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (422, [field]), query


def test_every_class_can_be_asked_for() -> None:
    assert [resource._known_class(name) for name in CLICK_CLASSES] == list(CLICK_CLASSES)
