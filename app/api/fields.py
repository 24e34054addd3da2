"""Types of fields that several resources share. Each refuses values that could be read in two ways."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    Strict,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from app.api.problems import UnknownField
from app.domain.money import AMOUNT_MINOR_MAX
from app.domain.order_fields import UNKNOWN_MAX
from app.errors import Invalid

METADATA_KEYS_MAX = 50
METADATA_BYTES_MAX = 10_000
YEARS = (1990, 2200)
"""First accepted year, and the year after the last; others come from mistakes (a time in milliseconds, an empty date)."""


class Given(BaseModel):
    """Base of request bodies: refuses unknown fields, so that a misspelt one is never silently lost, and says which one may be meant."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _note_unknown(cls, sent: Any) -> Any:
        if not isinstance(sent, dict):
            return sent
        names = names_of(cls)
        unknown = [name for name in sent if name not in names]
        if not unknown:
            return sent
        known = {name: value for name, value in sent.items() if name in names}
        return known | dict.fromkeys(unknown[:UNKNOWN_MAX], UnknownField(tuple(names)))


@cache
def names_of(model: type[BaseModel]) -> Mapping[str, None]:
    """The names under which a body may give the fields of a model, in their order."""
    names: dict[str, None] = {}
    for name, field in model.model_fields.items():
        alias = field.validation_alias or field.alias or name
        each = alias.choices if isinstance(alias, AliasChoices) else [alias]
        names |= dict.fromkeys(choice for choice in each if isinstance(choice, str))
    return names


def absent() -> Any:
    """Default of a field of a PATCH that may be left out but not be null; `model_fields_set` tells whether it was sent."""
    return Field(default_factory=lambda: None)


def blame(field: str, code: str, reason: str) -> PydanticCustomError:
    """An error about one field of a model, to be raised in a model validator."""
    return PydanticCustomError(code, "{reason}", {"reason": reason, "field": field})


def changes(body: BaseModel, old: Callable[[str], Any]) -> dict[str, Any]:
    """The fields that a PATCH sent, objects merged into the old ones by RFC 7396: null clears, what is not named stays."""
    sent = body.model_dump(exclude_unset=True)
    merged = {name: merge(old(name), value) if isinstance(value, dict) else value for name, value in sent.items()}
    if merged.get("metadata") is not None:
        try:
            _metadata(merged["metadata"])
        except ValueError as error:
            raise Invalid.field("metadata", str(error)) from None
    return merged


def merge(old: Any, patch: Any) -> Any:
    """RFC 7396 merge patch of two JSON values."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


# ── Text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def one_line(text: str, *, allowed: str = "") -> str:
    """`text`. Raises ValueError when it has control characters, line ends included, that are not `allowed`."""
    if any((ord(each) < 32 or 127 <= ord(each) < 160) and each not in allowed for each in text):
        raise ValueError("contains a control character")
    return text


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(one_line)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(one_line)]
Note = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(partial(one_line, allowed="\n\r\t"))]
Reference = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=205),
    AfterValidator(one_line),
    Field(description="Our id, or `ext_` and your own external id."),
]


def _addressable(text: str) -> str:
    if "/" in text or "," in text:
        raise ValueError("must not contain / or ,: it could not be addressed as ext_…, nor stand in a list of filters")
    return text


ExternalId = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(one_line),
    AfterValidator(_addressable),
    Field(description="Your own id of this row, unique per brand and resource; address it as `ext_<external_id>`."),
]
_EMAIL = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+\.[^@\s<>,;.]+")


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise ValueError("is not an e-mail address such as lea@example.com")
    return text


Email = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=254), AfterValidator(one_line), AfterValidator(_email)
]


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("is not a time zone of the IANA list, such as Europe/Paris")
    return name


Zone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_zone)]


def _metadata(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(value) > METADATA_KEYS_MAX:
        raise ValueError(f"has more than {METADATA_KEYS_MAX} keys")
    if len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")) > METADATA_BYTES_MAX:
        raise ValueError(f"is longer than {METADATA_BYTES_MAX} bytes")
    return value


Metadata = Annotated[
    dict[str, JsonValue],
    AfterValidator(_metadata),
    Field(description=f"Yours to use: at most {METADATA_KEYS_MAX} keys, {METADATA_BYTES_MAX} bytes."),
]

# ── Money ────────────────────────────────────────────────────────────────────────────────────────────────────────────

Minor = Annotated[
    int, Strict(), Field(ge=0, le=AMOUNT_MINOR_MAX, description="Minor units of `currency`, a whole number.")
]
Count = Annotated[int, Strict(), Field(ge=0, le=2_147_483_647)]
Flag = Annotated[bool, Strict()]

# ── Time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_LOST_PLUS = re.compile(r"T\S+ \d{2}:?\d{2}$", re.ASCII)
"""An offset whose + was read as a space, as in a query."""


def _as_text(value: object) -> object:
    if not isinstance(value, str | datetime):
        raise ValueError("should be a text such as 2026-11-22T09:30:00Z")
    if isinstance(value, str) and _DAY.fullmatch(value):
        raise ValueError(f"is a day without a time; write {value}T00:00:00Z, or the offset of your zone instead of Z")
    if isinstance(value, str) and _LOST_PLUS.search(value):
        raise ValueError("is no time with an offset; a + in an address must be sent as %2B")
    return value


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError("has no time zone; end it with Z or an offset such as +01:00")
    if not YEARS[0] <= value.year < YEARS[1]:
        raise ValueError(f"lies outside the years {YEARS[0]} to {YEARS[1]}")
    return value.astimezone(UTC)


def refuse_reversed(sent: dict[str, Any], starts_at: datetime | None, ends_at: datetime | None) -> None:
    """Raises Invalid, naming a field of the PATCH `sent`, unless the interval that it leads to is one."""
    if starts_at is not None and ends_at is not None and ends_at <= starts_at:
        raise Invalid.field("ends_at" if "ends_at" in sent else "starts_at", "starts_at must be earlier than ends_at")


def rfc3339(value: datetime) -> str:
    """A time as it is shown: UTC, milliseconds, `Z`."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[
    datetime,
    BeforeValidator(_as_text),
    AfterValidator(_aware),
    PlainSerializer(rfc3339, when_used="json"),
    Field(description="RFC 3339 with a time zone; shown in UTC.", examples=["2026-11-22T09:30:00.000Z"]),
]


def _after_start(ends_at: datetime | None, info: ValidationInfo) -> datetime | None:
    starts_at = info.data.get("starts_at")
    if ends_at is not None and starts_at is not None and ends_at <= starts_at:
        raise ValueError("must be later than starts_at")
    return ends_at


EndsAt = Annotated[Moment | None, AfterValidator(_after_start)]
"""The end of an interval: later than the model's `starts_at`, a field above it, where both are given."""
