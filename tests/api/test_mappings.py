"""A mapping is tried on a pasted message: the answer shows what it reads, and one that reads nothing is refused with the place and what stood there."""

import json
from typing import Any

import asyncpg
import pytest
from httpx2 import AsyncClient

from demo.simulator import DOCUMENTS
from tests.api.calls import post
from tests.cast import Brand

PADDLE = json.loads((DOCUMENTS / "paddle_transaction_completed.json").read_bytes())
MAPPING: dict[str, Any] = {
    "amounts": "major",
    "rules": [
        {
            "read": "order",
            "when": [{"at": "/event", "equals": "order"}],
            "order_id": "/id",
            "net": "/total",
            "codes": "/codes/*",
        },
        {"read": "ignored"},
    ],
}
SAMPLE = {"event": "order", "id": 1001, "total": "49.90", "codes": ["LEA10"]}
SOURCE = {
    "platform": "generic",
    "secrets": ["a-long-random-secret"],
    "settings": {"mapping": MAPPING},
    "sample": SAMPLE,
}


async def check(client: AsyncClient, **body: Any) -> dict[str, Any]:
    return await post(client, "/v1/mappings/check", {"sample": SAMPLE, **body}, status=200)


async def refusal(client: AsyncClient, path: str, body: Any, method: str = "POST") -> dict[str, tuple[str, str]]:
    answer = await client.request(method, path, json=body)
    assert answer.status_code == 422, answer.text
    return {error["pointer"]: (error["code"], error["detail"]) for error in answer.json()["errors"]}


# ── POST /v1/mappings/check ──────────────────────────────────────────────────────────────────────────────────────────


async def test_the_answer_shows_what_is_read(as_alice: AsyncClient) -> None:
    told = await check(as_alice, settings={"mapping": MAPPING}, shop="fr")
    assert (told["reads"], told["rule"], told["unfound"]) == (True, 0, [])
    [report] = told["read"]["reports"]
    assert (report["shop"], report["order_id"], report["net_minor"], report["currency"], report["codes"]) == (
        "fr", "1001", 4_990, "EUR", ["LEA10"],
    )  # fmt: skip


async def test_a_preset_is_tried_the_same_way_and_the_sample_may_be_text(as_alice: AsyncClient) -> None:
    for sample in (PADDLE, json.dumps(PADDLE)):
        told = await check(as_alice, settings={"preset": "paddle"}, sample=sample)
        assert told["read"]["topic"] == "transaction.completed"
        assert told["read"]["reports"][0]["net_minor"] == 9_000


async def test_headers_may_say_what_it_is(as_alice: AsyncClient) -> None:
    rules = [{"read": "order", "when": [{"at": "header:X-Event", "equals": "paid"}], "order_id": "/id"}]
    settings = {"mapping": {"amounts": "major", "rules": rules}}
    assert (await check(as_alice, settings=settings, headers={"X-EVENT": "paid"}))["reads"] is True
    told = await check(as_alice, settings=settings)
    assert (told["reads"], told["read"]["ignored"]) == (False, "no_rule")
    assert "no header X-Event" in told["read"]["detail"]


async def test_what_found_nothing_is_told_with_what_stands_there(as_alice: AsyncClient) -> None:
    told = await check(
        as_alice, settings={"mapping": MAPPING}, sample={"event": "order", "id": 1, "totals": {"grand": 1}}
    )
    assert told["reads"] is True
    assert {each["field"]: each["detail"] for each in told["unfound"]} == {
        "net": "nothing stands at /total: the body is an object with event, id, totals",
        "codes": "nothing stands at /codes/*: the body is an object with event, id, totals",
    }


async def test_without_a_mapping_our_own_words_are_read(as_alice: AsyncClient) -> None:
    told = await check(as_alice, sample={"order_id": "7", "net_minor": 100})
    assert told["read"]["reports"][0]["order_id"] == "7"
    assert (await check(as_alice, sample="order_id=7"))["read"]["rejected"] == "not_json"


async def test_the_brand_of_the_key_says_which_currency(
    as_alice: AsyncClient, as_charlie: AsyncClient, charlie: Brand, pool: asyncpg.Pool
) -> None:
    await pool.execute("UPDATE brand SET currency = 'JPY' WHERE id = $1", charlie.id)
    sample = {**SAMPLE, "total": 500}
    found = [await check(client, settings={"mapping": MAPPING}, sample=sample) for client in (as_alice, as_charlie)]
    assert [each["read"]["reports"][0]["net_minor"] for each in found] == [50_000, 500]
    assert [each["read"]["reports"][0]["currency"] for each in found] == ["EUR", "JPY"]


