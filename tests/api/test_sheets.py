"""Influencers, links, codes and costs as a CSV: in, told line by line, safe to send again, and out in the same columns."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient

from tests.api.calls import make_campaign, make_influencer, post
from tests.cast import Brand

PAIR = "campaign_id,influencer_id"
WHOSE = "ext_serum,ext_lea"
FILES: dict[str, tuple[str, list[str]]] = {
    "influencers": (
        "external_id,name,email,handles,tags,metadata",
        [
            'mara,Mara,mara@example.org,instagram:@mara.cooks:8000|tiktok:mara,food|paris,"{""tier"": ""gold""}"',
            "noe,Noé,,,,",
            "eve,'=Eve,,,,",
        ],
    ),
    "links": (
        f"slug,{PAIR},destination_url,utm_source,utm_medium,placement,expires_at,forward_query,external_id",
        [
            f"sheet-bio,{WHOSE},https://shop.example/serum,instagram,influencer,bio,,,",
            f"sheet-story,{WHOSE},https://shop.example/serum?x=1,,,,2030-01-01T00:00:00Z,nothing,story-1",
        ],
    ),
    "codes": (
        f"code,{PAIR},discount_percent,discount_minor,max_redemptions,credit_policy,aliases,starts_at",
        [
            f"SHEET15,{WHOSE},12.5,,100,,promo_1|promo_2,",
            f"SHEET-5-OFF,{WHOSE},,500,,if_involved,,2026-01-01T00:00:00Z",
            f"SHEETPLAIN,{WHOSE},,,,,,",
        ],
    ),
    "costs": (
        f"external_id,{PAIR},kind,amount,currency,incurred_on,note",
        [
            f"fee-1,{WHOSE},fee,500.00,EUR,2026-11-22,half of it later",
            f"fee-2,{WHOSE},product,1500,JPY,2026-11-22,",
            "event,ext_serum,,event,12.34,EUR,2026-11-23,",
        ],
    ),
}


@pytest.fixture(autouse=True)
async def cast(as_alice: AsyncClient, alice: Brand, pool: asyncpg.Pool) -> None:
    if await pool.fetchval("SELECT count(*) FROM campaign WHERE brand_id = $1 AND external_id = 'serum'", alice.id):
        return
    await make_campaign(as_alice, external_id="serum")
    await make_influencer(as_alice, external_id="lea")


def file_of(name: str, brand: Brand) -> str:
    """Slugs of the shared host are unique among all brands."""
    header, rows = FILES[name]
    return "\r\n".join((header, *rows, "")).replace("sheet-", f"s{brand.id.hex[-8:]}-")


async def send(client: AsyncClient, name: str, content: str | bytes, status: int = 200, **query: Any) -> Any:
    headers = {"Content-Type": "text/csv"}
    answer = await client.post(f"/v1/{name}.csv", content=content, headers=headers, params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


async def faults(client: AsyncClient, name: str, content: str, status: int = 422) -> dict[str, str]:
    return {each["field"]: each["code"] for each in (await send(client, name, content, status))["errors"]}


async def written(client: AsyncClient, name: str, **query: Any) -> tuple[bytes, list[dict[str, str]]]:
    answer = await client.get(f"/v1/{name}.csv", params=query)
    assert answer.status_code == 200, answer.text
    return answer.content, list(
        csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")), delimiter=query.get("separator", ","))
    )


@pytest.mark.parametrize("name", FILES)
async def test_a_file_is_tried_taken_found_again_and_written_out_so_that_it_can_be_sent_again(
    as_alice: AsyncClient, as_charlie: AsyncClient, alice: Brand, name: str
) -> None:
    content, rows = file_of(name, alice), len(FILES[name][1])
    before = (await written(as_alice, name))[1]
    assert await send(as_alice, name, content, dry_run=True) == {"dry_run": True, "new": rows, "known": 0}
    assert (await written(as_alice, name))[1] == before
    assert await send(as_alice, name, content) == {"dry_run": False, "new": rows, "known": 0}
    assert await send(as_alice, name, content) == {"dry_run": False, "new": 0, "known": rows}
    for query in ({}, {"separator": ";"}, *([{"amounts": "major"}] if name == "costs" else [])):
        file, cells = await written(as_alice, name, **query)
        assert len(cells) == len(before) + rows
        again = await send(as_alice, name, file)
        assert (again["new"], again["known"]) == (0, len(cells)), query
    assert (await written(as_charlie, name))[1] == []


async def test_what_a_file_says_is_what_stands_there(as_alice: AsyncClient, alice: Brand) -> None:
    for name in FILES:
        await send(as_alice, name, file_of(name, alice))
    people = {
        each["external_id"]: each
        for each in (await as_alice.get("/v1/influencers", params={"limit": 100})).json()["data"]
    }
    assert people["mara"]["handles"] == [
        {"network": "instagram", "handle": "mara.cooks", "followers": 8000},
        {"network": "tiktok", "handle": "mara", "followers": None},
    ]
    assert (people["mara"]["tags"], people["mara"]["metadata"], people["eve"]["name"]) == (
        ["food", "paris"],
        {"tier": "gold"},
        "=Eve",
    )
    links = {each["slug"]: each for each in (await as_alice.get("/v1/links")).json()["data"]}
    assert links[f"s{alice.id.hex[-8:]}-bio"]["utm"] == {"source": "instagram", "medium": "influencer"}
    assert (
        links[f"s{alice.id.hex[-8:]}-story"]["forward_query"],
        links[f"s{alice.id.hex[-8:]}-story"]["external_id"],
    ) == ("nothing", "story-1")
    codes = {each["code"]: each for each in (await as_alice.get("/v1/codes")).json()["data"]}
    assert codes["SHEET15"]["discount"] == {"type": "percent", "value_bp": 1_250}
    assert codes["SHEET15"]["aliases"] == ["promo_1", "promo_2"]
    assert codes["SHEET-5-OFF"]["discount"] == {"type": "fixed", "amount_minor": 500}
    costs = {each["external_id"]: each for each in (await as_alice.get("/v1/costs")).json()["data"]}
    assert [(costs[name]["amount_minor"], costs[name]["currency"]) for name in ("fee-1", "fee-2", "event")] == [
        (50_000, "EUR"), (1_500, "JPY"), (1_234, "EUR"),
    ]  # fmt: skip
    assert (costs["fee-1"]["collaboration_id"] is None, costs["event"]["collaboration_id"]) == (False, None)


WRONG: dict[str, tuple[str, Sequence[str], dict[str, str]]] = {
    "influencers": (
        "external_id,name,email,handles,metadata",
        ["a,,nobody,instagram,", "b,B,,,[]", ",C,,,", "d,D"],
        {
            "lines.2.name": "required", "lines.2.email": "invalid", "lines.2.handles": "invalid", "lines.3.metadata": "invalid",
            "lines.4.external_id": "required", "lines.5": "wrong_cells",
        },
    ),
    "links": (
        f"slug,{PAIR},destination_url,expires_at,host",
        [
            f"v1,{WHOSE},javascript:1,tomorrow,", "ok-1,ext_nobody,ext_lea,https://shop.example/,,other.test", "ok-2,ext_serum,,https://shop.example/,,",
            f"ok-3,{WHOSE},https://shop.example/,,", f"ok-3,{WHOSE},https://shop.example/other,,", f",{WHOSE},https://shop.example/,,",
        ],
        {
            "lines.2.slug": "invalid", "lines.2.destination_url": "invalid", "lines.2.expires_at": "invalid",
            "lines.3.campaign_id": "campaign_not_found", "lines.3.host": "unknown_host", "lines.4.influencer_id": "required",
            "lines.6.slug": "slug_taken", "lines.7.slug": "required",
        },
    ),
    "codes": (
        f"code,{PAIR},discount_percent,discount_minor,max_redemptions",
        [f"WRONG-1,{WHOSE},101,,0", f"WRONG-2,{WHOSE},10,500,", f"WRONG-3,{WHOSE},ten,,many", f"WRONG-4,{WHOSE},,,", f"wrong4,{WHOSE},5,,", f"---,{WHOSE},,,"],
        {
            "lines.2.discount_percent": "less_than_equal", "lines.2.max_redemptions": "greater_than_equal", "lines.3.discount_minor": "ambiguous",
            "lines.4.discount_percent": "invalid", "lines.4.max_redemptions": "invalid", "lines.6.code": "code_taken", "lines.7.code": "invalid",
        },
    ),
    "costs": (
        f"external_id,{PAIR},kind,amount,currency,incurred_on",
        [f"c1,{WHOSE},bribe,1.234,EUR,2026-13-01", f"c2,{WHOSE},fee,-5,XXX,2026-11-01", f"c3,{WHOSE},fee,,EUR,2026-11-01", f",{WHOSE},fee,5,EUR,2026-11-01"],
        {
            "lines.2.kind": "literal_error", "lines.2.amount": "invalid", "lines.2.incurred_on": "invalid", "lines.3.currency": "invalid",
            "lines.3.amount": "invalid", "lines.4.amount": "required", "lines.5.external_id": "required",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
async def test_everything_that_is_wrong_is_told_by_line_and_column_and_nothing_is_made(
    as_alice: AsyncClient, name: str
) -> None:
    header, rows, wanted = WRONG[name]
    before = await written(as_alice, name)
    found = await faults(as_alice, name, "\n".join((header, *rows)))
    assert found == wanted
    assert await written(as_alice, name) == before


async def test_a_row_that_is_there_with_another_content_is_told_by_what_it_was_found(
    as_alice: AsyncClient, alice: Brand
) -> None:
    for name in FILES:
        await send(as_alice, name, file_of(name, alice))
    assert await faults(as_alice, "influencers", "external_id,name\nmara,Marah\n", 409) == {
        "lines.2.external_id": "external_id_taken"
    }
    other = f"slug,{PAIR},destination_url\ns{alice.id.hex[-8:]}-bio,{WHOSE},https://shop.example/other\n"
    assert await faults(as_alice, "links", other, 409) == {"lines.2.slug": "slug_taken"}
    assert await faults(as_alice, "codes", f"code,{PAIR}\nSHEET15,{WHOSE}\n", 409) == {"lines.2.code": "code_taken"}
    moved = f"external_id,{PAIR},kind,amount,currency,incurred_on\nfee-1,{WHOSE},fee,501,EUR,2026-11-22\n"
    assert await faults(as_alice, "costs", moved, 409) == {"lines.2.external_id": "external_id_taken"}


async def test_a_row_with_the_id_of_another_brand_is_nobodys(
    as_alice: AsyncClient, as_charlie: AsyncClient, alice: Brand
) -> None:
    await send(as_alice, "influencers", file_of("influencers", alice))
    hers = (await written(as_alice, "influencers"))[1][0]["id"]
    assert await faults(as_charlie, "influencers", f"id,name\n{hers},Mara\n") == {"lines.2": "influencer_not_found"}


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "empty_file"), (b"name,nmae\nA,B\n", 422, "wrong_header"), ("näme\nx\n".encode("utf-16"), 422, "wrong_header"),
        (b"external_id,name\n" + b"a,b\n" * 1_001, 413, "too_many_rows"), (b"external_id,name\n" + b'"' * 100, 422, "wrong_cells"),
    ],
)  # fmt: skip
async def test_what_is_no_such_file_is_refused(as_alice: AsyncClient, content: bytes, status: int, code: str) -> None:
    refused = await as_alice.post("/v1/influencers.csv", content=content, headers={"Content-Type": "text/csv"})
    assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    assert (await as_alice.post("/v1/influencers.csv", json={})).status_code == 415


async def test_a_thousand_rows_are_taken_at_once(as_alice: AsyncClient) -> None:
    rows = "".join(f"many-{number},{WHOSE},https://shop.example/{number}\n" for number in range(1_000))
    assert (await send(as_alice, "links", f"slug,{PAIR},destination_url\n{rows}"))["new"] == 1_000


async def test_an_upload_needs_the_scope_to_write(as_alice: AsyncClient, alice: Brand) -> None:
    key = await post(as_alice, "/v1/keys", {"kind": "secret", "name": "reads", "scopes": ["read"]})
    headers = {"Authorization": f"Bearer {key['secret_key']}", "Content-Type": "text/csv"}
    assert (
        await as_alice.post("/v1/influencers.csv", content=file_of("influencers", alice), headers=headers)
    ).status_code == 403
