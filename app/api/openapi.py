"""The OpenAPI document: every operation with its scope and errors, and the public doors, which are not FastAPI's."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from app.api.auth import Scope
from app.api.problems import Problem, response_of
from app.errors import AppError

TAGS = {
    "brand": "Your own settings, policy and hosts.",
    "hosts": "Host names of your own that links may stand on.",
    "keys": "Secret keys for servers, publishable keys for the pages of a shop.",
    "influencers": "Creators known to the brand.",
    "campaigns": "Objective, dates, budget, targets and attribution policy.",
    "collaborations": "One influencer in one campaign: the unit that is credited, paid and compared.",
    "links": "Short links: slug to destination.",
    "codes": "Promo codes and who owns them when.",
    "costs": "What a collaboration or campaign cost.",
    "sources": "Connected shops and servers that report orders.",
    "mappings": "What a source would read in a message, tried without keeping anything.",
    "conversions": "Orders, leads, signups, installs: whoever reported them.",
    "refunds": "Refunds, cancellations, chargebacks.",
    "deliveries": "Raw messages of sources and pixels, as received.",
    "imports": "Files of orders and refunds.",
    "reconciliations": "The shop's own list of orders against ours.",
    "jobs": "Work that takes longer than a request, and what it says of every line.",
    "reports": "What it earned, cost and returned.",
    "public": "What shoppers, shops and browsers meet; no key, nothing but what is said here.",
    "health": "For load balancers and monitoring.",
}


def add_openapi(api: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Make `api.openapi()` answer the whole document, which is made at the first call."""

    def document() -> dict[str, Any]:
        if api.openapi_schema is None:
            api.openapi_schema = _document(api, routers)
        return api.openapi_schema

    api.openapi = document  # type: ignore[method-assign]


def _document(api: FastAPI, routers: Sequence[APIRouter]) -> dict[str, Any]:
    document = get_openapi(
        title=api.title,
        version=api.version,
        openapi_version="3.1.0",
        summary=api.summary,
        description=api.description,
        routes=api.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"), Problem=problem)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for route in _routes(routers):
        scopes = _scopes(route.dependant)
        for method in route.methods or ():
            operation = document["paths"][route.path_format][method.lower()]
            _describe(operation, method, scopes)
    document["paths"].update(PUBLIC)
    return document


def _routes(routers: Sequence[APIRouter]) -> Iterator[APIRoute]:
    for router in routers:
        yield from (route for route in router.routes if isinstance(route, APIRoute) and route.include_in_schema)


def _scopes(dependant: Dependant) -> tuple[str, ...]:
    """The scopes any of which an operation demands, found among its dependencies."""
    for inner in dependant.dependencies:
        if isinstance(inner.call, Scope):
            return inner.call.scopes
        found = _scopes(inner)
        if found:
            return found
    return ()


def _describe(operation: dict[str, Any], method: str, scopes: tuple[str, ...]) -> None:
    # FastAPI makes ids such as list_links_v1_links_get, and generated clients name their methods after them.
    operation["operationId"] = operation["operationId"].partition("_v1_")[0]
    if scopes:
        operation["x-scopes"] = list(scopes)
        wanted = " or ".join(f"`{scope}`" for scope in scopes)
        operation["description"] = f"{operation.get('description', '')}\n\nScope: {wanted}.".strip()
    operation["responses"]["500"] = response_of(AppError)
    if method == "POST":
        operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
    for response in operation["responses"].values():
        response.setdefault("headers", {})["X-Request-Id"] = REQUEST_ID
    operation["responses"] = dict(sorted(operation["responses"].items()))


REQUEST_ID = {"description": "Name of this request in the log; yours, when you sent one.", "schema": {"type": "string"}}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "1 to 255 printable ASCII characters, bare or in double quotes. The same request under the same key is done once and answered the same "
    "for 24 hours, with `Idempotent-Replayed: true`. Another request under the key: 422. The first one still running: 409.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 257},
    "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
}

# ── The public doors ─────────────────────────────────────────────────────────────────────────────────────────────────

GIF = {
    "description": "A transparent 1×1 GIF, always, whatever was sent.",
    "content": {"image/gif": {"schema": {"type": "string", "format": "binary"}}},
}
TEXT = {"text/plain": {"schema": {"type": "string"}}}
HTML = {"text/html": {"schema": {"type": "string"}}}
JSON = {"application/json": {"schema": {"type": "object"}}}


def _query(name: str, description: str, *, required: bool = False, example: str | None = None) -> dict[str, Any]:
    parameter = {
        "name": name,
        "in": "query",
        "required": required,
        "description": description,
        "schema": {"type": "string"},
    }
    return parameter if example is None else {**parameter, "example": example}


