"""The examples of the OpenAPI document: the requests of story.toml, and what was answered to them (story.json, written by `make examples`)."""

import json
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

STORY = Path(__file__).with_name("story.toml")
ANSWERS = Path(__file__).with_name("story.json")


class Step(msgspec.Struct, frozen=True):
    """One request of the story. `name` is its operation's, unless it has one of its own."""

    operation: str
    name: str = ""
    path: dict[str, str] = {}
    query: dict[str, Any] = {}
    body: Any = None
    file: str | None = None
    type: str = "application/json"
    accept: str = "*/*"
    until: dict[str, Any] = {}
    signed_with: str | None = None
    or_status: int | None = None


def read_story() -> list[Step]:
    """The steps in their order, each with its name."""
    steps = msgspec.convert(tomllib.loads(STORY.read_text("utf-8"))["step"], list[Step])
    return [step if step.name else msgspec.structs.replace(step, name=step.operation) for step in steps]


def resolve(value: Any, answers: Mapping[str, Any]) -> Any:
    """`value` with `@step.field.0.field` replaced by what that step was answered. Raises KeyError when it was not asked."""
    if isinstance(value, str) and value.startswith("@"):
        name, *steps = value[1:].split(".")
        found = answers[name]
        for step in steps:
            found = found[int(step) if isinstance(found, list) else step]
        return found
    if isinstance(value, dict):
        return {name: resolve(each, answers) for name, each in value.items()}
    return [resolve(each, answers) for each in value] if isinstance(value, list) else value


def add_examples(operations: Mapping[str, dict[str, Any]]) -> None:
    """Give each operation, by its id, the example of its request and of its answer that the story has for it."""
    stored = json.loads(ANSWERS.read_text("utf-8"))
    answers = {name: each["answer"] for name, each in stored.items()}
    by_schema: dict[str, Any] = {}
    for step in read_story():
        operation, known = operations.get(step.operation), stored.get(step.name)
        if operation is None:
            continue
        # What it refers to is missing while the answers of a new step are not written yet.
        with suppress(KeyError):
            if step.name == step.operation:
                _add_request(operation, step, answers)
        if known is None:
            continue
        content = operation["responses"].get(known["status"], {}).get("content", {}).get(known["type"])
        if content is not None:
            content.setdefault("example", known["answer"])
            by_schema.setdefault(content["schema"].get("$ref", ""), known["answer"])
    by_schema.pop("", None)
    for operation in operations.values():
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                # Another answer of the same schema: a second status, or one that the story does not come by.
                if "example" not in content and content["schema"].get("$ref") in by_schema:
                    content["example"] = by_schema[content["schema"]["$ref"]]


def _add_request(operation: dict[str, Any], step: Step, answers: Mapping[str, Any]) -> None:
    given = resolve({"path": step.path, "query": step.query}, answers)
    for parameter in operation.get("parameters", ()):
        example = given.get(parameter["in"], {}).get(parameter["name"])
        if example is not None:
            parameter["example"] = example
    content = operation.get("requestBody", {}).get("content", {}).get(step.type)
    if content is not None and "examples" not in content:
        content["example"] = resolve(step.body if step.file is None else step.file, answers)
