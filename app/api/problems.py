"""Every error of the API as an RFC 9457 problem, Starlette's own and pydantic's included; all fields at fault in one answer."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.api.validation_messages import KINDS, Said, either, inside, say
from app.database.errors import UNREACHABLE, is_passing
from app.errors import (
    AppError,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    Malformed,
    MethodRefused,
    NotFound,
    TooLarge,
    TooMany,
    TooSlow,
    Unauthorized,
    Unavailable,
    title,
)

MEDIA_TYPE = "application/problem+json"
HEADERS = frozenset({"Idempotency-Key"})
"""Headers that an error may name as its field."""
RETRY_AFTER_S = 1
"""How long a caller is asked to wait when the fault is ours and passing."""


class UnsupportedType(AppError):
    """The body is in a format that is not read here."""

    status = 415
    code = "unsupported_media_type"


class MissingScope(Forbidden):
    """The key is known, but its scopes do not allow this."""

    code = "missing_scope"

    def __init__(self, scope: str) -> None:
        super().__init__(f"this key has no scope `{scope}`")
        self.scope = scope


# ── What a problem looks like ────────────────────────────────────────────────────────────────────────────────────────


class FieldProblem(BaseModel):
    """One field at fault."""

    field: str = Field(description="Path of the field, `customer.email` or `links.3.slug`, or a parameter's name.")
    pointer: str | None = Field(default=None, description="RFC 6901 pointer into the request body.")
    parameter: str | None = Field(default=None, description="Name of the path, query or header parameter.")
    detail: str = Field(description="What is wrong and what would be right.")
    code: str = Field(description="Stable machine word.")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(description="`urn:ariane:problem:` and the code.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="Path of the request.")
    code: str = Field(description="Stable machine word.")
    request_id: str
    retryable: bool = Field(description="True: the same request may succeed later, unchanged.")
    errors: list[FieldProblem] = Field(description="Every field at fault; empty when no single field is.")


def responses(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses=` of an operation that may raise these."""
    return {error.status: response_of(error) for error in errors}


def response_of(error: type[AppError]) -> dict[str, Any]:
    """The OpenAPI response of one error class, with an example."""
    example = {
        "type": f"urn:ariane:problem:{error.code}",
        "title": title(error.status),
        "status": error.status,
        "detail": (error.__doc__ or "").splitlines()[0],
        "instance": "/v1/…",
        "code": error.code,
        "request_id": "req_01kb2v0q4n8t6s3d5f7h9j1m2p",
        "retryable": error.retryable,
        "errors": [],
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": (error.__doc__ or "").splitlines()[0],
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }


# Any operation that needs a key may answer with these.
COMMON = responses(Malformed, Unauthorized, Forbidden, Invalid, Unavailable)
WITH_BODY = responses(TooSlow, TooLarge, UnsupportedType)


