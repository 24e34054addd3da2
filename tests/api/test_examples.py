"""Every example of the OpenAPI document works: the story of its requests is played against a running service, and its answers are of their schemas."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.api.examples import ANSWERS
from app.server.app import openapi_document
from tests.api.story import Story, media_type, names_of, operations, shown

WRITE = "run `make examples`: app/api/story.json is not what the service answers today"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi_document()


def contents(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every body and answer: its operation, its place there, and its content."""
    for operation in operations(document).values():
        for kind, content in operation.document.get("requestBody", {}).get("content", {}).items():
            yield operation.id, f"request {kind}", content
        for status, response in operation.document["responses"].items():
            for kind, content in response.get("content", {}).items():
                yield operation.id, f"{status} {kind}", content


def faults(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    """What a schema of the document has against a value."""
    validator = Draft202012Validator({**schema, "components": document["components"]})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def test_every_operation_is_in_the_story_and_every_step_works(story: Story) -> None:
    asked_for = {each.id for each in story.operations.values() if each.path.startswith("/v1/")}
    assert asked_for <= {step.operation for step in story.steps}, "app/api/story.toml has a request for each operation"


def test_every_body_and_answer_has_an_example_that_is_of_its_schema(document: dict[str, Any]) -> None:
    for operation, place, content in contents(document):
        assert content.get("schema") is not None, f"{operation}, {place}: no schema"
        if content["schema"].get("format") == "binary":
            continue
        examples = [each["value"] for each in content.get("examples", {}).values()] or [content.get("example")]
        assert examples != [None], f"{operation}, {place}: no example (app/api/story.toml; `make examples`)"
        for example in examples:
            assert faults(document, content["schema"], example) == [], f"{operation}, {place}: {WRITE}"


def test_every_example_of_a_parameter_is_of_its_schema(document: dict[str, Any]) -> None:
    for operation in operations(document).values():
        for parameter in operation.document.get("parameters", ()):
            examples = [parameter["example"]] if "example" in parameter else parameter["schema"].get("examples", [])
            for example in examples:
                assert faults(document, parameter["schema"], example) == [], (operation.id, parameter["name"])


def test_every_answer_of_the_story_is_of_its_schema_and_has_the_fields_of_its_example(story: Story) -> None:
    for step in story.steps:
        answer = story.answers[step.name]
        response = story.operations[step.operation].document["responses"][str(answer.status_code)]
        if not answer.is_success or "content" not in response:
            continue
        content = response["content"][media_type(answer)]
        if shown(answer) is not None:
            assert faults(story.document, content["schema"], shown(answer)) == [], step.name
        if step.name == step.operation and media_type(answer) == "application/json":
            assert set(names_of(content["example"])) == set(names_of(shown(answer))), f"{step.name}: {WRITE}"


def test_no_example_shows_a_secret_or_where_it_was_made() -> None:
    text = ANSWERS.read_text("utf-8")
    assert "127.0.0.1" not in text
    assert "localhost" not in text
