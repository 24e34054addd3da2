"""What is said of wrong input: in the words of whoever sent it, never in those of the parts we are built from."""

import json
import re
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from tests.api.calls import Json, make_campaign, make_link, make_pair, post

INTERNAL = re.compile(
    r"Input|String should|List should|Unable|discriminator|\btag\b|validation|union|dict|str\b|int\b|bool|instance|parse|interpret|attribute|None|Value error"
)
WRONG: list[Any] = [5, -1, 1.5, "?!", "", [], [[]], {}, {"x": []}, True, None, "x" * 30_000]


def schemas(document: Json, schema: Json) -> list[Json]:
    """A schema with all that it may be."""
    if "$ref" in schema:
        return schemas(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    several = [each for word in ("anyOf", "oneOf", "allOf") for each in schema.get(word, [])]
    return [found for each in several for found in schemas(document, each)] or [schema]


def wrong_values(document: Json, schema: Json, depth: int = 0) -> list[Any]:
    """Values of every wrong kind for a schema, and objects and lists of its kind that are wrong inside."""
    found = list(WRONG)
    for each in schemas(document, schema) if depth < 4 else []:
        if each.get("type") == "array":
            found += [[wrong] for wrong in wrong_values(document, each.get("items", {}), depth + 1)]
        fields = each.get("properties", {})
        inside = {name: wrong_values(document, field, depth + 1) for name, field in fields.items()}
        for number in range(max(map(len, inside.values()), default=0)):
            found.append({name: wrong[number % len(wrong)] for name, wrong in inside.items()})
        for name, field in fields.items():
            if "const" in field:
                found.append({name: field["const"]})
    return found


def told(answer: Any) -> list[str]:
    return [error["detail"] for error in answer.json()["errors"]]


async def test_no_answer_speaks_of_how_a_body_is_read(as_alice: AsyncClient, service: FastAPI) -> None:
    document = service.openapi()
    asked = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is None or not path.startswith("/v1/"):
                continue
            for wrong in wrong_values(document, body["schema"]):
                answer = await as_alice.request(method, re.sub(r"\{\w+\}", "ext_none", path), json=wrong)
                asked += 1
                assert answer.status_code < 500, (path, wrong, answer.text)
                if answer.status_code == 422:
                    for sentence in told(answer):
                        assert not INTERNAL.search(re.sub(r"'[^']*'|`[^`]*`", "", sentence)), (path, wrong, sentence)
    assert asked > 200


async def test_no_answer_speaks_of_how_a_parameter_is_read(as_alice: AsyncClient, service: FastAPI) -> None:
    for path, operations in service.openapi()["paths"].items():
        operation = operations.get("get")
        if operation is None or not path.startswith("/v1/"):
            continue
        for wrong in ("?!", "", "x" * 400, "-1"):
            params = {each["name"]: wrong for each in operation.get("parameters", []) if each["in"] == "query"}
            answer = await as_alice.get(re.sub(r"\{\w+\}", "ext_none", path), params=params)
            assert answer.status_code < 500, (path, wrong)
            if answer.status_code == 422:
                for sentence in told(answer):
                    assert not INTERNAL.search(re.sub(r"'[^']*'|`[^`]*`", "", sentence)), (path, wrong, sentence)


CODES = "/v1/codes"
CAMPAIGNS = "/v1/campaigns"


@pytest.mark.parametrize(
    ("path", "field", "value", "at", "said"),
    [
        (CODES, "discount", "10%", "discount", "should be a JSON object, not a text"),
        (CODES, "discount", {"value_bp": 1_000}, "discount.type", "is required"),
        (CODES, "discount", {"type": "half"}, "discount.type", "should be one of 'percent' or 'fixed', not 'half'"),
        (CODES, "discount", {"type": None}, "discount.type", "should be one of 'percent' or 'fixed', not null"),
        (CODES, "discount", {"type": "percent"}, "discount.value_bp", "is required"),
        (CODES, "discount", {"type": "percent", "value_bp": 10_001}, "discount.value_bp", "should be at most 10000"),
        (CODES, "credit_policy", "x", "credit_policy", "should be one of 'always', 'if_involved', 'if_winner' or 'never', not 'x'"),
        (CAMPAIGNS, "currency", "euro", "currency", "'euro' is not an ISO 4217 currency; it has 3 letters, such as EUR"),
        (CAMPAIGNS, "currency", "QQQ", "currency", "'QQQ' is not an ISO 4217 currency"),
        (CAMPAIGNS, "currency", ["EUR"], "currency", "should be a text, not a list"),
        (CAMPAIGNS, "name", None, "name", "should be a text, not null"),
        (CAMPAIGNS, "name", "", "name", "must not be empty"),
        (CAMPAIGNS, "budget_minor", 1.5, "budget_minor", "should be a whole number, not 1.5"),
        (CAMPAIGNS, "targets", [{"metric": "x", "value": "1"}], "targets.0.value", "should be a number, not a text"),
        (CAMPAIGNS, "targets", [{"metric": "x", "value": True}], "targets.0.value", "should be a number, not true"),
        (CAMPAIGNS, "targets", [{"metric": "x", "value": -1.5}], "targets.0.value", "should be at least 0"),
        (CAMPAIGNS, "policy", [], "policy", "should be a JSON object, not a list"),
        (CAMPAIGNS, "starts_at", {}, "starts_at", "should be a text such as 2026-11-22T09:30:00Z"),
        ("/v1/costs", "incurred_on", "2026-02-31", "incurred_on", "is no day such as 2026-11-22"),
        ("/v1/sources", "secrets", "a secret of mine", "secrets", "should be a list, not a text"),
    ],
)  # fmt: skip
async def test_every_wrong_value_is_said_in_words_of_json(
    as_alice: AsyncClient, path: str, field: str, value: object, at: str, said: str
) -> None:
    answer = await as_alice.post(path, json={field: value})
    assert answer.status_code == 422, answer.text
    assert [error["detail"] for error in answer.json()["errors"] if error["field"] == at] == [said]


async def test_a_field_that_cannot_be_changed_is_not_called_unknown(as_alice: AsyncClient) -> None:
    pair = await make_pair(as_alice)
    link, campaign = await make_link(as_alice, pair), await make_campaign(as_alice)
    code = await post(as_alice, CODES, {**pair, "code": "LEA10"})
    for path, fields in (
        (f"/v1/links/{link['id']}", ("slug", "host", "campaign_id", "short_url", "id")),
        (f"{CAMPAIGNS}/{campaign['id']}", ("currency", "created_at")),
        (f"{CODES}/{code['id']}", ("code", "collaboration_id")),
    ):
        answer = await as_alice.patch(path, json={**dict.fromkeys(fields, "x"), "colour": "red"})
        found = {error["field"]: (error["code"], error["detail"]) for error in answer.json()["errors"]}
        assert found.pop("colour") == ("unknown_field", "is not a field of this request")
        assert found == dict.fromkeys(fields, ("fixed", "cannot be changed"))
    nested = await as_alice.patch(f"/v1/links/{link['id']}", json={"utm": {"slug": "x"}})
    assert nested.json()["errors"][0]["code"] == "unknown_field"
    new = {"destination_url": "https://shop.test/", **pair, "short_url": "x"}
    assert (await as_alice.post("/v1/links", json=new)).json()["errors"][0]["code"] == "unknown_field"


async def test_a_switch_is_true_or_false_and_nothing_like_it(as_alice: AsyncClient) -> None:
    link = await make_link(as_alice, await make_pair(as_alice))
    for like in ("yes", "false", 1, 0):
        answer = await as_alice.patch(f"/v1/links/{link['id']}", content=json.dumps({"disabled": like}),
                                      headers={"Content-Type": "application/json"})  # fmt: skip
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "bool_type")
