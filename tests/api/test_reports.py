"""GET /v1/reports over HTTP: the shape that clients rely on, and every wrong parameter named."""

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI

from app.api.routes.reports import MissedReport, SummaryReport
from app.domain import ids
from app.domain.kpi import METRICS, ORDER_METRICS
from demo.ledger import BookedOrder
from tests.api.conftest import client
from tests.cast import Brand, create_brand
from tests.reports.books import Books, click, cost, open_books, share, write

NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
RANGE = {"from": "2026-11-01", "to": "2026-11-10"}
URL = "/v1/reports/summary"


@pytest.fixture
async def books(pool: asyncpg.Pool, alice: Brand) -> Books:
    """A small launch: 3 clicks, 2 credited orders, one refund, one order of nobody, one in yen, costs of both kinds."""
    books = await open_books(pool, alice)
    books.clicks = [click(NOON, 0), click(NOON, 0), click(NOON, 2)]
    books.orders = [
        BookedOrder(NOON, (9_000,), (share(0, 0),), refunds=((NOON, (4_000,)),)),
        BookedOrder(NOON, (1_001,), (share(1, None, 1),)),
        BookedOrder(NOON, (777,), (share(None),)),
        BookedOrder(NOON, (500,), (share(0, 0),), "JPY"),
    ]
    books.costs = [cost(NOON.date(), 0, 0, 3_000), cost(NOON.date(), 0, None, 1_000)]
    await write(pool, alice, ZoneInfo("Europe/Paris"), books)
    return books


async def test_a_report_has_the_shape_that_is_documented(as_alice: httpx2.AsyncClient, books: Books) -> None:
    response = await as_alice.get(URL, params={**RANGE, "group_by": "influencer,day"})
    assert response.status_code == 200, response.text
    report = response.json()
    SummaryReport.model_validate_json(response.content)
    assert (report["from"], report["to"]) == ("2026-10-31T23:00:00.000Z", "2026-11-09T23:00:00.000Z")
    assert (report["tz"], report["currency"], report["model"]) == ("Europe/Paris", "EUR", "policy")
    first, second = report["rows"]
    assert first["key"] == {
        "influencer": {
            "id": ids.show("influencer", books.influencers[0]),
            "name": "first influencer",
            "external_id": None,
            "archived": False,
        },
        "day": "2026-11-05",
    }
    assert second["key"]["influencer"]["name"] == "second influencer"
    assert (first["gross_minor"], first["refunds_minor"], first["net_minor"]) == (9_000, 4_000, 5_000)
    assert first["reasons"] == {}
    assert second["reasons"] == {"roi": "no_cost", "roas": "no_cost"}
    totals, nobody, everything = report["totals"], report["unattributed"], report["all_orders"]
    assert (totals["cost_minor"], totals["profit_minor"], totals["roi"]) == (4_000, 2_001, 0.50025)
    for name in ("conversions", "gross_minor", "refunds_minor", "net_minor"):
        assert totals[name] + nobody[name] == everything[name]
    assert everything["coverage"] == 0.666667
    assert report["unsplit"] == [
        {"metric": "cost_minor", "value": 1_000, "reason": "unsplittable", "detail": "costs of whole campaigns"}
    ]
    assert report["unconverted"] == [
        {"currency": "JPY", "conversions": 1, "gross_minor": 500, "refunds_minor": 0, "cost_minor": 0}
    ]


async def test_a_report_says_how_much_of_what_is_attributed_rests_on_unsigned_signals(
    as_alice: httpx2.AsyncClient, as_charlie: httpx2.AsyncClient, alice: Brand, books: Books, pool: asyncpg.Pool
) -> None:
    assert (await as_alice.get(URL, params=RANGE)).json()["unsigned"] == []
    await pool.execute(
        "UPDATE credit SET unsigned = true WHERE brand_id = $1 AND link_id = $2", alice.id, books.links[0]
    )
    expected = [
        {"currency": "EUR", "conversions": 1, "net_minor": 5_000},
        {"currency": "JPY", "conversions": 1, "net_minor": 500},
    ]
    for asked in ({}, {"group_by": "influencer,day"}, {"refunds_by": "order"}, {"currency": "JPY"}):
        answer = await as_alice.get(URL, params={**RANGE, **asked})
        SummaryReport.model_validate_json(answer.content)
        assert answer.json()["unsigned"] == expected
    other = ids.show("influencer", books.influencers[1])
    assert (await as_alice.get(URL, params={**RANGE, "influencer_id": other})).json()["unsigned"] == []
    await pool.execute(
        "UPDATE credit SET unsigned = true, weight_bp = 5000 WHERE brand_id = $1 AND amount_minor IN (777, 1001)",
        alice.id,
    )
    [euros, _] = (await as_alice.get(URL, params=RANGE)).json()["unsigned"]
    assert euros == {"currency": "EUR", "conversions": 1.5, "net_minor": 6_001}
    lines = spreadsheet(await as_alice.get(f"{URL}.csv", params=RANGE))
    told = [
        (each["currency"], each["conversions"], each["net_minor"]) for each in lines if each["row_type"] == "unsigned"
    ]
    assert told == [("EUR", "1.5000", "6001"), ("JPY", "1", "500")]
    assert (await as_charlie.get(URL, params=RANGE)).json()["unsigned"] == []


