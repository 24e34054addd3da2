"""What is kept of a message: without data of the shopper, once it is known what it means."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain

import msgspec

from app.domain.orders import OrderReport, Parsed
from app.domain.personal_data import CustomerKey
from app.domain.strict_json import Unreadable, recall
from app.intake.deliveries.messages import Message
from app.platforms import personal
from app.platforms.kit.digests import QUERY

personal.load()

FORM = "application/x-www-form-urlencoded"


class Kept(msgspec.Struct, frozen=True, gc=False):
    """Headers and body as they are kept."""

    headers: Mapping[str, str]
    body: bytes


def keep(message: Message, parsed: Parsed, settings: str, key: CustomerKey) -> Kept | None:
    """The message blotted; None where it is kept whole, because nothing was understood and it is to be read again. settings: of its source."""
    return None if parsed.rejected is not None else blot(message, parsed, settings, key)


def blot(message: Message, parsed: Parsed, settings: str, key: CustomerKey) -> Kept:
    """The message without data of the shopper, whatever was understood of it."""
    how = personal.of_pixel() if message.is_pixel else personal.of_source(message.platform, settings)
    document: object = None
    is_json = True
    try:
        document = recall(message.body) if message.body.strip() else None
    except (Unreadable, RecursionError):
        is_json = False
    mapped = how.texts_at(document, message.headers) if how.pointers and is_json else frozenset()
    read = partial(texts_read, parsed, mapped)
    if document is not None and is_json:
        body = how.blotter.blot_json(document, key, read)
    else:
        body = how.blotter.blot_body(message.body, key, read, is_form=_is_form(message))
    return Kept(how.blotter.blot_headers(message.headers, key, read, query=QUERY), body)


def _is_form(message: Message) -> bool:
    if message.is_pixel or QUERY in message.headers:
        return True
    return message.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


def texts_read(parsed: Parsed, mapped: frozenset[str] = frozenset()) -> frozenset[str]:
    """Every text that a parser took from a message: names of orders, codes, clicks, visitors, lines."""
    found = set(mapped)
    for report in parsed.all_reports:
        found.update(_texts_of(report))
    for landing in parsed.landings:
        found.update((landing.visitor_id, landing.click_id))
    found.discard("")
    return frozenset(found)


def _texts_of(report: OrderReport) -> Iterator[str]:
    yield from (*report.refs, *report.proofs, *report.codes, *report.code_ids, *report.click_ids)
    yield from filter(None, (report.order_id, report.visitor_id))
    for line in chain(report.lines, *(refund.lines for refund in report.refunds)):
        yield from filter(None, (line.id, line.sku, line.name))
    for refund in report.refunds:
        yield refund.refund_id
