"""Every error of the API as an RFC 9457 problem, Starlette's own and pydantic's included; all fields at fault in one answer."""

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from app.database.errors import UNREACHABLE, is_passing
from app.domain.ids import PREFIXES
from app.domain.likeness import hint
from app.errors import (
    FAULTS_SHOWN_MAX,
    AppError,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    Malformed,
    MethodRefused,
    MissingScope,
    NotFound,
    TooLarge,
    TooSlow,
    Unauthorized,
    Unavailable,
    UnsupportedType,
)

MEDIA_TYPE = "application/problem+json"
HEADERS = frozenset({"Idempotency-Key"})
"""Headers that an error may name as its field."""

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
    errors: list[FieldProblem] = Field(
        description=f"The fields at fault, the first {FAULTS_SHOWN_MAX} of them; empty when no single field is."
    )
    errors_left_out: int = Field(default=0, description="How many more there are.")


def responses(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses=` of an operation that may raise these."""
    return {error.status: response_of(error) for error in errors}


def response_of(error: type[AppError]) -> dict[str, Any]:
    """The OpenAPI response of one error class, with an example."""
    summary = (error.__doc__ or "").splitlines()[0]
    example = error(summary).problem("/v1/…", "req_01kb2v0q4n8t6s3d5f7h9j1m2p", [])
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": summary, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}


# Any operation that needs a key may answer with these.
COMMON = responses(Malformed, Unauthorized, Forbidden, Invalid, Unavailable)
WITH_BODY = responses(TooSlow, TooLarge, UnsupportedType)


def render(
    request: Request,
    error: AppError,
    *,
    fields: Sequence[FieldProblem] | None = None,
    left_out: int = 0,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer that tells `error` to the caller. fields: in place of the error's own. left_out: how many more there are than these."""
    if fields is None:
        left_out = max(0, len(error.fields) - FAULTS_SHOWN_MAX)
        fields = [_in_body_or_query(request, field) for field in error.fields[:FAULTS_SHOWN_MAX]]
    request_id = request.scope.get("state", {}).get("request_id", "")
    shown = [field.model_dump(exclude_none=True) for field in fields]
    problem = error.problem(request.url.path, request_id, shown, left_out)
    extra = dict(headers or {})
    if error.retryable:
        extra.setdefault("Retry-After", str(error.retry_after_s))
    if isinstance(error, Unauthorized):
        extra["WWW-Authenticate"] = 'Bearer realm="ariane"'
    elif isinstance(error, MissingScope):
        extra["WWW-Authenticate"] = f'Bearer realm="ariane", error="insufficient_scope", scope="{error.scope}"'
    if isinstance(error, TooSlow):
        # The rest of the body would be read as the next request.
        extra["Connection"] = "close"
    body = json.dumps(problem, ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, status_code=error.status, headers=extra, media_type=MEDIA_TYPE)


def _in_body_or_query(request: Request, error: FieldError) -> FieldProblem:
    outside_body = error.field in request.query_params or error.field in request.path_params or error.field in HEADERS
    problem = FieldProblem(field=error.field, detail=error.reason, code=error.code)
    if outside_body or request.method in {"GET", "DELETE"}:
        problem.parameter = error.field
    elif request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        problem.pointer = _pointer(error.field.split("."))
    return problem


def _pointer(path: Sequence[str]) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path if part != "")


# ── All faults of one request in one answer ──────────────────────────────────────────────────────────────────────────

EXTERNAL = "ext_"
"""Prefix of an id of the caller's own making."""


def no_such(kind: str, shown: str) -> str:
    """Why nothing was found: `no campaign 'serum'`, and for what looks like no id of the kind at all, how its ids are written."""
    reason = f"no {kind} {shown[:80]!r}"
    if kind not in PREFIXES or shown.startswith((f"{PREFIXES[kind]}_", EXTERNAL)):
        return reason
    return f"{reason}: ids begin with {PREFIXES[kind]}_, your own with {EXTERNAL}"


Model = TypeVar("Model", bound=BaseModel)

REST_ATTEMPTS = 4
"""How often a row is read again without what was at fault: faults of the whole row come up only when none of its fields has one."""


class FieldErrors:
    """Everything wrong with a request, gathered before it is refused. In a batch a field is named with its row: `links.3.slug`.

    rows: the places in the batch of the bodies that are counted here, where not all of them could be read.
    """

    def __init__(self, batch: str | None = None, rows: Sequence[int] | None = None) -> None:
        self._batch = batch
        self._rows = rows
        self._found: list[tuple[int, FieldError]] = []
        self._closed: set[tuple[int, str]] = set()
        self._name: Callable[[str], str] = str
        self._kinds: set[type[Invalid | Conflict | NotFound]] = set()

    def of(self, rows: Sequence[int], name: Callable[[str], str]) -> "FieldErrors":
        """What is noted there is noted here, about these places in the batch. name: of a field, for whoever sent it."""
        part = FieldErrors(self._batch, rows)
        part._found, part._kinds, part._closed, part._name = self._found, self._kinds, self._closed, name
        return part

    def failed(self, at: int, error: AppError, name: Callable[[str], str]) -> None:
        """An error about the body at this place. name: of a field, for whoever sent it."""
        kind = next((each for each in (Conflict, NotFound) if isinstance(error, each)), Invalid)
        for each in error.fields or (FieldError("", error.message, error.code),):
            self._note(kind, at, name(each.field), each.code, each.reason)

    def unreadable(self, row: "UnreadableRow", at: int, name: Callable[[str], str] = str) -> None:
        """Everything that pydantic has against a row, which stands at this place in the batch. Nothing more is noted of these fields.

        name: of a field, for whoever sent it.
        """
        if len(self._found) >= DESCRIBED_MAX:
            # Counted, and in no answer: to put them into words would take a second for a batch that is wrong all over.
            self._kinds.add(Invalid)
            self._found += [(at, FieldError(f"{self._batch}.{at}", "is at fault", "invalid"))] * row.first.error_count()
            return
        errors = [{**each, "loc": ("body", *each["loc"])} for each in row.errors()[:DESCRIBED_MAX]]
        problems = field_problems(errors, row.sent)
        for problem in problems:
            self._note(Invalid, at, name(problem.field), problem.code, problem.detail)
        self._closed |= {(at, name(problem.field).partition(".")[0]) for problem in problems}

    def invalid(self, index: int, field: str, code: str, reason: str) -> None:
        """This value can never be right."""
        self._add(Invalid, index, field, code, reason)

    def conflict(self, index: int, field: str, code: str, reason: str) -> None:
        """This value is right, but another row stands in its way."""
        self._add(Conflict, index, field, code, reason)

    def missing(self, index: int, field: str, kind: str, shown: str) -> None:
        """This field refers to a row that the brand does not have."""
        self._add(NotFound, index, field, f"{kind}_not_found", no_such(kind, shown))

    def _add(self, kind: type[Invalid | Conflict | NotFound], index: int, field: str, code: str, reason: str) -> None:
        self._note(kind, index if self._rows is None else self._rows[index], self._name(field), code, reason)

    def _note(self, kind: type[Invalid | Conflict | NotFound], at: int, field: str, code: str, reason: str) -> None:
        if (at, field.partition(".")[0]) in self._closed:
            return
        self._kinds.add(kind)
        name = field if self._batch is None else f"{self._batch}.{at}.{field}".removesuffix(".")
        self._found.append((at, FieldError(name, reason, code)))

    def refuse(self) -> None:
        """Raises, if anything was found, in the order of the rows: 404 or 409 when all of it is of that kind, else 422. A batch is never 404: it exists."""
        if not self._found:
            return
        found = [error for _, error in sorted(self._found, key=itemgetter(0))]
        kind: type[Invalid | Conflict | NotFound] = Invalid
        if self._kinds == {Conflict} or (self._kinds == {NotFound} and self._batch is None):
            kind = self._kinds.pop()
        code = found[0].code if len(found) == 1 else None
        reasons = "; ".join(f"{error.field}: {error.reason}" for error in found[:3])
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise kind(reasons + more, code=code, fields=tuple(found))


@dataclass(slots=True)
class UnreadableRow:
    """Stands in a batch for a row that could not be read, so that the others are looked at all the same. first: what pydantic has against it; more: what
    it has against the rest.
    """

    first: ValidationError
    sent: Any
    more: list[Any] = dataclass_field(default_factory=list)

    def errors(self) -> list[Any]:
        """Everything that is wrong with it, as far as it is known."""
        return [*self.first.errors(include_url=False), *self.more]

    def read_rest(self, model: type[Model], stand_ins: Mapping[str, Any]) -> Model | None:
        """The row without the fields at fault, so that the others are looked at as well; adds to `more` what this brings up. None where nothing is left.

        stand_ins: values in place of fields without which there is no such row. What is found about them is not noted (`FieldErrors.unreadable`).
        """
        if not isinstance(self.sent, dict):
            return None
        rest, errors, dropped = dict(self.sent), self.errors(), set[str]()
        for _ in range(REST_ATTEMPTS):
            for error in errors:
                field = str((error["loc"] or (error.get("ctx", {}).get("field", ""),))[0]).partition(".")[0]
                rest.pop(field, None)
                if field in dropped and field in stand_ins:
                    rest[field] = stand_ins[field]
                dropped.add(field)
            try:
                return model.model_validate(rest)
            except ValidationError as error:
                errors = error.errors(include_url=False)
                self.more = [
                    *self.more,
                    *(each for each in errors if each["type"] != "missing" or each["loc"][0] not in dropped),
                ]
        return None


def as_sent(row: Any, _: Callable[[Any], Any]) -> Any:
    """A row of a batch as it was sent, for pydantic's WrapValidator: whoever takes the batch reads it, so that one row hides nothing of the others."""
    return row


# ── pydantic's errors in the words of JSON ───────────────────────────────────────────────────────────────────────────

SHOWN_MAX = 40
"""Longest text that an answer repeats, in characters."""

Fault = tuple[str, str]
"""A stable machine word, and a sentence that says what is wrong."""

DESCRIBED_MAX = 3 * FAULTS_SHOWN_MAX
"""Errors of pydantic that are put into words: some become one, and no answer shows more. The others are counted."""
NO_PARAMETER = "is not a parameter of this request"
OBJECTS = ("dict_type", "model_type", "model_attributes_type")
_words = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
KINDS: dict[str, str] = _words["kinds"]
SENTENCES: dict[str, str] = _words["sentences"]


@dataclass(frozen=True, slots=True)
class UnknownField:
    """Stands in place of the value of a field that there is not, with the names of those that there are."""

    names: tuple[str, ...]


def describe(item: Mapping[str, Any], *, in_body: bool, fixed: frozenset[str] = frozenset()) -> Fault:
    """Code and sentence for one of pydantic's errors. fixed: fields that the resource has, though this request cannot change them."""
    kind, sent, context = item["type"], item.get("input"), item.get("ctx") or {}
    if kind in ("missing", "union_tag_not_found"):
        return "required", "is required"
    if kind == "extra_forbidden":
        if not in_body:
            return "unknown_field", NO_PARAMETER
        _, *path = item["loc"]
        if len(path) == 1 and path[0] in fixed:
            return "fixed", "cannot be changed"
        may_be = hint(path[-1], sent.names) if isinstance(sent, UnknownField) else ""
        return "unknown_field", f"is not a field of this request{may_be}"
    if kind in KINDS:
        # A text is not repeated here: it may be a secret in place of a list of secrets.
        given = "a text" if isinstance(sent, str) else _shown(sent)
        return "object_expected" if kind in OBJECTS else kind, f"should be {KINDS[kind]}, not {given}"
    if kind in ("literal_error", "enum"):
        choice = context["expected"]
        return kind, f"should be {'one of ' if ' or ' in choice else ''}{choice}, not {_shown(sent)}"
    if kind.startswith("datetime_"):
        return "invalid", "is no time such as 2026-11-22T09:30:00Z"
    if kind.startswith("date_"):
        return "invalid", "is no day such as 2026-11-22"
    if context.get("min_length") == 1:
        return kind, "must not be empty"
    if kind in SENTENCES:
        whole = {name: int(bound) for name, bound in context.items() if isinstance(bound, float) and bound.is_integer()}
        return kind, SENTENCES[kind].format_map({**context, **whole})
    if kind == "union_tag_invalid":
        named = sent.get(inside(item)[0]) if isinstance(sent, dict) else sent
        *others, last = str(context["expected_tags"]).split(", ")
        return "unknown_type", f"should be one of {', '.join(others)} or {last}, not {_shown(named)}"
    reason = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return "invalid" if kind == "value_error" else kind, reason


def inside(item: Mapping[str, Any]) -> list[str]:
    """Path of the fault inside the value that pydantic names: the field that tells kinds of objects apart, or the one that an error of ours names."""
    context = item.get("ctx") or {}
    if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return [str(context["discriminator"]).strip("'")]
    field = context.get("field")
    return field.split(".") if isinstance(field, str) else []


def either(first: Fault, second: Fault) -> Fault:
    """One fault out of two about a value that may be of several kinds and is of none."""
    if first == second:
        return first
    expected, _, sent = first[1].partition(", not ")
    other = second[1].partition(", not ")[0].removeprefix("should be ")
    if (first[0], second[0]) == ("int_type", "float_type"):
        return second
    return first[0], f"{expected} or {other}, not {sent}"


def _shown(value: object) -> str:
    """The value that was sent, when it is short; else its kind."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return repr(value) if len(value) <= SHOWN_MAX and value.isprintable() else "a text"
    text = json.dumps(value, default=lambda _: "that")
    return text if len(text) <= SHOWN_MAX else "that"


def field_problems(
    faults: Sequence[Mapping[str, Any]], body: object, fixed: frozenset[str] = frozenset()
) -> list[FieldProblem]:
    """These errors of pydantic, once per field and reason. body: what was sent.

    For a value that may be of several kinds pydantic objects once for each kind. The answer says what is wrong with it as the kind that it
    is of; where it is of none, one sentence names all kinds.
    """
    found: dict[tuple[str, str], FieldProblem] = {}
    wrong_kind: dict[str, FieldProblem] = {}
    for item in faults:
        fault = describe(item, in_body=item["loc"][0] == "body", fixed=fixed)
        problem = _field_problem(item, fault, body)
        before = wrong_kind.get(problem.field) if item["type"] in KINDS else None
        if before is not None:
            before.code, before.detail = either((before.code, before.detail), fault)
            continue
        if item["type"] in KINDS:
            wrong_kind[problem.field] = problem
        found.setdefault((problem.field, problem.detail), problem)
    right_kind = {problem.field for problem in found.values() if wrong_kind.get(problem.field) is not problem}
    return [
        problem
        for problem in found.values()
        if problem.field not in right_kind or wrong_kind.get(problem.field) is not problem
    ]


def _field_problem(item: Mapping[str, Any], fault: Fault, body: object) -> FieldProblem:
    place, *path = (str(part) for part in item["loc"])
    code, reason = fault
    if place != "body":
        # For a parameter that is a list, pydantic appends the number of the value at fault.
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


# ── Errors of the database ───────────────────────────────────────────────────────────────────────────────────────────


def translate(error: Exception) -> AppError | None:
    """The error to answer after a failure of the database; None when the fault is this program's."""
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
    """The error for a unique key that another request took in the meantime. Constraints are named after table and columns."""
    field = constraint.partition("_brand_id_")[2]
    if not field:
        return Conflict("this row exists already")
    return Conflict.field(field, f"another row of this brand has this {field}", code=f"{field}_taken")


# ── The handlers ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def _answer(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        return _render_validation(request, error)
    if isinstance(error, HTTPException):
        if error.status_code != MethodRefused.status:
            return render(request, _framework_error(request, error), headers=error.headers)
        allow = {"Allow": ", ".join(_methods_at(request))}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=allow)
        return render(request, _framework_error(request, error), headers=allow)
    assert isinstance(error, AppError)
    return render(request, error)


def _methods_at(request: Request) -> list[str]:
    """The methods of every route at a request's path: Starlette names those of the first alone."""
    found = {"OPTIONS"}
    for route in request.app.state.every_route:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


def _render_validation(request: Request, error: RequestValidationError) -> Response:
    """The 422 that names every field at fault."""
    shown = getattr(request.scope.get("route"), "response_model", None)
    fixed: frozenset[str] = frozenset()
    # A field that a PATCH answers with and cannot change is answered as fixed, not as unknown.
    if request.method == "PATCH" and isinstance(shown, type) and issubclass(shown, BaseModel):
        fixed = frozenset(shown.model_fields)
    faults = error.errors()
    left_out = max(0, len(faults) - DESCRIBED_MAX)
    fields = field_problems(faults[:DESCRIBED_MAX], error.body, fixed)
    total = len(fields) + left_out
    count = "one field is" if total == 1 else f"{total} fields are"
    reasons = "; ".join(f"{field.field or 'body'}: {field.detail}" for field in fields[:3])
    message = f"{count} at fault: {reasons}{' …' if total > 3 else ''}"
    return render(request, Invalid(message), fields=fields, left_out=left_out)


def _framework_error(request: Request, error: HTTPException) -> AppError:
    """The error of ours for one that Starlette or FastAPI raises."""
    if error.status_code == 404:
        return NotFound(f"nothing answers at {request.url.path}", code="no_such_path")
    if error.status_code == 405:
        return MethodRefused(f"{request.method} is not offered here")
    for kind in (Malformed, Unauthorized, Forbidden, TooLarge, UnsupportedType):
        if kind.status == error.status_code:
            return kind(str(error.detail))
    problem = AppError(str(error.detail), code="internal" if error.status_code >= 500 else "malformed")
    problem.status = error.status_code
    return problem


def add_handlers(api: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Make every error of `api` a problem, except what nobody caught: RequestMiddleware (app/api/http.py) does that.

    routes: all there are. FastAPI keeps those of a router to itself.
    """
    api.state.every_route = routes
    for kind in (AppError, RequestValidationError, HTTPException):
        api.add_exception_handler(kind, _answer)
