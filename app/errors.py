"""The errors that a caller may see, in one tree.

    AppError                 code, status, message, retryable
    ├── Invalid        422   the request is understood and wrong; `fields` names every field at fault
    │   └── Malformed  400   the request cannot be read at all (broken JSON, duplicate keys, bad cursor)
    ├── Unauthorized   401   no key, an unknown key, a wrong signature
    ├── Forbidden      403   the key is known and its scopes do not allow this
    ├── NotFound       404   no such row for this brand; a row of another brand looks the same
    ├── MethodRefused  405   the path exists, the method is not offered there
    ├── Conflict       409   the row exists already, or its state does not allow this
    ├── TooSlow        408   the sender stopped in the middle; its connection is closed
    ├── TooLarge       413   a body, page or batch over its named limit
    ├── TooMany        429   slow down; `retry_after_s` says for how long
    └── Unavailable    503   our fault and passing; the same request later will do

`code` is a stable machine word. Programmer errors are not in this tree: they crash, are logged, and the caller sees 500 `internal`.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Self

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
    retryable = False

    def __init__(self, message: str, *, code: str | None = None, fields: tuple[FieldError, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields
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


class Invalid(AppError):
    """The request is understood and wrong."""

    status = 422
    code = "invalid"


class Malformed(Invalid):
    """The request cannot be read at all."""

    status = 400
    code = "malformed"


class Unauthorized(AppError):
    """No key, an unknown key or a wrong signature."""

    status = 401
    code = "unauthorized"


class Forbidden(AppError):
    """The key is known, but its scopes do not allow this."""

    status = 403
    code = "forbidden"


class NotFound(AppError):
    """No such row for this brand."""

    status = 404
    code = "not_found"


class MethodRefused(AppError):
    """The path exists, the method is not offered there."""

    status = 405
    code = "method_not_allowed"


class Conflict(AppError):
    """The row exists already, or its state does not allow this."""

    status = 409
    code = "conflict"


class TooSlow(AppError):
    """The sender stopped in the middle."""

    status = 408
    code = "body_too_slow"
    retryable = True


class TooLarge(AppError):
    """A body, page or batch over its named limit."""

    status = 413
    code = "too_large"


class TooMany(AppError):
    """The caller must slow down."""

    status = 429
    code = "too_many_requests"
    retryable = True

    def __init__(self, message: str, *, retry_after_s: int, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class Unavailable(AppError):
    """Our fault and passing."""

    status = 503
    code = "unavailable"
    retryable = True


def title(status: int) -> str:
    """The phrase of a status on every Python: 404 → Not Found. `Error` for a status without one."""
    try:
        return RENAMED.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return "Error"