PIXEL_FIELDS = [
    _query("k", "Publishable key of the shop.", required=True, example="pk_…"),
    _query("event", "`sale`, `lead`, `signup`, `install`, … or `land`.", example="sale"),
    _query("order_id", "The shop's id of the order.", example="1001"),
    _query("amount", "What was paid, a decimal as shop templates print it.", example="49.90"),
    _query("currency", "ISO 4217 code.", example="EUR"),
    _query("tax", "Part of the amount; subtracted."),
    _query("shipping", "Part of the amount; subtracted."),
    _query("code", "Promo code used at checkout.", example="LEA10"),
    _query("click_id", "The click id that the landing page was given.", example="clk_…"),
    _query("visitor_id", "The shop's first-party visitor id."),
    _query("customer", "The shop's id of the customer; kept as a keyed hash."),
]

SLUG = {
    "name": "slug",
    "in": "path",
    "required": True,
    "description": "In any case.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}


def _operation(tag: str, operation_id: str, summary: str, responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    named = {"tags": [tag], "operationId": operation_id, "summary": summary}
    return {**named, "responses": responses, "security": [], **more}


_beacon = partial(_operation, "public")
_health = partial(_operation, "health")


def _redirect(operation_id: str, summary: str) -> dict[str, Any]:
    location = {"Location": {"schema": {"type": "string", "format": "uri"}}}
    responses = {
        "302": {"description": "To the destination.", "headers": location},
        "404": {"description": "No such link on this host.", "content": HTML},
        "410": {"description": "The link has expired or was disabled.", "content": HTML},
        "503": {"description": "Not known here yet, and the database cannot be asked.", "content": HTML},
    }
    description = (
        "Records the click and redirects with a fresh click id in the brand's parameter (`ariane` by default). The incoming query is "
        "forwarded. With `Sec-GPC: 1` no click id is added."
    )
    named = {"tags": ["public"], "operationId": operation_id, "summary": summary}
    return {**named, "description": description, "parameters": [SLUG], "responses": responses, "security": []}


TOKEN = {
    "name": "token",
    "in": "path",
    "required": True,
    "description": "Token of the source.",
    "schema": {"type": "string"},
}


def _problem(description: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": description, "content": content}


HOOK_RESPONSES = {
    "200": {"description": "On the disk. It is recorded within a second.", "content": JSON},
    "401": _problem("The signature is missing or wrong; the message is kept for a replay."),
    "404": _problem("No such source."),
    "408": _problem("The body did not come in within 60 s; send it again."),
    "413": _problem("The body is too large."),
    "503": _problem("It could not be stored; send it again."),
}
QUERY_RESPONSES = {**HOOK_RESPONSES, "405": _problem("This source's messages come by POST.")}
BEACON_BODY = {
    "description": "The pixel's fields, as JSON or urlencoded; `text/plain` needs no preflight.",
    "content": {
        "text/plain": {"schema": {"type": "string"}},
        "application/x-www-form-urlencoded": {"schema": {"type": "object"}},
    },
}
ANY_BODY = {
    "description": "The message of the shop, signed over its raw bytes.",
    "content": {"application/json": {"schema": {}}},
}


NO_CONTENT = {"204": {"description": "Taken."}}
BEACON_RESPONSES = {**NO_CONTENT, **{status: HOOK_RESPONSES[status] for status in ("408", "413", "503")}}
OPTIONAL_FIELDS = [{**field, "required": False} for field in PIXEL_FIELDS]
SCRIPT = {"200": {"description": "JavaScript.", "content": {"text/javascript": {"schema": {"type": "string"}}}}}
ALIVE = {"200": {"description": "It does.", "content": JSON}}
READY = {
    "200": {"description": "Links are loaded and the spool is writable.", "content": JSON},
    "503": {"description": "Not yet, or stopping.", "content": JSON},
}
METRICS = {"200": {"description": "Text exposition format.", "content": TEXT}}

PUBLIC: dict[str, Any] = {
    "/{slug}": {
        "get": _redirect("follow_link", "Follow a short link"),
        "head": _redirect("probe_link", "The same without a body; recorded under its own class"),
    },
    "/p.gif": {"get": _beacon("pixel", "Report an event with an image", {"200": GIF}, parameters=PIXEL_FIELDS)},
    "/e": {
        "post": _beacon(
            "beacon",
            "Report an event from a script",
            BEACON_RESPONSES,
            requestBody=BEACON_BODY,
            parameters=OPTIONAL_FIELDS,
        ),
        "options": _beacon("beacon_preflight", "Cross-origin preflight: any origin may post", NO_CONTENT),
    },
    "/a.js": {"get": _beacon("script", "The script for the pages of a shop", SCRIPT)},
    "/in/{token}": {
        "get": _beacon(
            "receive_postback", "Receive a postback", dict(sorted(QUERY_RESPONSES.items())), parameters=[TOKEN]
        ),
        "post": _beacon(
            "receive_webhook", "Receive a webhook", HOOK_RESPONSES, parameters=[TOKEN], requestBody=ANY_BODY
        ),
    },
    "/healthz": {"get": _health("healthz", "Whether the process answers", ALIVE)},
    "/readyz": {"get": _health("readyz", "Whether it can take traffic", READY)},
    "/metrics": {"get": _health("metrics", "Prometheus metrics", METRICS)},
}
