"""The OpenAPI document is complete, and the one in the repository is the one that is served."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.server.app import openapi_document

STORED = Path(__file__).resolve().parents[2] / "openapi" / "openapi.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi_document()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, operation) for path, item in document["paths"].items() for method, operation in item.items()]


def test_the_stored_document_is_current(document: dict[str, Any]) -> None:
    assert json.loads(STORED.read_text()) == json.loads(json.dumps(document)), "run `make openapi`"


async def test_it_is_served_to_anybody(api: AsyncClient) -> None:
    served = await api.get("/openapi.json")
    assert served.json()["openapi"].startswith("3.1")
    assert (await api.get("/docs")).status_code == 200
    assert "cdn" not in (await api.get("/docs")).text


def test_the_public_doors_are_described(document: dict[str, Any]) -> None:
    doors = {
        ("/{slug}", "get"),
        ("/{slug}", "head"),
        ("/p.gif", "get"),
        ("/e", "post"),
        ("/e", "options"),
        ("/a.js", "get"),
    }
    doors |= {
        ("/in/{token}", "get"),
        ("/in/{token}", "post"),
        ("/healthz", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
    }
    found = {(path, method) for path, method, _ in operations(document)}
    assert doors <= found
    assert all(document["paths"][path][method]["security"] == [] for path, method in doors)


def test_every_operation_has_a_name_of_its_own_a_summary_and_a_known_tag(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in document["tags"]}
    for path, method, operation in operations(document):
        assert operation.get("summary"), (path, method)
        assert set(operation["tags"]) <= tags, (path, method)


def test_every_operation_behind_a_key_describes_its_errors_as_problems(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if not path.startswith("/v1/"):
            continue
        responses = operation["responses"]
        assert {"400", "401", "403", "422", "500", "503"} <= set(responses), (path, method)
        if "requestBody" in operation:
            assert {"413", "415"} <= set(responses), (path, method)
        if "{" in path:
            assert "404" in responses, (path, method)
        for status, response in responses.items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], (path, method, status)


def test_no_reference_leads_nowhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    wanted = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert wanted <= set(schemas)


def test_the_api_and_the_document_name_the_same_paths(service: FastAPI, document: dict[str, Any]) -> None:
    assert set(service.openapi()["paths"]) == set(document["paths"])


def test_every_schema_is_called_by_a_word_that_reads_well_in_a_client(document: dict[str, Any]) -> None:
    names = list(document["components"]["schemas"])
    assert len({name.lower() for name in names}) == len(names)
    for name in names:
        assert re.fullmatch(r"([A-Z][a-z]+)+", name), f"{name}: a schema is named in PascalCase"
        assert not re.search(r"(Input|Output|Shown|Given|Response|Model)$", name), (
            f"{name}: say what it is, not which way it goes"
        )
        assert name == document["components"]["schemas"][name].get("title", name)


def test_the_document_is_valid_by_the_specifications_own_schema(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(json.loads(json.dumps(document))).validate()