async def test_every_metric_of_the_table_is_answered_and_documented(
    as_alice: httpx2.AsyncClient, service: FastAPI, books: Books
) -> None:
    report = (await as_alice.get(URL, params={**RANGE, "group_by": "campaign"})).json()
    names = {metric.name for metric in METRICS}
    assert set(report["totals"]) == names | {"reasons"}
    assert set(report["rows"][0]) == names | {"reasons", "key"}
    assert set(report["unattributed"]) == ORDER_METRICS | {"reasons"}
    assert set(report["all_orders"]) == ORDER_METRICS | {"reasons", "coverage"}
    schemas = service.openapi()["components"]["schemas"]
    documented = schemas["SummaryTotals"]["properties"]
    assert set(documented) == set(report["totals"])
    assert all(documented[name]["description"] for name in names)
    assert set(schemas["SummaryReport"]["properties"]) == set(report)


async def test_ratios_are_decimal_numbers_and_money_whole_ones(as_alice: httpx2.AsyncClient, books: Books) -> None:
    response = await as_alice.get(URL, params=RANGE)
    exact = json.loads(response.content, parse_float=Decimal)
    assert exact["totals"]["roi"] == Decimal("0.500250")
    assert all(isinstance(value, int) for name, value in exact["totals"].items() if name.endswith("_minor"))


async def test_another_brand_sees_nothing_of_it_and_cannot_ask_for_it(
    as_charlie: httpx2.AsyncClient, books: Books
) -> None:
    everything = (await as_charlie.get(URL, params=RANGE)).json()["all_orders"]
    assert (everything["conversions"], everything["gross_minor"]) == (0, 0)
    hers = ids.show("link", books.links[0])
    response = await as_charlie.get(URL, params={**RANGE, "link_id": hers})
    assert response.status_code == 404
    assert response.json()["code"] == "link_not_found"


async def test_filters_take_our_ids_and_external_ones(
    as_alice: httpx2.AsyncClient, pool: asyncpg.Pool, alice: Brand, books: Books
) -> None:
    await pool.execute("UPDATE influencer SET external_id = name WHERE brand_id = $1", alice.id)
    params = {**RANGE, "influencer_id": f"ext_second influencer,{ids.show('influencer', books.influencers[0])}"}
    report = (await as_alice.get(URL, params=params)).json()
    assert report["totals"]["gross_minor"] == 10_001
    assert len(report["filters"]["influencer_id"]) == 2
    report = (await as_alice.get(URL, params={**RANGE, "influencer_id": "ext_second influencer"})).json()
    assert report["totals"]["gross_minor"] == 1_001


async def test_every_wrong_parameter_is_named_in_one_answer(as_alice: httpx2.AsyncClient) -> None:
    wrong: dict[str, Any] = {
        "from": "soon",
        "to": "2026-11-01T00:00:00",
        "tz": "Mars/Olympus",
        "currency": "EURO",
        "model": "psychic",
        "group_by": ["influencer", "zodiac"],
        "link_id": "",
        "groupby": "day",
    }
    response = await as_alice.get(URL, params=wrong)
    assert response.status_code == 422
    found = {error["field"].split(".")[0] for error in response.json()["errors"]}
    assert found == set(wrong)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"group_by": "day,week"}, "group_by"),
        ({"group_by": "link,link"}, "group_by"),
        ({"group_by": "link,code,day"}, "group_by"),
        ({"from": "2026-11-02", "to": "2026-11-02"}, "from"),
        ({"from": "2400-01-01"}, "from"),
        ({"from": "2000-01-01", "to": "2026-01-01"}, "from"),
        ({"from": "2020-01-01", "to": "2026-01-01", "group_by": "day"}, "group_by"),
        ({"currency": "XXX"}, "currency"),
        ({"tz": "../../etc/passwd"}, "tz"),
        ({"kind": "x" * 206}, "kind"),
        ({"link_id": ",".join(["ext_a"] * 101)}, "link_id"),
    ],
)
async def test_what_cannot_be_answered_is_refused_by_name(
    as_alice: httpx2.AsyncClient, params: dict[str, str], field: str
) -> None:
    response = await as_alice.get(URL, params=params)
    assert response.status_code == 422, response.text
    assert field in {error["field"].split(".")[0] for error in response.json()["errors"]}


