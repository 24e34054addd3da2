"""Bodies about orders in OpenAPI's and JSON's stated_fields: the requests that domain/bodies.py reads, and what a parser read in a message."""

from collections.abc import Iterable
from typing import Any

from app.domain.order_fields import Field, properties
from app.domain.orders import Parsed, stated_fields


def request_body(title: str, fields: Iterable[Field], **examples: Any) -> dict[str, Any]:
    """OpenAPI's requestBody of these fields; examples: `example` or `examples`."""
    fields = tuple(fields)
    schema = {
        "title": title,
        "type": "object",
        "required": [field.name for field in fields if field.required],
        "properties": properties(fields),
        "additionalProperties": False,
    }
    return {"required": True, "content": {"application/json": {"schema": schema, **examples}}}


def show_parsed(parsed: Parsed) -> dict[str, Any]:
    """The `read` of a delivery, or of a sample that a mapping is tried on: reports with their refunds, landings, or why there are none."""
    shown: dict[str, Any] = {"topic": parsed.topic}
    for name in ("ignored", "rejected", "detail"):
        if getattr(parsed, name) is not None:
            shown[name] = getattr(parsed, name)
    if parsed.reports:
        shown["reports"] = [
            {**stated_fields(report), "refunds": [stated_fields(each) for each in report.refunds]}
            for report in parsed.reports
        ]
    if parsed.landings:
        shown["landings"] = [
            {"visitor_id": each.visitor_id, "click_id": each.click_id, "seen_at": each.seen_at}
            for each in parsed.landings
        ]
    if parsed.notes:
        shown["notes"] = list(parsed.notes)
    return shown
