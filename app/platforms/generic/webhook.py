"""Messages of any checkout that signs them: read through the mapping of its settings or preset, where there is one (`reading`); else the body is that
of POST /v1/conversions or POST /v1/refunds.

The type decides which of the two: the header `X-Ariane-Type: conversion|refund` (or a refund's own type: `cancellation`, `chargeback`,
`reversal`), else the body's `type`, else a `refund_id` in it.
The sender's own id of the message: `webhook-id` (Standard Webhooks) or `X-Ariane-Delivery`.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from app.domain.bodies import read_order, read_refund
from app.domain.order_fields import CONVERSION, has_content
from app.domain.orders import ADJUSTMENT_KINDS, REFUND, Context, Parsed
from app.domain.placeholders import UNFILLED
from app.domain.strict_json import Unreadable
from app.errors import Invalid
from app.platforms.generic.mapping import read_mapping
from app.platforms.generic.reading import Mapped, read_mapped
from app.platforms.kit.vendor_json import read_object, text_of
from app.platforms.presets import resolve

TYPES = (CONVERSION, *ADJUSTMENT_KINDS)


def identify(headers: Mapping[str, str]) -> tuple[str, str]:
    """Topic and the sender's own id of a delivery, '' where they are missing; from its headers alone."""
    topic = text_of(headers.get("x-ariane-type")) or ""
    return topic, text_of(headers.get("webhook-id")) or text_of(headers.get("svix-id")) or text_of(
        headers.get("x-ariane-delivery")
    ) or ""


def parse(body: bytes, headers: Mapping[str, str], context: Context) -> Parsed:
    """Reports from one delivery's raw bytes; `headers` with lower-case names. Never raises: what cannot be read is `rejected` with a reason."""
    return read(body, headers, context).parsed


def read(body: bytes, headers: Mapping[str, str], context: Context) -> Mapped:
    """As `parse`, with what the author of a mapping needs: the rule that was used, and fields without a value."""
    mapping = resolve(context.settings).get("mapping")
    if mapping is None:
        return Mapped(_parse_our_words(body, headers, context))
    topic, external_id = identify(headers)
    try:
        mapped = read_mapped(read_mapping(mapping), body, headers, context)
    except ValueError as error:
        return Mapped(Parsed(topic=topic, external_id=external_id, rejected="bad_mapping", detail=str(error)))
    return replace(mapped, parsed=replace(mapped.parsed, topic=mapped.parsed.topic or topic, external_id=external_id))


def _parse_our_words(body: bytes, headers: Mapping[str, str], context: Context) -> Parsed:
    topic, external_id = identify(headers)
    try:
        found = read_object(body, "not_an_order")
        topic = _type_of(found, headers)
        if not has_content(found.get("order_id")):
            raise Unreadable("not_an_order", "order_id is missing")
        read_body = read_refund if topic in ADJUSTMENT_KINDS else read_order
        report = read_body(_typed(found, topic), context)
    except Unreadable as error:
        return Parsed(topic=topic, external_id=external_id, rejected=error.reason, detail=error.detail)
    except Invalid as error:
        left = any(each.code == UNFILLED for each in error.fields)
        reason = UNFILLED if left else "invalid_fields"
        return Parsed(topic=topic, external_id=external_id, rejected=reason, detail=error.message)
    own = found.get("type")
    notes = (
        (f"type is {str(own)[:40]!r}, none of {', '.join(TYPES)}: not used",)
        if has_content(own) and own not in TYPES
        else ()
    )
    return Parsed(topic=topic, external_id=external_id, reports=(report,), notes=notes)


def _type_of(body: Mapping[str, object], headers: Mapping[str, str]) -> str:
    header = text_of(headers.get("x-ariane-type"))
    if header:
        if header not in TYPES:
            raise Unreadable("unknown_type", f"X-Ariane-Type: {header[:40]!r} is none of {', '.join(TYPES)}")
        return header
    # A checkout may have a `type` of its own in an order; only our words are used.
    stated = body.get("type")
    if isinstance(stated, str) and stated in TYPES:
        return stated
    return REFUND if has_content(body.get("refund_id")) else CONVERSION


def _typed(body: Mapping[str, object], topic: str) -> dict[str, object]:
    """The body with the message's own type as its `type`, in place of one of the checkout's own."""
    stated = body.get("type")
    ours = isinstance(stated, str) and stated in ADJUSTMENT_KINDS
    return {**body, "type": stated if ours and topic == REFUND else topic}
