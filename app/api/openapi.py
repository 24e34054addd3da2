"""The OpenAPI document: every operation with its scope and errors, and the public doors, which are not FastAPI's."""

import tomllib
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from app.api.auth import Scope
from app.api.examples import add_examples
from app.api.problems import MEDIA_TYPE, Problem, response_of
from app.errors import AppError, MethodRefused, NotFound, TooLarge, TooSlow, Unauthorized, Unavailable

BYTES = {"type": "string", "format": "binary"}
TYPED = {
    "text/csv": {"type": "string"},
    "application/x-ndjson": {"type": "string"},
    "application/json": {"type": "object"},
}
"""Schemas of the answers that are made without a model, by their media type; of any other they are bytes."""

BY_STATUS = {each.status: each for each in (Unauthorized, NotFound, MethodRefused, TooSlow, TooLarge, Unavailable)}
"""The problems of the public doors."""
WORDS = Path(__file__).with_suffix(".toml")
"""The document's words, and what FastAPI cannot know."""


def add_openapi(api: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Make `api.openapi()` answer the whole document, which is made at the first call."""

    def document() -> dict[str, Any]:
        if api.openapi_schema is None:
            api.openapi_schema = _document(api, routers)
        return api.openapi_schema

    api.openapi = document  # type: ignore[method-assign]


def _document(api: FastAPI, routers: Sequence[APIRouter]) -> dict[str, Any]:
    words = tomllib.loads(WORDS.read_text("utf-8"))
    doors, shared = _written_out([words["doors"], words["shared"]], words["shared"])
    document = get_openapi(
        title=api.title,
        version=api.version,
        openapi_version="3.1.0",
        summary=words["summary"],
        description=words["description"],
        routes=api.routes,
        tags=[{"name": name, "description": text} for name, text in words["tags"].items()],
        license_info=words["license_info"],
        servers=[{"url": "/", "description": words["server"]}],
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"), Problem=problem)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                for method in route.methods or ():
                    operation = document["paths"][route.path_format][method.lower()]
                    _describe(operation, method, _scopes(route.dependant), shared)
    for operation in (each for item in doors.values() for each in item.values()):
        for status, response in operation["responses"].items():
            if MEDIA_TYPE in response.get("content", {}):
                response["content"] = response_of(BY_STATUS[int(status)])["content"]
    document["paths"].update(doors)
    add_examples({each["operationId"]: each for item in document["paths"].values() for each in item.values()})
    return _named_by_title(document)


def _named_by_title(document: dict[str, Any]) -> dict[str, Any]:
    """The document with every schema under its title: pydantic's own name of a generic model, `Page_Campaign_`, is no word."""
    schemas = document["components"]["schemas"]
    place = "#/components/schemas/"
    names = {place + name: place + schema.get("title", name) for name, schema in schemas.items()}
    assert len(set(names.values())) == len(names), "two schemas have one title"
    document["components"]["schemas"] = {schema.get("title", name): schema for name, schema in sorted(schemas.items())}

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: renamed(each) for name, each in value.items()}
        if isinstance(value, list):
            return [renamed(each) for each in value]
        return names.get(value, value) if isinstance(value, str) else value

    return dict(renamed(document))


def _scopes(dependant: Dependant) -> tuple[str, ...]:
    """The scopes any of which an operation demands, found among its dependencies."""
    for inner in dependant.dependencies:
        if isinstance(inner.call, Scope):
            return inner.call.scopes
        found = _scopes(inner)
        if found:
            return found
    return ()


def _describe(operation: dict[str, Any], method: str, scopes: tuple[str, ...], shared: dict[str, Any]) -> None:
    # FastAPI makes ids such as list_links_v1_links_get, and generated clients name their methods after them.
    operation["operationId"] = operation["operationId"].partition("_v1_")[0]
    if scopes:
        operation["x-scopes"] = list(scopes)
        wanted = " or ".join(f"`{scope}`" for scope in scopes)
        operation["description"] = f"{operation.get('description', '')}\n\nScope: {wanted}.".strip()
    operation["responses"]["500"] = response_of(AppError)
    if method == "POST":
        operation.setdefault("parameters", []).append(shared["idempotency_key"])
    responses = operation["responses"]
    if "content" in responses.get("201", {}) and "content" not in responses.get("200", {"content": {}}):
        responses["200"]["content"] = deepcopy(responses["201"]["content"])
    for response in responses.values():
        for kind, content in response.get("content", {}).items():
            if not content.get("schema"):
                content["schema"] = TYPED.get(kind, BYTES)
        response.setdefault("headers", {})["X-Request-Id"] = shared["request_id"]
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _written_out(value: Any, shared: dict[str, Any]) -> Any:
    """`value` with what is shared in place of each `@name`."""
    if isinstance(value, str) and value.startswith("@"):
        return _written_out(shared[value[1:]], shared)
    if isinstance(value, dict):
        return {name: _written_out(each, shared) for name, each in value.items()}
    return [_written_out(each, shared) for each in value] if isinstance(value, list) else value
