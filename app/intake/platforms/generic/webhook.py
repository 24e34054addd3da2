"""Any checkout that signs its messages: the body of POST /v1/conversions or POST /v1/refunds.

Which of the two: the header `X-Ariane-Type: conversion|refund`, else the body's `type`, else a `refund_id` in it.
The sender's own id of the message: `webhook-id` (Standard Webhooks) or `X-Ariane-Delivery`.
"""

from collections.abc import Mapping

from app.domain.bodies import Context, Unreadable, read_json, read_order, read_refund, read_text
from app.domain.orders import Parsed
from app.errors import Invalid

TYPES = ("conversion", "refund")


def identify(headers: Mapping[str, str]) -> tuple[str, str]:
    """Topic and the sender's own id of a delivery, '' where they are missing; from its headers alone."""
    topic = _text(headers.get("x-ariane-type"))
    return topic, _text(headers.get("webhook-id")) or _text(headers.get("x-ariane-delivery"))


def parse(body: bytes, headers: Mapping[str, str], context: Context) -> Parsed:
    """Reports from one delivery's raw bytes; `headers` with lower-case names. Never raises: what cannot be read is `rejected` with a reason."""
    topic, external_id = identify(headers)
    try:
        found = read_json(body)
        if not isinstance(found, dict):
            raise Unreadable("not_an_order", "the body is not a JSON object")
        topic = _type_of(found, headers)
        if found.get("order_id") is None:
            raise Unreadable("not_an_order", "order_id is missing")
        report = read_refund(found, context) if topic == "refund" else read_order(found, context)
    except Unreadable as error:
        return Parsed(topic=topic, external_id=external_id, rejected=error.reason, detail=error.detail)
    except Invalid as error:
        return Parsed(topic=topic, external_id=external_id, rejected="invalid_fields", detail=error.message)
    return Parsed(topic=topic, external_id=external_id, reports=(report,))


def _type_of(body: Mapping[str, object], headers: Mapping[str, str]) -> str:
    header = _text(headers.get("x-ariane-type"))
    if header:
        if header not in TYPES:
            raise Unreadable("unknown_type", f"X-Ariane-Type: {header[:40]!r} is neither conversion nor refund")
        return header
    # A checkout may have a `type` of its own in an order; only our two words mean something.
    said = body.get("type")
    if isinstance(said, str) and said in TYPES:
        return said
    return "conversion" if body.get("refund_id") is None else "refund"


def _text(value: object) -> str:
    try:
        return read_text(value)
    except ValueError:
        return ""