def render(
    request: Request,
    error: AppError,
    *,
    fields: Sequence[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer that tells `error` to the caller."""
    found = [_in_body_or_query(request, field) for field in error.fields] if fields is None else list(fields)
    problem = {
        "type": f"urn:ariane:problem:{error.code}",
        "title": title(error.status),
        "status": error.status,
        "detail": error.message,
        "instance": request.url.path,
        "code": error.code,
        "request_id": request.scope.get("state", {}).get("request_id", ""),
        "retryable": error.retryable,
        "errors": [field.model_dump(exclude_none=True) for field in found],
    }
    extra = dict(headers or {})
    if isinstance(error, TooMany):
        extra["Retry-After"] = str(error.retry_after_s)
    elif error.retryable:
        extra.setdefault("Retry-After", str(RETRY_AFTER_S))
    if isinstance(error, Unauthorized):
        extra["WWW-Authenticate"] = 'Bearer realm="ariane"'
    elif isinstance(error, MissingScope):
        extra["WWW-Authenticate"] = f'Bearer realm="ariane", error="insufficient_scope", scope="{error.scope}"'
    if isinstance(error, TooSlow):
        # What is still to come of the body would be read as the next request.
        extra["Connection"] = "close"
    body = json.dumps(problem, ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, status_code=error.status, headers=extra, media_type=MEDIA_TYPE)


def _in_body_or_query(request: Request, error: FieldError) -> FieldProblem:
    outside_body = error.field in request.query_params or error.field in request.path_params or error.field in HEADERS
    if outside_body or request.method in {"GET", "DELETE"}:
        return FieldProblem(field=error.field, parameter=error.field, detail=error.reason, code=error.code)
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return FieldProblem(field=error.field, detail=error.reason, code=error.code)
    return FieldProblem(
        field=error.field, pointer=_pointer(error.field.split(".")), detail=error.reason, code=error.code
    )


def _pointer(path: Sequence[str]) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path if part != "")


# ── What pydantic found ──────────────────────────────────────────────────────────────────────────────────────────────


def field_problems(error: RequestValidationError, known: frozenset[str] = frozenset()) -> list[FieldProblem]:
    """Everything pydantic objected to, once per field and reason. Of a value that may be of several kinds it objects once for each kind: told
    is what is wrong with it as the kind that it is of, or, where it is of none, all of them in one sentence."""
    found: dict[tuple[str, str], FieldProblem] = {}
    strange: dict[str, FieldProblem] = {}
    for item in error.errors():
        said = say(item, in_body=item["loc"][0] == "body", known=known)
        problem = _field_problem(item, said, error.body)
        before = strange.get(problem.field) if item["type"] in KINDS else None
        if before is not None:
            before.code, before.detail = either((before.code, before.detail), said)
            continue
        if item["type"] in KINDS:
            strange[problem.field] = problem
        found.setdefault((problem.field, problem.detail), problem)
    right = {problem.field for problem in found.values() if strange.get(problem.field) is not problem}
    return [
        problem for problem in found.values() if problem.field not in right or strange.get(problem.field) is not problem
    ]


def _field_problem(item: Mapping[str, Any], said: Said, body: object) -> FieldProblem:
    place, *path = (str(part) for part in item["loc"])
    code, reason = said
    if place != "body":
        # Behind the name of a parameter that is a list stands the number of the value at fault.
        name = next((part for part in reversed(path) if not part.isdigit()), place)
        return FieldProblem(field=name, parameter=name, detail=reason, code=code)
    steps = [*_steps(path, body), *inside(item)]
    return FieldProblem(field=".".join(steps), pointer=_pointer(steps), detail=reason, code=code)


def _steps(path: Sequence[str], body: object) -> list[str]:
    """The path as the caller sees it: without the names of union members and validators that pydantic puts between the fields."""
    steps: list[str] = []
    here = body
    for index, part in enumerate(path):
        if isinstance(here, dict):
            if part not in here and index < len(path) - 1:
                continue
            here = here.get(part)
        elif isinstance(here, list):
            if not part.isdigit():
                continue
            here = here[int(part)] if int(part) < len(here) else None
        elif index > 0:
            continue
        steps.append(part)
    return steps


# ── Ours and passing, or a race that a unique key decided ────────────────────────────────────────────────────────────


def translate(error: Exception) -> AppError | None:
    """What a caller is told about a failure of the database; None when it is a fault of this program."""
    if isinstance(error, (*UNREACHABLE, PoolTimeoutError)):
        return Unavailable("the database cannot be reached at the moment", code="database_unavailable")
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, asyncpg.PostgresError):
        cause = cause.__cause__ or getattr(cause, "orig", None)
    if cause is None:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return Unavailable("the database cannot be reached at the moment", code="database_unavailable")
        return None
    if is_passing(cause):
        return Unavailable("the database is busy or restarting", code="database_unavailable")
    if isinstance(cause, asyncpg.UniqueViolationError):
        return _taken(str(cause.constraint_name or ""))
    if isinstance(cause, asyncpg.ForeignKeyViolationError):
        return Conflict("a row that this one refers to has just gone", code="reference_gone")
    return None


def _taken(constraint: str) -> Conflict:
    """A unique key that another request took in the meantime; constraints are named after table and columns."""
    field = constraint.partition("_brand_id_")[2]
    if not field:
        return Conflict("this row exists already")
    return Conflict.field(field, f"another row of this brand has this {field}", code=f"{field}_taken")


# ── The handlers ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def _field_problems(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    return render(request, error)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return render_validation(request, error)


def render_validation(request: Request, error: RequestValidationError) -> Response:
    """The 422 that names every field at fault."""
    fields = field_problems(error, _shown_fields(request))
    count = "one field is" if len(fields) == 1 else f"{len(fields)} fields are"
    said = "; ".join(f"{field.field or 'body'}: {field.detail}" for field in fields[:3])
    return render(request, Invalid(f"{count} at fault: {said}{' …' if len(fields) > 3 else ''}"), fields=fields)


def _shown_fields(request: Request) -> frozenset[str]:
    """The fields of what a PATCH answers: one that it cannot change is not unknown for that."""
    shown = getattr(request.scope.get("route"), "response_model", None)
    if request.method != "PATCH" or not isinstance(shown, type) or not issubclass(shown, BaseModel):
        return frozenset()
    return frozenset(shown.model_fields)


async def _starlette(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {400: Malformed, 401: Unauthorized, 403: Forbidden, 404: NotFound, 413: TooLarge, 415: UnsupportedType}
    if error.status_code == 404:
        told: AppError = NotFound(f"nothing answers at {request.url.path}", code="no_such_path")
    elif error.status_code == 405:
        told = MethodRefused(f"{request.method} is not offered here")
    elif error.status_code in known:
        told = known[error.status_code](str(error.detail))
    else:
        told = AppError(str(error.detail), code="internal" if error.status_code >= 500 else "malformed")
        told.status = error.status_code
    return render(request, told, headers=error.headers)


def add_handlers(api: FastAPI) -> None:
    """Makes every error of `api` a problem. What is no AppError is caught further out, by the envelope (app/api/middleware.py)."""
    api.add_exception_handler(AppError, _field_problems)
    api.add_exception_handler(RequestValidationError, _refused)
    api.add_exception_handler(HTTPException, _starlette)
