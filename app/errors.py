"""The errors that a caller may see, in one tree. Programmer errors are not in it: they crash, are logged, and the caller sees 500 `internal`.

The first line of a class's docstring is its description in the OpenAPI document.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Self

RETRY_AFTER_S = 1
"""Seconds that a caller is asked to wait when the fault is ours and passing."""
FAULTS_SHOWN_MAX = 100
"""Faults that one answer names; of the others it says how many there are."""
FAULTS_BYTES_MAX = 48 << 10
"""Bytes of an answer that its faults may fill, so that no answer to a wrong request is larger than 64 kB."""
FAULT_CHARACTERS_MAX = 300
"""Longest name of a field and longest reason that an answer repeats, in characters."""
TEXT_CHARACTERS_MAX = 1_000
"""Longest `detail` and `instance` of an answer, in characters."""
RENAMED = {413: "Content Too Large", 422: "Unprocessable Content"}
"""By RFC 9110; Python has the older names before 3.13."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field at fault.

    field: its path (`customer.email`, `links.3.slug`) or the name of a query parameter.
    reason: what is wrong and what would be right, in one sentence. code: a stable machine word.
    """

    field: str
    reason: str
    code: str


class AppError(Exception):
    """Base of everything that may be shown to a caller."""

    status = 500
    code = "internal"
    """A stable machine word."""
    retryable = False

    def __init_subclass__(
        cls, *, status: int | None = None, code: str | None = None, retryable: bool | None = None
    ) -> None:
        cls.status = cls.status if status is None else status
        cls.code = cls.code if code is None else code
        cls.retryable = cls.retryable if retryable is None else retryable

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        fields: tuple[FieldError, ...] = (),
        retry_after_s: int = RETRY_AFTER_S,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields
        self.retry_after_s = retry_after_s
        if code is not None:
            self.code = code

    @classmethod
    def field(cls, field: str, reason: str, *, code: str | None = None) -> Self:
        """An error about exactly one field."""
        return cls.at(FieldError(field, reason, code or cls.code))

    @classmethod
    def at(cls, *fields: FieldError, code: str | None = None, shown_max: int | None = None) -> Self:
        """An error about these fields, whose message names the first `shown_max`; `code` is by default that of the first field."""
        message = "; ".join(f"{each.field}: {each.reason}" for each in fields[:shown_max])
        return cls(message, code=code or fields[0].code, fields=fields)

    def problem(
        self, path: str, request_id: str, errors: Sequence[Mapping[str, str]], left_out: int = 0
    ) -> dict[str, object]:
        """RFC 9457 problem details, as the answer to a request for `path`. errors: the fields at fault, of which those that fit into an answer are
        shown. left_out: how many more there are than these."""
        shown = _fitting(errors)
        return {
            "type": f"urn:ariane:problem:{self.code}",
            "title": title(self.status),
            "status": self.status,
            "detail": _cut(self.message, TEXT_CHARACTERS_MAX),
            "instance": _cut(path, TEXT_CHARACTERS_MAX),
            "code": self.code,
            "request_id": request_id,
            "retryable": self.retryable,
            "errors": shown,
            "errors_left_out": len(errors) - len(shown) + left_out,
        }


def _fitting(errors: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    shown: list[dict[str, str]] = []
    left_bytes = FAULTS_BYTES_MAX
    for error in errors[:FAULTS_SHOWN_MAX]:
        short = {name: _cut(text, FAULT_CHARACTERS_MAX) for name, text in error.items()}
        left_bytes -= len(json.dumps(short, ensure_ascii=False).encode("utf-8", "replace"))
        if left_bytes < 0:
            break
        shown.append(short)
    return shown


def _cut(text: str, characters_max: int) -> str:
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"


class Invalid(AppError, status=422, code="invalid"):
    """The request is understood and wrong."""


class Malformed(Invalid, status=400, code="malformed"):
    """The request cannot be read at all."""


class Unauthorized(AppError, status=401, code="unauthorized"):
    """No key, an unknown key or a wrong signature."""


class Forbidden(AppError, status=403, code="forbidden"):
    """The key is known, but its scopes do not allow this."""


class MissingScope(Forbidden, code="missing_scope"):
    """The key is known, but its scopes do not allow this."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this key has no scope `{scope}`")
        self.scope = scope


class NotFound(AppError, status=404, code="not_found"):
    """No such row for this brand."""


class MethodRefused(AppError, status=405, code="method_not_allowed"):
    """The path exists, the method is not offered there."""


class Gone(AppError, status=410, code="gone"):
    """It was here, and is no longer."""


class TooSlow(AppError, status=408, code="body_too_slow", retryable=True):
    """The sender stopped in the middle."""


class Conflict(AppError, status=409, code="conflict"):
    """The row exists already, or its state does not allow this."""


class TooLarge(AppError, status=413, code="too_large"):
    """A body, page or batch over its named limit."""


class UnsupportedType(AppError, status=415, code="unsupported_media_type"):
    """The body is in a format that is not read here."""


class TooMany(AppError, status=429, code="too_many_requests", retryable=True):
    """The caller must slow down."""


class Unavailable(AppError, status=503, code="unavailable", retryable=True):
    """Our fault and passing."""


def title(status: int) -> str:
    """The phrase of a status on every Python: 404 → Not Found. `Error` for a status without one."""
    try:
        return RENAMED.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return "Error"