async def test_a_key_that_may_only_report_orders_reads_no_report(service: FastAPI, pool: asyncpg.Pool) -> None:
    brand = await create_brand(pool, "Alice")
    await pool.execute("UPDATE api_key SET scopes = '{conversions}' WHERE brand_id = $1 AND kind = 'secret'", brand.id)
    async with client(service, brand) as shop:
        response = await shop.get(URL)
    assert response.status_code == 403
    assert response.json()["code"] == "missing_scope"


async def test_requests_that_led_nowhere_are_listed_by_day(
    as_alice: httpx2.AsyncClient, as_charlie: httpx2.AsyncClient, pool: asyncpg.Pool, alice: Brand
) -> None:
    rows = [
        (date(2026, 11, 5), "go.alice.test", "lae", "unknown_slug", 3),
        (date(2026, 11, 5), "*", "lea", "expired", 5),
        (date(2026, 11, 9), "*", "lea", "disabled", 1),
        (date(2026, 11, 10), "*", "lea", "disabled", 1),
        (date(2026, 10, 31), "*", "lea", "disabled", 1),
    ]
    for row in rows:
        await pool.execute("INSERT INTO missed_day VALUES ($1, $2, $3, $4, $5, $6)", alice.id, *row)
    response = await as_alice.get("/v1/reports/missed", params=RANGE)
    assert response.status_code == 200, response.text
    MissedReport.model_validate_json(response.content)
    report = response.json()
    assert report["hits"] == 9
    assert [(row["day"], row["slug"], row["hits"]) for row in report["rows"]] == [
        ("2026-11-09", "lea", 1),
        ("2026-11-05", "lea", 5),
        ("2026-11-05", "lae", 3),
    ]
    one = (await as_alice.get("/v1/reports/missed", params={**RANGE, "reason": "expired"})).json()
    assert one["hits"] == 5
    assert (await as_charlie.get("/v1/reports/missed", params=RANGE)).json()["rows"] == []
    assert (await as_alice.get("/v1/reports/missed", params={"reason": "bored", "tz": "UTC"})).status_code == 422