async def test_nothing_is_kept(as_alice: AsyncClient) -> None:
    await check(as_alice, settings={"mapping": MAPPING})
    for path in ("/v1/sources", "/v1/deliveries", "/v1/conversions"):
        assert (await as_alice.get(path)).json()["data"] == []


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"mapping": {"amounts": "major"}}, "/settings/mapping"),
        ({"mapping": {"amounts": "major", "rules": [{"read": "order", "order_id": 5}]}}, "/settings/mapping/rules/0/order_id"),
        ({"mapping": {"amounts": "major", "rules": [{"read": "order", "order_id": "id"}]}}, "/settings/mapping/rules/0/order_id"),
        ({"mapping": {"amounts": "major", "rules": [{"read": "sale"}]}}, "/settings/mapping/rules/0/read"),
        ({"mapping": {**MAPPING, "decimals": {"EURO": 2}}}, "/settings/mapping/decimals/EURO"),
        ({"mapping": {**MAPPING, "topic": "x" * 30_000}}, "/settings/mapping"),
        ({"signature": {"header": "X-Sig", "message": "{timestamp}"}}, "/settings/signature/message"),
        ({"signature": {"encoding": "hex"}}, "/settings/signature"),
        ({"preset": "magento"}, "/settings/preset"),
        ({"taxes_included": True}, "/settings/taxes_included"),
    ],
)  # fmt: skip
async def test_settings_that_cannot_be_meant_are_named(as_alice: AsyncClient, given: Any, pointer: str) -> None:
    body = {"settings": given, "sample": SAMPLE}
    assert pointer in await refusal(as_alice, "/v1/mappings/check", body)
    made = {"platform": "generic", "secrets": ["a-long-random-secret"], **body}
    assert pointer in await refusal(as_alice, "/v1/sources", made)


# ── Before it is saved ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_mapping_that_reads_its_sample_is_kept(as_alice: AsyncClient) -> None:
    made = await post(as_alice, "/v1/sources", SOURCE)
    assert made["settings"] == {"mapping": MAPPING}
    kept = (await as_alice.get(f"/v1/sources/{made['id']}")).json()
    assert kept["settings"] == {"mapping": MAPPING}
    assert "sample" not in kept


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"sample": None}, "required", "the body of one message"),
        ({"sample": {"event": "order", "total": 1}}, "mapping_reads_nothing", "order_id: nothing stands at /id: the body is an object with event, total"),
        ({"sample": {**SAMPLE, "total": "twelve"}}, "mapping_reads_nothing", '/total is "twelve": an amount in major units, such as 49.90 is expected'),
        ({"sample": {**SAMPLE, "total": None}}, "mapping_reads_nothing", "no amount in it: net: /total is null"),
        ({"sample": {**SAMPLE, "event": "cart"}}, "mapping_reads_nothing", "ignores it; paste an order"),
        ({"sample": "event=order"}, "mapping_reads_nothing", "Expecting value"),
    ],
)  # fmt: skip
async def test_one_that_reads_nothing_is_refused_and_nothing_is_saved(
    as_alice: AsyncClient, change: dict[str, Any], code: str, said: str
) -> None:
    body = {name: value for name, value in {**SOURCE, **change}.items() if value is not None}
    [(pointer, (found, detail))] = (await refusal(as_alice, "/v1/sources", body)).items()
    assert (pointer, found) == ("/sample", code)
    assert said in detail
    assert (await as_alice.get("/v1/sources")).json()["data"] == []


async def test_a_change_is_tried_too_and_leaves_the_old_one_when_refused(
    as_alice: AsyncClient, as_charlie: AsyncClient
) -> None:
    made = await post(as_alice, "/v1/sources", SOURCE)
    path = f"/v1/sources/{made['id']}"
    other = {"amounts": "minor", "rules": [{"read": "order", "order_id": "/number", "net": "/cents"}]}
    change = {"settings": {"mapping": other}}
    assert "/sample" in await refusal(as_alice, path, change, "PATCH")
    assert "/sample" in await refusal(as_alice, path, {**change, "sample": SAMPLE}, "PATCH")
    assert (await as_alice.get(path)).json()["settings"] == {"mapping": MAPPING}
    good = {**change, "sample": {"number": 7, "cents": 5}}
    assert (await as_charlie.patch(path, json=good)).status_code == 404
    changed = await as_alice.patch(path, json=good)
    assert changed.json()["settings"] == {"mapping": other}
    # Anything else changes without a sample, and the mapping goes when it is cleared.
    assert (await as_alice.patch(path, json={"name": "Shop"})).status_code == 200
    assert (await as_alice.patch(path, json={"settings": {"mapping": None}})).json()["settings"] == {}


async def test_a_preset_needs_no_sample_and_is_tried_on_one_that_is_given(as_alice: AsyncClient) -> None:
    source = {"platform": "generic", "secrets": ["a-long-random-secret"], "settings": {"preset": "paddle"}}
    await post(as_alice, "/v1/sources", source)
    await post(as_alice, "/v1/sources", {**source, "sample": PADDLE})
    assert "/sample" in await refusal(as_alice, "/v1/sources", {**source, "sample": SAMPLE})
    plain = {**source, "settings": {}, "sample": SAMPLE}
    assert "/sample" in await refusal(as_alice, "/v1/sources", plain)
