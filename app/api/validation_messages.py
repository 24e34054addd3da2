"""What pydantic found, said for whoever sent it: in the words of JSON, naming what was sent instead, and never how we read it."""

import json
from collections.abc import Callable, Mapping
from typing import Any

SHOWN_MAX = 40
"""Characters of what was sent that an answer repeats."""

Said = tuple[str, str]
"""A stable machine word, and what is wrong."""

NO_FIELD = "is not a field of this request"
NO_PARAMETER = "is not a parameter of this request"
FIXED = "cannot be changed"

# Kinds of values, as JSON calls them.
KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a JSON object",
    "model_type": "a JSON object",
    "model_attributes_type": "a JSON object",
}
OBJECTS = ("dict_type", "model_type", "model_attributes_type")
NO_TIME = "is no time such as 2026-11-22T09:30:00Z"
NO_DAY = "is no day such as 2026-11-22"

# What else is said of an error of this type, from what pydantic knows of it (`ctx`).
SENTENCES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "json_invalid": lambda _: "is not valid JSON",
    "int_parsing": lambda _: "should be a whole number",
    "int_parsing_size": lambda _: "should be a smaller whole number",
    "int_from_float": lambda _: "should be a whole number",
    "float_parsing": lambda _: "should be a number",
    "finite_number": lambda _: "should be a finite number",
    "bool_parsing": lambda _: "should be true or false",
    "greater_than_equal": lambda of: f"should be at least {_bound(of['ge'])}",
    "greater_than": lambda of: f"should be more than {_bound(of['gt'])}",
    "less_than_equal": lambda of: f"should be at most {_bound(of['le'])}",
    "less_than": lambda of: f"should be less than {_bound(of['lt'])}",
    "string_too_short": lambda of: _at_least(of["min_length"], "character"),
    "string_too_long": lambda of: f"should have at most {of['max_length']} characters",
    "too_short": lambda of: _at_least(of["min_length"], "item"),
    "too_long": lambda of: f"should have at most {of['max_length']} items, not {of['actual_length']}",
    "string_pattern_mismatch": lambda of: f"should fit the pattern {of['pattern']}",
}


def say(item: Mapping[str, Any], *, in_body: bool, known: frozenset[str] = frozenset()) -> Said:
    """Code and sentence of one error. known: fields that the resource has, though this request cannot change them."""
    kind, sent, context = item["type"], item.get("input"), item.get("ctx") or {}
    if kind == "missing":
        return "required", "is required"
    if kind == "extra_forbidden":
        if not in_body:
            return "unknown_field", NO_PARAMETER
        _, *path = item["loc"]
        return ("fixed", FIXED) if len(path) == 1 and path[0] in known else ("unknown_field", NO_FIELD)
    if kind in KINDS:
        # A text is not repeated here: a secret may stand where a list of them should.
        told = "a text" if isinstance(sent, str) else _shown(sent)
        return "object_expected" if kind in OBJECTS else kind, f"should be {KINDS[kind]}, not {told}"
    if kind in ("literal_error", "enum"):
        choice = context["expected"]
        return kind, f"should be {'one of ' if ' or ' in choice else ''}{choice}, not {_shown(sent)}"
    if kind.startswith("datetime_"):
        return "invalid", NO_TIME
    if kind.startswith("date_"):
        return "invalid", NO_DAY
    if kind in SENTENCES:
        return kind, SENTENCES[kind](context)
    if kind == "union_tag_not_found":
        return "required", "is required"
    if kind == "union_tag_invalid":
        named = sent.get(inside(item)[0]) if isinstance(sent, dict) else sent
        *others, last = str(context["expected_tags"]).split(", ")
        return "unknown_type", f"should be one of {', '.join(others)} or {last}, not {_shown(named)}"
    said = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return "invalid" if kind == "value_error" else kind, said


def inside(item: Mapping[str, Any]) -> list[str]:
    """Where in the value that pydantic names the fault really is: the field that tells kinds of objects apart, or the one an error of ours names."""
    context = item.get("ctx") or {}
    if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return [str(context["discriminator"]).strip("'")]
    field = context.get("field")
    return field.split(".") if isinstance(field, str) else []


def either(first: Said, second: Said) -> Said:
    """Two kinds that a value might be of, in one sentence: a value that fits none of several is one fault."""
    if first == second:
        return first
    expected, _, sent = first[1].partition(", not ")
    other = second[1].partition(", not ")[0].removeprefix("should be ")
    if (first[0], second[0]) == ("int_type", "float_type"):
        return second
    return first[0], f"{expected} or {other}, not {sent}"


def _bound(number: float) -> str:
    return str(int(number) if number == int(number) else number)


def _at_least(count: int, what: str) -> str:
    return "must not be empty" if count == 1 else f"should have at least {count} {what}s"


def _shown(value: object) -> str:
    """What was sent, in a few words: small values as they are, the rest by their kind."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return repr(value) if len(value) <= SHOWN_MAX and value.isprintable() else "a text"
    text = json.dumps(value, default=lambda _: "that")
    return text if len(text) <= SHOWN_MAX else "that"
