"""A key sees its own brand only, and does what its scopes say: asked of every operation of openapi.json, with the requests of the story.

Nothing here names an operation: a new one is in both matrices as soon as it is in the document, and without a request in the story the suite fails.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from app.api.auth import INCLUDES, SCOPES
from app.api.examples import Step
from tests.api.story import ID, Operation, Story, bearer
from tests.served import Served

STRANGER = {
    "campaign_id": "create_campaign",
    "influencer_id": "create_influencer",
    "collaboration_id": "create_collaboration",
    "link_id": "create_link",
    "code_id": "create_code",
    "source_id": "create_source",
    "conversion_id": "report_conversion",
    "key_id": "create_key",
}
"""Fields and parameters that hold an id, and the step that made one."""
TEXTS = {"external_id", "order_id", "visitor_id", "customer_id", "refund_id", "click_id"}
"""Fields that end like ids and are the shop's own words."""


@pytest.fixture(scope="module")
def steps(story: Story) -> list[tuple[Operation, Step]]:
    """Each operation behind a key with its request."""
    first = {step.operation: step for step in reversed(story.steps)}
    behind_a_key = [each for each in story.operations.values() if each.path.startswith("/v1/")]
    assert all(each.scopes <= set(SCOPES) and each.scopes for each in behind_a_key)
    return [(each, first[each.id]) for each in behind_a_key]


@pytest.fixture(scope="module")
def rival(whole: Served) -> Iterator[httpx2.Client]:
    """A client that speaks for a brand with no access to anything of the story's."""
    with client(whole, whole.of("Rival of the story").secret_key) as opened:
        yield opened


def client(served: Served, key: str | None) -> httpx2.Client:
    """A client with a key, or none."""
    headers = {} if key is None else bearer(key)
    return httpx2.Client(base_url=served.url, headers=headers, timeout=60)


def by_real_ids(story: Story, value: Any) -> Any:
    """`value` with the story's real ids in place of its external ones, which another brand may have too."""
    real = {f"ext_{read['external_id']}": read["id"] for read in story.read.values() if external(read)}
    if isinstance(value, dict):
        return {name: by_real_ids(story, each) for name, each in value.items()}
    if isinstance(value, list):
        return [by_real_ids(story, each) for each in value]
    return real.get(value, value) if isinstance(value, str) else value


def external(read: Any) -> bool:
    """Whether an answer is a row with an external id."""
    return isinstance(read, dict) and "id" in read and read.get("external_id") is not None


def secrets_of(story: Story) -> set[str]:
    """Every id, token, key and signing secret in the story's answers."""
    found: set[str] = set()
    for answer in story.answers.values():
        if answer.headers.get("content-type", "").startswith(("application/json", "text/csv")):
            found |= {match[0] for match in ID.finditer(answer.text)}
    for read in story.read.values():
        found |= {
            read[name]
            for name in ("token", "secret_key", "publishable_key")
            if isinstance(read, dict) and read.get(name)
        }
    return found


def leaks(answer: httpx2.Response, secrets: set[str]) -> set[str]:
    """What an answer tells of another brand that its request did not say."""
    sent = f"{answer.request.url} {answer.request.content.decode('utf-8', 'replace')}"
    told = answer.content.decode("utf-8", "replace")
    return {each for each in secrets if each in told and each not in sent}


def test_another_brands_key_gets_no_row_by_its_id_and_changes_none(
    story: Story, steps: list[tuple[Operation, Step]], rival: httpx2.Client
) -> None:
    secrets = secrets_of(story)
    before = owned(story, steps)
    asked = 0
    for operation, step in steps:
        answer = story.request(rival, step, lambda filled: by_real_ids(story, filled))
        asked += 1
        assert leaks(answer, secrets) == set(), operation.id
        if "{" in operation.path:
            assert answer.status_code == 404, f"{operation.id}: {answer.status_code} {answer.text[:300]}"
    assert asked == len(steps)
    assert owned(story, steps) == before


def owned(story: Story, steps: list[tuple[Operation, Step]]) -> dict[str, Any]:
    """What the story's own brand is answered about each of its rows; its key must find all of them, or the matrix would prove nothing."""
    with client(story.served, story.served.secret_key) as owner:
        found = {}
        for operation, step in steps:
            if operation.method == "GET" and "{" in operation.path:
                answer = story.request(owner, step, lambda filled: by_real_ids(story, filled))
                assert answer.status_code != 404, operation.id
                found[operation.id] = answer.content
    return found


def named_ids(operation: Operation, document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where an operation takes an id besides its path: (`query` or `body`, name)."""
    for parameter in operation.document.get("parameters", ()):
        if parameter["in"] == "query" and parameter["name"].endswith("_id"):
            yield "query", parameter["name"]
    for content in operation.document.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        schema = document["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)
        yield from (("body", name) for name in schema.get("properties", ()) if name.endswith("_id"))


def test_an_id_of_another_brand_finds_nothing_wherever_it_is_sent(
    story: Story, steps: list[tuple[Operation, Step]], rival: httpx2.Client
) -> None:
    secrets = secrets_of(story)
    for operation, step in steps:
        for place, name in named_ids(operation, story.document):
            assert name in STRANGER or name in TEXTS, f"{operation.id}: say in this file which step makes a {name}"
            if name in TEXTS:
                continue
            strange = story.read[STRANGER[name]]["id"]

            def alone(filled: Any, place: str = place, name: str = name, strange: str = strange) -> Any:
                if place == "query":
                    return {**filled, "query": {name: strange}}
                return {**filled, "body": {**filled["body"], name: strange}}

            answer = story.request(rival, step, alone)
            assert leaks(answer, secrets) == set(), (operation.id, name)
            if not answer.is_success:
                assert answer.status_code in (404, 409, 422), (operation.id, name, answer.text)
            elif answer.headers["content-type"] == "application/json":
                assert not answer.json().get("data"), (operation.id, name, answer.text)


def test_each_scope_opens_what_it_names_and_nothing_else(
    story: Story, steps: list[tuple[Operation, Step]], whole: Served
) -> None:
    served = whole.of("Scopes of the story")
    made = {
        scope: served.call("POST", "/v1/keys", {"kind": "secret", "name": scope, "scopes": [scope]}) for scope in SCOPES
    }
    wrong: list[str] = []
    for scope, key in made.items():
        with client(served, key["secret_key"]) as caller:
            for operation, step in steps:
                answer = story.request(caller, step, lambda filled: by_real_ids(story, filled))
                allowed = bool(INCLUDES[scope] & operation.scopes)
                if allowed == (answer.status_code in (401, 403)) or answer.status_code >= 500:
                    wrong.append(f"{operation.id} with {scope}: {answer.status_code}")
                if answer.status_code == 403:
                    assert json.loads(answer.content)["code"] == "missing_scope", operation.id
    assert wrong == []


def test_nothing_answers_without_a_secret_key(story: Story, steps: list[tuple[Operation, Step]], whole: Served) -> None:
    for key in (None, whole.publishable_key, "sk_nobody"):
        with client(whole, key) as caller:
            for operation, step in steps:
                answer = story.request(caller, step, lambda filled: by_real_ids(story, filled))
                assert answer.status_code == 401, operation.id