def spreadsheet(answer: httpx2.Response) -> list[dict[str, str]]:
    """The lines of a file, by column."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    text = answer.content.decode("utf-8-sig")
    assert text.endswith("\r\n")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


async def test_the_file_says_what_the_json_says_and_nothing_is_added_up_twice(
    as_alice: httpx2.AsyncClient, books: Books
) -> None:
    asked = {**RANGE, "group_by": "influencer,day"}
    answer = await as_alice.get(f"{URL}.csv", params=asked)
    lines = spreadsheet(answer)
    disposition = 'attachment; filename="summary_2026-11-01_2026-11-10.csv"'
    assert (answer.headers["content-disposition"], answer.headers["vary"]) == (disposition, "Accept")
    report = json.loads((await as_alice.get(URL, params=asked)).content, parse_float=str)
    sums = ["totals", "unattributed", "all_orders"]
    assert [line["row_type"] for line in lines] == ["row", "row", "unsplit", *sums, "unconverted"]
    by_type = {line["row_type"]: line for line in lines}
    for line, row in [*zip(lines, report["rows"], strict=False), *((by_type[name], report[name]) for name in sums)]:
        for name, value in row.items():
            if name not in ("key", "reasons"):
                assert line[name] == ("" if value is None else str(value)), (line["row_type"], name)
        assert line["reasons"] == "; ".join(f"{name}: {reason}" for name, reason in row["reasons"].items())
        assert (line["currency"], line["from"], line["tz"]) == ("EUR", report["from"], "Europe/Paris")
    first = report["rows"][0]["key"]
    told = {name: lines[0][f"influencer_{name}"] for name in ("id", "name", "external_id", "archived")}
    assert told == {"id": first["influencer"]["id"], "name": "first influencer", "external_id": "", "archived": "false"}
    assert [line["day"] for line in lines] == ["2026-11-05", "2026-11-05", *[""] * 5]
    assert (by_type["unsplit"]["cost_minor"], by_type["unsplit"]["reasons"]) == ("1000", "costs of whole campaigns")
    assert (by_type["unconverted"]["currency"], by_type["unconverted"]["gross_minor"]) == ("JPY", "500")
    whole = sum(int(line["cost_minor"]) for line in lines if line["row_type"] in ("row", "unsplit"))
    assert whole == int(by_type["totals"]["cost_minor"])
    assert [line["row_type"] for line in spreadsheet(await as_alice.get(f"{URL}.csv", params=RANGE))][:1] == ["totals"]


async def test_a_file_is_for_whoever_asks_for_csv_and_for_no_rival(
    as_alice: httpx2.AsyncClient, as_charlie: httpx2.AsyncClient, books: Books
) -> None:
    for path in (URL, "/v1/reports/missed"):
        for accept in ("text/csv", "text/csv; charset=utf-8, */*;q=0.1"):
            spreadsheet(await as_alice.get(path, params=RANGE, headers={"Accept": accept}))
        for accept in ("*/*", "application/json, text/csv", "text/html"):
            answer = await as_alice.get(path, params=RANGE, headers={"Accept": accept})
            assert (answer.headers["content-type"], answer.headers["vary"]) == ("application/json", "Accept")
    refused = await as_alice.get(URL, params={"format": "csv"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "format")
    wrong = await as_alice.get(f"{URL}.csv", params={"group_by": "shoe"})
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")
    theirs = await as_charlie.get(f"{URL}.csv", params={**RANGE, "group_by": "influencer"})
    assert {line["gross_minor"] for line in spreadsheet(theirs)} == {"0"}
    hers = ids.show("link", books.links[0])
    assert (await as_charlie.get(f"{URL}.csv", params={**RANGE, "link_id": hers})).status_code == 404


@pytest.mark.parametrize("name", ["=1+1", "+33", "-1", "@x", "＝1+1", '=HYPERLINK("http://x";"y")', 'a, "b"\nc', "é"])
async def test_no_name_is_run_as_a_formula(
    as_alice: httpx2.AsyncClient, pool: asyncpg.Pool, alice: Brand, books: Books, name: str
) -> None:
    await pool.execute("UPDATE influencer SET name = $2 WHERE brand_id = $1", alice.id, name)
    await pool.execute(
        "INSERT INTO missed_day VALUES ($1, '2026-11-05', 'go.alice.test', $2, 'unknown_slug', 1)", alice.id, name
    )
    shown = name if name[0] in "aé" else f"'{name}"
    lines = spreadsheet(await as_alice.get(f"{URL}.csv", params={**RANGE, "group_by": "influencer"}))
    assert {line["influencer_name"] for line in lines if line["row_type"] == "row"} == {shown}
    [missed] = spreadsheet(await as_alice.get("/v1/reports/missed.csv", params=RANGE))
    assert (missed["slug"], missed["hits"]) == (shown, "1")


async def test_amounts_in_major_units_are_exact_in_each_currency_with_the_marks_of_a_spreadsheet(
    as_alice: httpx2.AsyncClient, books: Books
) -> None:
    asked = {**RANGE, "group_by": "influencer"}
    plain = spreadsheet(await as_alice.get(f"{URL}.csv", params=asked))
    french = await as_alice.get(f"{URL}.csv", params={**asked, "separator": ";", "decimal": ",", "amounts": "major"})
    lines = list(csv.DictReader(io.StringIO(french.content.decode("utf-8-sig"), newline=""), delimiter=";"))
    assert list(lines[0]) == [name.removesuffix("_minor") for name in plain[0]]
    decimals = {"EUR": 2, "JPY": 0}
    for line, minor in zip(lines, plain, strict=True):
        for name, value in minor.items():
            shown = line[name.removesuffix("_minor")]
            if name.endswith("_minor") and value:
                assert shown == f"{Decimal(value).scaleb(-decimals[minor['currency']]):f}".replace(".", ","), name
            elif name in ("roi", "conversions", "cvr"):
                assert shown == value.replace(".", ",")
    assert next(line["gross"] for line in lines if line["currency"] == "JPY") == "500"
    twice = await as_alice.get(f"{URL}.csv", params={**asked, "decimal": ","})
    assert (twice.status_code, twice.json()["errors"][0]["field"]) == (422, "decimal")
    for path, name, value in ((URL, "amounts", "major"), ("/v1/reports/missed", "separator", ";")):
        in_json = await as_alice.get(path, params={**RANGE, name: value})
        assert (in_json.status_code, in_json.json()["errors"][0]["field"]) == (422, name)
    defaults = {**RANGE, "separator": ",", "decimal": ".", "amounts": "minor"}
    assert (await as_alice.get(URL, params=defaults)).status_code == 200
