"""The words in which bodies are described that domain/bodies.py reads: orders and refunds, which signed webhooks bring as well as the API."""

from typing import Any

from app.domain import strict_json
from app.domain.money import AMOUNT_MINOR_MAX
from app.domain.orders import LINES_MAX

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": strict_json.TEXT_CHARACTERS_MAX}
AMOUNT: Schema = {"type": "integer", "minimum": 0, "maximum": AMOUNT_MINOR_MAX}
TIME: Schema = {"type": "string", "format": "date-time", "description": "RFC 3339 with its offset."}
KIND: Schema = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$"}
CURRENCY: Schema = {"type": "string", "minLength": 3, "maxLength": 3}
QUANTITY: Schema = {"type": "integer", "minimum": 0, "maximum": 1_000_000}


def optional(schema: Schema, description: str = "") -> Schema:
    """The same, or null, which is not said."""
    told = {"description": description} if description else {}
    return {"anyOf": [schema, {"type": "null"}], **told}


def lines_of(**fields: Schema) -> Schema:
    """Lines of an order or a refund."""
    return {"type": "array", "maxItems": LINES_MAX, "items": {"type": "object", "properties": fields}}


def json_body(title: str, required: list[str], fields: dict[str, Schema], **examples: Any) -> Schema:
    """OpenAPI's requestBody; examples: `example` or `examples`."""
    schema = {
        "title": title,
        "type": "object",
        "required": required,
        "properties": fields,
        "additionalProperties": False,
    }
    return {"required": True, "content": {"application/json": {"schema": schema, **examples}}}
